//! A wanted distance → a bound on the high bytes alone, and its form for the kernels.
//!
//! # The margin
//! A row is `v = 256 h + l`, so `v_a − v_b = 256 (h_a − h_b) + (l_a − l_b)`, and by the triangle
//! inequality, twice, `|v_a − v_b| ≥ 256 |h_a − h_b| − |l_a − l_b| ≥ 256 |h_a − h_b| − |l_a| −
//! |l_b|`. So if `|v_a − v_b|² ≤ D`, and `T ≥ √D`, `L_a ≥ |l_a|`, `L_b ≥ |l_b|`, then with `s = T +
//! L_a + L_b`
//!
//! `H := |h_a − h_b|² = n_a + n_b − 2 h_a·h_b ≤ (s / 256)²`, where `n = |h|²`.
//!
//! No pair at distance `≤ D` has a larger `H`; a pair that has is skipped without error. `L` may be
//! any upper bound, so one maximum serves all rows of the other side. [`high_limit`] gives `U = ⌊(s
//! / 256)²⌋` or a little more: with `q = ⌈s / 4⌉`, `(s / 256)² ≤ q² / 4096`.
//!
//! # The form for the kernels
//! A kernel forms `c = h_a·h_b − ⌊n_b / 2⌋`, hence `2c ≥ 2 h_a·h_b − n_b = n_a − H`. If `H ≤ U_a`
//! then `2c ≥ n_a − U_a`, so `c ≥ own_a := ⌊(n_a − U_a) / 2⌋`; if `H ≤ U_b` then `c ≥ half_a +
//! other_b`, where `half_a := ⌊n_a / 2⌋` and `other_b := −⌈U_b / 2⌉`. A pair survives if `c ≥
//! min(own_a, half_a + other_b)`: wanted by either side, it survives.
//!
//! # In floating point
//! A scan of one query needs `U_b` of every row, so [`Sieve::other_limit`] forms it in `f32`, in
//! vectors. It rounds eight times (to `f32` twice, the root, two sums, two products, the constant),
//! each by a factor of at least `1 − 2⁻²⁴`, and squares the first few; so what comes out is at
//! least `(1 − 2⁻²⁴)¹⁴ (1 + 2⁻²⁰) > 1` times `(s / 256)²`. `H` of valid rows is under 2²⁴, hence
//! exact. A k-distance of [`OPEN`] needs no care: its root bounds that of every distance.
//!
//! All of it fits `i32`: for valid rows `n ≤ 255²`, `s ≤ 65,536 + 2 · 32,768`, and [`FAR`] is 2²⁸.
//! Damaged norms give wrong bounds, never a panic.

use super::planes::Norms;

/// A distance that bounds nothing: larger than any between two rows.
pub(super) const OPEN: u32 = u32::MAX;
/// Larger than any `H` of valid rows, small enough that sums of a few of it fit `i32`.
pub(super) const FAR: i32 = 1 << 28;

/// `⌈√square⌉`, exact: the rounded `f64` root of a whole number under 2³² has the right whole part,
/// which is one short if its square is.
#[inline]
pub(super) fn ceil_root(square: u32) -> u32 {
    let floor = f64::from(square).sqrt() as i64;
    (floor + i64::from(floor * floor < i64::from(square))) as u32
}

/// `U` for distances up to `k_distance` and the two low norms: the largest `H` that such a pair can
/// have, or slightly more.
pub(super) fn high_limit(k_distance: u32, low_a: u32, low_b: u32) -> i32 {
    if k_distance == OPEN {
        return FAR;
    }
    let quarter =
        (u64::from(ceil_root(k_distance)) + u64::from(low_a) + u64::from(low_b)).div_ceil(4);
    ((quarter * quarter) >> 12).min(FAR as u64) as i32
}

/// What a query brings to the test of survival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueryBound {
    /// `own_a`: at or above this the query wants the pair.
    pub(super) own: i32,
    /// `half_a`: at or above `half_a + other_b` the target wants it.
    pub(super) half: i32,
}

impl QueryBound {
    /// A place without a row: nothing survives.
    pub(super) const EMPTY: Self = Self {
        own: 1 << 30,
        half: 1 << 30,
    };

    /// The bound of a row with `|h|² = high` and the limit `U`.
    pub(super) fn new(high: u32, limit: i32) -> Self {
        let high = high.min(1 << 29) as i32;
        Self {
            own: (high - limit) >> 1,
            half: high >> 1,
        }
    }
}

/// What a query brings to a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sieve {
    /// `n_a`.
    pub(super) high: i32,
    /// `U_a`: the query wants a row whose `H` is at most this.
    pub(super) limit: i32,
    /// `L_a`.
    pub(super) low: f32,
}

impl Sieve {
    /// The sieve of a query with these norms whose k-distance is `k_distance`, for rows whose low
    /// norm is at most `low`.
    pub(super) fn new(norms: Norms, k_distance: u32, low: u32) -> Self {
        Self {
            high: norms.high.min(1 << 29) as i32,
            limit: high_limit(k_distance, norms.low, low),
            low: norms.low as f32,
        }
    }

    /// `H` of a row with this `n_b` and dot product.
    #[inline(always)]
    pub(super) fn apart(&self, high: u32, dot: i32) -> i32 {
        (high as i32)
            .wrapping_add(self.high)
            .wrapping_sub(dot.wrapping_mul(2))
    }

    /// `U_b` of a row in floating point, or a little more; see "In floating point".
    #[inline(always)]
    pub(super) fn other_limit(&self, k_distance: u32, low: u32) -> f32 {
        const SCALE: f32 = (1.0 + 1.0 / 1_048_576.0) / 65_536.0;
        let s = (k_distance as f32).sqrt() + self.low + low as f32;
        s * s * SCALE
    }
}

/// `other_b` of a target with the limit `U`; `None` if targets want nothing.
pub(super) fn target_bound(limit: Option<i32>) -> i32 {
    limit.map_or(FAR, |limit| -((limit + 1) >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_smallest_whole_number_whose_square_suffices() {
        for root in [0_u64, 1, 2, 3, 255, 256, 40_000, 65_000, 65_535] {
            let square = root * root;
            for value in [square.saturating_sub(1), square, square + 1, square + root] {
                let found = u64::from(ceil_root(value as u32));
                assert!(
                    found * found >= value && (found == 0 || (found - 1) * (found - 1) < value),
                    "{value}"
                );
            }
        }
        assert_eq!(ceil_root(u32::MAX), 65_536);
    }

    #[test]
    fn the_limit_is_never_under_the_real_bound_and_close_to_it() {
        for (k_distance, a, b) in [
            (0, 0, 0),
            (1, 0, 1),
            (65_535, 3, 8),
            (600_000_000, 836, 900),
            (4_225_000_000, 32_768, 32_768),
        ] {
            let s = f64::from(k_distance).sqrt() + f64::from(a) + f64::from(b);
            let limit = f64::from(high_limit(k_distance, a, b));
            assert!(limit >= (s * s / 65_536.0).floor(), "{k_distance} {a} {b}");
            assert!(
                limit <= (s + 5.0).powi(2) / 65_536.0,
                "{k_distance} {a} {b}"
            );
        }
        assert_eq!(high_limit(OPEN, 0, 0), FAR);
    }
}
