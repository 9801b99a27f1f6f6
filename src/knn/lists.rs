//! A change of the live rows → the neighbour lists that change: exact, and equal to lists built
//! from nothing.
//!
//! Let `S` be the added rows and the rows whose full list lost a member; the rest of the live rows
//! keep their lists as a start. Every pair of added rows meets once and is offered to both sides;
//! every added row meets the rest and is offered to both; every refilled row meets everything and
//! is offered only to itself, because the other side knew it before. With `added` = all this is the
//! build.
//!
//! A list is built with more members than are asked for, and is exact as far as it goes: its
//! members are the nearest rows, however many they are. So what it loses is not missed while enough
//! are left, and a new row enters only before the last of them, for nobody knows what comes after.
//! A list that had not enough held all rows there were, and still does.
//!
//! A pair is skipped only if neither side wants it (`bound`), so one scan of an added row yields
//! its list and every list it enters.

use super::{
    bound::OPEN,
    enter::Entrance,
    join::{Course, Side, across, among, pairs_among},
    kernel::Kernel,
    planes::Planes,
    rows::{Live, Neighbor, RowOrder, taking_part},
    search::SearchResult,
    update::ListUpdate,
    visitors::{Asking, Both, Entering, Exchange, Fresh, Kept},
};
use crate::error::Result;
use rayon::prelude::*;
use std::{borrow::Cow, collections::HashMap};

/// The lists before a change. Each holds the nearest live rows of its row, best first, without the
/// row itself: `k` or more of them, or all there are.
pub trait ListSource: Sync {
    /// The list of a row; empty if the row was not live.
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]>;

    /// The squared distance of the last member if the list of a row has `k` or more, else
    /// [`u32::MAX`].
    ///
    /// Called once for every live row; worth answering without reading the list.
    fn k_distance(&self, row: u32, k: usize) -> u32 {
        let list = self.list(row);
        list.last()
            .filter(|_| list.len() >= k)
            .map_or(OPEN, |last| last.distance)
    }

    /// What [`ListSource::k_distance`] says of every row, by number, if it is at hand; rows past
    /// the end count as [`u32::MAX`].
    ///
    /// With it, adding a few rows reads no list but those that change. Of rows that are not live
    /// now it may say anything; 0 is quickest.
    fn k_distances(&self, _k: usize) -> Option<&[u32]> {
        None
    }
}

/// Up to this many added rows a scan each is cheaper than a join (see `benches/knn.rs`).
const FEW: usize = 4;

/// No lists yet: for a build.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLists;

impl ListSource for NoLists {
    fn list(&self, _: u32) -> Cow<'_, [Neighbor]> {
        Cow::Borrowed(&[])
    }
}

impl ListSource for [Vec<Neighbor>] {
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]> {
        self.get(row as usize)
            .map_or(Cow::Borrowed(&[]), |list| Cow::Borrowed(list))
    }
}

impl ListSource for Vec<Vec<Neighbor>> {
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]> {
        self.as_slice().list(row)
    }
}

/// A change of the live rows, and what was before.
#[derive(Clone, Copy)]
pub struct Update<'a> {
    /// All rows, live or not.
    pub planes: Planes<'a>,
    /// The rows that are live after the change.
    pub live: Live<'a>,
    /// Rows that are live now and were not before, in any order. A row that left and came back
    /// between is neither added nor removed.
    pub added: &'a [u32],
    /// Rows that were live before and are not now, in any order.
    pub removed: &'a [u32],
    /// The lists before, for the same `k`.
    pub old: &'a dyn ListSource,
    /// Members that a list must have, if there are so many rows.
    pub k: usize,
    /// Members that it is built with besides: so many it may lose before it is built anew.
    pub spare: usize,
    /// How ties fall.
    pub order: &'a dyn RowOrder,
    /// What added rows meet of those that were live before, by row: the `k + spare` nearest, or
    /// all, and those whose k-distance reaches them. Looked at only where all added rows are there
    /// and none was removed.
    pub results: Option<&'a HashMap<u32, SearchResult>>,
}

/// How a long update speaks and listens. Both are called from several threads, about every few
/// milliseconds of work.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Told the pairs done so far and the pairs in all.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Returns whether to give up.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Watch<'_> {
    /// Tells nobody and never gives up.
    #[must_use]
    pub fn none() -> Self {
        Self {
            progress: &|_, _| (),
            cancelled: &|| false,
        }
    }
}

/// The lists that differ after a change; laid over the old ones they are exact for the rows now
/// live. The first `k` members are those of lists built from nothing; how many spare ones there
/// are, `spare` at most, depends on what was removed before.
///
/// O((added + refilled) × live × stride) plus, if rows were removed, one reading of all lists.
/// Memory: O(live) plus O(k) for each list that changes.
///
/// # Errors
/// [`crate::Error::Interrupted`] if `watch` gives up.
pub fn update_lists(update: &Update<'_>, watch: &Watch<'_>) -> Result<ListUpdate> {
    update_lists_with(Kernel::best(), update, watch)
}

/// [`update_lists`] with a kernel of one's choice; the answer is the same.
///
/// # Errors
/// As [`update_lists`].
pub fn update_lists_with(
    kernel: Kernel,
    update: &Update<'_>,
    watch: &Watch<'_>,
) -> Result<ListUpdate> {
    let change = Change::new(update);
    let rows = |rows| Side::new(update.planes, rows);
    let course = Course::new(watch.progress, watch.cancelled, change.pairs(update));
    let new = Fresh::new(&change.added, change.places, update.order);
    let again = Fresh::new(&change.refilled, change.places, update.order);
    let nobody_enters = change.added.is_empty() || !change.scans && change.rest.is_empty();
    let k_distances = if nobody_enters {
        Cow::Borrowed(&[][..])
    } else {
        k_distances(update)
    };
    let kept = Kept::new(
        &change,
        update,
        if change.scans { &[] } else { &k_distances },
    );
    among(kernel, rows(&change.added), &Both { new: &new }, &course)?;
    if change.scans {
        let is_other = |row| {
            update.live.contains(row)
                && !change.added.contains(&row)
                && change.refilled.binary_search(&row).is_err()
        };
        Entrance {
            kernel,
            update,
            new: &new,
            kept: &kept,
            k_distances: &k_distances,
            is_other,
        }
        .run(&course)?;
    } else if let Some(results) = change.met(update) {
        change
            .added
            .par_iter()
            .enumerate()
            .for_each(|(place, &row)| {
                results[&row]
                    .nearest
                    .iter()
                    .for_each(|near| new.offer(place, near.row, near.distance));
                results[&row].reverse.iter().for_each(|other| {
                    kept.offer(
                        other.row,
                        Neighbor {
                            row,
                            distance: other.distance,
                        },
                    );
                });
            });
        course.advance((change.added.len() * change.rest.len()) as u64);
    } else {
        let entering = Entering {
            new: &new,
            kept: &kept,
            rest: &change.rest,
        };
        across(
            kernel,
            rows(&change.added),
            rows(&change.rest),
            &entering,
            &course,
        )?;
    }
    across(
        kernel,
        rows(&change.added),
        rows(&change.refilled),
        &Exchange { a: &new, b: &again },
        &course,
    )?;
    among(
        kernel,
        rows(&change.refilled),
        &Both { new: &again },
        &course,
    )?;
    across(
        kernel,
        rows(&change.refilled),
        rows(&change.rest),
        &Asking {
            fresh: &again,
            rest: &change.rest,
        },
        &course,
    )?;
    let mut changed = ListUpdate::new(change.places);
    changed.add(&change.added, new.into_arena());
    changed.add(&change.refilled, again.into_arena());
    changed.add_empty(departures(update).into_iter());
    changed.leave_out(|row, list| *update.old.list(row) == *list);
    // Something has entered or left each of these.
    changed.add_lists(kept.into_lists());
    Ok(changed.sorted())
}

/// The live rows, by what happens to their lists.
pub(super) struct Change {
    /// Members that a list can have: `k` and the spare ones, or fewer where there are not so many
    /// rows.
    pub(super) places: usize,
    /// New: lists from nothing.
    pub(super) added: Vec<u32>,
    /// Whether the added rows are so few that each scans the plane.
    pub(super) scans: bool,
    /// Of their list, which had `k` members or more, fewer are left: lists from nothing.
    pub(super) refilled: Vec<u32>,
    /// Their list is a start; empty if nothing is joined with them.
    pub(super) rest: Vec<u32>,
    /// The others whose list lost a member.
    pub(super) thinned: Vec<u32>,
}

impl Change {
    fn new(update: &Update<'_>) -> Self {
        let planes = &update.planes;
        let mut is_added = vec![0_u64; planes.rows().div_ceil(64)];
        for &row in update
            .added
            .iter()
            .filter(|&&row| update.live.contains(row))
        {
            if let Some(word) = is_added.get_mut(row as usize / 64) {
                *word |= 1 << (row % 64);
            }
        }
        let is_added = Live(&is_added);
        let affected = if update.removed.is_empty() {
            Vec::new()
        } else {
            affected(update, &is_added)
        };
        let is_short = |&row: &u32| {
            let list = update.old.list(row);
            list.len() >= update.k
                && list
                    .iter()
                    .filter(|neighbor| update.live.contains(neighbor.row))
                    .count()
                    < update.k
        };
        let (refilled, thinned): (Vec<u32>, Vec<u32>) = affected.into_iter().partition(is_short);
        let scans = update.added.len() <= FEW;
        let (added, mut rest) = if scans && refilled.is_empty() {
            (few_taking_part(planes, &is_added, update.added), Vec::new())
        } else {
            planes.scanning_all();
            taking_part(planes, &update.live)
                .into_iter()
                .partition(|&row| is_added.contains(row))
        };
        rest.retain(|row| refilled.binary_search(row).is_err());
        let live: u64 = update
            .live
            .0
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        // Lists of nobody have nobody to spare: an empty list would say that there are no rows.
        let most = if update.k == 0 {
            0
        } else {
            update.k.saturating_add(update.spare)
        };
        Self {
            places: most.min(live as usize),
            added,
            scans,
            refilled,
            rest,
            thinned,
        }
    }

    /// What the added rows meet of the rest, if that is known of all of them.
    fn met<'a>(&self, update: &Update<'a>) -> Option<&'a HashMap<u32, SearchResult>> {
        update.results.filter(|results| {
            update.removed.is_empty() && self.added.iter().all(|row| results.contains_key(row))
        })
    }

    /// Number of pairs to look at.
    fn pairs(&self, update: &Update<'_>) -> u64 {
        let (added, refilled, rest) = (
            self.added.len() as u64,
            self.refilled.len() as u64,
            self.rest.len() as u64,
        );
        let others = if self.scans {
            update.planes.rows() as u64
        } else {
            rest
        };
        pairs_among(self.added.len())
            + pairs_among(self.refilled.len())
            + added * (refilled + others)
            + refilled * rest
    }
}

/// Those of a few added rows that are live and not zero, ascending.
fn few_taking_part(planes: &Planes<'_>, is_added: &Live<'_>, added: &[u32]) -> Vec<u32> {
    let mut rows: Vec<u32> = added
        .iter()
        .copied()
        .filter(|&row| is_added.contains(row))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    rows.retain(|&row| {
        planes.scanning(row as usize..row as usize + 1);
        !planes.norms()[row as usize].is_zero()
    });
    rows
}

/// The rows that were live and still are, and whose list holds a row that no longer is; ascending.
fn affected(update: &Update<'_>, is_added: &Live<'_>) -> Vec<u32> {
    let stays = |row: &u32| update.live.contains(*row) && !is_added.contains(*row);
    let loses = |row: &u32| {
        update
            .old
            .list(*row)
            .iter()
            .any(|neighbor| !update.live.contains(neighbor.row))
    };
    (0..update.planes.rows() as u32)
        .into_par_iter()
        .filter(stays)
        .filter(loses)
        .collect()
}

/// How far every row looked before, by row number.
fn k_distances<'a>(update: &Update<'a>) -> Cow<'a, [u32]> {
    let k_distance = |row| {
        if update.live.contains(row) {
            update.old.k_distance(row, update.k)
        } else {
            0
        }
    };
    update.old.k_distances(update.k).map_or_else(
        || {
            (0..update.planes.rows() as u32)
                .into_par_iter()
                .map(k_distance)
                .collect()
        },
        Cow::Borrowed,
    )
}

/// The rows that left, ascending.
fn departures(update: &Update<'_>) -> Vec<u32> {
    let mut left: Vec<u32> = update
        .removed
        .iter()
        .copied()
        .filter(|&row| !update.live.contains(row))
        .collect();
    left.sort_unstable();
    left.dedup();
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        knn::{
            By, QuerySet, nearest_and_reverse,
            oracle::{self, Lcg, Shuffled, bits, random_planes},
        },
    };
    use std::sync::Mutex;

    /// Lays an update over the lists.
    fn lay(lists: &mut [Vec<Neighbor>], update: &ListUpdate) {
        assert!(update.iter().is_sorted_by(|a, b| a.0 < b.0), "rows ascend");
        for (row, list) in update.iter() {
            assert_ne!(lists[row as usize], list, "row {row} has not changed");
            lists[row as usize] = list.to_vec();
        }
    }

    /// Rows that `a` has and `b` has not.
    fn without(rows: usize, a: &[u64], b: &[u64]) -> Vec<u32> {
        (0..rows as u32)
            .rev()
            .filter(|&row| Live(a).contains(row) && !Live(b).contains(row))
            .collect()
    }

    /// Follows random changes; gives how many lists had lost members without being built anew.
    fn follows(seed: u64, most: u32, changes: usize) -> usize {
        let mut random = Lcg(seed);
        let (rows, columns) = (
            random.below(most + 1) as usize,
            1 + random.below(150) as usize,
        );
        let planes = random_planes(rows, columns, &mut random);
        let planes = planes.as_planes();
        let order = Shuffled::new(rows, &mut random);
        let (k, spare) = (
            [0, 1, 2, 5, 16][random.below(5) as usize],
            [0, 1, 4][random.below(3) as usize],
        );
        let mut kept = 0;
        let kernels = Kernel::available();
        let mut before = vec![0; rows.div_ceil(64)];
        let mut lists = vec![Vec::new(); rows];
        for step in 0..changes {
            let mut after = bits(rows, [0, 2, 5][random.below(3) as usize], &mut random);
            if random.below(2) == 0 {
                let keep = bits(rows, 20, &mut random);
                after
                    .iter_mut()
                    .zip(&before)
                    .zip(&keep)
                    .for_each(|((after, before), keep)| *after = *before & keep | *after & !keep);
            }
            if random.below(3) == 0 {
                after
                    .iter_mut()
                    .zip(&before)
                    .for_each(|(after, before)| *after |= before);
            }
            let (added, removed) = (
                without(rows, &after, &before),
                without(rows, &before, &after),
            );
            let k_distances: Vec<u32> = (0..rows as u32)
                .map(|row| lists.k_distance(row, k))
                .collect();
            let query_set = QuerySet {
                queries: planes,
                by: By::Values,
                k: k + spare,
            };
            let results =
                nearest_and_reverse(query_set, planes, &Live(&before), &order, &k_distances);
            let results: HashMap<u32, SearchResult> = (0..)
                .zip(results)
                .filter(|(row, _)| added.contains(row))
                .collect();
            let results = (random.below(2) == 0).then_some(&results);
            let update = Update {
                planes,
                live: Live(&after),
                added: &added,
                removed: &removed,
                old: &lists,
                k,
                spare,
                order: &order,
                results,
            };
            let result =
                update_lists_with(kernels[step % kernels.len()], &update, &Watch::none()).unwrap();
            lay(&mut lists, &result);
            let all = oracle::lists(
                &planes,
                &Live(&after),
                if k == 0 { 0 } else { k + spare },
                &order,
            );
            let is_right = |(list, all): (&Vec<Neighbor>, &Vec<Neighbor>)| {
                list.len() >= all.len().min(k) && all.starts_with(list)
            };
            assert!(
                lists.iter().zip(&all).all(is_right),
                "seed {seed}, step {step}"
            );
            kept += lists
                .iter()
                .zip(&all)
                .filter(|(list, all)| list.len() < all.len())
                .count();
            before = after;
        }
        kept
    }

    #[test]
    fn lists_after_any_history_equal_those_built_from_nothing() {
        assert!((0..400).map(|seed| follows(seed, 70, 6)).sum::<usize>() > 1_000);
    }

    #[test]
    fn larger_lists_after_any_history_equal_those_built_from_nothing() {
        assert!(
            (0..25)
                .map(|seed| follows(50_000 + seed, 300, 5))
                .sum::<usize>()
                > 100
        );
    }

    #[test]
    fn a_list_of_all_rows_there_were_takes_as_many_new_ones_as_it_has_room_for() {
        let mut random = Lcg(12);
        for (few, many) in [(1, 9), (4, 300), (6, 4_000)] {
            let planes = random_planes(many, 20, &mut random);
            let (planes, order) = (planes.as_planes(), Shuffled::new(many, &mut random));
            let live = bits(many, 0, &mut random);
            let before: Vec<u64> = (0..many.div_ceil(64))
                .map(|word| if word == 0 { (1 << few) - 1 } else { 0 })
                .collect();
            let mut lists = vec![Vec::new(); many];
            for (before, after) in [(vec![0; before.len()], &before), (before.clone(), &live)] {
                let added = without(many, after, &before);
                let update = Update {
                    planes,
                    live: Live(after),
                    added: &added,
                    removed: &[],
                    old: &lists,
                    k: 6,
                    spare: 4,
                    order: &order,
                    results: None,
                };
                let result = update_lists(&update, &Watch::none()).unwrap();
                lay(&mut lists, &result);
                assert_eq!(
                    lists,
                    oracle::lists(&planes, &Live(after), 10, &order),
                    "{few} rows, then {many}"
                );
            }
        }
    }

    #[test]
    fn any_number_of_threads_builds_the_same_and_it_is_what_a_search_finds() {
        let mut random = Lcg(4);
        let planes = random_planes(9_000, 24, &mut random);
        let (planes, order) = (planes.as_planes(), Shuffled::new(9_000, &mut random));
        let live = bits(9_000, 40, &mut random);
        let all: Vec<u32> = (0..9_000).collect();
        let update = Update {
            planes,
            live: Live(&live),
            added: &all,
            removed: &[],
            old: &NoLists,
            k: 6,
            spare: 0,
            order: &order,
            results: None,
        };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| update_lists(&update, &Watch::none()).unwrap())
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(4));
        let itself: Vec<Option<u32>> = (0..9_000).map(Some).collect();
        let admit = crate::knn::Admit {
            excluded: Some(&itself),
            ..crate::knn::Admit::default()
        };
        let found = crate::knn::nearest(planes, planes, &Live(&live), 6, &order, &admit);
        assert!(one.len() > 8_000);
        assert!(one.iter().all(|(row, list)| found[row as usize] == list));
    }

    #[test]
    fn progress_ends_at_the_total_and_a_cancelled_update_is_interrupted() {
        let mut random = Lcg(6);
        let planes = random_planes(500, 10, &mut random);
        let (live, added): (Vec<u64>, Vec<u32>) = (vec![u64::MAX; 8], (0..500).collect());
        let mut update = Update {
            planes: planes.as_planes(),
            live: Live(&live),
            added: &added,
            removed: &[],
            old: &NoLists,
            k: 3,
            spare: 0,
            order: &crate::knn::ByNumber,
            results: None,
        };
        let furthest = Mutex::new((0, 0));
        let note = |done: u64, total: u64| {
            let mut furthest = furthest.lock().unwrap();
            *furthest = (furthest.0.max(done), total);
        };
        let built = update_lists(
            &update,
            &Watch {
                progress: &note,
                cancelled: &|| false,
            },
        )
        .unwrap();
        let mut lists = vec![Vec::new(); 500];
        lay(&mut lists, &built);
        let (done, total) = *furthest.lock().unwrap();
        assert!(done == total && total > 50_000, "{done} of {total}");
        let fewer: Vec<u64> = live.iter().map(|word| word & !1).collect();
        update = Update {
            live: Live(&fewer),
            added: &[],
            removed: &[0],
            old: &lists,
            ..update
        };
        assert_eq!(
            update_lists(&update, &Watch::none()).unwrap().iter().next(),
            Some((0, &[][..]))
        );
        let stopped = update_lists(
            &update,
            &Watch {
                progress: &note,
                cancelled: &|| true,
            },
        );
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
