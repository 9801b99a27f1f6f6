//! Rows of W, as they come → WᵀW → its pivoted triangle, and the condition number of W.
//!
//! W itself is never held: the Gram matrix takes blocks of rows and is d × d whatever their number.
//! Its pivoted Cholesky factorisation is the R of the pivoted QR of W (Higham 1990, "Analysis of
//! the Cholesky decomposition of a semi-definite matrix", in Reliable Numerical Computation;
//! blocked as in LAPACK's dpstrf, Lucas 2004). Forming WᵀW squares the condition number: singular
//! values below about √(d ε) of the largest, 10⁻⁶ for some thousand columns, drown in rounding. So
//! this path is for tolerances of 10⁻⁶ and more, and for condition numbers up to 10⁶; a matrix of
//! exact integers loses nothing in the sums. Below that, use [`super::column_pivoted_qr`].

use super::{PivotedQr, Stop, largest};
use crate::error::{Error, Result};
use faer::{
    Accum, Mat, MatRef, Par,
    linalg::matmul::{
        matmul,
        triangular::{self, BlockStructure},
    },
};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Columns in a block of the Gram matrix. Fixed: the blocks, not the threads, decide the order of
/// the sums.
const BLOCK: usize = 256;
/// Rows that are multiplied at a time.
const ROWS: usize = 256;
/// Columns of the factor between two updates of the rest.
const PANEL: usize = 64;

/// WᵀW of the rows seen so far: d × d, its lower triangle in blocks.
#[derive(Clone, Debug)]
pub struct Gram {
    columns: usize,
    rows: usize,
    /// Blocks (i, j) with j ≤ i, row by row of blocks.
    blocks: Vec<Mat<f64>>,
}

impl Gram {
    /// The Gram matrix of no rows of d columns. Memory: 4 d² bytes.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let width = |b: usize| BLOCK.min(columns - b * BLOCK);
        let blocks = block_places(columns)
            .map(|(i, j)| Mat::zeros(width(i), width(j)))
            .collect();
        Self {
            columns,
            rows: 0,
            blocks,
        }
    }

    /// Number of columns d.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows seen.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the rows of an n × d block of W.
    ///
    /// Cost: n d² multiply-adds, half of a full product; parallel over blocks of columns, with the
    /// same result for any number of threads. (How rows are dealt out to calls may change the last
    /// bits, unless the values are integers with sums below 2⁵³; so may the CPU.)
    ///
    /// # Errors
    /// [`Error::Numeric`] if a value is infinite or not a number; nothing is added then.
    ///
    /// # Panics
    /// If the block has another number of columns.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a view is a reference already"
    )]
    pub fn add_rows(&mut self, w: ArrayView2<'_, f64>) -> Result<()> {
        assert_eq!(w.ncols(), self.columns, "columns of W");
        if w.iter().any(|value| !value.is_finite()) {
            return Err(Error::Numeric(
                "the matrix of coefficients has a value that is not finite".into(),
            ));
        }
        for rows in w.axis_chunks_iter(ndarray::Axis(0), ROWS) {
            if let Some(values) = rows.as_standard_layout().as_slice() {
                let columns = by_columns(values, rows.nrows(), self.columns);
                self.add_packed(MatRef::from_column_major_slice(
                    &columns,
                    rows.nrows(),
                    self.columns,
                ));
            }
        }
        self.rows += w.nrows();
        Ok(())
    }

    fn add_packed(&mut self, rows: MatRef<'_, f64>) {
        let places: Vec<_> = block_places(self.columns).collect();
        self.blocks
            .par_iter_mut()
            .zip(places)
            .for_each(|(block, (i, j))| {
                let left = rows.subcols(i * BLOCK, block.nrows()).transpose();
                let right = rows.subcols(j * BLOCK, block.ncols());
                if i == j {
                    let (lower, full) =
                        (BlockStructure::TriangularLower, BlockStructure::Rectangular);
                    triangular::matmul(
                        block.as_mut(),
                        lower,
                        Accum::Add,
                        left,
                        full,
                        right,
                        full,
                        1.0,
                        Par::Seq,
                    );
                } else {
                    matmul(block.as_mut(), Accum::Add, left, right, 1.0, Par::Seq);
                }
            });
    }

    /// Adds the rows that another Gram matrix has seen.
    ///
    /// # Panics
    /// If it has another number of columns.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(other.columns, self.columns, "columns of W");
        self.blocks
            .iter_mut()
            .zip(&other.blocks)
            .for_each(|(block, other)| *block += other);
        self.rows += other.rows;
    }

    /// WᵀW in full, symmetric.
    #[must_use]
    pub fn matrix(&self) -> Array2<f64> {
        let lower = self.lower();
        Array2::from_shape_fn((self.columns, self.columns), |(i, j)| {
            lower[(i.max(j), i.min(j))]
        })
    }

    /// The lower triangle; zeros above it.
    fn lower(&self) -> Mat<f64> {
        let mut matrix = Mat::zeros(self.columns, self.columns);
        for (block, (i, j)) in self.blocks.iter().zip(block_places(self.columns)) {
            for c in 0..block.ncols() {
                let first = if i == j { c } else { 0 };
                let to = &mut matrix.col_as_slice_mut(j * BLOCK + c)[i * BLOCK..][..block.nrows()];
                to[first..].copy_from_slice(&block.col_as_slice(c)[first..]);
            }
        }
        matrix
    }
}

/// A row-major matrix column by column, in which order it multiplies two to three times as fast.
fn by_columns(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut turned = vec![0.0; values.len()];
    // Eight columns at a time: a cache line of every row.
    turned
        .par_chunks_mut(8 * rows)
        .enumerate()
        .for_each(|(eight, chunk)| {
            for (j, column) in chunk.chunks_exact_mut(rows).enumerate() {
                let from = values[8 * eight + j..].iter().step_by(columns);
                column
                    .iter_mut()
                    .zip(from)
                    .for_each(|(to, &value)| *to = value);
            }
        });
    turned
}

/// The blocks of the lower triangle, row by row.
fn block_places(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns.div_ceil(BLOCK)).flat_map(|i| (0..=i).map(move |j| (i, j)))
}

/// The pivoted QR factorisation of W from its Gram matrix: (W P)ᵀ(W P) = RᵀR.
///
/// Ties go to the smaller index. The tolerance is raised to √(d ε), below which the Gram matrix
/// knows nothing; see the head of this file. Cost: O(d² k) for k columns.
///
/// # Errors
/// [`Error::Numeric`] if sums of squares have overflowed.
pub fn gram_pivoted_qr(gram: &Gram, stop: Stop) -> Result<PivotedQr> {
    let d = gram.columns;
    let mut work = Cholesky {
        a: gram.lower(),
        order: (0..d).collect(),
        left: vec![0.0; d],
    };
    let first = (0..d).fold(0.0, |most, i| f64::max(most, work.a[(i, i)]));
    if !first.is_finite() || (0..d).any(|i| work.a[(i, i)].is_nan()) {
        return Err(Error::Numeric(
            "the sums of squares of the coefficients overflow".into(),
        ));
    }
    let floor = (stop.tolerance * stop.tolerance).max(d as f64 * f64::EPSILON) * first;
    let most = stop.max_columns.min(d);
    let mut rank = 0;
    while rank < most {
        let want = PANEL.min(most - rank);
        let got = work.panel(rank, want, floor);
        rank += got;
        if got < want {
            break;
        }
        work.update_rest(rank - got, rank);
    }
    let r = Array2::from_shape_fn(
        (rank, rank),
        |(i, j)| if i <= j { work.a[(j, i)] } else { 0.0 },
    );
    work.order.truncate(rank);
    Ok(PivotedQr {
        pivots: work.order,
        r,
    })
}

/// A pivoted Cholesky factorisation under way: the lower triangle of the permuted matrix, its
/// finished columns those of Rᵀ.
struct Cholesky {
    a: Mat<f64>,
    order: Vec<usize>,
    /// Diagonal of what is left, for the columns not yet chosen.
    left: Vec<f64>,
}

impl Cholesky {
    /// Computes `want` columns from k on, up to date within the panel only; returns how many had a
    /// pivot above `floor`.
    fn panel(&mut self, k: usize, want: usize, floor: f64) -> usize {
        let d = self.order.len();
        (k..d).for_each(|i| self.left[i] = self.a[(i, i)]);
        for j in k..k + want {
            let candidates = (j..d).map(|i| (self.order[i], self.left[i]));
            let Some((column, pivot)) = largest(candidates) else {
                return j - k;
            };
            if pivot <= floor {
                return j - k;
            }
            let place = (j..d).find(|&i| self.order[i] == column).unwrap_or(j);
            self.swap(j, place);
            self.finish_column(k, j, pivot.sqrt());
        }
        want
    }

    /// Exchanges rows and columns j < p of the symmetric matrix, of which the lower triangle is
    /// held.
    fn swap(&mut self, j: usize, p: usize) {
        if j == p {
            return;
        }
        let a = &mut self.a;
        let mut exchange = |x: (usize, usize), y: (usize, usize)| {
            let kept = a[x];
            a[x] = a[y];
            a[y] = kept;
        };
        (0..j).for_each(|c| exchange((j, c), (p, c)));
        exchange((j, j), (p, p));
        (j + 1..p).for_each(|i| exchange((i, j), (p, i)));
        (p + 1..self.order.len()).for_each(|i| exchange((i, j), (i, p)));
        self.order.swap(j, p);
        self.left.swap(j, p);
    }

    /// Column j of Rᵀ, from the columns k..j of the panel; takes it out of the diagonal that is
    /// left.
    fn finish_column(&mut self, k: usize, j: usize, root: f64) {
        let d = self.order.len();
        let weights: Vec<f64> = (k..j).map(|c| self.a[(j, c)]).collect();
        let (before, mut after) = self.a.as_mut().split_at_col_mut(j);
        let panel = before.as_ref().submatrix(j + 1, k, d - j - 1, j - k);
        let below = after.as_mut().submatrix_mut(j + 1, 0, d - j - 1, 1);
        matmul(
            below,
            Accum::Add,
            panel,
            MatRef::from_column_major_slice(&weights, j - k, 1),
            -1.0,
            Par::Seq,
        );
        let mut column = after.col_mut(0);
        column[j] = root;
        for i in j + 1..d {
            column[i] /= root;
            self.left[i] -= column[i] * column[i];
        }
    }

    /// Takes the columns k..end out of all that come after.
    fn update_rest(&mut self, k: usize, end: usize) {
        let d = self.order.len();
        let (before, after) = self.a.as_mut().split_at_col_mut(end);
        let panel = before.as_ref().submatrix(end, k, d - end, end - k);
        let rest = after.subrows_mut(end, d - end);
        let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        triangular::matmul(
            rest,
            lower,
            Accum::Add,
            panel,
            full,
            panel.transpose(),
            full,
            -1.0,
            Par::Seq,
        );
    }
}

/// The condition number of W in the 2-norm over all its columns: √(λ_max / λ_min) of its Gram
/// matrix, from its Cholesky factor.
///
/// Infinite if a column is dependent on others to within √(d ε), that is for condition numbers over
/// about 10⁶. Relative error: about d ε κ² / 2. Cost: O(d³ / 3) and some ten steps of O(d²).
///
/// # Errors
/// [`Error::Numeric`] if there are no columns or all are zero, sums of squares have overflowed, or
/// singular values do not converge.
pub fn condition_number(gram: &Gram) -> Result<f64> {
    let qr = gram_pivoted_qr(gram, Stop::NEVER)?;
    if qr.pivots.is_empty() {
        return Err(Error::Numeric(
            "a zero matrix has no condition number".into(),
        ));
    }
    if qr.pivots.len() < gram.columns {
        Ok(f64::INFINITY)
    } else {
        qr.condition(gram.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graded, random};
    use super::*;
    use crate::rrqr::column_pivoted_qr;

    fn gram_of(w: &Array2<f64>) -> Gram {
        let mut gram = Gram::new(w.ncols());
        gram.add_rows(w.view()).unwrap();
        gram
    }

    #[test]
    fn it_is_the_product_and_merging_is_adding() {
        let w = random(37, 300, 1);
        let expected = w.t().dot(&w);
        let mut merged = gram_of(&w.slice(ndarray::s![..20, ..]).to_owned());
        merged.merge(&gram_of(&w.slice(ndarray::s![20.., ..]).to_owned()));
        assert_eq!((merged.rows(), merged.columns()), (37, 300));
        for gram in [gram_of(&w), merged] {
            let matrix = gram.matrix();
            assert!(
                matrix
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| (a - b).abs() < 1e-12)
            );
            assert_eq!(matrix, matrix.t());
        }
    }

    #[test]
    fn rows_may_come_in_any_memory_order() {
        let w = random(50, 20, 2);
        let mut gram = Gram::new(20);
        let turned = w.t().as_standard_layout().to_owned();
        gram.add_rows(turned.t()).unwrap();
        assert_eq!(gram.matrix(), gram_of(&w).matrix());
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let w = random(100, 600, 3);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                gram_pivoted_qr(
                    &gram_of(&w),
                    Stop {
                        tolerance: 1e-6,
                        max_columns: 90,
                    },
                )
                .unwrap()
            })
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn many_panels_and_blocks_agree_with_the_direct_path() {
        let w = graded(700, 520, 1e3, 4);
        let direct = column_pivoted_qr(w.view(), Stop::NEVER).unwrap();
        super::super::tests::same(
            &gram_pivoted_qr(&gram_of(&w), Stop::NEVER).unwrap(),
            &direct,
            1e-10,
        );
    }

    #[test]
    fn the_condition_number_is_the_ratio_of_singular_values() {
        for ratio in [1e1, 1e3, 1e5] {
            let w = graded(200, 50, ratio, 5);
            let direct = column_pivoted_qr(w.view(), Stop::NEVER)
                .unwrap()
                .condition(50)
                .unwrap();
            let condition = condition_number(&gram_of(&w)).unwrap();
            assert!(
                (condition / direct - 1.0).abs() < 1e-14 * direct * direct + 1e-10,
                "{condition} {direct}"
            );
        }
    }

    #[test]
    fn dependent_columns_have_an_infinite_condition_number() {
        let base = random(60, 10, 6);
        let w = Array2::from_shape_fn((60, 11), |(i, j)| base[[i, j % 10]]);
        assert_eq!(condition_number(&gram_of(&w)).unwrap(), f64::INFINITY);
        assert!(matches!(
            condition_number(&Gram::new(4)),
            Err(Error::Numeric(_))
        ));
        assert!(matches!(
            condition_number(&Gram::new(0)),
            Err(Error::Numeric(_))
        ));
    }

    #[test]
    fn sums_that_overflow_are_an_error() {
        let gram = gram_of(&Array2::from_elem((2, 3), 1e200));
        assert!(matches!(
            gram_pivoted_qr(&gram, Stop::NEVER),
            Err(Error::Numeric(_))
        ));
    }
}
