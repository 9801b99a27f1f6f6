//! Features of rows ⇄ three files of the view: high bytes, low bytes, norms. Those of whole
//! pictures are always there, those of their crops where they are kept: a fixed number of rows for
//! each content, one behind the other, in the order of the contents' rows.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::{
    blocks::{BLOCK, Checked, FileEntry, Opening, damaged},
    writing::{Writing, failed},
};
use crate::{
    Error, Result,
    knn::{Guard, Norms, OwnedPlanes, Planes, Row, stride_of},
    store::medium::Medium,
};

/// Files of features, in the order of their entries: high bytes, low bytes, norms.
pub(super) const FILES: usize = 3;
const HIGH: usize = 0;
const LOW: usize = 1;
const NORMS: usize = 2;

/// The beginnings of the names of the files for whole pictures.
pub(super) const OF_PICTURES: [&str; FILES] = ["high", "low", "norms"];
/// The same for crops.
pub(super) const OF_CROPS: [&str; FILES] = ["crops-high", "crops-low", "crops-norms"];

/// Features of rows, mapped.
pub struct Features {
    stride: usize,
    files: [Checked; FILES],
}

impl Features {
    /// The features of `rows` rows, of `columns` columns each.
    pub(super) fn open(
        from: Opening<'_>,
        entries: &[FileEntry; FILES],
        rows: usize,
        columns: usize,
    ) -> Result<Self> {
        let stride = stride_of(columns);
        let open = |i: usize| from.open(&entries[i]);
        let files = [open(HIGH)?, open(LOW)?, open(NORMS)?];
        let bytes = rows.checked_mul(stride);
        if bytes == Some(files[HIGH].len())
            && bytes == Some(files[LOW].len())
            && files[NORMS].len() == rows * size_of::<Norms>()
        {
            Ok(Self { stride, files })
        } else {
            Err(damaged("the files of rows do not fit together"))
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.files[NORMS].len() / size_of::<Norms>()
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a block does not match its checksum.
    pub fn planes(&self) -> Result<Planes<'_>> {
        let [high, low, norms] = &self.files;
        planes(self.stride, high.all()?, low.all()?, norms.all()?)
    }

    /// What a search makes of them. Their blocks are checked as the search comes to read them, so
    /// that it reads nothing twice and of the low bytes next to nothing.
    ///
    /// # Errors
    /// As [`Features::planes`], where the search met a damaged block; what it found is dropped.
    pub fn search<T>(&self, search: impl FnOnce(Planes<'_>) -> T) -> Result<T> {
        let [high, low, norms] = self.files.each_ref().map(Checked::unchecked);
        let planes = planes(self.stride, high, low, norms)?;
        let checking = Checking {
            features: self,
            damage: Mutex::new(None),
        };
        let found = search(planes.guarded(&checking));
        match checking
            .damage
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(damage) => Err(damage),
            None => Ok(found),
        }
    }

    /// One row.
    ///
    /// # Errors
    /// As [`Features::planes`]; also where there is no such row.
    pub fn row(&self, row: u32) -> Result<Row<'_>> {
        let start = row as usize * self.stride;
        let bytes = |i: usize| {
            Ok(bytemuck::cast_slice(
                self.files[i].get(start..start + self.stride)?,
            ))
        };
        Ok(Row {
            high: bytes(HIGH)?,
            low: bytes(LOW)?,
        })
    }

    pub(super) fn files(&self) -> &[Checked] {
        &self.files
    }
}

/// Checks what a search is about to read.
struct Checking<'a> {
    features: &'a Features,
    damage: Mutex<Option<Error>>,
}

impl Checking<'_> {
    fn check(&self, file: usize, rows: Range<usize>, bytes: usize) {
        if let Err(damage) = self.features.files[file].get(rows.start * bytes..rows.end * bytes) {
            *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(damage);
        }
    }
}

impl Guard for Checking<'_> {
    fn scanning(&self, rows: Range<usize>) {
        self.check(NORMS, rows.clone(), size_of::<Norms>());
        self.check(HIGH, rows, self.features.stride);
    }

    fn measuring(&self, row: u32) {
        self.check(LOW, row as usize..row as usize + 1, self.features.stride);
    }
}

/// Features as they stand in the files.
pub(super) fn planes<'a>(
    stride: usize,
    high: &'a [u8],
    low: &'a [u8],
    norms: &'a [u8],
) -> Result<Planes<'a>> {
    const {
        assert!(
            cfg!(target_endian = "little"),
            "norms are mapped as they are stored"
        );
    };
    // The map of an empty file is nowhere, and so need not be aligned.
    let norms = if norms.is_empty() {
        Ok(&[][..])
    } else {
        bytemuck::try_cast_slice(norms)
    };
    let norms: &[Norms] = norms.map_err(|_| damaged("the norms are cut"))?;
    Planes::new(
        stride,
        bytemuck::cast_slice(high),
        bytemuck::cast_slice(low),
        norms,
    )
}

/// Features being added, behind those of a generation or from nothing.
pub struct GrowingFeatures<'a> {
    stride: usize,
    files: [Writing<'a>; FILES],
}

impl<'a> GrowingFeatures<'a> {
    /// Goes on behind `old`, given with its entries; new files have these names and this serial.
    pub(super) fn new(
        medium: &'a dyn Medium,
        old: Option<(&[FileEntry], &Features)>,
        names: [&str; FILES],
        serial: u64,
        columns: usize,
    ) -> Result<Self> {
        let file = |i: usize| {
            behind(
                medium,
                old.map(|(entries, old)| (&entries[i], &old.files[i])),
                names[i],
                serial,
            )
        };
        Ok(Self {
            stride: stride_of(columns),
            files: [file(HIGH)?, file(LOW)?, file(NORMS)?],
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Error::Io`]; the old generation then stands.
    ///
    /// # Panics
    /// If the features are of another length.
    pub fn push(&mut self, features: &OwnedPlanes) -> Result<()> {
        let planes = features.as_planes();
        assert_eq!(planes.stride(), self.stride, "bytes of a feature");
        let [high, low, norms] = &mut self.files;
        high.push(bytemuck::cast_slice(planes.high()))?;
        low.push(bytemuck::cast_slice(planes.low()))?;
        norms.push(bytemuck::cast_slice(planes.norms()))
    }

    /// Writes the rest of them, named by no manifest yet.
    ///
    /// # Errors
    /// [`Error::Io`]; the old generation then stands.
    pub fn finish(self) -> Result<[FileEntry; FILES]> {
        let [high, low, norms] = self.files;
        Ok([high.finish()?, low.finish()?, norms.finish()?])
    }
}

/// A file that goes on behind a published one, or a new one.
pub(super) fn behind<'a>(
    medium: &'a dyn Medium,
    old: Option<(&FileEntry, &Checked)>,
    name: &str,
    serial: u64,
) -> Result<Writing<'a>> {
    let mut new = Writing::new(medium, format!("{name}-{serial:012}"));
    let Some((entry, bytes)) = old else {
        return Ok(new);
    };
    if medium
        .len(&entry.name)
        .map_err(failed(medium, &entry.name))?
        == entry.len
    {
        let len = bytes.len();
        return Ok(Writing::behind(
            medium,
            entry,
            bytes.get(len / BLOCK * BLOCK..len)?,
        ));
    }
    // Something follows that was never published.
    for start in (0..bytes.len()).step_by(64 * BLOCK) {
        new.push(bytes.get(start..bytes.len().min(start + 64 * BLOCK))?)?;
    }
    Ok(new)
}
