//! The published view: what readers need, in files that they map.
//!
//! What there is of every row (features, content, whether it is live) and three tables, named by a small manifest that one atomic rename
//! replaces. Published bytes are never overwritten or cut: rows are added behind their published length, tables take their changes in as small
//! runs, and only the bitmap of live rows is written anew. So a reader needs no lock, waits
//! for nobody and sees whole generations; files that no manifest names go, and leave the disk when their last reader does.
//!
//! The view is derived from the packs and can be built from them without decoding an image. It is the one home of row numbers and
//! neighbour lists, edges. The format is described in [`crate::store::format`].

mod blocks;
mod contents;
mod manifest;
mod publish;
mod record;
mod table;
mod writing;

use std::{
    io,
    ops::Range,
    sync::{Mutex, PoisonError},
};

pub use blocks::FileEntry;
pub use manifest::{Manifest, TableKind};
pub use publish::{Draft, Growing, Grown, publish};
pub use record::{PathRecord, RowRecord, pack_edges, pack_list, pack_names, row_key};
pub use table::{Changes, Table, Visit};

use self::{
    blocks::{Checked, damaged},
    contents::Order,
    manifest::{Column, TABLES},
};
use super::{alias::Alias, medium::Medium, packs::Place, state::ContentId};
use crate::{
    Error, Result,
    feature::{Basis, Feature},
    knn::{Guard, Neighbor, Norms, Planes, Row, stride_of},
    similarity::Edge,
};

/// Bytes of a manifest: eight for each block of 64 KiB, so this is a view of 8 TiB.
const LONGEST_MANIFEST: u64 = 1 << 30;

/// Aliases up to which each is looked up by itself.
const FEW_ALIASES: usize = 2_000;

/// One generation, mapped.
pub struct View {
    manifest: Manifest,
    columns: [Checked; 5],
    order: Order,
    tables: [Table; TABLES],
}

impl View {
    /// Opens the generation that is published now. Where the writer replaces it at that moment, the next one is opened.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`] where there is no whole view.
    pub fn open(medium: &dyn Medium) -> Result<Self> {
        let mut manifest = read_manifest(medium)?;
        loop {
            let missing = match Self::map(medium, manifest.clone()) {
                Err(Error::Io { source, path, doing }) if source.kind() == io::ErrorKind::NotFound => Error::Io { doing, path, source },
                other => return other,
            };
            let now = read_manifest(medium)?;
            if now == manifest {
                return Err(missing);
            }
            manifest = now;
        }
    }

    fn map(medium: &dyn Medium, manifest: Manifest) -> Result<Self> {
        let open = |i: usize| Checked::open(medium, &manifest.columns[i]);
        let columns = [open(0)?, open(1)?, open(2)?, open(3)?, open(4)?];
        let order = Order::open(medium, &manifest.order)?;
        let table = |kind: TableKind| Table::open(medium, &manifest.tables[kind as usize]);
        let [names, paths, lists] = [table(TableKind::Names)?, table(TableKind::Paths)?, table(TableKind::Lists)?];
        let tables = [names, paths, lists, table(TableKind::Edges)?, table(TableKind::Aliases)?];
        let view = Self { columns, order, tables, manifest };
        let (rows, stride) = (view.rows(), view.stride());
        let lengths = [rows * stride, rows * stride, rows * 8, rows * contents::RECORD, rows.div_ceil(64) * 8];
        match view.columns.iter().map(Checked::len).eq(lengths) {
            true => Ok(view),
            false => Err(damaged("the files of rows do not fit together")),
        }
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
        Basis { columns: self.manifest.basis.clone(), fitted: self.manifest.fitted }
    }

    /// Rows, dead ones included.
    pub fn rows(&self) -> usize {
        self.manifest.rows() as usize
    }

    /// Bytes of a feature in each plane.
    pub fn stride(&self) -> usize {
        stride_of(self.manifest.basis.len())
    }

    /// The features of all rows.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn planes(&self) -> Result<Planes<'_>> {
        let bytes = |column: Column| self.columns[column as usize].all();
        planes(self.stride(), bytes(Column::High)?, bytes(Column::Low)?, bytes(Column::Norms)?)
    }

    /// What a search makes of the features. Their blocks are checked as the search comes to read them, so that it reads nothing twice and of the
    /// low bytes next to nothing.
    ///
    /// # Errors
    /// As [`View::open`], where the search met a damaged block; what it found is dropped.
    pub fn search<T>(&self, search: impl FnOnce(Planes<'_>) -> T) -> Result<T> {
        let unchecked = |column: Column| self.columns[column as usize].unchecked();
        let planes = planes(self.stride(), unchecked(Column::High), unchecked(Column::Low), unchecked(Column::Norms))?;
        let checking = Checking { view: self, damage: Mutex::new(None) };
        let found = search(planes.guarded(&checking));
        match checking.damage.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(damage) => Err(damage),
            None => Ok(found),
        }
    }

    /// The exact squared distance of a feature to that of a row.
    ///
    /// # Errors
    /// As [`View::row`].
    ///
    /// # Panics
    /// If the feature is of another length.
    pub fn distance(&self, feature: &Feature, row: u32) -> Result<u32> {
        assert_eq!(feature.0.len(), self.manifest.basis.len(), "columns of a feature");
        Ok(feature.squared_distance(self.halves(row)?.values()))
    }

    /// The feature of a row.
    ///
    /// # Errors
    /// As [`View::row`].
    pub fn feature(&self, row: u32) -> Result<Feature> {
        Ok(Feature(self.halves(row)?.values().take(self.manifest.basis.len()).map(|value| value as i16).collect()))
    }

    fn halves(&self, row: u32) -> Result<Row<'_>> {
        let start = row as usize * self.stride();
        let bytes = |column: Column| Ok(bytemuck::cast_slice(self.columns[column as usize].get(start..start + self.stride())?));
        Ok(Row { high: bytes(Column::High)?, low: bytes(Column::Low)? })
    }

    /// One bit for each row, set where its content has a path; 64 rows a word.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn live_words(&self) -> Result<Vec<u64>> {
        let words = self.columns[Column::Live as usize].all()?.chunks_exact(8);
        Ok(words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect())
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
        let occurrences = occurrences.ok_or_else(|| damaged(&format!("the names of row {row} are malformed")))?;
        Ok(RowRecord { id, place, occurrences })
    }

    /// The content of a row, and where the packs hold it.
    ///
    /// # Errors
    /// As [`View::row`].
    pub fn content(&self, row: u32) -> Result<(ContentId, Place)> {
        contents::content(&self.columns[Column::Contents as usize], row)
    }

    /// The row of a content.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn row_of(&self, id: &ContentId) -> Result<Option<u32>> {
        self.order.find(id, &self.columns[Column::Contents as usize])
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn path(&self, path: &[u8]) -> Result<Option<PathRecord>> {
        let Some(bytes) = self.table(TableKind::Paths).get(path)? else { return Ok(None) };
        PathRecord::unpack(bytes).map(Some).ok_or_else(|| damaged("the record of a path is malformed"))
    }

    /// The rows of those of some sorted aliases that are known, with the place of each in `sorted`: one pass over the table where there are many.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn rows_of_aliases(&self, sorted: &[Alias]) -> Result<Vec<(usize, u32)>> {
        let table = self.table(TableKind::Aliases);
        let mut found = Vec::new();
        let row_in = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).map_err(|_| damaged("the row of an alias is malformed"));
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
        let Some(bytes) = self.table(TableKind::Lists).get(&row_key(row))? else { return Ok(Vec::new()) };
        record::unpack_list(bytes).ok_or_else(|| damaged(&format!("the list of row {row} is malformed")))
    }

    /// The similar pairs of a row: of those rows that are in its list, or have it in theirs, whose similarity with it is kept; by row.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn edges(&self, row: u32) -> Result<Vec<Edge>> {
        let Some(bytes) = self.table(TableKind::Edges).get(&row_key(row))? else { return Ok(Vec::new()) };
        record::unpack_edges(bytes).ok_or_else(|| damaged(&format!("the edges of row {row} are malformed")))
    }

    /// Checks every block of every file.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn check(&self) -> Result<()> {
        self.columns.iter().try_for_each(|file| file.all().map(|_| ()))?;
        self.order.check()?;
        self.tables.iter().try_for_each(Table::check)
    }
}

/// Checks what a search is about to read.
struct Checking<'a> {
    view: &'a View,
    damage: Mutex<Option<Error>>,
}

impl Checking<'_> {
    fn check(&self, column: Column, rows: Range<usize>, bytes: usize) {
        if let Err(damage) = self.view.columns[column as usize].get(rows.start * bytes..rows.end * bytes) {
            *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(damage);
        }
    }
}

impl Guard for Checking<'_> {
    fn scanning(&self, rows: Range<usize>) {
        self.check(Column::Norms, rows.clone(), size_of::<Norms>());
        self.check(Column::High, rows, self.view.stride());
    }

    fn measuring(&self, row: u32) {
        self.check(Column::Low, row as usize..row as usize + 1, self.view.stride());
    }
}

/// Features as they stand in the files.
fn planes<'a>(stride: usize, high: &'a [u8], low: &'a [u8], norms: &'a [u8]) -> Result<Planes<'a>> {
    const { assert!(cfg!(target_endian = "little"), "norms are mapped as they are stored") };
    // The map of an empty file is nowhere, and so need not be aligned.
    let norms = if norms.is_empty() { Ok(&[][..]) } else { bytemuck::try_cast_slice(norms) };
    let norms: &[Norms] = norms.map_err(|_| damaged("the norms are cut"))?;
    Planes::new(stride, bytemuck::cast_slice(high), bytemuck::cast_slice(low), norms)
}

fn read_manifest(medium: &dyn Medium) -> Result<Manifest> {
    let bytes = medium.read_whole(manifest::NAME, LONGEST_MANIFEST).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => damaged("the manifest is too long, or no file"),
        _ => Error::Io { doing: "reading", path: medium.path(manifest::NAME), source },
    })?;
    Manifest::from_bytes(&bytes)
}
