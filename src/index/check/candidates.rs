//! Requested contents → what is near them in base and request: the nearest, candidates under all
//! views, and how far they are from others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rayon::prelude::*;

use super::request::{Candidate, Request, Requested};
use crate::{
    Error, Result,
    feature::Feature,
    index::{
        Reader,
        crops::{crop_features, nearest_by_crops},
        pairs::{AMONG, BY_VIEW, OF_A_VIEW, QueryPicture},
        query::ById,
        rows::SPARE,
    },
    knn::{
        Admit, By, Live, Neighbor, OwnedPlanes, QuerySet, RowOrder, nearest, nearest_and_reverse,
        nearest_by,
    },
    monitor::Monitor,
    similarity::register::Turn,
    verdict::ANOMALY_NEIGHBOR,
};

/// Requested contents of which what lists will be made of is found with what they are judged by.
const MANY: usize = 128;

const _: () = assert!(SPARE >= 1, "there is room for the content itself");

/// The features of the requested contents, and where the index keeps rows of crops those of their
/// crops.
pub(super) struct Own {
    pub(super) whole: OwnedPlanes,
    crops: Option<OwnedPlanes>,
}

/// Features that are searched for together, and for each who asks and under which turn.
struct Sought<'a> {
    planes: OwnedPlanes,
    of: Vec<(&'a Feature, usize, Turn)>,
}

impl<'a> Sought<'a> {
    fn extend(&mut self, more: impl Iterator<Item = (&'a Feature, usize, Turn)>) {
        let before = self.of.len();
        self.of.extend(more);
        self.planes.extend(&values(
            self.of[before..].iter().map(|(feature, ..)| *feature),
        ));
    }
}

/// A search of `k` by all columns.
fn by_all(planes: &OwnedPlanes, k: usize) -> QuerySet<'_> {
    QuerySet {
        queries: planes.as_planes(),
        by: By::Values,
        k,
    }
}

fn values<'f>(features: impl Iterator<Item = &'f Feature>) -> Vec<&'f [i16]> {
    features.map(|Feature(values)| values.as_slice()).collect()
}

/// Candidates with the turns under which they came up.
pub(super) type Candidates = BTreeMap<Candidate, BTreeSet<Turn>>;

/// Squared distances from the nearest and from the fifth nearest of dataset and request.
pub(super) struct Apart {
    pub(super) first: Option<u32>,
    pub(super) fifth: Option<u32>,
}

/// Ties among requested contents go to the smaller content id.
struct ByRequestedId<'a>(&'a [Requested]);

impl RowOrder for ByRequestedId<'_> {
    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        self.0[a as usize].read.id.cmp(&self.0[b as usize].read.id)
    }
}

impl Request<'_> {
    /// The features of the requested contents.
    pub(super) fn own(&self) -> Own {
        let Reader {
            basis,
            settings,
            view,
            ..
        } = self.reader;
        let mut whole = OwnedPlanes::new(basis.len());
        whole.extend(&values(
            self.requested
                .iter()
                .map(|requested| &requested.read.feature),
        ));
        let crops = view.crops().map(|_| {
            let features: Vec<_> = self
                .requested
                .par_iter()
                .map(|r| crop_features(&r.read.picture, basis, settings))
                .collect();
            let mut crops = OwnedPlanes::new(basis.len());
            crops.extend(&values(features.iter().flatten()));
            crops
        });
        Own { whole, crops }
    }

    /// The nearest rows of the requested contents, as many as a list holds and one more, for the
    /// content itself; a few more where a writer asks.
    pub(super) fn in_base(&self, planes: &OwnedPlanes) -> Result<Vec<Vec<Neighbor>>> {
        let (view, base) = (&self.reader.view, Live(&self.base.live));
        let k = usize::from(self.reader.settings.neighbors);
        match (&self.reader.k_distances, &self.reader.registrations) {
            // A writer will make lists of the same.
            (Some(k_distances), Some(registrations))
                if self.requested.len() >= MANY && view.live_words()? == self.base.live =>
            {
                let found = view.search(|rows| {
                    nearest_and_reverse(
                        by_all(planes, k + SPARE),
                        rows,
                        &base,
                        &ById(view),
                        k_distances,
                    )
                })?;
                let in_base = found
                    .iter()
                    .map(|results| results.nearest.clone())
                    .collect();
                let is_new = |requested: &Requested| {
                    !requested.read.row.is_some_and(|row| base.contains(row))
                };
                let new = found
                    .into_iter()
                    .zip(self.requested)
                    .filter(|(_, requested)| is_new(requested));
                registrations.keep_results(
                    view.manifest().generation,
                    new.map(|(results, requested)| (requested.read.id, results))
                        .collect(),
                );
                Ok(in_base)
            }
            _ => view.search(|rows| {
                nearest(
                    planes.as_planes(),
                    rows,
                    &base,
                    k + 1,
                    &ById(view),
                    &Admit::default(),
                )
            }),
        }
    }

    /// The nearest of the base and of the requested contents before, as many as a list holds.
    pub(super) fn near(
        &self,
        planes: &OwnedPlanes,
        in_base: &[Vec<Neighbor>],
    ) -> Vec<Vec<(u32, Candidate)>> {
        let k = usize::from(self.reader.settings.neighbors);
        let base = Live(&self.base.live);
        let before: Vec<u32> = (0..self.requested.len())
            .map(|own| self.sees(own))
            .collect();
        let in_request = self.among_new(by_all(planes, k + 1), planes, &base, Some(&before));
        let merged = in_base.par_iter().zip(in_request).zip(self.requested);
        merged
            .map(|((rows, new), own)| self.merge(rows, &new, own, k))
            .collect()
    }

    /// The nearest of the requested contents that are not among the live rows; `planes` are those
    /// of the requested.
    fn among_new(
        &self,
        query_set: QuerySet<'_>,
        planes: &OwnedPlanes,
        live: &Live<'_>,
        limits: Option<&[u32]>,
    ) -> Vec<Vec<Neighbor>> {
        let admit = Admit {
            limits,
            ..Admit::default()
        };
        let (not_live, order) = (self.not_live(live), ByRequestedId(self.requested));
        nearest_by(
            query_set,
            planes.as_planes(),
            &Live(&not_live),
            &order,
            &admit,
        )
    }

    /// One bit for each requested content, set if it is not among the live rows.
    fn not_live(&self, live: &Live<'_>) -> Vec<u64> {
        let mut new = vec![0u64; self.requested.len().div_ceil(64)];
        for (i, requested) in self.requested.iter().enumerate() {
            if !requested.read.row.is_some_and(|row| live.contains(row)) {
                new[i / 64] |= 1 << (i % 64);
            }
        }
        new
    }

    /// Rows and requested contents in one order, without the content itself.
    fn merge(
        &self,
        rows: &[Neighbor],
        new: &[Neighbor],
        own: &Requested,
        k: usize,
    ) -> Vec<(u32, Candidate)> {
        let rows = rows
            .iter()
            .filter(|n| Some(n.row) != own.read.row)
            .map(|n| (n.distance, Candidate::Row(n.row)));
        let new = new
            .iter()
            .map(|n| (n.distance, n.row as usize))
            .filter(|&(_, i)| self.requested[i].read.id != own.read.id);
        self.first(
            rows.chain(new.map(|(distance, i)| (distance, Candidate::Requested(i))))
                .collect(),
            k,
        )
    }

    /// The `k` nearest; ties go to the smaller content id.
    fn first(&self, mut all: Vec<(u32, Candidate)>, k: usize) -> Vec<(u32, Candidate)> {
        all.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| self.id(a.1).cmp(&self.id(b.1))));
        all.truncate(k);
        all
    }

    /// What the views of some requested contents bring, and under which turns.
    pub(super) fn candidates(
        &self,
        first: usize,
        queries: &[Arc<QueryPicture>],
        own: &Own,
    ) -> Result<Vec<Candidates>> {
        let mut sought = Sought {
            planes: OwnedPlanes::new(self.reader.basis.len()),
            of: Vec::new(),
        };
        let views = (first..).zip(queries).flat_map(|(own, query)| {
            query
                .views
                .iter()
                .map(move |(turn, feature)| (feature, own, *turn))
        });
        sought.extend(views);
        let (view, base) = (&self.reader.view, Live(&self.base.live));
        // One more, for the content itself.
        let query_set = QuerySet {
            queries: sought.planes.as_planes(),
            by: BY_VIEW,
            k: AMONG + 1,
        };
        let in_base =
            view.search(|rows| nearest_by(query_set, rows, &base, &ById(view), &Admit::default()))?;
        let in_request = self.among_new(query_set, &own.whole, &base, Some(&self.seen(&sought)));
        let mut candidates = vec![Candidates::new(); queries.len()];
        let near = |(at, &(feature, own, _)): (usize, &(&Feature, usize, Turn))| {
            let some = self.merge(&in_base[at], &in_request[at], &self.requested[own], AMONG);
            let measured = some
                .into_iter()
                .map(|(_, candidate)| Ok((self.distance(feature, candidate)?, candidate)));
            Ok(self.first(measured.collect::<Result<_>>()?, OF_A_VIEW))
        };
        let near = sought
            .of
            .par_iter()
            .enumerate()
            .map(near)
            .collect::<Result<Vec<_>>>()?;
        gather(first, &sought, near, &mut candidates);
        if let Some(crops) = &own.crops {
            // The pictures themselves as well.
            let themselves = (first..).zip(&self.requested[first..][..queries.len()]);
            sought.extend(
                themselves.map(|(own, requested)| (&requested.read.feature, own, Turn::NONE)),
            );
            let k = OF_A_VIEW + 1;
            let in_base = self
                .reader
                .nearest_by_crops(&sought.planes, &base, k, &ById(view))?;
            let (new, order, limits) = (
                self.not_live(&base),
                ByRequestedId(self.requested),
                self.seen(&sought),
            );
            let in_request = nearest_by_crops(
                sought.planes.as_planes(),
                crops.as_planes(),
                &Live(&new),
                k,
                &order,
                Some(&limits),
            );
            let near = in_base.iter().zip(&in_request).zip(&sought.of);
            let near = near
                .map(|((rows, new), &(_, own, _))| {
                    self.merge(rows, new, &self.requested[own], OF_A_VIEW)
                })
                .collect();
            gather(first, &sought, near, &mut candidates);
        }
        Ok(candidates)
    }

    /// With how many of the requested contents each feature's own content is compared.
    fn seen(&self, sought: &Sought<'_>) -> Vec<u32> {
        sought
            .of
            .iter()
            .map(|&(_, own, _)| self.sees(own))
            .collect()
    }

    /// The squared distance of a candidate.
    pub(super) fn distance(&self, feature: &Feature, candidate: Candidate) -> Result<u32> {
        match candidate {
            Candidate::Row(row) => self.reader.view.distance(feature, row),
            Candidate::Requested(i) => {
                Ok(feature.squared_distance(self.requested[i].read.feature.values()))
            }
        }
    }

    /// How many of the requested contents one is compared with: those that have an item before its
    /// first that is judged. It may be among them itself, where it has an item that is not.
    fn sees(&self, own: usize) -> u32 {
        let first = self.first_judged(own);
        self.requested
            .partition_point(|requested| requested.items[0] < first) as u32
    }

    /// How far each requested content is from others of dataset and request.
    pub(super) fn apart(
        &self,
        planes: &OwnedPlanes,
        in_base: Vec<Vec<Neighbor>>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Apart>> {
        let view = &self.reader.view;
        let words = view.live_words()?;
        let live = Live(&words);
        let k = ANOMALY_NEIGHBOR + 1;
        let in_view = if words == self.base.live
            && usize::from(self.reader.settings.neighbors) >= ANOMALY_NEIGHBOR
        {
            in_base
        } else {
            view.search(|rows| {
                nearest(
                    planes.as_planes(),
                    rows,
                    &live,
                    k,
                    &ById(view),
                    &Admit::default(),
                )
            })?
        };
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let new = self.among_new(by_all(planes, k), planes, &live, None);
        let apart = |(i, (rows, new)): (usize, (Vec<Neighbor>, Vec<Neighbor>))| {
            let rows = rows
                .iter()
                .filter(|n| Some(n.row) != self.requested[i].read.row);
            let new = new.iter().filter(|n| n.row as usize != i);
            let mut distances: Vec<u32> = rows.chain(new).map(|n| n.distance).collect();
            distances.sort_unstable();
            Apart {
                first: distances.first().copied(),
                fifth: distances.get(ANOMALY_NEIGHBOR - 1).copied(),
            }
        };
        Ok(in_view
            .into_par_iter()
            .zip(new)
            .enumerate()
            .map(apart)
            .collect())
    }
}

/// Adds what is near to what was sought to the candidates of the queries, the first of which is
/// `first`.
fn gather(
    first: usize,
    sought: &Sought<'_>,
    near: Vec<Vec<(u32, Candidate)>>,
    candidates: &mut [Candidates],
) {
    for (near, &(_, own, turn)) in near.into_iter().zip(&sought.of) {
        for (_, candidate) in near {
            candidates[own - first]
                .entry(candidate)
                .or_default()
                .insert(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use super::*;
    use crate::{
        index::{
            check::{CheckItem, base::Base, group},
            flat::FlatRows,
            pairs::BY_VIEW,
            query::tests::{Known, dataset, known, nearest_of, write},
        },
        picture::Limits,
        similarity::EdgeRule,
        verdict::Occurrence,
    };

    #[test]
    fn candidates_are_those_that_looking_at_every_row_and_file_before_chooses() {
        let (root, reader) = dataset();
        let item = |number: u64| {
            write(root.path(), number);
            let name = format!("{number}.ppm");
            CheckItem {
                file: root.path().join(&name),
                path: Arc::from(name.as_bytes()),
                inside: true,
            }
        };
        let items: Vec<CheckItem> = (200..230).map(item).collect();
        let named: Vec<Occurrence> = items
            .iter()
            .map(|item| Occurrence {
                path: item.path.clone(),
                label: None,
                split: None,
            })
            .collect();
        let read = items.iter().map(|item| {
            reader.look_at(
                &Default::default(),
                &item.file,
                &mut Default::default(),
                &Limits::default(),
            )
        });
        let requested = group(
            read.map(|read| Ok(read.unwrap())).collect(),
            0,
            &mut BTreeMap::new(),
        );
        let (base, rule, flat) = (
            Base::published(&reader, &items, &[]).unwrap(),
            EdgeRule::default(),
            FlatRows::default(),
        );
        let (base, rule, flat) = (&base, &rule, &flat);
        let request = Request {
            reader: &reader,
            named: &named,
            requested: &requested,
            before: 0,
            places: HashMap::new(),
            base,
            rule,
            flat,
        };
        let of = |requested: &Requested| {
            Arc::new(QueryPicture::of(&requested.read.picture, |part, turns| {
                reader.features(part, turns)
            }))
        };
        let queries: Vec<Arc<QueryPicture>> = requested.iter().map(of).collect();
        let found = request.candidates(0, &queries, &request.own()).unwrap();
        let rows = known(&reader)
            .into_iter()
            .map(|(row, id, feature)| (Candidate::Row(row), id, feature));
        let mut all: Vec<Known<Candidate>> = rows.collect();
        let mut before = 0;
        for (place, (found, query)) in found.into_iter().zip(&queries).enumerate() {
            let mut expected = Candidates::new();
            for (turn, view) in &query.views {
                let some = nearest_of(&all, view, BY_VIEW, AMONG);
                let some: Vec<_> = all
                    .iter()
                    .filter(|(candidate, ..)| some.contains(candidate))
                    .cloned()
                    .collect();
                for candidate in nearest_of(&some, view, By::Values, OF_A_VIEW) {
                    expected.entry(candidate).or_default().insert(*turn);
                }
            }
            before += expected
                .keys()
                .filter(|candidate| matches!(candidate, Candidate::Requested(_)))
                .count();
            assert!(found == expected, "file {place}");
            all.push((
                Candidate::Requested(place),
                requested[place].read.id,
                requested[place].read.feature.clone(),
            ));
        }
        assert!(before > 10, "files before are among them: {before}");
    }
}
