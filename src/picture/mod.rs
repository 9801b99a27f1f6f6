//! Bytes of an image file → [`Picture`]: S × S samples of 8 bits; or, where an analysis wants more,
//! a [`Frame`] of any sides.

mod ancillary;
mod baseline;
mod budget;
mod format;
mod frame;
mod header;
mod huffman;
mod idct;
mod jpeg;
mod limits;
mod memory;
mod orientation;
mod raster;
mod resample;
mod resize;
mod scratch;
mod whole;
mod ycocg;

pub use format::Format;
pub use frame::{Frame, MOST_FRAME_PIXELS, decode_frame};
pub use header::{Header, probe};
pub use limits::Limits;
pub(crate) use limits::is_refusal;
pub(crate) use ycocg::{rotate, unrotate};

use crate::{Error, Result, guard};
use budget::Reservation;
use frame::Grid;
use image::metadata::Orientation;
use scratch::{Scratch, filled};
use std::fmt::Display;

/// Everything that the samples of a picture depend on besides the file: decoders, their settings,
/// filters. It changes when the samples do.
pub const DECODER: &str = "picture/2 jpeg-box zune-jpeg/0.5-strict image/0.25 box-to-2S catmull-rom chroma-by-4 alpha-over-128 grey-mean";

/// Side and number of planes of a [`Picture`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Shape {
    /// Rows and columns, S: even, 8 to 256.
    pub size: u16,
    /// 1 (grey) or 3 (red, green, blue).
    pub planes: u8,
}

impl Shape {
    /// A shape within its bounds.
    ///
    /// # Errors
    /// [`Error::Input`] if `size` is odd or not in 8..=256, or `planes` is neither 1 nor 3.
    pub fn new(size: u16, planes: u8) -> Result<Self> {
        if !(8..=256).contains(&size) || !size.is_multiple_of(2) {
            return Err(Error::Input(format!(
                "the picture size {size} is not an even number from 8 to 256"
            )));
        }
        if !matches!(planes, 1 | 3) {
            return Err(Error::Input(format!(
                "a picture has 1 or 3 planes, not {planes}"
            )));
        }
        Ok(Self { size, planes })
    }

    /// Samples of a picture: S · S · planes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a shape is never empty")]
    pub const fn len(self) -> usize {
        self.size as usize * self.size as usize * self.planes as usize
    }
}

/// A decoded, upright image of a standard size: 8-bit samples, plane after plane (R, G, B, or
/// grey), each S × S, row after row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    shape: Shape,
    samples: Vec<u8>,
}

impl Picture {
    /// A picture of given samples.
    ///
    /// # Errors
    /// [`Error::Input`] if there are not [`Shape::len`] samples, or the shape is out of bounds.
    pub fn from_samples(shape: Shape, samples: Vec<u8>) -> Result<Self> {
        let shape = Shape::new(shape.size, shape.planes)?;
        if samples.len() != shape.len() {
            return Err(Error::Input(format!(
                "a picture of {shape:?} has {} samples, not {}",
                shape.len(),
                samples.len()
            )));
        }
        Ok(Self { shape, samples })
    }

    /// Side and planes.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// All samples, plane after plane.
    #[must_use]
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The samples of one plane, S · S.
    ///
    /// # Panics
    /// If there is no such plane.
    #[must_use]
    pub fn plane(&self, index: usize) -> &[u8] {
        let area = self.shape.len() / usize::from(self.shape.planes);
        &self.samples[index * area..(index + 1) * area]
    }
}

/// A picture, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The picture.
    pub picture: Picture,
    /// The format of the file, by content.
    pub format: Format,
    /// Columns of the upright image.
    pub width: u32,
    /// Rows of the upright image.
    pub height: u32,
    /// Whether the image had to be resized; if not, its samples are exact. If so, its chroma is
    /// rounded (Co and Cg of YCoCg-R to multiples of 4).
    pub resized: bool,
}

/// An [`Error::Undecodable`] from another crate's message, which is cut to one printable line.
fn undecodable(what: &str, detail: &dyn Display) -> Error {
    let detail = detail.to_string();
    let line: String = detail
        .trim()
        .chars()
        .take_while(|&c| c != '\n')
        .filter(|c| !c.is_control())
        .take(160)
        .collect();
    Error::Undecodable(if line.is_empty() {
        what.to_owned()
    } else {
        format!("{what} ({line})")
    })
}

/// Decodes a file to a picture of a given shape.
///
/// # Errors
/// [`Error::Undecodable`] always, with the reason.
pub fn decode(bytes: &[u8], shape: Shape, limits: &Limits) -> Result<Decoded> {
    Shape::new(shape.size, shape.planes)
        .map_err(|e| undecodable("no picture can have this shape", &e))?;
    guarded(bytes, limits, |header, scratch| {
        decode_with(bytes, header, shape, limits, scratch)
    })
}

/// Checks a file against the limits, and lets its decoder loose on it: what panics is damaged.
fn guarded<T>(
    bytes: &[u8],
    limits: &Limits,
    decode: impl FnOnce(&Header, &mut Scratch) -> Result<T>,
) -> Result<T> {
    if let Some(reason) = limits.refuse_file(bytes.len() as u64) {
        return Err(Error::Undecodable(reason));
    }
    let header = probe(bytes)?;
    limits.check(header.width, header.height)?;
    plausible(&header, bytes)?;
    whole::check(header.format, bytes)?;
    // What a JPEG takes depends on the way it is decoded: that way asks for it.
    let memory = memory::needed(&header, bytes);
    let reserved = limits.reserve(header.width, header.height, memory)?;
    let result = guard::catch(|| scratch::with(reserved, |scratch| decode(&header, scratch)));
    result.unwrap_or_else(|| {
        Err(Error::Undecodable(format!(
            "the {} decoder failed on it; the data is damaged",
            header.format.name()
        )))
    })
}

/// Refuses a header that promises more pixels than the bytes can hold at the best compression that
/// the format allows: two bits for 64 pixels (JPEG), or 1,032 to 1 (deflate).
fn plausible(header: &Header, bytes: &[u8]) -> Result<()> {
    let (pixels, length) = (
        u64::from(header.width).saturating_mul(header.height.into()),
        bytes.len() as u64,
    );
    let most = match header.format {
        Format::Jpeg => length.saturating_mul(512),
        Format::Png => length.saturating_mul(8 * 1032),
        _ => u64::MAX,
    };
    if pixels <= most {
        return Ok(());
    }
    Err(Error::Undecodable(format!(
        "{length} bytes are too few for {} x {} pixels: the file is cut off or damaged",
        header.width, header.height
    )))
}

fn decode_with(
    bytes: &[u8],
    header: &Header,
    shape: Shape,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Decoded> {
    if header.format == Format::Jpeg {
        return decode_jpeg(bytes, shape, limits, scratch);
    }
    let orientation = orientation::read(header.format, bytes);
    let raster = raster::decode(bytes, header, &mut scratch.raster)?;
    let raster_sides = [raster.width as usize, raster.height as usize];
    let samples = from_raster(
        raster_sides,
        raster.channels,
        orientation,
        shape.into(),
        ycocg::round,
        scratch,
    )?;
    finish(
        header.format,
        (raster.width, raster.height),
        orientation,
        shape,
        samples,
    )
}

fn decode_jpeg(
    bytes: &[u8],
    shape: Shape,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Decoded> {
    let head = jpeg::Head::read(bytes)?;
    let size = u32::from(shape.size);
    let reserved = &mut scratch.reserved;
    let mut reserve = |memory| {
        limits
            .reserve(head.width, head.height, memory)
            .map(|reservation| *reserved = reservation)
    };
    if (head.width, head.height) != (size, size)
        && let Some(planes) =
            baseline::decode(bytes, size as usize, &mut scratch.baseline, &mut reserve)?
    {
        let area = size as usize * size as usize;
        let resized = filled(&mut scratch.resized, area * planes.list().len());
        for (plane, out) in planes.list().iter().zip(resized.chunks_exact_mut(area)) {
            scratch.resampler.run(*plane, [size as usize; 2], out);
        }
        let rgb = head.is_rgb();
        let samples = upright(shape.into(), head.orientation, resized, |[a, b, c]| {
            ycocg::round(if rgb { [a, b, c] } else { resize::rgb(a, b, c) })
        });
        return finish(
            Format::Jpeg,
            (head.width, head.height),
            head.orientation,
            shape,
            samples,
        );
    }
    let channels = decode_whole_jpeg(bytes, &head, limits, scratch)?;
    let sides = [head.width as usize, head.height as usize];
    let samples = from_raster(
        sides,
        channels,
        head.orientation,
        shape.into(),
        ycocg::round,
        scratch,
    )?;
    finish(
        Format::Jpeg,
        (head.width, head.height),
        head.orientation,
        shape,
        samples,
    )
}

/// Decodes all samples of a JPEG into `scratch.raster`; gives the channels.
fn decode_whole_jpeg(
    bytes: &[u8],
    head: &jpeg::Head,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<usize> {
    head.check_scans(bytes)?;
    // What the other way has left is given back before more is asked for.
    scratch.shrink();
    scratch.reserved = Reservation::default();
    scratch.reserved = limits.reserve(
        head.width,
        head.height,
        head.memory().saturating_add(bytes.len() as u64),
    )?;
    jpeg::decode(bytes, head, &mut scratch.raster)
}

/// One or three planes as stored → the samples of an upright grid: colour converted, turned.
fn upright(
    grid: Grid,
    orientation: Orientation,
    planes: &[u8],
    colour: impl Fn([u8; 3]) -> [u8; 3],
) -> Vec<u8> {
    let mut list = planes.chunks_exact(grid.area());
    match (list.next(), list.next(), list.next()) {
        (Some(first), Some(second), Some(third)) => {
            let triples = first
                .iter()
                .zip(second)
                .zip(third)
                .map(|((&a, &b), &c)| colour([a, b, c]));
            resize::planes(grid, orientation, triples)
        }
        _ => resize::planes(grid, orientation, planes.iter().map(|&v| [v; 3])),
    }
}

/// The interleaved samples in `scratch.raster` → the samples of an upright grid, with `rounded`
/// colours where they are resized.
fn from_raster(
    sides: [usize; 2],
    channels: usize,
    orientation: Orientation,
    grid: Grid,
    rounded: fn([u8; 3]) -> [u8; 3],
    scratch: &mut Scratch,
) -> Result<Vec<u8>> {
    let short = || Error::Undecodable("the decoder gave too few samples".into());
    let samples = scratch
        .raster
        .get(..sides[0] * sides[1] * channels)
        .ok_or_else(short)?;
    let target = grid.stored(orientation);
    if sides == target {
        return Ok(match channels {
            3 => resize::planes(grid, orientation, samples.as_chunks().0.iter().copied()),
            _ => resize::planes(grid, orientation, samples.iter().map(|&v| [v; 3])),
        });
    }
    let source = resize::shrink(samples, channels, sides, target, &mut scratch.shrunk);
    let out = filled(&mut scratch.resized, grid.area() * channels);
    scratch.resampler.run(source, target, out);
    Ok(upright(grid, orientation, out, rounded))
}

fn finish(
    format: Format,
    stored: (u32, u32),
    orientation: Orientation,
    shape: Shape,
    samples: Vec<u8>,
) -> Result<Decoded> {
    let picture =
        Picture::from_samples(shape, samples).map_err(|e| undecodable("decoding failed", &e))?;
    let (width, height) = if frame::sideways(orientation) {
        (stored.1, stored.0)
    } else {
        stored
    };
    let size = u32::from(shape.size);
    Ok(Decoded {
        picture,
        format,
        width,
        height,
        resized: stored != (size, size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixtures {
        ($($name:literal),* $(,)?) => { &[$(($name, include_bytes!(concat!("../../tests/images/", $name)).as_slice())),*] };
    }

    const FILES: &[(&str, &[u8])] = fixtures![
        "alpha16.png",
        "animated16.gif",
        "animated16.png",
        "animated16.webp",
        "cmyk16.jpg",
        "colour16.jpg",
        "colour48x32.jpg",
        "colour48x32.png",
        "deep16.png",
        "deep_rgb16.png",
        "first_frame16.png",
        "grey16.pgm",
        "grey16.png",
        "grey48x32.jpg",
        "greyalpha16.png",
        "large200x140.jpg",
        "lossless16.webp",
        "lossy16.webp",
        "palette16.bmp",
        "palette16.png",
        "progressive48x32.jpg",
        "restart48x32.jpg",
        "rgb16.bmp",
        "rgb16.pam",
        "rgb16.png",
        "rgb16.ppm",
        "rgb16.qoi",
        "rgb16.tif",
        "rgb16_raw.tif",
        "rgb48x32.jpg",
        "subsampled48x32.jpg",
        "text16.pgm",
        "turned16.png",
        "turned16.tif",
        "turned16.webp",
        "wide48x32.jpg",
        "ycck16.jpg",
    ];

    fn file(name: &str) -> &'static [u8] {
        FILES.iter().find(|f| f.0 == name).unwrap().1
    }

    fn colour(size: u16) -> Shape {
        Shape::new(size, 3).unwrap()
    }

    fn read(bytes: &[u8], shape: Shape) -> Result<Decoded> {
        decode(bytes, shape, &Limits::default())
    }

    fn reason(bytes: &[u8]) -> String {
        match read(bytes, colour(16)) {
            Err(Error::Undecodable(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The pattern of tests/images/README.md as a picture of 16 × 16.
    fn pattern() -> Picture {
        let at = |f: fn(usize, usize) -> usize| (0..256).map(move |i| f(i % 16, i / 16) as u8);
        let blue = at(|x, y| if (x < 8) == (y < 8) { 40 } else { 210 });
        Picture::from_samples(
            colour(16),
            at(|x, _| x * 17)
                .chain(at(|_, y| y * 17))
                .chain(blue)
                .collect(),
        )
        .unwrap()
    }

    fn psnr(a: &Picture, b: &Picture) -> f64 {
        let squares: f64 = a
            .samples()
            .iter()
            .zip(b.samples())
            .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
            .sum();
        10.0 * (65_025.0 * a.samples().len() as f64 / squares.max(1e-9)).log10()
    }

    fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
        [0, 1, 2].map(|p| picture.plane(p)[y * usize::from(picture.shape().size) + x])
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % n as u64) as usize
        }
    }

    #[test]
    fn a_progressive_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded() {
        let image = file("progressive48x32.jpg");
        let scans = |count: usize| {
            [
                &image[..image.len() - 2],
                &[0xff, 0xda, 0, 2].repeat(count),
                &image[image.len() - 2..],
            ]
            .concat()
        };
        assert!(reason(&scans(100)).contains("more than 100 scans"));
        assert!(read(image, colour(16)).is_ok());
    }

    #[test]
    fn an_image_over_a_limit_is_refused_by_a_message_that_names_the_setting() {
        let image = file("colour48x32.png");
        let refused = |limits: Limits| match decode(image, colour(16), &limits) {
            Err(Error::Undecodable(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let all = Limits::default();
        assert!(
            refused(Limits {
                max_pixels: 1_535,
                ..all
            })
            .contains("raise `pixels` under [limits]")
        );
        assert!(
            refused(Limits {
                max_bytes: 100,
                ..all
            })
            .contains("raise `file_bytes` under [limits]")
        );
        assert!(
            refused(Limits {
                max_alloc: 48 * 32 * 3 - 1,
                ..all
            })
            .contains("raise `memory` under [limits]")
        );
        assert!(
            decode(
                image,
                colour(16),
                &Limits {
                    max_pixels: 1_536,
                    max_alloc: 48 * 32 * 3,
                    ..all
                }
            )
            .is_ok()
        );
    }

    #[test]
    fn an_image_of_the_right_size_goes_through_unchanged() {
        for name in [
            "rgb16.png",
            "rgb16.bmp",
            "rgb16.ppm",
            "rgb16.pam",
            "rgb16.qoi",
            "rgb16.tif",
            "rgb16_raw.tif",
            "lossless16.webp",
        ] {
            let decoded = read(file(name), colour(16)).unwrap();
            assert_eq!(decoded.picture, pattern(), "{name}");
            assert!(!decoded.resized);
            assert_eq!((decoded.width, decoded.height), (16, 16));
        }
    }

    #[test]
    fn grey_goes_through_unchanged_and_is_repeated_for_three_planes() {
        let one = read(file("text16.pgm"), Shape::new(16, 1).unwrap())
            .unwrap()
            .picture;
        let expected: Vec<u8> = (0..256).map(|i| (i % 16 * 16 + i / 16) as u8).collect();
        assert_eq!(one.samples(), expected);
        let three = read(file("text16.pgm"), colour(16)).unwrap().picture;
        for plane in 0..3 {
            assert_eq!(three.plane(plane), expected);
        }
        let (png, pgm) = (file("grey16.png"), file("grey16.pgm"));
        assert_eq!(
            read(png, one.shape()).unwrap().picture,
            read(pgm, one.shape()).unwrap().picture
        );
    }

    #[test]
    fn colour_in_one_plane_is_the_rounded_mean() {
        let picture = read(file("rgb16.png"), Shape::new(16, 1).unwrap())
            .unwrap()
            .picture;
        for (i, &sample) in picture.samples().iter().enumerate() {
            let sum: f64 = pixel(&pattern(), i % 16, i / 16)
                .iter()
                .map(|&c| f64::from(c))
                .sum();
            assert_eq!(f64::from(sample), (sum / 3.0).round());
        }
    }

    #[test]
    fn alpha_lies_over_mid_grey() {
        let picture = read(file("alpha16.png"), colour(16)).unwrap().picture;
        assert_eq!(
            [0, 1, 2].map(|x| pixel(&picture, x, 3)),
            [[128; 3], [164, 114, 89], [200, 100, 50]]
        );
        let grey = read(file("greyalpha16.png"), colour(16)).unwrap().picture;
        assert_eq!(
            [0, 1, 2].map(|x| pixel(&grey, x, 3)),
            [[128; 3], [164; 3], [200; 3]]
        );
    }

    #[test]
    fn sixteen_bits_are_rounded_to_eight() {
        let grey = read(file("deep16.png"), Shape::new(16, 1).unwrap())
            .unwrap()
            .picture;
        assert_eq!(
            grey,
            read(file("text16.pgm"), grey.shape()).unwrap().picture
        );
        let rgb = read(file("deep_rgb16.png"), colour(16)).unwrap().picture;
        let rounded = |v: usize| (v as f64 * 255.0 / 65_535.0).round() as u8;
        for (x, y) in [(0, 0), (3, 5), (15, 15)] {
            assert_eq!(
                pixel(&rgb, x, y),
                [rounded(x * 4096 + 128), rounded(y * 4096 + 127), 255]
            );
        }
    }

    #[test]
    fn palettes_and_first_frames_are_read() {
        let first = read(file("first_frame16.png"), colour(16)).unwrap().picture;
        for name in ["palette16.png", "palette16.bmp", "animated16.gif"] {
            assert_eq!(
                read(file(name), colour(16)).unwrap().picture,
                first,
                "{name}"
            );
        }
        for name in ["animated16.png", "animated16.webp"] {
            assert_eq!(
                read(file(name), colour(16)).unwrap().picture,
                pattern(),
                "{name}"
            );
        }
    }

    /// Values of libjpeg by way of Pillow.
    #[test]
    fn four_inks_become_rgb() {
        let points = [(0, 0), (15, 0), (0, 15), (15, 15), (8, 3)];
        let near = |name: &str, expected: [[u8; 3]; 5]| {
            let picture = read(file(name), colour(16)).unwrap().picture;
            for ((x, y), expected) in points.into_iter().zip(expected) {
                let found = pixel(&picture, x, y);
                assert!(
                    found.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 3),
                    "{name} ({x}, {y}): {found:?} {expected:?}"
                );
            }
        };
        near(
            "cmyk16.jpg",
            [
                [0, 0, 40],
                [255, 0, 210],
                [0, 255, 210],
                [255, 255, 40],
                [136, 51, 210],
            ],
        );
        near(
            "ycck16.jpg",
            [
                [255, 148, 255],
                [0, 15, 227],
                [140, 255, 30],
                [123, 0, 0],
                [4, 151, 255],
            ],
        );
        near(
            "lossy16.webp",
            [
                [1, 1, 31],
                [243, 7, 214],
                [12, 249, 208],
                [254, 254, 49],
                [142, 55, 173],
            ],
        );
        near(
            "colour16.jpg",
            [
                [2, 0, 39],
                [253, 1, 210],
                [2, 255, 211],
                [255, 255, 41],
                [136, 50, 209],
            ],
        );
    }

    /// A JPEG with an Exif segment of one entry, the orientation.
    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut exif = vec![0xff, 0xd8, 0xff, 0xe1, 0, 34];
        exif.extend(b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        exif.extend(&jpeg[2..]);
        exif
    }

    /// Where the stored pixel (x, y) of a square of side 16 stands upright (Exif 2.3, table of
    /// orientations).
    fn upright(orientation: u8, x: usize, y: usize) -> (usize, usize) {
        match orientation {
            1 => (x, y),
            2 => (15 - x, y),
            3 => (15 - x, 15 - y),
            4 => (x, 15 - y),
            5 => (y, x),
            6 => (15 - y, x),
            7 => (15 - y, 15 - x),
            _ => (y, 15 - x),
        }
    }

    #[test]
    fn every_exif_orientation_is_applied() {
        for (name, slack) in [
            ("colour16.jpg", 0),
            ("colour48x32.jpg", 3),
            ("progressive48x32.jpg", 3),
        ] {
            let stored = read(file(name), colour(16)).unwrap();
            for orientation in 1..=8 {
                let turned = read(&with_orientation(file(name), orientation), colour(16)).unwrap();
                let sides = if orientation > 4 {
                    (stored.height, stored.width)
                } else {
                    (stored.width, stored.height)
                };
                assert_eq!((turned.width, turned.height), sides);
                for (x, y) in (0..256).map(|i| (i % 16, i / 16)) {
                    let (to_x, to_y) = upright(orientation, x, y);
                    let (a, b) = (
                        pixel(&stored.picture, x, y),
                        pixel(&turned.picture, to_x, to_y),
                    );
                    assert!(
                        a.iter().zip(b).all(|(&a, b)| a.abs_diff(b) <= slack),
                        "{name} {orientation} ({x}, {y})"
                    );
                }
            }
        }
        for name in ["turned16.tif", "turned16.png", "turned16.webp"] {
            let turned = read(file(name), colour(16)).unwrap().picture;
            assert_eq!(pixel(&turned, 15, 2), pixel(&pattern(), 2, 0), "{name}");
        }
    }

    /// The slow way: all samples by zune-jpeg, then the general resize.
    fn slow(bytes: &[u8], shape: Shape) -> Picture {
        let head = jpeg::Head::read(bytes).unwrap();
        scratch::with(Reservation::default(), |s| {
            let channels = jpeg::decode(bytes, &head, &mut s.raster).unwrap();
            let samples = from_raster(
                [head.width as usize, head.height as usize],
                channels,
                head.orientation,
                shape.into(),
                ycocg::round,
                s,
            )
            .unwrap();
            Picture::from_samples(shape, samples).unwrap()
        })
    }

    #[test]
    fn the_fast_jpeg_way_agrees_with_the_slow_one() {
        for name in [
            "colour48x32",
            "subsampled48x32",
            "wide48x32",
            "restart48x32",
            "rgb48x32",
            "grey48x32",
            "large200x140",
        ] {
            let bytes = file(&format!("{name}.jpg"));
            for size in [8, 14, 32, 64, 128] {
                assert!(
                    baseline::decode(bytes, size, &mut baseline::Buffers::default(), &mut |_| Ok(
                        ()
                    ))
                    .unwrap()
                    .is_some(),
                    "{name} is declined"
                );
                let shape = colour(size as u16);
                let found = psnr(&read(bytes, shape).unwrap().picture, &slow(bytes, shape));
                // Where chroma is subsampled it is interpolated differently; the pattern's hard
                // colour edges are the worst case.
                let least = if ["colour48x32", "rgb48x32", "grey48x32"].contains(&name) {
                    42.0
                } else {
                    32.0
                };
                assert!(found > least, "{name} at {size}: {found} dB");
            }
        }
    }

    #[test]
    fn a_jpeg_resembles_what_it_was_made_from() {
        let source = read(file("colour48x32.png"), colour(16)).unwrap().picture;
        for name in [
            "colour48x32.jpg",
            "subsampled48x32.jpg",
            "progressive48x32.jpg",
            "restart48x32.jpg",
            "rgb48x32.jpg",
        ] {
            let found = psnr(&source, &read(file(name), colour(16)).unwrap().picture);
            assert!(found > 29.0, "{name}: {found} dB");
        }
    }

    #[test]
    fn stripes_finer_than_the_target_become_grey_not_other_stripes() {
        let mut pgm = b"P5 600 450 255\n".to_vec();
        pgm.extend((0..600 * 450).map(|i| if i % 600 % 2 == 0 { 0 } else { 255 }));
        let picture = read(&pgm, Shape::new(64, 1).unwrap()).unwrap().picture;
        assert!(
            picture.samples().iter().all(|s| (110..=146).contains(s)),
            "{:?}",
            &picture.samples()[..64]
        );
    }

    #[test]
    fn resizing_keeps_a_flat_image_flat_and_the_mean_of_any() {
        let mut random = Random(5);
        for (width, height) in [(9, 300), (131, 67), (16, 17), (1, 1), (1000, 20)] {
            let header = format!("P5 {width} {height} 255\n").into_bytes();
            let flat = [header.clone(), vec![77; width * height]].concat();
            assert!(
                read(&flat, colour(16))
                    .unwrap()
                    .picture
                    .samples()
                    .iter()
                    .all(|&s| s == 77),
                "{width} x {height}"
            );
            let noise: Vec<u8> = (0..width * height)
                .map(|_| 64 + random.below(128) as u8)
                .collect();
            let mean = |samples: &[u8]| {
                samples.iter().map(|&s| f64::from(s)).sum::<f64>() / samples.len() as f64
            };
            let picture = read(
                &[header, noise.clone()].concat(),
                Shape::new(16, 1).unwrap(),
            )
            .unwrap()
            .picture;
            assert!(
                (mean(picture.samples()) - mean(&noise)).abs() < 4.0,
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn the_header_is_read_from_the_first_bytes_alone() {
        for &(name, bytes) in FILES {
            let whole = probe(bytes).unwrap();
            let decoded = read(bytes, colour(16)).unwrap();
            assert_eq!(
                (whole.format, whole.width.max(whole.height)),
                (decoded.format, decoded.width.max(decoded.height)),
                "{name}"
            );
            if whole.format != Format::Tiff {
                let enough = bytes.len() * 4 / 5;
                assert_eq!(probe(&bytes[..enough]).ok(), Some(whole), "{name}");
            }
        }
        let grey = |name| probe(file(name)).unwrap().grey;
        assert!(grey("grey16.png") && grey("grey48x32.jpg") && grey("text16.pgm"));
        assert!(!grey("rgb16.png") && !grey("colour16.jpg") && !grey("rgb16.tif"));
    }

    #[test]
    fn no_cut_file_is_half_a_picture() {
        for &(name, bytes) in FILES {
            for length in (0..bytes.len()).step_by(if bytes.len() > 1200 { 7 } else { 1 }) {
                let cut = read(&bytes[..length], colour(16));
                // Plain text cannot tell whether its last number is whole; see `whole`.
                let excused = name == "text16.pgm" && length + 4 > bytes.len();
                assert!(
                    cut.is_err() || excused,
                    "{name} cut to {length} of {}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn a_jpeg_whose_scan_begins_anew_is_damaged_and_never_shows_the_picture_before_it() {
        let good = file("large200x140.jpg");
        let scan = good.windows(2).position(|two| two == [0xff, 0xda]).unwrap();
        let header = &good[scan..scan + 14];
        let bad = [&good[..scan + 94], header, &good[scan + 94..]].concat();
        // The sample that is decoded first leaves its bytes in the buffers of this thread.
        for first in ["large200x140.jpg", "progressive48x32.jpg"] {
            decode_frame(file(first), [20, 14], 3, &Limits::default()).unwrap();
            let reason = read(&bad, colour(8)).unwrap_err().to_string();
            assert!(reason.contains("coded in more than one scan"), "{reason}");
            assert!(decode_frame(&bad, [20, 14], 3, &Limits::default()).is_err());
        }
    }

    #[test]
    fn a_cut_jpeg_stays_cut_when_an_end_is_put_after_it() {
        for name in [
            "colour48x32.jpg",
            "subsampled48x32.jpg",
            "grey48x32.jpg",
            "restart48x32.jpg",
            "large200x140.jpg",
        ] {
            let bytes = file(name);
            let ended = [&bytes[..bytes.len() - 40], &[0xff, 0xd9]].concat();
            assert!(read(&ended, colour(32)).is_err(), "{name}");
        }
    }

    #[test]
    fn flipped_bits_never_panic_past_the_boundary() {
        let mut random = Random(11);
        for &(name, bytes) in FILES {
            for round in 0..150 {
                let mut damaged = bytes.to_vec();
                for _ in 0..=round % 4 {
                    let at = random.below(damaged.len());
                    damaged[at] ^= 1 << random.below(8);
                }
                let limits = Limits {
                    max_pixels: 1 << 20,
                    max_alloc: 1 << 24,
                    ..Limits::default()
                };
                if let Err(error) = decode(&damaged, colour(16), &limits) {
                    assert!(matches!(error, Error::Undecodable(_)), "{name}: {error}");
                }
                assert!(!guard::is_guarded());
            }
        }
    }

    #[test]
    fn reasons_are_understood_by_a_user() {
        assert_eq!(reason(b""), "the file is empty");
        assert_eq!(reason(b"hello, this is a text"), "it is text, not an image");
        assert_eq!(
            reason(b"version https://git-lfs.github.com/spec/v1\n"),
            "it is a Git LFS pointer, not the image itself"
        );
        assert!(reason(&[7; 40]).contains("none of PNG"));
        let png = |width: u32, height: u32| {
            let mut bytes = file("rgb16.png").to_vec();
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            bytes
        };
        assert!(reason(&png(0, 16)).contains("no pixels"));
        assert!(reason(&png(60_000, 60_000)).contains("more than the limit"));
        assert!(reason(&png(9_000, 9_000)).contains("too few"));
        let png = file("rgb16.png");
        assert!(reason(&png[..png.len() - 12]).contains("cut off"));
    }

    #[test]
    fn limits_hold() {
        let refused = |limits: Limits| {
            decode(file("large200x140.jpg"), colour(16), &limits)
                .unwrap_err()
                .to_string()
        };
        assert!(
            refused(Limits {
                max_bytes: 100,
                ..Limits::default()
            })
            .contains("the limit is 100: raise `file_bytes`")
        );
        assert!(
            refused(Limits {
                max_pixels: 27_999,
                ..Limits::default()
            })
            .contains("more than the limit")
        );
        assert!(
            refused(Limits {
                max_side: 199,
                ..Limits::default()
            })
            .contains("more than the limit")
        );
        assert!(
            refused(Limits {
                max_alloc: 1_000,
                ..Limits::default()
            })
            .contains("of memory, which is more")
        );
        assert!(
            decode(
                file("rgb16.png"),
                colour(16),
                &Limits {
                    max_alloc: 700,
                    ..Limits::default()
                }
            )
            .is_err()
        );
    }

    #[test]
    fn shapes_and_sample_counts_are_checked() {
        for (size, planes) in [(6, 3), (258, 3), (33, 3), (32, 2), (32, 0)] {
            assert!(Shape::new(size, planes).is_err());
        }
        assert_eq!(Shape::new(28, 1).unwrap().len(), 784);
        assert!(Picture::from_samples(colour(16), vec![0; 767]).is_err());
    }

    #[test]
    fn a_netpbm_header_that_can_be_read_in_two_ways_does_not_slip_past_the_limits() {
        // A comment ends at a carriage return, too (pbm(5)): this has 8 x 8 pixels, and no 1 x 1.
        let comment = [&b"P5\n# a\r8 8 255\n1 1 255\n"[..], &[7; 64]].concat();
        let header = probe(&comment).unwrap();
        assert_eq!((header.width, header.height), (8, 8));
        // Words and lines say different things of the same header.
        let lines = [
            &b"P7\nWIDTH 8\nHEIGHT 8\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\n#\n"[..],
            b"# WIDTH 1\n",
            b"ENDHDR\n",
            &[7; 64],
        ]
        .concat();
        for bytes in [comment, lines] {
            let header = probe(&bytes).unwrap();
            let decoded = decode(&bytes, colour(8), &Limits::default()).unwrap();
            assert_eq!(
                (decoded.width, decoded.height),
                (header.width, header.height)
            );
        }
        let two = [&b"P7\nWIDTH 8\nHEIGHT 8\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\n#\rWIDTH 1\nENDHDR\n"[..], &[7; 64]].concat();
        assert_eq!(probe(&two).unwrap().width, 1);
        let reason = decode(&two, colour(8), &Limits::default())
            .unwrap_err()
            .to_string();
        assert!(reason.contains("other sides than its header"), "{reason}");
    }

    #[test]
    fn every_fixture_is_described_and_tested() {
        let described = include_str!("../../tests/images/README.md");
        for (name, _) in FILES {
            assert!(described.contains(&format!("| {name} |")), "{name}");
        }
        assert_eq!(
            described
                .lines()
                .filter(|l| l.contains("16") || l.contains("48x32") || l.contains("140"))
                .filter(|l| l.starts_with("| "))
                .count(),
            FILES.len()
        );
    }
}
