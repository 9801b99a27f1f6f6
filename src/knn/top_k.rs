//! Neighbours offered one by one → the best of them: a bounded binary heap whose top is the worst
//! kept.
//!
//! The result depends only on the set of offers, not on their order, because [`compare`] is total.

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

/// Neighbours for which there is room at once.
const FIRST: usize = 64;

/// The `k` best neighbours among those within a radius.
#[derive(Clone, Debug)]
pub(super) struct TopK {
    k: usize,
    radius: u32,
    heap: Vec<Neighbor>,
}

impl TopK {
    /// Nothing yet; keeps at most `k`, none farther than `radius` (squared; [`OPEN`] for any).
    pub(super) fn new(k: usize, radius: u32) -> Self {
        Self {
            k,
            radius,
            heap: Vec::new(),
        }
    }

    /// The squared distance beyond which an offer is refused, inclusive; [`OPEN`] if none is.
    pub(super) fn k_distance(&self) -> u32 {
        if self.heap.len() < self.k {
            self.radius
        } else {
            self.heap.first().map_or(0, |worst| worst.distance)
        }
    }

    /// Takes a neighbour if it is among the best so far; says whether it did. O(log k).
    pub(super) fn offer(&mut self, neighbor: Neighbor, order: &dyn RowOrder) -> bool {
        if neighbor.distance > self.k_distance() {
            return false;
        }
        if self.heap.len() < self.k {
            if self.heap.is_empty() {
                self.heap.reserve_exact(self.k.min(FIRST));
            }
            self.heap.push(neighbor);
            self.rise(order);
            return true;
        }
        match self.heap.first_mut() {
            Some(worst) if compare(neighbor, *worst, order) == Ordering::Less => *worst = neighbor,
            _ => return false,
        }
        self.sink(order);
        true
    }

    /// The neighbours, best first.
    pub(super) fn into_sorted(mut self, order: &dyn RowOrder) -> Vec<Neighbor> {
        self.heap.sort_unstable_by(|&a, &b| compare(a, b, order));
        self.heap
    }

    fn rise(&mut self, order: &dyn RowOrder) {
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if compare(self.heap[at], self.heap[parent], order) != Ordering::Greater {
                return;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sink(&mut self, order: &dyn RowOrder) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            let Some(&first) = self.heap.get(left) else {
                return;
            };
            let right_is_worse = self
                .heap
                .get(left + 1)
                .is_some_and(|&second| compare(second, first, order) == Ordering::Greater);
            let worse = if right_is_worse { left + 1 } else { left };
            if compare(self.heap[worse], self.heap[at], order) != Ordering::Greater {
                return;
            }
            self.heap.swap(at, worse);
            at = worse;
        }
    }
}

/// Heaps that several threads offer neighbours to. The k-distance of each stands beside its heap
/// and is read without locking.
pub(super) struct TopKHeaps {
    most: usize,
    k_distance: Vec<AtomicU32>,
    bests: Vec<Mutex<TopK>>,
}

impl TopKHeaps {
    /// So many, which keep at most `k`, none farther than `radius` (squared).
    pub(super) fn new(count: usize, k: usize, radius: u32) -> Self {
        let best = TopK::new(k, radius);
        Self {
            most: k,
            k_distance: (0..count)
                .map(|_| AtomicU32::new(best.k_distance()))
                .collect(),
            bests: (0..count).map(|_| Mutex::new(best.clone())).collect(),
        }
    }

    /// How many neighbours a desk keeps, at the most.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How far desk `at` still looks; may be out of date, and is then larger than it need be.
    #[inline]
    pub(super) fn k_distance(&self, at: usize) -> u32 {
        self.k_distance[at].load(Relaxed)
    }

    /// Offers to desk `at`.
    pub(super) fn offer(&self, at: usize, neighbor: Neighbor, order: &dyn RowOrder) {
        if neighbor.distance > self.k_distance(at) {
            return;
        }
        let mut best = self.bests[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if best.offer(neighbor, order) {
            self.k_distance[at].store(best.k_distance(), Relaxed);
        }
    }

    /// What each keeps, best first, in order.
    pub(super) fn into_sorted(self, order: &dyn RowOrder) -> Vec<Vec<Neighbor>> {
        let sorted = |best: Mutex<TopK>| {
            best.into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                .into_sorted(order)
        };
        self.bests.into_par_iter().map(sorted).collect()
    }
}

const _: () = assert!(
    OPEN as u64 > 4 * super::planes::MAX_LENGTH * super::planes::MAX_LENGTH,
    "no distance is OPEN"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::{oracle::Lcg, rows::ByNumber};

    #[test]
    fn the_heap_keeps_what_sorting_keeps() {
        let mut random = Lcg(5);
        for _ in 0..2_000 {
            let (count, k, radius) = (
                random.below(60),
                random.below(20) as usize,
                [OPEN, 3][random.below(2) as usize],
            );
            let offers: Vec<Neighbor> = (0..count)
                .map(|row| Neighbor {
                    row,
                    distance: random.below(7),
                })
                .collect();
            let mut best = TopK::new(k, radius);
            for &offer in offers.iter().rev() {
                let before = best.clone().into_sorted(&ByNumber);
                let taken = best.offer(offer, &ByNumber);
                assert_eq!(taken, before != best.clone().into_sorted(&ByNumber));
            }
            let mut expected = offers;
            expected.retain(|offer| offer.distance <= radius);
            expected.sort_by(|&a, &b| compare(a, b, &ByNumber));
            expected.truncate(k);
            assert_eq!(best.into_sorted(&ByNumber), expected);
        }
    }
}
