//! The three inner loops, by what the processor can do: which pairs of a small block survive, 16
//! dot products of one query, one exact distance.
//!
//! All kernels compute the same integers, so the choice never shows in a result. Blocks are packed
//! by `pack` in the form that [`Kernel::form`] names.

#[cfg(target_arch = "aarch64")]
use super::kernel_neon;
use super::{
    bound::{QueryBound, Sieve},
    kernel_portable,
    planes::{Norms, Row},
};
#[cfg(target_arch = "x86_64")]
use super::{kernel_amx, kernel_avx2, kernel_vnni};
use std::fmt;

/// Queries in a group.
pub(super) const GROUP: usize = 16;
/// Targets in a tile.
pub(super) const TILE: usize = 48;
/// Rows that [`Kernel::dots`] takes at once.
pub(super) const RUN: usize = 16;

/// Sixteen queries or targets at one step, a word each; aligned, so that no load crosses a cache
/// line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Line(pub(super) [u32; 16]);

/// Lines of one step of a tile.
pub(super) const LINES: usize = TILE / 16;

/// One group of queries as packed: a line per step, or as many words of each query in turn
/// ([`Form::Rows`]), and the bounds.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) words: &'a [Line],
    pub(super) bounds: &'a [QueryBound; GROUP],
}

/// One tile of targets as packed: [`LINES`] lines per step; where each accumulator starts; what
/// each target wants (`other_b`).
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) lines: &'a [Line],
    pub(super) start: &'a [i32; TILE],
    pub(super) other: &'a [i32; TILE],
}

/// How a packed word holds values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // not every processor has a kernel for each form
pub(super) enum Form {
    /// Four bytes, those of queries offset by 0, or by 128 for a kernel that takes them as
    /// unsigned.
    Bytes { offset: u8 },
    /// Four bytes; those of a query lie together.
    Rows,
    /// Two `i16`.
    Shorts,
    /// The bits of one `f32`.
    Floats,
}

/// An instruction set that this processor has. A value exists only if it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Isa);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Dotprod,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Kernel {
    /// All that this processor can run, fastest first; never empty.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if kernel_amx::detected() {
                found.push(Self(Isa::Amx));
            }
            if kernel_vnni::detected() {
                found.push(Self(Isa::Vnni));
            }
            if kernel_avx2::detected() {
                found.push(Self(Isa::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if kernel_neon::has_dot_products() {
                found.push(Self(Isa::Dotprod));
            }
            found.push(Self(Isa::Neon));
        }
        found.push(Self(Isa::Portable));
        found
    }

    /// The fastest that this processor can run.
    #[must_use]
    pub fn best() -> Self {
        Self::available()
            .first()
            .copied()
            .unwrap_or(Self(Isa::Portable))
    }

    /// Its name: `amx-int8`, `avx512-vnni`, `avx2`, `neon-dotprod`, `neon` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => "amx-int8",
            #[cfg(target_arch = "x86_64")]
            Isa::Vnni => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Dotprod => "neon-dotprod",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// How packed words hold values.
    pub(super) fn form(self) -> Form {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Form::Rows,
            #[cfg(target_arch = "x86_64")]
            Isa::Vnni => Form::Bytes { offset: 128 },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Form::Shorts,
            #[cfg(target_arch = "aarch64")]
            Isa::Dotprod => Form::Bytes { offset: 0 },
            _ => Form::Floats,
        }
    }

    /// Makes this thread ready for [`Sieves::survivors`].
    pub(super) fn sieves(self) -> Sieves {
        Sieves {
            kernel: self,
            #[cfg(target_arch = "x86_64")]
            tiles: (self.0 == Isa::Amx).then(kernel_amx::Tiles::new),
        }
    }

    /// Packs 16 rows of high bytes: word `step` of row `i` goes to place `i` of line `LINES × step`
    /// of `lines`. Returns the sums of their bytes.
    ///
    /// # Panics
    /// If the rows are not equally long, or not a multiple of 64 bytes, or there are too few lines.
    pub(super) fn pack(self, rows: &[&[i8]; 16], lines: &mut [Line]) -> [i32; 16] {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Vnni => kernel_vnni::pack(rows, lines),
            _ => kernel_portable::pack_words(self.form(), rows, lines),
        }
    }

    /// The dot products of `query` with [`RUN`] consecutive rows.
    ///
    /// # Panics
    /// If `rows` are not that many, or a row is not a multiple of 64 bytes.
    pub(super) fn dots(self, query: &[i8], rows: &[i8]) -> [i32; RUN] {
        assert!(
            query.len().is_multiple_of(64) && rows.len() == RUN * query.len(),
            "{} bytes of rows",
            rows.len()
        );
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Vnni => kernel_vnni::dots(query, rows),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel_avx2::dots(query, rows),
            #[cfg(target_arch = "aarch64")]
            Isa::Dotprod => kernel_neon::dots_by_fours(query, rows),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => kernel_neon::dots(query, rows),
            Isa::Portable => kernel_portable::dots(query, rows),
        }
    }

    /// Bit `i` is set if the query wants row `i`, by its dot product.
    pub(super) fn wanted(self, sieve: &Sieve, norms: &[Norms; RUN], dots: &[i32; RUN]) -> u32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Vnni => kernel_vnni::wanted(sieve, norms, dots),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel_avx2::wanted(sieve, norms, dots),
            _ => kernel_portable::wanted(sieve, norms, dots),
        }
    }

    /// Bit `i` is set if the query wants row `i`, or row `i` the query, by how far the rows look.
    pub(super) fn wanted_by_either(
        self,
        sieve: &Sieve,
        norms: &[Norms; RUN],
        dots: &[i32; RUN],
        k_distance: &[u32; RUN],
    ) -> u32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Vnni => kernel_vnni::wanted_by_either(sieve, norms, dots, k_distance),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel_avx2::wanted_by_either(sieve, norms, dots, k_distance),
            _ => kernel_portable::wanted_by_either(sieve, norms, dots, k_distance),
        }
    }

    /// `H`: the squared distance of two rows of high bytes, modulo 2³² (of valid rows it stays
    /// below 2²⁴).
    ///
    /// # Panics
    /// If they differ in length, or are not a multiple of 64 bytes.
    #[inline]
    pub(super) fn high_distance(self, a: &[i8], b: &[i8]) -> i32 {
        assert!(
            a.len() == b.len() && a.len().is_multiple_of(64),
            "high bytes: {} and {}",
            a.len(),
            b.len()
        );
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Vnni => kernel_vnni::high_distance(a, b),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel_avx2::high_distance(a, b),
            _ => kernel_portable::high_distance(a, b),
        }
    }

    /// The squared length of a row of high or of low bytes, modulo 2³².
    ///
    /// # Panics
    /// If it is not a multiple of 64 bytes.
    #[inline]
    pub(super) fn squared_length(self, row: &[i8]) -> u32 {
        row.chunks(64)
            .map(|part| self.high_distance(part, &[0; 64]) as u32)
            .fold(0, u32::wrapping_add)
    }

    /// The exact squared distance, modulo 2³² (valid rows stay below).
    ///
    /// # Panics
    /// If the four halves differ in length, or are not a multiple of 64 bytes.
    #[inline]
    pub(super) fn squared_distance(self, a: Row<'_>, b: Row<'_>) -> u32 {
        let len = a.high.len();
        let same = a.low.len() == len && b.high.len() == len && b.low.len() == len;
        assert!(same && len.is_multiple_of(64), "halves of {len} bytes");
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Vnni => kernel_vnni::squared_distance(a, b),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel_avx2::squared_distance(a, b),
            _ => kernel_portable::squared_distance(a, b),
        }
    }
}

/// A kernel on a thread that is ready for its blocks of pairs, for a piece of work that waits for
/// nothing.
pub(super) struct Sieves {
    kernel: Kernel,
    #[cfg(target_arch = "x86_64")]
    tiles: Option<kernel_amx::Tiles>,
}

impl Sieves {
    /// Which pairs survive (`bound`): bit `j` of word `i` for query `i` and target `j`.
    ///
    /// # Panics
    /// If the group and the tile differ in steps.
    pub(super) fn survivors(&self, group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
        assert_eq!(
            group.words.len() * LINES,
            tile.lines.len(),
            "steps of group and tile"
        );
        #[cfg(target_arch = "x86_64")]
        if let Some(tiles) = &self.tiles {
            return tiles.survivors(group, tile);
        }
        match self.kernel.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Vnni => kernel_vnni::survivors(group, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => kernel_avx2::survivors(group, tile),
            #[cfg(target_arch = "aarch64")]
            Isa::Dotprod => kernel_neon::survivors_by_fours(group, tile),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => kernel_neon::survivors(group, tile),
            _ => kernel_portable::survivors(group, tile),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::{
        oracle::{Lcg, random_planes, squared_distance},
        planes::split,
    };

    #[test]
    fn every_kernel_measures_the_distance_of_the_oracle() {
        let mut random = Lcg(1);
        for case in 0..400 {
            let planes = random_planes(2, 1 + random.below(300) as usize, &mut random);
            let planes = planes.as_planes();
            for kernel in Kernel::available() {
                let found = kernel.squared_distance(planes.row(0), planes.row(1));
                assert_eq!(
                    i64::from(found),
                    squared_distance(&planes, 0, &planes, 1),
                    "{kernel:?} {case}"
                );
            }
        }
    }

    #[test]
    fn every_kernel_measures_high_bytes_alone() {
        let mut random = Lcg(11);
        for _ in 0..200 {
            let planes = random_planes(2, 1 + random.below(300) as usize, &mut random);
            let [a, b] = [0, 1].map(|row| planes.as_planes().row(row).high);
            let apart: i32 = a
                .iter()
                .zip(b)
                .map(|(&x, &y)| (i32::from(x) - i32::from(y)).pow(2))
                .sum();
            Kernel::available()
                .into_iter()
                .for_each(|kernel| assert_eq!(kernel.high_distance(a, b), apart, "{kernel:?}"));
        }
    }

    #[test]
    fn the_largest_distance_fits() {
        for columns in [1_usize, 64, 1024] {
            let v = (32_500.0 / f64::from(columns as u16).sqrt()) as i16;
            let mut halves = vec![0_i8; 4 * columns.next_multiple_of(64)];
            let (a, b) = halves.split_at_mut(2 * columns.next_multiple_of(64));
            let (ah, al) = a.split_at_mut(columns.next_multiple_of(64));
            let (bh, bl) = b.split_at_mut(columns.next_multiple_of(64));
            split(&vec![v; columns], ah, al);
            split(&vec![-v; columns], bh, bl);
            for kernel in Kernel::available() {
                let found =
                    kernel.squared_distance(Row { high: ah, low: al }, Row { high: bh, low: bl });
                assert_eq!(
                    u64::from(found),
                    columns as u64 * (2 * v as u64).pow(2),
                    "{kernel:?}"
                );
            }
        }
    }

    #[test]
    fn dot_products_are_exact_for_all_bytes() {
        let mut random = Lcg(2);
        for stride in [64, 128, 192, 1024] {
            let mut bytes = |len: usize| -> Vec<i8> {
                (0..len).map(|_| random.below(256) as u8 as i8).collect()
            };
            let (query, rows) = (bytes(stride), bytes(RUN * stride));
            let dot = |row: &[i8]| -> i32 {
                row.iter()
                    .zip(&query)
                    .map(|(&x, &y)| i32::from(x) * i32::from(y))
                    .sum()
            };
            let expected: Vec<i32> = rows.chunks(stride).map(dot).collect();
            for kernel in Kernel::available() {
                assert_eq!(kernel.dots(&query, &rows).to_vec(), expected, "{kernel:?}");
            }
        }
    }
}
