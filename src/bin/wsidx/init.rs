//! `wsidx init`.

use std::{io::Write as _, path::Path};

use wsidx::{
    Result, dataset,
    index::{InitOptions, Survey, create_noting, survey},
    monitor::Monitor,
    store::settings::Settings,
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
    make(
        session,
        &root,
        &InitOptions {
            size: args.size,
            wavelet,
        },
        &monitor,
    )?;
    if !session.quiet {
        let next = if args.dir.is_some() {
            format!("wsidx sync --root {}", term::escape_os(&root))
        } else {
            "wsidx sync".to_owned()
        };
        writeln!(anstream::stderr(), "next: {next}")?;
    }
    Ok(Exit::Fine)
}

/// Creates the index and says what was chosen.
pub(crate) fn make(
    session: &Session,
    root: &Path,
    options: &InitOptions,
    monitor: &dyn Monitor,
) -> Result<()> {
    let survey = survey(root, monitor)?;
    let noted = |folder: &Path| trust::note(folder, root, monitor);
    let settings = create_noting(
        root,
        &survey,
        options,
        &session.who(),
        session.now(),
        &noted,
        monitor,
    )?;
    say(root, &survey, &settings, monitor);
    Ok(())
}

/// Says what was chosen for an index.
pub(crate) fn say(root: &Path, survey: &Survey, settings: &Settings, monitor: &dyn Monitor) {
    let colour = if settings.planes == 1 {
        "grey"
    } else {
        "colour"
    };
    let files = term::counted(survey.files as u64, "image file", "image files");
    monitor.note(&format!(
        "created an index in {} for {files}: {}×{} {colour} pictures, {}",
        dataset::index_folder(root).display(),
        settings.size,
        settings.size,
        settings.wavelet
    ));
    if survey.unreadable > 0 {
        monitor.note(&format!(
            "{} with no readable header",
            term::counted(survey.unreadable as u64, "file", "files")
        ));
    }
}
