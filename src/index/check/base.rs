//! What a request is held against: the live rows that a path outside the request holds, and which
//! paths those are.

use std::collections::{BTreeSet, HashMap};

use super::CheckItem;
use crate::{
    Result,
    dataset::{Change, VersionFile},
    index::Reader,
    store::view::PathRecord,
    verdict::Occurrence,
};

/// What a request is held against.
pub(super) struct Base<'a> {
    /// Rows that a path outside the request holds.
    pub(super) live: Vec<u64>,
    held: Held<'a>,
}

/// Which paths hold the rows.
enum Held<'a> {
    /// Those of the view; of the rows here, only these, outside the request.
    Published(HashMap<u32, Vec<Occurrence>>),
    /// The files of a version, by row and place in its list; ascending.
    Version(Vec<(u32, u32)>, &'a Change),
}

impl<'a> Base<'a> {
    /// The published dataset without the paths of a request, and without those that leave with the
    /// same change.
    pub(super) fn published(reader: &Reader, items: &[CheckItem], gone: &[&[u8]]) -> Result<Self> {
        let mut live = reader.view.live_words()?;
        let mut rest = HashMap::new();
        let requested: BTreeSet<&[u8]> = items
            .iter()
            .filter(|item| item.inside)
            .map(|item| &*item.path)
            .chain(gone.iter().copied())
            .collect();
        for path in &requested {
            let Some(PathRecord::Row(row)) = reader.view.path(path)? else {
                continue;
            };
            if rest.contains_key(&row) {
                continue;
            }
            let mut occurrences = reader.view.row(row)?.occurrences;
            occurrences.retain(|o| !requested.contains(&*o.path));
            if occurrences.is_empty()
                && let Some(word) = live.get_mut(row as usize / 64)
            {
                *word &= !(1 << (row % 64));
            }
            rest.insert(row, occurrences);
        }
        Ok(Self {
            live,
            held: Held::Published(rest),
        })
    }

    /// The files of a version whose rows are known, given with their places in its list.
    pub(super) fn version(reader: &Reader, mut rows: Vec<(u32, u32)>, change: &'a Change) -> Self {
        let mut live = vec![0u64; reader.view.rows().div_ceil(64)];
        rows.sort_unstable();
        for (row, _) in &rows {
            if let Some(word) = live.get_mut(*row as usize / 64) {
                *word |= 1 << (row % 64);
            }
        }
        Self {
            live,
            held: Held::Version(rows, change),
        }
    }

    /// Where the content of a row is, sorted by path.
    pub(super) fn occurrences(&self, reader: &Reader, row: u32) -> Result<Vec<Occurrence>> {
        match &self.held {
            Held::Published(rest) => match rest.get(&row) {
                Some(rest) => Ok(rest.clone()),
                None => Ok(reader.view.row(row)?.occurrences),
            },
            Held::Version(rows, change) => {
                let first = rows.partition_point(|(other, _)| *other < row);
                let places = rows
                    .iter()
                    .skip(first)
                    .take_while(|(other, _)| *other == row);
                Ok(places
                    .map(|(_, place)| occurrence(&change.base[*place as usize], change))
                    .collect())
            }
        }
    }
}

/// A file with its label and split in the version.
pub(super) fn occurrence(file: &VersionFile, change: &Change) -> Occurrence {
    let (label, split) = change.labels.told(&file.path);
    Occurrence {
        path: file.path.clone(),
        label,
        split,
    }
}
