//! `wsidx trust`, and what is said of an index that this user did not make on this machine.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
};

use wsidx::{
    Error, Result,
    dataset::{self, check_trust, index_folder},
    index::finish_replacement,
    monitor::Monitor,
};

use crate::{
    Exit, Outcome,
    args::{Format, Trust},
    session::Session,
    term,
};

/// Roots of datasets whose index is believed, separated like those of `PATH`; `*` is any.
const TRUST: &str = "WSIDX_TRUST";

pub(crate) fn run(session: &Session, args: &Trust) -> Outcome {
    let root = match &args.dir {
        Some(dir) => dataset::find_root(dir)?,
        None => session.root(None)?,
    };
    finish_replacement(&root, &session.who(), &session.monitor(Format::Text))?;
    check_trust(&root)?;
    dataset::note_made_here(&root, &notes()?).map_err(|error| {
        Error::Input(format!("{error}; or set XDG_STATE_HOME to a folder in which you can write, then run the command again"))
    })?;
    if !session.quiet {
        writeln!(
            anstream::stderr(),
            "the index in {} is believed from now on",
            term::escape_os(index_folder(&root))
        )?;
    }
    Ok(Exit::Fine)
}

/// Notes that the index of `root`, which is in `folder` at present, was made here. Where that
/// cannot be noted, the index is made all the same.
pub(crate) fn note(folder: &Path, root: &Path, monitor: &dyn Monitor) {
    if let Err(error) = notes().and_then(|state| dataset::note_made_in(folder, root, &state)) {
        monitor
            .note(&format!("it cannot be noted that you made this index, so commands will warn of it ({error}); set {TRUST} to its root"));
    }
}

/// Whether this user made the index in `root` on this machine, or says that it is to be believed.
pub(crate) fn is_known(root: &Path) -> Result<bool> {
    let trusted = env::var_os(TRUST).unwrap_or_default();
    let is_named = |path: PathBuf| {
        path.as_os_str() == "*" || path.canonicalize().is_ok_and(|path| path == root)
    };
    if env::split_paths(&trusted).any(is_named) {
        return Ok(true);
    }
    // Without a folder for notes nobody has noted anything.
    notes().map_or(Ok(false), |state| dataset::is_made_here(root, &state))
}

/// Warns of an index that is not known, as [`is_known`] has answered, or refuses it if `strict`.
pub(crate) fn vouch(root: &Path, known: Result<bool>, strict: bool, quiet: bool) -> Result<()> {
    let folder = term::escape_os(index_folder(root));
    let why = match known {
        Ok(true) => return Ok(()),
        Ok(false) => {
            format!("{folder} was not made by you on this machine, so its answers may be made up")
        }
        Err(error) => {
            let state = "set XDG_STATE_HOME to a folder of yours";
            format!(
                "it cannot be read whether {folder} was made by you on this machine ({error}; or {state}), so its answers may be made up"
            )
        }
    };
    let way_out = format!(
        "`wsidx trust` if you know where it comes from, `wsidx rebuild` to make it anew from the images; in CI set {TRUST} to the root of the dataset"
    );
    if strict {
        return Err(Error::Refused(format!("{why}; {way_out}")));
    }
    if !quiet {
        let _ = writeln!(anstream::stderr(), "wsidx: warning: {why}; {way_out}");
    }
    Ok(())
}

/// The folder of notes, as the XDG base directory specification has it.
fn notes() -> Result<PathBuf> {
    let set = env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || {
        env::home_dir()
            .filter(|home| home.is_absolute())
            .map(|home| home.join(".local/state"))
    };
    let none = || {
        Error::Input("there is no folder for the state of programs: neither XDG_STATE_HOME nor HOME is set; set one to a folder in which you can write, then run the command again".into())
    };
    set.or_else(home)
        .map(|state| dataset::notes_in(&state))
        .ok_or_else(none)
}
