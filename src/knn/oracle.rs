//! The slow twin: every pair, exact distances in `i64`, a full sort. What the fast paths are tested
//! against.
//!
//! O(queries × targets × stride), plus sorting. Public so that tests elsewhere can use it.

use super::{
    planes::Planes,
    rows::{Admit, Live, Neighbor, RowOrder, compare},
};

/// The exact squared distance of two rows, in `i64`.
///
/// # Panics
/// If there is no such row.
#[must_use]
pub fn squared_distance(a: &Planes<'_>, row_a: u32, b: &Planes<'_>, row_b: u32) -> i64 {
    a.row(row_a)
        .values()
        .zip(b.row(row_b).values())
        .map(|(x, y)| i64::from(x - y).pow(2))
        .sum()
}

/// What [`super::within`] returns, and with `radius_squared = u32::MAX` all neighbours of all
/// queries, best first.
///
/// # Panics
/// If a table of `admit` is too short.
#[must_use]
pub fn within(
    queries: &Planes<'_>,
    targets: &Planes<'_>,
    live: &Live<'_>,
    radius_squared: u32,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    let takes_part = |planes: &Planes<'_>, row: u32| planes.row(row).values().any(|v| v != 0);
    let list = |query: u32| {
        let mut list: Vec<Neighbor> = (0..targets.rows() as u32)
            .filter(|&row| {
                takes_part(queries, query) && takes_part(targets, row) && live.contains(row)
            })
            .filter(|&row| admit.admits(query as usize, row))
            .map(|row| (row, squared_distance(queries, query, targets, row)))
            .filter(|&(_, distance)| distance <= i64::from(radius_squared))
            .map(|(row, distance)| Neighbor {
                row,
                distance: distance as u32,
            })
            .collect();
        list.sort_by(|&a, &b| compare(a, b, order));
        list
    };
    (0..queries.rows() as u32).map(list).collect()
}

/// What [`super::nearest`] returns.
///
/// # Panics
/// If a table of `admit` is too short.
#[must_use]
pub fn nearest(
    queries: &Planes<'_>,
    targets: &Planes<'_>,
    live: &Live<'_>,
    k: usize,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    let mut lists = within(queries, targets, live, u32::MAX, order, admit);
    for list in &mut lists {
        list.truncate(k);
    }
    lists
}

/// The lists of all rows among the live ones, themselves excluded: what [`super::update_lists`]
/// must come to. Dead rows have none.
#[must_use]
pub fn lists(
    planes: &Planes<'_>,
    live: &Live<'_>,
    k: usize,
    order: &dyn RowOrder,
) -> Vec<Vec<Neighbor>> {
    let itself: Vec<Option<u32>> = (0..planes.rows() as u32).map(Some).collect();
    let mut lists = nearest(
        planes,
        planes,
        live,
        k,
        order,
        &Admit {
            excluded: Some(&itself),
            ..Admit::default()
        },
    );
    for (row, list) in (0..).zip(&mut lists) {
        if !live.contains(row) {
            list.clear();
        }
    }
    lists
}

#[cfg(test)]
pub(super) use cases::{Lcg, Shuffled, bits, random_planes};

#[cfg(test)]
mod cases {
    use super::super::{planes::OwnedPlanes, rows::RowOrder};
    use std::cmp::Ordering;

    /// A seeded generator (Knuth's MMIX multiplier), enough for test cases.
    pub(in crate::knn) struct Lcg(pub(in crate::knn) u64);

    impl Lcg {
        /// A number under `end`, or 0.
        pub(in crate::knn) fn below(&mut self, end: u32) -> u32 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (((self.0 >> 33) * u64::from(end)) >> 31) as u32
        }
    }

    /// Ties by a shuffled array, so that the order has nothing to do with the numbers.
    pub(in crate::knn) struct Shuffled(pub(in crate::knn) Vec<u32>);

    impl Shuffled {
        pub(in crate::knn) fn new(rows: usize, random: &mut Lcg) -> Self {
            let mut ranks: Vec<u32> = (0..rows as u32).collect();
            for at in (1..rows).rev() {
                ranks.swap(at, random.below(at as u32 + 1) as usize);
            }
            Self(ranks)
        }
    }

    impl RowOrder for Shuffled {
        fn compare(&self, a: u32, b: u32) -> Ordering {
            self.0[a as usize].cmp(&self.0[b as usize])
        }
    }

    /// Random live bits for `rows`; one in `dead` is dead (none if 0).
    pub(in crate::knn) fn bits(rows: usize, dead: u32, random: &mut Lcg) -> Vec<u64> {
        let mut words = vec![0; rows.div_ceil(64)];
        for row in 0..rows {
            if dead == 0 || random.below(dead) != 0 {
                words[row / 64] |= 1 << (row % 64);
            }
        }
        words
    }

    /// Rows of one of four kinds: few values (ties in masses), small, any direction at full length,
    /// near copies; with zero rows between.
    pub(in crate::knn) fn random_planes(
        rows: usize,
        columns: usize,
        random: &mut Lcg,
    ) -> OwnedPlanes {
        let mut planes = OwnedPlanes::new(columns);
        let kind = random.below(4);
        let base = direction(columns, random);
        for _ in 0..rows {
            let row: Vec<i16> = match kind {
                _ if random.below(12) == 0 => vec![0; columns],
                0 => (0..columns).map(|_| random.below(2) as i16 * 200).collect(),
                1 => (0..columns)
                    .map(|_| random.below(300) as i16 - 150)
                    .collect(),
                2 => direction(columns, random),
                _ => base
                    .iter()
                    .map(|&v| v - v / 50 + random.below(3) as i16 - 1)
                    .collect(),
            };
            planes.push(&row);
        }
        planes
    }

    fn direction(columns: usize, random: &mut Lcg) -> Vec<i16> {
        let raw: Vec<f64> = (0..columns)
            .map(|_| f64::from(random.below(20_001)) - 10_000.0)
            .collect();
        let norm = raw.iter().map(|v| v * v).sum::<f64>().sqrt().max(1.0);
        raw.iter()
            .map(|v| (v / norm * 32_000.0).round() as i16)
            .collect()
    }
}
