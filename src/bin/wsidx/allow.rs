//! `wsidx allow` and `wsidx baseline`: findings → lines of `.wsidx-allow`, and the pairs of
//! `.wsidx-baseline.json`.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use wsidx::{
    Error, Result, file,
    index::{CheckOptions, Checked, Reader, except},
    monitor::Monitor as _,
    verdict::{
        ALLOW_FILE, Action, BASELINE_FILE, Baseline, Exceptions, Policy, Rules, Subject, Verdict,
    },
};

use crate::{
    Exit, Failure, Outcome, args::Format, place, session::Session, term, versions::Versioned,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The files are judged as `wsidx check` does, and the pairs that it finds are accepted by the ids of their contents: so an exception
holds when files are renamed, and ends when they change. Commit .wsidx-allow: it is text, for people to review.

Examples:
  wsidx allow train/cat/new.png --reason 'two shots of one cat'
  wsidx allow --staged --reason 'a better scan'   all that `wsidx check --staged` rejects or warns of
  wsidx allow --image train/logo.png          whatever is found about it, wherever it is
  wsidx allow --path 'train/scans/**'         whatever is found below a folder"
)]
pub(crate) struct Allow {
    /// Image files and folders; with --staged, only what is staged there
    #[arg(required_unless_present_any = ["path", "staged"], value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Accept what `wsidx check --staged` rejects or warns of, by the bytes that are staged
    #[arg(long)]
    pub(crate) staged: bool,
    /// Accept whatever is found about these images, not only the pairs found now
    #[arg(long)]
    pub(crate) image: bool,
    /// Accept whatever is found at paths (relative to the root of the dataset) that match; **
    /// matches folders, too
    #[arg(long, value_name = "GLOB")]
    pub(crate) path: Vec<String>,
    /// Why, for those who review
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Judge the whole dataset, and write the pairs found to .wsidx-baseline.json
    Write,
}

/// What stands at the head of a new file.
const HEAD: &str = "\
# Findings of wsidx that this dataset accepts: `pair ID ID`, `image ID` or `path GLOB`, and after # the reason. Ids are BLAKE3 hashes.
";

pub(crate) fn run(session: &Session, args: &Allow) -> Outcome {
    let (root, mut wanted) = if args.staged {
        staged(session, args)?
    } else {
        named(session, args)?
    };
    let exceptions = lines_of(&root)?;
    wanted.extend(
        args.path
            .iter()
            .map(|glob| (Subject::Path(glob.clone()), String::new())),
    );
    let some = !wanted.is_empty();
    wanted.retain(|(subject, _)| !exceptions.has(subject));
    let line = |(subject, names): &(Subject, String)| {
        let reason = args.reason.as_deref().unwrap_or_default();
        let joint = if names.is_empty() || reason.is_empty() {
            ""
        } else {
            ": "
        };
        subject.line(&format!("{names}{joint}{reason}"))
    };
    let lines: BTreeSet<String> = wanted.iter().map(line).collect();
    append(&root, &lines)?;
    let mut out = anstream::stdout().lock();
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "{}", term::escape_text(line)))?;
    if args.staged && !session.quiet {
        let file = root.join(ALLOW_FILE);
        let here = std::env::current_dir()
            .ok()
            .and_then(|folder| Some(file.strip_prefix(folder).ok()?.to_owned()));
        let file = term::escape_os(here.unwrap_or(file));
        if some {
            writeln!(
                anstream::stderr(),
                "it counts when it is staged, too: git add {file}"
            )?;
        } else {
            writeln!(
                anstream::stderr(),
                "nothing that is staged is rejected or warned of"
            )?;
        }
    }
    Ok(Exit::Fine)
}

/// Exceptions, each with the names of its files for the reader of the line.
type Wanted = Vec<(Subject, String)>;

/// The root of the dataset, and what must be allowed for the files that were named to pass.
fn named(session: &Session, args: &Allow) -> Result<(PathBuf, Wanted), Failure> {
    let reader = session.reader(args.paths.first().map(PathBuf::as_path))?;
    let rules = reader.rules()?;
    let mut wanted = Wanted::new();
    if !args.paths.is_empty() {
        let checked = check(
            session,
            &reader,
            &rules,
            &args.paths,
            &reader.exceptions(&rules.edges)?,
        )?;
        for checked in &checked {
            wanted.extend(subjects(checked, args.image)?);
        }
        let fine = checked
            .iter()
            .filter(|c| c.judgement.verdict == Verdict::Novel || c.allowed.is_some());
        for checked in fine.filter(|_| !args.image && !session.quiet) {
            let why = if checked.allowed.is_some() {
                "is allowed already"
            } else {
                "is novel: there is nothing to allow"
            };
            writeln!(
                anstream::stderr(),
                "{} {why}",
                term::escape(&checked.item.path)
            )?;
        }
    }
    Ok((reader.root().to_owned(), wanted))
}

/// The root of the dataset in this work tree, and what must be allowed for what is staged to pass.
fn staged(session: &Session, args: &Allow) -> Result<(PathBuf, Wanted), Failure> {
    let versioned = Versioned::open(session, args.paths.first().map(PathBuf::as_path))?;
    let version = versioned.staged()?;
    let root = versioned.repository.work_tree_root(&versioned.root)?;
    let only = versioned.only(&version, &args.paths)?;
    let judged = versioned.judge(
        &version,
        &only,
        &CheckOptions::default(),
        &session.monitor(Format::Text),
    )?;
    let mut wanted = Wanted::new();
    for checked in judged
        .checked
        .iter()
        .filter(|checked| is_finding(checked, &judged.rules.check))
    {
        match subjects(checked, args.image) {
            // What only warns stands in nobody's way.
            Err(why) if judged.rules.check.action(&checked.judgement) == Action::Warn => {
                writeln!(
                    anstream::stderr(),
                    "{}",
                    term::escape_text(&why.to_string())
                )?;
            }
            subjects => wanted.extend(subjects?),
        }
    }
    Ok((root, wanted))
}

/// The lines that there are already.
fn lines_of(root: &Path) -> Result<Exceptions> {
    let text = file::read_optional(&root.join(ALLOW_FILE), file::LONGEST_EXCEPTIONS)?;
    text.map_or_else(
        || Ok(Exceptions::default()),
        |text| Exceptions::parse(&text),
    )
}

fn check(
    session: &Session,
    reader: &Reader,
    rules: &Rules,
    paths: &[PathBuf],
    exceptions: &Exceptions,
) -> Result<Vec<Checked>> {
    let monitor = session.monitor(Format::Text);
    let items = place::check_items(reader.root(), paths, &|| monitor.cancelled())?;
    let mut checked = reader.check(
        items,
        &CheckOptions {
            rule: rules.edges,
            limits: Some(rules.limits),
            ..CheckOptions::default()
        },
        &monitor,
    )?;
    except(&mut checked, exceptions);
    Ok(checked)
}

/// What must be allowed for a file to pass, with the names of its files for the reader of the line.
fn subjects(checked: &Checked, image: bool) -> Result<Vec<(Subject, String)>> {
    let name = term::escape(&checked.item.path);
    let verdict = checked.judgement.verdict;
    match checked.id {
        _ if checked.allowed.is_some() || (verdict == Verdict::Novel && !image) => Ok(Vec::new()),
        Some(id) if image => Ok(vec![(Subject::Image(id), name)]),
        Some(_) if matches!(verdict, Verdict::Redundant | Verdict::Influential) => {
            Ok(pairs(checked)
                .map(|(pair, other)| (pair, format!("{name}, {other}")))
                .collect())
        }
        Some(_) => Err(Error::Input(format!(
            "{name} is {}, which is not about a pair; allow it with --image",
            verdict.name()
        ))),
        None => Err(Error::Input(format!(
            "{name} cannot be read as an image; allow it by its path, with --path"
        ))),
    }
}

/// The pairs that a verdict rests on, and a name of the other image.
fn pairs(checked: &Checked) -> impl Iterator<Item = (Subject, String)> {
    let first = |occurrences: &[wsidx::verdict::Occurrence]| {
        occurrences
            .first()
            .map_or_else(String::new, |o| term::escape(&o.path))
    };
    let same = checked
        .id
        .filter(|_| !checked.same.is_empty())
        .map(|id| (Subject::pair(id, id), first(&checked.same)));
    let near = checked.edges.iter().filter_map(move |edge| {
        Some((
            Subject::pair(checked.id?, edge.id),
            first(&edge.occurrences),
        ))
    });
    same.into_iter().chain(near)
}

/// Adds lines at the end of the file, which is made if it is missing. Nothing is written unless the
/// whole can be read again.
fn append(root: &Path, lines: &BTreeSet<String>) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let path = root.join(ALLOW_FILE);
    let old = file::read_optional(&path, file::LONGEST_EXCEPTIONS)?;
    let mut new = match &old {
        None => HEAD.to_owned(),
        Some(old) if old.is_empty() || old.ends_with(b"\n") => String::new(),
        Some(_) => "\n".to_owned(),
    };
    lines.iter().for_each(|line| new.extend([line, "\n"]));
    let whole = [old.as_deref().unwrap_or_default(), new.as_bytes()].concat();
    Exceptions::parse(&whole)?;
    file::write(&path, &whole)
}

pub(crate) fn baseline(session: &Session, command: &BaselineCommand) -> Outcome {
    let BaselineCommand::Write = command;
    let reader = session.reader(None)?;
    let rules = reader.rules()?;
    let root = [reader.root().to_owned()];
    let checked = check(session, &reader, &rules, &root, &lines_of(reader.root())?)?;
    let old = checked.iter().filter(|c| is_finding(c, &rules.check));
    let ids = old.flat_map(pairs).filter_map(|(subject, _)| {
        if let Subject::Pair(a, b) = subject {
            Some((a, b))
        } else {
            None
        }
    });
    let baseline = Baseline::new(ids);
    file::write(
        &reader.root().join(BASELINE_FILE),
        baseline.to_text(&rules.edges)?.as_bytes(),
    )?;
    if !session.quiet {
        let pairs = term::counted(baseline.len() as u64, "pair", "pairs");
        let images = term::counted(checked.len() as u64, "image", "images");
        writeln!(anstream::stderr(), "{pairs} of {images} written to {BASELINE_FILE}; commit it, and only what is new is told from now on")
            .map_err(Failure::Output)?;
    }
    Ok(Exit::Fine)
}

/// It is rejected or warned of, and not allowed.
fn is_finding(checked: &Checked, policy: &Policy) -> bool {
    checked.allowed.is_none() && policy.action(&checked.judgement) != Action::Pass
}
