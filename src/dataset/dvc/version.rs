//! The images that DVC keeps before and after a change → those to be judged, beside the ones of git; and their bytes.
//!
//! What is new is told by path *and* MD5, as `dvc diff` tells it: a second copy of a content inside a folder is new, though the set of contents is
//! the same. A content that left one path and came up at another, under the same label and split, was renamed, and is no finding.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Cache, Files, Md5};
use crate::{
    Result,
    dataset::{Buffer, Change, Labels, Objects, Unread, VersionFile, VisitFile},
    picture::Limits,
    store::alias::Alias,
    verdict::{Label, Split},
};

/// What DVC keeps of a change, for reading it.
#[derive(Debug, Default)]
pub struct Kept {
    caches: Vec<Cache>,
    /// The place of each file in the repository.
    places: HashMap<Arc<[u8]>, Vec<u8>>,
    /// Why a file cannot be had, where that is known beforehand.
    reasons: HashMap<Arc<[u8]>, String>,
    /// New files of folders whose old manifest is not here, so that they may have been there before.
    pub uncertain: BTreeSet<Arc<[u8]>>,
}

impl Change {
    /// Adds the images of `new`; those are to be judged that none of `before` has at their path. `map` makes a path of the repository one of
    /// the dataset.
    pub(in crate::dataset) fn add_kept(
        &mut self,
        new: Files,
        before: &[Files],
        old_labels: Option<&Labels>,
        map: &ToDataset<'_>,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) {
        let seen = |path: &[u8]| map(path).filter(|path| !path.split(|&b| b == b'/').any(|part| part.starts_with(b".")));
        let mut left = left(&new, before, old_labels.unwrap_or(&self.labels), &seen);
        let unknown: Vec<&[u8]> = before.iter().flat_map(|files| files.missing.keys().map(Vec::as_slice)).collect();
        for (path, md5) in &new.images {
            let Some(inside) = seen(path) else { continue };
            let (label, split) = self.labels.told(&inside);
            let stays = before.iter().any(|files| files.images.get(path) == Some(md5));
            let relabelled = old_labels.is_some_and(|old| old.told(&inside) != (label.clone(), split));
            let is_new = !stays && !md5.is_some_and(|md5| take(&mut left, &(md5, label, split)));
            if md5.is_none() {
                self.kept.reasons.insert(inside.clone(), "DVC does not say its MD5; run `dvc commit`".into());
            }
            if is_new && unknown.iter().any(|folder| crate::dataset::contains(folder, path)) {
                self.kept.uncertain.insert(inside.clone());
            }
            self.kept.places.insert(inside.clone(), path.clone());
            let file = VersionFile { name: Alias::Md5(md5.unwrap_or_default()), path: inside };
            if (is_new || relabelled) && wanted(&file.path) { self.new.push(file) } else { self.base.push(file) }
        }
        for (path, (md5, reason)) in new.missing {
            let Some(inside) = map(&path) else { continue };
            let stays = before.iter().any(|files| files.missing.get(&path).is_some_and(|(old, _)| *old == md5));
            self.kept.reasons.insert(inside.clone(), reason);
            let file = VersionFile { name: Alias::Md5(md5), path: inside };
            if !stays && wanted(&file.path) { self.new.push(file) } else { self.base.push(file) }
        }
        self.new.sort_by(|a, b| a.path.cmp(&b.path));
        self.kept.caches = new.caches;
    }
}

/// Makes a path of the repository one of the dataset.
type ToDataset<'a> = dyn Fn(&[u8]) -> Option<Arc<[u8]>> + 'a;

/// A content with a label and a split.
type Known = (Md5, Option<Label>, Option<Split>);

/// Contents that left a path, each as often as it did.
fn left(new: &Files, before: &[Files], labels: &Labels, seen: &ToDataset<'_>) -> HashMap<Known, usize> {
    let mut left = HashMap::new();
    for (path, md5) in before.iter().take(1).flat_map(|files| &files.images) {
        if let (Some(known), Some(inside)) = (md5, seen(path))
            && new.images.get(path) != Some(md5)
        {
            let (label, split) = labels.told(&inside);
            *left.entry((*known, label, split)).or_insert(0) += 1;
        }
    }
    left
}

fn take(left: &mut HashMap<Known, usize>, known: &Known) -> bool {
    left.get_mut(known).is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0)
}

impl Kept {
    /// The bytes of these files, and those of all others from `git`.
    pub(in crate::dataset) fn beside<'a>(&'a self, git: &'a dyn Objects) -> impl Objects + 'a {
        Beside { kept: self, git }
    }

    fn read(&self, file: &VersionFile, limits: &Limits, buffer: &mut Buffer) -> std::result::Result<(), Unread> {
        if let Some(reason) = self.reasons.get(&file.path) {
            return Err(Unread::Missing(reason.clone()));
        }
        let (Alias::Md5(md5), Some(place)) = (file.name, self.places.get(&file.path)) else {
            return Err(Unread::Missing("neither git nor DVC has it here".into()));
        };
        let mut read = Err(Unread::Missing("DVC has no cache here; run `dvc fetch` where the repository is checked out".into()));
        for cache in &self.caches {
            read = cache.read(&md5, place, limits, buffer);
            if !matches!(read, Err(Unread::Missing(_))) {
                break;
            }
        }
        read
    }
}

/// Files that DVC keeps, and files that git keeps.
struct Beside<'a> {
    kept: &'a Kept,
    git: &'a dyn Objects,
}

impl Objects for Beside<'_> {
    fn read(&self, files: &[&VersionFile], limits: &Limits, visit: &mut VisitFile<'_>) -> Result<()> {
        let is_kept = |file: &&VersionFile| matches!(file.name, Alias::Md5(_));
        let (mut first, mut buffer) = (0, Buffer::default());
        for run in files.chunk_by(|a, b| is_kept(a) == is_kept(b)) {
            match run.first().is_some_and(is_kept) {
                true => run.iter().enumerate().try_for_each(|(i, file)| {
                    let read = self.kept.read(file, limits, &mut buffer);
                    visit(first + i, read.map(|()| &buffer))
                })?,
                false => self.git.read(run, limits, &mut |i, read| visit(first + i, read))?,
            }
            first += run.len();
        }
        Ok(())
    }
}
