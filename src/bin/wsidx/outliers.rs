//! `wsidx outliers`.

use std::io::{self, Write as _};

use serde::Serialize;
use wsidx::index::{Outlier, Outliers as Found};

use crate::{
    Exit, Outcome,
    args::{Format, Outliers},
    json::{self, Decimal, PathJson, hex, lossy},
    session::Session,
    term::{self, Column, Table},
};

#[derive(Serialize)]
struct OutliersJson {
    schema: &'static str,
    class: Option<String>,
    ranked: usize,
    outliers: Vec<OutlierJson>,
}

#[derive(Serialize)]
struct OutlierJson {
    #[serde(flatten)]
    path: PathJson,
    paths: usize,
    id: String,
    label: Option<String>,
    split: Option<&'static str>,
    distance: Decimal,
    lof: Decimal,
    percentile: Option<Decimal>,
    anomaly: bool,
}

pub(crate) fn run(session: &Session, args: &Outliers) -> Outcome {
    let reader = session.reader(None)?;
    let monitor = session.monitor(args.output.format);
    let by = args.by.into();
    let found = if args.per_class || args.label.is_some() {
        reader.class_outliers(
            args.label.as_deref().map(str::as_bytes),
            by,
            args.n,
            &monitor,
        )?
    } else {
        vec![reader.outliers(by, args.n, &monitor)?]
    };
    drop(monitor);
    match args.output.format {
        Format::Text => text(session, &found)?,
        format => json::write_all(&found.iter().map(to_json).collect::<Vec<_>>(), format)?,
    }
    Ok(Exit::Fine)
}

fn to_json(found: &Found) -> OutliersJson {
    let outlier = |outlier: &Outlier| {
        let first = outlier.occurrences.first();
        OutlierJson {
            path: PathJson::new(first.map_or(b"", |o| &o.path)),
            paths: outlier.occurrences.len(),
            id: hex(&outlier.id),
            label: first.and_then(|o| o.label.as_deref()).map(lossy),
            split: first.and_then(|o| o.split).map(wsidx::verdict::Split::name),
            distance: Decimal(outlier.distance),
            lof: Decimal(outlier.factor),
            percentile: outlier.percentile.map(Decimal),
            anomaly: outlier.anomaly,
        }
    };
    OutliersJson {
        schema: "wsidx.outliers/1",
        class: found.class.as_deref().map(lossy),
        ranked: found.ranked,
        outliers: found.outliers.iter().map(outlier).collect(),
    }
}

fn text(session: &Session, found: &[Found]) -> io::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let bold = clap::builder::styling::Style::new().bold();
    for (i, found) in found.iter().enumerate() {
        if let Some(class) = &found.class {
            let images = term::counted(found.ranked as u64, "image", "images");
            writeln!(
                out,
                "{}{bold}{}{bold:#} ({images})",
                if i > 0 { "\n" } else { "" },
                term::escape(class)
            )?;
        }
        if found.ranked > 0 {
            table(&found.outliers).write(&mut out, term::width())?;
        }
    }
    out.flush()?;
    drop(out);
    let few = found.iter().filter(|found| found.ranked == 0).count();
    if few == 0 || session.quiet {
        return Ok(());
    }
    let what = if found.len() == 1 {
        "the images".to_owned()
    } else {
        format!("{few} of {} classes", found.len())
    };
    writeln!(
        anstream::stderr(),
        "{what} have fewer than five others with contrast to be compared with"
    )
}

fn table(outliers: &[Outlier]) -> Table {
    let mut columns = vec![
        Column::right("rank"),
        Column::right("distance"),
        Column::right("LOF"),
        Column::right("percentile"),
        Column::left("label"),
        Column::left("split"),
        Column::path("path"),
    ];
    let marks = outliers.iter().any(|outlier| outlier.anomaly);
    columns.extend(marks.then(|| Column::left("")));
    let mut table = Table::new(columns);
    for (i, outlier) in outliers.iter().enumerate() {
        let [label, split, path] = term::place(&outlier.occurrences);
        let mut cells = vec![
            (i + 1).to_string(),
            format!("{:.3}", outlier.distance),
            format!("{:.2}", outlier.factor),
            outlier
                .percentile
                .map_or_else(|| "-".to_owned(), |p| format!("{p:.1}")),
            label,
            split,
            path,
        ];
        cells.extend(marks.then(|| if outlier.anomaly { "anomaly" } else { "" }.to_owned()));
        table.row(cells.into_iter().map(Into::into).collect::<Vec<_>>());
    }
    table
}
