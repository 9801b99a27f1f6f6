//! A level by blocks, another level, and a map between them → the sums over each block that a step
//! of alignment is made of.
//!
//! The eight blocks of a row are computed side by side, with AVX-512 those of two rows, each in its
//! own order: vectors of any width give the same bits.
#![allow(unsafe_code)]

use super::{
    affine::Affine,
    at,
    levels::{FINE, Level},
    samples::{LANES, Lanes, samples},
    wide::{Work, wide},
};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Blocks along a side; those of a row lie side by side.
pub(super) const BLOCKS: usize = LANES;

/// A level as its blocks are read.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) side: usize,
    /// Of each row of samples, for the first, second, … sample of all blocks: value, slope to the
    /// right, slope downwards.
    pub(super) samples: Vec<[Lanes; 3]>,
    /// Where the first, second, … sample of all blocks lies.
    pub(super) places: Vec<Lanes>,
}

/// The sums over each of a row of blocks: of ab, a², b²; of the residual times slope to the right,
/// times 1, x, y, and so for the slope downwards.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Sums {
    pub(super) products: [Lanes; 3],
    pub(super) pull: [Lanes; 6],
}

impl Sums {
    /// The correlation of each block, 0 where it is negative, and its square.
    #[inline(always)]
    pub(super) fn correlation(&self) -> (Lanes, [f64; BLOCKS]) {
        let [ab, aa, bb] = &self.products;
        let (mut energy, mut correlation, mut trust) =
            ([0f32; BLOCKS], [0f32; BLOCKS], [0f64; BLOCKS]);
        // Each loop is a step of vectors.
        for l in 0..BLOCKS {
            energy[l] = (aa[l] * bb[l]).sqrt();
        }
        for l in 0..BLOCKS {
            correlation[l] = ab[l] / energy[l];
        }
        for l in 0..BLOCKS {
            correlation[l] = if correlation[l] > 0.0 && energy[l] > 0.0 {
                correlation[l]
            } else {
                0.0
            };
        }
        for value in &mut correlation {
            *value = if *value < 1.0 { *value } else { 1.0 };
        }
        for l in 0..BLOCKS {
            trust[l] = f64::from(correlation[l] * correlation[l]);
        }
        (correlation, trust)
    }

    /// Those of the residual, block by block.
    #[inline(always)]
    pub(super) fn pulls(&self) -> [[f32; 6]; BLOCKS] {
        let mut pulls = [[0.0; 6]; BLOCKS];
        for (l, pulls) in pulls.iter_mut().enumerate() {
            for (pull, sums) in pulls.iter_mut().zip(&self.pull) {
                *pull = sums[l];
            }
        }
        pulls
    }
}

/// Adds `factor` times `values`.
#[inline(always)]
fn add(sum: &mut Lanes, values: &Lanes, factor: f32) {
    sum.iter_mut()
        .zip(values)
        .for_each(|(sum, v)| *sum += v * factor);
}

impl Blocks {
    /// Becomes those of another level.
    pub(super) fn fill(&mut self, level: &Level) {
        let (n, size) = (level.side, level.side / BLOCKS);
        self.side = n;
        self.samples.resize(n * size, [[0.0; BLOCKS]; 3]);
        wide((level, &mut self.samples[..]));
        self.places.resize(size, [0.0; BLOCKS]);
        (0..n).for_each(|x| self.places[x % size][x / size] = at(x, n));
    }

    /// The sums over a row of blocks and the next; those of the residual may be missing unless
    /// `pull`.
    #[inline(always)]
    pub(super) fn sums(&self, other: &Level, map: &Affine, row: usize, pull: bool) -> [Sums; 2] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            // SAFETY: the processor has AVX-512 with halves of eight floats.
            return unsafe {
                if pull {
                    self.sums_avx512::<9>(other, map, row)
                } else {
                    self.sums_avx512::<3>(other, map, row)
                }
            };
        }
        [row, row + 1].map(|row| self.sums_portable(other, map, row))
    }

    /// The sums over a row of blocks.
    #[inline(always)]
    fn sums_portable(&self, other: &Level, map: &Affine, row: usize) -> Sums {
        let (n, size) = (self.side, self.places.len());
        let half = 0.5 * n as f32;
        let (dx, dy) = (map.0[0], map.0[3]);
        let mut sums = Sums::default();
        for y in row * size..(row + 1) * size {
            let v = at(y, n);
            let (mut x0, mut y0) = ([0.0; BLOCKS], [0.0; BLOCKS]);
            for l in 0..BLOCKS {
                [x0[l], y0[l]] = map
                    .apply([self.places[0][l], v])
                    .map(|u| (u + 1.0) * half - 0.5);
            }
            let (mut products, mut pull) = ([[0f32; BLOCKS]; 3], [[0f32; BLOCKS]; 4]);
            for (k, ([a, across, down], u)) in self.samples[y * size..]
                .iter()
                .zip(&self.places)
                .enumerate()
            {
                let b = samples(&other.norm, n, [&x0, &y0], [k as f32 * dx, k as f32 * dy]);
                for l in 0..BLOCKS {
                    let r = b[l] - a[l];
                    products[0][l] += a[l] * b[l];
                    products[1][l] += a[l] * a[l];
                    products[2][l] += b[l] * b[l];
                    pull[0][l] += r * across[l];
                    pull[1][l] += r * across[l] * u[l];
                    pull[2][l] += r * down[l];
                    pull[3][l] += r * down[l] * u[l];
                }
            }
            sums.products
                .iter_mut()
                .zip(&products)
                .for_each(|(sum, p)| add(sum, p, 1.0));
            let [across, across_u, down, down_u] = &pull;
            let terms = [
                (across, 1.0),
                (across_u, 1.0),
                (across, v),
                (down, 1.0),
                (down_u, 1.0),
                (down, v),
            ];
            sums.pull
                .iter_mut()
                .zip(terms)
                .for_each(|(sum, (p, factor))| add(sum, p, factor));
        }
        sums
    }

    /// The same of a row of blocks and the next, side by side; the first `S` of these sums.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn sums_avx512<const S: usize>(&self, other: &Level, map: &Affine, row: usize) -> [Sums; 2] {
        let (n, size) = (self.side, self.places.len());
        let plane = Plane::new(&other.norm, n);
        let [across, down] = [
            [map.0[0], map.0[1], map.0[2]],
            [map.0[3], map.0[4], map.0[5]],
        ];
        let first = both(&self.places[0], &self.places[0]);
        let mut sums = [_mm512_setzero_ps(); S];
        // Where places lie is put down and read again, one by one.
        let mut corners = [Corners {
            at: [0; 16],
            p: first,
            q: first,
        }; FINE / BLOCKS];
        for y in row * size..(row + 1) * size {
            let v = both(&[at(y, n); BLOCKS], &[at(y + size, n); BLOCKS]);
            let (x0, y0) = (plane.place(across, first, v), plane.place(down, first, v));
            let mut parts = [_mm512_setzero_ps(); 7];
            for (k, corners) in corners[..size].iter_mut().enumerate() {
                let x = _mm512_add_ps(x0, _mm512_set1_ps(k as f32 * across[0]));
                let y = _mm512_add_ps(y0, _mm512_set1_ps(k as f32 * down[0]));
                *corners = plane.corners(x, y);
            }
            let rows = self.samples[y * size..][..size]
                .iter()
                .zip(&self.samples[(y + size) * size..][..size]);
            for ((corners, (upper, lower)), u) in corners.iter().zip(rows).zip(&self.places) {
                let (a, b, u) = (
                    both(&upper[0], &lower[0]),
                    plane.samples(corners),
                    both(u, u),
                );
                let r = _mm512_sub_ps(b, a);
                let pull = [
                    _mm512_mul_ps(r, both(&upper[1], &lower[1])),
                    _mm512_mul_ps(r, both(&upper[2], &lower[2])),
                ];
                let products = [
                    _mm512_mul_ps(a, b),
                    _mm512_mul_ps(a, a),
                    _mm512_mul_ps(b, b),
                ];
                let pulls = [
                    pull[0],
                    _mm512_mul_ps(pull[0], u),
                    pull[1],
                    _mm512_mul_ps(pull[1], u),
                ];
                for (part, term) in parts.iter_mut().zip(products.into_iter().chain(pulls)) {
                    *part = _mm512_add_ps(*part, term);
                }
            }
            let [ab, aa, bb, across, across_u, down, down_u] = parts;
            let terms = [
                ab,
                aa,
                bb,
                across,
                across_u,
                _mm512_mul_ps(across, v),
                down,
                down_u,
                _mm512_mul_ps(down, v),
            ];
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum = _mm512_add_ps(*sum, term);
            }
        }
        let mut found = [Sums::default(); 2];
        let [upper, lower] = &mut found;
        let upper = upper.products.iter_mut().chain(&mut upper.pull);
        let lower = lower.products.iter_mut().chain(&mut lower.pull);
        for ((upper, lower), sum) in upper.zip(lower).zip(sums) {
            // SAFETY: either has the eight floats that are written.
            unsafe {
                _mm256_storeu_ps(upper.as_mut_ptr(), _mm512_castps512_ps256(sum));
                _mm256_storeu_ps(lower.as_mut_ptr(), _mm512_extractf32x8_ps::<1>(sum));
            }
        }
        found
    }
}

impl Work for (&Level, &mut [[Lanes; 3]]) {
    type Found = ();

    /// Puts samples and slopes in order: half the differences of the neighbours, one-sided at the
    /// border.
    #[inline(always)]
    fn run(self) {
        let (Level { side: n, norm, .. }, samples) = self;
        let row = |y: usize| &norm[y * n..][..*n];
        for (y, samples) in samples.chunks_exact_mut(n / BLOCKS).enumerate() {
            let (above, below) = (y.saturating_sub(1), (y + 1).min(n - 1));
            let factor = 1.0 / (below - above) as f32;
            let (here, above, below) = (row(y), row(above), row(below));
            let [mut across, mut down] = [[0.0; FINE]; 2];
            for x in 1..n - 1 {
                across[x] = 0.5 * (here[x + 1] - here[x - 1]);
            }
            (across[0], across[n - 1]) = (here[1] - here[0], here[n - 1] - here[n - 2]);
            for x in 0..*n {
                down[x] = factor * (below[x] - above[x]);
            }
            for (plane, line) in [here, &across[..*n], &down[..*n]].into_iter().enumerate() {
                match samples.len() {
                    2 => spread::<2>(line, plane, samples),
                    4 => spread::<4>(line, plane, samples),
                    _ => spread::<8>(line, plane, samples),
                }
            }
        }
    }
}

/// Gives each block its part of a line.
#[inline(always)]
fn spread<const SIZE: usize>(line: &[f32], plane: usize, samples: &mut [[Lanes; 3]]) {
    let parts = &line.as_chunks::<SIZE>().0[..BLOCKS];
    for (k, sample) in samples[..SIZE].iter_mut().enumerate() {
        for l in 0..BLOCKS {
            sample[plane][l] = parts[l][k];
        }
    }
}

/// Two rows side by side.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn both(upper: &Lanes, lower: &Lanes) -> __m512 {
    // SAFETY: either has the eight floats that are read.
    let [upper, lower] = unsafe {
        [
            _mm256_loadu_ps(upper.as_ptr()),
            _mm256_loadu_ps(lower.as_ptr()),
        ]
    };
    _mm512_insertf32x8::<1>(_mm512_castps256_ps512(upper), lower)
}

/// A square plane that is looked at in sixteen places side by side. Their samples are loaded one
/// place after another and then turned into vectors: gathers take twice as long where these are
/// many small steps (Zen 4).
#[cfg(target_arch = "x86_64")]
struct Plane<'a> {
    samples: &'a [f32],
    side: usize,
}

#[cfg(target_arch = "x86_64")]
impl<'a> Plane<'a> {
    fn new(samples: &'a [f32], side: usize) -> Self {
        assert!(
            (2..=FINE).contains(&side) && samples.len() == side * side,
            "a plane is a square"
        );
        Self { samples, side }
    }

    /// Where a row of a map puts points of the frame, in samples.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn place(&self, row: [f32; 3], u: __m512, v: __m512) -> __m512 {
        let (half, one) = (_mm512_set1_ps(0.5), _mm512_set1_ps(1.0));
        let turned = _mm512_add_ps(
            _mm512_mul_ps(_mm512_set1_ps(row[0]), u),
            _mm512_mul_ps(_mm512_set1_ps(row[1]), v),
        );
        let place = _mm512_add_ps(_mm512_add_ps(turned, _mm512_set1_ps(row[2])), one);
        _mm512_sub_ps(
            _mm512_mul_ps(place, _mm512_set1_ps(0.5 * self.side as f32)),
            half,
        )
    }

    /// The squares of four samples that places lie in.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn corners(&self, x: __m512, y: __m512) -> Corners {
        let (zero, most) = (_mm512_setzero_ps(), _mm512_set1_ps((self.side - 1) as f32));
        // Where a number is compared with one that is none, the second of the two is taken, as by
        // `clamp`.
        let (x, y) = (
            _mm512_min_ps(most, _mm512_max_ps(zero, x)),
            _mm512_min_ps(most, _mm512_max_ps(zero, y)),
        );
        let last = _mm512_set1_epi32(self.side as i32 - 2);
        let (left, top) = (
            _mm512_min_epu32(_mm512_cvttps_epi32(x), last),
            _mm512_min_epu32(_mm512_cvttps_epi32(y), last),
        );
        let (p, q) = (
            _mm512_sub_ps(x, _mm512_cvtepi32_ps(left)),
            _mm512_sub_ps(y, _mm512_cvtepi32_ps(top)),
        );
        let corner = _mm512_add_epi32(
            _mm512_mullo_epi32(top, _mm512_set1_epi32(self.side as i32)),
            left,
        );
        let mut corners = Corners { at: [0; 16], p, q };
        // SAFETY: sixteen integers are written.
        unsafe { _mm512_storeu_si512(corners.at.as_mut_ptr().cast(), corner) };
        corners
    }

    /// What [`samples`] gives.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn samples(&self, Corners { at, p, q }: &Corners) -> __m512 {
        // SAFETY: in `corners`, left and top are n − 2 at most, also where x or y is no number; so
        // the pairs that begin at the corner, and one row below it, lie within the n² samples.
        let [first, second, third, fourth] = unsafe {
            [
                self.fours(at, 0),
                self.fours(at, 1),
                self.fours(at, 2),
                self.fours(at, 3),
            ]
        };
        let above = pairs(
            _mm512_unpacklo_ps(first, second),
            _mm512_unpacklo_ps(third, fourth),
        );
        let below = pairs(
            _mm512_unpackhi_ps(first, second),
            _mm512_unpackhi_ps(third, fourth),
        );
        let a = _mm512_add_ps(
            above[0],
            _mm512_mul_ps(*p, _mm512_sub_ps(above[1], above[0])),
        );
        let b = _mm512_add_ps(
            below[0],
            _mm512_mul_ps(*p, _mm512_sub_ps(below[1], below[0])),
        );
        _mm512_add_ps(a, _mm512_mul_ps(*q, _mm512_sub_ps(b, a)))
    }

    /// The four samples at the corners from `i` on, of every fourth.
    ///
    /// # Safety
    /// They lie within the plane.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    unsafe fn fours(&self, at: &[u32; 16], i: usize) -> __m512 {
        // SAFETY: the caller says so.
        let [a, b, c, d] = unsafe {
            [
                self.four(at[i]),
                self.four(at[i + 4]),
                self.four(at[i + 8]),
                self.four(at[i + 12]),
            ]
        };
        let (lower, upper) = (_mm256_set_m128i(b, a), _mm256_set_m128i(d, c));
        _mm512_castsi512_ps(_mm512_inserti64x4::<1>(
            _mm512_castsi256_si512(lower),
            upper,
        ))
    }

    /// Two samples, and the two below them.
    ///
    /// # Safety
    /// They lie within the plane.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    unsafe fn four(&self, at: u32) -> __m128i {
        // SAFETY: the caller says so.
        unsafe {
            let above = self.samples.as_ptr().add(at as usize);
            _mm_set_epi64x(
                above.add(self.side).cast::<i64>().read_unaligned(),
                above.cast::<i64>().read_unaligned(),
            )
        }
    }
}

/// The even pairs of floats of two vectors in turn, and the odd ones.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn pairs(first: __m512, second: __m512) -> [__m512; 2] {
    let (first, second) = (_mm512_castps_pd(first), _mm512_castps_pd(second));
    [
        _mm512_castpd_ps(_mm512_unpacklo_pd(first, second)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(first, second)),
    ]
}

/// For sixteen places the first of the four samples that are around each, and how far to the right
/// of it and below it the place is.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Corners {
    at: [u32; 16],
    p: __m512,
    q: __m512,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::register::samples::tests::noise;

    #[test]
    fn two_rows_of_blocks_give_the_bits_of_each() {
        let (a, b) = (noise(64, 3), noise(64, 4));
        let maps = [
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            [0.93, 0.05, 0.1, -0.04, 0.88, -0.06],
            [1.9, -0.3, 0.2, 0.2, 1.7, -0.5],
        ];
        for (a, b) in a.levels.iter().zip(&b.levels) {
            let mut blocks = Blocks::default();
            blocks.fill(a);
            for (map, row) in maps
                .iter()
                .flat_map(|&map| (0..BLOCKS - 1).map(move |row| (Affine(map), row)))
            {
                let bits = |sums: Sums| {
                    [sums.products.as_flattened(), sums.pull.as_flattened()]
                        .concat()
                        .iter()
                        .map(|v| v.to_bits())
                        .collect::<Vec<_>>()
                };
                let slow = [row, row + 1].map(|row| bits(blocks.sums_portable(b, &map, row)));
                assert_eq!(
                    blocks.sums(b, &map, row, true).map(bits),
                    slow,
                    "{} {map:?} {row}",
                    a.side
                );
            }
        }
    }
}
