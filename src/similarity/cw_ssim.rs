//! Two Frames → their complex-wavelet structural similarity: Wang and Simoncelli 2005, "Translation
//! insensitive image similarity in complex wavelet domain"; Sampat, Wang, Gupta, Bovik and Markey
//! 2009, "Complex wavelet structural similarity: a new image similarity index", IEEE Trans. Image
//! Processing 18(11).
//!
//! In windows of 7 × 7 coefficients x, y of a band of the complex steerable pyramid of the luma: (2
//! |Σ x y*| + K) / (Σ|x|² + Σ|y|² + K). A shift of the picture turns the phase of all coefficients
//! alike, which this does not see. The value is the mean over the windows of a band, and over the
//! bands: eight orientations of as many scales as have room for a window. In [0, 1]. K = 0.01, so
//! that flat windows are alike; neither paper fixes the number of scales for small pictures, nor K.

use super::{
    pairs::PairMeasure,
    ssim::luma,
    steerable::{Band, Complex, most_scales, pyramid, square},
};
use crate::{Error, Result, picture::Frame};

const K: f64 = 0.01;
const WINDOW: usize = 7;
const ORIENTATIONS: usize = 8;

/// CW-SSIM.
pub(super) struct CwSsim;

/// A band, and the sum of |x|² over every window of it.
type Summed = (Band, Vec<f64>);

/// The bands of a frame.
pub(super) struct Prepared(Vec<Summed>);

impl PairMeasure for CwSsim {
    type Prepared = Prepared;
    type Scratch = ();

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        let sides @ [width, height] = frame.sides();
        let scales = most_scales(sides);
        if scales == 0 {
            return Err(Error::Input(format!(
                "{width} × {height} is too small for CW-SSIM; 8 × 8 is the least"
            )));
        }
        let bands = pyramid(&luma(frame), sides, scales, ORIENTATIONS, true)
            .scales
            .into_iter()
            .flatten();
        let energy = |band: &Band| band.values.iter().copied().map(square).collect::<Vec<_>>();
        Ok(Prepared(
            bands
                .map(|band| (band.clone(), sums(&energy(&band), band.width)))
                .collect(),
        ))
    }

    fn bytes(&self, frame: &Frame) -> usize {
        4 * ORIENTATIONS * size_of::<f64>() * frame.sides()[0] * frame.sides()[1]
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, (): &mut ()) -> f64 {
        let of_band = |((a, of_a), (b, of_b)): (&Summed, &Summed)| {
            let products = a
                .values
                .iter()
                .zip(&b.values)
                .map(|(x, y): (&Complex, &Complex)| {
                    [x[0] * y[0] + x[1] * y[1], x[1] * y[0] - x[0] * y[1]]
                });
            let (real, imaginary): (Vec<f64>, Vec<f64>) = products.map(|[re, im]| (re, im)).unzip();
            let [real, imaginary] = [real, imaginary].map(|part| sums(&part, a.width));
            let each = real.iter().zip(&imaginary).zip(of_a.iter().zip(of_b));
            let sum: f64 = each
                .map(|((re, im), (p, q))| (2.0 * (re * re + im * im).sqrt() + K) / (p + q + K))
                .sum();
            sum / real.len() as f64
        };
        let mean = a.0.iter().zip(&b.0).map(of_band).sum::<f64>() / a.0.len() as f64;
        mean.min(1.0)
    }
}

/// The sums over all windows inside a grid.
fn sums(values: &[f64], width: usize) -> Vec<f64> {
    let along = |row: &[f64]| {
        row.windows(WINDOW)
            .map(|window| window.iter().sum::<f64>())
            .collect::<Vec<_>>()
    };
    let rows: Vec<Vec<f64>> = values.chunks_exact(width).map(along).collect();
    let down = |rows: &[Vec<f64>]| {
        (0..rows[0].len())
            .map(|x| rows.iter().map(|row| row[x]).sum())
            .collect::<Vec<f64>>()
    };
    rows.windows(WINDOW).flat_map(down).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ssim::Ssim, trial::frame},
        *,
    };

    #[test]
    fn a_shift_by_a_pixel_matters_less_than_to_ssim_and_equal_frames_have_one() {
        let wide = frame([65, 64], 1, 5);
        let cut = |from: usize| {
            let rows = wide
                .samples()
                .chunks_exact(65)
                .flat_map(|row| row[from..from + 64].to_vec());
            Frame::from_samples([64, 64], 1, rows.collect()).unwrap()
        };
        let ([a, b], other) = ([0, 1].map(cut), frame([64, 64], 1, 6));
        let value = |a: &Frame, b: &Frame| {
            CwSsim.similarity(
                &CwSsim.prepare(a).unwrap(),
                &CwSsim.prepare(b).unwrap(),
                &mut (),
            )
        };
        assert!((value(&a, &a) - 1.0).abs() < 1e-12 && value(&a, &b) == value(&b, &a));
        assert!(
            value(&a, &b) > value(&a, &other) + 0.1
                && value(&a, &b) > Ssim::WANG.similarity(&a, &b).unwrap()
        );
        assert!(
            CwSsim.prepare(&frame([7, 9], 1, 0)).is_err()
                && CwSsim.prepare(&frame([8, 8], 3, 0)).is_ok()
        );
    }
}
