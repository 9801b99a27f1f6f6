//! Affine maps of the square [−1, 1]², and the eight symmetries of it.
//!
//! A picture's frame is that square whatever its number of samples: sample i of n lies at (2i +
//! 1)/n − 1. So one map holds at every level of a pyramid. Only the four operations and comparisons
//! are used: the same bits on every machine.

/// u ↦ (m₀ u₀ + m₁ u₁ + m₂, m₃ u₀ + m₄ u₁ + m₅), u₀ to the right, u₁ downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [f32; 6]);

impl Affine {
    /// The map that moves nothing.
    pub const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);

    /// Scales about the centre, then shifts.
    pub(super) const fn scale_and_shift(scale: [f32; 2], shift: [f32; 2]) -> Self {
        Self([scale[0], 0.0, shift[0], 0.0, scale[1], shift[1]])
    }

    /// Where a point goes.
    #[must_use]
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let m = &self.0;
        [m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]]
    }

    /// First `inner`, then `self`.
    #[must_use]
    pub fn after(&self, inner: &Self) -> Self {
        let ([a, b, tx, c, d, ty], [e, f, ux, g, h, uy]) = (self.0, inner.0);
        Self([
            a * e + b * g,
            a * f + b * h,
            a * ux + b * uy + tx,
            c * e + d * g,
            c * f + d * h,
            c * ux + d * uy + ty,
        ])
    }

    /// By what areas grow; negative where the map mirrors.
    #[must_use]
    pub fn determinant(&self) -> f32 {
        self.0[0] * self.0[4] - self.0[1] * self.0[3]
    }

    /// The map back; `None` if this one flattens the square, or nearly.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let ([a, b, tx, c, d, ty], det) = (self.0, self.determinant());
        if det.abs() < 1e-3 || !det.is_finite() {
            return None;
        }
        let [p, q, r, s] = [d / det, -b / det, -c / det, a / det];
        Some(Self([p, q, -(p * tx + q * ty), r, s, -(r * tx + s * ty)]))
    }

    /// The lengths that one step to the right and one step down are mapped to.
    #[must_use]
    pub fn scales(&self) -> [f32; 2] {
        let m = &self.0;
        [
            (m[0] * m[0] + m[3] * m[3]).sqrt(),
            (m[1] * m[1] + m[4] * m[4]).sqrt(),
        ]
    }

    /// The farthest, across or down, that this map and another take a point of the square apart.
    #[must_use]
    pub(super) fn apart(&self, other: &Self) -> f32 {
        let d: [f32; 6] = std::array::from_fn(|i| (self.0[i] - other.0[i]).abs());
        (d[0] + d[1] + d[2]).max(d[3] + d[4] + d[5])
    }

    /// The sine of the angle by which the axes turn, on the mean of both; positive clockwise, as u₁
    /// points downwards.
    #[must_use]
    pub fn sine(&self) -> f32 {
        let ([across, down], m) = (self.scales(), &self.0);
        if across <= 0.0 || down <= 0.0 {
            0.0
        } else {
            0.5 * (m[3] / across - m[1] / down)
        }
    }
}

/// A symmetry of the square: a quarter turn or none, after a mirror or none. Bit 2 mirrors left and
/// right; bits 0 and 1 then count quarter turns counter-clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn(u8);

impl Turn {
    /// As it is.
    pub const NONE: Self = Self(0);
    /// All eight; [`Turn::NONE`] first.
    pub const ALL: [Self; 8] = [
        Self(0),
        Self(1),
        Self(2),
        Self(3),
        Self(4),
        Self(5),
        Self(6),
        Self(7),
    ];

    /// Whether left and right are exchanged.
    #[must_use]
    pub const fn mirrors(self) -> bool {
        self.0 & 4 != 0
    }

    /// Counter-clockwise quarter turns after that, 0 to 3.
    #[must_use]
    pub const fn quarters(self) -> u8 {
        self.0 & 3
    }

    /// The turn that undoes this one: a mirror image is undone by itself.
    #[must_use]
    pub const fn inverse(self) -> Self {
        if self.mirrors() {
            self
        } else {
            Self((4 - self.0) & 3)
        }
    }

    /// The place of this turn in [`Turn::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The map from the frame of the turned picture to that of the original.
    #[must_use]
    pub fn to_original(self) -> Affine {
        let quarter = match self.quarters() {
            0 => [1.0, 0.0, 0.0, 1.0],
            1 => [0.0, -1.0, 1.0, 0.0],
            2 => [-1.0, 0.0, 0.0, -1.0],
            _ => [0.0, 1.0, -1.0, 0.0],
        };
        let mirror = if self.mirrors() { -1.0 } else { 1.0 };
        Affine([
            mirror * quarter[0],
            mirror * quarter[1],
            0.0,
            quarter[2],
            quarter[3],
            0.0,
        ])
    }

    /// Where right and down of the turned picture point to in the original: [`Turn::to_original`]
    /// in whole numbers.
    #[must_use]
    pub fn directions(self) -> [[i32; 2]; 2] {
        let [a, b, _, c, d, _] = self.to_original().0;
        [[a as i32, b as i32], [c as i32, d as i32]]
    }

    /// A square plane of side n, turned.
    #[must_use]
    pub fn of<T: Copy>(self, plane: &[T], n: usize) -> Vec<T> {
        let place = |x: usize, y: usize| {
            let [x, y] = match self.quarters() {
                0 => [x, y],
                1 => [n - 1 - y, x],
                2 => [n - 1 - x, n - 1 - y],
                _ => [y, n - 1 - x],
            };
            if self.mirrors() {
                y * n + n - 1 - x
            } else {
                y * n + x
            }
        };
        let mut turned = Vec::with_capacity(n * n);
        for y in 0..n {
            // A row of the turned plane is a line of the other, at even steps.
            let (first, step) = (
                place(0, y),
                place(n.min(2) - 1, y).wrapping_sub(place(0, y)),
            );
            turned.extend((0..n).map(|x| plane[first.wrapping_add(step.wrapping_mul(x))]));
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_and_its_inverse_leave_points_alone() {
        let map = Affine([0.9, 0.1, 0.2, -0.15, 1.2, -0.3]);
        let both = map.after(&map.inverse().unwrap());
        for (m, id) in both.0.iter().zip(Affine::IDENTITY.0) {
            assert!((m - id).abs() < 1e-6, "{both:?}");
        }
        assert_eq!(Affine([1.0, 1.0, 0.0, 1.0, 1.0, 0.0]).inverse(), None);
    }

    #[test]
    fn turns_of_planes_and_of_frames_are_the_same_and_inverses_undo_them() {
        let n = 4;
        let plane: Vec<usize> = (0..n * n).collect();
        let at = |i: usize| (2 * i + 1) as f32 / n as f32 - 1.0;
        for turn in Turn::ALL {
            let turned = turn.of(&plane, n);
            for y in 0..n {
                for x in 0..n {
                    let [u, v] = turn.to_original().apply([at(x), at(y)]);
                    let index = |u: f32| (((u + 1.0) * n as f32 - 1.0) / 2.0).round() as usize;
                    assert_eq!(
                        turned[y * n + x],
                        plane[index(v) * n + index(u)],
                        "{turn:?} {x} {y}"
                    );
                }
            }
            assert_eq!(turn.inverse().of(&turned, n), plane, "{turn:?}");
        }
    }

    #[test]
    fn a_small_turn_has_its_sine() {
        let (sine, cosine) = (0.1f32, (1.0f32 - 0.01).sqrt());
        let map = Affine([
            cosine * 0.8,
            -sine * 1.1,
            0.0,
            sine * 0.8,
            cosine * 1.1,
            0.0,
        ]);
        assert!((map.sine() - 0.1).abs() < 1e-6);
        let scales = map.scales();
        assert!((scales[0] - 0.8).abs() < 1e-6 && (scales[1] - 1.1).abs() < 1e-6);
    }
}
