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
        Format::Png => png(bytes).is_some(),
        Format::WebP => webp(bytes).is_some(),
        Format::Gif => gif(bytes).is_some(),
        Format::Qoi => bytes.ends_with(&[0, 0, 0, 0, 0, 0, 0, 1]),
        Format::Jpeg => bytes.windows(2).rev().any(|w| w == [0xff, 0xd9]),
        Format::Bmp | Format::Tiff | Format::Pnm => true,
    };
    if whole { Ok(()) } else { Err(Error::Undecodable(format!("the {} file is cut off: its end is missing", format.name()))) }
}

/// Walks the chunks (PNG §5.3: length, type, data, CRC) to IEND.
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (head, after) = rest.split_first_chunk::<8>()?;
        let [a, b, c, d, kind @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        rest = after.get(length.checked_add(4)?..)?;
        if &kind == b"IEND" {
            return Some(());
        }
    }
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

fn sub_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, after) = rest.split_first()?;
        rest = after.get(usize::from(length)..)?;
        if length == 0 {
            return Some(rest);
        }
    }
}
