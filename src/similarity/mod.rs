//! How alike two pictures are: one measure per file or folder; what a person is told and shown of a pair; the views that bring candidates; and
//! what impostors say of thresholds.

mod compare;
mod copies;
mod correlation;
mod edge;
mod frame;
mod null;
pub mod register;
mod side_by_side;
mod views;
mod words;

pub use compare::{Comparison, Decision, compare};
pub use copies::{COPY_KINDS, CopyKind};
pub use correlation::{EDGE_CORRELATION, correlation};
pub use edge::{Edge, EdgeRule, KEPT_SIMILARITY};
pub use frame::turned;
pub use null::NullDistribution;
pub use side_by_side::{AMPLIFIED, GAP, SideBySide, side_by_side};
pub use views::{Part, ViewKind, Views, WHOLE, uniform_border, views};
