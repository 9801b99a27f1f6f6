//! Trials of all parts together: long histories, thread counts, and that nothing is read before it
//! was announced.

use super::{
    Admit, ByNumber, Guard, Kernel, ListSource, ListUpdate, Live, Neighbor, NoLists, Norms,
    OwnedPlanes, Planes, Update, Watch,
    bound::high_limit,
    nearest,
    oracle::{Lcg, Shuffled, bits, lists, random_planes},
    scan::{PART, PIECE},
    update_lists, update_lists_with,
};
use std::{
    borrow::Cow,
    collections::HashSet,
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Lists with their k-distances at hand.
struct Cached {
    lists: Vec<Vec<Neighbor>>,
    k_distances: Vec<u32>,
}

impl Cached {
    fn new(rows: usize) -> Self {
        Self {
            lists: vec![Vec::new(); rows],
            k_distances: vec![u32::MAX; rows],
        }
    }

    fn lay(&mut self, update: &ListUpdate, k: usize) {
        for (row, list) in update.iter() {
            self.lists[row as usize] = list.to_vec();
            self.k_distances[row as usize] = self.lists.k_distance(row, k);
        }
    }
}

impl ListSource for Cached {
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]> {
        self.lists.list(row)
    }

    /// One short, as they are while rows are being added.
    fn k_distances(&self, _: usize) -> Option<&[u32]> {
        let known = self
            .k_distances
            .iter()
            .rposition(|&k_distance| k_distance != u32::MAX)
            .map_or(0, |last| last + 1);
        Some(&self.k_distances[..known])
    }
}

fn flip(live: &mut [u64], row: u32) {
    live[row as usize / 64] ^= 1 << (row % 64);
}

/// Histories of ten thousand changes, mostly of a row or two; after each the lists are those of a
/// build, but for some spare members.
#[test]
fn lists_after_ten_thousand_operations_equal_those_built_from_nothing() {
    const ROWS: usize = 120;
    const K: usize = 5;
    const SPARE: usize = 2;
    let mut random = Lcg(2_026);
    for _ in 0..2 {
        let planes = random_planes(ROWS, 1 + random.below(80) as usize, &mut random);
        let (planes, order) = (planes.as_planes(), Shuffled::new(ROWS, &mut random));
        let (mut live, mut known) = (vec![0_u64; ROWS.div_ceil(64)], Cached::new(ROWS));
        let kernels = Kernel::available();
        for step in 0..10_000 {
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            let many = if random.below(20) == 0 {
                40
            } else {
                1 + random.below(3)
            };
            let rows: HashSet<u32> = (0..many).map(|_| random.below(ROWS as u32)).collect();
            for row in rows {
                if Live(&live).contains(row) {
                    removed.push(row);
                } else {
                    added.push(row);
                }
                flip(&mut live, row);
            }
            let update = Update {
                planes,
                live: Live(&live),
                added: &added,
                removed: &removed,
                old: &known,
                k: K,
                spare: SPARE,
                order: &order,
                results: None,
            };
            let changed =
                update_lists_with(kernels[step % kernels.len()], &update, &Watch::none()).unwrap();
            known.lay(&changed, K);
            let all: Vec<u32> = (0..ROWS as u32).collect();
            let anew = Update {
                planes,
                live: Live(&live),
                added: &all,
                removed: &[],
                old: &NoLists,
                k: K,
                spare: SPARE,
                order: &order,
                results: None,
            };
            let mut built = Cached::new(ROWS);
            built.lay(&update_lists(&anew, &Watch::none()).unwrap(), K);
            let is_right = |(list, all): (&Vec<Neighbor>, &Vec<Neighbor>)| {
                list.len() >= all.len().min(K) && all.starts_with(list)
            };
            assert!(
                known.lists.iter().zip(&built.lists).all(is_right),
                "step {step}"
            );
            if step % 100 == 0 {
                assert!(
                    built.lists == lists(&planes, &Live(&live), K + SPARE, &order),
                    "step {step}"
                );
            }
        }
    }
}

#[test]
fn any_number_of_threads_keeps_the_same_lists() {
    any_number_of_threads_keeps(0);
    any_number_of_threads_keeps(2);
}

fn any_number_of_threads_keeps(spare: usize) {
    const ROWS: usize = 18_000;
    let mut random = Lcg(31);
    let planes = random_planes(ROWS, 9, &mut random);
    let (planes, order) = (planes.as_planes(), Shuffled::new(ROWS, &mut random));
    let mut live = bits(ROWS, 30, &mut random);
    let all: Vec<u32> = (0..ROWS as u32).collect();
    let some: Vec<u32> = (0..3)
        .map(|at| at * 7_000)
        .filter(|&row| Live(&live).contains(row))
        .collect();
    let run = |live: &[u64], added: &[u32], removed: &[u32], old: &Cached| {
        let update = Update {
            planes,
            live: Live(live),
            added,
            removed,
            old,
            k: 6,
            spare,
            order: &order,
            results: None,
        };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| update_lists(&update, &Watch::none()).unwrap())
        };
        let one = with(1);
        assert!(one == with(2) && one == with(4));
        one
    };
    let mut known = Cached::new(ROWS);
    let built = run(&live, &all, &[], &known);
    known.lay(&built, 6);
    some.iter().for_each(|&row| flip(&mut live, row));
    let gone = run(&live, &[], &some, &known);
    known.lay(&gone, 6);
    some.iter().for_each(|&row| flip(&mut live, row));
    let back = run(&live, &some, &[], &known);
    known.lay(&back, 6);
    let mut whole = Cached::new(ROWS);
    whole.lay(&built, 6);
    let counting = |lists: &Cached| {
        lists
            .lists
            .iter()
            .map(|list| list[..list.len().min(6)].to_vec())
            .collect::<Vec<_>>()
    };
    assert!(
        gone.len() > some.len() && back.len() > some.len() && counting(&known) == counting(&whole)
    );
}

/// Writes down what is announced.
#[derive(Default)]
struct Announced(Mutex<(HashSet<u32>, HashSet<u32>)>);

impl Guard for Announced {
    fn scanning(&self, rows: Range<usize>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .extend(rows.map(|row| row as u32));
    }

    fn measuring(&self, row: u32) {
        let mut announced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            announced.0.contains(&row),
            "the low bytes of row {row} before the high ones"
        );
        announced.1.insert(row);
    }
}

/// Runs `work` on guarded planes, spoils every byte that was not announced, and runs it again:
/// bytes that matter must have been announced.
fn reads_only_what_it_announces<T: PartialEq + Send>(
    planes: &OwnedPlanes,
    work: impl Fn(Planes<'_>) -> T + Sync,
) -> usize {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let planes = planes.as_planes();
    let guard = Announced::default();
    let found = pool.install(|| work(planes.guarded(&guard)));
    let (scanned, measured) = guard.0.into_inner().unwrap();
    let (mut high, mut low, mut norms) = (
        planes.high().to_vec(),
        planes.low().to_vec(),
        planes.norms().to_vec(),
    );
    for (row, norms) in norms.iter_mut().enumerate() {
        let bytes = row * planes.stride()..(row + 1) * planes.stride();
        if !scanned.contains(&(row as u32)) {
            high[bytes.clone()].fill(1);
            *norms = Norms { high: 64, low: 9 };
        }
        if !measured.contains(&(row as u32)) {
            low[bytes].fill(-3);
        }
    }
    let spoiled = Planes::new(planes.stride(), &high, &low, &norms).unwrap();
    assert!(
        pool.install(|| work(spoiled)) == found,
        "something was read that had not been announced"
    );
    measured.len()
}

/// An update of lists of four.
fn four(
    planes: Planes<'_>,
    live: &[u64],
    added: &[u32],
    removed: &[u32],
    old: &dyn ListSource,
    order: &Shuffled,
) -> ListUpdate {
    let update = Update {
        planes,
        live: Live(live),
        added,
        removed,
        old,
        k: 4,
        spare: 1,
        order,
        results: None,
    };
    update_lists(&update, &Watch::none()).unwrap()
}

#[test]
fn nothing_is_read_that_was_not_announced() {
    let mut random = Lcg(91);
    for _ in 0..60 {
        let rows = 200 + random.below(400) as usize;
        let planes = random_planes(rows, 1 + random.below(150) as usize, &mut random);
        let (order, mut live) = (Shuffled::new(rows, &mut random), bits(rows, 9, &mut random));
        let all: Vec<u32> = (0..rows as u32).collect();
        let mut known = Cached::new(rows);
        known.lay(
            &four(planes.as_planes(), &live, &all, &[], &NoLists, &order),
            4,
        );
        for count in [1, 12] {
            let some: Vec<u32> = (0..count)
                .map(|_| random.below(rows as u32))
                .collect::<HashSet<_>>()
                .into_iter()
                .collect();
            let some: Vec<u32> = some
                .into_iter()
                .filter(|&row| Live(&live).contains(row))
                .collect();
            some.iter().for_each(|&row| flip(&mut live, row));
            reads_only_what_it_announces(&planes, |planes| {
                four(planes, &live, &[], &some, &known, &order)
            });
            let gone = four(planes.as_planes(), &live, &[], &some, &known, &order);
            known.lay(&gone, 4);
            some.iter().for_each(|&row| flip(&mut live, row));
            reads_only_what_it_announces(&planes, |planes| {
                four(planes, &live, &some, &[], &known, &order)
            });
            let back = four(planes.as_planes(), &live, &some, &[], &known, &order);
            known.lay(&back, 4);
        }
        for count in [2, 20, 80] {
            let mut queries = OwnedPlanes::new(planes.as_planes().stride());
            for row in 0..count {
                queries.push(
                    &planes
                        .as_planes()
                        .row(row)
                        .values()
                        .map(|v| v as i16)
                        .collect::<Vec<_>>(),
                );
            }
            let ask = |targets: Planes<'_>| {
                nearest(
                    queries.as_planes(),
                    targets,
                    &Live(&live),
                    3,
                    &order,
                    &Admit::default(),
                )
            };
            let ask_both = |queries: Planes<'_>| {
                nearest(
                    queries,
                    planes.as_planes(),
                    &Live(&live),
                    3,
                    &order,
                    &Admit::default(),
                )
            };
            let measured = reads_only_what_it_announces(&planes, ask);
            reads_only_what_it_announces(&queries, ask_both);
            assert!(measured > 0 && measured <= rows);
        }
    }
}

/// Rows of full length, whose column `j` is weighted by `1 / (j + 1)`.
fn falling(rows: usize, random: &mut Lcg) -> OwnedPlanes {
    let mut planes = OwnedPlanes::new(70);
    for _ in 0..rows {
        let row: Vec<f64> = (1..=70)
            .map(|j| (f64::from(random.below(2_001)) - 1_000.0) / f64::from(j))
            .collect();
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1.0);
        planes.push(
            &row.iter()
                .map(|v| (v * 32_000.0 / length) as i16)
                .collect::<Vec<_>>(),
        );
    }
    planes
}

/// A scan reads the low bytes of the rows that the high bytes cannot exclude in the end, and of as
/// many for each piece of the plane as a query may find, at the most.
#[test]
fn a_scan_reads_low_bytes_of_few_rows() {
    const K: usize = 2;
    const ROWS: usize = 20_000;
    let mut random = Lcg(17);
    let planes = falling(ROWS, &mut random);
    let live = vec![u64::MAX; ROWS.div_ceil(64)];
    for count in [1, 18] {
        let queries = falling(count, &mut random);
        let ask = |targets: Planes<'_>| {
            nearest(
                queries.as_planes(),
                targets,
                &Live(&live),
                K,
                &ByNumber,
                &Admit::default(),
            )
        };
        let measured = reads_only_what_it_announces(&planes, ask);
        let (asked, targets) = (queries.as_planes(), planes.as_planes());
        let farthest: Vec<u32> = ask(targets)
            .iter()
            .map(|list| list.last().map_or(0, |last| last.distance))
            .collect();
        let may_be = |query: usize, row: u32| {
            let apart =
                Kernel::best().high_distance(asked.row(query as u32).high, targets.row(row).high);
            apart
                <= high_limit(
                    farthest[query],
                    asked.norms()[query].low,
                    targets.norms()[row as usize].low,
                )
        };
        let needed = (0..ROWS as u32)
            .filter(|&row| (0..count).any(|query| may_be(query, row)))
            .count();
        let pieces = ROWS.div_ceil(PIECE) + 6 * ROWS.div_ceil(PART);
        assert!(
            measured <= needed + count * K * pieces,
            "{count} queries: {measured} rows, {needed} needed"
        );
        assert!(measured < ROWS / 4, "{count} queries: {measured} rows");
    }
}
