//! The images that DVC keeps before and after a change → those to be judged, beside the ones of
//! git; and their bytes.
//!
//! What is new is told by path *and* MD5, as `dvc diff` tells it: a second copy of a content inside
//! a folder is new, though the set of contents is the same. A content that left one path and came
//! up at another, under the same label and split, was renamed, and is no finding.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Cache, Files, Md5, read_from};
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
    /// New files of folders whose old manifest is not here, so that they may have been there
    /// before.
    pub uncertain: BTreeSet<Arc<[u8]>>,
}

impl Change {
    /// Adds the images of `new`; those are to be judged that none of `before` has at their path.
    /// `map` makes a path of the repository one of the dataset.
    pub(in crate::dataset) fn add_kept(
        &mut self,
        new: Files,
        before: &[Files],
        old_labels: Option<&Labels>,
        map: &ToDataset<'_>,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) {
        let seen = |path: &[u8]| {
            map(path).filter(|path| {
                !path
                    .split(|&b| b == b'/')
                    .any(|part| part.starts_with(b"."))
            })
        };
        let mut left = left(&new, before, old_labels.unwrap_or(&self.labels), &seen);
        let unknown: Vec<&[u8]> = before
            .iter()
            .flat_map(|files| files.missing.keys().map(Vec::as_slice))
            .collect();
        for (path, md5) in &new.images {
            let Some(inside) = seen(path) else { continue };
            let (label, split) = self.labels.told(&inside);
            let stays = before
                .iter()
                .any(|files| files.images.get(path) == Some(md5));
            let relabelled =
                old_labels.is_some_and(|old| old.told(&inside) != (label.clone(), split));
            let is_new = !stays && !md5.is_some_and(|md5| take(&mut left, &(md5, label, split)));
            if md5.is_none() {
                self.kept.reasons.insert(
                    inside.clone(),
                    "DVC does not say its MD5; run `dvc commit`".into(),
                );
            }
            if is_new
                && unknown
                    .iter()
                    .any(|folder| crate::dataset::contains(folder, path))
            {
                self.kept.uncertain.insert(inside.clone());
            }
            self.kept.places.insert(inside.clone(), path.clone());
            let file = VersionFile {
                name: Alias::Md5(md5.unwrap_or_default()),
                path: inside,
            };
            if (is_new || relabelled) && wanted(&file.path) {
                self.new.push(file);
            } else {
                self.base.push(file);
            }
        }
        for (path, (md5, reason)) in new.missing {
            let Some(inside) = map(&path) else { continue };
            let stays = before
                .iter()
                .any(|files| files.missing.get(&path).is_some_and(|(old, _)| *old == md5));
            self.kept.reasons.insert(inside.clone(), reason);
            let file = VersionFile {
                name: Alias::Md5(md5),
                path: inside,
            };
            if !stays && wanted(&file.path) {
                self.new.push(file);
            } else {
                self.base.push(file);
            }
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
fn left(
    new: &Files,
    before: &[Files],
    labels: &Labels,
    seen: &ToDataset<'_>,
) -> HashMap<Known, usize> {
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
    left.get_mut(known)
        .is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0)
}

impl Kept {
    /// The bytes of these files, and those of all others from `git`.
    pub(in crate::dataset) fn beside<'a>(&'a self, git: &'a dyn Objects) -> impl Objects + 'a {
        Beside { kept: self, git }
    }

    fn read(
        &self,
        file: &VersionFile,
        limits: &Limits,
        buffer: &mut Buffer,
    ) -> std::result::Result<(), Unread> {
        if let Some(reason) = self.reasons.get(&file.path) {
            return Err(Unread::Missing(reason.clone()));
        }
        let (Alias::Md5(md5), Some(place)) = (file.name, self.places.get(&file.path)) else {
            return Err(Unread::Missing("neither git nor DVC has it here".into()));
        };
        read_from(&self.caches, &md5, place, limits, buffer)
    }
}

/// Files that DVC keeps, and files that git keeps.
struct Beside<'a> {
    kept: &'a Kept,
    git: &'a dyn Objects,
}

impl Objects for Beside<'_> {
    /// Asks git once for all of its files, and reads those of DVC in between.
    fn read(
        &self,
        files: &[&VersionFile],
        limits: &Limits,
        visit: &mut VisitFile<'_>,
    ) -> Result<()> {
        let is_kept = |place: &usize| matches!(files[*place].name, Alias::Md5(_));
        let places: Vec<usize> = (0..files.len()).filter(|place| !is_kept(place)).collect();
        let of_git: Vec<&VersionFile> = places.iter().map(|&place| files[place]).collect();
        let (mut next, mut buffer) = (0, Buffer::default());
        let mut kept_before = |place: usize, visit: &mut VisitFile<'_>| {
            let between = std::mem::replace(&mut next, place + 1)..place;
            between.into_iter().try_for_each(|i| {
                let read = self.kept.read(files[i], limits, &mut buffer);
                visit(i, read.map(|()| &buffer))
            })
        };
        self.git.read(&of_git, limits, &mut |i, read| {
            kept_before(places[i], visit)?;
            visit(places[i], read)
        })?;
        kept_before(files.len(), visit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives each file its path for its bytes, and counts how often it is asked.
    struct Counting(Mutex<usize>);

    impl Objects for Counting {
        fn read(
            &self,
            files: &[&VersionFile],
            _: &Limits,
            visit: &mut VisitFile<'_>,
        ) -> Result<()> {
            *self.0.lock().unwrap() += 1;
            files
                .iter()
                .enumerate()
                .try_for_each(|(i, file)| visit(i, Ok(&Buffer::from(file.path.to_vec()))))
        }
    }

    #[test]
    fn files_of_git_and_dvc_in_any_order_are_read_in_that_order_and_git_is_asked_once() {
        let file = |path: &str, name| VersionFile {
            path: path.as_bytes().into(),
            name,
        };
        let (git, dvc) = (Alias::GitSha1([1; 20]), Alias::Md5([2; 16]));
        for kinds in ["gdgdg", "dgd", "ddd", "ggg", "dggd", ""] {
            let files: Vec<VersionFile> = kinds
                .chars()
                .enumerate()
                .map(|(i, kind)| file(&i.to_string(), if kind == 'g' { git } else { dvc }))
                .collect();
            let counting = Counting(Mutex::new(0));
            let kept = Kept {
                reasons: files
                    .iter()
                    .map(|file| (file.path.clone(), "gone".to_owned()))
                    .collect(),
                ..Kept::default()
            };
            let mut seen = Vec::new();
            let refs: Vec<&VersionFile> = files.iter().collect();
            kept.beside(&counting)
                .read(&refs, &Limits::default(), &mut |i, read| {
                    assert_eq!(
                        read.is_ok().then(|| read.unwrap().bytes.clone()),
                        (kinds.as_bytes()[i] == b'g').then(|| i.to_string().into())
                    );
                    seen.push(i);
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen, (0..files.len()).collect::<Vec<_>>(), "{kinds}");
            assert_eq!(*counting.0.lock().unwrap(), 1);
        }
    }
}
