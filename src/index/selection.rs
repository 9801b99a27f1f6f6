//! A selection of the dataset → the analysis basis of the paper: condition, rank, and which coefficients tell the images apart.
//!
//! Yousefzadeh 2020, Algorithm 1, lines 1 to 8: W has a row for each image (each *path*: identical images are rows of their own) and a column
//! for each wavelet coefficient, raw: neither centred nor normalised. All from the stored pictures.

use ndarray::{Array2, s};
use rayon::prelude::*;

use super::{Reader, publish::picture_of};
use crate::{
    Error, Result,
    monitor::Monitor,
    picture::Picture,
    rrqr::{Gram, PivotedQr, Stop, column_pivoted_qr, condition_number, gram_pivoted_qr},
    store::{packs::Place, view::RowRecord},
    verdict::Split,
    wavelet::{Band, Coefficients, Layout, Subband, Wavelet},
};

/// Rows of W that are in memory at once where only its Gram matrix is needed.
const CHUNK: usize = 1_024;

/// Which images, and how they are transformed.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this split.
    pub split: Option<Split>,
    /// Only this label.
    pub label: Option<Vec<u8>>,
    /// Another wavelet than the one of the index.
    pub wavelet: Option<Wavelet>,
    /// Fewer levels than there can be.
    pub levels: Option<u32>,
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
    /// Largest over smallest singular value of W, of the min(n, d) there are; infinite where W has dependent rows or columns.
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
    /// [`Error::Input`] for an empty selection, [`Error::Numeric`], [`Error::Damaged`], [`Error::Interrupted`].
    pub fn analyse(&self, selection: &Selection, monitor: &dyn Monitor) -> Result<Analysis> {
        let places = self.select(selection)?;
        if places.is_empty() {
            return Err(Error::Input("no image is in this selection; see `wsidx status` for what there is".into()));
        }
        let layout = match selection.levels {
            Some(levels) => Layout::with_levels(self.settings.size, self.settings.planes, levels),
            None => self.settings.layout(),
        };
        let matrix = Matrix { reader: self, places: &places, selection, layout: &layout };
        let (qr, condition, zero_columns) = matrix.factorise(monitor)?;
        let columns = qr.leading_columns(selection.tau)?;
        let mut distinct = places.clone();
        distinct.sort_unstable_by_key(|place| (place.pack, place.offset));
        distinct.dedup();
        Ok(Analysis {
            images: places.len(),
            distinct: matrix.distinct_pictures(&distinct)?,
            coefficients: layout.len(),
            zero_columns,
            condition,
            rank: qr.numerical_rank(selection.tolerance),
            columns,
            by_subband: by_subband(&layout, &qr.pivots[..columns]),
        })
    }

    /// A place for each path of the selection, in the order of rows and paths.
    fn select(&self, selection: &Selection) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for row in 0..self.view.rows() as u32 {
            let RowRecord { place, occurrences, .. } = self.view.row(row)?;
            let wanted = occurrences.iter().filter(|o| {
                let split = selection.split.is_none_or(|split| o.split == Some(split));
                split && selection.label.as_ref().is_none_or(|label| o.label.as_deref() == Some(label))
            });
            places.extend(wanted.map(|_| place));
        }
        Ok(places)
    }
}

struct Matrix<'a> {
    reader: &'a Reader,
    places: &'a [Place],
    selection: &'a Selection,
    layout: &'a Layout,
}

impl Matrix<'_> {
    fn picture(&self, place: Place) -> Result<Picture> {
        picture_of(&self.reader.content(place)?, &self.reader.settings)
    }

    /// The rows of W for some of the places.
    fn rows(&self, places: &[Place], monitor: &dyn Monitor) -> Result<Array2<f64>> {
        let wavelet = self.selection.wavelet.unwrap_or_else(|| self.reader.settings.wavelet());
        let mut w = Array2::zeros((places.len(), self.layout.len()));
        let rows: Vec<_> = w.outer_iter_mut().zip(places).collect();
        rows.into_par_iter().try_for_each(|(mut row, place)| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            monitor.advance(1);
            let settings = &self.reader.settings;
            let picture = self.picture(*place)?;
            let of = Coefficients::<f64>::of(picture.samples(), settings.size, settings.planes, wavelet, self.selection.levels);
            row.iter_mut().zip(&of.values).for_each(|(out, value)| *out = *value);
            Ok(())
        })?;
        Ok(w)
    }

    /// R and P, the condition number and the zero columns: from the Gram matrix WᵀW where there are more images than coefficients, else from
    /// W itself and the Gram matrix WWᵀ.
    fn factorise(&self, monitor: &dyn Monitor) -> Result<(PivotedQr, f64, usize)> {
        let d = self.layout.len();
        let stop = Stop { tolerance: 0.0, max_columns: d };
        monitor.stage("transforming", Some(self.places.len() as u64));
        if self.places.len() <= d {
            let w = self.rows(self.places, monitor)?;
            monitor.stage("factorising", None);
            let zero = w.columns().into_iter().filter(|column| column.iter().all(|v| *v == 0.0)).count();
            let mut gram = Gram::new(w.nrows());
            gram.add_rows(w.t())?;
            return Ok((column_pivoted_qr(w.view(), stop)?, condition_number(&gram)?, zero));
        }
        let mut gram = Gram::new(d);
        for places in self.places.chunks(CHUNK) {
            gram.add_rows(self.rows(places, monitor)?.slice(s![.., ..]))?;
        }
        monitor.stage("factorising", None);
        let zero = gram.matrix().diag().iter().filter(|v| **v == 0.0).count();
        Ok((gram_pivoted_qr(&gram, stop)?, condition_number(&gram)?, zero))
    }

    fn distinct_pictures(&self, places: &[Place]) -> Result<usize> {
        let hash = |place: &Place| Ok(*blake3::hash(self.picture(*place)?.samples()).as_bytes());
        let mut hashes = places.par_iter().map(hash).collect::<Result<Vec<[u8; 32]>>>()?;
        hashes.par_sort_unstable();
        hashes.dedup();
        Ok(hashes.len())
    }
}

/// How many of the chosen columns lie in each subband, and how many it has.
fn by_subband(layout: &Layout, chosen: &[usize]) -> Vec<(u8, u8, Subband, usize, usize)> {
    let mut bands: Vec<(u8, u8, Subband, usize, usize)> = Vec::new();
    let mut count = |index: usize, of: fn(&mut (u8, u8, Subband, usize, usize)) -> &mut usize| {
        let Band { plane, level, subband, .. } = layout.band(index);
        match bands.iter_mut().find(|b| (b.0, b.1, b.2) == (plane, level, subband)) {
            Some(band) => *of(band) += 1,
            None => {
                bands.push((plane, level, subband, 0, 0));
                *of(bands.last_mut().expect("just pushed")) += 1;
            }
        }
    };
    layout.coarse_to_fine().into_iter().for_each(|index| count(index, |band| &mut band.4));
    chosen.iter().for_each(|&index| count(index, |band| &mut band.3));
    bands
}
