//! The arguments of `groups`, `leaks` and `outliers`.

use clap::ValueEnum;
use wsidx::index::Isolation;

use super::Output;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every image of a group is similar to its first one; images that are only similar to another member are not in it. The groups come
from the graph that `wsidx sync` keeps, and so at once; it has the pairs of which one is among the nearest of the other as they are, so a
mirrored copy or a small crop may be missing here that `wsidx check .` finds. `[edges]` in wsidx.toml says what counts as similar.

Examples:
  wsidx groups                                   largest first
  wsidx groups --format jsonl | jq 'select(.conflict)'"
)]
pub(crate) struct Groups {
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A test image is near-identical to a training image if the two are near-duplicates (`[edges]` in wsidx.toml) or the same bytes. The
pairs come from the graph that `wsidx sync` keeps, and so at once; a mirrored copy or a small crop may be missing there that
`wsidx check test` finds. Nearest is by the distance of the features, exactly, over all training images.

Examples:
  wsidx leaks                            test images against training images
  wsidx leaks --split val -n 50          validation images; 50 of each list
  wsidx leaks --format json | jq -r '.leaks[].path'      every test image that leaks"
)]
pub(crate) struct Leaks {
    /// The split that is held against the training images: test or val
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub(crate) split: String,
    /// How many of each list to show; in JSON all leaks are told
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) n: usize,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// By what outliers are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Distance to the fifth neighbour
    Distance,
    /// Local outlier factor: how much sparser it is around the image than around its neighbours
    Lof,
}

impl From<By> for Isolation {
    fn from(by: By) -> Self {
        match by {
            By::Distance => Self::Distance,
            By::Lof => Self::Lof,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "`distance` is that to the fifth neighbour, by features; `anomaly` marks what `wsidx check` calls one: a distance over median + 5 × 1.4826
× MAD of its label. `LOF` is the local outlier factor, about 1 where it is as dense around the image as around its neighbours. With
--per-class or --label, neighbours are only those of the same class.

Examples:
  wsidx outliers                         the ten most isolated images
  wsidx outliers --by lof -n 50
  wsidx outliers --per-class -n 3        three of each class
  wsidx outliers --label bridge          of one class"
)]
pub(crate) struct Outliers {
    /// What they are ranked by
    #[arg(long, value_name = "MEASURE", default_value = "distance")]
    pub(crate) by: By,
    /// How many to show
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) n: usize,
    /// Those of each class, among the images of that class
    #[arg(long, conflicts_with = "label")]
    pub(crate) per_class: bool,
    /// Those of one class, among the images of that class
    #[arg(long)]
    pub(crate) label: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}
