//! The narrow interface between the store and the disk: a flat folder of files that only grow.
//!
//! Everything the store needs of a file system stands in [`Medium`], so that tests can put
//! [`Memory`] in its place, stop it after any operation and cut the power. [`Folder`] is the real
//! one.
//!
//! What a medium promises, and all that the store relies on (the assumptions of redb's design page,
//! for files that only grow): bytes are durable once [`Medium::sync`] has returned, entries of the
//! folder (names made, renamed, removed) once [`Medium::sync_folder`] has; a rename is seen whole
//! or not at all; bytes once durable are not touched by later appends. Between two syncs *anything*
//! may be lost, in any order and in part.
//!
//! What the bytes mean is left to [`crate::store::packs`] and the published view.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod bytes;
mod folder;
mod memory;

use std::{io, path::PathBuf};

pub use bytes::Bytes;
pub use folder::Folder;
pub use memory::{Data, Memory, Names, Power};

/// A flat folder of append-only files, named by short ASCII names (letters, digits, `.`, `_`, `-`;
/// no leading dot; at most 64 bytes).
///
/// Any number of threads may read; the caller sees to it that one writes. Every method fails with
/// [`io::ErrorKind::InvalidInput`] on a name of another form, and as the system does.
pub trait Medium: Send + Sync {
    /// The names of all files whose name has the form above, sorted by bytes.
    ///
    /// # Errors
    /// The system refuses to list the folder.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// There is no such regular file.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Fills `buf` from byte `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// All bytes of a small file, as it is now: also one that was renamed into the place of another
    /// since it was last read.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is longer than `most`.
    fn read_whole(&self, name: &str, most: u64) -> io::Result<Vec<u8>>;

    /// The first `len` bytes of a file, to be read without copying where the medium can. They must
    /// not be changed or cut while held.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter.
    fn map(&self, name: &str, len: u64) -> io::Result<Bytes>;

    /// Makes an empty file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken.
    fn create(&self, name: &str) -> io::Result<()>;

    /// Adds bytes to the end of a file. On an error any prefix of them may have been added.
    ///
    /// # Errors
    /// There is no such file, or no space.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes of a file durable. After an error nothing is known about any of them: do not
    /// try again, open anew.
    ///
    /// # Errors
    /// The system could not write.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Makes all bytes of several files durable, at once where the medium can: a file system with a
    /// journal then writes it once or twice for all of them. After an error, as for
    /// [`Medium::sync`].
    ///
    /// # Errors
    /// That of the first file that could not be written, with its name.
    fn sync_all<'n>(&self, names: &[&'n str]) -> Result<(), (&'n str, io::Error)> {
        names
            .iter()
            .try_for_each(|&name| self.sync(name).map_err(|error| (name, error)))
    }

    /// Makes all names of the folder durable. After an error, as for [`Medium::sync`].
    ///
    /// # Errors
    /// The system could not write.
    fn sync_folder(&self) -> io::Result<()>;

    /// Gives a file another name, in one step, in the place of any file that had it.
    ///
    /// # Errors
    /// There is no such file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// There is no such file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Where a file is (an empty name: the folder itself), for messages only.
    fn path(&self, name: &str) -> PathBuf;
}

/// Whether a name has the form that a medium takes.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(plain)
}

/// Refuses a name of another form.
fn plain(name: &str) -> io::Result<&str> {
    if is_plain(name) {
        Ok(name)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} cannot name a stored file"),
        ))
    }
}

/// What a file says that is longer than it can be.
fn too_long(most: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the file is longer than {most} bytes"),
    )
}

/// What a file that ends too soon says.
fn too_short(has: u64, wanted: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the file has {has} bytes, {wanted} were expected"),
    )
}
