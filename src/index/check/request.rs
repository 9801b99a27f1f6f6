//! The evidence on the contents of a request, and what it makes of each file.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::{CheckItem, Checked, Read};
use crate::{
    Error, Result,
    feature::SCALE,
    index::{
        Reader,
        query::{ById, Match, real_distance},
    },
    knn::{Admit, Live, Neighbor, OwnedPlanes, RowOrder, nearest},
    monitor::Monitor,
    picture::Picture,
    similarity::{EDGE_CORRELATION, similarity},
    store::{state::ContentId, view::RowRecord},
    verdict::{ANOMALY_NEIGHBOR, Judgement, Occurrence, Reference, judge},
};

/// Neighbours that are shown as evidence.
const SHOWN: usize = 5;

/// A requested content: the first item that has it, and all of them in order.
pub(super) struct Requested {
    pub(super) read: Read,
    pub(super) items: Vec<usize>,
}

/// What a request is held against.
pub(super) struct Base {
    /// Rows that a path outside the request holds.
    pub(super) live: Vec<u64>,
    /// Rows of the request, with the paths outside it.
    pub(super) rest: HashMap<u32, Vec<Occurrence>>,
}

/// Ties among requested contents go to the smaller content id.
struct ByRequestedId<'a>(&'a [Requested]);

impl RowOrder for ByRequestedId<'_> {
    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        self.0[a as usize].read.id.cmp(&self.0[b as usize].read.id)
    }
}

/// A candidate: a row of the view, or a requested content.
#[derive(Clone, Copy)]
enum Candidate {
    Row(u32),
    Requested(usize),
}

/// A request: what was read, under which names, and what it is held against.
pub(super) struct Request<'a> {
    pub(super) reader: &'a Reader,
    pub(super) named: &'a [Occurrence],
    pub(super) requested: &'a [Requested],
    pub(super) places: HashMap<ContentId, usize>,
    pub(super) base: &'a Base,
}

/// The evidence on one requested content; occurrences of earlier items are added item by item.
struct Evidence {
    nearest: Vec<(Candidate, Match)>,
    edges: Vec<(Candidate, Match)>,
    score: Option<u32>,
}

/// A judgement, where the same content is, what is nearest, and the edges.
pub(super) type Judged = (Judgement, Vec<Occurrence>, Vec<Match>, Vec<Match>);

impl Request<'_> {
    /// The verdict on each item that could be read.
    pub(super) fn judge(&self, monitor: &dyn Monitor) -> Result<BTreeMap<usize, (ContentId, Judged)>> {
        let mut planes = OwnedPlanes::new(self.reader.basis.len());
        self.requested.iter().for_each(|r| planes.push(&r.read.feature.0));
        let near = self.near(&planes)?;
        let scores = self.scores(&planes, monitor)?;
        let reference = self.reader.reference()?;
        let evidence: Vec<Evidence> = near
            .into_par_iter()
            .zip(scores)
            .enumerate()
            .map(|(i, (near, score))| if monitor.cancelled() { Err(Error::Interrupted) } else { self.evidence(i, &near, score) })
            .collect::<Result<_>>()?;
        let mut judged = BTreeMap::new();
        for (requested, evidence) in self.requested.iter().zip(&evidence) {
            for &item in &requested.items {
                judged.insert(item, (requested.read.id, self.judge_item(item, requested, evidence, &reference)));
            }
        }
        Ok(judged)
    }

    /// The nearest of the base and of the requested contents before, as many as a list holds.
    fn near(&self, planes: &OwnedPlanes) -> Result<Vec<Vec<(u32, Candidate)>>> {
        let k = usize::from(self.reader.settings.neighbors);
        let view = &self.reader.view;
        let base = Live(&self.base.live);
        let in_base = view.search(|rows| nearest(planes.as_planes(), rows, &base, k + 1, &ById(view), &Admit::default()))?;
        let before: Vec<u32> = (0..self.requested.len() as u32).collect();
        let in_request = self.among_new(planes, k + 1, &base, Some(&before));
        let merged = in_base.into_iter().zip(in_request).zip(self.requested);
        Ok(merged.map(|((rows, new), own)| self.merge(&rows, &new, own, k)).collect())
    }

    /// The nearest of the requested contents that are not among the live rows.
    fn among_new(&self, planes: &OwnedPlanes, k: usize, live: &Live<'_>, limits: Option<&[u32]>) -> Vec<Vec<Neighbor>> {
        let mut new = vec![0u64; self.requested.len().div_ceil(64)];
        for (i, requested) in self.requested.iter().enumerate() {
            if !requested.read.row.is_some_and(|row| live.contains(row)) {
                new[i / 64] |= 1 << (i % 64);
            }
        }
        let admit = Admit { limits, ..Admit::default() };
        nearest(planes.as_planes(), planes.as_planes(), &Live(&new), k, &ByRequestedId(self.requested), &admit)
    }

    /// Rows and requested contents in one order, without the content itself.
    fn merge(&self, rows: &[Neighbor], new: &[Neighbor], own: &Requested, k: usize) -> Vec<(u32, Candidate)> {
        let rows = rows.iter().filter(|n| Some(n.row) != own.read.row).map(|n| (n.distance, Candidate::Row(n.row)));
        let new = new.iter().map(|n| (n.distance, n.row as usize)).filter(|&(_, i)| self.requested[i].read.id != own.read.id);
        let mut all: Vec<_> = rows.chain(new.map(|(distance, i)| (distance, Candidate::Requested(i)))).collect();
        all.sort_by_cached_key(|(distance, candidate)| (*distance, self.id(*candidate)));
        all.truncate(k);
        all
    }

    fn id(&self, candidate: Candidate) -> ContentId {
        match candidate {
            Candidate::Row(row) => self.reader.view.content(row).map_or([0xff; 32], |(id, _)| id),
            Candidate::Requested(i) => self.requested[i].read.id,
        }
    }

    /// The squared distance to the fifth nearest of dataset and request, of each requested content.
    fn scores(&self, planes: &OwnedPlanes, monitor: &dyn Monitor) -> Result<Vec<Option<u32>>> {
        let view = &self.reader.view;
        let words = view.live_words()?;
        let live = Live(&words);
        let k = ANOMALY_NEIGHBOR + 1;
        let in_view = view.search(|rows| nearest(planes.as_planes(), rows, &live, k, &ById(view), &Admit::default()))?;
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let new = self.among_new(planes, k, &live, None);
        let score = |(i, (rows, new)): (usize, (Vec<Neighbor>, Vec<Neighbor>))| {
            let rows = rows.iter().filter(|n| Some(n.row) != self.requested[i].read.row);
            let new = new.iter().filter(|n| n.row as usize != i);
            let mut distances: Vec<u32> = rows.chain(new).map(|n| n.distance).collect();
            distances.sort_unstable();
            distances.get(ANOMALY_NEIGHBOR - 1).copied()
        };
        Ok(in_view.into_iter().zip(new).enumerate().map(score).collect())
    }

    /// Similarities of those that are shown and of those that may be edges.
    fn evidence(&self, own: usize, near: &[(u32, Candidate)], score: Option<u32>) -> Result<Evidence> {
        let picture = &self.requested[own].read.picture;
        let (mut nearest, mut edges) = (Vec::new(), Vec::new());
        for (place, &(distance, candidate)) in near.iter().enumerate() {
            let may_be_edge = distance <= self.edge_reach();
            if place >= SHOWN && !may_be_edge {
                break;
            }
            let matched = self.matched(picture, distance, candidate)?;
            if matched.similarity >= EDGE_CORRELATION {
                edges.push((candidate, matched.clone()));
            }
            if place < SHOWN {
                nearest.push((candidate, matched));
            }
        }
        Ok(Evidence { nearest, edges, score })
    }

    /// The squared integer distance beyond which no pair can have the correlation of an edge: features are a part of unit vectors at distance
    /// √(2(1 − ρ)), each rounded by at most √m / 2.
    fn edge_reach(&self) -> u32 {
        let unit = (2.0 * (1.0 - EDGE_CORRELATION)).sqrt() * f64::from(SCALE);
        let reach = unit + (self.reader.basis.len() as f64).sqrt();
        (reach * reach).ceil() as u32
    }

    fn matched(&self, picture: &Picture, distance: u32, candidate: Candidate) -> Result<Match> {
        let distance = real_distance(distance);
        match candidate {
            Candidate::Row(row) => {
                let record = self.reader.view.row(row)?;
                let similarity = similarity(picture, &self.reader.picture(&record)?);
                let RowRecord { id, occurrences, .. } = record;
                let occurrences = self.base.rest.get(&row).cloned().unwrap_or(occurrences);
                Ok(Match { id, occurrences, similarity, distance })
            }
            Candidate::Requested(i) => {
                let other = &self.requested[i].read;
                let similarity = similarity(picture, &other.picture);
                Ok(Match { id: other.id, occurrences: Vec::new(), similarity, distance })
            }
        }
    }

    fn judge_item(&self, item: usize, own: &Requested, evidence: &Evidence, reference: &Reference) -> Judged {
        let before = |matches: &[(Candidate, Match)]| {
            let matches = matches.iter().map(|(_, matched)| {
                let mut matched = matched.clone();
                matched.occurrences.extend(self.earlier(&matched.id, item));
                matched.occurrences.sort_unstable();
                matched
            });
            matches.filter(|matched| !matched.occurrences.is_empty()).collect::<Vec<_>>()
        };
        let mut same = self.same_in_base(own.read.row);
        same.extend(self.earlier(&own.read.id, item));
        same.sort_unstable();
        let (nearest, edges) = (before(&evidence.nearest), before(&evidence.edges));
        let Occurrence { label, split, .. } = &self.named[item];
        let near = edges.iter().map(|edge| edge.occurrences.as_slice());
        let judgement = judge(label.as_ref(), *split, &same, near, evidence.score, reference);
        (judgement, same, nearest, edges)
    }

    fn same_in_base(&self, row: Option<u32>) -> Vec<Occurrence> {
        let Some(row) = row else { return Vec::new() };
        match self.base.rest.get(&row) {
            Some(rest) => rest.clone(),
            None => self.reader.view.row(row).map(|record| record.occurrences).unwrap_or_default(),
        }
    }

    /// The items before `item` that have this content.
    fn earlier(&self, id: &ContentId, item: usize) -> impl Iterator<Item = Occurrence> {
        let items = self.places.get(id).map_or(&[][..], |&place| &self.requested[place].items);
        items.iter().filter(move |&&other| other < item).map(|&other| self.named[other].clone())
    }

    /// The answers, item by item.
    pub(super) fn answer(
        &self,
        items: Vec<CheckItem>,
        mut judged: BTreeMap<usize, (ContentId, Judged)>,
        reasons: &BTreeMap<usize, String>,
    ) -> Vec<Checked> {
        let answer = |(i, item): (usize, CheckItem)| {
            let Occurrence { label, split, .. } = self.named[i].clone();
            let reason = reasons.get(&i).cloned();
            let (id, judgement, same, nearest, edges) = match judged.remove(&i) {
                Some((id, (judgement, same, nearest, edges))) => (Some(id), judgement, same, nearest, edges),
                None => (None, Judgement::undecodable(), Vec::new(), Vec::new(), Vec::new()),
            };
            Checked { item, id, label, split, judgement, reason, same, nearest, edges }
        };
        items.into_iter().enumerate().map(answer).collect()
    }
}
