//! PNG, WebP and TIFF bytes → how the image is to be turned.
//!
//! Exif's orientation (TIFF tag 274), found in the eXIf chunk of a PNG (PNG 3rd ed. §11.3.4.5), the
//! EXIF chunk of a WebP (RFC 9649 §2.7.1.5) or the first directory of a TIFF, whose form Exif data
//! shares. JPEG: [`super::jpeg`].

use super::{format::Format, whole};
use image::metadata::Orientation;

/// The orientation that a file asks for; upright where it asks for none.
pub(super) fn read(format: Format, bytes: &[u8]) -> Orientation {
    let exif = match format {
        Format::Png => whole::png_chunks(bytes)
            .find(|c| &c.0 == b"eXIf")
            .map(|c| c.1),
        Format::WebP => whole::riff_chunks(bytes)
            .find(|c| &c.0 == b"EXIF")
            .map(|c| c.1.strip_prefix(b"Exif\0\0").unwrap_or(c.1)),
        Format::Tiff => Some(bytes),
        _ => None,
    };
    exif.and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
}
