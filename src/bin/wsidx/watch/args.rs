//! The command line of `wsidx watch`, and what the user's own file of settings adds to it.

use std::{
    ffi::OsString,
    net::SocketAddr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use wsidx::{
    Error, Result,
    file::{LONGEST_SETTINGS, read_named, refuse_in_index, toml_problem},
};

use crate::args::Format;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "One JSON object a line on standard output; talk goes to standard error. Lines about files (verdict, moved, removed) have a number
`seq` that grows by one; they are kept in the index and given again by --since. A verdict carries what `wsidx check` says of the file at that
moment; whatever was told is seen by `wsidx query` and `wsidx check` at once. A file is taken when it was closed after writing or moved in, or
when it has not changed for the settle time. Files are never deleted.

Settings of your own stand in $XDG_CONFIG_HOME/wsidx/watch.toml or --config FILE, under the names of the options; options go before them. A
program to run (exec:) is taken from there or from the option, never from the dataset.

Signals: TERM and INT finish the batch at hand and exit with 0; HUP reads settings, wsidx.toml, .wsidx-allow and tables again; USR1 scans.

Examples:
  wsidx watch incoming                               judge what comes into a folder of the dataset
  wsidx watch . --since 0 > verdicts.jsonl           with all that was told before
  wsidx watch in --on-redundant move:../redundant    move near-duplicates away, each with its verdict beside it
  wsidx watch status                                 what the one that runs is doing"
)]
pub(crate) struct Watch {
    #[command(subcommand)]
    pub(super) command: Option<WatchCommand>,
    /// Folders of the dataset
    #[arg(required = true, value_name = "DIR")]
    pub(super) dirs: Vec<PathBuf>,
    /// First give again what was told after this number
    #[arg(long, value_name = "SEQ")]
    pub(super) since: Option<u64>,
    /// What to do with redundant files: report, move:DIR, hardlink:DIR or exec:COMMAND (gets the
    /// line on standard input) [default: report]
    #[arg(long, value_name = "ACTION")]
    pub(super) on_redundant: Option<OnRedundant>,
    /// Seconds without a change after which a file counts as whole that nobody was seen to close
    /// [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) settle: Option<Duration>,
    /// Seconds between two looks at everything [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) rescan: Option<Duration>,
    /// Seconds between two clusterings of what has changed, at idle [default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) recluster: Option<Duration>,
    /// How changes are noticed
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) backend: Backend,
    /// Serve metrics for Prometheus on this address of this machine, such as 127.0.0.1:9184
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub(super) metrics: Option<SocketAddr>,
    /// How talk is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Read settings from this file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Wait until another writer is done
    #[arg(long)]
    pub(super) wait: bool,
}

impl Watch {
    /// Whether this is the one that watches, which listens for signals itself.
    pub(crate) fn is_daemon(&self) -> bool {
        self.command.is_none()
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum WatchCommand {
    /// Show what the one that runs is doing
    Status {
        /// How to write it
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Take in nothing until resume
    Pause,
    /// Go on after pause
    Resume,
    /// Look at everything now
    Rescan,
    /// Finish and end
    Stop,
    /// Print what was told, whether or not one runs
    Events {
        /// Only what was told after this number
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        since: u64,
    },
}

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Backend {
    /// By the system, but by polling on network file systems
    Auto,
    /// By the system
    Native,
    /// By looking
    Poll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What becomes of a redundant file, beside its line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum OnRedundant {
    #[default]
    Report,
    Move(PathBuf),
    Hardlink(PathBuf),
    Exec(OsString),
}

impl OnRedundant {
    /// The word in a line; none for a report.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Report => None,
            Self::Move(_) => Some("move"),
            Self::Hardlink(_) => Some("hardlink"),
            Self::Exec(_) => Some("exec"),
        }
    }
}

impl FromStr for OnRedundant {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let after = |word: &str| text.strip_prefix(word).filter(|rest| !rest.is_empty());
        match (text, after("move:"), after("hardlink:"), after("exec:")) {
            ("report", ..) => Ok(Self::Report),
            (_, Some(folder), ..) => Ok(Self::Move(folder.into())),
            (_, _, Some(folder), _) => Ok(Self::Hardlink(folder.into())),
            (.., Some(command)) => Ok(Self::Exec(command.into())),
            _ => Err("use report, move:DIR, hardlink:DIR or exec:COMMAND".into()),
        }
    }
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if (0.01..=31_536_000.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("out of range; allowed are 0.01 to 31536000 seconds".into())
    }
}

fn loopback(text: &str) -> std::result::Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "not an address and a port, such as 127.0.0.1:9184".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only addresses of this machine are served, such as 127.0.0.1:9184".into())
    }
}

/// What can be changed while it runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) on_redundant: OnRedundant,
    pub(super) settle: Duration,
    pub(super) rescan: Duration,
    pub(super) recluster: Duration,
}

/// The file of settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    on_redundant: Option<String>,
    settle: Option<f64>,
    rescan: Option<f64>,
    recluster: Option<f64>,
}

impl Settings {
    /// Options, then the file, then what is usual.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be used, [`Error::Io`] for a named one that cannot
    /// be read.
    pub(super) fn read(args: &Watch, root: &Path) -> Result<Self> {
        let (file, name) = match (&args.config, usual_file()) {
            (Some(named), _) => (read(named)?, named.clone()),
            (None, Some(usual)) if usual.exists() => (read(&usual)?, usual),
            _ => (File::default(), PathBuf::new()),
        };
        let bad = |what: &str| Error::Input(format!("{}: {what}", name.display()));
        let time = |option: Option<Duration>, own: Option<f64>, usual: u64| match (option, own) {
            (Some(option), _) => Ok(option),
            (None, Some(own)) => seconds(&own.to_string()).map_err(|e| bad(&e)),
            (None, None) => Ok(Duration::from_secs(usual)),
        };
        let on_redundant = match (&args.on_redundant, &file.on_redundant) {
            (Some(option), _) => option.clone(),
            (None, Some(own)) => own
                .parse()
                .map_err(|e: String| bad(&format!("on-redundant: {e}")))?,
            (None, None) => OnRedundant::Report,
        };
        Ok(Self {
            on_redundant: checked(on_redundant, args, root)?,
            settle: time(args.settle, file.settle, 2)?,
            rescan: time(args.rescan, file.rescan, 3_600)?,
            recluster: time(args.recluster, file.recluster, 600)?,
        })
    }
}

fn usual_file() -> Option<PathBuf> {
    let folder = match std::env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| Path::new(folder).is_absolute())
    {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(folder.join("wsidx/watch.toml"))
}

fn read(file: &Path) -> Result<File> {
    let bytes = read_named(file, LONGEST_SETTINGS)?;
    let bad = |what: &str| Error::Input(format!("{}: {what}", file.display()));
    let text =
        str::from_utf8(&bytes).map_err(|_| bad("not UTF-8, which TOML is; save it as UTF-8"))?;
    toml::from_str(text).map_err(|e| {
        bad(&format!(
            "{}; mend that line",
            toml_problem(text, e.span(), e.message())
        ))
    })
}

/// With its folder made and absolute. Files must be moved there in one step and not be found again.
fn checked(action: OnRedundant, args: &Watch, root: &Path) -> Result<OnRedundant> {
    let folder = |folder: &Path| -> Result<PathBuf> {
        let io = |source| Error::Io {
            doing: "making",
            path: folder.to_owned(),
            source,
        };
        refuse_in_index(folder)?;
        std::fs::create_dir_all(folder).map_err(io)?;
        let full = std::fs::canonicalize(folder).map_err(io)?;
        let device = |path: &Path| {
            std::fs::metadata(path)
                .map(|meta| std::os::unix::fs::MetadataExt::dev(&meta))
                .ok()
        };
        for watched in &args.dirs {
            let watched = std::fs::canonicalize(watched).map_err(io)?;
            let below = full
                .strip_prefix(&watched)
                .ok()
                .map(|below| below.as_os_str().as_bytes().to_vec());
            if below.is_some_and(|below| !wsidx::dataset::is_hidden(&below)) {
                let (folder, watched) = (folder.display(), watched.display());
                return Err(Error::Input(format!(
                    "{folder} is in {watched}, which is watched; what is moved there would be judged again"
                )));
            }
            if device(&watched) != device(&full) {
                let (folder, watched) = (folder.display(), watched.display());
                return Err(Error::Input(format!(
                    "{folder} is on another file system than {watched}; name a folder on the same one"
                )));
            }
        }
        let _ = root;
        Ok(full)
    };
    Ok(match action {
        OnRedundant::Move(to) => OnRedundant::Move(folder(&to)?),
        OnRedundant::Hardlink(to) => OnRedundant::Hardlink(folder(&to)?),
        OnRedundant::Exec(command) => OnRedundant::Exec(OsString::from_vec(command.into_vec())),
        OnRedundant::Report => OnRedundant::Report,
    })
}
