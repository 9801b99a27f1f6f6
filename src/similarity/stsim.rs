//! Two Frames → the similarity of their textures, STSIM-2: Zujovic, Pappas and Neuhoff 2013,
//! "Structural texture similarity metrics for image analysis and retrieval", IEEE Trans. Image
//! Processing 22(7); as the program of that group (metrics_cpu of STSIM) computes it.
//!
//! Of the luma's steerable pyramid (three scales, four orientations, high-pass, low-pass) the
//! statistics of windows of 7 × 7 are compared, not the coefficients: the magnitude of the mean
//! (l), the standard deviation (c), and the correlation ρ of each coefficient with its neighbour
//! along the row and down the column (1 − |ρx − ρy| / 2). Their fourth root of the product is
//! meaned over windows, for each of the 14 bands. To these come 26 terms 1 − |ρx − ρy| / 2 of
//! correlations between magnitudes of bands: neighbouring scales of one orientation, and
//! orientations of one scale, at full size. The value is the mean of the 40, in [0, 1]. Two pieces
//! of one texture are alike though no pixel agrees.
//!
//! A band smaller than the window (of pictures under 56 pixels a side) has a window of its own
//! size; the paper has no such bands.

use super::{
    pairs::PairMeasure,
    ssim::luma,
    steerable::{Band, Complex, pyramid, square},
};
use crate::{Error, Result, picture::Frame};

const C: f64 = 0.001;
const WINDOW: usize = 7;
const SCALES: usize = 3;
const ORIENTATIONS: usize = 4;

/// STSIM-2.
pub(super) struct Stsim;

/// The statistics of the windows of a band.
struct Statistics {
    means: Vec<f64>,
    variances: Vec<f64>,
    /// Correlations of neighbours along the row, and down the column.
    along: Vec<Complex>,
    down: Vec<Complex>,
}

/// What is known of one frame.
pub(super) struct Prepared {
    bands: Vec<Statistics>,
    /// Correlations between the magnitudes of bands.
    across: Vec<Vec<f64>>,
}

/// Weights of the rows and the columns of a window.
struct Window {
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl Window {
    fn uniform(width: usize, height: usize) -> Self {
        Self {
            rows: vec![(height as f64).recip(); height],
            columns: vec![(width as f64).recip(); width],
        }
    }

    /// Gaussian weights with a standard deviation of a sixth of the window's side.
    fn gaussian(width: usize, height: usize) -> Self {
        let axis = |n: usize| {
            let weight = |i: usize| {
                (-0.5 * ((i as f64 - (n as f64 - 1.0) / 2.0) / (WINDOW as f64 / 6.0)).powi(2)).exp()
            };
            let sum: f64 = (0..n).map(weight).sum();
            (0..n).map(|i| weight(i) / sum).collect()
        };
        Self {
            rows: axis(height),
            columns: axis(width),
        }
    }

    /// The weighted means of all windows inside a grid.
    fn means(&self, values: &[Complex], width: usize) -> Vec<Complex> {
        let weighted = |weights: &[f64], at: &dyn Fn(usize) -> Complex| {
            weights
                .iter()
                .enumerate()
                .fold([0.0; 2], |sum, (k, weight)| {
                    [sum[0] + weight * at(k)[0], sum[1] + weight * at(k)[1]]
                })
        };
        let (wide, height) = (width + 1 - self.columns.len(), values.len() / width);
        let of_row = |row: &[Complex]| {
            (0..wide)
                .map(|x| weighted(&self.columns, &|k| row[x + k]))
                .collect::<Vec<_>>()
        };
        let rows: Vec<Complex> = values.chunks_exact(width).flat_map(of_row).collect();
        let tall = height + 1 - self.rows.len();
        (0..wide * tall)
            .map(|i| weighted(&self.rows, &|k| rows[i + k * wide]))
            .collect()
    }

    /// The correlations of two grids, Σ x y* − … over σx σy, in all windows.
    fn correlations(&self, x: &[Complex], y: &[Complex], width: usize) -> Vec<Complex> {
        let conjugated =
            |a: Complex, b: Complex| [a[0] * b[0] + a[1] * b[1], a[1] * b[0] - a[0] * b[1]];
        let of = |values: &[Complex]| {
            let means = self.means(values, width);
            let squares = self.means(
                &values.iter().map(|&v| [square(v), 0.0]).collect::<Vec<_>>(),
                width,
            );
            let deviations: Vec<f64> = squares
                .iter()
                .zip(&means)
                .map(|(s, m)| (s[0] - square(*m)).max(0.0).sqrt())
                .collect();
            (means, deviations)
        };
        let ((mx, sx), (my, sy)) = (of(x), of(y));
        let products: Vec<Complex> = x.iter().zip(y).map(|(&x, &y)| conjugated(x, y)).collect();
        let each = self
            .means(&products, width)
            .into_iter()
            .zip(mx.into_iter().zip(my))
            .zip(sx.into_iter().zip(sy));
        each.map(|((product, (mx, my)), (sx, sy))| {
            let (means, scale) = (conjugated(mx, my), (sx * sy + C).recip());
            [
                (product[0] - means[0] + C) * scale,
                (product[1] - means[1]) * scale,
            ]
        })
        .collect()
    }
}

impl Statistics {
    fn of(band: &Band) -> Self {
        let Band {
            width,
            height,
            ref values,
        } = *band;
        let [wide, tall] = [width, height].map(|side| side.min(WINDOW));
        let window = Window::gaussian(wide, tall);
        let means: Vec<f64> = window
            .means(values, width)
            .into_iter()
            .map(|mean| square(mean).sqrt())
            .collect();
        let squares = window.means(
            &values.iter().map(|&v| [square(v), 0.0]).collect::<Vec<_>>(),
            width,
        );
        let variances = squares
            .iter()
            .zip(&means)
            .map(|(s, mean)| (s[0] - mean * mean).max(0.0))
            .collect();
        let shifted = |from: usize| {
            values
                .chunks_exact(width)
                .flat_map(|row| row[from..from + width - 1].to_vec())
                .collect::<Vec<_>>()
        };
        let along =
            Window::uniform(wide - 1, tall).correlations(&shifted(0), &shifted(1), width - 1);
        let down = Window::uniform(wide, tall - 1).correlations(
            &values[..values.len() - width],
            &values[width..],
            width,
        );
        Self {
            means,
            variances,
            along,
            down,
        }
    }

    /// The mean over windows of the fourth root of the four terms.
    fn similarity(&self, other: &Self) -> f64 {
        let alike = |a: f64, b: f64| (2.0 * a * b + C) / (a * a + b * b + C);
        let near = |a: Complex, b: Complex| 1.0 - 0.5 * square([a[0] - b[0], a[1] - b[1]]).sqrt();
        let at = |i: usize| {
            let l = alike(self.means[i], other.means[i]);
            let (p, q) = (self.variances[i], other.variances[i]);
            let c = (2.0 * (p * q).sqrt() + C) / (p + q + C);
            (l * c * near(self.along[i], other.along[i]) * near(self.down[i], other.down[i]))
                .max(0.0)
                .sqrt()
                .sqrt()
        };
        (0..self.means.len()).map(at).sum::<f64>() / self.means.len() as f64
    }
}

/// Correlations between magnitudes of bands of full size: neighbouring scales of one orientation,
/// then orientations of one scale.
fn across(scales: &[Vec<Band>]) -> Vec<Vec<f64>> {
    let magnitude = |band: &Band| {
        band.values
            .iter()
            .map(|&v| [square(v).sqrt(), 0.0])
            .collect::<Vec<Complex>>()
    };
    let magnitudes: Vec<Vec<Vec<Complex>>> = scales
        .iter()
        .map(|bands| bands.iter().map(magnitude).collect())
        .collect();
    let Band { width, height, .. } = scales[0][0];
    let window = Window::uniform(width.min(WINDOW), height.min(WINDOW));
    let real = |x: &[Complex], y: &[Complex]| {
        window
            .correlations(x, y, width)
            .into_iter()
            .map(|rho| rho[0])
            .collect()
    };
    let between =
        (1..SCALES).flat_map(|scale| (0..ORIENTATIONS).map(move |o| ((scale - 1, o), (scale, o))));
    let beside = (0..SCALES).flat_map(|s| {
        (0..ORIENTATIONS).flat_map(move |o| (o + 1..ORIENTATIONS).map(move |p| ((s, o), (s, p))))
    });
    between
        .chain(beside)
        .map(|((s, o), (t, p))| real(&magnitudes[s][o], &magnitudes[t][p]))
        .collect()
}

impl PairMeasure for Stsim {
    type Prepared = Prepared;
    type Scratch = ();

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        let sides @ [width, height] = frame.sides();
        if width.min(height) < 16 {
            return Err(Error::Input(format!(
                "{width} × {height} is too small for textures; 16 × 16 is the least"
            )));
        }
        let plane = luma(frame);
        let small = pyramid(&plane, sides, SCALES, ORIENTATIONS, true);
        let bands = [&small.highpass]
            .into_iter()
            .chain(small.scales.iter().flatten())
            .chain([&small.lowpass]);
        let full = pyramid(&plane, sides, SCALES, ORIENTATIONS, false);
        Ok(Prepared {
            bands: bands.map(Statistics::of).collect(),
            across: across(&full.scales),
        })
    }

    fn bytes(&self, frame: &Frame) -> usize {
        72 * size_of::<f64>() * frame.sides()[0] * frame.sides()[1]
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, (): &mut ()) -> f64 {
        let bands: f64 = a
            .bands
            .iter()
            .zip(&b.bands)
            .map(|(a, b)| a.similarity(b))
            .sum();
        let near = |(a, b): (&Vec<f64>, &Vec<f64>)| {
            a.iter()
                .zip(b)
                .map(|(p, q)| 1.0 - 0.5 * (p - q).abs())
                .sum::<f64>()
                / a.len() as f64
        };
        let across: f64 = a.across.iter().zip(&b.across).map(near).sum();
        ((bands + across) / (a.bands.len() + a.across.len()) as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ssim::Ssim, trial::frame},
        *,
    };

    #[test]
    fn pieces_of_one_texture_are_alike_though_no_pixel_agrees() {
        // Stripes of one direction and width, at two phases, and checks.
        let stripes = |phase: usize| {
            Frame::from_samples(
                [64, 64],
                1,
                (0..4096_usize)
                    .map(|i| {
                        if ((i % 64 + phase) / 4).is_multiple_of(2) {
                            40
                        } else {
                            200
                        }
                    })
                    .collect(),
            )
        };
        let checks = Frame::from_samples(
            [64, 64],
            1,
            (0..4096_usize)
                .map(|i| {
                    if (i % 64 / 4 + i / 64 / 4).is_multiple_of(2) {
                        40
                    } else {
                        200
                    }
                })
                .collect(),
        )
        .unwrap();
        let (a, b) = (stripes(0).unwrap(), stripes(4).unwrap());
        let value = |a: &Frame, b: &Frame| {
            Stsim.similarity(
                &Stsim.prepare(a).unwrap(),
                &Stsim.prepare(b).unwrap(),
                &mut (),
            )
        };
        assert!(
            value(&a, &b) > 0.9 && value(&a, &b) > value(&a, &checks) + 0.05,
            "{} {}",
            value(&a, &b),
            value(&a, &checks)
        );
        assert!(Ssim::WANG.similarity(&a, &b).unwrap() < 0.0);
        assert!((value(&a, &a) - 1.0).abs() < 1e-9 && value(&a, &b) == value(&b, &a));
        let small = frame([16, 20], 3, 1);
        assert!(
            (value(&small, &small) - 1.0).abs() < 1e-9
                && Stsim.prepare(&frame([15, 20], 1, 1)).is_err()
        );
    }
}
