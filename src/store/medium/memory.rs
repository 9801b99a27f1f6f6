//! [`Medium`] in memory, with power cuts: the crash model of the tests.
//!
//! It keeps apart what was written and what was synced, for the bytes of each file and for the
//! names of the folder, and can be stopped at any operation. After that [`Memory::killed`] is what
//! another process finds, and [`Memory::crash`] what a reboot finds under one of the [`Power::all`]
//! fates of the unsynced part. It models loss in any order and in part, as SQLite's and redb's
//! tests do; it does not model a disk that lies about a sync, nor bytes that change by themselves
//! (for those: [`Memory::flip`], [`Memory::cut`]).

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "all bytes here were written by the test at hand"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Bytes, Medium, plain, too_long, too_short};

/// The unit in which unsynced bytes are lost independently: small, so that small tests see torn
/// records.
const SECTOR: usize = 32;

/// A medium in memory that can be stopped and crashed. For tests only: nothing in it survives the
/// process.
#[derive(Clone, Debug, Default)]
pub struct Memory(std::sync::Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<u64, Written>,
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    operations: u64,
    stop: Option<Stop>,
}

#[derive(Clone, Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    synced: usize,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    at: u64,
    torn: bool,
}

/// What becomes of unsynced bytes in a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// All are lost; the file has its synced length.
    Dropped,
    /// All are kept, though never synced.
    Kept,
    /// The first half is kept.
    Half,
    /// The length is kept, the second half reads as zeros.
    HalfThenZeros,
    /// The length is kept, and each sector of 32 bytes by itself is kept or reads as zeros, as the
    /// number decides.
    Scattered(u64),
}

/// What becomes of unsynced changes of names in a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// All are lost.
    Dropped,
    /// All are kept.
    Kept,
    /// New names are kept, removals are lost.
    OnlyAdded,
    /// Removals are kept, new names are lost.
    OnlyRemoved,
    /// Each name by itself is as before or as now, as the number decides.
    Scattered(u64),
}

/// One fate of all that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    /// Of the bytes.
    pub data: Data,
    /// Of the names.
    pub names: Names,
}

impl Power {
    /// Every fate that the tests go through: 8 of the bytes × 8 of the names.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let scattered = (1..=4).map(Data::Scattered);
        let data = [Data::Dropped, Data::Kept, Data::Half, Data::HalfThenZeros]
            .into_iter()
            .chain(scattered);
        let scattered = [1, 2, 3, 4].map(Names::Scattered);
        let names = [
            &[
                Names::Dropped,
                Names::Kept,
                Names::OnlyAdded,
                Names::OnlyRemoved,
            ],
            &scattered[..],
        ]
        .concat();
        data.flat_map(|data| {
            names
                .iter()
                .map(move |&names| Self { data, names })
                .collect::<Vec<_>>()
        })
        .collect()
    }
}

impl Memory {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changing operations (create, append, sync, rename, remove) there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes changing operation number `at` (from 0) and everything after it fail; if it is an
    /// append and `torn`, half of it happens.
    pub fn fail_at(&self, at: u64, torn: bool) {
        self.state().stop = Some(Stop { at, torn });
    }

    /// What the next process finds when this one was killed: all that was written, unsynced parts
    /// still unsynced.
    #[must_use]
    pub fn killed(&self) -> Self {
        let state = State {
            operations: 0,
            stop: None,
            ..self.state().clone()
        };
        Self(std::sync::Arc::new(Mutex::new(state)))
    }

    /// What a reboot finds after a power cut with this fate of the unsynced part.
    #[must_use]
    pub fn crash(&self, power: Power) -> Self {
        let state = self.state();
        let names = names_after(&state, power.names);
        let files = names
            .values()
            .filter_map(|&id| state.files.get(&id).map(|file| (id, file)))
            .map(|(id, file)| (id, bytes_after(file, power.data, id)))
            .map(|(id, bytes)| {
                (
                    id,
                    Written {
                        synced: bytes.len(),
                        bytes,
                    },
                )
            })
            .collect();
        let state = State {
            files,
            durable: names.clone(),
            names,
            operations: 0,
            stop: None,
        };
        Self(std::sync::Arc::new(Mutex::new(state)))
    }

    /// A copy of the bytes of a file.
    ///
    /// # Panics
    /// There is no such file.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.state()
            .file(name)
            .expect("the file exists")
            .bytes
            .clone()
    }

    /// Flips the bits of `mask` in one byte.
    ///
    /// # Panics
    /// There is no such file or byte.
    pub fn flip(&self, name: &str, at: usize, mask: u8) {
        self.state().file(name).expect("the file exists").bytes[at] ^= mask;
    }

    /// Cuts a file to `len` bytes.
    ///
    /// # Panics
    /// There is no such file.
    pub fn cut(&self, name: &str, len: usize) {
        let mut state = self.state();
        let file = state.file(name).expect("the file exists");
        file.bytes.truncate(len);
        file.synced = file.synced.min(len);
    }

    /// Puts a file there, durable, with these bytes.
    pub fn plant(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.fresh(name);
        state.durable.insert(name.to_owned(), id);
        state.files.insert(
            id,
            Written {
                bytes: bytes.to_vec(),
                synced: bytes.len(),
            },
        );
    }
}

/// A coin thrown by a key.
fn is_kept<T: AsRef<[u8]>>(key: &[T]) -> bool {
    let key: Vec<u8> = key
        .iter()
        .flat_map(|part| part.as_ref().iter().copied())
        .collect();
    twox_hash::XxHash3_64::oneshot(&key) & 1 == 1
}

fn names_after(state: &State, names: Names) -> BTreeMap<String, u64> {
    let all: BTreeSet<_> = state.durable.keys().chain(state.names.keys()).collect();
    let fate = |name: &String| {
        let (before, now) = (
            state.durable.get(name).copied(),
            state.names.get(name).copied(),
        );
        match names {
            Names::Dropped => before,
            Names::Kept => now,
            Names::OnlyAdded => now.or(before),
            Names::OnlyRemoved => now.and(before),
            Names::Scattered(seed) if is_kept(&[&seed.to_le_bytes(), name.as_bytes()]) => now,
            Names::Scattered(_) => before,
        }
    };
    all.into_iter()
        .filter_map(|name| fate(name).map(|id| (name.clone(), id)))
        .collect()
}

fn bytes_after(file: &Written, data: Data, id: u64) -> Vec<u8> {
    let (safe, half) = (file.synced, file.synced.midpoint(file.bytes.len()));
    let mut bytes = file.bytes.clone();
    match data {
        Data::Dropped => bytes.truncate(safe),
        Data::Kept => {}
        Data::Half => bytes.truncate(half),
        Data::HalfThenZeros => bytes[half..].fill(0),
        Data::Scattered(seed) => {
            for (k, sector) in bytes[safe..].chunks_mut(SECTOR).enumerate() {
                if !is_kept(&[seed, id, k as u64].map(u64::to_le_bytes)) {
                    sector.fill(0);
                }
            }
        }
    }
    bytes
}

impl State {
    fn file(&mut self, name: &str) -> io::Result<&mut Written> {
        let id = self
            .names
            .get(plain(name)?)
            .ok_or(io::ErrorKind::NotFound)?;
        self.files
            .get_mut(id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Gives a name to a new number.
    fn fresh(&mut self, name: &str) -> u64 {
        let id = self.files.keys().next_back().map_or(0, |last| last + 1);
        self.files.insert(id, Written::default());
        self.names.insert(name.to_owned(), id);
        id
    }

    fn dead() -> io::Error {
        io::Error::other("the process died here")
    }

    /// Nothing can be read by a process that died.
    fn alive(&mut self) -> io::Result<&mut Self> {
        match self.stop {
            Some(stop) if self.operations > stop.at => Err(Self::dead()),
            _ => Ok(self),
        }
    }

    /// Counts an operation that changes something; what is left of it when the process dies:
    /// `torn`.
    fn operate(&mut self, torn: impl FnOnce(&mut Self)) -> io::Result<&mut Self> {
        let this = self.operations;
        self.operations += 1;
        match self.stop {
            Some(stop) if this >= stop.at => {
                if this == stop.at && stop.torn {
                    torn(self);
                }
                Err(Self::dead())
            }
            _ => Ok(self),
        }
    }
}

impl Medium for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().alive()?.names.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.state().alive()?.file(name)?.bytes.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let bytes = &state.alive()?.file(name)?.bytes;
        let end = offset.saturating_add(buf.len() as u64);
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        let found = range
            .and_then(|(from, to)| bytes.get(from..to))
            .ok_or_else(|| too_short(bytes.len() as u64, end))?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn read_whole(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let bytes = &state.alive()?.file(name)?.bytes;
        if bytes.len() as u64 > most {
            Err(too_long(most))
        } else {
            Ok(bytes.clone())
        }
    }

    fn map(&self, name: &str, len: u64) -> io::Result<Bytes> {
        let mut state = self.state();
        let bytes = &state.alive()?.file(name)?.bytes;
        let found = usize::try_from(len)
            .ok()
            .and_then(|len| bytes.get(..len))
            .ok_or_else(|| too_short(bytes.len() as u64, len))?;
        Ok(Bytes::copied(found))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        plain(name)?;
        let mut state = self.state();
        let state = state.operate(|_| ())?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.fresh(name);
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let state = state.operate(|state| {
            if let Ok(file) = state.file(name) {
                file.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            }
        })?;
        state.file(name)?.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.operate(|_| ())?.file(name)?;
        file.synced = file.bytes.len();
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        let state = state.operate(|_| ())?;
        state.durable = state.names.clone();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        plain(to)?;
        let mut state = self.state();
        let state = state.operate(|_| ())?;
        let id = state
            .names
            .remove(plain(from)?)
            .ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let state = state.operate(|_| ())?;
        state
            .names
            .remove(plain(name)?)
            .map(|_| ())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_synced() -> Memory {
        let memory = Memory::new();
        memory.create("a").unwrap();
        memory.append("a", b"safe").unwrap();
        memory.sync("a").unwrap();
        memory.sync_folder().unwrap();
        memory.append("a", b"lost").unwrap();
        memory.create("b").unwrap();
        memory
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_deals_with_the_rest_as_told() {
        let after = |data, names| half_synced().crash(Power { data, names });
        assert_eq!(after(Data::Dropped, Names::Dropped).bytes("a"), b"safe");
        assert_eq!(after(Data::Kept, Names::Dropped).bytes("a"), b"safelost");
        assert_eq!(after(Data::Half, Names::Dropped).bytes("a"), b"safelo");
        assert_eq!(
            after(Data::HalfThenZeros, Names::Dropped).bytes("a"),
            b"safelo\0\0"
        );
        assert_eq!(after(Data::Kept, Names::Dropped).list().unwrap(), ["a"]);
        assert_eq!(after(Data::Kept, Names::Kept).list().unwrap(), ["a", "b"]);
        for power in Power::all() {
            assert!(
                half_synced().crash(power).bytes("a").starts_with(b"safe"),
                "{power:?}"
            );
        }
    }

    #[test]
    fn names_may_be_lost_in_either_direction() {
        let memory = half_synced();
        memory.remove("a").unwrap();
        let names = |names| {
            memory
                .crash(Power {
                    data: Data::Kept,
                    names,
                })
                .list()
                .unwrap()
        };
        assert_eq!(names(Names::OnlyAdded), ["a", "b"]);
        assert_eq!(names(Names::OnlyRemoved), [""; 0]);
        assert_eq!(memory.killed().list().unwrap(), ["b"]);
    }

    #[test]
    fn a_stopped_medium_stays_stopped() {
        let memory = half_synced();
        memory.fail_at(memory.operations(), true);
        assert!(memory.append("a", b"torn").is_err());
        assert!(memory.sync("a").is_err() && memory.list().is_err() && memory.len("a").is_err());
        assert_eq!(memory.killed().bytes("a"), b"safelostto");
        assert_eq!(
            memory
                .crash(Power {
                    data: Data::Dropped,
                    names: Names::Kept
                })
                .bytes("a"),
            b"safe"
        );
    }
}
