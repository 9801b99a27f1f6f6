//! `wsidx compare`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use wsidx::{
    Error,
    dataset::{Buffer, Images, container_of},
    file::{Content, Output},
    index::Reader,
    picture::{Limits, Picture, Shape, decode},
    similarity::{
        Comparison, Decision, EdgeRule, compare,
        register::{Needs, RULE},
        side_by_side,
    },
};

use crate::{
    Exit, Outcome,
    args::{Compare, Format},
    draw,
    json::{self, AlignmentJson, Decimal, PathJson},
    place,
    session::Session,
    term,
};

/// The side of pictures outside an index.
const SIZE: u16 = 64;
/// The side of the pictures that are drawn, and the longer and the shorter side of a panel, in
/// pixels.
const DRAWN: u16 = 256;
const PANEL: [u32; 2] = [384, 64];

/// One of the two images.
struct Image {
    name: PathBuf,
    /// For the comparison, and for people.
    picture: Picture,
    drawn: Picture,
    /// Width and height of the file.
    sides: [u32; 2],
}

#[derive(Serialize)]
struct CompareJson {
    schema: &'static str,
    a: ImageJson,
    b: ImageJson,
    size: u16,
    decision: &'static str,
    near_duplicate: bool,
    too_little_texture: bool,
    rule: &'static str,
    threshold: Decimal,
    similarity: Decimal,
    changes: Vec<&'static str>,
    refused: Vec<&'static str>,
    alignment: Option<AlignmentJson>,
    texture: Decimal,
    agreement: Decimal,
    colour: Decimal,
    /// The key of schema 1.
    #[serde(rename = "telling")]
    max_similarity: Decimal,
    scales: Vec<ScaleJson>,
}

#[derive(Serialize)]
struct ImageJson {
    #[serde(flatten)]
    path: PathJson,
    width: u32,
    height: u32,
    /// The key of schema 1.
    #[serde(rename = "telling")]
    max_similarity: Decimal,
}

#[derive(Serialize)]
struct ScaleJson {
    side: usize,
    similarity: Decimal,
    texture: Decimal,
    agreement: Decimal,
}

pub(crate) fn run(session: &Session, args: &Compare) -> Outcome {
    let out = output(args)?;
    let reader = match session.reader(Some(&args.a)) {
        Ok(reader) => Some(reader),
        Err(Error::NoIndex { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    let rule = reader.as_ref().map_or(Ok(EdgeRule::default()), |reader| {
        reader.rules().map(|rules| rules.edges)
    })?;
    let own = reader
        .as_ref()
        .map_or(Shape::new(SIZE, 3), |reader| Ok(reader.settings().shape()))?;
    let shape = Shape::new(args.size.unwrap_or(own.size), own.planes)?;
    let [a, b] = [
        read(&args.a, shape, reader.as_ref())?,
        read(&args.b, shape, reader.as_ref())?,
    ];
    let found = compare(&a.picture, &b.picture, &rule);
    if let Some(out) = &out {
        draw(out, &a, &b, &found)?;
    }
    match args.output.format {
        Format::Text => text([&a, &b], shape.size, &found, &rule)?,
        format => json::write(&to_json([&a, &b], shape.size, &found, &rule), format)?,
    }
    Ok(Exit::Fine)
}

/// A file or an item of a container; or, where there is none, what the index has under that path.
fn read(name: &Path, shape: Shape, reader: Option<&Reader>) -> Result<Image, Error> {
    let name_it = |e| match e {
        Error::Undecodable(reason) => Error::Input(format!("{}: {reason}", name.display())),
        other => other,
    };
    if let (Err(_), None, Some(reader)) = (fs::symlink_metadata(name), container_of(name), reader) {
        let path = place::inside(reader.root(), name)?;
        let stored = reader.stored(&path)?;
        if stored.picture.shape() != shape {
            return Err(Error::Input(format!(
                "{} is no file any more, and the index has it at {} × {} only; leave out --size",
                name.display(),
                reader.settings().size,
                reader.settings().size
            )));
        }
        return Ok(Image {
            name: name.to_owned(),
            drawn: stored.picture.clone(),
            picture: stored.picture,
            sides: stored.sides,
        });
    }
    let (mut buffer, limits) = (
        Buffer::default(),
        reader.map_or_else(Limits::default, Reader::limits),
    );
    Images::default()
        .read(name, &limits, &mut buffer)
        .map_err(name_it)?;
    let decoded = decode(&buffer.bytes, shape, &limits).map_err(name_it)?;
    let drawn = decode(&buffer.bytes, Shape::new(DRAWN, 3)?, &limits)
        .map_err(name_it)?
        .picture;
    Ok(Image {
        name: name.to_owned(),
        picture: decoded.picture,
        drawn,
        sides: [decoded.width, decoded.height],
    })
}

/// The file to draw the pair in; never one of the two images, whatever is in them.
fn output(args: &Compare) -> Result<Option<Output>, Error> {
    let Some(out) = &args.out else {
        return Ok(None);
    };
    let same = |name: &Path| {
        fs::canonicalize(out).is_ok_and(|out| fs::canonicalize(name).is_ok_and(|name| name == out))
    };
    if same(&args.a) || same(&args.b) {
        return Err(Error::Input(format!(
            "--out {} is one of the images to be compared; name another file",
            out.display()
        )));
    }
    place::output("--out", Some(out), Content::Png)
}

/// Writes the pair side by side, as a PNG.
fn draw(out: &Output, a: &Image, b: &Image, found: &Comparison) -> Result<(), Error> {
    let image = side_by_side(&a.drawn, &b.drawn, &found.pair, panel(a.sides));
    let (width, height) = (image.width as u32, image.height as u32);
    let rgb =
        image::RgbImage::from_raw(width, height, image.rgb).expect("three samples for each pixel");
    draw::write_png(out, &rgb.into())
}

/// A panel of about the shape of the image: its longer side fixed, the shorter one not too short to
/// be seen.
fn panel([width, height]: [u32; 2]) -> [usize; 2] {
    let [long, short] = PANEL;
    let longest = u64::from(width.max(height).max(1));
    [width, height].map(|side| {
        ((u64::from(side) * u64::from(long) + longest / 2) / longest).max(short.into()) as usize
    })
}

fn to_json([a, b]: [&Image; 2], size: u16, found: &Comparison, rule: &EdgeRule) -> CompareJson {
    let image = |image: &Image, max_similarity: f32| ImageJson {
        path: PathJson::new(image.name.as_os_str().as_encoded_bytes()),
        width: image.sides[0],
        height: image.sides[1],
        max_similarity: Decimal(max_similarity.into()),
    };
    let pair = &found.pair;
    let scale = |scale: &wsidx::similarity::register::Scale| ScaleJson {
        side: scale.side,
        similarity: Decimal(scale.similarity.into()),
        texture: Decimal(scale.texture.into()),
        agreement: Decimal(scale.agreement.into()),
    };
    CompareJson {
        schema: "wsidx.compare/1",
        a: image(a, found.max_similarity[0]),
        b: image(b, found.max_similarity[1]),
        size,
        decision: found.decision.name(),
        near_duplicate: found.decision.is_edge(),
        too_little_texture: found.decision == Decision::TooLittleTexture,
        rule: RULE,
        threshold: Decimal(rule.threshold.into()),
        similarity: Decimal(pair.similarity.into()),
        changes: pair.needs.names().collect(),
        refused: refused(found.decision).names().collect(),
        alignment: AlignmentJson::new(pair),
        texture: Decimal(pair.texture.into()),
        agreement: Decimal(pair.agreement.into()),
        colour: Decimal(pair.colour.into()),
        max_similarity: Decimal(pair.max_similarity.into()),
        scales: found.scales.iter().map(scale).collect(),
    }
}

/// The changes that the rule does not accept.
fn refused(decision: Decision) -> Needs {
    match decision {
        Decision::Refused(needs) => needs,
        _ => Needs::NOTHING,
    }
}

fn text(
    [a, b]: [&Image; 2],
    size: u16,
    found: &Comparison,
    rule: &EdgeRule,
) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    let pair = &found.pair;
    let percent = |share: f32| format!("{:.0} %", 100.0 * share);
    let image = |image: &Image| {
        format!(
            "{} ({} × {})",
            term::escape_os(&image.name),
            image.sides[0],
            image.sides[1]
        )
    };
    let mut lines = vec![
        ("A", image(a)),
        ("B", image(b)),
        ("verdict", verdict(found, rule)),
        ("A is of B", pair.words()),
    ];
    if pair.is_found() {
        let [across, down] = pair.scale();
        let [of_a, of_b] = pair.overlap.map(percent);
        let changes: Vec<&str> = pair.needs.names().collect();
        let changes = if changes.is_empty() {
            "none".to_owned()
        } else {
            changes.join(", ")
        };
        let scales = found
            .scales
            .iter()
            .map(|scale| format!("{:.3} at {} × {}", scale.similarity, scale.side, scale.side));
        lines.extend([
            ("overlap", format!("{of_a} of A, {of_b} of B")),
            (
                "scale",
                format!(
                    "{} × {} of B, rotated by {}°",
                    percent(across),
                    percent(down),
                    tenths(pair.rotation())
                ),
            ),
            ("changes", changes),
            (
                "agreement",
                format!(
                    "{:.3} of structure, {:.3} of colour",
                    pair.agreement, pair.colour
                ),
            ),
            (
                "texture",
                format!(
                    "{} of the frame: enough for a similarity of {:.3}",
                    percent(pair.texture),
                    pair.max_similarity
                ),
            ),
            ("by scale", scales.collect::<Vec<_>>().join(", ")),
        ]);
    }
    let [of_a, of_b] = found.max_similarity;
    lines.push((
        "own texture",
        format!("enough for {of_a:.3} (A) and {of_b:.3} (B)"),
    ));
    lines.push(("compared at", format!("{size} × {size}")));
    for (name, value) in lines {
        writeln!(out, "{name:12} {value}")?;
    }
    Ok(())
}

/// What the rule makes of the pair, and by how much.
fn verdict(found: &Comparison, rule: &EdgeRule) -> String {
    let (name, similarity, threshold) =
        (found.decision.name(), found.pair.similarity, rule.threshold);
    match found.decision {
        Decision::Same => name.to_owned(),
        Decision::Refused(needs) => {
            let needs: Vec<&str> = needs.names().collect();
            format!(
                "{name}: similarity {similarity:.3}, but [edges] in wsidx.toml does not accept {}",
                needs.join(", ")
            )
        }
        _ => format!("{name}: similarity {similarity:.3}, threshold {threshold}"),
    }
}

/// One decimal, and no sign before a zero.
fn tenths(v: f32) -> String {
    let rounded = (v * 10.0).round() / 10.0;
    format!("{:.1}", if rounded == 0.0 { 0.0 } else { rounded })
}
