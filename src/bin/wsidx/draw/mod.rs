//! Results → pictures in files: PNG and SVG.

mod graph;
mod heat_map;
mod spectrum;

use std::{fmt::Write as _, io::Cursor};

use wsidx::{Error, file::Output};

pub(crate) use self::{
    graph::{Graph, MOST_LINES, graph_svg},
    heat_map::heat_map,
    spectrum::spectrum_svg,
};

use crate::term;

/// Writes an image as a PNG.
///
/// # Errors
/// As [`Output::write`].
pub(crate) fn write_png(out: &Output, image: &image::DynamicImage) -> Result<(), Error> {
    let mut png = Cursor::new(Vec::new());
    image
        .write_to(&mut png, image::ImageFormat::Png)
        .map_err(|e| Error::Input(format!("the drawing cannot be made a PNG: {e}")))?;
    out.write(png.get_ref())
}

/// A text within an SVG: controls are escaped as in a terminal, since they have no place in XML
/// either.
fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in term::escape_text(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// The head of an SVG of a width and height: its title, on white.
fn open_svg([width, height]: [f64; 2], title: &str) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif" font-size="11" fill="#222">"##
    );
    let _ = writeln!(svg, r##"<rect width="100%" height="100%" fill="#fff"/>"##);
    let _ = writeln!(svg, r#"<text x="8" y="16">{}</text>"#, escape_xml(title));
    svg
}
