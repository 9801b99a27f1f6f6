//! Hints and looks at folders → files that wait and paths that have left.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use wsidx::{
    Error,
    dataset::{
        Found, Listing, contains, is_container, is_hidden, names_companion, names_image,
        names_table, stat_of_file, tables_above, to_path, to_relative,
    },
    store::state::Stat,
};

use super::{
    clock,
    daemon::{Daemon, Store},
    inbox::Hint,
    lines,
    mounts::Change,
    queue::Name,
    report::Nothing,
    roots::Turn,
    scanner::{Job, Scanned, Scope},
};
use crate::Failure;

/// Between two looks whether the folders are there.
const TURN: Duration = Duration::from_secs(1);
/// New folders that are looked at one by one; with more, everything is looked at.
const FOLDERS: usize = 1_000;

#[derive(Serialize)]
struct Looked {
    folders: usize,
    files: usize,
    waiting: usize,
    gone: usize,
}

impl Daemon<'_> {
    /// Takes up what was said of a path.
    pub(super) fn hint(&mut self, path: &Path, hint: Hint) {
        let Some(relative) = to_relative(&self.root, path) else {
            return;
        };
        let Some(root) = self.roots.iter().find(|root| root.contains(&relative)) else {
            return;
        };
        if is_hidden(&relative) || root.trouble.is_some() || self.mounts.hide(&relative) {
            return;
        }
        if relative == root.scope {
            self.next_turn = Instant::now();
            return;
        }
        let now = Instant::now();
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => {
                self.folders.insert(relative);
            }
            Ok(meta) if meta.is_file() => self.hint_file(relative.into(), hint, now),
            _ => self.hint_gone(&relative, now),
        }
    }

    fn hint_file(&mut self, path: Name, hint: Hint, now: Instant) {
        if names_table(&path) || names_companion(&path) {
            self.rescan = true;
        }
        if !names_image(&path) && !is_container(&to_path(&self.root, &path)) {
            return;
        }
        match (hint, stat_of_file(&self.root, &path)) {
            (Hint::Whole, Some(_)) => self.queue.closed(path, now),
            (Hint::Touched, Some(stat)) => self.queue.seen(path, stat, now, self.settings.settle),
            (_, None) => {}
        }
    }

    /// A path is no more, or is no file: so are all below it.
    fn hint_gone(&mut self, path: &[u8], now: Instant) {
        let Some(Store { writer, .. }) = &self.store else {
            self.rescan = true;
            return;
        };
        let known = writer
            .state()
            .paths_with(path)
            .filter(|(known, _)| contains(path, known));
        known.for_each(|(known, _)| self.queue.left(known.clone(), now));
    }

    /// Looks whether the watched folders are there, every so often.
    pub(super) fn turn_roots(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if now < self.next_turn {
            return Ok(());
        }
        self.next_turn = now + TURN;
        if self
            .store
            .as_ref()
            .is_some_and(|store| !store.writer.is_in_place())
        {
            let folder = self.root.display();
            return Err(Error::Input(format!(
                "the index in {folder} was moved or removed while it was written to; start again"
            ))
            .into());
        }
        for at in 0..self.roots.len() {
            let turn = self.roots[at].turn();
            let name = to_path(&self.root, &self.roots[at].scope);
            match turn {
                Turn::Same => {}
                Turn::Lost => {
                    let why = self.roots[at].trouble.clone().unwrap_or_default();
                    self.degraded(&format!(
                        "{}: {why}; nothing below it is taken for removed",
                        name.display()
                    ))?;
                }
                Turn::Back => {
                    self.recovered(&format!(
                        "{} is there; everything is looked at",
                        name.display()
                    ))?;
                    self.rescan = true;
                }
            }
        }
        self.turn_mounts()
    }

    /// Looks whether the file systems below the watched folders are there.
    pub(super) fn turn_mounts(&mut self) -> Result<(), Failure> {
        let store = self.store.as_ref();
        let is_known = |folder: &[u8]| {
            // Without the index nobody knows.
            store.is_none_or(|store| {
                store
                    .writer
                    .state()
                    .paths_with(folder)
                    .any(|(known, _)| contains(folder, known))
            })
        };
        for (folder, change) in self.mounts.turn(is_known) {
            let name = to_path(&self.root, &folder);
            match change {
                Change::Lost(why) => self.degraded(&format!(
                    "{}: {why}; nothing below it is taken for removed",
                    name.display()
                ))?,
                Change::Back => self.recovered(&format!(
                    "{} is as it was; everything is looked at",
                    name.display()
                ))?,
                Change::New => self.log.info(&format!(
                    "a file system was mounted on {}; everything is looked at",
                    name.display()
                )),
            }
            self.rescan |= !matches!(change, Change::Lost(_));
            let root = self.roots.iter_mut().find(|root| root.contains(&folder));
            if let Some(why) = root.and_then(|root| root.poll_for(&name)) {
                self.degraded(&format!("{}: {why}; the folder is polled", name.display()))?;
            }
        }
        Ok(())
    }

    /// Has folders looked at, one job at a time.
    pub(super) fn look_around(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.looking {
            return Ok(());
        }
        let everything = self.rescan || self.folders.len() > FOLDERS;
        let sound = self.roots.iter().filter(|root| root.trouble.is_none());
        let scopes: Vec<Scope> = if everything {
            sound.map(super::roots::Root::scope).collect()
        } else {
            let due = sound
                .filter(|root| root.next_look <= now)
                .map(super::roots::Root::scope);
            let new = self
                .folders
                .iter()
                .filter(|folder| !self.mounts.hide(folder))
                .map(|folder| {
                    let root = self.roots.iter().find(|root| root.contains(folder));
                    Scope {
                        path: folder.clone(),
                        watch: root.is_some_and(|root| root.polled.is_none()),
                    }
                });
            due.chain(new).collect()
        };
        let (rescan, settle) = (self.settings.rescan, self.settings.settle);
        for root in self
            .roots
            .iter_mut()
            .filter(|root| everything || root.next_look <= now)
        {
            root.looked(now, rescan, settle);
        }
        self.folders.clear();
        self.rescan = false;
        if scopes.is_empty() {
            return Ok(());
        }
        if everything && self.ready {
            self.tell(&[&lines::news("rescan_started", &Nothing {})])?;
        }
        self.looking = true;
        self.scanner.look(Job { scopes, everything });
        Ok(())
    }

    /// Takes up what a look has found.
    pub(super) fn scanned(&mut self, scanned: Scanned) -> Result<(), Failure> {
        let Scanned {
            job,
            listings,
            troubles,
            folders,
        } = scanned;
        self.looking = false;
        // The look was at what was there then.
        self.turn_mounts()?;
        for (scope, trouble) in job.scopes.iter().zip(troubles) {
            let root = self
                .roots
                .iter_mut()
                .find(|root| root.contains(&scope.path));
            if let (Some(root), Some(why)) = (root, trouble)
                && root.polled.is_none()
            {
                root.polled = Some(why.clone());
                root.next_look = Instant::now();
                self.degraded(&format!("{why}; the folder is polled"))?;
            }
        }
        if job.everything {
            self.numbers().rescans += 1;
            self.read_tables(&job, &listings)?;
        }
        let (mut files, mut gone) = (0, 0);
        for (scope, listing) in job.scopes.into_iter().zip(listings) {
            match listing {
                Ok(listing) => {
                    files += listing.files.len() + listing.containers.len();
                    gone += self.compare(listing, scope.path);
                }
                // The folder has left; its own turn tells.
                Err(e) => self.log.info(&e.to_string()),
            }
        }
        if job.everything {
            let kind = if self.ready { "rescan_done" } else { "ready" };
            self.tell(&[&lines::news(
                kind,
                &Looked {
                    folders,
                    files,
                    waiting: self.waiting(),
                    gone,
                },
            )])?;
        }
        if job.everything && !self.ready {
            self.ready = true;
            self.notice.ready();
            self.notice.status("watching");
        }
        Ok(())
    }

    /// Reads tables of labels, `wsidx.toml` and exceptions again. Where they cannot be used, they
    /// stay as they were.
    fn read_tables(
        &mut self,
        job: &Job,
        listings: &[Result<Listing, Error>],
    ) -> Result<(), Failure> {
        let monitor = super::log::Working {
            log: self.log,
            notice: &self.notice,
            stop: None,
        };
        let Some(Store { writer, intake }) = &mut self.store else {
            return Ok(());
        };
        let mut tables: Vec<Name> = listings
            .iter()
            .flatten()
            .flat_map(|listing| listing.tables.iter().cloned())
            .collect();
        tables.extend(
            job.scopes
                .iter()
                .flat_map(|scope| tables_above(&self.root, &scope.path)),
        );
        tables.sort_unstable();
        tables.dedup();
        match writer.intake(&tables, clock::seconds(), &monitor) {
            Ok(new) => *intake = new,
            Err(e @ Error::Input(_)) if self.ready => {
                return self.degraded(&format!("labels and rules stay as they were: {e}"));
            }
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// Compares a folder with the index; gives the number of paths that are no more.
    fn compare(&mut self, listing: Listing, scope: Vec<u8>) -> usize {
        let now = Instant::now();
        let sound = self
            .roots
            .iter()
            .find(|root| root.contains(&scope))
            .is_some_and(super::roots::Root::is_sound);
        let Some(Store { writer, intake }) = &mut self.store else {
            return 0;
        };
        let (files, gone) = writer.differences(listing, &[scope], intake);
        let settle = self.settings.settle;
        for Found { path, stat } in files
            .into_iter()
            .filter(|found| !self.mounts.hide(&found.path))
        {
            if has_rested(&stat, settle, clock::age) {
                self.queue.found(path, now);
            } else {
                self.queue.noticed(path, stat, now, settle);
            }
        }
        if !sound {
            return 0;
        }
        let gone: Vec<Name> = gone
            .into_iter()
            .filter(|path| !self.mounts.hide(path))
            .collect();
        let count = gone.len();
        gone.into_iter().for_each(|path| self.queue.left(path, now));
        count
    }
}

/// Whether a file has not changed for the settle time by its own word; `age` says how long ago a
/// time was, and nothing of one that lies in the future: then the clock was set, and the file is
/// waited for by a clock that cannot be.
fn has_rested(stat: &Stat, settle: Duration, age: impl Fn(i64) -> Option<Duration>) -> bool {
    let rests = |time: i64| age(time).is_some_and(|age| age >= settle);
    rests(stat.mtime_ns) && (stat.ctime_ns == 0 || rests(stat.ctime_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_from_the_future_has_not_rested_whatever_the_clock_says() {
        let settle = Duration::from_secs(2);
        let stat = |mtime_ns, ctime_ns| Stat {
            mtime_ns,
            ctime_ns,
            ..Stat::default()
        };
        // The clock stands at 100 s.
        let age = |time: i64| {
            u64::try_from(100_000_000_000 - time)
                .ok()
                .map(Duration::from_nanos)
        };
        let seconds = |seconds: i64| seconds * 1_000_000_000;
        for (mtime, ctime, expected) in [
            (98, 98, true),
            (98, 0, true),
            (99, 98, false),
            (98, 99, false),
            (101, 98, false),
            (10, 10_000, false),
        ] {
            assert_eq!(
                has_rested(&stat(seconds(mtime), seconds(ctime)), settle, age),
                expected,
                "{mtime} {ctime}"
            );
        }
    }
}
