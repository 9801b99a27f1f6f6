//! The arguments of `debug`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Debug {
    #[command(subcommand)]
    pub(crate) stage: Stage,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Stage {
    /// Write the standardised picture of an image as a PNG
    Picture {
        /// An image file
        image: PathBuf,
        /// Where to write it
        #[arg(short, long, value_name = "FILE.png")]
        out: PathBuf,
    },
    /// Print the wavelet coefficients of an image: energy by subband, or all of them
    Coefficients {
        /// An image file
        image: PathBuf,
        /// Print every coefficient: plane, level, subband, row, column, value
        #[arg(long)]
        all: bool,
    },
    /// Factorise the coefficients of a selection by rank-revealing QR: condition number, rank,
    /// chosen columns by subband
    #[command(after_help = "Example:
  wsidx debug basis --split train")]
    Basis {
        /// Only this split
        #[arg(long)]
        split: Option<String>,
        /// Only this label
        #[arg(long)]
        label: Option<String>,
        /// Another wavelet: haar, daubechies-4-taps or daubechies-8-taps
        #[arg(long, value_name = "NAME")]
        wavelet: Option<String>,
        /// Fewer levels than there can be
        #[arg(long, value_name = "N")]
        levels: Option<u32>,
        /// The condition number that the chosen columns stay below
        #[arg(long, default_value_t = 1e5)]
        tau: f64,
        /// The share of |r_11| under which a column counts as dependent
        #[arg(long, default_value_t = 1e-5)]
        tolerance: f64,
        #[command(flatten)]
        output: Output,
    },
    /// Print the stored neighbour list of an indexed image
    Neighbors {
        /// An image file of the dataset
        image: PathBuf,
    },
}
