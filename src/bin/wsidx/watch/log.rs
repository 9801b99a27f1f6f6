//! Talk on standard error: lines for people, or one JSON object a line. Names in it are escaped.

use std::io::Write as _;

use serde::Serialize;

use super::{args::LogFormat, clock, notice::Notice};
use crate::{progress::Interrupt, term};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Warning,
}

#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    level: &'static str,
    message: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) quiet: bool,
}

impl Log {
    pub(super) fn say(&self, level: Level, message: &str) {
        if self.quiet && level == Level::Info {
            return;
        }
        let level = if level == Level::Info {
            "info"
        } else {
            "warning"
        };
        let line = match self.format {
            LogFormat::Text => format!("wsidx watch: {}", term::escape_text(message)),
            LogFormat::Json => serde_json::to_string(&Line {
                ts: clock::now(),
                level,
                message,
            })
            .unwrap_or_default(),
        };
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    pub(super) fn info(&self, message: &str) {
        self.say(Level::Info, message);
    }

    pub(super) fn warn(&self, message: &str) {
        self.say(Level::Warning, message);
    }
}

/// The monitor of work that is always finished: each piece of it tells the service manager that the
/// work goes on.
pub(super) struct Working<'a> {
    pub(super) log: Log,
    pub(super) notice: &'a Notice,
    /// Whether to give up, while there is nothing to finish yet.
    pub(super) stop: Option<&'a Interrupt>,
}

impl wsidx::monitor::Monitor for Working<'_> {
    fn stage(&self, _: &'static str, _: Option<u64>) {
        self.notice.alive();
    }

    fn advance(&self, _: u64) {
        self.notice.alive();
    }

    fn note(&self, text: &str) {
        self.log.info(text);
    }

    fn cancelled(&self) -> bool {
        self.stop.is_some_and(Interrupt::is_set)
    }
}
