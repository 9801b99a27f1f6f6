//! Pictures that are looked up → the rows that may show the same, and which of them do: views bring candidates, registration decides.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use super::Reader;
use crate::{
    Result,
    feature::Feature,
    picture::Picture,
    similarity::{
        EdgeRule, Views,
        register::{Alignment, Prepared, SKETCH_SCORE, Turn, register, sketch_score},
        views,
    },
};

/// Parts of the table of prepared pictures, each behind its own lock.
const SHARDS: usize = 16;
/// Bytes of prepared pictures that are kept.
const KEPT: usize = 256 << 20;

/// Candidates that each view brings beside the nearest of the picture itself: a copy comes first or second under the view that undoes the
/// change (see the record of pairs).
pub(super) const OF_A_VIEW: usize = 2;

/// A picture that is looked up.
pub(super) struct Asked {
    /// The feature of the picture itself.
    pub(super) feature: Feature,
    /// The features of its other views, each with the turn that makes it.
    pub(super) views: Vec<(Turn, Feature)>,
    /// The picture in each turn that occurs among the views.
    turned: BTreeMap<Turn, Prepared>,
}

impl Asked {
    pub(super) fn of(picture: &Picture, feature: impl Fn(&Picture) -> Feature) -> Self {
        let views: Vec<_> = views(picture, Views::OF_QUERY).iter().skip(1).map(|(kind, view)| (kind.turn, feature(view))).collect();
        let prepared = Prepared::of(picture);
        let turns: BTreeSet<Turn> = views.iter().map(|(turn, _)| *turn).chain([Turn::NONE]).collect();
        let turned = turns.into_iter().map(|turn| (turn, prepared.turned(turn))).collect();
        Self { feature: feature(picture), views, turned }
    }

    /// The picture as it is.
    pub(super) fn upright(&self) -> &Prepared {
        &self.turned[&Turn::NONE]
    }

    /// How it lies on another picture: the best of some turns, an edge before any other. Pairs that the prefilter refuses are not registered.
    pub(super) fn best(&self, other: &Prepared, turns: impl Iterator<Item = Turn>, rule: &EdgeRule) -> Option<Alignment> {
        let likely = turns.filter(|turn| self.turned.get(turn).is_some_and(|own| sketch_score(own, other) >= SKETCH_SCORE));
        let pairs = likely.map(|turn| register(self.upright(), other, turn));
        pairs.max_by(|a, b| {
            (rule.accepts(a), a.similarity).partial_cmp(&(rule.accepts(b), b.similarity)).unwrap_or(std::cmp::Ordering::Equal)
        })
    }
}

/// The prepared pictures of rows, as long as there is room for them: neighbours share neighbours.
pub(super) struct Library<'a> {
    reader: &'a Reader,
    shards: Vec<Mutex<HashMap<u32, Arc<Prepared>>>>,
    most: usize,
}

impl<'a> Library<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        // Planes of f32 at three levels, and what is derived from them: about 24 bytes for a sample of luma.
        let each = 24 * usize::from(reader.settings().size.max(32)).pow(2);
        Self { reader, shards: (0..SHARDS).map(|_| Mutex::default()).collect(), most: KEPT / SHARDS / each }
    }

    pub(super) fn row(&self, row: u32) -> Result<Arc<Prepared>> {
        let shard = || self.shards[row as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shard().get(&row) {
            return Ok(known.clone());
        }
        let prepared = Arc::new(Prepared::of(&self.reader.picture(&self.reader.view().row(row)?)?));
        let mut shard = shard();
        if shard.len() >= self.most {
            shard.clear();
        }
        shard.insert(row, prepared.clone());
        Ok(prepared)
    }
}
