//! `wsidx sync`.

use std::{collections::BTreeMap, io::Write as _, path::Path};

use serde::Serialize;
use wsidx::{
    Error,
    dataset::{self, Skipped},
    index::{InitOptions, SyncOptions, SyncSummary, Writer, is_unfinished},
    monitor::Monitor,
};

use crate::{
    Exit, Outcome,
    args::{Format, Sync},
    init,
    json::{self, Decimal, PathJson},
    place,
    session::{Session, Timed},
    term, trust, versions,
};

/// Undecodable files that are named in text.
const NAMED: usize = 10;

#[derive(Serialize)]
struct SyncJson {
    schema: &'static str,
    added: u64,
    changed: u64,
    moved: u64,
    removed: u64,
    unchanged: u64,
    undecodable: Vec<ReasonJson>,
    skipped: Vec<ReasonJson>,
    contents: u64,
    paths: u64,
    generation: u64,
    seconds: BTreeMap<&'static str, Decimal>,
}

#[derive(Serialize)]
struct ReasonJson {
    #[serde(flatten)]
    path: PathJson,
    reason: String,
}

pub(crate) fn run(session: &Session, args: &Sync) -> Outcome {
    let progress = session.monitor(args.output.format);
    let monitor = Timed::new(&progress);
    let root = match session.root(args.paths.first().map(std::path::PathBuf::as_path)) {
        Err(Error::NoIndex { .. }) if args.init => {
            let root = session.new_root(None)?;
            init::make(session, &root, &InitOptions::default(), &monitor)?;
            root
        }
        Ok(root) if is_unfinished(&root) && (args.init || trust::is_known(&root)?) => {
            resume(&root, &monitor);
            init::make(session, &root, &InitOptions::default(), &monitor)?;
            root
        }
        found => found?,
    };
    let scopes = args
        .paths
        .iter()
        .map(|path| place::inside(&root, path))
        .collect::<Result<Vec<_>, _>>()?;
    // The root itself is everything.
    let scopes = if scopes.iter().any(Vec::is_empty) {
        Vec::new()
    } else {
        scopes
    };
    monitor.stage("opening", None);
    let mut writer = if scopes.is_empty() {
        session.restoring_writer(&root, args.wait, &monitor)?
    } else {
        session.writer(&root, args.wait, &monitor)?
    };
    let Some(summary) = take_in(session, &root, &mut writer, scopes, &monitor)? else {
        return Ok(Exit::Fine);
    };
    let seconds = monitor.seconds();
    drop(progress);
    match args.output.format {
        Format::Text => text(session, &root, &summary, &seconds)?,
        format => json::write(&to_json(&summary, &seconds), format)?,
    }
    writer.require_complete()?;
    // The process ends here: giving back the memory of a large state piece by piece would only take
    // time. Everything is on disk.
    std::mem::forget(writer);
    Ok(Exit::Fine)
}

/// Says that making an index was begun and is gone on with.
pub(crate) fn resume(root: &Path, monitor: &dyn Monitor) {
    let folder = dataset::index_folder(root);
    monitor.note(&format!(
        "making {} was begun and never finished; it is made now",
        folder.display()
    ));
}

/// Brings an index up to date: everything, or what is in `scopes`. `None` in a bare repository, of
/// which all branches were taken in.
pub(crate) fn take_in(
    session: &Session,
    root: &Path,
    writer: &mut Writer,
    scopes: Vec<Vec<u8>>,
    monitor: &dyn Monitor,
) -> Result<Option<SyncSummary>, Error> {
    if scopes.is_empty() && versions::take_in(session, root, writer, monitor)? {
        return Ok(None);
    }
    writer
        .sync(
            &SyncOptions {
                scopes,
                at: session.now(),
                ..SyncOptions::default()
            },
            monitor,
        )
        .map(Some)
}

fn to_json(summary: &SyncSummary, seconds: &[(&'static str, f64)]) -> SyncJson {
    let reasons = |list: &[Skipped]| {
        list.iter()
            .map(|s| ReasonJson {
                path: PathJson::new(&s.path),
                reason: s.reason.clone(),
            })
            .collect()
    };
    SyncJson {
        schema: "wsidx.sync/1",
        added: summary.added,
        changed: summary.changed,
        moved: summary.moved,
        removed: summary.removed,
        unchanged: summary.unchanged,
        undecodable: reasons(&summary.undecodable),
        skipped: reasons(&summary.skipped),
        contents: summary.contents,
        paths: summary.paths,
        generation: summary.generation,
        seconds: seconds
            .iter()
            .map(|&(name, s)| (name, Decimal(s)))
            .collect(),
    }
}

pub(crate) fn text(
    session: &Session,
    root: &Path,
    summary: &SyncSummary,
    seconds: &[(&'static str, f64)],
) -> std::io::Result<()> {
    let mut talk = anstream::stderr();
    for (what, list) in [
        ("cannot be read", &summary.undecodable),
        ("passed over", &summary.skipped),
    ] {
        if session.quiet || list.is_empty() {
            continue;
        }
        writeln!(talk, "{what}:")?;
        for Skipped { path, reason } in list.iter().take(NAMED) {
            writeln!(
                talk,
                "  {}: {}",
                term::escape(path),
                term::escape_text(reason)
            )?;
        }
        if list.len() > NAMED {
            writeln!(
                talk,
                "  … and {} more (wsidx sync --format json names all)",
                term::count((list.len() - NAMED) as u64)
            )?;
        }
    }
    let mut out = anstream::stdout();
    let counts = [
        ("added", summary.added),
        ("changed", summary.changed),
        ("moved", summary.moved),
        ("removed", summary.removed),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(what, n)| format!("{} {what}", term::count(*n)))
        .collect();
    let changes = if counts.is_empty() {
        "nothing changed".to_owned()
    } else {
        counts.join(", ")
    };
    let paths = term::counted(summary.paths, "image", "images");
    let contents = term::counted(summary.contents, "content", "contents");
    let took: f64 = seconds.iter().map(|(_, s)| s).sum();
    writeln!(
        out,
        "{changes}; {paths} with {contents} indexed, in {}",
        term::span(std::time::Duration::from_secs_f64(took))
    )?;
    if !session.quiet && summary.added > 0 && summary.paths > 0 {
        let all = term::escape_os(root);
        writeln!(
            talk,
            "next: wsidx check {all}    (near-duplicates, label conflicts and leaks), wsidx query IMG"
        )?;
    }
    if !session.quiet && summary.paths == 0 && summary.undecodable.is_empty() {
        writeln!(
            talk,
            "no image found: files are known by their names (png, jpg, jpeg, webp, gif, bmp, tiff, pnm, qoi; CIFAR batches, IDX, tar, Parquet)"
        )?;
    }
    Ok(())
}
