//! `wsidx diff`: the duplicates, conflicts and leaks that one commit has and another has not.

use wsidx::index::CheckOptions;

use crate::{
    Exit, Outcome,
    args::Diff,
    check::{Occasion, Report},
    session::Session,
    versions::Versioned,
};

pub(crate) fn run(session: &Session, args: &Diff) -> Outcome {
    let monitor = session.monitor(args.format.plain());
    let versioned = Versioned::open(session, None)?;
    let range = versioned.repository.between(&args.from, &args.to)?;
    let version = versioned.repository.committed(&range, &versioned.root)?;
    let judged = versioned.judge(&version, &[], &CheckOptions::default(), &monitor)?;
    drop(monitor);
    let (format, verbose, occasion) = (args.format, args.verbose, Occasion::Files);
    Report {
        root: &judged.root,
        rules: &judged.rules,
        format,
        verbose,
        occasion,
    }
    .write(session, &judged.checked)?;
    Ok(Exit::Fine)
}
