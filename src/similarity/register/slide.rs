//! A template slid over a picture → the offset at which they correlate best.
//!
//! All offsets of a row are computed together, and with AVX-512 those of all rows. The sums are of
//! integers, so that every way of adding them up gives the same.
#![allow(unsafe_code)]

use super::levels::COARSE as N;
#[cfg(target_arch = "x86_64")]
use super::slide_vnni::{self, Quads};

/// What a template may stick out.
pub(super) const OVERHANG: usize = N / 8;
/// The side of a picture with its overhang on both sides, and the length of its rows, so far as
/// they are read.
pub(super) const SIDE: usize = N + 2 * OVERHANG;
const ROW: usize = 32;
/// Offsets that lie side by side, at most.
pub(super) const LANES: usize = 16;
/// Widths of templates: five to eight eighths of N.
pub(super) const WIDTHS: usize = 4;

/// The instructions that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Kernel {
    /// What the processor has, the best first.
    fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            (Self::Vnni, slide_vnni::detected()),
            (Self::Avx2, is_x86_feature_detected!("avx2")),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide: [(Self, bool); 0] = [];
        wide.into_iter()
            .filter_map(|(kernel, detected)| detected.then_some(kernel))
            .chain([Self::Portable])
    }
}

/// A picture with zeros around it. One frame serves for one picture after another.
pub(super) struct Frame {
    samples: Samples,
    kernel: Kernel,
    energies: Energies,
}

/// Samples as a kernel reads them.
#[allow(clippy::large_enum_variant)]
enum Samples {
    /// Each with the one to its right.
    Pairs([[[i16; 2]; ROW]; SIDE]),
    #[cfg(target_arch = "x86_64")]
    Quads(Quads),
}

/// For each width of a template and each column where it may begin: the sums of squares of that
/// many columns, over all rows before some row.
#[repr(align(64))]
pub(super) struct Energies(pub(super) [[[i32; LANES]; SIDE + 1]; WIDTHS]);

/// The rows of a template, those beyond its width zero, its width and height (five to eight eighths
/// of N), the sum of its values and that of their squares.
pub(super) struct Slid<'a> {
    pub(super) rows: &'a [[i8; N]],
    pub(super) size: [usize; 2],
    pub(super) sum: i32,
    pub(super) energy: i32,
}

impl Frame {
    /// A frame without a picture.
    #[inline(always)]
    pub(super) fn empty() -> Self {
        Self::of(Kernel::all().next().unwrap_or(Kernel::Portable))
    }

    #[inline(always)]
    fn of(kernel: Kernel) -> Self {
        let samples = match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Vnni => Samples::Quads(Quads::new()),
            _ => Samples::Pairs([[[0; 2]; ROW]; SIDE]),
        };
        Self {
            samples,
            kernel,
            energies: Energies([[[0; LANES]; SIDE + 1]; WIDTHS]),
        }
    }

    /// Puts a picture into it, in place of the one that it has.
    pub(super) fn fill(&mut self, rows: &[[i8; N]; N]) {
        match &mut self.samples {
            #[cfg(target_arch = "x86_64")]
            Samples::Quads(quads) => quads.fill(rows, &mut self.energies),
            Samples::Pairs(pairs) => {
                for (row, pairs) in rows.iter().zip(&mut pairs[OVERHANG..]) {
                    let mut framed = [0; ROW + 1];
                    framed[OVERHANG..][..N].copy_from_slice(row);
                    *pairs = std::array::from_fn(|x| [framed[x], framed[x + 1]].map(i16::from));
                }
                self.energies.fill(rows);
            }
        }
    }

    /// The best correlation of a template over all offsets, and its offset, counted from the
    /// overhang; the first of equals.
    pub(super) fn slide(&self, template: &Slid<'_>) -> (f32, [usize; 2]) {
        match (&self.samples, self.kernel) {
            #[cfg(target_arch = "x86_64")]
            (Samples::Quads(quads), _) => quads.slide(&self.energies, template),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has AVX2.
            (Samples::Pairs(pairs), Kernel::Avx2) => unsafe { self.slide_avx2(pairs, template) },
            (Samples::Pairs(pairs), _) => self.slide_pairs::<false>(pairs, template),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn slide_avx2(
        &self,
        pairs: &[[[i16; 2]; ROW]; SIDE],
        template: &Slid<'_>,
    ) -> (f32, [usize; 2]) {
        self.slide_pairs::<true>(pairs, template)
    }

    #[inline(always)]
    fn slide_pairs<const AVX2: bool>(
        &self,
        pairs: &[[[i16; 2]; ROW]; SIDE],
        template: &Slid<'_>,
    ) -> (f32, [usize; 2]) {
        let mut rows = [[0; N]; N];
        rows.iter_mut()
            .zip(template.rows)
            .for_each(|(out, row)| *out = row.map(i16::from));
        let [width, height] = template.size;
        let [across, down] = offsets(template.size);
        let energies = self.energies.of(width);
        let mut best = Best::NONE;
        for y in 0..down {
            let (above, below, seen) = (&energies[y], &energies[y + height], &pairs[y..y + height]);
            if across <= LANES / 2 {
                let [dots] = dots::<1, AVX2>(&rows[..height], seen, width);
                best.offer(&dots, above, below, [0, y]);
            } else {
                let [dots, more] = dots::<2, AVX2>(&rows[..height], seen, width);
                best.offer(&dots, above, below, [0, y]);
                best.offer(&more, above, below, [LANES / 2, y]);
            }
        }
        best.of(template, across)
    }
}

/// The offsets of a template of some width and height: side by side, and one above the other.
pub(super) fn offsets(size: [usize; 2]) -> [usize; 2] {
    size.map(|length| SIDE - length + 1)
}

impl Energies {
    #[inline(always)]
    fn fill(&mut self, rows: &[[i8; N]; N]) {
        for (y, row) in rows.iter().enumerate().map(|(y, row)| (y + OVERHANG, row)) {
            let mut before = [0; ROW];
            for (x, &value) in row
                .iter()
                .enumerate()
                .map(|(x, value)| (x + OVERHANG, value))
            {
                before[x + 1] = before[x] + i32::from(value) * i32::from(value);
            }
            let whole = before[OVERHANG + N];
            before[OVERHANG + N..].fill(whole);
            for (width, table) in self
                .0
                .iter_mut()
                .enumerate()
                .map(|(i, table)| ((i + 5) * N / 8, table))
            {
                let mut sums = table[y];
                for (l, sum) in sums.iter_mut().enumerate() {
                    *sum += before[l + width] - before[l];
                }
                table[y + 1] = sums;
            }
        }
        for table in &mut self.0 {
            let whole = table[OVERHANG + N];
            table[OVERHANG + N..].fill(whole);
        }
    }

    /// Those for a width.
    #[inline(always)]
    pub(super) fn of(&self, width: usize) -> &[[i32; LANES]; SIDE + 1] {
        &self.0[width * 8 / N - 5]
    }
}

/// The best row so far of each column of offsets: the square of its dot product, and the energy
/// that it is divided by.
struct Best {
    squares: [f32; LANES],
    energies: [f32; LANES],
    rows: [i32; LANES],
}

impl Best {
    const NONE: Self = Self {
        squares: [0.0; LANES],
        energies: [1.0; LANES],
        rows: [0; LANES],
    };

    /// Takes what is better of a row of offsets, from the column `x` on; of equals, what was there.
    /// Nothing is divided.
    #[inline(always)]
    fn offer<const L: usize>(
        &mut self,
        dots: &[i32; L],
        above: &[i32; LANES],
        below: &[i32; LANES],
        [x, y]: [usize; 2],
    ) {
        for l in 0..L {
            let dot = if dots[l] > 0 { dots[l] as f32 } else { 0.0 };
            let (square, energy) = (dot * dot, (below[x + l] - above[x + l]) as f32);
            if square * self.energies[x + l] > self.squares[x + l] * energy {
                (self.squares[x + l], self.energies[x + l], self.rows[x + l]) =
                    (square, energy, y as i32);
            }
        }
    }

    /// The best of the columns that exist, as a correlation with the template; of equals that of
    /// the first row, and there the first.
    #[inline(always)]
    fn of(&self, template: &Slid<'_>, across: usize) -> (f32, [usize; 2]) {
        // Bits of positive numbers are in the order of these.
        let mut best = 0;
        for l in 0..LANES {
            let ratio = if l < across {
                self.squares[l] / self.energies[l]
            } else {
                0.0
            };
            best = best.max(
                u64::from(ratio.to_bits()) << 32
                    | u64::from(u32::MAX - (self.rows[l] as u32 * LANES as u32 + l as u32)),
            );
        }
        let (ratio, place) = (
            f32::from_bits((best >> 32) as u32),
            (u32::MAX - best as u32) as usize,
        );
        correlation(template, ratio, place)
    }
}

/// What the best ratio of a square to an energy is as a correlation with the template, and its
/// offset.
#[inline(always)]
pub(super) fn correlation(template: &Slid<'_>, ratio: f32, place: usize) -> (f32, [usize; 2]) {
    let offset = if ratio > 0.0 {
        [place % LANES, place / LANES]
    } else {
        [OVERHANG; 2]
    };
    ((ratio / template.energy.max(1) as f32).sqrt(), offset)
}

/// The dot products of a template of some width with what it covers of the rows at each offset, `G`
/// times eight of them.
#[inline(always)]
fn dots<const G: usize, const AVX2: bool>(
    template: &[[i16; N]],
    rows: &[[[i16; 2]; ROW]],
    width: usize,
) -> [[i32; LANES / 2]; G] {
    let used = width.div_ceil(2);
    #[cfg(target_arch = "x86_64")]
    if AVX2 {
        // SAFETY: the processor has AVX2, as this is called from `slide_avx2` only.
        return unsafe { dots_avx2(template, rows, used) };
    }
    let mut sums = [[0; LANES / 2]; G];
    for (row, seen) in template.iter().zip(rows) {
        for (c, pair) in row.as_chunks::<2>().0[..used].iter().enumerate() {
            let [left, right] = pair.map(i32::from);
            for (g, sums) in sums.iter_mut().enumerate() {
                let seen = &seen[g * LANES / 2 + 2 * c..][..LANES / 2];
                for (sum, seen) in sums.iter_mut().zip(seen) {
                    *sum += left * i32::from(seen[0]) + right * i32::from(seen[1]);
                }
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn dots_avx2<const G: usize>(
    template: &[[i16; N]],
    rows: &[[[i16; 2]; ROW]],
    used: usize,
) -> [[i32; LANES / 2]; G] {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };
    const { assert!(G * LANES / 2 + N - 2 <= ROW) };
    assert!(used <= N / 2);
    let mut sums = [_mm256_setzero_si256(); G];
    for (row, seen) in template.iter().zip(rows) {
        for (c, &[left, right]) in row.as_chunks::<2>().0[..used].iter().enumerate() {
            let pair = _mm256_set1_epi32(i32::from(left) & 0xffff | i32::from(right) << 16);
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the eight pairs read lie within the row: 2 c ≤ N − 2, and the assertion
                // above.
                let seen = unsafe {
                    _mm256_loadu_si256(seen.as_ptr().add(g * LANES / 2 + 2 * c).cast::<__m256i>())
                };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, seen));
            }
        }
    }
    let mut out = [[0; LANES / 2]; G];
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: the place has the eight integers that are written.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast::<__m256i>(), sum) };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{super::templates::EIGHTHS, *};

    /// By the definition, at every offset.
    fn slow(whole: &[[i8; N]], template: &Slid<'_>) -> (f32, [usize; 2]) {
        let [across, down] = template.size.map(|length| N - length + 2 * OVERHANG + 1);
        let mut best = (0.0f64, [OVERHANG; 2]);
        for (x, y) in (0..down).flat_map(|y| (0..across).map(move |x| (x, y))) {
            let (mut dot, mut energy) = (0i64, 0i64);
            for (u, v) in
                (0..template.size[1]).flat_map(|v| (0..template.size[0]).map(move |u| (u, v)))
            {
                let inside = |at: usize| at.checked_sub(OVERHANG).filter(|&at| at < N);
                if let (Some(p), Some(q)) = (inside(x + u), inside(y + v)) {
                    dot += i64::from(whole[q][p]) * i64::from(template.rows[v][u]);
                    energy += i64::from(whole[q][p]) * i64::from(whole[q][p]);
                }
            }
            let score = if dot > 0 {
                dot as f64 / (energy as f64 * f64::from(template.energy)).sqrt()
            } else {
                0.0
            };
            if score > best.0 + 1e-6 {
                best = (score, [x, y]);
            }
        }
        (best.0 as f32, best.1)
    }

    /// A picture, and templates of every size that are cut from another one, are slid as the
    /// definition says.
    fn slid_alike(whole: impl Fn(usize, usize) -> i8, other: impl Fn(usize, usize) -> i8) {
        let whole: [[i8; N]; N] = std::array::from_fn(|y| std::array::from_fn(|x| whole(x, y)));
        for size in EIGHTHS.map(|eighths| eighths.map(|n| n * N / 8)) {
            let cut = |x: usize, y: usize| {
                if x < size[0] && y < size[1] {
                    other(x, y)
                } else {
                    0
                }
            };
            let rows: [[i8; N]; N] = std::array::from_fn(|y| std::array::from_fn(|x| cut(x, y)));
            let of_all = |f: fn(i32) -> i32| rows.iter().flatten().map(|&v| f(v.into())).sum();
            let template = Slid {
                rows: &rows[..size[1]],
                size,
                sum: of_all(|v| v),
                energy: of_all(|v| v * v),
            };
            let slide = |kernel: Kernel| {
                let mut frame = Frame::of(kernel);
                // Nothing is left of what it held.
                frame.fill(&[[100; N]; N]);
                frame.fill(&whole);
                frame.slide(&template)
            };
            let (score, offset) = slide(Kernel::Portable);
            for kernel in Kernel::all() {
                assert_eq!((score, offset), slide(kernel), "{kernel:?} {size:?}");
            }
            let (slow_score, slow_offset) = slow(&whole, &template);
            assert!(
                (score - slow_score).abs() < 1e-5,
                "{size:?} {score} {slow_score}"
            );
            assert_eq!(offset, slow_offset, "{size:?} {score}");
        }
    }

    fn noise(x: usize, y: usize) -> i8 {
        ((((x + 40 * y).wrapping_mul(2_654_435_761) >> 11) % 255) as i16 - 127) as i8
    }

    #[test]
    fn a_template_is_found_where_the_definition_says() {
        for shift in 0..4 {
            slid_alike(noise, |x, y| noise(x + shift % 2, y + shift));
        }
    }

    #[test]
    fn offsets_that_stick_out_too_far_do_not_count() {
        let outside = [[3, 0], [7, 0], [9, 1]];
        for [across, down] in outside {
            slid_alike(noise, |x, y| noise(x + across, y + down));
        }
    }

    #[test]
    fn of_equals_the_first_offset_counts() {
        let stripes = |x: usize, _: usize| if x.is_multiple_of(2) { 50 } else { -50 };
        slid_alike(stripes, stripes);
    }
}
