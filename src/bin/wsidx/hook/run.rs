//! `wsidx hook run`: what git calls at an event.

use std::io::Write as _;

use wsidx::Error;

use super::args::Event;
use crate::{Exit, Outcome, session::Session};

/// Skips one check, for whoever sits before the repository; a server does not ask those who push.
const SKIP: &str = "WSIDX_SKIP";

pub(super) fn run(_session: &Session, event: Event) -> Outcome {
    let skip = std::env::var_os(SKIP).is_some_and(|value| !value.is_empty() && value != "0");
    if skip && event != Event::PreReceive {
        writeln!(anstream::stderr(), "wsidx: {event} is not checked, since {SKIP} is set")?;
        return Ok(Exit::Fine);
    }
    Err(Error::Input(format!("{event}: this wsidx cannot read what git is about to record; skip it once with {SKIP}=1")).into())
}
