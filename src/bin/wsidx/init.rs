//! `wsidx init`.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use wsidx::{
    Error, Result, dataset,
    index::{InitOptions, create, survey},
    monitor::Monitor,
};

use crate::{
    Exit, Outcome,
    args::{Format, Init},
    session::Session,
    term, trust,
};

pub(crate) fn run(session: &Session, args: &Init) -> Outcome {
    let root = session.new_root(args.dir.as_deref())?;
    let wavelet = args.wavelet.as_deref().map(str::parse).transpose()?;
    let monitor = session.monitor(Format::Text);
    make(session, &root, &InitOptions { size: args.size, wavelet }, &monitor)?;
    if !session.quiet {
        let next = if args.dir.is_some() { format!("wsidx sync --root {}", term::escape_os(&root)) } else { "wsidx sync".to_owned() };
        writeln!(anstream::stderr(), "next: {next}")?;
    }
    Ok(Exit::Fine)
}

/// Where an index that is made anew waits until the new one is there.
pub(crate) fn set_aside(root: &Path) -> PathBuf {
    let folder = dataset::index_folder(root);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}-replaced"))
}

/// Removes it, also where it was left by a run that was killed; a link there is removed and not followed.
pub(crate) fn remove_set_aside(root: &Path) -> Result<()> {
    let path = set_aside(root);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::Io { doing: "removing", path, source }),
        _ => Ok(()),
    }
}

/// Creates the index and says what was chosen.
pub(crate) fn make(session: &Session, root: &Path, options: &InitOptions, monitor: &dyn Monitor) -> Result<()> {
    let survey = survey(root, monitor)?;
    let settings = create(root, &survey, options, &session.who(), session.now(), monitor)?;
    trust::note(root, monitor);
    remove_set_aside(root)?;
    let colour = if settings.planes == 1 { "grey" } else { "colour" };
    let files = term::counted(survey.files as u64, "image file", "image files");
    monitor.note(&format!(
        "created an index in {} for {files}: {}×{} {colour} pictures, {}",
        dataset::index_folder(root).display(),
        settings.size,
        settings.size,
        settings.wavelet
    ));
    if survey.unreadable > 0 {
        monitor.note(&format!("{} with no readable header", term::counted(survey.unreadable as u64, "file", "files")));
    }
    Ok(())
}
