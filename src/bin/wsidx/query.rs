//! `wsidx query`.

use std::{io::Write as _, path::Path};

use serde::Serialize;
use wsidx::{
    Error,
    index::{Match, QueryResult, Texture},
};

use crate::{
    Exit, Outcome,
    args::{Format, Query},
    json::{self, ClusterJson, NeighborJson, lossy, short},
    session::Session,
    tell,
    term::{self, Column, Table},
};

#[derive(Serialize)]
struct QueryJson {
    schema: &'static str,
    query: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_b64: Option<String>,
    texture: &'static str,
    cluster: Option<ClusterJson>,
    neighbors: Vec<NeighborJson>,
}

pub(crate) fn run(session: &Session, args: &Query) -> Outcome {
    let reader = session.reader(args.images.first().map(std::path::PathBuf::as_path))?;
    let rules = reader.rules()?;
    let (rule, limits) = (rules.edges, rules.limits.of_images());
    let mut exit = Exit::Fine;
    let mut found = Vec::new();
    for image in &args.images {
        match reader.query(image, args.k, &limits, &rule) {
            Ok(result) => found.push((image.as_path(), result)),
            Err(Error::Undecodable(reason)) => {
                tell(&format!("{}: {reason}", image.display()));
                exit = Exit::Error;
            }
            Err(other) => return Err(other.into()),
        }
    }
    match args.output.format {
        Format::Text => text(&found)?,
        format => json::write_all(
            &found
                .iter()
                .map(|(image, result)| to_json(image, result))
                .collect::<Vec<_>>(),
            format,
        )?,
    }
    Ok(exit)
}

fn to_json(image: &Path, result: &QueryResult) -> QueryJson {
    let bytes = image.as_os_str().as_encoded_bytes();
    QueryJson {
        schema: "wsidx.query/1",
        query: lossy(bytes),
        query_b64: std::str::from_utf8(bytes)
            .is_err()
            .then(|| data_encoding::BASE64.encode(bytes)),
        texture: result.texture.name(),
        cluster: result.cluster().map(ClusterJson::new),
        neighbors: NeighborJson::list(&result.neighbors),
    }
}

fn text(found: &[(&Path, QueryResult)]) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for (i, (image, result)) in found.iter().enumerate() {
        if found.len() > 1 {
            writeln!(
                out,
                "{}{}:",
                if i > 0 { "\n" } else { "" },
                term::escape_os(image)
            )?;
        }
        match result.texture {
            Texture::Flat(others) => {
                let others = term::count(others as u64);
                writeln!(
                    out,
                    "flat: without contrast, it is compared only with the flat pictures of the dataset ({others}), for the same pixels"
                )?;
            }
            Texture::TooLittle => {
                writeln!(
                    out,
                    "too little texture to tell what repeats it; only the same pixels count as a near-duplicate"
                )?;
            }
            Texture::Enough => {}
        }
        if !result.neighbors.is_empty() {
            table(&result.neighbors).write(&mut out, term::width())?;
        } else if !matches!(result.texture, Texture::Flat(_)) {
            writeln!(out, "no neighbours: the index is empty (wsidx sync)")?;
        }
        if let Some(cluster) = result.cluster() {
            let images = term::counted(cluster.images, "image", "images");
            writeln!(
                out,
                "cluster {} of {images} (wsidx cluster)",
                short(&cluster.id)
            )?;
        }
    }
    Ok(())
}

/// Neighbours for people.
pub(crate) fn table(matches: &[Match]) -> Table {
    let columns = [
        Column::right("rank"),
        Column::right("similarity"),
        Column::right("distance"),
        Column::left("label"),
        Column::left("split"),
        Column::path("path"),
        Column::left("alignment"),
    ];
    let mut table = Table::new(columns);
    for (i, matched) in matches.iter().enumerate() {
        let [label, split, path] = term::place(&matched.occurrences).map(Into::into);
        table.row([
            (i + 1).to_string().into(),
            format!("{:.3}", matched.similarity).into(),
            format!("{:.3}", matched.distance).into(),
            label,
            split,
            path,
            alignment(matched).into(),
        ]);
    }
    table
}

/// How the image lies on a near-duplicate, or why the pair is none.
fn alignment(matched: &Match) -> String {
    match (&matched.pair, matched.needs) {
        (Some(pair), Some(_)) => pair.words(),
        _ if matched.too_little_texture => "too little texture to tell".to_owned(),
        _ => String::new(),
    }
}
