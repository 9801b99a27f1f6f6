//! Verdicts → lines for a person, and a summary.

use std::io::Write;

use clap::builder::styling::{AnsiColor, Style};
use wsidx::{
    index::Checked,
    verdict::{ALLOW_FILE, Action, Policy, Verdict},
};

use super::{Occasion, message::message};
use crate::term;

/// Findings, with all of them under `verbose`; a single file is always shown.
pub(super) fn findings(
    checked: &[Checked],
    actions: &[Action],
    verbose: bool,
) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(anstream::stdout().lock());
    let finding = |c: &Checked, action: Action| {
        action != Action::Pass || (c.judgement.verdict != Verdict::Novel && c.allowed.is_none())
    };
    let shown = |c: &Checked, action: Action| verbose || checked.len() == 1 || finding(c, action);
    for (checked, &action) in checked.iter().zip(actions).filter(|(c, a)| shown(c, **a)) {
        let style = style(checked, action);
        let leak = if checked.judgement.leak {
            " + leak"
        } else {
            ""
        };
        let verdict = format!("{}{leak}", checked.judgement.verdict.name());
        writeln!(
            out,
            "{style}{verdict:18}{style:#} {}",
            term::escape(&checked.item.path)
        )?;
        writeln!(out, "{:18} {}", "", message(checked))?;
        if let Some(reason) = &checked.allowed {
            writeln!(out, "{:18} allowed: {}", "", term::escape_text(reason))?;
        }
    }
    out.flush()
}

/// So many findings of a change are told one by one.
const MOST: usize = 20;

/// The findings of a change in version control, and the ways out; `place` gives a file's path from
/// the top of the repository.
pub(super) fn change(
    occasion: Occasion,
    checked: &[Checked],
    actions: &[Action],
    quiet: bool,
    place: &dyn Fn(&[u8]) -> Vec<u8>,
) -> std::io::Result<()> {
    let told: Vec<(&Checked, Action)> = checked
        .iter()
        .zip(actions.iter().copied())
        .filter(|(_, action)| *action != Action::Pass)
        .collect();
    let rejected: Vec<&Checked> = told
        .iter()
        .filter(|(_, action)| *action == Action::Reject)
        .map(|(checked, _)| *checked)
        .collect();
    let mut talk = anstream::stderr();
    let what = if occasion == Occasion::Commit {
        "commit"
    } else {
        "push"
    };
    let images = term::counted(checked.len() as u64, "new image", "new images");
    match (rejected.len(), told.len()) {
        (0, 0) if quiet || checked.is_empty() => {}
        (0, 0) => writeln!(talk, "wsidx: {images} checked")?,
        (0, n) => writeln!(
            talk,
            "wsidx: {} of {images} to look at",
            term::count(n as u64)
        )?,
        (n, _) => writeln!(
            talk,
            "wsidx: {what} rejected: {} of {images}",
            term::count(n as u64)
        )?,
    }
    let mut out = anstream::stdout().lock();
    for (checked, action) in told.iter().take(MOST) {
        let style = style(checked, *action);
        let leak = if checked.judgement.leak {
            " + leak"
        } else {
            ""
        };
        writeln!(
            out,
            "  {style}{:12}{style:#} {}{leak}",
            checked.judgement.verdict.name(),
            term::escape(&place(&checked.item.path))
        )?;
        writeln!(out, "  {:12} {}", "", message(checked))?;
    }
    if told.len() > MOST {
        writeln!(
            out,
            "  … and {} more (wsidx check --staged --format json)",
            term::count((told.len() - MOST) as u64)
        )?;
    }
    out.flush()?;
    if rejected.is_empty() {
        Ok(())
    } else {
        ways_out(occasion, &rejected, place)
    }
}

fn ways_out(
    occasion: Occasion,
    rejected: &[&Checked],
    place: &dyn Fn(&[u8]) -> Vec<u8>,
) -> std::io::Result<()> {
    let words: Option<Vec<String>> = rejected
        .iter()
        .take(MOST + 1)
        .map(|checked| shell_word(&place(&checked.item.path)))
        .collect();
    let files = words
        .filter(|words| words.len() <= MOST)
        .map_or_else(|| "FILE…".to_owned(), |words| words.join(" "));
    let mut talk = anstream::stderr();
    match occasion {
        Occasion::Commit => {
            writeln!(
                talk,
                "drop them:   git rm --cached -- {files}      (changed, not new: git restore --staged; in DVC: remove them, dvc add again)"
            )?;
            let allow =
                shell_word(&place(ALLOW_FILE.as_bytes())).unwrap_or_else(|| ALLOW_FILE.to_owned());
            writeln!(
                talk,
                "keep them:   wsidx allow --staged {files} && git add {allow}"
            )?;
            writeln!(
                talk,
                "skip once:   WSIDX_SKIP=1 git commit ...      (or git commit --no-verify)"
            )
        }
        Occasion::Push => {
            writeln!(
                talk,
                "drop them:   take them out of the commits (git commit --amend, git rebase -i), and push again"
            )?;
            writeln!(
                talk,
                "keep them:   wsidx allow {files}, and commit .wsidx-allow"
            )?;
            writeln!(
                talk,
                "skip once:   WSIDX_SKIP=1 git push ...      (or git push --no-verify)"
            )
        }
        _ => writeln!(
            talk,
            "drop them:   take them out of the commits (git commit --amend, git rebase -i), and push again"
        ),
    }
}

/// A name as a word of a shell; none for one that is not plain text.
fn shell_word(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name)
        .ok()
        .filter(|text| term::escape_text(text) == *text)?;
    Some(wsidx::file::shell_word(std::path::Path::new(text)))
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
pub(super) fn summary(
    checked: &[Checked],
    actions: &[Action],
    policy: &Policy,
) -> std::io::Result<()> {
    let mut talk = anstream::stderr();
    let of = |verdict: Verdict| {
        checked
            .iter()
            .filter(|c| c.judgement.verdict == verdict)
            .count() as u64
    };
    let verdicts = [
        Verdict::Redundant,
        Verdict::Influential,
        Verdict::Anomaly,
        Verdict::Missing,
        Verdict::Undecodable,
        Verdict::Novel,
    ];
    let mut counts: Vec<String> = verdicts
        .iter()
        .filter(|v| of(**v) > 0)
        .map(|v| format!("{} {}", term::count(of(*v)), v.name()))
        .collect();
    let leaks = checked.iter().filter(|c| c.judgement.leak).count() as u64;
    if leaks > 0 {
        counts.push(term::counted(leaks, "leak", "leaks"));
    }
    let allowed = checked.iter().filter(|c| c.allowed.is_some()).count() as u64;
    if allowed > 0 {
        counts.push(format!("{} of them allowed", term::count(allowed)));
    }
    let files = term::counted(checked.len() as u64, "image", "images");
    writeln!(
        talk,
        "{files} checked{}{}",
        if counts.is_empty() { "" } else { ": " },
        counts.join(", ")
    )?;
    let rejected = actions.iter().filter(|a| **a == Action::Reject).count() as u64;
    if rejected > 0 {
        let words: Vec<String> = policy
            .reject
            .iter()
            .map(|f| {
                serde_json::to_string(f)
                    .unwrap_or_default()
                    .replace('"', "")
            })
            .collect();
        writeln!(
            talk,
            "{} rejected: the policy rejects {} (change it in wsidx.toml; wsidx check --help)",
            term::count(rejected),
            words.join(", ")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_commands_are_words_of_a_shell_or_are_left_out() {
        assert_eq!(shell_word(b"a/b-1.png").unwrap(), "a/b-1.png");
        assert_eq!(
            shell_word("it's ü $(x).png".as_bytes()).unwrap(),
            r"'it'\''s ü $(x).png'"
        );
        assert_eq!(
            [&b"a\nb"[..], b"a\x1b", b"\xff"].map(shell_word),
            [None, None, None]
        );
    }
}
