//! Neighbours offered to many rows by many threads → the `k` best of each row, best first, in flat
//! memory.
//!
//! A row has `k` places in a block that it shares with [`BLOCK_ROWS`] rows; a free place holds
//! [`EMPTY`]. A block is one allocation behind one lock; beside it each row has its k-distance,
//! which is read without taking the lock. That makes `8 k + 6` bytes a row. A new neighbour moves
//! the worse ones one place on: for lists of a few dozen that is cheaper than a heap, and nothing
//! is left to sort.
//!
//! What a row keeps depends only on the set of offers, not on their order, because [`compare`] is
//! total.

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
pub(super) const BLOCK_ROWS: usize = 16;
/// A free place, farther than any neighbour.
pub(super) const EMPTY: Neighbor = Neighbor {
    row: u32::MAX,
    distance: OPEN,
};

/// Puts a neighbour into a list that is sorted and filled up with [`EMPTY`]; the worst falls out.
/// Says whether it was good enough. O(k).
pub(super) fn insert(list: &mut [Neighbor], new: Neighbor, order: &dyn RowOrder) -> bool {
    let mut at = list
        .iter()
        .filter(|known| known.distance <= new.distance)
        .count();
    while at > 0
        && list[at - 1].distance == new.distance
        && compare(new, list[at - 1], order) == Ordering::Less
    {
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
fn k_distance_of(list: &[Neighbor]) -> u32 {
    list.last().map_or(0, |worst| worst.distance)
}

/// Such a list without the free places.
pub(super) fn taken(list: &[Neighbor]) -> &[Neighbor] {
    &list[..list.partition_point(|neighbor| neighbor.distance != OPEN)]
}

/// The lists of many rows, by place.
pub(super) struct Arena {
    k: usize,
    k_distance: Vec<AtomicU32>,
    blocks: Vec<Mutex<Box<[Neighbor]>>>,
}

impl Arena {
    /// Empty lists of `k` places for `count` rows.
    pub(super) fn new(count: usize, k: usize) -> Self {
        let block = |at: usize| {
            Mutex::new(vec![EMPTY; k * BLOCK_ROWS.min(count - at * BLOCK_ROWS)].into_boxed_slice())
        };
        let k_distance = if k == 0 { 0 } else { OPEN };
        Self {
            k,
            k_distance: (0..count).map(|_| AtomicU32::new(k_distance)).collect(),
            blocks: (0..count.div_ceil(BLOCK_ROWS))
                .into_par_iter()
                .map(block)
                .collect(),
        }
    }

    /// How far the row at `place` still looks; may be out of date, and is then larger than it need
    /// be.
    #[inline]
    pub(super) fn k_distance(&self, place: usize) -> u32 {
        self.k_distance[place].load(Relaxed)
    }

    /// Offers a neighbour to the row at `place`.
    pub(super) fn offer(&self, place: usize, neighbor: Neighbor, order: &dyn RowOrder) {
        if neighbor.distance > self.k_distance(place) {
            return;
        }
        // Only damaged rows are so far apart; a free place stays a free place.
        let neighbor = Neighbor {
            distance: neighbor.distance.min(OPEN - 1),
            ..neighbor
        };
        let mut block = self.blocks[place / BLOCK_ROWS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let list = &mut block[place % BLOCK_ROWS * self.k..][..self.k];
        if insert(list, neighbor, order) {
            self.k_distance[place].store(k_distance_of(list), Relaxed);
        }
    }

    /// The blocks, in order.
    pub(super) fn into_blocks(self) -> impl Iterator<Item = Box<[Neighbor]>> {
        self.blocks
            .into_iter()
            .map(|block| block.into_inner().unwrap_or_else(PoisonError::into_inner))
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
            let (rows, k, count) = (
                random.below(40) as usize,
                random.below(20) as usize,
                random.below(200),
            );
            let arena = Arena::new(rows, k);
            let mut expected = vec![Vec::new(); rows];
            for row in (0..count).rev().filter(|_| rows > 0) {
                let (place, offer) = (
                    random.below(rows as u32) as usize,
                    Neighbor {
                        row,
                        distance: random.below(7),
                    },
                );
                arena.offer(place, offer, &ByNumber);
                expected[place].push(offer);
            }
            for (place, list) in expected.iter_mut().enumerate() {
                list.sort_by(|&a, &b| compare(a, b, &ByNumber));
                list.truncate(k);
                let k_distance = if list.len() < k {
                    OPEN
                } else {
                    list.last().map_or(0, |worst| worst.distance)
                };
                assert_eq!(arena.k_distance(place), k_distance);
            }
            let blocks: Vec<_> = arena.into_blocks().collect();
            for (place, list) in expected.iter().enumerate() {
                assert_eq!(
                    taken(&blocks[place / BLOCK_ROWS][place % BLOCK_ROWS * k..][..k]),
                    list
                );
            }
        }
    }
}
