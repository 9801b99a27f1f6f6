//! Neighbour lists → local outlier factors: how much sparser it is around an image than around its
//! neighbours.
//!
//! Breunig, Kriegel, Ng and Sander 2000, "LOF: identifying density-based local outliers", SIGMOD.
//! With N(p) the list of p, d the Euclidean distance and k-distance(o) that of the last in the list
//! of o:
//!
//! - reach(p, o) = max(k-distance(o), d(p, o)),
//! - lrd(p) = 1 / mean of reach(p, o) over o in N(p),
//! - LOF(p) = mean of lrd(o) / lrd(p) over o in N(p).
//!
//! Two choices that the paper leaves open. A list has k rows even where more are as near as the
//! last. Where all of a list coincide, the density would be infinite: a mean reach counts as at
//! least one unit of the features ([`crate::feature::SCALE`]), below which they tell nothing apart.

use rayon::prelude::*;

use crate::knn::Neighbor;

/// The factor of each row, of neighbour lists that name places in `lists`, nearest first; `None`
/// for an empty list. About 1 inside a cluster, more outside. O(n × k).
///
/// # Panics
/// If a list names a row that there is not.
#[must_use]
pub fn local_outlier_factors(lists: &[Vec<Neighbor>]) -> Vec<Option<f64>> {
    let distance = |neighbor: &Neighbor| f64::from(neighbor.distance).sqrt();
    let k_distance: Vec<f64> = lists
        .par_iter()
        .map(|list| list.last().map_or(0.0, distance))
        .collect();
    let mean_reach = |list: &Vec<Neighbor>| {
        let reach = list
            .iter()
            .map(|o| distance(o).max(k_distance[o.row as usize]));
        (reach.sum::<f64>() / list.len() as f64).max(1.0)
    };
    let density: Vec<f64> = lists
        .par_iter()
        .map(|list| {
            if list.is_empty() {
                0.0
            } else {
                mean_reach(list).recip()
            }
        })
        .collect();
    let factor = |(list, own): (&Vec<Neighbor>, &f64)| {
        let sum: f64 = list.iter().map(|o| density[o.row as usize]).sum();
        (!list.is_empty()).then(|| sum / list.len() as f64 / own)
    };
    lists.par_iter().zip(&density).map(factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The k nearest of numbers on a line, ties by number.
    fn lists(values: &[i64], k: usize) -> Vec<Vec<Neighbor>> {
        let of = |i: usize| {
            let others = (0..values.len()).filter(|&j| j != i);
            let squared = |j: usize| Neighbor {
                row: j as u32,
                distance: (values[i] - values[j]).pow(2) as u32,
            };
            let mut list: Vec<Neighbor> = others.map(squared).collect();
            list.sort_by_key(|n| (n.distance, n.row));
            list.truncate(k);
            list
        };
        (0..values.len()).map(of).collect()
    }

    #[test]
    fn factors_are_those_of_the_paper_by_hand() {
        // k = 2. k-distances: 20 10 20 70. Mean reaches: of 0: (10 + 20)/2 of {10, 20}; of 10: 20;
        // of 20: 15; of 90: (70 + 80)/2.
        let found = local_outlier_factors(&lists(&[0, 10, 20, 90], 2));
        let reach = [15.0, 20.0, 15.0, 75.0];
        let expected = [
            (reach[0] / reach[1] + reach[0] / reach[2]) / 2.0,
            (reach[1] / reach[0] + reach[1] / reach[2]) / 2.0,
            (reach[2] / reach[1] + reach[2] / reach[0]) / 2.0,
            (reach[3] / reach[2] + reach[3] / reach[1]) / 2.0,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found.unwrap() - expected).abs() < 1e-12,
                "{found:?} {expected}"
            );
        }
    }

    #[test]
    fn an_even_grid_has_no_outlier_and_a_far_point_is_one() {
        let mut values: Vec<i64> = (0..40).map(|i| i * 100).collect();
        let inside = local_outlier_factors(&lists(&values, 4));
        // What the ends lack, farther neighbours, reaches two lists in.
        assert!(
            inside[6..34]
                .iter()
                .all(|f| (f.unwrap() - 1.0).abs() < 1e-12),
            "{inside:?}"
        );
        values.push(9_000);
        let with_far = local_outlier_factors(&lists(&values, 4));
        assert!(with_far[40].unwrap() > 10.0, "{with_far:?}");
    }

    #[test]
    fn copies_and_rows_without_neighbours_have_finite_factors_or_none() {
        let mut copies = lists(&[7, 7, 7, 7, 500], 3);
        copies.push(Vec::new());
        let found = local_outlier_factors(&copies);
        assert_eq!(found[..4], [Some(1.0); 4]);
        assert_eq!((found[4], found[5]), (Some(493.0), None));
    }
}
