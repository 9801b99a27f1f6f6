//! One query → its best neighbours by reading the high plane front to back: cheaper than packing when queries are few.
//!
//! The plane is cut into parts that are scanned in parallel, each with a heap of its own and one shared reach, which only ever shrinks.
//! Within a part the bound (see `bound`) uses the largest low norm of a piece of rows. There is no early stop on partial sums.

use super::{
    best::Best,
    bound::{OPEN, high_limit},
    kernel::{Kernel, RUN},
    planes::{Norms, Planes, Row},
    rows::{Neighbor, RowOrder},
};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Rows scanned by one task.
const PART: usize = 1 << 14;
/// Rows under one bound.
const PIECE: usize = 1 << 10;

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
        let norms = &self.targets.norms()[first..end];
        let low = norms.iter().map(|norms| norms.low).max().unwrap_or(0);
        let mut limit = self.limit(reach.load(Ordering::Relaxed), low);
        for (at, norms) in norms.chunks(RUN).enumerate() {
            let row = first + at * RUN;
            let dots = self.dots(row, norms.len());
            let mut found = survivors(norms, &dots, limit);
            if found == 0 {
                continue;
            }
            while found != 0 {
                self.meet((row + found.trailing_zeros() as usize) as u32, best);
                found &= found - 1;
            }
            let known = reach.fetch_min(best.reach(), Ordering::Relaxed).min(best.reach());
            limit = self.limit(known, low);
        }
    }

    /// `H ≤ limit`, with the query's own norm moved over.
    fn limit(&self, reach: u32, low: u32) -> i64 {
        i64::from(high_limit(reach, self.norms.low, low)) - i64::from(self.norms.high)
    }

    fn dots(&self, row: usize, count: usize) -> [i32; RUN] {
        let stride = self.targets.stride();
        let high = &self.targets.high()[row * stride..(row + count) * stride];
        if count == RUN {
            return self.kernel.dots(self.query.high, high);
        }
        let mut padded = vec![0; RUN * stride];
        padded[..high.len()].copy_from_slice(high);
        self.kernel.dots(self.query.high, &padded)
    }

    fn meet(&self, row: u32, best: &mut Best) {
        let is_zero = self.targets.norms().get(row as usize).is_none_or(|norms| norms.is_zero());
        if !is_zero && (self.admits)(row) {
            let distance = self.kernel.squared_distance(self.query, self.targets.row(row));
            best.offer(Neighbor { row, distance }, self.order);
        }
    }
}

/// Bit `i` is set if `n_i − 2 dot_i ≤ limit`.
fn survivors(norms: &[Norms], dots: &[i32; RUN], limit: i64) -> u32 {
    let limit = limit.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    let pass = norms.iter().zip(dots).map(|(norms, &dot)| (norms.high as i32).wrapping_sub(dot.wrapping_mul(2)) <= limit);
    pass.enumerate().fold(0, |bits, (at, pass)| bits | u32::from(pass) << at)
}

const _: () = assert!(PART.is_multiple_of(PIECE) && PIECE.is_multiple_of(RUN) && OPEN == u32::MAX, "parts are whole pieces");
