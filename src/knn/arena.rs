//! Neighbours offered to many rows by many threads → the `k` best of each row, best first, in flat memory.
//!
//! A row has `k` places in a shelf that it shares with [`SHELF`] rows; a free place holds [`NOBODY`]. A shelf is one allocation behind one
//! lock; beside it each row has its reach, read without waiting. That makes `8 k + 6` bytes a row. A new neighbour moves the worse ones one
//! place on: for lists of a few dozen that is cheaper than a heap, and nothing is left to sort.
//!
//! What a row keeps depends only on the set of offers, not on their order, because [`compare`] is total.

use super::{
    bound::OPEN,
    rows::{Neighbor, RowOrder, compare},
};
use rayon::prelude::*;
use std::{
    cmp::Ordering,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// Rows behind one lock.
pub(super) const SHELF: usize = 16;
/// A free place, farther than any neighbour.
pub(super) const NOBODY: Neighbor = Neighbor { row: u32::MAX, distance: OPEN };

/// Puts a neighbour into a list that is sorted and filled up with [`NOBODY`]; the worst falls out. Says whether it was good enough. O(k).
pub(super) fn insert(list: &mut [Neighbor], new: Neighbor, order: &dyn RowOrder) -> bool {
    let mut at = list.iter().filter(|known| known.distance <= new.distance).count();
    while at > 0 && list[at - 1].distance == new.distance && compare(new, list[at - 1], order) == Ordering::Less {
        at -= 1;
    }
    if at == list.len() {
        return false;
    }
    list.copy_within(at..list.len() - 1, at + 1);
    list[at] = new;
    true
}

/// The distance beyond which such a list refuses, inclusive; [`OPEN`] while a place is free.
fn reach_of(list: &[Neighbor]) -> u32 {
    list.last().map_or(0, |worst| worst.distance)
}

/// Such a list without the free places.
pub(super) fn taken(list: &[Neighbor]) -> &[Neighbor] {
    &list[..list.partition_point(|neighbor| neighbor.distance != OPEN)]
}

/// The lists of many rows, by place.
pub(super) struct Arena {
    k: usize,
    reach: Vec<AtomicU32>,
    shelves: Vec<Mutex<Box<[Neighbor]>>>,
}

impl Arena {
    /// Empty lists of `k` places for `count` rows.
    pub(super) fn new(count: usize, k: usize) -> Self {
        let shelf = |at: usize| Mutex::new(vec![NOBODY; k * SHELF.min(count - at * SHELF)].into_boxed_slice());
        let reach = if k == 0 { 0 } else { OPEN };
        Self {
            k,
            reach: (0..count).map(|_| AtomicU32::new(reach)).collect(),
            shelves: (0..count.div_ceil(SHELF)).into_par_iter().map(shelf).collect(),
        }
    }

    /// How far the row at `place` still looks; may be out of date, and is then larger than it need be.
    #[inline]
    pub(super) fn reach(&self, place: usize) -> u32 {
        self.reach[place].load(Relaxed)
    }

    /// Offers a neighbour to the row at `place`.
    pub(super) fn offer(&self, place: usize, neighbor: Neighbor, order: &dyn RowOrder) {
        if neighbor.distance > self.reach(place) {
            return;
        }
        // Only damaged rows are so far apart; a free place stays a free place.
        let neighbor = Neighbor { distance: neighbor.distance.min(OPEN - 1), ..neighbor };
        let mut shelf = self.shelves[place / SHELF].lock().unwrap_or_else(PoisonError::into_inner);
        let list = &mut shelf[place % SHELF * self.k..][..self.k];
        if insert(list, neighbor, order) {
            self.reach[place].store(reach_of(list), Relaxed);
        }
    }

    /// The shelves, in order.
    pub(super) fn into_shelves(self) -> impl Iterator<Item = Box<[Neighbor]>> {
        self.shelves.into_iter().map(|shelf| shelf.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::{oracle::Lcg, rows::ByNumber};

    #[test]
    fn the_arena_keeps_what_sorting_keeps() {
        let mut random = Lcg(5);
        for _ in 0..2_000 {
            let (rows, k, count) = (random.below(40) as usize, random.below(20) as usize, random.below(200));
            let arena = Arena::new(rows, k);
            let mut expected = vec![Vec::new(); rows];
            for row in (0..count).rev().filter(|_| rows > 0) {
                let (place, offer) = (random.below(rows as u32) as usize, Neighbor { row, distance: random.below(7) });
                arena.offer(place, offer, &ByNumber);
                expected[place].push(offer);
            }
            for (place, list) in expected.iter_mut().enumerate() {
                list.sort_by(|&a, &b| compare(a, b, &ByNumber));
                list.truncate(k);
                let reach = if list.len() < k { OPEN } else { list.last().map_or(0, |worst| worst.distance) };
                assert_eq!(arena.reach(place), reach);
            }
            let shelves: Vec<_> = arena.into_shelves().collect();
            for (place, list) in expected.iter().enumerate() {
                assert_eq!(taken(&shelves[place / SHELF][place % SHELF * k..][..k]), list);
            }
        }
    }
}
