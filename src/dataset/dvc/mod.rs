//! Files of DVC in a version of the tree → the images that DVC keeps for it, each by the MD5 of its
//! bytes; and those bytes, where they are here.
//!
//! `*.dvc` files and `dvc.lock` name outputs (`outs`); an output that is a folder is a manifest in
//! DVC's cache (`manifest`), and all of them together are the files of the version (`files`). Bytes
//! come from the cache (`cache`) or from the work tree, and only if their MD5 is right. The forms
//! are those of DVC 3 (`dvc/schema.py`, `dvc_data/hashfile/tree.py`, `dvc/cachemgr.py`) and of the
//! caches of DVC 2.
//!
//! All of it comes out of a repository that anybody may have written: texts are bounded, and a path
//! that leads outside is refused by name.

mod cache;
mod files;
mod manifest;
mod outs;
mod version;

pub use cache::{Cache, Settings, read_from};
pub use files::{Files, expand, is_dvc_file};
pub use manifest::read_manifest;
pub use outs::{Hash, Out, parse_dvc, parse_lock, parse_wdirs};
pub use version::Kept;

use crate::{Error, Result};

/// The MD5 of a file: DVC's name for it.
pub type Md5 = [u8; 16];

/// The MD5 that 32 hexadecimal digits stand for.
fn md5(text: &str) -> Option<Md5> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

/// `base` and then `path`, without `.` and `..`; both relative to the top of the repository.
///
/// # Errors
/// [`Error::Input`] for what leads outside, is absolute, or holds a zero byte; `whose` is the file
/// that says so.
fn join(base: &[u8], path: &str, whose: &[u8]) -> Result<Vec<u8>> {
    let refused = || {
        let (path, whose) = (path.escape_debug(), String::from_utf8_lossy(whose));
        Error::Input(format!(
            "{}: the path `{path}` leads outside the repository",
            whose.escape_debug()
        ))
    };
    if path.starts_with('/') || path.contains('\0') {
        return Err(refused());
    }
    let mut parts: Vec<&[u8]> = base
        .split(|&b| b == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(refused)?),
            part => parts.push(part.as_bytes()),
        }
    }
    Ok(parts.join(&b'/'))
}

/// The folder of a path.
fn folder(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|&b| b == b'/')
        .map_or(b"", |slash| &path[..slash])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_without_leaving_the_repository() {
        let joined = |base: &[u8], path| {
            join(base, path, b"x.dvc").map(|path| String::from_utf8(path).unwrap())
        };
        assert_eq!(joined(b"a/b", "../c/./d").unwrap(), "a/c/d");
        assert_eq!(joined(b"", "img").unwrap(), "img");
        assert_eq!(joined(b"a", "..").unwrap(), "");
        for path in ["../..", "/etc", "a\0b", "b/../../../x"] {
            assert!(
                joined(b"a", path)
                    .unwrap_err()
                    .to_string()
                    .starts_with("x.dvc: the path `"),
                "{path}"
            );
        }
    }
}
