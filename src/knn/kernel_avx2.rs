//! The inner loops for AVX2: `vpmaddwd` on bytes widened to `i16`, exact.
//!
//! Packed words hold two `i16` (see `pack`). The loops that are not blocked are those of
//! `kernel_portable`, compiled for AVX2.
#![allow(unsafe_code)]

use super::{
    bound::Sieve,
    kernel::{GROUP, Group, LINES, RUN, Tile},
    kernel_portable,
    planes::{Norms, Row},
};
use std::arch::x86_64::*;

/// Whether this processor has what the functions here need.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2")
}

/// See [`super::kernel::Sieves::survivors`]; called only if [`detected`].
pub(super) fn survivors(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { survivors_256(group, tile) }
}

/// See [`super::kernel::Kernel::dots`]; called only if [`detected`].
pub(super) fn dots(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    #[target_feature(enable = "avx2")]
    fn wide(query: &[i8], rows: &[i8]) -> [i32; RUN] {
        kernel_portable::dots(query, rows)
    }
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { wide(query, rows) }
}

/// See [`super::kernel::Kernel::wanted`]; called only if [`detected`].
pub(super) fn wanted(sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN]) -> u32 {
    #[target_feature(enable = "avx2")]
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
    #[target_feature(enable = "avx2")]
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

/// See [`super::kernel::Kernel::squared_distance`]; called only if [`detected`].
pub(super) fn squared_distance(a: Row<'_>, b: Row<'_>) -> u32 {
    #[target_feature(enable = "avx2")]
    fn wide(a: Row<'_>, b: Row<'_>) -> u32 {
        kernel_portable::squared_distance(a, b)
    }
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { wide(a, b) }
}

/// See [`super::kernel::Kernel::high_distance`]; called only if [`detected`].
pub(super) fn high_distance(a: &[i8], b: &[i8]) -> i32 {
    #[target_feature(enable = "avx2")]
    fn wide(a: &[i8], b: &[i8]) -> i32 {
        kernel_portable::high_distance(a, b)
    }
    // SAFETY: a `Kernel` of this kind exists only if `detected`.
    unsafe { wide(a, b) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load<T>(from: &[T; 8]) -> __m256i {
    const { assert!(size_of::<T>() == 4) };
    // SAFETY: 8 × 4 bytes are readable behind the reference; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn survivors_256(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    let mut masks = [0; GROUP];
    for line in 0..LINES {
        quarter::<0>(group, tile, line, &mut masks);
        quarter::<4>(group, tile, line, &mut masks);
        quarter::<8>(group, tile, line, &mut masks);
        quarter::<12>(group, tile, line, &mut masks);
    }
    masks
}

/// Four queries, from `FIRST`, against the 16 targets of a line.
#[inline]
#[target_feature(enable = "avx2")]
fn quarter<const FIRST: usize>(
    group: Group<'_>,
    tile: Tile<'_>,
    line: usize,
    masks: &mut [u64; GROUP],
) {
    let (start, _) = tile.start.as_chunks::<8>();
    let (other, _) = tile.other.as_chunks::<8>();
    let mut sums = [[load(&start[2 * line]), load(&start[2 * line + 1])]; 4];
    for (queries, lines) in group.words.iter().zip(tile.lines.as_chunks::<LINES>().0) {
        let (words, _) = lines[line].0.as_chunks::<8>();
        let targets = [load(&words[0]), load(&words[1])];
        for (sums, &query) in sums.iter_mut().zip(&queries.0[FIRST..FIRST + 4]) {
            let query = _mm256_set1_epi32(query as i32);
            for (sum, &target) in sums.iter_mut().zip(&targets) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(query, target));
            }
        }
    }
    let other = [load(&other[2 * line]), load(&other[2 * line + 1])];
    for (at, sums) in sums.iter().enumerate() {
        let bound = &group.bounds[FIRST + at];
        let (own, half) = (_mm256_set1_epi32(bound.own), _mm256_set1_epi32(bound.half));
        for (part, (&sum, &other)) in sums.iter().zip(&other).enumerate() {
            let needed = _mm256_min_epi32(own, _mm256_add_epi32(half, other));
            let below = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(needed, sum)));
            masks[FIRST + at] |= u64::from(!below as u8) << (16 * line + 8 * part);
        }
    }
}
