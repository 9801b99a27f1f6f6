//! Clusters and labels → which images to keep, and which are influential.
//!
//! Yousefzadeh 2020, lines 11 to 21 of Algorithms 1 and 2: of a cluster of one label the image
//! closest to the centre is kept and the others are discarded; the images of a cluster of several
//! labels go to the list of influential images, and stay. An image without a label agrees with any
//! label. Which clusters, and what closeness is, is for the caller to say; nothing is ever deleted
//! here.
//!
//! How unlike the images that go are to those that stay for them is the table of Birodkar, Mobahi
//! and Bengio 2019 (their Table 1).

use std::collections::{BTreeMap, BTreeSet};

use crate::{cluster::Clustering, verdict::Label};

/// Distances that differ by no larger a part are equal: the two of a pair are as far from its
/// centre but for rounding.
const ALIKE: f64 = 1e-4;

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays, alone in its cluster or closest to the centre.
    Kept,
    /// It goes; this image stays for it.
    Discarded(u32),
    /// It stays, in a cluster of several labels.
    Influential,
}

impl Fate {
    /// The word in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Discarded(_) => "discarded",
            Self::Influential => "influential",
        }
    }

    /// Whether the image is in the reduced set.
    #[must_use]
    pub fn stays(self) -> bool {
        !matches!(self, Self::Discarded(_))
    }
}

/// The fate of each image. `spread[i]` says how far image i is from the centre of its cluster; of
/// equally far ones the first is kept.
///
/// # Panics
/// If there is not one label and one distance for each image.
#[must_use]
pub fn reduce(clusters: &Clustering, labels: &[Option<Label>], spread: &[f64]) -> Vec<Fate> {
    assert!(
        labels.len() == clusters.own().len() && spread.len() == labels.len(),
        "a label and a distance for each image"
    );
    let mut fates = vec![Fate::Kept; labels.len()];
    for members in clusters.members() {
        let known: BTreeSet<&Label> = members
            .iter()
            .filter_map(|&image| labels[image as usize].as_ref())
            .collect();
        let least = members
            .iter()
            .map(|&image| spread[image as usize])
            .fold(f64::INFINITY, f64::min);
        let centre = members
            .iter()
            .copied()
            .find(|&image| spread[image as usize] <= least * (1.0 + ALIKE));
        for &image in &members {
            fates[image as usize] = match centre {
                _ if known.len() > 1 => Fate::Influential,
                Some(centre) if centre != image => Fate::Discarded(centre),
                _ => Fate::Kept,
            };
        }
    }
    fates
}

/// How unlike those that stay the images of a class are that go, or those of the whole dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dissimilarity {
    /// The label of the class.
    pub label: Option<Label>,
    /// Its images.
    pub images: usize,
    /// Of those, what stays.
    pub kept: usize,
    /// Its clusters of which some go: the redundant groups.
    pub groups: usize,
    /// The mean over the groups of their mean distances from the image that stays; none where there
    /// is no group.
    pub average: Option<f64>,
}

/// The table of dissimilarities: of each class, by label, and of all together. `from_kept[i]` says
/// how unlike image i is to the one that stays for it. By section 4.1.2: of every group of two or
/// more the distances of the others from the one that stays are averaged, and then those of the
/// groups, of a class or of the whole dataset.
///
/// # Panics
/// If there is not one label, fate and distance for each image.
#[must_use]
pub fn dissimilarities(
    clusters: &Clustering,
    labels: &[Option<Label>],
    fates: &[Fate],
    from_kept: &[f64],
) -> (Vec<Dissimilarity>, Dissimilarity) {
    assert!(
        labels.len() == fates.len() && fates.len() == from_kept.len(),
        "a label, a fate and a distance for each image"
    );
    let (mut classes, mut all) = (
        BTreeMap::<Option<&Label>, Dissimilarity>::new(),
        Dissimilarity::default(),
    );
    for members in clusters.members() {
        let gone = members
            .iter()
            .filter(|&&image| !fates[image as usize].stays())
            .count();
        let sum: f64 = members.iter().map(|&image| from_kept[image as usize]).sum();
        let label = members
            .iter()
            .find_map(|&image| labels[image as usize].as_ref());
        let class = classes.entry(label).or_insert_with(|| Dissimilarity {
            label: label.cloned(),
            ..Dissimilarity::default()
        });
        for of in [class, &mut all] {
            of.images += members.len();
            of.kept += members.len() - gone;
            of.groups += usize::from(gone > 0);
            if gone > 0 {
                *of.average.get_or_insert_default() += sum / gone as f64;
            }
        }
    }
    let mean = |mut of: Dissimilarity| {
        of.average = of.average.map(|sum| sum / of.groups as f64);
        of
    };
    (classes.into_values().map(mean).collect(), mean(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_averages_over_groups_and_not_over_images() {
        let label = |name: &str| (!name.is_empty()).then(|| Label::from(name.as_bytes()));
        let labels = ["b", "b", "b", "b", "b", "a", "a", "c", ""].map(label);
        let clusters = Clustering::new(&[0, 0, 0, 1, 1, 2, 2, 3, 4]);
        use Fate::{Discarded, Kept};
        let fates = [
            Kept,
            Discarded(0),
            Discarded(0),
            Discarded(4),
            Kept,
            Kept,
            Discarded(5),
            Kept,
            Kept,
        ];
        let (classes, all) = dissimilarities(
            &clusters,
            &labels,
            &fates,
            &[0.0, 0.25, 0.75, 0.125, 0.0, 0.0, 1.0, 0.0, 0.0],
        );
        let row = |of: &Dissimilarity| (of.images, of.kept, of.groups, of.average);
        assert_eq!(
            classes
                .iter()
                .map(|class| class.label.as_deref())
                .collect::<Vec<_>>(),
            [None, Some(&b"a"[..]), Some(b"b"), Some(b"c")]
        );
        let expected = [
            (1, 1, 0, None),
            (2, 1, 1, Some(1.0)),
            (5, 2, 2, Some(0.3125)),
            (1, 1, 0, None),
        ];
        assert_eq!(classes.iter().map(row).collect::<Vec<_>>(), expected);
        assert_eq!(row(&all), (9, 5, 3, Some(1.625 / 3.0)));
    }

    #[test]
    fn a_cluster_of_one_label_keeps_its_centre_and_one_of_several_labels_is_influential() {
        let label = |name: &str| (!name.is_empty()).then(|| Label::from(name.as_bytes()));
        let labels = ["a", "a", "a", "a", "b", "a", "", "b", ""].map(label);
        let clusters = Clustering::new(&[0, 0, 0, 1, 1, 2, 2, 3, 4]);
        let spread = [0.5, 0.100_001, 0.1, 0.0, 9.0, 3.0, 2.0, 0.0, 0.0];
        use Fate::{Discarded, Influential, Kept};
        let expected = [
            Discarded(1),
            Kept,
            Discarded(1),
            Influential,
            Influential,
            Discarded(6),
            Kept,
            Kept,
            Kept,
        ];
        assert_eq!(reduce(&clusters, &labels, &spread), expected);
        assert_eq!(expected.iter().filter(|fate| fate.stays()).count(), 6);
    }
}
