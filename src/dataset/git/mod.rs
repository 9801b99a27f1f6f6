//! git → what is staged or committed, read by child processes.
//!
//! Only git reads its index right: in the hook of `git commit -a` or of a partial commit it is
//! another file, which the environment names. So the children inherit the environment, run in the
//! top of the work tree, and get a few variables that keep them from locking, fetching, asking and
//! interpreting paths. Facts: githooks, git-worktree, git-cat-file, gitformat-index.

mod ci;
mod lfs;
mod objects;
mod pushed;
mod range;
mod raw;
mod texts;
mod version;

pub use ci::range_of_ci;
pub use lfs::{Pointer, pointer_text};
pub use pushed::{Received, parse_pre_push, parse_pre_receive};
pub use range::CommitRange;
pub use raw::{Entry, Listed, RawChange, parse_diff, parse_tree};
pub use version::Version;

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{ObjectFormat, Objects, VersionFile, VisitFile};
use crate::{Error, Result, picture::Limits, store::alias::Alias};

/// Variables that tie git to another repository than that of the folder it runs in (`git rev-parse
/// --local-env-vars`).
const LOCAL_VARIABLES: [&str; 9] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// What the environment of a hook says beside what git itself reads.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Commits that are being merged: the names `GITHEAD_<id>` while `MERGE_HEAD` does not exist
    /// yet (pre-merge-commit).
    pub merging: Vec<String>,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`, split.
    pub alternates: Vec<PathBuf>,
    /// Where settings of DVC are outside the repository.
    pub dvc: crate::dataset::dvc::Settings,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Where git runs: the top of the work tree, or the git folder of a bare repository.
    pub folder: PathBuf,
    /// The top of the work tree, where there is one.
    pub top: Option<PathBuf>,
    /// The git folder that all work trees share.
    pub common_dir: PathBuf,
    /// The hash of its objects.
    pub format: ObjectFormat,
    /// Whether its history is cut.
    pub shallow: bool,
    merge_head: PathBuf,
    hints: Hints,
    /// Whether the environment is that of this repository.
    inherit: bool,
}

impl Repository {
    /// The repository that the process runs in, as git itself sees it; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Input`] with the words of git, such as a repository that is not safe; [`Error::Io`]
    /// where git cannot be run.
    pub fn here(hints: Hints) -> Result<Option<Self>> {
        Self::find(Path::new("."), hints, true)
    }

    /// The repository that a folder is in, whatever the environment says.
    ///
    /// # Errors
    /// As [`Repository::here`].
    pub fn at(folder: &Path) -> Result<Option<Self>> {
        Self::find(folder, Hints::default(), false)
    }

    fn find(folder: &Path, hints: Hints, inherit: bool) -> Result<Option<Self>> {
        let args = [
            "rev-parse",
            "--path-format=absolute",
            "--show-object-format",
            "--is-shallow-repository",
            "--is-bare-repository",
            "--git-common-dir",
            "--git-path",
            "MERGE_HEAD",
            "--show-toplevel",
        ];
        let output = command(folder, inherit)
            .args(args)
            .stderr(Stdio::piped())
            .output();
        let output = output.map_err(|source| Error::Io {
            doing: "running git in",
            path: folder.to_owned(),
            source,
        })?;
        let lines: Vec<&[u8]> = output
            .stdout
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let (head, top) = match lines.as_slice() {
            [head @ .., top] if output.status.success() => (head, Some(path(top))),
            // Without a work tree the last question has no answer.
            head => (head, None),
        };
        let [format, shallow, _, common_dir, merge_head] = head else {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return if words.contains("not a git repository") {
                Ok(None)
            } else {
                Err(Error::Input(format!("git: {words}")))
            };
        };
        let common_dir = path(common_dir);
        let format = if *format == b"sha256" {
            ObjectFormat::Sha256
        } else {
            ObjectFormat::Sha1
        };
        let folder = top.clone().unwrap_or_else(|| common_dir.clone());
        Ok(Some(Self {
            folder,
            top,
            common_dir,
            format,
            shallow: *shallow == b"true",
            merge_head: path(merge_head),
            hints,
            inherit,
        }))
    }

    /// The root of the dataset relative to the top of the repository, ending in `/` unless it is
    /// empty; or, where the root is above the top, the top relative to the root. `root` is that of
    /// the index; in a linked work tree it may lie in the main one.
    ///
    /// # Errors
    /// [`Error::Input`] where neither is within the other.
    pub(super) fn offset(&self, root: &Path) -> Result<Offset> {
        let main = self.common_dir.parent().filter(|_| {
            self.common_dir
                .file_name()
                .is_some_and(|name| name == ".git")
        });
        let tops = [self.top.as_deref(), main].into_iter().flatten();
        let slashed = |path: &Path| [path.as_os_str().as_bytes(), b"/"].concat();
        if root == self.common_dir {
            return Ok(Offset::Below(Vec::new()));
        }
        for top in tops {
            if root == top {
                return Ok(Offset::Below(Vec::new()));
            } else if let Ok(below) = root.strip_prefix(top) {
                return Ok(Offset::Below(slashed(below)));
            } else if let Ok(below) = top.strip_prefix(root) {
                return Ok(Offset::Above(slashed(below)));
            }
        }
        let top = self.folder.display();
        Err(Error::Input(format!(
            "the dataset in {} and the git repository in {top} have nothing in common",
            root.display()
        )))
    }

    /// The root of a dataset in the work tree that is checked out here, which may be a linked one;
    /// `root` is that of the index.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no work tree, or the root lies outside of it.
    pub fn work_tree_root(&self, root: &Path) -> Result<PathBuf> {
        match (&self.top, self.offset(root)?) {
            (Some(top), Offset::Below(prefix)) => Ok(super::to_path(
                top,
                prefix.strip_suffix(b"/").unwrap_or(&prefix),
            )),
            _ => Err(Error::Input(format!(
                "the root of the dataset, {}, is in no work tree of this repository",
                root.display()
            ))),
        }
    }

    /// Whether a dataset with this root has files in this repository.
    pub fn belongs(&self, root: &Path) -> bool {
        self.offset(root).is_ok()
    }

    /// Where the index of this repository may be besides the folders above the present one: in the
    /// git folder, or in the main work tree.
    pub fn other_roots(&self) -> Vec<PathBuf> {
        let main = self.common_dir.parent().map(Path::to_owned);
        [Some(self.common_dir.clone()), main]
            .into_iter()
            .flatten()
            .collect()
    }

    fn git(&self, args: &[&str]) -> Command {
        let mut command = command(&self.folder, self.inherit);
        command.args(args);
        command
    }

    /// What git prints; its words as an error where it fails.
    fn output(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.git(args).stderr(Stdio::piped()).output();
        let output = output.map_err(|source| Error::Io {
            doing: "running git in",
            path: self.folder.clone(),
            source,
        })?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::Input(format!(
                "git {}: {words}",
                args.first().unwrap_or(&"")
            )))
        }
    }

    /// One line of output.
    fn line(&self, args: &[&str]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.output(args)?)
            .trim_end_matches('\n')
            .to_owned())
    }
}

/// How paths of the repository become paths of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Offset {
    /// The root of the dataset is this far below the top: ends in `/`, or is empty.
    Below(Vec<u8>),
    /// The top is this far below the root.
    Above(Vec<u8>),
}

impl Offset {
    /// The path in the dataset; `None` for one outside.
    pub(super) fn map(&self, path: &[u8]) -> Option<std::sync::Arc<[u8]>> {
        match self {
            Self::Below(prefix) => path.strip_prefix(prefix.as_slice()).map(Into::into),
            Self::Above(prefix) => Some([prefix, path].concat().into()),
        }
    }

    /// The same, without a copy where nothing changes.
    pub(super) fn map_shared(&self, path: &std::sync::Arc<[u8]>) -> Option<std::sync::Arc<[u8]>> {
        match self {
            Self::Below(prefix) if prefix.is_empty() => Some(path.clone()),
            _ => self.map(path),
        }
    }

    /// The path in the repository of a path of the dataset; `None` for one outside.
    pub(super) fn unmap(&self, path: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Below(prefix) => Some([prefix, path].concat()),
            Self::Above(prefix) => path.strip_prefix(prefix.as_slice()).map(Into::into),
        }
    }
}

/// A git that runs in a folder: in the repository of the environment, or, without `inherit`, in
/// that of the folder.
pub(super) fn command(folder: &Path, inherit: bool) -> Command {
    let mut command = Command::new("git");
    // A file system monitor is a program that the configuration names.
    command
        .args(["-c", "core.fsmonitor=false"])
        .current_dir(folder)
        .stdin(Stdio::null());
    if !inherit {
        for name in LOCAL_VARIABLES {
            command.env_remove(name);
        }
    }
    command.envs([
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        // A pusher could have other objects judged than those that are checked out.
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C"),
    ]);
    command
}

impl Objects for Repository {
    /// Of files that are named by their blobs.
    fn read(
        &self,
        files: &[&VersionFile],
        limits: &Limits,
        visit: &mut VisitFile<'_>,
    ) -> Result<()> {
        let ids: Vec<Alias> = files.iter().map(|file| file.name).collect();
        self.read_blobs(&ids, limits, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_repository_become_paths_of_the_dataset_and_back() {
        let below = Offset::Below(b"data/".to_vec());
        assert_eq!(below.map(b"data/a.png").as_deref(), Some(&b"a.png"[..]));
        assert_eq!(
            (below.map(b"dataset/a.png"), below.map(b"a.png")),
            (None, None)
        );
        assert_eq!(below.unmap(b"a.png").unwrap(), b"data/a.png");
        let above = Offset::Above(b"sub/".to_vec());
        assert_eq!(above.map(b"a.png").as_deref(), Some(&b"sub/a.png"[..]));
        assert_eq!(
            (above.unmap(b"sub/a.png"), above.unmap(b"x.png")),
            (Some(b"a.png".to_vec()), None)
        );
        assert_eq!(
            Offset::Below(Vec::new()).map(b"a").as_deref(),
            Some(&b"a"[..])
        );
    }
}
