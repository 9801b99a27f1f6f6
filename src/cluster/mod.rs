//! Points, or similarities → clusters.
//!
//! | method | of | number of clusters |
//! |---|---|---|
//! | [`kmeans()`] | points | given |
//! | [`complete_linkage`] | points | given |
//! | [`spectral_clustering`] | a graph Laplacian | given |
//! | [`eigengap_clusters`] | a graph | found, for each connected component |
//! | [`communities()`] | a graph | found |
//! | [`connected_components`] | a graph | found |
//! | [`threshold_groups`] | similar pairs | found |
//!
//! All are deterministic: a seed and the same input give the same clusters, for any number of
//! threads. Which images are clustered, and what becomes of the clusters, is left to
//! [`crate::index`].

mod communities;
mod components;
mod eigengap;
mod kmeans;
mod linkage;
mod nearest;
mod quality;
mod random;
mod seeding;
mod spectral;
mod threshold;

pub use communities::communities;
pub use components::connected_components;
pub use eigengap::{MOST_SPECTRAL, eigengap_clusters};
pub(crate) use kmeans::check_number;
pub use kmeans::{KMeans, kmeans};
pub(crate) use linkage::unit_rows;
pub use linkage::{MOST_LINKED, complete_linkage};
pub use quality::{adjusted_rand_index, modularity, silhouette};
pub use spectral::spectral_clustering;
pub use threshold::threshold_groups;

/// Which cluster each of some points is in. Clusters are numbered from 0 in the order of their
/// first points, and none is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clustering {
    own: Vec<u32>,
    count: usize,
}

impl Clustering {
    /// Of any names of clusters, one for each point.
    #[must_use]
    pub fn new(names: &[u32]) -> Self {
        let mut numbers = std::collections::HashMap::new();
        let number = |name: &u32| {
            let next = numbers.len() as u32;
            *numbers.entry(*name).or_insert(next)
        };
        let own = names.iter().map(number).collect();
        Self {
            own,
            count: numbers.len(),
        }
    }

    /// The cluster of each point.
    #[must_use]
    pub fn own(&self) -> &[u32] {
        &self.own
    }

    /// The number of clusters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The number of points of each cluster.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.count];
        self.own
            .iter()
            .for_each(|&cluster| sizes[cluster as usize] += 1);
        sizes
    }

    /// The points of each cluster, ascending.
    #[must_use]
    pub fn members(&self) -> Vec<Vec<u32>> {
        let mut members = vec![Vec::new(); self.count];
        (0..)
            .zip(&self.own)
            .for_each(|(point, &cluster)| members[cluster as usize].push(point));
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_numbered_by_their_first_points() {
        let clusters = Clustering::new(&[7, 2, 7, 9, 2]);
        assert_eq!(
            (clusters.own(), clusters.count()),
            (&[0, 1, 0, 2, 1][..], 3)
        );
        assert_eq!(
            (clusters.sizes(), clusters.members()),
            (vec![2, 2, 1], vec![vec![0, 2], vec![1, 4], vec![3]])
        );
    }
}
