//! Two outlines → the places from which refinement starts: one picture, shrunk, slid over the
//! other.
//!
//! Either picture may be the part of the other, so both are tried in both roles; every size of
//! [`EIGHTHS`] at every offset, an overhang included. The measure is the normalised correlation of
//! locally normalised luma, in integers.

use std::cell::RefCell;

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

/// Where one of two pictures, as a part, fits best into the other at some size.
pub(super) struct Place {
    size: usize,
    offset: [usize; 2],
    second_is_part: bool,
    pub(super) score: f32,
}

impl Place {
    fn start(&self) -> Option<Start> {
        let scale = scale(self.size);
        let shift = [0, 1]
            .map(|i| (self.offset[i] as f32 - OVERHANG as f32) * 2.0 / N as f32 + scale[i] - 1.0);
        let map = Affine::scale_and_shift(scale, shift);
        Some(Start {
            map: if self.second_is_part {
                map.inverse()?
            } else {
                map
            },
            score: self.score,
        })
    }
}

/// The best place for every size and role.
pub(super) fn places(a: &Templates, b: &Templates) -> Vec<Place> {
    thread_local! {
        static FRAME: RefCell<Frame> = RefCell::new(Frame::empty());
    }
    FRAME.with_borrow_mut(|frame| places_in(frame, a, b))
}

fn places_in(frame: &mut Frame, a: &Templates, b: &Templates) -> Vec<Place> {
    let mut places = Vec::with_capacity(2 * EIGHTHS.len() - 1);
    // At full size both roles are one.
    for (part, whole, first_size, second_is_part) in [(a, b, 0, false), (b, a, 1, true)] {
        frame.fill(whole.whole());
        for size in first_size..EIGHTHS.len() {
            let (score, offset) = frame.slide(&part.slid(size));
            let [across, down] = scale(size);
            // Small sizes fit by chance, and count for less.
            places.push(Place {
                size,
                offset,
                second_is_part,
                score: score * (across * down).sqrt().sqrt(),
            });
        }
    }
    places
}

/// Where to start from, best first.
pub(super) fn starts(places: &[Place]) -> Vec<Start> {
    let mut starts: Vec<Start> = places.iter().filter_map(Place::start).collect();
    starts.sort_by(|a, b| b.score.total_cmp(&a.score));
    starts
}

/// The width and height of a part, that of the whole being one.
fn scale(size: usize) -> [f32; 2] {
    EIGHTHS[size].map(|n| n as f32 / 8.0)
}
