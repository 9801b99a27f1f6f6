//! The one error of the library, cut by what the caller does next.
//!
//! Every message says what was being done to what, and how to mend it. Mistakes of the calling *code* panic and are documented where they
//! can happen; whatever *data* can cause is one of these.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What went wrong, by what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One image cannot be read as a picture; nothing else is affected. The text is the reason.
    #[error("cannot be read as an image: {0}")]
    Undecodable(String),
    /// The operating system refused something.
    #[error("{doing} {}: {source}", path.display())]
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
    pub(crate) fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// A result whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
