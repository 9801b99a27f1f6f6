//! Images → clusters of each class by complete linkage of their cosine distances, as Birodkar,
//! Mobahi and Bengio 2019 cluster embeddings ("Semantic redundancies in image-classification
//! datasets: the 10 % you don't need", section 4).
//!
//! Each class, and what has no label, is clustered by itself: into one cluster, and its share of
//! the others that were requested for. No cluster has two labels, so none is influential. Of each
//! the image closest to its centre stays, by the paper; the centre is the mean of the directions.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2, Axis};

use super::{ClusterOptions, Clustered, Columns, Quality, not_told, silhouette_of_points};
use crate::{
    Error, Result,
    cluster::{Clustering, check_number, complete_linkage, unit_rows},
    index::{IndexedImage, Reader},
    monitor::Monitor,
    reduce::{Fate, reduce},
};

impl Reader {
    pub(super) fn by_linkage(
        &self,
        images: &[IndexedImage],
        columns: &Columns,
        options: &ClusterOptions,
        monitor: &dyn Monitor,
    ) -> Result<Clustered> {
        let how_many = options.how_many.ok_or_else(not_told)?;
        let by_gaps = || {
            Error::Input(
                "complete linkage must be told --clusters or --redundant: there are no eigenvalues"
                    .into(),
            )
        };
        let k = how_many.number(images.len())?.ok_or_else(by_gaps)?;
        check_number(images.len(), k)?;
        let mut classes = BTreeMap::new();
        (0..).zip(images).for_each(|(place, image)| {
            classes
                .entry(image.label.as_ref())
                .or_insert_with(Vec::new)
                .push(place);
        });
        if classes.len() > k {
            return Err(Error::Input(format!(
                "{k} clusters are too few for {} classes, of which each is clustered by itself",
                classes.len()
            )));
        }
        let (points, of) = self.points(images, columns, monitor)?;
        let classes: Vec<Vec<usize>> = classes.into_values().collect();
        let clusters = by_class(points.view(), &classes, k, monitor)?;
        let unit = unit_rows(points.view());
        let silhouette = silhouette_of_points(&clusters, unit.mapv(|value| value as f32).view());
        let quality = Quality {
            silhouette,
            ..Quality::default()
        };
        let spread = spread(&clusters, unit.view());
        let labels: Vec<_> = images.iter().map(|image| image.label.clone()).collect();
        let from_kept = Some(from_kept(&reduce(&clusters, &labels, &spread), unit.view()));
        Ok(Clustered {
            clusters,
            spread,
            requested: Some(k),
            columns: Some([points.ncols(), of]),
            quality,
            from_kept,
        })
    }
}

/// Equation 1 of each point, of length one, and the one that stays for it; 0 for one that stays.
fn from_kept(fates: &[Fate], unit: ArrayView2<'_, f64>) -> Vec<f64> {
    let distance = |(row, fate): (ndarray::ArrayView1<'_, f64>, &Fate)| match fate {
        Fate::Discarded(kept) => (1.0 - row.dot(&unit.row(*kept as usize))).clamp(0.0, 2.0),
        Fate::Kept | Fate::Influential => 0.0,
    };
    unit.rows().into_iter().zip(fates).map(distance).collect()
}

/// Clusters the points of each class into its share of `k` clusters; there are more points than
/// classes.
fn by_class(
    points: ArrayView2<'_, f32>,
    classes: &[Vec<usize>],
    k: usize,
    monitor: &dyn Monitor,
) -> Result<Clustering> {
    let n = points.nrows();
    monitor.stage("linking", Some(n as u64));
    let (mut own, mut number, mut told, mut before) = (vec![0; n], 0, 0, 0);
    let share = (k - classes.len()) as f64 / (n - classes.len()) as f64;
    for class in classes {
        before += class.len() - 1;
        // Rounded sums, so that the shares of all classes come to k.
        let until = (share * before as f64).round() as usize;
        let found = complete_linkage(
            points.select(Axis(0), class).view(),
            1 + until - told,
            monitor,
        )?;
        class
            .iter()
            .zip(found.own())
            .for_each(|(&place, cluster)| own[place] = number + cluster);
        number += found.count() as u32;
        told = until;
        monitor.advance(class.len() as u64);
    }
    Ok(Clustering::new(&own))
}

/// The cosine distance of each point, of length one, from the mean of its cluster; 0 where that is
/// zero.
fn spread(clusters: &Clustering, unit: ArrayView2<'_, f64>) -> Vec<f64> {
    let mut means = vec![Array1::<f64>::zeros(unit.ncols()); clusters.count()];
    let rows = || unit.rows().into_iter().zip(clusters.own());
    rows().for_each(|(row, &cluster)| means[cluster as usize] += &row);
    for mean in &mut means {
        let length = mean.dot(mean).sqrt();
        if length > 0.0 {
            *mean /= length;
        }
    }
    rows()
        .map(|(row, &cluster)| (1.0 - row.dot(&means[cluster as usize])).max(0.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::monitor::Silent;

    #[test]
    fn classes_get_their_shares_and_one_cluster_at_least() {
        let points =
            Array2::from_shape_fn((100, 3), |(i, j)| ((i * 7 + j * 13) % 31) as f32 - 15.0);
        let classes = [(0..60).collect::<Vec<_>>(), (60..99).collect(), vec![99]];
        let found = by_class(points.view(), &classes, 10, &Silent).unwrap();
        let of = |class: &[usize]| {
            class
                .iter()
                .map(|&i| found.own()[i])
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(
            classes.iter().map(|class| of(class)).collect::<Vec<_>>(),
            [5, 4, 1]
        );
        assert_eq!(found.count(), 10, "no cluster is of two classes");
    }

    #[test]
    fn the_centre_is_the_mean_direction() {
        let points = ndarray::array![[1.0f32, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]];
        let spread = spread(
            &Clustering::new(&[0, 0, 0, 1]),
            unit_rows(points.view()).view(),
        );
        let slanted = 1.0 - 0.5f64.sqrt();
        assert!(
            [slanted, slanted, 0.0, 1.0]
                .iter()
                .zip(&spread)
                .all(|(a, b)| (a - b).abs() < 1e-9),
            "{spread:?}"
        );
    }
}
