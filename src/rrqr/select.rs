//! Rows of integers → the indices of the most independent columns, the same on every machine.
//!
//! The search basis decides what a stored feature means, so its choice must not depend on CPU,
//! threads or block sizes. The pivoted Cholesky factorisation of WᵀW (as in
//! [`super::gram_pivoted_qr`]) is done left-looking and lazily: as columns are chosen, the residue
//! of another column only falls, so what it was last found to be bounds it from above, and only
//! columns whose bound is the largest are brought up to date (the lazy evaluation of Minoux 1978,
//! "Accelerated greedy algorithms for maximizing submodular set functions"). Scalar products are
//! exact integers; what follows is f64 in one fixed order, the same for a column whenever it is
//! done. Pivots with equal residues go by index. Which pictures and which scaling make the rows is
//! left to [`crate::feature`].

use std::{cmp::Ordering, collections::BinaryHeap};

use super::Stop;
use rayon::prelude::*;

/// Largest magnitude of a value: sixteen products of two such values fit into an i32.
pub const LARGEST_VALUE: i16 = 8192;

/// Columns that are brought up to date together.
const TOGETHER: usize = 16;

/// The first columns that column-pivoted QR chooses, in its order.
///
/// Ends as [`Stop`] says, at the latest where rounding hides what is left (√(d ε) of the first), so
/// a zero matrix gives no columns. Ties go to the smaller index. Cost: n d for the norms, then n k
/// exact multiply-adds for each of the c columns that were ever looked at (c is a few times k where
/// norms fall fast, as those of wavelet coefficients do; d at the worst), memory 2 n c bytes;
/// parallel over columns, with the same result for any number of threads and on every machine.
///
/// # Panics
/// If the rows have different lengths, or a value is beyond ±[`LARGEST_VALUE`].
#[must_use]
pub fn select_columns<R: AsRef<[i16]> + Sync>(rows: &[R], stop: Stop) -> Vec<usize> {
    let d = rows.first().map_or(0, |row| row.as_ref().len());
    let squares = squared_norms(rows, d);
    let floor = (stop.tolerance * stop.tolerance).max(d as f64 * f64::EPSILON)
        * squares.iter().copied().max().unwrap_or(0) as f64;
    let mut heap: BinaryHeap<Rest> = squares
        .into_iter()
        .enumerate()
        .map(|(index, square)| Rest::new(index, square))
        .collect();
    let mut pivots: Vec<Rest> = Vec::new();
    while pivots.len() < stop.max_columns {
        match heap.peek() {
            Some(best) if best.left > floor => {}
            _ => break,
        }
        let mut leading: Vec<Rest> = std::iter::from_fn(|| heap.pop()).take(TOGETHER).collect();
        if leading[0].row.len() == pivots.len() {
            let mut chosen = leading.remove(0);
            chosen.take_values(rows);
            pivots.push(chosen);
        } else {
            leading
                .par_iter_mut()
                .for_each(|rest| rest.bring_up_to_date(rows, &pivots));
        }
        heap.extend(leading);
    }
    pivots.into_iter().map(|pivot| pivot.index).collect()
}

/// The exact squared norms of all columns.
fn squared_norms<R: AsRef<[i16]> + Sync>(rows: &[R], d: usize) -> Vec<i64> {
    assert!(
        rows.iter().all(|row| row.as_ref().len() == d),
        "rows of one length"
    );
    let mut squares = vec![0; d];
    squares
        .par_chunks_mut(512)
        .enumerate()
        .for_each(|(chunk, squares)| {
            for sixteen in rows.chunks(16) {
                let mut sums = [0i32; 512];
                let mut largest = 0;
                for row in sixteen {
                    let values = &row.as_ref()[512 * chunk..][..squares.len()];
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        largest = largest.max(value.unsigned_abs());
                        *sum = sum.wrapping_add(i32::from(value).wrapping_mul(i32::from(value)));
                    }
                }
                assert!(
                    largest <= LARGEST_VALUE.unsigned_abs(),
                    "a value is beyond ±{LARGEST_VALUE}"
                );
                squares
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(square, sum)| *square += i64::from(sum));
            }
        });
    squares
}

/// The exact scalar product of two columns.
///
/// Sixteen products of at most 2²⁶ fit into an i32; in this shape the compiler makes multiply-add
/// instructions of it.
fn dot(a: &[i16], b: &[i16]) -> i64 {
    let (a_runs, a_rest) = a.as_chunks::<16>();
    let (b_runs, b_rest) = b.as_chunks::<16>();
    let run = |(x, y): (&[i16; 16], &[i16; 16])| {
        i64::from(
            (0..16)
                .map(|i| i32::from(x[i]) * i32::from(y[i]))
                .sum::<i32>(),
        )
    };
    let runs: i64 = a_runs.iter().zip(b_runs).map(run).sum();
    runs + a_rest
        .iter()
        .zip(b_rest)
        .map(|(&x, &y)| i64::from(x) * i64::from(y))
        .sum::<i64>()
}

/// A column, as far as it was looked at. In a heap the one with the largest residue comes first, of
/// equal ones that with the smaller index.
struct Rest {
    index: usize,
    /// Squared distance to the span of as many chosen columns as `row` is long: at least that to
    /// the span of all.
    left: f64,
    /// Its components along those columns: a column of R.
    row: Vec<f64>,
    /// Its values, once they were needed.
    values: Vec<i16>,
}

impl Rest {
    fn new(index: usize, square: i64) -> Self {
        Self {
            index,
            left: square as f64,
            row: Vec::new(),
            values: Vec::new(),
        }
    }

    fn take_values<R: AsRef<[i16]>>(&mut self, rows: &[R]) {
        if self.values.is_empty() {
            self.values = rows.iter().map(|row| row.as_ref()[self.index]).collect();
        }
    }

    /// Takes out the chosen columns that it was not compared with.
    fn bring_up_to_date<R: AsRef<[i16]>>(&mut self, rows: &[R], pivots: &[Self]) {
        self.take_values(rows);
        for pivot in &pivots[self.row.len()..] {
            let product = dot(&pivot.values, &self.values) as f64;
            let along = self
                .row
                .iter()
                .zip(&pivot.row)
                .fold(product, |sum, (a, b)| sum - a * b)
                / pivot.left.sqrt();
            self.left -= along * along;
            self.row.push(along);
        }
    }
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rest {}

impl PartialOrd for Rest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.left
            .total_cmp(&other.left)
            .then_with(|| other.index.cmp(&self.index))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deviates, naive};
    use super::*;
    use ndarray::Array2;

    /// Columns with falling norms.
    fn random(rows: usize, columns: usize, seed: u64) -> Vec<Vec<i16>> {
        let mut next = deviates(seed);
        let mut matrix = vec![vec![0; columns]; rows];
        for j in 0..columns {
            matrix
                .iter_mut()
                .for_each(|row| row[j] = (next() * 2500.0 / (1.0 + j as f64)) as i16);
        }
        matrix
    }

    fn as_matrix(rows: &[Vec<i16>]) -> Array2<f64> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| f64::from(rows[i][j]))
    }

    fn most(max_columns: usize) -> Stop {
        Stop {
            tolerance: 0.0,
            max_columns,
        }
    }

    #[test]
    fn the_scalar_product_is_exact_at_the_extremes() {
        for len in [0, 1, 31, 511, 512, 513, 8192] {
            let (high, low) = (vec![LARGEST_VALUE; len], vec![-LARGEST_VALUE; len]);
            assert_eq!(dot(&high, &high), (len as i64) << 26);
            assert_eq!(dot(&high, &low), -((len as i64) << 26));
        }
        let (a, b): (Vec<i16>, Vec<i16>) = random(1100, 2, 1)
            .iter()
            .map(|row| (row[0], row[1]))
            .unzip();
        let slow: i64 = a
            .iter()
            .zip(&b)
            .map(|(&a, &b)| i64::from(a) * i64::from(b))
            .sum();
        assert_eq!(dot(&a, &b), slow);
    }

    #[test]
    fn norms_are_exact_at_the_extremes() {
        for (n, d) in [(1, 1), (16, 513), (17, 512), (100, 1030)] {
            let rows: Vec<Vec<i16>> = (0..n)
                .map(|i| {
                    (0..d)
                        .map(|j| {
                            if (i + j) % 3 == 0 {
                                -LARGEST_VALUE
                            } else {
                                LARGEST_VALUE - j as i16
                            }
                        })
                        .collect()
                })
                .collect();
            let slow = (0..d)
                .map(|j| rows.iter().map(|row| i64::from(row[j]).pow(2)).sum())
                .collect::<Vec<i64>>();
            assert_eq!(squared_norms(&rows, d), slow);
        }
    }

    #[test]
    fn it_chooses_what_the_textbook_chooses() {
        for (rows, columns, seed) in [
            (600, 90, 2),
            (50, 200, 3),
            (7, 5, 4),
            (40, 1, 5),
            (30, 700, 6),
        ] {
            let integers = random(rows, columns, seed);
            let count = (rows.min(columns) * 2 / 3).max(1);
            assert_eq!(
                select_columns(&integers, most(count)),
                naive(&as_matrix(&integers), count).pivots
            );
        }
    }

    #[test]
    fn copies_of_chosen_columns_are_never_chosen() {
        let rows: Vec<Vec<i16>> = random(64, 8, 6)
            .iter()
            .map(|row| [&row[..], &row[..], &[0]].concat())
            .collect();
        let chosen = select_columns(&rows, Stop::NEVER);
        assert_eq!(chosen.len(), 8);
        assert!(chosen.iter().all(|&j| j < 8));
    }

    #[test]
    fn nothing_is_chosen_of_nothing() {
        assert!(select_columns::<Vec<i16>>(&[], Stop::NEVER).is_empty());
        assert!(select_columns(&[[0; 4]; 5], Stop::NEVER).is_empty());
    }

    #[test]
    fn of_equal_columns_the_first_is_chosen() {
        assert_eq!(select_columns(&[[3, 7, -7, 5]; 10], Stop::NEVER), [1]);
        // Equal norms, at right angles: by index, also those that were brought up to date later.
        let rows: Vec<Vec<i16>> = (0..40)
            .map(|i| (0..40).map(|j| i16::from(i == j)).collect())
            .collect();
        assert_eq!(
            select_columns(&rows, Stop::NEVER),
            (0..40).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let integers = random(300, 150, 7);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| select_columns(&integers, most(60)))
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    #[should_panic(expected = "beyond")]
    fn larger_values_are_refused() {
        let _ = select_columns(&[[8193]], Stop::NEVER);
    }
}
