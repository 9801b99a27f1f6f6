//! Files that a watcher hands over → what was read of each, and of each item of those that are
//! containers: in their turn, or before it, while the writer has something else to do.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;

use super::{
    Arrival, Intake, Reader, Unsettled, Writer,
    batch::{BatchReader, Outcome, Source},
    check::Read,
    pairs::{QueryPicture, Registrar},
    registration_cache::RegistrationCache,
};
use crate::{
    Error, Result,
    dataset::{
        CHANGED_WHILE_READ, Found, Unread, is_container, is_item_of, names_container,
        stat_of_container, to_path,
    },
    feature::{Basis, Feature},
    monitor::Monitor,
    store::state::{Holds, Stat},
};

/// A file, or an item of one, that was read.
pub(super) struct Arrived {
    pub(super) outcome: Outcome,
    /// What a check makes of a picture first.
    pub(super) looked: Option<(Feature, Arc<QueryPicture>)>,
}

/// Files that were read before their turn.
pub struct Ahead {
    /// What their features are made by.
    basis: Basis,
    arrived: Vec<Arrived>,
    unsettled: Vec<Unsettled>,
    /// Containers: they may hold anything, and are read in their turn.
    left: Vec<Arrival>,
}

/// Reads what a watcher hands over. Contents that the view has are not decoded.
pub(super) struct ArrivalReader {
    batch: BatchReader,
    reader: Reader,
}

impl ArrivalReader {
    /// Reads files on all threads; those that are not whole are the second answer.
    fn read(
        &self,
        files: &[Arrival],
        monitor: &dyn Monitor,
    ) -> Result<(Vec<Arrived>, Vec<Unsettled>)> {
        let sources = |file: &Arrival| sources(self.reader.root(), &file.path);
        let (of, sources): (Vec<&Arrival>, Vec<Source>) = files
            .iter()
            .flat_map(|file| sources(file).into_iter().map(move |source| (file, source)))
            .unzip();
        let outcomes = self.batch.read(
            &sources,
            &|id| matches!(self.reader.view.row_of(id), Ok(Some(_))),
            monitor,
        );
        if outcomes.len() < sources.len() {
            return Err(Error::Interrupted);
        }
        let (mut arrived, mut unsettled) = (Vec::new(), Vec::new());
        for (outcome, file) in outcomes.into_iter().zip(of) {
            match &outcome.entry.holds {
                Holds::Undecodable { reason, .. }
                    if outcome.told.is_none() && self.is_unsettled(file, reason) =>
                {
                    unsettled.push(Unsettled {
                        path: file.path.clone(),
                        reason: reason.to_string(),
                    });
                }
                _ => arrived.push(Arrived {
                    outcome,
                    looked: None,
                }),
            }
        }
        Ok((arrived, unsettled))
    }

    /// What was read of files in their turn and before it, by path, with their labels. Files that
    /// were read again count as they are now.
    pub(super) fn arrived(
        &self,
        files: &mut Vec<Arrival>,
        ahead: Option<Ahead>,
        intake: &mut Intake,
        monitor: &dyn Monitor,
    ) -> Result<(Vec<Arrived>, Vec<Unsettled>)> {
        let (mut before, mut unsettled) = (Vec::new(), Vec::new());
        if let Some(ahead) = ahead {
            let is_current = ahead.basis == self.reader.basis;
            before = ahead.arrived;
            before
                .iter_mut()
                .for_each(|arrived| arrived.looked = arrived.looked.take().filter(|_| is_current));
            unsettled = ahead.unsettled;
            files.extend(ahead.left);
        }
        files.sort_unstable();
        files.dedup_by(|a, b| a.path == b.path);
        let is_read_again =
            |path: &Arc<[u8]>| files.binary_search_by(|file| file.path.cmp(path)).is_ok();
        before.retain(|arrived| !is_read_again(&arrived.outcome.path));
        unsettled.retain(|unsettled| !is_read_again(&unsettled.path));
        let (mut arrived, more) = self.read(files, monitor)?;
        unsettled.extend(more);
        arrived.extend(before);
        for Arrived { outcome, .. } in &mut arrived {
            (outcome.entry.label, outcome.entry.split) = outcome
                .told
                .take()
                .unwrap_or_else(|| intake.labels.of(&outcome.path));
        }
        arrived.sort_by(|a, b| a.outcome.path.cmp(&b.outcome.path));
        Ok((arrived, unsettled))
    }

    /// Reads files whose turn comes later, and makes of their pictures what a check makes first.
    pub(super) fn read_ahead(&self, files: Vec<Arrival>, monitor: &dyn Monitor) -> Result<Ahead> {
        let (left, files): (Vec<Arrival>, Vec<Arrival>) = files
            .into_iter()
            .partition(|file| names_container(&file.path));
        let (mut arrived, unsettled) = self.read(&files, monitor)?;
        arrived.par_iter_mut().try_for_each(|arrived| {
            arrived.looked = self.look(&arrived.outcome)?;
            Ok::<_, Error>(())
        })?;
        Ok(Ahead {
            basis: self.reader.basis.clone(),
            arrived,
            unsettled,
            left,
        })
    }

    fn look(&self, outcome: &Outcome) -> Result<Option<(Feature, Arc<QueryPicture>)>> {
        let Some((content, picture)) = &outcome.content else {
            return Ok(None);
        };
        let registrar = Registrar::new(
            self.reader.registrations(1),
            |()| Ok(content.id),
            |()| Ok(picture.clone()),
        );
        let query = QueryPicture::known(
            (),
            picture,
            |part, turns| self.reader.features(part, turns),
            &registrar,
        )?;
        Ok(Some((self.reader.feature(picture), Arc::new(query))))
    }

    /// Whether a file that cannot be read may be read later, or is no more.
    fn is_unsettled(&self, file: &Arrival, reason: &str) -> bool {
        file.growing || reason == CHANGED_WHILE_READ || self.reader.home.lacks(&file.path)
    }
}

/// What is to be read of a file: itself, or its items.
fn sources(root: &Path, path: &Arc<[u8]>) -> Vec<Source> {
    let (file, path) = (to_path(root, path), path.clone());
    if is_container(&file) {
        return Source::items(
            root,
            &Found {
                path,
                stat: stat_of_container(&file).unwrap_or_default(),
            },
        );
    }
    // What the file system says of a file is asked when it is read.
    vec![Source::file(&Found {
        path,
        stat: Stat::default(),
    })]
}

impl Writer {
    /// Reads what changes from now on, or what the view has.
    pub(super) fn arrival_reader(&mut self, intake: &Intake) -> Result<ArrivalReader> {
        let started = self
            .lock
            .file_system_time(&self.who)
            .map_err(Error::io("writing", &self.home.folder().join("lock")))?;
        let (home, limits) = (self.home.clone(), intake.rules().limits.of_images());
        let batch = BatchReader {
            home,
            shape: self.settings.shape(),
            limits,
            started,
            naming: intake.naming,
        };
        Ok(ArrivalReader {
            batch,
            reader: self.reader_without_scores()?,
        })
    }

    /// Answers from what is published, without opening it again, for those who do not judge: a
    /// publication changes the scores, which it need not copy where nobody else has them.
    pub(super) fn reader_without_scores(&mut self) -> Result<Reader> {
        let none = || Error::Damaged {
            what: "there is no published view".into(),
            mend: "run `wsidx sync`",
        };
        let view = self
            .shown
            .as_ref()
            .map(|shown| Arc::clone(&shown.view))
            .ok_or_else(none)?;
        let reference = OnceLock::new();
        let (home, settings) = (self.home.clone(), self.settings.clone());
        if !self
            .registrations
            .as_ref()
            .is_some_and(|registrations| registrations.is_for(view.rows()))
        {
            self.registrations = Some(Arc::new(RegistrationCache::lasting(
                view.rows(),
                settings.size,
            )));
        }
        let registrations = self.registrations.clone();
        Ok(Reader {
            home,
            settings,
            basis: view.basis(),
            packs: self.packs.reader(),
            view,
            reference,
            turned: OnceLock::new(),
            registrations,
            k_distances: None,
        })
    }

    /// Known items of containers that were read, and are not in them any more.
    pub(super) fn vanished(&self, files: &[Arrival], arrived: &[Arrived]) -> BTreeSet<Arc<[u8]>> {
        let paths = || arrived.iter().map(|arrived| &arrived.outcome.path);
        let was_read = |container: &[u8]| {
            paths().any(|path| **path == *container || is_item_of(container, path))
        };
        let containers = files
            .iter()
            .map(|file| &file.path)
            .filter(|path| names_container(path) && was_read(path));
        let known = containers.flat_map(|container| {
            let is_of = move |path: &[u8]| *path == **container || is_item_of(container, path);
            self.state
                .paths_with(container)
                .map(|(path, _)| path)
                .filter(move |path| is_of(path))
        });
        known
            .filter(|path| {
                arrived
                    .binary_search_by(|arrived| arrived.outcome.path.cmp(path))
                    .is_err()
            })
            .cloned()
            .collect()
    }
}

impl Reader {
    /// What a check reads of a file that arrived.
    pub(super) fn look_at_arrived(
        &self,
        Arrived { outcome, looked }: &Arrived,
    ) -> Result<std::result::Result<Read, Unread>> {
        let id = match &outcome.entry.holds {
            Holds::Content(id) => *id,
            Holds::Undecodable { reason, .. } => {
                return Ok(Err(Unread::Unreadable(reason.to_string())));
            }
        };
        let row = self.view.row_of(&id)?;
        let picture = match (&outcome.content, row) {
            (Some((_, picture)), _) => picture.clone(),
            (None, Some(row)) => self.picture_of_row(row)?,
            (None, None) => {
                return Err(Error::Damaged {
                    what: "the view lacks a content".into(),
                    mend: "run `wsidx rebuild`",
                });
            }
        };
        let (feature, query) = match looked {
            Some((feature, query)) => (feature.clone(), Some(Arc::clone(query))),
            None => (self.feature(&picture), None),
        };
        Ok(Ok(Read {
            id,
            picture,
            feature,
            row,
            query,
        }))
    }
}
