//! Two aligned pictures → how much of what overlaps agrees, judged place by place.
//!
//! The second picture is resampled on the grid of the first (bicubic convolution, Keys 1981, a = −1/2), and the structure of the two is
//! compared in windows of 5 × 5: the contrast and structure terms of SSIM (Wang et al. 2004, "Image quality assessment: from error visibility
//! to structural similarity", equation 6 with the luminance term left out), the second picture's contrast first brought to the first's by one gain.
//! What a place counts is its texture: v / (v + c), v the larger mean square of what is left of luma without the mean of its window, so that a strong edge (a logo, a caption) counts no more than
//! any other textured place, and a flat or evenly sloping place (a sky) counts nothing. So a part that disagrees costs its share of the texture and no more.

use super::{
    FORGIVEN, PRIOR,
    affine::Affine,
    at,
    boxes::Boxes,
    levels::{COARSE, Detail, Level},
    refine::sample,
    wide::{Work, wide},
};

/// Half the side of a window.
const RADIUS: usize = 2;
/// The variance, in grey levels squared, at which structure is as strong as what may be noise.
const NOISE: f32 = 16.0;
/// The mean square of detail at which a place counts for half.
const DETAIL: f32 = 6.0;
/// The energy of chroma, in levels squared, below which it tells nothing.
const CHROMA_NOISE: f32 = 60.0;
/// A textured place that agrees less than this disagrees.
const DISAGREES: f32 = 0.3;

/// The samples, from its edge, of a picture that ends inside the other that do not count; the samples from the edge of a grid that count though
/// they lie there.
const MARGINS: [f32; 2] = [1.5, 2.5];

/// What a comparison found. Shares are of the area of the grid's frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Agreement {
    /// Share of the grid that the other picture covers.
    pub(super) overlap: f32,
    /// Textured share.
    pub(super) texture: f32,
    /// Sum of agreement over the textured share.
    pub(super) agreeing: f32,
    /// Textured share that disagrees, and the sum of agreement over it.
    pub(super) disagreeing: [f32; 2],
    /// Contrast of the grid's picture over that of the other, where they agree.
    pub(super) gain: f32,
    /// Mean luma of the grid's picture less that of the other.
    pub(super) brighter: f32,
    /// How well chroma agrees, −1 to 1; 1 where one picture has none.
    pub(super) colour: f32,
    /// Energies of chroma over the overlap: the grid's, and the other's.
    pub(super) chroma: [f32; 2],
}

impl Agreement {
    /// The similarity of the pair: the sum of agreement over the texture and a share [`PRIOR`] that agrees in nothing, times colour; of what
    /// disagrees, up to the share [`FORGIVEN`] of the texture is left out of both.
    pub(super) fn similarity(&self) -> f32 {
        let [covered, agreeing] = self.disagreeing;
        let part = (FORGIVEN * self.texture / covered.max(1e-6)).min(1.0);
        let share = (self.agreeing - part * agreeing) / (self.texture - part * covered + PRIOR);
        let colour = 0.5 * (1.0 + self.colour.max(-1.0));
        (colour * share).clamp(0.0, 1.0)
    }

    /// What it would be if all that overlaps agreed.
    pub(super) fn telling(&self) -> f32 {
        self.texture / (self.texture + PRIOR)
    }

    /// The mean agreement over the textured share.
    pub(super) fn agreement(&self) -> f32 {
        self.agreeing / self.texture.max(1e-6)
    }
}

/// Working memory of [`agreement`].
#[derive(Debug, Default)]
pub(super) struct Scratch {
    boxes: Boxes,
    planes: [Vec<f32>; 6],
    detail: [Vec<f32>; 2],
}

/// Compares `other`, where `map` puts it, with `grid` at their finest common level.
pub(super) fn agreement(grid: &Detail, other: &Detail, level: usize, map: &Affine, scratch: &mut Scratch) -> Agreement {
    wide((&grid.levels[level], &other.levels[level], map, &mut *scratch));
    let area = (grid.levels[level].side * grid.levels[level].side) as f32;
    let [count, a, b, covariance, deviation_a, deviation_b] = &scratch.planes;
    let (mut covered, mut sums, mut gains) = (0.0f32, [0.0f32; 2], [1e-6f32; 2]);
    for i in 0..count.len() {
        let agree = covariance[i].max(0.0);
        covered += count[i];
        sums[0] += a[i];
        sums[1] += b[i];
        gains[0] += agree * deviation_a[i];
        gains[1] += agree * deviation_b[i];
    }
    let gain = gains[0] / gains[1];
    let mut found = Agreement { overlap: covered / area, gain, brighter: (sums[0] - sums[1]) / covered.max(1.0), ..Agreement::default() };
    for i in 0..count.len() {
        let (va, vb) = (deviation_a[i] * deviation_a[i], deviation_b[i] * deviation_b[i]);
        let (most, sum) = (scratch.detail[0][i].max(scratch.detail[1][i]), va + gain * gain * vb);
        let weight = most / (most + DETAIL) / (sum + NOISE);
        let (texture, agreeing) = (weight * sum, weight * 2.0 * gain * covariance[i]);
        let disagrees = if agreeing < DISAGREES * texture { 1.0 } else { 0.0 };
        found.texture += texture;
        found.agreeing += agreeing;
        found.disagreeing[0] += disagrees * texture;
        found.disagreeing[1] += disagrees * agreeing;
    }
    found.texture /= area;
    found.agreeing /= area;
    found.disagreeing = found.disagreeing.map(|sum| sum / area);
    compare_chroma(grid, other, map, &mut found);
    found
}

impl Work for (&Level, &Level, &Affine, &mut Scratch) {
    type Found = ();

    #[inline(always)]
    fn run(self) {
        moments(self.0, self.1, self.2, self.3);
    }
}

/// Fills the planes: 1 where both pictures are, their luma there, and covariance and deviations in windows that are at least half covered.
#[inline(always)]
fn moments(grid: &Level, other: &Level, map: &Affine, scratch: &mut Scratch) {
    let n = grid.side;
    for plane in &mut scratch.planes {
        plane.clear();
        plane.resize(n * n, 0.0);
    }
    let [count, a, b, ab, aa, bb] = &mut scratch.planes;
    lay(&other.luma, n, map, count, b);
    for i in 0..n * n {
        a[i] = grid.luma[i] * count[i];
        ab[i] = a[i] * b[i];
        aa[i] = a[i] * a[i];
        bb[i] = b[i] * b[i];
    }
    let (mask, means) = (count.clone(), [a.clone(), b.clone()]);
    for plane in [&mut *count, a, b, ab, aa, bb] {
        scratch.boxes.sum(plane, n, RADIUS);
    }
    let half = 0.5 * ((2 * RADIUS + 1) * (2 * RADIUS + 1)) as f32;
    for i in 0..n * n {
        let counts = if mask[i] > 0.0 && count[i] >= half { 1.0 } else { 0.0 };
        let share = 1.0 / count[i].max(1.0);
        let (mean_a, mean_b) = (a[i] * share, b[i] * share);
        ab[i] = counts * (ab[i] * share - mean_a * mean_b);
        aa[i] = counts * (aa[i] * share - mean_a * mean_a).max(0.0).sqrt();
        bb[i] = counts * (bb[i] * share - mean_b * mean_b).max(0.0).sqrt();
    }
    let [plain_a, plain_b] = means;
    for ((detail, plain), mean) in scratch.detail.iter_mut().zip([&plain_a, &plain_b]).zip([&*a, &*b]) {
        let square = |i: usize| {
            let off = plain[i] - mean[i] / count[i].max(1.0);
            mask[i] * off * off
        };
        detail.clear();
        detail.extend((0..n * n).map(square));
        scratch.boxes.sum(detail, n, RADIUS);
        detail.iter_mut().zip(&*count).for_each(|(sum, count)| *sum /= count.max(1.0));
    }
    (*count, *a, *b) = (mask, plain_a, plain_b);
}

/// Lays a plane on a grid: `count` becomes 1 where it covers it, `out` its values there.
///
/// Where the plane ends inside the grid, its last samples are left out: if what follows on the grid is a border, they are mixed with it.
#[inline(always)]
fn lay(plane: &[f32], n: usize, map: &Affine, count: &mut [f32], out: &mut [f32]) {
    let (half, [inner, outer]) = (0.5 * n as f32, MARGINS.map(|samples| 1.0 - 2.0 * samples / n as f32));
    for y in 0..n {
        for x in 0..n {
            let [p, q] = [at(x, n), at(y, n)];
            let [u, v] = map.apply([p, q]);
            let depth = u.abs().max(v.abs());
            if depth <= inner || (depth <= 1.0 && p.abs().max(q.abs()) >= outer) {
                count[y * n + x] = 1.0;
                out[y * n + x] = cubic(plane, n, [u, v].map(|u| (u + 1.0) * half - 0.5));
            }
        }
    }
}

/// Between 4 × 4 samples, those beyond the border being the border's.
#[inline(always)]
fn cubic(plane: &[f32], n: usize, at: [f32; 2]) -> f32 {
    let [(left, p), (top, q)] = at.map(|x| {
        let x = x.clamp(0.0, (n - 1) as f32);
        let low = (x as usize).min(n - 2);
        (low, x - low as f32)
    });
    let (across, down) = (weights(p), weights(q));
    let row = |values: [f32; 4]| (across[0] * values[0] + across[1] * values[1]) + (across[2] * values[2] + across[3] * values[3]);
    let rows = if left > 0 && left + 2 < n && top > 0 && top + 2 < n {
        let corner = &plane[(top - 1) * n + left - 1..];
        let row = |j: usize| corner[j * n..].first_chunk().map_or(0.0, |values| row(*values));
        [row(0), row(1), row(2), row(3)]
    } else {
        let place = |low: usize, k: usize| (low + k).saturating_sub(1).min(n - 1);
        [0, 1, 2, 3].map(|j| row([0, 1, 2, 3].map(|i| plane[place(top, j) * n + place(left, i)])))
    };
    (down[0] * rows[0] + down[1] * rows[1]) + (down[2] * rows[2] + down[3] * rows[3])
}

/// Keys's weights of the four samples around a place `t` after the second.
#[inline(always)]
fn weights(t: f32) -> [f32; 4] {
    [((-0.5 * t + 1.0) * t - 0.5) * t, (1.5 * t - 2.5) * t * t + 1.0, ((-1.5 * t + 2.0) * t + 0.5) * t, (0.5 * t - 0.5) * t * t]
}

/// The larger of the cosines of chroma as it is (which a tint spoils) and with its mean removed (which one colour over all spoils).
fn compare_chroma(grid: &Detail, other: &Detail, map: &Affine, found: &mut Agreement) {
    let n = COARSE;
    let (mut count, mut sums, mut squares) = (0.0f32, [[0.0f32; 2]; 2], [0.0f32; 3]);
    for i in 0..n * n {
        let place = map.apply([at(i % n, n), at(i / n, n)]);
        if place.iter().any(|u| u.abs() > 1.0) {
            continue;
        }
        let [x, y] = place.map(|u| (u + 1.0) * 0.5 * n as f32 - 0.5);
        count += 1.0;
        for (channel, sum) in sums.iter_mut().enumerate() {
            let (p, q) = (grid.chroma[channel][i], sample(&other.chroma[channel], n, x, y));
            sum[0] += p;
            sum[1] += q;
            squares.iter_mut().zip([p * p, q * q, p * q]).for_each(|(sum, v)| *sum += v);
        }
    }
    let scale = 1.0 / count.max(1.0);
    let plain = squares.map(|v| v * scale);
    let product = |i: usize, j: usize| (sums[0][i] * sums[0][j] + sums[1][i] * sums[1][j]) * scale * scale;
    let centred = [(plain[0] - product(0, 0)).max(0.0), (plain[1] - product(1, 1)).max(0.0), plain[2] - product(0, 1)];
    let cosine = |[aa, bb, ab]: [f32; 3]| (ab + CHROMA_NOISE) / ((aa * bb).sqrt() + CHROMA_NOISE);
    found.colour = cosine(plain).max(cosine(centred)).min(1.0);
    found.chroma = [plain[0], plain[1]];
}
