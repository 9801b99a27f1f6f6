//! Neighbour lists and labels → the scores that anomalies are held against: of a whole view, or
//! kept while it changes.

use std::{collections::BTreeSet, sync::Arc};

use rayon::prelude::*;

use super::{Writer, rows::Rows};
use crate::{
    Result,
    knn::ListUpdate,
    store::view::View,
    verdict::{ANOMALY_NEIGHBOR, Label, Occurrence, Reference},
};

/// The score of a row with the labels under which it occurs.
type Score = (u32, Vec<Label>);

/// The scores of the live rows of a view.
pub(super) fn reference_of(view: &View) -> Result<Reference> {
    let score = |row: u32| score(fifth(view, row)?, || Ok(view.row(row)?.occurrences));
    let scores = (0..view.rows() as u32)
        .into_par_iter()
        .with_min_len(4_096)
        .map(score)
        .collect::<Result<Vec<_>>>()?;
    Ok(Reference::new(
        scores
            .iter()
            .flatten()
            .map(|(score, labels)| (*score, labels.iter())),
    ))
}

/// The squared distance of the fifth neighbour, with the labels; a dead or flat row, and a row of a
/// small dataset, has none.
fn score(
    fifth: Option<u32>,
    occurrences: impl FnOnce() -> Result<Vec<Occurrence>>,
) -> Result<Option<Score>> {
    let Some(fifth) = fifth else { return Ok(None) };
    let mut labels: Vec<Label> = occurrences()?.into_iter().filter_map(|o| o.label).collect();
    labels.sort_unstable();
    labels.dedup();
    Ok(Some((fifth, labels)))
}

fn fifth(view: &View, row: u32) -> Result<Option<u32>> {
    view.distance_in_list(row, ANOMALY_NEIGHBOR - 1)
}

impl Writer {
    /// The scores of the published view.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`].
    pub(super) fn reference(&mut self, view: &View) -> Result<Arc<Reference>> {
        if self.reference.is_none() {
            self.reference = Some(Arc::new(reference_of(view)?));
        }
        Ok(self.reference.clone().unwrap_or_default())
    }

    /// The scores after a change of the lists and of where contents occur, if anybody has needed
    /// them `before`.
    pub(super) fn reference_after(
        &self,
        before: Option<Arc<Reference>>,
        old: Option<&View>,
        rows: &Rows<'_>,
        lists: &ListUpdate,
    ) -> Result<Option<Arc<Reference>>> {
        let (Some(mut reference), Some(old)) = (before, old) else {
            return Ok(None);
        };
        let known = old.rows() as u32;
        let touched = |row: u32| {
            rows.touched
                .binary_search_by_key(&row, |(row, _)| *row)
                .ok()
                .map(|at| &rows.touched[at].1)
        };
        let changed: BTreeSet<u32> = lists
            .iter()
            .map(|(row, _)| row)
            .chain(rows.touched.iter().map(|(row, _)| *row))
            .collect();
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for row in changed {
            let before = if row < known { fifth(old, row)? } else { None };
            let now = lists.get(row).map_or(before, |list| {
                list.get(ANOMALY_NEIGHBOR - 1)
                    .map(|neighbor| neighbor.distance)
            });
            let touched = touched(row);
            if touched.is_none() && now == before {
                continue;
            }
            gone.extend(score(before, || Ok(old.row(row)?.occurrences))?);
            new.extend(score(now, || match touched {
                Some(id) => Ok(self.state.occurrences(id)),
                None => Ok(old.row(row)?.occurrences),
            })?);
        }
        Arc::make_mut(&mut reference).change(
            gone.iter().map(|(s, l)| (*s, l.iter())),
            new.iter().map(|(s, l)| (*s, l.iter())),
        );
        Ok(Some(reference))
    }
}
