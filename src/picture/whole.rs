//! File → whether its end is there.
//!
//! Decoders stop when they have the pixels, or fill what is missing; so the end that each format prescribes is looked for here, by walking
//! the file's blocks without decoding them. TIFF and BMP have no end to look for: their decoders miss the pixels themselves. A PNM in plain
//! text (P1–P3) cannot tell whether its very last number was cut short.

use super::format::Format;
use crate::{Error, Result};

/// Checks that a file is not cut.
///
/// # Errors
/// [`Error::Undecodable`] if the end is missing.
pub(super) fn check(format: Format, bytes: &[u8]) -> Result<()> {
    let whole = match format {
        Format::Png => png_chunks(bytes).any(|c| &c.0 == b"IEND"),
        Format::WebP => webp(bytes).is_some(),
        Format::Gif => gif(bytes).is_some(),
        Format::Qoi => bytes.ends_with(&[0, 0, 0, 0, 0, 0, 0, 1]),
        Format::Jpeg => bytes.windows(2).rev().any(|w| w == [0xff, 0xd9]),
        Format::Bmp | Format::Tiff | Format::Pnm => true,
    };
    if whole { Ok(()) } else { Err(Error::Undecodable(format!("the {} file is cut off: its end is missing", format.name()))) }
}

/// The chunks of a PNG (§5.3: length, type, data, CRC) that are there as a whole: type and data.
pub(super) fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[a, b, c, d, k, i, n, e], after) = rest.split_first_chunk()?;
        let (data, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)?;
        rest = after.get(4..)?;
        Some(([k, i, n, e], data))
    })
}

/// The chunks of a WebP (RFC 9649 §2.3: type, size, data padded to even) that are there as a whole: type and data.
pub(super) fn riff_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[k, i, n, e, a, b, c, d], after) = rest.split_first_chunk()?;
        let (data, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?)?;
        rest = after.get(data.len() % 2..).unwrap_or_default();
        Some(([k, i, n, e], data))
    })
}

/// The RIFF size (RFC 9649 §2.4) must be there.
fn webp(bytes: &[u8]) -> Option<()> {
    let size = bytes.get(4..)?.first_chunk::<4>().copied().map(u32::from_le_bytes)?;
    bytes.get(8..)?.get(..usize::try_from(size).ok()?).map(|_| ())
}

/// Walks the blocks (GIF89a §15 onwards) to the trailer.
fn gif(bytes: &[u8]) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3_usize << ((flags & 7).saturating_add(1)) };
    let mut rest = bytes.get(13..)?.get(table(*bytes.get(10)?)..)?;
    loop {
        let (&kind, after) = rest.split_first()?;
        rest = match kind {
            0x3b => return Some(()),
            0x21 => sub_blocks(after.get(1..)?)?,
            0x2c => sub_blocks(after.get(9..)?.get(table(*after.get(8)?)..)?.get(1..)?)?,
            _ => return None,
        };
    }
}

/// Left, top, width and height of the first image of a GIF (GIF89a §20).
pub(super) fn gif_first_frame(bytes: &[u8]) -> Option<[u32; 4]> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3_usize << ((flags & 7).saturating_add(1)) };
    let mut rest = bytes.get(13..)?.get(table(*bytes.get(10)?)..)?;
    loop {
        let (&kind, after) = rest.split_first()?;
        match kind {
            0x21 => rest = sub_blocks(after.get(1..)?)?,
            0x2c => {
                let side = |at: usize| Some(u32::from(u16::from_le_bytes(*after.get(at..)?.first_chunk()?)));
                return Some([side(0)?, side(2)?, side(4)?, side(6)?]);
            }
            _ => return None,
        }
    }
}

fn sub_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, after) = rest.split_first()?;
        rest = after.get(usize::from(length)..)?;
        if length == 0 {
            return Some(rest);
        }
    }
}
