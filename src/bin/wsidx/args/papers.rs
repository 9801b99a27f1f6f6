//! The arguments of the analyses of the papers: `similarity` and `spectrum`, and the selection of
//! images that they share.

use std::path::PathBuf;

use wsidx::{
    similarity::Measure,
    spectral::{LaplacianKind, PAPER_GAMMA},
};

use super::Output;

/// Which images of the dataset.
#[derive(Debug, clap::Args)]
pub(crate) struct Select {
    /// Files and folders of the dataset [default: all of it]
    pub(crate) paths: Vec<PathBuf>,
    /// Only this split: train, val or test
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// Only this label
    #[arg(long)]
    pub(crate) label: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every image (every path) is compared with every other; the matrix is in the order of the paths, which --format json lists.

Similarities:
  ssim          structural similarity, in [-1, 1]; settings: like=paper (default), like=wang or like=scikit-image; then
                gaussian=SIGMA or uniform=SIDE, border=repeat|inside, covariance=population|sample, colour=volume|planes|luma,
                k1=, k2= (constants), alpha=, beta=, gamma= (weights of luminance, contrast and structure)
  cw-ssim       in the complex wavelet domain, in [0, 1]: small shifts and rotations matter little
  haarpsi       perceptual similarity by Haar wavelets, in [0, 1]
  stsim         of textures, in [0, 1]: statistics are compared, not places
  cosine        of the wavelet coefficients, in [0, 1]
  gaussian      kernel of their Euclidean distance, in [0, 1]; width=SIGMA in grey levels [default: the median distance]
  registration  what decides on near-duplicates, in [0, 1]

Examples:
  wsidx similarity --split train --label fish                   mean, deviation, extremes
  wsidx similarity train/fish --out S.npy --heat-map S.png      the matrix, and a picture of it
  wsidx similarity --label fish --split test --against train    test images × training images
  wsidx similarity train/bridge --size 662x512 --graph G.svg    the files themselves, at this size, as a graph
  wsidx similarity train/fish --measure ssim:like=wang,colour=planes"
)]
pub(crate) struct Similarity {
    #[command(flatten)]
    pub(crate) select: Select,
    /// The similarity, and its settings
    #[arg(long, value_name = "NAME[:SETTING,…]", default_value = "ssim")]
    pub(crate) measure: Measure,
    /// Compare with the images of another split (of the same label and paths) instead of with each
    /// other
    #[arg(long, value_name = "SPLIT")]
    pub(crate) against: Option<String>,
    /// Read the files and compare them at this size, instead of the stored pictures
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<Size>,
    /// Write the matrix: NumPy, 32-bit floats
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) out: Option<PathBuf>,
    /// Draw the matrix
    #[arg(long, value_name = "FILE.png")]
    pub(crate) heat_map: Option<PathBuf>,
    /// Draw the images as a graph: a line for each pair that is similar enough
    #[arg(long, value_name = "FILE.svg", conflicts_with = "against")]
    pub(crate) graph: Option<PathBuf>,
    /// What is similar enough for a line [default: three standard deviations above the mean]
    #[arg(
        long,
        value_name = "SIMILARITY",
        requires = "graph",
        allow_negative_numbers = true
    )]
    pub(crate) above: Option<f64>,
    /// How many of the most and the least similar pairs to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) extremes: usize,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The graph has an edge for every two images that are similar at all (negative similarities count as none), or with --edges only for
near-duplicates, as `wsidx sync` keeps them; equal files are then one vertex. The number of gaps between neighbouring
eigenvalues that are larger than gamma is the number of clusters by the rule of Yousefzadeh 2020 as it is printed; the
eigenvalue after which the largest gap comes is that by von Luxburg 2007.

Components of up to 2,048 vertices are exact. Of larger ones the distribution of the eigenvalues is estimated, and its error said;
--estimate shows how far an estimate is from the truth where that is known.

Examples:
  wsidx spectrum --label fish --split train --plot spectrum.svg
  wsidx spectrum train/fish --measure cosine --laplacian symmetric
  wsidx spectrum --edges --laplacian symmetric            the near-duplicates of the whole dataset"
)]
pub(crate) struct Spectrum {
    #[command(flatten)]
    pub(crate) select: Select,
    /// The similarity, and its settings; see `wsidx similarity --help`
    #[arg(
        long,
        value_name = "NAME[:SETTING,…]",
        default_value = "ssim",
        conflicts_with = "edges"
    )]
    pub(crate) measure: Measure,
    /// The graph of near-duplicates instead of all similarities
    #[arg(long)]
    pub(crate) edges: bool,
    /// The Laplacian: unnormalized, symmetric or random-walk
    #[arg(long, value_name = "KIND", default_value = "unnormalized")]
    pub(crate) laplacian: LaplacianKind,
    /// Gaps between eigenvalues that count are larger than this
    #[arg(long, default_value_t = PAPER_GAMMA)]
    pub(crate) gamma: f64,
    /// Estimate the distribution, too, where all eigenvalues are known
    #[arg(long)]
    pub(crate) estimate: bool,
    /// Draw the distribution of the eigenvalues
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) [usize; 2]);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text
            .split_once(['x', '×'])
            .and_then(|(width, height)| Some([width.parse().ok()?, height.parse().ok()?]));
        sides
            .map(Self)
            .ok_or_else(|| "a width and a height in pixels are needed, as in 662x512".to_owned())
    }
}
