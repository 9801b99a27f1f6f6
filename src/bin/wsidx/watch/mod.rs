//! `wsidx watch`: a folder into which files come → a verdict for each, seconds after it has
//! settled, for weeks.
//!
//! What the system tells of files are hints, and a look at everything, at the start and every so
//! often, is the truth; both end in the same queue, in which a file waits until it has settled. One
//! loop takes batches from there to the library, which judges, commits and publishes them, and
//! reads the next meanwhile; then they are told. The order of the lines is that of the store, and a
//! line is written after all that it says is durable and visible. Lines are written by a thread of
//! their own: who reads them slowly holds up the batch after the next.

mod actions;
mod args;
mod batch;
mod clients;
mod clock;
mod daemon;
mod inbox;
mod line_writer;
mod lines;
mod log;
mod looks;
mod metrics;
mod mounts;
mod notice;
mod queue;
mod report;
mod roots;
mod scanner;
mod signals;
mod socket;

use std::io::{self, Write as _};

use wsidx::{Error, index::events};

pub(crate) use self::args::Watch;
use self::{args::WatchCommand, daemon::Daemon};
use crate::{Exit, Failure, Outcome, args::Format, session::Session, term};

pub(crate) fn run(session: &Session, args: &Watch) -> Outcome {
    match &args.command {
        None => match Daemon::start(session, args) {
            // Told to stop before there was anything to finish.
            Err(Error::Interrupted) => Ok(Exit::Fine),
            started => started?.run(),
        },
        Some(WatchCommand::Status { format }) => status(session, *format),
        Some(WatchCommand::Pause) => ask(session, "pause"),
        Some(WatchCommand::Resume) => ask(session, "resume"),
        Some(WatchCommand::Rescan) => ask(session, "rescan"),
        Some(WatchCommand::Stop) => ask(session, "stop"),
        Some(WatchCommand::Events { since }) => {
            let root = session.root(None)?;
            session.vouch(&root)?;
            told(&root, *since).map(|()| Exit::Fine)
        }
    }
}

fn ask(session: &Session, word: &str) -> Outcome {
    socket::ask(&session.root(None)?, word)?;
    Ok(Exit::Fine)
}

fn status(session: &Session, format: Format) -> Outcome {
    let text = socket::ask(&session.root(None)?, "status")?;
    let mut out = anstream::stdout().lock();
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| Error::Input(format!("the answer was not understood: {e}")))?;
    match (format, value.as_object()) {
        (Format::Text, Some(fields)) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "schema") {
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                writeln!(out, "{name:15} {}", term::escape_text(&shown))?;
            }
        }
        (Format::Json, _) => writeln!(out, "{value:#}")?,
        _ => writeln!(out, "{value}")?,
    }
    Ok(Exit::Fine)
}

/// Writes the lines of what was told after a number.
fn told(root: &std::path::Path, since: u64) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut failed = None;
    let visited = events(root, since, &mut |_, text| {
        out.write_all(text)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|e| {
                failed = Some(e);
                Error::Interrupted
            })
    });
    match failed {
        Some(e) => Err(e.into()),
        None => Ok(visited.map(|()| out.flush())??),
    }
}
