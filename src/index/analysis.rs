//! A selection of the dataset → the analysis basis of the paper: condition, rank, and which
//! coefficients tell the images apart.
//!
//! Yousefzadeh 2020, Algorithm 1, lines 1 to 8: W has a row for each image (each *path*: identical
//! images are rows of their own) and a column for each wavelet coefficient, raw: neither centred
//! nor normalised. All from the stored pictures.

use rayon::prelude::*;

use super::{IndexedImage, Reader, Selection, Transform};
use crate::{
    Result,
    monitor::Monitor,
    rrqr::{Gram, PivotedQr, Stop, column_pivoted_qr, condition_number, gram_pivoted_qr},
    store::packs::Place,
    wavelet::{Band, Layout, Subband},
};

/// Rows of W that are in memory at once where only its Gram matrix is needed.
const CHUNK: usize = 1_024;

/// What is asked of the factorisation.
#[derive(Debug, Clone, Copy)]
pub struct AnalysisOptions {
    /// How the coefficients are made.
    pub transform: Transform,
    /// Condition number that the chosen columns stay below; 10⁵ in the paper.
    pub tau: f64,
    /// Share of the largest diagonal element of R under which columns count as dependent.
    pub tolerance: f64,
}

/// What the factorisation tells.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Rows of W: images.
    pub images: usize,
    /// Different pictures among them.
    pub distinct: usize,
    /// Columns of W: coefficients of an image.
    pub coefficients: usize,
    /// Columns that are zero for every image.
    pub zero_columns: usize,
    /// Largest over smallest singular value of W, of the min(n, d) there are; infinite where W has
    /// dependent rows or columns.
    pub condition: f64,
    /// Columns of WP before |r_kk| falls to the tolerance.
    pub rank: usize,
    /// m: the most leading columns of WP whose condition number stays below τ.
    pub columns: usize,
    /// Of the m columns: plane, level, subband and how many, coarsest first.
    pub by_subband: Vec<(u8, u8, Subband, usize, usize)>,
}

impl Reader {
    /// Factorises W P = Q R for a selection.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for an empty selection; those of numerics, damage and interruption.
    pub fn analyse(
        &self,
        selection: &Selection,
        options: &AnalysisOptions,
        monitor: &dyn Monitor,
    ) -> Result<Analysis> {
        let images = self.images(selection)?;
        let layout = self.layout(options.transform);
        let matrix = Matrix {
            reader: self,
            images: &images,
            transform: options.transform,
            columns: layout.len(),
        };
        let (qr, condition, zero_columns) = matrix.factorise(monitor)?;
        let columns = qr.leading_columns(options.tau)?;
        Ok(Analysis {
            images: images.len(),
            distinct: matrix.distinct_pictures()?,
            coefficients: layout.len(),
            zero_columns,
            condition,
            rank: qr.numerical_rank(options.tolerance),
            columns,
            by_subband: by_subband(&layout, &qr.pivots[..columns]),
        })
    }
}

struct Matrix<'a> {
    reader: &'a Reader,
    images: &'a [IndexedImage],
    transform: Transform,
    columns: usize,
}

impl Matrix<'_> {
    /// R and P, the condition number and the zero columns: from the Gram matrix WᵀW where there are
    /// more images than coefficients, else from W itself and the Gram matrix WWᵀ.
    fn factorise(&self, monitor: &dyn Monitor) -> Result<(PivotedQr, f64, usize)> {
        let d = self.columns;
        let stop = Stop {
            tolerance: 0.0,
            max_columns: d,
        };
        monitor.stage("transforming", Some(self.images.len() as u64));
        if self.images.len() <= d {
            let w = self
                .reader
                .coefficients(self.images, self.transform, monitor)?;
            monitor.stage("factorising", None);
            let zero = w
                .columns()
                .into_iter()
                .filter(|column| column.iter().all(|v| *v == 0.0))
                .count();
            let mut gram = Gram::new(w.nrows());
            gram.add_rows(w.t())?;
            return Ok((
                column_pivoted_qr(w.view(), stop)?,
                condition_number(&gram)?,
                zero,
            ));
        }
        let mut gram = Gram::new(d);
        for images in self.images.chunks(CHUNK) {
            gram.add_rows(
                self.reader
                    .coefficients(images, self.transform, monitor)?
                    .view(),
            )?;
        }
        monitor.stage("factorising", None);
        let zero = gram.matrix().diag().iter().filter(|v| **v == 0.0).count();
        Ok((
            gram_pivoted_qr(&gram, stop)?,
            condition_number(&gram)?,
            zero,
        ))
    }

    fn distinct_pictures(&self) -> Result<usize> {
        let mut places: Vec<Place> = self.images.iter().map(|image| image.place).collect();
        places.sort_unstable_by_key(|place| (place.pack, place.offset));
        places.dedup();
        let hash =
            |place: &Place| Ok(*blake3::hash(self.reader.picture_at(*place)?.samples()).as_bytes());
        let mut hashes = places
            .par_iter()
            .map(hash)
            .collect::<Result<Vec<[u8; 32]>>>()?;
        hashes.par_sort_unstable();
        hashes.dedup();
        Ok(hashes.len())
    }
}

/// How many of the chosen columns lie in each subband, and how many it has.
fn by_subband(layout: &Layout, chosen: &[usize]) -> Vec<(u8, u8, Subband, usize, usize)> {
    let mut bands: Vec<(u8, u8, Subband, usize, usize)> = Vec::new();
    let mut count = |index: usize, of: fn(&mut (u8, u8, Subband, usize, usize)) -> &mut usize| {
        let Band {
            plane,
            level,
            subband,
            ..
        } = layout.band(index);
        match bands
            .iter_mut()
            .find(|b| (b.0, b.1, b.2) == (plane, level, subband))
        {
            Some(band) => *of(band) += 1,
            None => {
                bands.push((plane, level, subband, 0, 0));
                *of(bands.last_mut().expect("just pushed")) += 1;
            }
        }
    };
    layout
        .coarse_to_fine()
        .into_iter()
        .for_each(|index| count(index, |band| &mut band.4));
    chosen
        .iter()
        .for_each(|&index| count(index, |band| &mut band.3));
    bands
}
