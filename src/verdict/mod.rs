//! Evidence → verdict: what a picture is to a dataset, and what the policy makes of it.
//!
//! The words are Yousefzadeh 2020's (sections 1.1 and 3.4): a near-duplicate of an image of the
//! same class is *redundant*, one of another class is *influential*, an image like no other is an
//! *anomaly*. Finding the evidence (same content, edges, distances) is left to [`crate::index`].

mod allow;
mod anomaly;
mod baseline;
mod edit;
mod fingerprint;
mod limits;
mod lof;
mod policy;

pub use allow::{ALLOW_FILE, Accepted, Exception, Exceptions, Subject};
pub use anomaly::{ANOMALY_NEIGHBOR, Reference};
pub use baseline::{BASELINE_FILE, Baseline};
pub use edit::set_calibration;
pub use fingerprint::{image_fingerprint, pair_fingerprint, path_fingerprint};
pub use limits::ReadLimits;
pub use lof::local_outlier_factors;
pub use policy::{Action, Calibration, Finding, Kept, Policy, Rules};

use std::{fmt, str::FromStr, sync::Arc};

/// A label as the bytes of a folder or table name.
pub type Label = Arc<[u8]>;

/// Which part of a dataset a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Training images.
    Train,
    /// Validation images.
    Val,
    /// Test images.
    Test,
}

impl Split {
    /// The name in output: `train`, `val`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The number in stored records; 0 stands for no split.
    pub fn code(split: Option<Self>) -> u8 {
        match split {
            None => 0,
            Some(Self::Train) => 1,
            Some(Self::Val) => 2,
            Some(Self::Test) => 3,
        }
    }

    /// The split of a stored number; `None` inside for no split, outside for a number that is none.
    pub fn from_code(code: u8) -> Option<Option<Self>> {
        match code {
            0 => Some(None),
            1 => Some(Some(Self::Train)),
            2 => Some(Some(Self::Val)),
            3 => Some(Some(Self::Test)),
            _ => None,
        }
    }
}

impl FromStr for Split {
    type Err = crate::Error;

    /// `train`, `val`, `valid`, `validation` or `test`, in any case.
    fn from_str(name: &str) -> crate::Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" => Ok(Self::Train),
            "val" | "valid" | "validation" => Ok(Self::Val),
            "test" => Ok(Self::Test),
            _ => Err(crate::Error::Input(format!(
                "`{}` is no split; use train, val or test",
                name.escape_debug()
            ))),
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A place where a content occurs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// Relative to the root of the dataset, `/` between its parts, any bytes.
    pub path: Arc<[u8]>,
    /// What the image shows.
    pub label: Option<Label>,
    /// Which part of the dataset.
    pub split: Option<Split>,
}

/// What a picture is to the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Its bytes are not here: version control names a content that was not fetched.
    Missing,
    /// Cannot be read as an image.
    Undecodable,
    /// A near-duplicate of an image under another label.
    Influential,
    /// A near-duplicate of an image, no label in conflict.
    Redundant,
    /// Like nothing in the dataset.
    Anomaly,
    /// None of the others: welcome.
    Novel,
}

impl Verdict {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Undecodable => "undecodable",
            Self::Influential => "influential",
            Self::Redundant => "redundant",
            Self::Anomaly => "anomaly",
            Self::Novel => "novel",
        }
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The first rule of [`judge`] that fired.
    pub verdict: Verdict,
    /// The very bytes are in the dataset already.
    pub exact: bool,
    /// The same content, or an edge, in another split.
    pub leak: bool,
    /// Contents that agree: the same content and edges whose labels do not conflict.
    pub duplicates: usize,
    /// Contents that conflict.
    pub conflicts: usize,
    /// The share of the reference below the anomaly score, in [0, 100]; `None` without a score or a
    /// reference.
    pub percentile: Option<f64>,
}

impl Judgement {
    /// Of what is not here.
    pub fn missing() -> Self {
        Self {
            verdict: Verdict::Missing,
            ..Self::undecodable()
        }
    }

    /// Of what cannot be read.
    pub fn undecodable() -> Self {
        Self {
            verdict: Verdict::Undecodable,
            exact: false,
            leak: false,
            duplicates: 0,
            conflicts: 0,
            percentile: None,
        }
    }
}

/// Judges a picture with `label` and `split` by the occurrences of the same content (`same`, empty
/// if there is none), those of each content that it has an edge to, and its anomaly score. In this
/// order: any conflict → influential; the same content or any edge → redundant; the score beyond
/// the limit of the reference → anomaly; else novel. Labels or splits that are not known conflict
/// with nothing.
pub fn judge<'a>(
    label: Option<&Label>,
    split: Option<Split>,
    same: &'a [Occurrence],
    edges: impl Iterator<Item = &'a [Occurrence]>,
    score: Option<u32>,
    reference: &Reference,
) -> Judgement {
    let [mut duplicates, mut conflicts, mut leak] = [0, 0, 0];
    let same_content = std::iter::once(same).filter(|same| !same.is_empty());
    for occurrences in same_content.chain(edges) {
        let counter = if conflicts_with(label, occurrences) {
            &mut conflicts
        } else {
            &mut duplicates
        };
        *counter += 1;
        leak |= usize::from(leaks_into(split, occurrences));
    }
    let percentile = score.and_then(|score| reference.percentile(label, score));
    let verdict = match (conflicts, duplicates) {
        (1.., _) => Verdict::Influential,
        (0, 1..) => Verdict::Redundant,
        (0, 0) if score.is_some_and(|score| reference.is_anomaly(label, score)) => Verdict::Anomaly,
        (0, 0) => Verdict::Novel,
    };
    Judgement {
        verdict,
        exact: !same.is_empty(),
        leak: leak > 0,
        duplicates,
        conflicts,
        percentile,
    }
}

/// Labels are known on both sides and `label` is not among the other's.
pub fn conflicts_with(label: Option<&Label>, other: &[Occurrence]) -> bool {
    let mut known = other.iter().filter_map(|o| o.label.as_ref()).peekable();
    label.is_some_and(|label| known.peek().is_some() && !known.any(|other| other == label))
}

/// The other occurs in a known split that is not this known one.
pub fn leaks_into(split: Option<Split>, other: &[Occurrence]) -> bool {
    split.is_some_and(|split| {
        other
            .iter()
            .filter_map(|o| o.split)
            .any(|other| other != split)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(label: &str, split: Option<Split>) -> Occurrence {
        let label = (!label.is_empty()).then(|| Label::from(label.as_bytes()));
        Occurrence {
            path: Arc::from(&b"x.png"[..]),
            label,
            split,
        }
    }

    fn verdict(
        label: &str,
        split: Option<Split>,
        same: &[Occurrence],
        edges: &[Vec<Occurrence>],
    ) -> Judgement {
        let label = (!label.is_empty()).then(|| Label::from(label.as_bytes()));
        judge(
            label.as_ref(),
            split,
            same,
            edges.iter().map(Vec::as_slice),
            None,
            &Reference::default(),
        )
    }

    #[test]
    fn a_picture_without_evidence_is_novel() {
        assert_eq!(
            verdict("cat", Some(Split::Train), &[], &[]).verdict,
            Verdict::Novel
        );
    }

    #[test]
    fn the_same_label_is_redundant_and_another_is_influential() {
        let judged = verdict("cat", None, &[], &[vec![at("cat", None)]]);
        assert_eq!(
            (
                judged.verdict,
                judged.exact,
                judged.duplicates,
                judged.conflicts
            ),
            (Verdict::Redundant, false, 1, 0)
        );
        let judged = verdict("cat", None, &[at("dog", None)], &[vec![at("cat", None)]]);
        assert_eq!(
            (
                judged.verdict,
                judged.exact,
                judged.duplicates,
                judged.conflicts
            ),
            (Verdict::Influential, true, 1, 1)
        );
    }

    #[test]
    fn a_label_that_is_not_known_conflicts_with_nothing() {
        assert_eq!(
            verdict("", None, &[], &[vec![at("cat", None)]]).verdict,
            Verdict::Redundant
        );
        assert_eq!(
            verdict("cat", None, &[], &[vec![at("", None)]]).verdict,
            Verdict::Redundant
        );
    }

    #[test]
    fn a_content_under_several_labels_agrees_with_each_of_them() {
        let both = vec![at("cat", None), at("dog", None)];
        assert_eq!(
            verdict("dog", None, &[], std::slice::from_ref(&both)).verdict,
            Verdict::Redundant
        );
        assert_eq!(
            verdict("cow", None, &[], &[both]).verdict,
            Verdict::Influential
        );
    }

    #[test]
    fn another_known_split_is_a_leak_whatever_the_labels() {
        let train = vec![at("cat", Some(Split::Train))];
        assert!(verdict("cat", Some(Split::Test), &[], std::slice::from_ref(&train)).leak);
        assert!(verdict("dog", Some(Split::Test), &train, &[]).leak);
        assert!(!verdict("cat", Some(Split::Train), &train, &[]).leak);
        assert!(!verdict("cat", None, &train, &[]).leak);
        assert!(!verdict("cat", Some(Split::Test), &[at("cat", None)], &[]).leak);
    }
}
