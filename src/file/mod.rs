//! The one door for files: what a repository or a dataset holds is read through here, and results
//! are written through here.
//!
//! Whoever makes a repository or an archive decides what stands under every name in it: a symbolic
//! link to a secret, a device without an end, a named pipe that nobody writes to. [`read_regular`]
//! reads regular files only, follows no link in the last part of a path, never waits for a pipe,
//! and takes no more memory than its limit. [`read_named`] is for the paths that the user typed,
//! where a link or a pipe is what was asked for. [`write()`] makes a whole new file and gives it
//! its name in one step, so nothing is ever written through a link, and nothing but the index is
//! written in the folder of an index. An [`Output`] is a file of results that the user named with
//! an option.

mod folder;
mod index_folder;
mod output;
mod text;
mod write;

use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};

pub use self::{
    folder::DraftFolder,
    index_folder::{BARE_INDEX_FOLDER, INDEX_FOLDER, index_folder},
    output::{Content, IsInput, Output, refuse_in_index},
    text::{excerpt, shell_word, toml_problem},
    write::{Draft, draft, write, write_new},
};
use crate::{Error, Result};

/// Bytes of a file of settings, at most.
pub const LONGEST_SETTINGS: u64 = 1 << 20;

/// Bytes of a file of exceptions, at most: a baseline of half a million pairs.
pub const LONGEST_EXCEPTIONS: u64 = 64 << 20;

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Something other than a regular file has the name.
    Kind(&'static str),
    /// It has more bytes than the limit.
    TooLong { bytes: u64, limit: u64 },
    /// The system refused.
    System(io::Error),
}

impl Problem {
    fn of_open(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) if code == Errno::LOOP.raw_os_error() => Self::Kind("a symbolic link"),
            // A socket cannot be opened.
            Some(code) if code == Errno::NXIO.raw_os_error() => Self::Kind("a socket"),
            _ => Self::System(error),
        }
    }

    /// There is nothing of that name.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::System(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }

    /// In a few words, without the name of the file.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Kind(kind) => (*kind).to_owned(),
            Self::TooLong { bytes, limit } => format!("{bytes} bytes; the limit is {limit}"),
            Self::System(error) => plain(error),
        }
    }

    /// With the name of the file and what mends it.
    pub(crate) fn at(self, path: &Path) -> Error {
        let name = path.display();
        match self {
            Self::Kind(kind) => Error::Input(format!(
                "{name} is {kind}; put a regular file there, or remove it"
            )),
            Self::TooLong { bytes, limit } => Error::Input(format!(
                "{name} has {bytes} bytes, and at most {limit} are read; make it shorter, or remove it"
            )),
            Self::System(source) => Error::io("reading", path)(source),
        }
    }
}

/// Opens a regular file to read it. A link is not followed, and a pipe or a device is not waited
/// for.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), Problem> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(Problem::of_open)?;
    let meta = file.metadata().map_err(Problem::System)?;
    if meta.is_file() {
        Ok((file, meta))
    } else {
        Err(Problem::Kind(describe(meta.file_type())))
    }
}

/// Opens a regular file that the user named, perhaps by a symbolic link.
pub(crate) fn open_named(path: &Path) -> Result<(File, Metadata), Problem> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(Problem::System)?;
    let meta = file.metadata().map_err(Problem::System)?;
    if meta.is_file() {
        Ok((file, meta))
    } else {
        Err(Problem::Kind(describe(meta.file_type())))
    }
}

/// The bytes of a regular file of at most `limit` bytes.
pub(crate) fn bytes_of(path: &Path, limit: u64) -> Result<Vec<u8>, Problem> {
    let (mut file, meta) = open_regular(path)?;
    bounded(&mut file, meta.len(), limit)
}

/// Reads to the end, which must come within the limit; `expected` bytes are what the system says of
/// the file.
fn bounded(source: &mut dyn Read, expected: u64, limit: u64) -> Result<Vec<u8>, Problem> {
    if expected > limit {
        return Err(Problem::TooLong {
            bytes: expected,
            limit,
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).saturating_add(1));
    source
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Problem::System)?;
    // The file may have grown since its size was read, or it has no end.
    let bytes_read = bytes.len() as u64;
    if bytes_read > limit {
        return Err(Problem::TooLong {
            bytes: bytes_read,
            limit,
        });
    }
    Ok(bytes)
}

/// Reads a regular file of at most `max_bytes` bytes that a repository or a dataset holds. Symbolic
/// links are not followed, and neither a pipe nor a device is waited for.
///
/// # Errors
/// [`Error::Input`] for what is no regular file and for one over the limit, with what mends it;
/// [`Error::Io`].
pub fn read_regular(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    bytes_of(path, max_bytes).map_err(|problem| problem.at(path))
}

/// The same; `None` where there is nothing of that name.
///
/// # Errors
/// As [`read_regular`].
pub fn read_optional(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    match bytes_of(path, max_bytes) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(problem) if problem.is_absent() => Ok(None),
        Err(problem) => Err(problem.at(path)),
    }
}

/// Reads at most `max_bytes` bytes of what the user named, on the command line or in the
/// environment: links are followed, and a pipe is read to its end. Not for names that a repository
/// chooses.
///
/// # Errors
/// [`Error::Input`] for what has more bytes, [`Error::Io`].
pub fn read_named(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let mut file = File::open(path).map_err(Error::io("reading", path))?;
    // What is no regular file has no length beforehand.
    let expected = file
        .metadata()
        .map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
    bounded(&mut file, expected, max_bytes).map_err(|problem| problem.at(path))
}

/// Reads a stream to its end, which must come within `max_bytes` bytes; `name` is for the error.
///
/// # Errors
/// [`Error::Input`] for what is longer, [`Error::Io`].
pub fn read_stream(stream: &mut dyn Read, name: &str, max_bytes: u64) -> Result<Vec<u8>> {
    bounded(stream, 0, max_bytes).map_err(|problem| problem.at(Path::new(name)))
}

/// Opens a folder as a handle. The last part of the path is not followed if it is a symbolic link.
///
/// # Errors
/// Those of the system.
pub fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Writes a new file where it stands, and not durably: for a folder that is a [`DraftFolder`].
/// `false` where something has the name.
///
/// # Errors
/// [`Error::Io`].
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file
            .write_all(bytes)
            .map(|()| true)
            .map_err(Error::io("writing", path)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::io("writing", path)(e)),
    }
}

/// Copies a regular file to a new one with the same permissions.
///
/// # Errors
/// [`Error::Input`] where `from` is no regular file, [`Error::Io`], also where something has the
/// name `to`.
pub fn copy_new(from: &Path, to: &Path) -> Result<()> {
    let (mut source, meta) = open_regular(from).map_err(|problem| problem.at(from))?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .map_err(Error::io("writing", to))?;
    io::copy(&mut source, &mut target)
        .and_then(|_| target.set_permissions(meta.permissions()))
        .map_err(Error::io("copying", from))
}

/// What the system says, without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// What stands at a path that is no regular file.
pub(crate) fn describe(kind: FileType) -> &'static str {
    match kind {
        k if k.is_symlink() => "a symbolic link",
        k if k.is_fifo() => "a named pipe",
        k if k.is_dir() => "a folder",
        k if k.is_socket() => "a socket",
        k if k.is_block_device() || k.is_char_device() => "a device",
        _ => "no regular file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_regular_files_within_the_limit_are_read_and_the_error_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        assert_eq!(read_regular(&at("file"), 5).unwrap(), b"bytes");
        assert_eq!(read_optional(&at("nothing"), 5).unwrap(), None);
        let refused = |name: &str, max: u64| read_optional(&at(name), max).unwrap_err().to_string();
        for (name, kind) in [
            ("link", "a symbolic link"),
            ("zero", "a symbolic link"),
            ("pipe", "a named pipe"),
            (".", "a folder"),
            ("socket", "a socket"),
        ] {
            let told = refused(name, 100);
            assert!(
                told.ends_with(&format!(
                    " is {kind}; put a regular file there, or remove it"
                )),
                "{told}"
            );
        }
        assert!(
            refused("file", 4).ends_with(
                "file has 5 bytes, and at most 4 are read; make it shorter, or remove it"
            )
        );
        assert!(
            read_regular(Path::new("/dev/zero"), 4)
                .unwrap_err()
                .to_string()
                .contains("is a device")
        );
    }

    #[test]
    fn what_the_user_named_may_be_a_link_and_is_bounded_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        assert_eq!(read_named(&at("link"), 5).unwrap(), b"bytes");
        assert!(
            read_named(Path::new("/dev/zero"), 1 << 16)
                .unwrap_err()
                .to_string()
                .contains("at most 65536 are read")
        );
        assert_eq!(open_named(&at("link")).unwrap().1.len(), 5);
        assert!(matches!(
            open_named(Path::new("/dev/zero")),
            Err(Problem::Kind("a device"))
        ));
    }

    #[test]
    fn a_copy_is_a_new_file_and_never_one_of_what_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        copy_new(&at("file"), &at("copy")).unwrap();
        assert_eq!(fs::read(at("copy")).unwrap(), b"bytes");
        assert!(copy_new(&at("file"), &at("copy")).is_err());
        assert!(
            copy_new(&at("link"), &at("other"))
                .unwrap_err()
                .to_string()
                .contains("a symbolic link")
        );
        assert!(fs::symlink_metadata(at("other")).is_err());
    }
}
