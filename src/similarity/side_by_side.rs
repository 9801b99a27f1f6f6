//! A registered pair → one picture in which a person sees it: the first, the second laid on it, and
//! what differs.
//!
//! # Layout
//! Three panels of one size beside each other, [`GAP`] white pixels around and between them:
//!
//! 1. the first picture;
//! 2. the second one where the alignment puts it on the frame of the first; hatched where it does
//!    not reach, and as it is if no way was found to lay it;
//! 3. the absolute difference of both, channel by channel, [`AMPLIFIED`] times, after the second
//!    one's brightness and contrast are brought to the first's: black where they agree, hatched
//!    where there is nothing to compare.

use super::{
    frame::{at, sample},
    register::{Affine, Alignment},
};
use crate::picture::{Picture, Shape};

/// White pixels around and between panels.
pub const GAP: usize = 8;
/// What differences are multiplied by.
pub const AMPLIFIED: f32 = 2.0;
/// The tones of the hatching, and the pixels after which it repeats.
const HATCH: [u8; 2] = [104, 128];
const STRIPES: usize = 12;

/// An image: rows of red, green and blue, 8 bits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideBySide {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width` × `height` × 3 samples.
    pub rgb: Vec<u8>,
}

/// A colour; none where a picture does not reach.
type Pixel = Option<[f32; 3]>;

/// Draws a pair in panels of a width and height; the pictures may be of any shape, and of another
/// one than what was registered.
#[must_use]
pub fn side_by_side(
    a: &Picture,
    b: &Picture,
    pair: &Alignment,
    [width, height]: [usize; 2],
) -> SideBySide {
    let (map, found) = if pair.is_found() {
        (pair.map, true)
    } else {
        (Affine::IDENTITY, false)
    };
    let place = |i: usize| [at(i % width, width), at(i / width, height)];
    let first: Vec<Pixel> = (0..width * height).map(|i| colour(a, place(i))).collect();
    let second: Vec<Pixel> = (0..width * height)
        .map(|i| colour(b, map.apply(place(i))))
        .collect();
    let difference = if found {
        difference(&first, &second, pair.gain)
    } else {
        vec![None; first.len()]
    };
    let mut out = SideBySide {
        width: 3 * width + 4 * GAP,
        height: height + 2 * GAP,
        rgb: Vec::new(),
    };
    out.rgb = vec![255; out.width * out.height * 3];
    for (panel, pixels) in [first, second, difference].iter().enumerate() {
        for (y, row) in pixels.chunks_exact(width).enumerate() {
            let start = ((y + GAP) * out.width + GAP + panel * (width + GAP)) * 3;
            for (x, (pixel, to)) in row
                .iter()
                .zip(out.rgb[start..].chunks_exact_mut(3))
                .enumerate()
            {
                to.copy_from_slice(&shown(*pixel, x + y));
            }
        }
    }
    out
}

fn shown(pixel: Pixel, diagonal: usize) -> [u8; 3] {
    match pixel {
        Some(colour) => colour.map(|v| (v + 0.5).clamp(0.0, 255.0) as u8),
        None => [HATCH[usize::from(diagonal % STRIPES < STRIPES / 2)]; 3],
    }
}

/// The differences where both are, after the contrast of the second is brought to that of the first
/// by `gain`, and its brightness by the median of what then differs, so that a caption does not
/// count.
fn difference(first: &[Pixel], second: &[Pixel], gain: f32) -> Vec<Pixel> {
    let less = |(a, b): (&Pixel, &Pixel)| {
        let (a, b) = ((*a)?, (*b)?);
        Some([0, 1, 2].map(|channel| a[channel] - gain * b[channel]))
    };
    let differ: Vec<Pixel> = first.iter().zip(second).map(less).collect();
    let median = |channel: usize| {
        let mut values: Vec<f32> = differ
            .iter()
            .flatten()
            .map(|pixel| pixel[channel])
            .collect();
        let half = values.len() / 2;
        if values.is_empty() {
            0.0
        } else {
            *values.select_nth_unstable_by(half, f32::total_cmp).1
        }
    };
    let medians = [0, 1, 2].map(median);
    let shown = |pixel: [f32; 3]| {
        [0, 1, 2].map(|channel| AMPLIFIED * (pixel[channel] - medians[channel]).abs())
    };
    differ.into_iter().map(|pixel| pixel.map(shown)).collect()
}

/// The colour at a place of a frame; none outside.
fn colour(picture: &Picture, place: [f32; 2]) -> Pixel {
    let Shape { size, planes } = picture.shape();
    let channel = |channel: u8| {
        sample(
            picture.plane(usize::from(channel.min(planes - 1))),
            usize::from(size),
            place,
        )
    };
    Some([channel(0)?, channel(1)?, channel(2)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::register::{Prepared, Turn, register};

    fn picture(planes: u8, value: impl Fn(usize, usize, usize) -> u8) -> Picture {
        let shape = Shape::new(32, planes).unwrap();
        Picture::from_samples(
            shape,
            (0..shape.len())
                .map(|i| value(i % 32, i / 32 % 32, i / 1024))
                .collect(),
        )
        .unwrap()
    }

    fn blocks(x: usize, y: usize) -> u8 {
        ((x / 4 * 7 + y / 4 * 13 + 1) * (x / 4 + 3 * (y / 4) + 6) * 37 % 251) as u8
    }

    fn pixel(image: &SideBySide, x: usize, y: usize) -> [u8; 3] {
        image.rgb[(y * image.width + x) * 3..][..3]
            .try_into()
            .unwrap()
    }

    fn drawn(a: &Picture, b: &Picture, turn: Turn) -> SideBySide {
        side_by_side(
            a,
            b,
            &register(&Prepared::of(a), &Prepared::of(b), turn),
            [64, 32],
        )
    }

    #[test]
    fn panels_stand_where_the_layout_says_and_equal_pictures_differ_in_nothing() {
        let a = picture(3, |x, y, p| blocks(x, y) / (p as u8 + 1));
        let image = drawn(&a, &a, Turn::NONE);
        assert_eq!(
            (image.width, image.height, image.rgb.len()),
            (
                3 * 64 + 4 * GAP,
                32 + 2 * GAP,
                (3 * 64 + 4 * GAP) * (32 + 2 * GAP) * 3
            )
        );
        for (x, y) in [
            (0, 0),
            (GAP + 64, 20),
            (image.width - 1, 20),
            (30, image.height - 1),
        ] {
            assert_eq!(pixel(&image, x, y), [255; 3], "{x} {y}");
        }
        let panel = |k: usize, x: usize, y: usize| pixel(&image, GAP + k * (64 + GAP) + x, GAP + y);
        for (x, y) in [(4, 2), (43, 17), (63, 31)] {
            assert_eq!(
                (panel(0, x, y), panel(2, x, y)),
                (panel(1, x, y), [0; 3]),
                "{x} {y}"
            );
            assert_eq!(
                panel(0, x, y),
                [0, 1, 2].map(|p| a.plane(p)[y * 32 + x / 2]),
                "{x} {y}"
            );
        }
    }

    #[test]
    fn a_mirror_image_and_a_dimmer_one_are_laid_on_the_first_and_differ_in_little() {
        let a = picture(1, |x, y, _| blocks(x, y));
        let mirrored = picture(1, |x, y, _| blocks(31 - x, y) / 2 + 30);
        let image = drawn(&a, &mirrored, Turn::ALL[4]);
        let panel = |k: usize, x: usize, y: usize| {
            f32::from(pixel(&image, GAP + k * (64 + GAP) + x, GAP + y)[0])
        };
        let inner: Vec<(usize, usize)> =
            (8..24).flat_map(|y| (8..56).map(move |x| (x, y))).collect();
        let mean = |f: &dyn Fn(usize, usize) -> f32| {
            inner.iter().map(|&(x, y)| f(x, y)).sum::<f32>() / inner.len() as f32
        };
        assert!(
            mean(&|x, y| panel(2, x, y)) < 8.0,
            "{}",
            mean(&|x, y| panel(2, x, y))
        );
        assert!(mean(&|x, y| (panel(0, x, y) - 2.0 * (panel(1, x, y) - 30.0)).abs()) < 8.0);
    }

    #[test]
    fn what_the_second_picture_does_not_reach_is_hatched() {
        let (a, b) = (
            picture(1, |x, y, _| blocks(x, y)),
            picture(1, |x, y, _| 255 - blocks(y, x)),
        );
        let none = register(
            &Prepared::of(&a),
            &Prepared::of(&picture(1, |_, _, _| 9)),
            Turn::NONE,
        );
        assert!(!none.is_found());
        let image = side_by_side(&a, &b, &none, [64, 32]);
        let panel = |k: usize, x: usize, y: usize| pixel(&image, GAP + k * (64 + GAP) + x, GAP + y);
        assert_eq!(panel(1, 20, 20), [b.plane(0)[20 * 32 + 10]; 3]);
        assert!((0..32).all(|i| HATCH.contains(&panel(2, 2 * i, i)[0])));
        let away = Alignment {
            map: Affine([1.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
            texture: 0.5,
            ..none
        };
        let image = side_by_side(&a, &b, &away, [64, 32]);
        let panel = |k: usize, x: usize, y: usize| pixel(&image, GAP + k * (64 + GAP) + x, GAP + y);
        assert!(
            (0..32).all(|y| HATCH.contains(&panel(1, 50, y)[0]))
                && panel(1, 0, 4) != panel(0, 0, 4)
        );
    }
}
