//! A PNG → the same without the chunks that do not say what its samples are.
//!
//! Colour profiles and texts are packed: two megabytes of them unpack to two gigabytes, and
//! decoders unpack them whether or not they are wanted. So the decoder is not shown any ancillary
//! chunk (PNG 3rd ed. §4.7: its name begins with a small letter) but transparent colours and what
//! makes up an animation.

use std::borrow::Cow;

/// Ancillary chunks on which the samples depend.
const KEPT: [&[u8; 4]; 4] = [b"tRNS", b"acTL", b"fcTL", b"fdAT"];

/// Length, type and CRC of a chunk.
const FRAME: usize = 12;

/// The file without the chunks that are not needed; itself if there are none of those.
pub(super) fn dropped(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(signature) = bytes.get(..8) else {
        return Cow::Borrowed(bytes);
    };
    let chunks = || Chunks {
        rest: bytes.get(8..).unwrap_or_default(),
    };
    if chunks().all(|(kind, _)| is_needed(kind)) {
        return Cow::Borrowed(bytes);
    }
    let needed = || {
        chunks()
            .filter(|(kind, _)| is_needed(*kind))
            .map(|(_, chunk)| chunk)
    };
    let mut kept = Vec::with_capacity(needed().map(<[u8]>::len).sum::<usize>().saturating_add(8));
    kept.extend_from_slice(signature);
    needed().for_each(|chunk| kept.extend_from_slice(chunk));
    Cow::Owned(kept)
}

fn is_needed(kind: [u8; 4]) -> bool {
    !kind[0].is_ascii_lowercase() || KEPT.contains(&&kind)
}

/// The chunks of a file, each with its type and as it stands there; what is cut off at the end is
/// one of no type.
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let whole = self
            .rest
            .first_chunk::<8>()
            .and_then(|&[a, b, c, d, k, i, n, e]| {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d]))
                    .ok()?
                    .checked_add(FRAME)?;
                Some(([k, i, n, e], self.rest.split_at_checked(length)?))
            });
        let (kind, (chunk, rest)) = whole.unwrap_or(([0; 4], (self.rest, &[])));
        self.rest = rest;
        Some((kind, chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&[u8]; 3] = [
        include_bytes!("../../tests/images/animated16.png"),
        include_bytes!("../../tests/images/first_frame16.png"),
        include_bytes!("../../tests/images/palette16.png"),
    ];

    /// A chunk of a kind; nobody looks at the CRC of what is dropped.
    fn with(file: &[u8], kind: &[u8; 4]) -> Vec<u8> {
        [
            &file[..33],
            &4_u32.to_be_bytes(),
            kind,
            b"data",
            &[0; 4],
            &file[33..],
        ]
        .concat()
    }

    #[test]
    fn what_the_samples_do_not_depend_on_is_dropped_and_nothing_else_is_touched() {
        for file in FILES {
            let needed = dropped(file).into_owned();
            assert!(matches!(dropped(&needed), Cow::Borrowed(_)));
            for kind in [b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"teSt"] {
                assert_eq!(
                    dropped(&with(file, kind)),
                    needed,
                    "{}",
                    kind.escape_ascii()
                );
            }
            for kind in [b"PLTE", b"tRNS", b"acTL", b"TesT"] {
                assert_eq!(
                    dropped(&with(file, kind)),
                    with(&needed, kind),
                    "{}",
                    kind.escape_ascii()
                );
            }
        }
        assert!(matches!(dropped(b""), Cow::Borrowed(b"")));
        let cut = with(FILES[0], b"IDAT");
        assert!(dropped(&with(&cut[..60], b"iCCP")).ends_with(&cut[50..60]));
    }
}
