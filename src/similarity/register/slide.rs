//! A template slid over a picture → the offset at which they correlate best.
//!
//! Eight offsets that lie side by side are computed together, or twice eight. The sums are of integers, so that every way of adding them up
//! gives the same.
#![allow(unsafe_code)]

/// Offsets that are computed together.
const LANES: usize = 8;
/// The side of the widest [`Frame`], with its overhang on both sides, and the length of its rows, so far as they are read.
const WIDEST: usize = 20;
const ROW: usize = 32;

/// A picture with zeros around it.
pub(super) struct Frame<const N: usize> {
    /// Each sample with the one to its right.
    pairs: [[[i16; 2]; ROW]; WIDEST],
    /// The sums of squares over all rectangles that begin at its corner.
    squares: [[i32; ROW]; WIDEST + 1],
}

/// The rows of a template, those beyond its width zero, its width and height, and the sum of its squares.
pub(super) struct Slid<'a, const N: usize> {
    pub(super) rows: &'a [[i8; N]],
    pub(super) size: [usize; 2],
    pub(super) energy: i32,
}

impl<const N: usize> Frame<N> {
    /// What a template may stick out.
    pub(super) const OVERHANG: usize = N / 8;

    pub(super) fn new(rows: &[[i8; N]]) -> Self {
        let (mut pairs, mut squares) = ([[[0; 2]; ROW]; WIDEST], [[0; ROW]; WIDEST + 1]);
        for (y, row) in rows.iter().enumerate() {
            for (x, &value) in row.iter().enumerate() {
                pairs[y + Self::OVERHANG][x + Self::OVERHANG][0] = i16::from(value);
                pairs[y + Self::OVERHANG][x + Self::OVERHANG - 1][1] = i16::from(value);
            }
        }
        for y in 0..WIDEST {
            let mut sum = 0;
            for x in 0..ROW - 1 {
                sum += i32::from(pairs[y][x][0]) * i32::from(pairs[y][x][0]);
                squares[y + 1][x + 1] = squares[y][x + 1] + sum;
            }
        }
        Self { pairs, squares }
    }

    /// The best correlation of a template over all offsets, and its offset, counted from the overhang; the first of equals.
    pub(super) fn slide(&self, template: &Slid<'_, N>) -> (f32, [usize; 2]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { self.slide_avx2(template) };
        }
        self.slide_by::<false>(template)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn slide_avx2(&self, template: &Slid<'_, N>) -> (f32, [usize; 2]) {
        self.slide_by::<true>(template)
    }

    #[inline(always)]
    fn slide_by<const AVX2: bool>(&self, template: &Slid<'_, N>) -> (f32, [usize; 2]) {
        let mut rows = [[0; N]; N];
        rows.iter_mut().zip(template.rows).for_each(|(out, row)| *out = row.map(i16::from));
        let [width, height] = template.size;
        let [across, down] = template.size.map(|length| N - length + 2 * Self::OVERHANG + 1);
        let mut best = Best { square: 0.0, energy: 1.0, offset: [Self::OVERHANG; 2] };
        for y in 0..down {
            let ([top, bottom], seen) = ([y, y + height].map(|y| &self.squares[y]), &self.pairs[y..y + height]);
            if across <= LANES {
                let [dots] = dots::<N, 1, AVX2>(&rows[..height], seen, width);
                best.offer(&dots, top, bottom, [0, y], width, across);
            } else {
                let [dots, more] = dots::<N, 2, AVX2>(&rows[..height], seen, width);
                best.offer(&dots, top, bottom, [0, y], width, across);
                best.offer(&more, top, bottom, [LANES, y], width, across);
            }
        }
        ((best.square / (template.energy.max(1) as f32 * best.energy)).sqrt(), best.offset)
    }
}

/// The best so far: the square of its dot product, and the energy that it is divided by.
struct Best {
    square: f32,
    energy: f32,
    offset: [usize; 2],
}

impl Best {
    /// Takes the better of some neighbouring offsets, of which those before `across` exist. Nothing is divided.
    #[inline(always)]
    fn offer(&mut self, dots: &[i32; LANES], top: &[i32; ROW], bottom: &[i32; ROW], [x, y]: [usize; 2], width: usize, across: usize) {
        let [near, far] = [top, bottom].map(|sums| [&sums[x..][..LANES], &sums[x + width..][..LANES]]);
        let (mut squares, mut energies, mut any) = ([0f32; LANES], [0f32; LANES], false);
        for l in 0..LANES {
            let dot = if dots[l] > 0 { dots[l] as f32 } else { 0.0 };
            squares[l] = dot * dot;
            energies[l] = (far[1][l] - near[1][l] - far[0][l] + near[0][l]) as f32;
            any |= squares[l] * self.energy > self.square * energies[l];
        }
        if any {
            for l in (0..LANES).take_while(|l| x + l < across) {
                if squares[l] * self.energy > self.square * energies[l] {
                    *self = Self { square: squares[l], energy: energies[l], offset: [x + l, y] };
                }
            }
        }
    }
}

/// The dot products of a template of some width with what it covers of the rows at each offset, `G` times [`LANES`] of them.
#[inline(always)]
fn dots<const N: usize, const G: usize, const AVX2: bool>(
    template: &[[i16; N]],
    rows: &[[[i16; 2]; ROW]],
    width: usize,
) -> [[i32; LANES]; G] {
    let used = width.div_ceil(2);
    #[cfg(target_arch = "x86_64")]
    if AVX2 {
        // SAFETY: the processor has AVX2, as this is called from `slide_avx2` only.
        return unsafe { dots_avx2(template, rows, used) };
    }
    let mut sums = [[0; LANES]; G];
    for (row, seen) in template.iter().zip(rows) {
        for (c, pair) in row.as_chunks::<2>().0[..used].iter().enumerate() {
            let [left, right] = pair.map(i32::from);
            for (g, sums) in sums.iter_mut().enumerate() {
                let seen = &seen[g * LANES + 2 * c..][..LANES];
                for l in 0..LANES {
                    sums[l] += left * i32::from(seen[l][0]) + right * i32::from(seen[l][1]);
                }
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn dots_avx2<const N: usize, const G: usize>(template: &[[i16; N]], rows: &[[[i16; 2]; ROW]], used: usize) -> [[i32; LANES]; G] {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
    };
    const { assert!((G - 1) * LANES + N - 2 + LANES <= ROW) };
    assert!(used <= N / 2);
    let mut sums = [_mm256_setzero_si256(); G];
    for (row, seen) in template.iter().zip(rows) {
        for (c, &[left, right]) in row.as_chunks::<2>().0[..used].iter().enumerate() {
            let pair = _mm256_set1_epi32(i32::from(left) & 0xffff | i32::from(right) << 16);
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the eight pairs read lie within the row: 2 c ≤ N − 2, and the assertion above.
                let seen = unsafe { _mm256_loadu_si256(seen.as_ptr().add(g * LANES + 2 * c).cast::<__m256i>()) };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, seen));
            }
        }
    }
    let mut out = [[0; LANES]; G];
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: the place has the eight integers that are written.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast::<__m256i>(), sum) };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, at every offset.
    fn slow<const N: usize>(whole: &[[i8; N]], template: &Slid<'_, N>) -> (f32, [usize; 2]) {
        let [across, down] = template.size.map(|length| N - length + 2 * Frame::<N>::OVERHANG + 1);
        let mut best = (0.0f64, [Frame::<N>::OVERHANG; 2]);
        for (x, y) in (0..down).flat_map(|y| (0..across).map(move |x| (x, y))) {
            let (mut dot, mut energy) = (0i64, 0i64);
            for (u, v) in (0..template.size[1]).flat_map(|v| (0..template.size[0]).map(move |u| (u, v))) {
                let inside = |at: usize| at.checked_sub(Frame::<N>::OVERHANG).filter(|&at| at < N);
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
    fn slid_alike<const N: usize>(whole: impl Fn(usize, usize) -> i8, other: impl Fn(usize, usize) -> i8) {
        let whole: [[i8; N]; N] = std::array::from_fn(|y| std::array::from_fn(|x| whole(x, y)));
        for size in (N / 2..=N).flat_map(|w| (N / 2..=N).map(move |h| [w, h])) {
            let cut = |x: usize, y: usize| if x < size[0] && y < size[1] { other(x, y) } else { 0 };
            let rows: [[i8; N]; N] = std::array::from_fn(|y| std::array::from_fn(|x| cut(x, y)));
            let energy = rows.iter().flatten().map(|&v| i32::from(v) * i32::from(v)).sum();
            let template = Slid { rows: &rows[..size[1]], size, energy };
            let frame = Frame::<N>::new(&whole);
            let (score, offset) = frame.slide(&template);
            assert_eq!((score, offset), frame.slide_by::<false>(&template));
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
            slid_alike::<16>(noise, |x, y| noise(x + shift % 2, y + shift));
            slid_alike::<8>(noise, |x, y| noise(x + shift % 2, y + shift));
        }
    }

    #[test]
    fn offsets_that_stick_out_too_far_do_not_count() {
        let outside = [[3, 0], [7, 0], [9, 1]];
        for [across, down] in outside {
            slid_alike::<16>(noise, |x, y| noise(x + across, y + down));
            slid_alike::<8>(noise, |x, y| noise(x + across, y + down));
        }
    }

    #[test]
    fn of_equals_the_first_offset_counts() {
        let stripes = |x: usize, _: usize| if x.is_multiple_of(2) { 50 } else { -50 };
        slid_alike::<16>(stripes, stripes);
        slid_alike::<8>(stripes, stripes);
    }
}
