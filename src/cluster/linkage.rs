//! Points → clusters by complete linkage of their cosine distances: what Birodkar, Mobahi and
//! Bengio 2019, "Semantic redundancies in image-classification datasets: the 10 % you don't need",
//! section 4, cluster each class by.
//!
//! Repeatedly the two clusters merge whose most unlike members are most alike (the dissimilarity of
//! two clusters is the largest of those of their members), until k are left. The dendrogram is
//! kodama's, by nearest-neighbour chains: O(n²) time and memory. Which of equal dissimilarities
//! comes first depends on the order of the points.

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use super::Clustering;
use crate::{
    error::{Error, Result},
    monitor::Monitor,
};

/// Most points: their distances fill 1 GiB.
pub const MOST_LINKED: usize = 16_384;
/// Rows of distances that one task computes.
const CHUNK: usize = 128;

/// Clusters the rows of `points` into `k` clusters, or one for each row if there are no more. A row
/// of zeros is as far from all others as an orthogonal one.
///
/// # Errors
/// [`Error::Input`] for no clusters of some points, or for more than [`MOST_LINKED`] points;
/// [`Error::Numeric`] for a value that is not finite; [`Error::Interrupted`].
pub fn complete_linkage(
    points: ArrayView2<'_, f32>,
    k: usize,
    monitor: &dyn Monitor,
) -> Result<Clustering> {
    let n = points.nrows();
    if points.iter().any(|value| !value.is_finite()) {
        return Err(Error::Numeric(
            "points to be clustered have values that are not finite numbers".into(),
        ));
    }
    if k == 0 && n > 0 || n > MOST_LINKED {
        return Err(Error::Input(format!(
            "complete linkage of {n} images into {k} clusters is not possible: at most {MOST_LINKED} images, at least one cluster"
        )));
    }
    let each: Vec<u32> = (0..n as u32).collect();
    if k >= n {
        return Ok(Clustering::new(&each));
    }
    let mut distances = cosine_distances(points);
    if monitor.cancelled() {
        return Err(Error::Interrupted);
    }
    let dendrogram = kodama::linkage(&mut distances, n, kodama::Method::Complete);
    // Of every cluster, those that were there first and those that merging made, its first point.
    let mut first = each;
    for step in &dendrogram.steps()[..n - k] {
        first.push(first[step.cluster1].min(first[step.cluster2]));
    }
    // From the last to the first, what a cluster is part of is known.
    let mut whole: Vec<usize> = (0..first.len()).collect();
    for (place, step) in dendrogram.steps()[..n - k].iter().enumerate().rev() {
        (whole[step.cluster1], whole[step.cluster2]) = (whole[n + place], whole[n + place]);
    }
    Ok(Clustering::new(
        &whole[..n]
            .iter()
            .map(|&cluster| first[cluster])
            .collect::<Vec<_>>(),
    ))
}

/// 1 less the cosine of each pair of rows: of row 0 with 1, 2, …, then of row 1 with 2, …; in [0,
/// 2].
fn cosine_distances(points: ArrayView2<'_, f32>) -> Vec<f64> {
    let n = points.nrows();
    let unit = unit_rows(points);
    let mut distances = vec![0.0; n * n.saturating_sub(1) / 2];
    let (mut tasks, mut rest) = (Vec::new(), &mut distances[..]);
    for from in (0..n).step_by(CHUNK) {
        let to = n.min(from + CHUNK);
        let (of_chunk, after) = rest.split_at_mut((from..to).map(|row| n - 1 - row).sum());
        tasks.push((from, to, of_chunk));
        rest = after;
    }
    tasks.into_par_iter().for_each(|(from, to, out)| {
        let cosines = unit
            .slice(s![from..to, ..])
            .dot(&unit.slice(s![from.., ..]).t());
        let pairs = cosines
            .rows()
            .into_iter()
            .enumerate()
            .flat_map(|(row, cosines)| {
                cosines
                    .into_iter()
                    .copied()
                    .skip(row + 1)
                    .collect::<Vec<_>>()
            });
        out.iter_mut()
            .zip(pairs)
            .for_each(|(out, cosine)| *out = (1.0 - cosine).clamp(0.0, 2.0));
    });
    distances
}

/// The rows scaled to length one; a row of zeros stays.
pub(crate) fn unit_rows(points: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut unit = points.mapv(f64::from);
    for mut row in unit.rows_mut() {
        let norm = row.dot(&row).sqrt();
        if norm > 0.0 {
            row /= norm;
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{adjusted_rand_index, random::Numbers},
        monitor::Silent,
    };

    fn points(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut numbers = Numbers::new(seed);
        Array2::from_shape_simple_fn((n, d), || numbers.unit() as f32 - 0.4)
    }

    /// Complete linkage from its definition: O(n³) and more.
    fn by_definition(points: &Array2<f32>, k: usize) -> Clustering {
        let unit = unit_rows(points.view());
        let distance = |a: usize, b: usize| 1.0 - unit.row(a).dot(&unit.row(b));
        let mut clusters: Vec<Vec<usize>> = (0..points.nrows()).map(|point| vec![point]).collect();
        while clusters.len() > k {
            let apart = |a: &[usize], b: &[usize]| {
                a.iter()
                    .flat_map(|&a| b.iter().map(move |&b| (a, b)))
                    .map(|(a, b)| distance(a, b))
                    .fold(0.0, f64::max)
            };
            let pairs = (0..clusters.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
            let (a, b) = pairs
                .min_by(|x, y| {
                    apart(&clusters[x.0], &clusters[x.1])
                        .total_cmp(&apart(&clusters[y.0], &clusters[y.1]))
                })
                .unwrap();
            let merged = clusters.remove(b);
            clusters[a].extend(merged);
        }
        let mut own = vec![0; points.nrows()];
        (0..)
            .zip(&clusters)
            .for_each(|(cluster, members)| members.iter().for_each(|&point| own[point] = cluster));
        Clustering::new(&own)
    }

    #[test]
    fn clusters_are_those_of_the_definition() {
        for (seed, n) in [(1, 2), (2, 7), (3, 30), (4, 45)] {
            let points = points(n, 5, seed);
            for k in [1, 2, n / 3, n - 1, n].into_iter().filter(|&k| k > 0) {
                let found = complete_linkage(points.view(), k, &Silent).unwrap();
                assert_eq!(
                    (found.count(), &found),
                    (k, &by_definition(&points, k)),
                    "{n} points, {k} clusters"
                );
            }
        }
    }

    #[test]
    fn distances_are_in_order_across_chunks() {
        let points = points(2 * CHUNK + 3, 4, 9);
        let (unit, distances) = (unit_rows(points.view()), cosine_distances(points.view()));
        let pairs = (0..points.nrows()).flat_map(|a| (a + 1..points.nrows()).map(move |b| (a, b)));
        assert!(pairs.zip(&distances).all(|((a, b), distance)| {
            (1.0 - unit.row(a).dot(&unit.row(b)) - distance).abs() < 1e-12
        }));
    }

    #[test]
    fn directions_are_found_whatever_the_lengths() {
        let mut numbers = Numbers::new(5);
        let truth: Vec<u32> = (0..60).map(|i| i % 3).collect();
        let points = Array2::from_shape_fn((60, 3), |(i, j)| {
            let length = 1.0 + 50.0 * numbers.unit() as f32;
            length * (f32::from(u8::from(j == i % 3)) + 0.001 * numbers.unit() as f32)
        });
        let found = complete_linkage(points.view(), 3, &Silent).unwrap();
        assert_eq!(adjusted_rand_index(found.own(), &truth), 1.0);
    }

    #[test]
    fn equal_points_zeros_and_senseless_numbers_are_answered() {
        let same = Array2::from_elem((6, 3), 0.5);
        assert_eq!(
            complete_linkage(same.view(), 2, &Silent).unwrap().count(),
            2
        );
        assert_eq!(
            complete_linkage(Array2::zeros((4, 3)).view(), 9, &Silent)
                .unwrap()
                .count(),
            4
        );
        assert_eq!(
            complete_linkage(Array2::zeros((0, 3)).view(), 0, &Silent)
                .unwrap()
                .count(),
            0
        );
        assert!(matches!(
            complete_linkage(same.view(), 0, &Silent),
            Err(Error::Input(_))
        ));
        assert!(matches!(
            complete_linkage(Array2::from_elem((2, 1), f32::NAN).view(), 1, &Silent),
            Err(Error::Numeric(_))
        ));
        assert!(matches!(
            complete_linkage(Array2::zeros((MOST_LINKED + 1, 1)).view(), 2, &Silent),
            Err(Error::Input(_))
        ));
    }
}
