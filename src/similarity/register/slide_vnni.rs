//! The slides for AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte to each of 16 sums.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{
    levels::COARSE as N,
    slide::{Best, Energies, LANES, OVERHANG, SIDE, Slid, WIDTHS, offsets},
};

/// Whether the processor has what is used here.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni")
}

/// For every fourth column, and every row: the words of four samples, each plus 128, that begin there and at the next fifteen columns.
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
        let words = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6));
        // To each lane its own two dwords and those after them.
        let dwords = _mm512_setr_epi32(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6);
        for (y, row) in rows.iter().enumerate().map(|(y, row)| (y + OVERHANG, row)) {
            // SAFETY: sixteen bytes.
            let row = unsafe { _mm_loadu_si128(row.as_ptr().cast()) };
            let bytes = _mm_xor_si128(row, zero);
            let framed =
                _mm512_inserti32x4::<1>(_mm512_castsi128_si512(_mm_alignr_epi8::<14>(bytes, zero)), _mm_alignr_epi8::<14>(zero, bytes));
            for (c, quads) in self.0.iter_mut().enumerate() {
                let four = _mm512_permutexvar_epi32(_mm512_add_epi32(dwords, _mm512_set1_epi32(c as i32)), framed);
                // SAFETY: sixteen words that begin at a multiple of 64 bytes.
                unsafe { _mm512_store_si512(quads[y].as_mut_ptr().cast(), _mm512_shuffle_epi8(four, words)) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn slide_512(&self, energies: &Energies, template: &Slid<'_>) -> (f32, [usize; 2]) {
        let [across, down] = offsets(template.size);
        let best = match down {
            5 => self.best::<5>(energies, template),
            7 => self.best::<7>(energies, template),
            9 => self.best::<9>(energies, template),
            _ => self.best::<11>(energies, template),
        };
        best.of(template, across)
    }

    /// [`Best::offer`] of all rows of offsets, of which there are `D`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn best<const D: usize>(&self, energies: &Energies, template: &Slid<'_>) -> Best {
        let [width, height] = template.size;
        assert!(offsets(template.size)[1] == D);
        let energies = energies.of(width);
        // SAFETY: sixteen integers are read.
        let load = |from: &[i32; LANES]| unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
        let (mut squares, mut divisors, mut rows) = (_mm512_setzero_ps(), _mm512_set1_ps(1.0), _mm512_setzero_si512());
        for (y, dots) in self.dots::<D>(template).into_iter().enumerate() {
            let dots = _mm512_cvtepi32_ps(_mm512_max_epi32(dots, _mm512_setzero_si512()));
            let square = _mm512_mul_ps(dots, dots);
            let energy = _mm512_cvtepi32_ps(_mm512_sub_epi32(load(&energies[y + height]), load(&energies[y])));
            let better = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_mul_ps(square, divisors), _mm512_mul_ps(squares, energy));
            squares = _mm512_mask_mov_ps(squares, better, square);
            divisors = _mm512_mask_mov_ps(divisors, better, energy);
            rows = _mm512_mask_mov_epi32(rows, better, _mm512_set1_epi32(y as i32));
        }
        let mut best = Best::NONE;
        // SAFETY: the places have the sixteen values that are written.
        unsafe {
            _mm512_storeu_ps(best.squares.as_mut_ptr(), squares);
            _mm512_storeu_ps(best.energies.as_mut_ptr(), divisors);
            _mm512_storeu_si512(best.rows.as_mut_ptr().cast(), rows);
        }
        best
    }

    /// The dot products of a template with what it covers, at `D` rows of offsets: (a + 128) · b summed, less 128 times the sum of the template.
    /// Two rows of the template go together: what one covers, the other covers at the next offset.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    fn dots<const D: usize>(&self, template: &Slid<'_>) -> [__m512i; D] {
        let used = template.size[0].div_ceil(4);
        let (mut sums, mut more) = ([_mm512_set1_epi32(-128 * template.sum); D], [_mm512_setzero_si512(); D]);
        let splat = |quad: [i8; 4]| _mm512_set1_epi32(i32::from_le_bytes(quad.map(|v| v as u8)));
        for (r, [row, next]) in template.rows.as_chunks::<2>().0.iter().enumerate() {
            let quads = row.as_chunks::<4>().0[..used].iter().zip(next.as_chunks::<4>().0);
            for ((&quad, &next), seen) in quads.zip(&self.0) {
                let (quad, next, seen) = (splat(quad), splat(next), &seen[2 * r..2 * r + D + 1]);
                // SAFETY: sixteen words that begin at a multiple of 64 bytes.
                let load = |seen: &[u32; LANES]| unsafe { _mm512_load_si512(seen.as_ptr().cast()) };
                sums.iter_mut().zip(&seen[..D]).for_each(|(sum, seen)| *sum = _mm512_dpbusd_epi32(*sum, load(seen), quad));
                more.iter_mut().zip(&seen[1..]).for_each(|(sum, seen)| *sum = _mm512_dpbusd_epi32(*sum, load(seen), next));
            }
        }
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = _mm512_add_epi32(*sum, more));
        sums
    }
}

impl Energies {
    /// [`Energies::fill`].
    #[target_feature(enable = "avx512f")]
    fn fill_512(&mut self, rows: &[[i8; N]; N]) {
        const { assert!(OVERHANG == 2 && N == 16 && LANES == 16 && WIDTHS == 4) };
        let zero = _mm512_setzero_si512();
        let last = _mm512_setr_epi32(13, 14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15);
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
                let (near, far) = (_mm512_alignr_epi32::<13>(up_to, zero), _mm512_permutexvar_epi32(last, up_to));
                let narrow = [_mm512_alignr_epi32::<10>(far, near), _mm512_alignr_epi32::<12>(far, near)];
                let ends = [narrow[0], narrow[1], _mm512_alignr_epi32::<14>(far, near), far];
                sums.iter_mut().zip(ends).for_each(|(sum, end)| *sum = _mm512_add_epi32(*sum, _mm512_sub_epi32(end, near)));
            }
            for (table, sum) in self.0.iter_mut().zip(sums) {
                // SAFETY: sixteen integers.
                unsafe { _mm512_storeu_si512(table[OVERHANG + y + 1].as_mut_ptr().cast(), sum) };
            }
        }
    }
}
