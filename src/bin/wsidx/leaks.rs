//! `wsidx leaks`.

use std::io::{self, Write};

use serde::Serialize;
use wsidx::{
    index::{ClassLeaks, Leak, Leaks as Found, Nearest},
    verdict::{Label, Occurrence, Split},
};

use crate::{
    Exit, Outcome,
    args::{Format, Leaks},
    json::{self, Decimal, PathJson, lossy},
    session::Session,
    term::{self, Column, Table},
};

#[derive(Serialize)]
struct LeaksJson {
    schema: &'static str,
    split: &'static str,
    images: usize,
    leaking: usize,
    share: Decimal,
    flat: usize,
    classes: Vec<ClassJson>,
    leaks: Vec<LeakJson>,
    least_similar: Vec<NearestJson>,
    nearer_to_another_class: Vec<NearestJson>,
}

#[derive(Serialize)]
struct ClassJson {
    label: Option<String>,
    images: usize,
    leaking: usize,
    share: Decimal,
    conflicting: usize,
    nearer_to_another_class: usize,
}

#[derive(Serialize)]
struct ImageJson {
    #[serde(flatten)]
    path: PathJson,
    label: Option<String>,
}

#[derive(Serialize)]
struct LeakJson {
    #[serde(flatten)]
    image: ImageJson,
    similarity: Decimal,
    same_content: bool,
    conflict: bool,
    train: ImageJson,
}

#[derive(Serialize)]
struct NearestJson {
    #[serde(flatten)]
    image: ImageJson,
    distance: Decimal,
    train: ImageJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_class: Option<OwnJson>,
}

#[derive(Serialize)]
struct OwnJson {
    distance: Decimal,
    train: ImageJson,
}

pub(crate) fn run(session: &Session, args: &Leaks) -> Outcome {
    let split: Split = args.split.parse()?;
    let reader = session.reader(None)?;
    let monitor = session.monitor(args.output.format);
    let found = reader.leaks(split, args.n, &reader.rules()?.edges, &monitor)?;
    drop(monitor);
    match args.output.format {
        Format::Text => text(session, &found, split, args.n)?,
        format => json::write(&to_json(&found, split), format)?,
    }
    Ok(Exit::Fine)
}

fn share(class: &ClassLeaks) -> f64 {
    class.leaking as f64 / class.images.max(1) as f64
}

/// All classes as one.
fn total(found: &Found) -> ClassLeaks {
    found
        .classes
        .iter()
        .fold(ClassLeaks::default(), |sum, class| ClassLeaks {
            label: None,
            images: sum.images + class.images,
            leaking: sum.leaking + class.leaking,
            conflicting: sum.conflicting + class.conflicting,
            nearer_elsewhere: sum.nearer_elsewhere + class.nearer_elsewhere,
        })
}

fn to_json(found: &Found, split: Split) -> LeaksJson {
    let total = total(found);
    let text = |label: &Option<Label>| label.as_deref().map(lossy);
    let image = |occurrence: &Occurrence| ImageJson {
        path: PathJson::new(&occurrence.path),
        label: text(&occurrence.label),
    };
    let class = |class: &ClassLeaks| ClassJson {
        label: text(&class.label),
        images: class.images,
        leaking: class.leaking,
        share: Decimal(share(class)),
        conflicting: class.conflicting,
        nearer_to_another_class: class.nearer_elsewhere,
    };
    let leak = |leak: &Leak| LeakJson {
        image: image(&leak.image),
        similarity: Decimal(leak.similarity),
        same_content: leak.same_content,
        conflict: leak.conflict,
        train: image(&leak.other),
    };
    let nearest = |nearest: &Nearest| NearestJson {
        image: image(&nearest.image),
        distance: Decimal(nearest.distance),
        train: image(&nearest.other),
        own_class: nearest.own.as_ref().map(|(own, distance)| OwnJson {
            distance: Decimal(*distance),
            train: image(own),
        }),
    };
    LeaksJson {
        schema: "wsidx.leaks/1",
        split: split.name(),
        images: total.images,
        leaking: total.leaking,
        share: Decimal(share(&total)),
        flat: found.flat,
        classes: found.classes.iter().map(class).collect(),
        leaks: found.leaks.iter().map(leak).collect(),
        least_similar: found.isolated.iter().map(nearest).collect(),
        nearer_to_another_class: found.misplaced.iter().map(nearest).collect(),
    }
}

fn text(session: &Session, found: &Found, split: Split, n: usize) -> io::Result<()> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let of_classes = classes(found, split);
    of_classes.write(&mut out, term::width())?;
    head(
        &mut out,
        "near-identical to a training image",
        &found.leaks,
        n,
    )?;
    leaks(&found.leaks[..n.min(found.leaks.len())]).write(&mut out, term::width())?;
    head(
        &mut out,
        "least similar to the training images",
        &found.isolated,
        n,
    )?;
    isolated(&found.isolated).write(&mut out, term::width())?;
    if !found.misplaced.is_empty() {
        head(
            &mut out,
            "nearer to another class than to their own",
            &found.misplaced,
            n,
        )?;
        misplaced(&found.misplaced).write(&mut out, term::width())?;
    }
    out.flush()?;
    drop(out);
    if session.quiet {
        return Ok(());
    }
    let total = total(found);
    let images = term::counted(total.images as u64, "image", "images");
    let mut talk = format!(
        "{} of {images} of {split} ({:.1} %) have a near-identical training image",
        total.leaking,
        100.0 * share(&total)
    );
    if found.flat > 0 {
        talk.push_str(&format!(
            "; {} without contrast",
            term::count(found.flat as u64)
        ));
    }
    writeln!(anstream::stderr(), "{talk}")
}

fn head<T>(out: &mut dyn Write, title: &str, all: &[T], n: usize) -> io::Result<()> {
    let bold = clap::builder::styling::Style::new().bold();
    let more = if all.len() > n {
        format!(
            " (the first {n} of {}; -n shows more)",
            term::count(all.len() as u64)
        )
    } else {
        String::new()
    };
    writeln!(out, "\n{bold}{title}{bold:#}{more}")
}

fn classes(found: &Found, split: Split) -> Table {
    let columns = [
        Column::left("label"),
        Column::right(split.name()),
        Column::right("near-identical"),
        Column::right("share"),
        Column::right("under another label"),
        Column::right("nearer to another class"),
    ];
    let mut table = Table::new(columns);
    let mut row = |name: String, class: &ClassLeaks| {
        let counts = [class.conflicting, class.nearer_elsewhere].map(|n| term::count(n as u64));
        let [conflicting, nearer] = counts;
        let [images, leaking] = [class.images, class.leaking].map(|n| term::count(n as u64));
        let share = format!("{:.1} %", 100.0 * share(class));
        table.row([name, images, leaking, share, conflicting, nearer].map(Into::into));
    };
    found
        .classes
        .iter()
        .for_each(|class| row(term::label(class.label.as_deref()), class));
    if found.classes.len() > 1 {
        row("all".to_owned(), &total(found));
    }
    table
}

fn leaks(leaks: &[Leak]) -> Table {
    let columns = [
        Column::right("similarity"),
        Column::left("label"),
        Column::path("image"),
        Column::left("label"),
        Column::path("training image"),
    ];
    let mut table = Table::new(columns);
    for Leak {
        image,
        other,
        similarity,
        same_content,
        ..
    } in leaks
    {
        let similarity = if *same_content {
            "same bytes".to_owned()
        } else {
            format!("{similarity:.3}")
        };
        let cells = [
            similarity,
            term::label(image.label.as_deref()),
            term::escape(&image.path),
            term::label(other.label.as_deref()),
            term::escape(&other.path),
        ];
        table.row(cells.map(Into::into));
    }
    table
}

fn isolated(all: &[Nearest]) -> Table {
    let columns = [
        Column::right("distance"),
        Column::left("label"),
        Column::path("image"),
        Column::left("label"),
        Column::path("nearest"),
    ];
    let mut table = Table::new(columns);
    for Nearest {
        image,
        other,
        distance,
        ..
    } in all
    {
        let cells = [
            format!("{distance:.3}"),
            term::label(image.label.as_deref()),
            term::escape(&image.path),
            term::label(other.label.as_deref()),
            term::escape(&other.path),
        ];
        table.row(cells.map(Into::into));
    }
    table
}

fn misplaced(all: &[Nearest]) -> Table {
    let columns = [
        Column::right("distance"),
        Column::right("to its class"),
        Column::left("label"),
        Column::path("image"),
        Column::left("label"),
        Column::path("nearest"),
    ];
    let mut table = Table::new(columns);
    for Nearest {
        image,
        other,
        distance,
        own,
    } in all
    {
        let own = own
            .as_ref()
            .map_or_else(|| "-".to_owned(), |(_, distance)| format!("{distance:.3}"));
        let [image_label, other_label] =
            [image, other].map(|image| term::label(image.label.as_deref()));
        let cells = [
            format!("{distance:.3}"),
            own,
            image_label,
            term::escape(&image.path),
            other_label,
            term::escape(&other.path),
        ];
        table.row(cells.map(Into::into));
    }
    table
}
