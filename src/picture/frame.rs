//! Bytes of an image file → a [`Frame`]: 8-bit samples of any width and height, for analyses of
//! files as they are.

use image::metadata::Orientation;

use super::{
    Format, Header, Limits, Picture, Scratch, Shape, decode_whole_jpeg, from_raster, guarded, jpeg,
    orientation, raster,
};
use crate::{Error, Result};

/// Most pixels of a frame.
pub const MOST_FRAME_PIXELS: usize = 1 << 24;

/// An upright rectangle of samples to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) planes: u8,
}

impl Grid {
    pub(super) fn area(self) -> usize {
        self.width * self.height
    }

    pub(super) fn len(self) -> usize {
        self.area() * usize::from(self.planes)
    }

    /// Width and height before it is turned upright.
    pub(super) fn stored(self, orientation: Orientation) -> [usize; 2] {
        if sideways(orientation) {
            [self.height, self.width]
        } else {
            [self.width, self.height]
        }
    }
}

impl From<Shape> for Grid {
    fn from(shape: Shape) -> Self {
        Self {
            width: shape.size.into(),
            height: shape.size.into(),
            planes: shape.planes,
        }
    }
}

/// Whether turning upright swaps width and height.
pub(super) fn sideways(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// A decoded, upright image of a given width and height: 8-bit samples, plane after plane (R, G, B,
/// or grey), row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    width: usize,
    height: usize,
    planes: u8,
    samples: Vec<u8>,
}

impl Frame {
    /// A frame of given samples.
    ///
    /// # Errors
    /// [`Error::Input`] if there are not `width` × `height` × `planes` samples, no pixels or more
    /// than [`MOST_FRAME_PIXELS`], or `planes` is neither 1 nor 3.
    pub fn from_samples([width, height]: [usize; 2], planes: u8, samples: Vec<u8>) -> Result<Self> {
        check([width, height], planes)?;
        if samples.len() != width * height * usize::from(planes) {
            return Err(Error::Input(format!(
                "{} samples are not {width} x {height} x {planes}",
                samples.len()
            )));
        }
        Ok(Self {
            width,
            height,
            planes,
            samples,
        })
    }

    /// Width and height.
    #[must_use]
    pub fn sides(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// 1 (grey) or 3 (red, green, blue).
    #[must_use]
    pub fn planes(&self) -> u8 {
        self.planes
    }

    /// All samples, plane after plane.
    #[must_use]
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The samples of one plane.
    ///
    /// # Panics
    /// If there is no such plane.
    #[must_use]
    pub fn plane(&self, index: usize) -> &[u8] {
        let area = self.width * self.height;
        &self.samples[index * area..(index + 1) * area]
    }
}

impl From<Picture> for Frame {
    fn from(picture: Picture) -> Self {
        let Shape { size, planes } = picture.shape();
        Self {
            width: size.into(),
            height: size.into(),
            planes,
            samples: picture.samples,
        }
    }
}

fn check([width, height]: [usize; 2], planes: u8) -> Result<()> {
    if !width
        .checked_mul(height)
        .is_some_and(|pixels| (1..=MOST_FRAME_PIXELS).contains(&pixels))
    {
        return Err(Error::Input(format!(
            "{width} x {height} is not a size from 1 to {MOST_FRAME_PIXELS} pixels"
        )));
    }
    match planes {
        1 | 3 => Ok(()),
        _ => Err(Error::Input(format!(
            "a frame has 1 or 3 planes, not {planes}"
        ))),
    }
}

/// Decodes a file to a given width and height, whatever its aspect ratio; resized as pictures are,
/// but with its colours as they then are.
///
/// # Errors
/// [`Error::Input`] for a size that no frame can have; [`Error::Undecodable`] with the reason.
pub fn decode_frame(
    bytes: &[u8],
    [width, height]: [usize; 2],
    planes: u8,
    limits: &Limits,
) -> Result<Frame> {
    check([width, height], planes)?;
    let grid = Grid {
        width,
        height,
        planes,
    };
    let samples = guarded(bytes, limits, |header, scratch| {
        let (sides, channels, orientation) = whole(bytes, header, limits, scratch)?;
        from_raster(sides, channels, orientation, grid, |colour| colour, scratch)
    })?;
    Frame::from_samples([width, height], planes, samples)
}

/// Decodes all pixels into `scratch.raster`: width and height as stored, channels, orientation.
fn whole(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<([usize; 2], usize, Orientation)> {
    if header.format == Format::Jpeg {
        let head = jpeg::Head::read(bytes)?;
        let channels = decode_whole_jpeg(bytes, &head, limits, scratch)?;
        return Ok((
            [head.width as usize, head.height as usize],
            channels,
            head.orientation,
        ));
    }
    let decoded = raster::decode(bytes, header, &mut scratch.raster)?;
    Ok((
        [decoded.width as usize, decoded.height as usize],
        decoded.channels,
        orientation::read(header.format, bytes),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::decode;

    const UPRIGHT: &[u8] = include_bytes!("../../tests/images/colour48x32.png");

    #[test]
    fn a_file_of_the_size_that_is_asked_for_keeps_its_samples() {
        let frame = decode_frame(UPRIGHT, [48, 32], 3, &Limits::default()).unwrap();
        let expected = image::load_from_memory(UPRIGHT).unwrap().into_rgb8();
        assert_eq!(frame.sides(), [48, 32]);
        for (i, pixel) in expected.pixels().enumerate() {
            assert_eq!([0, 1, 2].map(|p| frame.plane(p)[i]), pixel.0, "{i}");
        }
    }

    #[test]
    fn a_square_frame_is_the_picture_but_for_its_colours() {
        let shape = Shape::new(16, 3).unwrap();
        let picture = decode(UPRIGHT, shape, &Limits::default()).unwrap().picture;
        let frame = decode_frame(UPRIGHT, [16, 16], 3, &Limits::default()).unwrap();
        assert!(
            frame
                .samples()
                .iter()
                .zip(picture.samples())
                .all(|(&a, &b)| a.abs_diff(b) <= 3)
        );
        assert_eq!(Frame::from(picture.clone()).samples(), picture.samples());
    }

    #[test]
    fn a_file_that_lies_on_its_side_is_turned_upright_into_a_frame_that_is_no_square() {
        let stored =
            image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([10 * x as u8 + y as u8, 0, 0]));
        let mut png = std::io::Cursor::new(Vec::new());
        stored.write_to(&mut png, image::ImageFormat::Png).unwrap();
        for (code, orientation) in (1..=8).map(|code| (code, Orientation::from_exif(code).unwrap()))
        {
            let mut turned = image::DynamicImage::from(stored.clone());
            turned.apply_orientation(orientation);
            let file = with_orientation(png.get_ref(), code);
            let sides = [turned.width() as usize, turned.height() as usize];
            let frame = decode_frame(&file, sides, 3, &Limits::default()).unwrap();
            let red: Vec<u8> = turned.to_rgb8().pixels().map(|pixel| pixel.0[0]).collect();
            assert_eq!(frame.plane(0), red, "{orientation:?}");
        }
    }

    /// A PNG with an eXIf chunk after its header.
    fn with_orientation(png: &[u8], code: u8) -> Vec<u8> {
        let exif = [
            b"eXIf".as_slice(),
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
            &[code, 0, 0, 0],
            &[0; 4],
        ]
        .concat();
        let crc = exif.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        });
        let length = (exif.len() as u32 - 4).to_be_bytes();
        [
            &png[..33],
            &length,
            &exif,
            &(!crc).to_be_bytes(),
            &png[33..],
        ]
        .concat()
    }

    #[test]
    fn sizes_that_no_frame_can_have_are_refused() {
        for sides in [[0, 5], [1 << 20, 1 << 20], [usize::MAX, 2]] {
            assert!(matches!(
                decode_frame(UPRIGHT, sides, 3, &Limits::default()),
                Err(Error::Input(_))
            ));
        }
    }
}
