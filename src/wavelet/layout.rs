//! Which coefficient stands where: index ⇄ plane, level, subband, row, column.
//!
//! Planes stand one after another; within a plane the coefficients stand in Mallat's layout (Mallat
//! 1989): the four quadrants of a square are LL (top left), HL (top right), LH (bottom left) and HH
//! (bottom right), and LL is divided again for every further level.

/// One of the four outputs of a separable transform. The first letter is the filter along the row
/// (x), the second along the column (y); L is the low-pass (averages), H the high-pass
/// (differences).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subband {
    /// Low along the row, low along the column: the coarse picture. Only at the coarsest level.
    LL,
    /// Low along the row, high along the column: horizontal edges. Bottom left.
    LH,
    /// High along the row, low along the column: vertical edges. Top right.
    HL,
    /// High along both: corners and diagonals. Bottom right.
    HH,
}

/// The place of one coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Band {
    /// 0 is luma or grey; 1 and 2 are the chroma planes.
    pub plane: u8,
    /// How often the picture was halved: 1 is the finest. 0 only for the samples of a transform
    /// without levels.
    pub level: u8,
    /// Which filters made it.
    pub subband: Subband,
    /// Row within the subband, from the top.
    pub row: u16,
    /// Column within the subband, from the left.
    pub col: u16,
}

/// The shape of a coefficient vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Side of the picture in samples.
    pub size: u16,
    /// Number of planes: 1 or 3 for pictures, any number here.
    pub planes: u8,
    /// Number of levels; `size` is divisible by 2^levels.
    pub levels: u8,
}

/// How often a side can be halved: the number of factors 2 in `size` (28 → 2, 64 → 6, odd → 0, 0 →
/// 0).
#[must_use]
pub fn max_levels(size: usize) -> u32 {
    if size == 0 { 0 } else { size.trailing_zeros() }
}

impl Layout {
    /// The layout of a transform that goes on while the side is even.
    #[must_use]
    pub fn full(size: u16, planes: u8) -> Self {
        // A u16 has at most 15 factors of two, so the number of levels fits.
        Self {
            size,
            planes,
            levels: max_levels(usize::from(size)) as u8,
        }
    }

    /// The layout of a transform of `levels` levels.
    ///
    /// # Panics
    /// If the side cannot be halved so often.
    #[must_use]
    pub fn with_levels(size: u16, planes: u8, levels: u32) -> Self {
        let most = max_levels(usize::from(size));
        assert!(
            levels <= most,
            "a side of {size} can be halved {most} times, not {levels}"
        );
        Self {
            size,
            planes,
            levels: levels as u8,
        }
    }

    /// Number of coefficients: `size`² × `planes`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plane_len() * usize::from(self.planes)
    }

    /// Whether there are no coefficients at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of coefficients of one plane: `size`².
    #[must_use]
    pub fn plane_len(&self) -> usize {
        usize::from(self.size) * usize::from(self.size)
    }

    /// Side of the coarsest subbands, LL among them: `size` / 2^levels.
    #[must_use]
    pub fn coarsest_side(&self) -> usize {
        usize::from(self.size) >> self.levels
    }

    /// The place of the coefficient at `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Layout::len`].
    #[must_use]
    pub fn band(&self, index: usize) -> Band {
        assert!(
            index < self.len(),
            "there are {} coefficients, none at {index}",
            self.len()
        );
        let plane = (index / self.plane_len()) as u8;
        let within = index % self.plane_len();
        let (y, x) = (
            within / usize::from(self.size),
            within % usize::from(self.size),
        );
        let (level, side) = (1..=self.levels)
            .map(|level| (level, usize::from(self.size) >> level))
            .find(|&(_, side)| y >= side || x >= side)
            .unwrap_or((self.levels, usize::MAX));
        let subband = match (x >= side, y >= side) {
            (false, false) => Subband::LL,
            (false, true) => Subband::LH,
            (true, false) => Subband::HL,
            (true, true) => Subband::HH,
        };
        let inside = |place: usize| if place >= side { place - side } else { place } as u16;
        Band {
            plane,
            level,
            subband,
            row: inside(y),
            col: inside(x),
        }
    }

    /// The index of the coefficient at a place: the inverse of [`Layout::band`].
    ///
    /// # Panics
    /// If the layout has no such place.
    #[must_use]
    pub fn index(&self, band: &Band) -> usize {
        let side = usize::from(self.size) >> band.level;
        let (right, down) = match band.subband {
            Subband::LL => (0, 0),
            Subband::LH => (0, side),
            Subband::HL => (side, 0),
            Subband::HH => (side, side),
        };
        let depth_fits = if band.subband == Subband::LL {
            band.level == self.levels
        } else {
            (1..=self.levels).contains(&band.level)
        };
        let (row, col) = (usize::from(band.row), usize::from(band.col));
        assert!(
            band.plane < self.planes && depth_fits && row < side && col < side,
            "{self:?} has no {band:?}"
        );
        usize::from(band.plane) * self.plane_len()
            + (down + row) * usize::from(self.size)
            + right
            + col
    }

    /// Where the coefficient at `index` of a turned picture stands among those of the picture
    /// itself, with Haar's wavelet, and whether it is that with the other sign. `turn` takes a
    /// direction (right, down) in the turned picture to that in the picture itself; each of its
    /// rows has one 1 or −1.
    ///
    /// # Panics
    /// If `index` is not below [`Layout::len`].
    #[must_use]
    pub fn haar_turned(&self, index: usize, [[a, b], [c, d]]: [[i32; 2]; 2]) -> (usize, bool) {
        let Band {
            plane,
            level,
            subband,
            row,
            col,
        } = self.band(index);
        let side = i32::from(self.size >> level);
        // Places from the centre, in halves.
        let [x, y] = [col, row].map(|at| 2 * i32::from(at) + 1 - side);
        let [col, row] = [a * x + b * y, c * x + d * y].map(|at| ((at + side - 1) / 2) as u16);
        let (subband, sign) = match subband {
            Subband::LL => (Subband::LL, 1),
            Subband::HL if a != 0 => (Subband::HL, a),
            Subband::HL => (Subband::LH, c),
            Subband::LH if d != 0 => (Subband::LH, d),
            Subband::LH => (Subband::HL, b),
            Subband::HH => (Subband::HH, a * d + b * c),
        };
        (
            self.index(&Band {
                plane,
                level,
                subband,
                row,
                col,
            }),
            sign < 0,
        )
    }

    /// All indices, coarsest first: LL of every plane, then level by level down to the finest;
    /// inside a level luma before chroma, then LH, HL, HH, then row by row.
    #[must_use]
    pub fn coarse_to_fine(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.len());
        for plane in 0..self.planes {
            self.push_subband(&mut order, plane, self.levels, Subband::LL);
        }
        for level in (1..=self.levels).rev() {
            for plane in 0..self.planes {
                for subband in [Subband::LH, Subband::HL, Subband::HH] {
                    self.push_subband(&mut order, plane, level, subband);
                }
            }
        }
        order
    }

    fn push_subband(&self, order: &mut Vec<usize>, plane: u8, level: u8, subband: Subband) {
        let side = self.size >> level;
        for row in 0..side {
            order.extend((0..side).map(|col| {
                self.index(&Band {
                    plane,
                    level,
                    subband,
                    row,
                    col,
                })
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_halved_while_it_is_even() {
        let expected = [
            (1, 0),
            (2, 1),
            (7, 0),
            (28, 2),
            (30, 1),
            (32, 5),
            (64, 6),
            (96, 5),
        ];
        for (size, levels) in expected {
            assert_eq!(max_levels(size), levels, "{size}");
        }
    }

    #[test]
    fn band_and_index_are_inverse_and_every_index_has_its_own_band() {
        for layout in [
            Layout::full(32, 3),
            Layout::full(28, 1),
            Layout::full(7, 3),
            Layout::with_levels(16, 2, 1),
        ] {
            let mut seen = std::collections::BTreeSet::new();
            for index in 0..layout.len() {
                let band = layout.band(index);
                assert_eq!(layout.index(&band), index);
                assert!(seen.insert(band));
            }
        }
    }

    #[test]
    fn the_quadrants_are_where_mallat_puts_them() {
        let layout = Layout::full(4, 1);
        let at = |row: usize, col: usize| layout.band(row * 4 + col);
        assert_eq!(
            at(0, 0),
            Band {
                plane: 0,
                level: 2,
                subband: Subband::LL,
                row: 0,
                col: 0
            }
        );
        assert_eq!(at(0, 1).subband, Subband::HL);
        assert_eq!(at(1, 0).subband, Subband::LH);
        assert_eq!(
            at(1, 3),
            Band {
                plane: 0,
                level: 1,
                subband: Subband::HL,
                row: 1,
                col: 1
            }
        );
        assert_eq!(
            at(3, 0),
            Band {
                plane: 0,
                level: 1,
                subband: Subband::LH,
                row: 1,
                col: 0
            }
        );
        assert_eq!(
            at(2, 3),
            Band {
                plane: 0,
                level: 1,
                subband: Subband::HH,
                row: 0,
                col: 1
            }
        );
    }

    #[test]
    fn coarse_to_fine_is_a_permutation_that_goes_from_coarse_to_fine() {
        let layout = Layout::full(16, 3);
        let order = layout.coarse_to_fine();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..layout.len()).collect::<Vec<_>>());
        let key = |index: &usize| {
            let band = layout.band(*index);
            (
                band.subband != Subband::LL,
                u8::MAX - band.level,
                band.plane,
                band.subband,
                band.row,
                band.col,
            )
        };
        assert!(order.iter().map(key).is_sorted());
        assert_eq!(&order[..3], &[0, 256, 512]);
    }

    #[test]
    #[should_panic(expected = "can be halved 2 times")]
    fn more_levels_than_the_side_allows_are_refused() {
        let _ = Layout::with_levels(28, 1, 3);
    }
}
