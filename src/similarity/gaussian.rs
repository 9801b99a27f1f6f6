//! Distances → similarities by a Gaussian kernel: Yousefzadeh 2020, section 6.3.2.
//!
//! K = exp(−d² / (2σ²)), d the Euclidean distance of the coefficients, which is that of the samples
//! ([`super::cosine`]). The paper does not say which width; where none is given, σ is the median of
//! the distances of all pairs (the *median heuristic*: Garreau, Jitkrittum and Kanagawa 2017,
//! "Large sample analysis of the median heuristic"), so that half of the pairs are above exp(−½) =
//! 0.607.

use ndarray::Array2;

use crate::{Error, Result};

/// The median of squared distances: of those above the diagonal, or of all; of an even number the
/// upper one of the middle two. None where there are none.
pub(super) fn median(squares: &Array2<f32>, symmetric: bool) -> Option<f32> {
    let mut all: Vec<f32> = if symmetric {
        (0..squares.nrows())
            .flat_map(|i| (i + 1..squares.nrows()).map(move |j| (i, j)))
            .map(|at| squares[at])
            .collect()
    } else {
        squares.iter().copied().collect()
    };
    let middle = all.len() / 2;
    (!all.is_empty()).then(|| *all.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// Squared distances → similarities in [0, 1], in place. The width is in grey levels; without one
/// the median rule gives it.
///
/// # Errors
/// [`Error::Numeric`] where the median is zero, so that no width follows from it.
pub(super) fn kernel(squares: &mut Array2<f32>, width: Option<f64>, symmetric: bool) -> Result<()> {
    let variance = match (width, median(squares, symmetric)) {
        (Some(width), _) => width * width,
        (None, None) => return Ok(()),
        (None, Some(median)) if median > 0.0 => f64::from(median),
        (None, Some(_)) => {
            return Err(Error::Numeric(
                "half of the pairs are the same picture, so the median of distances gives no width; say one".into(),
            ));
        }
    };
    squares.mapv_inplace(|square| (-f64::from(square) / (2.0 * variance)).exp() as f32);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_at_the_median_distance_has_the_root_of_one_over_e() {
        let mut squares = Array2::from_shape_fn((3, 3), |(i, j)| {
            [0.0, 4.0, 9.0, 25.0][if i == j { 0 } else { i + j }]
        });
        kernel(&mut squares, None, true).unwrap();
        assert!((f64::from(squares[[0, 2]]) - (-0.5_f64).exp()).abs() < 1e-7);
        assert!(
            (f64::from(squares[[0, 1]]) - (-2.0_f64 / 9.0).exp()).abs() < 1e-7
                && squares[[1, 1]] == 1.0
        );
    }

    #[test]
    fn equal_pictures_give_no_width() {
        assert!(matches!(
            kernel(&mut Array2::zeros((3, 3)), None, true),
            Err(Error::Numeric(_))
        ));
        assert!(
            kernel(&mut Array2::zeros((3, 3)), Some(1.0), true).is_ok()
                && kernel(&mut Array2::zeros((1, 1)), None, true).is_ok()
        );
    }
}
