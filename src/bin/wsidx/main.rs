//! The program: arguments → the library → text or JSON, and an exit code.
//!
//! Exit codes: 0 fine, 1 findings that the policy rejects, 2 error, 130 interrupted. Data goes to
//! standard output, talk to standard error.

mod allow;
mod args;
mod calibrate;
mod check;
mod cluster;
mod compare;
mod debug;
mod diff;
mod draw;
mod groups;
mod hook;
mod housekeeping;
mod init;
mod json;
mod leaks;
mod npy;
mod outliers;
mod place;
mod progress;
mod query;
mod reduce;
mod session;
mod similarity;
mod spectrum;
mod status;
mod sync;
mod term;
mod tree;
mod trust;
mod versions;
mod watch;

use std::io::Write as _;

use clap::{CommandFactory as _, Parser as _};
use wsidx::Error;

/// A check makes and drops many small buffers on all threads: an eighth of its time with the
/// allocator of the C library.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use self::{
    args::{Args, Command},
    session::Session,
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Fine.
    Fine = 0,
    /// Findings that the policy rejects, or an index that is not sound.
    Findings = 1,
    /// Something failed.
    Error = 2,
}

/// What a command gives back: an exit, or an error that is told once, here.
type Outcome = Result<Exit, Failure>;

/// What ends a command.
#[derive(Debug)]
enum Failure {
    Library(Error),
    Output(std::io::Error),
    /// The user asked for the end; what of the work is kept, and what to do.
    Interrupted(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() {
    let args = Args::parse();
    term::set_color(args.common.color);
    wsidx::silence_decoder_panics();
    std::process::exit(match run(args) {
        Ok(exit) => exit as i32,
        Err(Failure::Library(Error::Interrupted)) => {
            let _ = writeln!(
                anstream::stderr(),
                "wsidx: interrupted; what was committed is kept, and the same command goes on from there"
            );
            progress::INTERRUPTED
        }
        Err(Failure::Interrupted(kept)) => {
            let _ = writeln!(
                anstream::stderr(),
                "wsidx: interrupted; {}",
                term::escape_text(&kept)
            );
            progress::INTERRUPTED
        }
        Err(Failure::Library(error)) => tell(&error.to_string()),
        Err(Failure::Output(error)) => match term::forgive_closed_pipe(Err(error)) {
            Ok(()) => Exit::Fine as i32,
            Err(error) => tell(&format!("writing the output: {error}")),
        },
    });
}

fn tell(error: &str) -> i32 {
    let red = clap::builder::styling::AnsiColor::Red.on_default().bold();
    let _ = writeln!(
        anstream::stderr(),
        "{red}wsidx:{red:#} {}",
        term::escape_text(error)
    );
    Exit::Error as i32
}

fn run(args: Args) -> Outcome {
    let watches = matches!(&args.command, Command::Watch(options) if options.is_daemon());
    let session = Session::new(&args.common, !watches)?;
    match args.command {
        Command::Init(options) => init::run(&session, &options),
        Command::Sync(options) => sync::run(&session, &options),
        Command::Query(options) => query::run(&session, &options),
        Command::Compare(options) => compare::run(&session, &options),
        Command::Check(options) => check::run(&session, &options),
        Command::Groups(options) => groups::run(&session, &options),
        Command::Cluster(options) => cluster::run(&session, &options),
        Command::Similarity(options) => similarity::run(&session, &options),
        Command::Spectrum(options) => spectrum::run(&session, &options),
        Command::Leaks(options) => leaks::run(&session, &options),
        Command::Reduce(options) => reduce::run(&session, &options),
        Command::Outliers(options) => outliers::run(&session, &options),
        Command::Diff(options) => diff::run(&session, &options),
        Command::Allow(options) => allow::run(&session, &options),
        Command::Baseline { command } => allow::baseline(&session, &command),
        Command::Hook { command } => hook::hook(&session, &command),
        Command::Calibrate(options) => calibrate::run(&session, &options),
        Command::Status(options) => status::run(&session, &options),
        Command::Verify(options) => housekeeping::verify(&session, &options),
        Command::Rebuild(options) => housekeeping::rebuild(&session, &options),
        Command::Trust(options) => trust::run(&session, &options),
        Command::Gc(options) => housekeeping::gc(&session, &options),
        Command::Watch(options) => watch::run(&session, &options),
        Command::Debug(options) => debug::run(&session, &options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "wsidx", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(Exit::Fine)
        }
    }
}
