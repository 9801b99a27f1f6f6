//! The inner loops for AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte to each of 16 sums.
//!
//! Dot products of signed bytes come from `(a + 128)·b = a·b + 128 Σb`, the last term known beforehand. Sums of four products are exact in
//! `vpdpbusd` (only `vpdpbusds` saturates), and all fit `i32` (`planes`, "Nothing saturates").
#![allow(unsafe_code)]

use super::{
    bound::{QueryBound, Sieve},
    kernel::{GROUP, Group, LINES, Line, RUN, TILE, Tile},
    kernel_portable,
    planes::{Norms, Row},
};
use std::arch::x86_64::*;

/// Queries whose sums are in registers at once: 24 sums, 3 targets and a query take 28 of 32.
const HALF: usize = GROUP / 2;

/// Whether this processor has what the functions here need.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni")
}

/// See [`super::kernel::Sieves::survivors`]; called only if [`detected`].
pub(super) fn survivors(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { survivors_512(group, tile) }
}

/// See [`super::kernel::Kernel::dots`]; called only if [`detected`].
pub(super) fn dots(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { dots_512(query, rows) }
}

/// See [`super::kernel::Kernel::wanted`]; called only if [`detected`].
pub(super) fn wanted(sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN]) -> u32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn wide(sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN]) -> u32 {
        kernel_portable::wanted(sieve, norms, dots)
    }
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { wide(sieve, norms, dots) }
}

/// See [`super::kernel::Kernel::wanted_by_either`]; called only if [`detected`].
pub(super) fn wanted_by_either(sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN], reach: &[u32; RUN]) -> u32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn wide(sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN], reach: &[u32; RUN]) -> u32 {
        kernel_portable::wanted_by_either(sieve, norms, dots, reach)
    }
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { wide(sieve, norms, dots, reach) }
}

/// See [`super::kernel::Kernel::squared_distance`]; called only if [`detected`].
pub(super) fn squared_distance(a: Row<'_>, b: Row<'_>) -> u32 {
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { squared_distance_512(a, b) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load<T>(from: &[T; 16]) -> __m512i {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: 16 × 4 bytes are readable behind the reference; the load needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn survivors_512(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    let (bounds, _) = group.bounds.as_chunks::<HALF>();
    let mut masks = [0; GROUP];
    for (half, masks) in masks.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
        *masks = half_of_survivors(group.words, half, &bounds[half], tile);
    }
    masks
}

/// Half of a group, whose sums fit the registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn half_of_survivors(words: &[Line], half: usize, bounds: &[QueryBound; HALF], tile: Tile<'_>) -> [u64; HALF] {
    let (start, _) = tile.start.as_chunks::<16>();
    let (steps, _) = tile.lines.as_chunks::<LINES>();
    let mut sums = [[load(&start[0]), load(&start[1]), load(&start[2])]; HALF];
    for (queries, lines) in words.iter().zip(steps) {
        let targets = [load(&lines[0].0), load(&lines[1].0), load(&lines[2].0)];
        for (sums, &query) in sums.iter_mut().zip(&queries.0.as_chunks::<HALF>().0[half]) {
            let query = _mm512_set1_epi32(query as i32);
            for (sum, &target) in sums.iter_mut().zip(&targets) {
                *sum = _mm512_dpbusd_epi32(*sum, query, target);
            }
        }
    }
    passing(&sums, bounds, tile.other)
}

/// The bits of the comparison that `bound` defines, for each query.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn passing<const QUERIES: usize>(
    sums: &[[__m512i; LINES]; QUERIES],
    bounds: &[QueryBound; QUERIES],
    other: &[i32; TILE],
) -> [u64; QUERIES] {
    let (other, _) = other.as_chunks::<16>();
    let other = [load(&other[0]), load(&other[1]), load(&other[2])];
    let mut masks = [0; QUERIES];
    for ((mask, sums), bound) in masks.iter_mut().zip(sums).zip(bounds) {
        let (own, half) = (_mm512_set1_epi32(bound.own), _mm512_set1_epi32(bound.half));
        for (at, (&sum, &other)) in sums.iter().zip(&other).enumerate() {
            let needed = _mm512_min_epi32(own, _mm512_add_epi32(half, other));
            *mask |= u64::from(_mm512_cmpge_epi32_mask(sum, needed)) << (16 * at);
        }
    }
    masks
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots_512(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    let stride = query.len();
    let flip = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); RUN];
    let mut total = _mm512_setzero_si512();
    for query in query.as_chunks::<64>().0 {
        // SAFETY: 64 bytes behind the reference.
        total = _mm512_dpbusd_epi32(total, flip, unsafe { _mm512_loadu_si512(query.as_ptr().cast()) });
    }
    // Row by row, so that memory is read front to back.
    for (row, sum) in sums.iter_mut().enumerate() {
        for (at, query) in query.as_chunks::<64>().0.iter().enumerate() {
            // SAFETY: 64 bytes behind the reference; `Kernel::dots` has asserted that `rows` holds RUN × stride bytes and that 64 divides the
            // stride.
            let (query, bytes) = unsafe {
                (_mm512_loadu_si512(query.as_ptr().cast()), _mm512_loadu_si512(rows.as_ptr().add(row * stride + 64 * at).cast()))
            };
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(bytes, flip), query);
        }
    }
    let dots = _mm512_sub_epi32(lane_sums(sums), _mm512_set1_epi32(_mm512_reduce_add_epi32(total)));
    let mut out = [0; RUN];
    // SAFETY: 16 × 4 bytes are writable.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), dots) };
    out
}

/// Lane `i` of the result is the sum of the lanes of vector `i`: four rounds of adding halves, interleaved.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn lane_sums(v: [__m512i; 16]) -> __m512i {
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let quad = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let fold = |a, b| _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
    let four = |at: usize| quad(pair(v[at], v[at + 1]), pair(v[at + 2], v[at + 3]));
    fold(fold(four(0), four(4)), fold(four(8), four(12)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn squared_distance_512(a: Row<'_>, b: Row<'_>) -> u32 {
    let halves = |row: Row<'_>, at: usize| {
        // SAFETY: `Kernel::squared_distance` has asserted that all four halves are equally long; `at + 32` is at most that.
        let (high, low) =
            unsafe { (_mm256_loadu_si256(row.high.as_ptr().add(at).cast()), _mm256_loadu_si256(row.low.as_ptr().add(at).cast())) };
        (_mm512_cvtepi8_epi16(high), _mm512_cvtepi8_epi16(low))
    };
    let zero = _mm512_setzero_si512();
    let (mut high, mut mixed, mut low) = (zero, zero, zero);
    for at in (0..a.high.len()).step_by(32) {
        let ((ah, al), (bh, bl)) = (halves(a, at), halves(b, at));
        let (d, e) = (_mm512_sub_epi16(ah, bh), _mm512_sub_epi16(al, bl));
        high = _mm512_dpwssd_epi32(high, d, d);
        mixed = _mm512_dpwssd_epi32(mixed, d, e);
        low = _mm512_dpwssd_epi32(low, e, e);
    }
    let sum = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32::<16>(high), _mm512_slli_epi32::<9>(mixed)), low);
    _mm512_reduce_add_epi32(sum) as u32
}
