//! `wsidx calibrate`.

use std::{
    io::{self, Write as _},
    path::Path,
};

use serde::Serialize;
use wsidx::{
    Error, file,
    index::{Calibration, Impostor, POLICY_FILE, Recall},
    similarity::register::RULE,
    verdict::{Occurrence, set_calibration},
};

use crate::{
    Exit, Outcome,
    args::{Calibrate, Format},
    json::{self, Decimal, PathJson},
    session::Session,
    term::{self, Column, Table},
};

#[derive(Serialize)]
struct CalibrateJson {
    schema: &'static str,
    rule: &'static str,
    images: usize,
    contents: usize,
    rate: Decimal,
    threshold: Decimal,
    current_threshold: Decimal,
    current_rate: Decimal,
    near_duplicates: usize,
    near_identity_is_normal: bool,
    impostors: Vec<ImpostorJson>,
    copied: usize,
    too_little_texture: usize,
    recall: Vec<RecallJson>,
    written: bool,
}

#[derive(Serialize)]
struct ImpostorJson {
    image: PathJson,
    other: PathJson,
    similarity: Decimal,
}

#[derive(Serialize)]
struct RecallJson {
    copies: &'static str,
    changes: Vec<&'static str>,
    number: usize,
    found: Decimal,
    found_now: Decimal,
}

pub(crate) fn run(session: &Session, args: &Calibrate) -> Outcome {
    let reader = session.reader(None)?;
    let rule = reader.rules()?.edges;
    let monitor = session.monitor(args.output.format);
    let found = reader.calibrate(args.rate, &rule, &monitor)?;
    drop(monitor);
    if args.write {
        write(&reader.root().join(POLICY_FILE), &found)?;
    }
    match args.output.format {
        Format::Text => text(&found)?,
        format => json::write(&to_json(&found, args.write), format)?,
    }
    if !session.quiet {
        let mut talk = anstream::stderr();
        if args.write {
            writeln!(
                talk,
                "written: [edges] threshold = {} in {POLICY_FILE}",
                found.threshold
            )?;
        } else {
            writeln!(
                talk,
                "nothing was changed; --write puts the threshold into {POLICY_FILE}"
            )?;
        }
    }
    Ok(Exit::Fine)
}

fn write(file: &Path, found: &Calibration) -> Result<(), Error> {
    let before =
        String::from_utf8(file::read_optional(file, file::LONGEST_SETTINGS)?.unwrap_or_default());
    let before = before.map_err(|_| {
        Error::Input(format!(
            "{POLICY_FILE} is not UTF-8, which TOML is; save it as UTF-8"
        ))
    })?;
    file::write(
        file,
        set_calibration(&before, found.threshold, found.rate)?.as_bytes(),
    )
}

fn to_json(found: &Calibration, written: bool) -> CalibrateJson {
    let impostor = |impostor: &Impostor| ImpostorJson {
        image: PathJson::new(&impostor.image.path),
        other: PathJson::new(&impostor.other.path),
        similarity: Decimal(impostor.similarity.into()),
    };
    let recall = |recall: &Recall| RecallJson {
        copies: recall.kind.name,
        changes: recall.kind.needs.names().collect(),
        number: recall.copies,
        found: Decimal(recall.at(found.threshold)),
        found_now: Decimal(recall.at(found.current.0)),
    };
    CalibrateJson {
        schema: "wsidx.calibrate/1",
        rule: RULE,
        images: found.images[0],
        contents: found.images[1],
        rate: Decimal(found.rate),
        threshold: Decimal(found.threshold.into()),
        current_threshold: Decimal(found.current.0.into()),
        current_rate: Decimal(found.current.1),
        near_duplicates: found.near_duplicates,
        near_identity_is_normal: found.near_identity_is_normal(),
        impostors: found.impostors.iter().map(impostor).collect(),
        copied: found.copied[0],
        too_little_texture: found.copied[1],
        recall: found.recall.iter().map(recall).collect(),
        written,
    }
}

fn text(found: &Calibration) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let [images, contents] = found.images.map(|n| term::count(n as u64));
    let (current, rate) = found.current;
    let thousand = |rate: f64| format!("{} in 1,000", Short(1_000.0 * rate));
    writeln!(
        out,
        "threshold {}: of images without a copy here, {} are taken for near-duplicates",
        found.threshold,
        thousand(found.rate)
    )?;
    let now = if rate > 0.0 {
        thousand(rate)
    } else {
        format!("none of {images}")
    };
    writeln!(
        out,
        "now       {current}: {now}; measured on {images} of {contents} images"
    )?;
    let share = 100.0 * found.near_duplicates as f64 / found.images[0] as f64;
    writeln!(out, "{share:.1} % of them have a near-duplicate here now\n")?;
    if found.near_identity_is_normal() {
        let yellow = clap::builder::styling::AnsiColor::Yellow.on_default();
        writeln!(
            out,
            "{yellow}near-identity seems normal here:{yellow:#} either the dataset repeats itself much, or different items look the same"
        )?;
        writeln!(
            out,
            "(digits, forms, products), and then no threshold tells copies from others. Look at some pairs with `wsidx compare`,"
        )?;
        writeln!(
            out,
            "and let [check] in {POLICY_FILE} warn rather than reject, if they are different items.\n"
        )?;
    }
    impostors(&found.impostors, &mut out)?;
    let [copied, passed_over] = found.copied.map(|n| term::count(n as u64));
    writeln!(
        out,
        "\nfound of copies made of {copied} images ({passed_over} passed over: too little texture)"
    )?;
    recall(found).write(&mut out, term::width())
}

/// What decided, for a look.
fn impostors(impostors: &[Impostor], out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(
        out,
        "most similar of what cannot be a copy (an image upside down, and another one)"
    )?;
    let mut table = Table::new([
        Column::right("similarity"),
        Column::path("image"),
        Column::path("other"),
    ]);
    for Impostor {
        image,
        other,
        similarity,
    } in impostors
    {
        let name = |occurrence: &Occurrence| term::escape(&occurrence.path);
        table.row([
            format!("{similarity:.3}").into(),
            name(image).into(),
            name(other).into(),
        ]);
    }
    table.write(out, term::width())
}

fn recall(found: &Calibration) -> Table {
    let mut table = Table::new([
        Column::left("copies"),
        Column::right("now"),
        Column::right("at the threshold"),
    ]);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    for recall in &found.recall {
        table.row([
            recall.kind.name.into(),
            percent(recall.at(found.current.0)).into(),
            percent(recall.at(found.threshold)).into(),
        ]);
    }
    table
}

/// Up to two decimals.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.2}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}
