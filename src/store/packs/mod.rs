//! The truth on disk: records appended to numbered pack files, each batch sealed by a commit and
//! synced before it is acknowledged.
//!
//! A log of segments as in Bitcask or git's packs. `store/format.md`, section "Packs", gives the
//! bytes, the rules of recovery and the assumptions about the medium. In short:
//!
//! - A **batch** is some records and one [`Commit`], wholly within one pack. [`Packs::append`]
//!   returns when it is durable.
//! - Each pack's header says how many bytes of the pack before it count. So in all packs but the
//!   newest one, damage and what a crash left behind are told apart for certain.
//! - In the newest pack, all up to the last sound batch counts. What follows is a **torn tail**: a
//!   batch that was never acknowledged. An acknowledged batch at the very end looks the same once
//!   it is cut off or damaged; that is the one loss that is not reported as damage. Its reader can
//!   notice: the commits carry a generation, counts and a hash, and the position that was reached
//!   before is [beyond the end](Packs::reaches).
//! - Checksums (XXH3) find accidents, not forgeries: who may write to the folder may write what he
//!   likes.
//!
//! `layout` packs integers, [`record`] archives records, `scan` finds them in a pack, `chain` finds
//! the packs that count, `replay` visits, `write` appends and compacts. Locking, and what the
//! records mean, are left to the callers: one handle writes.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod chain;
mod layout;
pub mod record;
mod replay;
mod scan;
mod write;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod foreign;

use std::{collections::BTreeMap, sync::Arc};

use chain::{Front, Top};
use layout::{MAX_SETTINGS, pack_name, pack_number, record_bytes};
/// Whether a pack may have this name.
pub fn is_pack(name: &str) -> bool {
    pack_number(name).is_some()
}

pub use record::{Aliases, Basis, Commit, Content, Event, Gone, Record, Seen, Stat, State, View};
pub use replay::{Reader, Replay};

use super::medium::Medium;
use crate::{Error, Result};

/// What mends damage in packs: reading them from end to end tells what is lost, and the images have
/// it.
const MEND: &str =
    "run `wsidx verify`, which finds all that is damaged, then `wsidx sync`, which reads it again";

/// What to do with files that this version cannot use: whoever can keeps them.
const MOVE_AWAY: &str =
    "use the wsidx that wrote it, or move the index folder away and run `wsidx sync --init`";

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Number of the pack.
    pub pack: u32,
    /// Bytes from the start of the pack to the record's head.
    pub offset: u64,
    /// Bytes of the record's payload.
    pub len: u32,
}

/// A point between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the pack.
    pub pack: u32,
    /// Bytes from the start of the pack.
    pub offset: u64,
}

/// Bytes that count and are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Number of the pack.
    pub pack: u32,
    /// Bytes from the start of the pack.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

impl Place {
    /// The point behind the record: where to go on if it was a commit.
    #[must_use]
    pub fn end(self) -> Position {
        Position {
            pack: self.pack,
            offset: self.offset.saturating_add(record_bytes(self.len)),
        }
    }
}

impl Damage {
    fn end(self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// The packs of one index, held by its one writer.
pub struct Packs {
    medium: Arc<dyn Medium>,
    settings: Vec<u8>,
    max_pack_bytes: u64,
    fronts: BTreeMap<u32, Front>,
    top: Option<Top>,
    settled: bool,
    poisoned: bool,
}

impl Packs {
    /// A pack is closed rather than made larger than this: 256 MiB.
    pub const MAX_PACK_BYTES: u64 = 256 << 20;

    /// Makes the first pack in a folder that has none. What a crash in an earlier `create` left is
    /// removed.
    ///
    /// `settings` are bytes of the caller, at most 1 MiB; every pack repeats them. Durable on
    /// return.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if there are packs, [`Error::Input`] if the settings are too long,
    /// [`Error::Io`].
    pub fn create(medium: Arc<dyn Medium>, settings: &[u8]) -> Result<Self> {
        if settings.len() > MAX_SETTINGS {
            return Err(Error::Input(format!(
                "settings of {} bytes are too long; at most {MAX_SETTINGS} are kept",
                settings.len()
            )));
        }
        let left = numbers(&*medium)?;
        let path = medium.path("");
        for &pack in &left {
            if !chain::is_void(&*medium, pack)? {
                return Err(Error::AlreadyExists { path });
            }
        }
        for &pack in &left {
            medium
                .remove(&pack_name(pack))
                .map_err(Error::io("removing", &medium.path(&pack_name(pack))))?;
        }
        write::first_pack(&*medium, settings)?;
        Self::open(medium)
    }

    /// Lists the packs and reads their headers: 64 bytes of each, and the settings from the newest
    /// pack that has them.
    ///
    /// # Errors
    /// [`Error::Version`] if a pack is of another version or the files are no packs,
    /// [`Error::Damaged`] if there is no pack or no settings are left in any, [`Error::Io`].
    pub fn open(medium: Arc<dyn Medium>) -> Result<Self> {
        let fronts = chain::fronts(&*medium, &numbers(&*medium)?)?;
        let settings = chain::settings(&*medium, &fronts)?;
        let max_pack_bytes = Self::MAX_PACK_BYTES;
        Ok(Self {
            medium,
            settings,
            max_pack_bytes,
            fronts,
            top: None,
            settled: false,
            poisoned: false,
        })
    }

    /// Sets after how many bytes a new pack is begun; a batch or record that is larger has a pack
    /// of its own.
    #[must_use]
    pub fn with_max_pack_bytes(mut self, bytes: u64) -> Self {
        self.max_pack_bytes = bytes;
        self
    }

    /// The caller's settings, as given to [`Packs::create`].
    #[must_use]
    pub fn settings(&self) -> &[u8] {
        &self.settings
    }

    /// Reads single records, on any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.medium))
    }

    /// Whether the pack of a place is there, and is long enough for it.
    #[must_use]
    pub fn holds(&self, place: Place) -> bool {
        self.fronts.contains_key(&place.pack)
            && self
                .chain()
                .file_len(place.pack)
                .is_ok_and(|len| place.end().offset <= len)
    }

    /// Whether [`Packs::holds`] is true of all places. Of each pack only the last place is looked
    /// at.
    #[must_use]
    pub fn hold_all(&self, places: impl IntoIterator<Item = Place>) -> bool {
        let mut ends = BTreeMap::new();
        for place in places {
            let end = ends.entry(place.pack).or_insert(place);
            *end = place.max(*end);
        }
        ends.into_values().all(|place| self.holds(place))
    }

    /// Reads one content: see [`Reader::content`].
    ///
    /// # Errors
    /// As [`Reader::content`], and after a failed write.
    pub fn read_content(&self, place: Place) -> Result<Content> {
        self.sound()?;
        self.reader().content(place)
    }

    /// Fails after a failed write: what the disk holds is then unknown until it is read again.
    fn sound(&self) -> Result<()> {
        if self.poisoned {
            let source = std::io::Error::other("an earlier write failed; open the index again");
            return Err(Error::Io {
                doing: "using",
                path: self.medium.path(""),
                source,
            });
        }
        Ok(())
    }
}

/// The numbers of all packs, ascending.
fn numbers(medium: &dyn Medium) -> Result<Vec<u32>> {
    let names = medium
        .list()
        .map_err(Error::io("listing", &medium.path("")))?;
    Ok(names.iter().filter_map(|name| pack_number(name)).collect())
}
