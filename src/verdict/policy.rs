//! `wsidx.toml` → which pairs are near-duplicates (`[edges]`), what each finding does: pass, warn
//! or reject (`[check]`), what the index keeps to find more of them (`[index]`), and what reading
//! may cost (`[limits]`).

use serde::{Deserialize, Serialize};

use super::{Judgement, ReadLimits, Verdict};
use crate::{
    Error, Result,
    file::toml_problem,
    similarity::{EdgeRule, register::RULE},
};

/// What a finding leads to; the strongest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Nothing.
    Pass,
    /// It is shown.
    Warn,
    /// It is shown, and the exit code is 1.
    Reject,
}

/// What a policy can speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// [`Verdict::Redundant`].
    Redundant,
    /// [`Verdict::Influential`].
    Influential,
    /// [`Verdict::Anomaly`].
    Anomaly,
    /// [`Verdict::Undecodable`].
    Undecodable,
    /// [`Verdict::Missing`].
    Missing,
    /// A near-duplicate in another split.
    Leak,
}

/// Which findings reject and which warn; the others pass, but [`Finding::Missing`] warns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Findings that reject.
    pub reject: Vec<Finding>,
    /// Findings that warn, if they do not reject.
    pub warn: Vec<Finding>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            reject: vec![
                Finding::Redundant,
                Finding::Influential,
                Finding::Leak,
                Finding::Missing,
            ],
            warn: vec![Finding::Anomaly, Finding::Undecodable],
        }
    }
}

/// All that `wsidx.toml` says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// What findings lead to.
    pub check: Policy,
    /// Which pairs are near-duplicates.
    pub edges: EdgeRule,
    /// What the threshold was calibrated for.
    pub calibration: Option<Calibration>,
    /// What the index keeps.
    pub index: Kept,
    /// What reading may cost.
    pub limits: ReadLimits,
}

/// `[index]`: what an index keeps of every image beside what it always does.
///
/// It stands here and not among the settings that are fixed when an index is made: it may be
/// changed at any time, and whoever shares the dataset then has the same verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// Whether it keeps search rows for crops of the images, for `query` and `check` to find more
    /// copies that show less than their source.
    pub crops: bool,
}

/// `[calibration]`: for which `[edges]` a threshold was found by measuring this dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The share of images without a copy that are taken for near-duplicates.
    pub rate: f64,
    /// How pairs were decided ([`RULE`]).
    pub rule: String,
    /// The threshold found.
    pub threshold: f32,
    /// The changes that left a picture the same.
    pub accept: Vec<String>,
}

impl Calibration {
    /// A calibration of pairs that `edges` decides.
    pub fn of(edges: &EdgeRule, rate: f64) -> Self {
        let accept = edges.accept.names().map(str::to_owned).collect();
        Self {
            rate,
            rule: RULE.into(),
            threshold: edges.threshold,
            accept,
        }
    }
}

impl Rules {
    /// Reads the text of a `wsidx.toml`.
    ///
    /// # Errors
    /// [`Error::Input`] with the place, and the words that are allowed, where a key or a finding is
    /// unknown.
    pub fn from_toml(text: &str) -> Result<Self> {
        let problem = |e: toml::de::Error| {
            format!(
                "wsidx.toml: {}; mend that line",
                toml_problem(text, e.span(), e.message())
            )
        };
        let rules: Self = toml::from_str(text).map_err(|e| Error::Input(problem(e)))?;
        rules.limits.check()?;
        Ok(rules)
    }

    /// The same of the bytes of the file.
    ///
    /// # Errors
    /// As [`Rules::from_toml`], and where they are no text.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes);
        Self::from_toml(text.map_err(|_| {
            Error::Input("wsidx.toml is not UTF-8, which TOML is; save it as UTF-8".into())
        })?)
    }

    /// Whether pairs are decided as when the threshold was calibrated: neither `[edges]` nor the
    /// rule has changed since.
    pub fn is_calibrated(&self) -> bool {
        self.calibration.as_ref().is_some_and(|calibration| {
            *calibration == Calibration::of(&self.edges, calibration.rate)
        })
    }
}

impl Policy {
    /// What a judgement leads to.
    pub fn action(&self, judgement: &Judgement) -> Action {
        let verdict = match judgement.verdict {
            Verdict::Undecodable => Some(Finding::Undecodable),
            Verdict::Missing => Some(Finding::Missing),
            Verdict::Influential => Some(Finding::Influential),
            Verdict::Redundant => Some(Finding::Redundant),
            Verdict::Anomaly => Some(Finding::Anomaly),
            Verdict::Novel => None,
        };
        let leak = judgement.leak.then_some(Finding::Leak);
        verdict
            .into_iter()
            .chain(leak)
            .map(|finding| self.action_of(finding))
            .max()
            .unwrap_or(Action::Pass)
    }

    /// What one finding leads to.
    pub fn action_of(&self, finding: Finding) -> Action {
        match finding {
            f if self.reject.contains(&f) => Action::Reject,
            f if self.warn.contains(&f) => Action::Warn,
            // What was never looked at does not pass in silence.
            Finding::Missing => Action::Warn,
            _ => Action::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::register::Needs;

    fn judged(verdict: Verdict, leak: bool) -> Judgement {
        Judgement {
            verdict,
            leak,
            ..Judgement::undecodable()
        }
    }

    #[test]
    fn by_default_duplicates_conflicts_and_leaks_reject_and_the_rest_warns_or_passes() {
        let policy = Rules::from_toml("").unwrap().check;
        assert_eq!(
            policy.action(&judged(Verdict::Redundant, false)),
            Action::Reject
        );
        assert_eq!(
            policy.action(&judged(Verdict::Influential, false)),
            Action::Reject
        );
        assert_eq!(policy.action(&judged(Verdict::Novel, true)), Action::Reject);
        assert_eq!(
            policy.action(&judged(Verdict::Missing, false)),
            Action::Reject
        );
        assert_eq!(
            policy.action(&judged(Verdict::Anomaly, false)),
            Action::Warn
        );
        assert_eq!(
            policy.action(&judged(Verdict::Undecodable, false)),
            Action::Warn
        );
        assert_eq!(policy.action(&judged(Verdict::Novel, false)), Action::Pass);
    }

    #[test]
    fn a_policy_file_replaces_what_it_names_and_keeps_the_rest() {
        let policy = Rules::from_toml("[check]\nreject = [\"leak\"]\n")
            .unwrap()
            .check;
        assert_eq!(
            policy.action(&judged(Verdict::Redundant, false)),
            Action::Pass
        );
        assert_eq!(
            policy.action(&judged(Verdict::Missing, false)),
            Action::Warn
        );
        assert_eq!(
            policy.action(&judged(Verdict::Redundant, true)),
            Action::Reject
        );
        assert_eq!(
            policy.action(&judged(Verdict::Anomaly, false)),
            Action::Warn
        );
    }

    #[test]
    fn edges_are_what_the_file_says_and_nonsense_is_refused() {
        let edges = |text: &str| Rules::from_toml(text).map(|rules| rules.edges);
        assert_eq!(edges("").unwrap(), EdgeRule::default());
        let strict =
            edges("[edges]\nthreshold = 0.9\naccept = [\"photometric\", \"crop\"]\n").unwrap();
        assert_eq!(
            (strict.threshold, strict.accept),
            (0.9, Needs::PHOTOMETRIC.and(Needs::CROP))
        );
        for wrong in [
            "threshold = 0",
            "threshold = 1.5",
            "threshold = nan",
            "accept = [\"rotate\"]",
            "accepts = []",
        ] {
            assert!(edges(&format!("[edges]\n{wrong}\n")).is_err(), "{wrong}");
        }
        assert!(
            edges("[edges]\naccept = [\"rotate\"]\n")
                .unwrap_err()
                .to_string()
                .contains("quarter-turn")
        );
    }

    #[test]
    fn a_calibration_holds_as_long_as_edges_are_what_they_were() {
        let calibration = format!(
            "[calibration]\nrate = 0.001\nrule = \"{RULE}\"\nthreshold = 0.812\naccept = [\"crop\"]\n"
        );
        let holds = |text: &str| Rules::from_toml(text).unwrap().is_calibrated();
        let edges = "[edges]\nthreshold = 0.812\naccept = [\"crop\"]\n";
        assert!(holds(&format!("{edges}{calibration}")));
        for other in [
            edges.replace("812", "813"),
            edges.replace("crop", "mirror"),
            String::new(),
        ] {
            assert!(!holds(&format!("{other}{calibration}")), "{other}");
        }
        assert!(
            !holds(edges)
                && !holds(&format!(
                    "{edges}{}",
                    calibration.replace(RULE, "registration/0")
                ))
        );
        assert!(Rules::from_toml("[calibration]\nrate = 0.1\n").is_err());
    }

    #[test]
    fn an_unknown_word_is_refused_and_the_known_ones_are_named() {
        let message = |text: &str| Rules::from_toml(text).unwrap_err().to_string();
        assert!(
            message("[check]\nrejects = []\n").contains("expected `reject` or `warn`"),
            "{}",
            message("[check]\nrejects = []\n")
        );
        assert!(message("[check]\nreject = [\"dup\"]\n").contains("`redundant`"));
        assert!(message("[chekc]\n").contains("check"));
    }
}
