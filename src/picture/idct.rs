//! 8 × 8 DCT coefficients → 8, 4, 2 or 1 samples a side, each the mean of a box of the 64.
//!
//! The inverse DCT of ITU-T T.81 §A.3.3 is x_i = Σ_k c_k X_k cos((2i+1)kπ/16), c_0 = 1/√8, c_k =
//! 1/2. The mean of neighbouring samples needs no samples: (x_{2j} + x_{2j+1})/2 = Σ_k c_k
//! cos(kπ/16) X_k cos((2j+1)kπ/8), and since cos((2j+1)(8−k)π/8) = −cos((2j+1)kπ/8) the eight terms
//! fold to four; folding once more gives the means of four, and X_0/8 is the mean of all. The
//! factors that do not depend on j are part of the dequantisation table. So shrinking costs nothing
//! and is the area mean exactly, except that samples are clamped after it and not rounded.
//! Arithmetic: f32 in one fixed order, hence the same on every machine.

/// One dimension of the transform, from eight scaled coefficients to `N` samples, in `L` lanes.
pub(super) trait Pass<const N: usize> {
    fn pass<const L: usize>(y: &[[f32; L]; 8]) -> [[f32; L]; N];
}

/// cos(kπ/16).
const COS: [f64; 9] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_27,
    0.0,
];

/// What coefficient `k` is multiplied by in each dimension before a pass to `n` samples.
pub(super) fn factor(n: usize, k: usize) -> f64 {
    let c = if k == 0 {
        std::f64::consts::FRAC_1_SQRT_2 / 2.0
    } else {
        0.5
    };
    // cos(kπ/8), k up to 7: the table's k = 2, 4, 6 and their reflections.
    let twice = if k <= 4 { COS[2 * k] } else { -COS[16 - 2 * k] };
    match n {
        8 => c,
        4 => c * COS[k],
        2 => c * COS[k] * twice,
        _ => c,
    }
}

fn zip<const L: usize>(f: impl Fn(usize) -> f32) -> [f32; L] {
    std::array::from_fn(f)
}

/// To all eight samples.
pub(super) struct Full;

impl Pass<8> for Full {
    #[inline(always)]
    fn pass<const L: usize>(y: &[[f32; L]; 8]) -> [[f32; L]; 8] {
        const C: [f32; 9] = {
            let mut c = [0.0; 9];
            let mut k = 0;
            while k < 9 {
                c[k] = COS[k] as f32;
                k += 1;
            }
            c
        };
        let sum: [f32; L] = zip(|l| y[0][l] + y[4][l] * C[4]);
        let difference: [f32; L] = zip(|l| y[0][l] - y[4][l] * C[4]);
        let p: [f32; L] = zip(|l| y[2][l] * C[2] + y[6][l] * C[6]);
        let q: [f32; L] = zip(|l| y[2][l] * C[6] - y[6][l] * C[2]);
        let even: [[f32; L]; 4] = [
            zip(|l| sum[l] + p[l]),
            zip(|l| difference[l] + q[l]),
            zip(|l| difference[l] - q[l]),
            zip(|l| sum[l] - p[l]),
        ];
        let odd: [[f32; L]; 4] = [
            zip(|l| y[1][l] * C[1] + y[3][l] * C[3] + y[5][l] * C[5] + y[7][l] * C[7]),
            zip(|l| y[1][l] * C[3] - y[3][l] * C[7] - y[5][l] * C[1] - y[7][l] * C[5]),
            zip(|l| y[1][l] * C[5] - y[3][l] * C[1] + y[5][l] * C[7] + y[7][l] * C[3]),
            zip(|l| y[1][l] * C[7] - y[3][l] * C[5] + y[5][l] * C[3] - y[7][l] * C[1]),
        ];
        std::array::from_fn(|i| {
            if i < 4 {
                zip(|l| even[i][l] + odd[i][l])
            } else {
                zip(|l| even[7 - i][l] - odd[7 - i][l])
            }
        })
    }
}

/// To the means of pairs.
pub(super) struct Half;

impl Pass<4> for Half {
    #[inline(always)]
    fn pass<const L: usize>(y: &[[f32; L]; 8]) -> [[f32; L]; 4] {
        const C1: f32 = COS[2] as f32;
        const C2: f32 = COS[4] as f32;
        const C3: f32 = COS[6] as f32;
        let one: [f32; L] = zip(|l| y[1][l] - y[7][l]);
        let two: [f32; L] = zip(|l| (y[2][l] - y[6][l]) * C2);
        let three: [f32; L] = zip(|l| y[3][l] - y[5][l]);
        let outer: [f32; L] = zip(|l| one[l] * C1 + three[l] * C3);
        let inner: [f32; L] = zip(|l| one[l] * C3 - three[l] * C1);
        [
            zip(|l| y[0][l] + two[l] + outer[l]),
            zip(|l| y[0][l] - two[l] + inner[l]),
            zip(|l| y[0][l] - two[l] - inner[l]),
            zip(|l| y[0][l] + two[l] - outer[l]),
        ]
    }
}

/// To the means of fours.
pub(super) struct Quarter;

impl Pass<2> for Quarter {
    #[inline(always)]
    fn pass<const L: usize>(y: &[[f32; L]; 8]) -> [[f32; L]; 2] {
        const C: f32 = COS[4] as f32;
        let odd: [f32; L] = zip(|l| (y[1][l] - y[3][l] - y[5][l] + y[7][l]) * C);
        [zip(|l| y[0][l] + odd[l]), zip(|l| y[0][l] - odd[l])]
    }
}

/// Both dimensions: `block[v * 8 + u]` is the scaled coefficient of vertical frequency u and
/// horizontal frequency v; writes `N` rows of `N` samples at distance `stride`, level-shifted and
/// clamped to 0..=255.
#[inline(always)]
pub(super) fn inverse<P: Pass<N>, const N: usize>(
    block: &[f32; 64],
    out: &mut [f32],
    stride: usize,
) {
    let lanes: [[f32; 8]; 8] = std::array::from_fn(|v| std::array::from_fn(|u| block[v * 8 + u]));
    let columns = P::pass(&lanes);
    let turned: [[f32; N]; 8] = std::array::from_fn(|u| std::array::from_fn(|x| columns[x][u]));
    for (row, out) in P::pass(&turned).iter().zip(out.chunks_mut(stride)) {
        if let Some(out) = out.first_chunk_mut::<N>() {
            *out = zip(|x| sample(row[x]));
        }
    }
}

/// A level-shifted and clamped sample.
#[inline(always)]
pub(super) fn sample(value: f32) -> f32 {
    (value + 128.0).clamp(0.0, 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T.81 §A.3.3, literally, in f64; coefficients [u (vertical)][v (horizontal)].
    fn oracle(coefficients: &[[f64; 8]; 8]) -> [[f64; 8]; 8] {
        let c = |k: usize| if k == 0 { 0.125_f64.sqrt() } else { 0.5 };
        let wave = |i: usize, k: usize| {
            ((2 * i + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
        };
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let mut sum = 0.0;
                for (u, row) in coefficients.iter().enumerate() {
                    for (v, value) in row.iter().enumerate() {
                        sum += c(u) * c(v) * value * wave(y, u) * wave(x, v);
                    }
                }
                sum
            })
        })
    }

    fn check<P: Pass<N>, const N: usize>(coefficients: &[[f64; 8]; 8]) {
        let samples = oracle(coefficients);
        let block: [f32; 64] = std::array::from_fn(|i| {
            (coefficients[i % 8][i / 8] * factor(N, i % 8) * factor(N, i / 8)) as f32
        });
        let mut out = [0.0; 64];
        inverse::<P, N>(&block, &mut out, N);
        let box_side = 8 / N;
        for y in 0..N {
            for x in 0..N {
                let cells = (0..box_side * box_side)
                    .map(|i| samples[y * box_side + i / box_side][x * box_side + i % box_side]);
                let mean = cells.sum::<f64>() / (box_side * box_side) as f64;
                let expected = (mean + 128.0).clamp(0.0, 255.0);
                assert!(
                    (f64::from(out[y * N + x]) - expected).abs() < 0.001,
                    "{N}: ({x}, {y}) {} {expected}",
                    out[y * N + x]
                );
            }
        }
    }

    #[test]
    fn every_scale_is_the_box_mean_of_the_literal_inverse() {
        let mut state = 7_u32;
        for round in 0..200 {
            let coefficients = std::array::from_fn(|_| {
                std::array::from_fn(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if round % 2 == 0 && state & 0x300 != 0 {
                        0.0
                    } else {
                        f64::from(state >> 20) / 16.0 - 128.0
                    }
                })
            });
            check::<Full, 8>(&coefficients);
            check::<Half, 4>(&coefficients);
            check::<Quarter, 2>(&coefficients);
        }
    }
}
