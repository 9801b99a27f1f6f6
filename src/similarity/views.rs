//! A Picture → the pictures under which to search for what it may be a copy of.
//!
//! Search features compare whole frames. A copy that was turned, mirrored, given a border, or that
//! shows more or less than its source, is far from it there; one of its views is near. Of a copy
//! that shows less, that is a wider frame around it: what it does not show is taken to go on as at
//! its border, which is enough for most. What is guessed wrong is found by rows for the crops of
//! the indexed pictures, which an index may keep beside their own ([`crops`]): what they bring and
//! cost is in the record of pairs.
//!
//! Views are made from the standardised picture and are of its shape. They only bring candidates;
//! the pair itself is registered.

use super::{
    frame::turned,
    register::Turn,
    wide::{Work, wide},
};
use crate::picture::Picture;

/// A rectangle of a frame: left, top, right, bottom, in shares of its sides from 0 to 1.
pub type Part = [f32; 4];

/// Which view a picture is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViewKind {
    /// Which part was enlarged to the whole frame.
    pub part: Part,
    /// How that was turned.
    pub turn: Turn,
}

/// All of a frame.
pub const WHOLE: Part = [0.0, 0.0, 1.0, 1.0];

/// Which views are made. The whole picture is always the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Views {
    /// All eight turns of it, else none.
    pub turns: bool,
    /// Without its uniform borders or bars, where it has any; turned too, if turns are asked for.
    pub trimmed: bool,
    /// Crops about the centre, and towards corners and edges; not turned.
    pub crops: bool,
    /// Frames of which the picture is such a crop, what lies beyond it like its border; not turned.
    pub wider: bool,
}

impl Views {
    /// The views of a query.
    pub const OF_QUERY: Self = Self {
        turns: true,
        trimmed: true,
        crops: true,
        wider: true,
    };
    /// The picture itself only.
    pub const NONE: Self = Self {
        turns: false,
        trimmed: false,
        crops: false,
        wider: false,
    };
}

/// About the centre 0.75, towards the corners 0.8: a crop between these is near one of them.
const CROPS: [Part; 5] = [
    [0.125, 0.125, 0.875, 0.875],
    [0.0, 0.0, 0.8, 0.8],
    [0.2, 0.0, 1.0, 0.8],
    [0.0, 0.2, 0.8, 1.0],
    [0.2, 0.2, 1.0, 1.0],
];

/// Crops of a picture of which an index may keep rows.
pub const CROPS_OF_INDEXED: usize = CROPS.len();

/// The rule by which they are made: it changes with their parts, their order and how they are cut.
pub const CROP_RULE: &str = "crops/1";

/// How far, in grey levels, the samples of a border may be from their mean.
const BORDER: f32 = 14.0;
/// The least share of a side that a border takes, and that must remain of the picture.
const THINNEST: f32 = 0.03;
const REMAINS: f32 = 0.3;

/// The views of a picture, the picture itself first.
#[must_use]
pub fn views(picture: &Picture, asked: Views) -> Vec<(ViewKind, Picture)> {
    let of_part = |(part, base, turns): (Part, Picture, &'static [Turn])| {
        turns
            .iter()
            .map(move |&turn| (ViewKind { part, turn }, turned(&base, turn)))
    };
    parts(picture, asked)
        .into_iter()
        .flat_map(of_part)
        .collect()
}

/// The parts of which views are made, as they lie, each with its turns; the whole picture first.
#[must_use]
pub fn parts(picture: &Picture, asked: Views) -> Vec<(Part, Picture, &'static [Turn])> {
    let turns = |all: bool| if all { &Turn::ALL[..] } else { &Turn::ALL[..1] };
    let trimmed = uniform_border(picture).filter(|_| asked.trimmed);
    let whole = std::iter::once(WHOLE)
        .chain(trimmed)
        .map(|part| (part, turns(asked.turns)));
    let crops = CROPS.iter().filter(|_| asked.crops).copied();
    let wider = CROPS
        .iter()
        .filter(|_| asked.wider)
        .map(|&crop| around(crop));
    let all = whole.chain(crops.chain(wider).map(|part| (part, turns(false))));
    all.map(|(part, turns)| (part, cut(picture, part), turns))
        .collect()
}

/// The crops of an indexed picture of which rows may be kept: always [`CROPS_OF_INDEXED`], of the
/// picture's shape, in the same order.
pub fn crops(picture: &Picture) -> impl Iterator<Item = Picture> {
    CROPS.iter().map(|&part| cut(picture, part))
}

/// The frame of which a picture would be this part, as a part of that picture: it reaches beyond
/// it.
fn around([left, top, right, bottom]: Part) -> Part {
    let [across, down] = [right - left, bottom - top];
    [
        -left / across,
        -top / down,
        (1.0 - left) / across,
        (1.0 - top) / down,
    ]
}

/// A part of a frame, brought to the size of the whole: between samples, linearly; beyond the
/// border its value.
fn cut(picture: &Picture, part: Part) -> Picture {
    if part == WHOLE {
        return picture.clone();
    }
    let n = usize::from(picture.shape().size);
    let [left, top, right, bottom] = part;
    let samples = wide(Cut {
        samples: picture.samples(),
        columns: &taps(n, left, right),
        rows: &taps(n, top, bottom),
    });
    Picture::from_samples(picture.shape(), samples).expect("as many samples as before")
}

/// All planes of a picture, and for each column and row of its cut what that lies between.
struct Cut<'a> {
    samples: &'a [u8],
    columns: &'a [(usize, f32)],
    rows: &'a [(usize, f32)],
}

impl Work for Cut<'_> {
    type Found = Vec<u8>;

    #[inline(always)]
    fn run(self) -> Vec<u8> {
        let n = self.rows.len();
        let (mut line, mut across, mut samples) =
            (vec![0.0; n], vec![0.0; n * n], vec![0; self.samples.len()]);
        let (first, last) = (self.rows[0].0, self.rows[n - 1].0 + 1);
        for (plane, cut) in self
            .samples
            .chunks_exact(n * n)
            .zip(samples.chunks_exact_mut(n * n))
        {
            for (row, across) in plane
                .chunks_exact(n)
                .zip(across.chunks_exact_mut(n))
                .take(last + 1)
                .skip(first)
            {
                line.iter_mut()
                    .zip(row)
                    .for_each(|(to, &value)| *to = f32::from(value));
                for (to, &(x, share)) in across.iter_mut().zip(self.columns) {
                    let pair = &line[x..x + 2];
                    *to = between(pair[0], pair[1], share);
                }
            }
            for (cut, &(y, share)) in cut.chunks_exact_mut(n).zip(self.rows) {
                let (above, below) = across[y * n..][..2 * n].split_at(n);
                for ((to, &above), &below) in cut.iter_mut().zip(above).zip(below) {
                    *to = whole(between(above, below, share) + 0.5);
                }
            }
        }
        samples
    }
}

#[inline(always)]
fn between(low: f32, high: f32, share: f32) -> f32 {
    low + share * (high - low)
}

/// A number from 0 to below 256 without its fraction: what `as` gives, but side by side.
#[inline(always)]
fn whole(v: f32) -> u8 {
    // Adding this leaves no place for a fraction, and the whole number in the last bits.
    const WHOLE: f32 = 8_388_608.0;
    let near = (v + WHOLE) - WHOLE;
    let low = if near > v { near - 1.0 } else { near };
    (low + WHOLE).to_bits() as u8
}

/// For each of n samples spread from `start` to `end`: the sample before it, and how far it is
/// towards the next.
fn taps(n: usize, start: f32, end: f32) -> Vec<(usize, f32)> {
    let place = |i: usize| {
        let at = (start + (i as f32 + 0.5) / n as f32 * (end - start)) * n as f32 - 0.5;
        let at = at.clamp(0.0, (n - 1) as f32);
        let low = (at as usize).min(n - 2);
        (low, at - low as f32)
    };
    (0..n).map(place).collect()
}

/// What a uniform border or bars leave of a picture; `None` where there is no border, or it leaves
/// too little.
#[must_use]
pub fn uniform_border(picture: &Picture) -> Option<Part> {
    let n = usize::from(picture.shape().size);
    let column = |x: usize| (0..n).map(move |y| y * n + x);
    let row = |y: usize| (0..n).map(move |x| y * n + x);
    let depth = |line: &dyn Fn(usize) -> Vec<usize>| {
        let mean = means(picture, &line(0));
        (0..n)
            .take_while(|&i| is_uniform(picture, &line(i), &mean))
            .count()
    };
    let depths = [
        depth(&|i| column(i).collect()),
        depth(&|i| row(i).collect()),
        depth(&|i| column(n - 1 - i).collect()),
        depth(&|i| row(n - 1 - i).collect()),
    ];
    let [left, top, right, bottom] = depths.map(|lines| {
        let share = lines as f32 / n as f32;
        if share < THINNEST { 0.0 } else { share }
    });
    let part = [left, top, 1.0 - right, 1.0 - bottom];
    (part != WHOLE && part[2] - left >= REMAINS && part[3] - top >= REMAINS).then_some(part)
}

fn means(picture: &Picture, line: &[usize]) -> Vec<f32> {
    let mean = |i: usize| {
        line.iter()
            .map(|&at| f32::from(picture.plane(i)[at]))
            .sum::<f32>()
            / line.len() as f32
    };
    (0..usize::from(picture.shape().planes)).map(mean).collect()
}

fn is_uniform(picture: &Picture, line: &[usize], means: &[f32]) -> bool {
    let near = |(i, mean): (usize, &f32)| {
        line.iter()
            .all(|&at| (f32::from(picture.plane(i)[at]) - mean).abs() <= BORDER)
    };
    means.iter().enumerate().all(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Shape;

    fn picture(size: u16, planes: u8, value: impl Fn(usize, usize, usize) -> u8) -> Picture {
        let (shape, n) = (Shape::new(size, planes).unwrap(), usize::from(size));
        let samples = (0..shape.len())
            .map(|i| value(i % n, i / n % n, i / (n * n)))
            .collect();
        Picture::from_samples(shape, samples).unwrap()
    }

    #[test]
    fn the_picture_itself_is_the_first_view_and_no_view_is_of_another_shape() {
        for (size, planes) in [(8, 1), (32, 3), (30, 1), (64, 3), (256, 3)] {
            let noise = picture(size, planes, |x, y, p| {
                (x * 7919 + y * 104_729 + p * 31) as u8
            });
            let made = views(&noise, Views::OF_QUERY);
            assert_eq!(made.len(), 8 + 2 * CROPS.len());
            assert_eq!(
                made[0],
                (
                    ViewKind {
                        part: WHOLE,
                        turn: Turn::NONE
                    },
                    noise.clone()
                )
            );
            assert!(made.iter().all(|(_, view)| view.shape() == noise.shape()));
            assert_eq!(views(&noise, Views::NONE).len(), 1);
        }
    }

    #[test]
    fn borders_and_bars_are_found_to_the_sample_and_cut_off() {
        let inner = |x: usize, y: usize| (x * x * 37 + y * 91) as u8;
        let framed = picture(32, 3, |x, y, _| {
            if (4..28).contains(&x) && (2..32).contains(&y) {
                inner(x, y)
            } else {
                250
            }
        });
        assert_eq!(uniform_border(&framed), Some([0.125, 0.0625, 0.875, 1.0]));
        let made = views(
            &framed,
            Views {
                trimmed: true,
                ..Views::NONE
            },
        );
        assert_eq!(made.len(), 2);
        assert!(
            made[1]
                .1
                .plane(0)
                .iter()
                .zip(framed.plane(0))
                .any(|(a, b)| a != b)
        );
        assert_eq!(uniform_border(&picture(32, 3, |x, y, _| inner(x, y))), None);
    }

    #[test]
    fn a_flat_picture_has_no_border_since_nothing_would_remain() {
        for size in [8, 64] {
            assert_eq!(uniform_border(&picture(size, 3, |_, _, _| 128)), None);
            assert_eq!(
                views(&picture(size, 3, |_, _, _| 128), Views::OF_QUERY).len(),
                8 + 2 * CROPS.len()
            );
        }
    }

    #[test]
    fn a_cut_of_a_slope_is_the_part_of_the_slope() {
        let slope = picture(64, 1, |x, _, _| (x * 4) as u8);
        let half = cut(&slope, [0.25, 0.25, 0.75, 0.75]);
        for (x, &value) in half.plane(0)[..64].iter().enumerate() {
            assert!(
                (f32::from(value) - (64.0 + 2.0 * x as f32 - 1.0)).abs() <= 1.0,
                "{x} {value}"
            );
        }
    }

    #[test]
    fn a_crop_seen_in_its_wider_frame_lies_where_it_was() {
        let wave = |x: usize| (120.0 + 100.0 * (x as f32 * 0.11).sin()) as u8;
        let whole = picture(64, 1, |x, y, _| wave(x + 2 * y));
        for crop in CROPS {
            let back = cut(&cut(&whole, crop), around(crop));
            let [left, top, right, bottom] = crop.map(|share| (share * 64.0) as usize);
            for (x, y) in
                (top + 2..bottom - 2).flat_map(|y| (left + 2..right - 2).map(move |x| (x, y)))
            {
                let [found, was] =
                    [&back, &whole].map(|picture| i16::from(picture.plane(0)[y * 64 + x]));
                assert!((found - was).abs() <= 12, "{crop:?} {x} {y}: {found} {was}");
            }
        }
    }
}
