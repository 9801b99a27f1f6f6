//! `wsidx reduce`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use serde::Serialize;
use wsidx::{
    index::{Clustered, IndexedImage},
    monitor::Monitor as _,
    reduce::{Dissimilarity, Fate, dissimilarities, reduce},
};

use crate::{
    Exit, Outcome,
    args::{Format, ListFormat, Reduce},
    json::{self, Decimal, PathJson, lossy},
    session::Session,
    term::{self, Column, Table},
    tree::{Way, make_tree},
};

/// Images, their clusters and what becomes of them.
struct Reduced {
    images: Vec<IndexedImage>,
    found: Clustered,
    fates: Vec<Fate>,
    /// Of each class, and of all.
    dissimilarities: Option<(Vec<Dissimilarity>, Dissimilarity)>,
}

impl Reduced {
    fn number(&self, is: impl Fn(Fate) -> bool) -> usize {
        self.fates.iter().filter(|fate| is(**fate)).count()
    }

    /// Of clusters of several images.
    fn multiple(&self) -> Vec<Vec<u32>> {
        self.found
            .clusters
            .members()
            .into_iter()
            .filter(|members| members.len() > 1)
            .collect()
    }

    fn kept(&self) -> impl Iterator<Item = &IndexedImage> {
        self.images
            .iter()
            .zip(&self.fates)
            .filter(|(_, fate)| fate.stays())
            .map(|(image, _)| image)
    }
}

pub(crate) fn run(session: &Session, args: &Reduce) -> Outcome {
    let reader = session.reader(args.select.paths.first().map(PathBuf::as_path))?;
    let monitor = session.monitor(if args.format == ListFormat::Text {
        Format::Text
    } else {
        Format::Json
    });
    let images = reader.images(&args.select.selection(&reader)?)?;
    let options = args
        .clusters
        .options(&reader, &images, reader.rules()?.edges, &monitor)?;
    let found = reader.cluster(&images, &options, &monitor)?;
    let labels: Vec<_> = images.iter().map(|image| image.label.clone()).collect();
    let fates = reduce(&found.clusters, &labels, &found.spread);
    let dissimilarities = found
        .from_kept
        .as_ref()
        .map(|from_kept| dissimilarities(&found.clusters, &labels, &fates, from_kept));
    let reduced = Reduced {
        images,
        found,
        fates,
        dissimilarities,
    };
    for (target, way) in [(&args.link, Way::Link), (&args.copy, Way::Copy)] {
        if let Some(target) = target {
            let paths: Vec<&[u8]> = reduced.kept().map(|image| &*image.path).collect();
            monitor.stage("making the folder", None);
            make_tree(reader.root(), &paths, target, way, &|| monitor.cancelled())?;
        }
    }
    drop(monitor);
    match args.format {
        ListFormat::Text => text(session, &reduced)?,
        ListFormat::Json => json::write(&to_json(&reduced), Format::Json)?,
        ListFormat::Csv => csv(&reduced)?,
        ListFormat::Paths => paths(&reduced)?,
    }
    Ok(Exit::Fine)
}

#[derive(Serialize)]
struct ReduceJson {
    schema: &'static str,
    images: usize,
    clusters: usize,
    clusters_asked: Option<usize>,
    kept: usize,
    discarded: usize,
    influential: usize,
    columns: Option<[usize; 2]>,
    silhouette: Option<Decimal>,
    inertia: Option<Decimal>,
    modularity: Option<Decimal>,
    dissimilarity: Option<TableJson>,
    /// Of several images each.
    multiple: Vec<ClusterJson>,
    reduced: Vec<PathJson>,
}

#[derive(Serialize)]
struct TableJson {
    classes: Vec<DissimilarityJson>,
    all: DissimilarityJson,
}

#[derive(Serialize)]
struct DissimilarityJson {
    label: Option<String>,
    images: usize,
    kept: usize,
    groups: usize,
    average: Option<Decimal>,
}

impl From<&Dissimilarity> for DissimilarityJson {
    fn from(of: &Dissimilarity) -> Self {
        let Dissimilarity {
            label,
            images,
            kept,
            groups,
            average,
        } = of;
        let label = label.as_deref().map(lossy);
        Self {
            label,
            images: *images,
            kept: *kept,
            groups: *groups,
            average: average.map(Decimal),
        }
    }
}

#[derive(Serialize)]
struct ClusterJson {
    cluster: u32,
    influential: bool,
    images: Vec<ImageJson>,
}

#[derive(Serialize)]
struct ImageJson {
    #[serde(flatten)]
    path: PathJson,
    label: Option<String>,
    fate: &'static str,
    spread: Decimal,
}

fn to_json(reduced: &Reduced) -> ReduceJson {
    let Reduced {
        images,
        found,
        fates,
        dissimilarities,
    } = reduced;
    let image = |i: &u32| {
        let i = *i as usize;
        let label = images[i].label.as_deref().map(lossy);
        ImageJson {
            path: PathJson::new(&images[i].path),
            label,
            fate: fates[i].name(),
            spread: Decimal(found.spread[i]),
        }
    };
    let cluster = |members: &Vec<u32>| ClusterJson {
        cluster: found.clusters.own()[members[0] as usize],
        influential: fates[members[0] as usize] == Fate::Influential,
        images: members.iter().map(image).collect(),
    };
    ReduceJson {
        schema: "wsidx.reduce/1",
        images: images.len(),
        clusters: found.clusters.count(),
        clusters_asked: found.requested,
        kept: reduced.number(Fate::stays),
        discarded: reduced.number(|fate| !fate.stays()),
        influential: reduced.number(|fate| fate == Fate::Influential),
        columns: found.columns,
        silhouette: found
            .quality
            .silhouette
            .map(|(silhouette, _)| Decimal(silhouette)),
        inertia: found.quality.inertia.map(Decimal),
        modularity: found.quality.modularity.map(Decimal),
        dissimilarity: dissimilarities.as_ref().map(|(classes, all)| TableJson {
            classes: classes.iter().map(DissimilarityJson::from).collect(),
            all: all.into(),
        }),
        multiple: reduced.multiple().iter().map(cluster).collect(),
        reduced: reduced
            .kept()
            .map(|image| PathJson::new(&image.path))
            .collect(),
    }
}

/// Names as they are on disk.
fn csv(reduced: &Reduced) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(io::stdout().lock());
    out.write_record(["path", "label", "split", "cluster", "fate", "stays_for_it"])
        .map_err(json::csv_failed)?;
    for (i, (image, fate)) in reduced.images.iter().zip(&reduced.fates).enumerate() {
        let cluster = reduced.found.clusters.own()[i].to_string();
        let instead: &[u8] = match fate {
            Fate::Discarded(by) => &reduced.images[*by as usize].path,
            _ => b"",
        };
        let (label, split) = (
            image.label.as_deref().unwrap_or(b""),
            image.split.map_or("", wsidx::verdict::Split::name),
        );
        let record: [&[u8]; 6] = [
            &image.path,
            label,
            split.as_bytes(),
            cluster.as_bytes(),
            fate.name().as_bytes(),
            instead,
        ];
        out.write_record(record).map_err(json::csv_failed)?;
    }
    out.flush()
}

fn paths(reduced: &Reduced) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for image in reduced.kept() {
        out.write_all(&image.path)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn text(session: &Session, reduced: &Reduced) -> io::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let bold = clap::builder::styling::Style::new().bold();
    for members in reduced.multiple() {
        let influential = reduced.fates[members[0] as usize] == Fate::Influential;
        let title = if influential {
            ", influential: more than one label"
        } else {
            ""
        };
        writeln!(
            out,
            "{bold}{}{title}{bold:#}",
            term::counted(members.len() as u64, "image", "images")
        )?;
        table(reduced, &members).write(&mut out, term::width())?;
        writeln!(out)?;
    }
    if let Some((classes, all)) = &reduced.dissimilarities {
        writeln!(
            out,
            "{bold}average dissimilarity (1 - cosine) to the image kept, of groups of several images{bold:#}"
        )?;
        table_of_dissimilarities(classes, all).write(&mut out, term::width())?;
        writeln!(out)?;
    }
    summary(&mut out, reduced)?;
    out.flush()?;
    drop(out);
    if session.quiet {
        return Ok(());
    }
    writeln!(
        anstream::stderr(),
        "nothing was deleted; --format paths or csv lists what stays, --link and --copy make a folder of it"
    )
}

fn table(reduced: &Reduced, members: &[u32]) -> Table {
    let mut table = Table::new([
        Column::left("fate"),
        Column::right("from centre"),
        Column::left("label"),
        Column::path("path"),
    ]);
    for &i in members {
        let image = &reduced.images[i as usize];
        let label = term::label(image.label.as_deref());
        let spread = format!("{:.3}", reduced.found.spread[i as usize]);
        table.row(
            [
                reduced.fates[i as usize].name().to_owned(),
                spread,
                label,
                term::escape(&image.path),
            ]
            .map(Into::into),
        );
    }
    table
}

fn table_of_dissimilarities(classes: &[Dissimilarity], all: &Dissimilarity) -> Table {
    let titles = ["images", "kept", "groups", "dissimilarity"].map(Column::right);
    let mut table = Table::new([&[Column::left("label")], &titles[..]].concat());
    for (label, of) in classes
        .iter()
        .map(|class| (term::label(class.label.as_deref()), class))
        .chain([("all".to_owned(), all)])
    {
        let counts = [of.images, of.kept, of.groups].map(|n| term::count(n as u64));
        let average = of
            .average
            .map_or_else(|| "-".to_owned(), |average| format!("{average:.6}"));
        table.row(
            [&[label], &counts[..], &[average]]
                .concat()
                .into_iter()
                .map(Into::into)
                .collect::<Vec<_>>(),
        );
    }
    table
}

fn summary(out: &mut dyn io::Write, reduced: &Reduced) -> io::Result<()> {
    let found = &reduced.found;
    let count = |n: usize| term::count(n as u64);
    let several = reduced.multiple().len();
    let requested = match found.requested {
        Some(number) if number != found.clusters.count() => {
            format!(" ({} requested)", count(number))
        }
        _ => String::new(),
    };
    writeln!(out, "images       {}", count(reduced.images.len()))?;
    writeln!(
        out,
        "clusters     {}{requested}, {} of them of several images",
        count(found.clusters.count()),
        count(several)
    )?;
    writeln!(out, "kept         {}", count(reduced.number(Fate::stays)))?;
    writeln!(
        out,
        "discarded    {}",
        count(reduced.number(|fate| !fate.stays()))
    )?;
    writeln!(
        out,
        "influential  {}",
        count(reduced.number(|fate| fate == Fate::Influential))
    )?;
    if let Some([columns, of]) = found.columns {
        writeln!(out, "columns      {} of {}", count(columns), count(of))?;
    }
    if let Some((silhouette, of)) = found.quality.silhouette {
        let of = if of < reduced.images.len() {
            format!(" (of {} images)", count(of))
        } else {
            String::new()
        };
        writeln!(out, "silhouette   {silhouette:.4}{of}")?;
    }
    if let Some(inertia) = found.quality.inertia {
        writeln!(out, "inertia      {inertia:.6e}")?;
    }
    match found.quality.modularity {
        Some(modularity) => writeln!(out, "modularity   {modularity:.4}"),
        None => Ok(()),
    }
}
