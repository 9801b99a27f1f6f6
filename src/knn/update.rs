//! Shelves of sorted lists → the lists that a change has changed, row by row, without copying them.

use super::{
    arena::{Arena, BLOCK_ROWS, EMPTY, taken},
    rows::Neighbor,
};
use rayon::prelude::*;
use std::fmt;

/// The place of an empty list.
const NOWHERE: u32 = u32::MAX;

/// The lists that a change has changed: about `8 k + 10` bytes for each.
#[derive(Clone, Default)]
pub struct ListUpdate {
    k: usize,
    /// Each holds the lists of [`BLOCK_ROWS`] places, `k` neighbours a place.
    blocks: Vec<Box<[Neighbor]>>,
    /// Rows, ascending, with the places of their lists.
    index: Vec<(u32, u32)>,
}

impl ListUpdate {
    /// Nothing yet, of lists of at most `k`.
    pub(super) fn new(k: usize) -> Self {
        Self {
            k,
            ..Self::default()
        }
    }

    /// Adds lists by place, those of `rows`.
    pub(super) fn add(&mut self, rows: &[u32], arena: Arena) {
        let first = (self.blocks.len() * BLOCK_ROWS) as u32;
        self.blocks.extend(arena.into_blocks());
        self.index.reserve_exact(rows.len());
        self.index.extend(rows.iter().copied().zip(first..));
    }

    /// Adds lists that stand alone, of `k` places each.
    pub(super) fn add_lists(&mut self, lists: impl Iterator<Item = (u32, Box<[Neighbor]>)>) {
        let lists: Vec<_> = lists.collect();
        let mut place = (self.blocks.len() * BLOCK_ROWS) as u32;
        for some in lists.chunks(BLOCK_ROWS) {
            let mut block = Vec::with_capacity(self.k * BLOCK_ROWS);
            for (row, list) in some {
                block.extend_from_slice(list);
                self.index.push((*row, place));
                place += 1;
            }
            block.resize(self.k * BLOCK_ROWS, EMPTY);
            self.blocks.push(block.into_boxed_slice());
        }
    }

    /// Adds empty lists.
    pub(super) fn add_empty(&mut self, rows: impl Iterator<Item = u32>) {
        self.index.extend(rows.map(|row| (row, NOWHERE)));
    }

    /// Leaves out the lists that are old.
    pub(super) fn leave_out(&mut self, is_old: impl Fn(u32, &[Neighbor]) -> bool + Sync) {
        let mut index = std::mem::take(&mut self.index);
        // Of a million lists they take less room than another index.
        let old: Vec<bool> = index
            .par_iter()
            .map(|&(row, place)| is_old(row, self.list(place)))
            .collect();
        let mut old = old.into_iter();
        index.retain(|_| !old.next().unwrap_or(false));
        self.index = index;
    }

    /// The lists by row.
    pub(super) fn sorted(mut self) -> Self {
        self.index.par_sort_unstable();
        self
    }

    /// Number of lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no list has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Rows, ascending, whose list differs from the old one, with the new one, best first; empty
    /// for a row that left.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[Neighbor])> {
        self.index
            .iter()
            .map(|&(row, place)| (row, self.list(place)))
    }

    /// The `at`th of [`ListUpdate::iter`].
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn nth(&self, at: usize) -> (u32, &[Neighbor]) {
        let (row, place) = self.index[at];
        (row, self.list(place))
    }

    /// Which of [`ListUpdate::iter`] is that of a row, if it has changed. O(log n).
    #[must_use]
    pub fn position(&self, row: u32) -> Option<usize> {
        self.index.binary_search_by_key(&row, |entry| entry.0).ok()
    }

    /// The new list of a row, if it has changed. O(log n).
    #[must_use]
    pub fn get(&self, row: u32) -> Option<&[Neighbor]> {
        self.position(row).map(|at| self.nth(at).1)
    }

    fn list(&self, place: u32) -> &[Neighbor] {
        match self.blocks.get(place as usize / BLOCK_ROWS) {
            Some(block) if place != NOWHERE => {
                taken(&block[place as usize % BLOCK_ROWS * self.k..][..self.k])
            }
            _ => &[],
        }
    }
}

impl PartialEq for ListUpdate {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ListUpdate {}

impl fmt::Debug for ListUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
