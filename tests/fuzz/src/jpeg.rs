//! JPEGs, decoded in three ways: the library's own decoder at a reduced scale, zune-jpeg at the
//! whole, and libjpeg-turbo (with the feature `libjpeg-turbo`).
//!
//! Half of the inputs are files as they are, half are parameters of a valid baseline JPEG that
//! [`File::write`] makes: sampling, restart intervals, quantization and coefficients whose samples
//! stay within 0..=255, so that the decoders may differ by rounding only. Held: where two ways give
//! a picture, it is the same within the bounds of [`BOUNDS`].

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use wsidx::picture::{Format, Limits, Shape, decode, decode_frame};

use crate::{images::LIMITS, images::MEMORY, joined, samples, within};

/// Mean absolute differences in grey levels that are allowed, by what is compared. zune-jpeg
/// interpolates chroma in pictures of one or two columns, too, where libjpeg-turbo repeats it; our
/// decoder of smaller pictures takes the means of chroma as it is stored, which the two others
/// interpolate.
const BOUNDS: &[(&str, f64)] = &[
    ("made, zune and libjpeg-turbo", 6.0),
    ("made, own and libjpeg-turbo", 6.0),
    ("made, own and zune", 6.0),
    ("file, zune and libjpeg-turbo", 16.0),
    ("file, own and libjpeg-turbo", 16.0),
    ("file, own and zune", 16.0),
];

/// The largest difference so far and the number of comparisons, by what is compared; new ones are
/// printed.
static SEEN: Mutex<BTreeMap<&'static str, (f64, u64)>> = Mutex::new(BTreeMap::new());

/// The first byte selects: whether the rest is a file or its parameters, and the size.
pub fn run(data: &[u8]) {
    let Some((&select, data)) = data.split_first() else { return };
    let made = select & 1 == 1;
    let bytes = if made { File::of(data).write() } else { data.to_vec() };
    if Format::sniff(&bytes) != Some(Format::Jpeg) {
        return;
    }
    let size = [8, 16, 32, 64][usize::from(select >> 1 & 3)];
    compare(&bytes, made, Shape::new(size, 3).expect("a shape"));
}

fn compare(bytes: &[u8], made: bool, shape: Shape) {
    let limits = Limits { max_pixels: 1 << 18, ..LIMITS };
    let own = within(MEMORY, || decode(bytes, shape, &limits));
    let Ok(header) = wsidx::picture::probe(bytes) else { return };
    let sides = [header.width as usize, header.height as usize];
    if made {
        assert!(own.is_ok(), "a valid JPEG is refused: {:?}", own.err());
    }
    let whole = if own.is_ok() { within(MEMORY, || decode_frame(bytes, sides, 3, &limits)).ok() } else { None };
    if let (Ok(own), Some(whole)) = (&own, &whole)
        && !is_saturated(whole.samples())
    {
        let through = through_netpbm(whole.sides(), &interleaved(whole.samples()), shape);
        // A picture that is turned when it is decoded has been turned by both.
        note(if made { "made, own and zune" } else { "file, own and zune" }, own.picture.samples(), through.samples());
    }
    #[cfg(feature = "libjpeg-turbo")]
    with_reference(bytes, made, shape, own.ok().as_ref(), whole.as_ref(), sides);
}

#[cfg(feature = "libjpeg-turbo")]
fn with_reference(
    bytes: &[u8],
    made: bool,
    shape: Shape,
    own: Option<&wsidx::picture::Decoded>,
    whole: Option<&wsidx::picture::Frame>,
    sides: [usize; 2],
) {
    let reference = crate::libjpeg::decode(bytes);
    assert!(!made || reference.is_some(), "libjpeg-turbo refuses a file that was made to be valid");
    let Some(reference) = reference else { return };
    // Those turned by Exif have other sides, and libjpeg-turbo goes on behind damage.
    if sides != [reference.width, reference.height] || bytes.windows(4).any(|four| four == b"Exif") || reference.warnings > 0 {
        return;
    }
    let rgb = if reference.channels == 1 { reference.samples.iter().flat_map(|&v| [v; 3]).collect() } else { reference.samples };
    if is_saturated(&rgb) || whole.is_some_and(|whole| is_saturated(whole.samples())) {
        return;
    }
    if let Some(whole) = whole {
        let what = if made { "made, zune and libjpeg-turbo" } else { "file, zune and libjpeg-turbo" };
        note(what, &interleaved(whole.samples()), &rgb);
    }
    if let Some(own) = own {
        let through = through_netpbm(sides, &rgb, shape);
        let what = if made { "made, own and libjpeg-turbo" } else { "file, own and libjpeg-turbo" };
        note(what, own.picture.samples(), through.samples());
    }
}

/// Whether many samples were outside 0..=255 and were cut off. A decoder that makes a smaller
/// picture cuts off means, and not what they are means of; libjpeg-turbo's own smaller pictures
/// then differ from the means of its whole one by as much as ours. Decoders also differ in what
/// their numbers can hold.
fn is_saturated(samples: &[u8]) -> bool {
    samples.iter().filter(|sample| matches!(sample, 0 | 255)).count() > samples.len() / 20
}

/// The picture that samples of red, green and blue become, by way of a file that loses nothing.
fn through_netpbm([width, height]: [usize; 2], rgb: &[u8], shape: Shape) -> wsidx::picture::Picture {
    let file = [format!("P6\n{width} {height}\n255\n").as_bytes(), rgb].concat();
    decode(&file, shape, &Limits::default()).expect("a sound file").picture
}

/// Plane after plane → pixel after pixel.
fn interleaved(planes: &[u8]) -> Vec<u8> {
    let area = planes.len() / 3;
    (0..area).flat_map(|at| [planes[at], planes[area + at], planes[2 * area + at]]).collect()
}

/// Holds two pictures against the bound of `what`.
fn note(what: &'static str, one: &[u8], other: &[u8]) {
    assert_eq!(one.len(), other.len());
    let mean = one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / one.len() as f64;
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (most, count) = seen.entry(what).or_default();
    *count += 1;
    if mean > *most {
        *most = mean;
        eprintln!("DIFFERENCE {what}: {mean:.3} after {count}");
    }
    drop(seen);
    let bound = BOUNDS.iter().find(|(name, _)| *name == what).map_or(0.0, |(_, bound)| *bound);
    assert!(mean <= bound, "{what} differ by {mean:.3} grey levels; the bound is {bound}");
}

/// How far samples of Y, Cb and Cr may be from 128, so that red, green and blue stay within
/// 0..=255: 80 + 1.772 · 24 < 128.
const MOST: [i32; 3] = [80, 24, 24];

/// Parameters of a baseline JPEG.
struct File<'a> {
    width: u16,
    height: u16,
    sampling: Vec<u8>,
    restart: u16,
    quantization: [u8; 64],
    coefficients: &'a [u8],
}

/// Bits, the highest first, with a zero byte behind each byte of ones.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.held = self.held << 1 | (value >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                self.out.push(self.held as u8);
                if self.held & 0xff == 0xff {
                    self.out.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }

    /// A symbol of a table whose codes all have `length` bits, then the bits of a number (T.81
    /// §F.1.2).
    fn number(&mut self, symbol: u32, length: u32, value: i32, size: u32) {
        self.push(symbol, length);
        let bits = if value < 0 { value - 1 } else { value };
        self.push(bits as u32 & ((1 << size) - 1), size);
    }

    fn align(&mut self) {
        while self.count != 0 {
            self.push(1, 1);
        }
    }
}

fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

impl<'a> File<'a> {
    fn of(data: &'a [u8]) -> Self {
        let (head, coefficients) = data.split_at(data.len().min(8));
        let at = |i: usize| head.get(i).copied().unwrap_or_default();
        let sampling = match at(2) % 8 {
            0 => vec![0x11],
            1 => vec![0x22],
            2 | 3 => vec![0x11, 0x11, 0x11],
            4 => vec![0x21, 0x11, 0x11],
            5 => vec![0x12, 0x11, 0x11],
            _ => vec![0x22, 0x11, 0x11],
        };
        let quantization = std::array::from_fn(|k| 1 + ((usize::from(at(4)) + k * usize::from(at(5) % 4)) % 40) as u8);
        Self {
            width: 16 + u16::from(at(0)),
            height: 16 + u16::from(at(1)),
            sampling,
            restart: u16::from(at(3) % 8),
            quantization,
            coefficients,
        }
    }

    /// The bytes of the file. Codes of the tables: 4 bits for the twelve sizes of DC, 8 for all of
    /// AC.
    fn write(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        let mut segment = |marker: u8, payload: &[u8]| {
            out.extend([0xff, marker]);
            out.extend((payload.len() as u16 + 2).to_be_bytes());
            out.extend_from_slice(payload);
        };
        segment(0xdb, &[&[0][..], &self.quantization].concat());
        let [h, w] = [self.height, self.width].map(u16::to_be_bytes);
        let mut frame = vec![8, h[0], h[1], w[0], w[1], self.sampling.len() as u8];
        self.sampling.iter().zip(1..).for_each(|(&factors, id)| frame.extend([id, factors, 0]));
        segment(0xc0, &frame);
        let counts = |length: usize, count: u8| (1..=16).map(move |at| if at == length { count } else { 0 });
        segment(0xc4, &std::iter::once(0).chain(counts(4, 12)).chain(0..12).collect::<Vec<u8>>());
        segment(0xc4, &std::iter::once(0x10).chain(counts(8, 255)).chain(0..255).collect::<Vec<u8>>());
        if self.restart > 0 {
            segment(0xdd, &self.restart.to_be_bytes());
        }
        let mut scan = vec![self.sampling.len() as u8];
        (1..=self.sampling.len() as u8).for_each(|id| scan.extend([id, 0]));
        scan.extend([0, 63, 0]);
        segment(0xda, &scan);
        out.extend(self.scan());
        out.extend([0xff, 0xd9]);
        out
    }

    fn scan(&self) -> Vec<u8> {
        let most = |shift: u32| self.sampling.iter().map(|f| usize::from(f >> shift & 15)).max().unwrap_or(1);
        let single = self.sampling.len() == 1;
        // A scan of one component is not interleaved: its units are blocks, whatever its factors
        // (T.81 §A.2.2).
        let (across, down) = if single { (1, 1) } else { (most(4), most(0)) };
        let mcus = usize::from(self.width).div_ceil(8 * across) * usize::from(self.height).div_ceil(8 * down);
        let (mut bits, mut source, mut before) = (Bits::default(), self.coefficients.iter().copied(), [0; 3]);
        for mcu in 0..mcus {
            if self.restart > 0 && mcu > 0 && mcu % usize::from(self.restart) == 0 {
                bits.align();
                bits.out.extend([0xff, 0xd0 + ((mcu / usize::from(self.restart) - 1) % 8) as u8]);
                before = [0; 3];
            }
            for ((factors, before), most) in self.sampling.iter().zip(&mut before).zip(MOST) {
                let blocks = if single { 1 } else { usize::from(factors >> 4) * usize::from(factors & 15) };
                (0..blocks).for_each(|_| self.block(&mut bits, &mut source, before, most));
            }
        }
        bits.align();
        bits.out
    }

    /// One block whose samples are at most `most` from 128: a coefficient adds at most a quarter of
    /// itself to any sample, and DC an eighth.
    fn block(&self, bits: &mut Bits, source: &mut impl Iterator<Item = u8>, before: &mut i32, most: i32) {
        let mut next = || source.next().unwrap_or_default();
        let level = i32::from(next() as i8) * most / 128;
        let dc = level * 8 / i32::from(self.quantization[0]);
        let size = size_of(dc - *before);
        bits.number(size, 4, dc - *before, size);
        *before = dc;
        let mut left = 4 * (most - level.abs()).max(0);
        let mut at = 1;
        for _ in 0..next() % 6 {
            let place = at + usize::from(next() % 40);
            if place > 63 {
                break;
            }
            let step = i32::from(self.quantization[place]);
            let value = (i32::from(next() as i8) * 4).clamp(-left, left) / step;
            if value == 0 {
                continue;
            }
            left -= value.abs() * step;
            let mut run = place - at;
            while run > 15 {
                bits.push(0xf0, 8);
                run -= 16;
            }
            let size = size_of(value);
            bits.number((run as u32) << 4 | size, 8, value, size);
            at = place + 1;
        }
        if at < 64 {
            bits.push(0, 8);
        }
    }
}

/// The sample JPEGs, and parameters of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let files = samples("images", &[".jpg"]);
    let mut seeds: Vec<Vec<u8>> = files.iter().flat_map(|(_, bytes)| [0, 6].map(|select| joined(select, &[bytes]))).collect();
    for sampling in 0..8 {
        let noise: Vec<u8> = (0..200_u32).map(|i| (i * i * 37 >> 3) as u8).collect();
        seeds.push(joined(
            1 + 2 * (sampling % 4),
            &[&[[40 + 20 * sampling, 30, sampling, sampling % 3, 7, 1, 0, 0].as_slice(), &noise].concat()],
        ));
    }
    seeds
}
