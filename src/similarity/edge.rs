//! A registered pair → whether it is an edge: near-duplicates by the threshold, and by the changes that a dataset takes for no change.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::register::{Alignment, EDGE_SIMILARITY, Needs};

/// `[edges]` of `wsidx.toml`: which pairs are near-duplicates.
///
/// What leaves a picture the same is the dataset's to say: a 6 turned upside down is a 9. By default every change that registration can undo
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeRule {
    /// The least similarity, above 0 and up to 1.
    #[serde(deserialize_with = "threshold")]
    pub threshold: f32,
    /// The changes that leave a picture the same.
    #[serde(deserialize_with = "changes")]
    pub accept: Needs,
}

impl Default for EdgeRule {
    fn default() -> Self {
        Self { threshold: EDGE_SIMILARITY, accept: Needs::ALL }
    }
}

impl EdgeRule {
    /// Whether the pair is an edge.
    #[must_use]
    pub fn accepts(&self, pair: &Alignment) -> bool {
        pair.similarity >= self.threshold && pair.needs.within(self.accept)
    }
}

fn threshold<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    let threshold = f32::deserialize(from)?;
    match threshold > 0.0 && threshold <= 1.0 {
        true => Ok(threshold),
        false => Err(D::Error::custom(format!("a threshold of {threshold} is not above 0 and up to 1"))),
    }
}

fn changes<'de, D: Deserializer<'de>>(from: D) -> Result<Needs, D::Error> {
    Vec::<String>::deserialize(from)?.iter().try_fold(Needs::NOTHING, |all, name| match Needs::named(name) {
        Some(need) => Ok(all.and(need)),
        None => Err(D::Error::custom(format!(
            "no change is called `{}`; there are {}",
            name.escape_debug(),
            Needs::NAMES.map(|(name, _)| name).join(", ")
        ))),
    })
}
