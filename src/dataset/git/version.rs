//! What is staged, or a range of commits → the change of the dataset that it makes.
//!
//! The new version is a tree: that of the index, or of a commit. What it has is divided by what
//! changed: files whose path or content is new are judged, all others are what they are judged
//! against. So what the change removes is compared with nothing, and in a merge only that is judged
//! which differs from every parent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

use super::{CommitRange, Entry, Listed, Offset, RawChange, Repository, parse_diff, parse_tree};
use crate::{
    Error, Result,
    dataset::{
        Change, Labels, VersionFile, container::is_container_among, contains, dvc::is_dvc_file,
        names_image, names_table,
    },
    file::{LONGEST_SETTINGS, read_optional},
    store::alias::Alias,
    verdict::{ALLOW_FILE, BASELINE_FILE, Label, Rules, Split},
};

/// The name of the policy file in the root of the dataset.
const POLICY_FILE: &[u8] = b"wsidx.toml";

const DIFF: [&str; 10] = [
    "diff",
    "--raw",
    "-z",
    "--no-renames",
    "--no-abbrev",
    "--no-color",
    "--no-ext-diff",
    "--no-relative",
    "--ignore-submodules=all",
    "--diff-filter=ADMT",
];

/// Where a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Index,
    Commit(String),
}

/// A new version of a dataset in a repository.
#[derive(Debug)]
pub struct Version<'a> {
    pub(super) repository: &'a Repository,
    pub(super) offset: Offset,
    pub(super) tree: Tree,
    /// Where the policy is, if not in the tree itself; `Some(None)`: nowhere.
    pub(super) policy: Option<Option<String>>,
    /// What differs from every parent, and what was removed.
    pub(super) changes: Vec<RawChange>,
    /// What other parents had where all differ: files of DVC and of exceptions, which are compared
    /// by what they say.
    pub(super) other_old: Vec<Listed>,
    listing: OnceLock<Vec<Listed>>,
}

/// The files of a tree that concern the dataset.
#[derive(Default)]
struct Files {
    images: Vec<Listed>,
    tables: BTreeMap<Arc<[u8]>, Alias>,
    /// Files of DVC, by their paths in the repository.
    dvc: BTreeMap<Arc<[u8]>, Alias>,
}

impl Repository {
    /// What is staged, for a dataset whose root is `root`.
    ///
    /// # Errors
    /// [`Error::Input`] with the words of git; [`Error::Io`].
    pub fn staged(&self, root: &std::path::Path) -> Result<Version<'_>> {
        let changes = match self.raw_diff("HEAD", None) {
            Ok(changes) => changes,
            Err(_)
                if self
                    .output(&["rev-parse", "--quiet", "--verify", "HEAD"])
                    .is_err() =>
            {
                self.raw_diff(&self.empty_tree()?, None)?
            }
            Err(error) => return Err(error),
        };
        let merge_head = read_optional(&self.merge_head, LONGEST_SETTINGS)?.unwrap_or_default();
        let merge_head = String::from_utf8_lossy(&merge_head);
        let parents: BTreeSet<&str> = merge_head
            .lines()
            .chain(self.hints.merging.iter().map(String::as_str))
            .collect();
        let (changes, other_old) = self.against_all(changes, parents.into_iter(), None)?;
        Ok(Version {
            repository: self,
            offset: self.offset(root)?,
            tree: Tree::Index,
            policy: None,
            changes,
            other_old,
            listing: OnceLock::new(),
        })
    }

    /// The net change of a range: what is in no commit where it begins.
    ///
    /// # Errors
    /// As [`Repository::staged`].
    pub fn committed(&self, range: &CommitRange, root: &std::path::Path) -> Result<Version<'_>> {
        self.commit(&range.from, &range.to, root)
    }

    /// What a commit has that none of its parents has.
    ///
    /// # Errors
    /// As [`Repository::staged`].
    pub fn commit(
        &self,
        parents: &[String],
        to: &str,
        root: &std::path::Path,
    ) -> Result<Version<'_>> {
        let first = match parents.first() {
            Some(first) => first.clone(),
            None => self.empty_tree()?,
        };
        let changes = self.raw_diff(&first, Some(to))?;
        let (changes, other_old) = self.against_all(
            changes,
            parents.iter().skip(1).map(String::as_str),
            Some(to),
        )?;
        Ok(Version {
            repository: self,
            offset: self.offset(root)?,
            tree: Tree::Commit(to.to_owned()),
            policy: None,
            changes,
            other_old,
            listing: OnceLock::new(),
        })
    }

    /// The images of all branches, each content once.
    ///
    /// # Errors
    /// As [`Repository::staged`].
    pub fn images_of_branches(&self, root: &std::path::Path) -> Result<Vec<VersionFile>> {
        let tips: BTreeSet<String> = self
            .line(&["for-each-ref", "--format=%(objectname)", "refs/heads"])?
            .lines()
            .map(str::to_owned)
            .collect();
        let mut images = BTreeMap::new();
        for tip in tips {
            let (tree, offset) = (Tree::Commit(tip), self.offset(root)?);
            let version = Version {
                repository: self,
                offset,
                tree,
                policy: None,
                changes: Vec::new(),
                other_old: Vec::new(),
                listing: OnceLock::new(),
            };
            images.extend(
                version
                    .files()?
                    .images
                    .into_iter()
                    .map(|(path, entry)| (entry.id, path)),
            );
        }
        Ok(images
            .into_iter()
            .map(|(name, path)| VersionFile { path, name })
            .collect())
    }

    fn empty_tree(&self) -> Result<String> {
        self.line(&["hash-object", "-t", "tree", "/dev/null"])
    }

    fn raw_diff(&self, from: &str, to: Option<&str>) -> Result<Vec<RawChange>> {
        let ends = [
            if to.is_none() { Some("--cached") } else { None },
            Some("--end-of-options"),
            Some(from),
            to,
            Some("--"),
        ];
        let args: Vec<&str> = DIFF.into_iter().chain(ends.into_iter().flatten()).collect();
        parse_diff(&self.output(&args)?).ok_or_else(|| not_understood("diff"))
    }

    /// Only what differs from other parents, too; what was removed stays.
    fn against_all<'a>(
        &self,
        mut changes: Vec<RawChange>,
        parents: impl Iterator<Item = &'a str>,
        to: Option<&str>,
    ) -> Result<(Vec<RawChange>, Vec<Listed>)> {
        let mut other_old = Vec::new();
        for parent in parents {
            let other = self.raw_diff(parent, to)?;
            let listed = |path: &[u8]| is_dvc_file(path) || is_exceptions(path);
            other_old.extend(
                other
                    .iter()
                    .filter(|c| listed(&c.path))
                    .filter_map(|c| Some((c.path.clone(), c.old?))),
            );
            let other: HashMap<Arc<[u8]>, Option<Entry>> =
                other.into_iter().map(|c| (c.path, c.new)).collect();
            changes.retain(|change| {
                change.new.is_none() || other.get(&change.path) == Some(&change.new)
            });
        }
        Ok((changes, other_old))
    }
}

pub(super) fn not_understood(command: &str) -> Error {
    Error::Input(format!(
        "git {command} gave an answer that wsidx does not understand; is git newer than wsidx, or damaged?"
    ))
}

impl Version<'_> {
    /// Takes the policy from another commit, or from nowhere: on a server from what was there
    /// before the push.
    pub fn with_policy_of(mut self, commit: Option<String>) -> Self {
        self.policy = Some(commit);
        self
    }

    /// Everything that changed, whatever it is, by paths of the repository.
    pub fn changes(&self) -> &[RawChange] {
        &self.changes
    }

    /// The path in the dataset of a path in the repository; `None` for one outside.
    pub fn path_in_dataset(&self, path: &[u8]) -> Option<Arc<[u8]>> {
        self.offset.map(path)
    }

    /// Whether nothing changed that the dataset consists of: no image, no table of labels.
    pub fn is_quiet(&self) -> bool {
        !self
            .changes
            .iter()
            .filter_map(|change| self.offset.map(&change.path))
            .any(|path| is_image(&path) || is_table(&path))
            && !self.changes.iter().any(|change| is_dvc_file(&change.path))
    }

    /// Changed files of the dataset that hold many images. They are not looked into.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn containers(&self) -> Result<Vec<Arc<[u8]>>> {
        let mut containers = Vec::new();
        for change in self.changes.iter().filter(|change| {
            change.new.is_some_and(|new| new.is_file()) && !is_hidden(&change.path)
        }) {
            // Listed only where the name alone does not tell.
            let has = |path: &[u8]| Ok(self.listing()?.iter().any(|(known, _)| **known == *path));
            if is_container_among(&change.path, has)? {
                containers.extend(self.offset.map(&change.path));
            }
        }
        Ok(containers)
    }

    /// What is there after the change. With `only`, just the changed files at and below these paths
    /// are judged.
    ///
    /// # Errors
    /// [`Error::Input`] for a table or policy that cannot be used; [`Error::Io`].
    pub fn change(&self, only: &[Vec<u8>]) -> Result<Change> {
        let files = self.files()?;
        let (kept, before) = self.kept(&files.dvc)?;
        let (labels, old_labels) =
            self.labels(&files.tables, &kept, before.first().unwrap_or(&kept))?;
        let mut renamed = self.left(old_labels.as_ref().unwrap_or(&labels));
        let changed: HashMap<Arc<[u8]>, Entry> = self.new_images().collect();
        let wanted =
            |path: &[u8]| only.is_empty() || only.iter().any(|folder| contains(folder, path));
        let mut change = Change {
            outside: self.outside(),
            ..Change::default()
        };
        for (path, entry) in files.images {
            let is_new = changed.get(&path) == Some(&entry) && {
                let (label, split) = labels.told(&path);
                !take(&mut renamed, &(entry.id, label, split))
            };
            let relabelled = old_labels
                .as_ref()
                .is_some_and(|old| old.told(&path) != labels.told(&path));
            let file = VersionFile {
                path,
                name: entry.id,
            };
            if (is_new || relabelled) && wanted(&file.path) {
                change.new.push(file);
            } else {
                change.base.push(file);
            }
        }
        change.rules = match self.text(POLICY_FILE)? {
            Some(text) => Rules::from_bytes(&text)?,
            None => Rules::default(),
        };
        change.labels = labels;
        change.add_kept(
            kept,
            &before,
            old_labels.as_ref(),
            &|path| self.offset.map(path),
            &wanted,
        );
        Ok(change)
    }

    /// Changed images whose bytes are new at their path.
    fn new_images(&self) -> impl Iterator<Item = (Arc<[u8]>, Entry)> {
        self.changes.iter().filter_map(|change| {
            let new = change.new.filter(Entry::is_file)?;
            let same = change
                .old
                .is_some_and(|old| old.is_file() && old.id == new.id);
            let path = self
                .offset
                .map(&change.path)
                .filter(|path| is_image(path))?;
            (!same).then_some((path, new))
        })
    }

    /// Changed images outside the dataset.
    fn outside(&self) -> u64 {
        let outside = |change: &&RawChange| {
            change.new.is_some_and(|new| new.is_file()) && self.offset.map(&change.path).is_none()
        };
        self.changes
            .iter()
            .filter(outside)
            .filter(|change| is_image(&change.path))
            .count() as u64
    }

    /// Contents that left a path, each as often as it did, with the label and split it had: they
    /// may come up at another path.
    fn left(&self, labels: &Labels) -> HashMap<Known, usize> {
        let mut left = HashMap::new();
        for change in &self.changes {
            let Some(old) = change
                .old
                .filter(Entry::is_file)
                .filter(|old| change.new.is_none_or(|new| new.id != old.id))
            else {
                continue;
            };
            let Some(path) = self.offset.map(&change.path).filter(|path| is_image(path)) else {
                continue;
            };
            let (label, split) = labels.told(&path);
            *left.entry((old.id, label, split)).or_insert(0) += 1;
        }
        left
    }

    /// The regular files of the tree by their paths in the repository, in the order of their bytes;
    /// git lists them once. What has the name of a file of settings is in it whatever it is, so
    /// that a link in its place is not passed over in silence.
    pub(super) fn listing(&self) -> Result<&[Listed]> {
        if let Some(listing) = self.listing.get() {
            return Ok(listing);
        }
        let args: &[&str] = match &self.tree {
            Tree::Index => &["ls-files", "--stage", "-z"],
            Tree::Commit(id) => &["ls-tree", "-r", "--full-tree", "-z", id],
        };
        let mut all =
            parse_tree(&self.repository.output(args)?).ok_or_else(|| not_understood("ls-files"))?;
        all.retain(|(path, entry)| entry.is_file() || is_settings(path));
        Ok(self.listing.get_or_init(|| all))
    }

    fn files(&self) -> Result<Files> {
        let mut files = Files::default();
        for (path, entry) in self.listing()? {
            if is_dvc_file(path) {
                files.dvc.insert(path.clone(), entry.id);
                continue;
            }
            let Some(path) = self.offset.map_shared(path) else {
                continue;
            };
            if is_image(&path) {
                files.images.push((path, *entry));
            } else if is_table(&path) {
                files.tables.insert(path, entry.id);
            }
        }
        Ok(files)
    }
}

/// A content with a label and a split.
type Known = (Alias, Option<Label>, Option<Split>);

fn take(left: &mut HashMap<Known, usize>, known: &Known) -> bool {
    left.get_mut(known)
        .is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0)
}

/// By its name, and not hidden: as in a folder.
pub(super) fn is_image(path: &[u8]) -> bool {
    names_image(path) && !is_hidden(path)
}

fn is_hidden(path: &[u8]) -> bool {
    path.split(|&b| b == b'/')
        .any(|part| part.starts_with(b"."))
}

fn is_settings(path: &[u8]) -> bool {
    is_exceptions(path) || path.rsplit(|&b| b == b'/').next() == Some(POLICY_FILE)
}

fn is_exceptions(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    [ALLOW_FILE, BASELINE_FILE]
        .iter()
        .any(|file| name == file.as_bytes())
}

pub(super) fn is_table(path: &[u8]) -> bool {
    names_table(path) && !is_hidden(path)
}
