//! Where a content is, of which an answer needs little: how often it is there, the first places,
//! and those that decide.
//!
//! A content may be in a million places, and as many files of a request may have it. If each answer
//! listed all places, the answers would have a million times a million; so they share one count,
//! and each lists the few that its judgement and its message rest on.

use std::collections::HashMap;

use crate::verdict::{Label, Occurrence, Split};

/// The first places, whatever they are.
const FIRST: usize = 4;

/// The occurrences of one content, one added after the other.
#[derive(Debug, Default)]
pub(super) struct Places {
    count: usize,
    first: Vec<Occurrence>,
    /// The first of each split and of each label, where they are known.
    of_split: HashMap<Split, Occurrence>,
    of_label: HashMap<Label, Occurrence>,
    /// The first that has any label.
    labelled: Option<Occurrence>,
}

impl Places {
    pub(super) fn of(occurrences: Vec<Occurrence>) -> Self {
        let mut places = Self::default();
        occurrences
            .iter()
            .for_each(|occurrence| places.add(occurrence));
        places
    }

    pub(super) fn add(&mut self, occurrence: &Occurrence) {
        self.count += 1;
        let at = self.first.partition_point(|other| other <= occurrence);
        if at < FIRST {
            self.first.insert(at, occurrence.clone());
            self.first.truncate(FIRST);
        }
        let smaller = |other: &Occurrence| occurrence < other;
        if let Some(split) = occurrence.split
            && self.of_split.get(&split).is_none_or(smaller)
        {
            self.of_split.insert(split, occurrence.clone());
        }
        if let Some(label) = &occurrence.label {
            if self.of_label.get(label).is_none_or(smaller) {
                self.of_label.insert(label.clone(), occurrence.clone());
            }
            if self.labelled.as_ref().is_none_or(smaller) {
                self.labelled = Some(occurrence.clone());
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Some of them, sorted by path, by which what has this label is judged as by all: the first,
    /// the first that has this label and the first that has any, and the first of each split.
    pub(super) fn deciding(&self, label: Option<&Label>) -> Vec<Occurrence> {
        let same_label = label.and_then(|label| self.of_label.get(label));
        let all = self
            .first
            .iter()
            .chain(self.of_split.values())
            .chain(same_label)
            .chain(&self.labelled);
        let mut some: Vec<Occurrence> = all.cloned().collect();
        some.sort_unstable();
        some.dedup();
        some
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::verdict::{conflicts_with, leaks_into};

    #[test]
    fn a_few_places_decide_as_all_do() {
        let splits = [
            None,
            Some(Split::Train),
            Some(Split::Val),
            Some(Split::Test),
        ];
        let label = |i: usize| (i > 0).then(|| Label::from(vec![b'a' + i as u8]));
        let mut state = 7_usize;
        let mut below = |n: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for round in 0..300 {
            let kinds = 1 + below(6);
            let one = |below: &mut dyn FnMut(usize) -> usize| Occurrence {
                path: Arc::from(below(1_000_000).to_string().as_bytes()),
                label: label(below(kinds)),
                split: splits[below(1 + round % 4)],
            };
            let mut all: Vec<Occurrence> = (0..below(60)).map(|_| one(&mut below)).collect();
            let places = Places::of(all.clone());
            all.sort_unstable();
            for own in 0..7 {
                let some = places.deciding(label(own).as_ref());
                assert!(
                    some.len() <= FIRST + 5
                        && some.first() == all.first()
                        && some.iter().all(|one| all.contains(one))
                );
                assert_eq!(
                    (places.count(), some.is_empty()),
                    (all.len(), all.is_empty())
                );
                assert_eq!(
                    conflicts_with(label(own).as_ref(), &some),
                    conflicts_with(label(own).as_ref(), &all)
                );
                for split in splits {
                    let leak = |list: &[Occurrence]| {
                        list.iter()
                            .find(|one| leaks_into(split, std::slice::from_ref(one)))
                            .cloned()
                    };
                    assert_eq!(
                        (leaks_into(split, &some), leak(&some)),
                        (leaks_into(split, &all), leak(&all))
                    );
                }
            }
        }
    }
}
