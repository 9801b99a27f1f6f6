//! Two aligned pictures → how much of what overlaps agrees, judged place by place.
//!
//! The second picture is resampled on the grid of the first (bicubic convolution, Keys 1981, a =
//! −1/2), and the structure of the two is compared in windows of 5 × 5: the contrast and structure
//! terms of SSIM (Wang et al. 2004, "Image quality assessment: from error visibility to structural
//! similarity", equation 6 with the luminance term left out), the second picture's contrast first
//! brought to the first's by one gain. What a place counts is its texture: v / (v + c), v the
//! larger mean square of what is left of luma without the mean of its window, so that a strong edge
//! (a logo, a caption) counts no more than any other textured place, and a flat or evenly sloping
//! place (a sky) counts nothing. So a part that disagrees costs its share of the texture and no
//! more.

use super::{
    FORGIVEN, PRIOR,
    affine::Affine,
    at,
    boxes::Boxes,
    levels::{COARSE, Detail, Level},
    samples::{LANES, below, samples, whole},
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

/// The samples, from its edge, of a picture that ends inside the other that do not count; the
/// samples from the edge of a grid that count though they lie there.
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
    /// The similarity of the pair: the sum of agreement over the texture and a share [`PRIOR`] that
    /// agrees in nothing, times colour; of what disagrees, up to the share [`FORGIVEN`] of the
    /// texture is left out of both.
    pub(super) fn similarity(&self) -> f32 {
        let [covered, agreeing] = self.disagreeing;
        let part = (FORGIVEN * self.texture / covered.max(1e-6)).min(1.0);
        let share = (self.agreeing - part * agreeing) / (self.texture - part * covered + PRIOR);
        let colour = 0.5 * (1.0 + self.colour.max(-1.0));
        (colour * share).clamp(0.0, 1.0)
    }

    /// The similarity if everything that overlaps agreed.
    pub(super) fn max_similarity(&self) -> f32 {
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
    /// What becomes of three of them while their sums are taken.
    plain: [Vec<f32>; 3],
    detail: [Vec<f32>; 2],
    padded: Vec<f32>,
}

/// Compares `other`, where `map` puts it, with `grid` at their finest common level.
pub(super) fn agreement(
    grid: &Detail,
    other: &Detail,
    level: usize,
    map: &Affine,
    scratch: &mut Scratch,
) -> Agreement {
    let mut found = wide((
        &grid.levels[level],
        &other.levels[level],
        map,
        &mut *scratch,
    ));
    compare_chroma(grid, other, map, &mut found);
    found
}

impl Work for (&Level, &Level, &Affine, &mut Scratch) {
    type Found = Agreement;

    #[inline(always)]
    fn run(self) -> Agreement {
        moments(self.0, self.1, self.2, self.3);
        judge(self.3)
    }
}

/// What the planes come to; every sum is taken in [`LANES`] parts, and these are then added in
/// order.
#[inline(always)]
fn judge(scratch: &Scratch) -> Agreement {
    let area = scratch.planes[0].len() as f32;
    let [count, a, b, covariance, deviation_a, deviation_b] = scratch
        .planes
        .each_ref()
        .map(|plane| plane.as_chunks::<LANES>().0);
    let detail = scratch
        .detail
        .each_ref()
        .map(|plane| plane.as_chunks::<LANES>().0);
    let mut sums = [[0f32; LANES]; 5];
    for i in 0..count.len() {
        for l in 0..LANES {
            let agree = if covariance[i][l] > 0.0 {
                covariance[i][l]
            } else {
                0.0
            };
            sums[0][l] += count[i][l];
            sums[1][l] += a[i][l];
            sums[2][l] += b[i][l];
            sums[3][l] += agree * deviation_a[i][l];
            sums[4][l] += agree * deviation_b[i][l];
        }
    }
    let [covered, luma_a, luma_b, gain_a, gain_b] = sums.map(|parts| parts.iter().sum::<f32>());
    let gain = (gain_a + 1e-6) / (gain_b + 1e-6);
    let mut sums = [[0f32; LANES]; 4];
    for i in 0..count.len() {
        for l in 0..LANES {
            let (va, vb) = (
                deviation_a[i][l] * deviation_a[i][l],
                deviation_b[i][l] * deviation_b[i][l],
            );
            let (p, q) = (detail[0][i][l], detail[1][i][l]);
            let (most, sum) = (if p > q { p } else { q }, va + gain * gain * vb);
            let weight = most / ((most + DETAIL) * (sum + NOISE));
            let (texture, agreeing) = (weight * sum, weight * 2.0 * gain * covariance[i][l]);
            let disagrees = if agreeing < DISAGREES * texture {
                1.0
            } else {
                0.0
            };
            sums[0][l] += texture;
            sums[1][l] += agreeing;
            sums[2][l] += disagrees * texture;
            sums[3][l] += disagrees * agreeing;
        }
    }
    let [texture, agreeing, disagreeing, against] =
        sums.map(|parts| parts.iter().sum::<f32>() / area);
    let brighter = (luma_a - luma_b) / covered.max(1.0);
    Agreement {
        overlap: covered / area,
        texture,
        agreeing,
        disagreeing: [disagreeing, against],
        gain,
        brighter,
        ..Agreement::default()
    }
}

/// Fills the planes: 1 where both pictures are, their luma there, and covariance and deviations in
/// windows that are at least half covered.
#[inline(always)]
fn moments(grid: &Level, other: &Level, map: &Affine, scratch: &mut Scratch) {
    let n = grid.side;
    for plane in scratch
        .planes
        .iter_mut()
        .chain(&mut scratch.plain)
        .chain(&mut scratch.detail)
    {
        plane.clear();
        plane.resize(n * n, 0.0);
    }
    let [count, a, b, ab, aa, bb] = scratch.planes.each_mut().map(|plane| &mut plane[..n * n]);
    let luma = &grid.luma[..n * n];
    // A picture on itself: the second planes come to what the first do.
    let same = std::ptr::eq(grid, other) && *map == Affine::IDENTITY;
    if same {
        count.fill(1.0);
        b.copy_from_slice(luma);
    } else {
        pad(&other.luma, n, &mut scratch.padded);
        lay(&scratch.padded, n, map, count, b);
    }
    for i in 0..n * n {
        a[i] = luma[i] * count[i];
        ab[i] = a[i] * b[i];
        aa[i] = a[i] * a[i];
        bb[i] = b[i] * b[i];
    }
    for (plain, plane) in scratch.plain.iter_mut().zip([&*count, &*a, &*b]) {
        plain.copy_from_slice(plane);
    }
    for plane in [&mut *count, a, aa] {
        scratch.boxes.sum(plane, n, RADIUS);
    }
    for (plane, first) in [(&mut *b, &*a), (ab, &*aa), (bb, &*aa)] {
        second(same, plane, first, &mut scratch.boxes, n);
    }
    let half = 0.5 * ((2 * RADIUS + 1) * (2 * RADIUS + 1)) as f32;
    let [mask, plain_a, plain_b] = scratch.plain.each_ref().map(|plane| &plane[..n * n]);
    let [detail_a, detail_b] = scratch.detail.each_mut().map(|plane| &mut plane[..n * n]);
    for i in 0..n * n {
        let counts = if mask[i] > 0.0 && count[i] >= half {
            1.0
        } else {
            0.0
        };
        // The window's mean, from its sum.
        count[i] = 1.0 / count[i].max(1.0);
        let (mean_a, mean_b) = (a[i] * count[i], b[i] * count[i]);
        ab[i] = counts * (ab[i] * count[i] - mean_a * mean_b);
        aa[i] = counts * (aa[i] * count[i] - mean_a * mean_a).max(0.0).sqrt();
        bb[i] = counts * (bb[i] * count[i] - mean_b * mean_b).max(0.0).sqrt();
        let (off_a, off_b) = (plain_a[i] - mean_a, plain_b[i] - mean_b);
        detail_a[i] = mask[i] * off_a * off_a;
        detail_b[i] = mask[i] * off_b * off_b;
    }
    scratch.boxes.sum(detail_a, n, RADIUS);
    second(same, detail_b, detail_a, &mut scratch.boxes, n);
    for detail in [detail_a, detail_b] {
        detail
            .iter_mut()
            .zip(&*count)
            .for_each(|(sum, share)| *sum *= share);
    }
    for (plane, plain) in [count, a, b].into_iter().zip([mask, plain_a, plain_b]) {
        plane.copy_from_slice(plain);
    }
}

/// Sums a plane over windows, if it is not the same as one that was summed.
#[inline(always)]
fn second(same: bool, plane: &mut [f32], first: &[f32], boxes: &mut Boxes, n: usize) {
    if same {
        plane.copy_from_slice(first);
    } else {
        boxes.sum(plane, n, RADIUS);
    }
}

/// Puts one more sample around a plane, like those at its border.
fn pad(plane: &[f32], n: usize, padded: &mut Vec<f32>) {
    padded.clear();
    for y in 0..n + 2 {
        let row = &plane[y.saturating_sub(1).min(n - 1) * n..][..n];
        padded.push(row[0]);
        padded.extend_from_slice(row);
        padded.push(row[n - 1]);
    }
}

/// Lays a plane on a grid: `count` becomes 1 where it covers it, `out` its values there.
///
/// Where the plane ends inside the grid, its last samples are left out: if what follows on the grid
/// is a border, they are mixed with it.
#[inline(always)]
fn lay(padded: &[f32], n: usize, map: &Affine, count: &mut [f32], out: &mut [f32]) {
    let [inner, outer] = MARGINS.map(|samples| 1.0 - 2.0 * samples / n as f32);
    let rows = count
        .chunks_exact_mut(n)
        .zip(out.chunks_exact_mut(n))
        .enumerate();
    for (y, (count, out)) in rows {
        let q = at(y, n);
        for (left, (count, out)) in count
            .as_chunks_mut::<LANES>()
            .0
            .iter_mut()
            .zip(out.as_chunks_mut::<LANES>().0)
            .enumerate()
        {
            let (mut u, mut v) = ([0f32; LANES], [0f32; LANES]);
            for l in 0..LANES {
                let p = at(left * LANES + l, n);
                [u[l], v[l]] = map.apply([p, q]);
                let (depth, edge) = (most(u[l].abs(), v[l].abs()), most(p.abs(), q.abs()));
                count[l] = if depth <= inner || (depth <= 1.0 && edge >= outer) {
                    1.0
                } else {
                    0.0
                };
            }
            if *count != [0.0; LANES] {
                let ((left, p), (top, q)) = (places(&u, n), places(&v, n));
                for l in 0..LANES {
                    out[l] = count[l] * cubic(padded, n + 2, [left[l], top[l]], [p[l], q[l]]);
                }
            }
        }
    }
}

#[inline(always)]
fn most(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Places on a line of samples → the samples before them, and how far they lie after those.
#[inline(always)]
fn places(u: &[f32; LANES], n: usize) -> ([u32; LANES], [f32; LANES]) {
    let (half, last) = (0.5 * n as f32, (n - 1) as f32);
    let (mut low, mut part) = ([0; LANES], [0.0; LANES]);
    for l in 0..LANES {
        let x = ((u[l] + 1.0) * half - 0.5).clamp(0.0, last);
        let before = below(x, last);
        low[l] = whole(before);
        part[l] = x - before;
    }
    (low, part)
}

/// Between 4 × 4 samples, of a plane that has one more around it: the corner of the four in the
/// middle, and how far from there.
#[inline(always)]
fn cubic(padded: &[f32], stride: usize, [left, top]: [u32; 2], [p, q]: [f32; 2]) -> f32 {
    let corner = &padded[top as usize * stride + left as usize..][..3 * stride + 4];
    let mut rows = [[0.0; 4]; 4];
    for (j, row) in rows.iter_mut().enumerate() {
        row.copy_from_slice(&corner[j * stride..][..4]);
    }
    let (across, down) = (weights(p), weights(q));
    let mut out = [0.0; 4];
    for i in 0..4 {
        out[i] = across[i]
            * ((down[0] * rows[0][i] + down[1] * rows[1][i])
                + (down[2] * rows[2][i] + down[3] * rows[3][i]));
    }
    (out[0] + out[1]) + (out[2] + out[3])
}

/// Keys's weights of the four samples around a place `t` after the second.
#[inline(always)]
fn weights(t: f32) -> [f32; 4] {
    /// Of t³, t², t and 1, for each of the four.
    const OF: [[f32; 4]; 4] = [
        [-0.5, 1.5, -1.5, 0.5],
        [1.0, -2.5, 2.0, -0.5],
        [-0.5, 0.0, 0.5, 0.0],
        [0.0, 1.0, 0.0, 0.0],
    ];
    let mut out = [0.0; 4];
    for i in 0..4 {
        out[i] = ((OF[0][i] * t + OF[1][i]) * t + OF[2][i]) * t + OF[3][i];
    }
    out
}

/// The larger of the cosines of chroma as it is (which a tint spoils) and with its mean removed
/// (which one colour over all spoils).
fn compare_chroma(grid: &Detail, other: &Detail, map: &Affine, found: &mut Agreement) {
    let [count, sums @ .., aa, bb, ab] = wide((&grid.chroma, &other.chroma, map));
    let (sums, squares) = ([[sums[0], sums[1]], [sums[2], sums[3]]], [aa, bb, ab]);
    let scale = 1.0 / count.max(1.0);
    let plain = squares.map(|v| v * scale);
    let product =
        |i: usize, j: usize| (sums[0][i] * sums[0][j] + sums[1][i] * sums[1][j]) * scale * scale;
    let centred = [
        (plain[0] - product(0, 0)).max(0.0),
        (plain[1] - product(1, 1)).max(0.0),
        plain[2] - product(0, 1),
    ];
    let cosine = |[aa, bb, ab]: [f32; 3]| (ab + CHROMA_NOISE) / ((aa * bb).sqrt() + CHROMA_NOISE);
    found.colour = cosine(plain).max(cosine(centred)).min(1.0);
    found.chroma = [plain[0], plain[1]];
}

impl Work for (&[Vec<f32>; 2], &[Vec<f32>; 2], &Affine) {
    type Found = [f32; 8];

    /// The places that both cover; over them the sums of the first channel of either picture and of
    /// the second; of squares, and of products.
    #[inline(always)]
    fn run(self) -> Self::Found {
        let (n, (grid, other, map)) = (COARSE, self);
        let (half, mut sums) = (0.5 * n as f32, [[0f32; LANES]; 8]);
        for i in (0..n * n).step_by(LANES) {
            let (mut x, mut y, mut counts) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
            for l in 0..LANES {
                let [u, v] = map.apply([at(i % n + l, n), at(i / n, n)]);
                counts[l] = if most(u.abs(), v.abs()) <= 1.0 {
                    1.0
                } else {
                    0.0
                };
                (x[l], y[l]) = ((u + 1.0) * half - 0.5, (v + 1.0) * half - 0.5);
            }
            for channel in 0..2 {
                let (first, second) = (
                    &grid[channel][i..][..LANES],
                    samples(&other[channel], n, [&x, &y], [0.0; 2]),
                );
                for l in 0..LANES {
                    let (p, q) = (counts[l] * first[l], counts[l] * second[l]);
                    sums[1 + 2 * channel][l] += p;
                    sums[2 + 2 * channel][l] += q;
                    sums[5][l] += p * p;
                    sums[6][l] += q * q;
                    sums[7][l] += p * q;
                }
            }
            for l in 0..LANES {
                sums[0][l] += counts[l];
            }
        }
        sums.map(|parts| parts.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{Picture, Shape};

    #[test]
    fn a_picture_on_itself_agrees_as_with_a_copy_of_it() {
        for size in [16, 32, 48, 64] {
            let samples = (0..3 * size * size)
                .map(|i: usize| (i * i % 253) as u8)
                .collect();
            let picture = Picture::from_samples(
                Shape {
                    size: size as u16,
                    planes: 3,
                },
                samples,
            )
            .unwrap();
            let (own, copy) = (Detail::of(&picture), Detail::of(&picture));
            let mut scratch = Scratch::default();
            let level = own.levels.len() - 1;
            let mut found = |other: &Detail| {
                format!(
                    "{:?}",
                    agreement(&own, other, level, &Affine::IDENTITY, &mut scratch)
                )
            };
            assert_eq!(found(&own), found(&copy), "{size}");
        }
    }

    /// Keys's convolution by its kernel, a = −1/2, over all samples of a plane that goes on at its
    /// border.
    fn slow(plane: &[f32], n: usize, place: [f32; 2]) -> f32 {
        let kernel = |t: f32| match t.abs() {
            t if t < 1.0 => (1.5 * t - 2.5) * t * t + 1.0,
            t if t < 2.0 => ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0,
            _ => 0.0,
        };
        let [x, y] = place.map(|u| ((u + 1.0) * 0.5 * n as f32 - 0.5).clamp(0.0, (n - 1) as f32));
        let value = |i: i32, j: i32| {
            plane[j.clamp(0, n as i32 - 1) as usize * n + i.clamp(0, n as i32 - 1) as usize]
        };
        let all = -2..n as i32 + 2;
        let row = |j: i32| {
            all.clone()
                .map(|i| kernel(x - i as f32) * value(i, j))
                .sum::<f32>()
        };
        all.clone().map(|j| kernel(y - j as f32) * row(j)).sum()
    }

    #[test]
    fn a_plane_is_laid_as_the_kernel_says() {
        let n = 16;
        let plane: Vec<f32> = (0..n * n).map(|i| (i * 7919 % 251) as f32).collect();
        for map in [
            Affine::IDENTITY,
            Affine([0.8, 0.1, 0.1, -0.05, 1.1, -0.2]),
            Affine([1.6, 0.0, 0.3, 0.2, 1.4, 0.0]),
        ] {
            let (mut padded, mut count, mut out) = (Vec::new(), vec![0.0; n * n], vec![0.0; n * n]);
            pad(&plane, n, &mut padded);
            lay(&padded, n, &map, &mut count, &mut out);
            for i in 0..n * n {
                let place = map.apply([at(i % n, n), at(i / n, n)]);
                let depth = place[0].abs().max(place[1].abs());
                assert!(count[i] == 0.0 || depth <= 1.0, "{map:?} {i}");
                assert!(
                    count[i] == 1.0 || depth > 1.0 - 2.0 * MARGINS[0] / n as f32,
                    "{map:?} {i}"
                );
                assert!(
                    (out[i] - count[i] * slow(&plane, n, place)).abs() < 1e-2,
                    "{map:?} {i} {}",
                    out[i]
                );
            }
        }
    }
}
