//! The command line.

mod clusters;
mod debug;
mod generalisation;
mod pairs;
mod papers;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use self::{
    clusters::{Cluster, ClusterFormat, ListFormat, Reduce},
    debug::{Debug, Stage},
    generalisation::{Groups, Leaks, Outliers},
    pairs::{Calibrate, Compare},
    papers::{Select, Similarity, Size, Spectrum},
};

use crate::{
    allow::{Allow, BaselineCommand},
    check::ReportFormat,
    hook::args::HookCommand,
    watch::Watch,
};

/// Finds near-duplicates, label conflicts and train/test leaks in image datasets.
///
/// wsidx keeps an exact similarity index of a folder of images in `.wsidx` beside them, up to date
/// as files change, and judges new images against it: redundant, influential (a near-duplicate
/// under another label), anomaly, or novel.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Examples:
  wsidx init && wsidx sync              make an index of the current folder
  wsidx check train/cat/new.png         judge an image before it is committed
  wsidx query ~/Downloads/cat.jpg       what in the dataset is like this?
  wsidx COMMAND --help                  more examples

Exit codes: 0 fine, 1 findings that the policy rejects, 2 error, 130 interrupted")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The dataset to use [default: the nearest one with an index, from the current folder upwards]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) root: Option<PathBuf>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: clap::ColorChoice,
    /// Refuse an index that you did not make on this machine, instead of warning
    #[arg(long, global = true)]
    pub(crate) strict: bool,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON value
    Json,
    /// One JSON object a line
    Jsonl,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// How to write the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an index for a folder of images
    Init(Init),
    /// Bring the index in line with the files: new, changed, moved, deleted
    Sync(Sync),
    /// Show the images of the dataset that are nearest to an image
    Query(Query),
    /// Compare two images: how one lies on the other, whether they are near-duplicates, and why
    Compare(Compare),
    /// Judge images: redundant, influential, anomaly or novel; and leaks between splits
    Check(Check),
    /// Show which images of the dataset are near-duplicates of each other
    Groups(Groups),
    /// Cluster the near-duplicates of the dataset, spectrally or otherwise, and draw their graph
    Cluster(Cluster),
    /// Compare every image of a selection with every other: statistics, the matrix, a picture of it
    Similarity(Similarity),
    /// Show the eigenvalues of the graph Laplacian of similarities, and how many clusters they
    /// suggest
    Spectrum(Spectrum),
    /// Show which test images have a near-identical training image, and which are unlike all of
    /// them
    Leaks(Leaks),
    /// Cluster images and say which to keep, and which are influential
    Reduce(Reduce),
    /// Show the images that are most by themselves, in the dataset or in their class
    Outliers(Outliers),
    /// Show the duplicates, conflicts and leaks that one commit has and another has not
    Diff(Diff),
    /// Accept what check finds, for good: adds lines to .wsidx-allow
    Allow(Allow),
    /// Accept the pairs that the dataset has now, and tell only of new ones
    Baseline {
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// Let git check what is committed, merged or pushed
    Hook {
        #[command(subcommand)]
        command: HookCommand,
    },
    /// Judge what comes into folders, and keep the index up to date, for as long as it runs
    Watch(Watch),
    /// Find the threshold for near-duplicates that fits this dataset
    Calibrate(Calibrate),
    /// Show what the index holds
    Status(Status),
    /// Derive everything anew and compare it with what is stored
    Verify(Verify),
    /// Make the catalog and the published view again, without reading an image
    Rebuild(Rebuild),
    /// Believe an index that came from elsewhere
    Trust(Trust),
    /// Drop cached contents that no path has held for a while
    Gc(Gc),
    /// Open a window on a stage: picture, coefficients, basis, neighbors
    Debug(Debug),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = "Example:
  wsidx completions bash > ~/.local/share/bash-completion/completions/wsidx")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The size of the standardised pictures is chosen from the files that are there: where all are square, of one even side
up to 64, they keep it (CIFAR stays 32 × 32); else it is 64. It never changes later.

Examples:
  wsidx init                    in the current folder
  wsidx init data --size 32     elsewhere, with a size of your own"
)]
pub(crate) struct Init {
    /// The folder [default: the current one]
    pub(crate) dir: Option<PathBuf>,
    /// The side of the standardised pictures, in pixels
    #[arg(long, value_name = "PIXELS")]
    pub(crate) size: Option<u16>,
    /// The wavelet of the search basis: haar, daubechies-4-taps or daubechies-8-taps
    #[arg(long, value_name = "NAME")]
    pub(crate) wavelet: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Labels are the parent folders, splits the folders train, val, valid, validation or test in the root. A labels.csv or
metadata.csv (columns file_name, label, split; UTF-8) beside the images or above them overrides both. A table with two labels for one image is
an error.

Examples:
  wsidx sync                    everything
  wsidx sync --init             create the index first, if there is none
  wsidx sync train/cat          only this folder"
)]
pub(crate) struct Sync {
    /// Files and folders [default: the whole dataset]
    pub(crate) paths: Vec<PathBuf>,
    /// Create an index in the current folder (or in --root) if there is none
    #[arg(long)]
    pub(crate) init: bool,
    /// Wait until another writer is done
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Near-duplicates come first, most similar first, also those that were cropped, mirrored, turned or framed. The rest are the nearest
by the distance of their features, exactly, ties by content id. Similarity says how well one picture lies on the other; 1 is the same
picture, 0 where no way was found to lay them. `[edges]` in wsidx.toml says what counts as a near-duplicate.

Examples:
  wsidx query img.png           the 10 nearest
  wsidx query -k 3 *.jpg        of several
  wsidx query test_batch.bin#7  an image in a file that holds many
  wsidx query img.png --format json | jq -r '.[].neighbors[].path'"
)]
pub(crate) struct Query {
    /// Image files, anywhere
    #[arg(required = true, value_name = "IMG")]
    pub(crate) images: Vec<PathBuf>,
    /// How many neighbours
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) k: usize,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each file is compared with the dataset without the files named here, and with those named before it: so `wsidx check .` finds
every duplicate in the dataset once. What rejects and what only warns is said in `wsidx.toml` in the root:

  [check]
  reject = [\"redundant\", \"influential\", \"leak\", \"missing\"]
  warn = [\"anomaly\", \"undecodable\"]

  [edges]
  threshold = 0.7
  accept = [\"photometric\", \"crop\", \"border\", \"rotation\", \"mirror\", \"quarter-turn\", \"greyscale\", \"overlay\"]

Examples:
  wsidx check .                                   the whole dataset
  wsidx check train/cat/new.png                   a file in it
  wsidx check --label cat --split train in/*.png  files from elsewhere
  git diff --name-only -z | wsidx check --files-from - -0
  wsidx check . --metrics wsidx.json --plots wsidx.csv --exit-zero
  wsidx check --staged                            what the next commit brings
  wsidx check --range origin/main..               what this branch brings"
)]
pub(crate) struct Check {
    /// Image files and folders
    #[arg(required_unless_present_any = ["files_from", "staged", "range"], value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Judge what is staged in git, against all else that the commit will hold
    #[arg(long, conflicts_with_all = ["range", "files_from", "label", "split"])]
    pub(crate) staged: bool,
    /// Judge what commits change: A..B, or auto for what CI variables say
    #[arg(long, value_name = "A..B", conflicts_with_all = ["files_from", "label", "split"])]
    pub(crate) range: Option<String>,
    /// Judge every commit of the range by itself, so that what a later one removes is found, too
    #[arg(long, requires = "range")]
    pub(crate) every_commit: bool,
    /// Read more paths from a file, one a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// The paths of --files-from end in NUL
    #[arg(short = '0', requires = "files_from")]
    pub(crate) nul: bool,
    /// The label of all of them, whatever their folders say
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// The split of all of them: train, val or test
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// List the novel ones too
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Exit with 0 whatever is found
    #[arg(long)]
    pub(crate) exit_zero: bool,
    /// Also write how many images have which verdict to a file, as JSON: metrics for DVC; never
    /// over an image or in the index
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["staged", "range"])]
    pub(crate) metrics: Option<PathBuf>,
    /// Also write how many images are how far from their nearest to a file, as CSV: a plot for DVC;
    /// never over a table of labels
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["staged", "range"])]
    pub(crate) plots: Option<PathBuf>,
    /// How to write the verdicts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The images of B that A has not, or has under another label or split, are judged against all others of B. Nothing is checked out.

Example:
  wsidx diff v1.0 HEAD          what came into the dataset since a release"
)]
pub(crate) struct Diff {
    /// A commit
    #[arg(value_name = "A")]
    pub(crate) from: String,
    /// Another commit
    #[arg(value_name = "B", default_value = "HEAD")]
    pub(crate) to: String,
    /// List the novel ones too
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// How to write the verdicts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 1 if something is wrong; each line says what mends it. Files that changed since the last sync are counted, not wrong.

Examples:
  wsidx verify                  the index: packs, catalog, view, features, lists
  wsidx verify --files          the files too: hash and decode each of them"
)]
pub(crate) struct Verify {
    /// Read and decode every file, too
    #[arg(long)]
    pub(crate) files: bool,
    /// Wait until another writer is done
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An index that came with an archive may have been made up by whoever packed it. wsidx notes which indexes you made, in a folder
of your own (XDG_STATE_HOME, by default ~/.local/state), and warns of others; with --strict, and before it takes a push, it refuses
them. In CI, where an index comes from a cache, set WSIDX_TRUST to the root of the dataset.

Examples:
  wsidx trust                   the index of the dataset at hand
  wsidx trust ~/restored/data   that of another one
  wsidx rebuild                 do not believe it: make it anew from the images"
)]
pub(crate) struct Trust {
    /// The dataset [default: the nearest one with an index, from the current folder upwards]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Catalog, view and lists are made again from the stored records, without reading an image; an index that is empty reads the images.

An index that you did not make on this machine is made anew from the images, since nothing in it can be relied on. The new one
is made beside it, in .wsidx-rebuild, and takes its place in one step once it is whole; until then, and if the rebuild fails or is
killed, the old one stays as it is. Meanwhile the disk holds both. Files in the folder of the index that are not part of it are
named, and then nothing is changed."
)]
pub(crate) struct Rebuild {
    /// Choose the columns of the search basis anew, from what is there now
    #[arg(long)]
    pub(crate) refit: bool,
    /// Wait until another writer is done
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Contents stay cached when their last path leaves, so that switching back to another version of the dataset costs nothing.

Example:
  wsidx gc --older-than 0       drop all that no path holds now"
)]
pub(crate) struct Gc {
    /// Days for which no path has held them
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub(crate) older_than: u32,
    /// Wait until another writer is done
    #[arg(long)]
    pub(crate) wait: bool,
}
