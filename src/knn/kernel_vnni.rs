//! The inner loops for AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed
//! byte to each of 16 sums.
//!
//! Dot products of signed bytes come from `(a + 128)·b = a·b + 128 Σb`, the last term known
//! beforehand. Sums of four products are exact in `vpdpbusd` (only `vpdpbusds` saturates), and all
//! fit `i32` (`planes`, "Nothing saturates").
#![allow(unsafe_code)]

use super::{
    bound::{FAR, QueryBound, Sieve},
    kernel::{GROUP, Group, LINES, Line, RUN, TILE, Tile},
    kernel_portable,
    planes::{Norms, Row},
};
use std::arch::x86_64::*;

/// Queries whose sums are in registers at once: 24 sums, 3 targets and a query take 28 of 32.
const HALF: usize = GROUP / 2;

/// Whether this processor has what the functions here need.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// See [`super::kernel::Sieves::survivors`]; called only if [`detected`].
pub(super) fn survivors(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { survivors_512(group, tile) }
}

/// See [`super::kernel::Kernel::pack`]; called only if [`detected`].
pub(super) fn pack(rows: &[&[i8]; 16], lines: &mut [Line]) -> [i32; 16] {
    let stride = rows[0].len();
    assert!(
        stride.is_multiple_of(64) && rows.iter().all(|row| row.len() == stride),
        "rows of {stride} bytes"
    );
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { pack_512(rows, lines) }
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
pub(super) fn wanted_by_either(
    sieve: &Sieve,
    norms: &[Norms; RUN],
    dots: &[i32; RUN],
    k_distance: &[u32; RUN],
) -> u32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn wide(
        sieve: &Sieve,
        norms: &[Norms; RUN],
        dots: &[i32; RUN],
        k_distance: &[u32; RUN],
    ) -> u32 {
        kernel_portable::wanted_by_either(sieve, norms, dots, k_distance)
    }
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { wide(sieve, norms, dots, k_distance) }
}

/// See [`super::kernel::Kernel::high_distance`]; called only if [`detected`].
#[inline]
pub(super) fn high_distance(a: &[i8], b: &[i8]) -> i32 {
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { high_distance_512(a, b) }
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
    const QUARTER: usize = HALF / 2;
    let active = GROUP
        - group
            .bounds
            .iter()
            .rev()
            .take_while(|&&bound| bound == QueryBound::EMPTY)
            .count();
    let mut masks = [0; GROUP];
    for first in (0..active).step_by(HALF) {
        match active - first {
            ..=2 => some_survivors::<2>(group, first, tile, &mut masks),
            3..=QUARTER => some_survivors::<QUARTER>(group, first, tile, &mut masks),
            _ => some_survivors::<HALF>(group, first, tile, &mut masks),
        }
    }
    masks
}

/// Some queries of a group, whose sums fit the registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn some_survivors<const QUERIES: usize>(
    group: Group<'_>,
    first: usize,
    tile: Tile<'_>,
    masks: &mut [u64; GROUP],
) {
    let (start, _) = tile.start.as_chunks::<16>();
    let (steps, _) = tile.lines.as_chunks::<LINES>();
    let mut sums = [[load(&start[0]), load(&start[1]), load(&start[2])]; QUERIES];
    for (queries, lines) in group.words.iter().zip(steps) {
        let targets = [load(&lines[0].0), load(&lines[1].0), load(&lines[2].0)];
        for (sums, &query) in sums.iter_mut().zip(&queries.0[first..first + QUERIES]) {
            let query = _mm512_set1_epi32(query as i32);
            for (sum, &target) in sums.iter_mut().zip(&targets) {
                *sum = _mm512_dpbusd_epi32(*sum, query, target);
            }
        }
    }
    let (bounds, _) = group.bounds[first..].as_chunks::<QUERIES>();
    masks[first..first + QUERIES].copy_from_slice(&passing(&sums, &bounds[0], tile.other));
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
    let nothing = _mm512_set1_epi32(FAR);
    let mut masks = [0; QUERIES];
    // Where targets want nothing, `own` is the smaller bound of every pair.
    if other
        .iter()
        .all(|&other| _mm512_cmpneq_epi32_mask(other, nothing) == 0)
    {
        for ((mask, sums), bound) in masks.iter_mut().zip(sums).zip(bounds) {
            let own = _mm512_set1_epi32(bound.own);
            *mask = reaching(sums, &[own; LINES]);
        }
        return masks;
    }
    for ((mask, sums), bound) in masks.iter_mut().zip(sums).zip(bounds) {
        let (own, half) = (_mm512_set1_epi32(bound.own), _mm512_set1_epi32(bound.half));
        let mut needed = other;
        needed
            .iter_mut()
            .for_each(|other| *other = _mm512_min_epi32(own, _mm512_add_epi32(half, *other)));
        *mask = reaching(sums, &needed);
    }
    masks
}

/// Which sums are at least what is needed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn reaching(sums: &[__m512i; LINES], needed: &[__m512i; LINES]) -> u64 {
    let first = u32::from(_mm512_cmpge_epi32_mask(sums[0], needed[0]));
    let second = u32::from(_mm512_cmpge_epi32_mask(sums[1], needed[1]));
    let third = u64::from(_mm512_cmpge_epi32_mask(sums[2], needed[2]));
    _mm512_kunpackd(third, u64::from(_mm512_kunpackw(second, first)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn pack_512(rows: &[&[i8]; 16], lines: &mut [Line]) -> [i32; 16] {
    let ones = _mm512_set1_epi8(1);
    let mut sums = _mm512_setzero_si512();
    for start in (0..rows[0].len()).step_by(64) {
        let mut words = [_mm512_setzero_si512(); 16];
        for (words, row) in words.iter_mut().zip(rows) {
            // SAFETY: `pack` has asserted that all rows are equally long and 64 divides that, so 64
            // bytes follow `start`.
            *words = unsafe { _mm512_loadu_si512(row.as_ptr().add(start).cast()) };
        }
        for (step, words) in (start / 4..).zip(transposed(words)) {
            sums = _mm512_dpbusd_epi32(sums, ones, words);
            // SAFETY: 64 bytes are writable behind the reference.
            unsafe { _mm512_storeu_si512(lines[LINES * step].0.as_mut_ptr().cast(), words) };
        }
    }
    let mut out = [0; 16];
    // SAFETY: 16 × 4 bytes are writable.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
    out
}

/// Lane `i` of vector `j` of the result is lane `j` of vector `i`: words, pairs and then quarters
/// of vectors change places.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut out = [_mm512_setzero_si512(); 16];
    // Word `c` of each quarter of four rows, for the four quarters of rows.
    let mut quads = [[_mm512_setzero_si512(); 4]; 4];
    for (quads, rows) in quads.iter_mut().zip(rows.as_chunks::<4>().0) {
        let [a, b] = [0, 2].map(|i| _mm512_unpacklo_epi32(rows[i], rows[i + 1]));
        let [c, d] = [0, 2].map(|i| _mm512_unpackhi_epi32(rows[i], rows[i + 1]));
        *quads = [
            _mm512_unpacklo_epi64(a, b),
            _mm512_unpackhi_epi64(a, b),
            _mm512_unpacklo_epi64(c, d),
            _mm512_unpackhi_epi64(c, d),
        ];
    }
    for c in 0..4 {
        let [u, v, w, x] = [quads[0][c], quads[1][c], quads[2][c], quads[3][c]];
        let [even, odd] = [
            _mm512_shuffle_i32x4::<0x88>(u, v),
            _mm512_shuffle_i32x4::<0xdd>(u, v),
        ];
        let [more_even, more_odd] = [
            _mm512_shuffle_i32x4::<0x88>(w, x),
            _mm512_shuffle_i32x4::<0xdd>(w, x),
        ];
        out[c] = _mm512_shuffle_i32x4::<0x88>(even, more_even);
        out[c + 4] = _mm512_shuffle_i32x4::<0x88>(odd, more_odd);
        out[c + 8] = _mm512_shuffle_i32x4::<0xdd>(even, more_even);
        out[c + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, more_odd);
    }
    out
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots_512(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    let stride = query.len();
    let flip = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); RUN];
    let mut total = _mm512_setzero_si512();
    for query in query.as_chunks::<64>().0 {
        // SAFETY: 64 bytes behind the reference.
        total = _mm512_dpbusd_epi32(total, flip, unsafe {
            _mm512_loadu_si512(query.as_ptr().cast())
        });
    }
    // Row by row, so that memory is read front to back.
    for (row, sum) in sums.iter_mut().enumerate() {
        for (at, query) in query.as_chunks::<64>().0.iter().enumerate() {
            // SAFETY: 64 bytes behind the reference; `Kernel::dots` has asserted that `rows` holds
            // RUN × stride bytes and that 64 divides the stride.
            let (query, bytes) = unsafe {
                (
                    _mm512_loadu_si512(query.as_ptr().cast()),
                    _mm512_loadu_si512(rows.as_ptr().add(row * stride + 64 * at).cast()),
                )
            };
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(bytes, flip), query);
        }
    }
    let dots = _mm512_sub_epi32(
        lane_sums(sums),
        _mm512_set1_epi32(_mm512_reduce_add_epi32(total)),
    );
    let mut out = [0; RUN];
    // SAFETY: 16 × 4 bytes are writable.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), dots) };
    out
}

/// Lane `i` of the result is the sum of the lanes of vector `i`: four rounds of adding halves,
/// interleaved.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn lane_sums(v: [__m512i; 16]) -> __m512i {
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let quad = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let fold = |a, b| {
        _mm512_add_epi32(
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        )
    };
    let four = |at: usize| quad(pair(v[at], v[at + 1]), pair(v[at + 2], v[at + 3]));
    fold(fold(four(0), four(4)), fold(four(8), four(12)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn high_distance_512(a: &[i8], b: &[i8]) -> i32 {
    let mut sum = _mm512_setzero_si512();
    for (a, b) in a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0) {
        // SAFETY: 32 bytes behind each reference.
        let (a, b) = unsafe {
            (
                _mm256_loadu_si256(a.as_ptr().cast()),
                _mm256_loadu_si256(b.as_ptr().cast()),
            )
        };
        let difference = _mm512_sub_epi16(_mm512_cvtepi8_epi16(a), _mm512_cvtepi8_epi16(b));
        sum = _mm512_dpwssd_epi32(sum, difference, difference);
    }
    _mm512_reduce_add_epi32(sum)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn squared_distance_512(a: Row<'_>, b: Row<'_>) -> u32 {
    let halves = |row: Row<'_>, at: usize| {
        // SAFETY: `Kernel::squared_distance` has asserted that all four halves are equally long;
        // `at + 32` is at most that.
        let (high, low) = unsafe {
            (
                _mm256_loadu_si256(row.high.as_ptr().add(at).cast()),
                _mm256_loadu_si256(row.low.as_ptr().add(at).cast()),
            )
        };
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
    let sum = _mm512_add_epi32(
        _mm512_add_epi32(_mm512_slli_epi32::<16>(high), _mm512_slli_epi32::<9>(mixed)),
        low,
    );
    _mm512_reduce_add_epi32(sum) as u32
}
