//! A graph Laplacian → k clusters: k-means on the rows of its first k eigenvectors.
//!
//! Von Luxburg 2007, "A tutorial on spectral clustering", section 4: of the unnormalised Laplacian
//! and of L_rw (Shi and Malik 2000) the rows as they are; of L_sym (Ng, Jordan and Weiss 2002) rows
//! scaled to length one. Line 10 of Algorithm 2 of Yousefzadeh 2020, which names no Laplacian.
//!
//! Of the normalised Laplacians, eigenvectors that set apart what is the same are left out. Two
//! images that are the same, with a similarity of 1 and the degree d, have the eigenvector eᵢ − eⱼ
//! with the eigenvalue 1 + 1/d; so only eigenvalues under 1 + 1/(largest degree) count. Where k is
//! nearly n, as in section 6.2.1 of the paper, the first k would hold such vectors, and its
//! identical images would come apart.

use ndarray::{Array2, s};

use super::kmeans::{KMeans, check_number, kmeans};
use crate::{
    error::Result,
    monitor::Monitor,
    spectral::{Eigenpairs, Laplacian, LaplacianKind, eigenpairs},
};

/// The similarity from which images count as the same.
const SAME: f64 = 0.999;

/// Clusters the vertices of a graph into `k` clusters. Cost: that of k eigenpairs ([`eigenpairs`])
/// and of k-means in k dimensions.
///
/// # Errors
/// [`crate::Error::Input`] unless 0 < k < n; [`crate::Error::Numeric`] where eigenvalues do not
/// converge; [`crate::Error::Interrupted`].
pub fn spectral_clustering(
    laplacian: &Laplacian,
    k: usize,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<KMeans> {
    check_number(laplacian.len(), k)?;
    monitor.stage("finding eigenvectors", None);
    cluster_by(&eigenpairs(laplacian, k)?, laplacian, k, seed, monitor)
}

/// Clusters by eigenpairs that are known, the first `k` at least.
pub(super) fn cluster_by(
    pairs: &Eigenpairs,
    laplacian: &Laplacian,
    k: usize,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<KMeans> {
    let (values, vectors) = (&pairs.values[..k], &pairs.vectors);
    let largest = laplacian
        .degrees()
        .iter()
        .fold(0.0, |m: f64, &degree| m.max(degree));
    let taken = match laplacian.kind() {
        LaplacianKind::Unnormalized => values.len(),
        _ => values
            .partition_point(|&value| value < 1.0 + SAME / largest)
            .max(1),
    };
    kmeans(
        embedding(vectors.slice(s![.., ..taken]).to_owned(), laplacian.kind()).view(),
        k,
        seed,
        monitor,
    )
}

/// The rows of the eigenvectors as points.
fn embedding(mut vectors: Array2<f64>, kind: LaplacianKind) -> Array2<f32> {
    if kind == LaplacianKind::Symmetric {
        for mut row in vectors.rows_mut() {
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            // A row of zeros has no direction and stays.
            if norm > 0.0 {
                row /= norm;
            }
        }
    }
    vectors.mapv(|v| v as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::adjusted_rand_index, monitor::Silent};

    /// Blocks of similar vertices with weak similarities between them.
    fn blocks(truth: &[u32]) -> Array2<f32> {
        let n = truth.len();
        Array2::from_shape_fn((n, n), |(i, j)| match (i == j, truth[i] == truth[j]) {
            (true, _) => 1.0,
            (_, true) => 0.8 + ((i * j) % 7) as f32 / 70.0,
            _ => 0.02 + ((i + j) % 5) as f32 / 500.0,
        })
    }

    #[test]
    fn blocks_are_found_with_each_laplacian() {
        let truth: Vec<u32> = (0..60).map(|i| i * i % 4).collect();
        for kind in [
            LaplacianKind::Unnormalized,
            LaplacianKind::Symmetric,
            LaplacianKind::RandomWalk,
        ] {
            let laplacian = Laplacian::dense(blocks(&truth).view(), kind).unwrap();
            let k = truth.iter().collect::<std::collections::HashSet<_>>().len();
            let found = spectral_clustering(&laplacian, k, 1, &Silent).unwrap();
            assert_eq!(
                adjusted_rand_index(found.clusters.own(), &truth),
                1.0,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn vertices_that_are_the_same_stay_together_though_there_are_nearly_as_many_clusters_as_vertices()
     {
        // Weak similarities without structure; 3 and 17, 5 and 40 are the same.
        let twin = |i: usize| {
            [(17, 3), (40, 5)]
                .iter()
                .find(|(a, _)| *a == i)
                .map_or(i, |(_, b)| *b)
        };
        let weak = |i: usize, j: usize| (i.min(j) * 7919 + i.max(j) * 104_729) % 97;
        let similarities = Array2::from_shape_fn((50, 50), |(i, j)| match (twin(i), twin(j)) {
            (a, b) if a == b => 1.0,
            (a, b) => weak(a, b) as f32 / 300.0,
        });
        for kind in [LaplacianKind::Symmetric, LaplacianKind::RandomWalk] {
            let laplacian = Laplacian::dense(similarities.view(), kind).unwrap();
            let found = spectral_clustering(&laplacian, 46, 2, &Silent).unwrap();
            let own = found.clusters.own();
            assert_eq!((own[3], own[5]), (own[17], own[40]), "{kind:?}");
        }
    }

    #[test]
    fn components_of_a_graph_are_its_clusters_and_a_complete_graph_has_some() {
        let edges = [
            (0, 1, 1.0),
            (1, 2, 1.0),
            (3, 4, 1.0),
            (4, 5, 0.5),
            (6, 7, 1.0),
        ];
        let laplacian = Laplacian::sparse(8, &edges, LaplacianKind::Symmetric).unwrap();
        let found = spectral_clustering(&laplacian, 3, 4, &Silent).unwrap();
        assert_eq!(
            adjusted_rand_index(found.clusters.own(), &[0, 0, 0, 1, 1, 1, 2, 2]),
            1.0
        );
        let complete =
            Laplacian::dense(Array2::ones((6, 6)).view(), LaplacianKind::Unnormalized).unwrap();
        assert!(
            spectral_clustering(&complete, 2, 4, &Silent)
                .unwrap()
                .clusters
                .count()
                <= 2
        );
        assert!(
            [0, 6, 7]
                .iter()
                .all(|&k| spectral_clustering(&complete, k, 4, &Silent).is_err())
        );
    }
}
