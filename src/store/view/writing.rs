//! Bytes in pieces → a file of the view, new or grown, with its checksums: never more than a few
//! megabytes of it in memory.

use std::io;

use rayon::prelude::*;
use twox_hash::XxHash3_64;

use super::blocks::{BLOCK, FileEntry};
use crate::{Error, Result, store::medium::Medium};

/// Bytes that are gathered before they are written; whole blocks.
const PIECE: usize = 64 * BLOCK;

/// What an operation on a file of the medium failed with.
pub(super) fn failed(medium: &dyn Medium, name: &str) -> impl FnOnce(io::Error) -> Error {
    let path = medium.path(name);
    move |source| Error::Io {
        doing: "writing",
        path,
        source,
    }
}

/// A file in the making; complete only after [`Writing::finish`].
pub(super) struct Writing<'a> {
    medium: &'a dyn Medium,
    name: String,
    /// Whether the file is there.
    made: bool,
    /// From the last boundary of blocks on; its first `written` bytes are in the file.
    buffer: Vec<u8>,
    written: usize,
    /// Of the blocks before the buffer.
    sums: Vec<u64>,
    /// Whether anything was pushed.
    grown: bool,
}

impl<'a> Writing<'a> {
    /// A new file. It is made with the first bytes; a left-over of its name, from a publication
    /// that did not get to its manifest, goes.
    pub(super) fn new(medium: &'a dyn Medium, name: String) -> Self {
        Self {
            medium,
            name,
            made: false,
            buffer: Vec::new(),
            written: 0,
            sums: Vec::new(),
            grown: false,
        }
    }

    /// Goes on behind the published bytes of a file, of which `tail` are those of the last block if
    /// that is not full. The caller has seen that nothing follows them.
    pub(super) fn behind(medium: &'a dyn Medium, entry: &FileEntry, tail: &[u8]) -> Self {
        let sums = entry.sums[..entry.len as usize / BLOCK].to_vec();
        Self {
            medium,
            name: entry.name.clone(),
            made: true,
            buffer: tail.to_vec(),
            written: tail.len(),
            sums,
            grown: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.grown |= !bytes.is_empty();
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.write(self.buffer.len() / BLOCK * BLOCK)
        } else {
            Ok(())
        }
    }

    /// Writes the buffer up to `end`, a boundary of blocks or the end of all.
    fn write(&mut self, end: usize) -> Result<()> {
        if !self.made {
            match self.medium.remove(&self.name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(self.medium, &self.name)(e));
                }
                _ => {}
            }
            self.medium
                .create(&self.name)
                .map_err(failed(self.medium, &self.name))?;
            self.made = true;
        }
        let piece = &self.buffer[..end];
        self.medium
            .append(&self.name, &piece[self.written..])
            .map_err(failed(self.medium, &self.name))?;
        self.sums
            .par_extend(piece.par_chunks(BLOCK).map(XxHash3_64::oneshot));
        self.buffer.drain(..end);
        self.written = 0;
        Ok(())
    }

    /// Writes the rest. Making the file durable is left to the publication.
    pub(super) fn finish(mut self) -> Result<FileEntry> {
        let len = self.sums.len() * BLOCK + self.buffer.len();
        if self.grown || !self.made {
            self.write(self.buffer.len())?;
        } else {
            self.sums
                .extend((!self.buffer.is_empty()).then(|| XxHash3_64::oneshot(&self.buffer)));
        }
        Ok(FileEntry {
            name: self.name,
            len: len as u64,
            sums: self.sums,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::medium::Memory;

    #[test]
    fn pieces_make_the_file_and_the_checksums_that_the_whole_makes() {
        let bytes: Vec<u8> = (0..3 * PIECE + 777).map(|i| ((i * i) >> 7) as u8).collect();
        for (case, cuts) in [
            vec![],
            vec![1],
            vec![BLOCK, 2 * BLOCK + 5],
            vec![PIECE, PIECE + 1, 2 * PIECE + BLOCK - 1],
        ]
        .into_iter()
        .enumerate()
        {
            let medium = Memory::new();
            let mut from = 0;
            let mut entry: Option<FileEntry> = None;
            for to in cuts.into_iter().chain([bytes.len(), bytes.len()]) {
                let mut file = match &entry {
                    Some(entry) => {
                        Writing::behind(&medium, entry, &bytes[from / BLOCK * BLOCK..from])
                    }
                    None => Writing::new(&medium, "f-1".into()),
                };
                bytes[from..to]
                    .chunks(100_001)
                    .for_each(|piece| file.push(piece).unwrap());
                entry = Some(file.finish().unwrap());
                assert_eq!(
                    entry,
                    Some(FileEntry::of("f-1".into(), &bytes[..to])),
                    "{case}"
                );
                from = to;
            }
            assert!(*medium.map("f-1", bytes.len() as u64).unwrap() == *bytes);
            assert_eq!(medium.len("f-1").unwrap(), bytes.len() as u64);
        }
    }

    #[test]
    fn an_empty_file_is_a_file() {
        let medium = Memory::new();
        assert_eq!(
            Writing::new(&medium, "e-1".into()).finish().unwrap(),
            FileEntry::of("e-1".into(), &[])
        );
        assert_eq!(medium.len("e-1").unwrap(), 0);
    }
}
