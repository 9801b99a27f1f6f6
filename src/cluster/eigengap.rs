//! A graph → spectral clusters of each of its connected components, as many as its eigengap
//! suggests.
//!
//! The Laplacian is block-diagonal over the components, so each is clustered by itself: by the
//! normalised symmetric Laplacian (Ng, Jordan and Weiss 2002), into as many clusters as eigenvalues
//! come before the largest gap (von Luxburg 2007, section 8.3), at most half as many as vertices.
//! The rule that Yousefzadeh 2020 prints counts gaps above γ, which has no meaning for eigenvalues
//! in [0, 2] of some ten vertices. So a component that is complete, or a star, is one cluster, and
//! two such that a single edge joins are two.
//!
//! All eigenvalues of a component are needed, and that is cheap for few vertices only: a component
//! of more than [`MOST_SPECTRAL`] is cut into its communities first
//! ([`communities()`](fn@super::communities)), and each of those is then clustered as a component,
//! or stays as it is where it is as large. Clusters are connected: of one that is not, each part is
//! a cluster.

use super::{
    Clustering,
    communities::communities,
    components::{WeightedEdge, by_component, connected_components, inside, one_cluster},
    spectral::cluster_by,
};
use crate::{
    error::Result,
    monitor::Silent,
    spectral::{Laplacian, LaplacianKind, eigenpairs, largest_gap},
};

/// Most vertices of a component whose eigenvalues are computed: some ten milliseconds.
pub const MOST_SPECTRAL: usize = 256;
/// Eigenvalues are held against each other to so small a part, so that equal gaps are equal on
/// every machine.
const PART: f64 = 1e-9;

/// The spectral clusters of each connected component of a graph of `n` vertices: edges of two
/// vertices and a weight, each pair once. O(n³) for a component of up to [`MOST_SPECTRAL`]
/// vertices, O(E) for larger ones.
///
/// # Errors
/// [`crate::Error::Numeric`] for a weight that is negative or not finite.
///
/// # Panics
/// If an edge leads to no vertex or back to its own, or a pair comes twice.
pub fn eigengap_clusters(n: usize, edges: &[(u32, u32, f64)]) -> Result<Clustering> {
    by_component(n, edges, |n, edges| {
        if n <= MOST_SPECTRAL {
            return of_component(n, edges);
        }
        let of_community = |n: usize, edges: &[WeightedEdge]| {
            if n <= MOST_SPECTRAL {
                of_component(n, edges)
            } else {
                Ok(one_cluster(n))
            }
        };
        by_component(n, &inside(edges, &communities(n, edges)?), of_community)
    })
}

fn of_component(n: usize, edges: &[WeightedEdge]) -> Result<Clustering> {
    let most = n / 2;
    if most < 2 {
        return Ok(one_cluster(n));
    }
    let laplacian = Laplacian::sparse(n, edges, LaplacianKind::Symmetric)?;
    let pairs = eigenpairs(&laplacian, most + 1)?;
    let values: Vec<f64> = pairs
        .values
        .iter()
        .map(|value| (value / PART).round() * PART)
        .collect();
    match largest_gap(&values, most) {
        1 => Ok(one_cluster(n)),
        k => {
            let found = cluster_by(&pairs, &laplacian, k, 0, &Silent)?.clusters;
            connected_components(n, &inside(edges, &found))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{adjusted_rand_index, communities::tests::planted};

    fn complete(from: u32, to: u32) -> impl Iterator<Item = WeightedEdge> {
        (from..to).flat_map(move |b| (from..b).map(move |a| (a, b, 0.9)))
    }

    #[test]
    fn cliques_that_single_edges_join_are_clusters_and_complete_graphs_and_stars_are_one() {
        let joined: Vec<WeightedEdge> = complete(0, 5)
            .chain(complete(5, 11))
            .chain(complete(11, 14))
            .chain([(4, 5, 0.8), (10, 11, 0.8)])
            .collect();
        let found = eigengap_clusters(14, &joined).unwrap();
        assert_eq!(found.own(), [[0; 5].as_slice(), &[1; 6], &[2; 3]].concat());
        for n in 2..20 {
            assert_eq!(
                eigengap_clusters(n, &complete(0, n as u32).collect::<Vec<_>>())
                    .unwrap()
                    .count(),
                1,
                "complete, {n}"
            );
            let star: Vec<WeightedEdge> = (1..n as u32).map(|leaf| (0, leaf, 0.9)).collect();
            assert_eq!(eigengap_clusters(n, &star).unwrap().count(), 1, "star, {n}");
        }
        assert_eq!(
            eigengap_clusters(4, &[(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)])
                .unwrap()
                .own(),
            [0, 0, 1, 1]
        );
    }

    #[test]
    fn no_vertices_lonely_ones_and_pairs_are_clusters() {
        assert_eq!(eigengap_clusters(0, &[]).unwrap().count(), 0);
        assert_eq!(
            eigengap_clusters(5, &[(1, 3, 0.8)]).unwrap().own(),
            [0, 1, 2, 1, 3]
        );
        assert_eq!(
            eigengap_clusters(2, &[(0, 1, 0.0)]).unwrap().count(),
            2,
            "a weight of zero is no edge"
        );
        assert!(eigengap_clusters(2, &[(0, 1, -1.0)]).is_err());
    }

    #[test]
    fn planted_clusters_are_found_in_small_components_and_in_large_ones() {
        for (size, within, between) in [(10, 0.9, 0.02), (30, 0.6, 0.01), (90, 0.5, 0.01)] {
            let (edges, truth) = planted(4, size, within, between, 3);
            let found = eigengap_clusters(truth.len(), &edges).unwrap();
            assert!(
                adjusted_rand_index(found.own(), &truth) > 0.95,
                "{size}: {} clusters",
                found.count()
            );
        }
    }

    #[test]
    fn the_clusters_of_a_component_do_not_depend_on_the_others_or_on_threads() {
        let (edges, truth) = planted(3, 20, 0.7, 0.02, 11);
        let n = truth.len() as u32;
        let alone = eigengap_clusters(n as usize, &edges).unwrap();
        let far = complete(n, n + 6).chain([(n + 6, n + 7, 1.0)]);
        let both: Vec<WeightedEdge> = edges.iter().copied().chain(far).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| eigengap_clusters(n as usize + 8, &both).unwrap())
        };
        assert_eq!(run(1).own()[..n as usize], *alone.own());
        assert_eq!((run(1), run(1).count()), (run(3), alone.count() + 2));
    }
}
