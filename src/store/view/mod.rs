//! The published view: what readers need, in files that they map.
//!
//! What there is of every row (features, content, whether it is live; features of crops, if the
//! dataset asks for them) and five tables, named by a small manifest that one atomic rename
//! replaces. Published bytes are never overwritten or cut: rows are added behind their published
//! length, tables take their changes in as small runs, and only the bitmap of live rows is written
//! anew. So a reader needs no lock, waits for nobody and sees whole generations; files that no
//! manifest names go, and leave the disk when their last reader does.
//!
//! The view is derived from the packs and can be built from them without decoding an image. It is
//! the one home of row numbers and neighbour lists, edges. The format is described in
//! [`crate::store::format`].

mod blocks;
mod contents;
mod features;
mod manifest;
mod publish;
mod record;
mod table;
mod writing;

use std::{collections::HashMap, io};

pub use blocks::FileEntry;
pub use features::{Features, GrowingFeatures};
pub use manifest::{CropRows, Manifest, TableKind};
pub use publish::{Draft, Growing, Grown, growing_crops, is_part, publish, remove_unnamed};
pub use record::{PathRecord, RowRecord, pack_edges, pack_list, pack_names, row_key};
pub use table::{Changes, Table, Visit};

use self::{
    blocks::{Checked, MEND, Opening, damaged},
    contents::Order,
    manifest::TABLES,
};
use super::{alias::Alias, medium::Medium, packs::Place, settings::Settings, state::ContentId};
use crate::{
    Error, Result,
    feature::{Basis, Feature},
    knn::{Neighbor, Planes},
    similarity::Edge,
};

/// Bytes of a manifest: eight for each block of 64 KiB, so this is a view of 8 TiB.
const LONGEST_MANIFEST: u64 = 1 << 30;

/// Aliases up to which each is looked up by itself.
const FEW_ALIASES: usize = 2_000;

/// One generation, mapped.
pub struct View {
    manifest: Manifest,
    features: Features,
    contents: Checked,
    live: Checked,
    crops: Option<Features>,
    order: Order,
    tables: [Table; TABLES],
    /// Members of a list that count.
    neighbors: usize,
}

impl View {
    /// Opens the generation that is published now. Where the writer replaces it at that moment, the
    /// next one is opened.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`] where there is no whole view.
    pub fn open(medium: &dyn Medium) -> Result<Self> {
        Self::open_with(Opening::anew(medium))
    }

    /// The same after an earlier generation: blocks that were found good there are not checked
    /// again.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn open_after(medium: &dyn Medium, earlier: &Self) -> Result<Self> {
        let files: HashMap<&str, &Checked> =
            earlier.files().map(|file| (file.name(), file)).collect();
        Self::open_with(Opening {
            medium,
            known: &|name| files.get(name).copied(),
        })
    }

    fn open_with(from: Opening<'_>) -> Result<Self> {
        let medium = from.medium;
        let mut manifest = read_manifest(medium)?;
        loop {
            let missing = match Self::map(from, manifest.clone()) {
                Err(Error::Io {
                    source,
                    path,
                    doing,
                }) if source.kind() == io::ErrorKind::NotFound => Error::Io {
                    doing,
                    path,
                    source,
                },
                other => return other,
            };
            let now = read_manifest(medium)?;
            if now == manifest {
                return Err(missing);
            }
            manifest = now;
        }
    }

    fn map(from: Opening<'_>, manifest: Manifest) -> Result<Self> {
        let (rows, columns) = (manifest.rows() as usize, manifest.basis.len());
        let [high, low, norms, contents, live] = manifest.columns.clone();
        let features = Features::open(from, &[high, low, norms], rows, columns)?;
        let (contents, live) = (from.open(&contents)?, from.open(&live)?);
        if (contents.len(), live.len()) != (rows * contents::RECORD, rows.div_ceil(64) * 8) {
            return Err(damaged("the files of rows do not fit together"));
        }
        let of_crops = |crops: &CropRows| {
            Features::open(
                from,
                &crops.files,
                rows.saturating_mul(crops.places as usize),
                columns,
            )
        };
        let crops = manifest.crops.as_ref().map(of_crops).transpose()?;
        let order = Order::open(from, &manifest.order)?;
        let table = |kind: TableKind| Table::open(from, &manifest.tables[kind as usize]);
        let [names, paths, lists] = [
            table(TableKind::Names)?,
            table(TableKind::Paths)?,
            table(TableKind::Lists)?,
        ];
        let tables = [
            names,
            paths,
            lists,
            table(TableKind::Edges)?,
            table(TableKind::Aliases)?,
        ];
        let neighbors = Settings::from_text(&manifest.settings)
            .map_or(usize::MAX, |settings| settings.neighbors.into());
        Ok(Self {
            manifest,
            features,
            contents,
            live,
            crops,
            order,
            tables,
            neighbors,
        })
    }

    /// Whether this generation is still the one that is published.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn is_current(&self, medium: &dyn Medium) -> Result<bool> {
        Ok(read_manifest(medium)? == self.manifest)
    }

    /// What the view consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The search basis.
    pub fn basis(&self) -> Basis {
        Basis {
            columns: self.manifest.basis.clone(),
            fitted: self.manifest.fitted,
        }
    }

    /// Rows, dead ones included.
    pub fn rows(&self) -> usize {
        self.manifest.rows() as usize
    }

    /// The features of all rows.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn planes(&self) -> Result<Planes<'_>> {
        self.features.planes()
    }

    /// What a search makes of the features; see [`Features::search`].
    ///
    /// # Errors
    /// As [`View::open`], where the search met a damaged block; what it found is dropped.
    pub fn search<T>(&self, search: impl FnOnce(Planes<'_>) -> T) -> Result<T> {
        self.features.search(search)
    }

    /// The features of crops, where they are kept: for each row as many as the manifest says.
    pub fn crops(&self) -> Option<&Features> {
        self.crops.as_ref()
    }

    /// The exact squared distance of a feature to that of a row.
    ///
    /// # Errors
    /// As [`View::row`].
    ///
    /// # Panics
    /// If the feature is of another length.
    pub fn distance(&self, feature: &Feature, row: u32) -> Result<u32> {
        assert_eq!(
            feature.0.len(),
            self.manifest.basis.len(),
            "columns of a feature"
        );
        Ok(feature.squared_distance(self.features.row(row)?.values()))
    }

    /// The feature of a row.
    ///
    /// # Errors
    /// As [`View::row`].
    pub fn feature(&self, row: u32) -> Result<Feature> {
        let row = self.features.row(row)?;
        Ok(Feature(
            row.values()
                .take(self.manifest.basis.len())
                .map(|value| value as i16)
                .collect(),
        ))
    }

    /// One bit for each row, set where its content has a path; 64 rows a word.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn live_words(&self) -> Result<Vec<u64>> {
        let words = self.live.all()?.chunks_exact(8);
        Ok(words
            .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
            .collect())
    }

    /// A table.
    pub fn table(&self, kind: TableKind) -> &Table {
        &self.tables[kind as usize]
    }

    /// All that is known of a row.
    ///
    /// # Errors
    /// As [`View::open`]; also where there is no such row.
    pub fn row(&self, row: u32) -> Result<RowRecord> {
        let (id, place) = self.content(row)?;
        let names = self.table(TableKind::Names).get(&row_key(row))?;
        let occurrences = names.map_or(Some(Vec::new()), record::unpack_names);
        let occurrences =
            occurrences.ok_or_else(|| damaged(&format!("the names of row {row} are malformed")))?;
        Ok(RowRecord {
            id,
            place,
            occurrences,
        })
    }

    /// The content of a row, and where the packs hold it.
    ///
    /// # Errors
    /// As [`View::row`].
    pub fn content(&self, row: u32) -> Result<(ContentId, Place)> {
        contents::content(&self.contents, row)
    }

    /// The row of a content.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn row_of(&self, id: &ContentId) -> Result<Option<u32>> {
        self.order.find(id, &self.contents)
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn path(&self, path: &[u8]) -> Result<Option<PathRecord>> {
        let Some(bytes) = self.table(TableKind::Paths).get(path)? else {
            return Ok(None);
        };
        PathRecord::unpack(bytes)
            .map(Some)
            .ok_or_else(|| damaged("the record of a path is malformed"))
    }

    /// The rows of those of some sorted aliases that are known, with the place of each in `sorted`:
    /// one pass over the table where there are many.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn rows_of_aliases(&self, sorted: &[Alias]) -> Result<Vec<(usize, u32)>> {
        let table = self.table(TableKind::Aliases);
        let mut found = Vec::new();
        let row_in = |bytes: &[u8]| {
            bytes
                .try_into()
                .map(u32::from_le_bytes)
                .map_err(|_| damaged("the row of an alias is malformed"))
        };
        if sorted.len() < FEW_ALIASES {
            for (at, alias) in sorted.iter().enumerate() {
                if let Some(row) = table.get(&alias.to_bytes())? {
                    found.push((at, row_in(row)?));
                }
            }
            return Ok(found);
        }
        let mut wanted = sorted.iter().map(Alias::to_bytes).enumerate().peekable();
        table.for_each(|key, row| {
            while wanted.next_if(|(_, alias)| **alias < *key).is_some() {}
            while let Some((at, _)) = wanted.next_if(|(_, alias)| **alias == *key) {
                found.push((at, row_in(row)?));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The neighbour list of a row, nearest first; empty for a dead or flat row.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn list(&self, row: u32) -> Result<Vec<Neighbor>> {
        let mut list = self.whole_list(row)?;
        list.truncate(self.neighbors);
        Ok(list)
    }

    /// The squared distance of one of the list of a row, counted from 0, if it has so many.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn distance_in_list(&self, row: u32, place: usize) -> Result<Option<u32>> {
        let bytes = self.table(TableKind::Lists).get(&row_key(row))?;
        Ok(bytes
            .filter(|_| place < self.neighbors)
            .and_then(|bytes| record::distance_of(bytes, place)))
    }

    /// The list of a row with the neighbours that are kept beyond those that count, so that it can
    /// lose some.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn whole_list(&self, row: u32) -> Result<Vec<Neighbor>> {
        let Some(bytes) = self.table(TableKind::Lists).get(&row_key(row))? else {
            return Ok(Vec::new());
        };
        record::unpack_list(bytes)
            .ok_or_else(|| damaged(&format!("the list of row {row} is malformed")))
    }

    /// The similar pairs of a row: of those rows that are in its list, or have it in theirs, whose
    /// similarity with it is kept; by row.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn edges(&self, row: u32) -> Result<Vec<Edge>> {
        let Some(bytes) = self.table(TableKind::Edges).get(&row_key(row))? else {
            return Ok(Vec::new());
        };
        record::unpack_edges(bytes)
            .ok_or_else(|| damaged(&format!("the edges of row {row} are malformed")))
    }

    /// Checks every block of every file.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn check(&self) -> Result<()> {
        self.files().try_for_each(|file| file.all().map(|_| ()))
    }

    fn files(&self) -> impl Iterator<Item = &Checked> {
        let of_crops = self.crops.iter().flat_map(Features::files);
        let of_rows = self
            .features
            .files()
            .iter()
            .chain([&self.contents, &self.live])
            .chain(of_crops);
        of_rows
            .chain(self.order.runs())
            .chain(self.tables.iter().flat_map(Table::files))
    }
}

/// The manifest of the generation that is published now. It may be sound where a file that it names
/// is not.
///
/// # Errors
/// [`Error::Damaged`] or [`Error::Io`] where there is no sound manifest.
pub fn read_manifest(medium: &dyn Medium) -> Result<Manifest> {
    let bytes = medium
        .read_whole(manifest::NAME, LONGEST_MANIFEST)
        .map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => damaged("the manifest is too long, or no file"),
            _ => Error::stored("reading", &medium.path(manifest::NAME), MEND)(source),
        })?;
    Manifest::from_bytes(&bytes)
}
