//! Pictures that are looked up → the rows that may show the same, and which of them do: views bring candidates, registration decides.

use std::{
    cmp::Ordering,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Result,
    feature::Feature,
    picture::Picture,
    similarity::{
        EdgeRule, Views,
        register::{Alignment, Begun, Detail, Outline, Prepared, Turn, begin},
        views,
    },
};

/// Bytes of outlines that are kept where all of them fit; where they do not, a cache finds little again, and has an eighth. So have details.
const KEPT: usize = 256 << 20;
/// Bytes of an outline.
const OUTLINE: usize = 2_700;

/// Candidates that each view brings beside the nearest of the picture itself: a copy comes first or second under the view that undoes the
/// change (see the record of pairs).
pub(super) const OF_A_VIEW: usize = 2;

/// A picture that is looked up.
pub(super) struct Asked {
    /// The features of its views but the first, each with the turn that makes it.
    pub(super) views: Vec<(Turn, Feature)>,
    prepared: Prepared,
}

impl Asked {
    pub(super) fn of(picture: &Picture, feature: impl Fn(&Picture) -> Feature) -> Self {
        let views = views(picture, Views::OF_QUERY).iter().skip(1).map(|(kind, view)| (kind.turn, feature(view))).collect();
        Self { views, prepared: Prepared::of(picture) }
    }

    /// How it lies on another picture: the best of some turns, an edge before any other; none if under no turn the pair is worth aligning.
    pub(super) fn best<K: Key>(
        &self,
        other: K,
        turns: impl Iterator<Item = Turn>,
        library: &Library<'_, K>,
        rule: &EdgeRule,
    ) -> Result<Option<Alignment>> {
        let outline = library.outline(other)?;
        let begun: Vec<Begun> = turns.filter_map(|turn| begin(&self.prepared.outline, &outline, turn)).collect();
        if begun.is_empty() {
            return Ok(None);
        }
        let detail = library.detail(other)?;
        let pairs = begun.iter().map(|begun| begun.finish(&self.prepared.detail, &detail));
        let rank = |pair: &Alignment| (rule.accepts(pair), pair.similarity);
        Ok(pairs.max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal)))
    }
}

/// What a [`Library`] knows pictures by.
pub(super) trait Key: Copy + Eq + Hash + Sync + Send {}
impl<K: Copy + Eq + Hash + Sync + Send> Key for K {}

/// Pictures that are kept: detail is mostly wanted of those whose outline was just made.
const PICTURES: usize = 64;

/// What registration reads of stored pictures, as long as there is room for it: neighbours share neighbours.
pub(super) struct Library<'a, K> {
    picture: Box<dyn Fn(K) -> Result<Picture> + Sync + 'a>,
    pictures: Shelf<K, Picture>,
    outlines: Shelf<K, Outline>,
    details: Shelf<K, Detail>,
}

impl<'a, K: Key> Library<'a, K> {
    /// Of about `count` pictures of a side, which `picture` reads.
    pub(super) fn new(count: usize, side: u16, picture: impl Fn(K) -> Result<Picture> + Sync + 'a) -> Self {
        // Four planes of f32 at three levels, and chroma.
        let detail = 24 * usize::from(side.clamp(32, 64)).pow(2);
        let few = |bytes: usize| count.clamp(1, KEPT / 8 / bytes);
        let outlines = if count <= KEPT / OUTLINE { count.max(1) } else { few(OUTLINE) };
        let [pictures, outlines, details] = [PICTURES, outlines, few(detail)];
        Self { picture: Box::new(picture), pictures: Shelf::new(pictures), outlines: Shelf::new(outlines), details: Shelf::new(details) }
    }

    pub(super) fn outline(&self, key: K) -> Result<Arc<Outline>> {
        self.outlines.get(key, || Ok(Outline::of(&*self.picture(key)?)))
    }

    pub(super) fn detail(&self, key: K) -> Result<Arc<Detail>> {
        self.details.get(key, || Ok(Detail::of(&*self.picture(key)?)))
    }

    fn picture(&self, key: K) -> Result<Arc<Picture>> {
        self.pictures.get(key, || (self.picture)(key))
    }
}

/// A place that one value at a time may have.
type Slot<K, V> = Mutex<Option<(K, Arc<V>)>>;

/// A direct-mapped cache: every key has one slot, and the last one there has it.
struct Shelf<K, V>(Vec<Slot<K, V>>);

impl<K: Key, V> Shelf<K, V> {
    fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| Mutex::default()).collect())
    }

    fn get(&self, key: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let slot = || self.0[hash as usize % self.0.len()].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = slot().as_ref().filter(|(known, _)| *known == key) {
            return Ok(value.clone());
        }
        let value = Arc::new(make()?);
        *slot() = Some((key, value.clone()));
        Ok(value)
    }
}
