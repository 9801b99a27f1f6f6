//! `wsidx status`.

use std::io::Write as _;

use serde::Serialize;
use wsidx::index::Status as Holds;

use crate::{
    Exit, Outcome,
    args::{Format, Status},
    json::{self, PathJson},
    session::Session,
    term,
};

#[derive(Serialize)]
struct StatusJson {
    schema: &'static str,
    root: PathJson,
    generation: u64,
    paths: u64,
    contents: u64,
    cached: u64,
    undecodable: u64,
    size: u16,
    planes: u8,
    wavelet: String,
    columns: usize,
    fitted: bool,
    crops: u32,
    bytes: BytesJson,
}

#[derive(Serialize)]
struct BytesJson {
    packs: u64,
    catalog: u64,
    view: u64,
}

pub(crate) fn run(session: &Session, args: &Status) -> Outcome {
    let reader = session.reader(None)?;
    let status = reader.status()?;
    let root = reader.root();
    if args.output.format != Format::Text {
        let [packs, catalog, view] = status.bytes;
        let Holds {
            generation,
            contents,
            cached,
            paths,
            undecodable,
            size,
            planes,
            wavelet,
            columns,
            fitted,
            crops: (crops, _),
            ..
        } = status;
        let root = PathJson::new(root.as_os_str().as_encoded_bytes());
        let bytes = BytesJson {
            packs,
            catalog,
            view,
        };
        let schema = "wsidx.status/1";
        let status = StatusJson {
            schema,
            root,
            generation,
            paths,
            contents,
            cached,
            undecodable,
            size,
            planes,
            wavelet,
            columns,
            fitted,
            crops,
            bytes,
        };
        json::write(&status, args.output.format)?;
        return Ok(Exit::Fine);
    }
    let mut out = anstream::stdout().lock();
    let colour = if status.planes == 1 { "grey" } else { "colour" };
    let basis = if status.fitted {
        "chosen from the data"
    } else {
        "built in, until there are 1,000 contents"
    };
    let total: u64 = status.bytes.iter().sum();
    let [packs, catalog, view] = status.bytes.map(term::bytes);
    let per = total
        .checked_div(status.cached)
        .map_or_else(String::new, |per| {
            format!(", {} a content", term::bytes(per))
        });
    let crops = match status.crops {
        (0, false) => "none".to_owned(),
        (0, true) => "none yet; run `wsidx sync`".to_owned(),
        (each, true) => format!("{each} a content"),
        (each, false) => format!("{each} a content, until the next `wsidx sync`"),
    };
    let cached = status.cached.saturating_sub(status.contents);
    let lines = [
        ("root", term::escape_os(root)),
        (
            "images",
            format!(
                "{} with {}",
                term::count(status.paths),
                term::counted(status.contents, "content", "contents")
            ),
        ),
        ("undecodable", term::count(status.undecodable)),
        ("cached, unused", term::count(cached)),
        (
            "pictures",
            format!(
                "{}×{}, {colour}, {} wavelet",
                status.size, status.size, status.wavelet
            ),
        ),
        (
            "search basis",
            format!("{} columns, {basis}", status.columns),
        ),
        ("rows of crops", crops),
        (
            "on disk",
            format!(
                "{} (packs {packs}, catalog {catalog}, view {view}){per}",
                term::bytes(total)
            ),
        ),
        ("generation", status.generation.to_string()),
    ];
    for (name, value) in lines {
        writeln!(out, "{name:15} {value}")?;
    }
    Ok(Exit::Fine)
}
