//! A picture without contrast → the rows that show the very same.
//!
//! Such a picture has no direction and is in no list, so a search does not find it. What is flat is
//! one group, and within it only equal pixels make near-duplicates: blank pages in thousands have
//! no edges but to the first few that are the same.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{Reader, pairs::QueryPicture};
use crate::{
    Result, feature::Feature, knn::Live, picture::Picture, similarity::EdgeRule,
    store::state::ContentId,
};

/// How much a picture has to be told from others by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texture {
    /// Enough that copies of it can be near-duplicates.
    Enough,
    /// Too little for any similarity above the threshold: only the same pixels are a
    /// near-duplicate.
    TooLittle,
    /// No contrast: it is compared with other flat pictures only, and only for being the same. So
    /// many contents of the dataset are flat.
    Flat(usize),
}

impl Texture {
    /// The words in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::TooLittle => "too little to tell",
            Self::Flat(_) => "flat",
        }
    }
}

/// The flat rows of a dataset.
#[derive(Debug, Default)]
pub(super) struct FlatRows {
    rows: HashMap<[u8; 32], Vec<(ContentId, u32)>>,
    count: usize,
}

impl FlatRows {
    /// The flat ones among live rows. Reads their pictures.
    pub(super) fn of(reader: &Reader, live: &Live<'_>) -> Result<Self> {
        let planes = reader.view.planes()?;
        let flat = (0..planes.rows() as u32)
            .filter(|&row| live.contains(row) && planes.norms()[row as usize].is_zero());
        let rows: Vec<u32> = flat.collect();
        let read = |&row: &u32| {
            Ok((
                key(&reader.picture_of_row(row)?),
                (reader.view.content(row)?.0, row),
            ))
        };
        let mut found = Self {
            count: rows.len(),
            ..Self::default()
        };
        for (key, row) in rows.par_iter().map(read).collect::<Result<Vec<_>>>()? {
            found.rows.entry(key).or_default().push(row);
        }
        found
            .rows
            .values_mut()
            .for_each(|rows| rows.sort_unstable());
        Ok(found)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Those that show the very same as a picture, in the order of their ids.
    pub(super) fn same_as(&self, picture: &Picture) -> impl Iterator<Item = u32> {
        self.rows
            .get(&key(picture))
            .into_iter()
            .flatten()
            .map(|&(_, row)| row)
    }
}

fn key(picture: &Picture) -> [u8; 32] {
    *blake3::hash(picture.samples()).as_bytes()
}

/// How much a picture has, under a rule, to be told from others by; `flat` is the number of flat
/// contents.
pub(super) fn texture(
    query: &QueryPicture,
    feature: &Feature,
    rule: &EdgeRule,
    flat: usize,
) -> Texture {
    if feature.is_flat() {
        Texture::Flat(flat)
    } else if query.max_similarity() < rule.threshold {
        Texture::TooLittle
    } else {
        Texture::Enough
    }
}
