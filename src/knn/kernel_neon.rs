//! The inner loops for 64-bit Arm: NEON, which all of these processors have, and the dot products
//! of bytes that most have beside it.
//!
//! Without `sdot` packed words hold one `f32` (see `kernel_portable` for why that is exact),
//! multiplied and added by lanes; single rows are multiplied byte by byte and widened twice. With
//! it a word is four bytes, and one instruction adds four products to each of four sums: exact,
//! since all sums fit `i32` (`planes`, "Nothing saturates"). Rust has no stable name for that
//! instruction yet (`vdotq_s32`), so it is written in assembly. The loops that are not blocked are
//! those of `kernel_portable`, which the compiler makes NEON of.
#![allow(unsafe_code)]

use super::kernel::{GROUP, Group, LINES, Line, RUN, TILE, Tile};
use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

/// Queries that meet targets at once.
const HALF: usize = GROUP / 2;
/// Vectors of four targets that meet half of the queries at once: 24 sums, 3 targets and 2 vectors
/// of queries take 29 of 32 registers.
const WIDE: usize = 3;
/// Such parts of a tile.
const PARTS: usize = TILE / (4 * WIDE);

/// The sums of half a group with one part of a tile.
type Sums = [[int32x4_t; WIDE]; HALF];

/// Whether this processor multiplies bytes by fours.
pub(super) fn has_dot_products() -> bool {
    is_aarch64_feature_detected!("dotprod")
}

/// See [`super::kernel::Sieves::survivors`]; for words of [`super::kernel::Form::Floats`].
pub(super) fn survivors(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    // SAFETY: NEON is part of the architecture.
    unsafe {
        survive(group, tile, |half, part| {
            float_sums(group, tile, half, part)
        })
    }
}

/// See [`super::kernel::Sieves::survivors`]; for words of [`super::kernel::Form::Bytes`] without
/// offset, and only if [`has_dot_products`].
pub(super) fn survivors_by_fours(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    // SAFETY: NEON is part of the architecture, and a `Kernel` of this kind exists only if
    // `has_dot_products`.
    unsafe { survive(group, tile, |half, part| byte_sums(group, tile, half, part)) }
}

/// See [`super::kernel::Kernel::dots`].
pub(super) fn dots(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    // SAFETY: NEON is part of the architecture.
    each_row(query, rows, |row| unsafe { dot(query, row) })
}

/// See [`super::kernel::Kernel::dots`]; only if [`has_dot_products`].
pub(super) fn dots_by_fours(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    // SAFETY: a `Kernel` of this kind exists only if `has_dot_products`.
    each_row(query, rows, |row| unsafe { dot_by_fours(query, row) })
}

/// Row by row, so that memory is read front to back.
fn each_row(query: &[i8], rows: &[i8], dot: impl Fn(&[i8]) -> i32) -> [i32; RUN] {
    let mut dots = [0; RUN];
    dots.iter_mut()
        .zip(rows.chunks_exact(query.len().max(1)))
        .for_each(|(out, row)| *out = dot(row));
    dots
}

#[target_feature(enable = "neon")]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    let mut sums = [vdupq_n_s32(0); 4];
    for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
        for ((sum, a), b) in sums
            .iter_mut()
            .zip(a.as_chunks::<16>().0)
            .zip(b.as_chunks::<16>().0)
        {
            let (a, b) = (load_bytes(a), load_bytes(b));
            *sum = vpadalq_s16(*sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
            *sum = vpadalq_s16(*sum, vmull_high_s8(a, b));
        }
    }
    total(sums)
}

#[target_feature(enable = "neon,dotprod")]
fn dot_by_fours(a: &[i8], b: &[i8]) -> i32 {
    let mut sums = [vdupq_n_s32(0); 4];
    for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
        for ((sum, a), b) in sums
            .iter_mut()
            .zip(a.as_chunks::<16>().0)
            .zip(b.as_chunks::<16>().0)
        {
            *sum = sdot(*sum, load_bytes(a), load_bytes(b));
        }
    }
    total(sums)
}

#[inline]
#[target_feature(enable = "neon")]
fn total([a, b, c, d]: [int32x4_t; 4]) -> i32 {
    vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)))
}

/// The bits of the pairs whose sums suffice.
#[inline]
#[target_feature(enable = "neon")]
fn survive(group: Group<'_>, tile: Tile<'_>, sums: impl Fn(usize, usize) -> Sums) -> [u64; GROUP] {
    let (start, other) = (tile.start.as_chunks::<4>().0, tile.other.as_chunks::<4>().0);
    let (bits, mut masks) = (load(&[1, 2, 4, 8]), [0; GROUP]);
    for (half, (masks, bounds)) in masks
        .as_chunks_mut::<HALF>()
        .0
        .iter_mut()
        .zip(group.bounds.as_chunks::<HALF>().0)
        .enumerate()
    {
        for part in 0..PARTS {
            for ((mask, sums), bound) in masks.iter_mut().zip(sums(half, part)).zip(bounds) {
                for (vector, sum) in (WIDE * part..).zip(sums) {
                    let needed = vminq_s32(
                        vdupq_n_s32(bound.own),
                        vaddq_s32(vdupq_n_s32(bound.half), load_sums(&other[vector])),
                    );
                    let passes = vcgeq_s32(vqaddq_s32(load_sums(&start[vector]), sum), needed);
                    *mask |= u64::from(vaddvq_u32(vandq_u32(passes, bits))) << (4 * vector);
                }
            }
        }
    }
    masks
}

#[target_feature(enable = "neon")]
fn float_sums(group: Group<'_>, tile: Tile<'_>, half: usize, part: usize) -> Sums {
    let mut sums = [[vdupq_n_f32(0.0); WIDE]; HALF];
    for (queries, lines) in group.words.iter().zip(tile.lines.as_chunks::<LINES>().0) {
        let targets = targets(lines, part);
        for (sums, queries) in sums
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(queries.0.as_chunks::<HALF>().0[half].as_chunks::<4>().0)
        {
            let queries = vreinterpretq_f32_u32(load(queries));
            for (at, target) in targets.into_iter().enumerate() {
                let target = vreinterpretq_f32_u32(target);
                sums[0][at] = vfmaq_laneq_f32::<0>(sums[0][at], target, queries);
                sums[1][at] = vfmaq_laneq_f32::<1>(sums[1][at], target, queries);
                sums[2][at] = vfmaq_laneq_f32::<2>(sums[2][at], target, queries);
                sums[3][at] = vfmaq_laneq_f32::<3>(sums[3][at], target, queries);
            }
        }
    }
    sums.map(|sums| sums.map(|sum| vcvtq_s32_f32(sum)))
}

#[target_feature(enable = "neon,dotprod")]
fn byte_sums(group: Group<'_>, tile: Tile<'_>, half: usize, part: usize) -> Sums {
    let mut sums = [[vdupq_n_s32(0); WIDE]; HALF];
    for (queries, lines) in group.words.iter().zip(tile.lines.as_chunks::<LINES>().0) {
        let targets = targets(lines, part);
        for (sums, queries) in sums
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(queries.0.as_chunks::<HALF>().0[half].as_chunks::<4>().0)
        {
            let queries = vreinterpretq_s8_u32(load(queries));
            for (at, target) in targets.into_iter().enumerate() {
                let target = vreinterpretq_s8_u32(target);
                sums[0][at] = sdot_lane::<0>(sums[0][at], target, queries);
                sums[1][at] = sdot_lane::<1>(sums[1][at], target, queries);
                sums[2][at] = sdot_lane::<2>(sums[2][at], target, queries);
                sums[3][at] = sdot_lane::<3>(sums[3][at], target, queries);
            }
        }
    }
    sums
}

/// One step of the targets of a part.
#[inline]
#[target_feature(enable = "neon")]
fn targets(lines: &[Line; LINES], part: usize) -> [uint32x4_t; WIDE] {
    let vectors = [WIDE * part, WIDE * part + 1, WIDE * part + 2];
    vectors.map(|vector| load(&lines[vector / 4].0.as_chunks::<4>().0[vector % 4]))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(from: &[u32; 4]) -> uint32x4_t {
    // SAFETY: 16 bytes are readable behind the reference.
    unsafe { vld1q_u32(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_sums(from: &[i32; 4]) -> int32x4_t {
    // SAFETY: 16 bytes are readable behind the reference.
    unsafe { vld1q_s32(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_bytes(from: &[i8; 16]) -> int8x16_t {
    // SAFETY: 16 bytes are readable behind the reference.
    unsafe { vld1q_s8(from.as_ptr()) }
}

/// Adds to each lane of `sum` the four products of its bytes in `a` with those of one lane of `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot_lane<const LANE: u8>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: touches nothing but its three registers.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]", inout(vreg) sum, in(vreg) a, in(vreg) b, const LANE,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Adds to each lane of `sum` the four products of its bytes in `a` and `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: touches nothing but its three registers.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}
