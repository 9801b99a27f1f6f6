//! Verdicts → two files to follow over time, as DVC's `metrics` and `plots`: numbers as JSON, and
//! how far the images are from each other as CSV.
//!
//! Both hold nothing but what the verdicts say, no time and no path, in a fixed order: the same
//! verdicts give the same bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use wsidx::{
    Error, Result,
    file::Output,
    index::Checked,
    verdict::{Action, Verdict},
};

use crate::json::{Decimal, hex};

/// Distances are counted in steps of one fiftieth, from 0 to 2.
const STEPS: usize = 100;
const STEPS_IN_ONE: f64 = 50.0;

#[derive(Serialize)]
struct Metrics {
    images: usize,
    unique: usize,
    novel: usize,
    redundant: usize,
    influential: usize,
    anomaly: usize,
    undecodable: usize,
    leak: usize,
    rejected: usize,
    allowed: usize,
    redundant_fraction: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest_distance: Option<Quantiles>,
}

/// Of the distances of each content from its nearest: that which so many per cent do not exceed.
#[derive(Serialize)]
struct Quantiles {
    p01: Decimal,
    p10: Decimal,
    p50: Decimal,
    p90: Decimal,
    p99: Decimal,
}

impl Quantiles {
    /// The nearest ranks; none of no distances.
    fn of(ascending: &[f64]) -> Option<Self> {
        let at = |percent: usize| {
            ascending
                .get((ascending.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
                .map(Decimal)
        };
        Some(Self {
            p01: at(1)?,
            p10: at(10)?,
            p50: at(50)?,
            p90: at(90)?,
            p99: at(99)?,
        })
    }
}

/// The distance of each content from its nearest, ascending.
fn distances(checked: &[Checked]) -> Vec<f64> {
    let of_contents: BTreeMap<_, f64> = checked
        .iter()
        .filter_map(|checked| Some((checked.id?, checked.apart?)))
        .collect();
    let mut distances: Vec<f64> = of_contents.into_values().collect();
    distances.sort_by(f64::total_cmp);
    distances
}

/// Writes how many images have which verdict, and how near they are to each other.
pub(super) fn write_metrics(file: &Output, checked: &[Checked], actions: &[Action]) -> Result<()> {
    let of = |verdict: Verdict| {
        checked
            .iter()
            .filter(|checked| checked.judgement.verdict == verdict)
            .count()
    };
    let mut ids: Vec<_> = checked
        .iter()
        .filter_map(|checked| checked.id.as_ref().map(hex))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let metrics = Metrics {
        images: checked.len(),
        unique: ids.len(),
        novel: of(Verdict::Novel),
        redundant: of(Verdict::Redundant),
        influential: of(Verdict::Influential),
        anomaly: of(Verdict::Anomaly),
        undecodable: of(Verdict::Undecodable),
        leak: checked
            .iter()
            .filter(|checked| checked.judgement.leak)
            .count(),
        rejected: actions
            .iter()
            .filter(|action| **action == Action::Reject)
            .count(),
        allowed: checked
            .iter()
            .filter(|checked| checked.allowed.is_some())
            .count(),
        redundant_fraction: Decimal(of(Verdict::Redundant) as f64 / checked.len().max(1) as f64),
        nearest_distance: Quantiles::of(&distances(checked)),
    };
    let text = serde_json::to_string_pretty(&metrics).map_err(|e| Error::Input(e.to_string()))?;
    file.write((text + "\n").as_bytes())
}

/// Writes how many contents are how far from their nearest: `distance` is where a step begins.
pub(super) fn write_plots(file: &Output, checked: &[Checked]) -> Result<()> {
    let mut counts = [0usize; STEPS];
    for distance in distances(checked) {
        counts[((distance * STEPS_IN_ONE) as usize).min(STEPS - 1)] += 1;
    }
    let rows = counts
        .iter()
        .enumerate()
        .map(|(step, count)| format!("{:.2},{count}\n", step as f64 / STEPS_IN_ONE));
    file.write(("distance,images\n".to_owned() + &rows.collect::<String>()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let of = |n: usize| {
            Quantiles::of(&(1..=n).map(|i| i as f64).collect::<Vec<_>>())
                .map(|q| [q.p01, q.p10, q.p50, q.p90, q.p99])
        };
        assert_eq!(of(0), None);
        assert_eq!(of(1), Some([1.0; 5].map(Decimal)));
        assert_eq!(of(200), Some([2.0, 20.0, 100.0, 180.0, 198.0].map(Decimal)));
        assert_eq!(of(3), Some([1.0, 1.0, 2.0, 3.0, 3.0].map(Decimal)));
    }
}
