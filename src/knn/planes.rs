//! Rows of `i16` → two planes of bytes: the high bytes, which are scanned, and the low bytes, which
//! make a distance exact.
//!
//! # Layout
//! A row of `m` values takes `stride` = `m` rounded up to a multiple of 64 bytes in each plane;
//! what is past `m` is zero. The high byte is `h = (v + 128) >> 8`, the low byte `l = v − 256 h ∈
//! [−128, 127]`, both signed; so `v = 256 h + l`. Beside the planes stand, per row, `|h|²` and
//! `⌈|l|⌉` ([`Norms`]).
//!
//! # Nothing saturates
//! A valid row has `Σv² ≤` [`MAX_LENGTH`]`²` = 32,500² (a unit vector times 32,000, rounded, is at
//! most 32,000 + √m / 2 ≤ 32,128 long). So `|v| ≤ 32,500` and `−127 ≤ h ≤ 127`; the distance of two
//! rows is at most 65,000, its square 4,225,000,000 < 2³². With `stride ≤` [`MAX_STRIDE`] = 65,536,
//! `|l| ≤ 128 · 256`, hence `|h| ≤ (32,500 + 32,768) / 256 < 255`, and a sum of 65,536 products of
//! an unsigned and a signed byte is at most 65,536 · 255 · 128 < 2³¹.
//!
//! Where the bytes are kept is left to the store.

use super::{
    bound::{FAR, ceil_root, high_limit},
    kernel::Kernel,
};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::{fmt, ops::Range};

/// The largest Euclidean length of a valid row.
pub const MAX_LENGTH: u64 = 32_500;
/// The largest number of bytes of a row in a plane.
pub const MAX_STRIDE: usize = 65_536;

const MEND: &str = "run `wsidx rebuild`";

/// What is known of a row beside its bytes: eight bytes, two little numbers, any bit pattern valid.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Norms {
    /// `|h|²`.
    pub high: u32,
    /// `⌈|l|⌉`.
    pub low: u32,
}

impl Norms {
    /// Whether the row is zero and so takes part in nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.high == 0 && self.low == 0
    }
}

/// Bytes of a row of `columns` values in each plane: the next multiple of 64, at least 64.
#[must_use]
pub fn stride_of(columns: usize) -> usize {
    columns.max(1).next_multiple_of(64)
}

/// Splits a row into its high and low bytes, fills the rest of both with zeros and returns the
/// norms.
///
/// # Panics
/// If `high` and `low` differ in length or are shorter than `values`, or if the row is longer than
/// [`MAX_LENGTH`].
pub fn split(values: &[i16], high: &mut [i8], low: &mut [i8]) -> Norms {
    assert!(
        values.len() <= high.len() && high.len() == low.len(),
        "{} values, planes of {} and {}",
        values.len(),
        high.len(),
        low.len()
    );
    let square: u64 = values
        .iter()
        .map(|&v| u64::from(v.unsigned_abs()).pow(2))
        .sum();
    assert!(
        square <= MAX_LENGTH * MAX_LENGTH,
        "a row with the squared length {square}, over {MAX_LENGTH}²"
    );
    let (used_high, rest_high) = high.split_at_mut(values.len());
    let (used_low, rest_low) = low.split_at_mut(values.len());
    for ((&v, h), l) in values.iter().zip(used_high).zip(used_low) {
        let upper = (i32::from(v) + 128) >> 8;
        *h = upper as i8;
        *l = (i32::from(v) - 256 * upper) as i8;
    }
    rest_high.fill(0);
    rest_low.fill(0);
    Row { high, low }.norms()
}

/// The two halves of one row, `stride` bytes each.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// High bytes.
    pub high: &'a [i8],
    /// Low bytes.
    pub low: &'a [i8],
}

impl Row<'_> {
    /// The norms, computed anew.
    fn norms(&self) -> Norms {
        let square = |bytes: &[i8]| {
            bytes
                .iter()
                .map(|&b| u32::from(b.unsigned_abs()).pow(2))
                .sum::<u32>()
        };
        Norms {
            high: square(self.high),
            low: ceil_root(square(self.low)),
        }
    }

    /// The values, with the zeros past the last column.
    pub fn values(&self) -> impl Iterator<Item = i32> + '_ {
        self.high
            .iter()
            .zip(self.low)
            .map(|(&h, &l)| 256 * i32::from(h) + i32::from(l))
    }
}

/// Whether planes of `high` and `low` bytes hold `rows` rows of `stride`.
fn check_shapes(stride: usize, rows: usize, high: usize, low: usize) -> Result<()> {
    if u32::try_from(rows).map_or(true, |rows| rows == u32::MAX) {
        return Err(Error::Input(format!(
            "{rows} feature rows; an index holds at most 4,294,967,294"
        )));
    }
    let is_stride = stride > 0 && stride.is_multiple_of(64) && stride <= MAX_STRIDE;
    if is_stride && rows.checked_mul(stride) == Some(high) && high == low {
        return Ok(());
    }
    Err(Error::Damaged {
        what: format!("feature planes of {high} and {low} bytes for {rows} rows of {stride}"),
        mend: MEND,
    })
}

/// Somebody who must know of bytes before they are read: planes that lie in a mapped file are
/// checked in parts, before first use.
///
/// Called from several threads, and more than once for the same rows. A guard that finds damage
/// remembers it, and whoever started the search then throws the answer away: bytes that are not
/// valid give wrong answers but never a panic.
pub trait Guard: Sync {
    /// The high bytes and the norms of these rows are about to be read.
    fn scanning(&self, rows: Range<usize>);
    /// The low bytes of this row are about to be read; its high bytes have been announced.
    fn measuring(&self, row: u32);
}

/// Rows that one thread splits at the least.
const SPLIT: usize = 64;

/// Rows that are announced at once where all are needed.
const ANNOUNCED: usize = 1 << 14;

/// What rows are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// All of their values.
    Values,
    /// The high bytes of their first columns, up to the next multiple of 64: distances are those of
    /// these bytes, in units of (256/32,000)². Low bytes are not read, and the bound has no margin
    /// for them. Which rows take part stays as it is: those that are not zero as a whole.
    HighBytes {
        /// How many columns.
        columns: usize,
    },
}

/// Rows as two borrowed planes, row after row, with their norms.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    stride: usize,
    /// Bytes of a row that count, from its first on.
    width: usize,
    /// Whether high bytes alone count.
    coarse: bool,
    high: &'a [i8],
    low: &'a [i8],
    norms: &'a [Norms],
    guard: Option<&'a dyn Guard>,
}

impl<'a> Planes<'a> {
    /// Planes of `norms.len()` rows of `stride` bytes. O(1): shapes are checked, contents are not
    /// (see [`Planes::check`]); rows that are not valid give wrong answers but never a panic.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the shapes do not fit each other, or `stride` is not a multiple of 64
    /// from 64 to [`MAX_STRIDE`]; [`Error::Input`] if there are more rows than a row number can
    /// tell apart.
    pub fn new(stride: usize, high: &'a [i8], low: &'a [i8], norms: &'a [Norms]) -> Result<Self> {
        check_shapes(stride, norms.len(), high.len(), low.len())?;
        Ok(Self {
            stride,
            width: stride,
            coarse: false,
            high,
            low,
            norms,
            guard: None,
        })
    }

    /// The same planes; searches and updates tell `guard` what they are about to read.
    ///
    /// What is read through [`Planes::row`] and the other methods here is not announced.
    #[must_use]
    pub fn guarded(self, guard: &'a dyn Guard) -> Self {
        Self {
            guard: Some(guard),
            ..self
        }
    }

    /// What rows are compared by.
    pub(super) fn compared(self, by: By) -> Self {
        match by {
            By::Values => self,
            By::HighBytes { columns } => Self {
                width: stride_of(columns).min(self.stride),
                coarse: true,
                ..self
            },
        }
    }

    /// Whether high bytes alone count.
    pub(super) fn is_coarse(&self) -> bool {
        self.coarse
    }

    /// Bytes of a row that count in each plane.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The norms of what counts of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn norms_of(&self, kernel: Kernel, row: u32) -> Norms {
        Norms {
            high: self.square_of(kernel, row),
            low: self.low_of(row),
        }
    }

    /// `⌈|l|⌉` of what counts of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn low_of(&self, row: u32) -> u32 {
        if self.coarse {
            0
        } else {
            self.norms[row as usize].low
        }
    }

    /// `U` for distances up to `k_distance` and the two low norms.
    pub(super) fn limit(&self, k_distance: u32, low_a: u32, low_b: u32) -> i32 {
        if self.coarse {
            k_distance.min(FAR as u32) as i32
        } else {
            high_limit(k_distance, low_a, low_b)
        }
    }

    /// The distance of a row of these, as it counts, from another that counts alike.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn squared_distance(&self, kernel: Kernel, own: Row<'_>, row: u32) -> u32 {
        if self.coarse {
            return kernel.high_distance(own.high, self.row(row).high) as u32;
        }
        self.measuring(row);
        kernel.squared_distance(own, self.row(row))
    }

    /// `|h|²` of what counts of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn square_of(&self, kernel: Kernel, row: u32) -> u32 {
        if self.width == self.stride {
            self.norms[row as usize].high
        } else {
            kernel.squared_length(self.row(row).high)
        }
    }

    /// Announces high bytes and norms.
    #[inline]
    pub(super) fn scanning(&self, rows: Range<usize>) {
        if let Some(guard) = self.guard {
            guard.scanning(rows);
        }
    }

    /// Announces the high bytes and norms of all rows, in parallel.
    pub(super) fn scanning_all(&self) {
        if let Some(guard) = self.guard {
            let part =
                |at: usize| guard.scanning(at * ANNOUNCED..self.rows().min((at + 1) * ANNOUNCED));
            (0..self.rows().div_ceil(ANNOUNCED))
                .into_par_iter()
                .for_each(part);
        }
    }

    /// Announces the low bytes of a row.
    #[inline]
    pub(super) fn measuring(&self, row: u32) {
        if let Some(guard) = self.guard {
            guard.measuring(row);
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.norms.len()
    }

    /// Bytes of a row in each plane.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The plane of high bytes, `rows × stride`.
    #[must_use]
    pub fn high(&self) -> &'a [i8] {
        self.high
    }

    /// The plane of low bytes, `rows × stride`.
    #[must_use]
    pub fn low(&self) -> &'a [i8] {
        self.low
    }

    /// The norms of all rows.
    #[must_use]
    pub fn norms(&self) -> &'a [Norms] {
        self.norms
    }

    /// What counts of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, row: u32) -> Row<'a> {
        let start = row as usize * self.stride;
        Row {
            high: &self.high[start..start + self.width],
            low: &self.low[start..start + self.width],
        }
    }

    /// Checks that every row is valid and has the norms stated. O(rows × stride).
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the first row that is not.
    pub fn check(&self) -> Result<()> {
        for (row, &stated) in (0..).zip(self.norms) {
            let bytes = self.row(row);
            let square: u64 = bytes
                .values()
                .map(|v| u64::from(v.unsigned_abs()).pow(2))
                .sum();
            if square > MAX_LENGTH * MAX_LENGTH || bytes.norms() != stated {
                return Err(Error::Damaged {
                    what: format!("feature row {row}"),
                    mend: MEND,
                });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Planes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guarded = self.guard.is_some();
        f.debug_struct("Planes")
            .field("rows", &self.rows())
            .field("stride", &self.stride)
            .field("guarded", &guarded)
            .finish()
    }
}

/// Rows in memory of their own, to which rows can be added.
#[derive(Clone, Debug)]
pub struct OwnedPlanes {
    columns: usize,
    high: Vec<i8>,
    low: Vec<i8>,
    norms: Vec<Norms>,
}

impl OwnedPlanes {
    /// No rows yet, of `columns` values.
    ///
    /// # Panics
    /// If `columns` is over [`MAX_STRIDE`].
    #[must_use]
    pub fn new(columns: usize) -> Self {
        assert!(
            columns <= MAX_STRIDE,
            "{columns} columns, at most {MAX_STRIDE}"
        );
        Self {
            columns,
            high: Vec::new(),
            low: Vec::new(),
            norms: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If `values` is not one row, is longer than [`MAX_LENGTH`], or there are 2³² − 2 rows
    /// already.
    pub fn push(&mut self, values: &[i16]) {
        self.extend(&[values]);
    }

    /// Adds rows, in parallel.
    ///
    /// # Panics
    /// As [`OwnedPlanes::push`].
    pub fn extend(&mut self, rows: &[&[i16]]) {
        assert!(
            rows.len() < u32::MAX as usize - self.norms.len(),
            "too many rows"
        );
        let (stride, start) = (stride_of(self.columns), self.norms.len());
        let end = start + rows.len();
        self.high.resize(end * stride, 0);
        self.low.resize(end * stride, 0);
        self.norms.resize(end, Norms::default());
        let halves = self
            .high
            .par_chunks_mut(stride)
            .zip(self.low.par_chunks_mut(stride))
            .skip(start);
        let norms = self.norms[start..].par_iter_mut();
        rows.par_iter()
            .zip(halves)
            .zip(norms)
            .with_min_len(SPLIT)
            .for_each(|((values, (high, low)), norms)| {
                assert_eq!(values.len(), self.columns, "values of a row");
                *norms = split(values, high, low);
            });
    }

    /// The rows so far.
    #[must_use]
    pub fn as_planes(&self) -> Planes<'_> {
        let stride = stride_of(self.columns);
        Planes {
            stride,
            width: stride,
            coarse: false,
            high: &self.high,
            low: &self.low,
            norms: &self.norms,
            guard: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_the_sum_of_its_bytes() {
        for v in -32_500..=32_500_i16 {
            let (mut high, mut low) = ([9; 64], [9; 64]);
            let norms = split(&[v], &mut high, &mut low);
            assert_eq!(256 * i32::from(high[0]) + i32::from(low[0]), i32::from(v));
            assert_eq!(
                norms,
                Norms {
                    high: u32::from(high[0].unsigned_abs()).pow(2),
                    low: u32::from(low[0].unsigned_abs())
                }
            );
            assert!(high[1..].iter().chain(&low[1..]).all(|&b| b == 0));
            assert_eq!(norms.is_zero(), v == 0);
        }
    }

    #[test]
    #[should_panic(expected = "squared length")]
    fn a_row_that_is_too_long_is_refused() {
        OwnedPlanes::new(2).push(&[32_500, 1]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let (bytes, norms) = ([0; 128], [Norms::default(); 2]);
        assert!(Planes::new(64, &bytes, &bytes, &norms).is_ok());
        assert!(Planes::new(64, &[], &[], &[]).is_ok());
        for (stride, high, low) in [
            (0, 128, 128),
            (32, 128, 128),
            (128, 128, 128),
            (64, 127, 128),
            (64, 128, 64),
            (1 << 63, 0, 0),
        ] {
            assert!(
                Planes::new(stride, &bytes[..high], &bytes[..low], &norms).is_err(),
                "{stride} {high} {low}"
            );
        }
    }

    #[test]
    fn more_rows_than_numbers_are_refused() {
        let most = u32::MAX as usize - 1;
        assert!(check_shapes(64, most, most * 64, most * 64).is_ok());
        for rows in [most + 1, most + 2, usize::MAX / 64] {
            let refused = check_shapes(64, rows, rows * 64, rows * 64).unwrap_err();
            assert!(
                matches!(&refused, Error::Input(what) if what.contains("at most 4,294,967,294")),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_changed_byte_is_found_by_the_check() {
        let mut planes = OwnedPlanes::new(3);
        planes.push(&[500, -7, 32_000]);
        planes.push(&[0, 0, 0]);
        assert!(planes.as_planes().check().is_ok());
        planes.low[64] = 1;
        assert!(planes.as_planes().check().is_err());
        planes.low[64] = 0;
        planes.high[1] = 100;
        assert!(planes.as_planes().check().is_err());
    }
}
