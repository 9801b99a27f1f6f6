//! What people call a range of commits → the commits where it begins and ends, and those in it.

use super::Repository;
use crate::{Error, Result};

/// From one commit to another; both are ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRange {
    /// What was there before: of several commits, what any of them had; none for nothing.
    pub from: Vec<String>,
    /// What is to be there.
    pub to: String,
}

impl Repository {
    /// `A..B` or `A...B`, either side `HEAD` if it is empty: from the merge base to B, or from A
    /// where there is none. Of several merge bases, what any had is not new.
    ///
    /// # Errors
    /// [`Error::Input`] for what is no range, a commit that is not there, and a shallow clone.
    pub fn range(&self, text: &str) -> Result<CommitRange> {
        let (from, to) = text
            .split_once("...")
            .or_else(|| text.split_once(".."))
            .ok_or_else(|| {
                Error::Input(format!(
                    "`{}` is no range of commits; give one as A..B, or auto",
                    text.escape_debug()
                ))
            })?;
        self.require_history()?;
        let or_head = |side: &str| {
            if side.is_empty() {
                "HEAD".to_owned()
            } else {
                side.to_owned()
            }
        };
        let to = self.resolve(&or_head(to))?;
        match from {
            zeros if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => Ok(CommitRange {
                from: Vec::new(),
                to,
            }),
            from => self.since(&self.resolve(&or_head(from))?, to),
        }
    }

    /// From the merge bases of two commits to the second.
    pub(super) fn since(&self, from: &str, to: String) -> Result<CommitRange> {
        let bases = self
            .line(&["merge-base", "--all", from, &to])
            .unwrap_or_default();
        let bases: Vec<String> = bases.lines().map(str::to_owned).collect();
        Ok(CommitRange {
            from: if bases.is_empty() {
                vec![from.to_owned()]
            } else {
                bases
            },
            to,
        })
    }

    /// # Errors
    /// [`Error::Input`] with the remedy where the history is cut.
    pub fn require_history(&self) -> Result<()> {
        if self.shallow {
            Err(Error::Input(
                "the clone is shallow, so what a range of commits changed cannot be known; fetch the history with `git fetch --unshallow` \
                 (GitHub: actions/checkout needs fetch-depth: 0; GitLab: GIT_DEPTH: 0)"
                    .into(),
            ))
        } else {
            Ok(())
        }
    }

    /// The id of a commit.
    pub(super) fn resolve(&self, name: &str) -> Result<String> {
        self.line(&[
            "rev-parse",
            "--quiet",
            "--verify",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ])
        .map_err(|_| {
            Error::Input(format!(
                "`{}` is no commit of this repository; fetch it first",
                name.escape_debug()
            ))
        })
    }

    /// From one commit to another, whatever their histories have in common.
    ///
    /// # Errors
    /// [`Error::Input`] for what is no commit.
    pub fn between(&self, from: &str, to: &str) -> Result<CommitRange> {
        Ok(CommitRange {
            from: vec![self.resolve(from)?],
            to: self.resolve(to)?,
        })
    }

    /// The commits of a range, oldest first, each with its parents.
    ///
    /// # Errors
    /// As [`Repository::staged`].
    pub fn commits(&self, range: &CommitRange) -> Result<Vec<(Vec<String>, String)>> {
        let not = range.from.iter().map(|from| format!("^{from}"));
        let args: Vec<String> = ["rev-list", "--reverse", "--topo-order", "--parents"]
            .map(str::to_owned)
            .into_iter()
            .collect();
        let args: Vec<String> = args
            .into_iter()
            .chain([range.to.clone()])
            .chain(not)
            .collect();
        let list = self.line(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        let split = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            words.next().map(|commit| (words.collect(), commit))
        };
        Ok(list.lines().filter_map(split).collect())
    }
}
