//! An MD5 → its bytes, in the cache of DVC or in the work tree; only if they have that MD5.
//!
//! DVC 3 keeps an object at `files/md5/ab/cdef…`, DVC 2 kept it at `ab/cdef…`; the name of a
//! manifest ends in `.dir`. Where the cache is, `cache.dir` says, in the settings of the system, of
//! the user, of the repository and of the clone, the later the stronger.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use md5::{Digest as _, Md5 as Hasher};

use super::Md5;
use crate::{
    Error, Result,
    dataset::{Buffer, Unread, read_image, to_path},
    file::{LONGEST_SETTINGS, open_regular, read_named, read_optional},
    picture::Limits,
};

/// Where settings of DVC are outside a repository. The library does not read the environment, so
/// the program says it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The folders of the system and of the user, in this order.
    pub folders: Vec<PathBuf>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
}

/// The cache that a folder of a work tree uses, and the work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    top: PathBuf,
}

impl Cache {
    /// The cache for the file of DVC at `path` (relative to `top`, the top of the work tree): that
    /// of the nearest folder above it which has a folder `.dvc`. `None` where no folder has.
    ///
    /// # Errors
    /// [`Error::Input`] for settings that cannot be used.
    pub fn of(top: &Path, path: &[u8], settings: &Settings) -> Result<Option<Self>> {
        let file = to_path(top, path);
        let above = file
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(top));
        let Some(own) = above
            .map(|folder| folder.join(".dvc"))
            .find(|own| is_folder(own))
        else {
            return Ok(None);
        };
        let mut folder = own.join("cache");
        // Those of the system and of the user are theirs, and may be links to where they keep such
        // files.
        let outside = settings
            .folders
            .iter()
            .map(|folder| (folder.join("config"), true));
        let inside = [own.join("config"), own.join("config.local")].map(|file| (file, false));
        for (file, is_users) in outside.chain(inside) {
            let text = if !is_users {
                read_optional(&file, LONGEST_SETTINGS)?
            } else if file.exists() {
                Some(read_named(&file, LONGEST_SETTINGS)?)
            } else {
                None
            };
            let Some(text) = text else { continue };
            if let Some(dir) = cache_dir(&String::from_utf8_lossy(&text)) {
                folder = resolve(&file, dir, settings);
            }
        }
        Ok(Some(Self {
            folder,
            top: top.to_owned(),
        }))
    }

    /// Where an object is if the cache has it.
    pub fn place(&self, md5: &Md5, is_folder: bool, legacy: bool) -> PathBuf {
        let hex = data_encoding::HEXLOWER.encode(md5);
        let (two, rest) = hex.split_at(2);
        let base = if legacy {
            self.folder.clone()
        } else {
            self.folder.join("files/md5")
        };
        base.join(two)
            .join(format!("{rest}{}", if is_folder { ".dir" } else { "" }))
    }

    /// Opens a manifest; `None` where the cache has it not.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn manifest(&self, md5: &Md5, legacy: bool) -> Result<Option<File>> {
        for legacy in [legacy, !legacy] {
            let path = self.place(md5, true, legacy);
            match open_regular(&path) {
                Ok((file, _)) => return Ok(Some(file)),
                Err(problem) if problem.is_absent() => {}
                Err(problem) => return Err(problem.at(&path)),
            }
        }
        Ok(None)
    }

    /// Reads the bytes of a file into `buffer`: from the cache, or else from its place in the work
    /// tree (`path`, relative to the top).
    ///
    /// # Errors
    /// [`Unread::Missing`] with the command that fetches it, [`Unread::Unreadable`].
    pub fn read(
        &self,
        md5: &Md5,
        path: &[u8],
        limits: &Limits,
        buffer: &mut Buffer,
    ) -> std::result::Result<(), Unread> {
        for place in [self.place(md5, false, false), self.place(md5, false, true)] {
            match has(&place, md5, limits, buffer) {
                Found::Right => return Ok(()),
                Found::Wrong(reason) => {
                    return Err(Unread::Unreadable(format!(
                        "the object in the cache of DVC {reason}; fetch it again with `dvc fetch`"
                    )));
                }
                Found::Nothing => {}
            }
        }
        let plain = !has_links(&self.top, path);
        match has(&to_path(&self.top, path), md5, limits, buffer) {
            Found::Right if plain => Ok(()),
            _ => Err(Unread::Missing(
                "not in the cache of DVC nor in the work tree; fetch it with `dvc fetch`".into(),
            )),
        }
    }
}

/// Reads the bytes of a file into `buffer` from the first cache that has them, or from its place in
/// the work tree.
///
/// # Errors
/// As [`Cache::read`].
pub fn read_from(
    caches: &[Cache],
    md5: &Md5,
    path: &[u8],
    limits: &Limits,
    buffer: &mut Buffer,
) -> std::result::Result<(), Unread> {
    let mut read = Err(Unread::Missing(
        "DVC has no cache here; run `dvc fetch` where the repository is checked out".into(),
    ));
    for cache in caches {
        read = cache.read(md5, path, limits, buffer);
        if !matches!(read, Err(Unread::Missing(_))) {
            break;
        }
    }
    read
}

enum Found {
    Right,
    Wrong(String),
    Nothing,
}

fn has(path: &Path, md5: &Md5, limits: &Limits, buffer: &mut Buffer) -> Found {
    if fs::symlink_metadata(path).is_err() {
        return Found::Nothing;
    }
    match read_image(path, limits, buffer) {
        Ok(_) if Hasher::digest(&buffer.bytes).as_slice() == md5 => Found::Right,
        Ok(_) => Found::Wrong("does not have the MD5 that is its name".into()),
        Err(Error::Undecodable(reason)) => Found::Wrong(format!("cannot be read: {reason}")),
        Err(error) => Found::Wrong(error.to_string()),
    }
}

/// Whether a folder on the way to a file of the work tree is a symbolic link, which may lead
/// outside.
fn has_links(top: &Path, path: &[u8]) -> bool {
    let full = to_path(top, path);
    let mut folders = full.ancestors().skip(1).take_while(|folder| *folder != top);
    folders.any(|folder| fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_symlink()))
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// `dir` in the section `cache` of a file of settings, the last of several.
fn cache_dir(text: &str) -> Option<&str> {
    let (mut inside, mut found) = (false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.trim_matches(|c| "[]'\" ".contains(c)) == "cache";
        } else if let Some((key, value)) = line.split_once('=')
            && inside
            && key.trim() == "dir"
        {
            found = Some(value.trim().trim_matches(|c| "'\"".contains(c)))
                .filter(|dir| !dir.is_empty());
        }
    }
    found
}

fn resolve(file: &Path, dir: &str, settings: &Settings) -> PathBuf {
    match (dir.strip_prefix("~/"), &settings.home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => file.parent().unwrap_or(Path::new("")).join(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_strongest_setting_says_where_the_cache_is() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("repo");
        let user = folder.path().join("user");
        fs::create_dir_all(top.join("sub/.dvc")).unwrap();
        let settings = Settings {
            folders: vec![folder.path().join("none"), user.clone()],
            home: Some("/home-of-me".into()),
        };
        let cache = |path: &[u8]| {
            Cache::of(&top, path, &settings)
                .unwrap()
                .map(|cache| cache.folder)
        };
        assert_eq!(cache(b"x.dvc"), None);
        assert_eq!(cache(b"sub/a/x.dvc"), Some(top.join("sub/.dvc/cache")));
        write(
            &user.join("config"),
            b"[core]\n dir = no\n[cache]\n    dir = ~/c # x\n dir = ~/c\n",
        );
        assert_eq!(cache(b"sub/x.dvc"), Some("/home-of-me/c".into()));
        write(&top.join("sub/.dvc/config"), b"['remote \"a\"']\n url = y\n[cache]\n# dir = no\ndir = \"../shared\"\n[core]\ndir = no\n");
        assert_eq!(cache(b"sub/x.dvc"), Some(top.join("sub/.dvc/../shared")));
        write(&top.join("sub/.dvc/config.local"), b"[cache]\ndir = /big\n");
        assert_eq!(cache(b"sub/x.dvc"), Some("/big".into()));
    }

    #[test]
    fn bytes_are_given_only_under_their_own_name_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join(".dvc")).unwrap();
        let cache = Cache::of(&top, b"img.dvc", &Settings::default())
            .unwrap()
            .unwrap();
        let md5: Md5 = Hasher::digest(b"bytes").into();
        let mut buffer = Buffer::default();
        let mut read = || cache.read(&md5, b"img/a.png", &Limits::default(), &mut buffer);
        assert!(matches!(read(), Err(Unread::Missing(what)) if what.contains("dvc fetch")));
        write(&top.join("img/a.png"), b"other");
        assert!(matches!(read(), Err(Unread::Missing(_))));
        write(&top.join("img/a.png"), b"bytes");
        assert_eq!(read(), Ok(()));
        fs::rename(top.join("img"), top.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", top.join("img")).unwrap();
        assert!(matches!(read(), Err(Unread::Missing(_))));
        write(&cache.place(&md5, false, true), b"bytes");
        assert_eq!(read(), Ok(()));
        write(&cache.place(&md5, false, false), b"damaged");
        assert!(
            matches!(read(), Err(Unread::Unreadable(what)) if what.contains("does not have the MD5"))
        );
    }
}
