//! A folder → the root of its dataset, and whether the index there may be believed.
//!
//! A clone or an archive must not be able to bring its own answers, nor to lead what is written
//! elsewhere: an index is refused if git tracks a file in it, and if anything in it is a link, a
//! device or a pipe, has another name elsewhere, or belongs to another user. What cannot be checked
//! is not believed. Whether this user made it is told by [`super::origin`].

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt},
    },
    path::{Path, PathBuf},
};

use super::{NEW_INDEX, OLD_INDEX, REBUILD_FOLDER, git, index_folder};
use crate::{Error, Result, file::shell_word};

/// The nearest folder from `start` upwards that holds an index. The search stops at the top of a
/// git work tree and at the boundary of a file system.
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
        if fs::symlink_metadata(index_folder(folder)).is_ok() || is_interrupted(folder) {
            return Ok(folder.to_owned());
        }
        if fs::symlink_metadata(folder.join(".git")).is_ok() {
            break;
        }
    }
    Err(Error::NoIndex { from: start })
}

/// Whether the index in `root` was moved aside by a process that was killed before it put the new
/// one in its place. The new one is whole.
pub fn is_interrupted(root: &Path) -> bool {
    let is_folder = |name: &str| {
        fs::symlink_metadata(root.join(REBUILD_FOLDER).join(name)).is_ok_and(|meta| meta.is_dir())
    };
    let is_gone = fs::symlink_metadata(index_folder(root))
        .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    is_gone && is_folder(OLD_INDEX) && is_folder(NEW_INDEX)
}

/// Whether the index in `root` may be believed, and written to.
///
/// # Errors
/// [`Error::Refused`] with the reason and the way out.
pub fn check_trust(root: &Path) -> Result<()> {
    let folder = index_folder(root);
    let meta = fs::symlink_metadata(&folder).map_err(Error::io("looking at", &folder))?;
    if meta.file_type().is_symlink() || !meta.is_dir() {
        let is = if meta.file_type().is_symlink() {
            "is a symbolic link"
        } else {
            "is not a folder"
        };
        return refused(&folder, is, "move it away and run `wsidx sync --init`");
    }
    check_owner(&folder, &meta)?;
    check_entries(&folder)?;
    check_tracked(root, &folder)
}

fn refused(path: &Path, why: &str, way_out: &str) -> Result<()> {
    Err(Error::Refused(format!(
        "{} {why}; {way_out}",
        path.display()
    )))
}

fn check_owner(path: &Path, meta: &fs::Metadata) -> Result<()> {
    if meta.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    refused(
        path,
        &format!("belongs to another user (number {})", meta.uid()),
        "run wsidx as that user, or on a copy of the dataset",
    )
}

/// Every file of an index is a file of its own that belongs to this user: nothing in it leads
/// elsewhere.
fn check_entries(folder: &Path) -> Result<()> {
    let own = "remove it and run `wsidx rebuild`";
    for entry in fs::read_dir(folder).map_err(Error::io("reading", folder))? {
        let path = entry.map_err(Error::io("reading", folder))?.path();
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            // The writer removes what nothing names any more.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("looking at", &path)(e)),
        };
        let kind = meta.file_type();
        if kind.is_symlink() {
            return refused(&path, "is a symbolic link", own);
        }
        check_owner(&path, &meta)?;
        if kind.is_dir() {
            check_entries(&path)?;
        } else if kind.is_file() {
            if meta.nlink() > 1 {
                let way_out = "give the index files of its own: copy its folder, and put the copy in its place";
                return refused(&path, "has another name elsewhere (a hard link)", way_out);
            }
        } else if !kind.is_socket() {
            return refused(&path, "is neither a file nor a folder", own);
        }
    }
    Ok(())
}

/// Asks every repository around the index whether it tracks a file in it; what cannot be asked is
/// not believed. Where there is none, nothing can have been checked out here.
fn check_tracked(root: &Path, folder: &Path) -> Result<()> {
    for top in root
        .ancestors()
        .filter(|folder| fs::symlink_metadata(folder.join(".git")).is_ok())
    {
        let below = folder.strip_prefix(top).map_err(|_| {
            Error::Refused(format!(
                "{} is not below {}",
                folder.display(),
                top.display()
            ))
        })?;
        let mut command = git::command(top, false);
        // A folder that is made to look like a repository brings its own configuration, which names
        // programs.
        command
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.bareRepository")
            .env("GIT_CONFIG_VALUE_0", "explicit");
        // File systems that do not tell upper case from lower have the index under either.
        command.env_remove("GIT_LITERAL_PATHSPECS").args([
            "--noglob-pathspecs",
            "--icase-pathspecs",
            "ls-files",
            "-z",
            "--",
        ]);
        let output = command.arg(Path::new(".").join(below)).output();
        let way_out = format!("mend what `git -C {} status` complains of", top.display());
        match output {
            Err(e) => {
                return refused(
                    folder,
                    &format!(
                        "may have come with the repository, and git cannot be run to tell: {e}"
                    ),
                    "install git",
                );
            }
            Ok(output) if !output.status.success() => {
                let words = String::from_utf8_lossy(&output.stderr);
                let words = words.trim().lines().next().unwrap_or("it failed");
                return refused(
                    folder,
                    &format!("may have come with the repository, and git cannot tell: {words}"),
                    &way_out,
                );
            }
            Ok(output) if !output.stdout.is_empty() => {
                let words = [top, &tracked_folder(&output.stdout, below), folder].map(shell_word);
                let [top, tracked, folder_word] = words;
                let way_out = format!(
                    "remove it from the repository with `git -C {top} rm -r --cached -- {tracked}`, delete it with `rm -r {folder_word}`, and run \
                     `wsidx sync --init`"
                );
                return refused(
                    folder,
                    "has files that git tracks: whoever made the repository made its answers",
                    &way_out,
                );
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The folder of the index as git has it, which may be written in other letters: of the first of
/// the paths that git lists.
fn tracked_folder(listed: &[u8], below: &Path) -> PathBuf {
    let first = listed.split(|&b| b == 0).next().unwrap_or_default();
    Path::new(OsStr::from_bytes(first))
        .components()
        .take(below.components().count())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::dataset::{BARE_INDEX_FOLDER, INDEX_FOLDER};

    fn git(root: &Path, args: &[&str]) {
        let quiet = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(
            quiet.status.success(),
            "{}",
            String::from_utf8_lossy(&quiet.stderr)
        );
    }

    #[test]
    fn the_search_goes_upwards_and_stops_at_the_top_of_a_work_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/a/b")).unwrap();
        fs::create_dir(root.join(INDEX_FOLDER)).unwrap();
        assert_eq!(find_root(&root.join("data/a/b")).unwrap(), root);
        fs::create_dir(root.join("data/.git")).unwrap();
        assert!(matches!(
            find_root(&root.join("data/a/b")),
            Err(Error::NoIndex { .. })
        ));
        fs::create_dir(root.join("data").join(INDEX_FOLDER)).unwrap();
        assert_eq!(
            find_root(&root.join("data/a/b")).unwrap(),
            root.join("data")
        );
    }

    /// A repository with an index in its root.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        git(&root, &["init", "-q"]);
        plant(&root.join(INDEX_FOLDER));
        (folder, root)
    }

    fn plant(index: &Path) {
        fs::create_dir_all(index.join("view")).unwrap();
        fs::write(index.join("format"), "x").unwrap();
    }

    fn why(root: &Path) -> String {
        check_trust(root).unwrap_err().to_string()
    }

    #[test]
    fn an_index_that_git_tracks_is_refused_in_whatever_folder_it_is() {
        let (_folder, root) = repository();
        check_trust(&root).unwrap();
        git(&root, &["add", "-f", ".wsidx/format"]);
        assert!(why(&root).contains("git tracks"));
        git(&root, &["rm", "-q", "--cached", ".wsidx/format"]);
        check_trust(&root).unwrap();
        // A folder that is made to look like a bare repository.
        let inner = root.join("Sub");
        ["objects", "refs"]
            .iter()
            .for_each(|name| fs::create_dir_all(inner.join(name)).unwrap());
        fs::write(inner.join("HEAD"), "ref: refs/heads/main").unwrap();
        plant(&inner.join(BARE_INDEX_FOLDER));
        assert_eq!(index_folder(&inner), inner.join(BARE_INDEX_FOLDER));
        check_trust(&inner).unwrap();
        git(&root, &["add", "-f", "Sub"]);
        assert!(why(&inner).contains("git tracks"));
        // The same beside a `.git`: it is a work tree.
        fs::create_dir(inner.join(".git")).unwrap();
        assert_eq!(index_folder(&inner), inner.join(INDEX_FOLDER));
    }

    #[test]
    fn every_repository_around_an_index_is_asked() {
        let (_folder, root) = repository();
        plant(&root.join("inner").join(INDEX_FOLDER));
        git(&root, &["add", "-f", "inner"]);
        git(&root.join("inner"), &["init", "-q"]);
        assert!(why(&root.join("inner")).contains("git tracks"));
    }

    #[test]
    fn an_index_of_which_git_cannot_tell_is_refused_with_the_words_of_git() {
        for (file, text, words) in [
            ("index", "no index", "index"),
            ("config", "[broken", "config"),
            ("HEAD", "", "not a git repository"),
        ] {
            let (_folder, root) = repository();
            git(&root, &["add", "-f", ".wsidx/format"]);
            fs::write(root.join(".git").join(file), text).unwrap();
            let why = why(&root);
            assert!(
                why.contains("git cannot tell") && why.contains(words) && why.contains("git -C"),
                "{why}"
            );
        }
    }

    #[test]
    fn an_index_with_anything_in_it_that_leads_elsewhere_is_refused() {
        let (folder, root) = repository();
        let index = root.join(INDEX_FOLDER);
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        for name in [
            "lock",
            "format",
            "view/manifest",
            "packs",
            "watch.sock",
            ".gitignore",
        ] {
            let link = index.join(name);
            let before = fs::read(&link).ok();
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&victim, &link).unwrap();
            assert!(why(&root).contains("is a symbolic link"), "{name}");
            fs::remove_file(&link).unwrap();
            fs::hard_link(&victim, &link).unwrap();
            assert!(why(&root).contains("hard link"), "{name}");
            fs::remove_file(&link).unwrap();
            before
                .into_iter()
                .for_each(|bytes| fs::write(&link, bytes).unwrap());
        }
        let pipe = index.join("view/pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(why(&root).contains("neither a file nor a folder"));
        fs::remove_file(&pipe).unwrap();
        check_trust(&root).unwrap();
        fs::rename(&index, root.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &index).unwrap();
        assert!(why(&root).contains("is a symbolic link"));
    }
}
