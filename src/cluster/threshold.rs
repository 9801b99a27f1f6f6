//! Similar pairs → groups: the low-cost alternative of Yousefzadeh 2020, section 4.2 ("keep only
//! one image from each group of images that have SSIM larger than a threshold").
//!
//! All of a group are similar to one of its members ([`Graph::groups`]), so that chains of unlike
//! images do not join. O(E log E) for E pairs.

use super::Clustering;
use crate::{
    graph::Graph,
    knn::ByNumber,
    similarity::{Edge, register::Needs},
};

/// Groups `n` points by the pairs of them that are similar enough, each given once with its
/// similarity; a point without a group is one of its own. Ties go to the smaller point.
///
/// # Panics
/// If a pair names a point that there is not.
#[must_use]
pub fn threshold_groups(n: usize, pairs: &[(u32, u32, f32)]) -> Clustering {
    let mut edges = vec![Vec::new(); n];
    for &(a, b, similarity) in pairs {
        edges[a as usize].push(Edge {
            row: b,
            similarity,
            needs: Needs::NOTHING,
        });
        edges[b as usize].push(Edge {
            row: a,
            similarity,
            needs: Needs::NOTHING,
        });
    }
    let mut own: Vec<u32> = (0..n as u32).collect();
    for group in Graph::new(edges).groups(&ByNumber) {
        group
            .members
            .iter()
            .for_each(|member| own[member.row as usize] = group.representative);
    }
    Clustering::new(&own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_group_are_similar_to_one_of_them() {
        let groups = threshold_groups(7, &[(0, 1, 0.9), (1, 2, 0.9), (2, 3, 0.9), (5, 6, 0.8)]);
        assert_eq!(groups.own(), [0, 0, 0, 1, 2, 3, 3]);
        assert_eq!(threshold_groups(3, &[]).count(), 3);
    }
}
