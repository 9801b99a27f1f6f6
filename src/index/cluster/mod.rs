//! The stored graph of near-duplicates → clusters of the dataset ([`graph`](mod@graph)); and a
//! selection → clusters of its images: lines 1 to 10 of Algorithms 1 and 2 of Yousefzadeh 2020, and
//! other methods.
//!
//! Algorithm 1 clusters rows of wavelet coefficients ([`columns`](mod@columns)); Algorithm 2 a
//! matrix of similarities. As printed, Algorithm 1 chooses columns only where there are more images
//! than coefficients; the paper itself does so for 500 images of 3,072 (section 6.2.1), and so does
//! this: the columns are always those that rank-revealing QR chose.

mod columns;
mod embeddings;
mod graph;
mod linkage;
mod matrix;

pub(super) use self::graph::ClusterIds;
pub use self::graph::{Cluster, GraphCluster, GraphClusters, GraphMethod};

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use super::{IndexedImage, Reader, Transform};
use crate::{
    Error, Result,
    cluster::{Clustering, KMeans, communities, kmeans, modularity, silhouette, threshold_groups},
    monitor::Monitor,
    similarity::{EdgeRule, Measure},
    spectral::LaplacianKind,
};

/// Distances that a silhouette may cost, times columns.
const SILHOUETTE_COST: usize = 2_000_000_000;

/// By which columns k-means and complete linkage compare images.
#[derive(Debug, Clone, PartialEq)]
pub enum Columns {
    /// The paper's: of the raw coefficients of the images at hand those that rank-revealing QR puts
    /// first, as many as have a condition number below τ (10⁵ in the paper).
    Analysis {
        /// The condition number that the chosen columns stay below.
        tau: f64,
        /// How the coefficients are made.
        transform: Transform,
    },
    /// The features by which the index searches: a fixed number of normalised coefficients.
    Search,
    /// Embeddings, a row for each of the images at hand, in their order ([`Reader::embeddings`]).
    Embeddings(Arc<Array2<f32>>),
}

/// How images are clustered.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// k-means (Algorithm 1).
    KMeans(Columns),
    /// Spectral clustering of all similarities (Algorithm 2).
    Spectral(LaplacianKind),
    /// Complete linkage of cosine distances, each class by itself.
    CompleteLinkage(Columns),
    /// Communities of near-duplicates, from the stored graph.
    Communities(EdgeRule),
    /// Groups of near-duplicates, from the stored graph.
    Threshold(EdgeRule),
}

/// How the number of clusters follows from the gaps between the eigenvalues of the Laplacian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GapRule {
    /// Line 9 of Algorithm 2 as printed: the number of gaps larger than γ.
    Printed(f64),
    /// The number of images less that of the gaps larger than γ. With γ = 0.4 and SSIM this is the
    /// paper's 454 for its 500 images of aquarium fish, where line 9 as printed gives 46.
    Complement(f64),
    /// Von Luxburg's: where the largest gap is.
    Largest,
}

/// How many clusters there shall be, of methods that must be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HowMany {
    /// So many.
    Clusters(usize),
    /// So many that this share of the images is more than there are clusters.
    Redundant(f64),
    /// By the gaps between eigenvalues.
    Gaps(GapRule),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterOptions {
    /// The method.
    pub method: Method,
    /// How many clusters; of no account where the method finds the number.
    pub how_many: Option<HowMany>,
    /// The similarity, where a matrix of them is needed.
    pub measure: Measure,
    /// The Laplacian whose eigenvalues tell how many clusters.
    pub gaps_of: LaplacianKind,
    /// Of what is random.
    pub seed: u64,
}

/// How good clusters are; what does not apply is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    /// The mean silhouette, and of how many images.
    pub silhouette: Option<(f64, usize)>,
    /// The sum of squared distances to the centres.
    pub inertia: Option<f64>,
    /// The modularity.
    pub modularity: Option<f64>,
}

/// Clusters of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustered {
    /// The cluster of each image.
    pub clusters: Clustering,
    /// How far each image is from the centre of its cluster, in units of the method: 0 for an image
    /// alone.
    pub spread: Vec<f64>,
    /// The number of clusters requested, if one was.
    pub requested: Option<usize>,
    /// Columns by which images were compared, and how many there are.
    pub columns: Option<[usize; 2]>,
    /// How good they are.
    pub quality: Quality,
    /// The cosine distance of each image from the one that stays for it, by the columns that were
    /// compared; 0 for one that stays. Only where the clusters are of cosine distances, by complete
    /// linkage.
    pub from_kept: Option<Vec<f64>>,
}

impl HowMany {
    /// The number of clusters of `n` images where no eigenvalue is needed.
    fn number(self, n: usize) -> Result<Option<usize>> {
        match self {
            Self::Clusters(k) => Ok(Some(k)),
            Self::Redundant(share) if share > 0.0 && share < 1.0 => Ok(Some(
                ((n as f64 * (1.0 - share)).round() as usize).clamp(1, n),
            )),
            Self::Redundant(share) => Err(Error::Input(format!(
                "a redundant share of {share} is not between 0 and 1"
            ))),
            Self::Gaps(_) => Ok(None),
        }
    }
}

impl Reader {
    /// Clusters images, given in the order of their paths.
    ///
    /// # Errors
    /// [`Error::Input`] for a number of clusters that makes no sense, or none where one is needed;
    /// [`Error::Numeric`], [`Error::Damaged`], [`Error::Interrupted`].
    ///
    /// # Panics
    /// If there are embeddings, but not one for each image.
    pub fn cluster(
        &self,
        images: &[IndexedImage],
        options: &ClusterOptions,
        monitor: &dyn Monitor,
    ) -> Result<Clustered> {
        match &options.method {
            Method::KMeans(columns) => self.by_kmeans(images, columns, options, monitor),
            Method::Spectral(kind) => self.by_spectral(images, *kind, options, monitor),
            Method::CompleteLinkage(columns) => self.by_linkage(images, columns, options, monitor),
            Method::Communities(rule) => {
                self.by_pairs(images, rule, |n, pairs| communities(n, &weights(pairs)))
            }
            Method::Threshold(rule) => {
                self.by_pairs(images, rule, |n, pairs| Ok(threshold_groups(n, pairs)))
            }
        }
    }

    fn by_kmeans(
        &self,
        images: &[IndexedImage],
        columns: &Columns,
        options: &ClusterOptions,
        monitor: &dyn Monitor,
    ) -> Result<Clustered> {
        let k = self.how_many(images, options, monitor)?;
        let (points, of) = self.points(images, columns, monitor)?;
        let KMeans {
            clusters, squared, ..
        } = kmeans(points.view(), k, options.seed, monitor)?;
        let inertia = Some(squared.iter().sum());
        let quality = Quality {
            silhouette: silhouette_of_points(&clusters, points.view()),
            inertia,
            modularity: None,
        };
        let spread = squared.into_iter().map(f64::sqrt).collect();
        Ok(Clustered {
            clusters,
            spread,
            requested: Some(k),
            columns: Some([points.ncols(), of]),
            quality,
            from_kept: None,
        })
    }

    /// Clusters of the stored graph among some images, in which all paths of one content are
    /// near-duplicates.
    fn by_pairs(
        &self,
        images: &[IndexedImage],
        rule: &EdgeRule,
        cluster: impl Fn(usize, &[(u32, u32, f32)]) -> Result<Clustering>,
    ) -> Result<Clustered> {
        let pairs = self.stored_pairs(images, rule)?;
        let clusters = cluster(images.len(), &pairs)?;
        let spread = spread_of_pairs(&clusters, &pairs);
        let quality = Quality {
            modularity: modularity(&weights(&pairs), &clusters),
            ..Quality::default()
        };
        Ok(Clustered {
            clusters,
            spread,
            requested: None,
            columns: None,
            quality,
            from_kept: None,
        })
    }

    /// The pairs of near-duplicates among some images, by their places; copies of one content with
    /// a similarity of 1.
    fn stored_pairs(
        &self,
        images: &[IndexedImage],
        rule: &EdgeRule,
    ) -> Result<Vec<(u32, u32, f32)>> {
        let mut by_row: Vec<(u32, u32)> = (0..)
            .zip(images)
            .map(|(place, image)| (image.row, place))
            .collect();
        by_row.sort_unstable();
        let places = |row: u32| {
            let first = by_row.partition_point(|&(other, _)| other < row);
            by_row[first..]
                .iter()
                .take_while(move |&&(other, _)| other == row)
                .map(|&(_, place)| place)
        };
        let mut pairs = Vec::new();
        for &(row, place) in &by_row {
            pairs.extend(
                places(row)
                    .filter(|&other| other > place)
                    .map(|other| (place, other, 1.0)),
            );
            for edge in self
                .view
                .edges(row)?
                .iter()
                .filter(|edge| edge.row > row && rule.admits(edge.similarity, edge.needs))
            {
                pairs.extend(places(edge.row).map(|other| (place, other, edge.similarity)));
            }
        }
        Ok(pairs)
    }

    /// The number of clusters that a method must be told.
    fn how_many(
        &self,
        images: &[IndexedImage],
        options: &ClusterOptions,
        monitor: &dyn Monitor,
    ) -> Result<usize> {
        let how_many = options.how_many.ok_or_else(not_told)?;
        match (how_many.number(images.len())?, how_many) {
            (Some(k), _) => Ok(k),
            (None, HowMany::Gaps(rule)) => self.clusters_by_gaps(images, options, rule, monitor),
            (None, _) => Err(not_told()),
        }
    }
}

fn weights(pairs: &[(u32, u32, f32)]) -> Vec<(u32, u32, f64)> {
    pairs
        .iter()
        .map(|&(a, b, similarity)| (a, b, f64::from(similarity)))
        .collect()
}

fn not_told() -> Error {
    Error::Input(
        "this method must be told how many clusters: --clusters, --redundant or --eigengap".into(),
    )
}

/// One less the mean similarity to those of the own cluster that are similar; 0 for a point alone.
fn spread_of_pairs(clusters: &Clustering, pairs: &[(u32, u32, f32)]) -> Vec<f64> {
    let mut sums = vec![0.0; clusters.own().len()];
    for &(a, b, similarity) in pairs
        .iter()
        .filter(|(a, b, _)| clusters.own()[*a as usize] == clusters.own()[*b as usize])
    {
        sums[a as usize] += f64::from(similarity);
        sums[b as usize] += f64::from(similarity);
    }
    let sizes = clusters.sizes();
    let others = clusters
        .own()
        .iter()
        .map(|&cluster| sizes[cluster as usize] - 1);
    others
        .zip(sums)
        .map(|(others, sum)| {
            if others == 0 {
                0.0
            } else {
                1.0 - sum / others as f64
            }
        })
        .collect()
}

/// The mean silhouette of as many points, evenly spread, as [`SILHOUETTE_COST`] allows.
fn silhouette_of_points(
    clusters: &Clustering,
    points: ArrayView2<'_, f32>,
) -> Option<(f64, usize)> {
    let (n, d) = points.dim();
    let number = (SILHOUETTE_COST / (n * d).max(1)).clamp(1, n);
    let asked: Vec<u32> = (0..number).map(|i| (i * n / number) as u32).collect();
    let row = |i: u32| points.row(i as usize);
    let distance = |a: u32, b: u32| {
        f64::from(
            row(a)
                .iter()
                .zip(row(b))
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f32>(),
        )
        .sqrt()
    };
    silhouette(clusters, &asked, distance).map(|silhouette| (silhouette, number))
}
