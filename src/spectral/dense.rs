//! A symmetric or a tridiagonal matrix → all its eigenvalues, and its eigenvectors: faer's divide
//! and conquer on one thread, since on several the last bits depend on their number.

use faer::{
    Mat, MatMut, MatRef, Par,
    diag::{Diag, DiagRef},
    dyn_stack::{MemBuffer, MemStack},
    linalg::evd::{
        ComputeEigenvectors, EvdError, self_adjoint_evd, self_adjoint_evd_scratch,
        tridiagonal_self_adjoint_evd,
    },
};

use crate::{Error, Result};

fn failed(n: usize) -> impl FnOnce(EvdError) -> Error {
    move |error| {
        Error::Numeric(format!(
            "the eigenvalues of a matrix of {n} rows: {error:?}"
        ))
    }
}

fn memory(n: usize, vectors: bool) -> MemBuffer {
    let compute = if vectors {
        ComputeEigenvectors::Yes
    } else {
        ComputeEigenvectors::No
    };
    MemBuffer::new(self_adjoint_evd_scratch::<f64>(
        n,
        compute,
        Par::Seq,
        faer::Spec::default(),
    ))
}

/// The eigenvalues of a symmetric matrix, ascending, of which the lower triangle is read; its
/// eigenvectors go to the columns of `vectors`.
pub(super) fn symmetric(
    matrix: MatRef<'_, f64>,
    vectors: Option<MatMut<'_, f64>>,
) -> Result<Vec<f64>> {
    let n = matrix.nrows();
    let (mut values, mut memory) = (Diag::<f64>::zeros(n), memory(n, vectors.is_some()));
    self_adjoint_evd(
        matrix,
        values.as_mut(),
        vectors,
        Par::Seq,
        MemStack::new(&mut memory),
        faer::Spec::default(),
    )
    .map_err(failed(n))?;
    Ok(values.column_vector().iter().copied().collect())
}

/// The eigenvalues of a symmetric tridiagonal matrix, ascending, and its eigenvectors in columns.
pub(super) fn tridiagonal(diagonal: &[f64], beside: &[f64]) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = diagonal.len();
    let beside: Vec<f64> = beside.iter().copied().chain([0.0; 1]).take(n).collect();
    let (mut values, mut vectors, mut memory) =
        (Diag::<f64>::zeros(n), Mat::zeros(n, n), memory(n, true));
    let (diagonal, beside) = (DiagRef::from_slice(diagonal), DiagRef::from_slice(&beside));
    let stack = MemStack::new(&mut memory);
    tridiagonal_self_adjoint_evd(
        diagonal,
        beside,
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        stack,
        faer::Spec::default(),
    )
    .map_err(failed(n))?;
    Ok((values.column_vector().iter().copied().collect(), vectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_eigenvalues_of_the_textbook_both_ways() {
        for n in [1, 2, 3, 50, 200] {
            let full = Mat::from_fn(n, n, |i, j| {
                if i == j {
                    2.0
                } else {
                    -f64::from(u8::from(i.abs_diff(j) == 1))
                }
            });
            let expected = |k: usize| {
                2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos()
            };
            let (of_tridiagonal, vectors) = tridiagonal(&vec![2.0; n], &vec![-1.0; n - 1]).unwrap();
            let mut of_full = Mat::zeros(n, n);
            let values = symmetric(full.as_ref(), Some(of_full.as_mut())).unwrap();
            for k in 0..n {
                assert!(
                    (values[k] - expected(k)).abs() < 1e-12
                        && (of_tridiagonal[k] - expected(k)).abs() < 1e-12
                );
                for vectors in [&vectors, &of_full] {
                    let rest = &full * vectors.col(k) - faer::Scale(values[k]) * vectors.col(k);
                    assert!(
                        rest.norm_l2() < 1e-11 && (vectors.col(k).norm_l2() - 1.0).abs() < 1e-12
                    );
                }
            }
        }
    }
}
