//! A cache of what registration computes of pictures and of pairs. Neighbours share neighbours, so
//! the same pictures are needed again; and the pairs of a new content that a check registers
//! without turning are the pairs that publishing turns into edges.
//!
//! A pair is always registered in the same order and from the stored samples, so the cached result
//! has the same bits as one computed for an edge (`similarity::register`, "Symmetry and
//! determinism").

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

/// Bytes of outlines that are cached where all of them fit. Otherwise the cache need only hold what
/// is used together, and an eighth suffices. The same holds for details.
const KEPT: usize = 256 << 20;
/// Bytes of an outline.
const OUTLINE: usize = 2_700;
/// The number of outlines that fit.
const MOST: usize = KEPT / OUTLINE;
/// Pictures that are cached: a detail is mostly needed for a picture whose outline was just
/// computed.
const PICTURES: usize = 64;
/// Bytes of pictures that are cached where one change follows another. Computing a detail from a
/// cached picture takes a third of the time that reading it from the packs takes, and the picture
/// takes a quarter of the room of the detail.
const KEPT_PICTURES: usize = KEPT;
/// Pairs that are cached. Publishing drops those that it does not use.
const PAIRS: usize = 1 << 20;

/// What an index stores of a pair, if anything: the similarity, and the changes that turn one
/// picture into the other.
pub(super) type Kept = Option<(f32, Needs)>;

/// What an index stores of a registered pair; `None` where registration ended early.
pub(super) fn kept(pair: Option<&Alignment>) -> Kept {
    pair.filter(|pair| pair.similarity >= KEPT_SIMILARITY)
        .map(|pair| (pair.similarity, pair.needs))
}

/// What registration has computed of pictures, by content and as far as there is room, and of pairs
/// where these are used again.
pub(super) struct RegistrationCache {
    pub(super) pictures: SetCache<Picture>,
    pub(super) outlines: SetCache<Outline>,
    pub(super) details: SetCache<Detail>,
    pairs: Option<Mutex<HashMap<[ContentId; 2], Kept>>>,
    /// The search results of the last check for new contents, and the generation in which it
    /// searched.
    results: Mutex<Option<(u64, HashMap<ContentId, SearchResult>)>>,
}

impl RegistrationCache {
    /// A cache for about `count` pictures of a side, used once.
    pub(super) fn new(count: usize, side: u16) -> Self {
        // Two planes of f32 at three levels, and chroma.
        let detail = 13 * usize::from(side.clamp(32, 64)).pow(2);
        let few = |bytes: usize| count.clamp(1, KEPT / 8 / bytes);
        let outlines = if count <= MOST {
            count.max(1)
        } else {
            few(OUTLINE)
        };
        let [pictures, outlines, details] = [PICTURES, outlines, few(detail)];
        Self {
            pictures: SetCache::new(pictures),
            outlines: SetCache::new(outlines),
            details: SetCache::new(details),
            pairs: None,
            results: Mutex::default(),
        }
    }

    /// A cache for a sequence of changes of an index of so many pictures. It also caches pairs.
    pub(super) fn lasting(pictures: usize, side: u16) -> Self {
        let growing = if pictures <= MOST {
            (pictures + pictures / 4 + 4_096).min(MOST)
        } else {
            pictures
        };
        let kept = growing.min(KEPT_PICTURES / (3 * usize::from(side.max(8)).pow(2)));
        Self {
            pairs: Some(Mutex::default()),
            pictures: SetCache::new(kept.max(1)),
            ..Self::new(growing, side)
        }
    }

    /// Whether it is large enough for so many pictures, or has the maximum size.
    pub(super) fn is_for(&self, pictures: usize) -> bool {
        self.has_room_for(pictures) || (pictures > MOST && self.outlines.places < MOST)
    }

    /// Whether there is room for the outlines of so many pictures together.
    pub(super) fn has_room_for(&self, pictures: usize) -> bool {
        self.outlines.has_room_for(pictures)
    }

    fn pairs(&self) -> Option<MutexGuard<'_, HashMap<[ContentId; 2], Kept>>> {
        self.pairs
            .as_ref()
            .map(|pairs| pairs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Caches the result of a pair registered without turning.
    pub(super) fn note(&self, a: ContentId, b: ContentId, pair: Kept) {
        if let Some(mut pairs) = self.pairs().filter(|pairs| pairs.len() < PAIRS) {
            pairs.insert(ordered(a, b), pair);
        }
    }

    /// The cached result of a pair registered without turning.
    pub(super) fn noted(&self, a: ContentId, b: ContentId) -> Option<Kept> {
        self.pairs()?.get(&ordered(a, b)).copied()
    }

    /// Keeps the search results of a check for new contents in a generation.
    pub(super) fn keep_results(&self, generation: u64, results: HashMap<ContentId, SearchResult>) {
        *self.results.lock().unwrap_or_else(PoisonError::into_inner) = Some((generation, results));
    }

    /// Takes the search results of the last check out of the cache, if it searched this generation.
    pub(super) fn take_results(&self, generation: u64) -> Option<HashMap<ContentId, SearchResult>> {
        let results = self
            .results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        results
            .filter(|(of, _)| *of == generation)
            .map(|(_, results)| results)
    }

    /// Drops all pairs.
    pub(super) fn forget_pairs(&self) {
        if let Some(mut pairs) = self.pairs() {
            *pairs = HashMap::new();
        }
    }
}

fn ordered(a: ContentId, b: ContentId) -> [ContentId; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

/// Values that share a lock, most recently used first.
type Set<V> = Mutex<Vec<(ContentId, Arc<V>)>>;

/// Values of a set: few enough to search linearly, and enough that nearly all slots of the cache
/// are used.
const WAYS: usize = 8;

/// A set-associative cache: every content belongs to one set, which holds its most recently used
/// values.
pub(super) struct SetCache<V> {
    places: usize,
    sets: Vec<Set<V>>,
}

impl<V> SetCache<V> {
    fn new(places: usize) -> Self {
        Self {
            places,
            sets: (0..places.div_ceil(WAYS))
                .map(|_| Mutex::default())
                .collect(),
        }
    }

    /// Whether nearly all of so many values fit.
    pub(super) fn has_room_for(&self, values: usize) -> bool {
        values <= self.places
    }

    /// The value of a content, which `make` computes if it is not cached.
    pub(super) fn get(&self, id: ContentId, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        if let Some(value) = self.known(id) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        let mut set = self.set(id);
        // Another thread may have computed it in the meantime.
        set.retain(|(known, _)| *known != id);
        set.truncate(WAYS - 1);
        set.insert(0, (id, value.clone()));
        Ok(value)
    }

    fn known(&self, id: ContentId) -> Option<Arc<V>> {
        let mut set = self.set(id);
        let tag = number(id);
        let at = set
            .iter()
            .position(|(known, _)| number(*known) == tag && *known == id)?;
        set[..=at].rotate_right(1);
        Some(set[0].1.clone())
    }

    fn set(&self, id: ContentId) -> MutexGuard<'_, Vec<(ContentId, Arc<V>)>> {
        let at = number(id) % self.sets.len() as u64;
        self.sets[at as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        let registrations = RegistrationCache::lasting(10, 32);
        registrations.note(b, a, pair);
        registrations.note(a, a, None);
        assert_eq!(
            (
                registrations.noted(a, b),
                registrations.noted(b, a),
                registrations.noted(a, a)
            ),
            (Some(pair), Some(pair), Some(None))
        );
        registrations.forget_pairs();
        assert_eq!(registrations.noted(a, b), None);
        let passing = RegistrationCache::new(10, 32);
        passing.note(a, b, pair);
        assert_eq!(passing.noted(a, b), None);
    }

    #[test]
    fn a_cache_keeps_what_was_used_last() {
        let cache = SetCache::new(WAYS);
        let is_made = |id: u8| {
            let mut made = false;
            let value = cache.get([id; 32], || {
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
    fn a_cache_has_room_for_most_of_as_many_as_it_has_places() {
        let cache = SetCache::new(4_000);
        let id = |i: u32| *blake3::hash(&i.to_le_bytes()).as_bytes();
        let known = |i: &u32| cache.known(id(*i)).is_some();
        (0..4_000).for_each(|i| drop(cache.get(id(i), || Ok(i))));
        assert!((0..4_000).filter(known).count() > 3_400);
    }

    #[test]
    fn a_registry_lasts_while_the_index_grows_into_it() {
        for pictures in [0, 1_000, MOST - 1, MOST, MOST + 1, 100 * MOST] {
            let registrations = RegistrationCache::lasting(pictures, 32);
            assert!(registrations.is_for(pictures), "{pictures}");
            assert!(registrations.outlines.places <= MOST);
        }
        assert!(!RegistrationCache::lasting(1_000, 32).is_for(6_000));
        assert!(!RegistrationCache::lasting(MOST, 32).is_for(MOST + 1));
    }
}
