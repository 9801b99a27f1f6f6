//! A graph → communities of high modularity.
//!
//! Newman and Girvan 2004, "Finding and evaluating community structure in networks", equation 5,
//! with weights (Newman 2004, "Analysis of weighted networks"), made large by the method of Louvain
//! (Blondel et al. 2008, "Fast unfolding of communities in large networks"): every vertex goes to
//! the neighbouring community where it adds most, until none gains; then communities become
//! vertices, and it starts again. Only vertices whose neighbours moved are looked at again (the
//! queue of Traag, Waltman and van Eck 2019, "From Louvain to Leiden", section "Fast local move").
//! Vertices are taken in their order and ties go to the community that is met first, so nothing is
//! random.
//!
//! The method of Louvain may leave a community that is not connected (Traag et al., section "Badly
//! connected communities"); each part of it is then a community, which is never less modular. So no
//! community reaches beyond a connected component; but how finely one is cut depends on the weight
//! of the whole graph, and in a large graph small communities are not told apart (Fortunato and
//! Barthélemy 2007, "Resolution limit in community detection").

use std::collections::VecDeque;

use super::{
    Clustering,
    components::{WeightedEdge, connected_components, inside},
};
use crate::error::Result;

/// Gains that are no larger a share of all weights are rounding.
const ROUNDING: f64 = 1e-12;

/// The communities of a graph of `n` vertices: edges of two vertices and a weight, each pair once.
/// O(E) for each round; there are few.
///
/// # Errors
/// [`crate::Error::Numeric`] for a weight that is negative or not finite.
///
/// # Panics
/// If an edge leads to no vertex or back to its own, or a pair comes twice.
pub fn communities(n: usize, edges: &[(u32, u32, f64)]) -> Result<Clustering> {
    // Refuses weights that are none.
    connected_components(n, edges)?;
    let mut level = Level::new(n, edges);
    let mut own: Vec<u32> = (0..n as u32).collect();
    loop {
        let found = Clustering::new(&level.settle());
        if found.count() == level.rows.len() {
            break;
        }
        own.iter_mut()
            .for_each(|own| *own = found.own()[*own as usize]);
        level = level.merged(&found);
    }
    connected_components(n, &inside(edges, &Clustering::new(&own)))
}

/// A graph whose vertices may be communities of a graph before.
struct Level {
    /// The neighbours of each vertex, ascending; never itself.
    rows: Vec<Vec<(u32, f64)>>,
    /// The sum of weights at each vertex, inner edges twice.
    degrees: Vec<f64>,
    /// Of all vertices: 2 m.
    total: f64,
}

impl Level {
    fn new(n: usize, edges: &[WeightedEdge]) -> Self {
        let mut rows = vec![Vec::new(); n];
        for &(a, b, weight) in edges {
            rows[a as usize].push((b, weight));
            rows[b as usize].push((a, weight));
        }
        rows.iter_mut()
            .for_each(|row| row.sort_unstable_by_key(|&(other, _)| other));
        let degrees: Vec<f64> = rows
            .iter()
            .map(|row| row.iter().map(|&(_, weight)| weight).sum())
            .collect();
        let total = degrees.iter().sum();
        Self {
            rows,
            degrees,
            total,
        }
    }

    /// Moves vertices from communities of their own to those of neighbours until none gains by it.
    fn settle(&self) -> Vec<u32> {
        let n = self.rows.len();
        let mut own: Vec<u32> = (0..n as u32).collect();
        let (mut sums, mut weights) = (self.degrees.clone(), vec![0.0; n]);
        let (mut waiting, mut waits): (VecDeque<u32>, _) = ((0..n as u32).collect(), vec![true; n]);
        while let Some(vertex) = waiting.pop_front() {
            waits[vertex as usize] = false;
            let old = own[vertex as usize];
            sums[old as usize] -= self.degrees[vertex as usize];
            let new = self.best(vertex, &own, &sums, &mut weights);
            sums[new as usize] += self.degrees[vertex as usize];
            own[vertex as usize] = new;
            if new != old {
                let others = self.rows[vertex as usize].iter().map(|&(other, _)| other);
                waiting.extend(others.filter(|&o| {
                    own[o as usize] != new && !std::mem::replace(&mut waits[o as usize], true)
                }));
            }
        }
        own
    }

    /// The community to which a vertex, taken out of its own, adds most; its own unless another is
    /// better. `weights` is all zero, before and after.
    fn best(&self, vertex: u32, own: &[u32], sums: &[f64], weights: &mut [f64]) -> u32 {
        let row = &self.rows[vertex as usize];
        row.iter()
            .for_each(|&(other, weight)| weights[own[other as usize] as usize] += weight);
        let share = self.degrees[vertex as usize] / self.total;
        let gain = |community: u32| weights[community as usize] - share * sums[community as usize];
        let old = own[vertex as usize];
        let mut best = (gain(old), old);
        for community in row.iter().map(|&(other, _)| own[other as usize]) {
            let gain = gain(community);
            if gain > best.0 + ROUNDING * self.total {
                best = (gain, community);
            }
        }
        row.iter()
            .for_each(|&(other, _)| weights[own[other as usize] as usize] = 0.0);
        best.1
    }

    /// The graph whose vertices are communities of this one.
    fn merged(&self, communities: &Clustering) -> Self {
        let own = communities.own();
        let mut degrees = vec![0.0; communities.count()];
        own.iter()
            .zip(&self.degrees)
            .for_each(|(&community, degree)| degrees[community as usize] += degree);
        let of_community = |members: &Vec<u32>| {
            let edges = members.iter().flat_map(|&vertex| {
                self.rows[vertex as usize]
                    .iter()
                    .map(move |edge| (vertex, edge))
            });
            let outer =
                edges.filter(|(vertex, edge)| own[*vertex as usize] != own[edge.0 as usize]);
            let mut row: Vec<(u32, f64)> = outer
                .map(|(_, &(other, weight))| (own[other as usize], weight))
                .collect();
            row.sort_by_key(|&(other, _)| other);
            row.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                kept.1 += if same { next.1 } else { 0.0 };
                same
            });
            row
        };
        Self {
            rows: communities.members().iter().map(of_community).collect(),
            degrees,
            total: self.total,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cluster::{adjusted_rand_index, modularity, random::Numbers};

    /// A graph of `k` planted communities of `size` vertices: an edge with probability `within`
    /// inside of them and `between` else.
    pub(in crate::cluster) fn planted(
        k: usize,
        size: usize,
        within: f64,
        between: f64,
        seed: u64,
    ) -> (Vec<WeightedEdge>, Vec<u32>) {
        let mut numbers = Numbers::new(seed);
        let truth: Vec<u32> = (0..k * size).map(|i| (i % k) as u32).collect();
        let mut edges = Vec::new();
        for b in 0..truth.len() {
            for a in 0..b {
                if numbers.unit()
                    < if truth[a] == truth[b] {
                        within
                    } else {
                        between
                    }
                {
                    edges.push((a as u32, b as u32, 0.7 + 0.3 * numbers.unit()));
                }
            }
        }
        (edges, truth)
    }

    #[test]
    fn planted_communities_are_found() {
        for seed in 0..5 {
            let (edges, truth) = planted(8, 40, 0.4, 0.02, seed);
            let found = communities(truth.len(), &edges).unwrap();
            assert!(
                adjusted_rand_index(found.own(), &truth) > 0.98,
                "seed {seed}"
            );
            let planted = modularity(&edges, &Clustering::new(&truth)).unwrap();
            assert!(
                modularity(&edges, &found).unwrap() >= planted - 1e-9,
                "seed {seed}"
            );
        }
    }

    #[test]
    fn communities_are_connected_and_more_modular_than_one_of_all_or_one_for_each() {
        for seed in 0..10 {
            let (edges, truth) = planted(4, 10, 0.3, 0.05, 100 + seed);
            let (n, found) = (truth.len(), communities(truth.len(), &edges).unwrap());
            let best = modularity(&edges, &found).unwrap();
            for (name, own) in [("one", vec![0; n]), ("each", (0..n as u32).collect())] {
                assert!(
                    modularity(&edges, &Clustering::new(&own)).unwrap() < best,
                    "{name}"
                );
            }
            assert_eq!(
                connected_components(n, &inside(&edges, &found)).unwrap(),
                found
            );
        }
    }

    #[test]
    fn no_community_reaches_beyond_a_component_and_none_is_less_modular_than_the_components() {
        for seed in 0..10 {
            let (edges, truth) = planted(6, 8, 0.5, 0.004, 50 + seed);
            let (parts, found) = (
                connected_components(truth.len(), &edges).unwrap(),
                communities(truth.len(), &edges).unwrap(),
            );
            assert!(found.members().iter().all(|members| {
                members
                    .iter()
                    .all(|&v| parts.own()[v as usize] == parts.own()[members[0] as usize])
            }));
            assert!(
                modularity(&edges, &found).unwrap() >= modularity(&edges, &parts).unwrap(),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn no_edges_a_complete_graph_and_no_vertices_have_communities() {
        assert_eq!(communities(0, &[]).unwrap().count(), 0);
        assert_eq!(communities(3, &[]).unwrap().count(), 3);
        let complete: Vec<WeightedEdge> = (0..9)
            .flat_map(|b| (0..b).map(move |a| (a, b, 1.0)))
            .collect();
        assert_eq!(communities(9, &complete).unwrap().count(), 1);
        assert!(communities(2, &[(0, 1, f64::NAN)]).is_err());
    }
}
