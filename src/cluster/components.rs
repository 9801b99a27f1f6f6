//! A graph → its connected components, each clustered by itself.
//!
//! No edge leads from one component to another, so no method that goes by edges needs to see two at
//! once; and what changes in one leaves the clusters of all others as they are.

use rayon::prelude::*;

use super::Clustering;
use crate::{
    error::Result,
    spectral::{Laplacian, LaplacianKind},
};

/// Two vertices and the weight of their edge.
pub(super) type WeightedEdge = (u32, u32, f64);

/// Clusters each connected component of a graph of `n` vertices. `of_component` is given the number
/// of its vertices and its edges, between vertices that are numbered from 0 in the old order.
///
/// # Errors
/// [`crate::Error::Numeric`] for a weight that is negative or not finite; those of `of_component`.
///
/// # Panics
/// If an edge leads to no vertex or back to its own, or a pair comes twice.
pub(super) fn by_component(
    n: usize,
    edges: &[WeightedEdge],
    of_component: impl Fn(usize, &[WeightedEdge]) -> Result<Clustering> + Sync,
) -> Result<Clustering> {
    let components = Laplacian::sparse(n, edges, LaplacianKind::Unnormalized)?.components();
    let mut places = vec![(0, 0); n];
    for (component, vertices) in (0u32..).zip(&components) {
        (0u32..)
            .zip(vertices)
            .for_each(|(place, &vertex)| places[vertex as usize] = (component, place));
    }
    let mut parts = vec![Vec::new(); components.len()];
    for &(a, b, weight) in edges.iter().filter(|edge| edge.2 > 0.0) {
        let ((component, a), (_, b)) = (places[a as usize], places[b as usize]);
        parts[component as usize].push((a, b, weight));
    }
    let clusters =
        components
            .par_iter()
            .zip(&parts)
            .map(|(vertices, edges)| match vertices.len() {
                1 => Ok(Clustering::new(&[0])),
                n => of_component(n, edges),
            });
    let (mut own, mut before) = (vec![0; n], 0);
    for (vertices, clusters) in components.iter().zip(clusters.collect::<Result<Vec<_>>>()?) {
        vertices
            .iter()
            .zip(clusters.own())
            .for_each(|(&vertex, cluster)| own[vertex as usize] = before + cluster);
        before += clusters.count() as u32;
    }
    Ok(Clustering::new(&own))
}

/// The connected components of a graph as clusters.
///
/// # Errors
/// [`crate::Error::Numeric`] for a weight that is negative or not finite.
///
/// # Panics
/// If an edge leads to no vertex or back to its own, or a pair comes twice.
pub fn connected_components(n: usize, edges: &[(u32, u32, f64)]) -> Result<Clustering> {
    by_component(n, edges, |n, _| Ok(one_cluster(n)))
}

/// The edges within clusters.
pub(super) fn inside(edges: &[WeightedEdge], clusters: &Clustering) -> Vec<WeightedEdge> {
    let own = clusters.own();
    edges
        .iter()
        .filter(|(a, b, _)| own[*a as usize] == own[*b as usize])
        .copied()
        .collect()
}

pub(super) fn one_cluster(n: usize) -> Clustering {
    Clustering::new(&vec![0; n])
}
