//! Distances to the fifth neighbour → who is like nothing else.
//!
//! The limit is the robust rule of Iglewicz and Hoaglin: median + 5 × 1.4826 × MAD of the
//! reference, where 1.4826 · MAD estimates the standard deviation of normal data.

use std::{collections::HashMap, sync::OnceLock};

use super::Label;

/// The neighbour whose distance is the anomaly score.
pub const ANOMALY_NEIGHBOR: usize = 5;

/// The fewest rows that make a reference.
const MIN_REFERENCE: usize = 50;

/// How many robust standard deviations beyond the median an anomaly is.
const DEVIATIONS: f64 = 5.0;

/// The scores of the rows of a dataset: of each label, and of all. A score is a squared integer
/// distance, so it orders as the distance does.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    all: Scores,
    by_label: HashMap<Label, Scores>,
}

impl Reference {
    /// From the scores of the live rows, each with the labels under which it occurs.
    pub fn new<'a, L: Iterator<Item = &'a Label>>(rows: impl Iterator<Item = (u32, L)>) -> Self {
        let (all, by_label) = gather(rows);
        let by_label = by_label
            .into_iter()
            .map(|(label, scores)| (label, Scores::new(scores)))
            .collect();
        Self {
            all: Scores::new(all),
            by_label,
        }
    }

    /// Takes out the scores of some rows, each with the labels under which it was put in, and puts
    /// in those of others. What comes of it is what [`Reference::new`] makes of all the rows that
    /// are then there.
    pub fn change<'a, L: Iterator<Item = &'a Label>>(
        &mut self,
        gone: impl Iterator<Item = (u32, L)>,
        new: impl Iterator<Item = (u32, L)>,
    ) {
        let ((gone, mut gone_of), (new, new_of)) = (gather(gone), gather(new));
        self.all.change(gone, new);
        for (label, new) in new_of {
            let gone = gone_of.remove(&label).unwrap_or_default();
            self.by_label.entry(label).or_default().change(gone, new);
        }
        for (label, gone) in gone_of {
            self.by_label
                .entry(label)
                .or_default()
                .change(gone, Vec::new());
        }
        self.by_label.retain(|_, scores| !scores.sorted.is_empty());
    }

    /// The scores that a picture of `label` is held against: those of its label, of all where that
    /// has fewer than 50, none where all are fewer.
    fn of(&self, label: Option<&Label>) -> Option<&Scores> {
        let own = label.and_then(|label| self.by_label.get(label));
        own.filter(|s| s.sorted.len() >= MIN_REFERENCE)
            .or_else(|| (self.all.sorted.len() >= MIN_REFERENCE).then_some(&self.all))
    }

    /// The share of the reference below `score`, in [0, 100].
    pub fn percentile(&self, label: Option<&Label>, score: u32) -> Option<f64> {
        let scores = &self.of(label)?.sorted;
        Some(100.0 * scores.partition_point(|&s| s < score) as f64 / scores.len() as f64)
    }

    /// Whether `score` lies beyond the limit; never without a reference.
    pub fn is_anomaly(&self, label: Option<&Label>, score: u32) -> bool {
        self.of(label)
            .is_some_and(|scores| f64::from(score).sqrt() > scores.limit())
    }
}

/// Scores of rows: of all, and of each label.
fn gather<'a, L: Iterator<Item = &'a Label>>(
    rows: impl Iterator<Item = (u32, L)>,
) -> (Vec<u32>, HashMap<Label, Vec<u32>>) {
    let mut all = Vec::new();
    let mut by_label: HashMap<Label, Vec<u32>> = HashMap::new();
    for (score, labels) in rows {
        all.push(score);
        for label in labels {
            match by_label.get_mut(label) {
                Some(scores) => scores.push(score),
                None => {
                    by_label.insert(label.clone(), vec![score]);
                }
            }
        }
    }
    (all, by_label)
}

#[derive(Debug, Clone, Default)]
struct Scores {
    sorted: Vec<u32>,
    /// In units of the square root of a score, once it was asked for.
    limit: OnceLock<f64>,
}

impl Scores {
    fn new(mut sorted: Vec<u32>) -> Self {
        sorted.sort_unstable();
        Self {
            sorted,
            limit: OnceLock::new(),
        }
    }

    /// One pass over all of them.
    fn change(&mut self, mut gone: Vec<u32>, mut new: Vec<u32>) {
        gone.sort_unstable();
        new.sort_unstable();
        let (mut gone, mut new) = (gone.into_iter().peekable(), new.into_iter().peekable());
        let mut sorted = Vec::with_capacity(self.sorted.len() + new.len());
        for &score in &self.sorted {
            while let Some(earlier) = new.next_if(|new| *new < score) {
                sorted.push(earlier);
            }
            if gone.next_if_eq(&score).is_none() {
                sorted.push(score);
            }
        }
        sorted.extend(new);
        *self = Self {
            sorted,
            limit: OnceLock::new(),
        };
    }

    fn limit(&self) -> f64 {
        *self.limit.get_or_init(|| {
            let distances: Vec<f64> = self.sorted.iter().map(|&s| f64::from(s).sqrt()).collect();
            let median = median_of_sorted(&distances);
            median + DEVIATIONS * 1.4826 * median_deviation(&distances, median)
        })
    }
}

/// The median of the distances of sorted values from their median: walks from there to both sides,
/// the nearer value first.
fn median_deviation(sorted: &[f64], median: f64) -> f64 {
    let (below, above) = sorted.split_at(sorted.partition_point(|&value| value < median));
    let (mut below, mut above) = (
        below.iter().rev().map(|v| (v - median).abs()).peekable(),
        above.iter().map(|v| (v - median).abs()).peekable(),
    );
    let mut nearest = Vec::with_capacity(sorted.len() / 2 + 1);
    while nearest.len() < (sorted.len() / 2 + 1).min(sorted.len()) {
        let takes_below = match (below.peek(), above.peek()) {
            (Some(below), Some(above)) => below < above,
            (below, _) => below.is_some(),
        };
        nearest.extend(if takes_below {
            below.next()
        } else {
            above.next()
        });
    }
    match (sorted.len().is_multiple_of(2), nearest.as_slice()) {
        (_, []) => 0.0,
        (true, [.., a, b]) => f64::midpoint(*a, *b),
        (_, [.., last]) => *last,
    }
}

/// The mean of the two middle values where their number is even; 0 of nothing.
fn median_of_sorted(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(scores: impl Iterator<Item = (u32, &'static str)>) -> Reference {
        let rows: Vec<(u32, Label)> = scores
            .map(|(score, label)| (score, Label::from(label.as_bytes())))
            .collect();
        Reference::new(
            rows.iter()
                .map(|(score, label)| (*score, std::iter::once(label))),
        )
    }

    #[test]
    fn the_limit_is_the_median_and_five_robust_deviations() {
        // Distances 1..=101: median 51, MAD 25.
        let r = reference((1..=101).map(|d| (d * d, "cat")));
        let limit = 51.0 + 5.0 * 1.4826 * 25.0;
        let at = |distance: f64| (distance * distance) as u32;
        assert!(!r.is_anomaly(None, at(limit)));
        assert!(r.is_anomaly(None, at(limit + 1.0)));
        assert_eq!(r.percentile(None, 51 * 51), Some(100.0 * 50.0 / 101.0));
    }

    #[test]
    fn a_reference_that_changes_is_the_one_that_is_made_of_what_is_left() {
        let labels: Vec<Label> = ["cat", "dog", "cow"]
            .map(|name| Label::from(name.as_bytes()))
            .into();
        let mut numbers = 1u64;
        let mut below = |n: u64| {
            numbers = numbers
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (numbers >> 33) % n
        };
        let mut rows: Vec<(u32, Vec<Label>)> = Vec::new();
        let mut kept = Reference::default();
        for _ in 0..60 {
            let gone: Vec<_> = (0..below(1 + rows.len() as u64 / 2))
                .map(|_| rows.swap_remove(below(rows.len() as u64) as usize))
                .collect();
            let new: Vec<(u32, Vec<Label>)> = (0..below(40))
                .map(|_| (below(90) as u32 * 7, labels[below(3) as usize..].to_vec()))
                .collect();
            kept.change(
                gone.iter().map(|(s, l)| (*s, l.iter())),
                new.iter().map(|(s, l)| (*s, l.iter())),
            );
            rows.extend(new);
            let made = Reference::new(rows.iter().map(|(s, l)| (*s, l.iter())));
            for label in [None, Some(&labels[0]), Some(&labels[2])] {
                for score in (0..700).step_by(31) {
                    assert_eq!(kept.percentile(label, score), made.percentile(label, score));
                    assert_eq!(kept.is_anomaly(label, score), made.is_anomaly(label, score));
                }
            }
            assert_eq!(kept.by_label.len(), made.by_label.len());
            let distances: Vec<f64> = made
                .all
                .sorted
                .iter()
                .map(|&s| f64::from(s).sqrt())
                .collect();
            let median = median_of_sorted(&distances);
            let mut deviations: Vec<f64> = distances.iter().map(|d| (d - median).abs()).collect();
            deviations.sort_unstable_by(f64::total_cmp);
            assert_eq!(
                median_deviation(&distances, median),
                median_of_sorted(&deviations)
            );
        }
    }

    #[test]
    fn a_label_with_few_rows_is_held_against_all_and_few_rows_in_all_against_nothing() {
        let few = reference((1..=49).map(|d| (d * d, "cat")));
        assert_eq!(few.percentile(None, 9), None);
        assert!(!few.is_anomaly(None, u32::MAX));
        let mixed = reference(
            (1..=60)
                .map(|d| (d * d, "cat"))
                .chain((1000..1010).map(|d| (d * d, "dog"))),
        );
        let (cat, dog) = (Label::from(&b"cat"[..]), Label::from(&b"dog"[..]));
        assert!(mixed.is_anomaly(Some(&cat), 1000 * 1000));
        assert_eq!(
            mixed.percentile(Some(&dog), 1000 * 1000),
            Some(100.0 * 60.0 / 70.0)
        );
    }
}
