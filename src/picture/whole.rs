//! File → whether its end is there.
//!
//! Decoders stop when they have the pixels, or fill what is missing; so the end that each format
//! prescribes is looked for here, by walking the file's blocks without decoding them. TIFF and BMP
//! have no end to look for: their decoders miss the pixels themselves. A PNM in plain text (P1–P3)
//! cannot tell whether its very last number was cut short.
//!
//! A TIFF is held against its length here, too: its decoder takes 32 bytes of memory for every
//! value that a directory tells of, before it looks whether they are there.

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
        Format::Gif => match gif(bytes) {
            Some(pixels) if pixels > (bytes.len() as u64).saturating_mul(PIXELS_OF_A_BYTE) => {
                let (length, what) = (
                    bytes.len(),
                    "the file is damaged; save it anew with an image program",
                );
                return Err(Error::Undecodable(format!(
                    "{length} bytes are too few for the {pixels} pixels of the GIF's first frame: {what}"
                )));
            }
            found => found.is_some(),
        },
        Format::Qoi => bytes.ends_with(&[0, 0, 0, 0, 0, 0, 0, 1]),
        Format::Jpeg => bytes.windows(2).rev().any(|w| w == [0xff, 0xd9]),
        Format::Tiff => return tiff(bytes),
        Format::Bmp | Format::Pnm => true,
    };
    if whole {
        Ok(())
    } else {
        Err(Error::Undecodable(format!(
            "the {} file is cut off: its end is missing",
            format.name()
        )))
    }
}

/// The chunks of a PNG (§5.3: length, type, data, CRC) that are there as a whole: type and data.
pub(super) fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[a, b, c, d, k, i, n, e], after) = rest.split_first_chunk()?;
        let (data, after) =
            after.split_at_checked(usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)?;
        rest = after.get(4..)?;
        Some(([k, i, n, e], data))
    })
}

/// The chunks of a WebP (RFC 9649 §2.3: type, size, data padded to even) that are there as a whole:
/// type and data.
pub(super) fn riff_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[k, i, n, e, a, b, c, d], after) = rest.split_first_chunk()?;
        let (data, after) =
            after.split_at_checked(usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?)?;
        rest = after.get(data.len() % 2..).unwrap_or_default();
        Some(([k, i, n, e], data))
    })
}

/// Values that an entry of a TIFF directory may have: a palette of 16 bits has three times 65,536.
const MOST_VALUES: u64 = 1 << 18;

/// Checks how many values the first directory (TIFF 6.0 §2) tells of. Offsets and lengths of strips
/// and tiles are as many as the picture wants, but must be there; profiles and private entries (XMP
/// and above) are not read.
fn tiff(bytes: &[u8]) -> Result<()> {
    const STRIPS_AND_TILES: [u16; 4] = [273, 279, 324, 325];
    const FIRST_UNREAD: u16 = 700;
    let length = bytes.len() as u64;
    let sound = tiff_entries(bytes).all(|(tag, kind, count)| {
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 4,
        };
        let there = u64::from(count).saturating_mul(size) <= length;
        tag >= FIRST_UNREAD
            || u64::from(count) <= MOST_VALUES
            || (STRIPS_AND_TILES.contains(&tag) && there)
    });
    let what = "the TIFF directory tells of more values than there can be: the file is damaged; save it anew with an image program";
    if sound {
        Ok(())
    } else {
        Err(Error::Undecodable(what.into()))
    }
}

/// The entries of the first directory of a TIFF that are there: tag, type, number of values.
fn tiff_entries(bytes: &[u8]) -> impl Iterator<Item = (u16, u16, u32)> {
    let little = bytes.first() == Some(&b'I');
    let short = move |b: &[u8; 2]| {
        if little {
            u16::from_le_bytes(*b)
        } else {
            u16::from_be_bytes(*b)
        }
    };
    let long = move |b: &[u8; 4]| {
        if little {
            u32::from_le_bytes(*b)
        } else {
            u32::from_be_bytes(*b)
        }
    };
    let at = bytes
        .get(4..)
        .and_then(<[u8]>::first_chunk)
        .and_then(|b| usize::try_from(long(b)).ok());
    let directory = at.and_then(|at| bytes.get(at..)).unwrap_or_default();
    let count = directory.first_chunk().map_or(0, |b| usize::from(short(b)));
    directory
        .get(2..)
        .unwrap_or_default()
        .as_chunks::<12>()
        .0
        .iter()
        .take(count)
        .map(move |entry| {
            let [a, b, c, d, e, f, g, h, ..] = *entry;
            (short(&[a, b]), short(&[c, d]), long(&[e, f, g, h]))
        })
}

/// The RIFF size (RFC 9649 §2.4) must be there.
fn webp(bytes: &[u8]) -> Option<()> {
    let size = bytes
        .get(4..)?
        .first_chunk::<4>()
        .copied()
        .map(u32::from_le_bytes)?;
    bytes
        .get(8..)?
        .get(..usize::try_from(size).ok()?)
        .map(|_| ())
}

/// Pixels that a byte of a GIF can stand for: a code of 12 bits gives at most 4,096.
const PIXELS_OF_A_BYTE: u64 = 4_096;

/// Walks the blocks (GIF89a §15 onwards) to the trailer; gives the pixels of the first frame (§20),
/// for which the decoder takes memory whatever the size of the picture.
fn gif(bytes: &[u8]) -> Option<u64> {
    let side = |b: &[u8]| b.first_chunk().map(|b| u64::from(u16::from_le_bytes(*b)));
    let mut pixels = None;
    let table = |flags: u8| {
        if flags & 0x80 == 0 {
            0
        } else {
            3_usize << ((flags & 7).saturating_add(1))
        }
    };
    let mut rest = bytes.get(13..)?.get(table(*bytes.get(10)?)..)?;
    loop {
        let (&kind, after) = rest.split_first()?;
        rest = match kind {
            0x3b => return Some(pixels.unwrap_or_default()),
            0x21 => sub_blocks(after.get(1..)?)?,
            0x2c => {
                pixels.get_or_insert(side(after.get(4..)?)?.saturating_mul(side(after.get(6..)?)?));
                sub_blocks(after.get(9..)?.get(table(*after.get(8)?)..)?.get(1..)?)?
            }
            _ => return None,
        };
    }
}

/// Left, top, width and height of the first image of a GIF (GIF89a §20).
pub(super) fn gif_first_frame(bytes: &[u8]) -> Option<[u32; 4]> {
    let table = |flags: u8| {
        if flags & 0x80 == 0 {
            0
        } else {
            3_usize << ((flags & 7).saturating_add(1))
        }
    };
    let mut rest = bytes.get(13..)?.get(table(*bytes.get(10)?)..)?;
    loop {
        let (&kind, after) = rest.split_first()?;
        match kind {
            0x21 => rest = sub_blocks(after.get(1..)?)?,
            0x2c => {
                let side = |at: usize| {
                    Some(u32::from(u16::from_le_bytes(
                        *after.get(at..)?.first_chunk()?,
                    )))
                };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gif_whose_first_frame_is_larger_than_its_bytes_can_be_is_refused_before_memory_is_taken() {
        let gif = |width: u16, height: u16| {
            let frame: Vec<u8> = [0, 0, width, height]
                .iter()
                .flat_map(|n| n.to_le_bytes())
                .collect();
            [
                b"GIF89a\x10\0\x10\0\x80\0\0\0\0\0\xff\xff\xff,",
                &frame[..],
                b"\0\x02\x02\x4c\x01\0;",
            ]
            .concat()
        };
        check(Format::Gif, &gif(16, 16)).unwrap();
        for (width, height) in [(11_000, 11_000), (65_535, 65_535), (3, 65_535)] {
            let error = check(Format::Gif, &gif(width, height))
                .unwrap_err()
                .to_string();
            assert!(error.contains("bytes are too few for"), "{error}");
        }
        check(
            Format::Gif,
            include_bytes!("../../tests/images/animated16.gif"),
        )
        .unwrap();
    }

    #[test]
    fn a_tiff_that_tells_of_more_values_than_there_can_be_is_refused_before_memory_is_taken() {
        let good = include_bytes!("../../tests/images/rgb16.tif");
        check(Format::Tiff, good).unwrap();
        let directory = u32::from_le_bytes(*good[4..].first_chunk().unwrap()) as usize;
        let count = usize::from(u16::from_le_bytes(
            *good[directory..].first_chunk().unwrap(),
        ));
        for entry in 0..count {
            let at = directory + 2 + 12 * entry;
            let mut bad = good.to_vec();
            bad[at + 4..at + 8].copy_from_slice(&6_291_457_u32.to_le_bytes());
            let error = check(Format::Tiff, &bad).unwrap_err().to_string();
            assert!(error.contains("more values than there can be"), "{error}");
            // An entry that no decoder reads may be of any length.
            bad[at..at + 2].copy_from_slice(&34_675_u16.to_le_bytes());
            check(Format::Tiff, &bad).unwrap();
        }
    }
}
