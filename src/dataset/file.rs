//! A path → its bytes and what the file system says of it, whatever stands there.

use std::{fs::Metadata, io::Read, os::unix::fs::MetadataExt, path::Path};

use crate::{
    Error, Result,
    file::{Problem, open_regular},
    picture::Limits,
    store::state::{ContentId, Stat},
};

/// The reason why a file that somebody writes to is not read.
pub const CHANGED_WHILE_READ: &str = "it changed while it was read; run sync again";

/// Reused from file to file.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The bytes of the last file that was read.
    pub bytes: Vec<u8>,
}

impl Buffer {
    /// The BLAKE3 hash of the bytes.
    pub fn id(&self) -> ContentId {
        *blake3::hash(&self.bytes).as_bytes()
    }
}

/// Reads a regular file into `buffer`. Symbolic links are not followed, a pipe does not hang, and a file over the limit is not read.
///
/// # Errors
/// [`Error::Undecodable`] with the reason.
pub fn read_image(path: &Path, limits: &Limits, buffer: &mut Buffer) -> Result<Stat> {
    let reason = |problem: Problem| Error::Undecodable(problem.reason());
    let (mut file, meta) = open_regular(path).map_err(reason)?;
    let stat = to_stat(&meta);
    if stat.size > limits.max_bytes {
        return Err(reason(Problem::TooLong { bytes: stat.size, limit: limits.max_bytes }));
    }
    buffer.bytes.clear();
    buffer.bytes.reserve_exact(stat.size as usize + 1);
    let read = file.by_ref().take(stat.size + 1).read_to_end(&mut buffer.bytes).map_err(|e| reason(Problem::System(e)))?;
    let after = file.metadata().map_err(|e| reason(Problem::System(e)))?;
    if read as u64 != stat.size || to_stat(&after) != stat {
        return Err(Error::Undecodable(CHANGED_WHILE_READ.into()));
    }
    Ok(stat)
}

pub(super) fn to_stat(meta: &Metadata) -> Stat {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stat {
        size: meta.len(),
        mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_no_regular_file_is_refused_by_name_and_does_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0).unwrap();
        let mut buffer = Buffer::default();
        let mut reason = |name: &str| read_image(&at(name), &Limits::default(), &mut buffer).unwrap_err().to_string();
        assert!(reason("link").ends_with("a symbolic link"), "{}", reason("link"));
        assert!(reason("pipe").ends_with("a named pipe"));
        assert!(reason(".").ends_with("a folder"));
        assert!(reason("nothing").ends_with("no such file or directory"));
    }

    #[test]
    fn bytes_and_stat_come_back_and_a_long_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"bytes").unwrap();
        let mut buffer = Buffer::default();
        let stat = read_image(&path, &Limits::default(), &mut buffer).unwrap();
        assert_eq!((stat.size, &*buffer.bytes), (5, &b"bytes"[..]));
        assert_eq!(buffer.id(), *blake3::hash(b"bytes").as_bytes());
        let limits = Limits { max_bytes: 4, ..Limits::default() };
        assert!(read_image(&path, &limits, &mut buffer).unwrap_err().to_string().contains("the limit is 4"));
    }
}
