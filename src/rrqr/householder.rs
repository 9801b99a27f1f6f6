//! W → its pivoted triangle, by Householder reflections on W itself.
//!
//! Businger and Golub 1965, "Linear least squares solutions by Householder transformations", Numer.
//! Math. 7; the norms of the remaining columns are brought up to date and computed anew when
//! cancellation has eaten half their digits, the rule of LAPACK's dgeqp3 (Drmač and Bujanović 2008,
//! "On the failure of rank-revealing QR factorization software", ACM TOMS 35(2)). It stops as soon
//! as it may. For many more rows than columns, [`super::gram_pivoted_qr`] is quicker.

use super::{PivotedQr, Stop, extreme::dot, largest};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// √ε: below this share of its last exact norm, a downdated norm is computed anew.
const STALE: f64 = 1.490_116_119_384_765_6e-8;

/// One column of W on its way.
struct Column {
    index: usize,
    /// Above the current row: a column of R; below: what is left of the column.
    values: Vec<f64>,
    /// Norm of what is left, brought up to date.
    norm: f64,
    /// The norm when it was last computed in full.
    exact: f64,
}

/// W P = Q R for an n × d matrix W of images × coefficients.
///
/// Of columns equally far from the span of those before, the one with the smaller index is taken.
/// Any condition number; rounding of a backward stable factorisation. Cost: O(n d k) for k columns,
/// memory one copy of W; parallel over columns, with the same result for any number of threads.
/// Without rows or columns, or all zero: no columns.
///
/// # Errors
/// [`Error::Numeric`] if a value is infinite or not a number.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a view is a reference already"
)]
pub fn column_pivoted_qr(w: ArrayView2<'_, f64>, stop: Stop) -> Result<PivotedQr> {
    let largest_value = w
        .iter()
        .try_fold(0f64, |most, &v| v.is_finite().then(|| most.max(v.abs())));
    let largest_value = largest_value.ok_or_else(|| {
        Error::Numeric("the matrix of coefficients has a value that is not finite".into())
    })?;
    // An exact power of two brings the largest value near one, so that no square overflows or
    // vanishes.
    let scale = if largest_value > 0.0 {
        2f64.powi(-(largest_value.log2().floor() as i32).clamp(-1000, 1000))
    } else {
        1.0
    };
    let mut rest: Vec<Column> = w
        .columns()
        .into_iter()
        .enumerate()
        .map(|(index, column)| Column::new(index, column.iter().map(|v| v * scale).collect()))
        .collect();
    let mut chosen: Vec<Column> = Vec::new();
    let floor = w.nrows().max(w.ncols()) as f64 * f64::EPSILON;
    let most = stop.max_columns.min(w.nrows()).min(w.ncols());
    while chosen.len() < most {
        let k = chosen.len();
        let Some((place, norm)) = largest_column(&rest) else {
            break;
        };
        let first = chosen.first().map_or(norm, |column| column.values[0].abs());
        if norm <= stop.tolerance.max(floor) * first {
            break;
        }
        let mut pivot = rest.swap_remove(place);
        let reflector = reflect(&mut pivot.values, k);
        rest.par_iter_mut()
            .with_min_len(16)
            .for_each(|column| column.apply(&reflector, k));
        chosen.push(pivot);
    }
    Ok(triangle(&chosen, scale))
}

/// The place in `rest` of the column with the largest norm; of equals that with the smallest index.
fn largest_column(rest: &[Column]) -> Option<(usize, f64)> {
    let (index, norm) = largest(rest.iter().map(|column| (column.index, column.norm)))?;
    rest.iter()
        .position(|column| column.index == index)
        .map(|place| (place, norm))
}

/// R from the chosen columns, rows with a negative diagonal turned.
fn triangle(chosen: &[Column], scale: f64) -> PivotedQr {
    let k = chosen.len();
    let turned = |i: usize| if chosen[i].values[i] < 0.0 { -1.0 } else { 1.0 };
    let r = Array2::from_shape_fn((k, k), |(i, j)| {
        if i <= j {
            chosen[j].values[i] * turned(i) / scale
        } else {
            0.0
        }
    });
    PivotedQr {
        pivots: chosen.iter().map(|column| column.index).collect(),
        r,
    }
}

/// Replaces the column from row k on by its reflection (β, 0, …, 0); returns v of the reflector H =
/// I − v vᵀ, with ‖v‖² = 2.
fn reflect(values: &mut [f64], k: usize) -> Vec<f64> {
    let norm = dot(&values[k..], &values[k..]).sqrt();
    let alpha = values[k];
    let beta = if alpha > 0.0 { -norm } else { norm };
    let mut v = values[k..].to_vec();
    v[0] = alpha - beta;
    // ‖v‖² = 2 norm (norm + |α|) before it is scaled to 2.
    let factor = 1.0 / (norm * (norm + alpha.abs())).sqrt();
    v.iter_mut().for_each(|value| *value *= factor);
    values[k] = beta;
    values[k + 1..].fill(0.0);
    v
}

impl Column {
    fn new(index: usize, values: Vec<f64>) -> Self {
        let norm = dot(&values, &values).sqrt();
        Self {
            index,
            values,
            norm,
            exact: norm,
        }
    }

    /// Applies the k-th reflector and takes row k out of the norm.
    fn apply(&mut self, v: &[f64], k: usize) {
        let left = &mut self.values[k..];
        let along = dot(v, left);
        left.iter_mut()
            .zip(v)
            .for_each(|(value, v)| *value -= along * v);
        if self.norm == 0.0 {
            return;
        }
        let share = (1.0 - (self.values[k] / self.norm).powi(2)).max(0.0);
        if share * (self.norm / self.exact).powi(2) <= STALE {
            let left = &self.values[k + 1..];
            self.norm = dot(left, left).sqrt();
            self.exact = self.norm;
        } else {
            self.norm *= share.sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graded, naive, random, same};
    use super::*;

    #[test]
    fn the_triangle_reproduces_the_scalar_products_of_the_chosen_columns() {
        let w = graded(90, 40, 1e8, 1);
        let qr = column_pivoted_qr(
            w.view(),
            Stop {
                tolerance: 1e-7,
                max_columns: 40,
            },
        )
        .unwrap();
        let chosen = w.select(ndarray::Axis(1), &qr.pivots);
        let (expected, got) = (chosen.t().dot(&chosen), qr.r.t().dot(&qr.r));
        assert!(
            expected
                .iter()
                .zip(&got)
                .all(|(a, b)| (a - b).abs() < 1e-12 * expected[[0, 0]])
        );
        assert!(
            qr.diagonal()
                .windows(2)
                .all(|pair| pair[0] >= pair[1] * (1.0 - 1e-12))
        );
        assert!(qr.diagonal().iter().all(|&r| r > 0.0));
    }

    #[test]
    fn it_stops_where_it_is_told() {
        let w = graded(90, 40, 1e6, 2);
        let all = column_pivoted_qr(w.view(), Stop::NEVER).unwrap();
        let some = column_pivoted_qr(
            w.view(),
            Stop {
                tolerance: 0.0,
                max_columns: 7,
            },
        )
        .unwrap();
        assert_eq!(some.pivots, all.pivots[..7]);
        let above = column_pivoted_qr(
            w.view(),
            Stop {
                tolerance: 1e-3,
                max_columns: 99,
            },
        )
        .unwrap();
        assert_eq!(above.pivots.len(), all.numerical_rank(1e-3));
        assert!((5..35).contains(&above.pivots.len()));
    }

    #[test]
    fn norms_stay_right_where_downdating_cancels() {
        // Kahan's matrix, which is made to mislead: its columns are nearly dependent, norms equal
        // at each step but for a growing factor.
        let (n, s) = (60usize, 0.95f64);
        let c = (1.0 - s * s).sqrt();
        let kahan = Array2::from_shape_fn((n, n), |(i, j)| {
            s.powi(i as i32)
                * (1.0 + 1e-7 * (n - j) as f64)
                * if i == j {
                    1.0
                } else if i < j {
                    -c
                } else {
                    0.0
                }
        });
        let qr = column_pivoted_qr(kahan.view(), Stop::NEVER).unwrap();
        let oracle = naive(&kahan, usize::MAX);
        assert_eq!(qr.pivots, oracle.pivots);
        for (fast, slow) in qr.diagonal().iter().zip(oracle.diagonal()) {
            assert!((fast / slow - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn huge_and_tiny_values_are_scaled_without_loss() {
        let w = random(30, 12, 3);
        let plain = column_pivoted_qr(w.view(), Stop::NEVER).unwrap();
        for power in [-900, 900] {
            let factor = 2f64.powi(power);
            let scaled = column_pivoted_qr((&w * factor).view(), Stop::NEVER).unwrap();
            assert_eq!(
                scaled,
                PivotedQr {
                    pivots: plain.pivots.clone(),
                    r: &plain.r * factor
                }
            );
        }
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let w = random(70, 200, 4);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| column_pivoted_qr(w.view(), Stop::NEVER).unwrap())
        };
        let one = with(1);
        assert_eq!(with(3), one);
        same(&one, &naive(&w, usize::MAX), 1e-12);
    }
}
