//! A folder → the image files and containers below it, the tables of labels, and what was passed
//! over and why.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use rayon::prelude::*;
use walkdir::WalkDir;

use super::{
    container::{is_container, is_item_of, names_container, split_item, stat_of_container},
    file::to_stat,
    labels::TABLE_NAMES,
    to_path, to_relative,
};
use crate::{Result, error::Error, file::describe, picture::Format, store::state::Stat};

/// An image file, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the root.
    pub path: Arc<[u8]>,
    /// What the file system says of it.
    pub stat: Stat,
}

/// Something that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Relative to the root.
    pub path: Arc<[u8]>,
    /// Why.
    pub reason: String,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// Regular files with the name of an image, in the order of the bytes of their paths.
    pub files: Vec<Found>,
    /// Files that hold many images, in the order of the bytes of their paths; each with what the
    /// file system says of it and of the files that belong to it.
    pub containers: Vec<Found>,
    /// Tables of labels, sorted.
    pub tables: Vec<Arc<[u8]>>,
    /// What has the name of an image and is no regular file, and folders that could not be read.
    pub skipped: Vec<Skipped>,
    /// Folders that could not be read: nothing is known of what is below.
    pub unreadable: Vec<Arc<[u8]>>,
}

/// Lists what is at and below `scope` (relative; empty for the whole root). Names that begin with a
/// dot are passed over, symbolic links are not followed. A scope that does not exist is empty.
///
/// # Errors
/// [`Error::Io`] where the root cannot be read, [`Error::Interrupted`].
pub fn list(root: &Path, scope: &[u8], cancelled: &dyn Fn() -> bool) -> Result<Listing> {
    fs::read_dir(root).map_err(Error::io("reading", root))?;
    let mut listing = Listing::default();
    let (mut images, mut containers) = (Vec::new(), Vec::new());
    let start = to_path(root, scope);
    let hidden = |entry: &walkdir::DirEntry| {
        entry.depth() > 0 && entry.file_name().as_bytes().starts_with(b".")
    };
    for entry in WalkDir::new(&start)
        .into_iter()
        .filter_entry(|entry| !hidden(entry))
    {
        if cancelled() {
            return Err(Error::Interrupted);
        }
        match entry {
            Ok(entry) => listing.sort_in(root, &entry, &mut images, &mut containers),
            Err(e) => listing.fail(root, &e),
        }
    }
    listing.files = images
        .into_par_iter()
        .filter_map(|path| stat(root, path))
        .collect();
    listing
        .files
        .par_sort_unstable_by(|a, b| a.path.cmp(&b.path));
    listing.containers = containers
        .into_iter()
        .filter_map(|path| container(root, path))
        .collect();
    listing
        .containers
        .sort_unstable_by(|a, b| a.path.cmp(&b.path));
    listing.pass_over_items();
    listing.tables.sort_unstable();
    listing.skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

/// Whether the name of a file is that of an image.
pub fn names_image(path: &[u8]) -> bool {
    let extension = Path::new(OsStr::from_bytes(path)).extension();
    extension.is_some_and(|e| e.to_str().and_then(Format::from_extension).is_some())
}

/// Whether a path below the root is passed over for its name, or for that of a folder above it.
pub fn is_hidden(path: &[u8]) -> bool {
    path.split(|&b| b == b'/')
        .any(|part| part.starts_with(b"."))
}

/// What stands at a path of the dataset now, if it is a regular file.
pub fn stat_of_file(root: &Path, path: &[u8]) -> Option<Stat> {
    let meta = fs::symlink_metadata(to_path(root, path)).ok()?;
    meta.is_file().then(|| to_stat(&meta))
}

/// A file that went away in the meantime is not there.
fn stat(root: &Path, path: Arc<[u8]>) -> Option<Found> {
    let stat = to_stat(&fs::symlink_metadata(to_path(root, &path)).ok()?);
    Some(Found { path, stat })
}

/// None where the name is one that others use, too, and what makes it a container is not beside it.
fn container(root: &Path, path: Arc<[u8]>) -> Option<Found> {
    let file = to_path(root, &path);
    let stat = is_container(&file).then(|| stat_of_container(&file))??;
    Some(Found { path, stat })
}

impl Listing {
    fn sort_in(
        &mut self,
        root: &Path,
        entry: &walkdir::DirEntry,
        images: &mut Vec<Arc<[u8]>>,
        containers: &mut Vec<Arc<[u8]>>,
    ) {
        let Some(relative) = to_relative(root, entry.path()) else {
            return;
        };
        let kind = entry.file_type();
        let name = entry.file_name();
        let is_image = names_image(name.as_bytes());
        let is_table = TABLE_NAMES.iter().any(|table| name == *table);
        if kind.is_file() && is_image {
            images.push(relative.into());
        } else if kind.is_file() && is_table {
            self.tables.push(relative.into());
        } else if kind.is_file() && names_container(name.as_bytes()) {
            containers.push(relative.into());
        } else if kind.is_symlink() || ((is_image || is_table) && !kind.is_dir()) {
            self.skipped.push(Skipped {
                path: relative.into(),
                reason: describe(kind).to_owned(),
            });
        }
    }

    /// A file that is called as an item of a container that is there.
    fn pass_over_items(&mut self) {
        let containers = &self.containers;
        let is_there = |container: &[u8]| {
            containers
                .binary_search_by(|found| (*found.path).cmp(container))
                .is_ok()
        };
        let hidden = self.files.extract_if(.., |file| {
            split_item(&file.path).is_some_and(|(container, _)| is_there(container))
        });
        let reason = "its name is that of an item of the container beside it; rename it";
        self.skipped.extend(hidden.map(|file| Skipped {
            path: file.path,
            reason: reason.to_owned(),
        }));
    }

    fn fail(&mut self, root: &Path, error: &walkdir::Error) {
        let Some(io) = error.io_error() else { return };
        let Some(path) = error
            .path()
            .and_then(|path| to_relative(root, path))
            .map(Arc::<[u8]>::from)
        else {
            return;
        };
        if io.kind() != std::io::ErrorKind::NotFound {
            self.skipped.push(Skipped {
                path: path.clone(),
                reason: io.kind().to_string(),
            });
            self.unreadable.push(path);
        }
    }
}

/// Whether a path is the folder or below it, or an item of the container; everything is below the
/// empty one.
pub fn contains(folder: &[u8], path: &[u8]) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => {
            folder.is_empty() || rest.is_empty() || rest[0] == b'/' || is_item_of(folder, path)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &Listing) -> Vec<String> {
        listing
            .files
            .iter()
            .map(|f| String::from_utf8_lossy(&f.path).into_owned())
            .collect()
    }

    #[test]
    fn images_are_listed_by_name_and_what_is_hidden_or_linked_is_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["b", "a/deep", ".git", ".wsidx"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in [
            "b/2.JPG",
            "a/deep/1.png",
            "a/notes.txt",
            "z.webp",
            ".git/x.png",
            ".wsidx/x.png",
            "b/.hidden.png",
            "a/labels.csv",
        ] {
            fs::write(at(file), b"").unwrap();
        }
        std::os::unix::fs::symlink(root.path(), at("a/loop")).unwrap();
        std::os::unix::fs::symlink("1.png", at("a/deep/link.png")).unwrap();
        let listing = list(root.path(), b"", &|| false).unwrap();
        assert_eq!(names(&listing), ["a/deep/1.png", "b/2.JPG", "z.webp"]);
        assert_eq!(listing.tables, [Arc::from(&b"a/labels.csv"[..])]);
        let skipped: Vec<_> = listing
            .skipped
            .iter()
            .map(|s| String::from_utf8_lossy(&s.path).into_owned())
            .collect();
        assert_eq!(skipped, ["a/deep/link.png", "a/loop"]);
        assert_eq!(
            names(&list(root.path(), b"a", &|| false).unwrap()),
            ["a/deep/1.png"]
        );
        assert_eq!(
            names(&list(root.path(), b"z.webp", &|| false).unwrap()),
            ["z.webp"]
        );
        assert_eq!(
            names(&list(root.path(), b"nothing", &|| false).unwrap()),
            [""; 0]
        );
    }

    #[test]
    fn a_folder_contains_itself_and_what_is_below_it() {
        assert!(contains(b"", b"a/b") && contains(b"a", b"a") && contains(b"a", b"a/b"));
        assert!(!contains(b"a", b"ab") && !contains(b"a/b", b"a") && !contains(b"a", b"a#1.png"));
        assert!(
            contains(b"test_batch.bin", b"test_batch.bin#1")
                && !contains(b"test_batch.bin", b"test_batch.bin#1.png")
        );
    }
}
