//! A plane of samples → the bands of a complex steerable pyramid: Portilla and Simoncelli 2000, "A
//! parametric texture model based on joint statistics of complex wavelet coefficients",
//! International Journal of Computer Vision 40(1); as `buildSCFpyr` of matlabPyrTools computes it.
//!
//! The spectrum is cut by raised cosines of the logarithm of the radius, an octave wide, and of the
//! angle; only the half of the spectrum on one side of each orientation is kept, so that bands are
//! complex (a quadrature pair). Masks are linear between the entries of tables, 256 an octave and
//! 1,024 half a turn, as there, so that values agree to rounding.

use std::f64::consts::PI;

/// Real and imaginary part.
pub(super) type Complex = [f64; 2];

/// Entries of the table of the radius in an octave, and of that of the angle in half a turn.
const RADIAL: f64 = 256.0;
const ANGULAR: f64 = 1_024.0;

/// A grid of complex values, row after row.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<Complex>,
}

/// All bands of a plane.
pub(super) struct Pyramid {
    /// What is finer than the finest scale; real.
    pub(super) highpass: Band,
    /// Scale after scale, from fine to coarse, each with all orientations.
    pub(super) scales: Vec<Vec<Band>>,
    /// What is coarser than the coarsest scale; real.
    pub(super) lowpass: Band,
}

/// Most scales that a plane can have.
pub(super) fn most_scales([width, height]: [usize; 2]) -> usize {
    (width.min(height).max(1).ilog2() as usize).saturating_sub(2)
}

/// The pyramid of a plane of some scales and orientations. Each scale has half the side of the one
/// before, or all the full one.
pub(super) fn pyramid(
    plane: &[f64],
    [width, height]: [usize; 2],
    scales: usize,
    orientations: usize,
    shrink: bool,
) -> Pyramid {
    let whole = Spectrum::of(plane, width, height);
    let highpass = whole.masked(|log_radius, _| high(log_radius, 0)).inverse();
    let mut low = whole.masked(|log_radius, _| low_mask(log_radius, 0));
    let mut bands = Vec::new();
    for scale in 1..=scales {
        let of = |orientation: usize| {
            let mut band = low.masked(|log_radius, angle| {
                high(log_radius, scale) * angular(angle, orientation, orientations)
            });
            // (−i)^order
            for _ in 1..orientations {
                band.values
                    .iter_mut()
                    .for_each(|value| *value = [value[1], -value[0]]);
            }
            band.inverse()
        };
        bands.push((0..orientations).map(of).collect());
        if shrink {
            low = low.cropped();
        }
        low = low.masked(|log_radius, _| low_mask(log_radius, scale));
    }
    let real = |mut band: Band| {
        band.values.iter_mut().for_each(|value| value[1] = 0.0);
        band
    };
    Pyramid {
        highpass: real(highpass),
        scales: bands,
        lowpass: real(low.inverse()),
    }
}

/// A table of values at every step from an origin on, linear between them.
fn lookup(at: f64, origin: f64, per_unit: f64, last: usize, table: impl Fn(usize) -> f64) -> f64 {
    let place = ((at - origin) * per_unit).clamp(0.0, last as f64);
    let from = (place as usize).min(last - 1);
    table(from) + (table(from + 1) - table(from)) * (place - from as f64)
}

/// The cosine of the raised cosine's argument at an entry of the table; the ends are repeated.
fn raised(entry: usize) -> f64 {
    (PI * (entry.clamp(1, 257) as f64 - 257.0) / 512.0).cos()
}

fn high(log_radius: f64, scale: usize) -> f64 {
    lookup(
        log_radius,
        -257.0 / RADIAL - scale as f64,
        RADIAL,
        258,
        |entry| raised(entry).abs(),
    )
}

fn low_mask(log_radius: f64, scale: usize) -> f64 {
    lookup(
        log_radius,
        -257.0 / RADIAL - scale as f64,
        RADIAL,
        258,
        |entry| (1.0 - raised(entry).powi(2)).max(0.0).sqrt(),
    )
}

fn angular(angle: f64, orientation: usize, orientations: usize) -> f64 {
    let order = orientations as i32 - 1;
    let factorial = |n: i32| (1..=n).map(f64::from).product::<f64>();
    let scale = 2.0
        * (4_f64.powi(order) * factorial(order).powi(2)
            / (orientations as f64 * factorial(2 * order)))
        .sqrt();
    let origin = -2_049.0 * PI / ANGULAR + PI * orientation as f64 / orientations as f64;
    lookup(angle, origin, ANGULAR / PI, 3_074, |entry| {
        let steps = entry as i32 - 2_049;
        let wrapped = (steps + 1_024).rem_euclid(2_048) - 1_024;
        if wrapped.abs() < 512 {
            scale * (PI * f64::from(steps) / ANGULAR).cos().powi(order)
        } else {
            0.0
        }
    })
}

/// A spectrum with frequency zero in the middle, and where each value stands.
#[derive(Clone)]
struct Spectrum {
    width: usize,
    height: usize,
    values: Vec<Complex>,
    log_radius: Vec<f64>,
    angle: Vec<f64>,
}

impl Spectrum {
    fn of(plane: &[f64], width: usize, height: usize) -> Self {
        let values = transformed(
            &plane.iter().map(|&v| [v, 0.0]).collect::<Vec<_>>(),
            width,
            height,
            -1.0,
        );
        let (cx, cy) = (width / 2, height / 2);
        let frequency = |i: usize| {
            let (x, y) = (i % width, i / width);
            [
                (x as f64 - cx as f64) / (width as f64 / 2.0),
                (y as f64 - cy as f64) / (height as f64 / 2.0),
            ]
        };
        let shifted = |i: usize| {
            values[(i / width + height - cy) % height * width + (i % width + width - cx) % width]
        };
        let places: Vec<[f64; 2]> = (0..width * height).map(frequency).collect();
        let mut log_radius: Vec<f64> = places.iter().map(|[x, y]| (x * x + y * y).sqrt()).collect();
        // Frequency zero has no logarithm; its neighbour's stands for it.
        log_radius[cy * width + cx] = log_radius[cy * width + cx.saturating_sub(1)];
        log_radius
            .iter_mut()
            .for_each(|radius| *radius = radius.log2());
        let angle = places.iter().map(|[x, y]| y.atan2(*x)).collect();
        Self {
            width,
            height,
            values: (0..width * height).map(shifted).collect(),
            log_radius,
            angle,
        }
    }

    fn masked(&self, mask: impl Fn(f64, f64) -> f64) -> Self {
        let factors = self
            .log_radius
            .iter()
            .zip(&self.angle)
            .map(|(radius, angle)| mask(*radius, *angle));
        let values = self
            .values
            .iter()
            .zip(factors)
            .map(|(value, factor)| value.map(|part| part * factor))
            .collect();
        Self {
            values,
            ..self.clone()
        }
    }

    /// The inner half of the frequencies.
    fn cropped(&self) -> Self {
        // Of an odd number the larger half; frequency zero stays in the middle.
        let cut = |length: usize| {
            let half = length.div_ceil(2);
            (length / 2 - half / 2, half)
        };
        let ((left, width), (top, height)) = (cut(self.width), cut(self.height));
        let place = |i: usize| (top + i / width) * self.width + left + i % width;
        let picked = |values: &[f64]| (0..width * height).map(|i| values[place(i)]).collect();
        Self {
            width,
            height,
            values: (0..width * height).map(|i| self.values[place(i)]).collect(),
            log_radius: picked(&self.log_radius),
            angle: picked(&self.angle),
        }
    }

    fn inverse(&self) -> Band {
        let Self { width, height, .. } = *self;
        let (cx, cy) = (width / 2, height / 2);
        let unshifted =
            |i: usize| self.values[(i / width + cy) % height * width + (i % width + cx) % width];
        let mut values = transformed(
            &(0..width * height).map(unshifted).collect::<Vec<_>>(),
            width,
            height,
            1.0,
        );
        let scale = ((width * height) as f64).recip();
        values
            .iter_mut()
            .for_each(|value| *value = value.map(|part| part * scale));
        Band {
            width,
            height,
            values,
        }
    }
}

/// The two-dimensional Fourier transform (`sign` −1) or its inverse without the factor (+1): along
/// the rows, then along the columns.
fn transformed(values: &[Complex], width: usize, height: usize, sign: f64) -> Vec<Complex> {
    let rows: Vec<Complex> = values
        .chunks_exact(width)
        .flat_map(|row| fourier(row, sign))
        .collect();
    let mut out = vec![[0.0; 2]; values.len()];
    for x in 0..width {
        let column: Vec<Complex> = (0..height).map(|y| rows[y * width + x]).collect();
        fourier(&column, sign)
            .into_iter()
            .enumerate()
            .for_each(|(y, value)| out[y * width + x] = value);
    }
    out
}

/// Cooley and Tukey 1965 while the length is even, the definition for what is odd.
fn fourier(values: &[Complex], sign: f64) -> Vec<Complex> {
    let n = values.len();
    let turn = |k: usize| {
        let angle = sign * 2.0 * PI * k as f64 / n as f64;
        [angle.cos(), angle.sin()]
    };
    if n % 2 == 1 {
        let at = |k: usize| {
            values.iter().enumerate().fold([0.0; 2], |sum, (j, value)| {
                add(sum, times(*value, turn(j * k % n)))
            })
        };
        return (0..n).map(at).collect();
    }
    let half = |from: usize| {
        fourier(
            &values
                .iter()
                .skip(from)
                .step_by(2)
                .copied()
                .collect::<Vec<_>>(),
            sign,
        )
    };
    let (even, odd) = (half(0), half(1));
    (0..n)
        .map(|k| add(even[k % (n / 2)], times(odd[k % (n / 2)], turn(k))))
        .collect()
}

fn add(a: Complex, b: Complex) -> Complex {
    [a[0] + b[0], a[1] + b[1]]
}

/// The product.
pub(super) fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

/// The square of the magnitude.
pub(super) fn square(a: Complex) -> f64 {
    a[0] * a[0] + a[1] * a[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_its_definition_and_comes_back() {
        for (width, height) in [(1, 1), (12, 7), (8, 6), (9, 5)] {
            let values: Vec<Complex> = (0..width * height)
                .map(|i| [(i * i % 7) as f64, (i % 5) as f64])
                .collect();
            let there = transformed(&values, width, height, -1.0);
            for (k, found) in there.iter().enumerate() {
                let mut sum = [0.0; 2];
                for (i, value) in values.iter().enumerate() {
                    let angle = -2.0
                        * PI
                        * ((k % width * (i % width)) as f64 / width as f64
                            + (k / width * (i / width)) as f64 / height as f64);
                    sum = add(sum, times(*value, [angle.cos(), angle.sin()]));
                }
                assert!(
                    square(add(sum, found.map(|v| -v))).sqrt() < 1e-9,
                    "{width} {height} {k}"
                );
            }
            let back = transformed(&there, width, height, 1.0);
            let n = values.len() as f64;
            assert!(
                back.iter().zip(&values).all(
                    |(b, v)| (b[0] / n - v[0]).abs() < 1e-10 && (b[1] / n - v[1]).abs() < 1e-10
                )
            );
        }
    }

    #[test]
    fn the_bands_hold_all_energy_of_a_plane() {
        // Of full-size bands the squared masks sum to one, and a complex band holds the half
        // spectrum twice as strong: twice the energy.
        let plane: Vec<f64> = (0..32 * 24).map(|i| f64::from(i * 7919 % 251)).collect();
        let found = pyramid(&plane, [32, 24], 2, 4, false);
        let energy = |band: &Band| band.values.iter().copied().map(square).sum::<f64>();
        let sum: f64 = energy(&found.highpass)
            + energy(&found.lowpass)
            + found
                .scales
                .iter()
                .flatten()
                .map(|band| energy(band) / 2.0)
                .sum::<f64>();
        let own: f64 = plane.iter().map(|v| v * v).sum();
        assert!((sum / own - 1.0).abs() < 0.01, "{}", sum / own);
    }
}
