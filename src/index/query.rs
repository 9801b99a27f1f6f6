//! An image file → its nearest neighbours in the index.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rayon::prelude::*;

use super::{
    Reader,
    cluster::{Cluster, ClusterIds},
    flat::{FlatRows, Texture, texture},
    pairs::{AMONG, BY_VIEW, OF_A_VIEW, QueryPicture},
};
use crate::{
    Result,
    dataset::{Buffer, Images},
    feature::{Feature, SCALE},
    knn::{By, Live, Neighbor, OwnedPlanes, QuerySet, RowOrder, nearest_together},
    picture::{Limits, decode},
    similarity::{
        EdgeRule,
        register::{Alignment, Detail, Needs, Prepared, Turn, equal, register},
    },
    store::{
        state::ContentId,
        view::{RowRecord, View},
    },
    verdict::Occurrence,
};

/// A neighbour, with what a person wants to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The content.
    pub id: ContentId,
    /// Where it occurs, sorted by path; never empty. In the answers of a check only some places:
    /// the first, and those that decide.
    pub occurrences: Vec<Occurrence>,
    /// In how many places it occurs.
    pub paths: usize,
    /// In [0, 1]; 1 for the same picture, 0 where no way was found to lay one on the other.
    pub similarity: f64,
    /// The changes that make one of the other, where they are near-duplicates.
    pub needs: Option<Needs>,
    /// How the picture that was asked for lies on this one, where they were registered.
    pub pair: Option<Alignment>,
    /// They are no near-duplicates only for want of texture.
    pub too_little_texture: bool,
    /// The cluster that it belongs to in the published dataset, where it is a near-duplicate.
    pub cluster: Option<Cluster>,
    /// Euclidean distance of the features, in [0, 2].
    pub distance: f64,
}

impl Match {
    pub(super) fn new(
        id: ContentId,
        occurrences: Vec<Occurrence>,
        distance: u32,
        pair: Option<Alignment>,
        rule: &EdgeRule,
    ) -> Self {
        let similarity = pair.map_or(0.0, |pair| f64::from(pair.similarity));
        let needs = pair
            .filter(|pair| rule.accepts(pair))
            .map(|pair| pair.needs);
        let too_little_texture = pair.is_some_and(|pair| rule.lacks_texture(&pair));
        let (paths, distance) = (occurrences.len(), real_distance(distance));
        Self {
            id,
            occurrences,
            paths,
            similarity,
            needs,
            pair,
            too_little_texture,
            cluster: None,
            distance,
        }
    }
}

/// What is near an image.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The content of the file.
    pub id: ContentId,
    /// How much the picture has to be told from others by.
    pub texture: Texture,
    /// Near-duplicates first, most similar first, then the nearest; the same content, if it is in
    /// the dataset, at distance 0.
    pub neighbors: Vec<Match>,
}

impl QueryResult {
    /// The cluster that the image belongs to or, where it is not in the dataset, that of the
    /// near-duplicate most similar to it.
    #[must_use]
    pub fn cluster(&self) -> Option<Cluster> {
        let own = self
            .neighbors
            .iter()
            .find(|neighbor| neighbor.id == self.id);
        own.into_iter()
            .chain(&self.neighbors)
            .find_map(|neighbor| neighbor.cluster)
    }
}

/// The turns under which a candidate came up.
type Turns = BTreeSet<Turn>;

/// The distance of unit vectors whose squared integer distance is `squared`.
pub(super) fn real_distance(squared: u32) -> f64 {
    f64::from(squared).sqrt() / f64::from(SCALE)
}

/// Ties go to the smaller content id.
pub(super) struct ById<'a>(pub(super) &'a View);

impl RowOrder for ById<'_> {
    /// A content that cannot be read sorts by its number; reading it for the answer then fails.
    fn compare(&self, a: u32, b: u32) -> Ordering {
        match (self.0.content(a), self.0.content(b)) {
            (Ok((a, _)), Ok((b, _))) => a.cmp(&b),
            _ => a.cmp(&b),
        }
    }
}

impl Reader {
    /// The near-duplicates of the image in a file (or an item of a container), most similar first,
    /// and after them the contents nearest to it, exactly, by the distance of their features (ties
    /// go to the smaller content id): `k` in all. The file may be anywhere and need not be in the
    /// index.
    ///
    /// Near-duplicates are looked for among the `k` nearest of the image and two of the nearest of
    /// each of its other views (of the four nearest by the high bytes of the first 64 columns the
    /// two nearest by all); where the index has rows of crops, also among the two contents of which
    /// a crop is nearest to each view.
    ///
    /// # Errors
    /// [`crate::Error::Undecodable`] for the file, [`crate::Error::Damaged`] for the index.
    pub fn query(
        &self,
        file: &Path,
        k: usize,
        limits: &Limits,
        rule: &EdgeRule,
    ) -> Result<QueryResult> {
        let mut buffer = Buffer::default();
        Images::default().read(file, limits, &mut buffer)?;
        let id = buffer.id();
        let picture = match self.view.row_of(&id)? {
            Some(row) => self.picture_of_row(row)?,
            None => decode(&buffer.bytes, self.settings.shape(), limits)?.picture,
        };
        // A large file is in memory alone: others may be waiting for it to go.
        drop(buffer);
        let own = self.feature(&picture);
        let query = QueryPicture::of(&picture, |part, turns| self.features(part, turns));
        let (nearest, turns) = self.candidates(&own, &query, k)?;
        let registrar = self.registrar(turns.len());
        let decide = |(row, turns): (u32, Turns)| -> Result<Option<(bool, Match)>> {
            let pair = query.best(row, turns.into_iter(), &registrar, rule)?;
            let is_edge = pair.is_some_and(|pair| rule.accepts(&pair));
            let distance = match nearest.get(&row) {
                Some(distance) => *distance,
                None if is_edge => self.view.distance(&own, row)?,
                None => return Ok(None),
            };
            Ok(Some((
                is_edge,
                self.matched(Neighbor { row, distance }, pair, rule)?,
            )))
        };
        let decided: Vec<_> = turns.into_par_iter().map(decide).collect::<Result<_>>()?;
        let mut matches: Vec<(bool, Match)> = decided.into_iter().flatten().collect();
        let mut flat = 0;
        if own.is_flat() {
            let rows = FlatRows::of(self, &Live(&self.view.live_words()?))?;
            flat = rows.count();
            for row in rows.same_as(&picture).take(k) {
                matches.push((
                    true,
                    self.matched(
                        Neighbor { row, distance: 0 },
                        Some(equal(&Detail::of(&picture))),
                        rule,
                    )?,
                ));
            }
        }
        let texture = texture(&query, &own, rule, flat);
        let rank = |(is_edge, found): &(bool, Match)| {
            (
                !is_edge,
                if *is_edge {
                    1.0 - found.similarity
                } else {
                    found.distance
                },
            )
        };
        matches.sort_by(|a, b| {
            rank(a)
                .partial_cmp(&rank(b))
                .unwrap_or(Ordering::Equal)
                .then_with(|| a.1.id.cmp(&b.1.id))
        });
        matches.truncate(k);
        let mut neighbors: Vec<Match> = matches.into_iter().map(|(_, found)| found).collect();
        let mut clusters = ClusterIds::new(&self.view, rule);
        for neighbor in neighbors
            .iter_mut()
            .filter(|neighbor| neighbor.needs.is_some() || neighbor.id == id)
        {
            neighbor.cluster = clusters.of(&neighbor.id)?;
        }
        Ok(QueryResult {
            id,
            texture,
            neighbors,
        })
    }

    /// The squared distances of the `k` nearest rows, and all rows that may be near-duplicates with
    /// the turns under which they came up.
    pub(super) fn candidates(
        &self,
        own: &Feature,
        query: &QueryPicture,
        k: usize,
    ) -> Result<(BTreeMap<u32, u32>, BTreeMap<u32, Turns>)> {
        let live = self.view.live_words()?;
        let order = ById(&self.view);
        let mut whole = OwnedPlanes::new(self.basis.len());
        whole.push(&own.0);
        let mut sought = OwnedPlanes::new(self.basis.len());
        query
            .views
            .iter()
            .for_each(|(_, feature)| sought.push(&feature.0));
        let itself = QuerySet {
            queries: whole.as_planes(),
            by: By::Values,
            k,
        };
        let views = QuerySet {
            queries: sought.as_planes(),
            by: BY_VIEW,
            k: AMONG,
        };
        let mut found = self
            .view
            .search(|rows| nearest_together(&[itself, views], rows, &Live(&live), &order))?;
        let some = found.pop().unwrap_or_default();
        let nearest: BTreeMap<u32, u32> = found
            .into_iter()
            .flatten()
            .flatten()
            .map(|n| (n.row, n.distance))
            .collect();
        let mut turns: BTreeMap<u32, Turns> = nearest
            .keys()
            .map(|row| (*row, Turns::from([Turn::NONE])))
            .collect();
        let by_views = some
            .into_iter()
            .zip(&query.views)
            .map(|(some, (_, feature))| self.nearest_to_view(some, feature));
        let by_views = by_views.collect::<Result<Vec<_>>>()?;
        // By crops the picture itself as well.
        sought.push(&own.0);
        let by_crops = self.nearest_by_crops(&sought, &Live(&live), OF_A_VIEW, &order)?;
        let of = |views: Vec<Vec<Neighbor>>| {
            views.into_iter().zip(
                query
                    .views
                    .iter()
                    .map(|(turn, _)| *turn)
                    .chain([Turn::NONE]),
            )
        };
        for (list, turn) in of(by_views).chain(of(by_crops)) {
            for neighbor in list {
                turns.entry(neighbor.row).or_default().insert(turn);
            }
        }
        Ok((nearest, turns))
    }

    /// The nearest of some rows to a view.
    fn nearest_to_view(&self, some: Vec<Neighbor>, feature: &Feature) -> Result<Vec<Neighbor>> {
        let measured = some.into_iter().map(|Neighbor { row, .. }| {
            Ok(Neighbor {
                row,
                distance: self.view.distance(feature, row)?,
            })
        });
        let mut near: Vec<Neighbor> = measured.collect::<Result<_>>()?;
        near.sort_by(|a, b| {
            a.distance
                .cmp(&b.distance)
                .then_with(|| ById(&self.view).compare(a.row, b.row))
        });
        near.truncate(OF_A_VIEW);
        Ok(near)
    }

    /// The stored list of a path of the dataset.
    ///
    /// # Errors
    /// [`crate::Error::Input`] where there is no such path, or it is no image;
    /// [`crate::Error::Damaged`].
    pub fn neighbors(&self, path: &[u8], rule: &EdgeRule) -> Result<Vec<Match>> {
        let row = self.row_of_path(path)?;
        let own = Prepared::of(&self.picture_of_row(row)?);
        let pair = |neighbor: Neighbor| -> Result<Match> {
            let other = Prepared::of(&self.picture_of_row(neighbor.row)?);
            self.matched(neighbor, Some(register(&own, &other, Turn::NONE)), rule)
        };
        self.view.list(row)?.into_iter().map(pair).collect()
    }

    fn matched(
        &self,
        neighbor: Neighbor,
        pair: Option<Alignment>,
        rule: &EdgeRule,
    ) -> Result<Match> {
        let RowRecord {
            id, occurrences, ..
        } = self.view.row(neighbor.row)?;
        Ok(Match::new(id, occurrences, neighbor.distance, pair, rule))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        index::{InitOptions, Survey, SyncOptions, Writer, create},
        monitor::Silent,
        picture::{Picture, Shape},
        similarity::turned,
        wavelet::{Coefficients, Layout, Wavelet},
    };

    const SIZE: u16 = 16;

    /// Picture `number`: one of eight patterns, with noise.
    fn picture(number: u64) -> Picture {
        let value = |i: u64, seed: u64| {
            let mixed = (i + 1)
                .wrapping_mul(seed * 2 + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 57) as u8
        };
        let samples = (0..3 * u64::from(SIZE).pow(2))
            .map(|i| value(i / 12, number % 8) + value(i, number + 100) / 2);
        Picture::from_samples(Shape::new(SIZE, 3).unwrap(), samples.collect()).unwrap()
    }

    /// Writes picture `number` into a folder.
    pub(in crate::index) fn write(root: &Path, number: u64) {
        let picture = picture(number);
        let pixels: Vec<u8> = (0..usize::from(SIZE).pow(2))
            .flat_map(|i| [0, 1, 2].map(|plane| picture.plane(plane)[i]))
            .collect();
        let file = [format!("P6 {SIZE} {SIZE} 255\n").as_bytes(), &pixels[..]].concat();
        std::fs::write(root.join(format!("{number}.ppm")), file).unwrap();
    }

    /// An index of the first 120 of these pictures.
    pub(in crate::index) fn dataset() -> (tempfile::TempDir, Reader) {
        let root = tempfile::tempdir().unwrap();
        (0..120).for_each(|number| write(root.path(), number));
        let options = InitOptions {
            size: Some(SIZE),
            ..InitOptions::default()
        };
        create(
            root.path(),
            &Survey::default(),
            &options,
            "test",
            0,
            &Silent,
        )
        .unwrap();
        Writer::open(root.path(), "test", false, &Silent)
            .unwrap()
            .sync(&SyncOptions::default(), &Silent)
            .unwrap();
        let reader = Reader::open(root.path()).unwrap();
        (root, reader)
    }

    /// Who may be found, and by what.
    pub(in crate::index) type Known<K> = (K, ContentId, Feature);

    pub(in crate::index) fn known(reader: &Reader) -> Vec<Known<u32>> {
        let row = |row| {
            (
                row,
                reader.view.content(row).unwrap().0,
                reader.view.feature(row).unwrap(),
            )
        };
        (0..reader.view.rows() as u32).map(row).collect()
    }

    /// The `k` nearest of them, by looking at all.
    pub(in crate::index) fn nearest_of<K: Copy>(
        all: &[Known<K>],
        feature: &Feature,
        by: By,
        k: usize,
    ) -> Vec<K> {
        let counts = |feature: &Feature| -> Vec<i64> {
            match by {
                By::Values => feature.values().map(i64::from).collect(),
                By::HighBytes { columns } => feature
                    .values()
                    .take(columns)
                    .map(|v| (i64::from(v) + 128) >> 8)
                    .collect(),
            }
        };
        let own = counts(feature);
        let apart = |other: &Feature| {
            own.iter()
                .zip(counts(other))
                .map(|(a, b)| (a - b).pow(2))
                .sum::<i64>()
        };
        let mut ranked: Vec<(i64, ContentId, K)> = all
            .iter()
            .map(|(who, id, other)| (apart(other), *id, *who))
            .collect();
        ranked.sort_unstable_by_key(|&(apart, id, _)| (apart, id));
        ranked.into_iter().take(k).map(|(.., who)| who).collect()
    }

    #[test]
    fn haars_coefficients_turn_with_the_picture() {
        for (size, planes) in [(2, 1), (7, 1), (8, 3), (12, 3), (28, 1), (32, 3)] {
            let (side, layout) = (usize::from(size), Layout::full(size, planes));
            let sample =
                |i: usize| ((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
            let samples: Vec<u8> = (0..layout.len()).map(sample).collect();
            let of = |samples: &[u8]| {
                Coefficients::<f32>::of(samples, size, planes, Wavelet::Haar, None).values
            };
            let original = of(&samples);
            for turn in Turn::ALL {
                let turned: Vec<u8> = samples
                    .chunks(layout.plane_len())
                    .flat_map(|plane| turn.of(plane, side))
                    .collect();
                for (index, found) in of(&turned).into_iter().enumerate() {
                    let (source, negative) = layout.haar_turned(index, turn.directions());
                    assert_eq!(
                        found,
                        if negative {
                            -original[source]
                        } else {
                            original[source]
                        },
                        "{turn:?} of {size}: {index}"
                    );
                }
            }
        }
    }

    #[test]
    fn features_of_turned_pictures_are_those_of_their_pixels() {
        let (_root, reader) = dataset();
        assert!(
            reader.settings.wavelet() == Wavelet::Haar,
            "others are transformed anyway"
        );
        for number in 0..40 {
            let picture = picture(number);
            let found = reader.features(&picture, &Turn::ALL);
            assert_eq!(found[0], reader.feature(&picture));
            for (turn, found) in Turn::ALL.into_iter().zip(found) {
                let expected = reader.feature(&turned(&picture, turn));
                // The norm is summed in another order.
                assert!(
                    found
                        .values()
                        .zip(expected.values())
                        .all(|(a, b)| (a - b).abs() <= 1),
                    "{turn:?}"
                );
            }
        }
    }

    #[test]
    fn candidates_are_those_that_looking_at_every_row_chooses() {
        let (_root, reader) = dataset();
        assert!(matches!(BY_VIEW, By::HighBytes { columns } if columns < reader.basis.len()));
        let all = known(&reader);
        let mut by_all_alone = 0;
        for number in 200..230 {
            let picture = picture(number);
            let own = reader.feature(&picture);
            let query = QueryPicture::of(&picture, |part, turns| reader.features(part, turns));
            let mut expected: BTreeMap<u32, Turns> = BTreeMap::new();
            for row in nearest_of(&all, &own, By::Values, 5) {
                expected.entry(row).or_default().insert(Turn::NONE);
            }
            for (turn, view) in &query.views {
                let among = nearest_of(&all, view, BY_VIEW, AMONG);
                let some: Vec<_> = all
                    .iter()
                    .filter(|(row, ..)| among.contains(row))
                    .cloned()
                    .collect();
                let chosen = nearest_of(&some, view, By::Values, OF_A_VIEW);
                let by_all = nearest_of(&all, view, By::Values, OF_A_VIEW);
                by_all_alone += usize::from(chosen != by_all || chosen != among[..OF_A_VIEW]);
                for row in chosen {
                    expected.entry(row).or_default().insert(*turn);
                }
            }
            let (nearest, turns) = reader.candidates(&own, &query, 5).unwrap();
            assert_eq!(nearest.len(), 5);
            assert_eq!(turns, expected, "picture {number}");
        }
        assert!(
            by_all_alone > 20,
            "the two ways of choosing differ: {by_all_alone}"
        );
    }
}
