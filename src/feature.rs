//! Basis; Coefficients → Feature: what the exact search compares.
//!
//! A picture's coefficients, with the mean of every plane removed and the norm set to one, are a
//! unit vector; squared distance between two of them is 2(1 − ρ), ρ the correlation of the
//! pictures. A [`Basis`] names the columns that are kept (the search basis: chosen by
//! rank-revealing QR, Yousefzadeh 2020, section 3.2), and a [`Feature`] is those components times
//! [`SCALE`], rounded to integers. From there on every distance is an exact integer.
//!
//! The loss against the real-valued vector: each component is off by at most 1/(2·SCALE), so over m
//! columns a distance d in units of the unit vector is off by at most √m / SCALE (0.00035 for 128
//! columns).
//!
//! Which contents a basis is fitted on, and when, is the index's to decide; the factorisation is in
//! [`crate::rrqr`].

use crate::{
    rrqr::{Stop, select_columns},
    wavelet::{Coefficients, Layout, Wavelet},
};

/// What a unit component is multiplied by. Under 2¹⁵, so that components fit i16, and squared
/// distances of unit vectors fit u32.
pub const SCALE: u32 = 32_000;

/// The scale of the integers that a basis is fitted on; see [`select_columns`].
const FIT_SCALE: f32 = 8_192.0;

/// The root-mean-square contrast, in grey levels, under which a picture has no direction.
pub const FLAT_CONTRAST: f64 = 2.0;

/// The most contents that a basis is fitted on.
pub const FIT_CONTENTS: usize = 8_192;

/// The fewest contents that a basis is fitted on; below, the built-in one serves.
pub const FIT_AT: usize = 1_000;

/// Integer components of a normalised picture at the columns of a [`Basis`]; all zero for a flat
/// picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feature(pub Vec<i16>);

impl Feature {
    /// Whether the picture had no direction; such a feature is in no list.
    pub fn is_flat(&self) -> bool {
        self.0.iter().all(|&v| v == 0)
    }

    /// The exact squared distance to the components of another feature, in units of 1/[`SCALE`]²,
    /// in O(m). Components past the last are not read.
    pub fn squared_distance(&self, other: impl Iterator<Item = i32>) -> u32 {
        let square: i64 = self
            .0
            .iter()
            .zip(other)
            .map(|(&a, b)| (i64::from(a) - i64::from(b)).pow(2))
            .sum();
        u32::try_from(square).unwrap_or(u32::MAX)
    }

    /// The components.
    pub fn values(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.iter().map(|&v| i32::from(v))
    }
}

/// The columns that make a Feature, in the order in which rank-revealing QR chose them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// Indices into the coefficients of [`Layout`], most independent first.
    pub columns: Vec<u32>,
    /// Whether the columns were chosen from data, or are the built-in coarse bands.
    pub fitted: bool,
}

impl Basis {
    /// The built-in basis: the `max_features` coarsest columns, luma first inside a level; the
    /// means, which are removed, left out.
    pub fn built_in(layout: &Layout, max_features: usize) -> Self {
        let has_mean_column = layout.coarsest_side() == 1;
        let is_mean = |index: usize| has_mean_column && index.is_multiple_of(layout.plane_len());
        let columns = layout
            .coarse_to_fine()
            .into_iter()
            .filter(|&i| !is_mean(i))
            .take(max_features)
            .map(|i| i as u32)
            .collect();
        Self {
            columns,
            fitted: false,
        }
    }

    /// A stored basis, if its columns are those of the layout.
    pub fn stored(columns: &[u32], fitted: bool, layout: &Layout) -> Option<Self> {
        let known = columns
            .iter()
            .all(|&column| (column as usize) < layout.len());
        (known && !columns.is_empty()).then(|| Self {
            columns: columns.to_vec(),
            fitted,
        })
    }

    /// Chooses at most `max_features` columns by rank-revealing QR of the [`fit_row`]s of the
    /// contents, in the order of their ids. Returns `None` where the pictures have no independent
    /// column at all (all flat).
    ///
    /// # Panics
    /// If the rows have different lengths.
    pub fn fit(rows: &[Vec<i16>], max_features: usize) -> Option<Self> {
        let columns: Vec<u32> = select_columns(
            rows,
            Stop {
                tolerance: 0.0,
                max_columns: max_features,
            },
        )
        .into_iter()
        .map(|c| c as u32)
        .collect();
        (!columns.is_empty()).then_some(Self {
            columns,
            fitted: true,
        })
    }

    /// The length m of a Feature.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The fingerprint of all that a Feature depends on; indexes with different fingerprints hold
    /// features that cannot be compared.
    pub fn fingerprint(&self, layout: &Layout, wavelet: Wavelet) -> [u8; 32] {
        let mut hash = blake3::Hasher::new();
        hash.update(b"wsidx basis/1\0");
        hash.update(crate::picture::DECODER.as_bytes());
        hash.update(wavelet.name().as_bytes());
        for number in [
            layout.size.into(),
            layout.planes.into(),
            layout.levels.into(),
            SCALE,
            self.columns.len() as u32,
        ] {
            hash.update(&number.to_le_bytes());
        }
        for column in &self.columns {
            hash.update(&column.to_le_bytes());
        }
        *hash.finalize().as_bytes()
    }

    /// The Feature of a picture's coefficients. The coefficients come back with their mean removed.
    ///
    /// # Panics
    /// If the basis has a column that the coefficients have not.
    pub fn feature(&self, coefficients: &mut Coefficients<f32>) -> Feature {
        let values = match normaliser(coefficients) {
            Some(inverse_norm) => {
                let all = &coefficients.values;
                self.columns
                    .iter()
                    .map(|&c| quantise(all[c as usize], inverse_norm, SCALE as f32))
                    .collect()
            }
            None => vec![0; self.columns.len()],
        };
        Feature(values)
    }

    /// Where the columns of turned pictures stand, with Haar's wavelet; see
    /// [`Layout::haar_turned`].
    pub fn turned(&self, layout: &Layout, turn: [[i32; 2]; 2]) -> Turned {
        Turned(
            self.columns
                .iter()
                .map(|&column| layout.haar_turned(column as usize, turn))
                .collect(),
        )
    }
}

/// The columns of a [`Basis`] for pictures that are turned.
#[derive(Debug, Clone)]
pub struct Turned(Vec<(usize, bool)>);

impl Turned {
    /// The Features of the turned pictures, by the coefficients of the picture itself, which come
    /// back with their mean removed: those of [`Basis::feature`], to the rounding of the norm.
    ///
    /// # Panics
    /// If they are of another layout.
    pub fn features(turns: &[&Self], coefficients: &mut Coefficients<f32>) -> Vec<Feature> {
        let inverse_norm = normaliser(coefficients).unwrap_or(0.0);
        let component = |&(column, negative): &(usize, bool)| {
            let value = coefficients.values[column];
            quantise(
                if negative { -value } else { value },
                inverse_norm,
                SCALE as f32,
            )
        };
        turns
            .iter()
            .map(|turn| Feature(turn.0.iter().map(component).collect()))
            .collect()
    }
}

/// Removes the mean; returns one over the norm, or `None` where the contrast is under
/// [`FLAT_CONTRAST`].
fn normaliser(coefficients: &mut Coefficients<f32>) -> Option<f32> {
    coefficients.remove_mean();
    let norm = coefficients.norm();
    let rms = norm / (coefficients.values.len() as f64).sqrt();
    (rms >= FLAT_CONTRAST).then(|| (1.0 / norm) as f32)
}

fn quantise(value: f32, inverse_norm: f32, scale: f32) -> i16 {
    let unit = (value * inverse_norm).clamp(-1.0, 1.0);
    (unit * scale).round() as i16
}

/// The integer row of a picture from which a basis can be fitted; `None` for a flat picture, which
/// tells nothing.
pub fn fit_row(coefficients: &mut Coefficients<f32>) -> Option<Vec<i16>> {
    let inverse_norm = normaliser(coefficients)?;
    Some(
        coefficients
            .values
            .iter()
            .map(|&v| quantise(v, inverse_norm, FIT_SCALE))
            .collect(),
    )
}
