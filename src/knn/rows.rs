//! Which rows take part, in which order ties fall, and what a neighbour is: the words that all of
//! `knn` speaks.

use super::planes::Planes;
use std::cmp::Ordering;

/// A row and its exact squared distance `Σ(a−b)²`, in units of (1/32,000)².
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbor {
    /// Number of the row.
    pub row: u32,
    /// Squared distance; at most 4 · 32,500².
    pub distance: u32,
}

/// The order in which rows at equal distance are preferred; asked only then.
///
/// It must be a total order of the rows, the same on every call; rows that it calls equal fall back
/// to their numbers.
pub trait RowOrder: Sync {
    /// `Less` if `a` is to be preferred to `b`.
    fn compare(&self, a: u32, b: u32) -> Ordering;
}

/// Ties go to the smaller row number.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByNumber;

impl RowOrder for ByNumber {
    fn compare(&self, a: u32, b: u32) -> Ordering {
        a.cmp(&b)
    }
}

/// Compares neighbours by distance, then by `order`, then by number.
pub(super) fn compare(a: Neighbor, b: Neighbor, order: &dyn RowOrder) -> Ordering {
    a.distance
        .cmp(&b.distance)
        .then_with(|| order.compare(a.row, b.row))
        .then_with(|| a.row.cmp(&b.row))
}

/// The rows that are live: bit `r % 64` of word `r / 64`; rows past the end are dead.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a>(pub &'a [u64]);

impl Live<'_> {
    /// Whether `row` is live.
    #[must_use]
    pub fn contains(&self, row: u32) -> bool {
        self.0
            .get(row as usize / 64)
            .is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// The rows of `planes` that are live and not zero, ascending. O(rows).
pub(super) fn taking_part(planes: &Planes<'_>, live: &Live<'_>) -> Vec<u32> {
    (0..)
        .zip(planes.norms())
        .filter(|(row, norms)| !norms.is_zero() && live.contains(*row))
        .map(|(row, _)| row)
        .collect()
}

/// Which targets a query may find, beyond being live. The default admits all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Admit<'a> {
    /// Query `i` finds only targets whose row is less than `limits[i]`.
    pub limits: Option<&'a [u32]>,
    /// Query `i` does not find the target `excluded[i]`.
    pub excluded: Option<&'a [Option<u32>]>,
}

impl Admit<'_> {
    /// Rows at or past this number are not for `query`.
    pub(super) fn limit(&self, query: usize) -> u32 {
        self.limits.map_or(u32::MAX, |limits| limits[query])
    }

    /// Whether `query` may find `row`.
    pub(super) fn admits(&self, query: usize, row: u32) -> bool {
        row < self.limit(query)
            && self
                .excluded
                .is_none_or(|excluded| excluded[query] != Some(row))
    }

    /// Panics unless each table that is given has an entry for each of `queries`.
    pub(super) fn assert_covers(&self, queries: usize) {
        assert!(
            self.limits.is_none_or(|limits| limits.len() == queries),
            "one limit for each of {queries} queries"
        );
        assert!(
            self.excluded
                .is_none_or(|excluded| excluded.len() == queries),
            "one exclusion for each of {queries} queries"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_past_the_bitmap_are_dead() {
        let live = Live(&[0b101, 1 << 63]);
        let found: Vec<u32> = (0..300).filter(|&row| live.contains(row)).collect();
        assert_eq!(found, [0, 2, 127]);
    }

    #[test]
    fn a_limit_is_exclusive_and_an_exclusion_hides_one_row() {
        let admit = Admit {
            limits: Some(&[3]),
            excluded: Some(&[Some(1)]),
        };
        assert_eq!(
            (0..5)
                .filter(|&row| admit.admits(0, row))
                .collect::<Vec<_>>(),
            [0, 2]
        );
        assert!(Admit::default().admits(7, 9));
    }
}
