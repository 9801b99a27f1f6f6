//! The texts of a version: policy, exceptions, tables of labels, and the files of DVC with all that
//! they name.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Entry, RawChange, parse_tree,
    version::{Version, is_table, not_understood},
};
use crate::{
    Error, Result,
    dataset::{
        Buffer, Labels, Unread,
        dvc::{self, is_dvc_file},
    },
    picture::Limits,
    store::alias::Alias,
};

/// The longest text that is read.
const LONGEST_TEXT: u64 = 256 << 20;

/// Texts with their paths.
type Texts = Vec<(Arc<[u8]>, Vec<u8>)>;

/// Blobs by path.
type Names = BTreeMap<Arc<[u8]>, Alias>;

impl Version<'_> {
    /// The bytes of a text in the version: `None` where there is none. The policy and what is
    /// beside it come from where the policy does.
    ///
    /// # Errors
    /// [`Error::Input`] where it cannot be read.
    pub fn text(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(wanted) = self.offset.unmap(path) else {
            return Ok(None);
        };
        let found = match &self.policy {
            Some(None) => None,
            Some(Some(commit)) => self.entry_in(commit, wanted)?,
            None => {
                let listing = self.listing()?;
                listing
                    .binary_search_by(|(path, _)| (**path).cmp(&wanted))
                    .ok()
                    .map(|at| listing[at].1)
            }
        };
        if found.is_some_and(|entry| !entry.is_file()) {
            let name = String::from_utf8_lossy(path);
            return Err(Error::Input(format!(
                "{name} is a symbolic link or a submodule in git; put a regular file there, or remove it"
            )));
        }
        found
            .map(|entry| Ok(self.texts(&[(path.into(), entry.id)])?.remove(0).1))
            .transpose()
    }

    /// What a text of the dataset was before a change of it, in each parent that had one; `None`
    /// where it did not change.
    ///
    /// # Errors
    /// [`Error::Input`] where it cannot be read.
    pub fn text_before(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        let Some(wanted) = self.offset.unmap(path) else {
            return Ok(None);
        };
        let Some(change) = self.changes.iter().find(|change| *change.path == *wanted) else {
            return Ok(None);
        };
        let others = self
            .other_old
            .iter()
            .filter(|(path, _)| **path == *wanted)
            .map(|(_, entry)| *entry);
        let before: Vec<_> = change
            .old
            .into_iter()
            .chain(others)
            .filter(Entry::is_file)
            .map(|entry| (change.path.clone(), entry.id))
            .collect();
        Ok(Some(
            self.texts(&before)?
                .into_iter()
                .map(|(_, text)| text)
                .collect(),
        ))
    }

    /// The file at a path of the repository in another commit.
    fn entry_in(&self, commit: &str, path: Vec<u8>) -> Result<Option<Entry>> {
        let name = String::from_utf8(path).map_err(|_| {
            Error::Input("the folder of the dataset has a name that is not UTF-8".into())
        })?;
        let found = parse_tree(&self.repository.output(&[
            "ls-tree",
            "--full-tree",
            "-z",
            commit,
            "--",
            &name,
        ])?);
        let found = found.ok_or_else(|| not_understood("ls-tree"))?;
        Ok(found
            .into_iter()
            .find(|(path, entry)| **path == *name.as_bytes() && entry.is_file())
            .map(|(_, entry)| entry))
    }

    pub(super) fn texts(&self, wanted: &[(Arc<[u8]>, Alias)]) -> Result<Texts> {
        let ids: Vec<Alias> = wanted.iter().map(|(_, id)| *id).collect();
        let mut texts = Vec::new();
        let limits = Limits {
            max_bytes: LONGEST_TEXT,
            ..Limits::default()
        };
        self.repository
            .read_blobs(&ids, &limits, &mut |place, read| {
                let path = &wanted[place].0;
                match read {
                    Ok(buffer) => texts.push((path.clone(), buffer.bytes.clone())),
                    Err(Unread::Missing(why) | Unread::Unreadable(why)) => {
                        return Err(Error::Input(format!(
                            "{}: {why}",
                            String::from_utf8_lossy(path)
                        )));
                    }
                }
                Ok(())
            })?;
        Ok(texts)
    }

    /// What DVC keeps for the version, and what it kept before, in the first parent and then in
    /// each other one whose files of DVC differ; both empty where neither has any.
    pub(super) fn kept(&self, new: &Names) -> Result<(dvc::Files, Vec<dvc::Files>)> {
        let is_changed = |path: &Arc<[u8]>| self.changes.iter().any(|change| change.path == *path);
        if new.is_empty() && !self.changes.iter().any(|change| is_dvc_file(&change.path)) {
            return Ok((dvc::Files::default(), vec![dvc::Files::default()]));
        }
        let (top, settings) = (
            self.repository
                .top
                .as_ref()
                .unwrap_or(&self.repository.folder),
            &self.repository.hints.dvc,
        );
        let expanded = |names: &Names| {
            let names: Vec<_> = names.iter().map(|(path, id)| (path.clone(), *id)).collect();
            let texts = self
                .texts(&names)?
                .into_iter()
                .map(|(path, text)| (path.to_vec(), text));
            dvc::expand(&texts.collect(), top, settings)
        };
        let mut old = new.clone();
        for RawChange {
            path, old: before, ..
        } in self
            .changes
            .iter()
            .filter(|change| is_dvc_file(&change.path))
        {
            match before.filter(Entry::is_file) {
                Some(entry) => {
                    old.insert(path.clone(), entry.id);
                }
                None => {
                    old.remove(path);
                }
            }
        }
        let others = self
            .other_old
            .iter()
            .filter(|(path, entry)| is_dvc_file(path) && entry.is_file() && is_changed(path));
        let mut before = vec![expanded(&old)?];
        for (path, entry) in others {
            // Where the stages of a `dvc.lock` run, the `dvc.yaml` beside it says.
            let pipelines = old
                .iter()
                .filter(|(path, _)| path.ends_with(b"dvc.yaml"))
                .map(|(path, id)| (path.clone(), *id));
            before.push(expanded(
                &pipelines.chain([(path.clone(), entry.id)]).collect(),
            )?);
        }
        Ok((expanded(new)?, before))
    }

    /// What the tables of labels say, in the version and, where a table changed, before it. `new`
    /// are those that git has.
    ///
    /// # Errors
    /// [`Error::Input`] for a table that cannot be used, or is not here. One from before the change
    /// that DVC has not here says nothing.
    pub(super) fn labels(
        &self,
        new: &Names,
        kept: &dvc::Files,
        before: &dvc::Files,
    ) -> Result<(Labels, Option<Labels>)> {
        let mut old = new.clone();
        for RawChange {
            path, old: before, ..
        } in &self.changes
        {
            let Some(path) = self.offset.map(path).filter(|path| is_table(path)) else {
                continue;
            };
            match before.filter(Entry::is_file) {
                Some(entry) => {
                    old.insert(path, entry.id);
                }
                None => {
                    old.remove(&path);
                }
            }
        }
        let differ = old != *new || before.tables != kept.tables;
        let labels = |names: &Names, files: &dvc::Files, old: bool| {
            let names: Vec<_> = names.iter().map(|(path, id)| (path.clone(), *id)).collect();
            let mut texts = self.texts(&names)?;
            for (place, md5) in &files.tables {
                let Some(path) = self.offset.map(place).filter(|path| is_table(path)) else {
                    continue;
                };
                match table(&files.caches, md5.as_ref(), place) {
                    Ok(text) => texts.push((path, text)),
                    Err(_) if old => {}
                    Err(why) => {
                        return Err(Error::Input(format!(
                            "{}: {why}",
                            String::from_utf8_lossy(&path)
                        )));
                    }
                }
            }
            texts.sort();
            Labels::of_texts(&texts)
        };
        Ok((
            labels(new, kept, false)?,
            if differ {
                Some(labels(&old, before, true)?)
            } else {
                None
            },
        ))
    }
}

/// The bytes of a table that DVC keeps.
fn table(
    caches: &[dvc::Cache],
    md5: Option<&dvc::Md5>,
    place: &[u8],
) -> std::result::Result<Vec<u8>, String> {
    let md5 = md5.ok_or("DVC does not say its MD5; run `dvc commit`")?;
    let mut buffer = Buffer::default();
    let limits = Limits {
        max_bytes: LONGEST_TEXT,
        ..Limits::default()
    };
    match dvc::read_from(caches, md5, place, &limits, &mut buffer) {
        Ok(()) => Ok(buffer.bytes),
        Err(Unread::Missing(why) | Unread::Unreadable(why)) => Err(why),
    }
}
