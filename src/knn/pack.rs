//! Rows of high bytes → groups of queries and tiles of targets, transposed so that a kernel reads them front to back.
//!
//! A word holds four values as bytes, or two as `i16` ([`Kernel::bytes_per_value`]). A step of a group is one word of each of its
//! [`GROUP`] queries; a step of a tile is one word of each of its [`TILE`] targets. In the byte form the queries are offset by 128, and
//! the accumulator of target `b` starts at `−128 Σb`; in both forms it starts `⌊n_b / 2⌋` lower (`bound`).

use super::{
    bound::{FAR, QueryBound},
    kernel::{GROUP, Group, Kernel, LINES, Line, TILE, Tile},
    planes::Planes,
};

/// Where the accumulator of a place without a target starts: so low that it never survives.
const NOBODY: i32 = -(1 << 30);

/// Packed queries with their bounds, all open at first.
pub(super) struct QueryBlock {
    words: Vec<[u32; GROUP]>,
    steps: usize,
    pub(super) bounds: Vec<[QueryBound; GROUP]>,
}

impl QueryBlock {
    /// Packs `rows` of `planes`.
    pub(super) fn new(kernel: Kernel, planes: &Planes<'_>, rows: &[u32]) -> Self {
        let steps = steps(kernel, planes);
        let groups = rows.len().div_ceil(GROUP);
        let mut block = Self { words: vec![[0; GROUP]; groups * steps], steps, bounds: vec![[QueryBound::EMPTY; GROUP]; groups] };
        for (at, &row) in rows.iter().enumerate() {
            let words = &mut block.words[at / GROUP * steps..][..steps];
            let high = planes.row(row).high;
            if kernel.bytes_per_value() == 1 {
                words.iter_mut().zip(byte_words(high)).for_each(|(to, word)| to[at % GROUP] = word ^ 0x8080_8080);
            } else {
                words.iter_mut().zip(short_words(high)).for_each(|(to, word)| to[at % GROUP] = word);
            }
        }
        block
    }

    /// Number of groups.
    pub(super) fn groups(&self) -> usize {
        self.bounds.len()
    }

    /// One group.
    pub(super) fn group(&self, at: usize) -> Group<'_> {
        Group { words: &self.words[at * self.steps..(at + 1) * self.steps], bounds: &self.bounds[at] }
    }
}

/// Room for one packed tile.
pub(super) struct TileBuffer {
    kernel: Kernel,
    lines: Vec<Line>,
    start: [i32; TILE],
    /// What each target wants, `other_b`; for the caller to set.
    pub(super) other: [i32; TILE],
}

impl TileBuffer {
    /// Room for rows of `planes`.
    pub(super) fn new(kernel: Kernel, planes: &Planes<'_>) -> Self {
        Self { kernel, lines: vec![Line([0; 16]); LINES * steps(kernel, planes)], start: [NOBODY; TILE], other: [FAR; TILE] }
    }

    /// Packs up to [`TILE`] `rows` of `planes`; the other places stay empty and want nothing.
    pub(super) fn pack(&mut self, planes: &Planes<'_>, rows: &[u32]) {
        self.start = [NOBODY; TILE];
        self.other = [FAR; TILE];
        for (at, &row) in rows.iter().enumerate().take(TILE) {
            let (high, half) = (planes.row(row).high, (planes.norms()[row as usize].high.min(1 << 29) >> 1) as i32);
            let places = self.lines.iter_mut().skip(at / 16).step_by(LINES).map(|line| &mut line.0[at % 16]);
            if self.kernel.bytes_per_value() == 1 {
                places.zip(byte_words(high)).for_each(|(to, word)| *to = word);
                let sum: i32 = high.iter().map(|&h| i32::from(h)).sum();
                self.start[at] = -128 * sum - half;
            } else {
                places.zip(short_words(high)).for_each(|(to, word)| *to = word);
                self.start[at] = -half;
            }
        }
    }

    /// The tile as packed.
    pub(super) fn tile(&self) -> Tile<'_> {
        Tile { lines: &self.lines, start: &self.start, other: &self.other }
    }
}

fn steps(kernel: Kernel, planes: &Planes<'_>) -> usize {
    planes.stride() * kernel.bytes_per_value() / 4
}

/// Four values a word, the first in the low byte.
fn byte_words(high: &[i8]) -> impl Iterator<Item = u32> + '_ {
    high.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(four.map(|h| h as u8)))
}

/// Two values a word as `i16`, the first in the low half.
fn short_words(high: &[i8]) -> impl Iterator<Item = u32> + '_ {
    let half = |h: i8| u32::from(i16::from(h) as u16);
    high.as_chunks::<2>().0.iter().map(move |&[first, second]| half(first) | half(second) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::oracle::{Lcg, random_planes};

    #[test]
    fn a_packed_pair_survives_exactly_if_its_high_bytes_allow_it() {
        let mut random = Lcg(3);
        for case in 0..60 {
            let (count, queries) = (1 + random.below(48) as usize, 1 + random.below(8) as usize);
            let planes = random_planes(48, 1 + random.below(200) as usize, &mut random);
            let planes = planes.as_planes();
            let rows: Vec<u32> = (0..count as u32).collect();
            let (own, other) = (random.below(40_000) as i32, (random.below(2) == 0).then(|| random.below(40_000) as i32));
            for kernel in Kernel::available() {
                let mut block = QueryBlock::new(kernel, &planes, &rows[..queries.min(count)]);
                for at in 0..queries.min(count) {
                    block.bounds[0][at] = QueryBound::new(planes.norms()[at].high, own);
                }
                let mut tile = TileBuffer::new(kernel, &planes);
                tile.pack(&planes, &rows);
                tile.other[..count].fill(crate::knn::bound::target_bound(other));
                let masks = kernel.survivors(block.group(0), tile.tile());
                for (a, mask) in masks.iter().enumerate() {
                    for b in 0..48 {
                        let found = mask >> b & 1 == 1;
                        if a >= queries.min(count) || b >= count {
                            assert!(!found, "{kernel:?} {case}: nobody survived");
                            continue;
                        }
                        let high = |row: usize| planes.row(row as u32).high.iter().map(|&h| i32::from(h));
                        let apart: i32 = high(a).zip(high(b)).map(|(x, y)| (x - y).pow(2)).sum();
                        let limit = own.max(other.unwrap_or(-1));
                        assert!(found || apart > limit, "{kernel:?} {case}: {apart} within {limit} was dropped");
                        assert!(!found || apart <= limit + 3, "{kernel:?} {case}: {apart} beyond {limit} survived");
                    }
                }
            }
        }
    }
}
