//! Results → pictures in files: PNG and SVG.

mod heat_map;

use std::{io::Cursor, path::Path};

use wsidx::Error;

pub(crate) use self::heat_map::heat_map;

use crate::replace::replace;

/// Checks that a file's name ends as its format does.
///
/// # Errors
/// [`Error::Input`] naming the option.
pub(crate) fn check_ending(option: &str, file: Option<&Path>, ending: &str) -> Result<(), Error> {
    match file {
        Some(file) if file.extension().is_none_or(|of_file| !of_file.eq_ignore_ascii_case(ending)) => {
            Err(Error::Input(format!("{option} writes .{ending}; {} does not end in that", file.display())))
        }
        _ => Ok(()),
    }
}

/// Writes an image as a PNG, over a file of that name.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] where something other than a file is in the way.
pub(crate) fn write_png(out: &Path, image: &image::RgbImage) -> Result<(), Error> {
    let mut png = Cursor::new(Vec::new());
    let failed = |e: image::ImageError| Error::Io { doing: "writing", path: out.to_owned(), source: std::io::Error::other(e) };
    image.write_to(&mut png, image::ImageFormat::Png).map_err(failed)?;
    replace(out, png.get_ref())
}
