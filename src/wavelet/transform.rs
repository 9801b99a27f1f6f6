//! One plane of samples ⇄ its orthonormal two-dimensional wavelet transform.
//!
//! Mallat 1989 (IEEE TPAMI 11(7)): rows, then columns, then the same on the LL quadrant. The border
//! is periodic, so the transform of n samples has n coefficients and is an orthogonal matrix for
//! every even n, however short. In one dimension, with the low-pass filter h and g\[i\] = (−1)^i
//! h\[taps − 1 − i\],
//!
//! ```text
//! low[k] = Σᵢ h[i] x[(2k + i) mod n]      high[k] = Σᵢ g[i] x[(2k + i) mod n]
//! ```
//!
//! Haar is done in both directions at once with the factor ½, which is exact: the coefficients of
//! integer samples are exact dyadic numbers as long as the type holds their digits. Every sum has a
//! fixed order and no fused operations: the result is the same on every CPU.

use super::filter::{DAUBECHIES_4, DAUBECHIES_8, Wavelet};
use std::ops::{Add, AddAssign, Mul, Sub};

/// The number types of coefficients: `f32` and `f64`.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + AddAssign
    + From<i16>
    + Into<f64>
    + Send
    + Sync
    + 'static
{
    /// The nearest value to `value`.
    fn from_f64(value: f64) -> Self;
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// Transforms a plane in place.
///
/// `plane` is `size` × `size`, row by row; on return it holds the coefficients in the order of
/// [`super::Layout`]. `scratch` is grown as needed and can be passed again. Energy is kept to
/// rounding. Cost: O(size² × taps).
///
/// # Panics
/// If `plane` is not `size`² long or the side cannot be halved `levels` times.
pub fn dwt2<T: Real>(
    plane: &mut [T],
    size: usize,
    wavelet: Wavelet,
    levels: u32,
    scratch: &mut Vec<T>,
) {
    check(plane, size, levels);
    match wavelet {
        Wavelet::Haar => forward(plane, size, levels, scratch, haar_forward),
        Wavelet::Daubechies4Taps => forward(plane, size, levels, scratch, |s, n, m, p| {
            filter_forward(&DAUBECHIES_4, s, n, m, p);
        }),
        Wavelet::Daubechies8Taps => forward(plane, size, levels, scratch, |s, n, m, p| {
            filter_forward(&DAUBECHIES_8, s, n, m, p);
        }),
    }
}

/// Transforms coefficients back to the plane, in place: the inverse of [`dwt2`] to rounding.
///
/// # Panics
/// If `plane` is not `size`² long or the side cannot be halved `levels` times.
pub fn idwt2<T: Real>(
    plane: &mut [T],
    size: usize,
    wavelet: Wavelet,
    levels: u32,
    scratch: &mut Vec<T>,
) {
    check(plane, size, levels);
    match wavelet {
        Wavelet::Haar => backward(plane, size, levels, scratch, haar_backward),
        Wavelet::Daubechies4Taps => backward(plane, size, levels, scratch, |p, s, n, m, o| {
            filter_backward(&DAUBECHIES_4, p, s, n, m, o);
        }),
        Wavelet::Daubechies8Taps => backward(plane, size, levels, scratch, |p, s, n, m, o| {
            filter_backward(&DAUBECHIES_8, p, s, n, m, o);
        }),
    }
}

fn check<T>(plane: &[T], size: usize, levels: u32) {
    assert_eq!(plane.len(), size * size, "a plane of side {size}");
    assert!(
        levels <= super::max_levels(size),
        "a side of {size} cannot be halved {levels} times"
    );
}

/// The plane that a level writes its three detail bands to, with its row length.
struct Target<'a, T> {
    plane: &'a mut [T],
    size: usize,
}

/// Splits `scratch` into two squares that take turns as input and output of a level, and a working
/// area.
fn split_scratch<T: Real>(scratch: &mut Vec<T>, size: usize) -> (&mut [T], &mut [T], &mut [T]) {
    let square = size * size;
    scratch.resize(3 * square + 8 * (size + 16), T::default());
    let (input, rest) = scratch.split_at_mut(square);
    let (output, work) = rest.split_at_mut(square);
    (input, output, work)
}

/// Runs `level(source, n, work, target) ` from fine to coarse: it reads the n × n square `source`
/// (rows packed), leaves LL packed at the head of `target.1`, and writes the details to their place
/// in the plane.
fn forward<T: Real>(
    plane: &mut [T],
    size: usize,
    levels: u32,
    scratch: &mut Vec<T>,
    level: impl Fn(&[T], usize, &mut [T], (&mut Target<'_, T>, &mut [T])),
) {
    if levels == 0 {
        return;
    }
    let (mut source, mut coarse, work) = split_scratch(scratch, size);
    source.copy_from_slice(plane);
    let mut target = Target { plane, size };
    let mut n = size;
    for _ in 0..levels {
        level(
            &source[..n * n],
            n,
            work,
            (&mut target, &mut coarse[..n * n / 4]),
        );
        std::mem::swap(&mut source, &mut coarse);
        n /= 2;
    }
    for (row, packed) in target
        .plane
        .chunks_exact_mut(size)
        .zip(source[..n * n].chunks_exact(n))
    {
        row[..n].copy_from_slice(packed);
    }
}

/// Runs `level(source, coarse, n, work, fine)` from coarse to fine: it reads LL (packed) and the
/// details in the plane, and writes the n × n square `fine` (packed).
fn backward<T: Real>(
    plane: &mut [T],
    size: usize,
    levels: u32,
    scratch: &mut Vec<T>,
    level: impl Fn(&Target<'_, T>, &[T], usize, &mut [T], &mut [T]),
) {
    if levels == 0 {
        return;
    }
    let (mut coarse, mut fine, work) = split_scratch(scratch, size);
    let target = Target { plane, size };
    let mut n = size >> levels;
    for (row, packed) in target
        .plane
        .chunks_exact(size)
        .zip(coarse[..n * n].chunks_exact_mut(n))
    {
        packed.copy_from_slice(&row[..n]);
    }
    for _ in 0..levels {
        n *= 2;
        level(&target, &coarse[..n * n / 4], n, work, &mut fine[..n * n]);
        std::mem::swap(&mut coarse, &mut fine);
    }
    target.plane.copy_from_slice(coarse);
}

/// One level of Haar: ½ (a ± b ± c ± d) of every square of four samples.
fn haar_forward<T: Real>(
    source: &[T],
    n: usize,
    _: &mut [T],
    (target, coarse): (&mut Target<'_, T>, &mut [T]),
) {
    let (half, scale) = (n / 2, T::from_f64(0.5));
    let (top, bottom) = target.plane.split_at_mut(half * target.size);
    let rows = top
        .chunks_exact_mut(target.size)
        .zip(bottom.chunks_exact_mut(target.size))
        .zip(coarse.chunks_exact_mut(half));
    for (((upper, lower), ll), pair) in rows.zip(source.chunks_exact(2 * n)) {
        let (even, odd) = pair.split_at(n);
        let hl = &mut upper[half..n];
        let (lh, hh) = lower[..n].split_at_mut(half);
        let quads = even.as_chunks::<2>().0.iter().zip(odd.as_chunks::<2>().0);
        for ((((&[a, b], &[c, d]), ll), hl), (lh, hh)) in
            quads.zip(ll).zip(hl).zip(lh.iter_mut().zip(hh))
        {
            let (top_sum, top_step, low_sum, low_step) = (a + b, a - b, c + d, c - d);
            *ll = (top_sum + low_sum) * scale;
            *hl = (top_step + low_step) * scale;
            *lh = (top_sum - low_sum) * scale;
            *hh = (top_step - low_step) * scale;
        }
    }
}

/// The inverse of [`haar_forward`]: the same sums, as the matrix is its own transpose.
fn haar_backward<T: Real>(
    target: &Target<'_, T>,
    coarse: &[T],
    n: usize,
    _: &mut [T],
    fine: &mut [T],
) {
    let (half, scale) = (n / 2, T::from_f64(0.5));
    let (top, bottom) = target.plane.split_at(half * target.size);
    let rows = top
        .chunks_exact(target.size)
        .zip(bottom.chunks_exact(target.size))
        .zip(coarse.chunks_exact(half));
    for (((upper, lower), ll), pair) in rows.zip(fine.chunks_exact_mut(2 * n)) {
        let (even, odd) = pair.split_at_mut(n);
        let hl = &upper[half..n];
        let (lh, hh) = lower[..n].split_at(half);
        let quads = even
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(odd.as_chunks_mut::<2>().0);
        for ((((above, below), &ll), &hl), (&lh, &hh)) in
            quads.zip(ll).zip(hl).zip(lh.iter().zip(hh))
        {
            let (top_sum, top_step, low_sum, low_step) = (ll + lh, hl + hh, ll - lh, hl - hh);
            *above = [(top_sum + top_step) * scale, (top_sum - top_step) * scale];
            *below = [(low_sum + low_step) * scale, (low_sum - low_step) * scale];
        }
    }
}

/// Low-pass and high-pass filter in the type of the coefficients.
fn filter_pair<T: Real, const TAPS: usize>(low_pass: &[f64; TAPS]) -> ([T; TAPS], [T; TAPS]) {
    let high = std::array::from_fn(|i| {
        if i % 2 == 0 {
            low_pass[TAPS - 1 - i]
        } else {
            -low_pass[TAPS - 1 - i]
        }
    });
    (low_pass.map(T::from_f64), high.map(T::from_f64))
}

/// One level with a filter of `TAPS` taps.
fn filter_forward<T: Real, const TAPS: usize>(
    low_pass: &[f64; TAPS],
    source: &[T],
    n: usize,
    work: &mut [T],
    (target, coarse): (&mut Target<'_, T>, &mut [T]),
) {
    let (h, g) = filter_pair::<T, TAPS>(low_pass);
    let half = n / 2;
    let (middle, split) = work.split_at_mut(n * n);
    for (row, out) in source.chunks_exact(n).zip(middle.chunks_exact_mut(n)) {
        let (low, high) = out.split_at_mut(half);
        analyse_row(row, &h, &g, split, low, high);
    }
    let size = target.size;
    for k in 0..half {
        let rows: [&[T]; TAPS] = std::array::from_fn(|i| &middle[(2 * k + i) % n * n..][..n]);
        weigh_rows(
            &rows.map(|row| &row[..half]),
            &h,
            &mut coarse[k * half..][..half],
        );
        weigh_rows(
            &rows.map(|row| &row[half..]),
            &h,
            &mut target.plane[k * size + half..][..half],
        );
        weigh_rows(&rows, &g, &mut target.plane[(half + k) * size..][..n]);
    }
}

/// One level back with a filter of `TAPS` taps.
fn filter_backward<T: Real, const TAPS: usize>(
    low_pass: &[f64; TAPS],
    target: &Target<'_, T>,
    coarse: &[T],
    n: usize,
    work: &mut [T],
    fine: &mut [T],
) {
    let (h, g) = filter_pair::<T, TAPS>(low_pass);
    let (half, size) = (n / 2, target.size);
    let (middle, rest) = work.split_at_mut(n * n);
    let split = &mut rest[..4 * (half + TAPS)];
    for m in 0..half {
        for parity in 0..2 {
            let row = &mut middle[(2 * m + parity) * n..][..n];
            row.fill(T::default());
            for i in 0..TAPS / 2 {
                let from = (m + TAPS * half - i) % half;
                let (left, right) = row.split_at_mut(half);
                add_row(left, &coarse[from * half..][..half], h[2 * i + parity]);
                add_row(
                    right,
                    &target.plane[from * size + half..][..half],
                    h[2 * i + parity],
                );
                add_row(
                    row,
                    &target.plane[(half + from) * size..][..n],
                    g[2 * i + parity],
                );
            }
        }
    }
    for (row, out) in middle.chunks_exact(n).zip(fine.chunks_exact_mut(n)) {
        let (low, high) = row.split_at(half);
        synthesise_row(low, high, &h, &g, split, out);
    }
}

/// `out` = Σᵢ weight\[i\] row\[i\].
fn weigh_rows<T: Real, const TAPS: usize>(rows: &[&[T]; TAPS], weights: &[T; TAPS], out: &mut [T]) {
    let len = out.len();
    let rows = rows.map(|row| &row[..len]);
    for (j, value) in out.iter_mut().enumerate() {
        let mut sum = rows[0][j] * weights[0];
        for i in 1..TAPS {
            sum += rows[i][j] * weights[i];
        }
        *value = sum;
    }
}

/// `out` += weight × row.
fn add_row<T: Real>(out: &mut [T], row: &[T], weight: T) {
    for (value, &x) in out.iter_mut().zip(row) {
        *value += x * weight;
    }
}

/// One row to its low and its high half. `split` holds the even and the odd samples, continued
/// periodically.
fn analyse_row<T: Real, const TAPS: usize>(
    row: &[T],
    h: &[T; TAPS],
    g: &[T; TAPS],
    split: &mut [T],
    low: &mut [T],
    high: &mut [T],
) {
    let half = low.len();
    let reach = half + TAPS / 2 - 1;
    let (even, rest) = split.split_at_mut(reach);
    let odd = &mut rest[..reach];
    for ((e, o), pair) in even
        .iter_mut()
        .zip(odd.iter_mut())
        .zip(row.as_chunks::<2>().0)
    {
        (*e, *o) = (pair[0], pair[1]);
    }
    for k in half..reach {
        (even[k], odd[k]) = (even[k - half], odd[k - half]);
    }
    for (k, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let (even, odd) = (&even[k..k + TAPS / 2], &odd[k..k + TAPS / 2]);
        let (mut l, mut d) = (
            even[0] * h[0] + odd[0] * h[1],
            even[0] * g[0] + odd[0] * g[1],
        );
        for i in 1..TAPS / 2 {
            l += even[i] * h[2 * i] + odd[i] * h[2 * i + 1];
            d += even[i] * g[2 * i] + odd[i] * g[2 * i + 1];
        }
        (*low, *high) = (l, d);
    }
}

/// The inverse of [`analyse_row`]: its transpose. `split` holds both halves, continued periodically
/// to the left.
fn synthesise_row<T: Real, const TAPS: usize>(
    low: &[T],
    high: &[T],
    h: &[T; TAPS],
    g: &[T; TAPS],
    split: &mut [T],
    row: &mut [T],
) {
    let (half, before) = (low.len(), TAPS / 2 - 1);
    let (lows, rest) = split.split_at_mut(before + half);
    let highs = &mut rest[..before + half];
    lows[before..].copy_from_slice(low);
    highs[before..].copy_from_slice(high);
    for k in (0..before).rev() {
        (lows[k], highs[k]) = (lows[k + half], highs[k + half]);
    }
    for (m, pair) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let (lows, highs) = (&lows[m..m + TAPS / 2], &highs[m..m + TAPS / 2]);
        let mut sum = [T::default(); 2];
        for i in 0..TAPS / 2 {
            let (l, d) = (lows[before - i], highs[before - i]);
            sum[0] += l * h[2 * i] + d * g[2 * i];
            sum[1] += l * h[2 * i + 1] + d * g[2 * i + 1];
        }
        *pair = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wavelet::max_levels;

    /// A seeded stream of values in −128.0..128.0 (SplitMix64).
    fn noise(seed: u64, len: usize) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) as f64 / 2f64.powi(56) - 128.0
        };
        (0..len).map(|_| next()).collect()
    }

    fn energy(values: &[f64]) -> f64 {
        values.iter().map(|v| v * v).sum()
    }

    /// One level as an explicit n × n matrix: low-pass rows, then high-pass rows.
    fn level_matrix(wavelet: Wavelet, n: usize) -> Vec<Vec<f64>> {
        let h = wavelet.low_pass();
        let mut matrix = vec![vec![0.0; n]; n];
        for k in 0..n / 2 {
            for i in 0..h.len() {
                matrix[k][(2 * k + i) % n] += h[i];
                matrix[n / 2 + k][(2 * k + i) % n] +=
                    if i % 2 == 0 { 1.0 } else { -1.0 } * h[h.len() - 1 - i];
            }
        }
        matrix
    }

    /// The slow oracle: M X Mᵀ on the leading n × n square, level by level.
    fn slow_dwt2(plane: &mut [f64], size: usize, wavelet: Wavelet, levels: u32) {
        for level in 0..levels {
            let n = size >> level;
            let matrix = level_matrix(wavelet, n);
            let square: Vec<Vec<f64>> = (0..n)
                .map(|r| plane[r * size..r * size + n].to_vec())
                .collect();
            let rows: Vec<Vec<f64>> = square
                .iter()
                .map(|row| {
                    matrix
                        .iter()
                        .map(|m| m.iter().zip(row).map(|(a, b)| a * b).sum())
                        .collect()
                })
                .collect();
            for (r, m) in matrix.iter().enumerate() {
                for c in 0..n {
                    plane[r * size + c] = (0..n).map(|i| m[i] * rows[i][c]).sum();
                }
            }
        }
    }

    fn each_case(mut test: impl FnMut(usize, Wavelet, u32)) {
        for size in [1, 2, 3, 4, 6, 7, 8, 12, 20, 28, 32, 64] {
            for wavelet in Wavelet::ALL {
                for levels in 0..=max_levels(size) {
                    test(size, wavelet, levels);
                }
            }
        }
    }

    #[test]
    fn the_transform_is_that_of_the_explicit_matrix() {
        each_case(|size, wavelet, levels| {
            let mut fast = noise(size as u64, size * size);
            let mut slow = fast.clone();
            dwt2(&mut fast, size, wavelet, levels, &mut Vec::new());
            slow_dwt2(&mut slow, size, wavelet, levels);
            let worst = fast
                .iter()
                .zip(&slow)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-11, "{size} {} {levels}: {worst}", wavelet.name());
        });
    }

    #[test]
    fn the_inverse_gives_the_plane_back_and_energy_is_kept() {
        let mut scratch = Vec::new();
        each_case(|size, wavelet, levels| {
            let plane = noise(7 + size as u64, size * size);
            let mut there = plane.clone();
            dwt2(&mut there, size, wavelet, levels, &mut scratch);
            let ratio = energy(&there) / energy(&plane);
            assert!(
                (ratio - 1.0).abs() < 1e-13,
                "{size} {} {levels}: {ratio}",
                wavelet.name()
            );
            idwt2(&mut there, size, wavelet, levels, &mut scratch);
            let worst = there
                .iter()
                .zip(&plane)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-11, "{size} {} {levels}: {worst}", wavelet.name());
        });
    }

    #[test]
    fn haar_is_half_the_signed_sums_of_four() {
        let mut plane = [1.0, 2.0, 4.0, 8.0];
        dwt2(&mut plane, 2, Wavelet::Haar, 1, &mut Vec::new());
        assert_eq!(
            plane,
            [
                7.5,
                (1.0 - 2.0 + 4.0 - 8.0) / 2.0,
                (1.0 + 2.0 - 4.0 - 8.0) / 2.0,
                (1.0 - 2.0 - 4.0 + 8.0) / 2.0
            ]
        );
    }

    #[test]
    fn a_shift_by_the_period_shifts_the_finest_bands() {
        let size = 16;
        for wavelet in Wavelet::ALL {
            let plane = noise(3, size * size);
            let mut shifted: Vec<f64> = (0..size * size)
                .map(|i| plane[(i / size + 2) % size * size + (i % size + 4) % size])
                .collect();
            let mut there = plane.clone();
            dwt2(&mut there, size, wavelet, 1, &mut Vec::new());
            dwt2(&mut shifted, size, wavelet, 1, &mut Vec::new());
            for (i, value) in shifted.iter().enumerate() {
                let (y, x) = (i / size, i % size);
                let from = (y / 8 * 8 + (y + 1) % 8) * size + x / 8 * 8 + (x + 2) % 8;
                assert!(
                    (value - there[from]).abs() < 1e-11,
                    "{} {i}",
                    wavelet.name()
                );
            }
        }
    }

    #[test]
    fn a_constant_plane_has_one_coefficient() {
        for wavelet in Wavelet::ALL {
            let mut plane = vec![3.0f64; 32 * 32];
            dwt2(&mut plane, 32, wavelet, 5, &mut Vec::new());
            assert!((plane[0] - 96.0).abs() < 1e-12);
            assert!(plane[1..].iter().all(|v| v.abs() < 1e-12));
        }
    }

    #[test]
    fn single_precision_is_near_double_precision() {
        each_case(|size, wavelet, levels| {
            let mut double = noise(size as u64, size * size);
            let mut single: Vec<f32> = double.iter().map(|&v| v as f32).collect();
            double
                .iter_mut()
                .zip(&single)
                .for_each(|(d, &s)| *d = f64::from(s));
            dwt2(&mut double, size, wavelet, levels, &mut Vec::new());
            dwt2(&mut single, size, wavelet, levels, &mut Vec::new());
            let bound = 128.0 * size as f64 * 1e-6;
            assert!(
                double
                    .iter()
                    .zip(&single)
                    .all(|(&d, &s)| (d - f64::from(s)).abs() < bound),
                "{size} {}",
                wavelet.name()
            );
        });
    }

    #[test]
    #[should_panic(expected = "cannot be halved")]
    fn an_odd_side_has_no_level() {
        dwt2(&mut [0.0f32; 49], 7, Wavelet::Haar, 1, &mut Vec::new());
    }
}
