//! An affine map that nearly aligns two levels → one that aligns them better, by Gauss–Newton steps.
//!
//! Inverse compositional alignment (Baker and Matthews 2004, "Lucas-Kanade 20 years on: a unifying framework", IJCV 56(3), section 3.2): the
//! slopes are those of the first picture, so the normal equations of a block of samples are the same in every step. What changes is the weight
//! of a block, which is the square of its correlation: blocks that disagree (a logo, a caption) do not pull (iteratively reweighted, section
//! 4.2 of part 2 of the same authors).

use super::{affine::Affine, levels::Level};

/// Blocks along a side.
const BLOCKS: usize = 8;
/// A step may leave the normal equations this far from singular: their diagonal is raised by this share.
const DAMPING: f64 = 1e-3;

/// The weighted sums of slope products over one block: of across², across · down, down², each times 1, x, y, x², xy, y².
type Moments = [f32; 18];

/// A level as the fixed side of an alignment.
pub(super) struct Fixed<'a> {
    level: &'a Level,
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

/// The sums over one block of one step.
#[derive(Default, Clone, Copy)]
struct Sums {
    products: [f32; 3],
    pull: [f32; 6],
}

/// Where sample `i` of `n` lies in [−1, 1].
pub(super) fn at(i: usize, n: usize) -> f32 {
    (2 * i + 1) as f32 / n as f32 - 1.0
}

impl<'a> Fixed<'a> {
    pub(super) fn new(level: &'a Level) -> Self {
        let mut moments = vec![[0.0; 18]; BLOCKS * BLOCKS];
        let (n, size) = (level.side, level.side / BLOCKS);
        for i in 0..n * n {
            let (x, y) = (i % n, i / n);
            let [across, down] = [level.slope[0][i], level.slope[1][i]];
            let (u, v) = (at(x, n), at(y, n));
            let basis = [1.0, u, v, u * u, u * v, v * v];
            let block = &mut moments[y / size * BLOCKS + x / size];
            for (k, product) in [across * across, across * down, down * down].into_iter().enumerate() {
                block[6 * k..][..6].iter_mut().zip(basis).for_each(|(sum, b)| *sum += product * b);
            }
        }
        Self { level, moments }
    }

    /// Takes up to `steps` steps from `start`, of which `look` tells, and returns the best map met.
    pub(super) fn refine(&self, other: &Level, start: Affine, look: Look, steps: usize) -> Fit {
        let (mut map, mut look) = (start, look);
        let mut best = Fit { map, score: look.score };
        for _ in 0..steps {
            let next = look.change.and_then(|change| change.inverse()).map(|back| map.after(&back));
            let Some(next) = next.filter(plausible) else { break };
            map = next;
            look = self.look(other, &map);
            if look.score > best.score {
                best = Fit { map, score: look.score };
            }
        }
        best
    }

    /// How well a map fits.
    pub(super) fn look(&self, other: &Level, map: &Affine) -> Look {
        let mut matrix = [0f64; 18];
        let (mut pull, mut agree, mut weight) = ([0f64; 6], 0f32, 0f32);
        for block in 0..BLOCKS * BLOCKS {
            let Some(sums) = self.block(other, map, block) else { continue };
            let [ab, aa, bb] = sums.products;
            let energy = (aa * bb).sqrt();
            let correlation = if energy > 0.0 { (ab / energy).clamp(0.0, 1.0) } else { 0.0 };
            agree += correlation * aa;
            weight += aa;
            let trust = f64::from(correlation * correlation);
            matrix.iter_mut().zip(&self.moments[block]).for_each(|(sum, m)| *sum += trust * f64::from(*m));
            pull.iter_mut().zip(&sums.pull).for_each(|(sum, p)| *sum += trust * f64::from(*p));
        }
        let total: f32 = self.level.norm.len() as f32 * 0.25;
        let score = agree / (weight + 0.25 * total);
        Look { score, change: solve(&matrix, pull).map(|p| self.change(p)) }
    }

    /// The solution in steps of one sample → a map of the frame.
    fn change(&self, p: [f64; 6]) -> Affine {
        let step = 2.0 / self.level.side as f64;
        let p = p.map(|v| (v * step) as f32);
        Affine([1.0 + p[1], p[2], p[0], p[4], 1.0 + p[5], p[3]])
    }

    /// The sums over a block, if all of it lies in the other picture.
    fn block(&self, other: &Level, map: &Affine, block: usize) -> Option<Sums> {
        let n = self.level.side;
        let size = n / BLOCKS;
        let (left, top) = (block % BLOCKS * size, block / BLOCKS * size);
        let corners = [[left, top], [left + size - 1, top], [left, top + size - 1], [left + size - 1, top + size - 1]];
        let inside = |[x, y]: [usize; 2]| map.apply([at(x, n), at(y, n)]).iter().all(|u| u.abs() <= 1.0);
        if !corners.into_iter().all(inside) {
            return None;
        }
        let mut sums = Sums::default();
        for y in top..top + size {
            self.row(other, map, [left, y], size, &mut sums);
        }
        Some(sums)
    }

    fn row(&self, other: &Level, map: &Affine, [left, y]: [usize; 2], size: usize, sums: &mut Sums) {
        let n = self.level.side;
        let half = 0.5 * n as f32;
        let v = at(y, n);
        let [x0, y0] = map.apply([at(left, n), v]).map(|u| (u + 1.0) * half - 0.5);
        let (dx, dy) = (map.0[0], map.0[3]);
        let from = y * n + left;
        let fixed = self.level.norm[from..][..size].iter();
        let slopes = self.level.slope[0][from..][..size].iter().zip(&self.level.slope[1][from..][..size]);
        let (mut products, mut pull) = ([0f32; 3], [0f32; 4]);
        for (k, (&a, (&across, &down))) in fixed.zip(slopes).enumerate() {
            let b = sample(&other.norm, n, x0 + k as f32 * dx, y0 + k as f32 * dy);
            let (u, r) = (at(left + k, n), b - a);
            let terms = [a * b, a * a, b * b];
            products.iter_mut().zip(terms).for_each(|(sum, t)| *sum += t);
            let terms = [r * across, r * across * u, r * down, r * down * u];
            pull.iter_mut().zip(terms).for_each(|(sum, t)| *sum += t);
        }
        sums.products.iter_mut().zip(products).for_each(|(sum, p)| *sum += p);
        let [p, pu, q, qu] = pull;
        sums.pull.iter_mut().zip([p, pu, p * v, q, qu, q * v]).for_each(|(sum, p)| *sum += p);
    }
}

/// Between four samples, linearly; beyond the border its value.
pub(super) fn sample(plane: &[f32], n: usize, x: f32, y: f32) -> f32 {
    let most = (n - 1) as f32;
    let (x, y) = (x.clamp(0.0, most), y.clamp(0.0, most));
    let (left, top) = ((x as usize).min(n - 2), (y as usize).min(n - 2));
    let (p, q) = (x - left as f32, y - top as f32);
    let at = top * n + left;
    let (above, below) = (&plane[at..at + 2], &plane[at + n..at + n + 2]);
    let (a, b) = (above[0] + p * (above[1] - above[0]), below[0] + p * (below[1] - below[0]));
    a + q * (b - a)
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
