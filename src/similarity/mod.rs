//! How alike two pictures are: one measure per file.

mod correlation;
pub mod register;

pub use correlation::{EDGE_CORRELATION, RULE, correlation, similarity};
