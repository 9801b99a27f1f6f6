//! A container → its items, each the bytes of an image file with a name and a label; and the bytes
//! of an image wherever it is.

use std::{
    collections::VecDeque,
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    cifar, idx,
    name::{Kind, container_of, is_container, split_item, split_of_name},
    parquet, tar,
};
use crate::{
    Error, Result,
    dataset::{
        file::{Buffer, read_image, to_stat},
        labels::split_of,
    },
    file::{self, Problem},
    picture::Limits,
    store::state::Stat,
    verdict::{Label, Split},
};

/// Bytes of a container that are in memory at once, where it must be read whole: the largest of the
/// well-known ones, EMNIST by class, has 522 MiB.
pub(super) const MOST_BYTES: u64 = 640 << 20;

/// Bytes of a text beside a container.
const MOST_TEXT: u64 = 64 << 20;

/// Items that any container may have.
pub(super) const MOST_ITEMS: usize = 16 << 20;

/// Items that a container of any size may have.
const FEW_ITEMS: u64 = 100_000;

/// Bytes of a container for each item beyond those: a picture of 4 × 4 pixels has as many, and no
/// image file has fewer. Without it a small file could hold millions of items, each of which takes
/// some microseconds and some hundred bytes of memory.
const LEAST_BYTES: u64 = 16;

/// The most items that a container of so many bytes may have.
pub(super) fn most_items(size: u64) -> u64 {
    (MOST_ITEMS as u64).min(FEW_ITEMS + size / LEAST_BYTES)
}

/// Checks how many items a container of so many bytes has, before they are read.
pub(super) fn check_count(items: u64, size: u64) -> std::result::Result<(), String> {
    let most = most_items(size);
    if items <= most {
        return Ok(());
    }
    Err(format!(
        "it has {items} images; a file of {size} bytes may have {most}: split it, or leave out images of fewer than {LEAST_BYTES} bytes"
    ))
}

/// Containers that stay open.
const KEPT: usize = 8;

/// What a format knows of its items, by their numbers from 0.
pub(super) trait Items: Send + Sync {
    fn count(&self) -> usize;
    fn name(&self, item: usize) -> Vec<u8>;
    fn find(&self, name: &[u8]) -> Option<usize>;
    fn label(&self, item: usize) -> Option<Vec<u8>>;
    /// Bytes of an item that reading it takes.
    fn size(&self, item: usize) -> u64;
    /// Adds the bytes of an image file to `out`, which is empty.
    fn read(&self, item: usize, out: &mut Vec<u8>) -> std::result::Result<(), String>;
}

/// A file that holds many images, open.
pub struct Container {
    path: PathBuf,
    stat: Stat,
    pub(super) items: Box<dyn Items>,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("path", &self.path)
            .field("items", &self.items.count())
            .finish_non_exhaustive()
    }
}

impl Container {
    /// Opens a container and reads what it says of its items; not the items themselves, unless they
    /// are packed as a whole.
    ///
    /// # Errors
    /// [`Error::Undecodable`] with the reason.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let kind =
                Kind::of(path.as_os_str().as_bytes()).ok_or("it is no container of images")?;
            let stat = stat_of_container(path).ok_or("it is no regular file")?;
            let (file, size) = open_regular(path)?;
            let items = match kind {
                Kind::Cifar10 => cifar::open(path, file, size, 1)?,
                Kind::Cifar100 => cifar::open(path, file, size, 2)?,
                Kind::Idx => idx::open(path, file, size)?,
                Kind::Cifar10Python | Kind::Cifar100Python => {
                    cifar::open_python(path, file, size, kind)?
                }
                Kind::Tar => {
                    return Ok(Self {
                        path: path.to_owned(),
                        stat,
                        items: Box::new(tar::open(file, size)?),
                    });
                }
                Kind::Parquet => {
                    return Ok(Self {
                        path: path.to_owned(),
                        stat,
                        items: Box::new(parquet::open(file, size)?),
                    });
                }
            };
            Ok(Self {
                path: path.to_owned(),
                stat,
                items: Box::new(items),
            })
        };
        open().map_err(Error::Undecodable)
    }

    /// How many items it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.count()
    }

    /// The name of an item, given by its number; the path of the item is that of the container, `#`
    /// and this.
    #[must_use]
    pub fn name(&self, item: usize) -> Vec<u8> {
        self.items.name(item)
    }

    /// What the file system said of the container and of the files that belong to it.
    #[must_use]
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// Whether container and files that belong to it are as they were when it was opened.
    #[must_use]
    pub fn is_as_it_was(&self) -> bool {
        stat_of_container(&self.path) == Some(self.stat)
    }

    /// The label and the split of an item, whose path is given from the root of the dataset: the
    /// first folder may tell the split, else the name of the container, else the first folder in
    /// it.
    #[must_use]
    pub fn told(&self, item: usize, path: &[u8]) -> (Option<Label>, Option<Split>) {
        let (container, name) = split_item(path).unwrap_or((path, b""));
        let split = split_of(container)
            .or_else(|| split_of_name(container))
            .or_else(|| split_of(name));
        (self.items.label(item).map(Label::from), split)
    }

    /// Reads an item: the bytes of an image file.
    ///
    /// # Errors
    /// [`Error::Undecodable`] with the reason.
    pub fn read(&self, item: usize, limits: &Limits, buffer: &mut Buffer) -> Result<()> {
        let within = |size: u64| {
            limits
                .refuse_file(size)
                .map_or(Ok(()), |reason| Err(Error::Undecodable(reason)))
        };
        let size = self.items.size(item);
        within(size).inspect_err(|_| buffer.make_room(0))?;
        buffer.make_room(size);
        self.items
            .read(item, &mut buffer.bytes)
            .map_err(Error::Undecodable)?;
        within(buffer.bytes.len() as u64)
    }
}

/// Reads images, which are files or items of containers. The containers that were used last stay
/// open.
#[derive(Debug, Default)]
pub struct Images {
    open: Mutex<VecDeque<Arc<Container>>>,
}

impl Images {
    /// Reads the image at a path into `buffer`: a file, or else an item of a container. Gives what
    /// the file system says of the file.
    ///
    /// # Errors
    /// [`Error::Undecodable`] with the reason.
    pub fn read(&self, path: &Path, limits: &Limits, buffer: &mut Buffer) -> Result<Stat> {
        if let Some((container, item)) = self.item(path)? {
            container.read(item, limits, buffer)?;
            return Ok(container.stat);
        }
        if is_container(path) {
            let (count, name) = (
                self.container(path)?.count(),
                path.file_name().unwrap_or_default().to_string_lossy(),
            );
            return Err(Error::Undecodable(format!(
                "it holds {count} images; name one of them as `{name}#item`"
            )));
        }
        read_image(path, limits, buffer)
    }

    /// The label and split that a container tells of an item, whose path is also given from the
    /// root of the dataset; `None` for a file, and where the item cannot be read.
    pub fn told(&self, path: &Path, relative: &[u8]) -> Option<(Option<Label>, Option<Split>)> {
        let (container, item) = self.item(path).ok()??;
        Some(container.told(item, relative))
    }

    /// The paths of all items of a container, which itself is at `path`.
    ///
    /// # Errors
    /// As [`Container::open`].
    pub fn items(&self, path: &Path) -> Result<Vec<Vec<u8>>> {
        let container = self.container(path)?;
        Ok((0..container.count())
            .map(|item| container.name(item))
            .collect())
    }

    fn item(&self, path: &Path) -> Result<Option<(Arc<Container>, usize)>> {
        let Some(file) = container_of(path) else {
            return Ok(None);
        };
        let container = self.container(file)?;
        let name = path
            .as_os_str()
            .as_bytes()
            .get(file.as_os_str().len() + 1..)
            .unwrap_or_default();
        match container.items.find(name) {
            Some(item) => Ok(Some((container, item))),
            None => {
                let count = container.count();
                let first = if count > 0 {
                    container.name(0)
                } else {
                    Vec::new()
                };
                let first = String::from_utf8_lossy(&first).into_owned();
                Err(Error::Undecodable(format!(
                    "there is no such item; the container has {count}, the first is `{first}`"
                )))
            }
        }
    }

    fn container(&self, path: &Path) -> Result<Arc<Container>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.iter().find(|container| container.path == path) {
            return Ok(Arc::clone(known));
        }
        let container = Arc::new(Container::open(path)?);
        open.push_back(Arc::clone(&container));
        if open.len() > KEPT {
            open.pop_front();
        }
        Ok(container)
    }
}

/// What the file system says of a container and the files that say what is in it, taken together:
/// it differs when any of them does.
pub fn stat_of_container(path: &Path) -> Option<Stat> {
    let stat = |path: &Path| {
        path.symlink_metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|meta| to_stat(&meta))
    };
    let own = stat(path)?;
    let beside = companions(path).into_iter().filter_map(|path| stat(&path));
    Some(beside.fold(own, |all, one| Stat {
        size: all.size.wrapping_add(one.size),
        mtime_ns: all.mtime_ns.max(one.mtime_ns),
        ctime_ns: all.ctime_ns.max(one.ctime_ns),
        inode: all.inode.wrapping_add(one.inode),
    }))
}

/// The files that say what is in a container, where they are.
fn companions(path: &Path) -> Vec<PathBuf> {
    match Kind::of(path.as_os_str().as_bytes()) {
        Some(Kind::Idx) => idx::label_files(path),
        Some(kind) => kind
            .names()
            .map(|name| path.with_file_name(name))
            .into_iter()
            .collect(),
        None => Vec::new(),
    }
}

/// Opens a regular file, through no symbolic link; gives its size.
pub(super) fn open_regular(path: &Path) -> std::result::Result<(File, u64), String> {
    match file::open_regular(path) {
        Ok((file, meta)) => Ok((file, meta.len())),
        Err(Problem::Kind(kind)) => Err(format!("it is {kind}")),
        Err(problem) => Err(problem.reason()),
    }
}

/// The text of a file beside a container; empty where there is none.
pub(super) fn text_beside(path: &Path, name: &str) -> std::result::Result<Vec<u8>, String> {
    let text =
        file::read_optional(&path.with_file_name(name), MOST_TEXT).map_err(|e| e.to_string())?;
    Ok(text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::check_count;

    #[test]
    fn a_small_file_does_not_hold_millions_of_images_and_any_file_may_have_one_for_each_sixteen_bytes()
     {
        assert!(
            check_count(3_000_000, 163_323)
                .unwrap_err()
                .contains("may have 110207")
        );
        check_count(60_000, 1).unwrap();
        check_count(2_000_000, 32_000_000).unwrap();
        assert!(check_count(20_000_000, u64::MAX).is_err());
    }
}
