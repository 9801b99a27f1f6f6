//! Points and centres → the nearest centre of each point, exactly, mostly by a matrix product.
//!
//! |x − c|² = |x|² + 2 (|c|²/2 − x·c). The products x·c are computed in single precision, block against block; what rounding can do to them is
//! bounded (Higham 2002, "Accuracy and stability of numerical algorithms", section 3.1: |fl(x·c) −
//! x·c| ≤ γ_d |x||c|), and only the centres that may be the nearest by that bound are measured, in
//! double precision and one fixed order. So the answer, ties to the smaller centre, is that of
//! measuring all of them, on every machine.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;

/// Points of a task, and centres of a block.
const POINTS: usize = 128;
const CENTRES: usize = 1_024;

/// Rows of equal length, with the square of the length of each.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
    pub(super) squares: Vec<f64>,
}

impl Rows {
    /// # Panics
    /// If the values are no whole number of rows.
    pub(super) fn new(columns: usize, values: Vec<f32>) -> Self {
        assert!(
            columns > 0 && values.len().is_multiple_of(columns),
            "{} values in rows of {columns}",
            values.len()
        );
        let squares = values.par_chunks_exact(columns).map(square).collect();
        Self {
            columns,
            values,
            squares,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.squares.len()
    }

    pub(super) fn row(&self, row: u32) -> &[f32] {
        let start = row as usize * self.columns;
        &self.values[start..start + self.columns]
    }

    pub(super) fn set(&mut self, row: u32, values: &[f32]) {
        let start = row as usize * self.columns;
        self.values[start..start + self.columns].copy_from_slice(values);
        self.squares[row as usize] = square(values);
    }

    /// Some of the rows, in the order given.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let mut values = Vec::with_capacity(rows.len() * self.columns);
        rows.iter()
            .for_each(|&row| values.extend_from_slice(self.row(row)));
        Self {
            columns: self.columns,
            values,
            squares: rows.iter().map(|&row| self.squares[row as usize]).collect(),
        }
    }
}

fn square(row: &[f32]) -> f64 {
    lanes(row.iter().map(|&v| f64::from(v) * f64::from(v)))
}

/// The squared distance, summed in double precision in one fixed order.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for (a, b) in a8.iter().zip(b8) {
        for k in 0..8 {
            let difference = f64::from(a[k]) - f64::from(b[k]);
            sums[k] += difference * difference;
        }
    }
    let rest = a_rest
        .iter()
        .zip(b_rest)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

/// A sum in eight lanes, whatever the compiler makes of it the same.
fn lanes(values: impl Iterator<Item = f64>) -> f64 {
    let mut sums = [0.0f64; 8];
    values
        .enumerate()
        .for_each(|(i, value)| sums[i % 8] += value);
    sums.iter().sum()
}

/// What a search found for a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// The nearest, by place among those searched, and its squared distance; `None` if all are
    /// surely farther than what was known.
    pub(super) nearest: Option<(u32, f64)>,
    /// A lower bound of the squared distance to every other one.
    pub(super) others: f64,
}

/// For each of the `asked` points, the nearest of the centres. `known[i]` is a squared distance
/// beyond which the nearest of `asked[i]` is of no interest. O(asked × centres × columns), on all
/// threads.
pub(super) fn nearest(points: &Rows, asked: &[u32], known: &[f64], centres: &Rows) -> Vec<Found> {
    let half: Vec<f32> = centres
        .squares
        .iter()
        .map(|square| (square / 2.0) as f32)
        .collect();
    let longest = centres
        .squares
        .iter()
        .fold(0.0, |m: f64, &square| m.max(square))
        .sqrt();
    let tasks = asked.par_chunks(POINTS).zip(known.par_chunks(POINTS));
    let of_task = |(asked, known): (&[u32], &[f64])| {
        let mut open: Vec<Open> = asked
            .iter()
            .map(|&point| Open::new(points, point, longest))
            .collect();
        let own = points.select(asked);
        let mut products = vec![0.0f32; POINTS * CENTRES];
        for first in (0..centres.len()).step_by(CENTRES) {
            let block = CENTRES.min(centres.len() - first);
            multiply(
                &own,
                centres,
                first,
                block,
                &mut products[..block * asked.len()],
            );
            for (open, products) in open.iter_mut().zip(products.chunks_exact(block)) {
                open.scan(first as u32, &half[first..first + block], products);
            }
        }
        let found = open.into_iter().zip(asked).zip(known);
        found
            .map(|((open, &point), &known)| open.settle(points.row(point), known, centres))
            .collect::<Vec<_>>()
    };
    tasks.map(of_task).flatten_iter().collect()
}

/// x·c of some points (rows of the result) and `block` centres from `first` on.
fn multiply(points: &Rows, centres: &Rows, first: usize, block: usize, products: &mut [f32]) {
    let d = centres.columns;
    let centres =
        MatRef::from_row_major_slice(&centres.values[first * d..(first + block) * d], block, d);
    let points = MatRef::from_row_major_slice(&points.values, points.len(), d);
    let out = MatMut::from_column_major_slice_mut(products, block, points.nrows());
    matmul(
        out,
        Accum::Replace,
        centres,
        points.transpose(),
        1.0,
        Par::Seq,
    );
}

/// A point whose search goes on. Values are |c|²/2 − x·c, to within `error`.
struct Open {
    square: f64,
    error: f32,
    smallest: f32,
    second: f32,
    /// Centres that may be the nearest, by what was known when they came.
    candidates: Vec<(u32, f32)>,
}

impl Open {
    fn new(points: &Rows, point: u32, longest: f64) -> Self {
        let square = points.squares[point as usize];
        // γ_d of the product, and roundings of |c|²/2 and of the difference; doubled, which also
        // covers those of this bound.
        let units = (points.columns + 8) as f64 * f64::from(f32::EPSILON);
        let error = (units * (square.sqrt() * longest + longest * longest / 2.0)) as f32;
        Self {
            square,
            error,
            smallest: f32::INFINITY,
            second: f32::INFINITY,
            candidates: Vec::new(),
        }
    }

    fn scan(&mut self, first: u32, half: &[f32], products: &[f32]) {
        for (centre, (half, product)) in (first..).zip(half.iter().zip(products)) {
            let value = half - product;
            if value < self.second {
                if value <= self.smallest + 2.0 * self.error {
                    self.candidates.push((centre, value));
                }
                self.second = value.max(self.smallest);
                self.smallest = value.min(self.smallest);
            } else if value <= self.smallest + 2.0 * self.error {
                self.candidates.push((centre, value));
            }
        }
    }

    /// A lower bound of the squared distance to centres of at least this value.
    fn bound(&self, value: f32) -> f64 {
        if value == f32::INFINITY {
            return f64::INFINITY;
        }
        ((self.square + 2.0 * (f64::from(value) - f64::from(self.error))) * (1.0 - 1e-12)).max(0.0)
    }

    fn settle(mut self, point: &[f32], known: f64, centres: &Rows) -> Found {
        let least = self.bound(self.smallest);
        if least > known {
            return Found {
                nearest: None,
                others: least,
            };
        }
        let limit = self.smallest + 2.0 * self.error;
        self.candidates.retain(|&(_, value)| value <= limit);
        if let [(centre, _)] = self.candidates[..] {
            let squared = squared_distance(point, centres.row(centre));
            return Found {
                nearest: Some((centre, squared)),
                others: self.bound(self.second),
            };
        }
        let measured = self
            .candidates
            .iter()
            .map(|&(centre, _)| (squared_distance(point, centres.row(centre)), centre));
        let mut measured: Vec<(f64, u32)> = measured.collect();
        measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let rest = if self.candidates.len() < centres.len() {
            self.bound(limit)
        } else {
            f64::INFINITY
        };
        let others = measured.get(1).map_or(rest, |second| rest.min(second.0));
        Found {
            nearest: measured.first().map(|&(squared, centre)| (centre, squared)),
            others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::random::Numbers;

    /// Points of small integers, so that distances tie; far from the origin, so that products
    /// cancel.
    fn random(n: usize, columns: usize, span: u64, away: f32, numbers: &mut Numbers) -> Rows {
        Rows::new(
            columns,
            (0..n * columns)
                .map(|_| (numbers.next() % span) as f32 + away)
                .collect(),
        )
    }

    #[test]
    fn the_nearest_is_that_of_measuring_all_and_the_bound_holds() {
        for seed in 0..60 {
            let mut numbers = Numbers::new(seed);
            let (columns, span) = (1 + numbers.below(40), [3, 1_000][seed as usize % 2]);
            let away = [0.0, 50_000.0][seed as usize / 2 % 2];
            let points = random(1 + numbers.below(300), columns, span, away, &mut numbers);
            let centres = random(1 + numbers.below(2_500), columns, span, away, &mut numbers);
            let asked: Vec<u32> = (0..points.len() as u32).collect();
            for (i, found) in nearest(&points, &asked, &vec![f64::INFINITY; asked.len()], &centres)
                .into_iter()
                .enumerate()
            {
                let all = (0..centres.len() as u32)
                    .map(|j| (squared_distance(points.row(i as u32), centres.row(j)), j));
                let mut all: Vec<(f64, u32)> = all.collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                assert_eq!(found.nearest, Some((all[0].1, all[0].0)), "seed {seed}");
                assert!(
                    all.get(1).is_none_or(|second| found.others <= second.0),
                    "seed {seed}: {found:?} {:?}",
                    all.get(1)
                );
            }
        }
    }

    #[test]
    fn what_is_farther_than_what_is_known_is_bounded_and_not_measured() {
        let mut numbers = Numbers::new(9);
        let (points, centres) = (
            random(50, 12, 100, 0.0, &mut numbers),
            random(80, 12, 100, 0.0, &mut numbers),
        );
        let asked: Vec<u32> = (0..50).rev().collect();
        for (found, &point) in nearest(&points, &asked, &[0.5; 50], &centres)
            .iter()
            .zip(&asked)
        {
            let least = (0..80)
                .map(|j| squared_distance(points.row(point), centres.row(j)))
                .fold(f64::INFINITY, f64::min);
            assert!(
                found.nearest.is_none() && found.others <= least && found.others > 0.99 * least,
                "{found:?} {least}"
            );
        }
    }
}
