//! Decoded samples of any size → S × S, plane after plane.
//!
//! Large images are first shrunk by whole factors, each output sample the mean of a box, to no less than [`REST`] times S; the rest is one
//! convolution with a Catmull-Rom kernel (Keys 1981, a = −1/2) whose support grows with the factor, so that nothing aliases. Unlike Lanczos
//! it needs no transcendental function and is therefore the same on every machine.

use super::{Shape, scratch::filled};
use crate::{Error, Result};
use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x3},
};
use image::metadata::Orientation;

/// The whole-factor shrink leaves at least so many times S.
pub(super) const REST: usize = 2;

/// Samples to resize: rows of `width` pixels, of which the image fills `right` columns and `bottom` rows (the last ones perhaps in part).
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) samples: &'a [u8],
    pub(super) channels: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl<'a> Source<'a> {
    pub(super) fn whole(samples: &'a [u8], channels: usize, width: usize, height: usize) -> Self {
        Self { samples, channels, width, height, right: width as f64, bottom: height as f64 }
    }
}

/// Shrinks by whole factors where the image is large enough; `shrunk` holds the result.
pub(super) fn shrink<'a>(source: Source<'a>, size: usize, shrunk: &'a mut Vec<u8>) -> Source<'a> {
    let factor = |side: usize| (side / (REST * size)).clamp(1, 255);
    let (fx, fy) = (factor(source.width), factor(source.height));
    if fx * fy == 1 {
        return source;
    }
    let (width, height, channels) = (source.width.div_ceil(fx), source.height.div_ceil(fy), source.channels);
    let out = filled(shrunk, width * height * channels);
    let row = source.width * channels;
    let mut sums = vec![0_u16; row];
    for (rows, out) in source.samples.chunks(row * fy).zip(out.chunks_exact_mut(width * channels)) {
        sums.fill(0);
        for samples in rows.chunks_exact(row) {
            for (sum, &sample) in sums.iter_mut().zip(samples) {
                *sum += u16::from(sample);
            }
        }
        let tall = rows.len() / row;
        if channels == 3 { means::<3>(&sums, fx, tall, out) } else { means::<1>(&sums, fx, tall, out) }
    }
    let (right, bottom) = (source.width as f64 / fx as f64, source.height as f64 / fy as f64);
    Source { samples: shrunk, channels, width, height, right, bottom }
}

/// Rounded means of groups of `wide` pixels, given the sums of `tall` rows each.
fn means<const C: usize>(sums: &[u16], wide: usize, tall: usize, out: &mut [u8]) {
    for (group, out) in sums.chunks(wide * C).zip(out.chunks_exact_mut(C)) {
        let mut total = [0_u32; C];
        for pixel in group.chunks_exact(C) {
            for (t, &s) in total.iter_mut().zip(pixel) {
                *t += u32::from(s);
            }
        }
        let count = (group.len() / C * tall).max(1) as u32;
        for (out, t) in out.iter_mut().zip(total) {
            *out = ((t + count / 2) / count) as u8;
        }
    }
}

/// Convolves to `size` × `size` pixels.
///
/// # Errors
/// [`Error::Undecodable`] if the resizer refuses (it does so for empty sides only).
pub(super) fn convolve(source: Source<'_>, size: usize, resizer: &mut Resizer, out: &mut [u8]) -> Result<()> {
    if source.channels == 3 { convolve_as::<U8x3>(source, size, resizer, out) } else { convolve_as::<U8>(source, size, resizer, out) }
}

fn convolve_as<P: PixelTrait>(source: Source<'_>, size: usize, resizer: &mut Resizer, out: &mut [u8]) -> Result<()> {
    let refused = |e: &dyn std::fmt::Display| super::undecodable("resizing failed", e);
    let side = |n: usize| u32::try_from(n).map_err(|_| Error::Undecodable("the image has too many pixels".into()));
    let from = TypedImageRef::<P>::from_buffer(side(source.width)?, side(source.height)?, source.samples).map_err(|e| refused(&e))?;
    let mut to = TypedImage::<P>::from_buffer(side(size)?, side(size)?, out).map_err(|e| refused(&e))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .crop(0.0, 0.0, source.right, source.bottom)
        .use_alpha(false);
    resizer.resize_typed(&from, &mut to, &options).map_err(|e| refused(&e))
}

/// One pixel Y, Cb, Cr (JFIF: full range, BT.601) → R, G, B, in 16-bit fixed point, rounded and clamped.
pub(super) fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = ((i32::from(y) << 16) + (1 << 15), i32::from(cb) - 128, i32::from(cr) - 128);
    let clamp = |v: i32| (v >> 16).clamp(0, 255) as u8;
    [clamp(y + 91_881 * cr), clamp(y - 22_554 * cb - 46_802 * cr), clamp(y + 116_130 * cb)]
}

/// The planes of a picture from the pixels of an S × S image as stored, row after row, turned upright.
pub(super) fn planes(shape: Shape, orientation: Orientation, pixels: impl Iterator<Item = [u8; 3]>) -> Vec<u8> {
    let size = usize::from(shape.size);
    let mut samples = vec![0; shape.len()];
    if shape.planes == 1 {
        for (sample, pixel) in samples.iter_mut().zip(pixels) {
            *sample = mean(pixel);
        }
    } else {
        let (red, rest) = samples.split_at_mut(size * size);
        let (green, blue) = rest.split_at_mut(size * size);
        for (((r, g), b), pixel) in red.iter_mut().zip(green).zip(blue).zip(pixels) {
            [*r, *g, *b] = pixel;
        }
    }
    if orientation != Orientation::NoTransforms {
        for plane in samples.chunks_exact_mut(size * size) {
            turn(orientation, size, plane);
        }
    }
    samples
}

/// The rounded mean of R, G, B: the luma of the orthonormal opponent-colour rotation.
fn mean([r, g, b]: [u8; 3]) -> u8 {
    ((u16::from(r) + u16::from(g) + u16::from(b) + 1) / 3) as u8
}

/// Turns a square plane upright. Turning after the resize is right since the target is square and both axes are resized alike.
fn turn(orientation: Orientation, size: usize, plane: &mut [u8]) {
    let stored = plane.to_vec();
    let from: fn(usize, usize, usize) -> (usize, usize) = match orientation {
        Orientation::NoTransforms => |x, y, _| (x, y),
        Orientation::FlipHorizontal => |x, y, l| (l - x, y),
        Orientation::Rotate180 => |x, y, l| (l - x, l - y),
        Orientation::FlipVertical => |x, y, l| (x, l - y),
        Orientation::Rotate90FlipH => |x, y, _| (y, x),
        Orientation::Rotate90 => |x, y, l| (y, l - x),
        Orientation::Rotate270FlipH => |x, y, l| (l - y, l - x),
        Orientation::Rotate270 => |x, y, l| (l - y, x),
    };
    for (i, out) in plane.iter_mut().enumerate() {
        let (x, y) = from(i % size, i / size, size - 1);
        *out = stored[y * size + x];
    }
}
