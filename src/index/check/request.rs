//! The evidence on the contents of a request, and what it makes of each file.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rayon::prelude::*;

use super::{
    CheckItem, Checked, Read,
    base::Base,
    candidates::{Apart, Candidates, Own},
    places::Places,
};
use crate::{
    Error, Result,
    dataset::Unread,
    index::{
        Reader,
        flat::{FlatRows, Texture, texture},
        pairs::{QueryPicture, Registrar},
        query::{Match, real_distance},
    },
    monitor::Monitor,
    picture::Picture,
    similarity::{EdgeRule, register::Turn},
    store::state::ContentId,
    verdict::{Judgement, Occurrence, Reference, judge},
};

/// Neighbours that are shown as evidence.
const SHOWN: usize = 5;

/// Pictures that are looked at for one, about: those that are near, and what its views bring.
const MOST_PICTURES: usize = 64;

/// Requested contents whose views are searched together.
const TOGETHER: usize = 1_024;

/// A requested content: the first item that has it, and all of them in order.
pub(super) struct Requested {
    pub(super) read: Read,
    pub(super) items: Vec<usize>,
}

/// A candidate: a row of the view, or a requested content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Candidate {
    Row(u32),
    Requested(usize),
}

/// A request: what was read, under which names, and what it is held against.
pub(super) struct Request<'a> {
    pub(super) reader: &'a Reader,
    pub(super) named: &'a [Occurrence],
    pub(super) requested: &'a [Requested],
    /// Items before this one are not judged: the others are only compared with them.
    pub(super) before: usize,
    pub(super) places: HashMap<ContentId, usize>,
    pub(super) base: &'a Base<'a>,
    pub(super) rule: &'a EdgeRule,
    pub(super) flat: &'a FlatRows,
}

/// What is shown as nearest, the edges, and how much the content has to be told by.
type Pairs = (Vec<(Candidate, Match)>, Vec<(Candidate, Match)>, Texture);

/// The evidence on one requested content; occurrences of earlier items are added item by item.
pub(super) struct Evidence {
    nearest: Vec<(Candidate, Match)>,
    pub(super) edges: Vec<(Candidate, Match)>,
    texture: Texture,
    apart: Apart,
}

/// A judgement, where the same content is, what is nearest, the edges, the texture, and the
/// distance from the nearest of dataset and request.
pub(super) struct Judged {
    judgement: Judgement,
    same: (Vec<Occurrence>, usize),
    nearest: Vec<Match>,
    edges: Vec<Match>,
    texture: Option<Texture>,
    apart: Option<f64>,
}

impl Request<'_> {
    /// The verdict on each item that could be read.
    pub(super) fn judge(
        &self,
        monitor: &dyn Monitor,
    ) -> Result<BTreeMap<usize, (ContentId, Judged)>> {
        let own = self.own();
        let quiet = self
            .requested
            .partition_point(|requested| requested.items.iter().all(|&item| item < self.before));
        let in_base = self.in_base(&own.whole)?;
        let near = self.near(&own.whole, &in_base).split_off(quiet);
        let apart = self.apart(&own.whole, in_base, monitor)?.split_off(quiet);
        let reference = self.reader.reference()?;
        monitor.stage("registering", Some(self.requested.len() as u64));
        let all = self.reader.view.rows() + self.requested.len();
        let count = all.min(self.requested.len() * MOST_PICTURES);
        let registrar = Registrar::new(
            self.reader.registrations(count),
            |candidate| self.content(candidate),
            |candidate| self.picture(candidate),
        );
        let mut pairs = Vec::with_capacity(near.len());
        for (chunk, near) in near.chunks(TOGETHER).enumerate() {
            pairs.extend(self.together(
                quiet + chunk * TOGETHER,
                near,
                &own,
                &registrar,
                monitor,
            )?);
        }
        let evidence = pairs
            .into_iter()
            .zip(apart)
            .map(|((nearest, edges, texture), apart)| Evidence {
                nearest,
                edges,
                texture,
                apart,
            });
        let mut evidence: Vec<Evidence> = evidence.collect();
        self.join_flat(&mut evidence, quiet)?;
        let mut judged = BTreeMap::new();
        for (requested, evidence) in self.requested[quiet..].iter().zip(evidence) {
            let mut content = ContentEvidence::of(self, requested, evidence);
            for &item in requested.items.iter().filter(|&&item| item >= self.before) {
                judged.insert(item, (requested.read.id, content.judge(item, reference)));
            }
        }
        Ok(judged)
    }

    /// The evidence on some requested contents, from `first` on, whose nearest are known.
    fn together(
        &self,
        first: usize,
        near: &[Vec<(u32, Candidate)>],
        own: &Own,
        registrar: &Registrar<'_, Candidate>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Pairs>> {
        let some = &self.requested[first..first + near.len()];
        let of = |(own, place): (&Requested, usize)| match &own.read.query {
            Some(query) => Ok(Arc::clone(query)),
            None => {
                let features = |part: &Picture, turns: &[Turn]| self.reader.features(part, turns);
                QueryPicture::known(
                    Candidate::Requested(place),
                    &own.read.picture,
                    features,
                    registrar,
                )
                .map(Arc::new)
            }
        };
        let queries: Vec<Arc<QueryPicture>> = some
            .par_iter()
            .zip(first..first + some.len())
            .map(of)
            .collect::<Result<_>>()?;
        let candidates = self.candidates(first, &queries, own)?;
        let one = |(i, candidates): (usize, Candidates)| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            let pairs = self.evidence(first + i, &queries[i], &near[i], candidates, registrar);
            monitor.advance(1);
            pairs
        };
        candidates.into_par_iter().enumerate().map(one).collect()
    }

    /// The first item of a content that is judged.
    pub(super) fn first_judged(&self, own: usize) -> usize {
        self.requested[own]
            .items
            .iter()
            .copied()
            .find(|&item| item >= self.before)
            .unwrap_or(self.before)
    }

    fn content(&self, candidate: Candidate) -> Result<ContentId> {
        match candidate {
            Candidate::Row(row) => Ok(self.reader.view.content(row)?.0),
            Candidate::Requested(i) => Ok(self.requested[i].read.id),
        }
    }

    pub(super) fn id(&self, candidate: Candidate) -> ContentId {
        self.content(candidate).unwrap_or([0xff; 32])
    }

    /// The nearest, and the edges among all candidates.
    fn evidence(
        &self,
        own: usize,
        query: &QueryPicture,
        near: &[(u32, Candidate)],
        mut candidates: Candidates,
        registrar: &Registrar<'_, Candidate>,
    ) -> Result<Pairs> {
        let near: HashMap<Candidate, (usize, u32)> = near
            .iter()
            .enumerate()
            .map(|(i, &(distance, near))| (near, (i, distance)))
            .collect();
        for near in near.keys() {
            candidates.entry(*near).or_default().insert(Turn::NONE);
        }
        let feature = &self.requested[own].read.feature;
        let texture = texture(query, feature, self.rule, self.flat.count());
        let (mut shown, mut edges) = (BTreeMap::new(), Vec::new());
        // A request of one image has all threads, too.
        let registered = candidates.into_par_iter().map(|(candidate, turns)| {
            let pair = query.best(candidate, turns.into_iter(), registrar, self.rule);
            Ok((candidate, pair?))
        });
        for (candidate, pair) in registered.collect::<Result<Vec<_>>>()? {
            let is_edge = pair.is_some_and(|pair| self.rule.accepts(&pair));
            let place = near
                .get(&candidate)
                .map(|near| near.0)
                .filter(|place| *place < SHOWN);
            if !is_edge && place.is_none() {
                continue;
            }
            let distance = near.get(&candidate).map_or_else(
                || self.distance(feature, candidate),
                |(_, distance)| Ok(*distance),
            )?;
            let (id, occurrences) = self.known(candidate)?;
            let matched = Match::new(id, occurrences, distance, pair, self.rule);
            if is_edge {
                edges.push((candidate, matched.clone()));
            }
            place.map(|place| shown.insert(place, (candidate, matched)));
        }
        edges.sort_by(|(_, a), (_, b)| {
            b.similarity
                .total_cmp(&a.similarity)
                .then_with(|| a.id.cmp(&b.id))
        });
        Ok((shown.into_values().collect(), edges, texture))
    }

    /// The stored picture of a candidate.
    fn picture(&self, candidate: Candidate) -> Result<Picture> {
        match candidate {
            Candidate::Row(row) => self.reader.picture_of_row(row),
            Candidate::Requested(i) => Ok(self.requested[i].read.picture.clone()),
        }
    }

    /// Id of a candidate, and its paths outside the request.
    pub(super) fn known(&self, candidate: Candidate) -> Result<(ContentId, Vec<Occurrence>)> {
        match candidate {
            Candidate::Row(row) => Ok((
                self.content(candidate)?,
                self.base.occurrences(self.reader, row)?,
            )),
            Candidate::Requested(i) => Ok((self.requested[i].read.id, Vec::new())),
        }
    }

    /// The answers, item by item.
    pub(super) fn answer(
        &self,
        items: Vec<CheckItem>,
        mut judged: BTreeMap<usize, (ContentId, Judged)>,
        reasons: &BTreeMap<usize, Unread>,
    ) -> Vec<Checked> {
        let answer = |(i, item): (usize, CheckItem)| {
            let Occurrence { label, split, .. } = self.named[i].clone();
            let (id, judged) = match judged.remove(&i) {
                Some((id, judged)) => (Some(id), judged),
                None => {
                    let missing = matches!(reasons.get(&i), Some(Unread::Missing(_)));
                    let judgement = if missing {
                        Judgement::missing()
                    } else {
                        Judgement::undecodable()
                    };
                    (
                        None,
                        Judged {
                            judgement,
                            same: (Vec::new(), 0),
                            nearest: Vec::new(),
                            edges: Vec::new(),
                            texture: None,
                            apart: None,
                        },
                    )
                }
            };
            let Judged {
                judgement,
                same: (same, same_paths),
                nearest,
                edges,
                texture,
                apart,
            } = judged;
            let reason = reasons.get(&i).map(|unread| match unread {
                Unread::Missing(reason) | Unread::Unreadable(reason) => reason.clone(),
            });
            Checked {
                item,
                id,
                label,
                split,
                judgement,
                texture,
                reason,
                same,
                same_paths,
                nearest,
                edges,
                apart,
                own_cluster: None,
                allowed: None,
            }
        };
        items
            .into_iter()
            .enumerate()
            .skip(self.before)
            .map(answer)
            .collect()
    }
}

/// Where a content is for one item after the other: in the base, and in the items before.
struct OccurrencesBefore<'a> {
    places: Places,
    /// The items that have it and were not added.
    later: &'a [usize],
}

impl<'a> OccurrencesBefore<'a> {
    fn of(request: &'a Request<'_>, id: &ContentId, base: Vec<Occurrence>) -> Self {
        let later = request
            .places
            .get(id)
            .map_or(&[][..], |&place| &request.requested[place].items);
        Self {
            places: Places::of(base),
            later,
        }
    }

    /// Adds the items before this one.
    fn before(&mut self, item: usize, named: &[Occurrence]) -> &Places {
        while let Some((&other, later)) =
            self.later.split_first().filter(|(other, _)| **other < item)
        {
            self.places.add(&named[other]);
            self.later = later;
        }
        &self.places
    }
}

/// A content that is reported as near, and where it occurs.
type Near<'a> = (Match, OccurrencesBefore<'a>);

/// The evidence on a content, for one of its items after the other.
struct ContentEvidence<'a> {
    named: &'a [Occurrence],
    same: OccurrencesBefore<'a>,
    nearest: Vec<Near<'a>>,
    edges: Vec<Near<'a>>,
    texture: Texture,
    apart: Apart,
}

impl<'a> ContentEvidence<'a> {
    fn of(request: &'a Request<'_>, own: &Requested, evidence: Evidence) -> Self {
        let near = |matches: Vec<(Candidate, Match)>| -> Vec<Near<'a>> {
            let near_one = |(_, mut matched): (Candidate, Match)| {
                let base = std::mem::take(&mut matched.occurrences);
                let occurrences = OccurrencesBefore::of(request, &matched.id, base);
                (matched, occurrences)
            };
            matches.into_iter().map(near_one).collect()
        };
        let base = own
            .read
            .row
            .and_then(|row| request.base.occurrences(request.reader, row).ok())
            .unwrap_or_default();
        let Evidence {
            nearest,
            edges,
            texture,
            apart,
        } = evidence;
        let same = OccurrencesBefore::of(request, &own.read.id, base);
        Self {
            named: request.named,
            same,
            nearest: near(nearest),
            edges: near(edges),
            texture,
            apart,
        }
    }

    /// The verdict on an item, which comes after those that were judged before.
    fn judge(&mut self, item: usize, reference: &Reference) -> Judged {
        let named = self.named;
        let Occurrence { label, split, .. } = &named[item];
        let before = |near: &mut Vec<Near<'_>>| {
            let matches = near.iter_mut().map(|(matched, occurrences)| {
                let places = occurrences.before(item, named);
                Match {
                    occurrences: places.deciding(label.as_ref()),
                    paths: places.count(),
                    ..matched.clone()
                }
            });
            matches
                .filter(|matched| !matched.occurrences.is_empty())
                .collect::<Vec<_>>()
        };
        let (nearest, edges) = (before(&mut self.nearest), before(&mut self.edges));
        let places = self.same.before(item, named);
        let same = (places.deciding(label.as_ref()), places.count());
        let near = edges.iter().map(|edge| edge.occurrences.as_slice());
        let judgement = judge(
            label.as_ref(),
            *split,
            &same.0,
            near,
            self.apart.fifth,
            reference,
        );
        Judged {
            judgement,
            same,
            nearest,
            edges,
            texture: Some(self.texture),
            apart: self.apart.first.map(real_distance),
        }
    }
}
