//! Similarities or edges → the graph Laplacian as a symmetric operator.
//!
//! Von Luxburg 2007, section 3: with weights W ≥ 0 and degrees D = diag(Σⱼ wᵢⱼ), L = D − W is the
//! unnormalised, L_sym = I − D^(−½) W D^(−½) the symmetric and L_rw = I − D⁻¹ W the random-walk
//! Laplacian. L_rw has the eigenvalues of L_sym, and D^(−½) times its eigenvectors (Proposition 3),
//! so both are kept as L_sym. A vertex without edges is a component of its own: its row is zero in
//! all three, so that zero is an eigenvalue once for each component.
//!
//! Similarities may be negative (SSIM is). The papers do not say what becomes of these; the theory
//! needs weights that are not, so a negative similarity is no edge here. No vertex has an edge to
//! itself: the diagonal does not matter.

use std::str::FromStr;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::{Error, Result};

/// Which Laplacian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaplacianKind {
    /// D − W: eigenvalues in [0, 2 · the largest degree].
    Unnormalized,
    /// I − D^(−½) W D^(−½): eigenvalues in [0, 2].
    Symmetric,
    /// I − D⁻¹ W: eigenvalues in [0, 2].
    RandomWalk,
}

impl LaplacianKind {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unnormalized => "unnormalized",
            Self::Symmetric => "symmetric",
            Self::RandomWalk => "random-walk",
        }
    }
}

impl FromStr for LaplacianKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let kinds = [Self::Unnormalized, Self::Symmetric, Self::RandomWalk];
        let found = kinds.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            Error::Input(format!(
                "`{text}` is no Laplacian; there are unnormalized, symmetric and random-walk"
            ))
        })
    }
}

/// The graph Laplacian of n vertices.
#[derive(Debug, Clone)]
pub struct Laplacian {
    kind: LaplacianKind,
    degrees: Vec<f64>,
    /// The diagonal of the symmetric operator.
    diagonal: Vec<f64>,
    /// What is subtracted from it, scaled where the kind says so.
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    Dense(Array2<f64>),
    Sparse(Rows),
}

/// Rows of a sparse matrix, one after another, each by ascending column.
#[derive(Debug, Clone, Default)]
struct Rows {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Rows {
    fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[i]..self.starts[i + 1];
        self.columns[range.clone()]
            .iter()
            .zip(&self.values[range])
            .map(|(&column, &value)| (column as usize, value))
    }

    /// The rows of entries (row, column, value), each place at most once.
    fn of(n: usize, mut entries: Vec<(u32, u32, f64)>) -> Self {
        entries.par_sort_unstable_by_key(|&(row, column, _)| (row, column));
        let mut starts = vec![0; n + 1];
        entries
            .iter()
            .for_each(|&(row, ..)| starts[row as usize + 1] += 1);
        (0..n).for_each(|i| starts[i + 1] += starts[i]);
        Self {
            starts,
            columns: entries.iter().map(|e| e.1).collect(),
            values: entries.iter().map(|e| e.2).collect(),
        }
    }
}

impl Laplacian {
    /// Of a symmetric matrix of similarities; negative values count as no edge, and the diagonal
    /// does not count.
    ///
    /// # Errors
    /// [`Error::Numeric`] where a value is not finite or the matrix not symmetric.
    ///
    /// # Panics
    /// If the matrix is not square.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a view is a reference already"
    )]
    pub fn dense(similarities: ArrayView2<'_, f32>, kind: LaplacianKind) -> Result<Self> {
        let n = similarities.nrows();
        assert_eq!(
            n,
            similarities.ncols(),
            "similarities of vertices with themselves"
        );
        let mut weights = Array2::zeros((n, n));
        for ((i, j), &value) in similarities.indexed_iter() {
            if !value.is_finite()
                || value.to_bits() != similarities[[j, i]].to_bits()
                    && value != similarities[[j, i]]
            {
                return Err(Error::Numeric(format!(
                    "the similarity of {i} and {j} is not finite or not symmetric"
                )));
            }
            weights[[i, j]] = if i == j {
                0.0
            } else {
                f64::from(value.max(0.0))
            };
        }
        let degrees = weights.rows().into_iter().map(|row| row.sum()).collect();
        Ok(Self::scaled(kind, degrees, Weights::Dense(weights)))
    }

    /// Of edges between `n` vertices: two vertices and a weight, each pair once, in any order.
    ///
    /// # Errors
    /// [`Error::Numeric`] where a weight is negative or not finite.
    ///
    /// # Panics
    /// If an edge leads to no vertex or back to its own, or a pair comes twice.
    pub fn sparse(n: usize, edges: &[(u32, u32, f64)], kind: LaplacianKind) -> Result<Self> {
        if let Some((a, b, weight)) = edges
            .iter()
            .find(|edge| !edge.2.is_finite() || edge.2 < 0.0)
        {
            return Err(Error::Numeric(format!(
                "the edge of {a} and {b} has the weight {weight}"
            )));
        }
        assert!(
            edges
                .iter()
                .all(|&(a, b, _)| a != b && (a.max(b) as usize) < n),
            "edges lead from one vertex to another"
        );
        let kept = edges.iter().filter(|edge| edge.2 > 0.0);
        let rows = Rows::of(
            n,
            kept.flat_map(|&(a, b, weight)| [(a, b, weight), (b, a, weight)])
                .collect(),
        );
        let twice = (0..n).any(|i| {
            rows.columns[rows.starts[i]..rows.starts[i + 1]]
                .windows(2)
                .any(|pair| pair[0] == pair[1])
        });
        assert!(!twice, "each pair once");
        let degrees = (0..n)
            .map(|i| rows.row(i).map(|(_, weight)| weight).sum())
            .collect();
        Ok(Self::scaled(kind, degrees, Weights::Sparse(rows)))
    }

    fn scaled(kind: LaplacianKind, degrees: Vec<f64>, mut weights: Weights) -> Self {
        if kind == LaplacianKind::Unnormalized {
            return Self {
                kind,
                diagonal: degrees.clone(),
                degrees,
                weights,
            };
        }
        let scale: Vec<f64> = degrees
            .iter()
            .map(|&degree| {
                if degree > 0.0 {
                    degree.sqrt().recip()
                } else {
                    0.0
                }
            })
            .collect();
        match &mut weights {
            Weights::Dense(weights) => weights
                .indexed_iter_mut()
                .for_each(|((i, j), weight)| *weight *= scale[i] * scale[j]),
            Weights::Sparse(rows) => {
                for i in 0..degrees.len() {
                    let range = rows.starts[i]..rows.starts[i + 1];
                    let entries = rows.columns[range.clone()]
                        .iter()
                        .zip(&mut rows.values[range]);
                    entries
                        .for_each(|(&column, weight)| *weight *= scale[i] * scale[column as usize]);
                }
            }
        }
        let diagonal = degrees
            .iter()
            .map(|&degree| f64::from(u8::from(degree > 0.0)))
            .collect();
        Self {
            kind,
            degrees,
            diagonal,
            weights,
        }
    }

    /// n: its vertices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.degrees.len()
    }

    /// Whether there are no vertices.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.degrees.is_empty()
    }

    /// Which Laplacian it is.
    #[must_use]
    pub fn kind(&self) -> LaplacianKind {
        self.kind
    }

    /// The sum of the weights at each vertex.
    #[must_use]
    pub fn degrees(&self) -> &[f64] {
        &self.degrees
    }

    /// A bound of its eigenvalues (von Luxburg 2007, Proposition 3; Gershgorin).
    #[must_use]
    pub fn bound(&self) -> f64 {
        match self.kind {
            LaplacianKind::Unnormalized => 2.0 * self.degrees.iter().copied().fold(0.0, f64::max),
            _ => 2.0,
        }
    }

    /// Writes the symmetric operator times `x` to `out`. O(n²), or O(edges).
    pub(super) fn apply(&self, x: &[f64], out: &mut [f64]) {
        let row = |(i, out): (usize, &mut f64)| {
            let sum = match &self.weights {
                Weights::Dense(weights) => weights
                    .row(i)
                    .iter()
                    .zip(x)
                    .map(|(weight, x)| weight * x)
                    .sum::<f64>(),
                Weights::Sparse(rows) => rows.row(i).map(|(j, weight)| weight * x[j]).sum(),
            };
            *out = self.diagonal[i] * x[i] - sum;
        };
        out.iter_mut().enumerate().for_each(row);
    }

    /// The symmetric operator as a matrix.
    pub(super) fn to_matrix(&self) -> faer::Mat<f64> {
        let n = self.len();
        let mut matrix = faer::Mat::zeros(n, n);
        for i in 0..n {
            match &self.weights {
                Weights::Dense(weights) => (0..n).for_each(|j| matrix[(i, j)] = -weights[[i, j]]),
                Weights::Sparse(rows) => {
                    rows.row(i).for_each(|(j, weight)| matrix[(i, j)] = -weight);
                }
            }
            matrix[(i, i)] = self.diagonal[i];
        }
        matrix
    }

    /// What eigenvectors of the symmetric operator are multiplied by, at each vertex.
    pub(super) fn vector_scale(&self) -> Option<Vec<f64>> {
        let scale = |&degree: &f64| {
            if degree > 0.0 {
                degree.sqrt().recip()
            } else {
                1.0
            }
        };
        (self.kind == LaplacianKind::RandomWalk).then(|| self.degrees.iter().map(scale).collect())
    }

    fn neighbours(&self, i: usize) -> Vec<usize> {
        match &self.weights {
            Weights::Dense(weights) => weights
                .row(i)
                .indexed_iter()
                .filter(|(_, weight)| **weight > 0.0)
                .map(|(j, _)| j)
                .collect(),
            Weights::Sparse(rows) => rows.row(i).map(|(j, _)| j).collect(),
        }
    }

    /// The connected components: ascending vertices each, by their first vertex.
    #[must_use]
    pub fn components(&self) -> Vec<Vec<u32>> {
        let mut seen = vec![false; self.len()];
        let mut components = Vec::new();
        for start in 0..self.len() {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            let (mut component, mut next) = (vec![start as u32], 0);
            while let Some(&vertex) = component.get(next) {
                next += 1;
                for other in self.neighbours(vertex as usize) {
                    if !std::mem::replace(&mut seen[other], true) {
                        component.push(other as u32);
                    }
                }
            }
            component.sort_unstable();
            components.push(component);
        }
        components
    }

    /// The Laplacian of some whole components.
    ///
    /// # Panics
    /// If the vertices are not ascending or an edge leads out of them.
    #[must_use]
    pub fn restricted(&self, vertices: &[u32]) -> Self {
        assert!(vertices.is_sorted_by(|a, b| a < b), "ascending vertices");
        let pick = |values: &[f64]| vertices.iter().map(|&v| values[v as usize]).collect();
        let weights = match &self.weights {
            Weights::Dense(weights) => Weights::Dense(Array2::from_shape_fn(
                (vertices.len(), vertices.len()),
                |(i, j)| weights[[vertices[i] as usize, vertices[j] as usize]],
            )),
            Weights::Sparse(rows) => {
                let place = |v: usize| {
                    vertices
                        .binary_search(&(v as u32))
                        .expect("whole components") as u32
                };
                let of_row = |(i, &v): (u32, &u32)| {
                    rows.row(v as usize)
                        .map(move |(j, weight)| (i, place(j), weight))
                        .collect::<Vec<_>>()
                };
                Weights::Sparse(Rows::of(
                    vertices.len(),
                    (0..).zip(vertices).flat_map(of_row).collect(),
                ))
            }
        };
        Self {
            kind: self.kind,
            degrees: pick(&self.degrees),
            diagonal: pick(&self.diagonal),
            weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    const EDGES: [(u32, u32, f64); 4] = [(0, 2, 0.5), (2, 3, 1.5), (5, 4, 2.0), (0, 3, 0.0)];

    #[test]
    fn sparse_and_dense_are_the_same_operator() {
        let mut similarities = Array2::<f32>::eye(6);
        EDGES.iter().for_each(|&(a, b, weight)| {
            similarities[[a as usize, b as usize]] = weight as f32;
            similarities[[b as usize, a as usize]] = weight as f32;
        });
        similarities[[0, 4]] = -0.7;
        similarities[[4, 0]] = -0.7;
        for kind in ["unnormalized", "symmetric", "random-walk"] {
            let kind = kind.parse().unwrap();
            let (sparse, dense) = (
                Laplacian::sparse(6, &EDGES, kind).unwrap(),
                Laplacian::dense(similarities.view(), kind).unwrap(),
            );
            assert_eq!(sparse.degrees(), dense.degrees());
            assert_eq!(
                (sparse.to_matrix(), sparse.components()),
                (dense.to_matrix(), dense.components())
            );
            assert_eq!(sparse.components(), [vec![0, 2, 3], vec![1], vec![4, 5]]);
            let x: Vec<f64> = (0..6).map(|i| f64::from(i * i) - 3.0).collect();
            let [mut fast, mut slow] = [vec![0.0; 6], vec![0.0; 6]];
            sparse.apply(&x, &mut fast);
            dense.apply(&x, &mut slow);
            let matrix = sparse.to_matrix();
            for i in 0..6 {
                let expected: f64 = (0..6).map(|j| matrix[(i, j)] * x[j]).sum();
                assert!((fast[i] - expected).abs() < 1e-12 && (slow[i] - expected).abs() < 1e-12);
            }
            for component in sparse.components() {
                let (part, same) = (sparse.restricted(&component), dense.restricted(&component));
                assert_eq!(part.to_matrix(), same.to_matrix());
                assert_eq!(
                    part.to_matrix()[(0, 0)],
                    matrix[(component[0] as usize, component[0] as usize)]
                );
            }
        }
    }

    #[test]
    fn rows_of_the_unnormalised_laplacian_sum_to_nothing_and_lonely_vertices_are_zero() {
        let laplacian = Laplacian::sparse(6, &EDGES, LaplacianKind::Unnormalized).unwrap();
        let mut out = vec![1.0; 6];
        laplacian.apply(&[1.0; 6], &mut out);
        assert_eq!(out, [0.0; 6]);
        let symmetric = Laplacian::sparse(6, &EDGES, LaplacianKind::Symmetric).unwrap();
        symmetric.apply(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], &mut out);
        assert_eq!(out, [0.0; 6]);
    }

    #[test]
    fn what_is_no_similarity_is_refused() {
        let kind = LaplacianKind::Symmetric;
        assert!(matches!(
            Laplacian::dense(array![[1.0, f32::NAN], [f32::NAN, 1.0]].view(), kind),
            Err(Error::Numeric(_))
        ));
        assert!(matches!(
            Laplacian::dense(array![[1.0, 0.5], [0.25, 1.0]].view(), kind),
            Err(Error::Numeric(_))
        ));
        assert!(matches!(
            Laplacian::sparse(2, &[(0, 1, -1.0)], kind),
            Err(Error::Numeric(_))
        ));
        assert!(
            Laplacian::dense(Array2::zeros((0, 0)).view(), kind)
                .unwrap()
                .is_empty()
        );
    }
}
