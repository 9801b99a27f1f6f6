//! The command line of `wsidx hook`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Make git run wsidx at its events
    Install(HookInstall),
    /// Show what git will run at each event
    Status,
    /// Take away what install wrote, and put back what it moved
    Uninstall,
    /// What git calls: check what an event is about
    Run {
        /// The event
        event: Event,
        /// What git says of the event
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A hook that is there already is never changed: it is named, with three ways out.

Examples:
  wsidx hook install                          before commits and merges; in a bare repository, before it receives
  wsidx hook install pre-commit --mode chain  before the hook that is there
  WSIDX_SKIP=1 git commit                     skips it once"
)]
pub(crate) struct HookInstall {
    /// The events [default: pre-commit and pre-merge-commit; pre-receive in a bare repository]
    #[arg(value_name = "EVENT")]
    pub(crate) events: Vec<Event>,
    /// Where to write
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub(crate) mode: HookMode,
}

/// Where hooks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HookMode {
    /// The settings if git is 2.54 or later, else a file
    Auto,
    /// The settings of the repository, beside all other hooks
    Config,
    /// A file in the folder of hooks
    File,
    /// A file that runs the hook that was there, after wsidx
    Chain,
}

/// Events of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(clippy::enum_variant_names, reason = "they are called so by git")]
pub(crate) enum Event {
    /// Before a commit
    PreCommit,
    /// Before the commit of a merge
    PreMergeCommit,
    /// Before a push
    PrePush,
    /// On a server, before a push is taken
    PreReceive,
}

impl Event {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self::PreCommit,
        Self::PreMergeCommit,
        Self::PrePush,
        Self::PreReceive,
    ];

    /// As git calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PreMergeCommit => "pre-merge-commit",
            Self::PrePush => "pre-push",
            Self::PreReceive => "pre-receive",
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
