//! Bytes of an image file → a picture, in every format.
//!
//! Held: the same bytes give the same picture or the same reason, again and on another thread; the
//! picture has the shape that was wanted, its file the sides that its header tells; memory stays
//! within a few times the limit.

use std::sync::atomic::{AtomicU64, Ordering};

use wsidx::picture::{Format, Limits, Shape, decode, decode_frame, probe};

use crate::{samples, within};

/// Small, so that many inputs a second can be tried; the code that holds limits is the same for
/// all.
pub(crate) const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_side: 65_535, max_alloc: 16 << 20 };
/// Four times what one allocation may be: the decoder's own, the samples, and two for what is made
/// of them.
pub(crate) const MEMORY: usize = 64 << 20;

const SIZES: [u16; 4] = [8, 32, 64, 256];

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The first byte selects the shape.
pub fn run(data: &[u8]) {
    let Some((&select, bytes)) = data.split_first() else { return };
    let planes = if select & 4 == 0 { 3 } else { 1 };
    let shape = Shape::new(SIZES[usize::from(select & 3)], planes).expect("a shape");
    let decoded = within(MEMORY, || decode(bytes, shape, &LIMITS)).map_err(|e| e.to_string());
    let again = || decode(bytes, shape, &LIMITS).map_err(|e| e.to_string());
    assert_eq!(decoded, again(), "the same bytes give another picture");
    if COUNT.fetch_add(1, Ordering::Relaxed).is_multiple_of(256) {
        let other = std::thread::scope(|scope| scope.spawn(again).join());
        assert_eq!(Ok(&decoded), other.as_ref().map_err(|_| ()), "another thread gives another picture");
    }
    let frame = within(MEMORY, || decode_frame(bytes, [16, 9], planes, &LIMITS));
    let Ok(decoded) = decoded else { return };
    assert_eq!(decoded.picture.shape(), shape);
    assert_eq!(decoded.picture.samples().len(), shape.len());
    let header = probe(bytes).expect("what can be decoded has a header");
    let sides = [decoded.width, decoded.height];
    assert!(sides == [header.width, header.height] || sides == [header.height, header.width], "{sides:?}, {header:?}");
    assert_eq!((header.format, Format::sniff(bytes)), (decoded.format, Some(decoded.format)));
    // JPEGs have two decoders, which the target `jpeg` compares.
    assert!(frame.is_ok() || decoded.format == Format::Jpeg, "a picture but no frame: {:?}", frame.err());
}

/// The sample images, each with a few shapes.
pub fn seeds() -> Vec<Vec<u8>> {
    let ends = [".png", ".jpg", ".webp", ".gif", ".bmp", ".tif", ".pgm", ".ppm", ".pam", ".qoi"];
    let images = samples("images", &ends);
    images.iter().flat_map(|(_, bytes)| [0, 5].map(|select| [&[select][..], bytes].concat())).collect()
}
