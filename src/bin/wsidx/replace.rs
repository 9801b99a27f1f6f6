//! Bytes → a file, at once: whoever reads it sees the old file or the whole new one.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use wsidx::Error;

/// Writes a file beside the one that is to be, and moves it there. A file that is there is replaced and its permissions are kept; a symbolic
/// link stays, and what it leads to is replaced.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] where something other than a file is in the way.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |source| Error::Io { doing: "writing", path: path.to_owned(), source };
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let before = match fs::metadata(&target) {
        Ok(meta) if meta.is_file() => Some(meta.permissions()),
        Ok(_) => return Err(Error::Input(format!("{} is there and is no file", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(e)),
    };
    replace_name(&target, bytes, before)
}

/// The same, with these permissions if any; a symbolic link that has the name is itself replaced.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn replace_name(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> Result<(), Error> {
    let io = |source| Error::Io { doing: "writing", path: path.to_owned(), source };
    let beside = beside(path).ok_or_else(|| Error::Input(format!("{} is no name of a file", path.display())))?;
    let written = (|| {
        let mut file: File = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        file.write_all(bytes)?;
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&beside);
        io(e)
    })
}

/// A hidden name of this process's own, in the same folder.
fn beside(target: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name()?);
    name.push(format!(".{}.part", std::process::id()));
    Some(target.with_file_name(name))
}
