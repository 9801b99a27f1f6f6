//! `wsidx check`.

use std::io::Write;

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use wsidx::{
    index::{CheckOptions, Checked, Match, Texture},
    monitor::Monitor as _,
    picture::Limits,
    similarity::register::RULE,
    verdict::{Action, Occurrence, Policy, Verdict, conflicts_with, leaks_into},
};

use crate::{
    Exit, Outcome,
    args::{Check, Format},
    json::{self, Decimal, NeighborJson, PathJson, hex, lossy},
    place,
    session::Session,
    term,
};

/// Near-duplicates that are listed; `duplicates` and `conflicts` count all.
const LISTED: usize = 10;

#[derive(Serialize)]
struct CheckJson {
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
    calibrated: bool,
    rule: &'static str,
    similarity: Option<Decimal>,
    percentile: Option<Decimal>,
    texture: Option<&'static str>,
    near_duplicates: Vec<NeighborJson>,
    nearest: Vec<NeighborJson>,
    message: String,
}

pub(crate) fn run(session: &Session, args: &Check) -> Outcome {
    let mut paths = args.paths.clone();
    if let Some(file) = &args.files_from {
        paths.extend(place::paths_from(file, args.nul)?);
    }
    let reader = session.reader(paths.first().map(std::path::PathBuf::as_path))?;
    let rules = reader.rules()?;
    let policy = rules.check;
    let monitor = session.monitor(args.output.format);
    let items = place::check_items(reader.root(), &paths, &|| monitor.cancelled())?;
    let options = CheckOptions {
        label: args.label.as_deref().map(|label| label.as_bytes().into()),
        split: args.split.as_deref().map(str::parse).transpose()?,
        limits: Limits::default(),
        rule: rules.edges,
    };
    let checked = reader.check(items, &options, &monitor)?;
    drop(monitor);
    let actions: Vec<Action> = checked.iter().map(|checked| policy.action(&checked.judgement)).collect();
    match args.output.format {
        Format::Text => text(session, args, &checked, &actions, &policy)?,
        format => json::write_all(&checked.iter().zip(&actions).map(|(c, a)| to_json(c, *a)).collect::<Vec<_>>(), format)?,
    }
    let rejected = actions.contains(&Action::Reject) && !args.exit_zero;
    Ok(if rejected { Exit::Findings } else { Exit::Fine })
}

fn to_json(checked: &Checked, action: Action) -> CheckJson {
    let judgement = &checked.judgement;
    let best = checked.nearest.iter().chain(&checked.edges).map(|m| m.similarity).max_by(f64::total_cmp);
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
        calibrated: false,
        rule: RULE,
        similarity: if judgement.exact { Some(Decimal(1.0)) } else { best.map(Decimal) },
        percentile: judgement.percentile.map(Decimal),
        texture: checked.texture.map(Texture::name),
        near_duplicates: NeighborJson::list(&checked.edges[..checked.edges.len().min(LISTED)]),
        nearest: NeighborJson::list(&checked.nearest),
        message: message(checked),
    }
}

/// Why, in one sentence: what rests on it first.
fn message(checked: &Checked) -> String {
    let judgement = &checked.judgement;
    match judgement.verdict {
        Verdict::Undecodable => {
            format!("cannot be read as an image: {}", checked.reason.as_deref().map_or_else(String::new, term::escape_text))
        }
        Verdict::Influential | Verdict::Redundant => evidence(checked),
        Verdict::Anomaly => match judgement.percentile {
            Some(percentile) => format!("unlike anything in the dataset: farther from its neighbours than {percentile:.1} % of the images"),
            None => "unlike anything in the dataset".to_owned(),
        },
        Verdict::Novel => novel(checked),
    }
}

/// What was compared, and what was not.
fn novel(checked: &Checked) -> String {
    match (checked.texture, checked.nearest.first()) {
        (Some(Texture::Flat(others)), _) => format!(
            "flat: without contrast, it is compared only with the flat pictures of the dataset ({}), for the same pixels",
            term::count(others as u64)
        ),
        (Some(Texture::TooLittle), _) => {
            "too little texture to tell whether it repeats another; only the same pixels would count".to_owned()
        }
        (_, Some(nearest)) => format!("nearest {} (similarity {:.3})", place_of(&nearest.occurrences), nearest.similarity),
        (_, None) => "nothing to compare it with".to_owned(),
    }
}

/// The content that decides: one in conflict if there is any, and of those the same bytes before near ones.
fn evidence(checked: &Checked) -> String {
    let conflicts = |occurrences: &[Occurrence]| conflicts_with(checked.label.as_ref(), occurrences);
    let wanted = |occurrences: &[Occurrence]| checked.judgement.conflicts == 0 || conflicts(occurrences);
    let mut text = match checked.edges.iter().find(|edge| wanted(&edge.occurrences)) {
        _ if !checked.same.is_empty() && wanted(&checked.same) => format!("same bytes as {}", place_of(&checked.same)),
        Some(Match { occurrences, similarity, pair, .. }) => {
            format!("similarity {similarity:.3} with {}: {}", place_of(occurrences), pair.map_or_else(String::new, |pair| pair.words()))
        }
        None => String::new(),
    };
    if let Some(Texture::Flat(others)) = checked.texture {
        text.push_str(&format!("; flat, like {} of the dataset", term::counted(others as u64, "content", "contents")));
    }
    let others = (checked.judgement.duplicates + checked.judgement.conflicts).saturating_sub(1);
    if others > 0 {
        text.push_str(&format!(", and {} more", term::count(others as u64)));
    }
    if let Some(leak) = checked.judgement.leak.then(|| leak(checked)).flatten() {
        text.push_str(&format!("; leak: {leak}"));
    }
    text
}

fn leak(checked: &Checked) -> Option<String> {
    let all = checked.same.iter().chain(checked.edges.iter().flat_map(|edge| &edge.occurrences));
    let other = all.into_iter().find(|o| leaks_into(checked.split, std::slice::from_ref(o)))?;
    Some(format!("{} is in {}", term::escape(&other.path), other.split?))
}

/// The first path, with its label and split.
fn place_of(occurrences: &[Occurrence]) -> String {
    let Some(first) = occurrences.first() else { return "a file of this request".to_owned() };
    let more = occurrences.len() - 1;
    let label = first.label.as_deref().map(|label| format!("label {}", term::escape(label)));
    let split = first.split.map(|split| split.name().to_owned());
    let more = (more > 0).then(|| format!("{} more", term::counted(more as u64, "path", "paths")));
    let known: Vec<String> = label.into_iter().chain(split).chain(more).collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    format!("{}{known}", term::escape(&first.path))
}

fn style(checked: &Checked, action: Action) -> Style {
    match (action, checked.judgement.verdict) {
        (Action::Reject, _) => AnsiColor::Red.on_default().bold(),
        (Action::Warn, _) => AnsiColor::Yellow.on_default(),
        (Action::Pass, Verdict::Novel) => AnsiColor::Green.on_default(),
        (Action::Pass, _) => Style::new(),
    }
}

fn text(session: &Session, args: &Check, checked: &[Checked], actions: &[Action], policy: &Policy) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(anstream::stdout().lock());
    let shown =
        |c: &Checked, action: Action| args.verbose || checked.len() == 1 || action != Action::Pass || c.judgement.verdict != Verdict::Novel;
    for (checked, &action) in checked.iter().zip(actions).filter(|(c, a)| shown(c, **a)) {
        let style = style(checked, action);
        let leak = if checked.judgement.leak { " + leak" } else { "" };
        let verdict = format!("{}{leak}", checked.judgement.verdict.name());
        writeln!(out, "{style}{verdict:18}{style:#} {}", term::escape(&checked.item.path))?;
        writeln!(out, "{:18} {}", "", message(checked))?;
    }
    out.flush()?;
    drop(out);
    if session.quiet {
        return Ok(());
    }
    summary(checked, actions, policy)
}

fn summary(checked: &[Checked], actions: &[Action], policy: &Policy) -> std::io::Result<()> {
    let mut talk = anstream::stderr();
    let of = |verdict: Verdict| checked.iter().filter(|c| c.judgement.verdict == verdict).count() as u64;
    let verdicts = [Verdict::Redundant, Verdict::Influential, Verdict::Anomaly, Verdict::Undecodable, Verdict::Novel];
    let mut counts: Vec<String> =
        verdicts.iter().filter(|v| of(**v) > 0).map(|v| format!("{} {}", term::count(of(*v)), v.name())).collect();
    let leaks = checked.iter().filter(|c| c.judgement.leak).count() as u64;
    if leaks > 0 {
        counts.push(term::counted(leaks, "leak", "leaks"));
    }
    let files = term::counted(checked.len() as u64, "image", "images");
    writeln!(talk, "{files} checked{}{}", if counts.is_empty() { "" } else { ": " }, counts.join(", "))?;
    let rejected = actions.iter().filter(|a| **a == Action::Reject).count() as u64;
    if rejected > 0 {
        let words: Vec<String> = policy.reject.iter().map(|f| serde_json::to_string(f).unwrap_or_default().replace('"', "")).collect();
        writeln!(
            talk,
            "{} rejected: the policy rejects {} (change it in wsidx.toml; wsidx check --help)",
            term::count(rejected),
            words.join(", ")
        )?;
    }
    Ok(())
}
