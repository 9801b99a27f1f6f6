//! The writer's state → the next generation of the view: rows, features, lists, tables.

use std::{
    borrow::Cow,
    cmp::Ordering,
    sync::atomic::{AtomicBool, Ordering as Memory},
};

use rayon::prelude::*;

use super::{Writer, open::Fresh};
use crate::{
    Error, Result,
    feature::{Basis, FIT_AT, FIT_CONTENTS, Feature, SCALE, fit_row},
    knn::{ListSource, ListUpdate, Live, Neighbor, OwnedPlanes, RowOrder, Update, Watch, update_lists},
    monitor::Monitor,
    picture::Picture,
    store::{
        history::read_basis,
        medium::Medium,
        packs::{Basis as StoredBasis, Content, Place, Record},
        settings::Settings,
        state::{ContentId, Holds, Touched},
        view::{Draft, Grown, Manifest, PathRecord, RowRecord, TableKind, View, grow, pack_list, publish, row_key},
    },
    wavelet::{Coefficients, lifting},
};

/// What became visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Whether a new generation was written.
    pub written: bool,
    /// Whether a search basis was chosen from the data.
    pub fitted: bool,
    /// Neighbour lists that changed.
    pub lists: u64,
}

/// The picture of a stored content.
///
/// # Errors
/// [`Error::Damaged`].
pub(super) fn picture_of(content: &Content, settings: &Settings) -> Result<Picture> {
    let mut samples = Vec::new();
    lifting::decode(&content.code, settings.size, settings.planes, &mut samples)?;
    Picture::from_samples(settings.shape(), samples)
}

/// The coefficients of a picture that the search works on.
pub(super) fn coefficients_of(picture: &Picture, settings: &Settings) -> Coefficients<f32> {
    Coefficients::of(picture.samples(), settings.size, settings.planes, settings.wavelet(), None)
}

/// Rows and content ids of a generation in the making.
struct Rows<'a> {
    old: Option<&'a View>,
    base: u32,
    new: Vec<(ContentId, Place)>,
    numbers: std::collections::HashMap<ContentId, u32>,
    damaged: AtomicBool,
}

impl<'a> Rows<'a> {
    /// New rows follow the old ones in the order in which the packs hold their contents.
    fn assign(writer: &Writer, old: Option<&'a View>, touched: &Touched) -> Result<Self> {
        let base = old.map_or(0, View::rows) as u32;
        let mut new = Vec::new();
        for id in &touched.contents {
            let Some(entry) = writer.state.contents().get(id) else { continue };
            if old.map_or(Ok(None), |view| view.row_of(id))?.is_none() {
                new.push((*id, entry.place));
            }
        }
        new.sort_unstable_by_key(|(_, place)| (place.pack, place.offset));
        if u32::try_from(u64::from(base) + new.len() as u64).is_err() {
            return Err(Error::Input("an index holds at most 4,294,967,295 contents".into()));
        }
        let numbers = new.iter().zip(base..).map(|((id, _), row)| (*id, row)).collect();
        Ok(Self { old, base, new, numbers, damaged: AtomicBool::new(false) })
    }

    fn of(&self, id: &ContentId) -> Result<Option<u32>> {
        match self.numbers.get(id) {
            Some(row) => Ok(Some(*row)),
            None => self.old.map_or(Ok(None), |view| view.row_of(id)),
        }
    }

    fn id(&self, row: u32) -> Option<ContentId> {
        match row.checked_sub(self.base) {
            Some(new) => self.new.get(new as usize).map(|(id, _)| *id),
            None => self.old?.row(row).ok().map(|record| record.id),
        }
    }

    fn count(&self) -> usize {
        self.base as usize + self.new.len()
    }
}

impl RowOrder for Rows<'_> {
    /// By content id. What cannot be read is remembered, and fails the publication.
    fn compare(&self, a: u32, b: u32) -> Ordering {
        match (self.id(a), self.id(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => {
                self.damaged.store(true, Memory::Relaxed);
                a.cmp(&b)
            }
        }
    }
}

/// The lists of the published view. What cannot be read is remembered, and fails the publication.
struct OldLists<'a> {
    view: Option<&'a View>,
    damaged: AtomicBool,
}

impl ListSource for OldLists<'_> {
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]> {
        let list = self.view.map_or(Ok(Vec::new()), |view| view.list(row));
        Cow::Owned(list.unwrap_or_else(|_| {
            self.damaged.store(true, Memory::Relaxed);
            Vec::new()
        }))
    }
}

impl Writer {
    /// Makes the last commit visible. Does nothing where the view shows it already. Where there are contents enough for a search basis to be
    /// chosen and none was, that is done first, and is a commit of its own.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a stored content cannot be read, [`Error::Interrupted`], [`Error::Io`]; the old generation then stands.
    pub fn publish(&mut self, at: i64, monitor: &dyn Monitor) -> Result<Published> {
        // Fails after a failed write: the state then has what the packs have not.
        self.packs.end()?;
        let medium = self.home.view()?;
        let old = self.usable_view(View::open(&medium).ok(), monitor);
        let shown = old.as_ref().map(|view| (view.manifest().generation, view.manifest().incomplete));
        if shown == Some((self.mark.generation, self.mark.incomplete)) {
            return Ok(Published::default());
        }
        match old {
            Some(view) if view.manifest().fitted || self.state.contents().len() < FIT_AT => {
                self.publish_over(&medium, Some(&view), &view.basis(), monitor)
            }
            Some(_) => self.publish_anew(true, at, monitor),
            None => self.publish_anew(false, at, monitor),
        }
    }

    /// Builds the view from nothing. The search basis is the one that the packs name; where they name none, or with `refit`, it is chosen anew
    /// if there are contents enough.
    ///
    /// # Errors
    /// As [`Writer::publish`].
    pub(super) fn publish_anew(&mut self, refit: bool, at: i64, monitor: &dyn Monitor) -> Result<Published> {
        let kept = if refit { None } else { self.packs_basis()? };
        let fitted = if kept.is_none() && self.state.contents().len() >= FIT_AT { self.fit(monitor)? } else { None };
        if let Some(basis) = &fitted {
            let fingerprint = basis.fingerprint(&self.settings.layout(), self.settings.wavelet());
            self.commit(&[Record::Basis(StoredBasis { columns: basis.columns.clone(), scale: SCALE, fingerprint })], at)?;
            self.basis = fitted.clone();
            self.save()?;
        }
        let chosen = fitted.is_some();
        let basis = kept.or(fitted).unwrap_or_else(|| self.built_in());
        let medium = self.home.view()?;
        self.unpublished = None;
        let published = self.publish_over(&medium, None, &basis, monitor)?;
        Ok(Published { fitted: chosen, ..published })
    }

    /// The basis that the packs name last.
    fn packs_basis(&mut self) -> Result<Option<Basis>> {
        if self.basis.is_none() {
            let layout = self.settings.layout();
            let basis = &mut self.basis;
            self.packs.replay(None, &mut |_, record| {
                if let Some(stored) = read_basis(record) {
                    *basis = Basis::stored(&stored.columns, true, &layout);
                }
                Ok(())
            })?;
        }
        Ok(self.basis.clone())
    }

    /// A view that is whole and of this index's features, or none.
    fn usable_view(&self, view: Option<View>, monitor: &dyn Monitor) -> Option<View> {
        let usable = view.filter(|view| {
            let manifest = view.manifest();
            manifest.settings == self.settings.to_text().as_bytes()
                && manifest.generation <= self.mark.generation
                && manifest.fingerprint == view.basis().fingerprint(&self.settings.layout(), self.settings.wavelet())
                && Basis::stored(&manifest.columns, manifest.fitted, &self.settings.layout()).is_some()
                && view.check().is_ok()
        });
        if usable.is_none() && self.mark.generation > 0 {
            monitor.note("the view is missing or not whole; it is made again from the packs");
        }
        usable
    }

    fn built_in(&self) -> Basis {
        Basis::built_in(&self.settings.layout(), usize::from(self.settings.max_features))
    }

    /// Chooses the search basis from the contents with the smallest ids.
    fn fit(&self, monitor: &dyn Monitor) -> Result<Option<Basis>> {
        let mut ids: Vec<_> = self.state.contents().iter().map(|(id, entry)| (*id, entry.place)).collect();
        ids.par_sort_unstable_by_key(|(id, _)| *id);
        ids.truncate(FIT_CONTENTS);
        monitor.stage("choosing columns", Some(ids.len() as u64));
        let rows = ids.par_iter().map(|(id, place)| {
            monitor.advance(1);
            let picture = self.picture(id, *place)?;
            Ok(fit_row(&mut coefficients_of(&picture, &self.settings)))
        });
        let rows: Vec<Vec<i16>> = rows.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Ok(Basis::fit(&rows, usize::from(self.settings.max_features)))
    }

    fn publish_over(&mut self, medium: &dyn Medium, old: Option<&View>, basis: &Basis, monitor: &dyn Monitor) -> Result<Published> {
        let shown = old.map(|view| view.manifest().generation);
        let touched = match self.unpublished.take() {
            Some((since, touched)) if shown == Some(since) => touched,
            _ => self.touched_since(old)?,
        };
        let rows = Rows::assign(self, old, &touched)?;
        let features = self.features(&rows.new, basis, monitor)?;
        let grown = grow(medium, old, &features)?;
        drop(features);
        self.fresh = Fresh::default();
        let live = self.live(&rows, &touched)?;
        let lists = self.lists(&rows, &grown, &live, monitor)?;
        monitor.stage("publishing", None);
        let mut draft = Draft { manifest: self.manifest(basis, &live), ..Draft::default() };
        self.fill_tables(&rows, &touched, &mut draft)?;
        let changes = &mut draft.changes[TableKind::Lists as usize];
        changes.extend(live.removed.iter().map(|&row| (row_key(row).to_vec(), None)));
        let changed = lists.len() as u64;
        changes.extend(lists.iter().map(|(row, list)| (row_key(row).to_vec(), (!list.is_empty()).then(|| pack_list(list)))));
        draft.live = live.words;
        publish(medium, old, grown, draft)?;
        self.unpublished = Some((self.mark.generation, Touched::default()));
        Ok(Published { written: true, fitted: false, lists: changed })
    }

    /// Everything that differs, or may differ, between the state and a view.
    fn touched_since(&self, old: Option<&View>) -> Result<Touched> {
        let mut touched = self.state.everything();
        if let Some(view) = old {
            view.table(TableKind::Paths).for_each(|path, _| {
                touched.paths.insert(path.into());
                Ok(())
            })?;
            view.table(TableKind::Ids).for_each(|id, _| {
                touched.contents.extend(<ContentId>::try_from(id));
                Ok(())
            })?;
        }
        Ok(touched)
    }

    fn features(&self, new: &[(ContentId, Place)], basis: &Basis, monitor: &dyn Monitor) -> Result<OwnedPlanes> {
        monitor.stage("computing features", Some(new.len() as u64));
        let mut planes = OwnedPlanes::new(basis.len());
        for chunk in new.chunks(8_192) {
            let features = chunk.par_iter().map(|(id, place)| {
                if monitor.cancelled() {
                    return Err(Error::Interrupted);
                }
                monitor.advance(1);
                let picture = self.picture(id, *place)?;
                Ok(basis.feature(&mut coefficients_of(&picture, &self.settings)))
            });
            for Feature(values) in features.collect::<Result<Vec<_>>>()? {
                planes.push(&values);
            }
        }
        Ok(planes)
    }

    fn live(&self, rows: &Rows<'_>, touched: &Touched) -> Result<LiveChange> {
        let mut words = rows.old.map_or(Ok(Vec::new()), View::live_words)?;
        words.resize(rows.count().div_ceil(64), 0);
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for id in &touched.contents {
            let Some(row) = rows.of(id)? else { continue };
            let (word, bit) = (&mut words[row as usize / 64], 1u64 << (row % 64));
            match (*word & bit != 0, self.state.is_held(id)) {
                (false, true) => added.push(row),
                (true, false) => removed.push(row),
                _ => continue,
            }
            *word ^= bit;
        }
        added.sort_unstable();
        removed.sort_unstable();
        Ok(LiveChange { words, added, removed })
    }

    fn lists(&self, rows: &Rows<'_>, grown: &Grown, live: &LiveChange, monitor: &dyn Monitor) -> Result<ListUpdate> {
        if live.added.is_empty() && live.removed.is_empty() {
            return Ok(ListUpdate::default());
        }
        monitor.stage("comparing", None);
        let old = OldLists { view: rows.old, damaged: AtomicBool::new(false) };
        let update = Update {
            planes: grown.planes()?,
            live: Live(&live.words),
            added: &live.added,
            removed: &live.removed,
            old: &old,
            k: usize::from(self.settings.neighbors),
            order: rows,
        };
        let watch = Watch { progress: &|_, _| {}, cancelled: &|| monitor.cancelled() };
        let lists = update_lists(&update, &watch)?;
        if old.damaged.load(Memory::Relaxed) || rows.damaged.load(Memory::Relaxed) {
            return Err(Error::Damaged { what: "the view's lists could not be read".into(), mend: "run `wsidx rebuild`" });
        }
        Ok(lists)
    }

    fn manifest(&self, basis: &Basis, live: &LiveChange) -> Manifest {
        Manifest {
            generation: self.mark.generation,
            settings: self.settings.to_text().into_bytes(),
            fingerprint: basis.fingerprint(&self.settings.layout(), self.settings.wavelet()),
            fitted: basis.fitted,
            columns: basis.columns.clone(),
            live: live.words.iter().map(|word| u64::from(word.count_ones())).sum(),
            paths: self.state.paths().len() as u64,
            undecodable: self.state.undecodable(),
            incomplete: self.mark.incomplete,
            ..Manifest::default()
        }
    }

    fn fill_tables(&self, rows: &Rows<'_>, touched: &Touched, draft: &mut Draft) -> Result<()> {
        for ((id, _), row) in rows.new.iter().zip(rows.base..) {
            draft.changes[TableKind::Ids as usize].insert(id.to_vec(), Some(row.to_le_bytes().to_vec()));
        }
        for id in &touched.contents {
            let Some(row) = rows.of(id)? else { continue };
            let Some(entry) = self.state.contents().get(id) else { continue };
            let record = RowRecord { id: *id, place: entry.place, occurrences: self.state.occurrences(id) }.pack();
            let old = rows.old.filter(|_| row < rows.base).map_or(Ok(None), |view| view.table(TableKind::Rows).get(&row_key(row)))?;
            if old != Some(&record) {
                draft.changes[TableKind::Rows as usize].insert(row_key(row).to_vec(), Some(record));
            }
        }
        for path in &touched.paths {
            let new = match self.state.paths().get(path).map(|entry| &entry.holds) {
                Some(Holds::Content(id)) => rows.of(id)?.map(PathRecord::Row),
                Some(Holds::Undecodable { reason, .. }) => Some(PathRecord::Undecodable(reason.clone())),
                None => None,
            };
            let new = new.map(|record| record.pack());
            let old = rows.old.map_or(Ok(None), |view| view.table(TableKind::Paths).get(path))?;
            if old != new.as_deref() {
                draft.changes[TableKind::Paths as usize].insert(path.to_vec(), new);
            }
        }
        Ok(())
    }
}

/// The bitmap of live rows after the change, and what changed in it.
struct LiveChange {
    words: Vec<u64>,
    added: Vec<u32>,
    removed: Vec<u32>,
}
