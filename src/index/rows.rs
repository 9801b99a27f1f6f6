//! State and published view → the rows of the next generation, and what changes in its tables.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering as Memory},
    },
};

use rayon::prelude::*;

use super::edges::EdgeUpdate;
use crate::{
    Error, Result,
    knn::{ListSource, ListUpdate, Neighbor, RowOrder},
    store::{
        packs::{Packs, Place},
        state::{ContentId, Holds, State, Touched},
        view::{
            Changes, Grown, PathRecord, TableKind, View, pack_edges, pack_list, pack_names, row_key,
        },
    },
};

/// Rows of a generation in the making.
pub(super) struct Rows<'a> {
    pub(super) old: Option<&'a View>,
    /// Old and new.
    count: usize,
    /// Old rows whose content the packs hold elsewhere now.
    pub(super) moved: BTreeMap<u32, Place>,
    /// Rows whose content was touched, ascending; the new ones are the last.
    pub(super) touched: Vec<(u32, ContentId)>,
    /// Where new rows are in `touched`, in the order of their contents.
    by_content: Vec<u32>,
}

impl<'a> Rows<'a> {
    /// The rows, and the contents of the new ones, which follow the old ones in the order in which
    /// the packs hold their contents.
    pub(super) fn assign(
        state: &State,
        old: Option<(&'a View, HashSet<ContentId>)>,
    ) -> Result<(Self, Vec<(ContentId, Place)>)> {
        let mut rows = Self {
            old: old.as_ref().map(|(view, _)| *view),
            count: 0,
            moved: BTreeMap::new(),
            touched: Vec::new(),
            by_content: Vec::new(),
        };
        let base = rows.old.map_or(0, View::rows) as u32;
        let mut new: Vec<(ContentId, Place)> = match old {
            Some((view, touched)) => rows.touched(state, view, touched)?,
            None => state
                .contents()
                .map(|(id, entry)| (*id, entry.place))
                .collect(),
        };
        new.par_sort_unstable_by_key(|(_, place)| (place.pack, place.offset));
        if u64::from(base) + new.len() as u64 >= u64::from(u32::MAX) {
            return Err(Error::Input(
                "an index holds at most 4,294,967,294 contents".into(),
            ));
        }
        rows.count = base as usize + new.len();
        rows.touched.par_sort_unstable();
        let first = rows.touched.len();
        rows.touched
            .extend(new.iter().zip(base..).map(|((id, _), row)| (row, *id)));
        rows.by_content = (first as u32..rows.touched.len() as u32).collect();
        rows.by_content
            .par_sort_unstable_by_key(|&at| &rows.touched[at as usize].1);
        Ok((rows, new))
    }

    /// Notes which rows of the old view were touched; gives the touched contents that have none.
    fn touched(
        &mut self,
        state: &State,
        view: &View,
        touched: HashSet<ContentId>,
    ) -> Result<Vec<(ContentId, Place)>> {
        let mut new = Vec::new();
        for id in touched {
            let row = view.row_of(&id)?;
            self.touched.extend(row.map(|row| (row, id)));
            match (row, state.content(&id)) {
                (Some(row), Some(entry)) if view.content(row)?.1 != entry.place => {
                    self.moved.insert(row, entry.place);
                }
                (None, Some(entry)) => new.push((id, entry.place)),
                _ => {}
            }
        }
        Ok(new)
    }

    /// The row of a content.
    pub(super) fn of(&self, id: &ContentId) -> Result<Option<u32>> {
        match self
            .by_content
            .binary_search_by_key(&id, |&at| &self.touched[at as usize].1)
        {
            Ok(at) => Ok(Some(self.touched[self.by_content[at] as usize].0)),
            Err(_) => self.old.map_or(Ok(None), |view| view.row_of(id)),
        }
    }

    /// Rows, old and new.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl RowOrder for Grown {
    /// By content id.
    fn compare(&self, a: u32, b: u32) -> Ordering {
        self.id(a).cmp(&self.id(b))
    }
}

/// The lists of the published view. What cannot be read is remembered, and fails the publication.
pub(super) struct OldLists<'a> {
    pub(super) view: Option<&'a View>,
    pub(super) k_distances: &'a [u32],
    pub(super) damaged: AtomicBool,
}

impl ListSource for OldLists<'_> {
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]> {
        let list = self
            .view
            .map_or(Ok(Vec::new()), |view| view.whole_list(row));
        Cow::Owned(list.unwrap_or_else(|_| {
            self.damaged.store(true, Memory::Relaxed);
            Vec::new()
        }))
    }

    fn k_distances(&self, _: usize) -> Option<&[u32]> {
        Some(self.k_distances)
    }
}

/// Neighbours that a list is built with beyond those that count: so many may be removed before it
/// is built anew, which is a search of all rows.
pub(super) const SPARE: usize = 4;

/// The k-distance of a row: the distance of the last member of its list if that has `k` or more,
/// and unlimited otherwise.
pub(super) fn k_distance_of(list: &[Neighbor], k: usize) -> u32 {
    list.last()
        .filter(|_| list.len() >= k)
        .map_or(u32::MAX, |last| last.distance)
}

/// Whether the packs that hold the contents of all rows of a view, dead ones included, are there.
pub(super) fn has_packs_of(view: &View, packs: &Packs) -> bool {
    let mut all_read = true;
    let places = (0..view.rows() as u32).map_while(|row| {
        let place = view.content(row).ok().map(|(_, place)| place);
        all_read &= place.is_some();
        place
    });
    packs.hold_all(places) && all_read
}

/// Whether a view has a row of a content that is no longer stored: `gc` dropped it, or it was lost
/// to damage. Such a row names a pack that is about to be removed, and a view cannot lose a row: it
/// is to be built anew.
pub(super) fn has_dropped_rows(
    view: Option<&View>,
    touched: Option<&Touched>,
    state: &State,
) -> Result<bool> {
    let (Some(view), Some(touched)) = (view, touched) else {
        return Ok(false);
    };
    for id in touched
        .contents
        .iter()
        .filter(|id| state.content(id).is_none())
    {
        if view.row_of(id)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The bitmap of live rows after the change, and what changed in it.
pub(super) struct LiveChange {
    pub(super) words: Vec<u64>,
    pub(super) added: Vec<u32>,
    pub(super) removed: Vec<u32>,
}

/// Where the touched contents occur, if that changed.
pub(super) fn changed_names<'a>(state: &'a State, rows: &'a Rows<'_>) -> Changes<'a> {
    Changes::new(rows.touched.len(), |visit| {
        for (row, id) in &rows.touched {
            let key = row_key(*row);
            let new = state
                .is_held(id)
                .then(|| pack_names(&state.occurrences(id)));
            let old = rows
                .old
                .map_or(Ok(None), |view| view.table(TableKind::Names).get(&key))?;
            if old != new.as_deref() {
                visit(&key, new.as_deref())?;
            }
        }
        Ok(())
    })
}

/// What the touched paths hold, if that changed; of a view from nothing, what all paths hold.
pub(super) fn changed_paths<'a>(
    state: &'a State,
    rows: &'a Rows<'_>,
    touched: Option<&'a BTreeSet<Arc<[u8]>>>,
) -> Changes<'a> {
    Changes::new(
        touched.map_or(state.paths().len(), BTreeSet::len),
        move |visit| {
            let (all, some) = (touched.is_none().then(|| state.paths().keys()), touched);
            for path in all.into_iter().flatten().chain(some.into_iter().flatten()) {
                let new = match state.paths().get(path).map(|entry| &entry.holds) {
                    Some(Holds::Content(id)) => rows.of(id)?.map(PathRecord::Row),
                    Some(Holds::Undecodable { reason, .. }) => {
                        Some(PathRecord::Undecodable(reason.to_string()))
                    }
                    None => None,
                };
                let new = new.map(|record| record.pack());
                let old = rows
                    .old
                    .map_or(Ok(None), |view| view.table(TableKind::Paths).get(path))?;
                if old != new.as_deref() {
                    visit(path, new.as_deref())?;
                }
            }
            Ok(())
        },
    )
}

/// The aliases of the touched contents, if the old view has not got them. A content loses its
/// aliases only with its row.
pub(super) fn changed_aliases<'a>(state: &'a State, rows: &'a Rows<'_>) -> Changes<'a> {
    let of = |(row, id): &(u32, ContentId)| {
        let aliases = state.content(id).map_or(&[][..], |entry| &entry.aliases);
        aliases
            .iter()
            .map(|alias| (alias.to_bytes(), *row))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = rows.touched.iter().flat_map(of).collect();
    all.par_sort_unstable();
    all.dedup_by(|a, b| a.0 == b.0);
    Changes::new(all.len(), move |visit| {
        for (alias, row) in &all {
            let row = row.to_le_bytes();
            let old = rows
                .old
                .map_or(Ok(None), |view| view.table(TableKind::Aliases).get(alias))?;
            if old != Some(&row) {
                visit(alias, Some(&row))?;
            }
        }
        Ok(())
    })
}

/// The edges that changed.
pub(super) fn changed_edges(edges: &EdgeUpdate) -> Changes<'_> {
    Changes::new(edges.len(), |visit| {
        edges.iter().try_for_each(|(row, edges)| {
            visit(
                &row_key(row),
                (!edges.is_empty()).then(|| pack_edges(edges)).as_deref(),
            )
        })
    })
}

/// The lists that changed.
pub(super) fn changed_lists(lists: &ListUpdate) -> Changes<'_> {
    Changes::new(lists.len(), |visit| {
        lists.iter().try_for_each(|(row, list)| {
            visit(
                &row_key(row),
                (!list.is_empty()).then(|| pack_list(list)).as_deref(),
            )
        })
    })
}
