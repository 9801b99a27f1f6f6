//! The writer's state → the next generation of the view: rows, features, lists, tables.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering as Memory},
};

use rayon::prelude::*;

use super::{
    Writer,
    open::{Fresh, Shown},
};
use crate::{
    Error, Result,
    feature::{Basis, FIT_AT, FIT_CONTENTS, Feature, SCALE, fit_row},
    knn::{ListSource, Live, Neighbor, OwnedPlanes, RowOrder, Update, Watch, update_lists},
    monitor::Monitor,
    picture::Picture,
    store::{
        history::read_basis,
        medium::Medium,
        packs::{Basis as StoredBasis, Content, Place, Record},
        settings::Settings,
        state::{ContentId, Holds, Touched},
        view::{Changes, Draft, Growing, Grown, Manifest, PathRecord, TableKind, View, pack_list, pack_names, publish, row_key},
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

/// Rows of a generation in the making.
struct Rows<'a> {
    old: Option<&'a View>,
    base: u32,
    new: Vec<(ContentId, Place)>,
    /// Rows of the new contents, sorted by id.
    numbers: Vec<(ContentId, u32)>,
    /// Old rows whose content the packs hold elsewhere now.
    moved: BTreeMap<u32, Place>,
    /// Rows whose content was touched, ascending.
    touched: Vec<(u32, ContentId)>,
}

impl<'a> Rows<'a> {
    /// New rows follow the old ones in the order in which the packs hold their contents.
    fn assign(writer: &Writer, old: Option<&'a View>, touched: &Touched) -> Result<Self> {
        let base = old.map_or(0, View::rows) as u32;
        let mut rows = Self { old, base, new: Vec::new(), numbers: Vec::new(), moved: BTreeMap::new(), touched: Vec::new() };
        for id in &touched.contents {
            let row = old.map_or(Ok(None), |view| view.row_of(id))?;
            rows.touched.extend(row.map(|row| (row, *id)));
            let Some(entry) = writer.state.content(id) else { continue };
            match (row, old) {
                (Some(row), Some(view)) => {
                    if view.content(row)?.1 != entry.place {
                        rows.moved.insert(row, entry.place);
                    }
                }
                _ => rows.new.push((*id, entry.place)),
            }
        }
        rows.new.par_sort_unstable_by_key(|(_, place)| (place.pack, place.offset));
        if u64::from(base) + rows.new.len() as u64 > u64::from(u32::MAX) {
            return Err(Error::Input("an index holds at most 4,294,967,295 contents".into()));
        }
        rows.numbers = rows.new.iter().zip(base..).map(|((id, _), row)| (*id, row)).collect();
        rows.numbers.par_sort_unstable();
        rows.touched.extend(rows.new.iter().zip(base..).map(|((id, _), row)| (row, *id)));
        rows.touched.par_sort_unstable();
        Ok(rows)
    }

    fn of(&self, id: &ContentId) -> Result<Option<u32>> {
        match self.numbers.binary_search_by_key(&id, |(id, _)| id) {
            Ok(at) => Ok(Some(self.numbers[at].1)),
            Err(_) => self.old.map_or(Ok(None), |view| view.row_of(id)),
        }
    }

    fn count(&self) -> usize {
        self.base as usize + self.new.len()
    }
}

impl RowOrder for Grown {
    /// By content id.
    fn compare(&self, a: u32, b: u32) -> Ordering {
        self.id(a).cmp(&self.id(b))
    }
}

/// The lists of the published view. What cannot be read is remembered, and fails the publication.
struct OldLists<'a> {
    view: Option<&'a View>,
    reaches: &'a [u32],
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

    fn reach(&self, row: u32, _: usize) -> u32 {
        self.reaches.get(row as usize).copied().unwrap_or(u32::MAX)
    }
}

/// How far each list reaches: the distance of its last member if it has `k`, else as far as can be.
fn reach_of(list: &[Neighbor], k: usize) -> u32 {
    list.last().filter(|_| list.len() >= k).map_or(u32::MAX, |last| last.distance)
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
        let Shown { view, reaches } = match self.shown.take() {
            Some(shown) => shown,
            None => Shown { view: self.usable_view(View::open(&medium).ok(), monitor), reaches: None },
        };
        let shown = view.as_ref().map(|view| (view.manifest().generation, view.manifest().incomplete));
        if shown == Some((self.mark.generation, self.mark.incomplete)) {
            self.shown = Some(Shown { view, reaches });
            self.packs.clear()?;
            return Ok(Published::default());
        }
        match view {
            Some(view) if view.manifest().fitted || self.state.stored() < FIT_AT as u64 => {
                self.publish_over(&medium, Some(&view), reaches, &view.basis(), monitor)
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
        let fitted = if kept.is_none() && self.state.stored() >= FIT_AT as u64 { self.fit(monitor)? } else { None };
        if let Some(basis) = &fitted {
            let fingerprint = basis.fingerprint(&self.settings.layout(), self.settings.wavelet());
            self.commit(&[Record::Basis(StoredBasis { columns: basis.columns.clone(), scale: SCALE, fingerprint })], at)?;
            self.basis = fitted.clone();
            self.save()?;
        }
        let chosen = fitted.is_some();
        let basis = kept.or(fitted).unwrap_or_else(|| self.built_in());
        let medium = self.home.view()?;
        (self.unpublished, self.shown) = (None, None);
        let published = self.publish_over(&medium, None, None, &basis, monitor)?;
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
                && Basis::stored(&manifest.basis, manifest.fitted, &self.settings.layout()).is_some()
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
        let ids: Vec<_> = self.state.contents().take(FIT_CONTENTS).map(|(id, entry)| (*id, entry.place)).collect();
        monitor.stage("choosing columns", Some(ids.len() as u64));
        let rows = ids.par_iter().map(|(id, place)| {
            monitor.advance(1);
            let picture = self.picture(id, *place)?;
            Ok(fit_row(&mut coefficients_of(&picture, &self.settings)))
        });
        let rows: Vec<Vec<i16>> = rows.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Ok(Basis::fit(&rows, usize::from(self.settings.max_features)))
    }

    fn publish_over(
        &mut self,
        medium: &dyn Medium,
        old: Option<&View>,
        reaches: Option<Vec<u32>>,
        basis: &Basis,
        monitor: &dyn Monitor,
    ) -> Result<Published> {
        let shown = old.map(|view| view.manifest().generation);
        let touched = match self.unpublished.take() {
            Some((since, touched)) if shown == Some(since) => touched,
            _ => self.touched_since(old)?,
        };
        let rows = Rows::assign(self, old, &touched)?;
        let mut growing = Growing::new(medium, old, basis.len(), &rows.moved)?;
        self.features(&rows.new, basis, &mut growing, monitor)?;
        let grown = growing.finish()?;
        self.fresh = Fresh::default();
        let live = self.live(&rows)?;
        let mut reaches = self.reaches(old, reaches)?;
        let lists = self.lists(old, &reaches, &grown, &live, monitor)?;
        monitor.stage("publishing", None);
        let k = usize::from(self.settings.neighbors);
        reaches.resize(rows.count(), u32::MAX);
        lists.iter().for_each(|(row, list)| reaches[*row as usize] = reach_of(list, k));
        let published = Published { written: true, fitted: false, lists: lists.len() as u64 };
        let manifest = self.manifest(basis, &live.words);
        let changes = [self.names(&rows), self.paths(&rows, &touched), changed_lists(lists)];
        publish(medium, old, grown, Draft { manifest, live: live.words, changes })?;
        self.unpublished = Some((self.mark.generation, Touched::default()));
        self.shown = Some(Shown { view: Some(View::open(medium)?), reaches: Some(reaches) });
        // Packs that were rewritten: no view names the old ones any more.
        self.packs.clear()?;
        Ok(published)
    }

    /// How far each list of the old rows reaches. Kept while the writer stays; else read from all lists once.
    fn reaches(&self, old: Option<&View>, kept: Option<Vec<u32>>) -> Result<Vec<u32>> {
        let k = usize::from(self.settings.neighbors);
        match (kept, old) {
            (Some(kept), _) => Ok(kept),
            (None, None) => Ok(Vec::new()),
            (None, Some(view)) => (0..view.rows() as u32).into_par_iter().map(|row| Ok(reach_of(&view.list(row)?, k))).collect(),
        }
    }

    /// Everything that differs, or may differ, between the state and a view.
    fn touched_since(&self, old: Option<&View>) -> Result<Touched> {
        let mut touched = self.state.everything();
        if let Some(view) = old {
            view.table(TableKind::Paths).for_each(|path, _| {
                touched.paths.insert(path.into());
                Ok(())
            })?;
            for row in 0..view.rows() as u32 {
                touched.contents.insert(view.content(row)?.0);
            }
        }
        Ok(touched)
    }

    fn features(&self, new: &[(ContentId, Place)], basis: &Basis, growing: &mut Growing<'_>, monitor: &dyn Monitor) -> Result<()> {
        monitor.stage("computing features", Some(new.len() as u64));
        for chunk in new.chunks(8_192) {
            let features = chunk.par_iter().map(|(id, place)| {
                if monitor.cancelled() {
                    return Err(Error::Interrupted);
                }
                monitor.advance(1);
                let picture = self.picture(id, *place)?;
                Ok(basis.feature(&mut coefficients_of(&picture, &self.settings)))
            });
            let mut planes = OwnedPlanes::new(basis.len());
            features.collect::<Result<Vec<_>>>()?.iter().for_each(|Feature(values)| planes.push(values));
            growing.push(&planes, chunk)?;
        }
        Ok(())
    }

    fn live(&self, rows: &Rows<'_>) -> Result<LiveChange> {
        let mut words = rows.old.map_or(Ok(Vec::new()), View::live_words)?;
        words.resize(rows.count().div_ceil(64), 0);
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (row, id) in &rows.touched {
            let (word, bit) = (&mut words[*row as usize / 64], 1u64 << (row % 64));
            match (*word & bit != 0, self.state.is_held(id)) {
                (false, true) => added.push(*row),
                (true, false) => removed.push(*row),
                _ => continue,
            }
            *word ^= bit;
        }
        Ok(LiveChange { words, added, removed })
    }

    fn lists(
        &self,
        view: Option<&View>,
        reaches: &[u32],
        grown: &Grown,
        live: &LiveChange,
        monitor: &dyn Monitor,
    ) -> Result<Vec<(u32, Vec<Neighbor>)>> {
        if live.added.is_empty() && live.removed.is_empty() {
            return Ok(Vec::new());
        }
        monitor.stage("comparing", None);
        let old = OldLists { view, reaches, damaged: AtomicBool::new(false) };
        let update = Update {
            planes: grown.planes()?,
            live: Live(&live.words),
            added: &live.added,
            removed: &live.removed,
            old: &old,
            k: usize::from(self.settings.neighbors),
            order: grown,
        };
        let watch = Watch { progress: &|_, _| {}, cancelled: &|| monitor.cancelled() };
        let lists = update_lists(&update, &watch)?;
        if old.damaged.load(Memory::Relaxed) {
            return Err(Error::Damaged { what: "the view's lists could not be read".into(), mend: "run `wsidx rebuild`" });
        }
        Ok(lists.changed)
    }

    fn manifest(&self, basis: &Basis, live: &[u64]) -> Manifest {
        Manifest {
            generation: self.mark.generation,
            settings: self.settings.to_text().into_bytes(),
            fingerprint: basis.fingerprint(&self.settings.layout(), self.settings.wavelet()),
            fitted: basis.fitted,
            basis: basis.columns.clone(),
            live: live.iter().map(|word| u64::from(word.count_ones())).sum(),
            paths: self.state.paths().len() as u64,
            undecodable: self.state.undecodable(),
            incomplete: self.mark.incomplete,
            ..Manifest::default()
        }
    }

    /// Where the touched contents occur, if that changed.
    fn names<'a>(&'a self, rows: &'a Rows<'_>) -> Changes<'a> {
        Changes::new(rows.touched.len(), |visit| {
            for (row, id) in &rows.touched {
                let key = row_key(*row);
                let new = self.state.is_held(id).then(|| pack_names(&self.state.occurrences(id)));
                let old = rows.old.map_or(Ok(None), |view| view.table(TableKind::Names).get(&key))?;
                if old != new.as_deref() {
                    visit(&key, new.as_deref())?;
                }
            }
            Ok(())
        })
    }

    /// What the touched paths hold, if that changed.
    fn paths<'a>(&'a self, rows: &'a Rows<'_>, touched: &'a Touched) -> Changes<'a> {
        Changes::new(touched.paths.len(), |visit| {
            for path in &touched.paths {
                let new = match self.state.paths().get(path).map(|entry| &entry.holds) {
                    Some(Holds::Content(id)) => rows.of(id)?.map(PathRecord::Row),
                    Some(Holds::Undecodable { reason, .. }) => Some(PathRecord::Undecodable(reason.to_string())),
                    None => None,
                };
                let new = new.map(|record| record.pack());
                let old = rows.old.map_or(Ok(None), |view| view.table(TableKind::Paths).get(path))?;
                if old != new.as_deref() {
                    visit(path, new.as_deref())?;
                }
            }
            Ok(())
        })
    }
}

fn changed_lists<'a>(lists: Vec<(u32, Vec<Neighbor>)>) -> Changes<'a> {
    Changes::new(lists.len(), |visit| {
        for (row, list) in lists {
            visit(&row_key(row), (!list.is_empty()).then(|| pack_list(&list)).as_deref())?;
        }
        Ok(())
    })
}

/// The bitmap of live rows after the change, and what changed in it.
struct LiveChange {
    words: Vec<u64>,
    added: Vec<u32>,
    removed: Vec<u32>,
}
