//! A pair and how it lies → how well it agrees at each level of the pyramid.
//!
//! The map is that of the finest level, where the pair was decided; a pair whose coarse levels
//! agree and whose fine ones do not is alike in layout only.

use super::{Alignment, Prepared, affine::Turn, agree::agreement, with_scratch};

/// One level of a registered pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Samples along a side.
    pub side: usize,
    /// As [`Alignment::similarity`], at this level.
    pub similarity: f32,
    /// As [`Alignment::texture`].
    pub texture: f32,
    /// As [`Alignment::agreement`].
    pub agreement: f32,
}

/// What the pair comes to at each level, coarse to fine, where `pair` lays it; nothing where no way
/// was found. The finest level is the one that decided.
#[must_use]
pub fn by_scale(a: &Prepared, b: &Prepared, pair: &Alignment) -> Vec<Scale> {
    let turned = (pair.turn != Turn::NONE).then(|| a.detail.turned(pair.turn));
    let first = turned.as_ref().unwrap_or(&a.detail);
    let map = pair.turned_map();
    let Some(back) = map.inverse().filter(|_| pair.is_found()) else {
        return Vec::new();
    };
    let (grid, other, map) = if map.determinant() >= 1.0 {
        (first, &b.detail, map)
    } else {
        (&b.detail, first, back)
    };
    let scale = |level: usize| {
        let found = with_scratch(|scratch| agreement(grid, other, level, &map, scratch));
        Scale {
            side: grid.levels[level].side,
            similarity: if pair.similarity >= 1.0 {
                1.0
            } else {
                found.similarity()
            },
            texture: found.texture,
            agreement: found.agreement(),
        }
    };
    (0..grid.levels.len().min(other.levels.len()))
        .map(scale)
        .collect()
}
