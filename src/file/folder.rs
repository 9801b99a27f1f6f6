//! A folder that is filled under a hidden name, and gets its own when all is in it: whole, or not
//! at all.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    open_folder,
    output::refuse_in_index,
    write::{NAMES, part_name},
};
use crate::{Error, Result};

/// A folder that is being filled. It goes, with all that is in it, when this is dropped; one whose
/// process died goes when the next is made for the same target.
#[derive(Debug)]
pub struct DraftFolder {
    target: PathBuf,
    part: PathBuf,
    /// Held for as long as the folder is filled.
    _lock: File,
    named: bool,
}

impl DraftFolder {
    /// Makes it, beside the target.
    ///
    /// # Errors
    /// [`Error::Input`] where something has the name of the target, or it is in the folder of an
    /// index; [`Error::Io`].
    pub fn new(target: &Path) -> Result<Self> {
        if fs::symlink_metadata(target).is_ok() {
            return Err(Error::Input(format!(
                "{} is there already; name a folder that is not",
                target.display()
            )));
        }
        refuse_in_index(target)?;
        let name = target
            .file_name()
            .ok_or_else(|| Error::Input(format!("{} is no name of a folder", target.display())))?;
        for number in 0..NAMES {
            let part = target.with_file_name(part_name(name, number));
            for _ in 0..2 {
                match locked(&part) {
                    Ok(Some(lock)) => {
                        return Ok(Self {
                            target: target.to_owned(),
                            part,
                            _lock: lock,
                            named: false,
                        });
                    }
                    Ok(None) if remove_left_over(&part) => {}
                    Ok(None) => break,
                    Err(e) => return Err(Error::io("making the folder", &part)(e)),
                }
            }
        }
        let taken = part_name(name, 0);
        Err(Error::Input(format!(
            "{NAMES} names beside {} like {} are taken; remove those",
            target.display(),
            taken.display()
        )))
    }

    /// Where it is while it is filled.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(mut self) -> Result<()> {
        fs::rename(&self.part, &self.target)
            .map_err(Error::io("moving the new folder to", &self.target))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for DraftFolder {
    fn drop(&mut self) {
        if !self.named {
            let _ = fs::remove_dir_all(&self.part);
        }
    }
}

/// Makes a folder and locks it; `None` where the name is taken.
fn locked(part: &Path) -> io::Result<Option<File>> {
    match fs::create_dir(part) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    let Ok(folder) = open_folder(part) else {
        return Ok(None);
    };
    // Another process may have taken it for a left-over before it was locked.
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        _ => Ok(is_at(&folder, part).then_some(folder)),
    }
}

fn is_at(folder: &File, path: &Path) -> bool {
    let id = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    matches!((folder.metadata(), fs::symlink_metadata(path)), (Ok(own), Ok(named)) if id(&own) == id(&named))
}

/// Removes a folder that one of our processes began to fill, and died. Whether one did, the lock
/// tells.
fn remove_left_over(part: &Path) -> bool {
    let Ok(folder) = open_folder(part) else {
        return false;
    };
    folder
        .metadata()
        .is_ok_and(|meta| meta.uid() == rustix::process::geteuid().as_raw())
        && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        && is_at(&folder, part)
        && fs::remove_dir_all(part).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_whole_or_not_at_all_and_one_of_a_dead_process_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, part) = (
            folder.path().join("out"),
            folder.path().join(".out.wsidx-part"),
        );
        let draft = DraftFolder::new(&target).unwrap();
        fs::write(draft.path().join("a"), b"a").unwrap();
        assert_eq!(draft.path(), part);
        assert_ne!(
            DraftFolder::new(&target).unwrap().path(),
            part,
            "the writer of the other lives"
        );
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::create_dir(&part).unwrap();
        fs::write(part.join("left-over"), b"").unwrap();
        let draft = DraftFolder::new(&target).unwrap();
        fs::write(draft.path().join("b"), b"b").unwrap();
        draft.create().unwrap();
        assert_eq!(
            (
                fs::read_dir(folder.path()).unwrap().count(),
                fs::read_dir(&target).unwrap().count()
            ),
            (1, 1)
        );
        assert!(
            DraftFolder::new(&target)
                .unwrap_err()
                .to_string()
                .contains("is there already")
        );
    }
}
