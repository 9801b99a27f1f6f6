//! Two lists of rows → every pair that may matter, measured: the blocked join behind batches and
//! lists.
//!
//! A task is a block of queries that fits L2 against a run of tiles that each fit L1; tasks run in
//! parallel and share nothing but the [`PairVisitor`]. Which pairs are measured depends on how fast
//! the bounds tighten, hence on timing; what the visitor keeps must not.

use super::{
    bound::{QueryBound, target_bound},
    kernel::{GROUP, Kernel, Sieves, TILE},
    pack::{QueryBlock, TileBuffer},
    planes::{Norms, Planes},
};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::{
    cmp::Reverse,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes of high plane that a block of queries may take. Packed it takes as much again, and its
/// survivors touch both planes and the heaps: together they should fit L2.
const BLOCK_BYTES: usize = 1 << 17;
/// Tiles in a task.
const RUN_OF_TILES: usize = 64;

/// Rows of some planes that take part; a place is an index into `rows`.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    planes: Planes<'a>,
    rows: &'a [u32],
    /// The largest low norm among the rows.
    low: u32,
}

impl<'a> Side<'a> {
    /// The given rows of `planes`, all announced as scanned before. O(rows).
    pub(super) fn new(planes: Planes<'a>, rows: &'a [u32]) -> Self {
        let low = rows
            .iter()
            .map(|&row| planes.low_of(row))
            .max()
            .unwrap_or(0);
        Self { planes, rows, low }
    }
}

/// What becomes of the pairs. Rows are named by their positions in the join. A k-distance is a
/// squared distance, inclusive, beyond which a row keeps no neighbour; it may only shrink, and an
/// old answer does no harm.
pub(super) trait PairVisitor: Sync {
    /// How far a query still looks.
    fn query_k_distance(&self, query: usize) -> u32;
    /// How far a target still looks; `None` if targets keep nothing.
    fn target_k_distance(&self, target: usize) -> Option<u32>;
    /// Whether the pair may meet at all.
    fn admits(&self, _query: usize, _target: usize) -> bool {
        true
    }
    /// The pair and its exact squared distance.
    fn visit(&self, query: usize, target: usize, distance: u32);
}

/// Where to say how far the work is, and where to ask whether to stop.
pub(super) struct Course<'a> {
    progress: &'a (dyn Fn(u64, u64) + Sync),
    cancelled: &'a (dyn Fn() -> bool + Sync),
    done: AtomicU64,
    total: u64,
}

impl<'a> Course<'a> {
    /// A course of `total` pairs.
    pub(super) fn new(
        progress: &'a (dyn Fn(u64, u64) + Sync),
        cancelled: &'a (dyn Fn() -> bool + Sync),
        total: u64,
    ) -> Self {
        Self {
            progress,
            cancelled,
            done: AtomicU64::new(0),
            total,
        }
    }

    /// [`Error::Interrupted`] if the work shall stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if (self.cancelled)() {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }

    pub(super) fn advance(&self, pairs: u64) {
        let before = self.done.fetch_add(pairs, Ordering::Relaxed);
        (self.progress)(before + pairs, self.total);
    }
}

/// Number of pairs of `rows` rows.
pub(super) fn pairs_among(rows: usize) -> u64 {
    let rows = rows as u64;
    rows * rows.saturating_sub(1) / 2
}

/// Each query meets each target that either still wants.
///
/// # Errors
/// [`Error::Interrupted`] if the course is cancelled.
pub(super) fn across<M: PairVisitor>(
    kernel: Kernel,
    queries: Side<'_>,
    targets: Side<'_>,
    visitor: &M,
    course: &Course<'_>,
) -> Result<()> {
    Join {
        kernel,
        queries,
        targets,
        triangle: false,
        visitor,
    }
    .run(course)
}

/// Each pair of different places of one side meets once, the smaller place as the query.
///
/// # Errors
/// [`Error::Interrupted`] if the course is cancelled.
pub(super) fn among<M: PairVisitor>(
    kernel: Kernel,
    side: Side<'_>,
    visitor: &M,
    course: &Course<'_>,
) -> Result<()> {
    Join {
        kernel,
        queries: side,
        targets: side,
        triangle: true,
        visitor,
    }
    .run(course)
}

struct Join<'a, M> {
    kernel: Kernel,
    queries: Side<'a>,
    targets: Side<'a>,
    /// Only pairs whose query place is smaller than the target place.
    triangle: bool,
    visitor: &'a M,
}

/// Places of a block of queries and of a run of targets.
struct Task {
    queries: Range<usize>,
    targets: Range<usize>,
}

impl<M: PairVisitor> Join<'_, M> {
    fn run(&self, course: &Course<'_>) -> Result<()> {
        assert_eq!(
            self.queries.planes.width(),
            self.targets.planes.width(),
            "strides of queries and targets"
        );
        self.tasks()
            .into_par_iter()
            .with_max_len(1)
            .try_for_each(|task| {
                course.go_on()?;
                self.work(&task);
                course.advance(self.pairs(&task));
                Ok(())
            })
    }

    fn tasks(&self) -> Vec<Task> {
        // Few queries are shared by all threads.
        let share = self
            .queries
            .rows
            .len()
            .div_ceil(2 * rayon::current_num_threads());
        let block = (BLOCK_BYTES / self.queries.planes.width())
            .min(share)
            .max(1)
            .next_multiple_of(GROUP);
        let run = RUN_OF_TILES * TILE;
        let mut tasks = Vec::new();
        for first in (0..self.queries.rows.len()).step_by(block) {
            let queries = first..(first + block).min(self.queries.rows.len());
            for first in (0..self.targets.rows.len()).step_by(run) {
                let targets = first..(first + run).min(self.targets.rows.len());
                if !self.triangle || targets.end > queries.start + 1 {
                    tasks.push(Task {
                        queries: queries.clone(),
                        targets,
                    });
                }
            }
        }
        if self.triangle {
            // A run of targets stays in the cache with its lists while blocks of queries come and
            // go, which are smaller. Its own come first: as long as both rows of a pair look far,
            // one measurement serves both.
            tasks.sort_by_key(|task| (task.targets.start, Reverse(task.queries.start)));
        }
        tasks
    }

    /// Number of pairs of a task.
    fn pairs(&self, task: &Task) -> u64 {
        let later = |query: usize| {
            task.targets
                .end
                .saturating_sub(task.targets.start.max(query + 1)) as u64
        };
        if self.triangle {
            task.queries.clone().map(later).sum()
        } else {
            task.queries.len() as u64 * task.targets.len() as u64
        }
    }

    fn work(&self, task: &Task) {
        let rows = &self.queries.rows[task.queries.clone()];
        let mut bench = Bench {
            sieves: self.kernel.sieves(),
            start: task.queries.start,
            block: QueryBlock::new(self.kernel, &self.queries.planes, rows),
            query_norms: rows
                .iter()
                .map(|&row| self.queries.planes.norms_of(self.kernel, row))
                .collect(),
            query_k_distance: Vec::with_capacity(rows.len()),
            targets: 0..0,
            tile: TileBuffer::new(self.kernel, &self.targets.planes),
            target_k_distance: [None; TILE],
            measured: Vec::with_capacity(GROUP * TILE),
        };
        for query in task.queries.clone() {
            let at = query - bench.start;
            bench
                .query_k_distance
                .push(self.visitor.query_k_distance(query));
            bench.block.bounds[at / GROUP][at % GROUP] =
                self.query_bound(bench.query_norms[at], bench.query_k_distance[at]);
        }
        for first in task.targets.clone().step_by(TILE) {
            bench.targets = first..(first + TILE).min(task.targets.end);
            if !self.triangle || bench.targets.end > task.queries.start + 1 {
                self.pass(&mut bench);
            }
        }
    }

    /// All queries of the block against one tile.
    fn pass(&self, bench: &mut Bench) {
        let targets = bench.targets.clone();
        bench
            .tile
            .pack(&self.targets.planes, &self.targets.rows[targets.clone()]);
        for (at, target) in targets.clone().enumerate() {
            bench.target_k_distance[at] = self.visitor.target_k_distance(target);
            bench.tile.other[at] = self.target_bound(target, bench.target_k_distance[at]);
        }
        for group in 0..bench.block.groups() {
            let first = bench.start + group * GROUP;
            if self.triangle && first + 1 >= targets.end {
                return;
            }
            let masks = bench
                .sieves
                .survivors(bench.block.group(group), bench.tile.tile());
            if masks != [0; GROUP] {
                self.measure(bench, first, masks);
                self.settle(bench);
            }
        }
    }

    /// The places of a tile that a query may meet.
    fn allowed(&self, query: usize, targets: &Range<usize>) -> u64 {
        let filled = (1 << targets.len()) - 1;
        let skipped = if self.triangle {
            (query + 1).saturating_sub(targets.start).min(TILE)
        } else {
            0
        };
        if query < self.queries.rows.len() {
            filled >> skipped << skipped
        } else {
            0
        }
    }

    /// Exact distances of the survivors of a group. Kept apart from [`Self::settle`], so that the
    /// processor can fetch many rows at a time.
    fn measure(&self, bench: &mut Bench, first: usize, masks: [u64; GROUP]) {
        for (query, mask) in (first..).zip(masks) {
            let mut mask = mask & self.allowed(query, &bench.targets);
            if mask == 0 {
                continue;
            }
            self.queries.planes.measuring(self.queries.rows[query]);
            let row = self.queries.planes.row(self.queries.rows[query]);
            while mask != 0 {
                let target = bench.targets.start + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let distance = self.targets.planes.squared_distance(
                    self.kernel,
                    row,
                    self.targets.rows[target],
                );
                bench.measured.push((query, target, distance));
            }
        }
    }

    /// Offers what was measured to whoever still wants it, and tightens the bounds that have
    /// changed.
    fn settle(&self, bench: &mut Bench) {
        for (query, target, distance) in bench.measured.drain(..) {
            let (at, to) = (query - bench.start, target - bench.targets.start);
            let wanted = distance <= bench.query_k_distance[at]
                || bench.target_k_distance[to].is_some_and(|k_distance| distance <= k_distance);
            if !wanted || !self.visitor.admits(query, target) {
                continue;
            }
            self.visitor.visit(query, target, distance);
            let (query_k_distance, target_k_distance) = (
                self.visitor.query_k_distance(query),
                self.visitor.target_k_distance(target),
            );
            if query_k_distance != bench.query_k_distance[at] {
                bench.query_k_distance[at] = query_k_distance;
                bench.block.bounds[at / GROUP][at % GROUP] =
                    self.query_bound(bench.query_norms[at], query_k_distance);
            }
            if target_k_distance != bench.target_k_distance[to] {
                bench.target_k_distance[to] = target_k_distance;
                bench.tile.other[to] = self.target_bound(target, target_k_distance);
            }
        }
    }

    fn query_bound(&self, norms: Norms, k_distance: u32) -> QueryBound {
        QueryBound::new(
            norms.high,
            self.targets
                .planes
                .limit(k_distance, norms.low, self.targets.low),
        )
    }

    fn target_bound(&self, target: usize, k_distance: Option<u32>) -> i32 {
        let low = self.targets.planes.low_of(self.targets.rows[target]);
        target_bound(
            k_distance
                .map(|k_distance| self.targets.planes.limit(k_distance, low, self.queries.low)),
        )
    }
}

/// What a task works on: its packed queries and the tile at hand, with the k-distances that the
/// bounds are computed from.
struct Bench {
    sieves: Sieves,
    /// Place of the first query.
    start: usize,
    block: QueryBlock,
    query_norms: Vec<Norms>,
    query_k_distance: Vec<u32>,
    /// Places of the targets of the tile.
    targets: Range<usize>,
    tile: TileBuffer,
    target_k_distance: [Option<u32>; TILE],
    /// Query, target and distance of the survivors of a group.
    measured: Vec<(usize, usize, u32)>,
}
