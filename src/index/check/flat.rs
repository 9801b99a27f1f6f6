//! The edges of requested pictures that are flat: to what shows the same pixels, in the base and
//! earlier in the request.

use std::collections::{BTreeSet, HashMap};

use super::request::{Candidate, Evidence, Request};
use crate::{
    Result,
    index::query::Match,
    knn::Live,
    similarity::register::{Detail, equal},
    store::state::ContentId,
};

impl Request<'_> {
    /// Adds to each flat content the contents of the smallest ids that show the same, as many as a
    /// list holds. The evidence is that of the contents from the one numbered `quiet` on.
    pub(super) fn join_flat(&self, evidence: &mut [Evidence], quiet: usize) -> Result<()> {
        let (base, k) = (
            Live(&self.base.live),
            usize::from(self.reader.settings.neighbors),
        );
        let mut earlier: HashMap<&[u8], BTreeSet<(ContentId, usize)>> = HashMap::new();
        let mut flat: Vec<usize> = (0..self.requested.len())
            .filter(|&place| self.requested[place].read.feature.is_flat())
            .collect();
        flat.sort_by_key(|&place| self.requested[place].items[0]);
        let mut entering = flat.clone().into_iter().peekable();
        flat.sort_by_key(|&place| self.first_judged(place));
        for place in flat {
            let own = &self.requested[place].read;
            while let Some(other) =
                entering.next_if(|&other| self.requested[other].items[0] < self.first_judged(place))
            {
                let read = &self.requested[other].read;
                if !read.row.is_some_and(|row| base.contains(row)) {
                    earlier
                        .entry(read.picture.samples())
                        .or_default()
                        .insert((read.id, other));
                }
            }
            let Some(evidence) = place.checked_sub(quiet).and_then(|at| evidence.get_mut(at))
            else {
                continue;
            };
            let rows = self
                .flat
                .same_as(&own.picture)
                .filter(|row| Some(*row) != own.row)
                .map(Candidate::Row)
                .take(k);
            let before = earlier
                .get(own.picture.samples())
                .into_iter()
                .flatten()
                .filter(|(id, _)| *id != own.id);
            let mut all: Vec<Candidate> = rows
                .chain(
                    before
                        .take(k)
                        .map(|&(_, place)| Candidate::Requested(place)),
                )
                .collect();
            all.sort_by_cached_key(|candidate| self.id(*candidate));
            let pair = equal(&Detail::of(&own.picture));
            for candidate in all.into_iter().take(k) {
                let (id, occurrences) = self.known(candidate)?;
                evidence.edges.push((
                    candidate,
                    Match::new(id, occurrences, 0, Some(pair), self.rule),
                ));
            }
        }
        Ok(())
    }
}
