//! Neighbour lists → the images that are most by themselves, in the dataset or in each class.
//!
//! Two measures side by side: the distance to the fifth neighbour, by which a check calls an image
//! an anomaly ([`crate::verdict::Reference`]), and the local outlier factor
//! ([`local_outlier_factors`]), which also sees an image that is a little apart from a dense
//! cluster. For the dataset they come from the stored lists; for a class the lists are found anew
//! among its contents (the most isolated image of a class, Yousefzadeh 2020, section 6.5, is seldom
//! that of the dataset).

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    Reader,
    query::{ById, real_distance},
};
use crate::{
    Error, Result,
    knn::{Admit, ByNumber, Live, Neighbor, OwnedPlanes, RowOrder as _, nearest},
    monitor::Monitor,
    store::state::ContentId,
    verdict::{ANOMALY_NEIGHBOR, Label, Occurrence, Reference, local_outlier_factors},
};

/// By what images are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The distance to the fifth neighbour.
    Distance,
    /// The local outlier factor.
    Lof,
}

/// An image that is much by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlier {
    /// The content.
    pub id: ContentId,
    /// Where it occurs, sorted by path; in a class, under its label.
    pub occurrences: Vec<Occurrence>,
    /// The Euclidean distance of its feature to that of its fifth neighbour, in [0, 2].
    pub distance: f64,
    /// The local outlier factor; about 1 where it is as dense as around its neighbours.
    pub factor: f64,
    /// The share of images with a smaller distance, in [0, 100]; `None` among fewer than 50.
    pub percentile: Option<f64>,
    /// The distance is beyond the limit from which a check calls an image an anomaly; in a class,
    /// beyond that of the class.
    pub anomaly: bool,
}

/// The most isolated images of the dataset or of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Outliers {
    /// The class; `None` for the whole dataset.
    pub class: Option<Label>,
    /// Contents that have five neighbours, and so were ranked.
    pub ranked: usize,
    /// The first of them: most isolated first, then by content id.
    pub outliers: Vec<Outlier>,
}

/// A row that is ranked: squared distance, factor.
struct Ranked {
    row: u32,
    distance: u32,
    factor: f64,
}

impl Reader {
    /// The `number` most isolated contents of the dataset, from the stored lists. O(n k).
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Interrupted`].
    pub fn outliers(
        &self,
        by: Isolation,
        number: usize,
        monitor: &dyn Monitor,
    ) -> Result<Outliers> {
        monitor.stage("reading neighbours", None);
        let rows = self.view.rows() as u32;
        let lists: Vec<Vec<Neighbor>> = (0..rows)
            .into_par_iter()
            .map(|row| self.view.list(row))
            .collect::<Result<_>>()?;
        let reference = self.reference()?;
        let ranked = self.rank(&(0..rows).collect::<Vec<_>>(), &lists, by);
        let named = |ranked: &Ranked| {
            let occurrences = self.view.row(ranked.row)?.occurrences;
            let label = occurrences
                .iter()
                .find_map(|occurrence| occurrence.label.clone());
            self.outlier(ranked, occurrences, label.as_ref(), reference)
        };
        let outliers = ranked
            .iter()
            .take(number)
            .map(named)
            .collect::<Result<_>>()?;
        Ok(Outliers {
            class: None,
            ranked: ranked.len(),
            outliers,
        })
    }

    /// The `number` most isolated contents of each class, or of one, among the contents of that
    /// class; sorted by label. O(n²) in the size of a class.
    ///
    /// # Errors
    /// [`Error::Input`] where no image has that label; [`Error::Damaged`], [`Error::Interrupted`].
    pub fn class_outliers(
        &self,
        label: Option<&[u8]>,
        by: Isolation,
        number: usize,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Outliers>> {
        let classes = self.classes(label)?;
        monitor.stage(
            "comparing the images of each class",
            Some(classes.len() as u64),
        );
        let of_class = |(label, rows): (Label, Vec<u32>)| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            let found = self.outliers_of(label, &rows, by, number);
            monitor.advance(1);
            found
        };
        classes.into_iter().map(of_class).collect()
    }

    /// The rows of each class, in the order of content ids.
    fn classes(&self, label: Option<&[u8]>) -> Result<BTreeMap<Label, Vec<u32>>> {
        let mut classes: BTreeMap<Label, Vec<u32>> = BTreeMap::new();
        for row in 0..self.view.rows() as u32 {
            let labels = self
                .view
                .row(row)?
                .occurrences
                .into_iter()
                .filter_map(|occurrence| occurrence.label);
            for label in labels.filter(|own| label.is_none_or(|label| **own == *label)) {
                let rows = classes.entry(label).or_default();
                if rows.last() != Some(&row) {
                    rows.push(row);
                }
            }
        }
        if let (Some(label), true) = (label, classes.is_empty()) {
            return Err(Error::Input(format!(
                "no image has the label `{}`",
                label.escape_ascii()
            )));
        }
        let order = ById(&self.view);
        classes
            .values_mut()
            .for_each(|rows| rows.par_sort_unstable_by(|&a, &b| order.compare(a, b)));
        Ok(classes)
    }

    fn outliers_of(
        &self,
        label: Label,
        rows: &[u32],
        by: Isolation,
        number: usize,
    ) -> Result<Outliers> {
        let mut planes = OwnedPlanes::new(self.basis.len());
        rows.iter().try_for_each(|&row| {
            self.view
                .feature(row)
                .map(|feature| planes.push(&feature.0))
        })?;
        let itself: Vec<Option<u32>> = (0..rows.len() as u32).map(Some).collect();
        let all = vec![u64::MAX; rows.len().div_ceil(64)];
        let (planes, k) = (planes.as_planes(), usize::from(self.settings.neighbors));
        // Places are in the order of ids, so ties go to the smaller id.
        let lists = nearest(
            planes,
            planes,
            &Live(&all),
            k,
            &ByNumber,
            &Admit {
                excluded: Some(&itself),
                ..Admit::default()
            },
        );
        let ranked = self.rank(rows, &lists, by);
        let reference = Reference::new(
            ranked
                .iter()
                .map(|ranked| (ranked.distance, std::iter::empty())),
        );
        let named = |ranked: &Ranked| {
            let mut occurrences = self.view.row(ranked.row)?.occurrences;
            occurrences.retain(|occurrence| occurrence.label.as_ref() == Some(&label));
            self.outlier(ranked, occurrences, None, &reference)
        };
        let outliers = ranked
            .iter()
            .take(number)
            .map(named)
            .collect::<Result<_>>()?;
        Ok(Outliers {
            class: Some(label),
            ranked: ranked.len(),
            outliers,
        })
    }

    /// Those with five neighbours, most isolated first, then by id. `lists[i]`, of places in
    /// `rows`, is that of `rows[i]`.
    fn rank(&self, rows: &[u32], lists: &[Vec<Neighbor>], by: Isolation) -> Vec<Ranked> {
        let factors = local_outlier_factors(lists);
        let ranked = rows
            .iter()
            .zip(lists)
            .zip(factors)
            .filter_map(|((&row, list), factor)| {
                let distance = list.get(ANOMALY_NEIGHBOR - 1)?.distance;
                Some(Ranked {
                    row,
                    distance,
                    factor: factor?,
                })
            });
        let mut ranked: Vec<Ranked> = ranked.collect();
        let order = ById(&self.view);
        let key = |ranked: &Ranked| match by {
            Isolation::Distance => f64::from(ranked.distance),
            Isolation::Lof => ranked.factor,
        };
        ranked.sort_by(|a, b| {
            key(b)
                .total_cmp(&key(a))
                .then_with(|| order.compare(a.row, b.row))
        });
        ranked
    }

    fn outlier(
        &self,
        ranked: &Ranked,
        occurrences: Vec<Occurrence>,
        label: Option<&Label>,
        reference: &Reference,
    ) -> Result<Outlier> {
        let Ranked {
            row,
            distance,
            factor,
        } = *ranked;
        Ok(Outlier {
            id: self.view.content(row)?.0,
            occurrences,
            distance: real_distance(distance),
            factor,
            percentile: reference.percentile(label, distance),
            anomaly: reference.is_anomaly(label, distance),
        })
    }
}
