//! Pictures that are looked up → the rows that may show the same, and which of them do: views bring
//! candidates, registration decides.

use std::{cmp::Ordering, sync::Arc};

use super::registration_cache::{Kept, RegistrationCache, kept};
use crate::{
    Result,
    feature::Feature,
    knn::By,
    picture::Picture,
    similarity::{
        EdgeRule, Part, Views, parts,
        register::{Alignment, Begun, Detail, Outline, Turn, begin, max_similarity},
    },
    store::state::ContentId,
};

/// Candidates that each view brings beside the nearest of the picture itself: a copy comes first or
/// second under the view that undoes the change (see the record of pairs).
pub(super) const OF_A_VIEW: usize = 2;

/// They are the nearest among so many that are nearest to the view by [`BY_VIEW`].
pub(super) const AMONG: usize = 4;

/// What views are searched by, the columns that were chosen first: with [`AMONG`] they bring the
/// sources of copies as often as all values do, in half of the time (see the record of pairs).
pub(super) const BY_VIEW: By = By::HighBytes { columns: 64 };

/// A picture that is looked up.
pub(super) struct QueryPicture {
    /// The features of its views but the first, each with the turn that makes it.
    pub(super) views: Vec<(Turn, Feature)>,
    /// The content, where what comes of its pairs is to be noted.
    noting: Option<ContentId>,
    outline: Arc<Outline>,
    detail: Arc<Detail>,
}

impl QueryPicture {
    pub(super) fn of(
        picture: &Picture,
        features: impl Fn(&Picture, &[Turn]) -> Vec<Feature>,
    ) -> Self {
        let (outline, detail) = (
            Arc::new(Outline::of(picture)),
            Arc::new(Detail::of(picture)),
        );
        Self {
            views: features_of_views(picture, features),
            noting: None,
            outline,
            detail,
        }
    }

    /// The same for a picture that the registrar knows.
    pub(super) fn known<K: Copy>(
        key: K,
        picture: &Picture,
        features: impl Fn(&Picture, &[Turn]) -> Vec<Feature>,
        registrar: &Registrar<'_, K>,
    ) -> Result<Self> {
        let (outline, detail) = (registrar.outline(key)?, registrar.detail(key)?);
        Ok(Self {
            views: features_of_views(picture, features),
            noting: Some(registrar.id(key)?),
            outline,
            detail,
        })
    }

    /// The similarity that the picture has enough texture for.
    pub(super) fn max_similarity(&self) -> f32 {
        max_similarity(&self.detail)
    }

    /// How it lies on another picture: the best of some turns, an edge before any other; none if
    /// under no turn the pair is worth aligning.
    pub(super) fn best<K: Copy>(
        &self,
        other: K,
        turns: impl Iterator<Item = Turn>,
        registrar: &Registrar<'_, K>,
        rule: &EdgeRule,
    ) -> Result<Option<Alignment>> {
        let outline = registrar.outline(other)?;
        let mut as_it_lies = false;
        let turns = turns.inspect(|&turn| as_it_lies |= turn == Turn::NONE);
        let begun: Vec<Begun> = turns
            .filter_map(|turn| begin(&self.outline, &outline, turn))
            .collect();
        let mut pairs = Vec::with_capacity(begun.len());
        if !begun.is_empty() {
            let detail = registrar.detail(other)?;
            pairs.extend(
                begun
                    .iter()
                    .map(|begun| begun.finish(&self.detail, &detail)),
            );
        }
        if let Some(own) = self.noting.filter(|_| as_it_lies) {
            registrar.note(
                own,
                other,
                kept(pairs.iter().find(|pair| pair.turn == Turn::NONE)),
            )?;
        }
        let rank = |pair: &Alignment| (rule.accepts(pair), pair.similarity);
        Ok(pairs
            .into_iter()
            .max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal)))
    }
}

fn features_of_views(
    picture: &Picture,
    features: impl Fn(&Picture, &[Turn]) -> Vec<Feature>,
) -> Vec<(Turn, Feature)> {
    let of_part = |(at, (_, part, turns)): (usize, (Part, Picture, &'static [Turn]))| {
        // All but the picture itself.
        let turns = &turns[usize::from(at == 0)..];
        turns.iter().copied().zip(features(&part, turns))
    };
    parts(picture, Views::OF_QUERY)
        .into_iter()
        .enumerate()
        .flat_map(of_part)
        .collect()
}

/// Something of pictures, by what a [`Registrar`] knows them by.
type Lookup<'a, K, V> = Box<dyn Fn(K) -> Result<V> + Send + Sync + 'a>;

/// What registration reads of stored pictures, and what it made of them before.
pub(super) struct Registrar<'a, K> {
    registrations: Arc<RegistrationCache>,
    id: Lookup<'a, K, ContentId>,
    picture: Lookup<'a, K, Picture>,
}

impl<'a, K: Copy> Registrar<'a, K> {
    /// Of pictures, which `picture` reads, of contents, which `id` names.
    pub(super) fn new(
        registrations: Arc<RegistrationCache>,
        id: impl Fn(K) -> Result<ContentId> + Send + Sync + 'a,
        picture: impl Fn(K) -> Result<Picture> + Send + Sync + 'a,
    ) -> Self {
        Self {
            registrations,
            id: Box::new(id),
            picture: Box::new(picture),
        }
    }

    pub(super) fn id(&self, key: K) -> Result<ContentId> {
        (self.id)(key)
    }

    pub(super) fn outline(&self, key: K) -> Result<Arc<Outline>> {
        self.registrations
            .outlines
            .get(self.id(key)?, || Ok(Outline::of(&*self.picture(key)?)))
    }

    pub(super) fn detail(&self, key: K) -> Result<Arc<Detail>> {
        self.registrations
            .details
            .get(self.id(key)?, || Ok(Detail::of(&*self.picture(key)?)))
    }

    fn picture(&self, key: K) -> Result<Arc<Picture>> {
        self.registrations
            .pictures
            .get(self.id(key)?, || (self.picture)(key))
    }

    /// Whether details of so many pictures are kept together.
    pub(super) fn keeps_details_of(&self, pictures: usize) -> bool {
        self.registrations.details.has_room_for(pictures)
    }

    /// Notes what came of a pair as it lies, for [`Registrar::as_they_lie`].
    fn note(&self, own: ContentId, other: K, pair: Kept) -> Result<()> {
        self.registrations.note(own, self.id(other)?, pair);
        Ok(())
    }

    /// What is kept of a pair as it lies.
    pub(super) fn as_they_lie(&self, a: K, b: K) -> Result<Kept> {
        if let Some(noted) = self.registrations.noted(self.id(a)?, self.id(b)?) {
            return Ok(noted);
        }
        let Some(begun) = begin(&*self.outline(a)?, &*self.outline(b)?, Turn::NONE) else {
            return Ok(None);
        };
        Ok(kept(Some(
            &begun.finish(&*self.detail(a)?, &*self.detail(b)?),
        )))
    }
}
