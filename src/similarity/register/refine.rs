//! An affine map that nearly aligns two levels → one that aligns them better, by Gauss–Newton steps.
//!
//! Inverse compositional alignment (Baker and Matthews 2004, "Lucas-Kanade 20 years on: a unifying framework", IJCV 56(3), section 3.2): the
//! slopes are those of the first picture, so the normal equations of a block of samples are the same in every step. What changes is the weight
//! of a block, which is the square of its correlation: blocks that disagree (a logo, a caption) do not pull (iteratively reweighted, section
//! 4.2 of part 2 of the same authors).
//!
//! What is summed over blocks at a map is summed in `sums`. The moments, too, are those of the eight blocks of a row side by side.

use super::{
    affine::Affine,
    at,
    levels::Level,
    samples::Lanes,
    sums::{BLOCKS, Blocks},
    wide::{Work, wide},
};

/// A step may leave the normal equations this far from singular: their diagonal is raised by this share.
const DAMPING: f64 = 1e-3;
/// A step that moves no sample by this share of one is not taken: refinement has arrived.
const ARRIVED: f32 = 1.0 / 16.0;

/// The weighted sums of slope products over one block: of across², across · down, down², each times 1, x, y, x², xy, y².
type Moments = [f64; 18];

/// A level as the fixed side of an alignment.
pub(super) struct Fixed {
    blocks: Blocks,
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

impl Fixed {
    pub(super) fn new(level: &Level) -> Self {
        let blocks = Blocks::of(level);
        let size = level.side / BLOCKS;
        let mut fixed = Self { blocks, moments: vec![[0.0; 18]; BLOCKS * BLOCKS] };
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
        let size = self.blocks.places.len();
        let (first, second) = ([1, 1, 2][slopes], [1, 2, 2][slopes]);
        for y in top..top + size {
            let v = at(y, self.blocks.side);
            for (sample, u) in self.blocks.samples[y * size..].iter().zip(&self.blocks.places) {
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
        0.5 * self.blocks.side as f32 * a.apart(b)
    }

    /// How well a map fits.
    pub(super) fn look(&self, other: &Level, map: &Affine) -> Look {
        wide((self, other, map))
    }

    #[inline(always)]
    fn look_on(&self, other: &Level, map: &Affine) -> Look {
        let mut matrix = [0f64; 18];
        let (mut pull, mut agree, mut weight) = ([0f64; 6], 0f32, 0f32);
        for row in (0..BLOCKS).step_by(2) {
            let inside = [self.inside(map, row), self.inside(map, row + 1)];
            if !inside.as_flattened().contains(&true) {
                continue;
            }
            let both = self.blocks.sums(other, map, row);
            for (half, sums) in both.iter().enumerate() {
                let (correlation, trust) = sums.correlation();
                let moments = self.moments[(row + half) * BLOCKS..].iter();
                for (block, moments) in moments.take(BLOCKS).enumerate().filter(|&(block, _)| inside[half][block]) {
                    let aa = sums.products[1][block];
                    agree += correlation[block] * aa;
                    weight += aa;
                    matrix.iter_mut().zip(moments).for_each(|(sum, m)| *sum += trust[block] * m);
                    pull.iter_mut().zip(&sums.pull).for_each(|(sum, p)| *sum += trust[block] * f64::from(p[block]));
                }
            }
        }
        let total: f32 = (self.blocks.side * self.blocks.side) as f32 * 0.25;
        let score = agree / (weight + 0.25 * total);
        Look { score, change: solve(&matrix, pull).map(|p| self.change(p)) }
    }

    /// The solution in steps of one sample → a map of the frame.
    fn change(&self, p: [f64; 6]) -> Affine {
        let step = 2.0 / self.blocks.side as f64;
        let p = p.map(|v| (v * step) as f32);
        Affine([1.0 + p[1], p[2], p[0], p[4], 1.0 + p[5], p[3]])
    }

    /// Which blocks of a row lie in the other picture with all four corners.
    #[inline(always)]
    fn inside(&self, map: &Affine, row: usize) -> [bool; BLOCKS] {
        let size = self.blocks.places.len();
        let (left, right) = (self.blocks.places[0], self.blocks.places[size - 1]);
        let (top, bottom) = (at(row * size, self.blocks.side), at((row + 1) * size - 1, self.blocks.side));
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
    use crate::similarity::register::samples::tests::noise;

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
