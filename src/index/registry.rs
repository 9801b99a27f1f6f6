//! Pictures and pairs that were registered → what was made of them, for those who ask again: neighbours share neighbours, and the pairs of a new
//! content that a check has registered as they lie are those that its list makes edges of.
//!
//! A pair is registered in one order whoever asks, and from the stored samples, so what a check found is bit for bit what the edges would be
//! made of (`similarity::register`, "Symmetry and determinism").

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Result,
    knn::SearchResult,
    picture::Picture,
    similarity::{
        KEPT_SIMILARITY,
        register::{Alignment, Detail, Needs, Outline},
    },
    store::state::ContentId,
};

/// Bytes of outlines that are kept where all of them fit; where they do not, what is looked at together must fit, and an eighth does. So it is
/// with details.
const KEPT: usize = 256 << 20;
/// Bytes of an outline.
const OUTLINE: usize = 2_700;
/// Outlines that fit.
const MOST: usize = KEPT / OUTLINE;
/// Pictures that are kept: detail is mostly wanted of those whose outline was just made.
const PICTURES: usize = 64;
/// Bytes of pictures that are kept where one change follows another: a detail is made from one in a third of the time that it takes from the
/// packs, and takes four times its room.
const KEPT_PICTURES: usize = KEPT;
/// Pairs that are noted: what a publication does not ask for is forgotten with it.
const PAIRS: usize = 1 << 20;

/// What an index keeps of a pair, if it keeps it: similarity, and the changes that make one of the other.
pub(super) type Kept = Option<(f32, Needs)>;

/// What is worth keeping of a pair; none where registration gave up early.
pub(super) fn kept(pair: Option<&Alignment>) -> Kept {
    pair.filter(|pair| pair.similarity >= KEPT_SIMILARITY).map(|pair| (pair.similarity, pair.needs))
}

/// What registration has made of pictures, by their contents and as long as there is room for it; and of pairs, if somebody will ask.
pub(super) struct Registry {
    pub(super) pictures: Shelf<Picture>,
    pub(super) outlines: Shelf<Outline>,
    pub(super) details: Shelf<Detail>,
    pairs: Option<Mutex<HashMap<[ContentId; 2], Kept>>>,
    /// What the last check has found of new contents, and in which generation.
    results: Mutex<Option<(u64, HashMap<ContentId, SearchResult>)>>,
}

impl Registry {
    /// For about `count` pictures of a side, all at once.
    pub(super) fn new(count: usize, side: u16) -> Self {
        // Two planes of f32 at three levels, and chroma.
        let detail = 13 * usize::from(side.clamp(32, 64)).pow(2);
        let few = |bytes: usize| count.clamp(1, KEPT / 8 / bytes);
        let outlines = if count <= MOST { count.max(1) } else { few(OUTLINE) };
        let [pictures, outlines, details] = [PICTURES, outlines, few(detail)];
        Self {
            pictures: Shelf::new(pictures),
            outlines: Shelf::new(outlines),
            details: Shelf::new(details),
            pairs: None,
            results: Mutex::default(),
        }
    }

    /// For one change after the other of an index of so many pictures. It notes pairs.
    pub(super) fn lasting(pictures: usize, side: u16) -> Self {
        let growing = if pictures <= MOST { (pictures + pictures / 4 + 4_096).min(MOST) } else { pictures };
        let kept = growing.min(KEPT_PICTURES / (3 * usize::from(side.max(8)).pow(2)));
        Self { pairs: Some(Mutex::default()), pictures: Shelf::new(kept.max(1)), ..Self::new(growing, side) }
    }

    /// Whether it is large enough for so many pictures, or as large as any.
    pub(super) fn is_for(&self, pictures: usize) -> bool {
        self.has_room_for(pictures) || (pictures > MOST && self.outlines.places < MOST)
    }

    /// Whether there is room for the outlines of so many pictures together.
    pub(super) fn has_room_for(&self, pictures: usize) -> bool {
        self.outlines.has_room_for(pictures)
    }

    fn pairs(&self) -> Option<MutexGuard<'_, HashMap<[ContentId; 2], Kept>>> {
        self.pairs.as_ref().map(|pairs| pairs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what came of a pair as it lies.
    pub(super) fn note(&self, a: ContentId, b: ContentId, pair: Kept) {
        if let Some(mut pairs) = self.pairs().filter(|pairs| pairs.len() < PAIRS) {
            pairs.insert(ordered(a, b), pair);
        }
    }

    /// What came of a pair as it lies, if that was noted.
    pub(super) fn noted(&self, a: ContentId, b: ContentId) -> Option<Kept> {
        self.pairs()?.get(&ordered(a, b)).copied()
    }

    /// Notes what a check has found of new contents in a generation.
    pub(super) fn keep_results(&self, generation: u64, results: HashMap<ContentId, SearchResult>) {
        *self.results.lock().unwrap_or_else(PoisonError::into_inner) = Some((generation, results));
    }

    /// What the last check has found, if that was in this generation; it is forgotten.
    pub(super) fn take_results(&self, generation: u64) -> Option<HashMap<ContentId, SearchResult>> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner).take();
        results.filter(|(of, _)| *of == generation).map(|(_, results)| results)
    }

    /// Forgets all pairs.
    pub(super) fn forget_pairs(&self) {
        if let Some(mut pairs) = self.pairs() {
            *pairs = HashMap::new();
        }
    }
}

fn ordered(a: ContentId, b: ContentId) -> [ContentId; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

/// Values that share a lock, the one asked for last first.
type Set<V> = Mutex<Vec<(ContentId, Arc<V>)>>;

/// Most values of a set: few enough to look through, and enough that nearly as many contents find room as there are places.
const WAYS: usize = 8;

/// A set-associative cache: every content has one set, and those asked for last there have its places.
pub(super) struct Shelf<V> {
    places: usize,
    sets: Vec<Set<V>>,
}

impl<V> Shelf<V> {
    fn new(places: usize) -> Self {
        Self { places, sets: (0..places.div_ceil(WAYS)).map(|_| Mutex::default()).collect() }
    }

    /// Whether nearly all of so many values find room.
    pub(super) fn has_room_for(&self, values: usize) -> bool {
        values <= self.places
    }

    /// What is there of a content, or else is made.
    pub(super) fn get(&self, id: ContentId, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        if let Some(value) = self.known(id) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        let mut set = self.set(id);
        // Another thread may have made it, too.
        set.retain(|(known, _)| *known != id);
        set.truncate(WAYS - 1);
        set.insert(0, (id, value.clone()));
        Ok(value)
    }

    fn known(&self, id: ContentId) -> Option<Arc<V>> {
        let mut set = self.set(id);
        let tag = number(id);
        let at = set.iter().position(|(known, _)| number(*known) == tag && *known == id)?;
        set[..=at].rotate_right(1);
        Some(set[0].1.clone())
    }

    fn set(&self, id: ContentId) -> MutexGuard<'_, Vec<(ContentId, Arc<V>)>> {
        let at = number(id) % self.sets.len() as u64;
        self.sets[at as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids are hashes already.
fn number([a, b, c, d, e, f, g, h, ..]: ContentId) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_pair_is_known_from_both_sides_until_it_is_forgotten() {
        let (a, b, pair) = ([1; 32], [2; 32], Some((0.75, Needs::CROP)));
        let registry = Registry::lasting(10, 32);
        registry.note(b, a, pair);
        registry.note(a, a, None);
        assert_eq!((registry.noted(a, b), registry.noted(b, a), registry.noted(a, a)), (Some(pair), Some(pair), Some(None)));
        registry.forget_pairs();
        assert_eq!(registry.noted(a, b), None);
        let passing = Registry::new(10, 32);
        passing.note(a, b, pair);
        assert_eq!(passing.noted(a, b), None);
    }

    #[test]
    fn a_shelf_keeps_what_was_asked_for_last() {
        let shelf = Shelf::new(WAYS);
        let is_made = |id: u8| {
            let mut made = false;
            let value = shelf.get([id; 32], || {
                made = true;
                Ok(id)
            });
            assert_eq!(*value.unwrap(), id);
            made
        };
        let all = 0..WAYS as u8;
        assert!(all.clone().all(is_made));
        assert!(!all.clone().any(is_made));
        assert!(!is_made(0) && is_made(99), "the place of 1");
        assert!(!is_made(0) && is_made(1) && is_made(2) && !is_made(99));
    }

    #[test]
    fn a_shelf_has_room_for_most_of_as_many_as_it_has_places() {
        let shelf = Shelf::new(4_000);
        let id = |i: u32| *blake3::hash(&i.to_le_bytes()).as_bytes();
        let known = |i: &u32| shelf.known(id(*i)).is_some();
        (0..4_000).for_each(|i| drop(shelf.get(id(i), || Ok(i))));
        assert!((0..4_000).filter(known).count() > 3_400);
    }

    #[test]
    fn a_registry_lasts_while_the_index_grows_into_it() {
        for pictures in [0, 1_000, MOST - 1, MOST, MOST + 1, 100 * MOST] {
            let registry = Registry::lasting(pictures, 32);
            assert!(registry.is_for(pictures), "{pictures}");
            assert!(registry.outlines.places <= MOST);
        }
        assert!(!Registry::lasting(1_000, 32).is_for(6_000));
        assert!(!Registry::lasting(MOST, 32).is_for(MOST + 1));
    }
}
