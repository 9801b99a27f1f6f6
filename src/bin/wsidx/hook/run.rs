//! `wsidx hook run`: what git calls at an event.
//!
//! Before a commit, what is staged; before a push, what it brings to the other side. A server takes
//! the policy and the exceptions from what it had before, since otherwise whoever pushes could
//! switch the check off with the same push.

use std::{io::Write as _, os::unix::ffi::OsStrExt as _};

use clap::Parser as _;
use wsidx::{
    Error, Result,
    dataset::git::{Received, Repository, parse_pre_push, parse_pre_receive},
    index::CheckOptions,
};

use super::args::Event;
use crate::{
    Exit, Outcome,
    args::{Args, Command, Format},
    check::{self, Occasion, Report, ReportFormat},
    place,
    session::Session,
    term,
    versions::Versioned,
};

/// Skips one check, for whoever sits before the repository; a server does not ask those who push.
const SKIP: &str = "WSIDX_SKIP";

pub(super) fn run(session: &Session, event: Event, rest: &[std::ffi::OsString]) -> Outcome {
    let skip = std::env::var_os(SKIP).is_some_and(|value| !value.is_empty() && value != "0");
    if skip && event != Event::PreReceive {
        writeln!(
            anstream::stderr(),
            "wsidx: {event} is not checked, since {SKIP} is set"
        )?;
        return Ok(Exit::Fine);
    }
    match event {
        Event::PreCommit | Event::PreMergeCommit => {
            match Args::try_parse_from(["wsidx", "check", "--staged"]).map(|args| args.command) {
                Ok(Command::Check(args)) => check::run(session, &args),
                _ => Err(Error::Input("`check --staged` is no command".into()).into()),
            }
        }
        Event::PrePush => {
            let remote = rest.first().map_or_else(String::new, |name| {
                String::from_utf8_lossy(name.as_bytes()).into_owned()
            });
            push(
                session,
                &parse_pre_push(&lines(session)?)?,
                &format!("--remotes={remote}"),
                Occasion::Push,
            )
        }
        Event::PreReceive => match allowed_to_skip()? {
            Some(reason) => {
                writeln!(
                    anstream::stderr(),
                    "wsidx: the push is not checked: {}",
                    term::escape_text(&reason)
                )?;
                Ok(Exit::Fine)
            }
            None => {
                session.be_strict();
                push(
                    session,
                    &parse_pre_receive(&lines(session)?)?,
                    "--all",
                    Occasion::Receive,
                )
            }
        },
    }
}

/// Bytes of the list of references of a push.
const LONGEST: u64 = 64 << 20;

/// What git says of a push.
fn lines(session: &Session) -> Result<String> {
    let text = place::standard_input(&session.interrupt(), LONGEST)?;
    String::from_utf8(text)
        .map_err(|_| Error::Input("git named a reference that is not UTF-8; rename it".into()))
}

/// Judges what each reference of a push brings; `known` says to git what the other side has.
fn push(session: &Session, received: &[Received], known: &str, occasion: Occasion) -> Outcome {
    if received.iter().all(|received| received.new.is_none()) {
        return Ok(Exit::Fine); // deletions bring nothing
    }
    let versioned = Versioned::open(session, None)?;
    versioned.repository.require_history()?;
    let monitor = session.monitor(Format::Text);
    let mut exit = Exit::Fine;
    for received in received {
        let Some(range) = versioned.repository.pushed(received, known)? else {
            continue;
        };
        for version in versioned.committed(&range, false)? {
            let version = match occasion {
                Occasion::Receive => {
                    version.with_policy_of(policy(&versioned.repository, received))
                }
                _ => version,
            };
            let judged = versioned.judge(&version, &[], &CheckOptions::default(), &monitor)?;
            let format = ReportFormat::Text;
            let report = Report {
                root: &judged.root,
                rules: &judged.rules,
                format,
                verbose: false,
                occasion,
            };
            if report.write(session, &judged.checked)? == Exit::Findings {
                exit = Exit::Findings;
            }
        }
    }
    Ok(exit)
}

/// The commit that sets the policy of a push: where the branch was, or for a new one where the
/// server's own branch is.
fn policy(repository: &Repository, received: &Received) -> Option<String> {
    received
        .old
        .clone()
        .or_else(|| repository.range("HEAD..HEAD").ok().map(|range| range.to))
}

/// The reason that came as `git push -o wsidx.skip=REASON`, where the server lets it count (`git
/// config wsidx.allowSkip true`).
fn allowed_to_skip() -> Result<Option<String>> {
    let count = std::env::var("GIT_PUSH_OPTION_COUNT")
        .ok()
        .and_then(|count| count.parse::<u32>().ok())
        .unwrap_or(0)
        .min(1_000);
    let options = (0..count).filter_map(|i| std::env::var(format!("GIT_PUSH_OPTION_{i}")).ok());
    let Some(reason) = options
        .filter_map(|option| option.strip_prefix("wsidx.skip=").map(str::to_owned))
        .next()
    else {
        return Ok(None);
    };
    let allowed = super::git::Repository::here()?
        .settings("wsidx.allowSkip")?
        .last()
        .is_some_and(|value| value == "true");
    Ok(allowed.then_some(reason))
}
