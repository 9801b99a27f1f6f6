//! The inner loops in plain Rust, for any processor; written so that the compiler can make vectors of them.
//!
//! Packed words hold two `i16` (see `pack`). Inlined into `kernel_avx2` as well, where the compiler may use wider vectors.

use super::{
    kernel::{GROUP, Group, LINES, Line, RUN, TILE, Tile},
    planes::Row,
};

/// See [`super::kernel::Kernel::survivors`].
pub(super) fn survivors(group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    let mut masks = [0; GROUP];
    for (at, mask) in masks.iter_mut().enumerate() {
        for line in 0..LINES {
            let mut sums = [0; 16];
            sums.copy_from_slice(&tile.start[16 * line..16 * line + 16]);
            for (query, lines) in group.words.iter().zip(tile.lines.chunks_exact(LINES)) {
                add_products(&mut sums, query[at], &lines[line]);
            }
            *mask |= u64::from(passing(&sums, &group.bounds[at], &tile.other[16 * line..16 * line + 16])) << (16 * line);
        }
    }
    masks
}

/// Adds the products of the two values of `query` with those of 16 targets.
#[inline(always)]
fn add_products(sums: &mut [i32; 16], query: u32, targets: &Line) {
    let (first, second) = (query as i16, (query >> 16) as i16);
    for (sum, &target) in sums.iter_mut().zip(&targets.0) {
        *sum += i32::from(first) * i32::from(target as i16) + i32::from(second) * i32::from((target >> 16) as i16);
    }
}

/// The 16 bits of the comparison that `bound` defines.
#[inline(always)]
fn passing(sums: &[i32; 16], bound: &super::bound::QueryBound, other: &[i32]) -> u16 {
    let pass = sums.iter().zip(other).map(|(&sum, &other)| sum >= bound.own.min(bound.half.wrapping_add(other)));
    pass.enumerate().fold(0, |bits, (at, pass)| bits | u16::from(pass) << at)
}

/// See [`super::kernel::Kernel::dots`].
#[inline(always)]
pub(super) fn dots(query: &[i8], rows: &[i8]) -> [i32; RUN] {
    let mut dots = [0; RUN];
    for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(query.len().max(1))) {
        *dot = query.iter().zip(row).map(|(&x, &y)| i32::from(i16::from(x) * i16::from(y))).sum();
    }
    dots
}

/// See [`super::kernel::Kernel::squared_distance`]: `Σ(256 d + e)² = 2¹⁶ Σd² + 2⁹ Σde + Σe²` with the differences `d` of the high and `e`
/// of the low bytes.
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
