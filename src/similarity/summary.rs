//! A matrix of similarities → mean, standard deviation, the most and the least similar pairs, and
//! how alone each image is.
//!
//! Yousefzadeh 2020 gives these for its matrices: mean and standard deviation (section 6.2.1), most
//! dissimilar pairs (Figures 7 and 19), test images least similar to the whole training set
//! (Figures 11 and 14), the most isolated image (Figure 19).

use ndarray::ArrayView2;

/// A pair and its similarity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairSimilarity {
    /// Row of the matrix.
    pub row: usize,
    /// Column of the matrix.
    pub column: usize,
    /// Its value there.
    pub similarity: f32,
}

/// What a matrix of similarities holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatrixSummary {
    /// Pairs: of a symmetric matrix those above the diagonal.
    pub pairs: u64,
    /// Mean over the pairs; 0 where there are none.
    pub mean: f64,
    /// Standard deviation over the pairs (of the population).
    pub sd: f64,
    /// The most similar pairs, most similar first; ties in the order of rows and columns.
    pub most: Vec<PairSimilarity>,
    /// The least similar pairs, least similar first.
    pub least: Vec<PairSimilarity>,
    /// For each row its most similar column (not itself), the row that is least similar to all
    /// first: the most isolated images.
    pub nearest: Vec<PairSimilarity>,
}

/// Summarises a matrix, with so many `extremes` on either side. In a symmetric one every pair
/// counts once, and no image with itself.
#[must_use]
pub fn summarise(matrix: ArrayView2<'_, f32>, symmetric: bool, extremes: usize) -> MatrixSummary {
    let mut summary = MatrixSummary {
        nearest: nearest(matrix, symmetric),
        ..MatrixSummary::default()
    };
    let (mut sum, mut most, mut least) = (0.0, Extremes::new(extremes), Extremes::new(extremes));
    each(matrix, symmetric, |pair| {
        summary.pairs += 1;
        sum += f64::from(pair.similarity);
        most.offer(-pair.similarity, pair);
        least.offer(pair.similarity, pair);
    });
    (summary.most, summary.least) = (most.found(), least.found());
    if summary.pairs > 0 {
        summary.mean = sum / summary.pairs as f64;
        let mut squares = 0.0;
        each(matrix, symmetric, |pair| {
            squares += (f64::from(pair.similarity) - summary.mean).powi(2);
        });
        summary.sd = (squares / summary.pairs as f64).sqrt();
    }
    summary
}

fn each(matrix: ArrayView2<'_, f32>, symmetric: bool, mut visit: impl FnMut(PairSimilarity)) {
    for (row, values) in matrix.outer_iter().enumerate() {
        let from = if symmetric { row + 1 } else { 0 };
        for (column, &similarity) in values.iter().enumerate().skip(from) {
            visit(PairSimilarity {
                row,
                column,
                similarity,
            });
        }
    }
}

fn nearest(matrix: ArrayView2<'_, f32>, symmetric: bool) -> Vec<PairSimilarity> {
    let of_row = |(row, values): (usize, ndarray::ArrayView1<'_, f32>)| {
        let others = values
            .into_iter()
            .enumerate()
            .filter(|(column, _)| !symmetric || *column != row);
        let pairs = others.map(|(column, &similarity)| PairSimilarity {
            row,
            column,
            similarity,
        });
        pairs.reduce(|best, pair| {
            if pair.similarity > best.similarity {
                pair
            } else {
                best
            }
        })
    };
    let mut nearest: Vec<PairSimilarity> =
        matrix.outer_iter().enumerate().filter_map(of_row).collect();
    nearest.sort_by(|a, b| {
        a.similarity
            .total_cmp(&b.similarity)
            .then(a.row.cmp(&b.row))
    });
    nearest
}

/// The pairs of least rank among those that are offered; of equals the first ones.
struct Extremes {
    most: usize,
    /// By rank, ascending.
    found: Vec<(f32, PairSimilarity)>,
}

impl Extremes {
    fn new(most: usize) -> Self {
        Self {
            most,
            found: Vec::new(),
        }
    }

    fn offer(&mut self, rank: f32, pair: PairSimilarity) {
        if self.found.len() == self.most && self.found.last().is_none_or(|(last, _)| rank >= *last)
        {
            return;
        }
        let at = self.found.partition_point(|(before, _)| *before <= rank);
        self.found.insert(at, (rank, pair));
        self.found.truncate(self.most);
    }

    fn found(self) -> Vec<PairSimilarity> {
        self.found.into_iter().map(|(_, pair)| pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn places(pairs: &[PairSimilarity]) -> Vec<(usize, usize)> {
        pairs.iter().map(|pair| (pair.row, pair.column)).collect()
    }

    #[test]
    fn of_a_symmetric_matrix_every_pair_counts_once_and_none_with_itself() {
        let matrix = array![[1.0, 0.5, 0.25], [0.5, 1.0, 0.0], [0.25, 0.0, 1.0_f32]];
        let summary = summarise(matrix.view(), true, 2);
        assert_eq!((summary.pairs, summary.mean), (3, 0.25));
        assert!((summary.sd - (0.125_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(
            (places(&summary.most), places(&summary.least)),
            (vec![(0, 1), (0, 2)], vec![(1, 2), (0, 2)])
        );
        assert_eq!(places(&summary.nearest), [(2, 0), (0, 1), (1, 0)]);
    }

    #[test]
    fn of_two_lists_all_pairs_count_and_ties_keep_their_order() {
        let matrix = array![[0.5, 0.5], [1.0, 0.5_f32]];
        let summary = summarise(matrix.view(), false, 3);
        assert_eq!((summary.pairs, summary.mean), (4, 0.625));
        assert_eq!(
            (places(&summary.most), places(&summary.least)),
            (vec![(1, 0), (0, 0), (0, 1)], vec![(0, 0), (0, 1), (1, 1)])
        );
        assert_eq!(places(&summary.nearest), [(0, 0), (1, 0)]);
        assert_eq!(
            summarise(ndarray::Array2::zeros((1, 1)).view(), true, 3).mean,
            0.0
        );
    }
}
