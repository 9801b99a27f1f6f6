//! Integer columns → the indices of the most independent ones, the same on every machine.
//!
//! The search basis decides what a stored feature means, so its choice must not depend on CPU, threads or block sizes. The pivoted Cholesky
//! factorisation of WᵀW (as in [`super::gram_pivoted_qr`]) is done left-looking: the only columns of the Gram matrix that are ever
//! formed are those of the pivots, by integer scalar products that are exact. What follows is f64 in one fixed order. Pivots with equal
//! residues go by index. Which pictures and which scaling make the columns is left to [`crate::feature`].

use super::{Stop, largest};
use rayon::prelude::*;

/// Largest magnitude of a value: sixteen products of two such values fit into an i32.
pub const LARGEST_VALUE: i16 = 8192;

/// A matrix of integers, column by column.
#[derive(Clone, Debug)]
pub struct IntegerColumns {
    rows: usize,
    values: Vec<i16>,
}

impl IntegerColumns {
    /// The matrix of the given number of rows whose columns stand in `values` one after another.
    ///
    /// # Panics
    /// If the length is not a multiple of `rows`, or a value is beyond ±[`LARGEST_VALUE`].
    #[must_use]
    pub fn new(rows: usize, values: Vec<i16>) -> Self {
        assert!(
            if rows == 0 { values.is_empty() } else { values.len().is_multiple_of(rows) },
            "{} values in columns of {rows}",
            values.len()
        );
        assert!(values.iter().all(|value| value.unsigned_abs() <= LARGEST_VALUE.unsigned_abs()), "a value is beyond ±{LARGEST_VALUE}");
        Self { rows, values }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.values.len().checked_div(self.rows).unwrap_or(0)
    }

    fn column(&self, j: usize) -> &[i16] {
        &self.values[j * self.rows..][..self.rows]
    }
}

/// The exact scalar product of two columns.
///
/// Sixteen products of at most 2²⁶ fit into an i32; in this shape the compiler makes multiply-add instructions of it.
fn dot(a: &[i16], b: &[i16]) -> i64 {
    let (a_runs, a_rest) = a.as_chunks::<16>();
    let (b_runs, b_rest) = b.as_chunks::<16>();
    let run = |(x, y): (&[i16; 16], &[i16; 16])| i64::from((0..16).map(|i| i32::from(x[i]) * i32::from(y[i])).sum::<i32>());
    let runs: i64 = a_runs.iter().zip(b_runs).map(run).sum();
    runs + a_rest.iter().zip(b_rest).map(|(&x, &y)| i64::from(x) * i64::from(y)).sum::<i64>()
}

/// The first columns that column-pivoted QR chooses, in its order.
///
/// Ends as [`Stop`] says, at the latest where rounding hides what is left (√(d ε) of the first), so a zero matrix gives no columns. Ties go to
/// the smaller index. Cost: n d k exact multiply-adds and d k² / 2 in f64 for k columns of n × d, memory 8 d k bytes; parallel over columns,
/// with the same result for any number of threads and on every machine.
#[must_use]
pub fn select_columns(columns: &IntegerColumns, stop: Stop) -> Vec<usize> {
    let d = columns.columns();
    let mut rest: Vec<Rest> = (0..d).into_par_iter().with_min_len(8).map(|index| Rest::new(index, columns.column(index))).collect();
    let mut pivots = Vec::new();
    let mut floor = 0.0;
    while pivots.len() < stop.max_columns.min(d) {
        let Some((pivot, left)) = largest(rest.iter().filter(|rest| !rest.chosen).map(|rest| (rest.index, rest.left))) else { break };
        if pivots.is_empty() {
            floor = (stop.tolerance * stop.tolerance).max(d as f64 * f64::EPSILON) * left;
        }
        if left <= floor {
            break;
        }
        rest[pivot].chosen = true;
        let row = rest[pivot].row.clone();
        let (column, root) = (columns.column(pivot), left.sqrt());
        rest.par_iter_mut().with_min_len(8).filter(|rest| !rest.chosen).for_each(|rest| {
            rest.take_out(dot(column, columns.column(rest.index)) as f64, &row, root);
        });
        pivots.push(pivot);
    }
    pivots
}

/// A column that is not chosen yet.
struct Rest {
    index: usize,
    chosen: bool,
    /// Squared distance to the span of the chosen columns.
    left: f64,
    /// Its components along the chosen columns: a column of R.
    row: Vec<f64>,
}

impl Rest {
    fn new(index: usize, column: &[i16]) -> Self {
        Self { index, chosen: false, left: dot(column, column) as f64, row: Vec::new() }
    }

    /// Takes a chosen column out: `product` is the scalar product with it, `row` its components, `root` its distance to those before.
    fn take_out(&mut self, product: f64, row: &[f64], root: f64) {
        let along = self.row.iter().zip(row).fold(product, |sum, (a, b)| sum - a * b) / root;
        self.left -= along * along;
        self.row.push(along);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deviates, naive};
    use super::*;
    use ndarray::Array2;

    fn random(rows: usize, columns: usize, seed: u64) -> IntegerColumns {
        let mut next = deviates(seed);
        IntegerColumns::new(rows, (0..rows * columns).map(|i| (next() * 2500.0 / (1.0 + (i / rows) as f64)) as i16).collect())
    }

    fn as_matrix(columns: &IntegerColumns) -> Array2<f64> {
        Array2::from_shape_fn((columns.rows(), columns.columns()), |(i, j)| f64::from(columns.column(j)[i]))
    }

    #[test]
    fn the_scalar_product_is_exact_at_the_extremes() {
        for len in [0, 1, 31, 511, 512, 513, 8192] {
            let (high, low) = (vec![LARGEST_VALUE; len], vec![-LARGEST_VALUE; len]);
            assert_eq!(dot(&high, &high), (len as i64) << 26);
            assert_eq!(dot(&high, &low), -((len as i64) << 26));
        }
        let columns = random(1100, 2, 1);
        let slow: i64 = columns.column(0).iter().zip(columns.column(1)).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
        assert_eq!(dot(columns.column(0), columns.column(1)), slow);
    }

    #[test]
    fn it_chooses_what_the_textbook_chooses() {
        for (rows, columns, seed) in [(600, 90, 2), (50, 200, 3), (7, 5, 4), (40, 1, 5)] {
            let integers = random(rows, columns, seed);
            let most = (rows.min(columns) * 2 / 3).max(1);
            let chosen = select_columns(&integers, Stop { tolerance: 0.0, max_columns: most });
            assert_eq!(chosen, naive(&as_matrix(&integers), most).pivots);
        }
    }

    #[test]
    fn copies_of_chosen_columns_are_never_chosen() {
        let base = random(64, 8, 6);
        let mut values = base.values.clone();
        values.extend(&base.values);
        values.resize(values.len() + 64, 0);
        let chosen = select_columns(&IntegerColumns::new(64, values), Stop::NEVER);
        assert_eq!(chosen.len(), 8);
        assert!(chosen.iter().all(|&j| j < 8));
    }

    #[test]
    fn nothing_is_chosen_of_nothing() {
        assert!(select_columns(&IntegerColumns::new(0, vec![]), Stop::NEVER).is_empty());
        assert!(select_columns(&IntegerColumns::new(5, vec![0; 20]), Stop::NEVER).is_empty());
    }

    #[test]
    fn equal_rows_give_one_column_the_first_of_equals() {
        let values = [3i16, 7, -7, 5].iter().flat_map(|&v| vec![v; 10]).collect();
        assert_eq!(select_columns(&IntegerColumns::new(10, values), Stop::NEVER), [1]);
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let integers = random(300, 150, 7);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| select_columns(&integers, Stop { tolerance: 0.0, max_columns: 60 }))
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    #[should_panic(expected = "beyond")]
    fn larger_values_are_refused() {
        let _ = IntegerColumns::new(1, vec![8193]);
    }
}
