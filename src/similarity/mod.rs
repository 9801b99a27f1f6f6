//! How alike two pictures are: one measure per file or folder, and the matrices of a measure
//! ([`Measure`]); what a person is told and shown of a pair; the views that bring candidates; and
//! what impostors say of thresholds.

mod compare;
mod copies;
mod correlation;
mod cosine;
mod cw_ssim;
mod edge;
mod frame;
mod gaussian;
mod haarpsi;
mod measure;
mod null;
mod pairs;
pub mod register;
mod side_by_side;
mod ssim;
mod steerable;
mod stsim;
mod summary;
#[cfg(test)]
mod trial;
mod views;
mod wide;
mod windows;
mod words;

pub use compare::{Comparison, Decision, compare};
pub use copies::{COPY_KINDS, CopyKind};
pub use correlation::{EDGE_CORRELATION, correlation};
pub use edge::{Edge, EdgeRule, KEPT_SIMILARITY};
pub use frame::turned;
pub use measure::Measure;
pub use null::NullDistribution;
pub use side_by_side::{AMPLIFIED, GAP, SideBySide, side_by_side};
pub use ssim::{Border, Colour, Ssim, Window};
pub use summary::{MatrixSummary, PairSimilarity, summarise};
pub use views::{
    CROP_RULE, CROPS_OF_INDEXED, Part, ViewKind, Views, WHOLE, crops, parts, uniform_border, views,
};
