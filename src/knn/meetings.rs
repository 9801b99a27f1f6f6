//! Who keeps what when two rows meet: the lists that start from nothing, those that start from the old ones, and the four ways in which rows of
//! either kind are joined.

use super::{
    arena::{Arena, NOBODY, insert, reach_of},
    join::Meeting,
    lists::{Change, Update},
    rows::{Neighbor, RowOrder},
};
use rayon::prelude::*;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// Lists that start from nothing, by place.
pub(super) struct Fresh<'a> {
    rows: &'a [u32],
    arena: Arena,
    order: &'a dyn RowOrder,
}

impl<'a> Fresh<'a> {
    /// Empty lists of `places` for `rows`.
    pub(super) fn new(rows: &'a [u32], places: usize, order: &'a dyn RowOrder) -> Self {
        Self { rows, arena: Arena::new(rows.len(), places), order }
    }

    fn offer(&self, place: usize, row: u32, distance: u32) {
        self.arena.offer(place, Neighbor { row, distance }, self.order);
    }

    /// The lists.
    pub(super) fn into_arena(self) -> Arena {
        self.arena
    }
}

/// Number of parts of the table of lists that have changed, each behind its own lock.
const SHARDS: usize = 64;

/// Lists that start from the old ones and are read only when something enters.
pub(super) struct Kept<'a> {
    rows: &'a [u32],
    reach: Vec<AtomicU32>,
    shards: Vec<Mutex<HashMap<u32, Box<[Neighbor]>>>>,
    places: usize,
    update: &'a Update<'a>,
}

impl<'a> Kept<'a> {
    /// The lists of the rest.
    pub(super) fn new(change: &'a Change, update: &'a Update<'a>) -> Self {
        let reach = if change.added.is_empty() { Vec::new() } else { reaches(change, update) };
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let kept = Self { rows: &change.rest, reach, shards, places: change.places, update };
        for &row in &change.thinned {
            kept.shard(row).lock().unwrap_or_else(PoisonError::into_inner).insert(row, kept.start(row));
        }
        kept
    }

    fn shard(&self, row: u32) -> &Mutex<HashMap<u32, Box<[Neighbor]>>> {
        &self.shards[row as usize % SHARDS]
    }

    /// The old list without the rows that left.
    fn start(&self, row: u32) -> Box<[Neighbor]> {
        let mut list: Vec<Neighbor> = self.update.old.list(row).to_vec();
        list.retain(|neighbor| self.update.live.contains(neighbor.row));
        list.resize(self.places, NOBODY);
        list.into_boxed_slice()
    }

    fn offer(&self, place: usize, neighbor: Neighbor) {
        if neighbor.distance > self.reach[place].load(Ordering::Relaxed) {
            return;
        }
        let row = self.rows[place];
        let mut shard = self.shard(row).lock().unwrap_or_else(PoisonError::into_inner);
        let reach = if let Some(list) = shard.get_mut(&row) {
            insert(list, neighbor, self.update.order);
            reach_of(list)
        } else {
            let mut list = self.start(row);
            if !insert(&mut list, neighbor, self.update.order) {
                return;
            }
            reach_of(shard.entry(row).or_insert(list))
        };
        self.reach[place].store(reach, Ordering::Relaxed);
    }

    /// The lists that something entered or that have lost a member.
    pub(super) fn into_lists(self) -> impl Iterator<Item = (u32, Box<[Neighbor]>)> {
        let shards = self.shards.into_iter().map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        shards.flatten()
    }
}

/// The reach of each of the rest before anything enters; a thinned list is not full, and was not.
fn reaches(change: &Change, update: &Update<'_>) -> Vec<AtomicU32> {
    change.rest.par_iter().map(|&row| AtomicU32::new(update.old.reach(row, update.k))).collect()
}

/// Rows of one set among themselves; both sides keep.
pub(super) struct Both<'a> {
    pub(super) new: &'a Fresh<'a>,
}

impl Meeting for Both<'_> {
    fn query_reach(&self, query: usize) -> u32 {
        self.new.arena.reach(query)
    }

    fn target_reach(&self, target: usize) -> Option<u32> {
        Some(self.new.arena.reach(target))
    }

    fn meet(&self, query: usize, target: usize, distance: u32) {
        self.new.offer(query, self.new.rows[target], distance);
        self.new.offer(target, self.new.rows[query], distance);
    }
}

/// Added rows and refilled rows; both sides keep.
pub(super) struct Exchange<'a> {
    pub(super) a: &'a Fresh<'a>,
    pub(super) b: &'a Fresh<'a>,
}

impl Meeting for Exchange<'_> {
    fn query_reach(&self, query: usize) -> u32 {
        self.a.arena.reach(query)
    }

    fn target_reach(&self, target: usize) -> Option<u32> {
        Some(self.b.arena.reach(target))
    }

    fn meet(&self, query: usize, target: usize, distance: u32) {
        self.a.offer(query, self.b.rows[target], distance);
        self.b.offer(target, self.a.rows[query], distance);
    }
}

/// Added rows and the rest; both sides keep.
pub(super) struct Entering<'a> {
    pub(super) new: &'a Fresh<'a>,
    pub(super) kept: &'a Kept<'a>,
}

impl Meeting for Entering<'_> {
    fn query_reach(&self, query: usize) -> u32 {
        self.new.arena.reach(query)
    }

    fn target_reach(&self, target: usize) -> Option<u32> {
        Some(self.kept.reach[target].load(Ordering::Relaxed))
    }

    fn meet(&self, query: usize, target: usize, distance: u32) {
        self.new.offer(query, self.kept.rows[target], distance);
        self.kept.offer(target, Neighbor { row: self.new.rows[query], distance });
    }
}

/// Refilled rows and the rest; only the refilled keep, for the rest know them.
pub(super) struct Asking<'a> {
    pub(super) fresh: &'a Fresh<'a>,
    pub(super) rest: &'a [u32],
}

impl Meeting for Asking<'_> {
    fn query_reach(&self, query: usize) -> u32 {
        self.fresh.arena.reach(query)
    }

    fn target_reach(&self, _: usize) -> Option<u32> {
        None
    }

    fn meet(&self, query: usize, target: usize, distance: u32) {
        self.fresh.offer(query, self.rest[target], distance);
    }
}
