//! A registered pair → whether it is an edge: near-duplicates by the threshold, and by the changes
//! that a dataset takes for no change.
//!
//! An index keeps the pairs of at least [`KEPT_SIMILARITY`] with what each needed, so that another
//! rule asks for no new registration.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::register::{Alignment, EDGE_SIMILARITY, Needs};

/// The least similarity that an index keeps, and so the least threshold.
pub const KEPT_SIMILARITY: f32 = 0.3;

/// A pair as an index keeps it, seen from one of its rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// The other row.
    pub row: u32,
    /// In [[`KEPT_SIMILARITY`], 1].
    pub similarity: f32,
    /// The changes that make one of the other.
    pub needs: Needs,
}

/// `[edges]` of `wsidx.toml`: which pairs are near-duplicates.
///
/// What leaves a picture the same is the dataset's to say: a 6 turned upside down is a 9. By
/// default every change that registration can undo does.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeRule {
    /// The least similarity, from [`KEPT_SIMILARITY`] to 1.
    #[serde(deserialize_with = "threshold")]
    pub threshold: f32,
    /// The changes that leave a picture the same.
    #[serde(deserialize_with = "changes")]
    pub accept: Needs,
}

impl Default for EdgeRule {
    fn default() -> Self {
        Self {
            threshold: EDGE_SIMILARITY,
            accept: Needs::ALL,
        }
    }
}

impl EdgeRule {
    /// Whether the pair is an edge.
    #[must_use]
    pub fn accepts(&self, pair: &Alignment) -> bool {
        self.admits(pair.similarity, pair.needs)
    }

    /// Whether a pair of this similarity that needed these changes is an edge.
    #[must_use]
    pub fn admits(&self, similarity: f32, needs: Needs) -> bool {
        similarity >= self.threshold && needs.within(self.accept)
    }
}

fn threshold<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    let threshold = f32::deserialize(from)?;
    if (KEPT_SIMILARITY..=1.0).contains(&threshold) {
        Ok(threshold)
    } else {
        Err(D::Error::custom(format!(
            "a threshold of {threshold} is not from {KEPT_SIMILARITY} to 1"
        )))
    }
}

fn changes<'de, D: Deserializer<'de>>(from: D) -> Result<Needs, D::Error> {
    Vec::<String>::deserialize(from)?.iter().try_fold(
        Needs::NOTHING,
        |all, name| match Needs::named(name) {
            Some(need) => Ok(all.and(need)),
            None => Err(D::Error::custom(format!(
                "no change is called `{}`; there are {}",
                name.escape_debug(),
                Needs::NAMES.map(|(name, _)| name).join(", ")
            ))),
        },
    )
}
