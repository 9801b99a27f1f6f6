//! The tree → the index: what is new, changed, moved or gone.
//!
//! Stat first, hash only what changed, decode only contents that were never seen. Work is committed
//! in batches, so what is acknowledged before an interruption stays; the next `sync` goes on from
//! there.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Published, Writer,
    batch::{BatchReader, Batches, Contained, Outcome},
};
use crate::{
    Error, Result,
    dataset::{
        self, Found, Labels, Listing, Naming, Skipped, contains, is_item_of, skipped_tables_above,
        to_path, to_relative,
    },
    monitor::Monitor,
    picture::{Limits, Picture},
    store::{
        alias::Alias,
        history::{aliases_record, gone_record, path_record},
        packs::{Content, Record},
        state::{ContentId, Holds, PathEntry, State},
    },
};

/// What to bring in line.
#[derive(Debug, Clone, Default)]
pub struct SyncOptions {
    /// Files and folders relative to the root; none: everything.
    pub scopes: Vec<Vec<u8>>,
    /// The present time, in seconds since 1970.
    pub at: i64,
    /// What a picture may cost; `None`: what the `wsidx.toml` of the dataset says.
    pub limits: Option<Limits>,
}

/// What a `sync` did.
#[derive(Debug, Clone, Default)]
pub struct SyncSummary {
    /// Paths that were not there before.
    pub added: u64,
    /// Paths whose content, label or split changed.
    pub changed: u64,
    /// Paths whose content was at another path that left.
    pub moved: u64,
    /// Paths that left.
    pub removed: u64,
    /// Paths that stayed as they were.
    pub unchanged: u64,
    /// Files that cannot be read as images, new and old, in the scopes.
    pub undecodable: Vec<Skipped>,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// Contents that a path holds now.
    pub contents: u64,
    /// Paths that hold one.
    pub paths: u64,
    /// The commit that the view shows now.
    pub generation: u64,
    /// What became visible.
    pub published: Published,
}

/// What is to be done, by comparing the tree with the state.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) read: Vec<Found>,
    pub(super) containers: Vec<Contained>,
    pub(super) relabel: Vec<(Arc<[u8]>, PathEntry)>,
    pub(super) gone: Vec<Arc<[u8]>>,
    unchanged: u64,
}

impl Writer {
    /// Brings the index in line with the tree.
    ///
    /// # Errors
    /// [`Error::Interrupted`] with everything acknowledged kept, [`Error::Input`] for a table of
    /// labels that cannot be used, [`Error::Io`].
    pub fn sync(&mut self, options: &SyncOptions, monitor: &dyn Monitor) -> Result<SyncSummary> {
        let options = &SyncOptions {
            scopes: options
                .scopes
                .iter()
                .map(|scope| self.whole(scope))
                .collect(),
            ..options.clone()
        };
        match self.sync_once(options, monitor) {
            // The catalog says where a record is, and only who reads it sees that it is damaged.
            Err(Error::Damaged { .. }) => {
                monitor.note(
                    "stored records cannot be read; the catalog is made again from what is left, and the affected files are read again",
                );
                // Packs that were being rewritten take no more.
                self.packs = self.home.open_packs()?;
                self.rebuild_catalog()?;
                self.sync_once(options, monitor)
            }
            synced => synced,
        }
    }

    fn sync_once(&mut self, options: &SyncOptions, monitor: &dyn Monitor) -> Result<SyncSummary> {
        let mut summary = self.take_in(options, monitor)?;
        if options.scopes.is_empty() && self.mark.incomplete {
            self.mend(options.at)?;
        }
        summary.published = self.publish(options.at, monitor)?;
        self.count(&options.scopes, &mut summary);
        Ok(summary)
    }

    /// A scope; of an item, that of its container, which is read as a whole.
    fn whole(&self, scope: &[u8]) -> Vec<u8> {
        let container = dataset::container_of(&to_path(&self.home.root, scope))
            .and_then(|file| to_relative(&self.home.root, file));
        container.unwrap_or_else(|| scope.to_vec())
    }

    /// Commits what differs.
    fn take_in(&mut self, options: &SyncOptions, monitor: &dyn Monitor) -> Result<SyncSummary> {
        let root = self.home.root.clone();
        let started = self
            .lock
            .file_system_time(&self.who)
            .map_err(Error::io("writing", &self.home.folder().join("lock")))?;
        monitor.stage("listing", None);
        let mut listing = self.listing(&options.scopes, monitor)?;
        let mut labels = Labels::read(
            &root,
            &self.tables(&listing, &options.scopes)?,
            &self.home.read_limits(),
        )?;
        let mut skipped = std::mem::take(&mut listing.skipped);
        skipped.extend(
            options
                .scopes
                .iter()
                .flat_map(|scope| skipped_tables_above(&root, scope)),
        );
        skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        skipped.dedup();
        let naming = Naming::around(&root);
        let mut plan = self.plan(listing, &options.scopes, &mut labels, &naming);
        let mut summary = SyncSummary {
            unchanged: plan.unchanged,
            skipped,
            ..SyncSummary::default()
        };
        let read = self.read(
            &mut plan,
            &mut labels,
            (started, naming),
            options,
            &mut summary,
            monitor,
        );
        // Of a million files 48 MB, which the catalog can use.
        plan.read = Vec::new();
        let left = if read.is_ok() {
            self.leave(&plan, options.at, &mut summary)
        } else {
            Ok(())
        };
        // After a commit that failed the state has what the packs have not, and must not be saved.
        if let (Ok(()) | Err(Error::Interrupted), Ok(())) = (&read, &left) {
            self.save()?;
        }
        read.and(left)?;
        Ok(summary)
    }

    fn listing(&self, scopes: &[Vec<u8>], monitor: &dyn Monitor) -> Result<Listing> {
        let Some((first, rest)) = scopes.split_first() else {
            return self.home.list(b"", monitor);
        };
        let mut all = self.home.list(first, monitor)?;
        for scope in rest {
            let more = self.home.list(scope, monitor)?;
            all.files.extend(more.files);
            all.containers.extend(more.containers);
            all.tables.extend(more.tables);
            all.skipped.extend(more.skipped);
            all.unreadable.extend(more.unreadable);
        }
        all.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        all.files.dedup();
        all.containers.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        all.containers.dedup();
        Ok(all)
    }

    /// The tables in the scopes and in the folders above them.
    fn tables(&self, listing: &Listing, scopes: &[Vec<u8>]) -> Result<Vec<Arc<[u8]>>> {
        let mut tables = listing.tables.clone();
        for scope in scopes {
            tables.extend(dataset::tables_above(&self.home.root, scope));
        }
        tables.sort_unstable();
        tables.dedup();
        Ok(tables)
    }

    /// Walks files and known paths together, both in the order of their bytes.
    pub(super) fn plan(
        &self,
        listing: Listing,
        scopes: &[Vec<u8>],
        labels: &mut Labels,
        naming: &Naming,
    ) -> Plan {
        let mut plan = Plan::default();
        let unreadable = |path: &[u8]| {
            listing
                .unreadable
                .iter()
                .any(|folder| contains(folder, path))
        };
        let leaves = |path: &Arc<[u8]>| !unreadable(path);
        let known = self.plan_containers(
            listing.containers,
            self.in_scopes(scopes),
            naming,
            &mut plan,
        );
        let mut known = known.into_iter().peekable();
        for file in listing.files {
            while let Some((path, _)) = known.next_if(|(path, _)| **path < file.path) {
                plan.gone.extend(leaves(path).then(|| Arc::clone(path)));
            }
            match known.next_if(|(path, _)| **path == file.path) {
                Some((_, entry)) => self.plan_known(file, entry, labels, naming, &mut plan),
                None => plan.read.push(file),
            }
        }
        plan.gone.extend(
            known
                .map(|(path, _)| path)
                .filter(|path| leaves(path))
                .cloned(),
        );
        plan
    }

    /// Takes the known items of containers that are there out of the known paths. A container is
    /// read again as a whole: if it or a file that belongs to it changed, if nothing is known of
    /// it, or if one of its items was lost.
    fn plan_containers<'a>(
        &self,
        containers: Vec<Found>,
        known: Vec<(&'a Arc<[u8]>, &'a PathEntry)>,
        naming: &Naming,
        plan: &mut Plan,
    ) -> Vec<(&'a Arc<[u8]>, &'a PathEntry)> {
        let mut taken = vec![false; known.len()];
        for container in containers {
            let from = known.partition_point(|(path, _)| **path < container.path);
            let near = known[from..].partition_point(|(path, _)| path.starts_with(&container.path));
            let is_of = |path: &[u8]| *path == *container.path || is_item_of(&container.path, path);
            let items: Vec<usize> = (from..from + near)
                .filter(|&at| is_of(known[at].0))
                .collect();
            items.iter().for_each(|&at| taken[at] = true);
            let stale =
                |entry: &PathEntry| entry.stat != container.stat || self.lost(entry, naming);
            if items.is_empty() || items.iter().any(|&at| stale(known[at].1)) {
                plan.containers.push(Contained {
                    container,
                    known: items.iter().map(|&at| Arc::clone(known[at].0)).collect(),
                });
            } else {
                plan.unchanged += items.len() as u64;
            }
        }
        known
            .into_iter()
            .zip(taken)
            .filter(|(_, taken)| !taken)
            .map(|(known, _)| known)
            .collect()
    }

    /// Whether the content of a path was lost, or has not got a name that it has in the version
    /// control around it now.
    fn lost(&self, entry: &PathEntry, naming: &Naming) -> bool {
        entry
            .content()
            .is_some_and(|id| match self.state.content(id) {
                Some(content) => naming.lacks(&content.aliases),
                None => self.mark.incomplete,
            })
    }

    /// The known paths in some scopes, or all, in the order of their bytes.
    fn in_scopes<'a>(&'a self, scopes: &'a [Vec<u8>]) -> Vec<(&'a Arc<[u8]>, &'a PathEntry)> {
        let below = |scope: &'a Vec<u8>| {
            self.state
                .paths_with(scope)
                .filter(|(path, _)| contains(scope, path))
        };
        let mut known: Vec<_> = if scopes.is_empty() {
            self.state.paths().iter().collect()
        } else {
            scopes.iter().flat_map(below).collect()
        };
        known.sort_by_key(|(path, _)| *path);
        known.dedup_by_key(|(path, _)| *path);
        known
    }

    fn plan_known(
        &self,
        file: Found,
        entry: &PathEntry,
        labels: &mut Labels,
        naming: &Naming,
        plan: &mut Plan,
    ) {
        let (label, split) = labels.of(&file.path);
        if entry.stat != file.stat || self.lost(entry, naming) {
            plan.read.push(file);
        } else if (&entry.label, entry.split) != (&label, split) {
            plan.relabel.push((
                file.path,
                PathEntry {
                    label,
                    split,
                    ..entry.clone()
                },
            ));
        } else {
            plan.unchanged += 1;
        }
    }

    /// Reads and commits batch after batch; while one is written, the next is read. The catalog
    /// waits for the end: what it misses after a kill is in the packs.
    fn read(
        &mut self,
        plan: &mut Plan,
        labels: &mut Labels,
        (started, naming): (i64, Naming),
        options: &SyncOptions,
        summary: &mut SyncSummary,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        if plan.read.is_empty() && plan.containers.is_empty() {
            return Ok(());
        }
        // How many items there are is known only when their containers are open.
        monitor.stage(
            "reading",
            plan.containers.is_empty().then_some(plan.read.len() as u64),
        );
        let mut leaving = Leaving::of(&plan.gone, &self.state);
        let root = self.home.root.clone();
        let limits = options.limits.unwrap_or_else(|| self.home.limits());
        let reader = BatchReader {
            home: self.home.clone(),
            shape: self.settings.shape(),
            limits,
            started,
            naming,
        };
        let mut batches = Batches::of(&root, &plan.read, &plan.containers);
        let mut outcomes = match batches.next() {
            Some(batch) => reader.read(&batch, &|id| self.state.content(id).is_some(), monitor),
            None => Vec::new(),
        };
        // While a batch is committed, the state is not there to be asked.
        let mut known: HashSet<ContentId> = if batches.has_more() {
            self.state.contents().map(|(id, _)| *id).collect()
        } else {
            HashSet::new()
        };
        while !outcomes.is_empty() {
            let records = self.take(outcomes, labels, &mut known, &mut leaving, summary);
            let next = batches.next().filter(|_| !monitor.cancelled());
            let committed;
            (committed, outcomes) = std::thread::scope(|scope| {
                let commit = scope.spawn(|| {
                    if records.is_empty() {
                        Ok(())
                    } else {
                        self.commit(&records, options.at)
                    }
                });
                let next = next
                    .map(|batch| reader.read(&batch, &|id| known.contains(id), monitor))
                    .unwrap_or_default();
                (
                    commit
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                    next,
                )
            });
            committed?;
        }
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let gone = std::mem::take(&mut batches.gone);
        plan.gone.extend(gone);
        Ok(())
    }

    /// What a batch of files changes, as records in the order of their paths.
    fn take(
        &mut self,
        outcomes: Vec<Outcome>,
        labels: &mut Labels,
        known: &mut HashSet<ContentId>,
        leaving: &mut Leaving,
        summary: &mut SyncSummary,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for Outcome {
            path,
            mut entry,
            content,
            aliases,
            told,
        } in outcomes
        {
            (entry.label, entry.split) = told.unwrap_or_else(|| labels.of(&path));
            let old = self.state.paths().get(&path);
            match old {
                Some(old)
                    if (&old.holds, &old.label, old.split)
                        == (&entry.holds, &entry.label, entry.split) =>
                {
                    summary.unchanged += 1;
                }
                Some(_) => summary.changed += 1,
                None if entry.content().is_some_and(|id| leaving.took(id)) => summary.moved += 1,
                None => summary.added += 1,
            }
            if old != Some(&entry) {
                records.push(path_record(&path, &entry));
            }
            self.record_content(&entry, content, &aliases, known, &mut records);
        }
        records
    }

    /// Records what a path holds, if the store does not have it yet, or names of it that the store
    /// does not know.
    pub(super) fn record_content(
        &mut self,
        entry: &PathEntry,
        content: Option<(Content, Picture)>,
        aliases: &[Alias],
        known: &mut HashSet<ContentId>,
        records: &mut Vec<Record>,
    ) {
        if let Some((content, picture)) = content.filter(|(content, _)| {
            self.state.content(&content.id).is_none() && known.insert(content.id)
        }) {
            self.fresh.keep(content.id, picture);
            let id = content.id;
            records.push(Record::Content(content));
            records.extend((!aliases.is_empty()).then(|| aliases_record(&id, aliases)));
        } else if let Some((id, stored)) = entry
            .content()
            .and_then(|id| Some((id, self.state.content(id)?)))
            && aliases.iter().any(|alias| !stored.aliases.contains(alias))
        {
            records.push(aliases_record(id, aliases));
        }
    }

    /// Commits new labels and departures.
    fn leave(&mut self, plan: &Plan, at: i64, summary: &mut SyncSummary) -> Result<()> {
        let relabelled = plan
            .relabel
            .iter()
            .map(|(path, entry)| path_record(path, entry));
        let gone = plan.gone.iter().map(|path| gone_record(path, at));
        let records: Vec<Record> = relabelled.chain(gone).collect();
        summary.changed += plan.relabel.len() as u64;
        summary.removed = (plan.gone.len() as u64).saturating_sub(summary.moved);
        if records.is_empty() {
            Ok(())
        } else {
            self.commit(&records, at)
        }
    }

    fn count(&self, scopes: &[Vec<u8>], summary: &mut SyncSummary) {
        summary.paths = self.state.paths().len() as u64 - self.state.undecodable();
        if self.state.undecodable() > 0 {
            for (path, entry) in self.in_scopes(scopes) {
                if let Holds::Undecodable { reason, .. } = &entry.holds {
                    summary.undecodable.push(Skipped {
                        path: path.clone(),
                        reason: reason.to_string(),
                    });
                }
            }
        }
        summary.contents = self.state.held();
        summary.generation = self.mark.generation;
    }
}

/// Contents that leave a path, each ready to be met again at another.
struct Leaving(HashMap<ContentId, usize>);

impl Leaving {
    fn of(gone: &[Arc<[u8]>], state: &State) -> Self {
        let mut contents = HashMap::new();
        for id in gone.iter().filter_map(|path| state.paths()[path].content()) {
            *contents.entry(*id).or_insert(0) += 1;
        }
        Self(contents)
    }

    fn took(&mut self, id: &ContentId) -> bool {
        self.0
            .get_mut(id)
            .is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) > 0)
    }
}
