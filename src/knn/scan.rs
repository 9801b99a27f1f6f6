//! Some queries → their best neighbours by reading the high plane front to back, once for all of
//! them, and for several searches at once.
//!
//! The plane is cut into parts that are scanned in parallel. The best so far of each query are
//! shared by all, and so is its k-distance, which only ever shrinks. The bound (see `bound`) is one
//! for a piece of rows, with their largest low norm. There is no early stop on partial sums (see
//! `mod`).
//!
//! Low bytes are read of few rows, for a mapped file would be touched all over: each row that is
//! among the best for a while is somewhere else. High bytes say how far a row is at least, and
//! about how far. So of a piece only the rows that seem to be among the best are measured at once;
//! the others that may be are candidates, and in the end they are measured, nearest by their high
//! bytes first, as long as they may be.

use super::{
    bound::{QueryBound, Sieve},
    kernel::{GROUP, Kernel, RUN, TILE},
    pack::{QueryBlock, TileBuffer},
    planes::{Norms, Planes, Row},
    rows::{Admit, Live, Neighbor, RowOrder},
    top_k::TopKHeaps,
};
use rayon::prelude::*;
use std::ops::Range;

/// Rows under one bound, which fit L2.
pub(super) const PIECE: usize = 32 * TILE;
/// Rows scanned by one task.
pub(super) const PART: usize = 10 * PIECE;
/// Up to this many queries a pass each over the rows of a piece is cheaper than packing them (see
/// `benches/knn.rs`).
const FEW: usize = 2;
/// Candidates of a query in a part, at the most, and those of a part that are left to the end: with
/// more, all are measured.
const ROOM: usize = 1 << 14;
const LEFT: usize = 1 << 10;

/// Some queries and what they may find.
pub(super) struct Scan<'a> {
    pub(super) kernel: Kernel,
    pub(super) queries: Planes<'a>,
    /// The active queries, by row: none of them is zero.
    pub(super) active: &'a [u32],
    pub(super) targets: Planes<'a>,
    pub(super) live: &'a Live<'a>,
    pub(super) order: &'a dyn RowOrder,
    pub(super) admit: &'a Admit<'a>,
    /// What those that ask keep.
    pub(super) heaps: &'a TopKHeaps,
}

/// A row that may be among the best, and its `H`.
#[derive(Clone, Copy)]
struct Candidate {
    row: u32,
    apart: i32,
}

/// Offers all that may be kept to those that ask in each of some scans of the same rows, which are
/// read once.
pub(super) fn run(scans: &[Scan<'_>]) {
    let rows = scans.iter().map(Scan::rows).max().unwrap_or(0);
    let blocks: Vec<Option<QueryBlock>> = scans.iter().map(Scan::block).collect();
    let part = |part: usize| {
        let passes = scans
            .iter()
            .zip(&blocks)
            .map(|(scan, block)| Pass::new(scan, block.clone()));
        through(passes.collect(), part * PART..rows.min((part + 1) * PART))
    };
    let parts: Vec<Vec<Vec<Vec<Candidate>>>> =
        (0..rows.div_ceil(PART)).into_par_iter().map(part).collect();
    let active = scans
        .iter()
        .enumerate()
        .flat_map(|(at, scan)| (0..scan.active.len()).map(move |active| (at, active)));
    active
        .collect::<Vec<_>>()
        .into_par_iter()
        .for_each(|(scan, at)| {
            let mut candidates: Vec<Candidate> = parts
                .iter()
                .flat_map(|passes| &passes[scan][at])
                .copied()
                .collect();
            scans[scan].measure(at, &mut candidates);
        });
}

/// The candidates of a part that are left to the end, for each active query in each pass.
fn through(mut passes: Vec<Pass<'_>>, rows: Range<usize>) -> Vec<Vec<Vec<Candidate>>> {
    let mut next = rows.start;
    while next < rows.end {
        // At first nothing is known of how far the best are: small pieces tell soon.
        let piece = next..rows.end.min(next + (next - rows.start).clamp(TILE, PIECE));
        next = piece.end;
        passes.iter_mut().for_each(|pass| pass.piece(&piece));
    }
    passes.into_iter().map(Pass::end).collect()
}

/// A scan on its way through a part.
struct Pass<'a> {
    scan: &'a Scan<'a>,
    block: Option<QueryBlock>,
    tile: TileBuffer,
    /// For each active query.
    candidates: Vec<Vec<Candidate>>,
}

impl<'a> Pass<'a> {
    fn new(scan: &'a Scan<'a>, block: Option<QueryBlock>) -> Self {
        let tile = TileBuffer::new(scan.kernel, &scan.targets);
        Self {
            scan,
            block,
            tile,
            candidates: vec![Vec::new(); scan.active.len()],
        }
    }

    fn piece(&mut self, piece: &Range<usize>) {
        let Self {
            scan,
            block,
            tile,
            candidates,
        } = self;
        let piece = piece.start..piece.end.min(scan.rows());
        if piece.is_empty() {
            return;
        }
        scan.targets.scanning(piece.clone());
        let before: Vec<usize> = candidates.iter().map(Vec::len).collect();
        match block {
            Some(block) => scan.piece_by_tiles(piece, block, tile, candidates),
            None => candidates
                .iter_mut()
                .enumerate()
                .for_each(|(at, candidates)| scan.piece_by_runs(piece.clone(), at, candidates)),
        }
        for (at, (candidates, before)) in candidates
            .iter_mut()
            .zip(before)
            .enumerate()
            .filter(|(_, (now, before))| now.len() > *before)
        {
            scan.measure_best(at, candidates, before);
        }
    }

    fn end(mut self) -> Vec<Vec<Candidate>> {
        self.candidates
            .iter_mut()
            .enumerate()
            .for_each(|(at, candidates)| self.scan.thin(at, candidates, LEFT));
        self.candidates
    }
}

impl Scan<'_> {
    /// Rows, of which the last may be found by somebody.
    fn rows(&self) -> usize {
        let end = self
            .active
            .iter()
            .map(|&query| self.admit.limit(query as usize))
            .max()
            .unwrap_or(0);
        self.targets.rows().min(end as usize)
    }

    /// The queries as packed, where they go by tiles.
    fn block(&self) -> Option<QueryBlock> {
        // Runs are of whole rows, and their bounds of all values.
        let by_tiles = self.active.len() > FEW || self.targets.is_coarse();
        by_tiles.then(|| QueryBlock::new(self.kernel, &self.queries, self.active))
    }

    /// One query on its way through a piece.
    fn piece_by_runs(&self, piece: Range<usize>, at: usize, candidates: &mut Vec<Candidate>) {
        let low = greatest_low(&self.targets, piece.clone());
        let sieve = Sieve::new(
            self.queries.norms()[self.active[at] as usize],
            self.heaps.k_distance(at),
            low,
        );
        each_run(
            self.kernel,
            self.row(at).high,
            &self.targets,
            piece,
            |row, others, dots| {
                let found = self.kernel.wanted(&sieve, others, dots);
                if found != 0 {
                    self.visit(at, row, u64::from(found), candidates);
                }
            },
        );
    }

    /// All queries on their way through a piece.
    fn piece_by_tiles(
        &self,
        piece: Range<usize>,
        block: &mut QueryBlock,
        tile: &mut TileBuffer,
        candidates: &mut [Vec<Candidate>],
    ) {
        let low = greatest_low(&self.targets, piece.clone());
        for at in 0..candidates.len() {
            let norms = self.queries.norms_of(self.kernel, self.active[at]);
            block.bounds[at / GROUP][at % GROUP] = QueryBound::new(
                norms.high,
                self.targets
                    .limit(self.heaps.k_distance(at), norms.low, low),
            );
        }
        let sieves = self.kernel.sieves();
        for first in piece.clone().step_by(TILE) {
            tile.pack_run(&self.targets, first..piece.end.min(first + TILE));
            for group in 0..block.groups() {
                let masks = sieves.survivors(block.group(group), tile.tile());
                for (at, mask) in (group * GROUP..).zip(masks).filter(|(_, mask)| *mask != 0) {
                    self.visit(at, first, mask, &mut candidates[at]);
                }
            }
        }
    }

    /// A query meets the rows of a mask that begins at `first`: those that it may find are
    /// candidates.
    fn visit(&self, at: usize, first: usize, mut mask: u64, candidates: &mut Vec<Candidate>) {
        while mask != 0 {
            let row = (first + mask.trailing_zeros() as usize) as u32;
            mask &= mask - 1;
            // Runs are filled up past the last row.
            let is_row = self
                .targets
                .norms()
                .get(row as usize)
                .is_some_and(|norms| !norms.is_zero());
            if is_row && self.live.contains(row) && self.admit.admits(self.active[at] as usize, row)
            {
                let candidate = Candidate {
                    row,
                    apart: self.apart(at, row),
                };
                candidates.extend(self.may_be(at, candidate).then_some(candidate));
            }
        }
        if candidates.len() >= ROOM {
            self.thin(at, candidates, ROOM / 2);
        }
    }

    /// Measures those of the last candidates, from `before` on, that seem to be among the best, as
    /// many as there can be, and drops those that then cannot be.
    fn measure_best(&self, at: usize, candidates: &mut Vec<Candidate>, before: usize) {
        let mut last = candidates.split_off(before.min(candidates.len()));
        last.sort_unstable_by_key(|candidate| (candidate.apart, candidate.row));
        let most = self.heaps.most().min(last.len());
        let seems_near = |candidate: &Candidate| {
            self.estimate(at, *candidate) <= u64::from(self.heaps.k_distance(at))
        };
        let mut measured = 0;
        while measured < most && seems_near(&last[measured]) {
            self.offer(at, last[measured]);
            measured += 1;
        }
        candidates.extend(
            last[measured..]
                .iter()
                .copied()
                .filter(|candidate| self.may_be(at, *candidate)),
        );
    }

    /// Drops candidates that are none any more; if more than `most` are left, all are measured.
    fn thin(&self, at: usize, candidates: &mut Vec<Candidate>, most: usize) {
        candidates.retain(|candidate| self.may_be(at, *candidate));
        if candidates.len() > most {
            self.measure(at, candidates);
        }
    }

    /// Measures candidates, nearest by their high bytes first, as long as they may be among the
    /// best.
    fn measure(&self, at: usize, candidates: &mut Vec<Candidate>) {
        candidates.retain(|candidate| self.may_be(at, *candidate));
        candidates.sort_unstable_by_key(|candidate| (candidate.apart, candidate.row));
        for candidate in candidates.drain(..) {
            if self.may_be(at, candidate) {
                self.offer(at, candidate);
            }
        }
    }

    /// Measures a candidate for whoever keeps it.
    fn offer(&self, at: usize, Candidate { row, .. }: Candidate) {
        let distance = self
            .targets
            .squared_distance(self.kernel, self.row(at), row);
        self.heaps.offer(at, Neighbor { row, distance }, self.order);
    }

    /// Whether a candidate may be among the best.
    fn may_be(&self, at: usize, Candidate { row, apart }: Candidate) -> bool {
        let [own, other] = self.lows(at, row);
        apart <= self.targets.limit(self.heaps.k_distance(at), own, other)
    }

    /// About how far a candidate is: as far as if low bytes had nothing to do with high bytes or
    /// with each other.
    fn estimate(&self, at: usize, Candidate { row, apart }: Candidate) -> u64 {
        if self.targets.is_coarse() {
            return apart.max(0) as u64;
        }
        let lows = self.lows(at, row).map(|low| u64::from(low).pow(2));
        ((apart.max(0) as u64) << 16)
            .saturating_add(lows[0])
            .saturating_add(lows[1])
    }

    fn row(&self, at: usize) -> Row<'_> {
        self.queries.row(self.active[at])
    }

    /// The low norms of a pair.
    fn lows(&self, at: usize, row: u32) -> [u32; 2] {
        [
            self.queries.low_of(self.active[at]),
            self.targets.low_of(row),
        ]
    }

    /// `H` of a pair: the squared distance of rows that are as their high bytes.
    fn apart(&self, at: usize, row: u32) -> i32 {
        self.kernel
            .high_distance(self.row(at).high, self.targets.row(row).high)
    }
}

/// The largest low norm of some rows.
pub(super) fn greatest_low(planes: &Planes<'_>, rows: Range<usize>) -> u32 {
    rows.map(|row| planes.low_of(row as u32)).max().unwrap_or(0)
}

/// What stands in for a row past the last: too far for everybody.
const FARTHEST: Norms = Norms {
    high: 1 << 29,
    low: 0,
};

/// Calls `work` with the first row, the norms and the dot products of every [`RUN`] of `rows`; the
/// last is filled up with rows that nobody wants.
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

const _: () = assert!(
    PIECE.is_multiple_of(RUN) && PIECE.is_multiple_of(TILE),
    "pieces are whole runs and tiles"
);
