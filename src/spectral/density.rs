//! A Laplacian too large for all its eigenvalues → their distribution: the density of states.
//!
//! Stochastic Lanczos quadrature (Dong, Benson and Bindel 2019, section 3.2, "Gauss quadrature and
//! Lanczos"; Ubaru, Chen and Saad 2017): for a random vector z of signs, zᵀ f(L) z has the trace of
//! f(L) as its expectation; some Lanczos steps from z give a Gauss quadrature rule of it, with the
//! eigenvalues of the tridiagonal matrix as nodes and the squared first entries of its eigenvectors
//! as weights. The mean of several rules is a distribution near that of the eigenvalues. Without
//! reorthogonalisation: copies of a converged value share its weight. Every rule is computed by
//! itself with fixed signs, so the result is the same for any number of threads.

use rayon::prelude::*;

use super::{
    Laplacian, dense,
    lanczos::{mixed, normalise},
};
use crate::{Error, Result, monitor::Monitor, rrqr::dot};

/// Lanczos steps of a rule.
const STEPS: usize = 120;
/// Rules between two looks at the error, and at most.
const TOGETHER: usize = 8;
const MOST_RULES: usize = 256;
/// Places at which distributions are compared. Zero, and half the bound, lie in the middle between
/// two of them, since many eigenvalues may be there.
const EDGES: usize = 202;

/// A distribution of eigenvalues: nodes and weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Density {
    /// Values with their shares of all eigenvalues: ascending; the shares sum to 1.
    pub nodes: Vec<(f64, f64)>,
    /// Random vectors that were used.
    pub probes: usize,
    /// Twice the largest standard error of the cumulative distribution, over the vectors. Of the
    /// finite number of steps it knows nothing.
    pub error: f64,
    bound: f64,
}

impl Density {
    /// The share of eigenvalues up to a value.
    #[must_use]
    pub fn cumulative(&self, value: f64) -> f64 {
        self.nodes
            .iter()
            .take_while(|node| node.0 <= value)
            .map(|node| node.1)
            .sum::<f64>()
            .min(1.0)
    }

    /// The largest difference to the cumulative distribution of all `exact` eigenvalues, ascending,
    /// at 202 places: between −¼ % and 100¼ % of the bound of the eigenvalues.
    #[must_use]
    pub fn error_against(&self, exact: &[f64]) -> f64 {
        let of_exact = |edge: f64| {
            exact.partition_point(|value| *value <= edge) as f64 / exact.len().max(1) as f64
        };
        edges(self.bound)
            .map(|edge| (of_exact(edge) - self.cumulative(edge)).abs())
            .fold(0.0, f64::max)
    }
}

fn edges(bound: f64) -> impl Iterator<Item = f64> {
    (0..EDGES).map(move |i| (i as f64 - 0.5) / (EDGES - 2) as f64 * bound)
}

/// Estimates the distribution of the eigenvalues until its statistical error ([`Density::error`])
/// is at most `tolerance`, or 256 vectors were used. Cost: 120 applications of the Laplacian for
/// each.
///
/// # Errors
/// [`Error::Numeric`], [`Error::Interrupted`].
pub fn density(laplacian: &Laplacian, tolerance: f64, monitor: &dyn Monitor) -> Result<Density> {
    let (bound, mut rules) = (laplacian.bound(), Vec::new());
    if laplacian.is_empty() {
        return Ok(Density {
            nodes: Vec::new(),
            probes: 0,
            error: 0.0,
            bound,
        });
    }
    monitor.stage("estimating the spectrum", None);
    loop {
        let from = rules.len() as u64;
        let next: Vec<u64> = (from..from + TOGETHER as u64).collect();
        rules.par_extend(
            next.into_par_iter()
                .map(|seed| rule(laplacian, seed, monitor)),
        );
        if let Some(at) = rules.iter().position(Result::is_err) {
            return Err(rules.swap_remove(at).err().unwrap_or(Error::Interrupted));
        }
        let done: Vec<&Vec<(f64, f64)>> = rules.iter().flatten().collect();
        let error = standard_error(&done, bound);
        if error <= tolerance || rules.len() >= MOST_RULES {
            let share = (rules.len() as f64).recip();
            let mut nodes: Vec<(f64, f64)> = done
                .into_iter()
                .flatten()
                .map(|&(value, weight)| (value, weight * share))
                .collect();
            nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
            return Ok(Density {
                nodes,
                probes: rules.len(),
                error,
                bound,
            });
        }
    }
}

/// Twice the largest standard error of the mean of the rules' cumulative distributions.
fn standard_error(rules: &[&Vec<(f64, f64)>], bound: f64) -> f64 {
    let n = rules.len() as f64;
    let at_edge = |edge: f64| {
        let cumulative = |rule: &&Vec<(f64, f64)>| {
            rule.iter()
                .take_while(|node| node.0 <= edge)
                .map(|node| node.1)
                .sum::<f64>()
        };
        let values: Vec<f64> = rules.iter().map(cumulative).collect();
        let mean = values.iter().sum::<f64>() / n;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt()
    };
    2.0 * edges(bound).map(at_edge).fold(0.0, f64::max)
}

/// The Gauss rule of one vector: nodes, ascending, and weights that sum to 1.
fn rule(laplacian: &Laplacian, seed: u64, monitor: &dyn Monitor) -> Result<Vec<(f64, f64)>> {
    let n = laplacian.len();
    let mut vector: Vec<f64> = (0..n as u64)
        .map(|i| if mixed(seed, i) & 1 == 0 { 1.0 } else { -1.0 })
        .collect();
    normalise(&mut vector);
    let (mut before, mut next) = (vec![0.0; n], vec![0.0; n]);
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for step in 0..STEPS.min(n) {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        laplacian.apply(&vector, &mut next);
        let along = dot(&next, &vector);
        let back = beside.last().copied().unwrap_or(0.0);
        next.iter_mut()
            .zip(&vector)
            .zip(&before)
            .for_each(|((next, v), b)| *next -= along * v + back * b);
        diagonal.push(along);
        let rest = normalise(&mut next);
        if rest <= laplacian.bound() * 1e-12 || step + 1 == STEPS.min(n) {
            break;
        }
        beside.push(rest);
        std::mem::swap(&mut before, &mut vector);
        std::mem::swap(&mut vector, &mut next);
    }
    let (values, vectors) = dense::tridiagonal(&diagonal, &beside)?;
    Ok(values
        .into_iter()
        .enumerate()
        .map(|(i, value)| (value, vectors[(0, i)] * vectors[(0, i)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::Silent,
        spectral::{
            eigenpairs::tests::{KINDS, graph},
            eigenvalues,
        },
    };

    #[test]
    fn the_estimate_is_within_one_percent_of_the_exact_distribution() {
        for kind in KINDS {
            for (n, more) in [(400, 1), (1_200, 2), (1_200, 6)] {
                let laplacian = Laplacian::sparse(n, &graph(n, 1, more, 7), kind).unwrap();
                let estimate = density(&laplacian, 0.004, &Silent).unwrap();
                let error = estimate.error_against(&eigenvalues(&laplacian).unwrap());
                assert!(
                    error <= 0.01,
                    "{kind:?} {n} {more}: {error}, said {} with {} vectors",
                    estimate.error,
                    estimate.probes
                );
                assert!((estimate.nodes.iter().map(|node| node.1).sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn many_vectors_of_small_graphs_and_equal_eigenvalues_do_no_harm() {
        for n in [1, 2, 3, 30] {
            let complete: Vec<_> = (0..n)
                .flat_map(|i| (i + 1..n).map(move |j| (i, j, 1.0)))
                .collect();
            let laplacian = Laplacian::sparse(n as usize, &complete, KINDS[0]).unwrap();
            let estimate = density(&laplacian, 0.05, &Silent).unwrap();
            assert!(
                estimate.error_against(&eigenvalues(&laplacian).unwrap()) < 0.1,
                "{n}"
            );
        }
        assert_eq!(
            density(&Laplacian::sparse(0, &[], KINDS[0]).unwrap(), 0.01, &Silent)
                .unwrap()
                .cumulative(1.0),
            0.0
        );
    }

    #[test]
    fn the_same_graph_gives_the_same_bits_on_one_thread() {
        let laplacian = Laplacian::sparse(500, &graph(500, 1, 2, 1), KINDS[1]).unwrap();
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let alone = one.install(|| density(&laplacian, 0.01, &Silent).unwrap());
        assert_eq!(alone, density(&laplacian, 0.01, &Silent).unwrap());
    }
}
