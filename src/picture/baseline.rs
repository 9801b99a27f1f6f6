//! Baseline JPEG bytes → its component planes, shrunk on the way to no less than a few times S.
//!
//! ITU-T T.81 Annexes B and F.2. This reads what most files are: sequential, Huffman coded, 8 bits,
//! one scan of one or three components, sampling factors of one or two, with or without restart
//! intervals. It declines everything else, which zune-jpeg then decodes. It is here because a
//! picture is much smaller than a photo: the planes come out at 1/2, 1/4 or 1/8 of their size, each
//! sample the exact mean of its box ([`super::idct`]), chroma is never brought to the size of luma,
//! and colour is converted after the last resize.

use super::{
    huffman::{Bits, Huffman, ZIGZAG},
    idct::{self, Full, Half, Quarter},
    jpeg,
    resize::{REST, Source},
    scratch::filled,
};
use crate::{Error, Result};

/// Buffers to be used again.
#[derive(Default)]
pub(super) struct Buffers {
    /// The scan without stuffed bytes and markers.
    pub(super) scan: Vec<u8>,
    pub(super) planes: [Vec<f32>; 3],
}

/// One component of the frame.
#[derive(Clone, Copy, Default)]
struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quantization: usize,
    dc: usize,
    ac: usize,
    /// Samples a side that a block becomes: 8, 4, 2 or 1.
    side: usize,
    /// Size of the plane in memory, whole blocks.
    width: usize,
    height: usize,
    /// What of it the image fills.
    right: f64,
    bottom: f64,
}

/// The tables and parameters that the scan needs.
#[derive(Default)]
struct Frame {
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<Box<Huffman>>; 4],
    ac: [Option<Box<Huffman>>; 4],
    restart: usize,
    width: usize,
    height: usize,
    components: Vec<Component>,
}

/// The planes of one image.
pub(super) struct Planes<'a> {
    list: [Source<'a>; 3],
    count: usize,
}

impl<'a> Planes<'a> {
    /// One plane (grey), or three of perhaps different sizes.
    pub(super) fn list(&self) -> &[Source<'a>] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

/// Decodes the planes of a file for a picture of `size` × `size`; `None` if the file is not of the
/// common kind. `reserve` is called with the bytes of memory that this takes, before they are
/// taken.
///
/// # Errors
/// [`Error::Undecodable`] if the scan is damaged or ends too early; what `reserve` returns.
pub(super) fn decode<'a>(
    bytes: &[u8],
    size: usize,
    buffers: &'a mut Buffers,
    reserve: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Option<Planes<'a>>> {
    let Some((mut frame, data)) = read_frame(bytes) else {
        return Ok(None);
    };
    let Some(mcus) = lay_out(&mut frame, size) else {
        return Ok(None);
    };
    let samples: usize = frame.components.iter().map(|c| c.width * c.height).sum();
    reserve((samples * size_of::<f32>() + data.len()) as u64)?;
    let Some(ends) = unstuff(data, &mut buffers.scan) else {
        return Ok(None);
    };
    let expected = if frame.restart == 0 {
        1
    } else {
        (mcus.0 * mcus.1).div_ceil(frame.restart)
    };
    if ends.len() != expected {
        return Ok(None);
    }
    let Some(scan) = Scan::new(&frame, mcus) else {
        return Ok(None);
    };
    let planes = &mut buffers.planes;
    for (c, plane) in frame.components.iter().zip(planes.iter_mut()) {
        filled(plane, c.width * c.height);
    }
    scan.decode(&buffers.scan, &ends, planes)
        .ok_or_else(|| Error::Undecodable("the JPEG data is damaged or cut off".into()))?;
    let source = |i: usize| {
        let c = frame.components.get(i).copied().unwrap_or_default();
        let samples = buffers.planes.get(i).map_or(&[][..], Vec::as_slice);
        Source {
            samples,
            channels: 1,
            width: c.width,
            height: c.height,
            right: c.right,
            bottom: c.bottom,
        }
    };
    Ok(Some(Planes {
        list: [source(0), source(1), source(2)],
        count: frame.components.len(),
    }))
}

/// Reads the markers to the first scan; gives the rest of the bytes after its header.
fn read_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let mut frame = Frame::default();
    for (marker, at, payload) in jpeg::segments(bytes, 2) {
        match marker {
            0xc0 | 0xc1 if frame.components.is_empty() => read_components(payload, &mut frame)?,
            0xc0..=0xc3 | 0xc5..=0xcf => return None,
            0xc4 => read_huffman(payload, &mut frame)?,
            0xdb => read_quantization(payload, &mut frame)?,
            0xdd => frame.restart = u16::from_be_bytes(*payload.first_chunk()?).into(),
            0xda => {
                read_scan(payload, &mut frame)?;
                return Some((frame, bytes.get(at.checked_add(payload.len())?..)?));
            }
            _ => {}
        }
    }
    None
}

fn read_components(payload: &[u8], frame: &mut Frame) -> Option<()> {
    let &[8, h1, h0, w1, w0, count @ (1 | 3), ref list @ ..] = payload else {
        return None;
    };
    if list.len() != usize::from(count) * 3 {
        return None;
    }
    (frame.width, frame.height) = (
        u16::from_be_bytes([w1, w0]).into(),
        u16::from_be_bytes([h1, h0]).into(),
    );
    for entry in list.chunks_exact(3) {
        let &[id, sampling, quantization] = entry else {
            return None;
        };
        // The scan of a single component is not interleaved: its sampling factors mean nothing
        // (T.81 §A.2.2).
        let sampling = if count == 1 { 0x11 } else { sampling };
        let (horizontal, vertical) = (usize::from(sampling >> 4), usize::from(sampling & 15));
        if !(1..=2).contains(&horizontal) || !(1..=2).contains(&vertical) {
            return None;
        }
        frame.components.push(Component {
            id,
            horizontal,
            vertical,
            quantization: quantization.into(),
            ..Component::default()
        });
    }
    Some(())
}

fn read_huffman(mut payload: &[u8], frame: &mut Frame) -> Option<()> {
    while let Some((&[class, ref counts @ ..], rest)) = payload.split_first_chunk::<17>() {
        let counts: &[u8; 16] = counts;
        let total = counts.iter().map(|&c| usize::from(c)).sum();
        let table = Huffman::new(counts, rest.get(..total)?)?;
        let tables = if class >> 4 == 0 {
            &mut frame.dc
        } else {
            &mut frame.ac
        };
        *tables.get_mut(usize::from(class & 15))? = Some(Box::new(table));
        payload = rest.get(total..)?;
    }
    payload.is_empty().then_some(())
}

fn read_quantization(mut payload: &[u8], frame: &mut Frame) -> Option<()> {
    while let Some((&kind, rest)) = payload.split_first() {
        let wide = kind >> 4 != 0;
        let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 })?;
        let value = |k: usize| {
            if wide {
                u16::from_be_bytes([values[2 * k], values[2 * k + 1]])
            } else {
                values[k].into()
            }
        };
        *frame.quantization.get_mut(usize::from(kind & 15))? = Some(std::array::from_fn(value));
        payload = rest;
    }
    Some(())
}

fn read_scan(payload: &[u8], frame: &mut Frame) -> Option<()> {
    let (&count, rest) = payload.split_first()?;
    let (list, spectral) = rest.split_at_checked(usize::from(count) * 2)?;
    if usize::from(count) != frame.components.len() || spectral != [0, 63, 0] {
        return None;
    }
    for (entry, component) in list.chunks_exact(2).zip(&mut frame.components) {
        let &[id, tables] = entry else { return None };
        if id != component.id {
            return None;
        }
        (component.dc, component.ac) = ((tables >> 4).into(), (tables & 15).into());
    }
    Some(())
}

/// Chooses each plane's scale and size; returns the columns and rows of MCUs.
fn lay_out(frame: &mut Frame, size: usize) -> Option<(usize, usize)> {
    let most = |f: fn(&Component) -> usize| frame.components.iter().map(f).max();
    let (h, v) = (most(|c| c.horizontal)?, most(|c| c.vertical)?);
    let mcus = (frame.width.div_ceil(8 * h), frame.height.div_ceil(8 * v));
    for c in &mut frame.components {
        let (width, height) = (frame.width * c.horizontal, frame.height * c.vertical);
        let enough =
            |n: &usize| width * n >= 8 * h * REST * size && height * n >= 8 * v * REST * size;
        c.side = [1, 2, 4].into_iter().find(enough).unwrap_or(8);
        (c.width, c.height) = (mcus.0 * c.horizontal * c.side, mcus.1 * c.vertical * c.side);
        (c.right, c.bottom) = (
            (width * c.side) as f64 / (8 * h) as f64,
            (height * c.side) as f64 / (8 * v) as f64,
        );
    }
    (mcus.0 > 0 && mcus.1 > 0).then_some(mcus)
}

/// Copies the scan without stuffed zeros (T.81 §B.1.1.5) and restart markers; returns where each
/// restart interval ends. `None` unless the scan ends with the end of the image.
fn unstuff(mut data: &[u8], out: &mut Vec<u8>) -> Option<Vec<usize>> {
    const ONES: u64 = u64::MAX / 255;
    let mut ends = Vec::new();
    out.clear();
    out.reserve(data.len().checked_add(8)?);
    loop {
        while let Some((chunk, rest)) = data.split_first_chunk::<8>() {
            // Some byte is 255 exactly if some byte of the complement is zero.
            let word = !u64::from_ne_bytes(*chunk);
            if word.wrapping_sub(ONES) & !word & (ONES << 7) != 0 {
                break;
            }
            out.extend_from_slice(chunk);
            data = rest;
        }
        let plain = data.iter().position(|&b| b == 0xff)?;
        out.extend_from_slice(data.get(..plain)?);
        let marker = *data.get(plain.checked_add(1)?)?;
        data = data.get(plain.checked_add(2)?..)?;
        match marker {
            0 => out.push(0xff),
            0xd0..=0xd7 => ends.push(out.len()),
            0xd9 => break,
            _ => return None,
        }
    }
    ends.push(out.len());
    out.extend_from_slice(&[0; 8]);
    Some(ends)
}

/// A component with its tables resolved.
struct Plan<'a> {
    component: Component,
    dc: &'a Huffman,
    ac: &'a Huffman,
    scale: [f32; 64],
}

/// Everything that decoding the scan needs.
struct Scan<'a> {
    plans: Vec<Plan<'a>>,
    mcus: (usize, usize),
    restart: usize,
}

impl<'a> Scan<'a> {
    fn new(frame: &'a Frame, mcus: (usize, usize)) -> Option<Self> {
        let plan = |&component: &Component| {
            let values = frame.quantization.get(component.quantization)?.as_ref()?;
            let scale = std::array::from_fn(|k| {
                let (u, v) = (usize::from(ZIGZAG[k] % 8), usize::from(ZIGZAG[k] / 8));
                (f64::from(values[k])
                    * idct::factor(component.side, u)
                    * idct::factor(component.side, v)) as f32
            });
            Some(Plan {
                component,
                dc: frame.dc.get(component.dc)?.as_deref()?,
                ac: frame.ac.get(component.ac)?.as_deref()?,
                scale,
            })
        };
        let plans = frame.components.iter().map(plan).collect::<Option<_>>()?;
        Some(Self {
            plans,
            mcus,
            restart: frame.restart,
        })
    }

    /// Decodes all MCUs; `None` if the data is damaged or too short.
    fn decode(&self, data: &[u8], ends: &[usize], planes: &mut [Vec<f32>; 3]) -> Option<()> {
        let mut ends = ends.iter().copied();
        let mut end = ends.next()?;
        let mut bits = Bits::new(data, 0);
        let mut predictions = [0; 3];
        let mut block = [0.0; 64];
        let mut left = self.restart;
        for row in 0..self.mcus.1 {
            for column in 0..self.mcus.0 {
                if self.restart != 0 && left == 0 {
                    if bits.past(end) {
                        return None;
                    }
                    bits = Bits::new(data, end);
                    (end, predictions, left) = (ends.next()?, [0; 3], self.restart);
                }
                left = left.wrapping_sub(1);
                for ((plan, prediction), plane) in self
                    .plans
                    .iter()
                    .zip(&mut predictions)
                    .zip(planes.iter_mut())
                {
                    plan.mcu(&mut bits, prediction, &mut block, plane, (column, row))?;
                }
            }
            if bits.past(end) {
                return None;
            }
        }
        Some(())
    }
}

impl Plan<'_> {
    /// The blocks of one component in one MCU.
    #[inline(always)]
    fn mcu(
        &self,
        bits: &mut Bits<'_>,
        prediction: &mut i32,
        block: &mut [f32; 64],
        plane: &mut [f32],
        at: (usize, usize),
    ) -> Option<()> {
        let Component {
            horizontal,
            vertical,
            side,
            width,
            ..
        } = self.component;
        for v in 0..vertical {
            for h in 0..horizontal {
                let start = (at.1 * vertical + v) * side * width + (at.0 * horizontal + h) * side;
                let out = plane.get_mut(start..)?;
                match side {
                    8 => self.block::<Full, 8>(bits, prediction, block, out)?,
                    4 => self.block::<Half, 4>(bits, prediction, block, out)?,
                    2 => self.block::<Quarter, 2>(bits, prediction, block, out)?,
                    _ => {
                        bits.block::<false>((self.dc, self.ac), &self.scale, prediction, block)?;
                        *out.first_mut()? = idct::sample(block[0]);
                    }
                }
            }
        }
        Some(())
    }

    #[inline(never)]
    fn block<P: idct::Pass<N>, const N: usize>(
        &self,
        bits: &mut Bits<'_>,
        prediction: &mut i32,
        block: &mut [f32; 64],
        out: &mut [f32],
    ) -> Option<()> {
        let width = self.component.width;
        if bits.block::<true>((self.dc, self.ac), &self.scale, prediction, block)? > 1 {
            idct::inverse::<P, N>(block, out, width);
            return Some(());
        }
        let flat = idct::sample(block[0]);
        for row in out.chunks_mut(width).take(N) {
            row.get_mut(..N)?.fill(flat);
        }
        Some(())
    }
}
