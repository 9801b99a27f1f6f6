//! A Laplacian → its smallest eigenvalues and their eigenvectors, or all eigenvalues.

use faer::Mat;
use ndarray::Array2;

use super::{Laplacian, dense, lanczos};
use crate::{Error, Result};

/// Most vertices for which all eigenvalues are computed at once: 0.5 GB, and some minutes.
pub const MOST_DENSE: usize = 8_192;
/// Up to so many vertices the dense solver is the faster one however few pairs are asked for.
const SMALL: usize = 1_024;
/// Above that it is where more than one in so many pairs is asked for.
const FEW: usize = 12;

/// Eigenvalues and their eigenvectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigenpairs {
    /// Ascending; not negative.
    pub values: Vec<f64>,
    /// A column for each value, of unit length; orthogonal but for
    /// [`super::LaplacianKind::RandomWalk`]. Of the entries that are largest in size (to eight
    /// digits) the first one is positive. Of an eigenvalue that comes several times they are any
    /// basis of its space.
    pub vectors: Array2<f64>,
}

/// The `k` smallest eigenvalues of a Laplacian (all, where there are fewer) with eigenvectors.
///
/// Dense (O(n³)) for small graphs or many pairs, else Lanczos: O(n m²) for m steps, which depend on
/// the gaps. The residual of a pair is at most 10⁻¹⁰ of the largest eigenvalue possible.
///
/// # Errors
/// [`Error::Numeric`] where the iteration does not settle in the memory that it may use.
pub fn eigenpairs(laplacian: &Laplacian, k: usize) -> Result<Eigenpairs> {
    let n = laplacian.len();
    let k = k.min(n);
    if k == 0 {
        return Ok(Eigenpairs {
            values: Vec::new(),
            vectors: Array2::zeros((n, 0)),
        });
    }
    let (values, mut vectors) = if n <= SMALL || n <= MOST_DENSE && k > n / FEW {
        by_factorising(laplacian, k)?
    } else {
        by_lanczos(laplacian, k)?
    };
    let scale = laplacian.vector_scale();
    for mut vector in vectors.columns_mut() {
        if let Some(scale) = &scale {
            vector
                .iter_mut()
                .zip(scale)
                .for_each(|(x, scale)| *x *= scale);
            let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            vector /= norm;
        }
        let largest = vector
            .iter()
            .fold(0.0, |largest, x| f64::max(largest, x.abs()));
        let first = vector.iter().find(|x| x.abs() >= largest * (1.0 - 1e-8));
        if first.is_some_and(|x| *x < 0.0) {
            vector *= -1.0;
        }
    }
    Ok(Eigenpairs {
        values: values.into_iter().map(|value| value.max(0.0)).collect(),
        vectors,
    })
}

fn by_factorising(laplacian: &Laplacian, k: usize) -> Result<(Vec<f64>, Array2<f64>)> {
    let n = laplacian.len();
    let mut vectors = Mat::zeros(n, n);
    let mut values = dense::symmetric(laplacian.to_matrix().as_ref(), Some(vectors.as_mut()))?;
    values.truncate(k);
    Ok((
        values,
        Array2::from_shape_fn((n, k), |(i, j)| vectors[(i, j)]),
    ))
}

fn by_lanczos(laplacian: &Laplacian, k: usize) -> Result<(Vec<f64>, Array2<f64>)> {
    let pairs = lanczos::smallest(laplacian, k)?;
    let vectors = Array2::from_shape_fn((laplacian.len(), k), |(i, j)| pairs[j].1[i]);
    Ok((pairs.into_iter().map(|pair| pair.0).collect(), vectors))
}

/// All eigenvalues of a Laplacian, ascending, not negative. O(n³).
///
/// # Errors
/// [`Error::Input`] for more than [`MOST_DENSE`] vertices; [`Error::Numeric`].
pub fn eigenvalues(laplacian: &Laplacian) -> Result<Vec<f64>> {
    if laplacian.len() > MOST_DENSE {
        return Err(Error::Input(format!(
            "all eigenvalues of {} vertices are too many; {MOST_DENSE} at most, or estimate their density",
            laplacian.len()
        )));
    }
    if laplacian.is_empty() {
        return Ok(Vec::new());
    }
    let values = dense::symmetric(laplacian.to_matrix().as_ref(), None)?;
    Ok(values.into_iter().map(|value| value.max(0.0)).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::spectral::{LaplacianKind, lanczos::mixed};

    pub(crate) const KINDS: [LaplacianKind; 3] = [
        LaplacianKind::Unnormalized,
        LaplacianKind::Symmetric,
        LaplacianKind::RandomWalk,
    ];

    /// `n` vertices, each with an edge to the next and `more` to others by chance; the edges of
    /// each of `parts` stay in it.
    pub(crate) fn graph(n: usize, parts: usize, more: usize, seed: u64) -> Vec<(u32, u32, f64)> {
        let side = n / parts;
        let mut edges = Vec::new();
        for i in 0..(parts * side) as u64 {
            let (part, at) = (i / side as u64, i % side as u64);
            for m in 0..=more as u64 {
                let to = if m == 0 {
                    (at + 1) % side as u64
                } else {
                    mixed(seed + m, i) % side as u64
                };
                edges.push((
                    i.min(part * side as u64 + to) as u32,
                    i.max(part * side as u64 + to) as u32,
                    0.3 + (mixed(seed, i + m) % 7) as f64 / 10.0,
                ));
            }
        }
        edges.retain(|edge| edge.0 != edge.1);
        edges.sort_by_key(|edge| (edge.0, edge.1));
        edges.dedup_by_key(|edge| (edge.0, edge.1));
        edges
    }

    fn check(laplacian: &Laplacian, pairs: &Eigenpairs) {
        let matrix = laplacian.to_matrix();
        let n = laplacian.len();
        for (j, value) in pairs.values.iter().enumerate() {
            let vector = pairs.vectors.column(j);
            assert!((vector.dot(&vector) - 1.0).abs() < 1e-10);
            // D x for the random walk: L_rw x = λ x is (D − W) x = λ D x.
            let scale = laplacian.vector_scale().unwrap_or_else(|| vec![1.0; n]);
            for i in 0..n {
                let product: f64 = (0..n).map(|k| matrix[(i, k)] * vector[k] / scale[k]).sum();
                assert!(
                    (product - value * vector[i] / scale[i]).abs()
                        < 1e-8 * laplacian.bound().max(1.0) / scale[i],
                    "{j} {i}"
                );
            }
            assert!(
                vector[(0..n)
                    .max_by(|&a, &b| vector[a].abs().total_cmp(&vector[b].abs()))
                    .unwrap()]
                .abs()
                    > 0.0
            );
        }
        assert!(pairs.values.is_sorted() && pairs.values[0] >= 0.0);
    }

    #[test]
    fn pairs_satisfy_their_equation_and_there_is_a_zero_for_every_component() {
        for kind in KINDS {
            for (n, parts) in [(1, 1), (7, 1), (40, 4), (41, 4)] {
                let laplacian = Laplacian::sparse(n, &graph(n, parts, 1, 3), kind).unwrap();
                let pairs = eigenpairs(&laplacian, n + 5).unwrap();
                check(&laplacian, &pairs);
                let zeros = pairs.values.iter().filter(|value| **value < 1e-10).count();
                assert_eq!(zeros, laplacian.components().len());
                let all = eigenvalues(&laplacian).unwrap();
                assert!(
                    all.iter()
                        .zip(&pairs.values)
                        .all(|(a, b)| (a - b).abs() < 1e-10)
                        && all.len() == n
                );
            }
        }
    }

    #[test]
    fn lanczos_finds_what_the_dense_solver_finds_also_values_that_come_several_times() {
        for kind in KINDS {
            // Six parts that are alike: every eigenvalue comes six times.
            let one = graph(50, 1, 2, 9);
            let alike: Vec<_> = (0..6)
                .flat_map(|p| {
                    one.iter()
                        .map(move |&(a, b, w)| (a + 50 * p, b + 50 * p, w))
                })
                .collect();
            for (n, edges) in [
                (300, graph(300, 1, 2, 5)),
                (300, alike),
                (200, graph(200, 2, 3, 6)),
            ] {
                let laplacian = Laplacian::sparse(n, &edges, kind).unwrap();
                let (slow, _) = by_factorising(&laplacian, 10).unwrap();
                let (fast, vectors) = by_lanczos(&laplacian, 10).unwrap();
                for (a, b) in slow.iter().zip(&fast) {
                    assert!(
                        (a - b).abs() < 1e-9 * laplacian.bound(),
                        "{kind:?}: {slow:?} {fast:?}"
                    );
                }
                let gram = vectors.t().dot(&vectors);
                assert!(
                    gram.indexed_iter()
                        .all(|((i, j), v)| (v - f64::from(u8::from(i == j))).abs() < 1e-9)
                );
            }
        }
    }

    #[test]
    fn the_zero_vector_of_the_random_walk_is_constant_and_signs_are_fixed() {
        let laplacian =
            Laplacian::sparse(30, &graph(30, 1, 1, 4), LaplacianKind::RandomWalk).unwrap();
        let pairs = eigenpairs(&laplacian, 3).unwrap();
        assert!(
            pairs
                .vectors
                .column(0)
                .iter()
                .all(|x| (x - 30_f64.sqrt().recip()).abs() < 1e-10)
        );
        for vector in pairs.vectors.columns() {
            let largest = vector.iter().fold(0.0, |l, x| f64::max(l, x.abs()));
            assert!(
                *vector
                    .iter()
                    .find(|x| x.abs() >= largest * (1.0 - 1e-8))
                    .unwrap()
                    > 0.0
            );
        }
    }

    #[test]
    fn complete_and_empty_graphs_have_the_values_of_the_textbook() {
        let complete: Vec<_> = (0..20)
            .flat_map(|i| (i + 1..20).map(move |j| (i, j, 1.0)))
            .collect();
        let values =
            eigenvalues(&Laplacian::sparse(20, &complete, LaplacianKind::Unnormalized).unwrap())
                .unwrap();
        assert!(values[0] < 1e-12 && values[1..].iter().all(|value| (value - 20.0).abs() < 1e-10));
        let empty = Laplacian::sparse(1_500, &[], LaplacianKind::Symmetric).unwrap();
        let pairs = eigenpairs(&empty, 4).unwrap();
        assert_eq!(
            (pairs.values, pairs.vectors.dim()),
            (vec![0.0; 4], (1_500, 4))
        );
        assert_eq!(
            eigenpairs(
                &Laplacian::sparse(0, &[], LaplacianKind::Symmetric).unwrap(),
                4
            )
            .unwrap()
            .values
            .len(),
            0
        );
        assert!(matches!(
            eigenvalues(&Laplacian::sparse(9_000, &[], LaplacianKind::Symmetric).unwrap()),
            Err(Error::Input(_))
        ));
    }
}
