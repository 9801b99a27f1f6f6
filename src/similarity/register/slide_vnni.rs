//! The slides for AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte
//! to each of 16 sums.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{
    levels::COARSE as N,
    slide::{Energies, LANES, OVERHANG, SIDE, Slid, WIDTHS, correlation, offsets},
};

/// Whether the processor has what is used here.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// For every fourth column, and every row: the words of four samples, each plus 128, that begin
/// there and at the next fifteen columns.
#[repr(align(64))]
pub(super) struct Quads([[[u32; LANES]; SIDE]; N / 4]);

impl Quads {
    /// Of zeros.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self([[[0x8080_8080; LANES]; SIDE]; N / 4])
    }

    /// Puts a picture into it, and its energies where they belong; called only if [`detected`].
    pub(super) fn fill(&mut self, rows: &[[i8; N]; N], energies: &mut Energies) {
        // SAFETY: there are quads only if `detected`.
        unsafe {
            self.fill_512(rows);
            energies.fill_512(rows);
        }
    }

    /// See [`super::slide::Frame::slide`]; called only if [`detected`].
    pub(super) fn slide(&self, energies: &Energies, template: &Slid<'_>) -> (f32, [usize; 2]) {
        // SAFETY: there are quads only if `detected`.
        unsafe { self.slide_512(energies, template) }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn fill_512(&mut self, rows: &[[i8; N]; N]) {
        const { assert!(OVERHANG == 2 && N == 16 && LANES == 16) };
        let zero = _mm_set1_epi8(-128);
        // The words of four bytes that begin at each of the first four bytes of a lane.
        let words = _mm512_broadcast_i32x4(_mm_setr_epi8(
            0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6,
        ));
        // To each lane its own two dwords and those after them.
        let dwords = _mm512_setr_epi32(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6);
        for (y, row) in rows.iter().enumerate().map(|(y, row)| (y + OVERHANG, row)) {
            // SAFETY: sixteen bytes.
            let row = unsafe { _mm_loadu_si128(row.as_ptr().cast()) };
            let bytes = _mm_xor_si128(row, zero);
            let framed = _mm512_inserti32x4::<1>(
                _mm512_castsi128_si512(_mm_alignr_epi8::<14>(bytes, zero)),
                _mm_alignr_epi8::<14>(zero, bytes),
            );
            for (c, quads) in self.0.iter_mut().enumerate() {
                let four = _mm512_permutexvar_epi32(
                    _mm512_add_epi32(dwords, _mm512_set1_epi32(c as i32)),
                    framed,
                );
                // SAFETY: sixteen words that begin at a multiple of 64 bytes.
                unsafe {
                    _mm512_store_si512(
                        quads[y].as_mut_ptr().cast(),
                        _mm512_shuffle_epi8(four, words),
                    );
                };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn slide_512(&self, energies: &Energies, template: &Slid<'_>) -> (f32, [usize; 2]) {
        let [across, down] = offsets(template.size);
        match (down, across <= LANES / 2) {
            (5, false) => self.best::<5, 3>(energies, template),
            (5, true) => self.best::<5, 2>(energies, template),
            (7, false) => self.best::<7, 3>(energies, template),
            (7, true) => self.best::<7, 2>(energies, template),
            (9, false) => self.best::<9, 3>(energies, template),
            (9, true) => self.best::<9, 2>(energies, template),
            _ => self.best::<11, 3>(energies, template),
        }
    }

    /// The best of all offsets, of which there are `D` rows, as `Best` of `slide` finds it.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn best<const D: usize, const C: usize>(
        &self,
        energies: &Energies,
        template: &Slid<'_>,
    ) -> (f32, [usize; 2]) {
        let ([width, height], [across, down]) = (template.size, offsets(template.size));
        assert!(down == D);
        let energies = energies.of(width);
        // SAFETY: sixteen integers are read.
        let load = |from: &[i32; LANES]| unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
        let (mut squares, mut divisors, mut rows) = (
            _mm512_setzero_ps(),
            _mm512_set1_ps(1.0),
            _mm512_setzero_si512(),
        );
        for (y, dots) in self.dots::<D, C>(template).into_iter().enumerate() {
            let dots = _mm512_cvtepi32_ps(_mm512_max_epi32(dots, _mm512_setzero_si512()));
            let square = _mm512_mul_ps(dots, dots);
            let energy = _mm512_cvtepi32_ps(_mm512_sub_epi32(
                load(&energies[y + height]),
                load(&energies[y]),
            ));
            let better = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(
                _mm512_mul_ps(square, divisors),
                _mm512_mul_ps(squares, energy),
            );
            squares = _mm512_mask_mov_ps(squares, better, square);
            divisors = _mm512_mask_mov_ps(divisors, better, energy);
            rows = _mm512_mask_mov_epi32(rows, better, _mm512_set1_epi32(y as i32));
        }
        let ratios = _mm512_maskz_div_ps((1 << across) - 1, squares, divisors);
        let ratio = _mm512_reduce_max_ps(ratios);
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let places = _mm512_or_si512(_mm512_slli_epi32::<4>(rows), lanes);
        let equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(ratios, _mm512_set1_ps(ratio));
        correlation(
            template,
            ratio,
            _mm512_mask_reduce_min_epu32(equal, places) as usize,
        )
    }

    /// The dot products of a template with what it covers, at `D` rows of offsets: (a + 128) · b
    /// summed, less 128 times the sum of the template. Two rows of the template go together: what
    /// one covers, the other covers at the next offset. Where there are no more than eight offsets
    /// in a row, two quads of the template go together, too: `C` is 2 then, else 3.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn dots<const D: usize, const C: usize>(&self, template: &Slid<'_>) -> [__m512i; D] {
        assert!(template.size[0] <= if C == 2 { N } else { 4 * C });
        let base = if C == 2 { -64 } else { -128 } * template.sum;
        let (mut sums, mut more) = ([_mm512_set1_epi32(base); D], [_mm512_setzero_si512(); D]);
        // What the upper eight lanes see is what the lower ones see two quads further on.
        let first = if C == 2 {
            _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2)
        } else {
            _mm512_setzero_si512()
        };
        for (r, [row, next]) in template.rows.as_chunks::<2>().0.iter().enumerate() {
            // SAFETY: sixteen bytes.
            let [row, next] = [row, next]
                .map(|row| unsafe { _mm512_castsi128_si512(_mm_loadu_si128(row.as_ptr().cast())) });
            for (c, seen) in self.0[..C].iter().enumerate() {
                let quad = _mm512_add_epi32(first, _mm512_set1_epi32(c as i32));
                let (quad, next) = (
                    _mm512_permutexvar_epi32(quad, row),
                    _mm512_permutexvar_epi32(quad, next),
                );
                let seen = &seen[2 * r..2 * r + D + 1];
                // SAFETY: sixteen words that begin at a multiple of 64 bytes.
                let load = |seen: &[u32; LANES]| unsafe { _mm512_load_si512(seen.as_ptr().cast()) };
                sums.iter_mut()
                    .zip(&seen[..D])
                    .for_each(|(sum, seen)| *sum = _mm512_dpbusd_epi32(*sum, load(seen), quad));
                more.iter_mut()
                    .zip(&seen[1..])
                    .for_each(|(sum, seen)| *sum = _mm512_dpbusd_epi32(*sum, load(seen), next));
            }
        }
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = _mm512_add_epi32(*sum, more);
            if C == 2 {
                *sum = _mm512_add_epi32(*sum, _mm512_shuffle_i64x2::<0b01_00_11_10>(*sum, *sum));
            }
        }
        sums
    }
}

impl Energies {
    /// [`Energies::fill`].
    #[target_feature(enable = "avx512f")]
    fn fill_512(&mut self, rows: &[[i8; N]; N]) {
        const { assert!(OVERHANG == 2 && N == 16 && LANES == 16 && WIDTHS == 4) };
        let zero = _mm512_setzero_si512();
        let last = _mm512_setr_epi32(
            13, 14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
        );
        let mut sums = [zero; WIDTHS];
        for y in 0..N + OVERHANG {
            if let Some(row) = rows.get(y) {
                // SAFETY: sixteen bytes.
                let row = _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(row.as_ptr().cast()) });
                // The sums of the squares up to each column.
                let mut up_to = _mm512_mullo_epi32(row, row);
                up_to = _mm512_add_epi32(up_to, _mm512_alignr_epi32::<15>(up_to, zero));
                up_to = _mm512_add_epi32(up_to, _mm512_alignr_epi32::<14>(up_to, zero));
                up_to = _mm512_add_epi32(up_to, _mm512_alignr_epi32::<12>(up_to, zero));
                up_to = _mm512_add_epi32(up_to, _mm512_alignr_epi32::<8>(up_to, zero));
                // Those before the columns of the frame: its first sixteen, and what follows.
                let (near, far) = (
                    _mm512_alignr_epi32::<13>(up_to, zero),
                    _mm512_permutexvar_epi32(last, up_to),
                );
                let narrow = [
                    _mm512_alignr_epi32::<10>(far, near),
                    _mm512_alignr_epi32::<12>(far, near),
                ];
                let ends = [
                    narrow[0],
                    narrow[1],
                    _mm512_alignr_epi32::<14>(far, near),
                    far,
                ];
                sums.iter_mut().zip(ends).for_each(|(sum, end)| {
                    *sum = _mm512_add_epi32(*sum, _mm512_sub_epi32(end, near));
                });
            }
            for (table, sum) in self.0.iter_mut().zip(sums) {
                // SAFETY: sixteen integers.
                unsafe { _mm512_storeu_si512(table[OVERHANG + y + 1].as_mut_ptr().cast(), sum) };
            }
        }
    }
}
