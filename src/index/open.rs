//! The writer: packs, catalog and view of one index, held together.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use super::{
    Home, Storage, finish_replacement, publish::picture_of, registration_cache::RegistrationCache,
    replace::clear_replacement, storage::WriterLock,
};
use crate::{
    Error, Result,
    feature::Basis,
    monitor::Monitor,
    picture::Picture,
    store::{
        catalog::{Catalog, Mark},
        history::{change_of, read_basis, read_change},
        packs::{Commit, Content, Packs, Place, Position, Record, View as PackView},
        settings::Settings,
        state::{Change, ContentId, State, Touched},
        view::{View, read_manifest},
    },
    verdict::Reference,
};

/// How an index was found when a writer opened it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The catalog was not whole, and was made from the packs.
    pub catalog_rebuilt: bool,
    /// Stretches of the packs that could not be read: pack, offset, bytes.
    pub damage: Vec<(u32, u64, u64)>,
    /// The packs ended in a write that was never acknowledged.
    pub torn: bool,
}

/// Pictures at hand, up to a number of bytes, so that what was just encoded need not be decoded
/// again.
#[derive(Default)]
pub(super) struct Fresh {
    pictures: HashMap<ContentId, Picture>,
    bytes: usize,
}

impl Fresh {
    const BYTES: usize = 96 << 20;
    /// What a picture takes beside its samples.
    const ENTRY: usize = 160;

    pub(super) fn keep(&mut self, id: ContentId, picture: Picture) {
        if self.bytes < Self::BYTES {
            self.bytes += picture.samples().len() + Self::ENTRY;
            self.pictures.insert(id, picture);
        }
    }
}

/// The view that the writer published or checked last, and the k-distances of its rows if they are
/// known.
pub(super) struct Shown {
    pub(super) view: Arc<View>,
    pub(super) k_distances: Option<Arc<Vec<u32>>>,
}

/// What a replay came to: whether nothing committed was lost, and how many commits it applied.
struct Replayed {
    whole: bool,
    commits: u64,
}

/// Changes an index. There is one writer at a time; readers do not wait for it.
pub struct Writer {
    pub(super) home: Home,
    pub(super) settings: Settings,
    pub(super) packs: Packs,
    pub(super) catalog: Box<dyn Catalog>,
    pub(super) state: State,
    pub(super) mark: Mark,
    /// The search basis that the packs name, once they were replayed or one was chosen.
    pub(super) basis: Option<Basis>,
    /// What changed since a commit; `None`: unknown, so everything is compared. A view of that
    /// commit lacks just this.
    pub(super) unpublished: Option<(u64, Touched)>,
    /// What changed since the catalog was written.
    unsaved: Touched,
    /// What readers see; `None` until it was checked.
    pub(super) shown: Option<Shown>,
    /// The scores that anomalies are held against, as the view has them, once they were needed.
    pub(super) reference: Option<Arc<Reference>>,
    /// Rows whose edges changed since somebody last asked; `None` while nobody does.
    pub(super) regraphed: Option<BTreeSet<u32>>,
    /// Pictures that were decoded in this run.
    pub(super) fresh: Fresh,
    /// What was registered lately, while somebody watches.
    pub(super) registrations: Option<Arc<RegistrationCache>>,
    pub(super) lock: WriterLock,
    pub(super) who: String,
    /// How the index was found.
    pub opened: Opened,
}

impl Writer {
    /// Opens the index in `root` for writing; `who` is what others are told while they wait.
    ///
    /// # Errors
    /// [`Error::NoIndex`], [`Error::Refused`], [`Error::Version`], [`Error::Locked`],
    /// [`Error::Io`]; [`Error::Damaged`] where not even the settings can be read.
    pub fn open(root: &Path, who: &str, wait: bool, monitor: &dyn Monitor) -> Result<Self> {
        finish_replacement(root, who, monitor)?;
        let home = Home::open(root)?;
        let lock = home.lock(who, wait, monitor)?;
        clear_replacement(root, who, monitor);
        Self::open_locked(home, lock, who, monitor)
    }

    /// The same on a storage that is simulated.
    ///
    /// # Errors
    /// As [`Writer::open`].
    #[doc(hidden)]
    pub fn open_in(
        root: &Path,
        storage: Arc<dyn Storage>,
        who: &str,
        wait: bool,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let home = Home::simulated(root, storage);
        let lock = home.lock(who, wait, monitor)?;
        Self::open_locked(home, lock, who, monitor)
    }

    /// Opens an index for a `sync` of everything, which may find parts of it gone: what can be made
    /// again is. Where nothing is left of the packs, new ones are begun, and the `sync` reads all
    /// files again.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_to_sync(root: &Path, who: &str, wait: bool, monitor: &dyn Monitor) -> Result<Self> {
        finish_replacement(root, who, monitor)?;
        let home = Home::open_to_restore(root)?;
        let lock = home.lock(who, wait, monitor)?;
        clear_replacement(root, who, monitor);
        home.restore_files()?;
        let packs = home.packs_or_new(monitor)?;
        home.say_format()?;
        let mut writer = Self::with_packs(home, packs, lock, who)?;
        writer.load_or_begin_anew(monitor)?;
        Ok(writer)
    }

    /// The same on a storage that is simulated.
    ///
    /// # Errors
    /// As [`Writer::open_to_sync`].
    #[doc(hidden)]
    pub fn open_to_sync_in(
        root: &Path,
        storage: Arc<dyn Storage>,
        who: &str,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let home = Home::simulated(root, storage);
        let lock = home.lock(who, false, monitor)?;
        let packs = home.packs_or_new(monitor)?;
        let mut writer = Self::with_packs(home, packs, lock, who)?;
        writer.load_or_begin_anew(monitor)?;
        Ok(writer)
    }

    /// The index whose lock this is.
    pub(super) fn open_locked(
        home: Home,
        lock: WriterLock,
        who: &str,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        home.restore_files()?;
        let packs = home.open_packs()?;
        let mut writer = Self::with_packs(home, packs, lock, who)?;
        writer.load(monitor)?;
        Ok(writer)
    }

    /// A writer that has not read anything yet.
    fn with_packs(home: Home, packs: Packs, lock: WriterLock, who: &str) -> Result<Self> {
        let settings = Settings::from_text(packs.settings())?;
        let catalog = home.catalog();
        Ok(Self {
            home,
            settings,
            packs,
            catalog,
            state: State::default(),
            mark: Mark::default(),
            basis: None,
            unpublished: None,
            unsaved: Touched::default(),
            shown: None,
            reference: None,
            regraphed: None,
            fresh: Fresh::default(),
            registrations: None,
            lock,
            who: who.to_owned(),
            opened: Opened::default(),
        })
    }

    /// As [`Writer::load`]; where no commit is left in the packs, new ones are begun with the same
    /// settings.
    fn load_or_begin_anew(&mut self, monitor: &dyn Monitor) -> Result<()> {
        match self.load(monitor) {
            Err(lost @ Error::Damaged { .. }) if self.packs.end().is_err() => {
                self.packs = self
                    .home
                    .begin_packs_anew(&lost, self.packs.settings(), monitor)?;
                self.load(monitor)
            }
            loaded => loaded,
        }
    }

    /// The catalog's state and what the packs have beyond it, or the state of the packs alone.
    fn load(&mut self, monitor: &dyn Monitor) -> Result<()> {
        if let Some((state, mark)) = self.catalog.load() {
            (self.state, self.mark) = (state, mark);
            self.unpublished = Some((mark.generation, Touched::default()));
            let reached = mark
                .applied
                .map_or(Ok(true), |applied| self.packs.reaches(applied))?;
            let has_packs = reached
                && self
                    .packs
                    .hold_all(self.state.contents().map(|(_, entry)| entry.place));
            let replayed = if has_packs {
                self.replay(mark.applied)?
            } else {
                Replayed {
                    whole: false,
                    commits: 0,
                }
            };
            // The view shows only what was committed. Where it is ahead, the last commit was lost.
            if replayed.whole && self.mark.generation >= self.published_generation()? {
                if replayed.commits == 0 {
                    return Ok(());
                }
                self.packs.settle()?;
                return self.save();
            }
        }
        if self.mark.generation > 0 || self.home.catalog_folder().exists() {
            monitor.note("the catalog is missing or not whole; it is made again from the packs");
        }
        self.rebuild_catalog()
    }

    /// The generation of the view, 0 where none can be read.
    fn published_generation(&self) -> Result<u64> {
        Ok(read_manifest(&*self.home.view()?).map_or(0, |manifest| manifest.generation))
    }

    /// Makes the state and the catalog from the packs.
    pub(super) fn rebuild_catalog(&mut self) -> Result<()> {
        // A commit that catalog or view has seen was acknowledged; if the packs end before it, it
        // is not torn but lost.
        let seen = self.published_generation()?.max(self.mark.generation);
        // The number of an event is not used twice, even where the record of it was lost.
        (self.state, self.mark) = (
            State::default(),
            Mark {
                told: self.mark.told,
                ..Mark::default()
            },
        );
        self.opened = Opened {
            catalog_rebuilt: true,
            ..Opened::default()
        };
        let replayed = self.replay(None)?;
        self.packs.settle()?;
        self.mark.incomplete =
            !replayed.whole || self.state.missing().next().is_some() || self.mark.generation < seen;
        self.mark.generation = self.mark.generation.max(seen);
        self.unpublished = None;
        self.catalog.clear()?;
        self.state.take_touched();
        self.unsaved = Touched::default();
        self.catalog
            .store(&self.state, &self.state.everything(), self.mark)
    }

    /// Applies the commits behind `from`.
    fn replay(&mut self, from: Option<Position>) -> Result<Replayed> {
        let layout = self.settings.layout();
        let Self {
            packs,
            state,
            basis,
            mark,
            ..
        } = self;
        let mut waiting = Vec::new();
        let mut commits = 0;
        let replay = packs.replay(from, &mut |place, record| {
            if let PackView::Commit(commit) = record {
                commits += 1;
                let at = commit.to_commit().at;
                waiting.drain(..).for_each(|change| state.apply(change, at));
            } else if let PackView::Event(event) = record {
                mark.told = mark.told.max(event.seq.to_native());
            } else if let Some(stored) = read_basis(record) {
                *basis = Basis::stored(&stored.columns, true, &layout);
            }
            waiting.extend(read_change(record, place));
            Ok(())
        })?;
        self.opened.damage = replay
            .damage
            .iter()
            .map(|d| (d.pack, d.offset, d.len))
            .collect();
        self.opened.torn = replay.torn.is_some();
        self.mark.applied = Some(replay.end);
        let intact = replay.damage.is_empty();
        let Some(commit) = replay.commit else {
            return Ok(Replayed {
                whole: intact,
                commits,
            });
        };
        self.mark.generation = commit.generation;
        let is = (
            self.state.stored(),
            self.state.paths().len() as u64,
            self.state.hash(),
        );
        Ok(Replayed {
            whole: intact && is == (commit.contents, commit.paths, commit.state),
            commits,
        })
    }

    /// Commits records: durable when it returns. The state takes them in.
    pub(super) fn commit(&mut self, records: &[Record], at: i64) -> Result<()> {
        const NOT_YET: Place = Place {
            pack: 0,
            offset: 0,
            len: 0,
        };
        for change in records
            .iter()
            .filter_map(|record| change_of(record, NOT_YET))
        {
            self.state.apply(change, at);
        }
        let commit = self.next_commit(at);
        let places = self.packs.append(records, &commit)?;
        for (record, place) in records.iter().zip(places) {
            if let Record::Content(content) = record {
                self.state.apply(Change::Content(content.id, place), at);
            }
        }
        let told = records.iter().filter_map(|record| {
            if let Record::Event(event) = record {
                Some(event.seq)
            } else {
                None
            }
        });
        self.mark.told = told.fold(self.mark.told, u64::max);
        self.mark.generation = commit.generation;
        self.mark.applied = Some(self.packs.end()?);
        Ok(())
    }

    pub(super) fn next_commit(&self, at: i64) -> Commit {
        Commit {
            generation: self.mark.generation + 1,
            at,
            contents: self.state.stored(),
            paths: self.state.paths().len() as u64,
            state: self.state.hash(),
        }
    }

    /// Brings the catalog to the last commit. What it misses after a kill is in the packs.
    ///
    /// # Errors
    /// [`Error::Io`]; the catalog is then made from the packs when the index is opened again.
    pub fn save(&mut self) -> Result<()> {
        self.note_touched();
        let touched = std::mem::take(&mut self.unsaved);
        self.catalog.store(&self.state, &touched, self.mark)
    }

    /// Remembers what the last commits changed, for the next publication and the next save.
    pub(super) fn note_touched(&mut self) {
        let touched = self.state.take_touched();
        // Where nearly all is new everything is compared, which takes no longer, and the keys are
        // not kept twice.
        if touched.contents.len() as u64 > self.state.stored() / 2 {
            self.unpublished = None;
        }
        match &mut self.unpublished {
            Some((_, unpublished)) if unpublished.is_empty() => *unpublished = touched.clone(),
            Some((_, unpublished)) => unpublished.extend(&touched),
            None => {}
        }
        if self.unsaved.is_empty() {
            self.unsaved = touched;
        } else {
            self.unsaved.extend(&touched);
        }
    }

    /// The picture of a stored content.
    pub(super) fn picture(&self, id: &ContentId, place: Place) -> Result<Cow<'_, Picture>> {
        match self.fresh.pictures.get(id) {
            Some(picture) => Ok(Cow::Borrowed(picture)),
            None => picture_of(&self.content(place)?, &self.settings).map(Cow::Owned),
        }
    }

    /// A stored content.
    pub(super) fn content(&self, place: Place) -> Result<Content> {
        self.packs.read_content(place)
    }

    /// What the index holds.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was fixed when the index was made.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether stored contents were lost and wait for a `sync` that reads their files again.
    pub fn is_incomplete(&self) -> bool {
        self.mark.incomplete
    }

    /// An error that names what was lost, where something was.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn require_complete(&self) -> Result<()> {
        if self.mark.incomplete {
            Err(incomplete())
        } else {
            Ok(())
        }
    }
}

/// What a reader or a writer says of an index that has lost records.
pub(super) fn incomplete() -> Error {
    Error::Damaged {
        what: "stored records were lost".into(),
        mend: "run `wsidx sync`, which reads the affected files again",
    }
}
