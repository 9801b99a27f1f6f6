//! `.wsidx-baseline.json` → the pairs that a dataset had before anybody looked, and that nobody is
//! to be told of again.
//!
//! It is written by the program and read back by it: `version` 1, the program that wrote it
//! (`tool`), the rule that decided the pairs (`rule`, `threshold`, `accept`), and `pairs` of
//! content ids, `smaller:larger`, sorted; a content with itself for copies of the same bytes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    file::LONGEST_EXCEPTIONS,
    similarity::{EdgeRule, register::RULE},
};

/// The baseline in the root of a dataset.
pub const BASELINE_FILE: &str = ".wsidx-baseline.json";

type Id = [u8; 32];

/// Pairs of contents, the smaller id first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    pairs: BTreeSet<(Id, Id)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    tool: String,
    rule: String,
    threshold: f32,
    accept: Vec<String>,
    pairs: Vec<String>,
}

impl Baseline {
    /// A baseline of pairs, each in either order.
    pub fn new(pairs: impl IntoIterator<Item = (Id, Id)>) -> Self {
        Self {
            pairs: pairs
                .into_iter()
                .map(|(a, b)| (a.min(b), a.max(b)))
                .collect(),
        }
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// There is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn contains(&self, pair: &(Id, Id)) -> bool {
        self.pairs.contains(pair)
    }

    /// Reads the bytes of a `.wsidx-baseline.json`, for pairs decided by `rule`.
    ///
    /// # Errors
    /// [`Error::Input`] where it is none, is of another version, or was made under another rule.
    pub fn parse(text: &[u8], rule: &EdgeRule) -> Result<Self> {
        let stored = Stored::parse(text)?;
        let now = Stored::new(rule, Vec::new());
        if (&stored.rule, stored.threshold, &stored.accept)
            != (&now.rule, now.threshold, &now.accept)
        {
            return Err(wrong("made under another rule of what a near-duplicate is (`[edges]` in wsidx.toml, or another wsidx)".into()));
        }
        stored.baseline()
    }

    /// The same, whatever the rule was.
    ///
    /// # Errors
    /// [`Error::Input`] where it is no baseline or is of another version.
    pub fn parse_of_any_rule(text: &[u8]) -> Result<Self> {
        Stored::parse(text)?.baseline()
    }

    /// How many pairs it has that none of `before` has.
    pub fn more_than(&self, before: &[Self]) -> usize {
        self.pairs
            .iter()
            .filter(|pair| !before.iter().any(|before| before.contains(pair)))
            .count()
    }

    /// The text of the file; equal for equal pairs and rules.
    ///
    /// # Errors
    /// [`Error::Input`] for more pairs than [`Baseline::parse`] would read.
    pub fn to_text(&self, rule: &EdgeRule) -> Result<String> {
        let hex = |id: &Id| data_encoding::HEXLOWER.encode(id);
        let pairs = self
            .pairs
            .iter()
            .map(|(a, b)| format!("{}:{}", hex(a), hex(b)))
            .collect();
        let text = serde_json::to_string_pretty(&Stored::new(rule, pairs))
            .map_err(|e| Error::Input(e.to_string()))?
            + "\n";
        if text.len() as u64 <= LONGEST_EXCEPTIONS {
            Ok(text)
        } else {
            Err(Error::Input(format!(
                "{} pairs are too many for a baseline",
                self.len()
            )))
        }
    }
}

impl Stored {
    fn parse(text: &[u8]) -> Result<Self> {
        if text.len() as u64 > LONGEST_EXCEPTIONS {
            return Err(wrong(format!(
                "{} bytes; the limit is {LONGEST_EXCEPTIONS}",
                text.len()
            )));
        }
        let stored: Self = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        match stored.version {
            1 => Ok(stored),
            version => Err(wrong(format!(
                "version {version}; this wsidx reads version 1"
            ))),
        }
    }

    fn baseline(&self) -> Result<Baseline> {
        let pair = |text: &String| {
            let (a, b) = text.split_once(':')?;
            Some((id(a)?, id(b)?))
        };
        let pairs = self.pairs.iter().map(|text| {
            pair(text).ok_or_else(|| wrong(format!("`{}` is no pair of ids", text.escape_debug())))
        });
        Ok(Baseline::new(pairs.collect::<Result<Vec<_>>>()?))
    }

    fn new(rule: &EdgeRule, pairs: Vec<String>) -> Self {
        let tool = format!("wsidx {}", env!("CARGO_PKG_VERSION"));
        let accept = rule.accept.names().map(str::to_owned).collect();
        Self {
            version: 1,
            tool,
            rule: RULE.into(),
            threshold: rule.threshold,
            accept,
            pairs,
        }
    }
}

fn wrong(what: String) -> Error {
    Error::Input(format!(
        "{BASELINE_FILE}: {what}; take the file back from version control, or make it again with `wsidx baseline write`"
    ))
}

fn id(text: &str) -> Option<Id> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: fn() -> EdgeRule = EdgeRule::default;

    #[test]
    fn a_baseline_is_read_back_and_is_the_same_text_for_the_same_pairs() {
        let baseline = Baseline::new([([2; 32], [1; 32]), ([3; 32], [3; 32])]);
        let text = baseline.to_text(&RULES()).unwrap();
        assert_eq!(
            Baseline::parse(text.as_bytes(), &RULES()).unwrap(),
            baseline
        );
        assert_eq!(
            Baseline::new([([3; 32], [3; 32]), ([1; 32], [2; 32])])
                .to_text(&RULES())
                .unwrap(),
            text
        );
        assert!(baseline.contains(&([1; 32], [2; 32])) && !baseline.contains(&([1; 32], [1; 32])));
    }

    #[test]
    fn a_baseline_of_another_rule_is_an_error() {
        let strict = EdgeRule {
            threshold: 0.9,
            ..EdgeRule::default()
        };
        let text = Baseline::default().to_text(&strict).unwrap();
        assert!(
            Baseline::parse(text.as_bytes(), &RULES())
                .unwrap_err()
                .to_string()
                .contains("another rule")
        );
        let other = text.replace(RULE, "ssim/1");
        assert!(
            Baseline::parse(other.as_bytes(), &strict)
                .unwrap_err()
                .to_string()
                .contains("another rule")
        );
        assert_eq!(
            Baseline::parse_of_any_rule(other.as_bytes()).unwrap(),
            Baseline::default()
        );
    }

    #[test]
    fn what_a_baseline_has_more_than_others_is_counted() {
        let of = |pairs: &[u8]| Baseline::new(pairs.iter().map(|&a| ([a; 32], [9; 32])));
        assert_eq!(of(&[1, 2, 3]).more_than(&[of(&[1]), of(&[3, 4])]), 1);
        assert_eq!(of(&[1, 2, 3]).more_than(&[]), 3);
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        let good = Baseline::new([([1; 32], [2; 32])])
            .to_text(&RULES())
            .unwrap();
        let wrong = |text: &str| {
            Baseline::parse(text.as_bytes(), &RULES())
                .unwrap_err()
                .to_string()
        };
        assert!(wrong(&good.replace("\"version\": 1", "\"version\": 2")).contains("version 2"));
        assert!(wrong(&good.replace("0101:", "01zz:")).contains("is no pair"));
        assert!(wrong(&good.replace("pairs", "pear")).contains("pear"));
        assert!(wrong(&"[".repeat(100_000)).contains(BASELINE_FILE));
        assert!(wrong(&" ".repeat(LONGEST_EXCEPTIONS as usize + 1)).contains("the limit is"));
    }
}
