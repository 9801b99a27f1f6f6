//! Images → a matrix of points, a row for each image: the columns by which k-means and complete
//! linkage compare them.

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::Columns;
use crate::{
    Error, Result,
    index::{IndexedImage, Reader, Transform},
    monitor::Monitor,
    rrqr::{Gram, Stop, column_pivoted_qr, gram_pivoted_qr},
};

/// Rows of W that are in memory as double precision at once, where there are more images than
/// coefficients.
const CHUNK: usize = 1_024;

impl Reader {
    /// The points, and how many columns there are to choose from. The mean of each column of
    /// coefficients is removed, which moves no image nearer to another; embeddings stay as they
    /// are, since their angles count.
    pub(super) fn points(
        &self,
        images: &[IndexedImage],
        columns: &Columns,
        monitor: &dyn Monitor,
    ) -> Result<(Array2<f32>, usize)> {
        let (mut points, of) = match columns {
            Columns::Analysis { tau, transform } => {
                self.analysis_points(images, *tau, *transform, monitor)?
            }
            Columns::Search => self.search_points(images)?,
            Columns::Embeddings(embeddings) => {
                assert_eq!(
                    embeddings.nrows(),
                    images.len(),
                    "an embedding for each image"
                );
                return Ok((embeddings.as_ref().clone(), embeddings.ncols()));
            }
        };
        if let Some(mean) = points.mean_axis(Axis(0)) {
            let rows: Vec<_> = points.outer_iter_mut().collect();
            rows.into_par_iter().for_each(|mut row| row -= &mean);
        }
        Ok((points, of))
    }

    fn search_points(&self, images: &[IndexedImage]) -> Result<(Array2<f32>, usize)> {
        let m = self.basis.len();
        let mut points = Array2::zeros((images.len(), m));
        for (mut row, image) in points.outer_iter_mut().zip(images) {
            let feature = self.view.feature(image.row)?;
            row.iter_mut()
                .zip(feature.values())
                .for_each(|(out, value)| *out = value as f32 / crate::feature::SCALE as f32);
        }
        Ok((points, self.settings.layout().len()))
    }

    /// Lines 1 to 9 of Algorithm 1.
    fn analysis_points(
        &self,
        images: &[IndexedImage],
        tau: f64,
        transform: Transform,
        monitor: &dyn Monitor,
    ) -> Result<(Array2<f32>, usize)> {
        let d = self.layout(transform).len();
        let stop = Stop {
            tolerance: 0.0,
            max_columns: d,
        };
        monitor.stage("transforming", Some(images.len() as u64));
        let (w, qr) = if images.len() <= d {
            let w = self.coefficients(images, transform, monitor)?;
            monitor.stage("choosing columns", None);
            let qr = column_pivoted_qr(w.view(), stop)?;
            (w.mapv(|value| value as f32), qr)
        } else {
            let mut w = Array2::zeros((images.len(), d));
            let mut gram = Gram::new(d);
            for (images, mut rows) in images
                .chunks(CHUNK)
                .zip(w.axis_chunks_iter_mut(Axis(0), CHUNK))
            {
                let of = self.coefficients(images, transform, monitor)?;
                gram.add_rows(of.view())?;
                rows.zip_mut_with(&of, |out, value| *out = *value as f32);
            }
            monitor.stage("choosing columns", None);
            (w, gram_pivoted_qr(&gram, stop)?)
        };
        let chosen = qr.leading_columns(tau)?;
        if chosen == 0 {
            return Err(Error::Input(format!(
                "no column has a condition number below {tau}: all images are black, or tau is too small"
            )));
        }
        if chosen == d {
            return Ok((w, d));
        }
        Ok((w.select(Axis(1), &qr.pivots[..chosen]), d))
    }
}
