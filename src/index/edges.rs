//! Lists that changed → pairs that became candidates or ceased to be, and the edges that come and
//! go with them.
//!
//! A pair is a candidate while one of its rows is in the other's list. Whether it is kept depends
//! on the pair alone (`registration_cache`), so only new candidates are registered, and the edges
//! after any history are those of a build from nothing.

use rayon::prelude::*;

use super::pairs::Registrar;
use crate::{
    Error, Result,
    knn::{ListUpdate, Neighbor},
    monitor::Monitor,
    similarity::{Edge, register::Needs},
    store::view::View,
};

/// Lists whose pairs are registered between two looks at whether to stop.
const TOGETHER: usize = 4_096;
/// Steps from list to list within which lists belong together.
const STEPS: usize = 3;

/// The rows whose edges changed, ascending, with all of their edges now.
pub(super) struct EdgeUpdate {
    /// Each with the place behind its last edge.
    rows: Vec<(u32, usize)>,
    edges: Vec<Edge>,
}

impl EdgeUpdate {
    fn push(&mut self, row: u32, edges: &[Edge]) {
        self.edges.extend_from_slice(edges);
        self.rows.push((row, self.edges.len()));
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[Edge])> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|&(_, end)| end));
        self.rows
            .iter()
            .zip(starts)
            .map(|(&(row, end), start)| (row, &self.edges[start..end]))
    }
}

/// What became of the pairs of a row: the other row, and the pair if it is kept.
type Change = (u32, u32, Option<(f32, Needs)>);

/// Changed lists, before and after.
pub(super) struct Candidates<'a> {
    pub(super) old: Option<&'a View>,
    pub(super) lists: &'a ListUpdate,
    /// Members of a list that count.
    pub(super) k: usize,
}

impl Candidates<'_> {
    /// The edges that change with the lists.
    pub(super) fn edges(
        &self,
        registrar: Registrar<'_, u32>,
        monitor: &dyn Monitor,
    ) -> Result<EdgeUpdate> {
        monitor.stage("registering", Some(self.lists.len() as u64));
        let mut changes: Vec<Vec<Change>> = Vec::new();
        for places in self.order(&registrar).chunks(TOGETHER) {
            let of_row = |&place: &u32| {
                let (row, list) = self.lists.nth(place as usize);
                monitor.advance(1);
                if monitor.cancelled() {
                    Err(Error::Interrupted)
                } else {
                    self.changes(row, self.counting(list), &registrar)
                }
            };
            changes.push(
                places
                    .par_iter()
                    .map(of_row)
                    .collect::<Result<Vec<_>>>()?
                    .concat(),
            );
        }
        // Of a million rows 64 MB, which their edges can use.
        drop(registrar);
        let mut both: Vec<Change> =
            Vec::with_capacity(2 * changes.iter().map(Vec::len).sum::<usize>());
        changes
            .into_iter()
            .flatten()
            .for_each(|(a, b, pair)| both.extend([(a, b, pair), (b, a, pair)]));
        both.par_sort_unstable_by_key(|&(row, other, _)| (row, other));
        both.dedup_by_key(|&mut (row, other, _)| (row, other));
        let kept = both.iter().filter(|(_, _, pair)| pair.is_some()).count();
        let mut edges = EdgeUpdate {
            rows: Vec::new(),
            edges: Vec::with_capacity(kept),
        };
        for changes in both.chunk_by(|a, b| a.0 == b.0) {
            if let Some(now) = self.changed(changes)? {
                edges.push(changes[0].0, &now);
            }
        }
        Ok(edges)
    }

    /// The places of the lists in the order in which they are looked at.
    fn order(&self, registrar: &Registrar<'_, u32>) -> Vec<u32> {
        let new = self
            .lists
            .iter()
            .filter(|(row, _)| self.published(*row).is_none())
            .count();
        // Where what is made of all new pictures is kept, no order is better than another.
        if registrar.keeps_details_of(new) {
            (0..self.lists.len() as u32).collect()
        } else {
            together(self.lists)
        }
    }

    /// The pairs of a row that are candidates no more, and those that are now and similar.
    fn changes(
        &self,
        row: u32,
        list: &[Neighbor],
        registrar: &Registrar<'_, u32>,
    ) -> Result<Vec<Change>> {
        let (is_new, before) = (self.published(row).is_none(), self.before(row)?);
        let mut changes = Vec::new();
        let mut gone = before
            .iter()
            .filter(|neighbor| !has(list, **neighbor))
            .peekable();
        let edges = if gone.peek().is_some() {
            self.edges_before(row)?
        } else {
            Vec::new()
        };
        // Only pairs that were kept can cease to be.
        for gone in gone.filter(|gone| {
            edges
                .binary_search_by_key(&gone.row, |edge| edge.row)
                .is_ok()
        }) {
            let still = match self.lists.get(gone.row) {
                Some(list) => has(self.counting(list), Neighbor { row, ..*gone }),
                None => has(&self.before(gone.row)?, Neighbor { row, ..*gone }),
            };
            if !still {
                changes.push((row, gone.row, None));
            }
        }
        for new in list.iter().filter(|neighbor| !has(&before, **neighbor)) {
            let (other, back) = (new.row, Neighbor { row, ..*new });
            // Of two rows that are new to each other the smaller one looks at the pair.
            let twice = other < row
                && self
                    .lists
                    .get(other)
                    .is_some_and(|list| has(self.counting(list), back));
            if twice || (!is_new && has(&self.before(other)?, back)) {
                continue;
            }
            changes.extend(
                registrar
                    .as_they_lie(row, other)?
                    .map(|pair| (row, other, Some(pair))),
            );
        }
        Ok(changes)
    }

    /// The members of a list that count.
    fn counting<'l>(&self, list: &'l [Neighbor]) -> &'l [Neighbor] {
        &list[..list.len().min(self.k)]
    }

    /// The old view, if it has the row.
    fn published(&self, row: u32) -> Option<&View> {
        self.old.filter(|view| (row as usize) < view.rows())
    }

    /// The published list of a row.
    fn before(&self, row: u32) -> Result<Vec<Neighbor>> {
        self.published(row)
            .map_or(Ok(Vec::new()), |view| view.list(row))
    }

    /// The published edges of a row.
    fn edges_before(&self, row: u32) -> Result<Vec<Edge>> {
        self.published(row)
            .map_or(Ok(Vec::new()), |view| view.edges(row))
    }

    /// The edges of a row after changes, if they differ.
    fn changed(&self, changes: &[Change]) -> Result<Option<Vec<Edge>>> {
        let row = changes[0].0;
        let before = self.edges_before(row)?;
        let stays = |edge: &&Edge| {
            changes
                .binary_search_by_key(&edge.row, |change| change.1)
                .is_err()
        };
        let new = changes.iter().filter_map(|&(_, row, pair)| {
            pair.map(|(similarity, needs)| Edge {
                row,
                similarity,
                needs,
            })
        });
        let mut edges: Vec<Edge> = before.iter().filter(stays).copied().chain(new).collect();
        edges.sort_unstable_by_key(|edge| edge.row);
        Ok((edges != before).then_some(edges))
    }
}

/// The places of lists by ascending row, in an order in which those that share neighbours stand
/// together, so that what was read for one still serves the next: by the least row within three
/// steps, of those by the least within two, and so on.
fn together(lists: &ListUpdate) -> Vec<u32> {
    let mut least: Vec<[u32; STEPS + 1]> = lists.iter().map(|(row, _)| [row; STEPS + 1]).collect();
    for step in (0..STEPS).rev() {
        let within = |row: u32| lists.position(row).map_or(row, |at| least[at][step + 1]);
        let of_list = |at: usize| {
            let (row, list) = lists.nth(at);
            list.iter()
                .map(|neighbor| within(neighbor.row))
                .fold(within(row), u32::min)
        };
        let reached: Vec<u32> = (0..lists.len()).into_par_iter().map(of_list).collect();
        least
            .iter_mut()
            .zip(reached)
            .for_each(|(least, reached)| least[step] = reached);
    }
    let mut order: Vec<u32> = (0..lists.len() as u32).collect();
    order.par_sort_unstable_by_key(|&place| least[place as usize]);
    order
}

/// Whether a list, nearest first, has a row at this distance.
fn has(list: &[Neighbor], Neighbor { row, distance }: Neighbor) -> bool {
    let first = list.partition_point(|neighbor| neighbor.distance < distance);
    list[first..]
        .iter()
        .take_while(|neighbor| neighbor.distance == distance)
        .any(|neighbor| neighbor.row == row)
}
