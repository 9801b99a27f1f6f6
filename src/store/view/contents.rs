//! Row number ⇄ content: the id and the place of every row, and the rows in the order of their ids.
//!
//! `contents` has a record of fixed length for each row and only grows. The order is kept in runs
//! of row numbers, each sorted by the ids of its rows; a change adds a run of the new rows, merged
//! with the runs before it as those of a table are (`table`). So a content costs 52 bytes, and
//! nothing of a run is read but what a look-up touches.

use rayon::prelude::*;

use super::{
    blocks::{Checked, FileEntry, Opening, damaged},
    table::stay,
};
use crate::{
    Result,
    store::{
        bytes::{Packer, Unpacker},
        packs::Place,
        state::ContentId,
    },
};

/// Bytes of a record: id, pack, offset, length.
pub(super) const RECORD: usize = 48;

/// Writes the record of a row.
pub(super) fn pack_content(id: &ContentId, place: Place, out: &mut Vec<u8>) {
    let mut record = Packer(std::mem::take(out));
    record.raw(id);
    record.u32(place.pack);
    record.u64(place.offset);
    record.u32(place.len);
    *out = record.0;
}

/// The id in the record of a row, if it is there.
pub(super) fn id_in(contents: &[u8], row: u32) -> Option<&ContentId> {
    contents.get(row as usize * RECORD..)?.first_chunk()
}

/// The record of a row.
pub(super) fn content(file: &Checked, row: u32) -> Result<(ContentId, Place)> {
    let start = row as usize * RECORD;
    unpack_content(Unpacker(file.get(start..start + RECORD)?))
        .ok_or_else(|| damaged("a content is malformed"))
}

fn unpack_content(mut record: Unpacker<'_>) -> Option<(ContentId, Place)> {
    Some((
        record.array()?,
        Place {
            pack: record.u32()?,
            offset: record.u64()?,
            len: record.u32()?,
        },
    ))
}

/// The rows in the order of their ids, in a few runs.
pub(super) struct Order {
    runs: Vec<Checked>,
}

impl Order {
    pub(super) fn open(from: Opening<'_>, entries: &[FileEntry]) -> Result<Self> {
        let runs = entries
            .iter()
            .map(|entry| from.open(entry))
            .collect::<Result<Vec<_>>>()?;
        if runs.iter().all(|run| run.len().is_multiple_of(4)) {
            Ok(Self { runs })
        } else {
            Err(damaged("an order of rows is cut"))
        }
    }

    /// The row of a content.
    pub(super) fn find(&self, id: &ContentId, contents: &Checked) -> Result<Option<u32>> {
        for run in &self.runs {
            let (mut low, mut high) = (0, run.len() / 4);
            while low < high {
                let middle = usize::midpoint(low, high);
                let row = u32::from_le_bytes(
                    run.get(4 * middle..4 * middle + 4)?
                        .try_into()
                        .map_err(|_| damaged("a row number is malformed"))?,
                );
                let start = row as usize * RECORD;
                let found = contents.get(start..start + 32)?;
                match found.cmp(id) {
                    std::cmp::Ordering::Less => low = middle + 1,
                    std::cmp::Ordering::Greater => high = middle,
                    std::cmp::Ordering::Equal => return Ok(Some(row)),
                }
            }
        }
        Ok(None)
    }

    pub(super) fn runs(&self) -> &[Checked] {
        &self.runs
    }

    /// The rows of the run that takes in the rows `new`, sorted by their ids in `contents`, and how
    /// many of the oldest runs stay before it.
    pub(super) fn with(
        &self,
        new: std::ops::Range<u32>,
        contents: &[u8],
    ) -> Result<(usize, Vec<u32>)> {
        let counts: Vec<usize> = self.runs.iter().map(|run| run.len() / 4).collect();
        let stay = stay(&counts, new.len());
        let mut rows: Vec<u32> = new.collect();
        for run in &self.runs[stay..] {
            rows.extend(
                run.all()?
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&row| u32::from_le_bytes(row)),
            );
        }
        rows.par_sort_unstable_by_key(|&row| id_in(contents, row));
        Ok((stay, rows))
    }
}
