//! `wsidx check`.

mod finding;
mod github;
mod message;
mod metrics;
mod sarif;
mod text;

use std::{
    io::{self, Write as _},
    path::Path,
};

use clap::ValueEnum;
use serde::Serialize;
use wsidx::{
    file::Content,
    index::{CheckOptions, Checked, Texture, except},
    monitor::Monitor,
    similarity::register::RULE,
    verdict::{ALLOW_FILE, Action, BASELINE_FILE, Exception, Policy, Rules},
};

use self::message::{fingerprint, message};
use crate::{
    Exit, Outcome,
    args::{Check, Format},
    json::{self, ClusterJson, Decimal, NeighborJson, PathJson, hex, lossy},
    place,
    session::Session,
    term,
    versions::{self, Judged},
};

/// Near-duplicates that are listed; `duplicates` and `conflicts` count all.
const LISTED: usize = 10;

#[derive(Serialize)]
pub(crate) struct CheckJson {
    schema: &'static str,
    #[serde(flatten)]
    path: PathJson,
    id: Option<String>,
    label: Option<String>,
    split: Option<&'static str>,
    verdict: &'static str,
    exact: bool,
    leak: bool,
    duplicates: usize,
    conflicts: usize,
    reject: bool,
    allowed: Option<String>,
    fingerprint: Option<String>,
    calibrated: bool,
    rule: &'static str,
    similarity: Option<Decimal>,
    percentile: Option<Decimal>,
    texture: Option<&'static str>,
    cluster: Option<ClusterJson>,
    near_duplicates: Vec<NeighborJson>,
    nearest: Vec<NeighborJson>,
    message: String,
}

pub(crate) fn run(session: &Session, args: &Check) -> Outcome {
    let metrics = place::output("--metrics", args.metrics.as_deref(), Content::Json)?;
    let plots = place::output("--plots", args.plots.as_deref(), Content::Csv)?;
    let monitor = session.monitor(args.format.plain());
    let judged = if args.staged || args.range.is_some() {
        versions::check(session, args, &CheckOptions::default(), &monitor)?
    } else {
        files(session, args, &monitor)?
    };
    drop(monitor);
    if !session.quiet {
        tell_unused(&judged.unused)?;
        tell_added(&judged.added)?;
    }
    let occasion = if args.staged {
        Occasion::Commit
    } else {
        Occasion::Files
    };
    let report = Report {
        root: &judged.root,
        rules: &judged.rules,
        format: args.format,
        verbose: args.verbose,
        occasion,
    };
    if let Some(file) = &metrics {
        let actions: Vec<Action> = judged
            .checked
            .iter()
            .map(|checked| action(&judged.rules.check, checked))
            .collect();
        metrics::write_metrics(file, &judged.checked, &actions)?;
    }
    if let Some(file) = &plots {
        metrics::write_plots(file, &judged.checked)?;
    }
    match report.write(session, &judged.checked)? {
        Exit::Findings if args.exit_zero => Ok(Exit::Fine),
        exit => Ok(exit),
    }
}

/// Verdicts on files.
fn files(session: &Session, args: &Check, monitor: &dyn Monitor) -> wsidx::Result<Judged> {
    let mut paths = args.paths.clone();
    if let Some(file) = &args.files_from {
        paths.extend(place::paths_from(&session.interrupt(), file, args.nul)?);
    }
    let reader = session.reader(paths.first().map(std::path::PathBuf::as_path))?;
    let rules = reader.rules()?;
    let exceptions = reader.exceptions(&rules.edges)?;
    let items = place::check_items(reader.root(), &paths, &|| monitor.cancelled())?;
    let options = CheckOptions {
        label: args.label.as_deref().map(|label| label.as_bytes().into()),
        split: args.split.as_deref().map(str::parse).transpose()?,
        limits: Some(rules.limits),
        rule: rules.edges,
    };
    let mut checked = reader.check(items, &options, monitor)?;
    let mut unused = except(&mut checked, &exceptions);
    if !paths
        .iter()
        .any(|path| place::inside(reader.root(), path).is_ok_and(|path| path.is_empty()))
    {
        unused.clear();
    }
    Ok(Judged {
        checked,
        rules,
        unused,
        added: (Vec::new(), 0),
        root: reader.root().to_owned(),
    })
}

/// Names the lines of `.wsidx-allow` that accepted nothing, where all that they could accept was
/// judged.
fn tell_unused(unused: &[Exception]) -> io::Result<()> {
    let mut talk = anstream::stderr();
    unused.iter().try_for_each(|exception| {
        let line = exception.subject.line(&exception.reason);
        writeln!(
            talk,
            "{ALLOW_FILE}:{}: accepts nothing any more, and can go: {}",
            exception.line,
            term::escape_text(&line)
        )
    })
}

/// Shows what a change accepts for good, so that those who review it see it.
fn tell_added((lines, pairs): &(Vec<Exception>, usize)) -> io::Result<()> {
    let mut talk = anstream::stderr();
    let findings = term::counted(lines.len() as u64, "exception", "exceptions");
    if !lines.is_empty() {
        writeln!(
            talk,
            "wsidx: the change adds {findings}; whoever takes it in accepts:"
        )?;
    }
    for exception in lines {
        let line = exception.subject.line(&exception.reason);
        writeln!(
            talk,
            "{ALLOW_FILE}:{}: {}",
            exception.line,
            term::escape_text(&line)
        )?;
    }
    match *pairs as u64 {
        0 => Ok(()),
        pairs => writeln!(
            talk,
            "wsidx: the change adds {} to {BASELINE_FILE}",
            term::counted(pairs, "pair", "pairs")
        ),
    }
}

/// How verdicts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// One JSON value
    Json,
    /// One JSON object a line
    Jsonl,
    /// SARIF 2.1.0, for code scanning services
    Sarif,
    /// Commands of GitHub Actions, which annotate a change
    Github,
}

impl ReportFormat {
    /// Whether people read it or machines.
    pub(crate) fn plain(self) -> Format {
        if self == Self::Text {
            Format::Text
        } else {
            Format::Json
        }
    }
}

/// What is judged, for those who are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Files that were named, or a range of commits.
    Files,
    /// What is staged.
    Commit,
    /// What is about to be pushed.
    Push,
    /// What a server is about to take.
    Receive,
}

/// How verdicts are told, whatever was judged.
pub(crate) struct Report<'a> {
    /// The root of the dataset, to which the paths are relative.
    pub(crate) root: &'a Path,
    pub(crate) rules: &'a Rules,
    pub(crate) format: ReportFormat,
    /// List the novel ones too.
    pub(crate) verbose: bool,
    pub(crate) occasion: Occasion,
}

impl Report<'_> {
    /// Writes the verdicts, and says whether the policy rejects any.
    pub(crate) fn write(&self, session: &Session, checked: &[Checked]) -> Outcome {
        let actions: Vec<Action> = checked
            .iter()
            .map(|checked| action(&self.rules.check, checked))
            .collect();
        let top = place::top(self.root);
        match self.format {
            ReportFormat::Text => {
                if self.occasion != Occasion::Files && !self.verbose {
                    text::change(self.occasion, checked, &actions, session.quiet, &|path| {
                        place::from_top(&top, self.root, path)
                    })?;
                } else {
                    text::findings(checked, &actions, self.verbose)?;
                    if !session.quiet {
                        text::summary(checked, &actions, &self.rules.check)?;
                    }
                }
            }
            ReportFormat::Json => self.json(checked, &actions, Format::Json)?,
            ReportFormat::Jsonl => self.json(checked, &actions, Format::Jsonl)?,
            ReportFormat::Sarif | ReportFormat::Github => self.findings(checked)?,
        }
        Ok(if actions.contains(&Action::Reject) {
            Exit::Findings
        } else {
            Exit::Fine
        })
    }

    fn json(&self, checked: &[Checked], actions: &[Action], format: Format) -> io::Result<()> {
        let calibrated = self.rules.is_calibrated();
        json::write_all(
            &checked
                .iter()
                .zip(actions)
                .map(|(c, a)| to_json(c, *a, calibrated))
                .collect::<Vec<_>>(),
            format,
        )
    }

    fn findings(&self, checked: &[Checked]) -> io::Result<()> {
        let findings = finding::findings(checked, &self.rules.check);
        let top = place::top(self.root);
        let place = |path: &[u8]| place::from_top(&top, self.root, path);
        let mut out = io::BufWriter::new(io::stdout().lock());
        match self.format {
            ReportFormat::Sarif => sarif::write(&mut out, &findings, &place)?,
            _ => github::write(&mut out, &findings, &|path| term::escape(&place(path)))?,
        }
        out.flush()
    }
}

/// What a policy makes of a verdict; what is allowed passes.
pub(crate) fn action(policy: &Policy, checked: &Checked) -> Action {
    if checked.allowed.is_some() {
        Action::Pass
    } else {
        policy.action(&checked.judgement)
    }
}

/// The JSON of a verdict; whether the threshold was `calibrated` for the dataset.
pub(crate) fn to_json(checked: &Checked, action: Action, calibrated: bool) -> CheckJson {
    let judgement = &checked.judgement;
    let best = checked
        .nearest
        .iter()
        .chain(&checked.edges)
        .map(|m| m.similarity)
        .max_by(f64::total_cmp);
    CheckJson {
        schema: "wsidx.check/1",
        path: PathJson::new(&checked.item.path),
        id: checked.id.as_ref().map(hex),
        label: checked.label.as_deref().map(lossy),
        split: checked.split.map(wsidx::verdict::Split::name),
        verdict: judgement.verdict.name(),
        exact: judgement.exact,
        leak: judgement.leak,
        duplicates: judgement.duplicates,
        conflicts: judgement.conflicts,
        reject: action == Action::Reject,
        allowed: checked.allowed.clone(),
        fingerprint: fingerprint(checked),
        calibrated,
        rule: RULE,
        similarity: if judgement.exact {
            Some(Decimal(1.0))
        } else {
            best.map(Decimal)
        },
        percentile: judgement.percentile.map(Decimal),
        texture: checked.texture.map(Texture::name),
        cluster: checked.cluster().map(ClusterJson::new),
        near_duplicates: NeighborJson::list(&checked.edges[..checked.edges.len().min(LISTED)]),
        nearest: NeighborJson::list(&checked.nearest),
        message: message(checked),
    }
}
