//! The one error of the library, cut by what the caller does next.
//!
//! Every message says what was being done to what, and how to mend it: by a command of wsidx where
//! the index is at fault, else by what the user can do about the system or the input. Mistakes of
//! the calling *code* panic and are documented where they can happen; whatever *data* can cause is
//! one of these.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// What went wrong, by what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One image cannot be read as a picture; nothing else is affected. The text is the reason.
    #[error("cannot be read as an image: {0}")]
    Undecodable(String),
    /// The operating system refused something.
    #[error("{doing} {}: {source}; {}", path.display(), remedy(source))]
    Io {
        /// What was being done, as a gerund: "reading".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no index at or above a folder.
    #[error("no wsidx index in {} or any folder above it; create one with `wsidx init`", from.display())]
    NoIndex {
        /// Where the search began.
        from: PathBuf,
    },
    /// There is an index already.
    #[error("{} is an index already; bring it up to date with `wsidx sync`", path.display())]
    AlreadyExists {
        /// The index folder.
        path: PathBuf,
    },
    /// Another process is writing to the index.
    #[error("the index is being written to by {holder}; try again when it is done, or pass --wait")]
    Locked {
        /// Who holds the lock: process id and command, as the holder wrote it.
        holder: String,
    },
    /// The index must not be trusted: somebody else may have made it.
    #[error("index refused: {0}")]
    Refused(String),
    /// The folder is not an index, or was written by another version of wsidx.
    #[error("{what}; {mend}")]
    Version {
        /// What was found, and what was expected.
        what: String,
        /// The command that mends it.
        mend: &'static str,
    },
    /// Stored bytes are not what was written.
    #[error("the index is damaged: {what}; {mend}")]
    Damaged {
        /// What is damaged, where.
        what: String,
        /// The command that mends it.
        mend: &'static str,
    },
    /// The user's arguments, settings or tables cannot be used.
    #[error("{0}")]
    Input(String),
    /// A numerical method met data that it cannot handle.
    #[error("{0}")]
    Numeric(String),
    /// The user asked to stop. What was acknowledged before is kept.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// An [`Error::Io`]; for use in `map_err`.
    pub(crate) fn io<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }

    /// The same for a file of an index: where the file itself is at fault, that is damage, which
    /// the command `mend` mends. A file that is not there stays an [`Error::Io`], since a writer
    /// may have replaced it at this moment.
    pub(crate) fn stored<'a>(
        doing: &'static str,
        path: &'a Path,
        mend: &'static str,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| {
            if is_at_fault(&source) {
                Self::Damaged {
                    what: format!("{doing} {}: {source}", path.display()),
                    mend,
                }
            } else {
                Self::io(doing, path)(source)
            }
        }
    }

    /// Itself; a file of an index that is not there is damage, which the command `mend` mends.
    pub(crate) fn or_missing(self, mend: &'static str) -> Self {
        match self {
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::Damaged {
                    what: format!("{} is not there", path.display()),
                    mend,
                }
            }
            other => other,
        }
    }
}

/// Whether a file is cut, is no regular file, or is a link: the system works, and what it holds is
/// wrong.
fn is_at_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, UnexpectedEof};
    let by_kind = matches!(
        error.kind(),
        UnexpectedEof | InvalidData | IsADirectory | NotADirectory
    );
    by_kind || matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NXIO))
}

/// What the user can do about an error of the system.
fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match Errno::from_io_error(error) {
        Some(Errno::IO | Errno::STALE | Errno::NODEV | Errno::REMOTEIO) => {
            return "the disk or the network failed: see the system log (`dmesg`), then run the command again";
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            return "close programs or raise the limit of open files (`ulimit -n`), then run the command again";
        }
        Some(Errno::LOOP) => {
            return "it is a symbolic link, which is not followed: put a file or folder in its place, then run the command again";
        }
        _ => {}
    }
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            "free some space, then run the command again"
        }
        Kind::PermissionDenied => {
            "give this user the right to it (see `ls -ld` of it and of its folder), then run the command again"
        }
        Kind::ReadOnlyFilesystem => "mount it for writing, then run the command again",
        Kind::NotFound => "see whether it is there under this name, then run the command again",
        Kind::AlreadyExists
        | Kind::NotADirectory
        | Kind::IsADirectory
        | Kind::DirectoryNotEmpty => "move away what has the name, then run the command again",
        Kind::UnexpectedEof | Kind::InvalidData | Kind::InvalidInput => {
            "see whether it is the file that it should be, then run the command again"
        }
        Kind::OutOfMemory => "free some memory, then run the command again",
        Kind::AddrInUse | Kind::AddrNotAvailable => {
            "name another address, or end the program that has it, then run the command again"
        }
        Kind::CrossesDevices => "name a place on the same file system, then run the command again",
        _ => "run the command again; if it fails again, the system log (`dmesg`) may say why",
    }
}

/// A result whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_system_says_what_the_user_can_do() {
        for code in 1..134 {
            let error = Error::io("reading", Path::new("x"))(io::Error::from_raw_os_error(code));
            assert!(
                error.to_string().contains("run the command again"),
                "{error}"
            );
        }
        let full =
            Error::io("writing", Path::new("x"))(io::Error::from_raw_os_error(28)).to_string();
        assert_eq!(
            full,
            "writing x: No space left on device (os error 28); free some space, then run the command again"
        );
    }

    #[test]
    fn a_file_of_the_index_that_is_at_fault_is_damage_and_a_failing_system_is_not() {
        let stored =
            |error: io::Error| Error::stored("reading", Path::new("x"), "run `wsidx sync`")(error);
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::InvalidData,
            io::ErrorKind::IsADirectory,
        ] {
            assert!(
                stored(kind.into())
                    .to_string()
                    .ends_with("run `wsidx sync`")
            );
        }
        for code in [5, 13, 24, 28] {
            assert!(
                matches!(stored(io::Error::from_raw_os_error(code)), Error::Io { .. }),
                "{code}"
            );
        }
        let missing = stored(io::ErrorKind::NotFound.into());
        assert!(matches!(&missing, Error::Io { .. }));
        assert_eq!(
            missing.or_missing("run `wsidx sync`").to_string(),
            "the index is damaged: x is not there; run `wsidx sync`"
        );
    }
}
