//! A template slid over a picture → the offset at which they correlate best.
//!
//! All offsets of a row are computed together, and with AVX-512 those of all rows. The sums are of integers, so that every way of adding them
//! up gives the same.
#![allow(unsafe_code)]

use super::levels::COARSE as N;

/// What a template may stick out.
pub(super) const OVERHANG: usize = N / 8;
/// The side of a picture with its overhang on both sides, and the length of its rows, so far as they are read.
const SIDE: usize = N + 2 * OVERHANG;
const ROW: usize = 32;
/// Offsets that lie side by side, at most; of a template that is half as wide as the picture there are 13.
const LANES: usize = 16;
/// Offsets that lie one above the other, at most.
const DOWN: usize = 13;

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
            (Self::Vnni, is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")),
            (Self::Avx2, is_x86_feature_detected!("avx2")),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide: [(Self, bool); 0] = [];
        wide.into_iter().filter_map(|(kernel, detected)| detected.then_some(kernel)).chain([Self::Portable])
    }
}

/// A picture with zeros around it.
pub(super) struct Frame {
    samples: Samples,
    kernel: Kernel,
    /// The sums of squares over all rectangles that begin at its corner.
    squares: [[i32; ROW]; SIDE + 1],
}

/// Samples as a kernel reads them; never moved.
#[allow(clippy::large_enum_variant)]
enum Samples {
    /// Each with the one to its right.
    Pairs([[[i16; 2]; ROW]; SIDE]),
    #[cfg(target_arch = "x86_64")]
    Quads(Quads),
}

/// For every fourth column, and every row with one more after them: the words of four samples, each plus 128, that begin there and at the next
/// fifteen columns.
#[repr(align(64))]
struct Quads([[[u32; LANES]; SIDE + 1]; N / 4]);

/// The rows of a template, those beyond its width zero, its width and height, the sum of its values and that of their squares.
pub(super) struct Slid<'a> {
    pub(super) rows: &'a [[i8; N]],
    pub(super) size: [usize; 2],
    pub(super) sum: i32,
    pub(super) energy: i32,
}

impl Frame {
    pub(super) fn new(rows: &[[i8; N]]) -> Self {
        Self::with(Kernel::all().next().unwrap_or(Kernel::Portable), rows)
    }

    fn with(kernel: Kernel, rows: &[[i8; N]]) -> Self {
        let mut framed = [[0i8; ROW]; SIDE];
        framed[OVERHANG..].iter_mut().zip(rows).for_each(|(framed, row)| framed[OVERHANG..][..N].copy_from_slice(row));
        let samples = match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Vnni => Samples::Quads(Quads::of(&framed)),
            _ => {
                Samples::Pairs(framed.map(|row| std::array::from_fn(|x| [row[x], if x + 1 < ROW { row[x + 1] } else { 0 }].map(i16::from))))
            }
        };
        let mut squares = [[0; ROW]; SIDE + 1];
        for (y, row) in framed.iter().enumerate() {
            let mut sum = 0;
            for x in 0..ROW - 1 {
                sum += i32::from(row[x]) * i32::from(row[x]);
                squares[y + 1][x + 1] = squares[y][x + 1] + sum;
            }
        }
        Self { samples, kernel, squares }
    }

    /// The best correlation of a template over all offsets, and its offset, counted from the overhang; the first of equals.
    pub(super) fn slide(&self, template: &Slid<'_>) -> (f32, [usize; 2]) {
        match (&self.samples, self.kernel) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are quads only where the processor has AVX-512 with VNNI.
            (Samples::Quads(quads), _) => unsafe { self.slide_vnni(quads, template) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has AVX2.
            (Samples::Pairs(pairs), Kernel::Avx2) => unsafe { self.slide_avx2(pairs, template) },
            (Samples::Pairs(pairs), _) => self.slide_pairs::<false>(pairs, template),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn slide_avx2(&self, pairs: &[[[i16; 2]; ROW]; SIDE], template: &Slid<'_>) -> (f32, [usize; 2]) {
        self.slide_pairs::<true>(pairs, template)
    }

    #[inline(always)]
    fn slide_pairs<const AVX2: bool>(&self, pairs: &[[[i16; 2]; ROW]; SIDE], template: &Slid<'_>) -> (f32, [usize; 2]) {
        let mut rows = [[0; N]; N];
        rows.iter_mut().zip(template.rows).for_each(|(out, row)| *out = row.map(i16::from));
        let [width, height] = template.size;
        let [across, down] = offsets(template.size);
        let mut best = Best::NONE;
        for y in 0..down {
            let (top, bottom, seen) = (&self.squares[y], &self.squares[y + height], &pairs[y..y + height]);
            if across <= LANES / 2 {
                let [dots] = dots::<1, AVX2>(&rows[..height], seen, width);
                best.offer(&dots, top, bottom, [0, y], width, across);
            } else {
                let [dots, more] = dots::<2, AVX2>(&rows[..height], seen, width);
                best.offer(&dots, top, bottom, [0, y], width, across);
                best.offer(&more, top, bottom, [LANES / 2, y], width, across);
            }
        }
        best.of(template)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn slide_vnni(&self, quads: &Quads, template: &Slid<'_>) -> (f32, [usize; 2]) {
        let [width, height] = template.size;
        let [across, down] = offsets(template.size);
        let mut dots = [[0; LANES]; DOWN];
        // An even number of rows of offsets is computed with one more.
        match down | 1 {
            ..=5 => quads.dots::<5>(template, &mut dots),
            7 => quads.dots::<7>(template, &mut dots),
            9 => quads.dots::<9>(template, &mut dots),
            11 => quads.dots::<11>(template, &mut dots),
            _ => quads.dots::<DOWN>(template, &mut dots),
        }
        let mut best = Best::NONE;
        for (y, dots) in dots[..down].iter().enumerate() {
            best.offer(dots, &self.squares[y], &self.squares[y + height], [0, y], width, across);
        }
        best.of(template)
    }
}

/// The offsets of a template of some width and height: side by side, and one above the other.
fn offsets(size: [usize; 2]) -> [usize; 2] {
    size.map(|length| SIDE - length + 1)
}

/// The best so far: the square of its dot product, and the energy that it is divided by.
struct Best {
    square: f32,
    energy: f32,
    offset: [usize; 2],
}

impl Best {
    const NONE: Self = Self { square: 0.0, energy: 1.0, offset: [OVERHANG; 2] };

    /// Takes the better of some neighbouring offsets, of which those before `across` exist. Nothing is divided.
    #[inline(always)]
    fn offer<const L: usize>(
        &mut self,
        dots: &[i32; L],
        top: &[i32; ROW],
        bottom: &[i32; ROW],
        [x, y]: [usize; 2],
        width: usize,
        across: usize,
    ) {
        let [near, far] = [top, bottom].map(|sums| [&sums[x..][..L], &sums[x + width..][..L]]);
        let (mut squares, mut energies, mut any) = ([0f32; L], [0f32; L], false);
        for l in 0..L {
            let dot = if dots[l] > 0 && x + l < across { dots[l] as f32 } else { 0.0 };
            squares[l] = dot * dot;
            energies[l] = (far[1][l] - near[1][l] - far[0][l] + near[0][l]) as f32;
            any |= squares[l] * self.energy > self.square * energies[l];
        }
        if any {
            for l in 0..L {
                if squares[l] * self.energy > self.square * energies[l] {
                    *self = Self { square: squares[l], energy: energies[l], offset: [x + l, y] };
                }
            }
        }
    }

    /// As a correlation with the template.
    fn of(&self, template: &Slid<'_>) -> (f32, [usize; 2]) {
        ((self.square / (template.energy.max(1) as f32 * self.energy)).sqrt(), self.offset)
    }
}

/// The dot products of a template of some width with what it covers of the rows at each offset, `G` times eight of them.
#[inline(always)]
fn dots<const G: usize, const AVX2: bool>(template: &[[i16; N]], rows: &[[[i16; 2]; ROW]], width: usize) -> [[i32; LANES / 2]; G] {
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
fn dots_avx2<const G: usize>(template: &[[i16; N]], rows: &[[[i16; 2]; ROW]], used: usize) -> [[i32; LANES / 2]; G] {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
    };
    const { assert!(G * LANES / 2 + N - 2 <= ROW) };
    assert!(used <= N / 2);
    let mut sums = [_mm256_setzero_si256(); G];
    for (row, seen) in template.iter().zip(rows) {
        for (c, &[left, right]) in row.as_chunks::<2>().0[..used].iter().enumerate() {
            let pair = _mm256_set1_epi32(i32::from(left) & 0xffff | i32::from(right) << 16);
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the eight pairs read lie within the row: 2 c ≤ N − 2, and the assertion above.
                let seen = unsafe { _mm256_loadu_si256(seen.as_ptr().add(g * LANES / 2 + 2 * c).cast::<__m256i>()) };
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

#[cfg(target_arch = "x86_64")]
impl Quads {
    fn of(samples: &[[i8; ROW]; SIDE]) -> Self {
        const { assert!(N - 4 + LANES + 3 <= ROW) };
        let mut quads = [[[0x8080_8080; LANES]; SIDE + 1]; N / 4];
        for (y, row) in samples.iter().enumerate() {
            let row = row.map(|v| (v as u8) ^ 128);
            for (c, quads) in quads.iter_mut().enumerate() {
                for (l, quad) in quads[y].iter_mut().enumerate() {
                    let x = 4 * c + l;
                    *quad = u32::from_le_bytes([row[x], row[x + 1], row[x + 2], row[x + 3]]);
                }
            }
        }
        Self(quads)
    }

    /// The dot products of a template with what it covers, at `D` rows of offsets: (a + 128) · b summed, less 128 times the sum of the template.
    #[target_feature(enable = "avx512f,avx512vnni")]
    #[inline]
    fn dots<const D: usize>(&self, template: &Slid<'_>, out: &mut [[i32; LANES]; DOWN]) {
        use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32, _mm512_storeu_si512};
        const { assert!(D <= DOWN) };
        let used = template.size[0].div_ceil(4);
        let mut sums = [_mm512_set1_epi32(-128 * template.sum); D];
        for (r, row) in template.rows.iter().enumerate() {
            for (quad, seen) in row.as_chunks::<4>().0[..used].iter().zip(&self.0) {
                let quad = _mm512_set1_epi32(i32::from_le_bytes(quad.map(|v| v as u8)));
                for (sum, seen) in sums.iter_mut().zip(&seen[r..r + D]) {
                    // SAFETY: sixteen words that begin at a multiple of 64 bytes.
                    let seen = unsafe { _mm512_load_si512(seen.as_ptr().cast::<__m512i>()) };
                    *sum = _mm512_dpbusd_epi32(*sum, seen, quad);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            // SAFETY: the place has the sixteen integers that are written.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast::<__m512i>(), sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, at every offset.
    fn slow(whole: &[[i8; N]], template: &Slid<'_>) -> (f32, [usize; 2]) {
        let [across, down] = template.size.map(|length| N - length + 2 * OVERHANG + 1);
        let mut best = (0.0f64, [OVERHANG; 2]);
        for (x, y) in (0..down).flat_map(|y| (0..across).map(move |x| (x, y))) {
            let (mut dot, mut energy) = (0i64, 0i64);
            for (u, v) in (0..template.size[1]).flat_map(|v| (0..template.size[0]).map(move |u| (u, v))) {
                let inside = |at: usize| at.checked_sub(OVERHANG).filter(|&at| at < N);
                if let (Some(p), Some(q)) = (inside(x + u), inside(y + v)) {
                    dot += i64::from(whole[q][p]) * i64::from(template.rows[v][u]);
                    energy += i64::from(whole[q][p]) * i64::from(whole[q][p]);
                }
            }
            let score = if dot > 0 { dot as f64 / (energy as f64 * f64::from(template.energy)).sqrt() } else { 0.0 };
            if score > best.0 + 1e-6 {
                best = (score, [x, y]);
            }
        }
        (best.0 as f32, best.1)
    }

    /// A picture, and templates of every size that are cut from another one, are slid as the definition says.
    fn slid_alike(whole: impl Fn(usize, usize) -> i8, other: impl Fn(usize, usize) -> i8) {
        let whole: [[i8; N]; N] = std::array::from_fn(|y| std::array::from_fn(|x| whole(x, y)));
        for size in (N / 2..=N).flat_map(|w| (N / 2..=N).map(move |h| [w, h])) {
            let cut = |x: usize, y: usize| if x < size[0] && y < size[1] { other(x, y) } else { 0 };
            let rows: [[i8; N]; N] = std::array::from_fn(|y| std::array::from_fn(|x| cut(x, y)));
            let of_all = |f: fn(i32) -> i32| rows.iter().flatten().map(|&v| f(v.into())).sum();
            let template = Slid { rows: &rows[..size[1]], size, sum: of_all(|v| v), energy: of_all(|v| v * v) };
            let (score, offset) = Frame::new(&whole).slide(&template);
            for kernel in Kernel::all() {
                assert_eq!((score, offset), Frame::with(kernel, &whole).slide(&template), "{kernel:?} {size:?}");
            }
            let (slow_score, slow_offset) = slow(&whole, &template);
            assert!((score - slow_score).abs() < 1e-5, "{size:?} {score} {slow_score}");
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
