//! The writer's state → the next generation of the view: rows, features, lists, tables.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering as Memory},
    },
};

use rayon::prelude::*;

use super::{
    Writer,
    crops::has_crops,
    edges::Candidates,
    open::{Fresh, Shown},
    pairs::Registrar,
    registration_cache::RegistrationCache,
    rows::{
        LiveChange, OldLists, Rows, SPARE, changed_aliases, changed_edges, changed_lists,
        changed_names, changed_paths, has_dropped_rows, has_packs_of, k_distance_of,
    },
};
use crate::{
    Error, Result,
    feature::{Basis, FIT_AT, FIT_CONTENTS, Feature, SCALE, fit_row},
    knn::{ListUpdate, Live, OwnedPlanes, SearchResult, Update, Watch, update_lists},
    monitor::Monitor,
    picture::Picture,
    similarity::register::RULE,
    store::{
        history::read_basis,
        medium::Medium,
        packs::{Basis as StoredBasis, Content, Place, Record},
        settings::Settings,
        state::{ContentId, Touched},
        view::{Draft, Growing, Grown, Manifest, TableKind, View, publish, remove_unnamed},
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
    Coefficients::of(
        picture.samples(),
        settings.size,
        settings.planes,
        settings.wavelet(),
        None,
    )
}

impl Writer {
    /// Makes the last commit visible. Does nothing where the view shows it already. Where there are
    /// contents enough for a search basis to be chosen and none was, that is done first, and is a
    /// commit of its own.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a stored content cannot be read, [`Error::Interrupted`],
    /// [`Error::Io`]; the old generation then stands.
    pub fn publish(&mut self, at: i64, monitor: &dyn Monitor) -> Result<Published> {
        // Fails after a failed write: the state then has what the packs have not.
        self.packs.end()?;
        let medium = self.home.view()?;
        let kept = self.shown.take();
        if kept.is_none() {
            // A publication may have failed, or its process died, after it was visible and before
            // its name was durable.
            medium
                .sync_folder()
                .map_err(Error::io("syncing", &medium.path("")))?;
            self.reference = None;
        }
        let opened = || {
            self.usable_view(View::open(&*medium).ok(), monitor)
                .map(|view| Shown {
                    view: Arc::new(view),
                    k_distances: None,
                })
        };
        let Some(Shown { view, k_distances }) = kept.or_else(opened) else {
            return self.publish_anew(false, at, monitor);
        };
        let crops = self.wants_crops(Some(&view), monitor);
        let shows = (view.manifest().generation, view.manifest().incomplete)
            == (self.mark.generation, self.mark.incomplete);
        if shows && (view.crops().is_some(), has_crops(view.manifest())) == (crops, crops) {
            remove_unnamed(&*medium, view.manifest())?;
            self.shown = Some(Shown { view, k_distances });
            self.packs.clear()?;
            return Ok(Published::default());
        }
        if view.crops().is_some() != crops && view.rows() > 0 {
            monitor.note(if crops {
                "search rows for crops are made, as wsidx.toml asks"
            } else {
                "search rows for crops are dropped"
            });
        }
        if view.manifest().fitted || self.state.stored() < FIT_AT as u64 {
            match self.publish_over(
                &*medium,
                Some(&view),
                k_distances,
                &view.basis(),
                crops,
                monitor,
            )? {
                Some(published) => Ok(published),
                None => self.publish_anew(false, at, monitor),
            }
        } else {
            self.publish_anew(true, at, monitor)
        }
    }

    /// Builds the view from nothing. The search basis is the one that the packs name; where they
    /// name none, or with `refit`, it is chosen anew if there are contents enough.
    ///
    /// # Errors
    /// As [`Writer::publish`].
    pub(super) fn publish_anew(
        &mut self,
        refit: bool,
        at: i64,
        monitor: &dyn Monitor,
    ) -> Result<Published> {
        (self.unpublished, self.shown, self.reference) = (None, None, None);
        let kept = if refit { None } else { self.packs_basis()? };
        let fitted = if kept.is_none() && self.state.stored() >= FIT_AT as u64 {
            self.fit(monitor)?
        } else {
            None
        };
        if let Some(basis) = &fitted {
            let fingerprint = basis.fingerprint(&self.settings.layout(), self.settings.wavelet());
            self.commit(
                &[Record::Basis(StoredBasis {
                    columns: basis.columns.clone(),
                    scale: SCALE,
                    fingerprint,
                })],
                at,
            )?;
            self.basis = fitted.clone();
            self.save()?;
        }
        let chosen = fitted.is_some();
        let basis = kept.or(fitted).unwrap_or_else(|| self.built_in());
        let medium = self.home.view()?;
        let crops = self.wants_crops(None, monitor);
        let published = self.publish_over(&*medium, None, None, &basis, crops, monitor)?;
        Ok(Published {
            fitted: chosen,
            ..published.unwrap_or_default()
        })
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
                && manifest.rule == RULE.as_bytes()
                && manifest.fingerprint
                    == view
                        .basis()
                        .fingerprint(&self.settings.layout(), self.settings.wavelet())
                && Basis::stored(&manifest.basis, manifest.fitted, &self.settings.layout())
                    .is_some()
                && view.check().is_ok()
                && has_packs_of(view, &self.packs)
        });
        if usable.is_none() && self.mark.generation > 0 {
            monitor.note("the view is missing or not whole; it is made again from the packs");
        }
        usable
    }

    fn built_in(&self) -> Basis {
        Basis::built_in(
            &self.settings.layout(),
            usize::from(self.settings.max_features),
        )
    }

    /// Chooses the search basis from the contents with the smallest ids.
    fn fit(&self, monitor: &dyn Monitor) -> Result<Option<Basis>> {
        let ids: Vec<_> = self
            .state
            .contents()
            .take(FIT_CONTENTS)
            .map(|(id, entry)| (*id, entry.place))
            .collect();
        monitor.stage("choosing columns", Some(ids.len() as u64));
        let rows = ids.par_iter().map(|(id, place)| {
            monitor.advance(1);
            let picture = self.picture(id, *place)?;
            Ok(fit_row(&mut coefficients_of(&picture, &self.settings)))
        });
        let rows: Vec<Vec<i16>> = rows
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        Ok(Basis::fit(&rows, usize::from(self.settings.max_features)))
    }

    /// The next generation on top of `old`, or from nothing. `None`: `old` cannot be built upon,
    /// and nothing was done.
    fn publish_over(
        &mut self,
        medium: &dyn Medium,
        old: Option<&View>,
        k_distances: Option<Arc<Vec<u32>>>,
        basis: &Basis,
        crops: bool,
        monitor: &dyn Monitor,
    ) -> Result<Option<Published>> {
        if old.is_none() {
            // Lists and pairs of all contents need room, and the catalog is up to date.
            self.catalog.rest();
        }
        let touched = self.touched(old)?;
        if has_dropped_rows(old, touched.as_ref(), &self.state)? {
            return Ok(None);
        }
        let (contents, paths) = touched
            .map(|Touched { contents, paths }| (contents, paths))
            .unzip();
        let (rows, new) = Rows::assign(&self.state, old.zip(contents))?;
        let mut growing = Growing::new(medium, old, basis.len(), &rows.moved)?;
        self.features(&new, basis, &mut growing, monitor)?;
        // Of a million contents 48 MB, which lists can use.
        drop(new);
        let grown = growing.finish()?;
        let crops = crops
            .then(|| self.crop_rows(medium, old, &grown, basis, monitor))
            .transpose()?;
        self.fresh = Fresh::default();
        let live = self.live(&rows)?;
        let mut k_distances = self.k_distances(old, k_distances)?;
        let lists = self.lists(old, &k_distances, &grown, &live, monitor)?;
        let (known, k) = (self.reference.take(), usize::from(self.settings.neighbors));
        let registrar = self.registrar(&grown, lists.len());
        let (edges, reference) = rayon::join(
            || {
                Candidates {
                    old,
                    lists: &lists,
                    k,
                }
                .edges(registrar, monitor)
            },
            || self.reference_after(known, old, &rows, &lists),
        );
        let (edges, reference) = (edges?, reference?);
        self.registrations
            .iter()
            .for_each(|registrations| registrations.forget_pairs());
        monitor.stage("publishing", None);
        renew_k_distances(&mut k_distances, &rows, &live, &lists, k);
        let published = Published {
            written: true,
            fitted: false,
            lists: lists.len() as u64,
        };
        let manifest = Manifest {
            crops,
            ..self.manifest(basis, &live.words)
        };
        let changes = [
            changed_names(&self.state, &rows),
            changed_paths(&self.state, &rows, paths.as_ref()),
            changed_lists(&lists),
            changed_edges(&edges),
            changed_aliases(&self.state, &rows),
        ];
        publish(
            medium,
            old,
            grown,
            Draft {
                manifest,
                live: live.words,
                changes,
            },
        )?;
        if let Some(regraphed) = &mut self.regraphed {
            regraphed.extend(edges.iter().map(|(row, _)| row));
        }
        self.reference = reference;
        self.unpublished = Some((self.mark.generation, Touched::default()));
        let view = old.map_or_else(|| View::open(medium), |old| View::open_after(medium, old))?;
        self.shown = Some(Shown {
            view: Arc::new(view),
            k_distances: Some(Arc::new(k_distances)),
        });
        // Packs that were rewritten: no view names the old ones any more.
        self.packs.clear()?;
        Ok(Some(published))
    }

    /// What a view shows otherwise than the state, or may; from nothing that is everything, which
    /// need not be listed.
    fn touched(&mut self, old: Option<&View>) -> Result<Option<Touched>> {
        match (self.unpublished.take(), old) {
            (Some((since, touched)), Some(view)) if view.manifest().generation == since => {
                Ok(Some(touched))
            }
            (_, Some(view)) => self.touched_since(view).map(Some),
            (_, None) => Ok(None),
        }
    }

    /// The k-distance of each old row; 0 for rows that are not live. Kept while the writer lives;
    /// otherwise read once from all lists.
    fn k_distances(&self, old: Option<&View>, kept: Option<Arc<Vec<u32>>>) -> Result<Vec<u32>> {
        let k = usize::from(self.settings.neighbors);
        match (kept, old) {
            (Some(kept), _) => Ok(Arc::unwrap_or_clone(kept)),
            (None, None) => Ok(Vec::new()),
            (None, Some(view)) => {
                let words = view.live_words()?;
                let k_distance = |row| {
                    if Live(&words).contains(row) {
                        Ok(k_distance_of(&view.whole_list(row)?, k))
                    } else {
                        Ok(0)
                    }
                };
                (0..view.rows() as u32)
                    .into_par_iter()
                    .map(k_distance)
                    .collect()
            }
        }
    }

    /// Everything that differs, or may differ, between the state and a view.
    fn touched_since(&self, view: &View) -> Result<Touched> {
        let mut touched = self.state.everything();
        view.table(TableKind::Paths).for_each(|path, _| {
            touched.paths.insert(path.into());
            Ok(())
        })?;
        for row in 0..view.rows() as u32 {
            touched.contents.insert(view.content(row)?.0);
        }
        Ok(touched)
    }

    fn features(
        &self,
        new: &[(ContentId, Place)],
        basis: &Basis,
        growing: &mut Growing<'_>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
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
            let features: Vec<Feature> = features.collect::<Result<_>>()?;
            let mut planes = OwnedPlanes::new(basis.len());
            planes.extend(
                &features
                    .iter()
                    .map(|Feature(values)| values.as_slice())
                    .collect::<Vec<_>>(),
            );
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
        Ok(LiveChange {
            words,
            added,
            removed,
        })
    }

    fn lists(
        &self,
        view: Option<&View>,
        k_distances: &[u32],
        grown: &Grown,
        live: &LiveChange,
        monitor: &dyn Monitor,
    ) -> Result<ListUpdate> {
        if live.added.is_empty() && live.removed.is_empty() {
            return Ok(ListUpdate::default());
        }
        monitor.stage("comparing", None);
        let old = OldLists {
            view,
            k_distances,
            damaged: AtomicBool::new(false),
        };
        let results = view.and_then(|view| self.results(view, grown, &live.added));
        let update = Update {
            planes: grown.planes()?,
            live: Live(&live.words),
            added: &live.added,
            removed: &live.removed,
            old: &old,
            k: usize::from(self.settings.neighbors),
            spare: SPARE,
            order: grown,
            results: results.as_ref(),
        };
        let watch = Watch {
            progress: &|_, _| {},
            cancelled: &|| monitor.cancelled(),
        };
        let lists = update_lists(&update, &watch)?;
        if old.damaged.load(Memory::Relaxed) {
            return Err(Error::Damaged {
                what: "the view's lists could not be read".into(),
                mend: "run `wsidx rebuild`",
            });
        }
        Ok(lists)
    }

    /// What a check of this generation has found of all the rows that are added.
    fn results(
        &self,
        view: &View,
        grown: &Grown,
        added: &[u32],
    ) -> Option<HashMap<u32, SearchResult>> {
        let mut results = self
            .registrations
            .as_ref()?
            .take_results(view.manifest().generation)?;
        added
            .iter()
            .map(|&row| Some((row, results.remove(grown.id(row)?)?)))
            .collect()
    }

    /// The pictures of the rows that so many changed lists can name.
    fn registrar<'a>(&'a self, grown: &'a Grown, lists: usize) -> Registrar<'a, u32> {
        let named = lists.saturating_mul(1 + usize::from(self.settings.neighbors));
        let registrations = self.registrations.clone().unwrap_or_else(|| {
            Arc::new(RegistrationCache::new(
                named.min(grown.rows()),
                self.settings.size,
            ))
        });
        let id = |row| grown.id(row).copied().ok_or_else(lost);
        Registrar::new(registrations, id, |row| {
            self.picture_of_row(grown, row).map(Cow::into_owned)
        })
    }

    /// The picture of a row of a generation in the making.
    pub(super) fn picture_of_row(&self, grown: &Grown, row: u32) -> Result<Cow<'_, Picture>> {
        let content = grown
            .id(row)
            .and_then(|id| Some((id, self.state.content(id)?.place)));
        content
            .ok_or_else(lost)
            .and_then(|(id, place)| self.picture(id, place))
    }

    fn manifest(&self, basis: &Basis, live: &[u64]) -> Manifest {
        Manifest {
            generation: self.mark.generation,
            settings: self.settings.to_text().into_bytes(),
            fingerprint: basis.fingerprint(&self.settings.layout(), self.settings.wavelet()),
            rule: RULE.as_bytes().to_vec(),
            fitted: basis.fitted,
            basis: basis.columns.clone(),
            live: live.iter().map(|word| u64::from(word.count_ones())).sum(),
            paths: self.state.paths().len() as u64,
            undecodable: self.state.undecodable(),
            incomplete: self.mark.incomplete,
            ..Manifest::default()
        }
    }
}

/// Updates the k-distances for the next generation.
fn renew_k_distances(
    k_distances: &mut Vec<u32>,
    rows: &Rows<'_>,
    live: &LiveChange,
    lists: &ListUpdate,
    k: usize,
) {
    k_distances.resize(rows.count(), u32::MAX);
    // A row that comes back to nobody has the empty list that it left with.
    live.added
        .iter()
        .for_each(|&row| k_distances[row as usize] = u32::MAX);
    lists
        .iter()
        .for_each(|(row, list)| k_distances[row as usize] = k_distance_of(list, k));
    live.removed
        .iter()
        .for_each(|&row| k_distances[row as usize] = 0);
}

fn lost() -> Error {
    Error::Damaged {
        what: "a row of the view has no content".into(),
        mend: "run `wsidx rebuild`",
    }
}
