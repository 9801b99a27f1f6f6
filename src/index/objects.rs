//! Files of versions → cached contents without a path: how the index of a bare repository, which
//! has no files, comes to know its images.

use std::collections::{BTreeSet, HashSet};

use rayon::prelude::*;

use super::{Writer, batch::content_of};
use crate::{
    Error, Result,
    dataset::{Buffer, Naming, Objects, VersionFile, read_together},
    monitor::Monitor,
    picture::{Limits, decode},
    store::{
        alias::Alias,
        history::aliases_record,
        packs::{Content, Record},
        state::ContentId,
    },
};

/// What was taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Contents that the index knew by name.
    pub known: u64,
    /// Contents that were read.
    pub read: u64,
    /// Files that are missing or no images.
    pub unread: u64,
}

/// A file that was read: its id and names, and what is stored where it is new.
type Taken = (ContentId, Vec<Alias>, Option<Content>);

impl Writer {
    /// Takes in the contents of files that the index does not know by name, and publishes them. No
    /// path holds them: `gc` drops those that came long ago, and they are taken in again.
    ///
    /// # Errors
    /// [`Error::Interrupted`] with everything acknowledged kept; [`Error::Io`].
    pub fn take_objects(
        &mut self,
        files: &[VersionFile],
        objects: &dyn Objects,
        naming: &Naming,
        at: i64,
        monitor: &dyn Monitor,
    ) -> Result<TakenIn> {
        let known: HashSet<Alias> = self
            .state()
            .contents()
            .flat_map(|(_, entry)| entry.aliases.iter().copied())
            .collect();
        let names: BTreeSet<Alias> = files.iter().map(|file| file.name).collect();
        let mut asked = HashSet::new();
        let wanted: Vec<&VersionFile> = files
            .iter()
            .filter(|file| !known.contains(&file.name) && asked.insert(file.name))
            .collect();
        let mut taken = TakenIn {
            known: (names.len() - wanted.len()) as u64,
            ..TakenIn::default()
        };
        monitor.stage("reading", Some(wanted.len() as u64));
        let limits = self.home.limits();
        let mut names = wanted.iter().map(|file| file.name);
        read_together(objects, &wanted, &limits, |read| {
            monitor.advance(read.len() as u64);
            let all = read.len();
            let had: Vec<(Alias, Buffer)> = read
                .into_iter()
                .zip(names.by_ref())
                .filter_map(|(read, name)| Some((name, read.ok()?)))
                .collect();
            taken.unread += (all - had.len()) as u64;
            self.take_batch(had, naming, (at, &limits), &mut taken, monitor)
        })?;
        self.save()?;
        self.publish(at, monitor)?;
        Ok(taken)
    }

    fn take_batch(
        &mut self,
        files: Vec<(Alias, Buffer)>,
        naming: &Naming,
        (at, limits): (i64, &Limits),
        taken: &mut TakenIn,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let shape = self.settings.shape();
        let one = |(name, buffer): (Alias, Buffer)| -> Result<Option<Taken>> {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            let id = buffer.id();
            let mut aliases = naming.of(&buffer.bytes);
            aliases.push(name);
            if self.state().content(&id).is_some() {
                return Ok(Some((id, aliases, None)));
            }
            let decoded = decode(&buffer.bytes, shape, limits).ok();
            Ok(decoded.map(|decoded| {
                (
                    id,
                    aliases,
                    Some(content_of(id, buffer.bytes.len() as u64, decoded).0),
                )
            }))
        };
        let read = files.into_par_iter().map(one).collect::<Result<Vec<_>>>()?;
        let mut records = Vec::new();
        let mut new = HashSet::new();
        for read in read {
            let Some((id, aliases, content)) = read else {
                taken.unread += 1;
                continue;
            };
            taken.read += 1;
            records.extend(content.filter(|_| new.insert(id)).map(Record::Content));
            records.push(aliases_record(&id, &aliases));
        }
        if records.is_empty() {
            Ok(())
        } else {
            self.commit(&records, at)
        }
    }
}
