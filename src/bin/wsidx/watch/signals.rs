//! Signals → requests to the loop. The second one that asks for the end is obeyed at once.

use std::{sync::Arc, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};
use wsidx::{Error, Result};

use super::inbox::{Inbox, Request};
use crate::progress::Interrupt;

/// Begins to listen.
///
/// # Errors
/// [`Error::Io`] where the system refuses a handler.
pub(super) fn listen(inbox: Arc<Inbox>, interrupt: Interrupt) -> Result<()> {
    let io = |source| Error::Io {
        doing: "listening for",
        path: "signals".into(),
        source,
    };
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1]).map_err(io)?;
    let each = move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => inbox.ask(Request::Reload),
                SIGUSR1 => inbox.ask(Request::Rescan),
                end if interrupt.set() => std::process::exit(128 + end),
                _ => inbox.ask(Request::Stop),
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(each)
        .map_err(io)?;
    Ok(())
}
