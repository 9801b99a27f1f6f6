//! Bytes of every format but JPEG → 8-bit interleaved samples, by way of the `image` crate.
//!
//! 16-bit samples are rounded to 8 (`v / 257`), floating point ones are taken to run from 0 to 1,
//! and alpha is composited over mid-grey (128): out = (c·a + 128·(255 − a)) / 255, rounded.

use super::{ancillary, format::Format, header::Header};
use crate::{Error, Result};
use image::{
    ColorType, DynamicImage, ImageDecoder as _, ImageError, ImageFormat, codecs::pnm::PnmDecoder,
};
use std::{borrow::Cow, io::Cursor};

/// Size and channels (1 or 3) of the samples that were written.
pub(super) struct Raster {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: usize,
}

/// Decodes the (first) image into `out`. What it takes was reserved by its header; beyond that,
/// `image` sets itself a limit of 512 MiB.
///
/// # Errors
/// [`Error::Undecodable`] on damage, on what the decoder does not support, and where a limit is
/// passed.
pub(super) fn decode(bytes: &[u8], header: &Header, out: &mut Vec<u8>) -> Result<Raster> {
    let (format, sides) = (header.format, (header.width, header.height));
    let same_sides = |decoded| {
        let reason = || {
            format!(
                "the {} data has other sides than its header: it is damaged",
                format.name()
            )
        };
        if decoded == sides {
            Ok(())
        } else {
            Err(Error::Undecodable(reason()))
        }
    };
    if format == Format::Pnm {
        // Its header is text with comments, which can be read in more than one way; the memory was
        // reserved by ours.
        let decoder = PnmDecoder::new(Cursor::new(bytes)).map_err(|e| explain(format, e))?;
        same_sides(decoder.dimensions())?;
    }
    let bytes = &*if format == Format::Png {
        ancillary::dropped(bytes)
    } else {
        Cow::Borrowed(bytes)
    };
    // What the last picture has left would stand beside the new one.
    *out = Vec::new();
    // Not `ImageReader`: that is generic, so that every decoder would be compiled once more with
    // this crate (two minutes of it).
    let image = image::load_from_memory_with_format(bytes, image_format(format))
        .map_err(|e| explain(format, e))?;
    let (width, height, color) = (image.width(), image.height(), image.color());
    same_sides((width, height))?;
    let unknown = || Error::Undecodable(format!("{color:?} samples are not supported"));
    let channels = match image {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => {
            *out = image.into_bytes();
            eight_bits(color, out).ok_or_else(unknown)?
        }
        _ => narrowed(color, image.as_bytes(), out).ok_or_else(unknown)?,
    };
    Ok(Raster {
        width,
        height,
        channels,
    })
}

fn image_format(format: Format) -> ImageFormat {
    match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::WebP => ImageFormat::WebP,
        Format::Gif => ImageFormat::Gif,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
        Format::Pnm => ImageFormat::Pnm,
        Format::Qoi => ImageFormat::Qoi,
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn explain(format: Format, error: ImageError) -> Error {
    let name = format.name();
    match &error {
        ImageError::Limits(_) => Error::Undecodable(format!(
            "decoding it would take more memory than the 512 MiB that {name} files may take at the most; make it smaller, or save it as JPEG"
        )),
        ImageError::Unsupported(e) => {
            super::undecodable(&format!("the {name} file uses what is not supported"), e)
        }
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Undecodable(format!("the {name} file is cut off"))
        }
        e => super::undecodable(&format!("the {name} data is damaged"), e),
    }
}

/// Rewrites pixels of `IN` bytes as pixels of `OUT` bytes, in place.
pub(super) fn compact<const IN: usize, const OUT: usize>(
    buffer: &mut Vec<u8>,
    pixel: impl Fn([u8; IN]) -> [u8; OUT],
) {
    const { assert!(OUT <= IN) };
    let count = buffer.len() / IN;
    for i in 0..count {
        if let Some(&read) = buffer.get(i * IN..).and_then(|p| p.first_chunk::<IN>())
            && let Some(write) = buffer
                .get_mut(i * OUT..)
                .and_then(|p| p.first_chunk_mut::<OUT>())
        {
            *write = pixel(read);
        }
    }
    buffer.truncate(count * OUT);
}

fn over_grey(color: u8, alpha: u8) -> u8 {
    let (c, a) = (u32::from(color), u32::from(alpha));
    ((c * a + 128 * (255 - a) + 127) / 255) as u8
}

fn word(high: u8, low: u8) -> u8 {
    ((u32::from(u16::from_ne_bytes([high, low])) + 128) / 257) as u8
}

fn float(bytes: [u8; 4]) -> u8 {
    (f32::from_ne_bytes(bytes).clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

/// The same of samples of more than 8 bits, part by part, so that they are not there twice.
fn narrowed(color: ColorType, samples: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let pixel = usize::from(color.bytes_per_pixel());
    let channels = if color.has_color() { 3 } else { 1 };
    out.reserve_exact(samples.len() / pixel * channels);
    for part in samples.chunks(pixel << 12) {
        let mut part = part.to_vec();
        eight_bits(color, &mut part)?;
        out.append(&mut part);
    }
    Some(channels)
}

/// Brings decoded samples to 8-bit grey or RGB in place; returns the channels, `None` for a kind of
/// sample that is not known.
fn eight_bits(color: ColorType, samples: &mut Vec<u8>) -> Option<usize> {
    match color {
        ColorType::L8 | ColorType::Rgb8 => {}
        ColorType::La8 => compact::<2, 1>(samples, |[l, a]| [over_grey(l, a)]),
        ColorType::Rgba8 => {
            compact::<4, 3>(samples, |[r, g, b, a]| [r, g, b].map(|c| over_grey(c, a)));
        }
        ColorType::L16 | ColorType::Rgb16 => compact::<2, 1>(samples, |[h, l]| [word(h, l)]),
        ColorType::La16 => compact::<4, 1>(samples, |[h, l, ah, al]| {
            [over_grey(word(h, l), word(ah, al))]
        }),
        ColorType::Rgba16 => {
            compact::<8, 3>(samples, |[r, s, g, h, b, c, x, y]| {
                [word(r, s), word(g, h), word(b, c)].map(|v| over_grey(v, word(x, y)))
            });
        }
        ColorType::Rgb32F => compact::<4, 1>(samples, |v| [float(v)]),
        ColorType::Rgba32F => {
            compact::<4, 1>(samples, |v| [float(v)]);
            compact::<4, 3>(samples, |[r, g, b, a]| [r, g, b].map(|c| over_grey(c, a)));
        }
        _ => return None,
    }
    Some(if color.has_color() { 3 } else { 1 })
}
