//! A large sparse Laplacian → its smallest eigenvalues and their vectors.
//!
//! Lanczos 1950 with full reorthogonalisation (Golub and Van Loan, 4th ed., section 10.3; twice is
//! enough: Parlett 1980, section 6-9), and with restarts: one run sees of an eigenspace only what
//! its start has of it, so an eigenvalue that comes several times is found once a run. What a run
//! has found is locked, and further runs in its orthogonal complement go on until one brings
//! nothing below the k-th smallest.

use rayon::prelude::*;

use super::{Laplacian, dense};
use crate::{Error, Result, rrqr::dot};

/// Residual of a pair that is taken, as a share of the bound of the eigenvalues.
const CONVERGED: f64 = 1e-10;
/// Residual of the first pair that is too large to matter, likewise.
const SETTLED: f64 = 1e-6;
/// Values of a basis that fit into memory: 1 GiB.
const MOST_VALUES: usize = 1 << 27;
/// Values of a vector that one task works on.
const CHUNK: usize = 4_096;

/// An eigenvalue and its vector.
type Pair = (f64, Vec<f64>);

/// The `k` smallest eigenvalues of the symmetric operator, ascending, with orthonormal
/// eigenvectors.
pub(super) fn smallest(laplacian: &Laplacian, k: usize) -> Result<Vec<Pair>> {
    let n = laplacian.len();
    let mut found: Vec<Pair> = Vec::new();
    for seed in 0.. {
        let below = if found.len() < k {
            f64::INFINITY
        } else {
            found[k - 1].0 - laplacian.bound() * CONVERGED
        };
        let new = run(laplacian, &found, seed, k, below)?;
        let done = new.is_empty() || found.len() == n;
        found.extend(new);
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        if done && found.len() >= k {
            break;
        }
    }
    found.truncate(k);
    Ok(found)
}

/// Converged pairs of the orthogonal complement of those that are locked: the `want` smallest, or
/// all below a value.
fn run(
    laplacian: &Laplacian,
    locked: &[Pair],
    seed: u64,
    want: usize,
    below: f64,
) -> Result<Vec<Pair>> {
    let n = laplacian.len();
    let most = (n - locked.len()).min((MOST_VALUES / n.max(1)).saturating_sub(locked.len()));
    let want = want.min(n - locked.len());
    if want == 0 {
        return Ok(Vec::new());
    }
    let mut basis = vec![start(n, seed)];
    orthogonalise(&mut basis[0], locked.iter().map(|pair| &pair.1).collect());
    if normalise(&mut basis[0]) == 0.0 {
        return Ok(Vec::new());
    }
    let (mut diagonal, mut beside, mut look) =
        (Vec::new(), Vec::<f64>::new(), (2 * want + 20).min(most));
    loop {
        let step = diagonal.len();
        let mut next = vec![0.0; n];
        laplacian.apply(&basis[step], &mut next);
        diagonal.push(dot(&next, &basis[step]));
        orthogonalise(
            &mut next,
            locked.iter().map(|pair| &pair.1).chain(&basis).collect(),
        );
        let rest = normalise(&mut next);
        let invariant = rest <= laplacian.bound() * 1e-14;
        if step + 1 >= look || invariant {
            let (values, vectors) = dense::tridiagonal(&diagonal, &beside)?;
            let rest = if invariant { 0.0 } else { rest };
            let residual = |i: usize| rest * vectors[(step, i)].abs() / laplacian.bound();
            let converged = (0..values.len())
                .take_while(|&i| i < want && values[i] < below && residual(i) <= CONVERGED)
                .count();
            let enough = converged == want
                || values
                    .get(converged)
                    .is_some_and(|value| *value >= below && residual(converged) <= SETTLED);
            if enough || invariant || step + 1 == most {
                if !enough && !invariant && step + 1 < n - locked.len() {
                    return Err(Error::Numeric(format!(
                        "{want} eigenvalues of {n} did not settle in {} Lanczos steps",
                        step + 1
                    )));
                }
                return Ok((0..converged)
                    .map(|i| (values[i], combine(&basis, |j| vectors[(j, i)])))
                    .collect());
            }
            look = (look + look / 3).min(most);
        }
        beside.push(rest);
        basis.push(next);
    }
}

/// A vector without structure: the same for each seed.
pub(super) fn start(n: usize, seed: u64) -> Vec<f64> {
    (0..n as u64)
        .map(|i| (mixed(seed, i) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5)
        .collect()
}

/// A number without pattern for a seed and a place: the finaliser of SplitMix64 (Steele, Lea and
/// Flood 2014).
pub(super) fn mixed(seed: u64, place: u64) -> u64 {
    let mut z = (seed << 40)
        .wrapping_add(place)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Takes from a vector what it has of others, twice. Each product and each place is summed in one
/// order.
fn orthogonalise(vector: &mut [f64], others: Vec<&Vec<f64>>) {
    for _ in 0..2 {
        let along: Vec<f64> = others.par_iter().map(|other| dot(vector, other)).collect();
        vector
            .par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(chunk, part)| {
                for (other, along) in others.iter().zip(&along) {
                    part.iter_mut()
                        .zip(&other[chunk * CHUNK..])
                        .for_each(|(x, y)| *x -= along * y);
                }
            });
    }
}

/// Brings a vector to unit length, unless it is zero; its length before.
pub(super) fn normalise(vector: &mut [f64]) -> f64 {
    let norm = dot(vector, vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    norm
}

/// The sum of vectors, each with its factor, at unit length.
fn combine(basis: &[Vec<f64>], factor: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    let mut sum = vec![0.0; basis[0].len()];
    sum.par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, part)| {
            for (j, vector) in basis.iter().enumerate() {
                let factor = factor(j);
                part.iter_mut()
                    .zip(&vector[chunk * CHUNK..])
                    .for_each(|(x, y)| *x += factor * y);
            }
        });
    normalise(&mut sum);
    sum
}
