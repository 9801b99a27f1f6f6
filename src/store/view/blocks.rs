//! A mapped file of the view → slices whose blocks have been checked.
//!
//! Every block of 64 KiB has an XXH3-64 in the manifest and is checked before its first use; a whole file costs about a tenth of a
//! millisecond a megabyte, once. The last block's checksum covers the published length only, so a file can grow behind it.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Error, Result,
    store::medium::{Bytes, Medium},
};

/// Bytes of a block.
pub(super) const BLOCK: usize = 64 << 10;

/// How a file of the view is named in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its published length; the file may be longer.
    pub len: u64,
    /// XXH3-64 of each block of 64 KiB, the last one as long as is left.
    pub sums: Vec<u64>,
}

impl FileEntry {
    /// Of a file with this content.
    pub fn of(name: String, bytes: &[u8]) -> Self {
        Self { name, len: bytes.len() as u64, sums: bytes.par_chunks(BLOCK).map(xxh3_64).collect() }
    }
}

/// A mapped file and which of its blocks have been found good.
pub(super) struct Checked {
    bytes: Bytes,
    entry: FileEntry,
    good: Vec<AtomicU64>,
}

impl Checked {
    pub(super) fn open(medium: &dyn Medium, entry: &FileEntry) -> Result<Self> {
        let blocks = entry.len.div_ceil(BLOCK as u64);
        if blocks != entry.sums.len() as u64 {
            return Err(damaged(&format!("{} has {} checksums for {blocks} blocks", entry.name, entry.sums.len())));
        }
        let bytes =
            medium.map(&entry.name, entry.len).map_err(|source| Error::Io { doing: "mapping", path: medium.path(&entry.name), source })?;
        let good = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { bytes, entry: entry.clone(), good })
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of a range, every block of it checked.
    pub(super) fn get(&self, range: Range<usize>) -> Result<&[u8]> {
        let slice = self.bytes.get(range.clone()).ok_or_else(|| damaged(&format!("{} is too short", self.entry.name)))?;
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        if blocks.len() > 16 {
            blocks.into_par_iter().try_for_each(|block| self.check(block))?;
        } else {
            blocks.into_iter().try_for_each(|block| self.check(block))?;
        }
        Ok(slice)
    }

    /// All bytes, to be checked with [`Checked::get`] before they are used.
    pub(super) fn unchecked(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn all(&self) -> Result<&[u8]> {
        self.get(0..self.len())
    }

    fn check(&self, block: usize) -> Result<()> {
        let (word, bit) = (&self.good[block / 64], 1u64 << (block % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let start = block * BLOCK;
        let end = (start + BLOCK).min(self.bytes.len());
        if xxh3_64(&self.bytes[start..end]) != self.entry.sums[block] {
            return Err(damaged(&format!("block {block} of {} does not match its checksum", self.entry.name)));
        }
        word.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }
}

/// An error that sends the reader to the writer, who builds the view again.
pub(super) fn damaged(what: &str) -> Error {
    Error::Damaged { what: format!("view: {what}"), mend: "run `wsidx rebuild`" }
}
