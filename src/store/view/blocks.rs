//! A mapped file of the view → slices whose blocks have been checked.
//!
//! Every block of 64 KiB has an XXH3-64 in the manifest and is checked before its first use; a
//! whole file costs about a tenth of a millisecond a megabyte, once. The last block's checksum
//! covers the published length only, so a file can grow behind it.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use rayon::prelude::*;
use twox_hash::XxHash3_64;

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
        Self {
            name,
            len: bytes.len() as u64,
            sums: bytes.par_chunks(BLOCK).map(XxHash3_64::oneshot).collect(),
        }
    }
}

/// A mapped file and which of its blocks have been found good.
pub(super) struct Checked {
    bytes: Bytes,
    entry: FileEntry,
    good: Vec<AtomicU64>,
}

/// Where the files of a view are opened, and which of them were opened before.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) medium: &'a dyn Medium,
    /// By name: a file of an earlier generation, which has grown since or not.
    pub(super) known: &'a dyn Fn(&str) -> Option<&'a Checked>,
}

impl<'a> Opening<'a> {
    /// For the first time.
    pub(super) fn anew(medium: &'a dyn Medium) -> Self {
        Self {
            medium,
            known: &|_| None,
        }
    }

    /// What was found good before is not checked again: published bytes are never written again.
    pub(super) fn open(self, entry: &FileEntry) -> Result<Checked> {
        match (self.known)(&entry.name) {
            Some(known) if known.entry == *entry => Ok(known.again()),
            Some(known) => {
                Checked::open(self.medium, entry).inspect(|opened| opened.believe(known))
            }
            None => Checked::open(self.medium, entry),
        }
    }
}

impl Checked {
    fn open(medium: &dyn Medium, entry: &FileEntry) -> Result<Self> {
        let blocks = entry.len.div_ceil(BLOCK as u64);
        if blocks != entry.sums.len() as u64 {
            return Err(damaged(&format!(
                "{} has {} checksums for {blocks} blocks",
                entry.name,
                entry.sums.len()
            )));
        }
        let bytes = medium.map(&entry.name, entry.len).map_err(Error::stored(
            "mapping",
            &medium.path(&entry.name),
            MEND,
        ))?;
        let good = (0..blocks.div_ceil(64))
            .map(|_| AtomicU64::new(0))
            .collect();
        Ok(Self {
            bytes,
            entry: entry.clone(),
            good,
        })
    }

    /// The same map.
    fn again(&self) -> Self {
        let good = self
            .good
            .iter()
            .map(|word| AtomicU64::new(word.load(Ordering::Relaxed)))
            .collect();
        Self {
            bytes: self.bytes.clone(),
            entry: self.entry.clone(),
            good,
        }
    }

    /// Takes the full blocks for good that an earlier map of the file has found to be so.
    fn believe(&self, earlier: &Self) {
        let full = earlier
            .entry
            .sums
            .iter()
            .take(earlier.entry.len as usize / BLOCK)
            .zip(&self.entry.sums);
        for (block, _) in full.enumerate().filter(|(_, (before, now))| before == now) {
            let bit = earlier.good[block / 64].load(Ordering::Relaxed) & (1 << (block % 64));
            self.good[block / 64].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The name of the file.
    pub(super) fn name(&self) -> &str {
        &self.entry.name
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of a range, every block of it checked.
    pub(super) fn get(&self, range: Range<usize>) -> Result<&[u8]> {
        let slice = self
            .bytes
            .get(range.clone())
            .ok_or_else(|| damaged(&format!("{} is too short", self.entry.name)))?;
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        if blocks.len() > 16 {
            blocks
                .into_par_iter()
                .try_for_each(|block| self.check(block))?;
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
        if XxHash3_64::oneshot(&self.bytes[start..end]) != self.entry.sums[block] {
            return Err(damaged(&format!(
                "block {block} of {} does not match its checksum",
                self.entry.name
            )));
        }
        word.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }
}

/// What mends a view: the writer builds it again.
pub(super) const MEND: &str = "run `wsidx rebuild`";

/// An error that sends the reader to the writer.
pub(super) fn damaged(what: &str) -> Error {
    Error::Damaged {
        what: format!("view: {what}"),
        mend: MEND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::medium::Memory;

    #[test]
    fn what_was_good_is_believed_of_a_file_that_has_grown_and_nothing_else_is() {
        let medium = Memory::new();
        let bytes: Vec<u8> = (0..3 * BLOCK + 9).map(|i| ((i * i) >> 7) as u8).collect();
        medium.create("f-1").unwrap();
        medium.append("f-1", &bytes[..BLOCK + 5]).unwrap();
        let [first, grown] =
            [&bytes[..BLOCK + 5], &bytes].map(|bytes| FileEntry::of("f-1".into(), bytes));
        let opened = Opening::anew(&medium).open(&first).unwrap();
        let good = |file: &Checked| file.good[0].load(Ordering::Relaxed);
        let again = |entry: &FileEntry| {
            Opening {
                medium: &medium,
                known: &|name| (name == opened.name()).then_some(&opened),
            }
            .open(entry)
        };
        medium.append("f-1", &bytes[BLOCK + 5..]).unwrap();
        assert_eq!(
            (good(&again(&first).unwrap()), good(&again(&grown).unwrap())),
            (0, 0),
            "nothing was checked yet"
        );
        opened.all().unwrap();
        // The second block has grown, and is another one now.
        assert_eq!(
            (good(&again(&first).unwrap()), good(&again(&grown).unwrap())),
            (0b11, 0b1)
        );
        assert_eq!(again(&grown).unwrap().all().unwrap(), bytes);
        let mut other = grown.clone();
        other.sums[0] ^= 1;
        assert_eq!(good(&again(&other).unwrap()), 0, "it is not the same block");
        assert!(again(&other).unwrap().all().is_err());
    }
}
