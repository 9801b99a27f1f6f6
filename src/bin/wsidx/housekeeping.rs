//! `wsidx verify`, `rebuild` and `gc`.

use std::io::Write as _;

use serde::Serialize;

use crate::{
    Exit, Outcome,
    args::{Format, Gc, Rebuild, Verify},
    json,
    session::Session,
    term,
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
    let found = writer.verify(args.files, &writer.limits()?, &monitor)?;
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
    let mut writer = session.writer(&session.root(None)?, args.wait, &monitor)?;
    let published = writer.rebuild(args.refit, session.now(), &monitor)?;
    drop(monitor);
    let contents = term::counted(writer.state().stored(), "content", "contents");
    let fitted = if published.fitted { "; columns chosen anew" } else { "" };
    writeln!(anstream::stdout(), "catalog and view made again from {contents}{fitted}")?;
    writer.require_complete()?;
    Ok(Exit::Fine)
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
