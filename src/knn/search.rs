//! Queries → their nearest rows, or all rows within a radius: exact, in parallel, the same for any
//! number of threads.
//!
//! Some queries are scanned for together (`scan`), many are joined in blocks (`join`).

use super::{
    bound::OPEN,
    join::{Course, PairVisitor, Side, across, pairs_among},
    kernel::Kernel,
    planes::{By, Planes},
    rows::{Admit, Live, Neighbor, RowOrder, taking_part},
    scan::{self, Scan},
    top_k::TopKHeaps,
};
use std::sync::{Mutex, PoisonError};

/// Up to this many queries one scan for all is cheaper than a join (see `benches/knn.rs`).
const SOME: usize = 64;

/// The `k` nearest targets of each query, best first: by distance, then by `order`.
///
/// Targets that are dead, zero or not admitted are never found, and a zero query finds nothing.
/// Fewer than `k` if there are no more. O(queries × targets × stride); memory O(queries × k +
/// targets).
///
/// # Panics
/// If the strides differ, or a table of `admit` has not one entry for each query.
#[must_use]
pub fn nearest(
    queries: Planes<'_>,
    targets: Planes<'_>,
    live: &Live<'_>,
    k: usize,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    nearest_with(Kernel::best(), queries, targets, live, k, order, admit)
}

/// [`nearest`] with a kernel of one's choice; the answer is the same.
///
/// # Panics
/// As [`nearest`].
#[must_use]
pub fn nearest_with(
    kernel: Kernel,
    queries: Planes<'_>,
    targets: Planes<'_>,
    live: &Live<'_>,
    k: usize,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    Search {
        kernel,
        queries,
        targets,
        live,
        order,
        admit,
    }
    .run(k, OPEN)
}

/// Queries, and by which of their values they are compared.
#[derive(Clone, Copy, Debug)]
pub struct QuerySet<'a> {
    /// The queries.
    pub queries: Planes<'a>,
    /// What is compared.
    pub by: By,
    /// How many targets each finds, at the most.
    pub k: usize,
}

impl<'a> QuerySet<'a> {
    /// Queries and targets by what counts of them.
    fn compared(&self, targets: Planes<'a>) -> [Planes<'a>; 2] {
        [self.queries, targets].map(|planes| planes.compared(self.by))
    }
}

/// [`nearest`] by the values that the query set names; exact for those.
///
/// # Panics
/// As [`nearest`].
#[must_use]
pub fn nearest_by(
    query_set: QuerySet<'_>,
    targets: Planes<'_>,
    live: &Live<'_>,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    let [queries, targets] = query_set.compared(targets);
    nearest(queries, targets, live, query_set.k, order, admit)
}

/// [`nearest_by`] for each of these, of few queries each, while the targets are read once.
///
/// # Panics
/// As [`nearest`].
#[must_use]
pub fn nearest_together(
    query_sets: &[QuerySet<'_>],
    targets: Planes<'_>,
    live: &Live<'_>,
    order: &dyn RowOrder,
) -> Vec<Vec<Vec<Neighbor>>> {
    let (kernel, admit) = (Kernel::best(), &Admit::default());
    let compared = query_sets
        .iter()
        .map(|query_set| query_set.compared(targets));
    let searches: Vec<Search<'_>> = compared
        .map(|[queries, targets]| Search {
            kernel,
            queries,
            targets,
            live,
            order,
            admit,
        })
        .collect();
    let began: Vec<(Vec<u32>, TopKHeaps)> = searches
        .iter()
        .zip(query_sets)
        .map(|(search, query_set)| search.begin(query_set.k, OPEN))
        .collect();
    scan::run(
        &searches
            .iter()
            .zip(&began)
            .map(|(search, (active, heaps))| search.scan(active, heaps))
            .collect::<Vec<_>>(),
    );
    searches
        .iter()
        .zip(began)
        .map(|(search, (active, heaps))| search.end(&active, heaps))
        .collect()
}

/// The search result of a row that will be added: the neighbours that its list consists of, and the
/// rows whose lists it enters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// The nearest, best first.
    pub nearest: Vec<Neighbor>,
    /// The rows whose k-distance reaches this row, in any order.
    pub reverse: Vec<Neighbor>,
}

/// [`nearest_by`], and the reverse neighbours of each query: the targets whose k-distance reaches
/// it. `k_distances` are squared distances by row, inclusive; rows past the end accept any
/// distance. For more than a few queries.
///
/// # Panics
/// As [`nearest`].
#[must_use]
pub fn nearest_and_reverse(
    query_set: QuerySet<'_>,
    targets: Planes<'_>,
    live: &Live<'_>,
    order: &dyn RowOrder,
    k_distances: &[u32],
) -> Vec<SearchResult> {
    let [queries, targets] = query_set.compared(targets);
    let search = Search {
        kernel: Kernel::best(),
        queries,
        targets,
        live,
        order,
        admit: &Admit::default(),
    };
    let (active, heaps) = search.begin(query_set.k, OPEN);
    let looks = Looks {
        k_distances,
        reverse: active.iter().map(|_| Mutex::default()).collect(),
    };
    search.join(&active, &heaps, Some(&looks));
    let mut results: Vec<SearchResult> = search
        .end(&active, heaps)
        .into_iter()
        .map(|nearest| SearchResult {
            nearest,
            reverse: Vec::new(),
        })
        .collect();
    for (&query, reverse) in active.iter().zip(looks.reverse) {
        results[query as usize].reverse =
            reverse.into_inner().unwrap_or_else(PoisonError::into_inner);
    }
    results
}

/// All targets of each query whose squared distance is at most `radius_squared`, best first: by
/// distance, then by `order`.
///
/// Who takes part, cost and memory are as with [`nearest`], with `k` the number found.
///
/// # Panics
/// As [`nearest`].
#[must_use]
pub fn within(
    queries: Planes<'_>,
    targets: Planes<'_>,
    live: &Live<'_>,
    radius_squared: u32,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    within_with(
        Kernel::best(),
        queries,
        targets,
        live,
        radius_squared,
        order,
        admit,
    )
}

/// [`within`] with a kernel of one's choice; the answer is the same.
///
/// # Panics
/// As [`nearest`].
#[must_use]
pub fn within_with(
    kernel: Kernel,
    queries: Planes<'_>,
    targets: Planes<'_>,
    live: &Live<'_>,
    radius_squared: u32,
    order: &dyn RowOrder,
    admit: &Admit<'_>,
) -> Vec<Vec<Neighbor>> {
    Search {
        kernel,
        queries,
        targets,
        live,
        order,
        admit,
    }
    .run(usize::MAX, radius_squared)
}

struct Search<'a> {
    kernel: Kernel,
    queries: Planes<'a>,
    targets: Planes<'a>,
    live: &'a Live<'a>,
    order: &'a dyn RowOrder,
    admit: &'a Admit<'a>,
}

impl<'a> Search<'a> {
    /// What each query keeps of what is within a radius, at most `k`.
    fn run(&self, k: usize, radius_squared: u32) -> Vec<Vec<Neighbor>> {
        let (active, heaps) = self.begin(k, radius_squared);
        if active.len() <= SOME {
            scan::run(&[self.scan(&active, &heaps)]);
        } else {
            self.join(&active, &heaps, None);
        }
        self.end(&active, heaps)
    }

    /// The queries that are not zero, and where they keep what they find.
    fn begin(&self, k: usize, radius_squared: u32) -> (Vec<u32>, TopKHeaps) {
        assert_eq!(
            self.queries.width(),
            self.targets.width(),
            "strides of queries and targets"
        );
        self.admit.assert_covers(self.queries.rows());
        self.queries.scanning_all();
        let active: Vec<u32> = (0..)
            .zip(self.queries.norms())
            .filter(|(_, norms)| !norms.is_zero())
            .map(|(row, _)| row)
            .collect();
        let heaps = TopKHeaps::new(active.len(), k, radius_squared);
        (active, heaps)
    }

    /// What each query found.
    fn end(&self, active: &[u32], heaps: TopKHeaps) -> Vec<Vec<Neighbor>> {
        let mut lists = vec![Vec::new(); self.queries.rows()];
        active
            .iter()
            .zip(heaps.into_sorted(self.order))
            .for_each(|(&query, list)| lists[query as usize] = list);
        lists
    }

    fn scan<'b>(&self, active: &'b [u32], heaps: &'b TopKHeaps) -> Scan<'b>
    where
        'a: 'b,
    {
        let Self {
            kernel,
            queries,
            targets,
            live,
            order,
            admit,
        } = *self;
        active.iter().for_each(|&query| queries.measuring(query));
        Scan {
            kernel,
            queries,
            active,
            targets,
            live,
            order,
            admit,
            heaps,
        }
    }

    fn join(&self, active: &[u32], heaps: &TopKHeaps, looks: Option<&Looks<'_>>) {
        self.targets.scanning_all();
        let rows = taking_part(&self.targets, self.live);
        let asked = JoinVisitor {
            active,
            rows: &rows,
            heaps,
            search: self,
            looks,
        };
        let course = Course::new(&|_, _| (), &|| false, pairs_among(0));
        let sides = (
            Side::new(self.queries, active),
            Side::new(self.targets, &rows),
        );
        if across(self.kernel, sides.0, sides.1, &asked, &course).is_err() {
            unreachable!("this course is never cancelled");
        }
    }
}

/// The k-distances of targets, by row, and the reverse neighbours that each active query has found
/// so far.
struct Looks<'a> {
    k_distances: &'a [u32],
    reverse: Vec<Mutex<Vec<Neighbor>>>,
}

impl Looks<'_> {
    fn k_distance(&self, row: u32) -> u32 {
        self.k_distances.get(row as usize).copied().unwrap_or(OPEN)
    }
}

/// Queries keep the best; what targets look at is only noted.
struct JoinVisitor<'a> {
    active: &'a [u32],
    rows: &'a [u32],
    heaps: &'a TopKHeaps,
    search: &'a Search<'a>,
    looks: Option<&'a Looks<'a>>,
}

impl PairVisitor for JoinVisitor<'_> {
    fn query_k_distance(&self, query: usize) -> u32 {
        self.heaps.k_distance(query)
    }

    fn target_k_distance(&self, target: usize) -> Option<u32> {
        self.looks.map(|looks| looks.k_distance(self.rows[target]))
    }

    fn admits(&self, query: usize, target: usize) -> bool {
        self.search
            .admit
            .admits(self.active[query] as usize, self.rows[target])
    }

    fn visit(&self, query: usize, target: usize, distance: u32) {
        let neighbor = Neighbor {
            row: self.rows[target],
            distance,
        };
        self.heaps.offer(query, neighbor, self.search.order);
        if let Some(looks) = self
            .looks
            .filter(|looks| distance <= looks.k_distance(neighbor.row))
        {
            looks.reverse[query]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(neighbor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::{
        oracle::{self, Lcg, Shuffled, bits, random_planes},
        planes::{Norms, OwnedPlanes},
    };
    use rayon::prelude::*;

    /// A random case, searched with every kernel and compared with the oracle.
    fn agrees(seed: u64, most_queries: u32, most_targets: u32) {
        let mut random = Lcg(seed);
        let columns = 1 + random.below(200) as usize;
        let all = random_planes(
            random.below(most_targets + 1) as usize,
            columns,
            &mut random,
        );
        let targets = all.as_planes();
        let own = random_planes(
            random.below(most_queries + 1) as usize,
            columns,
            &mut random,
        );
        let queries = if random.below(3) == 0 && targets.rows() <= most_queries as usize {
            targets
        } else {
            own.as_planes()
        };
        let live = bits(
            targets.rows(),
            [0, 2, 9][random.below(3) as usize],
            &mut random,
        );
        let order = Shuffled::new(targets.rows(), &mut random);
        let limits: Vec<u32> = (0..queries.rows())
            .map(|_| random.below(targets.rows() as u32 + 3))
            .collect();
        let excluded: Vec<Option<u32>> = (0..queries.rows() as u32)
            .map(|row| [None, Some(row), Some(0)][random.below(3) as usize])
            .collect();
        let admit = Admit {
            limits: (random.below(2) == 0).then_some(&limits[..]),
            excluded: (random.below(2) == 0).then_some(&excluded[..]),
        };
        let k = [0, 1, 3, 16, 400][random.below(5) as usize];
        let live = Live(&live);
        let nearest = oracle::nearest(&queries, &targets, &live, k, &order, &admit);
        let some = nearest
            .iter()
            .flatten()
            .nth(random.below(50) as usize)
            .map_or(5_000_000, |neighbor| neighbor.distance);
        let radius = [some, 0, u32::MAX][random.below(3) as usize];
        let within = oracle::within(&queries, &targets, &live, radius, &order, &admit);
        for kernel in Kernel::available() {
            assert_eq!(
                nearest_with(kernel, queries, targets, &live, k, &order, &admit),
                nearest,
                "{kernel:?}, seed {seed}"
            );
            assert_eq!(
                within_with(kernel, queries, targets, &live, radius, &order, &admit),
                within,
                "{kernel:?}, seed {seed}"
            );
        }
    }

    #[test]
    fn a_hundred_thousand_tiny_searches_find_what_the_oracle_finds() {
        (0..100_000)
            .into_par_iter()
            .for_each(|seed| agrees(100_000 + seed, 6, 14));
    }

    /// Some rows of `whole`, and the high bytes of their first columns as rows of their own. None
    /// that was not zero becomes zero, since the oracle would leave it out.
    fn cut(whole: Planes<'_>, rows: &[u32], columns: usize) -> [OwnedPlanes; 2] {
        let (mut all, mut high) = (OwnedPlanes::new(whole.stride()), OwnedPlanes::new(columns));
        for &row in rows {
            let mut values: Vec<i16> = whole.row(row).values().map(|v| v as i16).collect();
            if values.iter().any(|&v| v != 0) && values[0].abs() < 256 {
                values[0] = 256;
            }
            all.push(&values);
            high.push(
                &values[..columns]
                    .iter()
                    .map(|v| (v + 128) >> 8)
                    .collect::<Vec<_>>(),
            );
        }
        [all, high]
    }

    #[test]
    fn high_bytes_of_the_first_columns_find_what_the_oracle_finds_in_rows_of_these() {
        let mut random = Lcg(31);
        for (case, columns) in [0, 1, 64, 65, 100, 128, 300]
            .into_iter()
            .cycle()
            .take(210)
            .enumerate()
        {
            let whole = random_planes(
                1 + random.below(900) as usize,
                129 + random.below(70) as usize,
                &mut random,
            );
            let whole = whole.as_planes();
            let all: Vec<u32> = (0..whole.rows() as u32).collect();
            let asked: Vec<u32> = (0..[1, 2, 30, 90][case % 4])
                .map(|_| random.below(whole.rows() as u32))
                .collect();
            let few = crate::knn::stride_of(columns).min(whole.stride());
            let [[queries, few_queries], [targets, few_targets]] =
                [&asked, &all].map(|rows| cut(whole, rows, few));
            let (live, order) = (
                bits(all.len(), 3, &mut random),
                Shuffled::new(all.len(), &mut random),
            );
            let (live, admit) = (Live(&live), Admit::default());
            let expected = oracle::nearest(
                &few_queries.as_planes(),
                &few_targets.as_planes(),
                &live,
                3,
                &order,
                &admit,
            );
            let by = By::HighBytes { columns };
            let ask = |by: By, k: usize| QuerySet {
                queries: queries.as_planes(),
                by,
                k,
            };
            let found = nearest_by(ask(by, 3), targets.as_planes(), &live, &order, &admit);
            assert_eq!(found, expected, "case {case}");
            let together = nearest_together(
                &[ask(By::Values, 5), ask(by, 3)],
                targets.as_planes(),
                &live,
                &order,
            );
            assert_eq!(
                together[0],
                oracle::nearest(
                    &queries.as_planes(),
                    &targets.as_planes(),
                    &live,
                    5,
                    &order,
                    &admit
                ),
                "case {case}"
            );
            assert_eq!(together[1], expected, "case {case}");
            for kernel in Kernel::available() {
                let [queries, targets] =
                    [&queries, &targets].map(|planes| planes.as_planes().compared(by));
                assert_eq!(
                    nearest_with(kernel, queries, targets, &live, 3, &order, &admit),
                    expected,
                    "{kernel:?}, case {case}"
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "strides of queries and targets")]
    fn queries_of_another_dimension_are_refused_by_name() {
        let mut random = Lcg(1);
        let (queries, targets) = (
            random_planes(3, 64, &mut random),
            random_planes(9, 65, &mut random),
        );
        let _ = nearest(
            queries.as_planes(),
            targets.as_planes(),
            &Live(&[511]),
            3,
            &crate::knn::ByNumber,
            &Admit::default(),
        );
    }

    #[test]
    fn small_searches_find_what_the_oracle_finds() {
        (0..1_500).for_each(|seed| agrees(seed, 12, 60));
    }

    #[test]
    fn larger_searches_find_what_the_oracle_finds() {
        (0..150).for_each(|seed| agrees(10_000 + seed, 40, 300));
    }

    #[test]
    fn few_queries_find_what_the_oracle_finds_across_parts() {
        let mut random = Lcg(77);
        let planes = random_planes(40_000, 5, &mut random);
        let (targets, order) = (planes.as_planes(), Shuffled::new(40_000, &mut random));
        let live = bits(40_000, 7, &mut random);
        let queries = random_planes(3, 5, &mut random);
        let admit = Admit {
            limits: Some(&[40_000, 20_001, 3]),
            ..Admit::default()
        };
        let expected = oracle::nearest(
            &queries.as_planes(),
            &targets,
            &Live(&live),
            20,
            &order,
            &admit,
        );
        assert!(expected[0].len() == 20, "the case is not empty");
        for kernel in Kernel::available() {
            assert_eq!(
                nearest_with(
                    kernel,
                    queries.as_planes(),
                    targets,
                    &Live(&live),
                    20,
                    &order,
                    &admit
                ),
                expected
            );
        }
    }

    #[test]
    fn any_number_of_threads_finds_the_same() {
        let mut random = Lcg(8);
        let planes = random_planes(7_000, 20, &mut random);
        let (targets, order) = (planes.as_planes(), Shuffled::new(7_000, &mut random));
        let live = bits(7_000, 0, &mut random);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| nearest(targets, targets, &Live(&live), 5, &order, &Admit::default()))
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(4));
    }

    #[test]
    fn nothing_is_found_where_there_is_nothing() {
        let empty = OwnedPlanes::new(4);
        let found = nearest(
            empty.as_planes(),
            empty.as_planes(),
            &Live(&[]),
            3,
            &crate::knn::ByNumber,
            &Admit::default(),
        );
        assert!(found.is_empty());
        let mut zero = OwnedPlanes::new(4);
        zero.push(&[0; 4]);
        let found = nearest(
            zero.as_planes(),
            zero.as_planes(),
            &Live(&[1]),
            3,
            &crate::knn::ByNumber,
            &Admit::default(),
        );
        assert_eq!(found, [Vec::new()]);
    }

    #[test]
    fn rows_that_are_not_valid_never_panic() {
        let mut random = Lcg(12);
        for _ in 0..60 {
            let (rows, stride) = (
                random.below(90) as usize,
                64 * (1 + random.below(3) as usize),
            );
            let mut bytes = || -> Vec<i8> {
                (0..rows * stride)
                    .map(|_| [random.below(256) as u8 as i8, -128][random.below(2) as usize])
                    .collect()
            };
            let (high, low) = (bytes(), bytes());
            let norms: Vec<Norms> = (0..rows)
                .map(|_| Norms {
                    high: random.below(1 << 31) * 2 + 1,
                    low: random.below(1 << 31) * 2,
                })
                .collect();
            let planes = Planes::new(stride, &high, &low, &norms).unwrap();
            for kernel in Kernel::available() {
                let found = nearest_with(
                    kernel,
                    planes,
                    planes,
                    &Live(&[u64::MAX]),
                    5,
                    &crate::knn::ByNumber,
                    &Admit::default(),
                );
                assert!(
                    found.len() == rows && found.iter().flatten().all(|neighbor| neighbor.row < 64)
                );
            }
        }
    }
}
