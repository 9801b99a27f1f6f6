//! A change under version control → verdicts on its new files, each against the files that stay and
//! the new ones before it.
//!
//! Contents are known by the names that version control has for them: what the index has is not
//! read, let alone decoded again. What it has not is read from the objects and decoded in memory.
//! The work tree is never looked at.

use rayon::prelude::*;

use super::{
    CheckItem, CheckOptions, Checked, Read,
    base::{Base, occurrence},
};
use crate::{
    Error, Result,
    dataset::{Bytes, Change, Objects, Unread, VersionFile, read_together},
    index::Reader,
    monitor::Monitor,
    store::alias::Alias,
    verdict::Occurrence,
};

/// A file's content, or why it cannot be had.
type Had = std::result::Result<Read, Unread>;

/// The rows of the files of a change whose names the index knows, each with the place of the file
/// in its list.
#[derive(Debug)]
pub struct Located {
    pub(super) base: Vec<(u32, u32)>,
    pub(super) new: Vec<(u32, u32)>,
}

impl Reader {
    /// Finds the files of a change in the index.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn locate(&self, change: &Change) -> Result<Located> {
        Ok(Located {
            base: self.rows_of(&change.base)?,
            new: self.rows_of(&change.new)?,
        })
    }

    /// Judges the new files of a change in the byte order of their paths, each against the files
    /// that stay, plus the new ones before it. Anomalies are judged by the distance to the fifth
    /// nearest of the published dataset and the new files.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`] and [`Error::Interrupted`]; a file that cannot be read is
    /// a verdict.
    pub fn check_change(
        &self,
        change: &Change,
        located: &Located,
        objects: &dyn Objects,
        options: &CheckOptions,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Checked>> {
        if change.new.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = located.base.clone();
        let unknown = absent(&rows, change.base.len());
        let foreign = self.read_base(&unknown, change, objects, options, monitor, &mut rows)?;
        let new: Vec<&VersionFile> = change.new.iter().collect();
        let mut read = self.read_known(change.new.len(), &located.new, monitor)?;
        let unknown: Vec<usize> = (0..new.len()).filter(|&i| read[i].is_none()).collect();
        let wanted: Vec<&VersionFile> = unknown.iter().map(|&i| new[i]).collect();
        let had = self.read_objects(&wanted, objects, options, monitor)?;
        unknown
            .into_iter()
            .zip(had)
            .for_each(|(i, had)| read[i] = Some(had));
        // What stays and is not in the index comes first, so that all others are compared with it.
        let before = foreign.len();
        let files = foreign
            .iter()
            .map(|(file, _)| *file)
            .chain(new.iter().copied());
        let item = |file: &VersionFile| CheckItem {
            file: std::path::PathBuf::new(),
            path: file.path.clone(),
            inside: true,
        };
        let (items, named): (Vec<CheckItem>, Vec<Occurrence>) = files
            .map(|file| (item(file), occurrence(file, change)))
            .unzip();
        let read: Vec<Had> = foreign
            .into_iter()
            .map(|(_, read)| Ok(read))
            .chain(read.into_iter().flatten())
            .collect();
        let base = Base::version(self, rows, change);
        self.judge(items, &named, read, before, &base, options, monitor)
    }

    /// The rows of the files whose names the index knows, each with the place of the file.
    fn rows_of(&self, files: &[VersionFile]) -> Result<Vec<(u32, u32)>> {
        let mut order: Vec<(Alias, u32)> = files
            .iter()
            .zip(0..)
            .map(|(file, place)| (file.name, place))
            .collect();
        order.par_sort_unstable();
        let (names, places): (Vec<Alias>, Vec<u32>) = order.into_iter().unzip();
        let found = self.view.rows_of_aliases(&names)?;
        Ok(found
            .into_iter()
            .map(|(at, row)| (row, places[at]))
            .collect())
    }

    /// Reads files that stay and have no known name. Contents that the index has after all are
    /// added to `rows`.
    fn read_base<'a>(
        &self,
        unknown: &[u32],
        change: &'a Change,
        objects: &dyn Objects,
        options: &CheckOptions,
        monitor: &dyn Monitor,
        rows: &mut Vec<(u32, u32)>,
    ) -> Result<Vec<(&'a VersionFile, Read)>> {
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let files: Vec<&VersionFile> = unknown
            .iter()
            .map(|&place| &change.base[place as usize])
            .collect();
        let had = self.read_objects(&files, objects, options, monitor)?;
        let (mut foreign, mut missing) = (Vec::new(), 0u64);
        for ((had, file), place) in had.into_iter().zip(files).zip(unknown) {
            match had {
                Ok(Read { row: Some(row), .. }) => rows.push((row, *place)),
                Ok(read) => foreign.push((file, read)),
                Err(Unread::Missing(_)) => missing += 1,
                Err(Unread::Unreadable(_)) => {}
            }
        }
        if missing > 0 {
            monitor.note(&format!("{missing} images that stay are not here, and nothing was compared with them; fetch them, or run `wsidx sync` where they are"));
        }
        if !foreign.is_empty() {
            let count = foreign.len();
            monitor.note(&format!(
                "{count} images that stay are not in the index and were read from version control; `wsidx sync` takes them in"
            ));
        }
        Ok(foreign)
    }

    /// The contents of so many files that the index knows by name.
    fn read_known(
        &self,
        files: usize,
        rows: &[(u32, u32)],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Option<Had>>> {
        let mut read: Vec<Option<Had>> = (0..files).map(|_| None).collect();
        let of_row = |&(row, place): &(u32, u32)| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            let (id, _) = self.view.content(row)?;
            let picture = self.picture_of_row(row)?;
            Ok((
                place,
                Read {
                    id,
                    feature: self.feature(&picture),
                    picture,
                    row: Some(row),
                    query: None,
                },
            ))
        };
        for (place, known) in rows.par_iter().map(of_row).collect::<Result<Vec<_>>>()? {
            read[place as usize] = Some(Ok(known));
        }
        Ok(read)
    }

    /// Reads files from the objects, as many at once as fit in memory, and decodes them on all
    /// threads.
    fn read_objects(
        &self,
        files: &[&VersionFile],
        objects: &dyn Objects,
        options: &CheckOptions,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Had>> {
        let mut had: Vec<Had> = Vec::with_capacity(files.len());
        if !files.is_empty() {
            monitor.stage("reading", Some(files.len() as u64));
        }
        let limits = self.limits_of(options);
        let one = |read: Bytes| {
            monitor.advance(1);
            match read {
                _ if monitor.cancelled() => Err(Error::Interrupted),
                Ok(buffer) => super::unread(self.look_at_bytes(&buffer, &limits)),
                Err(unread) => Ok(Err(unread)),
            }
        };
        read_together(objects, files, &limits, |read| {
            had.extend(read.into_par_iter().map(one).collect::<Result<Vec<_>>>()?);
            Ok(())
        })?;
        Ok(had)
    }
}

/// The places that no row has.
pub(super) fn absent(rows: &[(u32, u32)], places: usize) -> Vec<u32> {
    let mut known = vec![false; places];
    rows.iter()
        .for_each(|(_, place)| known[*place as usize] = true);
    (0..places as u32)
        .filter(|&place| !known[place as usize])
        .collect()
}
