//! Two Frames → their HaarPSI: Reisenhofer, Bosse, Kutyniok and Wiegand 2018, "A Haar wavelet-based
//! perceptual similarity index for image quality assessment", Signal Processing: Image
//! Communication 61; as the authors' program of 2018-01-08 computes it.
//!
//! Frames are halved by means of 2 × 2. Of the luma (Y of YIQ) undecimated Haar coefficients of
//! three scales are taken, along rows and along columns: the two fine ones say how similar a place
//! is, (2ab + C)/(a² + b² + C) with C = 30 on their magnitudes, and the coarse one how much it
//! counts, max(a, b). Chroma (I and Q, means of 2 × 2) is compared likewise and counts as the mean
//! of both directions. The value is (σ⁻¹(Σ w σ(s) / Σ w))², σ the logistic function of steepness
//! 4.2, in [0, 1]. Outside a frame is zero.
//!
//! Where nothing counts, in flat frames, all places count alike; the paper does not say.

use super::pairs::PairMeasure;
use crate::{Result, picture::Frame};

const C: f64 = 30.0;
const ALPHA: f64 = 4.2;
/// Y, I and Q of red, green and blue.
const YIQ: [[f64; 3]; 3] = [
    [0.299, 0.587, 0.114],
    [0.596, -0.274, -0.322],
    [0.211, -0.523, 0.312],
];

/// HaarPSI.
pub(super) struct HaarPsi;

/// What is known of one frame; every map has a value for each place of the halved frame.
pub(super) struct Prepared {
    /// Magnitudes at the three scales, fine to coarse, of the differences of rows and of columns.
    haar: [[Vec<f64>; 3]; 2],
    /// Magnitudes of I and Q; empty for a grey frame.
    chroma: Vec<Vec<f64>>,
}

struct Plane {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

impl Plane {
    fn of(frame: &Frame, weights: Option<[f64; 3]>) -> Self {
        let [width, height] = frame.sides();
        let values = match weights {
            None => frame.plane(0).iter().map(|&v| v.into()).collect(),
            Some(weights) => {
                let at = |i: usize| {
                    (0..3)
                        .map(|p| weights[p] * f64::from(frame.plane(p)[i]))
                        .sum()
                };
                (0..width * height).map(at).collect()
            }
        };
        Self {
            width,
            height,
            values,
        }
    }

    /// The weighted sum over a square of even side around every place, half of it before: `weigh`
    /// has the weight of a row and a column of it.
    fn correlated(&self, side: usize, weigh: impl Fn(usize, usize) -> f64) -> Self {
        let (half, [width, height]) = (side / 2, [self.width, self.height]);
        let at = |i: usize| {
            let (x, y) = (i % width, i / width);
            let rows = (0..side).filter(|row| (half..height + half).contains(&(y + row + 1)));
            let of_row = |row: usize| -> f64 {
                let columns =
                    (0..side).filter(|column| (half..width + half).contains(&(x + column + 1)));
                columns
                    .map(|column| {
                        weigh(row, column)
                            * self.values[(y + row + 1 - half) * width + x + column + 1 - half]
                    })
                    .sum()
            };
            rows.map(of_row).sum()
        };
        Self {
            width,
            height,
            values: (0..width * height).map(at).collect(),
        }
    }

    fn halved(&self) -> Self {
        let means = self.correlated(2, |_, _| 0.25);
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let at = |i: usize| means.values[i / width * 2 * self.width + i % width * 2];
        Self {
            width,
            height,
            values: (0..width * height).map(at).collect(),
        }
    }

    fn magnitudes(self) -> Vec<f64> {
        self.values.into_iter().map(f64::abs).collect()
    }
}

impl PairMeasure for HaarPsi {
    type Prepared = Prepared;
    type Scratch = ();

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        let coloured = frame.planes() == 3;
        let luma = Plane::of(frame, coloured.then_some(YIQ[0])).halved();
        let chroma = if coloured { &YIQ[1..] } else { &[] };
        let of_chroma = |weights: &[f64; 3]| {
            Plane::of(frame, Some(*weights))
                .halved()
                .correlated(2, |_, _| 0.25)
                .magnitudes()
        };
        let haar = |by_columns: bool| {
            [1, 2, 3].map(|scale| {
                let (side, weight) = (1_usize << scale, 0.5_f64.powi(scale));
                let sign = |at: usize| if at < side / 2 { weight } else { -weight };
                luma.correlated(side, |row, column| {
                    sign(if by_columns { column } else { row })
                })
                .magnitudes()
            })
        };
        Ok(Prepared {
            haar: [haar(false), haar(true)],
            chroma: chroma.iter().map(of_chroma).collect(),
        })
    }

    fn bytes(&self, frame: &Frame) -> usize {
        2 * size_of::<f64>() * frame.sides()[0] * frame.sides()[1]
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, (): &mut ()) -> f64 {
        let alike = |a: f64, b: f64| (2.0 * a * b + C) / (a * a + b * b + C);
        let sigmoid = |v: f64| 1.0 / (1.0 + (-ALPHA * v).exp());
        let (mut sum, mut weights, mut plain, mut count) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..a.haar[0][0].len() {
            let mut total = 0.0;
            let mut add = |similarity: f64, weight: f64| {
                let similarity = sigmoid(similarity);
                sum += weight * similarity;
                weights += weight;
                plain += similarity;
                count += 1.0;
            };
            for (a, b) in a.haar.iter().zip(&b.haar) {
                let weight = a[2][i].max(b[2][i]);
                add(
                    (alike(a[0][i], b[0][i]) + alike(a[1][i], b[1][i])) / 2.0,
                    weight,
                );
                total += weight;
            }
            if let ([ai, aq], [bi, bq]) = (&a.chroma[..], &b.chroma[..]) {
                add(
                    (alike(ai[i], bi[i]) + alike(aq[i], bq[i])) / 2.0,
                    total / 2.0,
                );
            }
        }
        let mean = if weights > 0.0 {
            sum / weights
        } else {
            plain / count
        };
        ((mean / (1.0 - mean)).ln() / ALPHA).powi(2).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::frame, *};

    #[test]
    fn equal_frames_have_one_also_flat_ones_and_the_order_does_not_matter() {
        let flat = |v: u8| Frame::from_samples([16, 16], 3, vec![v; 768]).unwrap();
        for (a, b) in [
            (frame([17, 12], 3, 1), frame([17, 12], 3, 2)),
            (frame([16, 16], 1, 1), frame([16, 16], 1, 4)),
            (flat(0), flat(90)),
        ] {
            let [p, q] = [&a, &b].map(|f| HaarPsi.prepare(f).unwrap());
            assert!((HaarPsi.similarity(&p, &p, &mut ()) - 1.0).abs() < 1e-12);
            let value = HaarPsi.similarity(&p, &q, &mut ());
            assert!(
                (0.0..1.0).contains(&value) && value == HaarPsi.similarity(&q, &p, &mut ()),
                "{value}"
            );
        }
        let black = HaarPsi.prepare(&flat(0)).unwrap();
        assert!(HaarPsi.similarity(&black, &black, &mut ()) > 1.0 - 1e-12);
    }
}
