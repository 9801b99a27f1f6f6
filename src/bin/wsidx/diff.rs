//! `wsidx diff`: the duplicates, conflicts and leaks that one commit has and another has not.

use wsidx::index::CheckOptions;

use crate::{
    Exit, Outcome,
    args::Diff,
    check,
    session::Session,
    versions::{Judged, Versioned},
};

pub(crate) fn run(session: &Session, args: &Diff) -> Outcome {
    let monitor = session.monitor(args.output.format);
    let versioned = Versioned::open(session)?;
    let range = versioned.repository.between(&args.from, &args.to)?;
    let version = versioned.repository.committed(&range, &versioned.root)?;
    let Judged { checked, policy } = versioned.judge(&version, &[], &CheckOptions::default(), &monitor)?;
    drop(monitor);
    check::write(session, &checked, &policy, args.output.format, args.verbose)?;
    Ok(Exit::Fine)
}
