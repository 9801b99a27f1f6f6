//! The image formats, told apart by the first bytes of a file, never by its name.

/// An image format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics; of an animation (APNG) the still image.
    Png,
    /// JPEG: baseline, extended and progressive, Huffman coded, 8 bits.
    Jpeg,
    /// WebP, lossy and lossless; the first frame of an animation.
    WebP,
    /// GIF; the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF (not BigTIFF); the first page.
    Tiff,
    /// The Netpbm family: PBM, PGM, PPM, PAM.
    Pnm,
    /// The Quite OK Image format.
    Qoi,
}

impl Format {
    /// Every format, in the order of its code.
    pub const ALL: [Self; 8] = [
        Self::Png,
        Self::Jpeg,
        Self::WebP,
        Self::Gif,
        Self::Bmp,
        Self::Tiff,
        Self::Pnm,
        Self::Qoi,
    ];

    /// The name as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
        }
    }

    /// The format that a file name's extension promises, in any case and without the dot; `None` if
    /// it promises no image.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "png" => Self::Png,
            "jpg" | "jpeg" | "jpe" | "jfif" => Self::Jpeg,
            "webp" => Self::WebP,
            "gif" => Self::Gif,
            "bmp" | "dib" => Self::Bmp,
            "tif" | "tiff" => Self::Tiff,
            "pnm" | "ppm" | "pgm" | "pbm" | "pam" => Self::Pnm,
            "qoi" => Self::Qoi,
            _ => return None,
        })
    }

    /// The number under which the format is stored, 1 to 8; it never changes its meaning.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The format stored under a number; `None` if there is none.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// The format whose signature the bytes begin with; needs at most the first 16 bytes.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Self::WebP,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [
                b'B',
                b'M',
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                12 | 40 | 52 | 56 | 64 | 108 | 124,
                0,
                ..,
            ] => Self::Bmp,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::Tiff,
            [b'P', b'1'..=b'7', b' ' | b'\t' | b'\n' | b'\r' | b'#', ..] => Self::Pnm,
            [b'q', b'o', b'i', b'f', ..] => Self::Qoi,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_own_inverse_and_never_zero() {
        for format in Format::ALL {
            assert_ne!(format.code(), 0);
            assert_eq!(Format::from_code(format.code()), Some(format));
        }
        assert_eq!(Format::from_code(0), None);
        assert_eq!(Format::from_code(9), None);
    }

    #[test]
    fn extensions_are_read_in_any_case() {
        assert_eq!(Format::from_extension("JpEg"), Some(Format::Jpeg));
        assert_eq!(Format::from_extension("jfif"), Some(Format::Jpeg));
        assert_eq!(Format::from_extension("PAM"), Some(Format::Pnm));
        assert_eq!(Format::from_extension("dib"), Some(Format::Bmp));
        assert_eq!(Format::from_extension("txt"), None);
        assert_eq!(Format::from_extension(""), None);
    }

    #[test]
    fn text_and_nothing_are_no_image() {
        assert_eq!(Format::sniff(b""), None);
        assert_eq!(Format::sniff(b"BM is how this text begins"), None);
        assert_eq!(Format::sniff(b"Point"), None);
    }
}
