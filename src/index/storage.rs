//! What an index stands on. That is the file system; a simulation puts another in its place, so
//! that one seed decides what every call does.
//!
//! Only what an index keeps is behind [`Storage`], and the files of the dataset that `sync` and
//! `watch` list and read. Containers, tables of labels, and version control are read from the root
//! all the same.

use std::{io, path::Path, sync::Arc};

use super::lock::Lock;
use crate::{
    Result,
    dataset::{Buffer, Listing},
    picture::Limits,
    store::{catalog::Catalog, medium::Medium, state::Stat},
};

/// The parts of one index, as one process sees them: what it opens is its own, as file handles are.
#[doc(hidden)]
pub trait Storage: Send + Sync {
    /// The folder of the packs.
    ///
    /// # Errors
    /// As the system fails.
    fn packs(&self) -> Result<Arc<dyn Medium>>;

    /// The folder of the view.
    ///
    /// # Errors
    /// As the system fails.
    fn view(&self) -> Result<Arc<dyn Medium>>;

    /// The catalog, which only the holder of the lock uses.
    fn catalog(&self) -> Box<dyn Catalog>;

    /// Takes the lock for `who`, or waits for it.
    ///
    /// # Errors
    /// [`crate::Error::Locked`]; as the system fails.
    fn lock(&self, who: &str, wait: bool) -> Result<Box<dyn Held>>;

    /// What [`crate::dataset::list`] gives.
    ///
    /// # Errors
    /// As there.
    fn list(&self, scope: &[u8]) -> Result<Listing>;

    /// What [`crate::dataset::read_image`] gives.
    ///
    /// # Errors
    /// As there.
    fn read_image(&self, path: &[u8], limits: &Limits, buffer: &mut Buffer) -> Result<Stat>;

    /// After how many bytes a new pack is begun.
    fn max_pack_bytes(&self) -> u64;

    /// The `wsidx.toml` of the root; `None` where there is none.
    ///
    /// # Errors
    /// As the system fails.
    fn rules(&self) -> Result<Option<String>>;
}

/// A lock, while it is held.
#[doc(hidden)]
pub trait Held: Send + Sync {
    /// The present time of the file system, in nanoseconds since 1970.
    ///
    /// # Errors
    /// As the system fails.
    fn file_system_time(&self) -> io::Result<i64>;

    /// Whether the lock still stands in the folder of the index.
    fn is_in_place(&self) -> bool;
}

/// The lock of a writer.
pub(super) enum WriterLock {
    File(Lock),
    Simulated(Box<dyn Held>),
}

impl WriterLock {
    pub(super) fn file_system_time(&self, who: &str) -> io::Result<i64> {
        match self {
            Self::File(lock) => lock.file_system_time(who),
            Self::Simulated(held) => held.file_system_time(),
        }
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        match self {
            Self::File(lock) => lock.is_at(path),
            Self::Simulated(held) => held.is_in_place(),
        }
    }
}
