//! A square plane ⇄ the blocks of 16 values that `rice` codes: its tiles of 4 × 4, row by row of
//! tiles.
//!
//! Tiles over the edge are filled up with zeros, and refused with anything else there.

use super::rice::{BLOCK, damaged};
use crate::error::Result;

/// Side of a tile.
const TILE: usize = 4;

/// The tiles of so many planes.
pub(super) fn block_count(side: usize, planes: u8) -> usize {
    side.div_ceil(TILE) * side.div_ceil(TILE) * usize::from(planes)
}

/// A plane as tiles, row by row of tiles; tiles over the edge are filled up with zeros.
pub(super) fn to_tiles(plane: &[i16], side: usize, blocks: &mut [[u16; BLOCK]]) {
    for (strip, blocks) in plane
        .chunks(TILE * side)
        .zip(blocks.chunks_exact_mut(side.div_ceil(TILE)))
    {
        if let Some([a, b, c, d]) = whole_rows(strip, side) {
            for ((((block, a), b), c), d) in blocks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                block.copy_from_slice(
                    [*a, *b, *c, *d]
                        .map(|cells| cells.map(i16::cast_unsigned))
                        .as_flattened(),
                );
            }
            continue;
        }
        for (y, row) in strip.chunks_exact(side).enumerate() {
            for (cells, block) in row.chunks(TILE).zip(blocks.iter_mut()) {
                block
                    .iter_mut()
                    .skip(TILE * y)
                    .zip(cells)
                    .for_each(|(to, &value)| *to = value.cast_unsigned());
            }
        }
    }
}

/// The four rows of a strip in pieces of a tile's width; `None` if a tile is over the edge.
fn whole_rows(strip: &[i16], side: usize) -> Option<[&[[i16; TILE]]; TILE]> {
    let mut rows = strip
        .chunks_exact(side)
        .map(|row| row.as_chunks::<TILE>().0);
    let rows = [rows.next()?, rows.next()?, rows.next()?, rows.next()?];
    side.is_multiple_of(TILE).then_some(rows)
}

/// The inverse of [`to_tiles`].
pub(super) fn from_tiles(blocks: &[[u16; BLOCK]], side: usize, plane: &mut [i16]) -> Result<()> {
    for (strip, blocks) in plane
        .chunks_mut(TILE * side)
        .zip(blocks.chunks_exact(side.div_ceil(TILE)))
    {
        for (y, row) in strip.chunks_exact_mut(side).enumerate() {
            let (whole, edge) = row.as_chunks_mut::<TILE>();
            let last = blocks.get(whole.len());
            for (cells, block) in whole.iter_mut().zip(blocks) {
                *cells = block.as_chunks::<TILE>().0[y].map(u16::cast_signed);
            }
            if let Some(block) = last {
                edge.iter_mut()
                    .zip(block.as_chunks::<TILE>().0[y])
                    .for_each(|(to, value)| *to = value.cast_signed());
            }
        }
    }
    check_fill(blocks, side)
}

/// The cells of the tiles beyond the edge are zero.
fn check_fill(blocks: &[[u16; BLOCK]], side: usize) -> Result<()> {
    if side.is_multiple_of(TILE) {
        return Ok(());
    }
    let tiles = side.div_ceil(TILE);
    for (t, block) in blocks.iter().enumerate() {
        let (top, left) = (t / tiles * TILE, t % tiles * TILE);
        let outside = |cell: usize| top + cell / TILE >= side || left + cell % TILE >= side;
        if block
            .iter()
            .enumerate()
            .any(|(cell, &value)| value != 0 && outside(cell))
        {
            return Err(damaged("a value beyond the edge"));
        }
    }
    Ok(())
}
