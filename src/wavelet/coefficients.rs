//! A whole picture ⇄ its coefficients: the orthonormal colour rotation and the transform of every
//! plane.
//!
//! Red, green and blue are rotated to (R + G + B)/√3, (R − B)/√2 and (R − 2G + B)/√6: luma, and two
//! opponent-colour planes that are zero for grey pictures. The rotation is orthonormal, so norms
//! and distances are those of RGB. It is done as integer sums before the transform and one factor
//! after it: with [`Wavelet::Haar`] every coefficient is then an exact number, rounded once. Which
//! measure is taken of the coefficients is left to the caller.

use super::{Layout, Real, Wavelet, dwt2, idwt2};

/// Factors of the three colour planes: 1/√3, 1/√2, 1/√6.
const COLOUR_SCALE: [f64; 3] = [
    0.577_350_269_189_625_8,
    std::f64::consts::FRAC_1_SQRT_2,
    0.408_248_290_463_863,
];

/// The orthonormal wavelet coefficients of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients<T> {
    /// Which value stands where.
    pub layout: Layout,
    /// The values, plane after plane; in units of grey levels (the norm is that of the 8-bit
    /// samples).
    pub values: Vec<T>,
}

impl<T: Real> Default for Coefficients<T> {
    fn default() -> Self {
        Self {
            layout: Layout {
                size: 0,
                planes: 1,
                levels: 0,
            },
            values: Vec::new(),
        }
    }
}

impl<T: Real> Coefficients<T> {
    /// The coefficients of 8-bit samples: `size` × `size`, row by row, plane after plane; one plane
    /// (grey) or three (red, green, blue).
    ///
    /// `levels` of `None` goes on while the side is even. Cost: O(samples × taps), two allocations.
    ///
    /// # Panics
    /// If the number of samples is not `size`² × `planes`, `planes` is neither 1 nor 3, or the side
    /// cannot be halved so often.
    #[must_use]
    pub fn of(
        samples: &[u8],
        size: u16,
        planes: u8,
        wavelet: Wavelet,
        levels: Option<u32>,
    ) -> Self {
        let mut coefficients = Self::default();
        coefficients.of_into(samples, size, planes, wavelet, levels, &mut Vec::new());
        coefficients
    }

    /// [`Coefficients::of`] into buffers that are used again: replaces what `self` held.
    ///
    /// # Panics
    /// As [`Coefficients::of`].
    pub fn of_into(
        &mut self,
        samples: &[u8],
        size: u16,
        planes: u8,
        wavelet: Wavelet,
        levels: Option<u32>,
        scratch: &mut Vec<T>,
    ) {
        self.layout = levels.map_or_else(
            || Layout::full(size, planes),
            |levels| Layout::with_levels(size, planes, levels),
        );
        assert!(
            matches!(planes, 1 | 3),
            "a picture has one plane or three, not {planes}"
        );
        assert_eq!(
            samples.len(),
            self.layout.len(),
            "{planes} planes of side {size}"
        );
        self.values.resize(samples.len(), T::default());
        if samples.is_empty() {
            return;
        }
        if planes == 1 {
            self.values
                .iter_mut()
                .zip(samples)
                .for_each(|(value, &sample)| *value = T::from(i16::from(sample)));
        } else {
            oppose(samples, &mut self.values);
        }
        for (p, plane) in self
            .values
            .chunks_exact_mut(self.layout.plane_len())
            .enumerate()
        {
            dwt2(
                plane,
                usize::from(size),
                wavelet,
                u32::from(self.layout.levels),
                scratch,
            );
            if planes == 3 {
                scale(plane, T::from_f64(COLOUR_SCALE[p]));
            }
        }
    }

    /// The samples again, not rounded to integers: the inverse of [`Coefficients::of`] to rounding,
    /// in the same order of planes.
    ///
    /// # Panics
    /// If `values` is not as long as the layout says, or its planes are neither 1 nor 3.
    #[must_use]
    pub fn to_samples_f(&self, wavelet: Wavelet) -> Vec<T> {
        assert_eq!(self.values.len(), self.layout.len(), "{:?}", self.layout);
        assert!(matches!(self.layout.planes, 1 | 3), "{:?}", self.layout);
        let mut samples = self.values.clone();
        if samples.is_empty() {
            return samples;
        }
        let mut scratch = Vec::new();
        for (p, plane) in samples
            .chunks_exact_mut(self.layout.plane_len())
            .enumerate()
        {
            idwt2(
                plane,
                usize::from(self.layout.size),
                wavelet,
                u32::from(self.layout.levels),
                &mut scratch,
            );
            if self.layout.planes == 3 {
                scale(plane, T::from_f64(COLOUR_SCALE[p]));
            }
        }
        if self.layout.planes == 3 {
            unoppose(&mut samples);
        }
        samples
    }

    /// Subtracts from every plane its mean, in coefficient space.
    ///
    /// The mean of a plane is that of its LL band divided by 2^levels, whatever the wavelet
    /// (periodic, orthonormal, low-pass sum √2). Where LL is a single coefficient, it becomes
    /// exactly zero. Cost: O(LL).
    pub fn remove_mean(&mut self) {
        let (size, side) = (usize::from(self.layout.size), self.layout.coarsest_side());
        if self.values.is_empty() {
            return;
        }
        for plane in self.values.chunks_exact_mut(self.layout.plane_len()) {
            let mut sum = 0.0;
            for row in plane.chunks_exact(size).take(side) {
                row[..side].iter().for_each(|&value| sum += value.into());
            }
            let mean = T::from_f64(sum / (side * side) as f64);
            for row in plane.chunks_exact_mut(size).take(side) {
                row[..side]
                    .iter_mut()
                    .for_each(|value| *value = *value - mean);
            }
        }
    }

    /// The Euclidean norm, summed in double precision in one fixed order.
    #[must_use]
    pub fn norm(&self) -> f64 {
        let (chunks, rest) = self.values.as_chunks::<8>();
        let mut lanes = [0.0f64; 8];
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                let value: f64 = value.into();
                *lane += value * value;
            }
        }
        for (lane, &value) in lanes.iter_mut().zip(rest) {
            let value: f64 = value.into();
            *lane += value * value;
        }
        lanes.iter().sum::<f64>().sqrt()
    }
}

fn scale<T: Real>(plane: &mut [T], factor: T) {
    for value in plane {
        *value = *value * factor;
    }
}

/// R + G + B, R − B, R − 2G + B, without their factors: exact integers.
fn oppose<T: Real>(samples: &[u8], values: &mut [T]) {
    let plane = samples.len() / 3;
    let (red, rest) = samples.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let (luma, rest) = values.split_at_mut(plane);
    let (first, second) = rest.split_at_mut(plane);
    for ((((&r, &g), &b), luma), (first, second)) in red
        .iter()
        .zip(green)
        .zip(blue)
        .zip(luma)
        .zip(first.iter_mut().zip(second))
    {
        let (r, g, b) = (i16::from(r), i16::from(g), i16::from(b));
        *luma = T::from(r + g + b);
        *first = T::from(r - b);
        *second = T::from(r - 2 * g + b);
    }
}

/// Scaled opponent planes back to red, green, blue: the transpose of the rotation.
fn unoppose<T: Real>(planes: &mut [T]) {
    let len = planes.len() / 3;
    let (luma, rest) = planes.split_at_mut(len);
    let (first, second) = rest.split_at_mut(len);
    for ((luma, first), second) in luma.iter_mut().zip(first).zip(second) {
        let (l, a, b) = (*luma, *first, *second);
        *luma = l + a + b;
        *first = l - b - b;
        *second = l - a + b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn norm_and_distance_are_those_of_the_samples() {
        for (size, planes) in [(32, 3), (28, 1), (15, 3), (64, 3)] {
            let (x, y) = (
                noise(1, size * size * planes),
                noise(2, size * size * planes),
            );
            let of = |s: &[u8]| {
                Coefficients::<f64>::of(
                    s,
                    size as u16,
                    planes as u8,
                    Wavelet::Daubechies8Taps,
                    None,
                )
            };
            let (cx, cy) = (of(&x), of(&y));
            let norm = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            assert!((cx.norm() / norm - 1.0).abs() < 1e-13);
            let distance: f64 = x
                .iter()
                .zip(&y)
                .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                .sum();
            let in_coefficients: f64 = cx
                .values
                .iter()
                .zip(&cy.values)
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            assert!((in_coefficients / distance - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_samples_come_back_in_both_precisions() {
        for wavelet in Wavelet::ALL {
            for (size, planes) in [(32, 3), (28, 1), (7, 3), (2, 3), (1, 1)] {
                let samples = noise(5, size * size * planes);
                let double =
                    Coefficients::<f64>::of(&samples, size as u16, planes as u8, wavelet, None)
                        .to_samples_f(wavelet);
                let single =
                    Coefficients::<f32>::of(&samples, size as u16, planes as u8, wavelet, None)
                        .to_samples_f(wavelet);
                assert!(
                    samples
                        .iter()
                        .zip(&double)
                        .all(|(&s, &d)| (f64::from(s) - d).abs() < 1e-10)
                );
                assert!(
                    samples
                        .iter()
                        .zip(&single)
                        .all(|(&s, &d)| (f32::from(s) - d).abs() < 2e-3)
                );
            }
        }
    }

    #[test]
    fn haar_in_single_precision_is_double_precision_rounded() {
        let samples = noise(9, 64 * 64 * 3);
        let double = Coefficients::<f64>::of(&samples, 64, 3, Wavelet::Haar, None);
        let single = Coefficients::<f32>::of(&samples, 64, 3, Wavelet::Haar, None);
        for (d, &s) in double.values.iter().zip(&single.values) {
            assert!((d - f64::from(s)).abs() <= d.abs() * 1.2e-7);
        }
    }

    #[test]
    fn removing_the_mean_is_removing_it_from_the_samples() {
        for wavelet in Wavelet::ALL {
            for (size, levels) in [(32, None), (28, None), (32, Some(2)), (9, None)] {
                let samples = noise(11, size * size * 3);
                let mut coefficients =
                    Coefficients::<f64>::of(&samples, size as u16, 3, wavelet, levels);
                coefficients.remove_mean();
                for (before, after) in samples
                    .chunks(size * size)
                    .zip(coefficients.to_samples_f(wavelet).chunks(size * size))
                {
                    let mean =
                        before.iter().map(|&v| f64::from(v)).sum::<f64>() / (size * size) as f64;
                    assert!(
                        before
                            .iter()
                            .zip(after)
                            .all(|(&b, &a)| (f64::from(b) - mean - a).abs() < 1e-9)
                    );
                }
            }
        }
    }

    #[test]
    fn at_full_depth_removing_the_mean_zeroes_one_coefficient_a_plane() {
        let mut coefficients =
            Coefficients::<f32>::of(&noise(4, 3 * 1024), 32, 3, Wavelet::Haar, None);
        let before = coefficients.clone();
        coefficients.remove_mean();
        let changed: Vec<usize> = (0..3072)
            .filter(|&i| coefficients.values[i] != before.values[i])
            .collect();
        assert_eq!(changed, [0, 1024, 2048]);
        assert!(changed.iter().all(|&i| coefficients.values[i] == 0.0));
    }

    #[test]
    fn a_grey_picture_has_no_chroma() {
        let grey = noise(6, 1024);
        let coefficients =
            Coefficients::<f32>::of(&grey.repeat(3), 32, 3, Wavelet::Daubechies4Taps, None);
        assert!(coefficients.values[1024..].iter().all(|&v| v == 0.0));
    }

    #[test]
    fn buffers_used_again_give_the_same_coefficients() {
        let (mut reused, mut scratch) = (Coefficients::<f32>::default(), Vec::new());
        for (size, planes, wavelet) in [
            (64, 3, Wavelet::Haar),
            (28, 1, Wavelet::Daubechies8Taps),
            (32, 3, Wavelet::Daubechies4Taps),
        ] {
            let samples = noise(8, size * size * planes);
            reused.of_into(
                &samples,
                size as u16,
                planes as u8,
                wavelet,
                None,
                &mut scratch,
            );
            assert_eq!(
                reused,
                Coefficients::of(&samples, size as u16, planes as u8, wavelet, None)
            );
        }
    }
}
