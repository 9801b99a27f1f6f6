//! `wsidx verify`, `rebuild` and `gc`.

use std::{io::Write as _, path::Path};

use serde::Serialize;
use wsidx::{
    Error, dataset,
    index::{InitOptions, Replacement, finish_replacement, is_unfinished, survey},
    monitor::Monitor as _,
};

use crate::{
    Exit, Failure, Outcome,
    args::{Format, Gc, Output, Rebuild, Sync, Verify},
    init, json,
    progress::Progress,
    session::{Session, Timed},
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
    let exit = if found.problems.is_empty() {
        Exit::Fine
    } else {
        Exit::Findings
    };
    if args.output.format != Format::Text {
        let (contents, files, stale) = (found.contents, found.files, found.stale);
        json::write(
            &VerifyJson {
                schema: "wsidx.verify/1",
                contents,
                files,
                stale,
                problems: found.problems,
            },
            args.output.format,
        )?;
        return Ok(exit);
    }
    let mut out = anstream::stdout().lock();
    for problem in &found.problems {
        writeln!(out, "{}", term::escape_text(problem))?;
    }
    let contents = term::counted(found.contents, "content", "contents");
    let files = if args.files {
        format!(" and {}", term::counted(found.files, "file", "files"))
    } else {
        String::new()
    };
    let problems = if found.problems.is_empty() {
        "all sound".to_owned()
    } else {
        term::counted(found.problems.len() as u64, "problem", "problems")
    };
    writeln!(out, "{contents}{files} verified: {problems}")?;
    if found.stale > 0 {
        writeln!(
            out,
            "{} changed or left since the last sync (wsidx sync)",
            term::counted(found.stale, "file", "files")
        )?;
    }
    Ok(exit)
}

pub(crate) fn rebuild(session: &Session, args: &Rebuild) -> Outcome {
    let monitor = session.monitor(Format::Text);
    let root = session.root(None)?;
    finish_replacement(&root, &session.who(), &monitor)?;
    if !trust::is_known(&root)? {
        // Where another process replaced it first, the one that is there now is looked at.
        return replace(session, &root, args.wait, &monitor)?
            .map_or_else(|| rebuild(session, args), Ok);
    }
    if is_unfinished(&root) {
        sync::resume(&root, &monitor);
        init::make(session, &root, &InitOptions::default(), &monitor)?;
        return read_images(session, args.wait);
    }
    let mut writer = session.writer(&root, args.wait, &monitor)?;
    if writer.state().stored() == 0 && !writer.is_incomplete() {
        monitor.note("the index is empty, so the images are read");
        drop(writer);
        return read_images(session, args.wait);
    }
    let published = writer.rebuild(args.refit, session.now(), &monitor)?;
    drop(monitor);
    let contents = term::counted(writer.state().stored(), "content", "contents");
    let fitted = if published.fitted {
        "; columns chosen anew"
    } else {
        ""
    };
    writeln!(
        anstream::stdout(),
        "catalog and view made again from {contents}{fitted}"
    )?;
    writer.require_complete()?;
    Ok(Exit::Fine)
}

fn read_images(session: &Session, wait: bool) -> Outcome {
    sync::run(
        session,
        &Sync {
            paths: Vec::new(),
            init: false,
            wait,
            output: Output {
                format: Format::Text,
            },
        },
    )
}

/// Makes an index that came from elsewhere anew from the images: the pictures that it holds may be
/// made up, too. `None` if another process did so first.
fn replace(
    session: &Session,
    root: &Path,
    wait: bool,
    progress: &Progress,
) -> Result<Option<Exit>, Failure> {
    session.vouch_no_more();
    let monitor = Timed::new(progress);
    let Some(replacement) = Replacement::begin(root, &session.who(), wait, &monitor)? else {
        return Ok(None);
    };
    let folder = dataset::index_folder(root);
    let is_old = |error: Error| match error {
        Error::Interrupted => Failure::Interrupted(format!(
            "{} is as it was; `wsidx rebuild` begins again",
            folder.display()
        )),
        error => {
            monitor.note(&format!("{} is as it was", folder.display()));
            error.into()
        }
    };
    let made = (|| {
        let survey = survey(root, &monitor)?;
        let noted = |folder: &Path| trust::note(folder, root, &monitor);
        let mut writer =
            replacement.create(&survey, &session.who(), session.now(), &noted, &monitor)?;
        let summary = sync::take_in(session, root, &mut writer, Vec::new(), &monitor)?;
        writer.require_complete()?;
        Ok((survey, writer, summary))
    })();
    let (survey, writer, summary) = made.map_err(is_old)?;
    let settings = writer.settings().clone();
    replacement.finish(writer, &monitor)?;
    init::say(root, &survey, &settings, &monitor);
    if let Some(summary) = summary {
        sync::text(session, root, &summary, &monitor.seconds())?;
    }
    Ok(Some(Exit::Fine))
}

pub(crate) fn gc(session: &Session, args: &Gc) -> Outcome {
    let monitor = session.monitor(Format::Text);
    let mut writer = session.writer(&session.root(None)?, args.wait, &monitor)?;
    let now = session.now();
    let older_than = if args.older_than == 0 {
        i64::MAX
    } else {
        now.saturating_sub(i64::from(args.older_than) * 86_400)
    };
    let summary = writer.gc(older_than, now, &monitor)?;
    drop(monitor);
    let [before, after] = summary.bytes;
    let freed = term::bytes(before.saturating_sub(after));
    let dropped = term::counted(summary.dropped, "content", "contents");
    writeln!(
        anstream::stdout(),
        "{dropped} dropped, {} kept; {freed} freed",
        term::count(summary.kept)
    )?;
    Ok(Exit::Fine)
}
