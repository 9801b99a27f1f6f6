//! The orthonormal wavelet filters, by name.
//!
//! Daubechies 1988, "Orthonormal bases of compactly supported wavelets", Comm. Pure Appl. Math.
//! 41(7); "Ten Lectures on Wavelets" (1992), table 6.1. The digits were computed anew by spectral
//! factorisation in 50-digit arithmetic and rounded once to f64; the tests check the relations that
//! define them. What the filters are applied to is left to [`dwt2`](super::dwt2).

use crate::error::Error;
use std::str::FromStr;

/// 1/√2 in the precision of f64.
const HALF_ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// Low-pass filter with 2 taps.
pub(super) const HAAR: [f64; 2] = [HALF_ROOT, HALF_ROOT];

/// Low-pass filter with 4 taps: (1 + √3, 3 + √3, 3 − √3, 1 − √3) / (4√2).
pub(super) const DAUBECHIES_4: [f64; 4] = [
    0.482_962_913_144_534_16,
    0.836_516_303_737_807_9,
    0.224_143_868_042_013_4,
    -0.129_409_522_551_260_37,
];

/// Low-pass filter with 8 taps (four vanishing moments).
pub(super) const DAUBECHIES_8: [f64; 8] = [
    0.230_377_813_308_896_5,
    0.714_846_570_552_915_6,
    0.630_880_767_929_858_9,
    -0.027_983_769_416_859_854,
    -0.187_034_811_719_093_1,
    0.030_841_381_835_560_764,
    0.032_883_011_666_885_2,
    -0.010_597_401_785_069_032,
];

/// An orthonormal wavelet, named by its number of taps, because "Daubechies 4" means four taps to
/// some and eight to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wavelet {
    /// Two taps: sums and differences of neighbours (Haar 1910).
    #[default]
    Haar,
    /// Four taps, two vanishing moments ("db2" in PyWavelets).
    Daubechies4Taps,
    /// Eight taps, four vanishing moments ("db4" in PyWavelets).
    Daubechies8Taps,
}

impl Wavelet {
    /// All wavelets, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Haar, Self::Daubechies4Taps, Self::Daubechies8Taps];

    /// The name in settings and reports: `haar`, `daubechies-4-taps`, `daubechies-8-taps`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Haar => "haar",
            Self::Daubechies4Taps => "daubechies-4-taps",
            Self::Daubechies8Taps => "daubechies-8-taps",
        }
    }

    /// The number in stored files: 0, 1, 2. It never changes its meaning.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Haar => 0,
            Self::Daubechies4Taps => 1,
            Self::Daubechies8Taps => 2,
        }
    }

    /// The wavelet of a stored number; `None` if no version of this code has written it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|wavelet| wavelet.code() == code)
    }

    /// The low-pass filter h: taps, sum √2, norm 1, orthogonal to itself shifted by any even
    /// number.
    ///
    /// The high-pass filter is g\[i\] = (−1)^i h\[taps − 1 − i\].
    #[must_use]
    pub fn low_pass(self) -> &'static [f64] {
        match self {
            Self::Haar => &HAAR,
            Self::Daubechies4Taps => &DAUBECHIES_4,
            Self::Daubechies8Taps => &DAUBECHIES_8,
        }
    }
}

impl FromStr for Wavelet {
    type Err = Error;

    /// # Errors
    /// [`Error::Input`] if no wavelet has that name; the message lists them.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|wavelet| wavelet.name() == name)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                Error::Input(format!(
                    "there is no wavelet named {name:?}; choose one of {known}"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_orthonormal_to_its_even_shifts_and_sums_to_root_two() {
        for wavelet in Wavelet::ALL {
            let h = wavelet.low_pass();
            assert!(
                (h.iter().sum::<f64>() - std::f64::consts::SQRT_2).abs() < 4e-16,
                "{}",
                wavelet.name()
            );
            for shift in (0..h.len()).step_by(2) {
                let product: f64 = h[shift..].iter().zip(h).map(|(a, b)| a * b).sum();
                assert!(
                    (product - f64::from(u8::from(shift == 0))).abs() < 3e-16,
                    "{} shift {shift}: {product}",
                    wavelet.name()
                );
            }
        }
    }

    #[test]
    fn a_filter_of_2p_taps_has_p_vanishing_moments() {
        for wavelet in Wavelet::ALL {
            let h = wavelet.low_pass();
            for power in 0..h.len() / 2 {
                let moment: f64 = h
                    .iter()
                    .rev()
                    .enumerate()
                    .map(|(i, c)| c * (-1f64).powi(i as i32) * (i as f64).powi(power as i32))
                    .sum();
                assert!(
                    moment.abs() < 1e-13,
                    "{} moment {power}: {moment}",
                    wavelet.name()
                );
            }
        }
    }

    #[test]
    fn four_taps_are_their_closed_form() {
        let root3 = 3f64.sqrt();
        let scale = 4.0 * std::f64::consts::SQRT_2;
        let formula = [1.0 + root3, 3.0 + root3, 3.0 - root3, 1.0 - root3].map(|c| c / scale);
        for (tap, expected) in DAUBECHIES_4.iter().zip(formula) {
            assert!((tap - expected).abs() < 3e-16);
        }
    }

    #[test]
    fn names_and_codes_lead_back_to_the_wavelet() {
        for wavelet in Wavelet::ALL {
            assert_eq!(wavelet.name().parse::<Wavelet>().unwrap(), wavelet);
            assert_eq!(Wavelet::from_code(wavelet.code()), Some(wavelet));
        }
        assert_eq!(Wavelet::from_code(3), None);
        assert!(
            "db4"
                .parse::<Wavelet>()
                .unwrap_err()
                .to_string()
                .contains("daubechies-8-taps")
        );
    }
}
