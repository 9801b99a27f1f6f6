//! Clusters and labels → which images to keep, and which are influential.
//!
//! Yousefzadeh 2020, lines 11 to 21 of Algorithms 1 and 2: of a cluster of one label the image closest to the centre is kept and the others are
//! discarded; the images of a cluster of several labels go to the list of influential images, and stay. An image without a label agrees with
//! any label. Which clusters, and what closeness is, is for the caller to say; nothing is ever deleted here.

use std::collections::BTreeSet;

use crate::{cluster::Clustering, verdict::Label};

/// Distances that differ by no larger a part are equal: the two of a pair are as far from its centre but for rounding.
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

/// The fate of each image. `spread[i]` says how far image i is from the centre of its cluster; of equally far ones the first is kept.
///
/// # Panics
/// If there is not one label and one distance for each image.
#[must_use]
pub fn reduce(clusters: &Clustering, labels: &[Option<Label>], spread: &[f64]) -> Vec<Fate> {
    assert!(labels.len() == clusters.own().len() && spread.len() == labels.len(), "a label and a distance for each image");
    let mut fates = vec![Fate::Kept; labels.len()];
    for members in clusters.members() {
        let known: BTreeSet<&Label> = members.iter().filter_map(|&image| labels[image as usize].as_ref()).collect();
        let least = members.iter().map(|&image| spread[image as usize]).fold(f64::INFINITY, f64::min);
        let centre = members.iter().copied().find(|&image| spread[image as usize] <= least * (1.0 + ALIKE));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_one_label_keeps_its_centre_and_one_of_several_labels_is_influential() {
        let label = |name: &str| (!name.is_empty()).then(|| Label::from(name.as_bytes()));
        let labels = ["a", "a", "a", "a", "b", "a", "", "b", ""].map(label);
        let clusters = Clustering::new(&[0, 0, 0, 1, 1, 2, 2, 3, 4]);
        let spread = [0.5, 0.100_001, 0.1, 0.0, 9.0, 3.0, 2.0, 0.0, 0.0];
        use Fate::{Discarded, Influential, Kept};
        let expected = [Discarded(1), Kept, Discarded(1), Influential, Influential, Discarded(6), Kept, Kept, Kept];
        assert_eq!(reduce(&clusters, &labels, &spread), expected);
        assert_eq!(expected.iter().filter(|fate| fate.stays()).count(), 6);
    }
}
