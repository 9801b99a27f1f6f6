//! The published graph and lists → what held-out images have in common with the training images.
//!
//! Yousefzadeh 2020, section 5 and 6.3: the share of test images with a nearly identical training
//! image, the test images least similar to the training set, and those nearer to a training image
//! of another class than to any of their own. Nearly identical are edges of the stored graph and
//! copies of one content; how near is the distance of the features, exactly, over all training
//! images.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    Reader,
    query::{ById, real_distance},
};
use crate::{
    Error, Result,
    knn::{Admit, Live, Neighbor, OwnedPlanes, RowOrder as _, nearest},
    monitor::Monitor,
    similarity::EdgeRule,
    verdict::{Label, Occurrence, Split, conflicts_with},
};

/// What is counted of one class of held-out images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassLeaks {
    /// The class; `None` for images without a label.
    pub label: Option<Label>,
    /// Its held-out images: paths.
    pub images: usize,
    /// Those with a near-identical training image.
    pub leaking: usize,
    /// Those with a near-identical training image under another label.
    pub conflicting: usize,
    /// Those whose nearest training image is of another class.
    pub nearer_elsewhere: usize,
}

/// A held-out image with a near-identical training image.
#[derive(Debug, Clone, PartialEq)]
pub struct Leak {
    /// The held-out image.
    pub image: Occurrence,
    /// The most similar training image; of equals that of the smaller content id.
    pub other: Occurrence,
    /// In [0, 1].
    pub similarity: f64,
    /// They are the very same bytes.
    pub same_content: bool,
    /// One of the near-identical training images has another label.
    pub conflict: bool,
}

/// A held-out image and the training image nearest to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// The held-out image.
    pub image: Occurrence,
    /// The nearest training image; of equals that of the smaller content id.
    pub other: Occurrence,
    /// The Euclidean distance of their features, in [0, 2].
    pub distance: f64,
    /// The nearest training image of the image's own class, where it was looked for and there is
    /// one.
    pub own: Option<(Occurrence, f64)>,
}

/// What held-out images have in common with the training images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Leaks {
    /// By class, sorted by label.
    pub classes: Vec<ClassLeaks>,
    /// All leaks: most similar first, then by path.
    pub leaks: Vec<Leak>,
    /// The held-out images least similar to the training images: farthest first, then by path.
    pub isolated: Vec<Nearest>,
    /// Those nearer to another class: those first whose own class is farthest in proportion, then
    /// by path.
    pub misplaced: Vec<Nearest>,
    /// Held-out images without contrast, which have no distance.
    pub flat: usize,
}

/// A held-out image and its row.
struct HeldOut {
    row: u32,
    image: Occurrence,
    nearest: Option<Neighbor>,
    /// The nearest of its own class, if the nearest is of another one.
    own: Option<Neighbor>,
    /// An image of another class is nearer than any of its own.
    misplaced: bool,
}

/// Training images, and the held-out ones in question.
struct Sides {
    held_out: Vec<HeldOut>,
    /// The rows of training images.
    train: Vec<u64>,
    /// The same by label, ascending.
    by_label: BTreeMap<Label, Vec<u32>>,
}

impl Reader {
    /// Holds the images of a split against the training images; `number` of the least similar and
    /// of the misplaced are named.
    ///
    /// # Errors
    /// [`Error::Input`] where the split or the training split is empty; [`Error::Damaged`],
    /// [`Error::Interrupted`].
    pub fn leaks(
        &self,
        split: Split,
        number: usize,
        rule: &EdgeRule,
        monitor: &dyn Monitor,
    ) -> Result<Leaks> {
        let mut sides = self.sides(split, monitor)?;
        monitor.stage("looking for the nearest", None);
        self.find_nearest(&mut sides)?;
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        self.find_own(&mut sides)?;
        let mut found = Leaks {
            leaks: self.find_leaks(&sides, rule)?,
            ..Leaks::default()
        };
        found.classes = classes(&sides, &found.leaks);
        found.flat = sides
            .held_out
            .iter()
            .filter(|h| h.nearest.is_none())
            .count();
        let mut near: Vec<&HeldOut> = sides
            .held_out
            .iter()
            .filter(|h| h.nearest.is_some())
            .collect();
        near.sort_by(|a, b| {
            distance(b.nearest)
                .total_cmp(&distance(a.nearest))
                .then_with(|| a.image.path.cmp(&b.image.path))
        });
        found.isolated = near
            .iter()
            .take(number)
            .map(|h| self.nearest_named(h))
            .collect::<Result<_>>()?;
        near.retain(|h| h.misplaced);
        near.sort_by(|a, b| {
            ratio(a)
                .total_cmp(&ratio(b))
                .then_with(|| a.image.path.cmp(&b.image.path))
        });
        found.misplaced = near
            .iter()
            .take(number)
            .map(|h| self.nearest_named(h))
            .collect::<Result<_>>()?;
        Ok(found)
    }

    fn sides(&self, split: Split, monitor: &dyn Monitor) -> Result<Sides> {
        if split == Split::Train {
            return Err(Error::Input("training images are what the others are held against; use --split test or --split val".into()));
        }
        let rows = self.view.rows() as u32;
        monitor.stage("reading labels", Some(u64::from(rows)));
        let of_row = |row: u32| {
            monitor.advance(1);
            if monitor.cancelled() {
                Err(Error::Interrupted)
            } else {
                Ok(self.view.row(row)?.occurrences)
            }
        };
        let all: Vec<Vec<Occurrence>> = (0..rows)
            .into_par_iter()
            .map(of_row)
            .collect::<Result<_>>()?;
        let mut sides = Sides {
            held_out: Vec::new(),
            train: vec![0; all.len().div_ceil(64)],
            by_label: BTreeMap::new(),
        };
        for (row, occurrence) in (0..)
            .zip(all)
            .flat_map(|(row, all)| all.into_iter().map(move |o| (row, o)))
        {
            if occurrence.split == Some(split) {
                sides.held_out.push(HeldOut {
                    row,
                    image: occurrence,
                    nearest: None,
                    own: None,
                    misplaced: false,
                });
            } else if occurrence.split == Some(Split::Train) {
                sides.train[row as usize / 64] |= 1 << (row % 64);
                if let Some(label) = occurrence.label {
                    sides.by_label.entry(label).or_default().push(row);
                }
            }
        }
        let lacking = if sides.held_out.is_empty() {
            split
        } else {
            Split::Train
        };
        if sides.held_out.is_empty() || sides.train.iter().all(|&word| word == 0) {
            return Err(Error::Input(format!(
                "no image is in the split {lacking}; splits are the folders train, val and test in the root of the dataset, or a column `split` in a labels.csv"
            )));
        }
        sides.by_label.values_mut().for_each(Vec::dedup);
        sides
            .held_out
            .sort_by(|a, b| a.image.path.cmp(&b.image.path));
        Ok(sides)
    }

    /// The nearest training row of each: the first in its list, or found by a search where the list
    /// has none.
    fn find_nearest(&self, sides: &mut Sides) -> Result<()> {
        let train = Live(&sides.train);
        let norms = self.view.planes()?.norms();
        let from_list = |held_out: &mut HeldOut| {
            held_out.nearest =
                if train.contains(held_out.row) && !norms[held_out.row as usize].is_zero() {
                    Some(Neighbor {
                        row: held_out.row,
                        distance: 0,
                    })
                } else {
                    self.view
                        .list(held_out.row)?
                        .into_iter()
                        .find(|neighbor| train.contains(neighbor.row))
                };
            Ok(())
        };
        sides.held_out.par_iter_mut().try_for_each(from_list)?;
        let open: Vec<usize> = (0..sides.held_out.len())
            .filter(|&i| sides.held_out[i].nearest.is_none())
            .collect();
        let found = self.nearest_of(open.iter().map(|&i| sides.held_out[i].row), &sides.train)?;
        open.into_iter()
            .zip(found)
            .for_each(|(i, found)| sides.held_out[i].nearest = found);
        Ok(())
    }

    /// The nearest training row of their own class, of those whose nearest is of another.
    fn find_own(&self, sides: &mut Sides) -> Result<()> {
        let mut asking: BTreeMap<Label, Vec<usize>> = BTreeMap::new();
        for (i, held_out) in sides.held_out.iter().enumerate() {
            if let Some(label) = sides.other_class(held_out) {
                asking.entry(label.clone()).or_default().push(i);
            }
        }
        for (label, asking) in asking {
            let mut live = vec![0u64; sides.train.len()];
            sides
                .by_label
                .get(&label)
                .into_iter()
                .flatten()
                .for_each(|row| live[*row as usize / 64] |= 1 << (row % 64));
            let found = self.nearest_of(asking.iter().map(|&i| sides.held_out[i].row), &live)?;
            for (i, own) in asking.into_iter().zip(found) {
                let held_out = &mut sides.held_out[i];
                held_out.own = own;
                held_out.misplaced = distance(held_out.nearest) < distance(own);
            }
        }
        Ok(())
    }

    /// The nearest of some rows, of each row asked for; none for one that is flat.
    fn nearest_of(
        &self,
        asked: impl Iterator<Item = u32>,
        among: &[u64],
    ) -> Result<Vec<Option<Neighbor>>> {
        let mut queries = OwnedPlanes::new(self.basis.len());
        asked
            .map(|row| self.view.feature(row))
            .try_for_each(|feature| feature.map(|feature| queries.push(&feature.0)))?;
        let order = ById(&self.view);
        let found = self.view.search(|rows| {
            nearest(
                queries.as_planes(),
                rows,
                &Live(among),
                1,
                &order,
                &Admit::default(),
            )
        })?;
        Ok(found
            .into_iter()
            .map(|list| list.first().copied())
            .collect())
    }

    fn find_leaks(&self, sides: &Sides, rule: &EdgeRule) -> Result<Vec<Leak>> {
        let train = Live(&sides.train);
        let of_one = |held_out: &HeldOut| -> Result<Option<Leak>> {
            let same = train.contains(held_out.row).then_some((held_out.row, 1.0));
            let edges = self.view.edges(held_out.row)?.into_iter();
            let edges = edges.filter(|edge| {
                train.contains(edge.row) && rule.admits(edge.similarity, edge.needs)
            });
            let mut others: Vec<(u32, f64)> = same
                .into_iter()
                .chain(edges.map(|edge| (edge.row, edge.similarity.into())))
                .collect();
            // The same content first, whatever else is as similar.
            let order = ById(&self.view);
            others[usize::from(same.is_some())..]
                .sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| order.compare(a.0, b.0)));
            let Some(&(first, similarity)) = others.first() else {
                return Ok(None);
            };
            let mut conflict = false;
            for (row, _) in &others {
                conflict |= conflicts_with(held_out.image.label.as_ref(), &self.training(*row)?);
            }
            let other = self.training(first)?.swap_remove(0);
            Ok(Some(Leak {
                image: held_out.image.clone(),
                other,
                similarity,
                same_content: same.is_some(),
                conflict,
            }))
        };
        let found: Vec<Option<Leak>> = sides
            .held_out
            .par_iter()
            .map(of_one)
            .collect::<Result<_>>()?;
        let mut leaks: Vec<Leak> = found.into_iter().flatten().collect();
        leaks.sort_by(|a, b| {
            b.similarity
                .total_cmp(&a.similarity)
                .then_with(|| a.image.path.cmp(&b.image.path))
        });
        Ok(leaks)
    }

    /// The training images of a row that is known to have one.
    fn training(&self, row: u32) -> Result<Vec<Occurrence>> {
        let mut all = self.view.row(row)?.occurrences;
        all.retain(|occurrence| occurrence.split == Some(Split::Train));
        Ok(all)
    }

    fn nearest_named(&self, held_out: &HeldOut) -> Result<Nearest> {
        let named = |neighbor: Neighbor| {
            Ok((
                self.training(neighbor.row)?.swap_remove(0),
                real_distance(neighbor.distance),
            ))
        };
        let (other, distance) = named(
            held_out
                .nearest
                .expect("only images with a distance are named"),
        )?;
        Ok(Nearest {
            image: held_out.image.clone(),
            other,
            distance,
            own: held_out.own.map(named).transpose()?,
        })
    }
}

impl Sides {
    /// The label of a held-out image whose nearest training image has labels, but not this one.
    fn other_class<'a>(&self, held_out: &'a HeldOut) -> Option<&'a Label> {
        let (label, nearest) = (held_out.image.label.as_ref()?, held_out.nearest?);
        let has = |rows: &Vec<u32>| rows.binary_search(&nearest.row).is_ok();
        (!self.by_label.get(label).is_some_and(has) && self.by_label.values().any(has))
            .then_some(label)
    }
}

fn distance(neighbor: Option<Neighbor>) -> f64 {
    neighbor.map_or(f64::INFINITY, |neighbor| real_distance(neighbor.distance))
}

/// How near another class is in proportion to the own one; 0 where there is no image of the own
/// class.
fn ratio(held_out: &HeldOut) -> f64 {
    distance(held_out.nearest) / distance(held_out.own)
}

fn classes(sides: &Sides, leaks: &[Leak]) -> Vec<ClassLeaks> {
    let mut classes: BTreeMap<Option<Label>, ClassLeaks> = BTreeMap::new();
    for held_out in &sides.held_out {
        let label = held_out.image.label.clone();
        let class = classes.entry(label.clone()).or_insert_with(|| ClassLeaks {
            label,
            ..ClassLeaks::default()
        });
        class.images += 1;
        class.nearer_elsewhere += usize::from(held_out.misplaced);
    }
    for leak in leaks {
        let class = classes
            .get_mut(&leak.image.label)
            .expect("a leak is a held-out image");
        class.leaking += 1;
        class.conflicting += usize::from(leak.conflict);
    }
    classes.into_values().collect()
}
