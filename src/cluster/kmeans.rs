//! Points → k clusters of small inertia: Lloyd's iteration from k-means++ centres, with bounds that
//! leave the answer as it is.
//!
//! Lloyd 1982, "Least squares quantization in PCM": assign each point to its nearest centre, move
//! each centre to the mean of its points, until nothing changes. Most distances need not be known
//! for that (Hamerly 2010, "Making k-means even faster", section 3): a point keeps its centre while
//! an upper bound of the distance to it is under a lower bound of the distance to all others, and
//! moving centres change the bounds by no more than they move. A point whose own centre stands
//! still is compared with those that moved only: with nearly as many clusters as points
//! (Yousefzadeh 2020, section 6.1: 47,000 of 50,000) most centres are points of their own and never
//! move.
//!
//! Distances are exact ([`super::nearest`]); ties go to the centre that was drawn earlier. A
//! cluster that loses all of its points is given the point farthest from its centre (of equals the
//! first), as long as that lies apart from its centre. The same seed gives the same clusters for
//! any number of threads.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{
    Clustering,
    nearest::{Found, Rows, nearest, squared_distance},
    random::Numbers,
    seeding::{Near, plus_plus},
};
use crate::{
    error::{Error, Result},
    monitor::Monitor,
};

/// Passes after which it ends in any case.
const MOST_PASSES: usize = 100;
/// More than rounding can add to or take from a distance.
const ROUNDING: f64 = 1e-12;

/// What k-means found.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// The cluster of each point.
    pub clusters: Clustering,
    /// The squared distance of each point to the centre of its cluster.
    pub squared: Vec<f64>,
    /// Passes of Lloyd's iteration.
    pub passes: usize,
    /// Whether the last pass changed nothing.
    pub converged: bool,
}

impl KMeans {
    /// The sum of all squared distances: what k-means makes small.
    #[must_use]
    pub fn inertia(&self) -> f64 {
        self.squared.iter().sum()
    }
}

/// Clusters the rows of `points` into `k` clusters, or fewer if there are not so many different
/// rows. Nearest centres are found fastest where the mean of the rows is about zero.
///
/// O(n k d) for the seeding, mostly in one matrix product, and at most that for each pass.
///
/// # Errors
/// [`Error::Input`] unless 0 < k < n and there are columns; [`Error::Numeric`] for a value that is
/// not finite; [`Error::Interrupted`].
pub fn kmeans(
    points: ArrayView2<'_, f32>,
    k: usize,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<KMeans> {
    let rows = checked(points, k)?;
    monitor.stage("drawing centres", None);
    let (drawn, near) = plus_plus(&rows, k, &mut Numbers::new(seed));
    let mut lloyd = Lloyd::new(&rows, &drawn, &near);
    monitor.stage("moving centres", None);
    let (mut passes, mut converged) = (0, false);
    while passes < MOST_PASSES && !converged {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        converged = lloyd.pass() == 0;
        passes += 1;
        monitor.advance(1);
    }
    let squared = (0..rows.len())
        .into_par_iter()
        .map(|i| lloyd.squared(i))
        .collect();
    Ok(KMeans {
        clusters: Clustering::new(&lloyd.own),
        squared,
        passes,
        converged,
    })
}

/// Refuses a number of clusters that makes no sense.
pub(crate) fn check_number(n: usize, k: usize) -> Result<()> {
    let most = n.saturating_sub(1);
    if k > 0 && k < n {
        Ok(())
    } else {
        Err(Error::Input(format!(
            "{k} clusters of {n} images would be of no use: ask for 1 to {most}"
        )))
    }
}

/// The points as they are searched.
fn checked(points: ArrayView2<'_, f32>, k: usize) -> Result<Rows> {
    let (n, d) = points.dim();
    check_number(n, k)?;
    if d == 0 {
        return Err(Error::Input(
            "there is no column to cluster by: all images are equal".into(),
        ));
    }
    let values: Vec<f32> = points.iter().copied().collect();
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::Numeric(format!(
            "row {}, column {} to be clustered is not a finite number",
            at / d,
            at % d
        )));
    }
    Ok(Rows::new(d, values))
}

/// The state between two passes.
struct Lloyd<'a> {
    points: &'a Rows,
    centres: Rows,
    own: Vec<u32>,
    /// Upper bound of the distance to the own centre.
    upper: Vec<f64>,
    /// Lower bound of the distance to all others.
    lower: Vec<f64>,
}

/// How far centres moved in a pass.
struct Moves {
    by: Vec<f64>,
    /// Those that moved, ascending.
    moved: Vec<u32>,
    /// The centre that moved most, and how far that one and all others did.
    most: (u32, f64, f64),
}

impl Moves {
    fn new(by: Vec<f64>) -> Self {
        let moved = (0..)
            .zip(&by)
            .filter(|(_, by)| **by > 0.0)
            .map(|(centre, _)| centre)
            .collect();
        let most = (0..)
            .zip(&by)
            .fold((0, 0.0, 0.0), |most: (u32, f64, f64), (centre, &by)| {
                if by > most.1 {
                    (centre, by, most.1)
                } else {
                    (most.0, most.1, most.2.max(by))
                }
            });
        Self { by, moved, most }
    }

    /// How far any but this one moved at most.
    fn of_others(&self, centre: u32) -> f64 {
        if centre == self.most.0 {
            self.most.2
        } else {
            self.most.1
        }
    }
}

impl<'a> Lloyd<'a> {
    fn new(points: &'a Rows, drawn: &[u32], near: &[Near]) -> Self {
        Self {
            points,
            centres: points.select(drawn),
            own: near.iter().map(|near| near.centre).collect(),
            upper: near
                .iter()
                .map(|near| near.squared.sqrt() * (1.0 + ROUNDING))
                .collect(),
            lower: near
                .iter()
                .map(|near| near.others.sqrt() * (1.0 - ROUNDING))
                .collect(),
        }
    }

    fn squared(&self, point: usize) -> f64 {
        squared_distance(
            self.points.row(point as u32),
            self.centres.row(self.own[point]),
        )
    }

    /// Moves the centres and assigns the points; the number of points that came to another centre.
    fn pass(&mut self) -> usize {
        let given = self.give_to_empty();
        let moves = self.move_centres();
        let (mut all, mut some) = (Vec::new(), Vec::new());
        for point in 0..self.own.len() {
            let own = self.own[point];
            let stands = moves.by[own as usize] == 0.0;
            self.upper[point] += moves.by[own as usize];
            let before = self.lower[point];
            self.lower[point] = (before - moves.of_others(own)).max(0.0);
            if self.upper[point] < self.lower[point] {
                continue;
            }
            self.upper[point] = self.squared(point).sqrt() * (1.0 + ROUNDING);
            if self.upper[point] < self.lower[point] {
                continue;
            }
            if stands {
                // Centres that did not move are as far as they were.
                some.push(point as u32);
                self.lower[point] = before;
            } else {
                all.push(point as u32);
            }
        }
        given + self.search_all(&all) + self.search_moved(&some, &moves.moved)
    }

    /// The nearest of all centres.
    fn search_all(&mut self, asked: &[u32]) -> usize {
        let found = nearest(
            self.points,
            asked,
            &vec![f64::INFINITY; asked.len()],
            &self.centres,
        );
        let mut changed = 0;
        for (&point, found) in asked.iter().zip(found) {
            let Some((centre, squared)) = found.nearest else {
                continue;
            };
            changed += self.assign(point as usize, centre, squared, found.others.sqrt());
        }
        changed
    }

    /// The nearest of the own centre, which stands still, and of those that moved; what is known of
    /// the others holds.
    fn search_moved(&mut self, asked: &[u32], moved: &[u32]) -> usize {
        if moved.is_empty() {
            return 0;
        }
        let known: Vec<f64> = asked
            .par_iter()
            .map(|&point| self.squared(point as usize))
            .collect();
        let found = nearest(self.points, asked, &known, &self.centres.select(moved));
        let mut changed = 0;
        for ((&point, known), Found { nearest, others }) in asked.iter().zip(known).zip(found) {
            let (point, own) = (point as usize, self.own[point as usize]);
            let lower = self.lower[point];
            changed += match nearest.map(|(place, squared)| (moved[place as usize], squared)) {
                Some((centre, squared)) if (squared, centre) < (known, own) => self.assign(
                    point,
                    centre,
                    squared,
                    lower.min(known.sqrt()).min(others.sqrt()),
                ),
                Some((_, squared)) => self.assign(point, own, known, lower.min(squared.sqrt())),
                None => self.assign(point, own, known, lower.min(others.sqrt())),
            };
        }
        changed
    }

    /// 1 if that is another centre than before.
    fn assign(&mut self, point: usize, centre: u32, squared: f64, lower: f64) -> usize {
        self.upper[point] = squared.sqrt() * (1.0 + ROUNDING);
        self.lower[point] = lower * (1.0 - ROUNDING);
        usize::from(std::mem::replace(&mut self.own[point], centre) != centre)
    }

    /// Gives each centre without points the point that lies farthest from its own centre; how many
    /// were given.
    fn give_to_empty(&mut self) -> usize {
        let mut sizes = vec![0usize; self.centres.len()];
        self.own.iter().for_each(|&own| sizes[own as usize] += 1);
        let empty: Vec<u32> = (0..)
            .zip(&sizes)
            .filter(|(_, size)| **size == 0)
            .map(|(centre, _)| centre)
            .collect();
        if empty.is_empty() {
            return 0;
        }
        let far = (0..self.own.len())
            .into_par_iter()
            .map(|point| (self.squared(point), point as u32));
        let mut far: Vec<(f64, u32)> = far.filter(|(squared, _)| *squared > 0.0).collect();
        far.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut empty = empty.into_iter();
        let mut given = 0;
        for (_, point) in far {
            let old = self.own[point as usize];
            // The last point of a cluster stays: giving it away would leave that one empty.
            if sizes[old as usize] == 1 {
                continue;
            }
            let Some(centre) = empty.next() else { break };
            sizes[old as usize] -= 1;
            self.own[point as usize] = centre;
            self.lower[point as usize] = 0.0;
            given += 1;
        }
        given
    }

    /// Each centre to the mean of its points.
    fn move_centres(&mut self) -> Moves {
        let members = Members::of(&self.own, self.centres.len());
        let mean = |centre: usize| -> Option<Vec<f32>> {
            let of = members.of_cluster(centre);
            let mut sums = vec![0.0f64; self.points.columns];
            for &point in of {
                sums.iter_mut()
                    .zip(self.points.row(point))
                    .for_each(|(sum, &value)| *sum += f64::from(value));
            }
            let mean: Vec<f32> = sums
                .into_iter()
                .map(|sum| (sum / of.len() as f64) as f32)
                .collect();
            (!of.is_empty() && mean != self.centres.row(centre as u32)).then_some(mean)
        };
        let means: Vec<Option<Vec<f32>>> =
            (0..self.centres.len()).into_par_iter().map(mean).collect();
        let mut by = vec![0.0; means.len()];
        for (centre, mean) in means.into_iter().enumerate() {
            let Some(mean) = mean else { continue };
            by[centre] =
                squared_distance(&mean, self.centres.row(centre as u32)).sqrt() * (1.0 + ROUNDING);
            self.centres.set(centre as u32, &mean);
        }
        Moves::new(by)
    }
}

/// The points of each cluster, ascending.
struct Members {
    starts: Vec<usize>,
    points: Vec<u32>,
}

impl Members {
    fn of(own: &[u32], clusters: usize) -> Self {
        let mut starts = vec![0usize; clusters + 1];
        own.iter()
            .for_each(|&cluster| starts[cluster as usize + 1] += 1);
        (0..clusters).for_each(|cluster| starts[cluster + 1] += starts[cluster]);
        let (mut next, mut points) = (starts.clone(), vec![0; own.len()]);
        for (point, &cluster) in (0..).zip(own) {
            points[next[cluster as usize]] = point;
            next[cluster as usize] += 1;
        }
        Self { starts, points }
    }

    fn of_cluster(&self, cluster: usize) -> &[u32] {
        &self.points[self.starts[cluster]..self.starts[cluster + 1]]
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{cluster::adjusted_rand_index, monitor::Silent};

    /// Every distance measured in every pass.
    fn slow(rows: &Rows, drawn: &[u32]) -> (Vec<u32>, usize) {
        let nothing = Near {
            centre: 0,
            squared: 0.0,
            others: 0.0,
        };
        let mut lloyd = Lloyd::new(rows, drawn, &vec![nothing; rows.len()]);
        let assign = |lloyd: &mut Lloyd<'_>| {
            let mut changed = 0;
            for point in 0..rows.len() {
                let to = |centre: u32| {
                    squared_distance(rows.row(point as u32), lloyd.centres.row(centre))
                };
                let best = (0..lloyd.centres.len() as u32)
                    .min_by(|&a, &b| to(a).total_cmp(&to(b)).then(a.cmp(&b)))
                    .unwrap();
                changed += usize::from(lloyd.own[point] != best);
                lloyd.own[point] = best;
            }
            changed
        };
        assign(&mut lloyd);
        for pass in 1..=MOST_PASSES {
            let given = lloyd.give_to_empty();
            lloyd.move_centres();
            if assign(&mut lloyd) + given == 0 {
                return (lloyd.own, pass);
            }
        }
        (lloyd.own, MOST_PASSES)
    }

    fn random(n: usize, d: usize, span: usize, numbers: &mut Numbers) -> Array2<f32> {
        Array2::from_shape_simple_fn((n, d), || numbers.below(span) as f32)
    }

    #[test]
    fn bounds_change_nothing_of_what_lloyd_finds() {
        for seed in 0..120 {
            let mut numbers = Numbers::new(seed);
            let (n, d) = (2 + numbers.below(220), 1 + numbers.below(12));
            let points = random(n, d, [4, 30, 100_000][seed as usize % 3], &mut numbers);
            let k = 1 + numbers.below(n - 1);
            let found = kmeans(points.view(), k, seed, &Silent).unwrap();
            let rows = checked(points.view(), k).unwrap();
            let (drawn, _) = plus_plus(&rows, k, &mut Numbers::new(seed));
            let (own, passes) = slow(&rows, &drawn);
            assert_eq!(
                (&found.clusters, found.passes),
                (&Clustering::new(&own), passes),
                "seed {seed}: {n} × {d}, k {k}"
            );
        }
    }

    #[test]
    fn any_number_of_threads_finds_the_same() {
        let points = random(900, 20, 1_000, &mut Numbers::new(3));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| kmeans(points.view(), 70, 5, &Silent).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn well_separated_clusters_are_found_and_inertia_is_the_spread_inside() {
        let mut numbers = Numbers::new(8);
        let truth: Vec<u32> = (0..300).map(|i| i % 5).collect();
        let points = Array2::from_shape_fn((300, 4), |(i, j)| {
            (truth[i] * 1_000 * (j as u32 % 2 + 1)) as f32 + numbers.unit() as f32
        });
        let found = kmeans(points.view(), 5, 1, &Silent).unwrap();
        assert_eq!(adjusted_rand_index(found.clusters.own(), &truth), 1.0);
        assert!(
            found.converged
                && found.inertia() < 300.0 * 4.0 * 0.1
                && found.inertia() > 300.0 * 4.0 * 0.06,
            "{}",
            found.inertia()
        );
    }

    #[test]
    fn equal_points_are_one_cluster_and_senseless_requests_are_refused() {
        let equal = Array2::from_elem((9, 3), 7.0f32);
        assert_eq!(
            kmeans(equal.view(), 4, 0, &Silent)
                .unwrap()
                .clusters
                .count(),
            1
        );
        for k in [0, 9, 10] {
            assert!(
                matches!(kmeans(equal.view(), k, 0, &Silent), Err(Error::Input(what)) if what.contains("ask for 1 to 8"))
            );
        }
        let mut spoilt = equal.clone();
        spoilt[[4, 1]] = f32::NAN;
        assert!(
            matches!(kmeans(spoilt.view(), 2, 0, &Silent), Err(Error::Numeric(what)) if what.contains("row 4, column 1"))
        );
        assert!(matches!(
            kmeans(Array2::zeros((5, 0)).view(), 2, 0, &Silent),
            Err(Error::Input(_))
        ));
    }
}
