//! Files → verdicts: each against the dataset without the files in the request, and against those before it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use rayon::prelude::*;

use super::{
    Reader,
    query::{ById, Match, real_distance},
};
use crate::{
    Error, Result,
    dataset::{Buffer, Labels, read_image, tables_above},
    feature::{Feature, SCALE},
    knn::{Admit, Live, Neighbor, OwnedPlanes, RowOrder, nearest},
    monitor::Monitor,
    picture::{Limits, Picture, decode},
    similarity::{EDGE_CORRELATION, similarity},
    store::{
        state::ContentId,
        view::{PathRecord, RowRecord, TableKind},
    },
    verdict::{ANOMALY_NEIGHBOR, Judgement, Label, Occurrence, Reference, Split, judge},
};

/// Neighbours that are shown as evidence.
const SHOWN: usize = 5;

/// A file to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckItem {
    /// Where it is.
    pub file: PathBuf,
    /// What it is called: relative to the root if it is below it, else as it was given.
    pub path: Arc<[u8]>,
    /// Whether it is below the root, and so has a label and a split by its path.
    pub inside: bool,
}

/// What holds for all files of a request.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// The label of all of them, whatever their paths say.
    pub label: Option<Label>,
    /// The split of all of them.
    pub split: Option<Split>,
    /// What a picture may cost.
    pub limits: Limits,
}

/// The verdict on a file, with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// As in the request.
    pub item: CheckItem,
    /// The content, where the file could be read at all.
    pub id: Option<ContentId>,
    /// The label that it was judged under.
    pub label: Option<Label>,
    /// The split that it was judged under.
    pub split: Option<Split>,
    /// The verdict.
    pub judgement: Judgement,
    /// Why it is undecodable.
    pub reason: Option<String>,
    /// Where the same content is.
    pub same: Vec<Occurrence>,
    /// The nearest of what it was compared with, nearest first; the same content is not among them.
    pub nearest: Vec<Match>,
    /// The edges among them: near-duplicates.
    pub edges: Vec<Match>,
}

/// A file that was read.
struct Read {
    id: ContentId,
    picture: Picture,
    feature: Feature,
    row: Option<u32>,
}

/// A requested content: the first item that has it, and all of them in order.
struct Requested {
    read: Read,
    items: Vec<usize>,
}

/// What a request is held against.
struct Base {
    /// Rows that a path outside the request holds.
    live: Vec<u64>,
    /// Rows of the request, with the paths outside it.
    rest: HashMap<u32, Vec<Occurrence>>,
}

impl Reader {
    /// Judges the files in the byte order of their paths, each against the published dataset minus every path of the request, plus the files
    /// before it. Anomalies are judged by the distance to the fifth nearest of the whole dataset and the whole request.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`] and [`Error::Interrupted`]; a file that cannot be read is a verdict.
    pub fn check(&self, mut items: Vec<CheckItem>, options: &CheckOptions, monitor: &dyn Monitor) -> Result<Vec<Checked>> {
        items.sort_by(|a, b| a.path.cmp(&b.path));
        items.dedup_by(|a, b| a.file == b.file);
        let named = self.named(&items, options)?;
        monitor.stage("reading", Some(items.len() as u64));
        let read: Vec<Result<Read>> = items
            .par_iter()
            .map_init(Buffer::default, |buffer, item| {
                monitor.advance(1);
                if monitor.cancelled() { Err(Error::Interrupted) } else { self.look_at(&item.file, buffer, &options.limits) }
            })
            .collect();
        let mut reasons = BTreeMap::new();
        let requested = group(read, &mut reasons)?;
        monitor.stage("comparing", None);
        let base = self.base(&items)?;
        let places = requested.iter().enumerate().map(|(place, r)| (r.read.id, place)).collect();
        let request = Request { reader: self, named: &named, requested: &requested, places, base: &base };
        let judged = request.judge(monitor)?;
        Ok(request.answer(items, judged, &reasons))
    }

    /// Path, label and split of each item.
    fn named(&self, items: &[CheckItem], options: &CheckOptions) -> Result<Vec<Occurrence>> {
        let folders: BTreeSet<&[u8]> = items.iter().filter(|item| item.inside).map(|item| parent(&item.path)).collect();
        let mut tables: Vec<_> = folders.into_iter().flat_map(|folder| tables_above(self.root(), folder)).collect();
        tables.sort_unstable();
        tables.dedup();
        let mut labels = Labels::read(self.root(), &tables)?;
        let occurrence = |item: &CheckItem| {
            let (label, split) = if item.inside { labels.of(&item.path) } else { (None, None) };
            Occurrence { path: item.path.clone(), label: options.label.clone().or(label), split: options.split.or(split) }
        };
        Ok(items.iter().map(occurrence).collect())
    }

    fn look_at(&self, file: &Path, buffer: &mut Buffer, limits: &Limits) -> Result<Read> {
        read_image(file, limits, buffer)?;
        let id = buffer.id();
        let row = self.view.row_of(&id)?;
        let picture = match row {
            Some(row) => self.picture(&self.view.row(row)?)?,
            None => decode(&buffer.bytes, self.settings.shape(), limits)?.picture,
        };
        let feature = self.feature(&picture);
        Ok(Read { id, picture, feature, row })
    }

    fn base(&self, items: &[CheckItem]) -> Result<Base> {
        let mut live = self.view.live_words()?;
        let mut rest = HashMap::new();
        let requested: BTreeSet<&[u8]> = items.iter().filter(|item| item.inside).map(|item| &*item.path).collect();
        for path in &requested {
            let Some(PathRecord::Row(row)) = self.view.path(path)? else { continue };
            if rest.contains_key(&row) {
                continue;
            }
            let mut occurrences = self.view.row(row)?.occurrences;
            occurrences.retain(|o| !requested.contains(&*o.path));
            if occurrences.is_empty()
                && let Some(word) = live.get_mut(row as usize / 64)
            {
                *word &= !(1 << (row % 64));
            }
            rest.insert(row, occurrences);
        }
        Ok(Base { live, rest })
    }

    /// The scores of the live rows, by the lists that are published.
    fn reference(&self) -> Result<Reference> {
        let mut scores = Vec::new();
        self.view.table(TableKind::Lists).for_each(|key, _| {
            let Ok(key) = key.try_into() else { return Ok(()) };
            let row = u32::from_be_bytes(key);
            if let Some(fifth) = self.view.list(row)?.get(ANOMALY_NEIGHBOR - 1) {
                let labels: BTreeSet<Label> = self.view.row(row)?.occurrences.into_iter().filter_map(|o| o.label).collect();
                scores.push((fifth.distance, labels));
            }
            Ok(())
        })?;
        Ok(Reference::new(scores.iter().map(|(score, labels)| (*score, labels.iter()))))
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(b"", |slash| &path[..slash])
}

/// Gathers items by content, in the order of their first item.
fn group(read: Vec<Result<Read>>, reasons: &mut BTreeMap<usize, String>) -> Result<Vec<Requested>> {
    let mut places: HashMap<ContentId, usize> = HashMap::new();
    let mut requested: Vec<Requested> = Vec::new();
    for (item, read) in read.into_iter().enumerate() {
        match read {
            Ok(read) => match places.get(&read.id) {
                Some(&place) => requested[place].items.push(item),
                None => {
                    places.insert(read.id, requested.len());
                    requested.push(Requested { read, items: vec![item] });
                }
            },
            Err(Error::Undecodable(reason)) => drop(reasons.insert(item, reason)),
            Err(other) => return Err(other),
        }
    }
    Ok(requested)
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

struct Request<'a> {
    reader: &'a Reader,
    named: &'a [Occurrence],
    requested: &'a [Requested],
    places: HashMap<ContentId, usize>,
    base: &'a Base,
}

/// The evidence on one requested content; occurrences of earlier items are added item by item.
struct Evidence {
    nearest: Vec<(Candidate, Match)>,
    edges: Vec<(Candidate, Match)>,
    score: Option<u32>,
}

type Judged = (Judgement, Vec<Occurrence>, Vec<Match>, Vec<Match>);

impl Request<'_> {
    fn judge(&self, monitor: &dyn Monitor) -> Result<BTreeMap<usize, (ContentId, Judged)>> {
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
        let in_base = nearest(planes.as_planes(), view.planes()?, &base, k + 1, &ById(view), &Admit::default());
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
            Candidate::Row(row) => self.reader.view.row(row).map_or([0xff; 32], |record| record.id),
            Candidate::Requested(i) => self.requested[i].read.id,
        }
    }

    /// The squared distance to the fifth nearest of dataset and request, of each requested content.
    fn scores(&self, planes: &OwnedPlanes, monitor: &dyn Monitor) -> Result<Vec<Option<u32>>> {
        let view = &self.reader.view;
        let words = view.live_words()?;
        let live = Live(&words);
        let k = ANOMALY_NEIGHBOR + 1;
        let in_view = nearest(planes.as_planes(), view.planes()?, &live, k, &ById(view), &Admit::default());
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

    fn answer(
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
