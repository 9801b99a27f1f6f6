//! Sorted keys and values ⇄ immutable runs, newest over oldest: how the view keeps what is looked
//! up by key.
//!
//! A table is a few runs, as in a log-structured merge tree (O'Neil et al. 1996). A change writes
//! one small run with the keys that changed; a run that has grown to a quarter of the one before it
//! is merged with that one, so each entry is rewritten O(log n) times and a look-up asks O(log n)
//! runs. Values may be absent: the key is gone.

use std::cmp::Ordering;

use super::{
    blocks::{Checked, FileEntry, Opening, damaged},
    writing::Writing,
};
use crate::{
    Result,
    store::{
        bytes::{Packer, Unpacker},
        medium::Medium,
    },
};

const MAGIC: &[u8; 8] = b"WSIDXRUN";

/// Marks an entry without a value.
const GONE: u32 = u32::MAX;

type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// Takes keys in ascending order with their new values; `None`: the key is gone.
pub type Visit<'v> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<()> + 'v;

/// Gives entries to a visitor, once.
type Each<'a> = dyn FnOnce(&mut Visit<'_>) -> Result<()> + Send + 'a;

/// What changes in a table, told entry by entry when it is written.
pub struct Changes<'a> {
    /// How many entries there are at the most.
    count: usize,
    each: Box<Each<'a>>,
}

impl<'a> Changes<'a> {
    /// At most `count` entries, which `each` gives to its visitor, in the order of their keys.
    pub fn new(count: usize, each: impl FnOnce(&mut Visit<'_>) -> Result<()> + Send + 'a) -> Self {
        Self {
            count,
            each: Box::new(each),
        }
    }
}

/// A run in the making: magic, entries, their offsets, their number.
struct RunWriter<'a> {
    file: Writing<'a>,
    offsets: Vec<u64>,
    end: u64,
    entry: Packer,
}

impl<'a> RunWriter<'a> {
    fn new(medium: &'a dyn Medium, name: String) -> Result<Self> {
        let mut file = Writing::new(medium, name);
        file.push(MAGIC)?;
        Ok(Self {
            file,
            offsets: Vec::new(),
            end: MAGIC.len() as u64,
            entry: Packer::default(),
        })
    }

    fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.offsets.push(self.end);
        self.entry.0.clear();
        self.entry.bytes(key);
        match value {
            Some(value) => self.entry.bytes(value),
            None => self.entry.u32(GONE),
        }
        self.end += self.entry.0.len() as u64;
        self.file.push(&self.entry.0)
    }

    fn finish(mut self) -> Result<FileEntry> {
        let count = self.offsets.len() as u64;
        for number in self.offsets.into_iter().chain([self.end, count]) {
            self.file.push(&number.to_le_bytes())?;
        }
        self.file.finish()
    }
}

struct Run {
    file: Checked,
    count: usize,
    /// Where the offsets begin.
    offsets: usize,
}

impl Run {
    fn open(from: Opening<'_>, entry: &FileEntry) -> Result<Self> {
        let file = from.open(entry)?;
        let bad = || damaged(&format!("{} is no run", entry.name));
        let trailer = file.len().checked_sub(8).ok_or_else(bad)?;
        let count = Unpacker(file.get(trailer..trailer + 8)?)
            .u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(bad)?;
        let table = count
            .checked_add(1)
            .and_then(|n| n.checked_mul(8))
            .ok_or_else(bad)?;
        match trailer.checked_sub(table) {
            Some(offsets) if offsets >= MAGIC.len() && file.get(0..MAGIC.len())? == MAGIC => {
                Ok(Self {
                    file,
                    count,
                    offsets,
                })
            }
            _ => Err(bad()),
        }
    }

    fn entry(&self, index: usize) -> Result<Entry<'_>> {
        let at = self.offsets + 8 * index;
        let mut pair = Unpacker(self.file.get(at..at + 16)?);
        let range = pair.u64().zip(pair.u64()).and_then(|(start, end)| {
            Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
        });
        let range = range
            .filter(|r| r.start <= r.end && r.end <= self.offsets)
            .ok_or_else(|| damaged("an offset is out of range"))?;
        unpack_entry(Unpacker(self.file.get(range)?))
            .ok_or_else(|| damaged("an entry of a run is malformed"))
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
        let (Some(wanted), Some(first)) = (number(key), number(self.entry(0)?.0)) else {
            return Ok(None);
        };
        Ok(wanted
            .checked_sub(first)
            .map(|d| d as usize)
            .filter(|&d| d < self.count))
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

/// The entries of some runs in the order of their keys, newer ones over older ones, those that are
/// gone included.
struct Merged<'a> {
    runs: &'a [Run],
    /// The next entry of each run, and the number of the one behind it.
    heads: Vec<(Option<Entry<'a>>, usize)>,
}

impl<'a> Merged<'a> {
    fn new(runs: &'a [Run]) -> Result<Self> {
        let mut merged = Self {
            runs,
            heads: vec![(None, 0); runs.len()],
        };
        (0..runs.len()).try_for_each(|run| merged.advance(run))?;
        Ok(merged)
    }

    fn advance(&mut self, run: usize) -> Result<()> {
        let (head, next) = &mut self.heads[run];
        *head = if *next < self.runs[run].count {
            Some(self.runs[run].entry(*next)?)
        } else {
            None
        };
        *next += 1;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Entry<'a>>> {
        let Some(key) = self
            .heads
            .iter()
            .filter_map(|(head, _)| head.map(|entry| entry.0))
            .min()
        else {
            return Ok(None);
        };
        let mut newest = None;
        for run in 0..self.heads.len() {
            if let Some(entry) = self.heads[run].0.filter(|entry| entry.0 == key) {
                newest = Some(entry);
                self.advance(run)?;
            }
        }
        Ok(newest)
    }
}

/// A table as published: look-ups by key, and all entries in the order of their keys.
pub struct Table {
    /// Oldest first.
    runs: Vec<Run>,
}

impl Table {
    pub(super) fn open(from: Opening<'_>, entries: &[FileEntry]) -> Result<Self> {
        let runs = entries
            .iter()
            .map(|entry| Run::open(from, entry))
            .collect::<Result<_>>()?;
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
    pub fn for_each<'a>(
        &'a self,
        mut visit: impl FnMut(&'a [u8], &'a [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut merged = Merged::new(&self.runs)?;
        while let Some((key, value)) = merged.next()? {
            value.map_or(Ok(()), |value| visit(key, value))?;
        }
        Ok(())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Checked> {
        self.runs.iter().map(|run| &run.file)
    }

    /// Writes the run that takes in `changes`. Returns how many of the oldest runs stay before it,
    /// and the run, unless nothing changed.
    pub(super) fn write(
        &self,
        changes: Changes<'_>,
        medium: &dyn Medium,
        name: String,
    ) -> Result<(usize, Option<FileEntry>)> {
        let counts: Vec<usize> = self.runs.iter().map(|run| run.count).collect();
        let stay = stay(&counts, changes.count);
        let mut run = RunWriter::new(medium, name)?;
        let mut old = Merged::new(&self.runs[stay..])?;
        let mut head = old.next()?;
        let mut changed = false;
        let mut push = |key: &[u8], value: Option<&[u8]>| {
            if stay == 0 && value.is_none() {
                Ok(())
            } else {
                run.push(key, value)
            }
        };
        (changes.each)(&mut |key, value| {
            changed = true;
            while let Some((old_key, old_value)) = head.filter(|entry| entry.0 < key) {
                push(old_key, old_value)?;
                head = old.next()?;
            }
            if head.is_some_and(|entry| entry.0 == key) {
                head = old.next()?;
            }
            push(key, value)
        })?;
        if !changed && !self.runs.is_empty() {
            return Ok((self.runs.len(), None));
        }
        while let Some((key, value)) = head {
            push(key, value)?;
            head = old.next()?;
        }
        Ok((stay, Some(run.finish()?)))
    }
}

/// How many of the oldest runs stay when a run of `count` entries comes: the others are merged with
/// it.
pub(super) fn stay(runs: &[usize], count: usize) -> usize {
    let mut merged = count;
    let mut stay = runs.len();
    while stay > 0 && merged.saturating_mul(4) >= runs[stay - 1] {
        stay -= 1;
        merged = merged.saturating_add(runs[stay]);
    }
    stay
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::medium::Memory;

    type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    fn random(state: &mut u64) -> usize {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as usize
    }

    #[test]
    fn a_table_after_any_changes_is_the_map_after_the_same_changes() {
        for seed in 0..60 {
            let mut state = seed;
            let medium = Memory::new();
            let (mut entries, mut all): (Vec<FileEntry>, BTreeMap<Vec<u8>, Vec<u8>>) =
                Default::default();
            for step in 0..12 {
                let mut change = Map::new();
                for _ in 0..random(&mut state) % [1, 4, 40][step % 3] {
                    let key = if seed % 2 == 0 {
                        ((random(&mut state) % 60) as u32).to_be_bytes().to_vec()
                    } else {
                        vec![7; random(&mut state) % 30]
                    };
                    change.insert(
                        key,
                        (!random(&mut state).is_multiple_of(3))
                            .then(|| vec![step as u8; random(&mut state) % 5]),
                    );
                }
                for (key, value) in &change {
                    match value {
                        Some(value) => all.insert(key.clone(), value.clone()),
                        None => all.remove(key),
                    };
                }
                let table = Table::open(Opening::anew(&medium), &entries).unwrap();
                let changes = Changes::new(change.len(), |visit| {
                    change
                        .iter()
                        .try_for_each(|(key, value)| visit(key, value.as_deref()))
                });
                let (stay, run) = table.write(changes, &medium, format!("t-{step}")).unwrap();
                entries.truncate(stay);
                entries.extend(run);
                let table = Table::open(Opening::anew(&medium), &entries).unwrap();
                let mut read = BTreeMap::new();
                table
                    .for_each(|key, value| {
                        read.insert(key.to_vec(), value.to_vec());
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(read, all, "seed {seed}, step {step}");
                all.iter()
                    .for_each(|(key, value)| assert_eq!(table.get(key).unwrap(), Some(&value[..])));
                change
                    .keys()
                    .filter(|key| !all.contains_key(*key))
                    .for_each(|key| assert_eq!(table.get(key).unwrap(), None));
            }
        }
    }
}
