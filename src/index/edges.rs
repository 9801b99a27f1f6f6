//! Lists that changed → pairs that became candidates or ceased to be, and the edges that come and go with them.
//!
//! A pair is a candidate while one of its rows is in the other's list. Whether it is kept is the pair's alone (`registry`), so only
//! new candidates are registered, and the edges after any history are those of a build from nothing.

use rayon::prelude::*;

use super::pairs::Library;
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
pub(super) type EdgeUpdate = Vec<(u32, Vec<Edge>)>;

/// What became of the pairs of a row: the other row, and the pair if it is kept.
type Change = (u32, u32, Option<(f32, Needs)>);

/// Changed lists, before and after.
pub(super) struct Candidates<'a> {
    pub(super) old: Option<&'a View>,
    pub(super) lists: &'a ListUpdate,
}

impl Candidates<'_> {
    /// The edges that change with the lists.
    pub(super) fn edges(&self, library: Library<'_, u32>, monitor: &dyn Monitor) -> Result<EdgeUpdate> {
        let changed: Vec<(u32, &[Neighbor])> = self.lists.iter().collect();
        monitor.stage("registering", Some(changed.len() as u64));
        let mut changes: Vec<Change> = Vec::new();
        for places in together(&changed).chunks(TOGETHER) {
            let of_row = |&place: &u32| {
                let (row, list) = changed[place as usize];
                monitor.advance(1);
                if monitor.cancelled() { Err(Error::Interrupted) } else { self.changes(row, list, &library) }
            };
            changes.extend(places.par_iter().map(of_row).collect::<Result<Vec<_>>>()?.into_iter().flatten());
        }
        // Of a million rows 90 MB, which their edges can use.
        drop((library, changed));
        let both = changes.iter().flat_map(|&(a, b, pair)| [(a, b, pair), (b, a, pair)]);
        let mut both: Vec<Change> = both.collect();
        drop(changes);
        both.par_sort_unstable_by_key(|&(row, other, _)| (row, other));
        both.dedup_by_key(|&mut (row, other, _)| (row, other));
        let of_row = |changes: &[Change]| Ok(self.changed(changes)?.map(|edges| (changes[0].0, edges)));
        both.chunk_by(|a, b| a.0 == b.0).filter_map(|changes| of_row(changes).transpose()).collect()
    }

    /// The pairs of a row that are candidates no more, and those that are now and similar.
    fn changes(&self, row: u32, list: &[Neighbor], library: &Library<'_, u32>) -> Result<Vec<Change>> {
        let before = self.before(row)?;
        let mut changes = Vec::new();
        for gone in before.iter().filter(|neighbor| !has(list, neighbor.row)) {
            let still = match self.lists.get(gone.row) {
                Some(list) => has(list, row),
                None => has(&self.before(gone.row)?, row),
            };
            if !still {
                changes.push((row, gone.row, None));
            }
        }
        for new in list.iter().filter(|neighbor| !has(&before, neighbor.row)) {
            let other = new.row;
            // Of two rows that are new to each other the smaller one looks at the pair.
            let twice = other < row && self.lists.get(other).is_some_and(|list| has(list, row));
            if twice || has(&self.before(other)?, row) {
                continue;
            }
            changes.extend(library.as_they_lie(row, other)?.map(|pair| (row, other, Some(pair))));
        }
        Ok(changes)
    }

    /// The published list of a row.
    fn before(&self, row: u32) -> Result<Vec<Neighbor>> {
        self.old.filter(|view| (row as usize) < view.rows()).map_or(Ok(Vec::new()), |view| view.list(row))
    }

    /// The edges of a row after changes, if they differ.
    fn changed(&self, changes: &[Change]) -> Result<Option<Vec<Edge>>> {
        let row = changes[0].0;
        let before = self.old.filter(|view| (row as usize) < view.rows()).map_or(Ok(Vec::new()), |view| view.edges(row))?;
        let stays = |edge: &&Edge| changes.binary_search_by_key(&edge.row, |change| change.1).is_err();
        let new = changes.iter().filter_map(|&(_, row, pair)| pair.map(|(similarity, needs)| Edge { row, similarity, needs }));
        let mut edges: Vec<Edge> = before.iter().filter(stays).copied().chain(new).collect();
        edges.sort_unstable_by_key(|edge| edge.row);
        Ok((edges != before).then_some(edges))
    }
}

/// The places of lists by ascending row, in an order in which those that share neighbours stand together, so that what was read for one still
/// serves the next: by the least row within three steps, of those by the least within two, and so on.
fn together(lists: &[(u32, &[Neighbor])]) -> Vec<u32> {
    let mut least: Vec<[u32; STEPS + 1]> = lists.iter().map(|&(row, _)| [row; STEPS + 1]).collect();
    for step in (0..STEPS).rev() {
        let within = |row: u32| lists.binary_search_by_key(&row, |list| list.0).map_or(row, |at| least[at][step + 1]);
        let reached: Vec<u32> =
            lists.par_iter().map(|&(row, list)| list.iter().map(|n| within(n.row)).fold(within(row), u32::min)).collect();
        least.iter_mut().zip(reached).for_each(|(least, reached)| least[step] = reached);
    }
    let mut order: Vec<u32> = (0..lists.len() as u32).collect();
    order.par_sort_unstable_by_key(|&place| least[place as usize]);
    order
}

fn has(list: &[Neighbor], row: u32) -> bool {
    list.iter().any(|neighbor| neighbor.row == row)
}
