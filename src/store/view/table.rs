//! Sorted keys and values ⇄ immutable runs, newest over oldest: how the view keeps what is looked up by key.
//!
//! A table is a few runs, as in a log-structured merge tree (O'Neil et al. 1996). A change writes one small run with the keys that changed;
//! a run that has grown to a quarter of the one before it is merged with that one, so each entry is rewritten O(log n) times and a look-up
//! asks O(log n) runs. Values may be absent: the key is gone.

use std::{cmp::Ordering, collections::BTreeMap};

use super::blocks::{Checked, FileEntry, damaged};
use crate::{
    Result,
    store::{
        bytes::{Packer, Unpacker},
        medium::Medium,
    },
};

const MAGIC: &[u8; 8] = b"WSIDXRUN";
const HEADER: usize = 16;

/// Marks an entry without a value.
const GONE: u32 = u32::MAX;

/// Keys with their new values; `None`: the key is gone.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The bytes of a run.
pub(super) fn run_bytes<'a>(entries: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Vec<u8> {
    let count = entries.len();
    let mut offsets = Packer(Vec::with_capacity(HEADER + 8 * (count + 1)));
    let mut data = Packer::default();
    offsets.raw(MAGIC);
    offsets.u64(count as u64);
    for (key, value) in entries {
        offsets.u64(data.0.len() as u64);
        data.bytes(key);
        match value {
            Some(value) => data.bytes(value),
            None => data.u32(GONE),
        }
    }
    offsets.u64(data.0.len() as u64);
    offsets.raw(&data.0);
    offsets.0
}

struct Run {
    file: Checked,
    count: usize,
}

type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

impl Run {
    fn open(medium: &dyn Medium, entry: &FileEntry) -> Result<Self> {
        let file = Checked::open(medium, entry)?;
        let mut header = Unpacker(file.get(0..HEADER)?);
        let magic = header.array::<8>();
        let count = header.u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n < file.len() / 8);
        match count {
            Some(count) if magic == Some(*MAGIC) => Ok(Self { file, count }),
            _ => Err(damaged(&format!("{} is no run", entry.name))),
        }
    }

    fn offset(&self, index: usize) -> Result<usize> {
        let at = HEADER + 8 * index;
        let bytes = Unpacker(self.file.get(at..at + 8)?).u64();
        let data = HEADER + 8 * (self.count + 1);
        bytes.and_then(|o| usize::try_from(o).ok()?.checked_add(data)).ok_or_else(|| damaged("an offset is out of range"))
    }

    fn entry(&self, index: usize) -> Result<Entry<'_>> {
        let (start, end) = (self.offset(index)?, self.offset(index + 1)?);
        let bytes = if start <= end { self.file.get(start..end)? } else { &[] };
        unpack_entry(Unpacker(bytes)).ok_or_else(|| damaged("an entry of a run is malformed"))
    }

    /// Looks where a dense sequence of row numbers would have the key, else halves.
    fn get(&self, key: &[u8]) -> Result<Option<Option<&[u8]>>> {
        if self.count == 0 {
            return Ok(None);
        }
        if let Some(guess) = self.dense_guess(key)? {
            let (found, value) = self.entry(guess)?;
            if found == key {
                return Ok(Some(value));
            }
        }
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            let (found, value) = self.entry(middle)?;
            match found.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(value)),
            }
        }
        Ok(None)
    }

    fn dense_guess(&self, key: &[u8]) -> Result<Option<usize>> {
        let number = |key: &[u8]| key.try_into().ok().map(u32::from_be_bytes);
        let (Some(wanted), Some(first)) = (number(key), number(self.entry(0)?.0)) else { return Ok(None) };
        Ok(wanted.checked_sub(first).map(|d| d as usize).filter(|&d| d < self.count))
    }
}

fn unpack_entry(mut bytes: Unpacker<'_>) -> Option<Entry<'_>> {
    let key = bytes.bytes()?;
    let mut peek = bytes;
    if peek.u32()? == GONE {
        peek.end()?;
        return Some((key, None));
    }
    let value = bytes.bytes()?;
    bytes.end()?;
    Some((key, Some(value)))
}

/// A table as published: look-ups by key, and all entries in the order of their keys.
pub struct Table {
    /// Oldest first.
    runs: Vec<Run>,
}

impl Table {
    pub(super) fn open(medium: &dyn Medium, entries: &[FileEntry]) -> Result<Self> {
        let runs = entries.iter().map(|entry| Run::open(medium, entry)).collect::<Result<_>>()?;
        Ok(Self { runs })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] where a block on the way does not match its checksum.
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        for run in self.runs.iter().rev() {
            if let Some(value) = run.get(key)? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// All entries, smallest key first.
    ///
    /// # Errors
    /// As [`Table::get`], and what `visit` returns.
    pub fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a [u8], &'a [u8]) -> Result<()>) -> Result<()> {
        self.merge_from(0, |key, value| value.map_or(Ok(()), |value| visit(key, value)))
    }

    /// Checks every block.
    pub(super) fn check(&self) -> Result<()> {
        self.runs.iter().try_for_each(|run| run.file.all().map(|_| ()))
    }

    /// The entries of the runs from `first` on, newer ones over older ones, those that are gone included.
    fn merge_from<'a>(&'a self, first: usize, mut visit: impl FnMut(&'a [u8], Option<&'a [u8]>) -> Result<()>) -> Result<()> {
        let runs = &self.runs[first..];
        let mut at = vec![0; runs.len()];
        let head = |run: &'a Run, index: usize| (index < run.count).then(|| run.entry(index)).transpose();
        let mut heads = runs.iter().map(|run| head(run, 0)).collect::<Result<Vec<_>>>()?;
        while let Some(key) = heads.iter().flatten().map(|entry| entry.0).min() {
            let newest = heads.iter().flatten().rfind(|entry| entry.0 == key);
            visit(key, newest.and_then(|entry| entry.1))?;
            for i in 0..runs.len() {
                if heads[i].is_some_and(|entry| entry.0 == key) {
                    at[i] += 1;
                    heads[i] = head(&runs[i], at[i])?;
                }
            }
        }
        Ok(())
    }

    /// How many of the oldest runs stay when a run of `count` entries comes: the others are merged with it.
    fn stay(&self, count: usize) -> usize {
        let mut merged = count;
        let mut stay = self.runs.len();
        while stay > 0 && merged * 4 >= self.runs[stay - 1].count {
            stay -= 1;
            merged += self.runs[stay].count;
        }
        stay
    }

    /// The bytes of the run that takes in `changes`, and how many of the oldest runs stay before it.
    pub(super) fn merge(&self, changes: &Changes) -> Result<(usize, Vec<u8>)> {
        let stay = self.stay(changes.len());
        let mut merged: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        self.merge_from(stay, |key, value| {
            merged.insert(key, value);
            Ok(())
        })?;
        merged.extend(changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())));
        if stay == 0 {
            merged.retain(|_, value| value.is_some());
        }
        Ok((stay, run_bytes(merged.into_iter())))
    }
}
