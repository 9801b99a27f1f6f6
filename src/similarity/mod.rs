//! How alike two pictures are: one measure per file or folder; the views that bring candidates; and what impostors say of thresholds.

mod correlation;
mod edge;
mod null;
pub mod register;
mod views;

pub use correlation::{EDGE_CORRELATION, correlation};
pub use edge::{Edge, EdgeRule, KEPT_SIMILARITY};
pub use null::NullDistribution;
pub use views::{Part, ViewKind, Views, WHOLE, uniform_border, views};
