//! An affine map that nearly aligns two levels → one that aligns them better, by Gauss–Newton steps.
//!
//! Inverse compositional alignment (Baker and Matthews 2004, "Lucas-Kanade 20 years on: a unifying framework", IJCV 56(3), section 3.2): the
//! slopes are those of the first picture, so the normal equations of a block of samples are the same in every step. What changes is the weight
//! of a block, which is the square of its correlation: blocks that disagree (a logo, a caption) do not pull (iteratively reweighted, section
//! 4.2 of part 2 of the same authors).
//!
//! The eight blocks of a row are computed side by side, each in its own order, so that vectors of any width give the same bits.

use super::{
    affine::Affine,
    at,
    levels::Level,
    wide::{Work, wide},
};

/// Blocks along a side.
const BLOCKS: usize = 8;
/// A step may leave the normal equations this far from singular: their diagonal is raised by this share.
const DAMPING: f64 = 1e-3;
/// A step that moves no sample by this share of one is not taken: refinement has arrived.
const ARRIVED: f32 = 1.0 / 16.0;

/// One value for each block of a row of blocks: these are computed side by side, each in its own order.
type Lanes = [f32; BLOCKS];

/// The weighted sums of slope products over one block: of across², across · down, down², each times 1, x, y, x², xy, y².
type Moments = [f64; 18];

/// A level as the fixed side of an alignment.
pub(super) struct Fixed {
    side: usize,
    /// Of each row of samples, for the first, second, … sample of all blocks: value, slope to the right, slope downwards.
    samples: Vec<[Lanes; 3]>,
    /// Where the first, second, … sample of all blocks lies.
    places: Vec<Lanes>,
    moments: Vec<Moments>,
}

/// Where refinement has come to: the map, and the correlation over the blocks that take part, the weights counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) map: Affine,
    pub(super) score: f32,
}

/// What is seen at a map: its score, and the change of the first frame that would bring it nearer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) score: f32,
    change: Option<Affine>,
}

/// The sums over each of a row of blocks: of ab, a², b²; of the residual times slope to the right, times 1, x, y, and so for the slope
/// downwards.
#[derive(Default, Clone, Copy)]
struct Sums {
    products: [Lanes; 3],
    pull: [Lanes; 6],
}

impl Sums {
    /// The correlation of each block, 0 where it is negative, and its square.
    #[inline(always)]
    fn correlation(&self) -> (Lanes, [f64; BLOCKS]) {
        let [ab, aa, bb] = &self.products;
        let (mut correlation, mut trust) = ([0f32; BLOCKS], [0f64; BLOCKS]);
        for l in 0..BLOCKS {
            let energy = (aa[l] * bb[l]).sqrt();
            correlation[l] = if energy > 0.0 { (ab[l] / energy).clamp(0.0, 1.0) } else { 0.0 };
            trust[l] = f64::from(correlation[l] * correlation[l]);
        }
        (correlation, trust)
    }
}

/// Adds `factor` times `values`.
#[inline(always)]
fn add(sum: &mut Lanes, values: &Lanes, factor: f32) {
    sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v * factor);
}

impl Fixed {
    pub(super) fn new(level: &Level) -> Self {
        let (n, size) = (level.side, level.side / BLOCKS);
        let mut samples = vec![[[0.0; BLOCKS]; 3]; n * size];
        for (plane, values) in [&level.norm, &level.slope[0], &level.slope[1]].into_iter().enumerate() {
            for (row, samples) in values.chunks_exact(n).zip(samples.chunks_exact_mut(size)) {
                for (block, values) in row.chunks_exact(size).enumerate() {
                    samples.iter_mut().zip(values).for_each(|(sample, &value)| sample[plane][block] = value);
                }
            }
        }
        let mut places = vec![[0.0; BLOCKS]; size];
        (0..n).for_each(|x| places[x % size][x / size] = at(x, n));
        let mut fixed = Self { side: n, samples, places, moments: vec![[0.0; 18]; BLOCKS * BLOCKS] };
        for row in 0..BLOCKS {
            for slopes in 0..3 {
                let sums = wide((&fixed, row * size, slopes));
                for (k, block) in (0..6 * BLOCKS).map(|i| (i / BLOCKS, i % BLOCKS)) {
                    fixed.moments[row * BLOCKS + block][6 * slopes + k] = f64::from(sums[k][block]);
                }
            }
        }
        fixed
    }

    /// A third of the moments of a row of blocks that begins at some row of samples.
    #[inline(always)]
    fn moments_of(&self, top: usize, slopes: usize) -> [Lanes; 6] {
        let mut sums = [[0.0; BLOCKS]; 6];
        let size = self.places.len();
        let (first, second) = ([1, 1, 2][slopes], [1, 2, 2][slopes]);
        for y in top..top + size {
            let v = at(y, self.side);
            for (sample, u) in self.samples[y * size..].iter().zip(&self.places) {
                for l in 0..BLOCKS {
                    let product = sample[first][l] * sample[second][l];
                    sums[0][l] += product;
                    sums[1][l] += product * u[l];
                    sums[2][l] += product * v;
                    sums[3][l] += product * (u[l] * u[l]);
                    sums[4][l] += product * (u[l] * v);
                    sums[5][l] += product * (v * v);
                }
            }
        }
        sums
    }

    /// Takes up to `steps` steps from `start`, of which `look` tells, and returns the best map met.
    pub(super) fn refine(&self, other: &Level, start: Affine, look: Look, steps: usize) -> Fit {
        let (mut map, mut look) = (start, look);
        let mut best = Fit { map, score: look.score };
        for _ in 0..steps {
            let next = look.change.and_then(|change| change.inverse()).map(|back| map.after(&back));
            let Some(next) = next.filter(plausible).filter(|next| self.samples_apart(next, &map) >= ARRIVED) else { break };
            map = next;
            look = self.look(other, &map);
            if look.score > best.score {
                best = Fit { map, score: look.score };
            }
        }
        best
    }

    /// How far apart two maps take a sample at the most, in samples.
    pub(super) fn samples_apart(&self, a: &Affine, b: &Affine) -> f32 {
        0.5 * self.side as f32 * a.apart(b)
    }

    /// How well a map fits.
    pub(super) fn look(&self, other: &Level, map: &Affine) -> Look {
        wide((self, other, map))
    }

    #[inline(always)]
    fn look_on(&self, other: &Level, map: &Affine) -> Look {
        let mut matrix = [0f64; 18];
        let (mut pull, mut agree, mut weight) = ([0f64; 6], 0f32, 0f32);
        for row in 0..BLOCKS {
            let inside = self.inside(map, row);
            if !inside.contains(&true) {
                continue;
            }
            let sums = self.sums(other, map, row);
            let (correlation, trust) = sums.correlation();
            let moments = self.moments[row * BLOCKS..].iter();
            for (block, moments) in moments.take(BLOCKS).enumerate().filter(|&(block, _)| inside[block]) {
                let aa = sums.products[1][block];
                agree += correlation[block] * aa;
                weight += aa;
                matrix.iter_mut().zip(moments).for_each(|(sum, m)| *sum += trust[block] * m);
                pull.iter_mut().zip(&sums.pull).for_each(|(sum, p)| *sum += trust[block] * f64::from(p[block]));
            }
        }
        let total: f32 = (self.side * self.side) as f32 * 0.25;
        let score = agree / (weight + 0.25 * total);
        Look { score, change: solve(&matrix, pull).map(|p| self.change(p)) }
    }

    /// The solution in steps of one sample → a map of the frame.
    fn change(&self, p: [f64; 6]) -> Affine {
        let step = 2.0 / self.side as f64;
        let p = p.map(|v| (v * step) as f32);
        Affine([1.0 + p[1], p[2], p[0], p[4], 1.0 + p[5], p[3]])
    }

    /// Which blocks of a row lie in the other picture with all four corners.
    #[inline(always)]
    fn inside(&self, map: &Affine, row: usize) -> [bool; BLOCKS] {
        let size = self.places.len();
        let (left, right) = (self.places[0], self.places[size - 1]);
        let (top, bottom) = (at(row * size, self.side), at((row + 1) * size - 1, self.side));
        let mut farthest = [0f32; BLOCKS];
        for l in 0..BLOCKS {
            for corner in [[left[l], top], [right[l], top], [left[l], bottom], [right[l], bottom]] {
                let [x, y] = map.apply(corner).map(f32::abs);
                let far = if x > y { x } else { y };
                farthest[l] = if far > farthest[l] { far } else { farthest[l] };
            }
        }
        farthest.map(|far| far <= 1.0)
    }

    /// The sums over a row of blocks.
    #[inline(always)]
    fn sums(&self, other: &Level, map: &Affine, row: usize) -> Sums {
        let (n, size) = (self.side, self.places.len());
        let half = 0.5 * n as f32;
        let (dx, dy) = (map.0[0], map.0[3]);
        let mut sums = Sums::default();
        for y in row * size..(row + 1) * size {
            let v = at(y, n);
            let (mut x0, mut y0) = ([0.0; BLOCKS], [0.0; BLOCKS]);
            for l in 0..BLOCKS {
                [x0[l], y0[l]] = map.apply([self.places[0][l], v]).map(|u| (u + 1.0) * half - 0.5);
            }
            let (mut products, mut pull) = ([[0f32; BLOCKS]; 3], [[0f32; BLOCKS]; 4]);
            for (k, ([a, across, down], u)) in self.samples[y * size..].iter().zip(&self.places).enumerate() {
                let b = samples(&other.norm, n, [&x0, &y0], [k as f32 * dx, k as f32 * dy]);
                for l in 0..BLOCKS {
                    let r = b[l] - a[l];
                    products[0][l] += a[l] * b[l];
                    products[1][l] += a[l] * a[l];
                    products[2][l] += b[l] * b[l];
                    pull[0][l] += r * across[l];
                    pull[1][l] += r * across[l] * u[l];
                    pull[2][l] += r * down[l];
                    pull[3][l] += r * down[l] * u[l];
                }
            }
            sums.products.iter_mut().zip(&products).for_each(|(sum, p)| add(sum, p, 1.0));
            let [across, across_u, down, down_u] = &pull;
            let terms = [(across, 1.0), (across_u, 1.0), (across, v), (down, 1.0), (down_u, 1.0), (down, v)];
            sums.pull.iter_mut().zip(terms).for_each(|(sum, (p, factor))| add(sum, p, factor));
        }
        sums
    }
}

impl Work for (&Fixed, &Level, &Affine) {
    type Found = Look;

    #[inline(always)]
    fn run(self) -> Look {
        self.0.look_on(self.1, self.2)
    }
}

impl Work for (&Fixed, usize, usize) {
    type Found = [Lanes; 6];

    #[inline(always)]
    fn run(self) -> [Lanes; 6] {
        self.0.moments_of(self.1, self.2)
    }
}

/// Adding this leaves no place for a fraction, and the whole number in the last 23 bits.
const WHOLE: f32 = 8_388_608.0;

/// The whole number at or below a place on a line that ends at `last`, but less than that.
#[inline(always)]
pub(super) fn below(x: f32, last: f32) -> f32 {
    let near = (x + WHOLE) - WHOLE;
    let low = if near > x { near - 1.0 } else { near };
    if low < last - 1.0 { low } else { last - 1.0 }
}

/// A whole number under 2²³ as an integer.
#[inline(always)]
pub(super) fn whole(x: f32) -> u32 {
    (x + WHOLE).to_bits() & 0x7f_ffff
}

/// Between four samples, linearly, at several places that are all shifted alike; beyond the border its value.
#[inline(always)]
pub(super) fn samples(plane: &[f32], n: usize, [x, y]: [&Lanes; 2], shift: [f32; 2]) -> Lanes {
    let (most, side) = ((n - 1) as f32, n as f32);
    let (mut p, mut q, mut corner) = ([0f32; BLOCKS], [0f32; BLOCKS], [0u32; BLOCKS]);
    for l in 0..BLOCKS {
        let (u, v) = ((x[l] + shift[0]).clamp(0.0, most), (y[l] + shift[1]).clamp(0.0, most));
        let (left, top) = (below(u, most), below(v, most));
        (p[l], q[l]) = (u - left, v - top);
        corner[l] = whole(top * side + left);
    }
    let mut four = [[0.0; BLOCKS]; 4];
    for l in 0..BLOCKS {
        let window = &plane[corner[l] as usize..][..n + 2];
        (four[0][l], four[1][l], four[2][l], four[3][l]) = (window[0], window[1], window[n], window[n + 1]);
    }
    let mut out = [0.0; BLOCKS];
    for l in 0..BLOCKS {
        let (a, b) = (four[0][l] + p[l] * (four[1][l] - four[0][l]), four[2][l] + p[l] * (four[3][l] - four[2][l]));
        out[l] = a + q[l] * (b - a);
    }
    out
}

/// Whether a map is one that copies are made by: scales from 0.5 to 2, aspects and shears of a third.
pub(super) fn plausible(map: &Affine) -> bool {
    let ([across, down], det) = (map.scales(), map.determinant());
    let within = |v: f32, most: f32| v <= most && v * most >= 1.0;
    within(across, 2.0) && within(down, 2.0) && within(across / down, 1.6) && det > 0.8 * across * down && map.sine().abs() < 0.3
}

/// Solves the normal equations; none if they are singular.
fn solve(moments: &[f64; 18], pull: [f64; 6]) -> Option<[f64; 6]> {
    let mut m = [[0f64; 7]; 6];
    // Parameters: 1, x, y of the shift across, then of the shift down; x · y at these places of the moments.
    const PRODUCT: [[usize; 3]; 3] = [[0, 1, 2], [1, 3, 4], [2, 4, 5]];
    for (i, row) in m.iter_mut().enumerate() {
        for (j, value) in row[..6].iter_mut().enumerate() {
            let pair = i / 3 + j / 3;
            *value = moments[6 * pair + PRODUCT[i % 3][j % 3]];
        }
        row[i] *= 1.0 + DAMPING;
        row[i] += 1e-9;
        row[6] = pull[i];
    }
    for k in 0..6 {
        let pivot = m[k][k];
        if pivot <= 1e-12 || !pivot.is_finite() {
            return None;
        }
        let above = m[k];
        for row in &mut m[k + 1..] {
            let factor = row[k] / pivot;
            row.iter_mut().zip(above).for_each(|(v, a)| *v -= factor * a);
        }
    }
    let mut p = [0f64; 6];
    for k in (0..6).rev() {
        let known: f64 = (k + 1..6).map(|j| m[k][j] * p[j]).sum();
        p[k] = (m[k][6] - known) / m[k][k];
    }
    Some(p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        picture::{Picture, Shape},
        similarity::register::levels::Detail,
    };

    fn noise(size: u16, seed: usize) -> Detail {
        let shape = Shape::new(size, 1).unwrap();
        let value = |i: usize| ((i + seed).wrapping_mul(2_654_435_761) >> 13) as u8;
        Detail::of(&Picture::from_samples(shape, (0..shape.len()).map(value).collect()).unwrap())
    }

    /// Between four samples, linearly; beyond the border its value.
    fn sample(plane: &[f32], n: usize, x: f32, y: f32) -> f32 {
        let most = (n - 1) as f32;
        let (x, y) = (x.clamp(0.0, most), y.clamp(0.0, most));
        let (left, top) = ((x as usize).min(n - 2), (y as usize).min(n - 2));
        let (p, q) = (x - left as f32, y - top as f32);
        let at = top * n + left;
        let (above, below) = (&plane[at..at + 2], &plane[at + n..at + n + 2]);
        let (a, b) = (above[0] + p * (above[1] - above[0]), below[0] + p * (below[1] - below[0]));
        a + q * (b - a)
    }

    #[test]
    fn eight_places_are_sampled_as_one_is() {
        for level in &noise(64, 1).levels {
            let n = level.side;
            for i in 0..4_000 {
                let place = |k: usize| ((i * 8 + k).wrapping_mul(40_503) & 0xffff) as f32 / 65_536.0 * (n + 4) as f32 - 2.0;
                let (x, y) = (std::array::from_fn(place), std::array::from_fn(|l| place(l + 9).round()));
                let shift = [place(3) - place(5), if i % 2 == 0 { 0.0 } else { place(7) }];
                let found = samples(&level.norm, n, [&x, &y], shift);
                let slow: Lanes = std::array::from_fn(|l| sample(&level.norm, n, x[l] + shift[0], y[l] + shift[1]));
                assert_eq!(found.map(f32::to_bits), slow.map(f32::to_bits), "{n} {i}");
            }
        }
    }

    #[test]
    fn wider_vectors_give_the_same_bits() {
        let (a, b) = (noise(64, 3), noise(64, 4));
        let map = Affine([0.93, 0.05, 0.1, -0.04, 0.88, -0.06]);
        for (a, b) in a.levels.iter().zip(&b.levels) {
            let fixed = Fixed::new(a);
            let (plain, fast) = (fixed.look_on(b, &map), fixed.look(b, &map));
            assert_eq!(plain.score.to_bits(), fast.score.to_bits());
            assert!(plain.change.is_some() && plain.change == fast.change);
        }
    }
}
