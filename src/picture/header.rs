//! First bytes of a file → format and size, without decoding anything.
//!
//! Sources: PNG 3rd ed. §11.2.1 (IHDR); JPEG ITU-T T.81 §B.1.1 and B.2.2 (in [`super::jpeg`]); WebP
//! RFC 9649 §2.5–2.7; GIF89a §18; BMP: Microsoft's BITMAPCOREHEADER and BITMAPINFOHEADER; TIFF 6.0
//! §2; Netpbm's pages pbm(5) to pam(5); the QOI specification 1.0.

use super::{format::Format, jpeg};
use crate::{Error, Result};

/// What the head of a file says about the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The format, by content.
    pub format: Format,
    /// Columns as stored, before any orientation is applied; at least 1.
    pub width: u32,
    /// Rows as stored; at least 1.
    pub height: u32,
    /// Whether the pixels are stored as one grey channel (with or without alpha). A palette counts
    /// as colour.
    pub grey: bool,
}

/// Reads format and size from the head of a file; cost independent of the file's size.
///
/// `bytes` may be the first 64 KiB of the file only; what is not there is read as missing. (A TIFF
/// may keep its directory at its end: such a file is only understood when given whole.)
///
/// # Errors
/// [`Error::Undecodable`] if the bytes are no image, if the head is cut or contradicts itself, or
/// if the image is empty.
pub fn probe(bytes: &[u8]) -> Result<Header> {
    let format = Format::sniff(bytes).ok_or_else(|| Error::Undecodable(unknown(bytes).into()))?;
    let size = match format {
        Format::Png => png(bytes),
        Format::Jpeg => jpeg::Head::read(bytes)
            .ok()
            .map(|h| (h.width, h.height, h.components == 1)),
        Format::WebP => webp(bytes),
        Format::Gif => Some((u16le(bytes, 6)?, u16le(bytes, 8)?, false)),
        Format::Bmp => bmp(bytes),
        Format::Tiff => tiff(bytes),
        Format::Pnm => pnm(bytes),
        Format::Qoi => Some((u32be(bytes, 4)?, u32be(bytes, 8)?, false)),
    };
    match size {
        None if format == Format::Jpeg => {
            Err(jpeg::Head::read(bytes).err().unwrap_or_else(|| cut(format)))
        }
        None => Err(cut(format)),
        Some((0, _, _) | (_, 0, _)) => Err(Error::Undecodable(format!(
            "the {} header says that it has no pixels",
            format.name()
        ))),
        Some((width, height, grey)) => Ok(Header {
            format,
            width,
            height,
            grey,
        }),
    }
}

fn cut(format: Format) -> Error {
    Error::Undecodable(format!(
        "the {} header is cut off or makes no sense",
        format.name()
    ))
}

fn unknown(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        "the file is empty"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "it is a Git LFS pointer, not the image itself"
    } else if bytes
        .iter()
        .take(512)
        .all(|&b| b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r'))
    {
        "it is text, not an image"
    } else {
        "its content is none of PNG, JPEG, WebP, GIF, BMP, TIFF, PNM, QOI"
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn short() -> Error {
    Error::Undecodable("the file ends inside its header".into())
}

fn u16le(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at)
        .map(|b| u16::from_le_bytes(b).into())
        .ok_or_else(short)
}

fn u32be(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_be_bytes).ok_or_else(short)
}

fn png(bytes: &[u8]) -> Option<(u32, u32, bool)> {
    if bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    let color_type = *bytes.get(25)?;
    Some((
        u32be(bytes, 16).ok()?,
        u32be(bytes, 20).ok()?,
        matches!(color_type, 0 | 4),
    ))
}

fn webp(bytes: &[u8]) -> Option<(u32, u32, bool)> {
    let u24 = |at| array::<3>(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]));
    let (width, height) = match bytes.get(12..16)? {
        b"VP8 " if bytes.get(23..26)? == [0x9d, 0x01, 0x2a] => (
            u16le(bytes, 26).ok()? & 0x3fff,
            u16le(bytes, 28).ok()? & 0x3fff,
        ),
        b"VP8L" if *bytes.get(20)? == 0x2f => {
            let bits = u32::from_le_bytes(array(bytes, 21)?);
            (
                (bits & 0x3fff).saturating_add(1),
                ((bits >> 14) & 0x3fff).saturating_add(1),
            )
        }
        b"VP8X" => (u24(24)?.saturating_add(1), u24(27)?.saturating_add(1)),
        _ => return None,
    };
    Some((width, height, false))
}

fn bmp(bytes: &[u8]) -> Option<(u32, u32, bool)> {
    if *bytes.get(14)? == 12 {
        return Some((u16le(bytes, 18).ok()?, u16le(bytes, 20).ok()?, false));
    }
    let side = |at| array(bytes, at).map(i32::from_le_bytes);
    Some((
        u32::try_from(side(18)?).ok()?,
        side(22)?.unsigned_abs(),
        false,
    ))
}

/// The entries of the first directory of a TIFF that hold one number: tag and number; of those that
/// hold several, the place of the first.
fn tiff_entries(bytes: &[u8], mut take: impl FnMut(u16, u32)) -> Option<()> {
    let little = bytes.first() == Some(&b'I');
    let u16at = |at| {
        array(bytes, at).map(|b| {
            if little {
                u16::from_le_bytes(b)
            } else {
                u16::from_be_bytes(b)
            }
        })
    };
    let u32at = |at| {
        array(bytes, at).map(|b| {
            if little {
                u32::from_le_bytes(b)
            } else {
                u32::from_be_bytes(b)
            }
        })
    };
    let directory = usize::try_from(u32at(4)?).ok()?;
    for entry in 0..usize::from(u16at(directory)?) {
        let at = directory
            .checked_add(2)?
            .checked_add(entry.checked_mul(12)?)?;
        let value = match (u16at(at.checked_add(2)?)?, u32at(at.checked_add(4)?)?) {
            // Three or more short numbers stand elsewhere.
            (3, 3..) => u32::from(
                u16at(usize::try_from(u32at(at.checked_add(8)?)?).ok()?).unwrap_or(u16::MAX),
            ),
            (3, _) => u32::from(u16at(at.checked_add(8)?)?),
            (4, _) => u32at(at.checked_add(8)?)?,
            _ => continue,
        };
        take(u16at(at)?, value);
    }
    Some(())
}

fn tiff(bytes: &[u8]) -> Option<(u32, u32, bool)> {
    let (mut width, mut height, mut grey) = (0, 0, false);
    tiff_entries(bytes, |tag, value| match tag {
        256 => width = value,
        257 => height = value,
        262 => grey = value <= 1,
        _ => {}
    })?;
    Some((width, height, grey))
}

/// Bits of a sample and samples of a pixel of a TIFF, 1 and 1 where it does not say.
pub(super) fn tiff_samples(bytes: &[u8]) -> (u32, u32) {
    let (mut bits, mut samples) = (1, 1);
    tiff_entries(bytes, |tag, value| match tag {
        258 => bits = value,
        277 => samples = value,
        _ => {}
    });
    (bits, samples)
}

/// The words of a Netpbm header; comments run from `#` to the next line feed or carriage return
/// (pbm(5)).
fn words(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_ascii_start();
            if rest.first()? != &b'#' {
                break;
            }
            rest = rest.get(rest.iter().position(|&b| matches!(b, b'\n' | b'\r'))?..)?;
        }
        let end = rest.iter().position(u8::is_ascii_whitespace)?;
        let (word, after) = rest.split_at_checked(end)?;
        rest = after;
        std::str::from_utf8(word).ok()
    })
}

fn pnm(bytes: &[u8]) -> Option<(u32, u32, bool)> {
    let mut words = words(bytes);
    let kind = words.next()?;
    if kind != "P7" {
        return Some((
            words.next()?.parse().ok()?,
            words.next()?.parse().ok()?,
            !matches!(kind, "P3" | "P6"),
        ));
    }
    let (mut width, mut height, mut depth) = (0, 0, 0_u32);
    loop {
        match words.next()? {
            "WIDTH" => width = words.next()?.parse().ok()?,
            "HEIGHT" => height = words.next()?.parse().ok()?,
            "DEPTH" => depth = words.next()?.parse().ok()?,
            "ENDHDR" => return Some((width, height, depth <= 2)),
            _ => {}
        }
    }
}
