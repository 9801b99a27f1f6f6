//! One query → its best neighbours by reading the high plane front to back: cheaper than packing when queries are few.
//!
//! The plane is cut into parts that are scanned in parallel, each with a heap of its own and one shared reach, which only ever shrinks.
//! Within a part the bound (see `bound`) uses the largest low norm of a piece of rows. There is no early stop on partial sums (see `mod`).

use super::{
    best::Best,
    bound::{OPEN, Sieve},
    kernel::{Kernel, RUN},
    planes::{Norms, Planes, Row},
    rows::{Neighbor, RowOrder},
};
use rayon::prelude::*;
use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

/// Rows scanned by one task.
pub(super) const PART: usize = 1 << 14;
/// Rows under one bound.
pub(super) const PIECE: usize = 1 << 10;

/// One query and what it may find.
pub(super) struct Scan<'a, A> {
    pub(super) kernel: Kernel,
    pub(super) query: Row<'a>,
    pub(super) norms: Norms,
    pub(super) targets: Planes<'a>,
    pub(super) order: &'a dyn RowOrder,
    /// Whether a row that is not zero may be found.
    pub(super) admits: A,
}

impl<A: Fn(u32) -> bool + Sync> Scan<'_, A> {
    /// The best among the rows under `end`, starting from `best`, which is empty.
    pub(super) fn run(&self, best: &Best, end: u32) -> Vec<Neighbor> {
        let rows = self.targets.rows().min(end as usize);
        let reach = AtomicU32::new(best.reach());
        let parts: Vec<Best> = (0..rows.div_ceil(PART))
            .into_par_iter()
            .map(|part| {
                let mut best = best.clone();
                for first in (part * PART..rows.min((part + 1) * PART)).step_by(PIECE) {
                    self.piece(first, rows.min(first + PIECE), &mut best, &reach);
                }
                best
            })
            .collect();
        let mut all = best.clone();
        for &neighbor in parts.iter().flat_map(Best::unsorted) {
            all.offer(neighbor, self.order);
        }
        all.into_sorted(self.order)
    }

    /// Rows `first` to `end`; both within one part.
    fn piece(&self, first: usize, end: usize, best: &mut Best, reach: &AtomicU32) {
        self.targets.scanning(first..end);
        let low = greatest_low(&self.targets, first..end);
        let mut sieve = Sieve::new(self.norms, reach.load(Ordering::Relaxed), low);
        each_run(self.kernel, self.query.high, &self.targets, first..end, |row, norms, dots| {
            let mut found = self.kernel.wanted(&sieve, norms, dots);
            if found == 0 {
                return;
            }
            while found != 0 {
                self.meet((row + found.trailing_zeros() as usize) as u32, best);
                found &= found - 1;
            }
            let known = reach.fetch_min(best.reach(), Ordering::Relaxed).min(best.reach());
            sieve = Sieve::new(self.norms, known, low);
        });
    }

    fn meet(&self, row: u32, best: &mut Best) {
        let is_zero = self.targets.norms().get(row as usize).is_none_or(|norms| norms.is_zero());
        if !is_zero && (self.admits)(row) {
            self.targets.measuring(row);
            let distance = self.kernel.squared_distance(self.query, self.targets.row(row));
            best.offer(Neighbor { row, distance }, self.order);
        }
    }
}

/// The largest low norm of some rows.
pub(super) fn greatest_low(planes: &Planes<'_>, rows: Range<usize>) -> u32 {
    planes.norms()[rows].iter().map(|norms| norms.low).max().unwrap_or(0)
}

/// What stands in for a row past the last: too far for everybody.
const FARTHEST: Norms = Norms { high: 1 << 29, low: 0 };

/// Calls `work` with the first row, the norms and the dot products of every [`RUN`] of `rows`; the last is filled up with rows that nobody
/// wants.
pub(super) fn each_run(
    kernel: Kernel,
    query: &[i8],
    planes: &Planes<'_>,
    rows: Range<usize>,
    mut work: impl FnMut(usize, &[Norms; RUN], &[i32; RUN]),
) {
    let stride = planes.stride();
    let high = &planes.high()[rows.start * stride..rows.end * stride];
    let (runs, rest) = planes.norms()[rows.clone()].as_chunks::<RUN>();
    let mut row = rows.start;
    for (norms, high) in runs.iter().zip(high.chunks_exact(RUN * stride)) {
        work(row, norms, &kernel.dots(query, high));
        row += RUN;
    }
    if !rest.is_empty() {
        let (mut norms, mut padded) = ([FARTHEST; RUN], vec![0; RUN * stride]);
        norms[..rest.len()].copy_from_slice(rest);
        padded[..rest.len() * stride].copy_from_slice(&high[runs.len() * RUN * stride..]);
        work(row, &norms, &kernel.dots(query, &padded));
    }
}

const _: () = assert!(PART.is_multiple_of(PIECE) && PIECE.is_multiple_of(RUN) && OPEN == u32::MAX, "parts are whole pieces");
