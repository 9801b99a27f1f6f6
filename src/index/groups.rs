//! The published graph → groups of near-duplicates, copies, and pictures that are too flat to
//! compare.

use super::{
    Reader,
    query::{ById, Match, real_distance},
};
use crate::{
    Error, Result,
    graph::{Graph, Group},
    knn::Live,
    monitor::Monitor,
    similarity::{Edge, EdgeRule},
    store::{state::ContentId, view::RowRecord},
    verdict::Occurrence,
};

/// Images that show the same.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageGroup {
    /// The content to which all others are similar.
    pub id: ContentId,
    /// Where it occurs, sorted by path.
    pub occurrences: Vec<Occurrence>,
    /// The others, most similar first.
    pub others: Vec<Match>,
}

/// What is repeated in a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    /// Near-duplicates, and copies of one content; most images first, then by the content id of the
    /// representative.
    pub groups: Vec<ImageGroup>,
    /// Contents of so little contrast that they have no direction
    /// ([`crate::feature::FLAT_CONTRAST`]), with where they occur: too little to tell whether they
    /// show the same.
    pub flat: Vec<(ContentId, Vec<Occurrence>)>,
}

impl ImageGroup {
    /// All places where an image of the group is.
    pub fn everywhere(&self) -> impl Iterator<Item = &Occurrence> {
        self.occurrences
            .iter()
            .chain(self.others.iter().flat_map(|other| &other.occurrences))
    }
}

impl Reader {
    /// The groups of the dataset, from the edges that are published; see [`crate::graph`] for how
    /// they are made.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Interrupted`].
    pub fn groups(&self, rule: &EdgeRule, monitor: &dyn Monitor) -> Result<Groups> {
        let rows = self.view.rows() as u32;
        let words = self.view.live_words()?;
        monitor.stage("grouping", Some(u64::from(rows)));
        let mut found = Groups::default();
        let mut edges = vec![Vec::new(); rows as usize];
        let mut grouped = vec![false; rows as usize];
        let norms = self.view.planes()?.norms();
        for row in (0..rows).filter(|&row| Live(&words).contains(row)) {
            monitor.advance(1);
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            edges[row as usize] = self.view.edges(row)?;
            edges[row as usize].retain(|edge| rule.admits(edge.similarity, edge.needs));
            if norms[row as usize].is_zero() {
                let RowRecord {
                    id, occurrences, ..
                } = self.view.row(row)?;
                found.flat.push((id, occurrences));
                grouped[row as usize] = true;
            }
        }
        for group in Graph::new(edges).groups(&ById(&self.view)) {
            let members = group
                .members
                .iter()
                .map(|edge| edge.row)
                .chain([group.representative]);
            members.for_each(|row| grouped[row as usize] = true);
            found.groups.push(self.image_group(&group)?);
        }
        for row in (0..rows).filter(|&row| Live(&words).contains(row) && !grouped[row as usize]) {
            let group = self.image_group(&Group {
                representative: row,
                members: Vec::new(),
            })?;
            found
                .groups
                .extend((group.occurrences.len() > 1).then_some(group));
        }
        found
            .groups
            .sort_by_cached_key(|group| (std::cmp::Reverse(group.everywhere().count()), group.id));
        found.flat.sort_unstable();
        Ok(found)
    }

    fn image_group(&self, group: &Group) -> Result<ImageGroup> {
        let RowRecord {
            id, occurrences, ..
        } = self.view.row(group.representative)?;
        let feature = self.view.feature(group.representative)?;
        let other = |edge: &Edge| -> Result<Match> {
            let RowRecord {
                id, occurrences, ..
            } = self.view.row(edge.row)?;
            let distance = real_distance(self.view.distance(&feature, edge.row)?);
            let (similarity, needs) = (f64::from(edge.similarity), Some(edge.needs));
            let paths = occurrences.len();
            Ok(Match {
                id,
                occurrences,
                paths,
                similarity,
                needs,
                pair: None,
                too_little_texture: false,
                cluster: None,
                distance,
            })
        };
        Ok(ImageGroup {
            id,
            occurrences,
            others: group.members.iter().map(other).collect::<Result<_>>()?,
        })
    }
}
