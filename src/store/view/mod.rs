//! The published view: what readers need, in files that they map.
//!
//! Features, the bitmap of live rows and four tables, named by a small manifest that one atomic rename replaces. Published bytes are never
//! overwritten or cut: feature files grow behind their published length, everything else is written anew. So a reader needs no lock, waits
//! for nobody and sees whole generations; files that no manifest names go, and leave the disk when their last reader does.
//!
//! The view is derived from the packs and can be built from them without decoding an image. It is the one home of row numbers and
//! neighbour lists. The format is described in [`crate::store::format`].

mod blocks;
mod manifest;
mod publish;
mod record;
mod table;

use std::{io, sync::OnceLock};

pub use blocks::FileEntry;
pub use manifest::{Manifest, TableKind};
pub use publish::{Draft, Grown, grow, publish};
pub use record::{PathRecord, RowRecord, pack_list, row_key};
pub use table::{Changes, Table};

use self::blocks::{Checked, damaged};
use super::medium::Medium;
use crate::{
    Error, Result,
    feature::Basis,
    knn::{Neighbor, Norms, Planes, stride_of},
};

/// One generation, mapped.
pub struct View {
    manifest: Manifest,
    planes: [Checked; 4],
    norms: OnceLock<Vec<Norms>>,
    tables: [Table; 4],
}

impl View {
    /// Opens the generation that is published now. Where the writer replaces it at that moment, the next one is opened.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`] where there is no whole view.
    pub fn open(medium: &dyn Medium) -> Result<Self> {
        let mut last = 0;
        loop {
            let manifest = read_manifest(medium)?;
            let generation = manifest.generation;
            match Self::map(medium, manifest) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && generation > last => last = generation,
                other => return other,
            }
        }
    }

    fn map(medium: &dyn Medium, manifest: Manifest) -> Result<Self> {
        let open = |i: usize| Checked::open(medium, &manifest.planes[i]);
        let planes = [open(0)?, open(1)?, open(2)?, open(3)?];
        let table = |kind: TableKind| Table::open(medium, &manifest.tables[kind as usize]);
        let tables = [table(TableKind::Rows)?, table(TableKind::Ids)?, table(TableKind::Paths)?, table(TableKind::Lists)?];
        let view = Self { planes, norms: OnceLock::new(), tables, manifest };
        let rows = view.rows();
        let fits = view.planes[0].len() == rows * view.stride() && view.planes[1].len() == view.planes[0].len();
        match fits && view.planes[3].len() == rows.div_ceil(64) * 8 {
            true => Ok(view),
            false => Err(damaged("the feature files do not fit together")),
        }
    }

    /// What the view consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The search basis.
    pub fn basis(&self) -> Basis {
        Basis { columns: self.manifest.columns.clone(), fitted: self.manifest.fitted }
    }

    /// Rows, dead ones included.
    pub fn rows(&self) -> usize {
        self.manifest.rows() as usize
    }

    /// Bytes of a feature in each plane.
    pub fn stride(&self) -> usize {
        stride_of(self.manifest.columns.len())
    }

    /// The features of all rows.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn planes(&self) -> Result<Planes<'_>> {
        let norms = match self.norms.get() {
            Some(norms) => norms,
            None => {
                let norms = self.planes[2].all()?.chunks_exact(8).map(record::unpack_norms).collect();
                self.norms.get_or_init(|| norms)
            }
        };
        Planes::new(self.stride(), bytemuck::cast_slice(self.planes[0].all()?), bytemuck::cast_slice(self.planes[1].all()?), norms)
    }

    /// One bit for each row, set where its content has a path; 64 rows a word.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn live_words(&self) -> Result<Vec<u64>> {
        let words = self.planes[3].all()?.chunks_exact(8);
        Ok(words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect())
    }

    /// A table.
    pub fn table(&self, kind: TableKind) -> &Table {
        &self.tables[kind as usize]
    }

    /// The record of a row.
    ///
    /// # Errors
    /// As [`View::open`]; also where there is no such row.
    pub fn row(&self, row: u32) -> Result<RowRecord> {
        let bytes = self.table(TableKind::Rows).get(&row_key(row))?;
        bytes.and_then(RowRecord::unpack).ok_or_else(|| damaged(&format!("the record of row {row} is missing or malformed")))
    }

    /// The row of a content.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn row_of(&self, id: &[u8; 32]) -> Result<Option<u32>> {
        let Some(bytes) = self.table(TableKind::Ids).get(id)? else { return Ok(None) };
        bytes.try_into().map(|b| Some(u32::from_le_bytes(b))).map_err(|_| damaged("a row number is malformed"))
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn path(&self, path: &[u8]) -> Result<Option<PathRecord>> {
        let Some(bytes) = self.table(TableKind::Paths).get(path)? else { return Ok(None) };
        PathRecord::unpack(bytes).map(Some).ok_or_else(|| damaged("the record of a path is malformed"))
    }

    /// The neighbour list of a row, nearest first; empty for a dead or flat row.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn list(&self, row: u32) -> Result<Vec<Neighbor>> {
        let Some(bytes) = self.table(TableKind::Lists).get(&row_key(row))? else { return Ok(Vec::new()) };
        record::unpack_list(bytes).ok_or_else(|| damaged(&format!("the list of row {row} is malformed")))
    }

    /// Checks every block of every file.
    ///
    /// # Errors
    /// As [`View::open`].
    pub fn check(&self) -> Result<()> {
        self.planes.iter().try_for_each(|file| file.all().map(|_| ()))?;
        self.tables.iter().try_for_each(Table::check)
    }
}

fn read_manifest(medium: &dyn Medium) -> Result<Manifest> {
    let io = |source: io::Error| Error::Io { doing: "reading", path: medium.path(manifest::NAME), source };
    let len = medium.len(manifest::NAME).map_err(io)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= 1 << 30).ok_or_else(|| damaged("the manifest is too long"))?;
    let mut bytes = vec![0; len];
    medium.read(manifest::NAME, 0, &mut bytes).map_err(io)?;
    Manifest::from_bytes(&bytes)
}
