//! A Laplacian → all that is known of its eigenvalues, component by component: exact where a
//! component is small, a density where it is large.
//!
//! Repeated structures (lonely vertices, pairs of copies) make spikes in a spectrum that no
//! quadrature resolves; Dong, Benson and Bindel 2019, section 4, filter such motifs out. Here they
//! are components of their own, and exact.

use rayon::prelude::*;

use super::{Density, Laplacian, density, eigenvalues};
use crate::{Error, Result, monitor::Monitor};

/// The eigenvalues of a graph's Laplacian.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Vertices: as many eigenvalues there are.
    pub vertices: usize,
    /// Connected components: as many of them are zero.
    pub components: usize,
    /// The eigenvalues of the components that were factorised, ascending.
    pub exact: Vec<f64>,
    /// Number of vertices and distribution of the others.
    pub estimated: Vec<(usize, Density)>,
}

impl Spectrum {
    /// The share of eigenvalues up to a value.
    #[must_use]
    pub fn cumulative(&self, value: f64) -> f64 {
        let exact = self
            .exact
            .partition_point(|eigenvalue| *eigenvalue <= value) as f64;
        let estimated: f64 = self
            .estimated
            .iter()
            .map(|(n, density)| *n as f64 * density.cumulative(value))
            .sum();
        (exact + estimated) / self.vertices.max(1) as f64
    }

    /// Twice the standard error of [`Spectrum::cumulative`]; 0 where all is exact.
    #[must_use]
    pub fn error(&self) -> f64 {
        let squares: f64 = self
            .estimated
            .iter()
            .map(|(n, density)| (*n as f64 * density.error).powi(2))
            .sum();
        squares.sqrt() / self.vertices.max(1) as f64
    }

    /// All eigenvalues, ascending, if all are exact.
    #[must_use]
    pub fn values(&self) -> Option<&[f64]> {
        self.estimated.is_empty().then_some(&*self.exact)
    }
}

/// Computes the spectrum: exactly for components of up to `dense` vertices, with the statistical
/// error `tolerance` for larger ones.
///
/// # Errors
/// [`Error::Numeric`], [`Error::Interrupted`].
pub fn spectrum(
    laplacian: &Laplacian,
    dense: usize,
    tolerance: f64,
    monitor: &dyn Monitor,
) -> Result<Spectrum> {
    let components = laplacian.components();
    let (small, large): (Vec<_>, Vec<_>) = components
        .iter()
        .partition(|component| component.len() <= dense);
    monitor.stage(
        "factorising",
        Some(small.iter().map(|component| component.len() as u64).sum()),
    );
    let whole = components.len() == 1;
    let of = |component: &Vec<u32>| {
        if whole {
            laplacian.clone()
        } else {
            laplacian.restricted(component)
        }
    };
    let exact = small.par_iter().map(|component| {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        let values = if component.len() == 1 {
            vec![0.0]
        } else {
            eigenvalues(&of(component))?
        };
        monitor.advance(component.len() as u64);
        Ok(values)
    });
    let mut exact: Vec<f64> = exact
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    exact.sort_unstable_by(f64::total_cmp);
    let estimate = |component: &&Vec<u32>| {
        Ok((
            component.len(),
            density(&of(component), tolerance, monitor)?,
        ))
    };
    let estimated = large.iter().map(estimate).collect::<Result<_>>()?;
    Ok(Spectrum {
        vertices: laplacian.len(),
        components: components.len(),
        exact,
        estimated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::Silent,
        spectral::eigenpairs::tests::{KINDS, graph},
    };

    #[test]
    fn the_spectrum_of_the_components_is_that_of_the_whole() {
        for kind in KINDS {
            let mut edges = graph(120, 4, 2, 2);
            edges.retain(|edge| edge.0 > 3);
            let laplacian = Laplacian::sparse(130, &edges, kind).unwrap();
            let (slow, found) = (
                eigenvalues(&laplacian).unwrap(),
                spectrum(&laplacian, 1_000, 0.01, &Silent).unwrap(),
            );
            assert!(
                found
                    .values()
                    .unwrap()
                    .iter()
                    .zip(&slow)
                    .all(|(a, b)| (a - b).abs() < 1e-9)
                    && found.exact.len() == 130
            );
            assert_eq!(
                found.exact.iter().filter(|value| **value < 1e-9).count(),
                found.components
            );
            assert_eq!(
                (
                    found.error(),
                    found.cumulative(-1.0),
                    found.cumulative(laplacian.bound())
                ),
                (0.0, 0.0, 1.0)
            );
            let mixed = spectrum(&laplacian, 20, 0.01, &Silent).unwrap();
            assert!(mixed.values().is_none() && mixed.error() > 0.0);
            for i in 0..40 {
                let value = (f64::from(i) + 0.5) / 40.0 * laplacian.bound();
                assert!(
                    (mixed.cumulative(value) - found.cumulative(value)).abs() < 0.03,
                    "{kind:?} {value}"
                );
            }
        }
    }
}
