//! `wsidx hook install` and `uninstall`: no hook of somebody else is changed, and what was moved
//! comes back as it was.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use wsidx::{Error, Result, file::draft};

use super::{
    args::{Event, HookInstall, HookMode},
    git::Repository,
    script::{Standing, quoted, script, standing},
};
use crate::{Exit, Outcome, session::Session, term};

/// Why nothing was installed: the event, the words for it.
struct Refusal(Event, String);

pub(super) fn install(session: &Session, args: &HookInstall) -> Outcome {
    let repository = Repository::here()?;
    let events = match args.events.as_slice() {
        [] if repository.bare => vec![Event::PreReceive],
        [] => vec![Event::PreCommit, Event::PreMergeCommit],
        events => events.to_vec(),
    };
    let program = program()?;
    let config = match args.mode {
        HookMode::Config if !repository.has_config_hooks() => {
            let needs = format!(
                "hooks in settings need git 2.54; this is {}; use --mode file",
                repository.version()
            );
            return Err(Error::Input(needs).into());
        }
        HookMode::Auto => repository.has_config_hooks(),
        mode => mode == HookMode::Config,
    };
    let dataset = session.root(None).ok();
    let remember = || {
        dataset
            .as_deref()
            .map_or(Ok(()), |root| repository.remember(root))
    };
    if config {
        remember()?;
        for event in &events {
            in_settings(&repository, *event, &program)?;
            take_file(&repository, *event)?; // of an older git; it would run a second time
            said(
                session,
                &format!("{event}: set in the settings of the repository (hook.wsidx-{event})"),
            )?;
        }
        return Ok(Exit::Fine);
    }
    // All is looked at before anything is written.
    for event in &events {
        if let Some(refusal) = refusal(&repository, *event, args.mode)? {
            return Ok(refuse(&repository, &refusal, &program)?);
        }
    }
    remember()?;
    for event in &events {
        let moved = in_file(&repository, *event, &program)?;
        take_settings(&repository, *event)?;
        let path = place(&repository, *event);
        let then = if moved {
            format!("; the hook that was there runs after it, as {event}.wsidx-prev")
        } else {
            String::new()
        };
        said(
            session,
            &format!("{event}: written to {}{then}", term::escape_os(&path)),
        )?;
    }
    Ok(Exit::Fine)
}

fn program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|source| Error::Io {
        doing: "looking for",
        path: PathBuf::from("the program"),
        source,
    })
}

fn said(session: &Session, text: &str) -> io::Result<()> {
    if session.quiet {
        Ok(())
    } else {
        writeln!(anstream::stderr(), "{text}")
    }
}

fn place(repository: &Repository, event: Event) -> PathBuf {
    repository.hooks.join(event.name())
}

fn previous(repository: &Repository, event: Event) -> PathBuf {
    repository.hooks.join(format!("{event}.wsidx-prev"))
}

/// Git gives a hook of its settings the arguments of the event; the shell that it starts says so if
/// the program is gone, and fails.
fn in_settings(repository: &Repository, event: Event, program: &Path) -> Result<()> {
    let program = String::from_utf8(quoted(program.as_os_str())).map_err(|_| {
        Error::Input(
            "the path of the program is not UTF-8, which settings of git must be; use --mode file"
                .into(),
        )
    })?;
    repository.set(
        &format!("hook.wsidx-{event}.command"),
        &format!("{program} hook run {event}"),
    )?;
    repository.set(&format!("hook.wsidx-{event}.event"), event.name())
}

fn refusal(repository: &Repository, event: Event, mode: HookMode) -> Result<Option<Refusal>> {
    let hooks = term::escape_os(&repository.hooks);
    let refuse = |why: String| Ok(Some(Refusal(event, why)));
    if let Some(scope) = repository
        .scope
        .as_deref()
        .filter(|scope| !["local", "worktree"].contains(scope))
    {
        return refuse(format!(
            "the hooks of this repository are in {hooks}, by core.hooksPath of the {scope} settings: they are not its own"
        ));
    }
    if repository.hooks.ends_with(".husky/_") {
        return refuse(format!(
            "husky runs the hooks of this repository, and writes {hooks} again at every install"
        ));
    }
    match standing(&place(repository, event), event.name())? {
        Standing::Foreign(owner) if mode != HookMode::Chain => refuse(format!(
            "there is a {event} hook already, of {owner}, and it stays as it is: {}",
            term::escape_os(place(repository, event))
        )),
        // An install that was cut short has left a further name of the hook itself.
        Standing::Foreign(_)
            if is_same_file(&place(repository, event), &previous(repository, event)) =>
        {
            Ok(None)
        }
        Standing::Foreign(_) if fs::symlink_metadata(previous(repository, event)).is_ok() => {
            refuse(format!(
                "{} is there already, of an earlier chain: move it away first",
                term::escape_os(previous(repository, event))
            ))
        }
        _ => Ok(None),
    }
}

fn refuse(
    repository: &Repository,
    Refusal(event, why): &Refusal,
    program: &Path,
) -> io::Result<Exit> {
    let mut talk = anstream::stderr();
    let program = term::escape_text(&String::from_utf8_lossy(&quoted(program.as_os_str())));
    writeln!(talk, "wsidx: {why}")?;
    writeln!(talk, "three ways out:")?;
    if repository.hooks.ends_with(".husky/_") {
        writeln!(
            talk,
            "  1. tell husky:  echo 'wsidx hook run {event} \"$@\"' >> .husky/{event}"
        )?;
    } else {
        writeln!(talk, "  1. wsidx hook install {event} --mode chain")?;
        writeln!(
            talk,
            "     moves it to {event}.wsidx-prev; wsidx runs first, then that one with the same arguments"
        )?;
    }
    writeln!(talk, "  2. put this into it, before any `exec`:")?;
    writeln!(
        talk,
        "     # near-duplicates, label conflicts and leaks stay out"
    )?;
    writeln!(talk, "     {program} hook run {event} \"$@\" || exit")?;
    writeln!(
        talk,
        "  3. give the entry to the program that runs your hooks:"
    )?;
    writeln!(
        talk,
        "     pre-commit  the hook `wsidx-system` in .pre-commit-config.yaml"
    )?;
    writeln!(
        talk,
        "     lefthook    {event}: {{jobs: [{{name: wsidx, run: wsidx hook run {event}}}]}}"
    )?;
    writeln!(
        talk,
        "     husky       wsidx hook run {event} \"$@\"   in .husky/{event}"
    )?;
    Ok(Exit::Error)
}

/// Writes the script; whether a hook of somebody else was moved aside for it. That one gets its
/// further name first, and is then replaced: there is a hook at every moment.
fn in_file(repository: &Repository, event: Event, program: &Path) -> Result<bool> {
    let path = place(repository, event);
    let io = |source| Error::Io {
        doing: "writing",
        path: path.clone(),
        source,
    };
    fs::create_dir_all(&repository.hooks).map_err(io)?;
    let moved = matches!(standing(&path, event.name())?, Standing::Foreign(_));
    let draft = draft(&path, &script(event.name(), program), 0o755, None)?;
    let aside = previous(repository, event);
    if moved && !is_same_file(&path, &aside) {
        fs::hard_link(&path, &aside).map_err(io)?;
    }
    draft.replace().inspect_err(|_| {
        if moved && is_same_file(&path, &aside) {
            let _ = fs::remove_file(&aside);
        }
    })?;
    Ok(moved)
}

pub(super) fn uninstall(session: &Session) -> Outcome {
    let repository = Repository::here()?;
    let mut exit = Exit::Fine;
    repository.forget()?;
    for event in Event::ALL {
        if take_settings(&repository, event)? {
            said(session, &format!("{event}: taken out of the settings"))?;
        }
        match take_file(&repository, event)? {
            Some(Previous::Back) => said(
                session,
                &format!("{event}: removed, and the hook that was there is back"),
            )?,
            Some(Previous::None) => said(session, &format!("{event}: removed"))?,
            None => {}
        }
        let path = place(&repository, event);
        if let Standing::Foreign(owner) = standing(&path, event.name())?
            && owner.starts_with("wsidx")
        {
            exit = Exit::Error;
            let path = term::escape_os(&path);
            writeln!(
                anstream::stderr(),
                "wsidx: {path} was changed by hand since wsidx wrote it, and stays; take it away yourself"
            )?;
        }
    }
    Ok(exit)
}

/// Whether two names are of one file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let which = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((which(a), which(b)), (Ok(a), Ok(b)) if a == b)
}

/// The hook that a hook of ours was put before.
enum Previous {
    None,
    Back,
}

fn take_settings(repository: &Repository, event: Event) -> Result<bool> {
    repository.remove_section(&format!("hook.wsidx-{event}"))
}

/// Takes the script away if it is ours, and puts back what stood there before it.
fn take_file(repository: &Repository, event: Event) -> Result<Option<Previous>> {
    let (path, previous) = (place(repository, event), previous(repository, event));
    if standing(&path, event.name())? != Standing::Ours {
        return Ok(None);
    }
    let io = |source| Error::Io {
        doing: "removing",
        path: path.clone(),
        source,
    };
    if fs::symlink_metadata(&previous).is_ok() {
        fs::rename(&previous, &path).map_err(io)?;
        return Ok(Some(Previous::Back));
    }
    fs::remove_file(&path).map_err(io)?;
    Ok(Some(Previous::None))
}
