//! `wsidx verify`, `rebuild` and `gc`.

use std::{fs, io::Write as _, path::Path};

use serde::Serialize;
use wsidx::{Error, dataset, index::InitOptions};

use crate::{
    Exit, Outcome,
    args::{Format, Gc, Output, Rebuild, Sync, Verify},
    init, json,
    session::Session,
    sync, term, trust,
};

#[derive(Serialize)]
struct VerifyJson {
    schema: &'static str,
    contents: u64,
    files: u64,
    stale: u64,
    problems: Vec<String>,
}

pub(crate) fn verify(session: &Session, args: &Verify) -> Outcome {
    let monitor = session.monitor(args.output.format);
    let mut writer = session.writer(&session.root(None)?, args.wait, &monitor)?;
    let found = writer.verify(args.files, &writer.limits(), &monitor)?;
    drop(monitor);
    let exit = if found.problems.is_empty() { Exit::Fine } else { Exit::Findings };
    if args.output.format != Format::Text {
        let (contents, files, stale) = (found.contents, found.files, found.stale);
        json::write(&VerifyJson { schema: "wsidx.verify/1", contents, files, stale, problems: found.problems }, args.output.format)?;
        return Ok(exit);
    }
    let mut out = anstream::stdout().lock();
    for problem in &found.problems {
        writeln!(out, "{}", term::escape_text(problem))?;
    }
    let contents = term::counted(found.contents, "content", "contents");
    let files = if args.files { format!(" and {}", term::counted(found.files, "file", "files")) } else { String::new() };
    let problems =
        if found.problems.is_empty() { "all sound".to_owned() } else { term::counted(found.problems.len() as u64, "problem", "problems") };
    writeln!(out, "{contents}{files} verified: {problems}")?;
    if found.stale > 0 {
        writeln!(out, "{} changed or left since the last sync (wsidx sync)", term::counted(found.stale, "file", "files"))?;
    }
    Ok(exit)
}

pub(crate) fn rebuild(session: &Session, args: &Rebuild) -> Outcome {
    let monitor = session.monitor(Format::Text);
    let root = session.root(None)?;
    if !trust::is_known(&root)? {
        return replace(session, &root, args.wait);
    }
    let mut writer = session.writer(&root, args.wait, &monitor)?;
    let published = writer.rebuild(args.refit, session.now(), &monitor)?;
    drop(monitor);
    let contents = term::counted(writer.state().stored(), "content", "contents");
    let fitted = if published.fitted { "; columns chosen anew" } else { "" };
    writeln!(anstream::stdout(), "catalog and view made again from {contents}{fitted}")?;
    writer.require_complete()?;
    Ok(Exit::Fine)
}

/// Makes an index that came from elsewhere anew from the images: the pictures that it holds may be made up, too.
fn replace(session: &Session, root: &Path, wait: bool) -> Outcome {
    session.vouch_no_more();
    let monitor = session.monitor(Format::Text);
    let (folder, aside) = (dataset::index_folder(root), init::set_aside(root));
    let move_aside =
        |from: &Path, to: &Path| fs::rename(from, to).map_err(|source| Error::Io { doing: "moving aside", path: from.to_owned(), source });
    let old = session.writer(root, wait, &monitor)?;
    let options = InitOptions { size: Some(old.settings().size), wavelet: Some(old.settings().wavelet.parse()?) };
    init::remove_set_aside(root)?;
    move_aside(&folder, &aside)?;
    let made = init::make(session, root, &options, &monitor);
    drop(old);
    if let Err(error) = made {
        move_aside(&aside, &folder)?;
        return Err(error.into());
    }
    drop(monitor);
    sync::run(session, &Sync { paths: Vec::new(), init: false, wait, output: Output { format: Format::Text } })
}

pub(crate) fn gc(session: &Session, args: &Gc) -> Outcome {
    let monitor = session.monitor(Format::Text);
    let mut writer = session.writer(&session.root(None)?, args.wait, &monitor)?;
    let now = session.now();
    let older_than = if args.older_than == 0 { i64::MAX } else { now.saturating_sub(i64::from(args.older_than) * 86_400) };
    let summary = writer.gc(older_than, now, &monitor)?;
    drop(monitor);
    let [before, after] = summary.bytes;
    let freed = term::bytes(before.saturating_sub(after));
    let dropped = term::counted(summary.dropped, "content", "contents");
    writeln!(anstream::stdout(), "{dropped} dropped, {} kept; {freed} freed", term::count(summary.kept))?;
    Ok(Exit::Fine)
}
