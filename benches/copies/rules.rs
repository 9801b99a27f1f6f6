//! What is common to the rules that are compared: names and thresholds.

use wsidx::similarity::{EDGE_CORRELATION, register::EDGE_SIMILARITY};

/// A way to score pairs; more is more alike.
pub(crate) struct Rule {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    /// The score from which a pair is a copy.
    pub(crate) threshold: f64,
}

/// The correlation of whole frames.
pub(crate) const CORRELATION: Rule = Rule {
    name: "correlation",
    threshold: EDGE_CORRELATION,
};

/// Registration.
pub(crate) const REGISTER: Rule = Rule {
    name: "register",
    threshold: EDGE_SIMILARITY as f64,
};
