//! `wsidx cluster`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Write as _},
    path::PathBuf,
};

use serde::Serialize;
use wsidx::{
    Error,
    file::Content,
    index::{GraphCluster, GraphClusters, IndexedImage},
    verdict::Split,
};

use crate::{
    Exit, Outcome,
    args::{Cluster, ClusterFormat, Format},
    draw,
    json::{self, Decimal, PathJson, hex, lossy, short},
    place,
    session::Session,
    term::{self, Column, Table},
};

pub(crate) fn run(session: &Session, args: &Cluster) -> Outcome {
    let drawing = place::output("--graph", args.graph.as_deref(), Content::Svg)?;
    let reader = session.reader(args.select.paths.first().map(PathBuf::as_path))?;
    let monitor = session.monitor(if args.format == ClusterFormat::Text {
        Format::Text
    } else {
        Format::Json
    });
    let selection = args.select.selection(&reader)?;
    let found = reader.graph_clusters(&selection, &reader.rules()?.edges, args.method, &monitor)?;
    drop(monitor);
    if let Some(out) = &drawing {
        out.write(graph(&found, args)?.as_bytes())?;
    }
    match args.format {
        ClusterFormat::Text => text(session, &found)?,
        ClusterFormat::Json => json::write(&to_json(&found, args), Format::Json)?,
        ClusterFormat::Jsonl => json::write_all(
            &found.clusters.iter().map(cluster_json).collect::<Vec<_>>(),
            Format::Jsonl,
        )?,
        ClusterFormat::Csv => csv(&reader.images(&selection)?, &found)?,
    }
    Ok(Exit::Fine)
}

/// The drawing: a point for each content of the clusters that are shown.
fn graph(found: &GraphClusters, args: &Cluster) -> Result<String, Error> {
    let (mut names, mut clusters, mut places) = (Vec::new(), Vec::new(), HashMap::new());
    for (number, cluster) in (0..).zip(&found.clusters) {
        for image in &cluster.images {
            places.entry(image.row).or_insert_with(|| {
                names.push(term::escape(&image.path));
                clusters.push(number);
                names.len() as u32 - 1
            });
        }
    }
    let edges: Vec<(u32, u32, f64)> = found
        .pairs
        .iter()
        .map(|(a, b, similarity)| (places[a], places[b], f64::from(*similarity)))
        .collect();
    let title = format!(
        "near-duplicates in {} clusters, {}",
        found.clusters.len(),
        args.method.name()
    );
    draw::graph_svg(
        &draw::Graph {
            names: &names,
            edges: &edges,
            clusters: &clusters,
        },
        &title,
    )
}

#[derive(Serialize)]
struct ClustersJson {
    schema: &'static str,
    method: &'static str,
    contents: usize,
    components: usize,
    modularity: Option<Decimal>,
    clusters: Vec<ClusterJson>,
}

#[derive(Serialize)]
struct ClusterJson {
    id: String,
    conflict: bool,
    leak: bool,
    images: Vec<ImageJson>,
}

#[derive(Serialize)]
struct ImageJson {
    #[serde(flatten)]
    path: PathJson,
    label: Option<String>,
    split: Option<&'static str>,
}

fn to_json(found: &GraphClusters, args: &Cluster) -> ClustersJson {
    ClustersJson {
        schema: "wsidx.cluster/1",
        method: args.method.name(),
        contents: found.contents,
        components: found.components,
        modularity: found.modularity.map(Decimal),
        clusters: found.clusters.iter().map(cluster_json).collect(),
    }
}

fn cluster_json(cluster: &GraphCluster) -> ClusterJson {
    let image = |image: &IndexedImage| ImageJson {
        path: PathJson::new(&image.path),
        label: image.label.as_deref().map(lossy),
        split: image.split.map(Split::name),
    };
    let [conflict, leak] = several(cluster);
    ClusterJson {
        id: hex(&cluster.id),
        conflict,
        leak,
        images: cluster.images.iter().map(image).collect(),
    }
}

/// Whether its images have several labels, and several splits.
fn several(cluster: &GraphCluster) -> [bool; 2] {
    let labels: BTreeSet<_> = cluster
        .images
        .iter()
        .filter_map(|image| image.label.as_ref())
        .collect();
    let splits: BTreeSet<_> = cluster
        .images
        .iter()
        .filter_map(|image| image.split)
        .collect();
    [labels.len() > 1, splits.len() > 1]
}

/// Names as they are on disk.
fn csv(images: &[IndexedImage], found: &GraphClusters) -> io::Result<()> {
    let clusters: BTreeMap<u32, String> = found
        .clusters
        .iter()
        .flat_map(|cluster| {
            cluster
                .images
                .iter()
                .map(|image| (image.row, hex(&cluster.id)))
        })
        .collect();
    let mut out = csv::Writer::from_writer(io::stdout().lock());
    out.write_record(["path", "label", "split", "cluster"])
        .map_err(json::csv_failed)?;
    for image in images {
        let split = image.split.map_or("", Split::name).as_bytes();
        let cluster = clusters
            .get(&image.row)
            .map_or("", String::as_str)
            .as_bytes();
        out.write_record([
            &image.path,
            image.label.as_deref().unwrap_or(b""),
            split,
            cluster,
        ])
        .map_err(json::csv_failed)?;
    }
    out.flush()
}

fn text(session: &Session, found: &GraphClusters) -> io::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let bold = clap::builder::styling::Style::new().bold();
    for (i, cluster) in found.clusters.iter().enumerate() {
        let [conflict, leak] = several(cluster);
        let notes = [
            (conflict, ", more than one label"),
            (leak, ", more than one split"),
        ];
        let notes: String = notes
            .iter()
            .filter(|note| note.0)
            .map(|note| note.1)
            .collect();
        let images = term::counted(cluster.images.len() as u64, "image", "images");
        writeln!(
            out,
            "{}{bold}cluster {}: {images}{notes}{bold:#}",
            if i > 0 { "\n" } else { "" },
            short(&cluster.id)
        )?;
        let mut table = Table::new([
            Column::left("label"),
            Column::left("split"),
            Column::path("path"),
        ]);
        for image in &cluster.images {
            let label = term::label(image.label.as_deref());
            table.row([
                label.into(),
                image.split.map_or("-", Split::name).into(),
                term::escape(&image.path).into(),
            ]);
        }
        table.write(&mut out, term::width())?;
    }
    out.flush()?;
    drop(out);
    if session.quiet {
        return Ok(());
    }
    let images: usize = found
        .clusters
        .iter()
        .map(|cluster| cluster.images.len())
        .sum();
    let counted = |n: usize, one, many| term::counted(n as u64, one, many);
    let modularity = found.modularity.map_or_else(String::new, |modularity| {
        format!("; modularity {modularity:.4}")
    });
    let (contents, components) = (
        counted(found.contents, "content", "contents"),
        counted(found.components, "component", "components"),
    );
    let (images, clusters) = (
        counted(images, "image", "images"),
        counted(found.clusters.len(), "cluster", "clusters"),
    );
    writeln!(
        anstream::stderr(),
        "{images} in {clusters}; the dataset has {contents}, {components} of several{modularity}"
    )
}
