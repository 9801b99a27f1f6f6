//! What a push brings: the lines that git gives to the hooks pre-push and pre-receive → ranges of
//! commits (githooks).

use super::{CommitRange, Repository};
use crate::{Error, Result};

/// A reference that is pushed; ids of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it was; `None` for a new one.
    pub old: Option<String>,
    /// Where it will be; `None` if it is deleted.
    pub new: Option<String>,
    /// Its name on the receiving side.
    pub name: String,
}

/// Lines `<old> <new> <reference>`.
///
/// # Errors
/// [`Error::Input`] for anything else.
pub fn parse_pre_receive(text: &str) -> Result<Vec<Received>> {
    lines(text, |words| match words {
        [old, new, name] => Some(Received {
            old: id(old)?,
            new: id(new)?,
            name: (*name).to_owned(),
        }),
        _ => None,
    })
}

/// Lines `<local reference> <local id> <remote reference> <remote id>`.
///
/// # Errors
/// [`Error::Input`] for anything else.
pub fn parse_pre_push(text: &str) -> Result<Vec<Received>> {
    lines(text, |words| match words {
        [_, new, name, old] => Some(Received {
            old: id(old)?,
            new: id(new)?,
            name: (*name).to_owned(),
        }),
        _ => None,
    })
}

fn lines(text: &str, read: impl Fn(&[&str]) -> Option<Received>) -> Result<Vec<Received>> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        read(&words).ok_or_else(|| {
            Error::Input(format!(
                "`{}` is no line that git gives to this hook",
                line.escape_debug()
            ))
        })
    };
    text.lines().map(one).collect()
}

/// An id, `None` inside for zeros, outside for what is none.
fn id(word: &str) -> Option<Option<String>> {
    let hex = matches!(word.len(), 40 | 64) && word.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| (!word.bytes().all(|b| b == b'0')).then(|| word.to_owned()))
}

impl Repository {
    /// What a pushed reference brings that the receiving side has not: `None` for a deletion, and
    /// where there is nothing new. `known` says to git what the other side has: `--all` on a
    /// server, `--remotes=NAME` before a push.
    ///
    /// # Errors
    /// [`Error::Input`] with the words of git; [`Error::Io`].
    pub fn pushed(&self, received: &Received, known: &str) -> Result<Option<CommitRange>> {
        let Some(new) = &received.new else {
            return Ok(None);
        };
        // A tag may point to what is no commit.
        let Ok(to) = self.resolve(new) else {
            return Ok(None);
        };
        if let Some(old) = received.old.as_ref().and_then(|old| self.resolve(old).ok()) {
            return if old == to {
                Ok(None)
            } else {
                self.since(&old, to).map(Some)
            };
        }
        // Where what is new ends; of commits that follow one another, the last is enough.
        let list = self.line(&["rev-list", "--boundary", &to, "--not", known])?;
        let ends = list.lines().filter_map(|line| line.strip_prefix('-'));
        let from: Vec<String> = match ends.clone().nth(1) {
            None => ends.map(str::to_owned).collect(),
            Some(_) => {
                let args: Vec<&str> = ["merge-base", "--independent"]
                    .into_iter()
                    .chain(ends)
                    .collect();
                self.line(&args)?.lines().map(str::to_owned).collect()
            }
        };
        Ok((!list.is_empty()).then_some(CommitRange { from, to }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_hooks_are_read_and_others_are_refused() {
        let (a, b, zero) = ("a".repeat(40), "b".repeat(40), "0".repeat(40));
        let read = parse_pre_receive(&format!(
            "{a} {b} refs/heads/x\n{zero} {b} refs/heads/new\n{a} {zero} refs/heads/gone\n"
        ))
        .unwrap();
        let ends: Vec<_> = read
            .iter()
            .map(|r| (r.old.is_some(), r.new.is_some(), r.name.as_str()))
            .collect();
        assert_eq!(
            ends,
            [
                (true, true, "refs/heads/x"),
                (false, true, "refs/heads/new"),
                (true, false, "refs/heads/gone")
            ]
        );
        let read = parse_pre_push(&format!(
            "refs/heads/x {b} refs/heads/y {a}\n(delete) {zero} refs/heads/z {a}\n"
        ))
        .unwrap();
        assert_eq!(
            read[0],
            Received {
                old: Some(a.clone()),
                new: Some(b.clone()),
                name: "refs/heads/y".into()
            }
        );
        assert_eq!((read[1].new.as_deref(), read.len()), (None, 2));
        for bad in [
            "x",
            "a b c",
            &format!("{a} {b}"),
            &format!("{a} --all refs/x"),
            &format!("{a} {b} c d e"),
        ] {
            assert!(
                parse_pre_receive(bad).is_err() && parse_pre_push(bad).is_err(),
                "{bad}"
            );
        }
    }
}
