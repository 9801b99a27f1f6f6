//! Verdicts, and the exceptions of the dataset → verdicts in which what is accepted counts no more.

use std::collections::{BTreeSet, HashMap};

use super::{Checked, Located, version::absent};
use crate::{
    Result,
    dataset::Change,
    file::{LONGEST_EXCEPTIONS, read_optional},
    index::Reader,
    similarity::EdgeRule,
    store::state::ContentId,
    verdict::{Accepted, Exception, Exceptions, Reference, Subject, Verdict, judge},
};

impl Reader {
    /// The exceptions in the root of the dataset, for pairs decided by `rule`.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for a file that cannot be used, [`crate::Error::Io`].
    pub fn exceptions(&self, rule: &EdgeRule) -> Result<Exceptions> {
        Exceptions::read(rule, |name| {
            read_optional(&self.root().join(name), LONGEST_EXCEPTIONS)
        })
    }
}

impl Reader {
    /// The lines that can accept nothing in the version that a change makes: an image of theirs is
    /// in none of its files, or their path matches none. What is in the version may be accepted or
    /// not; that only a check of all of it tells. And where a content of it is not known, nothing
    /// is. `checked` are the verdicts on the change.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`].
    pub fn unused(
        &self,
        change: &Change,
        located: &Located,
        checked: &[Checked],
        exceptions: &Exceptions,
    ) -> Result<Vec<Exception>> {
        if exceptions.all().is_empty() {
            return Ok(Vec::new());
        }
        let Some(counts) = self.occurrences_of(&ids_of(exceptions), change, located, checked)?
        else {
            return Ok(Vec::new());
        };
        let count = |id: &ContentId| counts.get(id).copied().unwrap_or_default();
        let globs = exceptions
            .all()
            .iter()
            .filter(|exception| matches!(exception.subject, Subject::Path(_)))
            .count();
        let mut matched = BTreeSet::new();
        let mut files = change.base.iter().chain(&change.new);
        while let Some(file) = files.next().filter(|_| matched.len() < globs) {
            matched.extend(exceptions.of_file(&file.path, None));
        }
        let used = |(place, exception): &(usize, &Exception)| match &exception.subject {
            Subject::Pair(a, b) if a == b => count(a) > 1,
            Subject::Pair(a, b) => count(a) > 0 && count(b) > 0,
            Subject::Image(id) => count(id) > 0,
            Subject::Path(_) => matched.contains(place),
        };
        let all = exceptions.all().iter().enumerate();
        Ok(all
            .filter(|exception| !used(exception))
            .map(|(_, exception)| exception.clone())
            .collect())
    }

    /// How many files of the version have each of some contents; `None` where a file has a content
    /// that is not known.
    fn occurrences_of(
        &self,
        wanted: &BTreeSet<ContentId>,
        change: &Change,
        located: &Located,
        checked: &[Checked],
    ) -> Result<Option<HashMap<ContentId, usize>>> {
        let (mut rows, mut counts) = (HashMap::new(), HashMap::new());
        for id in wanted {
            rows.extend(self.view.row_of(id)?.map(|row| (row, *id)));
        }
        for id in located
            .base
            .iter()
            .chain(&located.new)
            .filter_map(|(row, _)| rows.get(row))
        {
            *counts.entry(*id).or_default() += 1;
        }
        if !absent(&located.base, change.base.len()).is_empty() {
            return Ok(None);
        }
        let judged: HashMap<&[u8], &Checked> = checked
            .iter()
            .map(|checked| (&*checked.item.path, checked))
            .collect();
        for place in absent(&located.new, change.new.len()) {
            let checked = judged.get(&*change.new[place as usize].path);
            match checked.map(|checked| (checked.id, checked.judgement.verdict)) {
                Some((Some(id), _)) => *counts.entry(id).or_default() += 1,
                Some((None, Verdict::Undecodable)) => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(counts))
    }
}

/// The contents that exceptions are about.
fn ids_of(exceptions: &Exceptions) -> BTreeSet<ContentId> {
    let of_one = |exception: &Exception| match exception.subject {
        Subject::Pair(a, b) => vec![a, b],
        Subject::Image(id) => vec![id],
        Subject::Path(_) => Vec::new(),
    };
    exceptions.all().iter().flat_map(of_one).collect()
}

/// Takes away what `exceptions` accept: where that is all that a verdict rests on, it stays and
/// says why it is allowed; else it is judged again without the accepted pairs. Gives the lines that
/// accepted nothing.
pub fn except(checked: &mut [Checked], exceptions: &Exceptions) -> Vec<Exception> {
    let mut used = BTreeSet::new();
    if !exceptions.is_empty() {
        let found = checked
            .iter_mut()
            .filter(|checked| checked.judgement.verdict != Verdict::Novel);
        found.for_each(|checked| except_one(checked, exceptions, &mut used));
    }
    let all = exceptions.all().iter().enumerate();
    all.filter(|(place, _)| !used.contains(place))
        .map(|(_, exception)| exception.clone())
        .collect()
}

fn except_one(checked: &mut Checked, exceptions: &Exceptions, used: &mut BTreeSet<usize>) {
    let of_file = exceptions.of_file(&checked.item.path, checked.id.as_ref());
    used.extend(&of_file);
    if let Some(&first) = of_file.first() {
        checked.allowed = Some(exceptions.reason(Accepted::Line(first)));
        return;
    }
    let Some(id) = checked.id else { return };
    let of_same = if checked.same.is_empty() {
        None
    } else {
        exceptions.of_pair(&id, &id)
    };
    let of_edges: Vec<Option<Accepted>> = checked
        .edges
        .iter()
        .map(|edge| exceptions.of_pair(&id, &edge.id))
        .collect();
    let accepted: Vec<Accepted> = of_same
        .into_iter()
        .chain(of_edges.iter().copied().flatten())
        .collect();
    let Some(&first) = accepted.first() else {
        return;
    };
    used.extend(accepted.iter().filter_map(|accepted| {
        if let Accepted::Line(place) = accepted {
            Some(*place)
        } else {
            None
        }
    }));
    let same_stays = of_same.is_none() && !checked.same.is_empty();
    if !same_stays && of_edges.iter().all(Option::is_some) {
        checked.allowed = Some(exceptions.reason(first));
        return;
    }
    if of_same.is_some() {
        checked.same.clear();
        checked.same_paths = 0;
    }
    let mut of_edges = of_edges.iter();
    checked
        .edges
        .retain(|_| of_edges.next().is_some_and(Option::is_none));
    judge_again(checked);
}

fn judge_again(checked: &mut Checked) {
    let edges = checked.edges.iter().map(|edge| edge.occurrences.as_slice());
    let again = judge(
        checked.label.as_ref(),
        checked.split,
        &checked.same,
        edges,
        None,
        &Reference::default(),
    );
    checked.judgement = crate::verdict::Judgement {
        percentile: checked.judgement.percentile,
        ..again
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        index::{CheckItem, query::Match},
        verdict::{Baseline, Judgement, Label, Occurrence},
    };

    const A: [u8; 32] = [0xaa; 32];
    const B: [u8; 32] = [0xbb; 32];
    const C: [u8; 32] = [0xcc; 32];

    fn at(path: &str, label: &str) -> Occurrence {
        Occurrence {
            path: Arc::from(path.as_bytes()),
            label: Some(Label::from(label.as_bytes())),
            split: None,
        }
    }

    fn edge(id: [u8; 32], place: Occurrence) -> Match {
        Match {
            id,
            occurrences: vec![place],
            paths: 1,
            similarity: 0.9,
            needs: None,
            pair: None,
            too_little_texture: false,
            cluster: None,
            distance: 0.1,
        }
    }

    /// A, a cat, near B, a cat, and C, a dog.
    fn conflict() -> Checked {
        let mut checked = Checked {
            item: CheckItem {
                file: "a.png".into(),
                path: Arc::from(&b"cat/a.png"[..]),
                inside: true,
            },
            id: Some(A),
            label: Some(Label::from(&b"cat"[..])),
            split: None,
            judgement: Judgement::undecodable(),
            texture: None,
            reason: None,
            same: Vec::new(),
            same_paths: 0,
            nearest: Vec::new(),
            edges: vec![
                edge(B, at("cat/b.png", "cat")),
                edge(C, at("dog/c.png", "dog")),
            ],
            apart: None,
            own_cluster: None,
            allowed: None,
        };
        judge_again(&mut checked);
        checked
    }

    fn excepted(lines: &str) -> (Checked, usize) {
        let [a, b, c] = [A, B, C].map(|id| data_encoding::HEXLOWER.encode(&id));
        let text = lines
            .replace("{A}", &a)
            .replace("{B}", &b)
            .replace("{C}", &c);
        let mut checked = [conflict()];
        let unused = except(&mut checked, &Exceptions::parse(text.as_bytes()).unwrap());
        let [checked] = checked;
        (checked, unused.len())
    }

    #[test]
    fn a_pair_that_is_accepted_counts_no_more_and_the_others_still_do() {
        assert_eq!(excepted("").0, conflict());
        let (checked, unused) = excepted("pair {C} {A} # known\n");
        assert_eq!(
            (checked.judgement.verdict, checked.allowed, unused),
            (Verdict::Redundant, None, 0)
        );
        let (checked, _) = excepted("pair {A} {B}\n");
        assert_eq!(
            (checked.judgement.verdict, checked.judgement.duplicates),
            (Verdict::Influential, 0)
        );
    }

    #[test]
    fn a_finding_whose_pairs_are_all_accepted_is_allowed_and_says_why() {
        let (checked, unused) = excepted("pair {A} {B}  # first\npair {A} {C}\npair {B} {C}\n");
        assert_eq!(
            (checked.judgement.verdict, checked.allowed.as_deref()),
            (Verdict::Influential, Some("first (.wsidx-allow:1)"))
        );
        assert_eq!(unused, 1);
    }

    #[test]
    fn an_image_or_a_path_is_allowed_whatever_is_found() {
        assert_eq!(
            excepted("image {A} # logo").0.allowed.as_deref(),
            Some("logo (.wsidx-allow:1)")
        );
        assert_eq!(
            excepted("path */a.png").0.allowed.as_deref(),
            Some(".wsidx-allow:1")
        );
        assert_eq!(excepted("image {B}\npath a.png").0, conflict());
        assert_eq!(excepted("image {B}\npath a.png").1, 2);
    }

    #[test]
    fn what_is_in_the_baseline_is_allowed_too() {
        let mut checked = [conflict()];
        let exceptions = Exceptions::default().with_baseline(Baseline::new([(B, A), (A, C)]));
        assert!(except(&mut checked, &exceptions).is_empty());
        assert_eq!(checked[0].allowed.as_deref(), Some("in the baseline"));
    }
}
