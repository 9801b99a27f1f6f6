//! A few new rows → the list of each and every list that it enters, by reading the high plane once,
//! front to back.
//!
//! As in `scan`, but a row survives also if its own k-distance reaches the new row (`bound`, "In
//! floating point"). The k-distances of the lists are read from one array, so a list that nothing
//! enters is never touched. All new rows meet a piece of the plane while it is in the cache.

use super::{
    bound::{OPEN, Sieve},
    join::Course,
    kernel::{Kernel, RUN},
    lists::Update,
    rows::Neighbor,
    scan::{PART, PIECE, each_run, greatest_low},
    visitors::{Fresh, Kept},
};
use crate::error::Result;
use rayon::prelude::*;

/// New rows on their way through all others.
pub(super) struct Entrance<'a, A> {
    pub(super) kernel: Kernel,
    pub(super) update: &'a Update<'a>,
    /// The new rows and their lists.
    pub(super) new: &'a Fresh<'a>,
    /// The lists of the others.
    pub(super) kept: &'a Kept<'a>,
    /// How far each row looks, by row number; rows past the end look everywhere.
    pub(super) k_distances: &'a [u32],
    /// Whether a row that is not zero is one of the others.
    pub(super) is_other: A,
}

impl<A: Fn(u32) -> bool + Sync> Entrance<'_, A> {
    /// Every new row meets every other.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] if the course is cancelled.
    pub(super) fn run(&self, course: &Course<'_>) -> Result<()> {
        let rows = self.update.planes.rows();
        if self.new.rows().is_empty() {
            return Ok(());
        }
        self.new
            .rows()
            .iter()
            .for_each(|&row| self.update.planes.measuring(row));
        (0..rows.div_ceil(PART))
            .into_par_iter()
            .with_max_len(1)
            .try_for_each(|part| {
                course.go_on()?;
                let part = part * PART..rows.min((part + 1) * PART);
                for first in part.clone().step_by(PIECE) {
                    self.piece(first, part.end.min(first + PIECE));
                }
                course.advance((part.len() * self.new.rows().len()) as u64);
                Ok(())
            })
    }

    fn piece(&self, first: usize, end: usize) {
        let planes = &self.update.planes;
        planes.scanning(first..end);
        let low = greatest_low(planes, first..end);
        for (place, &new) in self.new.rows().iter().enumerate() {
            let norms = planes.norms()[new as usize];
            let mut sieve = Sieve::new(norms, self.new.k_distance(place), low);
            each_run(
                self.kernel,
                planes.row(new).high,
                planes,
                first..end,
                |row, others, dots| {
                    let mut found = self.kernel.wanted_by_either(
                        &sieve,
                        others,
                        dots,
                        &self.k_distances_from(row),
                    );
                    if found == 0 {
                        return;
                    }
                    while found != 0 {
                        self.visit(place, new, (row + found.trailing_zeros() as usize) as u32);
                        found &= found - 1;
                    }
                    sieve = Sieve::new(norms, self.new.k_distance(place), low);
                },
            );
        }
    }

    /// The k-distances of [`RUN`] rows.
    fn k_distances_from(&self, row: usize) -> [u32; RUN] {
        if let Some(Ok(k_distances)) = self
            .k_distances
            .get(row..row + RUN)
            .map(<[u32; RUN]>::try_from)
        {
            return k_distances;
        }
        let mut k_distances = [OPEN; RUN];
        k_distances
            .iter_mut()
            .zip(self.k_distances.iter().skip(row))
            .for_each(|(to, from)| *to = *from);
        k_distances
    }

    fn visit(&self, place: usize, new: u32, other: u32) {
        let planes = &self.update.planes;
        let takes_part = planes
            .norms()
            .get(other as usize)
            .is_some_and(|norms| !norms.is_zero());
        if !takes_part || !(self.is_other)(other) {
            return;
        }
        planes.measuring(other);
        let distance = self
            .kernel
            .squared_distance(planes.row(new), planes.row(other));
        self.new.offer(place, other, distance);
        if distance
            <= self
                .k_distances
                .get(other as usize)
                .copied()
                .unwrap_or(OPEN)
        {
            self.kept.offer(other, Neighbor { row: new, distance });
        }
    }
}
