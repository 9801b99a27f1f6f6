//! The inner loops in plain Rust, for any processor; written so that the compiler can make vectors
//! of them.
//!
//! Packed words hold one `f32` (see `pack`), because every processor multiplies and adds these in
//! vectors. That is exact: the high bytes are whole numbers, and by Cauchy and Schwarz every
//! partial sum of a dot product is at most `|h_a| |h_b| < 255²` (see `planes`), far under 2²⁴, in
//! whatever order and whether fused or not. The two other loops are compiled into `kernel_avx2` as
//! well, with wider vectors.

use super::{
    bound::{QueryBound, Sieve},
    kernel::{Form, GROUP, Group, LINES, Line, RUN, TILE, Tile},
    planes::{Norms, Row},
};

/// See [`super::kernel::Kernel::pack`].
pub(super) fn pack_words(form: Form, rows: &[&[i8]; 16], lines: &mut [Line]) -> [i32; 16] {
    let mut sums = [0; 16];
    for (at, row) in rows.iter().enumerate() {
        each_word(form, row, |step, word| lines[LINES * step].0[at] = word);
        sums[at] = sum(row);
    }
    sums
}

/// Calls `put` with each word of a row, in order; earlier values in lower bytes.
#[inline(always)]
pub(super) fn each_word(form: Form, high: &[i8], mut put: impl FnMut(usize, u32)) {
    let short = |h: i8| u32::from(i16::from(h) as u16);
    match form {
        Form::Bytes { .. } | Form::Rows => {
            for (step, four) in high.as_chunks::<4>().0.iter().enumerate() {
                put(step, u32::from_le_bytes(four.map(|h| h as u8)));
            }
        }
        Form::Shorts => {
            for (step, &[first, second]) in high.as_chunks::<2>().0.iter().enumerate() {
                put(step, short(first) | short(second) << 16);
            }
        }
        Form::Floats => {
            for (step, &h) in high.iter().enumerate() {
                put(step, f32::from(h).to_bits());
            }
        }
    }
}

/// The sum of signed bytes, as a sum of unsigned ones: processors have an instruction for that.
fn sum(bytes: &[i8]) -> i32 {
    let unsigned: u32 = bytes.iter().map(|&b| u32::from(b as u8 ^ 0x80)).sum();
    unsigned as i32 - 128 * bytes.len() as i32
}

/// See [`super::kernel::Sieves::survivors`].
pub(super) fn survivors(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    let mut masks = [0; GROUP];
    for line in 0..LINES {
        for pair in 0..GROUP / 2 {
            two_queries(group, tile, line, 2 * pair, &mut masks);
        }
    }
    masks
}

/// Two queries, from `first`, against the 16 targets of a line.
fn two_queries(
    group: Group<'_>,
    tile: Tile<'_>,
    line: usize,
    first: usize,
    masks: &mut [u64; GROUP],
) {
    let mut sums = [[0.0_f32; 16]; 2];
    for (queries, lines) in group.words.iter().zip(tile.lines.as_chunks::<LINES>().0) {
        let [a, b] = [
            f32::from_bits(queries.0[first]),
            f32::from_bits(queries.0[first + 1]),
        ];
        for (at, &target) in lines[line].0.iter().enumerate() {
            sums[0][at] += a * f32::from_bits(target);
            sums[1][at] += b * f32::from_bits(target);
        }
    }
    for (at, sums) in (first..).zip(&sums) {
        let mut whole = [0; 16];
        for ((whole, &sum), &start) in whole.iter_mut().zip(sums).zip(&tile.start[16 * line..]) {
            *whole = start.saturating_add(sum as i32);
        }
        masks[at] |=
            u64::from(passing(&whole, &group.bounds[at], &tile.other[16 * line..])) << (16 * line);
    }
}

/// The 16 bits of the comparison that `bound` defines.
#[inline(always)]
fn passing(sums: &[i32; 16], bound: &QueryBound, other: &[i32]) -> u16 {
    let pass = sums
        .iter()
        .zip(other)
        .map(|(&sum, &other)| sum >= bound.own.min(bound.half.wrapping_add(other)));
    pass.enumerate()
        .fold(0, |bits, (at, pass)| bits | u16::from(pass) << at)
}

/// See [`super::kernel::Kernel::dots`].
#[inline(always)]
pub(super) fn dots(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    let mut dots = [0; RUN];
    for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(query.len().max(1))) {
        *dot = query
            .iter()
            .zip(row)
            .map(|(&x, &y)| i32::from(i16::from(x) * i16::from(y)))
            .sum();
    }
    dots
}

/// See [`super::kernel::Kernel::wanted`].
#[inline(always)]
pub(super) fn wanted(sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN]) -> u32 {
    let mut pass = [0; RUN];
    for ((pass, norms), &dot) in pass.iter_mut().zip(norms).zip(dots) {
        *pass = u32::from(sieve.apart(norms.high, dot) <= sieve.limit);
    }
    bits(&pass)
}

/// See [`super::kernel::Kernel::wanted_by_either`].
#[inline(always)]
pub(super) fn wanted_by_either(
    sieve: &Sieve,
    norms: &[Norms; RUN],
    dots: &[i32; RUN],
    k_distance: &[u32; RUN],
) -> u32 {
    let mut pass = [0; RUN];
    for (((pass, norms), &dot), &k_distance) in pass.iter_mut().zip(norms).zip(dots).zip(k_distance)
    {
        let apart = sieve.apart(norms.high, dot);
        *pass = u32::from(apart <= sieve.limit)
            | u32::from(apart as f32 <= sieve.other_limit(k_distance, norms.low));
    }
    bits(&pass)
}

/// Ones and zeros as bits; mostly there are no ones.
#[inline(always)]
fn bits(pass: &[u32; RUN]) -> u32 {
    if pass.iter().fold(0, |any, &pass| any | pass) == 0 {
        return 0;
    }
    pass.iter()
        .enumerate()
        .fold(0, |bits, (at, &pass)| bits | pass << at)
}

/// See [`super::kernel::Kernel::high_distance`].
#[inline(always)]
pub(super) fn high_distance(a: &[i8], b: &[i8]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2))
        .fold(0, i32::wrapping_add)
}

/// See [`super::kernel::Kernel::squared_distance`]: `Σ(256 d + e)² = 2¹⁶ Σd² + 2⁹ Σde + Σe²` with
/// the differences `d` of the high and `e` of the low bytes.
#[inline(always)]
pub(super) fn squared_distance(a: Row<'_>, b: Row<'_>) -> u32 {
    let mut sum = 0_u32;
    for ((&ah, &al), (&bh, &bl)) in a.high.iter().zip(a.low).zip(b.high.iter().zip(b.low)) {
        let difference = 256 * (i32::from(ah) - i32::from(bh)) + (i32::from(al) - i32::from(bl));
        sum = sum.wrapping_add((difference as u32).wrapping_mul(difference as u32));
    }
    sum
}

const _: () = assert!(TILE == 16 * LINES, "a tile is whole lines");
