//! Who keeps what when two rows meet: the lists that start from nothing, those that start from the old ones, and the four ways in which rows of
//! either kind are joined.

use super::{
    arena::{Arena, NOBODY, insert, taken},
    bound::OPEN,
    join::Meeting,
    lists::{Change, Update},
    rows::{Neighbor, RowOrder, compare},
};
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

    /// The rows, by place.
    pub(super) fn rows(&self) -> &'a [u32] {
        self.rows
    }

    /// How far the row at a place still looks.
    pub(super) fn reach(&self, place: usize) -> u32 {
        self.arena.reach(place)
    }

    /// Offers a row at a distance.
    pub(super) fn offer(&self, place: usize, row: u32, distance: u32) {
        self.arena.offer(place, Neighbor { row, distance }, self.order);
    }

    /// The lists.
    pub(super) fn into_arena(self) -> Arena {
        self.arena
    }
}

/// Number of parts of the table of lists that have changed, each behind its own lock.
const SHARDS: usize = 64;

/// Lists that start from the old ones and are read only when something enters; by row.
pub(super) struct Kept<'a> {
    /// How far each row looks, by row number; empty where nobody asks.
    reach: Vec<AtomicU32>,
    shards: Vec<Mutex<HashMap<u32, Box<[Neighbor]>>>>,
    places: usize,
    update: &'a Update<'a>,
}

impl<'a> Kept<'a> {
    /// The lists of the rest. `reaches` is empty if nobody asks [`Kept::reach`].
    pub(super) fn new(change: &Change, update: &'a Update<'a>, reaches: &[u32]) -> Self {
        let reach = reaches.iter().map(|&reach| AtomicU32::new(reach)).collect();
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let kept = Self { reach, shards, places: change.places, update };
        for &row in &change.thinned {
            let list = kept.start(row);
            if let Some(reach) = kept.reach.get(row as usize) {
                reach.store(kept.reach_of(&list), Ordering::Relaxed);
            }
            kept.shard(row).lock().unwrap_or_else(PoisonError::into_inner).insert(row, list);
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

    /// How far a row still looks; may be out of date, and is then larger than it need be.
    fn reach(&self, row: u32) -> u32 {
        self.reach.get(row as usize).map_or(OPEN, |reach| reach.load(Ordering::Relaxed))
    }

    /// How far such a list reaches: as far as its last member, or everywhere if it holds all rows there were.
    fn reach_of(&self, list: &[Neighbor]) -> u32 {
        let list = taken(list);
        list.last().filter(|_| list.len() >= self.update.k).map_or(OPEN, |last| last.distance)
    }

    /// Offers a neighbour to a row.
    pub(super) fn offer(&self, row: u32, neighbor: Neighbor) {
        if neighbor.distance > self.reach(row) {
            return;
        }
        // Only damaged rows are so far apart; a free place stays a free place.
        let neighbor = Neighbor { distance: neighbor.distance.min(OPEN - 1), ..neighbor };
        let mut shard = self.shard(row).lock().unwrap_or_else(PoisonError::into_inner);
        let reach = if let Some(list) = shard.get_mut(&row) {
            self.enter(list, neighbor);
            self.reach_of(list)
        } else {
            let mut list = self.start(row);
            if !self.enter(&mut list, neighbor) {
                return;
            }
            self.reach_of(shard.entry(row).or_insert(list))
        };
        if let Some(known) = self.reach.get(row as usize) {
            known.store(reach, Ordering::Relaxed);
        }
    }

    /// Puts a neighbour into a list, if it belongs there: after the last of a list that does not hold all rows, others may come before it.
    fn enter(&self, list: &mut [Neighbor], neighbor: Neighbor) -> bool {
        let members = taken(list);
        let is_behind = members.last().is_some_and(|last| compare(neighbor, *last, self.update.order).is_gt());
        let is_unknown = is_behind && members.len() >= self.update.k;
        !is_unknown && insert(list, neighbor, self.update.order)
    }

    /// The lists that something entered or that have lost a member.
    pub(super) fn into_lists(self) -> impl Iterator<Item = (u32, Box<[Neighbor]>)> {
        let shards = self.shards.into_iter().map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        shards.flatten()
    }
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
    pub(super) rest: &'a [u32],
}

impl Meeting for Entering<'_> {
    fn query_reach(&self, query: usize) -> u32 {
        self.new.arena.reach(query)
    }

    fn target_reach(&self, target: usize) -> Option<u32> {
        Some(self.kept.reach(self.rest[target]))
    }

    fn meet(&self, query: usize, target: usize, distance: u32) {
        self.new.offer(query, self.rest[target], distance);
        self.kept.offer(self.rest[target], Neighbor { row: self.new.rows[query], distance });
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
