//! A Picture → copies of it, made in memory: what calibration measures recall on.
//!
//! Each is a change that [`Needs`] names, of a common strength, made from the standardised picture;
//! so they are coarser than copies made from files, and no measure of compression. Deterministic:
//! noise comes from a seed.

use super::{
    frame::{at, each_plane, sample, turned},
    register::{Affine, Needs, Turn},
};
use crate::picture::Picture;

/// A way to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyKind {
    /// In output: "cropped to 85 %".
    pub name: &'static str,
    /// What it needs at most: a rule that does not accept that does not look for such copies.
    pub needs: Needs,
    make: Make,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    Brighter,
    Compressed,
    Crop85,
    Crop75,
    Border,
    Mirror,
    Quarter,
    Rotated,
    Grey,
    Covered,
}

/// All of them.
pub const COPY_KINDS: [CopyKind; 10] = [
    CopyKind {
        name: "brighter, more contrast",
        needs: Needs::PHOTOMETRIC,
        make: Make::Brighter,
    },
    CopyKind {
        name: "blurred and noisy, as by strong compression",
        needs: Needs::PHOTOMETRIC,
        make: Make::Compressed,
    },
    CopyKind {
        name: "cropped to 85 %, off centre",
        needs: Needs::CROP,
        make: Make::Crop85,
    },
    CopyKind {
        name: "cropped to 75 %, upper left",
        needs: Needs::CROP,
        make: Make::Crop75,
    },
    CopyKind {
        name: "with a border of 10 %",
        needs: Needs::BORDER,
        make: Make::Border,
    },
    CopyKind {
        name: "mirrored",
        needs: Needs::MIRROR,
        make: Make::Mirror,
    },
    CopyKind {
        name: "turned by 90°",
        needs: Needs::QUARTER_TURN,
        make: Make::Quarter,
    },
    CopyKind {
        name: "rotated by 3°, without the corners",
        needs: Needs::ROTATION.and(Needs::CROP),
        make: Make::Rotated,
    },
    CopyKind {
        name: "greyscale",
        needs: Needs::GREYSCALE,
        make: Make::Grey,
    },
    CopyKind {
        name: "a twelfth covered",
        needs: Needs::OVERLAY,
        make: Make::Covered,
    },
];

impl CopyKind {
    /// The copy; of the shape of the picture.
    #[must_use]
    pub fn of(&self, picture: &Picture, seed: u64) -> Picture {
        let scaled = |scale: f32, shift: f32| Affine([scale, 0.0, shift, 0.0, scale, shift]);
        match self.make {
            Make::Brighter => each(picture, |v, _, _| 1.2 * (v - 128.0) + 146.0),
            Make::Compressed => noisy(&blurred(picture), seed),
            Make::Crop85 => laid(picture, &scaled(0.85, 0.08)),
            Make::Crop75 => laid(picture, &scaled(0.75, -0.25)),
            Make::Border => laid(picture, &scaled(1.25, 0.0)),
            Make::Mirror => turned(picture, Turn::ALL[4]),
            Make::Quarter => turned(picture, Turn::ALL[1]),
            Make::Rotated => {
                let (sine, cosine) = (0.052_336f32 * 0.93, 0.998_63f32 * 0.93);
                laid(picture, &Affine([cosine, -sine, 0.0, sine, cosine, 0.0]))
            }
            Make::Grey => grey(picture),
            Make::Covered => each(
                picture,
                |v, x, y| if x > 0.42 && y > 0.42 { 20.0 } else { v },
            ),
        }
    }

    /// Whether a copy of this kind differs from a picture of so many planes.
    #[must_use]
    pub fn applies_to(&self, planes: u8) -> bool {
        self.make != Make::Grey || planes == 3
    }
}

fn level(v: f32) -> u8 {
    (v + 0.5).clamp(0.0, 255.0) as u8
}

/// Each sample changed, by its value and place.
fn each(picture: &Picture, change: impl Fn(f32, f32, f32) -> f32) -> Picture {
    let n = usize::from(picture.shape().size);
    each_plane(picture, |plane| {
        plane
            .iter()
            .enumerate()
            .map(|(i, &v)| level(change(v.into(), at(i % n, n), at(i / n, n))))
            .collect()
    })
}

/// What of the picture a frame shows that a map puts there, between samples linearly; white where
/// there is nothing.
fn laid(picture: &Picture, map: &Affine) -> Picture {
    let n = usize::from(picture.shape().size);
    each_plane(picture, |plane| {
        let value =
            |i: usize| sample(plane, n, map.apply([at(i % n, n), at(i / n, n)])).map_or(255, level);
        (0..n * n).map(value).collect()
    })
}

/// Weights 1, 2, 1 in both directions.
fn blurred(picture: &Picture) -> Picture {
    let n = usize::from(picture.shape().size);
    each_plane(picture, |plane| {
        let value = |x: usize, y: usize| f32::from(plane[y.min(n - 1) * n + x.min(n - 1)]);
        let row = |x: usize, y: usize| {
            value(x.saturating_sub(1), y) + 2.0 * value(x, y) + value(x + 1, y)
        };
        let sample = |i: usize| {
            let (x, y) = (i % n, i / n);
            level((row(x, y.saturating_sub(1)) + 2.0 * row(x, y) + row(x, y + 1)) / 16.0)
        };
        (0..n * n).map(sample).collect()
    })
}

/// Noise of up to 8 grey levels, evenly spread, the same in all planes.
fn noisy(picture: &Picture, seed: u64) -> Picture {
    each_plane(picture, |plane| {
        let mut state = seed | 1;
        let mut noise = || {
            // xorshift64 (Marsaglia 2003, "Xorshift RNGs", section 3).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 20) as f32 - 8.0
        };
        plane
            .iter()
            .map(|&v| level(f32::from(v) + noise()))
            .collect()
    })
}

fn grey(picture: &Picture) -> Picture {
    let count = usize::from(picture.shape().planes);
    let area = picture.plane(0).len();
    let mean = |i: usize| {
        (0..count)
            .map(|p| f32::from(picture.plane(p)[i]))
            .sum::<f32>()
            / count as f32
    };
    let luma: Vec<u8> = (0..area).map(|i| level(mean(i))).collect();
    each_plane(picture, |_| luma.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        picture::Shape,
        similarity::{Decision, EdgeRule, compare},
    };

    /// Smooth noise of a few scales, in colour.
    fn scene() -> Picture {
        let shape = Shape::new(64, 3).unwrap();
        let hash = |x: usize, y: usize, k: usize| {
            ((x * 7919 + y * 104_729 + k * 31 + 17) * 2_654_435_761 % 4_294_967_291 % 251) as f32
        };
        let value = |i: usize| {
            let (x, y, p) = (i % 64, i / 64 % 64, i / 4096);
            let octave = |step: usize, k: usize| {
                let (u, v) = (x / step, y / step);
                let (p, q) = (
                    (x % step) as f32 / step as f32,
                    (y % step) as f32 / step as f32,
                );
                let row = |v: usize| hash(u, v, k) + p * (hash(u + 1, v, k) - hash(u, v, k));
                row(v) + q * (row(v + 1) - row(v))
            };
            level(
                0.9 * octave(16, 1)
                    + 0.1 * octave(8, 2)
                    + 0.1 * octave(4, 3)
                    + 0.1 * octave(32, 4 + p),
            )
        };
        Picture::from_samples(shape, (0..shape.len()).map(value).collect()).unwrap()
    }

    #[test]
    fn every_copy_is_a_near_duplicate_by_the_change_that_it_is_named_for() {
        let picture = scene();
        // Noise has less structure that lasts over scales than photographs have: its crop to 75 %
        // comes to 0.694.
        let rule = EdgeRule {
            threshold: 0.65,
            ..EdgeRule::default()
        };
        for kind in COPY_KINDS {
            let found = compare(&kind.of(&picture, 7), &picture, &rule);
            assert_eq!(
                found.decision,
                Decision::NearDuplicate,
                "{} {:?}",
                kind.name,
                found.pair
            );
            let allowed = kind.needs.and(Needs::PHOTOMETRIC).and(Needs::CROP);
            assert!(
                found.pair.needs.within(allowed),
                "{} {:?}",
                kind.name,
                found.pair.needs.names().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn copies_of_one_seed_are_the_same_and_of_any_shape() {
        for (size, planes) in [(8, 1), (28, 1), (32, 3)] {
            let shape = Shape::new(size, planes).unwrap();
            let picture = Picture::from_samples(
                shape,
                (0..shape.len()).map(|i| (i * 7919 % 251) as u8).collect(),
            )
            .unwrap();
            for kind in COPY_KINDS {
                assert_eq!(kind.of(&picture, 3), kind.of(&picture, 3));
                assert_eq!(
                    kind.of(&picture, 3) != picture,
                    kind.applies_to(planes),
                    "{} {size}",
                    kind.name
                );
            }
        }
    }
}
