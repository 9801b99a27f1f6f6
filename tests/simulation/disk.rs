//! A folder on a disk: what was written, what of it is durable, and what a power loss makes of the
//! rest.
//!
//! Bytes are durable once their file was synced, names once the folder was. Of all else a power
//! loss keeps any mixture: each name is as it was or as it is now, and of the unsynced end of a
//! file any sectors are kept, are zeros or are noise. This is the model of
//! `wsidx::store::medium::Memory`, with fates drawn for each file by itself.

use std::{collections::BTreeMap, io};

use crate::images::Numbers;

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

/// One folder.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
}

fn too_short() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Disk {
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The number of the file that has a name now. A handle stays with the number whatever becomes
    /// of the name.
    pub(crate) fn open(&self, name: &str) -> io::Result<u64> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, number: u64) -> &mut File {
        self.files
            .get_mut(&number)
            .expect("files are kept for those who have them open")
    }

    pub(crate) fn bytes(&self, number: u64) -> &[u8] {
        self.files.get(&number).map_or(&[], |file| &file.bytes)
    }

    pub(crate) fn part(&self, number: u64, offset: u64, len: usize) -> io::Result<&[u8]> {
        let from = usize::try_from(offset).map_err(|_| too_short())?;
        self.bytes(number)
            .get(from..from.saturating_add(len))
            .ok_or_else(too_short)
    }

    pub(crate) fn create(&mut self, name: &str) -> io::Result<u64> {
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = self.files.keys().next_back().map_or(0, |last| last + 1);
        self.files.insert(number, File::default());
        self.names.insert(name.to_owned(), number);
        Ok(number)
    }

    pub(crate) fn append(&mut self, number: u64, bytes: &[u8]) {
        self.file(number).bytes.extend_from_slice(bytes);
    }

    pub(crate) fn sync(&mut self, number: u64) {
        let file = self.file(number);
        file.synced = file.bytes.len();
    }

    pub(crate) fn sync_folder(&mut self) {
        self.durable.clone_from(&self.names);
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let number = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), number);
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.names
            .remove(name)
            .map(|_| ())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Changes one bit that was durable. Returns where, if there is any.
    pub(crate) fn rot(&mut self, numbers: &mut Numbers) -> Option<(String, u64)> {
        let names: Vec<(String, u64)> = self
            .names
            .iter()
            .map(|(name, number)| (name.clone(), *number))
            .collect();
        let (name, number) = names
            .get(numbers.below(names.len().max(1) as u64) as usize)?
            .clone();
        let file = self.file(number);
        let at = numbers.below(file.synced.max(1) as u64);
        *file.bytes[..file.synced].get_mut(at as usize)? ^= 1 << numbers.below(8);
        Some((name, at))
    }

    /// Loses what is not durable, or some of it.
    pub(crate) fn lose_power(&mut self, numbers: &mut Numbers) {
        let (before, now) = (
            std::mem::take(&mut self.durable),
            std::mem::take(&mut self.names),
        );
        let fate = numbers.below(4);
        for name in before.keys().chain(now.keys()) {
            let is_kept = match fate {
                0 => true,
                1 => false,
                _ => numbers.below(2) == 0,
            };
            let survivor = if is_kept {
                now.get(name)
            } else {
                before.get(name)
            };
            survivor.map(|number| self.names.insert(name.clone(), *number));
        }
        self.durable.clone_from(&self.names);
        for file in self.files.values_mut() {
            lose_tail(file, numbers);
        }
    }
}

fn lose_tail(file: &mut File, numbers: &mut Numbers) {
    let unsynced = file.bytes.len() - file.synced;
    if unsynced == 0 {
        return;
    }
    match numbers.below(5) {
        0 => file.bytes.truncate(file.synced),
        1 => {}
        2 => file
            .bytes
            .truncate(file.synced + numbers.below(unsynced as u64 + 1) as usize),
        fate => {
            let sector = [16, 64, 512][numbers.below(3) as usize];
            for sector in file.bytes[file.synced..].chunks_mut(sector) {
                if numbers.below(2) == 0 {
                    let noise = if fate == 3 {
                        0
                    } else {
                        numbers.below(256) as u8
                    };
                    sector
                        .iter_mut()
                        .for_each(|byte| *byte = byte.wrapping_mul(noise));
                }
            }
        }
    }
    file.synced = file.bytes.len();
}
