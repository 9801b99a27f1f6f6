//! A folder → the root of its dataset, and whether the index there may be believed.
//!
//! A clone or an archive must not be able to bring its own answers: an index is refused if it is a symbolic link, if another user owns it,
//! or if git tracks a file in it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{BARE_INDEX_FOLDER, INDEX_FOLDER, git};
use crate::{Error, Result};

/// The nearest folder from `start` upwards that holds an index. The search stops at the top of a git work tree and at the boundary of a file
/// system.
///
/// # Errors
/// [`Error::NoIndex`], [`Error::Io`] where `start` cannot be read.
pub fn find_root(start: &Path) -> Result<PathBuf> {
    let start = fs::canonicalize(start).map_err(Error::io("looking into", start))?;
    let device = |folder: &Path| fs::metadata(folder).map(|meta| meta.dev()).ok();
    let first = device(&start);
    for folder in start.ancestors() {
        if device(folder) != first {
            break;
        }
        if fs::symlink_metadata(index_folder(folder)).is_ok() {
            return Ok(folder.to_owned());
        }
        if fs::symlink_metadata(folder.join(".git")).is_ok() {
            break;
        }
    }
    Err(Error::NoIndex { from: start })
}

/// The folder of the index of a dataset, which may be in a bare repository.
pub fn index_folder(root: &Path) -> PathBuf {
    let bare = root.join("HEAD").is_file() && root.join("objects").is_dir() && root.join("refs").is_dir();
    root.join(if bare { BARE_INDEX_FOLDER } else { INDEX_FOLDER })
}

/// Whether the index in `root` may be believed.
///
/// # Errors
/// [`Error::Refused`] with the reason.
pub fn check_trust(root: &Path) -> Result<()> {
    let folder = index_folder(root);
    let refused = |why: &str| Err(Error::Refused(format!("{} {why}; remove it and run `wsidx init`", folder.display())));
    let meta = fs::symlink_metadata(&folder).map_err(Error::io("looking at", &folder))?;
    if meta.file_type().is_symlink() {
        return refused("is a symbolic link");
    }
    if !meta.is_dir() {
        return refused("is not a folder");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return refused(&format!("belongs to another user (number {})", meta.uid()));
    }
    for part in ["packs", "catalog", "view"] {
        if fs::symlink_metadata(folder.join(part)).is_ok_and(|meta| meta.file_type().is_symlink()) {
            return refused(&format!("has a symbolic link in place of its folder {part}"));
        }
    }
    match tracked_by_git(root) {
        true => refused("has files that git tracks: whoever made the repository made its answers"),
        false => Ok(()),
    }
}

/// Asks git, where there is a repository around the root; without git nothing can have been checked out by it here.
fn tracked_by_git(root: &Path) -> bool {
    if !root.ancestors().any(|folder| fs::symlink_metadata(folder.join(".git")).is_ok()) {
        return false;
    }
    let output = git::command(root, false).args(["ls-files", "-z", "--", INDEX_FOLDER]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| !output.stdout.is_empty())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(root: &Path, args: &[&str]) {
        let quiet = Command::new("git").arg("-C").arg(root).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(quiet.status.success(), "{}", String::from_utf8_lossy(&quiet.stderr));
    }

    #[test]
    fn the_search_goes_upwards_and_stops_at_the_top_of_a_work_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/a/b")).unwrap();
        fs::create_dir(root.join(INDEX_FOLDER)).unwrap();
        assert_eq!(find_root(&root.join("data/a/b")).unwrap(), root);
        fs::create_dir(root.join("data/.git")).unwrap();
        assert!(matches!(find_root(&root.join("data/a/b")), Err(Error::NoIndex { .. })));
        fs::create_dir(root.join("data").join(INDEX_FOLDER)).unwrap();
        assert_eq!(find_root(&root.join("data/a/b")).unwrap(), root.join("data"));
    }

    #[test]
    fn an_index_that_somebody_else_may_have_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        git(root, &["init", "-q"]);
        fs::create_dir(root.join(INDEX_FOLDER)).unwrap();
        fs::write(root.join(INDEX_FOLDER).join("format"), "x").unwrap();
        check_trust(root).unwrap();
        git(root, &["add", "-f", ".wsidx/format"]);
        assert!(check_trust(root).unwrap_err().to_string().contains("git tracks"));
        git(root, &["rm", "-q", "--cached", ".wsidx/format"]);
        std::os::unix::fs::symlink("/tmp", root.join(INDEX_FOLDER).join("view")).unwrap();
        assert!(check_trust(root).unwrap_err().to_string().contains("folder view"));
        fs::rename(root.join(INDEX_FOLDER), root.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", root.join(INDEX_FOLDER)).unwrap();
        assert!(check_trust(root).unwrap_err().to_string().contains("is a symbolic link"));
    }
}
