//! Folders of images → what there is: files, labels and splits, and the bytes of a file read
//! safely; the images in files that hold many; the same of versions in git; and embeddings of
//! images that the user computed.

mod container;
pub mod dvc;
mod embeddings;
mod file;
mod folder;
pub mod git;
mod labels;
mod naming;
mod origin;
mod packed;
mod parquet;
mod table;
mod trust;
mod version;

pub use container::{
    Container, Images, container_of, is_container, is_item_of, names_companion, names_container,
    stat_of_container,
};
pub use embeddings::Embeddings;
pub use file::{Buffer, CHANGED_WHILE_READ, read_image};
pub use folder::{Found, Listing, Skipped, contains, is_hidden, list, names_image, stat_of_file};
pub use labels::{
    Labels, TABLE_NAMES, label_of, names_table, skipped_tables_above, split_of, tables_above,
};
pub use naming::{Naming, ObjectFormat, blob_id};
pub(crate) use origin::{ID_FILE, give_id};
pub use origin::{is_made_here, note_made_here, note_made_in, notes_in};
pub use packed::Texts;
pub use trust::{check_trust, find_root, is_interrupted};
pub use version::{Bytes, Change, Objects, Unread, VersionFile, VisitFile, read_together};

pub use crate::file::{BARE_INDEX_FOLDER, INDEX_FOLDER, index_folder};

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::picture::Format;

/// What input of a dataset a file is, by its name and its first bytes: what no result may replace.
/// `None` for one that is none.
pub fn input_at(path: &Path, head: &[u8]) -> Option<&'static str> {
    let name = path.as_os_str().as_bytes();
    match () {
        () if Format::sniff(head).is_some() => Some("an image"),
        () if names_table(name) => Some("a table of labels"),
        () if names_container(name) => Some("a container of images"),
        () => None,
    }
}

/// The hidden folder in the root of a dataset in which an index is made that will replace one from
/// elsewhere.
pub const REBUILD_FOLDER: &str = ".wsidx-rebuild";

/// In it, the new index; once both have changed places, the old one.
pub(crate) const NEW_INDEX: &str = "new";

/// In it, the old index, where the two cannot change places in one step.
pub(crate) const OLD_INDEX: &str = "old";

/// The path in the file system of a stored path.
pub fn to_path(root: &Path, relative: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(relative))
}

/// The stored form of a path at or below the root: relative, with `/`, no `.` in it; `None` for one
/// outside. The root itself is empty. Both must be absolute and free of symbolic links where they
/// lead through any.
pub fn to_relative(root: &Path, path: &Path) -> Option<Vec<u8>> {
    Some(
        path.strip_prefix(root)
            .ok()?
            .as_os_str()
            .as_bytes()
            .to_vec(),
    )
}
