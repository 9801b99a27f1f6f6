//! Bytes of an image file → [`Picture`]: S × S samples of 8 bits.

mod baseline;
mod format;
mod header;
mod huffman;
mod idct;
mod jpeg;
mod raster;
mod resize;
mod scratch;
mod whole;

pub use format::Format;
pub use header::{Header, probe};

use crate::{Error, Result};
use image::metadata::Orientation;
use resize::Source;
use scratch::{Scratch, filled};
use std::{
    cell::Cell,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Everything that the samples of a picture depend on besides the file: decoders, their settings, filters. It changes when the samples do.
pub const DECODER: &str = "picture/1 jpeg-box zune-jpeg/0.5-strict image/0.25 box-to-2S catmull-rom alpha-over-128 grey-mean";

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
            return Err(Error::Input(format!("the picture size {size} is not an even number from 8 to 256")));
        }
        if !matches!(planes, 1 | 3) {
            return Err(Error::Input(format!("a picture has 1 or 3 planes, not {planes}")));
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

/// A decoded, upright image of a standard size: 8-bit samples, plane after plane (R, G, B, or grey), each S × S, row after row.
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
            return Err(Error::Input(format!("a picture of {shape:?} has {} samples, not {}", shape.len(), samples.len())));
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

/// What an image may cost; checked against the header before anything is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Width times height.
    pub max_pixels: u64,
    /// Width, and height.
    pub max_side: u32,
    /// Bytes of the decoded samples and of a decoder's own memory, each.
    pub max_alloc: u64,
}

impl Default for Limits {
    /// 256 MiB of file, 100 million pixels, 65,535 a side, 512 MiB of memory.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_pixels: 100_000_000, max_side: 65_535, max_alloc: 512 << 20 }
    }
}

impl Limits {
    fn check(&self, width: u32, height: u32, memory: u64) -> Result<()> {
        let pixels = u64::from(width).saturating_mul(height.into());
        if pixels > self.max_pixels || width.max(height) > self.max_side {
            return Err(Error::Undecodable(format!("{width} x {height} pixels are more than the limit allows")));
        }
        if memory > self.max_alloc {
            return Err(Error::Undecodable(format!("decoding {width} x {height} pixels would take more memory than the limit allows")));
        }
        Ok(())
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
    /// Whether the image had to be resized; if not, its samples are exact.
    pub resized: bool,
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside [`decode`], which catches the panics of decoders.
///
/// A panic that is caught still runs the process's panic hook, and that prints. The library leaves the hook alone; a program that wants
/// silence installs one that returns at once when this is true, and otherwise calls the hook it replaced.
#[must_use]
pub fn is_decoding() -> bool {
    DECODING.get()
}

/// Sets the mark for its lifetime, also when a panic ends it.
struct Mark(bool);

impl Mark {
    fn set() -> Self {
        Self(DECODING.replace(true))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        DECODING.set(self.0);
    }
}

/// An [`Error::Undecodable`] from another crate's message, which is cut to one printable line.
fn undecodable(what: &str, detail: &dyn Display) -> Error {
    let detail = detail.to_string();
    let line: String = detail.trim().chars().take_while(|&c| c != '\n').filter(|c| !c.is_control()).take(160).collect();
    Error::Undecodable(if line.is_empty() { what.to_owned() } else { format!("{what} ({line})") })
}

/// Decodes a file to a picture of a given shape.
///
/// # Errors
/// [`Error::Undecodable`] always, with the reason.
pub fn decode(bytes: &[u8], shape: Shape, limits: &Limits) -> Result<Decoded> {
    Shape::new(shape.size, shape.planes).map_err(|e| undecodable("no picture can have this shape", &e))?;
    if bytes.len() as u64 > limits.max_bytes {
        return Err(Error::Undecodable(format!("a file of {} bytes is larger than the limit", bytes.len())));
    }
    let header = probe(bytes)?;
    limits.check(header.width, header.height, 0)?;
    plausible(&header, bytes)?;
    whole::check(header.format, bytes)?;
    let mark = Mark::set();
    let result = catch_unwind(AssertUnwindSafe(|| scratch::with(|s| decode_with(bytes, &header, shape, limits, s))));
    drop(mark);
    result.unwrap_or_else(|_| Err(Error::Undecodable(format!("the {} decoder failed on it; the data is damaged", header.format.name()))))
}

/// Refuses a header that promises more pixels than the bytes can hold at the best compression that the format allows: two bits for 64
/// pixels (JPEG), or 1,032 to 1 (deflate).
fn plausible(header: &Header, bytes: &[u8]) -> Result<()> {
    let (pixels, length) = (u64::from(header.width).saturating_mul(header.height.into()), bytes.len() as u64);
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

fn decode_with(bytes: &[u8], header: &Header, shape: Shape, limits: &Limits, scratch: &mut Scratch) -> Result<Decoded> {
    if header.format == Format::Jpeg {
        return decode_jpeg(bytes, shape, limits, scratch);
    }
    let raster = raster::decode(bytes, header.format, limits, &mut scratch.raster)?;
    let samples = from_raster((raster.width, raster.height), raster.channels, raster.orientation, shape, scratch)?;
    finish(header.format, (raster.width, raster.height), raster.orientation, shape, samples)
}

fn decode_jpeg(bytes: &[u8], shape: Shape, limits: &Limits, scratch: &mut Scratch) -> Result<Decoded> {
    let head = jpeg::Head::read(bytes)?;
    limits.check(head.width, head.height, head.memory())?;
    let size = u32::from(shape.size);
    if (head.width, head.height) != (size, size)
        && let Some(planes) = baseline::decode(bytes, size as usize, &mut scratch.baseline)?
    {
        let area = size as usize * size as usize;
        let resized = filled(&mut scratch.resized, area * planes.list().len());
        for (plane, out) in planes.list().iter().zip(resized.chunks_exact_mut(area)) {
            resize::convolve(*plane, size as usize, &mut scratch.resizer, out)?;
        }
        let samples = upright(shape, &head, resized, area);
        return finish(Format::Jpeg, (head.width, head.height), head.orientation, shape, samples);
    }
    let channels = jpeg::decode(bytes, &head, &mut scratch.raster)?;
    let samples = from_raster((head.width, head.height), channels, head.orientation, shape, scratch)?;
    finish(Format::Jpeg, (head.width, head.height), head.orientation, shape, samples)
}

/// S × S component planes of a JPEG → the picture's samples: colour converted, turned upright.
fn upright(shape: Shape, head: &jpeg::Head, planes: &[u8], area: usize) -> Vec<u8> {
    let Some((first, rest)) = planes.split_at_checked(area) else { return Vec::new() };
    match rest.split_at_checked(area) {
        Some((second, third)) if !head.is_rgb() => resize::planes(shape, head.orientation, |i| resize::rgb(first[i], second[i], third[i])),
        Some((second, third)) => resize::planes(shape, head.orientation, |i| [first[i], second[i], third[i]]),
        None => resize::planes(shape, head.orientation, |i| [first[i]; 3]),
    }
}

/// The interleaved samples in `scratch.raster` → the picture's samples.
fn from_raster(sides: (u32, u32), channels: usize, orientation: Orientation, shape: Shape, scratch: &mut Scratch) -> Result<Vec<u8>> {
    let size = usize::from(shape.size);
    let (width, height) = (sides.0 as usize, sides.1 as usize);
    let short = || Error::Undecodable("the decoder gave too few samples".into());
    let samples = scratch.raster.get(..width * height * channels).ok_or_else(short)?;
    let ready = if (width, height) == (size, size) {
        samples
    } else {
        let source = resize::shrink(Source::whole(samples, channels, width, height), size, &mut scratch.shrunk);
        let out = filled(&mut scratch.resized, size * size * channels);
        resize::convolve(source, size, &mut scratch.resizer, out)?;
        &scratch.resized
    };
    Ok(match channels {
        3 => resize::planes(shape, orientation, |i| [ready[3 * i], ready[3 * i + 1], ready[3 * i + 2]]),
        _ => resize::planes(shape, orientation, |i| [ready[i]; 3]),
    })
}

fn finish(format: Format, stored: (u32, u32), orientation: Orientation, shape: Shape, samples: Vec<u8>) -> Result<Decoded> {
    let picture = Picture::from_samples(shape, samples).map_err(|e| undecodable("decoding failed", &e))?;
    let sideways =
        matches!(orientation, Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH);
    let (width, height) = if sideways { (stored.1, stored.0) } else { stored };
    let size = u32::from(shape.size);
    Ok(Decoded { picture, format, width, height, resized: stored != (size, size) })
}
