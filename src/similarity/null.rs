//! Similarities of pairs that cannot be copies → the threshold for a stated rate of false
//! positives.
//!
//! The highest similarities of impostors are what matters. Where the rate asked for is met by
//! enough of the pairs measured, the threshold is their order statistic. Beyond, the tail over its
//! highest part is taken to fall exponentially in the odds scale logit S, which is the generalised
//! Pareto tail of shape 0 (Pickands 1975, "Statistical inference using extreme order statistics",
//! Annals of Statistics 3(1)) after that change of scale; its mean excess is fitted there, on as
//! many as came to registration at all. An extrapolation by more than a factor of a thousand is
//! refused.

use crate::{Error, Result};

/// How much rarer than one in the measured pairs a stated rate may be.
const FARTHEST: f64 = 1_000.0;
/// Pairs that must lie above a threshold that is read off.
const READ_OFF: f64 = 20.0;
/// The share of the pairs, the highest, on which the tail is fitted.
const TAIL: f64 = 0.02;

/// The similarities of impostors, highest first.
#[derive(Debug, Clone, PartialEq)]
pub struct NullDistribution {
    highest_first: Vec<f32>,
}

impl NullDistribution {
    /// The fewest pairs to say anything from.
    pub const FEWEST: usize = 200;

    /// The least rate that so many pairs can tell.
    #[must_use]
    pub fn least_rate(pairs: usize) -> f64 {
        1.0 / (FARTHEST * pairs as f64)
    }

    /// From the similarities of pairs that are no copies, in any order; a pair that never came to
    /// registration has 0.
    ///
    /// # Errors
    /// [`Error::Input`] for fewer than 200 pairs, or a similarity outside [0, 1].
    pub fn new(mut similarities: Vec<f32>) -> Result<Self> {
        if similarities.len() < Self::FEWEST {
            return Err(Error::Input(format!(
                "{} pairs are too few for a null distribution; it takes {}",
                similarities.len(),
                Self::FEWEST
            )));
        }
        if let Some(wrong) = similarities.iter().find(|s| !(0.0..=1.0).contains(*s)) {
            return Err(Error::Input(format!(
                "a similarity of {wrong} is not in 0 to 1"
            )));
        }
        similarities.sort_by(|a, b| b.total_cmp(a));
        Ok(Self {
            highest_first: similarities,
        })
    }

    /// The number of pairs.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.highest_first.len()
    }

    /// The highest similarity of an impostor.
    #[must_use]
    pub fn worst(&self) -> f32 {
        self.highest_first[0]
    }

    /// The share of the pairs with at least this similarity.
    #[must_use]
    pub fn false_positive_rate(&self, threshold: f32) -> f64 {
        self.highest_first.partition_point(|&s| s >= threshold) as f64 / self.pairs() as f64
    }

    /// The least threshold at which at most a share `rate` of such pairs is taken for copies; in
    /// (0, 1].
    ///
    /// # Errors
    /// [`Error::Input`] for a rate outside (0, 1), or one that these pairs are too few to tell.
    pub fn threshold(&self, rate: f64) -> Result<f32> {
        let expected = rate * self.pairs() as f64;
        if !(rate > 0.0 && rate < 1.0) || expected * FARTHEST < 1.0 {
            return Err(Error::Input(format!(
                "a rate of {rate} cannot be told from {} pairs",
                self.pairs()
            )));
        }
        if expected >= READ_OFF {
            let place = (expected as usize).min(self.pairs() - 1);
            return Ok(self.highest_first[place].next_up().min(1.0));
        }
        // Pairs that never came to registration all have 0: they are no part of a tail.
        let registered = self.highest_first.partition_point(|&s| s > 0.0);
        let count = ((TAIL * self.pairs() as f64) as usize)
            .max(READ_OFF as usize)
            .min(registered.saturating_sub(1));
        if count == 0 {
            return Ok(self.worst().next_up().min(1.0));
        }
        let start = logit(self.highest_first[count]);
        let excess = self.highest_first[..count]
            .iter()
            .map(|&s| logit(s) - start)
            .sum::<f64>()
            / count as f64;
        let at = start + excess * (count as f64 / expected).ln();
        Ok((1.0 / (1.0 + (-at).exp())) as f32)
    }
}

/// ln S / (1 − S), S kept off its ends.
fn logit(similarity: f32) -> f64 {
    let s = f64::from(similarity).clamp(1e-3, 1.0 - 1e-6);
    (s / (1.0 - s)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Similarities whose logit is −3 plus an exponential deviate of mean 0.4, spread evenly over
    /// its quantiles.
    fn exponential(n: usize) -> Vec<f32> {
        let deviate = |i: usize| -0.4 * ((i as f64 + 0.5) / n as f64).ln() - 3.0;
        (0..n)
            .map(|i| (1.0 / (1.0 + (-deviate(i)).exp())) as f32)
            .collect()
    }

    #[test]
    fn thresholds_that_can_be_read_off_are_order_statistics() {
        let null = NullDistribution::new(exponential(10_000)).unwrap();
        for rate in [0.5, 0.1, 0.01, 0.003] {
            let threshold = null.threshold(rate).unwrap();
            assert!(null.false_positive_rate(threshold) <= rate, "{rate}");
            assert!(null.false_positive_rate(threshold) > rate * 0.9, "{rate}");
        }
    }

    #[test]
    fn the_tail_is_that_of_the_distribution_the_pairs_come_from() {
        let (few, many) = (
            NullDistribution::new(exponential(10_000)).unwrap(),
            NullDistribution::new(exponential(1_000_000)).unwrap(),
        );
        let (guess, known) = (few.threshold(1e-4).unwrap(), many.threshold(1e-4).unwrap());
        assert!((guess - known).abs() < 0.01, "{guess} {known}");
    }

    #[test]
    fn pairs_that_never_came_to_registration_are_no_part_of_the_tail() {
        let mut few = exponential(2_000)[..15].to_vec();
        few.resize(2_000, 0.0);
        let (known, guess) = (
            NullDistribution::new(exponential(2_000)).unwrap(),
            NullDistribution::new(few).unwrap(),
        );
        let (known, guess) = (
            known.threshold(1e-4).unwrap(),
            guess.threshold(1e-4).unwrap(),
        );
        assert!((guess - known).abs() < 0.06, "{guess} {known}");
        let one = NullDistribution::new([vec![0.4], vec![0.0; 999]].concat()).unwrap();
        assert!((one.threshold(1e-4).unwrap() - 0.4).abs() < 1e-6);
    }

    #[test]
    fn a_lower_rate_never_has_a_lower_threshold() {
        let null = NullDistribution::new(exponential(5_000)).unwrap();
        let thresholds: Vec<f32> = [0.2, 0.05, 0.005, 0.003, 1e-3, 1e-5, 1e-6]
            .iter()
            .map(|&rate| null.threshold(rate).unwrap())
            .collect();
        assert!(thresholds.is_sorted(), "{thresholds:?}");
    }

    #[test]
    fn too_few_pairs_and_senseless_numbers_are_errors() {
        assert!(NullDistribution::new(vec![0.1; NullDistribution::FEWEST - 1]).is_err());
        assert!(NullDistribution::new(vec![f32::NAN; NullDistribution::FEWEST]).is_err());
        let null = NullDistribution::new(vec![0.0; NullDistribution::FEWEST]).unwrap();
        assert!(
            null.threshold(0.0).is_err()
                && null.threshold(1.0).is_err()
                && null.threshold(f64::NAN).is_err()
        );
        assert!(null.threshold(1e-9).is_err());
        assert!(
            null.threshold(0.01).unwrap() < 0.01,
            "impostors that are nothing alike ask for no threshold"
        );
    }
}
