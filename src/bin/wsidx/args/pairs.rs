//! The arguments of `compare` and `calibrate`.

use std::path::PathBuf;

use super::Output;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without an index. In a dataset that has one, its picture size and the rule in wsidx.toml hold, and A or B may be a path of the
dataset whose file is gone. `too little texture to tell`: a flat, two-tone or nearly empty picture fits many others, so only the same pixels
count as a near-duplicate of it.

--out draws A, B laid on A's frame, and their difference, brightness and contrast made alike (black: they agree; hatched: B does not
reach). A file of that name is replaced.

Examples:
  wsidx compare a.jpg b.jpg
  wsidx compare a.jpg b.jpg --out pair.png    and draw what was found
  wsidx compare a.jpg b.jpg --format json | jq .decision"
)]
pub(crate) struct Compare {
    /// An image file
    pub(crate) a: PathBuf,
    /// Another
    pub(crate) b: PathBuf,
    /// Draw them side by side
    #[arg(short, long, value_name = "FILE.png")]
    pub(crate) out: Option<PathBuf>,
    /// The side at which they are compared, in pixels [default: that of the index, or 64]
    #[arg(long, value_name = "PIXELS")]
    pub(crate) size: Option<u16>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Up to 2,048 images are looked up upside down: what comes up is no copy, yet was found and aligned as copies are. From their
similarities follows the threshold at which a stated share of images that have no copy in the dataset is taken for
near-duplicates. Copies of 256 images, made in memory (crops, borders, turns, light, noise), say what is still found there.

The same dataset gives the same numbers. Where different items are nearly identical (digits, forms), it says so: no threshold mends that.

Examples:
  wsidx calibrate                       one in a thousand
  wsidx calibrate --rate 0.0001         stricter: one in ten thousand
  wsidx calibrate --write               put the threshold into wsidx.toml"
)]
pub(crate) struct Calibrate {
    /// Of images checked that have no copy in the dataset, the share that may be taken for
    /// near-duplicates
    #[arg(long, value_name = "SHARE", default_value_t = 0.001)]
    pub(crate) rate: f64,
    /// Put the threshold into wsidx.toml; all else in it stays
    #[arg(long)]
    pub(crate) write: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
