//! A matrix of images × coefficients → which columns tell the images apart, the numerical rank, the
//! condition number.
//!
//! Column-pivoted QR: W P = Q R, lines 5–8 of Algorithm 1 of Yousefzadeh 2020 (section 3.2). P
//! orders the columns so that at every step the column farthest from the span of those before it
//! comes next; |r_kk| is that distance (Golub and Van Loan, "Matrix Computations", 4th ed., section
//! 5.4.2). Q is never needed and never formed.
//!
//! | path | for | source |
//! |---|---|---|
//! | [`column_pivoted_qr`] | W itself: few rows, any condition number | Businger and Golub 1965, Householder |
//! | [`gram_pivoted_qr`] | WᵀW: many rows, condition numbers up to 10⁶ | pivoted Cholesky (Higham 1990) |
//! | [`select_columns`] | the first 100-odd columns of integers, exactly the same on every machine | pivoted Cholesky, lazily |
//!
//! In exact arithmetic all three choose the same columns, as (W P)ᵀ(W P) = RᵀR. Everywhere, of
//! equal columns the one with the smaller index comes first, and results do not depend on the
//! number of threads. What the chosen columns are used for is left to [`crate::feature`].

mod extreme;
mod gram;
mod householder;
mod select;

pub(crate) use extreme::dot;
pub use gram::{Gram, condition_number, gram_pivoted_qr};
pub use householder::column_pivoted_qr;
pub use select::{LARGEST_VALUE, select_columns};

use crate::error::{Error, Result};
use faer::{
    Mat, Par,
    diag::Diag,
    dyn_stack::{MemBuffer, MemStack},
    linalg::svd,
};
use ndarray::Array2;

/// When a factorisation ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// It ends before the first column with |r_kk| ≤ tolerance · |r_11|. Zero goes on to the
    /// rounding error.
    pub tolerance: f64,
    /// It ends after so many columns.
    pub max_columns: usize,
}

impl Stop {
    /// All columns, down to the rounding error.
    pub const NEVER: Self = Self {
        tolerance: 0.0,
        max_columns: usize::MAX,
    };
}

/// The leading part of a column-pivoted QR factorisation.
#[derive(Clone, Debug, PartialEq)]
pub struct PivotedQr {
    /// Columns of W in the order in which they were chosen; k of them.
    pub pivots: Vec<usize>,
    /// The leading k × k triangle of R, with a non-negative diagonal and zeros below it.
    pub r: Array2<f64>,
}

impl PivotedQr {
    /// The diagonal of R: not increasing but for rounding.
    #[must_use]
    pub fn diagonal(&self) -> Vec<f64> {
        self.r.diag().to_vec()
    }

    /// The largest k with |r_kk| > tolerance · |r_11|; 0 for a zero matrix.
    ///
    /// The answer is that of W if the factorisation went on at least so far.
    #[must_use]
    pub fn numerical_rank(&self, tolerance: f64) -> usize {
        let diagonal = self.r.diag();
        let Some(&first) = diagonal.first() else {
            return 0;
        };
        diagonal
            .iter()
            .rposition(|&r| r > tolerance * first)
            .map_or(0, |k| k + 1)
    }

    /// The condition number in the 2-norm of the first m chosen columns: the ratio of the extreme
    /// singular values of R\[..m, ..m\]; infinite if the smallest is zero.
    ///
    /// Up to 128 columns by a full decomposition, above by Lanczos steps until nine digits stand
    /// (`extreme`), and by a full decomposition if they do not settle. Cost: O(m²) a step; O(m³) if
    /// need be.
    ///
    /// # Errors
    /// [`Error::Numeric`] if m is zero, or the singular values do not converge.
    ///
    /// # Panics
    /// If fewer than m columns were chosen.
    pub fn condition(&self, m: usize) -> Result<f64> {
        assert!(
            m <= self.pivots.len(),
            "{} columns were chosen, not {m}",
            self.pivots.len()
        );
        if m == 0 {
            return Err(Error::Numeric(
                "no columns have no condition number: the matrix is zero".into(),
            ));
        }
        let smallest = self
            .r
            .diag()
            .iter()
            .take(m)
            .fold(f64::INFINITY, |least, &r| least.min(r));
        if m > FULL_DECOMPOSITION
            && smallest > 0.0
            && let Some(condition) = extreme::condition(&self.r.slice(ndarray::s![..m, ..m]))
        {
            return Ok(condition);
        }
        self.full_condition(m)
    }

    /// [`PivotedQr::condition`] from all singular values.
    fn full_condition(&self, m: usize) -> Result<f64> {
        let triangle = Mat::from_fn(m, m, |i, j| self.r[[i, j]]);
        let mut values = Diag::zeros(m);
        let params = Default::default();
        let need = svd::svd_scratch::<f64>(
            m,
            m,
            svd::ComputeSvdVectors::No,
            svd::ComputeSvdVectors::No,
            Par::Seq,
            params,
        );
        let mut memory = MemBuffer::new(need);
        svd::svd(
            triangle.as_ref(),
            values.as_mut(),
            None,
            None,
            Par::Seq,
            MemStack::new(&mut memory),
            params,
        )
        .map_err(|error| {
            Error::Numeric(format!("the singular values of {m} columns: {error:?}"))
        })?;
        let values = values.column_vector();
        let (largest, smallest) = values
            .iter()
            .fold((0f64, f64::INFINITY), |(hi, lo), &v| (hi.max(v), lo.min(v)));
        Ok(if smallest > 0.0 {
            largest / smallest
        } else {
            f64::INFINITY
        })
    }

    /// The largest m such that the first m chosen columns have a condition number below τ
    /// (Algorithm 1, line 7); 0 if there is none.
    ///
    /// By interlacing of singular values the condition number does not fall as columns are added,
    /// so bisection finds m. It is bracketed first: r_11 / r_mm ≤ κ ≤ ‖R‖ ‖R⁻¹‖ in the Frobenius
    /// norm. Cost: that of at most log₂ k condition numbers, and O(k³ / 6).
    ///
    /// # Errors
    /// [`Error::Numeric`] if singular values do not converge.
    pub fn leading_columns(&self, tau: f64) -> Result<usize> {
        let diagonal = self.diagonal();
        let mut above = diagonal
            .iter()
            .position(|&r| r <= 0.0 || diagonal[0] / r >= tau)
            .unwrap_or(diagonal.len())
            + 1;
        let mut below = self.surely_below(tau, above - 1);
        // The condition number of `below` columns is below τ, that of `above` columns is not (or
        // there are not so many).
        let mut next = above - 1;
        while above - below > 1 {
            if self.condition(next)? < tau {
                below = next;
            } else {
                above = next;
            }
            next = below.midpoint(above);
        }
        Ok(below)
    }

    /// The largest m ≤ `most` with ‖R_m‖_F ‖R_m⁻¹‖_F < τ. The inverse of a leading triangle is the
    /// leading triangle of the inverse, so that one inversion, column by column, serves every m.
    fn surely_below(&self, tau: f64, most: usize) -> usize {
        let mut inverse: Vec<Vec<f64>> = Vec::with_capacity(most);
        let (mut norm, mut inverse_norm) = (0.0, 0.0);
        for m in 0..most {
            // Column m of R⁻¹ is −R_m⁻¹ r_m / r_mm above the diagonal.
            let mut column = vec![0.0; m + 1];
            for (j, before) in inverse.iter().enumerate() {
                let r = self.r[[j, m]];
                column
                    .iter_mut()
                    .zip(before)
                    .for_each(|(sum, x)| *sum -= x * r);
            }
            column[m] = 1.0;
            column.iter_mut().for_each(|value| *value /= self.r[[m, m]]);
            norm += (0..=m).map(|i| self.r[[i, m]].powi(2)).sum::<f64>();
            inverse_norm += column.iter().map(|value| value * value).sum::<f64>();
            inverse.push(column);
            // The margin covers the rounding of the sums.
            let bound = (norm * inverse_norm).sqrt();
            if bound.is_nan() || bound >= tau * (1.0 - 1e-9) {
                return m;
            }
        }
        most
    }
}

/// Up to so many columns all singular values are computed.
const FULL_DECOMPOSITION: usize = 128;

/// The index of the largest of the candidates; of equals the first. `None` if there are none.
fn largest(candidates: impl Iterator<Item = (usize, f64)>) -> Option<(usize, f64)> {
    candidates.reduce(|best, next| {
        if next.1 > best.1 || (next.1 == best.1 && next.0 < best.0) {
            next
        } else {
            best
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A seeded stream of normal deviates, near enough: sums of uniform ones.
    pub(crate) fn deviates(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        let mut uniform = move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) as f64 / 2f64.powi(64) - 0.5
        };
        move || (0..6).map(|_| uniform()).sum()
    }

    pub(crate) fn random(n: usize, d: usize, seed: u64) -> Array2<f64> {
        let mut next = deviates(seed);
        Array2::from_shape_simple_fn((n, d), &mut next)
    }

    /// A matrix whose spectrum falls evenly over `ratio`: graded random directions, mixed.
    pub(crate) fn graded(n: usize, d: usize, ratio: f64, seed: u64) -> Array2<f64> {
        let mut left = random(n, d, seed);
        for (j, mut column) in left.columns_mut().into_iter().enumerate() {
            column *= ratio.powf(-(j as f64) / (d as f64 - 1.0));
        }
        let mut mix = random(d, d, seed + 1) * (0.3 / (d as f64).sqrt());
        mix.diag_mut().mapv_inplace(|v| v + 1.0);
        left.dot(&mix)
    }

    /// The textbook oracle: modified Gram–Schmidt, twice, all norms anew at each step.
    pub(crate) fn naive(w: &Array2<f64>, columns: usize) -> PivotedQr {
        let mut rest = w.clone();
        let (mut pivots, mut q) = (Vec::new(), Vec::new());
        for _ in 0..columns.min(w.nrows()).min(w.ncols()) {
            let norms = rest
                .columns()
                .into_iter()
                .map(|c| c.dot(&c))
                .enumerate()
                .filter(|(j, _)| !pivots.contains(j));
            let Some((pivot, norm)) = largest(norms) else {
                break;
            };
            if norm == 0.0 {
                break;
            }
            pivots.push(pivot);
            let direction = &rest.column(pivot) / norm.sqrt();
            for _ in 0..2 {
                for mut column in rest.columns_mut() {
                    let along = direction.dot(&column);
                    column.scaled_add(-along, &direction);
                }
            }
            q.push(direction);
        }
        let r = Array2::from_shape_fn((q.len(), q.len()), |(i, j)| {
            if i <= j {
                q[i].dot(&w.column(pivots[j]))
            } else {
                0.0
            }
        });
        PivotedQr { pivots, r }
    }

    #[track_caller]
    pub(crate) fn same(a: &PivotedQr, b: &PivotedQr, accuracy: f64) {
        assert_eq!(a.pivots, b.pivots);
        let scale = b.r.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let worst =
            a.r.iter()
                .zip(&b.r)
                .fold(0.0, |m: f64, (x, y)| m.max((x - y).abs()));
        assert!(worst <= accuracy * scale, "R differs by {worst} of {scale}");
    }

    #[test]
    fn all_paths_agree_with_the_textbook_on_well_conditioned_and_graded_matrices() {
        let cases = [
            random(40, 40, 1),
            random(200, 30, 2),
            graded(120, 60, 1e3, 3),
            graded(300, 50, 1e5, 4),
            random(500, 1, 5),
        ];
        for w in cases {
            let oracle = naive(&w, usize::MAX);
            same(
                &column_pivoted_qr(w.view(), Stop::NEVER).unwrap(),
                &oracle,
                1e-12,
            );
            let mut gram = Gram::new(w.ncols());
            gram.add_rows(w.view()).unwrap();
            same(&gram_pivoted_qr(&gram, Stop::NEVER).unwrap(), &oracle, 1e-9);
        }
    }

    #[test]
    fn all_paths_agree_on_integers() {
        let w = random(300, 80, 8).mapv(|v| (v * 1000.0).round());
        let oracle = naive(&w, 40);
        let stop = Stop {
            tolerance: 1e-6,
            max_columns: 40,
        };
        same(&column_pivoted_qr(w.view(), stop).unwrap(), &oracle, 1e-12);
        let mut gram = Gram::new(80);
        gram.add_rows(w.view()).unwrap();
        same(&gram_pivoted_qr(&gram, stop).unwrap(), &oracle, 1e-12);
        let integers: Vec<Vec<i16>> = w
            .rows()
            .into_iter()
            .map(|row| row.iter().map(|&v| v as i16).collect())
            .collect();
        assert_eq!(select_columns(&integers, stop), oracle.pivots);
    }

    #[test]
    fn duplicated_columns_come_first_index_first_and_end_the_rank() {
        let base = random(60, 10, 9);
        let w = Array2::from_shape_fn((60, 30), |(i, j)| base[[i, j % 10]]);
        let direct = column_pivoted_qr(
            w.view(),
            Stop {
                tolerance: 1e-10,
                max_columns: 30,
            },
        )
        .unwrap();
        assert_eq!(direct.pivots.len(), 10);
        assert!(direct.pivots.iter().all(|&j| j < 10));
        let mut gram = Gram::new(30);
        gram.add_rows(w.view()).unwrap();
        assert_eq!(
            gram_pivoted_qr(
                &gram,
                Stop {
                    tolerance: 1e-6,
                    max_columns: 30
                }
            )
            .unwrap()
            .pivots,
            direct.pivots
        );
    }

    #[test]
    fn equal_rows_have_rank_one_and_a_zero_matrix_has_rank_zero() {
        let one = Array2::from_shape_fn((20, 7), |(_, j)| j as f64 - 2.0);
        for (w, rank) in [
            (one, 1),
            (Array2::zeros((20, 7)), 0),
            (Array2::zeros((0, 7)), 0),
            (Array2::zeros((5, 0)), 0),
        ] {
            let direct = column_pivoted_qr(
                w.view(),
                Stop {
                    tolerance: 1e-9,
                    max_columns: 9,
                },
            )
            .unwrap();
            assert_eq!(
                (direct.numerical_rank(1e-9), direct.pivots.len()),
                (rank, rank)
            );
            let mut gram = Gram::new(w.ncols());
            gram.add_rows(w.view()).unwrap();
            assert_eq!(
                gram_pivoted_qr(
                    &gram,
                    Stop {
                        tolerance: 1e-6,
                        max_columns: 9
                    }
                )
                .unwrap()
                .pivots,
                direct.pivots
            );
        }
    }

    #[test]
    fn a_wide_matrix_has_at_most_as_many_columns_as_rows() {
        let w = random(12, 50, 10);
        let qr = column_pivoted_qr(w.view(), Stop::NEVER).unwrap();
        same(&qr, &naive(&w, usize::MAX), 1e-12);
        assert_eq!(qr.pivots.len(), 12);
    }

    #[test]
    fn the_condition_number_is_that_of_the_chosen_columns() {
        let w = graded(100, 20, 1e4, 11);
        let qr = column_pivoted_qr(w.view(), Stop::NEVER).unwrap();
        let mut last = 0.0;
        for m in 1..=20 {
            let chosen = w.select(ndarray::Axis(1), &qr.pivots[..m]);
            let values = Mat::from_fn(100, m, |i, j| chosen[[i, j]])
                .singular_values()
                .unwrap();
            let condition = qr.condition(m).unwrap();
            assert!((condition / (values[0] / values[m - 1]) - 1.0).abs() < 1e-9);
            assert!(condition >= last * (1.0 - 1e-12), "it never falls");
            last = condition;
        }
        assert!(matches!(qr.condition(0), Err(Error::Numeric(_))));
    }

    #[test]
    fn the_leading_columns_are_the_most_below_tau() {
        for seed in 0..6 {
            let qr = column_pivoted_qr(graded(60, 24, 1e6, 20 + seed).view(), Stop::NEVER).unwrap();
            for tau in [0.5, 1.0, 1.5, 3.0, 10.0, 1e3, 1e5, 1e9] {
                let slow = (1..=24)
                    .take_while(|&m| qr.condition(m).unwrap() < tau)
                    .count();
                assert_eq!(qr.leading_columns(tau).unwrap(), slow, "τ {tau}");
            }
        }
        assert_eq!(
            PivotedQr {
                pivots: vec![],
                r: Array2::zeros((0, 0))
            }
            .leading_columns(1e5)
            .unwrap(),
            0
        );
    }

    #[test]
    fn the_numerical_rank_counts_the_diagonal_above_the_tolerance() {
        let mut r = Array2::zeros((4, 4));
        r.diag_mut()
            .assign(&ndarray::arr1(&[10.0, 1.0, 1e-4, 1e-9]));
        let qr = PivotedQr {
            pivots: vec![3, 1, 2, 0],
            r,
        };
        assert_eq!(
            [1e-12, 1e-6, 1e-4, 1.0].map(|t| qr.numerical_rank(t)),
            [4, 3, 2, 0]
        );
        assert_eq!(qr.leading_columns(1e3).unwrap(), 2);
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut w = random(9, 5, 12);
            w[[8, 4]] = bad;
            assert!(matches!(
                column_pivoted_qr(w.view(), Stop::NEVER),
                Err(Error::Numeric(_))
            ));
            assert!(matches!(
                Gram::new(5).add_rows(w.view()),
                Err(Error::Numeric(_))
            ));
        }
    }
}
