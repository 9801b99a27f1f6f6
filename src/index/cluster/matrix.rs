//! Images → the matrix of their similarities → clusters by its spectrum: Algorithm 2 of Yousefzadeh
//! 2020.

use ndarray::{Array2, ArrayView2};

use super::{ClusterOptions, Clustered, GapRule, HowMany, Quality, not_told};
use crate::{
    Error, Result,
    cluster::{Clustering, KMeans, silhouette, spectral_clustering},
    index::{IndexedImage, Reader},
    monitor::Monitor,
    spectral::{Laplacian, LaplacianKind, MOST_DENSE, eigenvalues, gaps_above, largest_gap},
};

impl Reader {
    pub(super) fn by_spectral(
        &self,
        images: &[IndexedImage],
        kind: LaplacianKind,
        options: &ClusterOptions,
        monitor: &dyn Monitor,
    ) -> Result<Clustered> {
        let how_many = options.how_many.ok_or_else(not_told)?;
        let number = how_many.number(images.len())?;
        let similarities = self.similarities(images, options, monitor)?;
        let laplacian = Laplacian::dense(similarities.view(), kind)?;
        let k = match (number, how_many) {
            (Some(k), _) => k,
            (None, HowMany::Gaps(rule)) => by_gaps(
                &Laplacian::dense(similarities.view(), options.gaps_of)?,
                rule,
                monitor,
            )?,
            (None, _) => return Err(not_told()),
        };
        let KMeans { clusters, .. } = spectral_clustering(&laplacian, k, options.seed, monitor)?;
        let spread = spread(&clusters, similarities.view());
        let all: Vec<u32> = (0..images.len() as u32).collect();
        let distance = |a: u32, b: u32| 1.0 - f64::from(similarities[[a as usize, b as usize]]);
        let silhouette =
            silhouette(&clusters, &all, distance).map(|silhouette| (silhouette, all.len()));
        Ok(Clustered {
            clusters,
            spread,
            requested: Some(k),
            columns: None,
            quality: Quality {
                silhouette,
                ..Quality::default()
            },
            from_kept: None,
        })
    }

    /// The number of clusters by the eigenvalues of the matrix of similarities.
    pub(super) fn clusters_by_gaps(
        &self,
        images: &[IndexedImage],
        options: &ClusterOptions,
        rule: GapRule,
        monitor: &dyn Monitor,
    ) -> Result<usize> {
        let similarities = self.similarities(images, options, monitor)?;
        by_gaps(
            &Laplacian::dense(similarities.view(), options.gaps_of)?,
            rule,
            monitor,
        )
    }

    /// S, lines 2 to 7.
    fn similarities(
        &self,
        images: &[IndexedImage],
        options: &ClusterOptions,
        monitor: &dyn Monitor,
    ) -> Result<Array2<f32>> {
        if images.len() > MOST_DENSE {
            let what = format!(
                "the similarities of all pairs of {} images are too many to be clustered; {MOST_DENSE} images at most",
                images.len()
            );
            return Err(Error::Input(
                what + " (select a class or a folder, or use --method kmeans)",
            ));
        }
        options
            .measure
            .matrix(&self.frames(images, monitor)?, monitor)
    }
}

/// Lines 8 and 9.
fn by_gaps(laplacian: &Laplacian, rule: GapRule, monitor: &dyn Monitor) -> Result<usize> {
    monitor.stage("finding eigenvalues", None);
    let values = eigenvalues(laplacian)?;
    let n = values.len();
    Ok(match rule {
        GapRule::Printed(gamma) => gaps_above(&values, gamma),
        GapRule::Complement(gamma) => n - gaps_above(&values, gamma),
        GapRule::Largest => largest_gap(&values, n.saturating_sub(1)),
    })
}

/// One less the mean similarity to the others of the own cluster: the image closest to the centre
/// is the one most similar to the rest. 0 for an image alone.
fn spread(clusters: &Clustering, similarities: ArrayView2<'_, f32>) -> Vec<f64> {
    let mut spread = vec![0.0; clusters.own().len()];
    for members in clusters
        .members()
        .into_iter()
        .filter(|members| members.len() > 1)
    {
        for &image in &members {
            let others = members.iter().filter(|&&other| other != image);
            let sum: f64 = others
                .map(|&other| f64::from(similarities[[image as usize, other as usize]]))
                .sum();
            spread[image as usize] = 1.0 - sum / (members.len() - 1) as f64;
        }
    }
    spread
}
