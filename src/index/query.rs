//! An image file → its nearest neighbours in the index.

use std::path::Path;

use super::Reader;
use crate::{
    Error, Result,
    dataset::{Buffer, read_image},
    feature::SCALE,
    knn::{Admit, Live, Neighbor, OwnedPlanes, RowOrder, nearest},
    picture::{Limits, Picture, decode},
    similarity::similarity,
    store::{
        state::ContentId,
        view::{PathRecord, RowRecord, View},
    },
    verdict::Occurrence,
};

/// A neighbour, with what a person wants to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The content.
    pub id: ContentId,
    /// Where it occurs, sorted by path; never empty.
    pub occurrences: Vec<Occurrence>,
    /// In [0, 1]; 1 for the same picture.
    pub similarity: f64,
    /// Euclidean distance of the features, in [0, 2].
    pub distance: f64,
}

/// What is near an image.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The content of the file.
    pub id: ContentId,
    /// The picture has no contrast, and so no neighbours but itself.
    pub flat: bool,
    /// Nearest first; the same content, if it is in the dataset, at distance 0.
    pub neighbors: Vec<Match>,
}

/// The distance of unit vectors whose squared integer distance is `squared`.
pub(super) fn real_distance(squared: u32) -> f64 {
    f64::from(squared).sqrt() / f64::from(SCALE)
}

/// Ties go to the smaller content id.
pub(super) struct ById<'a>(pub(super) &'a View);

impl RowOrder for ById<'_> {
    /// A content that cannot be read sorts by its number; reading it for the answer then fails.
    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        match (self.0.content(a), self.0.content(b)) {
            (Ok((a, _)), Ok((b, _))) => a.cmp(&b),
            _ => a.cmp(&b),
        }
    }
}

impl Reader {
    /// The `k` contents nearest to the image in a file, exactly, by the distance of their features; ties go to the smaller content id. The
    /// file may be anywhere and need not be in the index.
    ///
    /// # Errors
    /// [`Error::Undecodable`] for the file, [`Error::Damaged`] for the index.
    pub fn query(&self, file: &Path, k: usize, limits: &Limits) -> Result<QueryResult> {
        let mut buffer = Buffer::default();
        read_image(file, limits, &mut buffer)?;
        let id = buffer.id();
        let picture = match self.view.row_of(&id)? {
            Some(row) => self.picture(&self.view.row(row)?)?,
            None => decode(&buffer.bytes, self.settings.shape(), limits)?.picture,
        };
        let feature = self.feature(&picture);
        let mut query = OwnedPlanes::new(self.basis.len());
        query.push(&feature.0);
        let live = self.view.live_words()?;
        let order = ById(&self.view);
        let found = self.view.search(|planes| nearest(query.as_planes(), planes, &Live(&live), k, &order, &Admit::default()))?;
        let neighbors = found.into_iter().flatten().map(|neighbor| self.matched(&picture, neighbor));
        Ok(QueryResult { id, flat: feature.is_flat(), neighbors: neighbors.collect::<Result<_>>()? })
    }

    /// The stored list of a path of the dataset.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no such path, or it is no image; [`Error::Damaged`].
    pub fn neighbors(&self, path: &[u8]) -> Result<Vec<Match>> {
        let shown = String::from_utf8_lossy(path);
        let row = match self.view.path(path)? {
            Some(PathRecord::Row(row)) => row,
            Some(PathRecord::Undecodable(reason)) => return Err(Error::Input(format!("{shown} cannot be read as an image: {reason}"))),
            None => return Err(Error::Input(format!("{shown} is not in the index; run `wsidx sync`"))),
        };
        let picture = self.picture(&self.view.row(row)?)?;
        self.view.list(row)?.into_iter().map(|neighbor| self.matched(&picture, neighbor)).collect()
    }

    fn matched(&self, picture: &Picture, neighbor: Neighbor) -> Result<Match> {
        let record = self.view.row(neighbor.row)?;
        let similarity = similarity(picture, &self.picture(&record)?);
        let RowRecord { id, occurrences, .. } = record;
        Ok(Match { id, occurrences, similarity, distance: real_distance(neighbor.distance) })
    }
}
