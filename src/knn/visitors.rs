//! Who keeps what when two rows meet: the lists that start from nothing, those that start from the
//! old ones, and the four ways in which rows of either kind are joined.

use super::{
    arena::{Arena, EMPTY, insert, taken},
    bound::OPEN,
    join::PairVisitor,
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
        Self {
            rows,
            arena: Arena::new(rows.len(), places),
            order,
        }
    }

    /// The rows, by place.
    pub(super) fn rows(&self) -> &'a [u32] {
        self.rows
    }

    /// How far the row at a place still looks.
    pub(super) fn k_distance(&self, place: usize) -> u32 {
        self.arena.k_distance(place)
    }

    /// Offers a row at a distance.
    pub(super) fn offer(&self, place: usize, row: u32, distance: u32) {
        self.arena
            .offer(place, Neighbor { row, distance }, self.order);
    }

    /// The lists.
    pub(super) fn into_arena(self) -> Arena {
        self.arena
    }
}

/// Number of parts of the table of lists that have changed, each behind its own lock.
const SHARDS: usize = 64;

/// A list that may have changed, and whether it began with all rows there were: then whoever is
/// offered belongs to it.
struct Entered {
    list: Box<[Neighbor]>,
    is_whole: bool,
}

impl Entered {
    /// Its k-distance: the distance of its last member, or unlimited while it has all rows and
    /// room.
    fn k_distance(&self) -> u32 {
        let members = if self.is_whole {
            &self.list
        } else {
            taken(&self.list)
        };
        members.last().map_or(0, |last| last.distance)
    }

    /// Takes a neighbour if it belongs there: after the last of a list that has not all rows,
    /// others may come before it.
    fn enter(&mut self, neighbor: Neighbor, order: &dyn RowOrder) -> bool {
        let is_before = |last: &Neighbor| compare(neighbor, *last, order).is_lt();
        (self.is_whole || taken(&self.list).last().is_some_and(is_before))
            && insert(&mut self.list, neighbor, order)
    }
}

/// Lists that start from the old ones and are read only when something enters; by row.
pub(super) struct Kept<'a> {
    /// The k-distance of each row, by row number; empty where it is not needed.
    k_distance: Vec<AtomicU32>,
    shards: Vec<Mutex<HashMap<u32, Entered>>>,
    places: usize,
    update: &'a Update<'a>,
}

impl<'a> Kept<'a> {
    /// The lists of the rest. `k_distances` is empty if [`Kept::k_distance`] is not called.
    pub(super) fn new(change: &Change, update: &'a Update<'a>, k_distances: &[u32]) -> Self {
        let k_distance = k_distances
            .iter()
            .map(|&k_distance| AtomicU32::new(k_distance))
            .collect();
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let kept = Self {
            k_distance,
            shards,
            places: change.places,
            update,
        };
        for &row in &change.thinned {
            let entered = kept.start(row);
            if let Some(k_distance) = kept.k_distance.get(row as usize) {
                k_distance.store(entered.k_distance(), Ordering::Relaxed);
            }
            kept.shard(row)
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(row, entered);
        }
        kept
    }

    fn shard(&self, row: u32) -> &Mutex<HashMap<u32, Entered>> {
        &self.shards[row as usize % SHARDS]
    }

    /// The old list without the rows that left.
    fn start(&self, row: u32) -> Entered {
        let mut list: Vec<Neighbor> = self.update.old.list(row).to_vec();
        let is_whole = list.len() < self.update.k;
        list.retain(|neighbor| self.update.live.contains(neighbor.row));
        list.resize(self.places, EMPTY);
        Entered {
            list: list.into_boxed_slice(),
            is_whole,
        }
    }

    /// How far a row still looks; may be out of date, and is then larger than it need be.
    fn k_distance(&self, row: u32) -> u32 {
        self.k_distance
            .get(row as usize)
            .map_or(OPEN, |k_distance| k_distance.load(Ordering::Relaxed))
    }

    /// Offers a neighbour to a row.
    pub(super) fn offer(&self, row: u32, neighbor: Neighbor) {
        if neighbor.distance > self.k_distance(row) {
            return;
        }
        // Only damaged rows are so far apart; a free place stays a free place.
        let neighbor = Neighbor {
            distance: neighbor.distance.min(OPEN - 1),
            ..neighbor
        };
        let mut shard = self
            .shard(row)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let k_distance = if let Some(entered) = shard.get_mut(&row) {
            entered.enter(neighbor, self.update.order);
            entered.k_distance()
        } else {
            let mut entered = self.start(row);
            if !entered.enter(neighbor, self.update.order) {
                return;
            }
            shard.entry(row).or_insert(entered).k_distance()
        };
        if let Some(known) = self.k_distance.get(row as usize) {
            known.store(k_distance, Ordering::Relaxed);
        }
    }

    /// The lists that something entered or that have lost a member.
    pub(super) fn into_lists(self) -> impl Iterator<Item = (u32, Box<[Neighbor]>)> {
        let shards = self
            .shards
            .into_iter()
            .map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        shards.flatten().map(|(row, entered)| (row, entered.list))
    }
}

/// Rows of one set among themselves; both sides keep.
pub(super) struct Both<'a> {
    pub(super) new: &'a Fresh<'a>,
}

impl PairVisitor for Both<'_> {
    fn query_k_distance(&self, query: usize) -> u32 {
        self.new.arena.k_distance(query)
    }

    fn target_k_distance(&self, target: usize) -> Option<u32> {
        Some(self.new.arena.k_distance(target))
    }

    fn visit(&self, query: usize, target: usize, distance: u32) {
        self.new.offer(query, self.new.rows[target], distance);
        self.new.offer(target, self.new.rows[query], distance);
    }
}

/// Added rows and refilled rows; both sides keep.
pub(super) struct Exchange<'a> {
    pub(super) a: &'a Fresh<'a>,
    pub(super) b: &'a Fresh<'a>,
}

impl PairVisitor for Exchange<'_> {
    fn query_k_distance(&self, query: usize) -> u32 {
        self.a.arena.k_distance(query)
    }

    fn target_k_distance(&self, target: usize) -> Option<u32> {
        Some(self.b.arena.k_distance(target))
    }

    fn visit(&self, query: usize, target: usize, distance: u32) {
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

impl PairVisitor for Entering<'_> {
    fn query_k_distance(&self, query: usize) -> u32 {
        self.new.arena.k_distance(query)
    }

    fn target_k_distance(&self, target: usize) -> Option<u32> {
        Some(self.kept.k_distance(self.rest[target]))
    }

    fn visit(&self, query: usize, target: usize, distance: u32) {
        self.new.offer(query, self.rest[target], distance);
        self.kept.offer(
            self.rest[target],
            Neighbor {
                row: self.new.rows[query],
                distance,
            },
        );
    }
}

/// Refilled rows and the rest; only the refilled keep, for the rest know them.
pub(super) struct Asking<'a> {
    pub(super) fresh: &'a Fresh<'a>,
    pub(super) rest: &'a [u32],
}

impl PairVisitor for Asking<'_> {
    fn query_k_distance(&self, query: usize) -> u32 {
        self.fresh.arena.k_distance(query)
    }

    fn target_k_distance(&self, _: usize) -> Option<u32> {
        None
    }

    fn visit(&self, query: usize, target: usize, distance: u32) {
        self.fresh.offer(query, self.rest[target], distance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::ByNumber;

    #[test]
    fn what_a_list_takes_does_not_depend_on_the_order_of_offers() {
        let at = |distance: u32| Neighbor {
            row: distance,
            distance,
        };
        for (members, is_whole, expected) in [
            (vec![], true, vec![3, 5, 8, 9]),
            (vec![4, 6], true, vec![3, 4, 5, 6]),
            (vec![4, 6, 7], false, vec![3, 4, 5, 6]),
        ] {
            let mut list: Vec<Neighbor> = members.iter().copied().map(at).collect();
            list.resize(4, EMPTY);
            let offers = [9, 3, 8, 5];
            for turn in 0..offers.len() {
                let mut entered = Entered {
                    list: list.clone().into_boxed_slice(),
                    is_whole,
                };
                for i in 0..offers.len() {
                    entered.enter(at(offers[(i + turn) % offers.len()]), &ByNumber);
                }
                assert_eq!(
                    taken(&entered.list)
                        .iter()
                        .map(|n| n.distance)
                        .collect::<Vec<_>>(),
                    expected,
                    "{members:?} {turn}"
                );
                assert_eq!(entered.k_distance(), expected[3]);
            }
        }
        let eroded = Entered {
            list: vec![at(4), EMPTY].into_boxed_slice(),
            is_whole: false,
        };
        assert_eq!(eroded.k_distance(), 4);
        let whole = Entered {
            is_whole: true,
            ..eroded
        };
        assert_eq!(whole.k_distance(), OPEN);
    }
}
