//! The arguments of `cluster` and `reduce`, and how images are clustered.

use std::{path::PathBuf, sync::Arc};

use clap::ValueEnum;
use wsidx::{
    Error,
    index::{
        ClusterOptions, Columns, GapRule, GraphMethod, HowMany, IndexedImage, Method, Reader,
        Transform,
    },
    monitor::Monitor,
    similarity::{EdgeRule, Measure},
    spectral::{LaplacianKind, PAPER_GAMMA},
};

use super::Select;

/// A way to cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    /// k-means on the wavelet coefficients (Yousefzadeh's Algorithm 1)
    Kmeans,
    /// Spectral clustering of a matrix of similarities (his Algorithm 2)
    Spectral,
    /// Complete linkage of cosine distances, each class by itself (Birodkar)
    CompleteLinkage,
    /// Communities of high modularity, from the graph of near-duplicates that sync keeps
    Communities,
    /// Groups of near-duplicates, from the same graph
    Threshold,
}

/// Which columns k-means compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColumnsName {
    /// Raw coefficients, those that rank-revealing QR of the selected images puts first (the
    /// paper's)
    Analysis,
    /// The normalised features by which the index searches: fewer columns, and contrast does not
    /// count
    Search,
}

/// How many clusters follow from eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Eigengap {
    /// Images less gaps larger than gamma: the rule that gives the paper's figures
    Paper,
    /// Gaps larger than gamma: the paper's rule as it is printed
    Printed,
    /// Where the largest gap is (von Luxburg)
    Largest,
}

/// How images are clustered.
#[derive(Debug, clap::Args)]
pub(crate) struct Clusters {
    /// How to cluster
    #[arg(long, value_name = "METHOD", default_value = "kmeans")]
    pub(crate) method: MethodName,
    /// How many clusters
    #[arg(long, value_name = "N", group = "how-many")]
    pub(crate) clusters: Option<usize>,
    /// The share of images that is redundant: so many clusters less than images
    #[arg(long, value_name = "SHARE", group = "how-many")]
    pub(crate) redundant: Option<f64>,
    /// As many clusters as the eigenvalues of the similarities suggest
    #[arg(long, value_name = "RULE", group = "how-many")]
    pub(crate) eigengap: Option<Eigengap>,
    /// The gap between eigenvalues that counts, for --eigengap paper and printed
    #[arg(long, value_name = "GAP", default_value_t = PAPER_GAMMA, requires = "eigengap")]
    pub(crate) gamma: f64,
    /// Compare embeddings of your own instead of wavelet coefficients, for kmeans and
    /// complete-linkage: a .npy, or a .npz or .parquet with their paths
    #[arg(long, value_name = "FILE", conflicts_with_all = ["columns", "tau", "eigengap", "measure", "laplacian"])]
    pub(crate) embeddings: Option<PathBuf>,
    /// Whose the embeddings are: their paths in the dataset, one a line, or a .csv with a column
    /// `file_name`
    #[arg(long, value_name = "FILE", requires = "embeddings")]
    pub(crate) ids: Option<PathBuf>,
    /// The columns by which k-means and complete linkage compare images
    #[arg(long, value_name = "WHICH", default_value = "analysis")]
    pub(crate) columns: ColumnsName,
    /// The condition number that the columns chosen for k-means stay below
    #[arg(long, default_value_t = 1e5)]
    pub(crate) tau: f64,
    /// The similarity, for spectral clustering and --eigengap: see `wsidx similarity --help`
    #[arg(long, value_name = "NAME[:SETTING,…]", default_value = "ssim")]
    pub(crate) measure: Measure,
    /// The graph Laplacian: unnormalized, symmetric or random-walk [default: symmetric to cluster,
    /// unnormalized for --eigengap]
    #[arg(long, value_name = "KIND")]
    pub(crate) laplacian: Option<LaplacianKind>,
    /// Of what is random: the same seed gives the same clusters
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl Clusters {
    /// What is asked of the library for these images; `rule` is that of the dataset.
    pub(crate) fn options(
        &self,
        reader: &Reader,
        images: &[IndexedImage],
        rule: EdgeRule,
        monitor: &dyn Monitor,
    ) -> Result<ClusterOptions, Error> {
        if self.gamma.is_nan() || self.gamma < 0.0 || self.tau.is_nan() || self.tau <= 1.0 {
            return Err(Error::Input(
                "--gamma is at least 0, and --tau more than 1".into(),
            ));
        }
        let how_many = match (self.clusters, self.redundant, self.eigengap) {
            (Some(number), ..) => Some(HowMany::Clusters(number)),
            (_, Some(share), _) => Some(HowMany::Redundant(share)),
            (.., Some(Eigengap::Paper)) => Some(HowMany::Gaps(GapRule::Complement(self.gamma))),
            (.., Some(Eigengap::Printed)) => Some(HowMany::Gaps(GapRule::Printed(self.gamma))),
            (.., Some(Eigengap::Largest)) => Some(HowMany::Gaps(GapRule::Largest)),
            _ => None,
        };
        if self.embeddings.is_some()
            && !matches!(
                self.method,
                MethodName::Kmeans | MethodName::CompleteLinkage
            )
        {
            return Err(Error::Input(
                "--embeddings are compared by --method kmeans and complete-linkage; the others compare pictures".into(),
            ));
        }
        let columns = match (&self.embeddings, self.columns) {
            (Some(file), _) => Columns::Embeddings(Arc::new(reader.embeddings(
                images,
                file,
                self.ids.as_deref(),
                monitor,
            )?)),
            (None, ColumnsName::Analysis) => Columns::Analysis {
                tau: self.tau,
                transform: Transform::default(),
            },
            (None, ColumnsName::Search) => Columns::Search,
        };
        let method = match self.method {
            MethodName::Kmeans => Method::KMeans(columns),
            MethodName::Spectral => {
                Method::Spectral(self.laplacian.unwrap_or(LaplacianKind::Symmetric))
            }
            MethodName::CompleteLinkage => Method::CompleteLinkage(columns),
            MethodName::Communities => Method::Communities(rule),
            MethodName::Threshold => Method::Threshold(rule),
        };
        let gaps_of = self.laplacian.unwrap_or(LaplacianKind::Unnormalized);
        Ok(ClusterOptions {
            method,
            how_many,
            measure: self.measure,
            gaps_of,
            seed: self.seed,
        })
    }
}

/// How the reduced set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people: counts, and the clusters of several images
    Text,
    /// One JSON value
    Json,
    /// Every image on a line: path, label, split, cluster, fate, and the image that stays for it
    Csv,
    /// The paths of the reduced set, one a line
    Paths,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of a cluster of one label the image closest to its centre is kept; the images of a cluster of several labels are influential: all of
them are kept, and listed. Nothing is deleted. The number of clusters is told by --clusters, --redundant or --eigengap, but for
--method communities and threshold, which find it.

The paper's own runs: CIFAR-10 in 47,000 clusters; 500 images of aquarium fish in 470, and by Algorithm 2 in 454.

Embeddings are a matrix with a row for each image, of floats of 16, 32 or 64 bits or of integers: in a .npy, with their paths in
another file (--ids); or in a .npz, as `embeddings`, with their paths as `ids`; or in a .parquet, as lists, with a column `file_name`:
  numpy.savez('emb.npz', embeddings=matrix, ids=numpy.array(paths, dtype=str))
Paths are relative to the root of the dataset, or absolute. --method complete-linkage also tells the average dissimilarity (1 - cosine)
to the image kept: of each group of several images, then of the groups of each class and of all.

Examples:
  wsidx reduce --split train --clusters 47000 --columns search     Algorithm 1 on all training images
  wsidx reduce train/fish --redundant 0.06                         470 clusters of 500 images
  wsidx reduce train/fish --method spectral --eigengap paper       Algorithm 2
  wsidx reduce --split train --method threshold                    one of each group of near-duplicates
  wsidx reduce train --method complete-linkage --redundant 0.1     90 % of each class
  wsidx reduce train --method complete-linkage --redundant 0.1 --embeddings emb.npz             by your own embeddings (Birodkar)
  wsidx reduce train --method complete-linkage --redundant 0.1 --embeddings emb.npy --ids paths.txt
  wsidx reduce train --redundant 0.1 --format csv > reduced.csv    every image, and what becomes of it
  wsidx reduce train --redundant 0.1 --link ../reduced             a folder of hard links to what stays"
)]
pub(crate) struct Reduce {
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) clusters: Clusters,
    /// Make a folder of what stays, of hard links
    #[arg(long, value_name = "DIR", conflicts_with = "copy")]
    pub(crate) link: Option<PathBuf>,
    /// Make a folder of what stays, of copies
    #[arg(long, value_name = "DIR")]
    pub(crate) copy: Option<PathBuf>,
    /// How to write the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ListFormat,
}

/// How clusters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClusterFormat {
    /// For people
    Text,
    /// One JSON value
    Json,
    /// One JSON object a line for each cluster
    Jsonl,
    /// Every selected image on a line: path, label, split, and its cluster, if it is in one
    Csv,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The near-duplicates that `wsidx sync` keeps are a graph; each of its connected components is clustered by itself:

  spectral      by its Laplacian, into as many clusters as come before the largest gap of the eigenvalues; components of more than
                256 contents are cut into communities first
  components    not at all
  communities   where the modularity of the whole graph is high (the method of Louvain)
  threshold     groups of which all are similar to one: those of `wsidx groups`

A cluster is named by the smallest content id in it, whatever happened before. So it keeps its name when images come or go, unless
the one that names it leaves or one with a smaller id joins; when clusters merge the smallest name stays, and when one splits the
part with the naming image keeps it. `query` and `check` name the spectral cluster of near-duplicates, but none in a component of
more than 2,048 contents. The whole dataset is clustered; a selection says which clusters are shown.

Examples:
  wsidx cluster                                 all clusters, those of most images first
  wsidx cluster --label cat --graph cats.svg    those with a cat in them, drawn
  wsidx cluster --format csv > clusters.csv     every image with its cluster"
)]
pub(crate) struct Cluster {
    #[command(flatten)]
    pub(crate) select: Select,
    /// How to cluster: spectral, components, communities or threshold
    #[arg(long, value_name = "METHOD", default_value = "spectral")]
    pub(crate) method: GraphMethod,
    /// Draw the near-duplicates as a graph: a point for each content, a colour for each cluster
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) graph: Option<PathBuf>,
    /// How to write the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ClusterFormat,
}
