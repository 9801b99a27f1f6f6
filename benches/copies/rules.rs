//! The rules that are compared: two pictures → a score, more is more alike.

use wsidx::{picture::Picture, similarity::correlation};

/// A way to score pairs.
pub(crate) struct Rule {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    /// The score from which a pair is a copy.
    pub(crate) threshold: f64,
    /// The score of a pair.
    pub(crate) score: fn(&Picture, &Picture) -> f64,
}

/// All of them.
pub(crate) const RULES: &[Rule] = &[Rule { name: "correlation", threshold: wsidx::similarity::EDGE_CORRELATION, score: correlation }];
