//! A path → its bytes and what the file system says of it, whatever stands there.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use crate::{
    Error, Result,
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
    let reason = |e: std::io::Error| Error::Undecodable(if e.raw_os_error() == Some(LOOP) { "a symbolic link".into() } else { plain(&e) });
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(reason)?;
    let stat = stat_of(&file, limits).map_err(Error::Undecodable)?;
    buffer.bytes.clear();
    buffer.bytes.reserve_exact(stat.size as usize + 1);
    let read = file.by_ref().take(stat.size + 1).read_to_end(&mut buffer.bytes).map_err(reason)?;
    if read as u64 != stat.size || stat_of(&file, limits).map_err(Error::Undecodable)? != stat {
        return Err(Error::Undecodable(CHANGED_WHILE_READ.into()));
    }
    Ok(stat)
}

/// Reads a small file of settings; `None` where there is none. Symbolic links are not followed, and a pipe does not hang.
///
/// # Errors
/// [`Error::Input`] for what is no regular file or is over 64 MiB, [`Error::Io`].
pub fn read_text(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut buffer = Buffer::default();
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    match read_image(path, &Limits { max_bytes: 64 << 20, ..Limits::default() }, &mut buffer) {
        Ok(_) => Ok(Some(buffer.bytes)),
        Err(Error::Undecodable(reason)) => Err(Error::Input(format!("{} cannot be read: {reason}", path.display()))),
        Err(other) => Err(other),
    }
}

const LOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();

/// What the system says, without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn stat_of(file: &File, limits: &Limits) -> std::result::Result<Stat, String> {
    let meta = file.metadata().map_err(|e| plain(&e))?;
    let kind = meta.file_type();
    if !kind.is_file() {
        return Err(describe(kind).into());
    }
    if let Some(reason) = limits.refuse_file(meta.len()) {
        return Err(reason);
    }
    Ok(to_stat(&meta))
}

pub(super) fn to_stat(meta: &std::fs::Metadata) -> Stat {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stat {
        size: meta.len(),
        mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
    }
}

/// What stands at a path that is no regular file.
pub(super) fn describe(kind: std::fs::FileType) -> &'static str {
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
