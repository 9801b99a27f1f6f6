//! Head of a file → the memory that decoding it takes, for every format but JPEG.
//!
//! The figures are upper bounds of what the decoders of `image` 0.25 take, read off their sources:
//! the samples as they are decoded, and what stands beside them at the worst moment. The record of
//! hostile files in `benches/record` has what whole commands take.

use super::{
    format::Format,
    header::{Header, tiff_samples},
    whole,
};

/// Bytes that decoding takes at most.
pub(super) fn needed(header: &Header, bytes: &[u8]) -> u64 {
    let pixels = u64::from(header.width).saturating_mul(header.height.into());
    let half_bytes = match header.format {
        Format::Png => png(bytes),
        Format::WebP => webp(bytes),
        Format::Gif => gif(bytes, header),
        // Four channels, as they are.
        Format::Bmp | Format::Qoi => 8,
        Format::Tiff => tiff(bytes),
        Format::Pnm => samples(pnm_channels(bytes), 2),
        Format::Jpeg => 0,
    };
    pixels.saturating_mul(half_bytes).div_ceil(2)
}

/// Half bytes for a pixel of so many channels, of so many bytes each: samples of 16 bits are copied
/// into 8.
fn samples(channels: u64, bytes: u64) -> u64 {
    if bytes == 1 {
        2 * channels
    } else {
        2 * channels * bytes + 2 * channels
    }
}

/// By its colour type and depth (PNG 3rd ed. §11.2.1); transparent colours become an alpha channel.
fn png(bytes: &[u8]) -> u64 {
    let (depth, colour) = (
        bytes.get(24).copied().unwrap_or(16),
        bytes.get(25).copied().unwrap_or(6),
    );
    let transparent = u64::from(
        whole::png_chunks(bytes)
            .take_while(|c| &c.0 != b"IDAT")
            .any(|c| &c.0 == b"tRNS"),
    );
    let channels = match colour {
        0 => 1 + transparent,
        2 | 3 => 3 + transparent,
        4 => 2,
        _ => 4,
    };
    samples(channels, if depth == 16 { 2 } else { 1 })
}

/// A single frame takes its planes and the samples, and its alpha, which is packed as a frame of
/// its own; an animated one has a canvas more or two. Whether it is animated says the second bit of
/// the flags (RFC 9649 §2.7).
fn webp(bytes: &[u8]) -> u64 {
    match (bytes.get(12..16), bytes.get(20)) {
        (Some(b"VP8 "), _) => 10,
        (Some(b"VP8L"), _) => 16,
        (_, Some(flags)) if flags & 2 == 0 => 21,
        _ => 32,
    }
}

/// Four channels; and once more, if the first frame does not fill the screen from left to right.
fn gif(bytes: &[u8], header: &Header) -> u64 {
    let fills = whole::gif_first_frame(bytes)
        .is_some_and(|[left, _, width, _]| left == 0 && width == header.width);
    if fills { 8 } else { 16 }
}

/// The samples twice: as they are decoded, and as they are given on. One of them is gone before
/// they are brought to 8 bits.
fn tiff(bytes: &[u8]) -> u64 {
    let (bits, channels) = tiff_samples(bytes);
    let channels = u64::from(channels.clamp(1, 8));
    let bytes = u64::from(bits.clamp(8, 64)).div_ceil(8);
    4 * channels * bytes
}

fn pnm_channels(bytes: &[u8]) -> u64 {
    match bytes.get(1) {
        Some(b'7') => 4,
        Some(b'3' | b'6') => 3,
        _ => 1,
    }
}
