//! An affine map that nearly aligns two levels → one that aligns them better, by Gauss–Newton
//! steps.
//!
//! Inverse compositional alignment (Baker and Matthews 2004, "Lucas-Kanade 20 years on: a unifying
//! framework", IJCV 56(3), section 3.2): the slopes are those of the first picture, so the normal
//! equations of a block of samples are the same in every step. What changes is the weight of a
//! block, which is the square of its correlation: blocks that disagree (a logo, a caption) do not
//! pull (iteratively reweighted, section 4.2 of part 2 of the same authors).
//!
//! What is summed over blocks at a map is summed in `sums`. The moments, too, are those of the
//! eight blocks of a row side by side.

use super::{
    affine::Affine,
    at,
    levels::Level,
    samples::Lanes,
    sums::{BLOCKS, Blocks},
    wide::{Work, wide},
};

/// A step may leave the normal equations this far from singular: their diagonal is raised by this
/// share.
const DAMPING: f64 = 1e-3;
/// A step that moves no sample by this share of one is not taken: refinement has arrived.
const ARRIVED: f32 = 1.0 / 16.0;

/// The weighted sums of slope products over one block: of across², across · down, down², each times
/// 1, x, y, x², xy, y².
type Moments = [f64; 18];

/// A level as the fixed side of an alignment.
#[derive(Default)]
pub(super) struct Fixed {
    blocks: Blocks,
    moments: Vec<Moments>,
}

/// Where refinement has come to: the map, and the correlation over the blocks that take part, the
/// weights counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) map: Affine,
    pub(super) score: f32,
}

/// What is seen at a map: its score, and the normal equations of the change of the first frame that
/// would bring it nearer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) score: f32,
    matrix: Moments,
    pull: [f64; 6],
}

impl Fixed {
    /// Becomes another level.
    pub(super) fn fill(&mut self, level: &Level) {
        self.blocks.fill(level);
        self.moments.resize(BLOCKS * BLOCKS, [0.0; 18]);
        for row in 0..BLOCKS {
            let sums = wide((&self.blocks, row * level.side / BLOCKS));
            for (block, moments) in self.moments[row * BLOCKS..][..BLOCKS]
                .iter_mut()
                .enumerate()
            {
                for (moment, sums) in moments.iter_mut().zip(&sums) {
                    *moment = f64::from(sums[block]);
                }
            }
        }
    }

    /// Takes up to `steps` steps from `start`, of which `look` tells, and returns the best map met.
    pub(super) fn refine(&self, other: &Level, start: Affine, look: Look, steps: usize) -> Fit {
        let (mut map, mut look) = (start, look);
        let mut best = Fit {
            map,
            score: look.score,
        };
        for step in 1..=steps {
            let next = self
                .change(&look)
                .and_then(|change| change.inverse())
                .map(|back| map.after(&back));
            let Some(next) = next
                .filter(plausible)
                .filter(|next| self.samples_apart(next, &map) >= ARRIVED)
            else {
                break;
            };
            map = next;
            look = wide((self, other, &map, step < steps));
            if look.score > best.score {
                best = Fit {
                    map,
                    score: look.score,
                };
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
        wide((self, other, map, true))
    }

    /// The same; the equations are left out if no step is to follow.
    #[inline(always)]
    fn look_on(&self, other: &Level, map: &Affine, more: bool) -> Look {
        let mut matrix = [0f64; 18];
        let (mut pull, mut agree, mut weight) = ([0f64; 6], 0f32, 0f32);
        for row in (0..BLOCKS).step_by(2) {
            let inside = [self.inside(map, row), self.inside(map, row + 1)];
            if !inside.as_flattened().contains(&true) {
                continue;
            }
            let both = self.blocks.sums(other, map, row, more);
            for (half, sums) in both.iter().enumerate() {
                let (correlation, trust) = sums.correlation();
                let moments = &self.moments[(row + half) * BLOCKS..][..BLOCKS];
                let pulls = if more {
                    sums.pulls()
                } else {
                    [[0.0; 6]; BLOCKS]
                };
                for block in 0..BLOCKS {
                    if inside[half][block] {
                        let aa = sums.products[1][block];
                        agree += correlation[block] * aa;
                        weight += aa;
                        if more {
                            matrix
                                .iter_mut()
                                .zip(&moments[block])
                                .for_each(|(sum, m)| *sum += trust[block] * m);
                            pull.iter_mut()
                                .zip(&pulls[block])
                                .for_each(|(sum, p)| *sum += trust[block] * f64::from(*p));
                        }
                    }
                }
            }
        }
        let total: f32 = (self.blocks.side * self.blocks.side) as f32 * 0.25;
        Look {
            score: agree / (weight + 0.25 * total),
            matrix,
            pull,
        }
    }

    /// The solution of the equations, in steps of one sample → a map of the frame; none if they are
    /// singular.
    fn change(&self, look: &Look) -> Option<Affine> {
        let step = 2.0 / self.blocks.side as f64;
        let p = solve(&look.matrix, look.pull)?.map(|v| (v * step) as f32);
        Some(Affine([1.0 + p[1], p[2], p[0], p[4], 1.0 + p[5], p[3]]))
    }

    /// Which blocks of a row lie in the other picture with all four corners.
    #[inline(always)]
    fn inside(&self, map: &Affine, row: usize) -> [bool; BLOCKS] {
        let size = self.blocks.places.len();
        let (left, right) = (self.blocks.places[0], self.blocks.places[size - 1]);
        let (top, bottom) = (
            at(row * size, self.blocks.side),
            at((row + 1) * size - 1, self.blocks.side),
        );
        let mut farthest = [0f32; BLOCKS];
        for l in 0..BLOCKS {
            for corner in [
                [left[l], top],
                [right[l], top],
                [left[l], bottom],
                [right[l], bottom],
            ] {
                let [x, y] = map.apply(corner).map(f32::abs);
                let far = if x > y { x } else { y };
                farthest[l] = if far > farthest[l] { far } else { farthest[l] };
            }
        }
        farthest.map(|far| far <= 1.0)
    }
}

impl Work for (&Fixed, &Level, &Affine, bool) {
    type Found = Look;

    #[inline(always)]
    fn run(self) -> Look {
        self.0.look_on(self.1, self.2, self.3)
    }
}

/// The moments of a row of blocks that begins at some row of samples.
impl Work for (&Blocks, usize) {
    type Found = [Lanes; 18];

    #[inline(always)]
    fn run(self) -> [Lanes; 18] {
        let (
            Blocks {
                side,
                samples,
                places,
            },
            top,
        ) = self;
        let mut sums = [[0.0; BLOCKS]; 18];
        for y in top..top + places.len() {
            let v = at(y, *side);
            for ([_, across, down], u) in samples[y * places.len()..].iter().zip(places) {
                let (square, both) = (times(u, u), times(u, &[v; BLOCKS]));
                for (slopes, (first, second)) in [(across, across), (across, down), (down, down)]
                    .into_iter()
                    .enumerate()
                {
                    let product = times(first, second);
                    let terms = [
                        &[1.0; BLOCKS],
                        u,
                        &[v; BLOCKS],
                        &square,
                        &both,
                        &[v * v; BLOCKS],
                    ];
                    for (sum, factors) in sums[6 * slopes..].iter_mut().zip(terms) {
                        add(sum, &times(&product, factors));
                    }
                }
            }
        }
        sums
    }
}

/// The products, lane by lane.
#[inline(always)]
fn times(a: &Lanes, b: &Lanes) -> Lanes {
    let mut products = [0.0; BLOCKS];
    for l in 0..BLOCKS {
        products[l] = a[l] * b[l];
    }
    products
}

/// Adds lane by lane. That products are taken before, and each sum has its own loop, lets the
/// compiler make vectors of them.
#[inline(always)]
fn add(sum: &mut Lanes, values: &Lanes) {
    for l in 0..BLOCKS {
        sum[l] += values[l];
    }
}

/// Whether a map is one that copies are made by: scales from 0.5 to 2, aspects and shears of a
/// third.
pub(super) fn plausible(map: &Affine) -> bool {
    let ([across, down], det) = (map.scales(), map.determinant());
    let within = |v: f32, most: f32| v <= most && v * most >= 1.0;
    within(across, 2.0)
        && within(down, 2.0)
        && within(across / down, 1.6)
        && det > 0.8 * across * down
        && map.sine().abs() < 0.3
}

/// Solves the normal equations; none if they are singular.
fn solve(moments: &Moments, pull: [f64; 6]) -> Option<[f64; 6]> {
    let mut m = [[0f64; 7]; 6];
    // Parameters: 1, x, y of the shift across, then of the shift down; x · y at these places of the
    // moments.
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
            row.iter_mut()
                .zip(above)
                .for_each(|(v, a)| *v -= factor * a);
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
            let mut fixed = Fixed::default();
            fixed.fill(a);
            let (plain, fast) = (fixed.look_on(b, &map, true), fixed.look(b, &map));
            assert_eq!(plain.score.to_bits(), fast.score.to_bits());
            assert!(plain == fast && fixed.change(&fast).is_some());
            assert_eq!(
                plain.score.to_bits(),
                fixed.look_on(b, &map, false).score.to_bits()
            );
        }
    }
}
