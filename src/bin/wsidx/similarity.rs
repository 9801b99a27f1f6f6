//! `wsidx similarity`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use ndarray::Array2;
use serde::Serialize;
use wsidx::{
    Error,
    file::Content,
    index::{IndexedImage, Reader, Selection},
    monitor::Monitor,
    picture::Frame,
    similarity::{MatrixSummary, PairSimilarity, summarise},
};

use crate::{
    Exit, Outcome,
    args::{Format, Select, Similarity, Size},
    draw, json,
    json::{Decimal, PathJson},
    npy::npy,
    place,
    session::Session,
    term::{self, Column, Table},
};

impl Select {
    /// The selection that was asked for, in a dataset.
    pub(crate) fn selection(&self, reader: &Reader) -> Result<Selection, Error> {
        let inside = |path: &PathBuf| place::inside(reader.root(), path).map(Into::into);
        Ok(Selection {
            split: self.split.as_deref().map(str::parse).transpose()?,
            label: self.label.as_ref().map(|label| label.clone().into_bytes()),
            under: self.paths.iter().map(inside).collect::<Result<_, _>>()?,
        })
    }
}

/// The images and what came of them.
struct Found {
    rows: Vec<IndexedImage>,
    /// None where the rows were compared with each other.
    columns: Option<Vec<IndexedImage>>,
    matrix: Array2<f32>,
    summary: MatrixSummary,
}

impl Found {
    fn images(&self, pair: &PairSimilarity) -> [&IndexedImage; 2] {
        [
            &self.rows[pair.row],
            &self.columns.as_ref().unwrap_or(&self.rows)[pair.column],
        ]
    }
}

pub(crate) fn run(session: &Session, args: &Similarity) -> Outcome {
    let out = place::output("--out", args.out.as_deref(), Content::Npy)?;
    let heat_map = place::output("--heat-map", args.heat_map.as_deref(), Content::Png)?;
    let drawing = place::output("--graph", args.graph.as_deref(), Content::Svg)?;
    let reader = session.reader(args.select.paths.first().map(PathBuf::as_path))?;
    let monitor = session.monitor(args.output.format);
    let found = compare(&reader, args, &monitor)?;
    drop(monitor);
    if let Some(out) = &out {
        out.write(&npy(found.matrix.view()))?;
    }
    if let Some(out) = &heat_map {
        draw::write_png(out, &draw::heat_map(found.matrix.view()).into())?;
    }
    if let Some(out) = &drawing {
        out.write(graph(&found, args)?.as_bytes())?;
    }
    match args.output.format {
        Format::Text => text(&found, args)?,
        format => json::write(&to_json(&found, args), format)?,
    }
    Ok(Exit::Fine)
}

fn compare(reader: &Reader, args: &Similarity, monitor: &dyn Monitor) -> Result<Found, Error> {
    let selection = args.select.selection(reader)?;
    let rows = reader.images(&selection)?;
    let of_rows = frames(reader, &rows, args.size, monitor)?;
    let Some(against) = &args.against else {
        let matrix = args.measure.matrix(&of_rows, monitor)?;
        let summary = summarise(matrix.view(), true, args.extremes);
        return Ok(Found {
            rows,
            columns: None,
            matrix,
            summary,
        });
    };
    let columns = reader.images(&Selection {
        split: Some(against.parse()?),
        ..selection
    })?;
    let matrix = args.measure.cross(
        &of_rows,
        &frames(reader, &columns, args.size, monitor)?,
        monitor,
    )?;
    let summary = summarise(matrix.view(), false, args.extremes);
    Ok(Found {
        rows,
        columns: Some(columns),
        matrix,
        summary,
    })
}

/// The drawing of the pairs that are similar enough.
fn graph(found: &Found, args: &Similarity) -> Result<String, Error> {
    let above = args
        .above
        .unwrap_or(found.summary.mean + 3.0 * found.summary.sd);
    let pairs = found
        .matrix
        .indexed_iter()
        .filter(|((i, j), value)| i < j && f64::from(**value) >= above);
    let edges: Vec<(u32, u32, f64)> = pairs
        .map(|((i, j), &value)| (i as u32, j as u32, value.into()))
        .take(draw::MOST_LINES + 1)
        .collect();
    let names: Vec<String> = found
        .rows
        .iter()
        .map(|image| term::escape(&image.path))
        .collect();
    let title = format!("{}, lines from {above:.4}", args.measure);
    draw::graph_svg(
        &draw::Graph {
            names: &names,
            edges: &edges,
            clusters: &[],
        },
        &title,
    )
}

fn frames(
    reader: &Reader,
    images: &[IndexedImage],
    size: Option<Size>,
    monitor: &dyn Monitor,
) -> Result<Vec<Frame>, Error> {
    match size {
        Some(Size(sides)) => reader.frames_of_files(images, sides, monitor),
        None => reader.frames(images, monitor),
    }
}

#[derive(Serialize)]
struct SimilarityJson {
    schema: &'static str,
    measure: String,
    pairs: u64,
    mean: Decimal,
    sd: Decimal,
    most: Vec<PairJson>,
    least: Vec<PairJson>,
    isolated: Vec<PairJson>,
    rows: Vec<PathJson>,
    columns: Option<Vec<PathJson>>,
}

#[derive(Serialize)]
struct PairJson {
    similarity: Decimal,
    a: PathJson,
    b: PathJson,
}

fn to_json(found: &Found, args: &Similarity) -> SimilarityJson {
    let paths = |images: &[IndexedImage]| {
        images
            .iter()
            .map(|image| PathJson::new(&image.path))
            .collect()
    };
    let pairs = |pairs: &[PairSimilarity]| {
        let pair = |pair: &PairSimilarity| {
            let [a, b] = found.images(pair).map(|image| PathJson::new(&image.path));
            PairJson {
                similarity: Decimal(pair.similarity.into()),
                a,
                b,
            }
        };
        pairs.iter().map(pair).collect()
    };
    let MatrixSummary {
        pairs: count,
        mean,
        sd,
        most,
        least,
        nearest,
    } = &found.summary;
    SimilarityJson {
        schema: "wsidx.similarity/1",
        measure: args.measure.to_string(),
        pairs: *count,
        mean: Decimal(*mean),
        sd: Decimal(*sd),
        most: pairs(most),
        least: pairs(least),
        isolated: pairs(&nearest[..nearest.len().min(args.extremes)]),
        rows: paths(&found.rows),
        columns: found.columns.as_deref().map(paths),
    }
}

fn text(found: &Found, args: &Similarity) -> io::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let MatrixSummary {
        pairs,
        mean,
        sd,
        most,
        least,
        nearest,
    } = &found.summary;
    let images = match &found.columns {
        None => term::counted(found.rows.len() as u64, "image", "images"),
        Some(columns) => {
            format!(
                "{} × {}",
                term::count(found.rows.len() as u64),
                term::counted(columns.len() as u64, "image", "images")
            )
        }
    };
    writeln!(out, "measure             {}", args.measure)?;
    writeln!(
        out,
        "images              {images}: {}",
        term::counted(*pairs, "pair", "pairs")
    )?;
    writeln!(out, "mean                {mean:.4}")?;
    writeln!(out, "standard deviation  {sd:.4}")?;
    let isolated = &nearest[..nearest.len().min(args.extremes)];
    let tables = [
        ("most similar", ["image", "and"], &most[..]),
        ("least similar", ["image", "and"], least),
    ];
    let tables = tables.into_iter().chain([(
        "most isolated",
        ["image", "the most similar one to it"],
        isolated,
    )]);
    for (title, heads, pairs) in tables.filter(|(_, _, pairs)| !pairs.is_empty()) {
        let bold = clap::builder::styling::Style::new().bold();
        writeln!(out, "\n{bold}{title}{bold:#}")?;
        let mut table = Table::new([
            Column::right("similarity"),
            Column::path(heads[0]),
            Column::path(heads[1]),
        ]);
        for pair in pairs {
            let [a, b] = found.images(pair).map(|image| term::escape(&image.path));
            table.row([format!("{:.4}", pair.similarity).into(), a.into(), b.into()]);
        }
        table.write(&mut out, term::width())?;
    }
    out.flush()
}
