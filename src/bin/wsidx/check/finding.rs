//! Verdicts → findings under the rules that machine formats name: one for the verdict, and one for
//! a leak beside it.

use wsidx::{
    index::Checked,
    verdict::{Action, Finding, Occurrence, Policy, Verdict},
};

use super::message::{self, deciding};

/// A rule; its id never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// All rules, in the order of their ids.
pub(crate) const RULES: [Rule; 7] = [
    Rule {
        id: "WSIDX001",
        name: "redundant",
        meaning: "A near-duplicate of an image whose label does not conflict",
    },
    Rule {
        id: "WSIDX002",
        name: "exact-copy",
        meaning: "The same bytes as an image whose label does not conflict",
    },
    Rule {
        id: "WSIDX003",
        name: "anomaly",
        meaning: "Like nothing in the dataset",
    },
    Rule {
        id: "WSIDX004",
        name: "influential",
        meaning: "A near-duplicate of an image under another label",
    },
    Rule {
        id: "WSIDX005",
        name: "undecodable",
        meaning: "Cannot be read as an image",
    },
    Rule {
        id: "WSIDX006",
        name: "leak",
        meaning: "A near-duplicate of an image in another split",
    },
    Rule {
        id: "WSIDX007",
        name: "missing",
        meaning: "Version control names an image whose bytes are not here",
    },
];

/// A finding on one file.
pub(crate) struct Found<'a> {
    /// Which rule, as a place in [`RULES`].
    pub(crate) rule: usize,
    pub(crate) action: Action,
    pub(crate) checked: &'a Checked,
    /// The other image of the pair.
    pub(crate) other: Option<&'a Occurrence>,
    /// In one sentence, for people; names are escaped.
    pub(crate) message: String,
}

/// What the policy rejects or warns of; what is allowed is among it.
pub(crate) fn findings<'a>(checked: &'a [Checked], policy: &Policy) -> Vec<Found<'a>> {
    let of_all = checked.iter().flat_map(|checked| {
        of_verdict(checked, policy)
            .into_iter()
            .chain(of_leak(checked, policy))
    });
    of_all
        .filter(|found| found.action != Action::Pass)
        .collect()
}

fn of_verdict<'a>(checked: &'a Checked, policy: &Policy) -> Option<Found<'a>> {
    let (rule, finding) = match checked.judgement.verdict {
        Verdict::Redundant if checked.judgement.exact => (1, Finding::Redundant),
        Verdict::Redundant => (0, Finding::Redundant),
        Verdict::Anomaly => (2, Finding::Anomaly),
        Verdict::Influential => (3, Finding::Influential),
        Verdict::Undecodable => (4, Finding::Undecodable),
        Verdict::Missing => (6, Finding::Missing),
        Verdict::Novel => return None,
    };
    let other = deciding(checked).and_then(|deciding| match deciding {
        message::Deciding::Same(occurrences) => occurrences.first(),
        message::Deciding::Near(matched) => matched.occurrences.first(),
    });
    Some(Found {
        rule,
        action: policy.action_of(finding),
        checked,
        other,
        message: message::message(checked),
    })
}

fn of_leak<'a>(checked: &'a Checked, policy: &Policy) -> Option<Found<'a>> {
    let other = message::leaked(checked).filter(|_| checked.judgement.leak)?;
    let message = message::leak(checked)?;
    Some(Found {
        rule: 5,
        action: policy.action_of(Finding::Leak),
        checked,
        other: Some(other),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_in_the_order_of_their_ids() {
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        let expected: Vec<String> = (1..=RULES.len()).map(|n| format!("WSIDX{n:03}")).collect();
        assert_eq!(ids, expected);
    }
}
