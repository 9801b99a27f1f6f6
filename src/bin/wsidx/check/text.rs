//! Verdicts → lines for a person, and a summary.

use std::io::Write;

use clap::builder::styling::{AnsiColor, Style};
use wsidx::{
    index::Checked,
    verdict::{Action, Policy, Verdict},
};

use super::message::message;
use crate::term;

/// Findings, with all of them under `verbose`; a single file is always shown.
pub(super) fn findings(checked: &[Checked], actions: &[Action], verbose: bool) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(anstream::stdout().lock());
    let finding = |c: &Checked, action: Action| action != Action::Pass || (c.judgement.verdict != Verdict::Novel && c.allowed.is_none());
    let shown = |c: &Checked, action: Action| verbose || checked.len() == 1 || finding(c, action);
    for (checked, &action) in checked.iter().zip(actions).filter(|(c, a)| shown(c, **a)) {
        let style = style(checked, action);
        let leak = if checked.judgement.leak { " + leak" } else { "" };
        let verdict = format!("{}{leak}", checked.judgement.verdict.name());
        writeln!(out, "{style}{verdict:18}{style:#} {}", term::escape(&checked.item.path))?;
        writeln!(out, "{:18} {}", "", message(checked))?;
        if let Some(reason) = &checked.allowed {
            writeln!(out, "{:18} allowed: {}", "", term::escape_text(reason))?;
        }
    }
    out.flush()
}

fn style(checked: &Checked, action: Action) -> Style {
    match (action, checked.judgement.verdict) {
        (Action::Reject, _) => AnsiColor::Red.on_default().bold(),
        (Action::Warn, _) => AnsiColor::Yellow.on_default(),
        (Action::Pass, Verdict::Novel) => AnsiColor::Green.on_default(),
        (Action::Pass, _) => Style::new(),
    }
}

/// How many of which verdict, on standard error; and what to do where something is rejected.
pub(super) fn summary(checked: &[Checked], actions: &[Action], policy: &Policy) -> std::io::Result<()> {
    let mut talk = anstream::stderr();
    let of = |verdict: Verdict| checked.iter().filter(|c| c.judgement.verdict == verdict).count() as u64;
    let verdicts = [Verdict::Redundant, Verdict::Influential, Verdict::Anomaly, Verdict::Undecodable, Verdict::Novel];
    let mut counts: Vec<String> =
        verdicts.iter().filter(|v| of(**v) > 0).map(|v| format!("{} {}", term::count(of(*v)), v.name())).collect();
    let leaks = checked.iter().filter(|c| c.judgement.leak).count() as u64;
    if leaks > 0 {
        counts.push(term::counted(leaks, "leak", "leaks"));
    }
    let allowed = checked.iter().filter(|c| c.allowed.is_some()).count() as u64;
    if allowed > 0 {
        counts.push(format!("{} of them allowed", term::count(allowed)));
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
