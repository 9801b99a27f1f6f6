//! Paths as a user gives them ⇄ paths of the dataset.

use std::{
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use wsidx::{
    Error, Result,
    dataset::{self, Images, Listing, container_of, is_container, to_path, to_relative},
    file::{Content, Output, read_named, read_stream},
    index::CheckItem,
};

use crate::progress::Interrupt;

/// An absolute path whose folders are free of symbolic links; the last part is left as it is, and
/// need not exist.
fn absolute(path: &Path) -> Result<PathBuf> {
    let io = |source| Error::Io {
        doing: "looking at",
        path: path.to_owned(),
        source,
    };
    let full = std::path::absolute(path).map_err(io)?;
    if path.file_name().is_none() {
        return fs::canonicalize(&full).map_err(io);
    }
    let (mut folder, mut rest) = (full.as_path(), Vec::new());
    while let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) {
        rest.push(name);
        folder = parent;
        if let Ok(real) = fs::canonicalize(folder) {
            return Ok(rest.iter().rev().fold(real, |path, name| path.join(name)));
        }
    }
    Ok(full)
}

/// A path of the dataset, relative to its root.
pub(crate) fn inside(root: &Path, path: &Path) -> Result<Vec<u8>> {
    let full = absolute(path)?;
    to_relative(root, &full).ok_or_else(|| {
        Error::Input(format!(
            "{} is not in the dataset, whose root is {}",
            path.display(),
            root.display()
        ))
    })
}

/// The file that the user named with an option for a result, if there is one; checked before
/// anything is computed.
pub(crate) fn output(
    option: &'static str,
    file: Option<&Path>,
    content: Content,
) -> Result<Option<Output>> {
    file.map(|file| Output::new(option, file, content, dataset::input_at))
        .transpose()
}

/// Files as they are given, folders and containers as the images in them.
pub(crate) fn check_items(
    root: &Path,
    paths: &[PathBuf],
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<CheckItem>> {
    let mut items = Vec::new();
    for path in paths {
        let looked = fs::symlink_metadata(path).map_err(|source| Error::Io {
            doing: "looking at",
            path: path.clone(),
            source,
        });
        let is_dir = if container_of(path).is_some() {
            false
        } else {
            looked?.is_dir()
        };
        let full = absolute(path)?;
        let relative = to_relative(root, &full);
        match (is_dir, relative) {
            (false, Some(relative)) if !is_container(&full) => items.push(CheckItem {
                file: full,
                path: relative.into(),
                inside: true,
            }),
            (false, None) if !is_container(&full) => {
                items.push(CheckItem {
                    file: full,
                    path: path.as_os_str().as_bytes().into(),
                    inside: false,
                });
            }
            (_, Some(relative)) => {
                let paths = images_in(root, dataset::list(root, &relative, cancelled)?);
                items.extend(paths.into_iter().map(|path| CheckItem {
                    file: to_path(root, &path),
                    path: path.into(),
                    inside: true,
                }));
            }
            (_, None) => {
                let (folder, scope) = if is_dir {
                    (&*full, &b""[..])
                } else {
                    folder_and_name(&full)
                };
                let given = if is_dir {
                    path
                } else {
                    path.parent().unwrap_or(path)
                };
                let paths = images_in(folder, dataset::list(folder, scope, cancelled)?);
                let shown = |relative: &[u8]| to_path(given, relative).into_os_string().into_vec();
                items.extend(paths.into_iter().map(|path| CheckItem {
                    file: to_path(folder, &path),
                    path: shown(&path).into(),
                    inside: false,
                }));
            }
        }
    }
    Ok(items)
}

fn folder_and_name(path: &Path) -> (&Path, &[u8]) {
    (
        path.parent().unwrap_or(path),
        path.file_name().map_or(&[][..], |name| name.as_bytes()),
    )
}

/// The paths of files, and of items of containers; a container that cannot be opened stands for
/// itself.
fn images_in(root: &Path, listing: Listing) -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = listing
        .files
        .into_iter()
        .map(|file| file.path.to_vec())
        .collect();
    for container in listing.containers {
        match Images::default().items(&to_path(root, &container.path)) {
            Ok(items) => paths.extend(
                items
                    .iter()
                    .map(|item| [&container.path, &b"#"[..], item].concat()),
            ),
            Err(_) => paths.push(container.path.to_vec()),
        }
    }
    paths
}

/// Bytes of a list of paths.
const LONGEST_LIST: u64 = 1 << 30;

/// How often a read that may wait for ever looks whether the user wants the end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Reads what may be a pipe that is never written to, on a thread of its own: a read, and even
/// opening a pipe, cannot be interrupted. The thread ends with the process.
///
/// # Errors
/// [`Error::Interrupted`], and those of `read`.
pub(crate) fn read_unless_interrupted(
    interrupt: &Interrupt,
    read: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
) -> Result<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(read()));
    loop {
        match receiver.recv_timeout(LOOK_EVERY) {
            Ok(read) => return read,
            Err(RecvTimeoutError::Timeout) if !interrupt.is_set() => {}
            Err(_) => return Err(Error::Interrupted),
        }
    }
}

/// All of standard input, of at most `max_bytes` bytes.
pub(crate) fn standard_input(interrupt: &Interrupt, max_bytes: u64) -> Result<Vec<u8>> {
    read_unless_interrupted(interrupt, move || {
        read_stream(&mut std::io::stdin(), "standard input", max_bytes)
    })
}

/// A file that the user named, of at most `max_bytes` bytes, perhaps a pipe.
pub(crate) fn named_file(interrupt: &Interrupt, file: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let file = file.to_owned();
    read_unless_interrupted(interrupt, move || read_named(&file, max_bytes))
}

/// The paths in a file, or in standard input for `-`; one a line, or ended by NUL.
pub(crate) fn paths_from(interrupt: &Interrupt, file: &Path, nul: bool) -> Result<Vec<PathBuf>> {
    let bytes = if file == Path::new("-") {
        standard_input(interrupt, LONGEST_LIST)?
    } else {
        named_file(interrupt, file, LONGEST_LIST)?
    };
    let separator = if nul { 0 } else { b'\n' };
    let names = bytes
        .split(|&b| b == separator)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        .collect())
}

/// The top of the repository around the root of a dataset; the root itself where there is none.
pub(crate) fn top(root: &Path) -> PathBuf {
    let top = root
        .ancestors()
        .find(|folder| fs::symlink_metadata(folder.join(".git")).is_ok());
    top.unwrap_or(root).to_owned()
}

/// A path as the check names it (relative to the root of the dataset, or as the user gave it) →
/// relative to the top of the repository; absolute where it is outside.
pub(crate) fn from_top(top: &Path, root: &Path, path: &[u8]) -> Vec<u8> {
    let inside = to_path(root, path);
    let full = match std::path::absolute(to_path(Path::new(""), path)) {
        Ok(given)
            if fs::symlink_metadata(&inside).is_err() && fs::symlink_metadata(&given).is_ok() =>
        {
            absolute(&given).unwrap_or(given)
        }
        _ => inside,
    };
    full.strip_prefix(top)
        .unwrap_or(&full)
        .as_os_str()
        .as_bytes()
        .to_vec()
}
