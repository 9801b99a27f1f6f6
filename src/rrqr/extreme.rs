//! A triangle → its largest and smallest singular value, in O(m²) a step.
//!
//! Lanczos 1950 with full reorthogonalisation (Golub and Van Loan, 4th ed., chapter 10) on RᵀR, and
//! on its inverse by two triangular solves. An estimate is never above the true extreme eigenvalue;
//! it is taken when it has stood still over several steps. The start is fixed, so results repeat.
//! It would miss an eigenvector orthogonal to the start; for a dense pseudo-random one that has
//! probability zero.

use ndarray::{ArrayView2, s};

/// Steps without change after which a value is taken.
const CALM_STEPS: usize = 6;
/// Relative change of an eigenvalue that is none.
const CALM: f64 = 1e-13;
/// Most steps.
const MOST_STEPS: usize = 400;

/// σ_max / σ_min of an upper triangle with a positive diagonal, to about nine digits; `None` if
/// Lanczos does not settle.
pub(super) fn condition(r: &ArrayView2<'_, f64>) -> Option<f64> {
    let largest = largest_eigenvalue(r.nrows(), |x| {
        multiply(r, x);
        multiply_transposed(r, x);
    })?;
    let inverse = largest_eigenvalue(r.nrows(), |x| {
        solve_transposed(r, x);
        solve(r, x);
    })?;
    // A product of square roots: neither factor overflows where the ratio does not.
    let condition = largest.sqrt() * inverse.sqrt();
    condition.is_finite().then_some(condition)
}

/// x becomes R x.
fn multiply(r: &ArrayView2<'_, f64>, x: &mut [f64]) {
    for i in 0..x.len() {
        x[i] = dot(r.slice(s![i, i..]).to_slice().unwrap_or_default(), &x[i..]);
    }
}

/// x becomes Rᵀ x.
fn multiply_transposed(r: &ArrayView2<'_, f64>, x: &mut [f64]) {
    for i in (0..x.len()).rev() {
        let value = x[i];
        x[i] = 0.0;
        add(
            &mut x[i..],
            r.slice(s![i, i..]).to_slice().unwrap_or_default(),
            value,
        );
    }
}

/// x becomes R⁻ᵀ x.
fn solve_transposed(r: &ArrayView2<'_, f64>, x: &mut [f64]) {
    for i in 0..x.len() {
        x[i] /= r[[i, i]];
        let value = -x[i];
        add(
            &mut x[i + 1..],
            r.slice(s![i, i + 1..]).to_slice().unwrap_or_default(),
            value,
        );
    }
}

/// x becomes R⁻¹ x.
fn solve(r: &ArrayView2<'_, f64>, x: &mut [f64]) {
    for i in (0..x.len()).rev() {
        x[i] = (x[i]
            - dot(
                r.slice(s![i, i + 1..]).to_slice().unwrap_or_default(),
                &x[i + 1..],
            ))
            / r[[i, i]];
    }
}

fn add(to: &mut [f64], from: &[f64], factor: f64) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to += from * factor);
}

/// The scalar product, in eight sums of a fixed order.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (x, y) in a8.iter().zip(b8) {
        for i in 0..8 {
            lanes[i] += x[i] * y[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// The largest eigenvalue of the symmetric positive operator that `apply` applies in place.
fn largest_eigenvalue(m: usize, apply: impl Fn(&mut [f64])) -> Option<f64> {
    let mut basis: Vec<Vec<f64>> = vec![start(m)];
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let (mut value, mut calm) = (0.0, 0);
    for step in 0..m.min(MOST_STEPS) {
        let mut next = basis[step].clone();
        apply(&mut next);
        diagonal.push(dot(&next, &basis[step]));
        for _ in 0..2 {
            for before in &basis {
                let along = dot(&next, before);
                add(&mut next, before, -along);
            }
        }
        let norm = dot(&next, &next).sqrt();
        let estimate = largest_of_tridiagonal(&diagonal, &beside, value);
        if !estimate.is_finite() {
            return None;
        }
        calm = if estimate <= value * (1.0 + CALM) {
            calm + 1
        } else {
            0
        };
        value = value.max(estimate);
        // The last step spans everything; a vanishing rest means an invariant space, which a dense
        // start makes the whole.
        if calm == CALM_STEPS || step + 1 == m || norm <= value * 1e-15 {
            return Some(value);
        }
        next.iter_mut().for_each(|x| *x /= norm);
        basis.push(next);
        beside.push(norm);
    }
    None
}

/// A dense unit vector without structure: the fractional parts of multiples of the golden ratio,
/// about zero.
fn start(m: usize) -> Vec<f64> {
    let mut vector: Vec<f64> = (1..=m)
        .map(|i| (i as f64 * 0.618_033_988_749_894_9).fract() - 0.5)
        .collect();
    let norm = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection with Sturm's sequence; it
/// is known to be at least `low`.
fn largest_of_tridiagonal(diagonal: &[f64], beside: &[f64], low: f64) -> f64 {
    let reach =
        |i: usize| beside.get(i).copied().unwrap_or(0.0) + if i > 0 { beside[i - 1] } else { 0.0 };
    let mut high = diagonal
        .iter()
        .enumerate()
        .fold(low, |most, (i, d)| f64::max(most, d + reach(i)));
    let mut low = low;
    while high - low > high * 2e-16 {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            break;
        }
        // An eigenvalue above the middle shows as a positive pivot of T − middle.
        let mut pivot = diagonal[0] - middle;
        let mut above = pivot > 0.0;
        for (d, b) in diagonal[1..].iter().zip(beside) {
            let divisor = if pivot == 0.0 {
                -f64::MIN_POSITIVE
            } else {
                pivot
            };
            pivot = d - middle - b * b / divisor;
            above |= pivot > 0.0;
        }
        if above {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graded, random};
    use super::*;
    use crate::rrqr::{Stop, column_pivoted_qr};
    use faer::Mat;

    #[test]
    fn it_is_the_condition_number_of_the_full_decomposition() {
        for (size, ratio) in [
            (1, 10.0),
            (2, 10.0),
            (5, 1e3),
            (80, 1e1),
            (80, 1e7),
            (200, 1e4),
        ] {
            let w = if size == 1 {
                random(9, 1, 3)
            } else {
                graded(size + 20, size, ratio, size as u64)
            };
            let r = column_pivoted_qr(w.view(), Stop::NEVER).unwrap().r;
            let values = Mat::from_fn(size, size, |i, j| r[[i, j]])
                .singular_values()
                .unwrap();
            let slow = values[0] / values[size - 1];
            let fast = condition(&r.view()).unwrap();
            assert!(
                (fast / slow - 1.0).abs() < 1e-8,
                "{size} {ratio}: {fast} {slow}"
            );
        }
    }

    #[test]
    fn it_settles_where_all_singular_values_are_equal_or_in_two_clusters() {
        let mut r = ndarray::Array2::<f64>::eye(60);
        assert!((condition(&r.view()).unwrap() - 1.0).abs() < 1e-12);
        r.diag_mut().slice_mut(s![30..]).fill(1e-6);
        assert!((condition(&r.view()).unwrap() / 1e6 - 1.0).abs() < 1e-9);
    }
}
