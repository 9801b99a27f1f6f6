//! JPEG bytes → head, and → 8-bit samples by way of zune-jpeg.
//!
//! Markers after ITU-T T.81 Annex B; the Adobe marker (APP14) as libjpeg reads it; Exif (APP1) for
//! the orientation. [`super::baseline`] is the fast way for the common kind of file; this file is
//! for all others: progressive, CMYK and YCCK, unusual sampling, and pictures that are the right
//! size already.

use crate::{Error, Result};
use image::metadata::Orientation;
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

/// What stands before the first scan.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: u8,
    /// Component identifiers, in order, as far as there are any.
    ids: [u8; 3],
    /// Where the colour transform of the Adobe marker stands, and what it says: 0 none (RGB or
    /// CMYK), 1 YCbCr, 2 YCCK.
    adobe: Option<(usize, u8)>,
    pub(super) orientation: Orientation,
    pub(super) progressive: bool,
}

/// Scans of a progressive file. Encoders write about ten.
const MOST_SCANS: usize = 100;

/// One marker segment: marker, offset of its payload, payload.
pub(super) type Segment<'a> = (u8, usize, &'a [u8]);

/// The marker segments from `at` on, until the bytes end; a scan's data is not skipped, so stop at
/// SOS.
pub(super) fn segments(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Segment<'_>> {
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..)?;
            let start = rest.iter().position(|&b| b == 0xff)?;
            let fill = rest.get(start..)?.iter().position(|&b| b != 0xff)?;
            at = at.checked_add(start)?.checked_add(fill)?.checked_add(1)?;
            let marker = *bytes.get(at.checked_sub(1)?)?;
            if matches!(marker, 0 | 0x01 | 0xd0..=0xd8) {
                continue;
            }
            if marker == 0xd9 {
                return None;
            }
            let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
            let payload = at.checked_add(2)?;
            at = at.checked_add(length.max(2))?;
            return Some((marker, payload, bytes.get(payload..at)?));
        }
    })
}

impl Head {
    /// Reads the markers up to the first scan; a file that is cut after its frame header is good
    /// enough.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if there is no frame header, or of a kind that is not read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let (mut frame, mut adobe, mut orientation) = (None, None, Orientation::NoTransforms);
        for (marker, at, payload) in segments(bytes, 2) {
            match marker {
                0xc0..=0xc2 if frame.is_none() => frame = Some((marker, payload)),
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err(Error::Undecodable(
                        "this kind of JPEG (lossless, hierarchical or arithmetic coded) is not supported".into(),
                    ));
                }
                0xee if payload.starts_with(b"Adobe") => {
                    adobe = payload.get(11).map(|&t| (at.saturating_add(11), t));
                }
                0xe1 => {
                    if let Some(found) = payload
                        .strip_prefix(b"Exif\0\0")
                        .and_then(Orientation::from_exif_chunk)
                    {
                        orientation = found;
                    }
                }
                0xda => break,
                _ => {}
            }
        }
        let Some((marker, &[precision, h1, h0, w1, w0, components, ref list @ ..])) = frame else {
            return Err(Error::Undecodable(
                "the JPEG has no frame header: it is cut off or damaged".into(),
            ));
        };
        if precision != 8 || !matches!(components, 1 | 3 | 4) {
            return Err(Error::Undecodable(format!(
                "a JPEG of {precision} bits and {components} components is not supported"
            )));
        }
        let id = |i: usize| list.get(i.saturating_mul(3)).copied().unwrap_or(0);
        Ok(Self {
            width: u16::from_be_bytes([w1, w0]).into(),
            height: u16::from_be_bytes([h1, h0]).into(),
            components,
            ids: [id(0), id(1), id(2)],
            adobe,
            orientation,
            progressive: marker == 0xc2,
        })
    }

    /// Whether three components are R, G, B themselves, not Y, Cb, Cr: named so, or not transformed
    /// according to the Adobe marker.
    pub(super) fn is_rgb(&self) -> bool {
        self.components == 3 && (&self.ids == b"RGB" || matches!(self.adobe, Some((_, 0))))
    }

    /// Whether there are only as many scans as any encoder writes: each goes over the whole
    /// picture, in a few bytes of the file if it likes.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if there are more.
    pub(super) fn check_scans(&self, bytes: &[u8]) -> Result<()> {
        if self.progressive
            && bytes
                .windows(2)
                .filter(|two| *two == [0xff, 0xda])
                .nth(MOST_SCANS)
                .is_some()
        {
            return Err(Error::Undecodable(format!(
                "the JPEG has more than {MOST_SCANS} scans, which no encoder writes; save it again"
            )));
        }
        Ok(())
    }

    /// Bytes of working memory that zune-jpeg needs: samples, and for progressive files all
    /// coefficients.
    pub(super) fn memory(&self) -> u64 {
        let samples = u64::from(self.width)
            .saturating_mul(u64::from(self.height))
            .saturating_mul(u64::from(self.components));
        samples.saturating_mul(if self.progressive { 3 } else { 1 })
    }
}

/// Decodes all samples, interleaved, into `out`; returns the channels, 1 (grey) or 3 (RGB).
///
/// # Errors
/// [`Error::Undecodable`] on damage or a cut (zune-jpeg's strict mode).
pub(super) fn decode(bytes: &[u8], head: &Head, out: &mut Vec<u8>) -> Result<usize> {
    if !head.progressive && scanned(bytes) > usize::from(head.components) {
        let what = "a component of the JPEG is coded in more than one scan: the file is damaged; save it anew with an image program";
        return Err(Error::Undecodable(what.into()));
    }
    match (head.components, head.adobe) {
        (1, _) => samples(bytes, ColorSpace::Luma, out).map(|()| 1),
        // zune-jpeg takes "no transform" for CMYK whatever the number of components; declare YCbCr
        // and take the samples as they are.
        (3, Some((at, 0))) if &head.ids != b"RGB" => {
            let mut declared = bytes.to_vec();
            if let Some(transform) = declared.get_mut(at) {
                *transform = 1;
            }
            samples(&declared, ColorSpace::YCbCr, out).map(|()| 3)
        }
        (3, _) => samples(bytes, ColorSpace::RGB, out).map(|()| 3),
        (_, adobe) => {
            let ycck = matches!(adobe, Some((_, 2)));
            samples(
                bytes,
                if ycck {
                    ColorSpace::YCCK
                } else {
                    ColorSpace::CMYK
                },
                out,
            )?;
            inks_to_rgb(out, ycck, adobe.is_some());
            Ok(3)
        }
    }
}

/// The components of all scans. A sequential JPEG codes each in one scan (T.81 §B.2.3); zune-jpeg
/// ends with the first scan of all of them where another marker stands in it, and leaves the rest
/// of the samples as they are.
fn scanned(bytes: &[u8]) -> usize {
    let scans = segments(bytes, 2).filter(|&(marker, ..)| marker == 0xda);
    scans
        .filter_map(|(_, _, payload)| payload.first())
        .fold(0, |all, &count| all.saturating_add(count.into()))
}

fn samples(bytes: &[u8], space: ColorSpace, out: &mut Vec<u8>) -> Result<()> {
    let damaged =
        |e: zune_jpeg::errors::DecodeErrors| super::undecodable("the JPEG data is damaged", &e);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(65_535)
        .set_max_height(65_535)
        .jpeg_set_out_colorspace(space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let size = decoder.output_buffer_size().unwrap_or(0);
    // Samples that the decoder leaves out must not be those of the picture before.
    out.clear();
    out.resize(size, 0);
    decoder.decode_into(out).map_err(damaged)
}

/// Four inks → RGB, in place: `inverted` as Adobe stores them (255 = no ink), R = C·K / 255 and so
/// on.
fn inks_to_rgb(samples: &mut Vec<u8>, ycck: bool, inverted: bool) {
    let times = |a: u8, b: u8| {
        let t = u32::from(a) * u32::from(b) + 127;
        (t / 255) as u8
    };
    super::raster::compact::<4, 3>(samples, |[c, m, y, k]| {
        let [c, m, y] = if ycck {
            super::resize::rgb(c, m, y).map(|v| 255 - v)
        } else {
            [c, m, y]
        };
        let [c, m, y, k] = if inverted {
            [c, m, y, k]
        } else {
            [c, m, y, k].map(|v| 255 - v)
        };
        [times(c, k), times(m, k), times(y, k)]
    });
}
