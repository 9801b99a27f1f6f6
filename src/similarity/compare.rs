//! Two Pictures → all that is known of the pair: how one lies on the other, what the rule makes of
//! it, and why.
//!
//! Unlike a check, which looks at a pair under the turns that brought it up, a comparison tries all
//! eight.

use std::cmp::Ordering;

use super::{
    EdgeRule,
    register::{Alignment, Needs, Prepared, Scale, Turn, by_scale, max_similarity, register},
};
use crate::picture::Picture;

/// What a rule makes of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The same pixels.
    Same,
    /// Near-duplicates.
    NearDuplicate,
    /// Similar enough, but by changes that the rule does not accept: these.
    Refused(Needs),
    /// What there is agrees or is empty, and there is too little of it to tell.
    TooLittleTexture,
    /// Two pictures.
    Different,
}

impl Decision {
    /// The words in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same pixels",
            Self::NearDuplicate => "near-duplicate",
            Self::Refused(_) => "change not accepted",
            Self::TooLittleTexture => "too little texture to tell",
            Self::Different => "different",
        }
    }

    /// Whether the pair counts as near-duplicates.
    #[must_use]
    pub fn is_edge(self) -> bool {
        matches!(self, Self::Same | Self::NearDuplicate)
    }
}

/// All that is known of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What the rule makes of it.
    pub decision: Decision,
    /// How the first picture lies on the second.
    pub pair: Alignment,
    /// The similarity that each picture has enough texture for, in [0, 1): see
    /// [`Alignment::max_similarity`].
    pub max_similarity: [f32; 2],
    /// Level by level, coarse to fine; empty where no way was found to lay one on the other.
    pub scales: Vec<Scale>,
}

/// Compares two pictures; their shapes may differ.
#[must_use]
pub fn compare(a: &Picture, b: &Picture, rule: &EdgeRule) -> Comparison {
    let [first, second] = [a, b].map(Prepared::of);
    let pairs = Turn::ALL.map(|turn| register(&first, &second, turn));
    let rank = |pair: &Alignment| (rule.accepts(pair), pair.similarity);
    let better = |best: Alignment, pair: Alignment| match rank(&pair).partial_cmp(&rank(&best)) {
        Some(Ordering::Greater) => pair,
        _ => best,
    };
    let pair = pairs.into_iter().reduce(better).unwrap_or(pairs[0]);
    let max_similarity = [&first, &second].map(|picture| max_similarity(&picture.detail));
    let decision = if a == b {
        Decision::Same
    } else {
        rule.decide(&pair, max_similarity)
    };
    Comparison {
        decision,
        scales: by_scale(&first, &second, &pair),
        pair,
        max_similarity,
    }
}

impl EdgeRule {
    /// What becomes of a pair of pictures that differ, which have texture enough for these
    /// similarities.
    #[must_use]
    pub fn decide(&self, pair: &Alignment, max_similarity: [f32; 2]) -> Decision {
        if self.accepts(pair) {
            Decision::NearDuplicate
        } else if pair.similarity >= self.threshold {
            Decision::Refused(pair.needs.without(self.accept))
        } else if self.lacks_texture(pair)
            || max_similarity.iter().any(|&most| most < self.threshold)
        {
            Decision::TooLittleTexture
        } else {
            Decision::Different
        }
    }

    /// Whether a pair is no near-duplicate only for want of texture: what there is agrees as well
    /// as it has to.
    #[must_use]
    pub fn lacks_texture(&self, pair: &Alignment) -> bool {
        pair.is_found()
            && pair.similarity < self.threshold
            && pair.max_similarity < self.threshold
            && pair.agreement >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Shape;

    fn picture(value: impl Fn(usize, usize) -> u8) -> Picture {
        let shape = Shape::new(32, 3).unwrap();
        Picture::from_samples(
            shape,
            (0..shape.len())
                .map(|i| value(i % 32, i / 32 % 32))
                .collect(),
        )
        .unwrap()
    }

    /// Blocks of 4 × 4 in shades that depend on the seed.
    fn blocks(seed: usize, x: usize, y: usize) -> u8 {
        ((x / 4 * 7 + y / 4 * 13 + seed) * (x / 4 + 3 * (y / 4) + 5 + seed) * 37 % 251) as u8
    }

    fn decided(a: &Picture, b: &Picture) -> Decision {
        compare(a, b, &EdgeRule::default()).decision
    }

    #[test]
    fn equal_and_nearly_equal_pictures_are_told_and_different_ones_too() {
        let a = picture(|x, y| blocks(1, x, y));
        assert_eq!(decided(&a, &a), Decision::Same);
        assert_eq!(
            decided(&a, &picture(|x, y| blocks(1, x, y) / 2 + 40)),
            Decision::NearDuplicate
        );
        assert_eq!(
            decided(&a, &picture(|x, y| blocks(100, y, x))),
            Decision::Different
        );
    }

    #[test]
    fn a_mirror_image_is_refused_where_mirrors_are_not_accepted() {
        let (a, b) = (
            picture(|x, y| blocks(1, x, y)),
            picture(|x, y| blocks(1, 31 - x, y)),
        );
        assert_eq!(decided(&a, &b), Decision::NearDuplicate);
        let found = compare(
            &a,
            &b,
            &EdgeRule {
                accept: Needs::PHOTOMETRIC,
                ..EdgeRule::default()
            },
        );
        assert_eq!(
            found.decision,
            Decision::Refused(Needs::MIRROR),
            "{:?}",
            found.pair
        );
        assert_eq!(found.pair.words(), "mirrored");
    }

    #[test]
    fn flat_two_tone_and_nearly_empty_pictures_are_too_little_to_tell_and_equal_ones_are_the_same()
    {
        let dull = [
            picture(|_, _| 0),
            picture(|_, _| 1),
            picture(|_, _| 255),
            picture(|x, _| if x < 16 { 0 } else { 255 }),
            picture(|x, _| if x < 17 { 10 } else { 240 }),
            picture(|x, y| (4 * x + y) as u8),
            picture(|x, y| u8::from(x == 9 && y == 9) * 255),
        ];
        for (i, a) in dull.iter().enumerate() {
            for (j, b) in dull.iter().enumerate() {
                let expected = if i == j {
                    Decision::Same
                } else {
                    Decision::TooLittleTexture
                };
                assert_eq!(decided(a, b), expected, "{i} {j}");
            }
            assert_eq!(
                decided(a, &picture(|x, y| blocks(1, x, y))),
                Decision::TooLittleTexture,
                "{i}"
            );
        }
    }

    #[test]
    fn the_order_of_the_pictures_does_not_matter_to_the_decision() {
        let (a, b) = (
            picture(|x, y| blocks(1, x, y)),
            picture(|x, y| blocks(1, y, x) / 2 + 9),
        );
        let (one, two) = (
            compare(&a, &b, &EdgeRule::default()),
            compare(&b, &a, &EdgeRule::default()),
        );
        assert_eq!(
            (one.decision, one.pair.similarity),
            (two.decision, two.pair.similarity)
        );
        assert_eq!(
            (
                one.pair.words().contains("brighter"),
                two.pair.words().contains("darker")
            ),
            (true, true),
            "{} {}",
            one.pair,
            two.pair
        );
    }
}
