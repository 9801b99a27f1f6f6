//! Edges between rows → groups of near-duplicates.
//!
//! Repeatedly the row with the most ungrouped neighbours and those neighbours make a group (ties:
//! the smaller row in a given order). So every member is similar to the group's representative, and
//! chains of unlike images do not join: a, b, c with edges a–b and b–c only are a group because b
//! is like both; a, b, c, d with a–b, b–c, c–d leave one of them out.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{knn::RowOrder, similarity::Edge};

/// A sparse similarity graph over rows; every edge is seen from both of its rows.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The edges of each row, by row.
    rows: Vec<Vec<Edge>>,
}

/// A row and what is like it.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The row to which all members are similar.
    pub representative: u32,
    /// Its edges to the other members, most similar first, ties in the order of rows.
    pub members: Vec<Edge>,
}

impl Graph {
    /// Of the edges of each row, in which row b is a neighbour of a wherever a is one of b.
    #[must_use]
    pub fn new(rows: Vec<Vec<Edge>>) -> Self {
        Self { rows }
    }

    /// The groups, those with most members first, ties by the order of representatives. O(E log E)
    /// for E edges.
    #[must_use]
    pub fn groups(&self, order: &dyn RowOrder) -> Vec<Group> {
        let mut places: Vec<u32> = (0..self.rows.len() as u32).collect();
        places.sort_unstable_by(|&a, &b| order.compare(a, b));
        let mut rank = vec![0u32; places.len()];
        (0..)
            .zip(&places)
            .for_each(|(place, &row)| rank[row as usize] = place);
        let mut free: Vec<usize> = self.rows.iter().map(Vec::len).collect();
        let mut grouped = vec![false; self.rows.len()];
        let mut heap: BinaryHeap<(usize, Reverse<u32>)> = rank
            .iter()
            .zip(&free)
            .map(|(&place, &free)| (free, Reverse(place)))
            .collect();
        let mut groups = Vec::new();
        while let Some((neighbors, Reverse(place))) =
            heap.pop().filter(|(neighbors, _)| *neighbors > 0)
        {
            let row = places[place as usize] as usize;
            if grouped[row] || free[row] != neighbors {
                // It stood here with a number that is no longer true; the true one is in the heap
                // too.
                continue;
            }
            let mut members: Vec<Edge> = self.rows[row]
                .iter()
                .filter(|edge| !grouped[edge.row as usize])
                .copied()
                .collect();
            grouped[row] = true;
            members
                .iter()
                .for_each(|edge| grouped[edge.row as usize] = true);
            for taken in members.iter().map(|edge| edge.row as usize).chain([row]) {
                for edge in &self.rows[taken] {
                    let other = edge.row as usize;
                    free[other] -= 1;
                    if !grouped[other] {
                        heap.push((free[other], Reverse(rank[other])));
                    }
                }
            }
            members.sort_by(|a, b| {
                b.similarity
                    .total_cmp(&a.similarity)
                    .then(rank[a.row as usize].cmp(&rank[b.row as usize]))
            });
            groups.push(Group {
                representative: row as u32,
                members,
            });
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{knn::ByNumber, similarity::register::Needs};

    fn graph(rows: usize, pairs: &[(u32, u32)]) -> Graph {
        let mut edges = vec![Vec::new(); rows];
        for &(a, b) in pairs {
            for (row, other) in [(a, b), (b, a)] {
                let edge = Edge {
                    row: other,
                    similarity: 0.9,
                    needs: Needs::NOTHING,
                };
                if row != other && !edges[row as usize].contains(&edge) {
                    edges[row as usize].push(edge);
                }
            }
        }
        Graph::new(edges)
    }

    fn rows(group: &Group) -> Vec<u32> {
        [group.representative]
            .into_iter()
            .chain(group.members.iter().map(|edge| edge.row))
            .collect()
    }

    /// The rule as it is written: all ungrouped rows are counted again for every group.
    fn slow(graph: &Graph) -> Vec<Vec<u32>> {
        let mut grouped = vec![false; graph.rows.len()];
        let mut groups = Vec::new();
        loop {
            let free = |row: usize| {
                graph.rows[row]
                    .iter()
                    .filter(|edge| !grouped[edge.row as usize])
                    .count()
            };
            let open = (0..graph.rows.len()).filter(|&row| !grouped[row] && free(row) > 0);
            let Some(best) = open.max_by_key(|&row| (free(row), Reverse(row))) else {
                return groups;
            };
            let mut members: Vec<u32> = graph.rows[best]
                .iter()
                .map(|edge| edge.row)
                .filter(|&row| !grouped[row as usize])
                .collect();
            members.sort_unstable();
            members.insert(0, best as u32);
            members.iter().for_each(|&row| grouped[row as usize] = true);
            groups.push(members);
        }
    }

    #[test]
    fn a_chain_of_four_is_two_groups_and_a_star_is_one() {
        let groups = |rows_: usize, pairs: &[(u32, u32)]| {
            graph(rows_, pairs)
                .groups(&ByNumber)
                .iter()
                .map(rows)
                .collect::<Vec<_>>()
        };
        assert_eq!(groups(5, &[(0, 1), (1, 2), (2, 3)]), [vec![1, 0, 2]]);
        assert_eq!(
            groups(6, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
            [vec![1, 0, 2], vec![4, 3, 5]]
        );
        assert_eq!(groups(4, &[(3, 0), (3, 1), (3, 2)]), [vec![3, 0, 1, 2]]);
        assert!(groups(3, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn groups_are_those_of_the_rule_as_it_is_written(pairs in proptest::collection::vec((0u32..24, 0u32..24), 0..60)) {
            let graph = graph(24, &pairs);
            prop_assert_eq!(graph.groups(&ByNumber).iter().map(rows).collect::<Vec<_>>(), slow(&graph));
        }
    }
}
