//! Files that a watcher hands over → what was read of each, and of each item of those that are containers.

use std::{collections::BTreeSet, io::ErrorKind, sync::Arc};

use super::{
    Arrival, Intake, Unsettled, Writer,
    batch::{BatchReader, Outcome, Source},
};
use crate::{
    Error, Result,
    dataset::{CHANGED_WHILE_READ, Found, is_container, is_item_of, names_container, stat_of_container, to_path},
    monitor::Monitor,
    picture::Limits,
    store::state::{Holds, Stat},
};

impl Writer {
    /// Reads files on all threads; those that are not whole go to `unsettled`.
    pub(super) fn read_arrivals(
        &self,
        intake: &mut Intake,
        files: &[Arrival],
        unsettled: &mut Vec<Unsettled>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Outcome>> {
        let started = self.lock.file_system_time(&self.who).map_err(Error::io("writing", &self.home.folder().join("lock")))?;
        let (root, limits) = (self.home.root.clone(), Limits::default());
        let reader = BatchReader { root, shape: self.settings.shape(), limits, started, naming: intake.naming };
        let sources = |file: &Arrival| self.sources(&file.path);
        let (of, sources): (Vec<&Arrival>, Vec<Source>) =
            files.iter().flat_map(|file| sources(file).into_iter().map(move |source| (file, source))).unzip();
        let outcomes = reader.read(&sources, &|id| self.state.content(id).is_some(), monitor);
        if outcomes.len() < sources.len() {
            return Err(Error::Interrupted);
        }
        let mut settled = Vec::new();
        for (mut outcome, file) in outcomes.into_iter().zip(of) {
            match &outcome.entry.holds {
                Holds::Undecodable { reason, .. } if outcome.told.is_none() && self.is_unsettled(file, reason) => {
                    unsettled.push(Unsettled { path: file.path.clone(), reason: reason.to_string() });
                }
                _ => {
                    (outcome.entry.label, outcome.entry.split) = outcome.told.take().unwrap_or_else(|| intake.labels.of(&outcome.path));
                    settled.push(outcome);
                }
            }
        }
        settled.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(settled)
    }

    /// What is to be read of a file: itself, or its items.
    fn sources(&self, path: &Arc<[u8]>) -> Vec<Source> {
        let (file, path) = (to_path(&self.home.root, path), path.clone());
        if is_container(&file) {
            return Source::items(&self.home.root, &Found { path, stat: stat_of_container(&file).unwrap_or_default() });
        }
        // What the file system says of a file is asked when it is read.
        vec![Source::file(&Found { path, stat: Stat::default() })]
    }

    /// Known items of containers that were read, and are not in them any more.
    pub(super) fn vanished(&self, files: &[Arrival], outcomes: &[Outcome]) -> BTreeSet<Arc<[u8]>> {
        let was_read =
            |container: &[u8]| outcomes.iter().any(|outcome| *outcome.path == *container || is_item_of(container, &outcome.path));
        let containers = files.iter().map(|file| &file.path).filter(|path| names_container(path) && was_read(path));
        let known = containers.flat_map(|container| {
            let is_of = move |path: &[u8]| *path == **container || is_item_of(container, path);
            self.state.paths_with(container).map(|(path, _)| path).filter(move |path| is_of(path))
        });
        known.filter(|path| outcomes.binary_search_by(|outcome| outcome.path.cmp(path)).is_err()).cloned().collect()
    }

    /// Whether a file that cannot be read may be read later, or is no more.
    fn is_unsettled(&self, file: &Arrival, reason: &str) -> bool {
        let is_gone = || to_path(&self.home.root, &file.path).symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        file.growing || reason == CHANGED_WHILE_READ || is_gone()
    }
}
