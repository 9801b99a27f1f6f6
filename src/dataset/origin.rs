//! Whether this user made an index on this machine.
//!
//! An archive can bring an index, and nothing in the index can tell: whoever packed it wrote all of
//! it. So every index has a random number, and whoever makes one notes the number, and where the
//! index is, in a folder that only that user can write to. An index whose number is not there, or
//! stands for an index in another place, was made elsewhere: what it answers may be made up.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::index_folder;
use crate::{
    Error, Result,
    store::medium::{Folder, Medium as _},
};

/// The file in an index that holds its number.
pub(crate) const ID_FILE: &str = "id";
const ID_BYTES: u64 = 64;
/// A note is two paths and some numbers.
const LONGEST_NOTE: u64 = 64 << 10;

/// Whether a note in `state`, a folder of this user, says that the index in `root` was made here.
///
/// # Errors
/// [`Error::Io`] where a note cannot be read.
pub fn is_made_here(root: &Path, state: &Path) -> Result<bool> {
    let Some(id) = read_id(&index_folder(root)) else {
        return Ok(false);
    };
    let name = note_name(&id);
    let note = Folder::open(state).and_then(|state| state.read_whole(&name, LONGEST_NOTE));
    match note {
        Ok(note) => {
            let [place, path] = here(root)?;
            Ok(note
                .split(|&b| b == b'\n')
                .any(|line| line == place || line == path))
        }
        // There is no such folder, or no such note in it.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(e) => Err(Error::io("reading", &state.join(name))(e)),
    }
}

/// Notes in `state`, which is made if it is not there, that the index in `root` is this user's. An
/// index without a number gets one.
///
/// # Errors
/// [`Error::Io`].
pub fn note_made_here(root: &Path, state: &Path) -> Result<()> {
    note_made_in(&index_folder(root), root, state)
}

/// The same of an index in `folder` that will be that of `root`.
///
/// # Errors
/// [`Error::Io`].
pub fn note_made_in(folder: &Path, root: &Path, state: &Path) -> Result<()> {
    let id = give_id(folder)?;
    let [place, path] = lines(folder, &index_folder(root))?;
    let note = [&place[..], b"\n", &path, b"\n"].concat();
    let io = |source| Error::Io {
        doing: "writing in",
        path: state.to_owned(),
        source,
    };
    fs::create_dir_all(state).map_err(io)?;
    let folder = Folder::open(state).map_err(io)?;
    let (name, new) = (note_name(&id), format!("{}.new", note_name(&id)));
    match folder.remove(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let written = folder
        .create(&new)
        .and_then(|()| folder.append(&new, &note))
        .and_then(|()| folder.rename(&new, &name));
    written.map_err(io)
}

/// Two lines, either of which is enough: the folder's place in the file system, so that the dataset
/// may be moved, and its path, since the number of a file system may change when it is mounted
/// again.
fn here(root: &Path) -> Result<[Vec<u8>; 2]> {
    let folder = index_folder(root);
    lines(&folder, &folder)
}

/// The lines of the index in `folder` that has, or will have, the path `place`.
fn lines(folder: &Path, place: &Path) -> Result<[Vec<u8>; 2]> {
    let meta = fs::symlink_metadata(folder).map_err(Error::io("looking at", folder))?;
    let path = fs::canonicalize(place).map_err(Error::io("looking at", place))?;
    Ok([
        format!("inode {} {}", meta.dev(), meta.ino()).into_bytes(),
        [b"path ", escaped(&path).as_bytes()].concat(),
    ])
}

/// A path without line breaks.
fn escaped(path: &Path) -> String {
    format!("{path:?}")
}

/// The number of the index in a folder, which gets one if it has none.
pub(crate) fn give_id(folder: &Path) -> Result<Vec<u8>> {
    match read_id(folder) {
        Some(id) => Ok(id),
        None => write_id(folder).map_err(Error::io("writing", &folder.join(ID_FILE))),
    }
}

fn read_id(folder: &Path) -> Option<Vec<u8>> {
    let id = Folder::open(folder)
        .and_then(|folder| folder.read_whole(ID_FILE, ID_BYTES + 1))
        .ok()?;
    let id = id.trim_ascii_end();
    (id.len() as u64 == ID_BYTES && id.iter().all(u8::is_ascii_hexdigit)).then(|| id.to_vec())
}

fn write_id(folder: &Path) -> io::Result<Vec<u8>> {
    let mut random = [0; ID_BYTES as usize / 2];
    let mut filled = 0;
    while filled < random.len() {
        filled +=
            rustix::rand::getrandom(&mut random[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let id = data_encoding::HEXLOWER.encode(&random).into_bytes();
    let folder = Folder::open(folder)?;
    // What is there is no number, or a link.
    match folder.remove(ID_FILE) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    folder.create(ID_FILE)?;
    folder.append(ID_FILE, &[&id[..], b"\n"].concat())?;
    folder.sync(ID_FILE)?;
    Ok(id)
}

/// The name does not reveal the number to those who can list the folder.
fn note_name(id: &[u8]) -> String {
    blake3::hash(id).to_hex()[..32].to_owned()
}

/// Where notes are, in the folder in which a user's programs keep their state.
pub fn notes_in(state_home: &Path) -> PathBuf {
    state_home.join("wsidx").join("indexes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::INDEX_FOLDER;

    fn index(root: &Path) {
        fs::create_dir_all(root.join(INDEX_FOLDER)).unwrap();
    }

    #[test]
    fn an_index_is_known_where_it_was_made_and_where_it_was_moved_and_not_where_it_was_copied() {
        let folder = tempfile::tempdir().unwrap();
        let [root, moved, copied, state] =
            ["a", "b", "c", "state/wsidx"].map(|name| folder.path().join(name));
        index(&root);
        assert!(!is_made_here(&root, &state).unwrap(), "nobody noted it");
        note_made_here(&root, &state).unwrap();
        assert!(is_made_here(&root, &state).unwrap());
        index(&copied);
        fs::copy(
            root.join(INDEX_FOLDER).join(ID_FILE),
            copied.join(INDEX_FOLDER).join(ID_FILE),
        )
        .unwrap();
        assert!(!is_made_here(&copied, &state).unwrap());
        fs::rename(&root, &moved).unwrap();
        assert!(is_made_here(&moved, &state).unwrap());
        assert!(!is_made_here(&moved, &folder.path().join("another user")).unwrap());
        note_made_here(&moved, &state).unwrap();
        assert!(is_made_here(&moved, &state).unwrap());
    }

    #[test]
    fn a_number_that_is_a_link_or_malformed_is_none_and_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state, victim) = (
            folder.path().join("a"),
            folder.path().join("state"),
            folder.path().join("victim"),
        );
        index(&root);
        fs::write(&victim, "0".repeat(64)).unwrap();
        std::os::unix::fs::symlink(&victim, root.join(INDEX_FOLDER).join(ID_FILE)).unwrap();
        assert_eq!(read_id(&root.join(INDEX_FOLDER)), None);
        note_made_here(&root, &state).unwrap();
        assert!(is_made_here(&root, &state).unwrap());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "0".repeat(64));
        fs::write(root.join(INDEX_FOLDER).join(ID_FILE), "../../etc").unwrap();
        assert!(!is_made_here(&root, &state).unwrap());
    }
}
