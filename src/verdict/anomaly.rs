//! Distances to the fifth neighbour → who is like nothing else.
//!
//! The limit is the robust rule of Iglewicz and Hoaglin: median + 5 × 1.4826 × MAD of the reference, where 1.4826 · MAD estimates the
//! standard deviation of normal data.

use std::collections::HashMap;

use super::Label;

/// The neighbour whose distance is the anomaly score.
pub const ANOMALY_NEIGHBOR: usize = 5;

/// The fewest rows that make a reference.
const MIN_REFERENCE: usize = 50;

/// How many robust standard deviations beyond the median an anomaly is.
const DEVIATIONS: f64 = 5.0;

/// The scores of the rows of a dataset: of each label, and of all. A score is a squared integer distance, so it orders as the distance does.
#[derive(Debug, Clone, Default)]
pub struct Reference {
    all: Scores,
    by_label: HashMap<Label, Scores>,
}

impl Reference {
    /// From the scores of the live rows, each with the labels under which it occurs.
    pub fn new<'a, L: Iterator<Item = &'a Label>>(rows: impl Iterator<Item = (u32, L)>) -> Self {
        let mut all = Vec::new();
        let mut by_label: HashMap<Label, Vec<u32>> = HashMap::new();
        for (score, labels) in rows {
            all.push(score);
            for label in labels {
                match by_label.get_mut(label) {
                    Some(scores) => scores.push(score),
                    None => drop(by_label.insert(label.clone(), vec![score])),
                }
            }
        }
        let by_label = by_label.into_iter().map(|(label, scores)| (label, Scores::new(scores))).collect();
        Self { all: Scores::new(all), by_label }
    }

    /// The scores that a picture of `label` is held against: those of its label, of all where that has fewer than 50, none where all are fewer.
    fn of(&self, label: Option<&Label>) -> Option<&Scores> {
        let own = label.and_then(|label| self.by_label.get(label));
        own.filter(|s| s.sorted.len() >= MIN_REFERENCE).or_else(|| (self.all.sorted.len() >= MIN_REFERENCE).then_some(&self.all))
    }

    /// The share of the reference below `score`, in [0, 100].
    pub fn percentile(&self, label: Option<&Label>, score: u32) -> Option<f64> {
        let scores = &self.of(label)?.sorted;
        Some(100.0 * scores.partition_point(|&s| s < score) as f64 / scores.len() as f64)
    }

    /// Whether `score` lies beyond the limit; never without a reference.
    pub fn is_anomaly(&self, label: Option<&Label>, score: u32) -> bool {
        self.of(label).is_some_and(|scores| f64::from(score).sqrt() > scores.limit)
    }
}

#[derive(Debug, Clone, Default)]
struct Scores {
    sorted: Vec<u32>,
    /// In units of the square root of a score.
    limit: f64,
}

impl Scores {
    fn new(mut sorted: Vec<u32>) -> Self {
        sorted.sort_unstable();
        let distances: Vec<f64> = sorted.iter().map(|&s| f64::from(s).sqrt()).collect();
        let median = median_of_sorted(&distances);
        let mut deviations: Vec<f64> = distances.iter().map(|d| (d - median).abs()).collect();
        deviations.sort_unstable_by(f64::total_cmp);
        let limit = median + DEVIATIONS * 1.4826 * median_of_sorted(&deviations);
        Self { sorted, limit }
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
        let rows: Vec<(u32, Label)> = scores.map(|(score, label)| (score, Label::from(label.as_bytes()))).collect();
        Reference::new(rows.iter().map(|(score, label)| (*score, std::iter::once(label))))
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
    fn a_label_with_few_rows_is_held_against_all_and_few_rows_in_all_against_nothing() {
        let few = reference((1..=49).map(|d| (d * d, "cat")));
        assert_eq!(few.percentile(None, 9), None);
        assert!(!few.is_anomaly(None, u32::MAX));
        let mixed = reference((1..=60).map(|d| (d * d, "cat")).chain((1000..1010).map(|d| (d * d, "dog"))));
        let (cat, dog) = (Label::from(&b"cat"[..]), Label::from(&b"dog"[..]));
        assert!(mixed.is_anomaly(Some(&cat), 1000 * 1000));
        assert_eq!(mixed.percentile(Some(&dog), 1000 * 1000), Some(100.0 * 60.0 / 70.0));
    }
}
