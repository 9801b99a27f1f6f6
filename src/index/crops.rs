//! Search rows for crops of the indexed pictures, where `wsidx.toml` asks for them (`[index] crops
//! = true`): how the writer makes them, and how a search finds contents by them.
//!
//! A copy that shows less than its source is far from it in features of whole frames, and near one
//! of its crops. So such rows only bring candidates: they are in no list, no distance that is told,
//! no score and no edge of the stored graph. They are made from the cached coefficients, and so
//! come and go with the next publication, without a file being read again.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::{Reader, Writer, publish::coefficients_of};
use crate::{
    Error, Result,
    feature::{Basis, Feature},
    knn::{Admit, Live, Neighbor, OwnedPlanes, Planes, RowOrder, nearest},
    monitor::Monitor,
    picture::Picture,
    similarity::{CROP_RULE, CROPS_OF_INDEXED, crops},
    store::{
        medium::Medium,
        settings::Settings,
        view::{CropRows, Grown, Manifest, View, growing_crops},
    },
};

/// Crops of a content.
const PLACES: u32 = CROPS_OF_INDEXED as u32;

/// Contents whose crops are made between two writes.
const TOGETHER: usize = 2_048;

/// Whether a view has rows of the crops that are made here.
pub(super) fn has_crops(manifest: &Manifest) -> bool {
    manifest
        .crops
        .as_ref()
        .is_some_and(|crops| (&*crops.rule, crops.places) == (CROP_RULE.as_bytes(), PLACES))
}

/// The features of a picture's crops.
pub(super) fn crop_features(picture: &Picture, basis: &Basis, settings: &Settings) -> Vec<Feature> {
    crops(picture)
        .map(|crop| basis.feature(&mut coefficients_of(&crop, settings)))
        .collect()
}

impl Writer {
    /// Whether the next generation is to have rows of crops. Where `wsidx.toml` cannot be used,
    /// that is told, and all stays as it was.
    pub(super) fn wants_crops(&self, old: Option<&View>, monitor: &dyn Monitor) -> bool {
        match self.home.rules() {
            Ok(rules) => rules.index.crops,
            Err(e) => {
                monitor.note(&format!("{e}; until that is mended, [index] counts as before, and [limits] as by default"));
                old.is_some_and(|view| has_crops(view.manifest()))
            }
        }
    }

    /// The rows of the crops of all contents: those of the old view, and behind them those that it
    /// lacks.
    pub(super) fn crop_rows(
        &self,
        medium: &dyn Medium,
        old: Option<&View>,
        grown: &Grown,
        basis: &Basis,
        monitor: &dyn Monitor,
    ) -> Result<CropRows> {
        let old = old.filter(|view| has_crops(view.manifest()));
        let mut growing = growing_crops(medium, old, basis.len())?;
        let rows: Vec<u32> = (old.map_or(0, View::rows) as u32..grown.rows() as u32).collect();
        monitor.stage("computing features of crops", Some(rows.len() as u64));
        for rows in rows.chunks(TOGETHER) {
            let of_row = |&row: &u32| {
                monitor.advance(1);
                if monitor.cancelled() {
                    return Err(Error::Interrupted);
                }
                let picture = self.picture_of_row(grown, row)?;
                Ok(crop_features(&picture, basis, &self.settings))
            };
            let features: Vec<Vec<Feature>> = rows.par_iter().map(of_row).collect::<Result<_>>()?;
            let mut planes = OwnedPlanes::new(basis.len());
            features
                .iter()
                .flatten()
                .for_each(|Feature(values)| planes.push(values));
            growing.push(&planes)?;
        }
        Ok(CropRows {
            rule: CROP_RULE.into(),
            places: PLACES,
            files: growing.finish()?,
        })
    }
}

impl Reader {
    /// The `k` live contents nearest to each query by the nearest of their crops; nothing where the
    /// view has no rows of crops.
    pub(super) fn nearest_by_crops(
        &self,
        queries: &OwnedPlanes,
        live: &Live<'_>,
        k: usize,
        order: &dyn RowOrder,
    ) -> Result<Vec<Vec<Neighbor>>> {
        let queries = queries.as_planes();
        match self.view.crops() {
            Some(crops) => {
                crops.search(|crops| nearest_by_crops(queries, crops, live, k, order, None))
            }
            None => Ok(vec![Vec::new(); queries.rows()]),
        }
    }
}

/// The `k` contents nearest to each query by the nearest of their crops, whose features stand in
/// `crops` one behind the other: exact, nearest first, ties by `order`. `live` and `order` are of
/// contents, and so are `limits`: a query finds contents before its limit.
pub(super) fn nearest_by_crops(
    queries: Planes<'_>,
    crops: Planes<'_>,
    live: &Live<'_>,
    k: usize,
    order: &dyn RowOrder,
    limits: Option<&[u32]>,
) -> Vec<Vec<Neighbor>> {
    let limits: Option<Vec<u32>> = limits.map(|limits| {
        limits
            .iter()
            .map(|limit| limit.saturating_mul(PLACES))
            .collect()
    });
    let admit = Admit {
        limits: limits.as_deref(),
        ..Admit::default()
    };
    let live = each_crop(live, crops.rows());
    // So many rows are of `k` contents at least.
    let found = nearest(
        queries,
        crops,
        &Live(&live),
        k * PLACES as usize,
        &ByContent(order),
        &admit,
    );
    found.into_iter().map(|rows| contents_of(rows, k)).collect()
}

/// The first `k` contents of rows of crops, each where its first one is.
fn contents_of(rows: Vec<Neighbor>, k: usize) -> Vec<Neighbor> {
    let mut contents: Vec<Neighbor> = Vec::with_capacity(k);
    for Neighbor { row, distance } in rows {
        let row = row / PLACES;
        if contents.len() < k && contents.iter().all(|known| known.row != row) {
            contents.push(Neighbor { row, distance });
        }
    }
    contents
}

/// One bit for each of `rows` rows of crops, set where that of its content is.
fn each_crop(live: &Live<'_>, rows: usize) -> Vec<u64> {
    let mut words = vec![0; rows.div_ceil(64)];
    for row in (0..rows as u32).filter(|row| live.contains(row / PLACES)) {
        words[row as usize / 64] |= 1 << (row % 64);
    }
    words
}

/// Rows of crops in the order of their contents.
struct ByContent<'a>(&'a dyn RowOrder);

impl RowOrder for ByContent<'_> {
    fn compare(&self, a: u32, b: u32) -> Ordering {
        self.0.compare(a / PLACES, b / PLACES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::ByNumber;

    fn numbers(state: &mut u64) -> i16 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as i16 % 40
    }

    #[test]
    fn the_nearest_by_crops_are_those_of_the_nearest_crop_of_each_live_content_before_the_limit() {
        let state = &mut 1;
        let mut vector = || Feature((0..4).map(|_| numbers(state)).collect());
        // Few values, so that distances tie; some crops are flat, and so never found.
        let contents: Vec<Vec<Feature>> = (0..70)
            .map(|_| (0..PLACES).map(|_| vector()).collect())
            .collect();
        let queries: Vec<Feature> = (0..12).map(|_| vector()).collect();
        let planes = |features: &mut dyn Iterator<Item = &Feature>| {
            let mut planes = OwnedPlanes::new(4);
            features.for_each(|feature| planes.push(&feature.0));
            planes
        };
        let (crops, asked) = (
            planes(&mut contents.iter().flatten()),
            planes(&mut queries.iter()),
        );
        let live = Live(&[0xf0f0_f0f0_ffff_fff7, 0x3d]);
        for limit in [0, 1, 33, 70] {
            for k in [1, 2, 3, 90] {
                let limits = vec![limit; queries.len()];
                let found = nearest_by_crops(
                    asked.as_planes(),
                    crops.as_planes(),
                    &live,
                    k,
                    &ByNumber,
                    Some(&limits),
                );
                for (query, found) in queries.iter().zip(found) {
                    let least = |row: u32| {
                        let crops = contents[row as usize].iter().filter(|crop| !crop.is_flat());
                        crops
                            .map(|crop| query.squared_distance(crop.values()))
                            .min()
                            .map(|distance| Neighbor { row, distance })
                    };
                    let mut right: Vec<Neighbor> = (0..limit)
                        .filter(|row| live.contains(*row))
                        .filter_map(least)
                        .collect();
                    right.sort_by_key(|neighbor| (neighbor.distance, neighbor.row));
                    right.truncate(k);
                    assert_eq!(found, right, "limit {limit}, k {k}");
                }
            }
        }
    }
}
