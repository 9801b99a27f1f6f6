//! How alike two pictures are: one measure per file.

mod correlation;
mod null;
pub mod register;
mod views;

pub use correlation::{EDGE_CORRELATION, RULE, correlation, similarity};
pub use null::NullDistribution;
pub use views::{Part, ViewKind, Views, WHOLE, uniform_border, views};
