//! Rows of high bytes → groups of queries and tiles of targets, transposed so that a kernel reads
//! them front to back.
//!
//! A word holds four values, two or one ([`Form`]). A step of a group is one word of each of its
//! [`GROUP`] queries; a step of a tile is one word of each of its [`TILE`] targets. Only with
//! [`Form::Rows`] a group is not transposed. Where the bytes of queries are offset by 128, the
//! accumulator of target `b` starts at `−128 Σb`; in every form it starts `⌊n_b / 2⌋` lower
//! (`bound`).

use super::{
    bound::{FAR, QueryBound},
    kernel::{Form, GROUP, Group, Kernel, LINES, Line, TILE, Tile},
    kernel_portable::each_word,
    planes::Planes,
};
use std::ops::Range;

/// Where the accumulator of a place without a target starts: so low that it never survives.
const EMPTY: i32 = -(1 << 30);

/// Packed queries with their bounds, all open at first.
#[derive(Clone)]
pub(super) struct QueryBlock {
    words: Vec<Line>,
    steps: usize,
    pub(super) bounds: Vec<[QueryBound; GROUP]>,
}

impl QueryBlock {
    /// Packs `rows` of `planes`.
    pub(super) fn new(kernel: Kernel, planes: &Planes<'_>, rows: &[u32]) -> Self {
        let steps = steps(kernel, planes);
        let groups = rows.len().div_ceil(GROUP);
        let mut block = Self {
            words: vec![Line([0; GROUP]); groups * steps],
            steps,
            bounds: vec![[QueryBound::EMPTY; GROUP]; groups],
        };
        for (at, &row) in rows.iter().enumerate() {
            let (lines, place) = (&mut block.words[at / GROUP * steps..][..steps], at % GROUP);
            let high = planes.row(row).high;
            let flip = u32::from_le_bytes([offset(kernel); 4]);
            match kernel.form() {
                Form::Rows => each_word(Form::Rows, high, |step, word| {
                    lines[place * (steps / 16) + step / 16].0[step % 16] = word;
                }),
                form => each_word(form, high, |step, word| lines[step].0[place] = word ^ flip),
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
        Group {
            words: &self.words[at * self.steps..(at + 1) * self.steps],
            bounds: &self.bounds[at],
        }
    }
}

/// Room for one packed tile. It begins with what kernels load at once, aligned for them.
#[repr(C, align(64))]
pub(super) struct TileBuffer {
    start: [i32; TILE],
    /// What each target wants, `other_b`; for the caller to set.
    pub(super) other: [i32; TILE],
    lines: Vec<Line>,
    kernel: Kernel,
}

impl TileBuffer {
    /// Room for rows of `planes`.
    pub(super) fn new(kernel: Kernel, planes: &Planes<'_>) -> Self {
        Self {
            kernel,
            lines: vec![Line([0; 16]); LINES * steps(kernel, planes)],
            start: [EMPTY; TILE],
            other: [FAR; TILE],
        }
    }

    /// Packs up to [`TILE`] `rows` of `planes`; the other places stay empty and want nothing.
    pub(super) fn pack(&mut self, planes: &Planes<'_>, rows: &[u32]) {
        self.pack_rows(planes, rows.len(), |at| rows[at] as usize);
    }

    /// The same of rows that follow each other.
    pub(super) fn pack_run(&mut self, planes: &Planes<'_>, rows: Range<usize>) {
        self.pack_rows(planes, rows.len(), |at| rows.start + at);
    }

    #[inline(always)]
    fn pack_rows(&mut self, planes: &Planes<'_>, count: usize, row: impl Fn(usize) -> usize) {
        self.start = [EMPTY; TILE];
        self.other = [FAR; TILE];
        for first in (0..count.min(TILE)).step_by(16) {
            let here = first..count.min(first + 16);
            // A place without a row takes any.
            let numbers: [u32; 16] =
                std::array::from_fn(|i| row((first + i).min(here.end - 1)) as u32);
            let rows = numbers.map(|row| planes.row(row).high);
            let sums = self.kernel.pack(&rows, &mut self.lines[first / 16..]);
            let halves =
                numbers.map(|row| (planes.square_of(self.kernel, row).min(1 << 29) >> 1) as i32);
            let offset = i32::from(offset(self.kernel));
            let start: [i32; 16] = std::array::from_fn(|i| -offset * sums[i] - halves[i]);
            self.start[here.clone()].copy_from_slice(&start[..here.len()]);
        }
    }

    /// The tile as packed.
    pub(super) fn tile(&self) -> Tile<'_> {
        Tile {
            lines: &self.lines,
            start: &self.start,
            other: &self.other,
        }
    }
}

/// What is added to the bytes of queries, modulo 2⁸: 0 or 128.
fn offset(kernel: Kernel) -> u8 {
    if let Form::Bytes { offset } = kernel.form() {
        offset
    } else {
        0
    }
}

fn steps(kernel: Kernel, planes: &Planes<'_>) -> usize {
    match kernel.form() {
        Form::Bytes { .. } | Form::Rows => planes.width() / 4,
        Form::Shorts => planes.width() / 2,
        Form::Floats => planes.width(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::{
        kernel_portable::pack_words,
        oracle::{Lcg, random_planes},
    };

    #[test]
    fn every_kernel_packs_rows_as_they_are_packed_word_by_word() {
        let mut random = Lcg(4);
        for stride in [64, 128, 192, 1024] {
            let bytes: Vec<i8> = (0..16 * stride)
                .map(|_| random.below(256) as u8 as i8)
                .collect();
            let rows = std::array::from_fn(|at| &bytes[at * stride..][..stride]);
            for kernel in Kernel::available() {
                let blank = vec![Line([7; 16]); LINES * stride];
                let (mut found, mut expected) = (blank.clone(), blank);
                let sums = kernel.pack(&rows, &mut found[1..]);
                assert_eq!(
                    sums,
                    pack_words(kernel.form(), &rows, &mut expected[1..]),
                    "{kernel:?}"
                );
                assert!(
                    found.iter().zip(&expected).all(|(a, b)| a.0 == b.0),
                    "{kernel:?} {stride}"
                );
                assert_eq!(
                    sums.map(i64::from),
                    rows.map(|row| row.iter().map(|&b| i64::from(b)).sum::<i64>())
                );
            }
        }
    }

    #[test]
    fn a_packed_pair_survives_exactly_if_its_high_bytes_allow_it() {
        let mut random = Lcg(3);
        for case in 0..60 {
            let (count, queries) = (
                1 + random.below(48) as usize,
                1 + random.below(GROUP as u32) as usize,
            );
            let planes = random_planes(48, 1 + random.below(200) as usize, &mut random);
            let planes = planes.as_planes();
            let rows: Vec<u32> = (0..count as u32).collect();
            let (own, other) = (
                random.below(40_000) as i32,
                (random.below(2) == 0).then(|| random.below(40_000) as i32),
            );
            for kernel in Kernel::available() {
                let mut block = QueryBlock::new(kernel, &planes, &rows[..queries.min(count)]);
                for at in 0..queries.min(count) {
                    block.bounds[0][at] = QueryBound::new(planes.norms()[at].high, own);
                }
                let mut tile = TileBuffer::new(kernel, &planes);
                tile.pack(&planes, &rows);
                tile.other[..count].fill(crate::knn::bound::target_bound(other));
                let masks = kernel.sieves().survivors(block.group(0), tile.tile());
                for (a, mask) in masks.iter().enumerate() {
                    for b in 0..48 {
                        let found = mask >> b & 1 == 1;
                        if a >= queries.min(count) || b >= count {
                            assert!(!found, "{kernel:?} {case}: nobody survived");
                            continue;
                        }
                        let high =
                            |row: usize| planes.row(row as u32).high.iter().map(|&h| i32::from(h));
                        let apart: i32 = high(a).zip(high(b)).map(|(x, y)| (x - y).pow(2)).sum();
                        let limit = own.max(other.unwrap_or(-1));
                        assert!(
                            found || apart > limit,
                            "{kernel:?} {case}: {apart} within {limit} was dropped"
                        );
                        assert!(
                            !found || apart <= limit + 3,
                            "{kernel:?} {case}: {apart} beyond {limit} survived"
                        );
                    }
                }
            }
        }
    }
}
