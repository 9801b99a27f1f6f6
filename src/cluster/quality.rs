//! Clusters → how good they are, or how like others.
//!
//! The silhouette (Rousseeuw 1987, "Silhouettes: a graphical aid to the interpretation and
//! validation of cluster analysis", equations 1 to 3) asks whether points are nearer to their own
//! cluster than to the next one; the adjusted Rand index (Hubert and Arabie 1985, "Comparing
//! partitions", equation 5) compares two clusterings of the same points; the modularity (Newman and
//! Girvan 2004, "Finding and evaluating community structure in networks", equation 5) asks whether
//! more of a graph's weight lies within clusters than would by chance.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Clustering;

/// The mean silhouette of some of the points, in [−1, 1]: of s = (b − a) / max(a, b), a the mean
/// distance to the others of the own cluster, b the least mean distance to the points of another
/// cluster; 0 for a point that is alone in its cluster. `None` where there are fewer than two
/// clusters, or no points are asked for. O(asked × n) distances.
#[must_use]
pub fn silhouette(
    clusters: &Clustering,
    asked: &[u32],
    distance: impl Fn(u32, u32) -> f64 + Sync,
) -> Option<f64> {
    if clusters.count() < 2 || asked.is_empty() {
        return None;
    }
    let sizes = clusters.sizes();
    let of_point = |&point: &u32| {
        let own = clusters.own()[point as usize] as usize;
        if sizes[own] == 1 {
            return 0.0;
        }
        let mut sums = vec![0.0; sizes.len()];
        for (other, &cluster) in (0..).zip(clusters.own()) {
            sums[cluster as usize] += if other == point {
                0.0
            } else {
                distance(point, other)
            };
        }
        let a = sums[own] / (sizes[own] - 1) as f64;
        let means = sums
            .iter()
            .zip(&sizes)
            .enumerate()
            .filter(|(cluster, _)| *cluster != own);
        let b = means
            .map(|(_, (sum, &size))| sum / size as f64)
            .fold(f64::INFINITY, f64::min);
        if a == b { 0.0 } else { (b - a) / a.max(b) }
    };
    let each: Vec<f64> = asked.par_iter().map(of_point).collect();
    Some(each.iter().sum::<f64>() / asked.len() as f64)
}

/// The modularity of clusters of a graph's vertices, in [−½, 1): Σ over clusters of (weight within
/// / m − (sum of degrees / 2 m)²), m the weight of all edges, each given once. `None` where there
/// is no weight.
///
/// # Panics
/// If an edge names a vertex that has no cluster.
#[must_use]
pub fn modularity(edges: &[(u32, u32, f64)], clusters: &Clustering) -> Option<f64> {
    let m: f64 = edges.iter().map(|edge| edge.2).sum();
    if m.is_nan() || m <= 0.0 {
        return None;
    }
    let (mut within, mut degrees) = (0.0, vec![0.0; clusters.count()]);
    for &(a, b, weight) in edges {
        let [a, b] = [a, b].map(|vertex| clusters.own()[vertex as usize]);
        within += if a == b { weight } else { 0.0 };
        degrees[a as usize] += weight;
        degrees[b as usize] += weight;
    }
    Some(
        within / m
            - degrees
                .iter()
                .map(|degree| (degree / (2.0 * m)).powi(2))
                .sum::<f64>(),
    )
}

/// How far two clusterings of the same points agree beyond chance: 1 if they are the same, about 0
/// for unrelated ones.
///
/// # Panics
/// If they have different lengths.
#[must_use]
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> f64 {
    assert_eq!(a.len(), b.len(), "clusterings of the same points");
    let (mut both, mut of_a, mut of_b) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (&a, &b) in a.iter().zip(b) {
        *both.entry((a, b)).or_insert(0u64) += 1;
        *of_a.entry(a).or_insert(0u64) += 1;
        *of_b.entry(b).or_insert(0u64) += 1;
    }
    let pairs = |n: u64| (n * n.saturating_sub(1) / 2) as f64;
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.map(pairs).sum::<f64>();
    let (index, in_a, in_b) = (
        sum(&mut both.values().copied()),
        sum(&mut of_a.values().copied()),
        sum(&mut of_b.values().copied()),
    );
    let expected = in_a * in_b / pairs(a.len() as u64).max(1.0);
    let most = f64::midpoint(in_a, in_b);
    if most == expected {
        1.0
    } else {
        (index - expected) / (most - expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silhouette_is_that_of_the_paper_by_hand() {
        let values = [0.0f64, 2.0, 10.0, 14.0, 50.0];
        let clusters = Clustering::new(&[0, 0, 1, 1, 2]);
        let distance = |a: u32, b: u32| (values[a as usize] - values[b as usize]).abs();
        let by_hand = [
            (12.0 - 2.0) / 12.0,
            (10.0 - 2.0) / 10.0,
            (9.0 - 4.0) / 9.0,
            (13.0 - 4.0) / 13.0,
            0.0,
        ];
        let all = silhouette(&clusters, &[0, 1, 2, 3, 4], distance).unwrap();
        assert!((all - by_hand.iter().sum::<f64>() / 5.0).abs() < 1e-12);
        assert!((silhouette(&clusters, &[2], distance).unwrap() - by_hand[2]).abs() < 1e-12);
        assert_eq!(
            silhouette(&Clustering::new(&[0, 0, 0]), &[0, 1], distance),
            None
        );
    }

    #[test]
    fn the_rand_index_is_one_for_the_same_clusters_under_other_names_and_that_of_a_known_case_else()
    {
        assert_eq!(adjusted_rand_index(&[0, 0, 1, 2], &[5, 5, 9, 0]), 1.0);
        assert_eq!(adjusted_rand_index(&[0; 4], &[3; 4]), 1.0);
        // scikit-learn 1.5: adjusted_rand_score([0, 0, 1, 2], [0, 0, 1, 1]) = 0.5714285714285714
        assert!((adjusted_rand_index(&[0, 0, 1, 2], &[0, 0, 1, 1]) - 4.0 / 7.0).abs() < 1e-12);
        assert!(adjusted_rand_index(&[0, 0, 1, 1], &[0, 1, 0, 1]) < 0.0);
    }

    #[test]
    fn the_modularity_is_that_of_a_known_case() {
        // Two triangles that an edge joins: m = 7; 6/7 − 2 · (7/14)² = 5/14.
        let edges =
            [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3)].map(|(a, b)| (a, b, 0.8));
        let of = |own: &[u32]| modularity(&edges, &Clustering::new(own)).unwrap();
        assert!((of(&[0, 0, 0, 1, 1, 1]) - 5.0 / 14.0).abs() < 1e-12);
        assert!(of(&[0; 6]).abs() < 1e-12);
        assert!((of(&[0, 1, 2, 3, 4, 5]) + (4.0 * 4.0 + 2.0 * 9.0) / 196.0).abs() < 1e-12);
        assert_eq!(modularity(&[], &Clustering::new(&[0, 1])), None);
    }
}
