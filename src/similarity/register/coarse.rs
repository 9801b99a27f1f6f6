//! Two prepared pictures → the places from which refinement starts: one picture, shrunk, slid over the other.
//!
//! Either picture may be the part of the other, so both are tried in both roles; every size of [`EIGHTHS`] at every offset, an overhang
//! included. The measure is the normalised correlation of locally normalised luma, in integers. At N = 16 it gives starts, at N = 8 it is the
//! sketch of the prefilter.

use std::sync::LazyLock;

use super::{
    affine::{Affine, Turn},
    levels::{COARSE, Local, SKETCH, Taps, normalise, transposed},
    slide::{Frame, Slid},
};

/// Width and height, in eighths, of a picture that lies inside another: scales 1, 7/8, 3/4, 5/8, and aspects up to 4 : 3.
const EIGHTHS: [[usize; 2]; 12] = [[8, 8], [7, 7], [6, 6], [5, 5], [8, 7], [7, 8], [7, 6], [6, 7], [6, 5], [5, 6], [8, 6], [6, 8]];
/// What normalised luma is multiplied by, to be an integer under 2⁷.
const STEPS: f32 = 32.0;
/// What makes five to eight eighths of N of twice N samples.
static TO_SKETCH: LazyLock<[Taps; 4]> = LazyLock::new(|| taps(SKETCH));
static TO_COARSE: LazyLock<[Taps; 4]> = LazyLock::new(|| taps(COARSE));

fn taps(n: usize) -> [Taps; 4] {
    std::array::from_fn(|i| Taps::new(2 * n, (i + 5) * n / 8))
}

/// A picture at all sizes of [`EIGHTHS`], one after another: rows of N integers, those beyond a template's width zero.
#[derive(Debug, Clone)]
pub(super) struct Templates<const N: usize> {
    rows: Vec<[i8; N]>,
    energies: [i32; EIGHTHS.len()],
}

impl<const N: usize> Templates<N> {
    /// Of a square plane of luma of 2 N samples a side.
    pub(super) fn new(luma: &[f32], local: &mut Local) -> Self {
        let mut rows = Vec::with_capacity(first_row::<N>(EIGHTHS.len()));
        // Of every length that occurs: what makes it, and the plane at that width.
        let taps = if N == SKETCH { &TO_SKETCH } else { &TO_COARSE };
        let columns = transposed(luma, 2 * N);
        let across = taps.each_ref().map(|taps| taps.across(&columns));
        let mut norm = Vec::with_capacity(N * N);
        for [width, height] in EIGHTHS {
            let samples = width * N / 8;
            norm.clear();
            normalise(&taps[height - 5].down(&across[width - 5], samples), samples, local, &mut norm);
            rows.extend(norm.chunks_exact(samples).map(row));
        }
        Self::of_rows(rows)
    }

    fn of_rows(rows: Vec<[i8; N]>) -> Self {
        let mut templates = Self { rows, energies: [0; EIGHTHS.len()] };
        templates.energies = std::array::from_fn(|i| dot(templates.template(i), templates.template(i)));
        templates
    }

    /// The rows of the template of a size.
    fn template(&self, size: usize) -> &[[i8; N]] {
        &self.rows[first_row::<N>(size)..first_row::<N>(size + 1)]
    }

    /// Those of the turned picture.
    pub(super) fn turned(&self, turn: Turn) -> Self {
        let sideways = turn.quarters() % 2 == 1;
        let mut rows = Vec::with_capacity(self.rows.len());
        for [width, height] in EIGHTHS {
            let before = if sideways { [height, width] } else { [width, height] };
            let source = EIGHTHS.iter().position(|&eighths| eighths == before).unwrap_or(0);
            rows.extend(turned_rows(self.template(source), turn, before.map(|n| n * N / 8)));
        }
        Self::of_rows(rows)
    }
}

/// Where the rows of a template begin.
fn first_row<const N: usize>(size: usize) -> usize {
    EIGHTHS[..size].iter().map(|[_, height]| height * N / 8).sum()
}

/// The rows of a turned template of some width and height.
fn turned_rows<const N: usize>(rows: &[[i8; N]], turn: Turn, [width, height]: [usize; 2]) -> Vec<[i8; N]> {
    let mut turned = vec![[0; N]; if turn.quarters() % 2 == 1 { width } else { height }];
    for (y, row) in rows.iter().enumerate() {
        for (x, &value) in row[..width].iter().enumerate() {
            let x = if turn.mirrors() { width - 1 - x } else { x };
            let [x, y] = match turn.quarters() {
                0 => [x, y],
                1 => [y, width - 1 - x],
                2 => [width - 1 - x, height - 1 - y],
                _ => [height - 1 - y, x],
            };
            turned[y][x] = value;
        }
    }
    turned
}

fn row<const N: usize>(values: &[f32]) -> [i8; N] {
    let mut row = [0; N];
    row.iter_mut().zip(values).for_each(|(out, v)| *out = (v * STEPS).clamp(-127.0, 127.0) as i8);
    row
}

/// A place to start from: the map from the frame of the first picture to that of the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) map: Affine,
    pub(super) score: f32,
}

/// The best place for every size and role, best first.
pub(super) fn starts<const N: usize>(a: &Templates<N>, b: &Templates<N>) -> Vec<Start> {
    let mut all: Vec<Start> = inside(a, b).collect();
    all.extend(inside(b, a).skip(1).filter_map(|start| Some(Start { map: start.map.inverse()?, ..start })));
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The score where both lie as they are.
pub(super) fn score_in_place<const N: usize>(a: &Templates<N>, b: &Templates<N>) -> f32 {
    let dot = dot(a.template(0), b.template(0));
    let energy = (a.energies[0] as f32 * b.energies[0] as f32).sqrt();
    if dot > 0 { dot as f32 / energy } else { 0.0 }
}

fn dot<const N: usize>(a: &[[i8; N]], b: &[[i8; N]]) -> i32 {
    a.as_flattened().iter().zip(b.as_flattened()).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Whether a place scores as much as this.
pub(super) fn reaches<const N: usize>(a: &Templates<N>, b: &Templates<N>, score: f32) -> bool {
    inside(a, b).chain(inside(b, a).skip(1)).any(|start| start.score >= score)
}

/// The score of the best place.
pub(super) fn best_score<const N: usize>(a: &Templates<N>, b: &Templates<N>) -> f32 {
    inside(a, b).chain(inside(b, a).skip(1)).map(|start| start.score).fold(0.0, f32::max)
}

/// The best place for every size of one picture in the other; small sizes, which fit by chance, count for less.
fn inside<'a, const N: usize>(part: &'a Templates<N>, whole: &Templates<N>) -> impl Iterator<Item = Start> + use<'a, N> {
    let frame = Frame::new(whole.template(0));
    EIGHTHS.iter().enumerate().map(move |(i, eighths)| {
        let size = eighths.map(|n| n * N / 8);
        let (score, offset) = frame.slide(&Slid { rows: part.template(i), size, energy: part.energies[i] });
        let scale = size.map(|n| n as f32 / N as f32);
        let shift = [0, 1].map(|i| (offset[i] as f32 - Frame::<N>::OVERHANG as f32) * 2.0 / N as f32 + scale[i] - 1.0);
        Start { map: Affine::scale_and_shift(scale, shift), score: score * (scale[0] * scale[1]).sqrt().sqrt() }
    })
}
