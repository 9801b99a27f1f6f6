//! A Picture → what registration reads of it: an outline, and in detail a pyramid of luma,
//! normalised locally, and coarse chroma.
//!
//! Luma is (R + 2G + B) / 4 (the Y of YCoCg, Malvar and Sullivan 2003). A level is the mean of 2 ×
//! 2 samples of the one below it, which is the LL band of the Haar transform up to its scale. Each
//! level is made free of brightness and contrast in windows of 7 × 7: n = (y − μ) / √(σ² + c²)
//! (divisive normalisation, as in Mittal et al. 2012, "No-reference image quality assessment in the
//! spatial domain", equation 1).

use twox_hash::XxHash3_128;

use super::{
    affine::Turn,
    templates::{FROM, Templates, window},
    wide::{Work, wide},
};
use crate::picture::Picture;

/// The side of the coarsest level.
pub(super) const COARSE: usize = 16;
/// The side of the finest level, at most.
pub(super) const FINE: usize = 64;
/// Half the side of the window of normalisation.
pub(super) const RADIUS: usize = 3;
/// The contrast, in grey levels, below which normalisation fades structure out.
pub(super) const NOISE: f32 = 4.0;

/// One level of the pyramid.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) side: usize,
    pub(super) luma: Vec<f32>,
    /// Locally normalised luma.
    pub(super) norm: Vec<f32>,
}

impl Level {
    fn new(luma: Vec<f32>, side: usize) -> Self {
        Self {
            side,
            norm: normalise(&luma, side),
            luma,
        }
    }

    fn turned(&self, turn: Turn) -> Self {
        Self {
            side: self.side,
            luma: turn.of(&self.luma, self.side),
            norm: turn.of(&self.norm, self.side),
        }
    }
}

/// What tells whether a pair is worth aligning, and where to start: about 2.7 KB a picture.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The hash of the picture's samples, by which pairs are put in order.
    pub(super) key: u128,
    /// For the search of starts.
    pub(super) templates: Templates,
}

impl Outline {
    /// Of a picture of any shape.
    #[must_use]
    pub fn of(picture: &Picture) -> Self {
        let (luma, fine) = luma(picture);
        Self {
            key: XxHash3_128::oneshot(picture.samples()),
            templates: Templates::new(&resample(&luma, fine, FROM)),
        }
    }

    /// The outline of the turned picture, but for the key.
    pub(super) fn turned(&self, turn: Turn) -> Self {
        Self {
            key: self.key,
            templates: self.templates.turned(turn),
        }
    }
}

/// What a pair is aligned and compared by: about 12 KB for a picture of 32 × 32, 45 KB for one of
/// 64 × 64.
#[derive(Debug, Clone)]
pub struct Detail {
    /// From coarse to fine; two levels at least.
    pub(super) levels: Vec<Level>,
    /// Orange (R − B) and green (G − (R + B) / 2), each [`COARSE`] × [`COARSE`].
    pub(super) chroma: [Vec<f32>; 2],
}

impl Detail {
    /// Of a picture of any shape. Pictures of more than 48 samples a side are compared at 64 × 64,
    /// others at 32 × 32.
    #[must_use]
    pub fn of(picture: &Picture) -> Self {
        let size = usize::from(picture.shape().size);
        let chroma = match planes(picture)[..] {
            [r, g, b] => [
                zip3(r, g, b, |r, _, b| r - b),
                zip3(r, g, b, |r, g, b| g - 0.5 * (r + b)),
            ],
            _ => [const { Vec::new() }; 2],
        };
        let chroma = chroma.map(|plane| {
            if plane.is_empty() {
                vec![0.0; COARSE * COARSE]
            } else {
                resample(&plane, size, COARSE)
            }
        });
        let (mut plane, mut side) = luma(picture);
        let mut levels = Vec::new();
        while side > COARSE {
            let next = halve(&plane, side);
            levels.push(Level::new(plane, side));
            (plane, side) = (next, side / 2);
        }
        levels.push(Level::new(plane, side));
        levels.reverse();
        Self { levels, chroma }
    }

    /// The same picture, turned; nothing is computed anew.
    pub(super) fn turned(&self, turn: Turn) -> Self {
        Self {
            levels: self.levels.iter().map(|level| level.turned(turn)).collect(),
            chroma: self.chroma.each_ref().map(|plane| turn.of(plane, COARSE)),
        }
    }
}

/// What registration reads of a picture.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What is read of every pair.
    pub outline: Outline,
    /// What is read of a pair that is worth it.
    pub detail: Detail,
}

impl Prepared {
    /// Prepares a picture of any shape.
    #[must_use]
    pub fn of(picture: &Picture) -> Self {
        Self {
            outline: Outline::of(picture),
            detail: Detail::of(picture),
        }
    }
}

fn planes(picture: &Picture) -> Vec<&[u8]> {
    (0..usize::from(picture.shape().planes))
        .map(|i| picture.plane(i))
        .collect()
}

/// The luma at the finest level, and its side.
fn luma(picture: &Picture) -> (Vec<f32>, usize) {
    let size = usize::from(picture.shape().size);
    let fine = if size > 48 { FINE } else { FINE / 2 };
    let luma = match planes(picture)[..] {
        [r, g, b] => zip3(r, g, b, |r, g, b| (r + g + g + b) * 0.25),
        _ => picture.plane(0).iter().map(|&v| f32::from(v)).collect(),
    };
    (resample(&luma, size, fine), fine)
}

fn zip3(a: &[u8], b: &[u8], c: &[u8], f: impl Fn(f32, f32, f32) -> f32) -> Vec<f32> {
    a.iter()
        .zip(b)
        .zip(c)
        .map(|((&a, &b), &c)| f(f32::from(a), f32::from(b), f32::from(c)))
        .collect()
}

/// Means of 2 × 2.
fn halve(plane: &[f32], side: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(side * side / 4);
    for rows in plane.chunks_exact(2 * side) {
        let (above, below) = rows.split_at(side);
        out.extend(
            above
                .chunks_exact(2)
                .zip(below.chunks_exact(2))
                .map(|(a, b)| ((a[0] + a[1]) + (b[0] + b[1])) * 0.25),
        );
    }
    out
}

/// A square plane at another side.
fn resample(plane: &[f32], from: usize, to: usize) -> Vec<f32> {
    match from {
        _ if from == to => plane.to_vec(),
        _ if from == 2 * to => halve(plane, from),
        _ => resample_to(plane, from, to),
    }
}

/// A square plane at another side: the mean of the area under each sample; between samples where
/// there are more than before.
fn resample_to(plane: &[f32], from: usize, to: usize) -> Vec<f32> {
    let taps = Taps::new(from, to);
    taps.down(&taps.across(&transposed(plane, from)), to)
}

/// A plane of rows of some width → its columns, one after another; and back.
fn transposed(plane: &[f32], width: usize) -> Vec<f32> {
    let mut columns = Vec::with_capacity(plane.len());
    (0..width).for_each(|x| columns.extend(plane[x..].iter().step_by(width)));
    columns
}

/// What makes the samples of a line of another length.
pub(super) struct Taps {
    from: usize,
    /// For each sample those that it is made of, with weights of sum one.
    of: Vec<Vec<(usize, f32)>>,
}

impl Taps {
    pub(super) fn new(from: usize, to: usize) -> Self {
        Self {
            from,
            of: (0..to).map(|i| taps(i, from, to)).collect(),
        }
    }

    /// A plane of rows of the old length, given by columns: its rows made of the new one.
    fn across(&self, columns: &[f32]) -> Vec<f32> {
        let rows = columns.len() / self.from;
        transposed(&self.down(columns, rows), rows)
    }

    /// A plane of the old number of rows of some width, made of the new number.
    fn down(&self, plane: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; width * self.of.len()];
        for (row, taps) in out.chunks_exact_mut(width).zip(&self.of) {
            for &(at, weight) in taps {
                row.iter_mut()
                    .zip(&plane[at * width..])
                    .for_each(|(out, v)| *out += v * weight);
            }
        }
        out
    }

    /// The same of rows of one length.
    #[inline(always)]
    pub(super) fn reduce<const W: usize>(&self, plane: &[[f32; W]], out: &mut [[f32; W]]) {
        for (out, taps) in out.iter_mut().zip(&self.of) {
            let mut sums = [0.0; W];
            for &(at, weight) in taps {
                sums.iter_mut()
                    .zip(&plane[at])
                    .for_each(|(sum, v)| *sum += v * weight);
            }
            *out = sums;
        }
    }

    /// Sample `i` of a line of the new length, by the definition.
    #[cfg(test)]
    pub(super) fn at(&self, i: usize, line: impl Fn(usize) -> f32) -> f32 {
        self.of[i]
            .iter()
            .map(|&(at, weight)| line(at) * weight)
            .sum()
    }
}

/// Which samples of `from` make sample `i` of `to`, with weights of sum one: a triangle when
/// enlarging, a box when reducing.
fn taps(i: usize, from: usize, to: usize) -> Vec<(usize, f32)> {
    let step = from as f32 / to as f32;
    if step < 1.0 {
        let at = ((i as f32 + 0.5) * step - 0.5).clamp(0.0, (from - 1) as f32);
        let low = (at as usize).min(from - 2);
        let part = at - low as f32;
        return vec![(low, 1.0 - part), (low + 1, part)];
    }
    let (start, end) = (i as f32 * step, (i + 1) as f32 * step);
    let covered = |at: usize| ((at + 1) as f32).min(end) - (at as f32).max(start);
    (start as usize..from)
        .map(|at| (at, covered(at) / step))
        .take_while(|tap| tap.1 > 0.0)
        .collect()
}

/// (y − μ) / √(σ² + c²) in windows, of a square plane of the side of a level.
fn normalise(luma: &[f32], side: usize) -> Vec<f32> {
    let mut out = vec![0.0; luma.len()];
    match side {
        COARSE => wide(Side::<COARSE, { COARSE + MARGIN }>(luma, &mut out)),
        FINE => wide(Side::<FINE, { FINE + MARGIN }>(luma, &mut out)),
        _ => wide(Side::<{ FINE / 2 }, { FINE / 2 + MARGIN }>(luma, &mut out)),
    }
    out
}

/// Zeros around a plane: those that windows reach, in whole lanes.
const MARGIN: usize = 8;

/// A plane of side N that is normalised, N and its margin.
struct Side<'a, const N: usize, const WIDE: usize>(&'a [f32], &'a mut [f32]);

impl<const N: usize, const WIDE: usize> Work for Side<'_, N, WIDE> {
    type Found = ();

    #[inline(always)]
    fn run(self) {
        const { assert!(WIDE >= N + 2 * RADIUS) };
        let (luma, out) = (self.0.as_chunks::<N>().0, self.1.as_chunks_mut::<N>().0);
        let mut across = [[[0.0; N]; WIDE]; 2];
        let mut lines = [[0.0; WIDE]; 2];
        for (y, row) in luma[..N].iter().enumerate() {
            for x in 0..N {
                lines[0][RADIUS + x] = row[x];
                lines[1][RADIUS + x] = row[x] * row[x];
            }
            for x in 0..N {
                across[0][RADIUS + y][x] = window(|k| lines[0][x + k]);
                across[1][RADIUS + y][x] = window(|k| lines[1][x + k]);
            }
        }
        // Samples of a line that are in the window around one of them.
        let inside = |at: usize| ((at + RADIUS + 1).min(N) - at.saturating_sub(RADIUS)) as f32;
        let mut columns = [0.0; N];
        columns
            .iter_mut()
            .enumerate()
            .for_each(|(x, column)| *column = inside(x));
        for (y, (luma, out)) in luma[..N].iter().zip(&mut out[..N]).enumerate() {
            let rows = inside(y);
            for x in 0..N {
                let [sum, square] = [
                    window(|k| across[0][y + k][x]),
                    window(|k| across[1][y + k][x]),
                ];
                let n = columns[x] * rows;
                let mean = sum / n;
                let variance = square / n - mean * mean;
                let variance = if variance > 0.0 { variance } else { 0.0 };
                out[x] = (luma[x] - mean) / (variance + NOISE * NOISE).sqrt();
            }
        }
    }
}
