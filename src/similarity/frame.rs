//! The frame of a picture, [−1, 1]²: where its samples lie, what is between them, and pictures made
//! plane by plane.

use super::register::Turn;
use crate::picture::Picture;

/// Where sample `i` of `n` lies in [−1, 1].
pub(super) fn at(i: usize, n: usize) -> f32 {
    (2 * i + 1) as f32 / n as f32 - 1.0
}

/// The value of a plane of side `n` at a place, between four samples linearly and beyond the
/// outermost ones theirs; none outside the frame.
pub(super) fn sample(plane: &[u8], n: usize, place: [f32; 2]) -> Option<f32> {
    if place.iter().any(|u| u.abs() > 1.0) {
        return None;
    }
    let [(left, p), (top, q)] = place.map(|u| {
        let at = ((u + 1.0) * 0.5 * n as f32 - 0.5).clamp(0.0, (n - 1) as f32);
        let low = (at as usize).min(n - 2);
        (low, at - low as f32)
    });
    let value = |x: usize, y: usize| f32::from(plane[y * n + x]);
    let row = |y: usize| value(left, y) + p * (value(left + 1, y) - value(left, y));
    Some(row(top) + q * (row(top + 1) - row(top)))
}

/// A picture whose planes are made from those of another, each of the same length.
pub(super) fn each_plane(picture: &Picture, mut make: impl FnMut(&[u8]) -> Vec<u8>) -> Picture {
    let mut samples = Vec::with_capacity(picture.samples().len());
    (0..usize::from(picture.shape().planes))
        .for_each(|i| samples.extend_from_slice(&make(picture.plane(i))));
    Picture::from_samples(picture.shape(), samples).expect("as many samples as before")
}

/// A picture, turned.
#[must_use]
pub fn turned(picture: &Picture, turn: Turn) -> Picture {
    let side = usize::from(picture.shape().size);
    each_plane(picture, |plane| turn.of(plane, side))
}
