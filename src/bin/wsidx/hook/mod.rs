//! `wsidx hook`: the events of git → the check.

pub(crate) mod args;
mod git;
mod install;
mod run;
mod script;

use std::{fs, io::Write as _, path::PathBuf};

use self::{
    args::{Event, HookCommand},
    git::Repository,
    script::{Standing, standing},
};
use crate::{
    Exit, Outcome,
    session::Session,
    term::{self, Column, Table},
};

pub(crate) fn hook(session: &Session, command: &HookCommand) -> Outcome {
    match command {
        HookCommand::Install(args) => install::install(session, args),
        HookCommand::Uninstall => install::uninstall(session),
        HookCommand::Status => status(session),
        HookCommand::Run { event, rest } => run::run(session, *event, rest),
    }
}

/// The root of the dataset as `hook install` remembered it for this repository.
pub(crate) fn remembered_root() -> wsidx::Result<Option<PathBuf>> {
    Repository::here()?.dataset()
}

/// What will run at each event, in order.
fn status(session: &Session) -> Outcome {
    let repository = Repository::here()?;
    let mut table = Table::new([Column::left(""), Column::left("")]);
    for event in Event::ALL {
        let runs = runs(&repository, event)?;
        let runs = if runs.is_empty() {
            "nothing".to_owned()
        } else {
            runs.join(", then ")
        };
        table.row([event.name().into(), runs.into()]);
    }
    table.write(&mut anstream::stdout().lock(), None)?;
    if !session.quiet {
        let hooks = term::escape_os(&repository.hooks);
        writeln!(
            anstream::stderr(),
            "hooks are in {hooks}; git {}",
            term::escape_text(repository.version())
        )?;
    }
    Ok(Exit::Fine)
}

fn runs(repository: &Repository, event: Event) -> wsidx::Result<Vec<String>> {
    let mut runs = Vec::new();
    for name in repository.config_hooks(event.name())? {
        let ignored = if repository.has_config_hooks() {
            ""
        } else {
            ", which this git ignores"
        };
        let off = if repository.is_off(&name, event.name())? {
            ", which is off"
        } else {
            ""
        };
        runs.push(format!(
            "{} (settings{ignored}{off})",
            term::escape(name.as_bytes())
        ));
    }
    match standing(&repository.hooks.join(event.name()), event.name())? {
        Standing::Nothing => {}
        Standing::Foreign(owner) => runs.push(format!("the hook of {owner}")),
        Standing::Ours => {
            runs.push("wsidx".to_owned());
            let name = format!("{event}.wsidx-prev");
            if fs::symlink_metadata(repository.hooks.join(&name)).is_ok() {
                let owner = match standing(&repository.hooks.join(&name), event.name())? {
                    Standing::Foreign(owner) => owner,
                    _ => "wsidx",
                };
                runs.push(format!("{name}, the hook of {owner}"));
            }
        }
    }
    Ok(runs)
}
