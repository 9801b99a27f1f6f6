//! Two outlines → the places from which refinement starts: one picture, shrunk, slid over the other.
//!
//! Either picture may be the part of the other, so both are tried in both roles; every size of [`EIGHTHS`] at every offset, an overhang
//! included. The measure is the normalised correlation of locally normalised luma, in integers.

use super::{
    affine::Affine,
    levels::COARSE as N,
    slide::{Frame, OVERHANG},
    templates::{EIGHTHS, Templates},
};

/// A place to start from: the map from the frame of the first picture to that of the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) map: Affine,
    pub(super) score: f32,
}

/// The best place for every size and role, best first.
pub(super) fn starts(a: &Templates, b: &Templates) -> Vec<Start> {
    let mut all: Vec<Start> = inside(a, b).collect();
    all.extend(inside(b, a).skip(1).filter_map(|start| Some(Start { map: start.map.inverse()?, ..start })));
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The best place for every size of one picture in the other; small sizes, which fit by chance, count for less.
fn inside<'a>(part: &'a Templates, whole: &Templates) -> impl Iterator<Item = Start> + use<'a> {
    let frame = Frame::new(whole.template(0));
    (0..EIGHTHS.len()).map(move |size| {
        let template = part.slid(size);
        let (score, offset) = frame.slide(&template);
        let scale = template.size.map(|n| n as f32 / N as f32);
        let shift = [0, 1].map(|i| (offset[i] as f32 - OVERHANG as f32) * 2.0 / N as f32 + scale[i] - 1.0);
        Start { map: Affine::scale_and_shift(scale, shift), score: score * (scale[0] * scale[1]).sqrt().sqrt() }
    })
}
