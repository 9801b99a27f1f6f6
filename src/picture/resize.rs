//! Around the resize: the shrink by whole factors before it, colour and orientation after it.
//!
//! Large images are first shrunk by whole factors, each output sample the mean of a box, to no less
//! than [`REST`] times the target; the rest is [`super::resample`]. Colour: JFIF 1.02, p. 3.

use super::{frame::Grid, scratch::filled};
use image::metadata::Orientation;

/// The whole-factor shrink leaves at least so many times the target's side.
pub(super) const REST: usize = 2;

/// Samples to resize, 0 to 255: rows of `width` pixels, of which the image fills `right` columns
/// and `bottom` rows (the last ones perhaps in part).
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) samples: &'a [f32],
    pub(super) channels: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// Takes 8-bit samples of `channels` interleaved, shrunk by whole factors where the image is large
/// enough; `shrunk` holds the result.
pub(super) fn shrink<'a>(
    samples: &[u8],
    channels: usize,
    [width, height]: [usize; 2],
    [columns, rows]: [usize; 2],
    shrunk: &'a mut Vec<f32>,
) -> Source<'a> {
    let factor = |side: usize, target: usize| (side / (REST * target)).clamp(1, 255);
    let (fx, fy) = (factor(width, columns), factor(height, rows));
    let (right, bottom) = (width as f64 / fx as f64, height as f64 / fy as f64);
    let (row, out_row) = (width * channels, width.div_ceil(fx) * channels);
    let out = filled(shrunk, out_row * height.div_ceil(fy));
    let mut sums = vec![0_u16; row];
    for (rows, out) in samples.chunks(row * fy).zip(out.chunks_exact_mut(out_row)) {
        sums.fill(0);
        for samples in rows.chunks_exact(row) {
            for (sum, &sample) in sums.iter_mut().zip(samples) {
                *sum += u16::from(sample);
            }
        }
        let tall = rows.len() / row;
        match (channels, fx * tall) {
            (_, 1) => sums.iter().zip(out).for_each(|(&s, o)| *o = s.into()),
            (3, _) => means::<3>(&sums, fx, tall, out),
            _ => means::<1>(&sums, fx, tall, out),
        }
    }
    Source {
        samples: shrunk,
        channels,
        width: width.div_ceil(fx),
        height: height.div_ceil(fy),
        right,
        bottom,
    }
}

/// Means of groups of `wide` pixels, given the sums of `tall` rows each.
fn means<const C: usize>(sums: &[u16], wide: usize, tall: usize, out: &mut [f32]) {
    for (group, out) in sums.chunks(wide * C).zip(out.chunks_exact_mut(C)) {
        let mut total = [0_u32; C];
        for pixel in group.chunks_exact(C) {
            for (t, &s) in total.iter_mut().zip(pixel) {
                *t += u32::from(s);
            }
        }
        let count = (group.len() / C * tall).max(1) as f32;
        for (out, t) in out.iter_mut().zip(total) {
            *out = t as f32 / count;
        }
    }
}

/// One pixel Y, Cb, Cr (JFIF: full range, BT.601) → R, G, B, in 16-bit fixed point, rounded and
/// clamped.
pub(super) fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (
        (i32::from(y) << 16) + (1 << 15),
        i32::from(cb) - 128,
        i32::from(cr) - 128,
    );
    let clamp = |v: i32| (v >> 16).clamp(0, 255) as u8;
    [
        clamp(y + 91_881 * cr),
        clamp(y - 22_554 * cb - 46_802 * cr),
        clamp(y + 116_130 * cb),
    ]
}

/// The planes of an upright grid from its pixels as stored, row after row.
pub(super) fn planes(
    grid: Grid,
    orientation: Orientation,
    pixels: impl Iterator<Item = [u8; 3]>,
) -> Vec<u8> {
    let mut samples = vec![0; grid.len()];
    if grid.planes == 1 {
        for (sample, pixel) in samples.iter_mut().zip(pixels) {
            *sample = mean(pixel);
        }
    } else {
        let (red, rest) = samples.split_at_mut(grid.area());
        let (green, blue) = rest.split_at_mut(grid.area());
        for (((r, g), b), pixel) in red.iter_mut().zip(green).zip(blue).zip(pixels) {
            [*r, *g, *b] = pixel;
        }
    }
    if orientation != Orientation::NoTransforms {
        for plane in samples.chunks_exact_mut(grid.area()) {
            turn(orientation, grid, plane);
        }
    }
    samples
}

/// The rounded mean of R, G, B: the luma of the orthonormal opponent-colour rotation.
fn mean([r, g, b]: [u8; 3]) -> u8 {
    ((u16::from(r) + u16::from(g) + u16::from(b) + 1) / 3) as u8
}

/// Turns a plane upright. Turning after the resize is right since both axes are resized alike.
fn turn(orientation: Orientation, grid: Grid, plane: &mut [u8]) {
    let stored = plane.to_vec();
    let [width, height] = grid.stored(orientation);
    let (right, bottom) = (width - 1, height - 1);
    let from = |x: usize, y: usize| match orientation {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (right - x, y),
        Orientation::Rotate180 => (right - x, bottom - y),
        Orientation::FlipVertical => (x, bottom - y),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate90 => (y, bottom - x),
        Orientation::Rotate270FlipH => (right - y, bottom - x),
        Orientation::Rotate270 => (right - y, x),
    };
    for (i, out) in plane.iter_mut().enumerate() {
        let (x, y) = from(i % grid.width, i / grid.width);
        *out = stored[y * width + x];
    }
}
