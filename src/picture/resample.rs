//! Samples of any size → a picture's or a frame's, plane after plane, by one separable convolution.
//!
//! The kernel is Catmull-Rom (Keys 1981, "Cubic convolution interpolation for digital image
//! processing", eq. 15, a = −1/2), stretched by the factor where the image is reduced, so that
//! nothing aliases. Unlike Lanczos it needs no transcendental function; sums are taken in f32 in
//! one fixed order and rounded once: the same bytes on every machine. Whole rows are summed up
//! first, then runs of four samples within the rows that are left; compilers vectorise both.

use super::resize::Source;

/// The weights of one axis: for each target sample its first source sample and a run of weights
/// that sum to 1, in fours, the last filled up with zeros.
#[derive(Default)]
struct Weights {
    /// Source samples, extent, target samples: what the weights were made for.
    made_for: (usize, u64, usize),
    runs: Vec<(usize, Vec<[f32; 4]>)>,
}

impl Weights {
    /// Makes the weights unless they are there. Of `length` source samples the image fills the
    /// first `extent`.
    fn prepare(&mut self, length: usize, extent: f64, size: usize) {
        if self.made_for == (length, extent.to_bits(), size) {
            return;
        }
        let ratio = extent / size as f64;
        let stretch = ratio.max(1.0);
        self.runs.clear();
        for i in 0..size {
            let centre = (i as f64 + 0.5) * ratio;
            let from = ((centre - 2.0 * stretch).max(0.0) as usize).min(length.saturating_sub(1));
            let to = ((centre + 2.0 * stretch).ceil() as usize)
                .min(length)
                .max(from + 1);
            let weights: Vec<f64> = (from..to)
                .map(|j| keys((j as f64 + 0.5 - centre) / stretch))
                .collect();
            let sum: f64 = weights.iter().sum();
            let four =
                |w: &[f64]| std::array::from_fn(|i| w.get(i).map_or(0.0, |w| (w / sum) as f32));
            self.runs
                .push((from, weights.chunks(4).map(four).collect()));
        }
        self.made_for = (length, extent.to_bits(), size);
    }
}

/// Keys' cubic, a = −1/2.
fn keys(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((2.5 - 0.5 * x) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// Buffers and weights to be used again.
#[derive(Default)]
pub(super) struct Resampler {
    rows: Weights,
    columns: Weights,
    /// One row that remains of the source's rows.
    line: Vec<f32>,
    /// One channel of it, with three zeros at the end.
    channel: Vec<f32>,
    /// One channel of one row of the target.
    sums: Vec<f32>,
}

impl Resampler {
    /// Convolves to `columns` × `rows` samples a channel; `out` takes the channels one after
    /// another. Cost when reducing: about 4 · `width` · `height` + 4 · `width` · `rows`
    /// multiplications a channel.
    pub(super) fn run(&mut self, source: Source<'_>, [columns, rows]: [usize; 2], out: &mut [u8]) {
        let Source {
            samples,
            channels,
            width,
            height,
            right,
            bottom,
        } = source;
        self.rows.prepare(height, bottom, rows);
        self.columns.prepare(width, right, columns);
        let row = width * channels;
        if row == 0 {
            return;
        }
        self.line.resize(row, 0.0);
        self.sums.resize(columns, 0.0);
        self.channel.clear();
        self.channel.resize(width + 3, 0.0);
        let samples = samples.get(..row * height).unwrap_or_default();
        for (y, (from, weights)) in self.rows.runs.iter().enumerate() {
            sum_rows(
                samples.get(from * row..).unwrap_or_default(),
                row,
                weights,
                &mut self.line,
            );
            for (c, plane) in out
                .chunks_exact_mut(columns * rows)
                .take(channels)
                .enumerate()
            {
                for (sample, pixel) in self
                    .channel
                    .iter_mut()
                    .zip(self.line.chunks_exact(channels))
                {
                    *sample = pixel[c];
                }
                for ((from, weights), sum) in self.columns.runs.iter().zip(&mut self.sums) {
                    *sum = sum_run(self.channel.get(*from..).unwrap_or_default(), weights);
                }
                for (sample, sum) in plane[y * columns..(y + 1) * columns]
                    .iter_mut()
                    .zip(&self.sums)
                {
                    *sample = rounded(*sum);
                }
            }
        }
    }
}

/// Writes the weighted sum of rows of length `row`, four rows at a time.
fn sum_rows(samples: &[f32], row: usize, weights: &[[f32; 4]], line: &mut [f32]) {
    line.fill(0.0);
    for (rows, &[a, b, c, d]) in samples.chunks(4 * row).zip(weights) {
        if rows.len() == 4 * row {
            let (first, rest) = rows.split_at(row);
            let (second, rest) = rest.split_at(row);
            let (third, fourth) = rest.split_at(row);
            for ((((sum, &p), &q), &r), &s) in line
                .iter_mut()
                .zip(first)
                .zip(second)
                .zip(third)
                .zip(fourth)
            {
                *sum += (a * p + b * q) + (c * r + d * s);
            }
        } else {
            for (samples, weight) in rows.chunks_exact(row).zip([a, b, c, d]) {
                for (sum, &sample) in line.iter_mut().zip(samples) {
                    *sum += weight * sample;
                }
            }
        }
    }
}

/// The nearest whole number in 0..=255 (half to even): added to 2²³, it stands in the low bits.
fn rounded(value: f32) -> u8 {
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// The weighted sum of a run of samples, in four partial sums.
fn sum_run(samples: &[f32], weights: &[[f32; 4]]) -> f32 {
    let mut sums = [0.0_f32; 4];
    for (samples, weights) in samples.as_chunks::<4>().0.iter().zip(weights) {
        for ((sum, sample), weight) in sums.iter_mut().zip(samples).zip(weights) {
            *sum += weight * sample;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in f64: every source sample with the weight of its distance.
    fn oracle(
        source: Source<'_>,
        [columns, rows]: [usize; 2],
        channel: usize,
        x: usize,
        y: usize,
    ) -> f64 {
        let axis = |length: usize, extent: f64, size: usize, i: usize| {
            let ratio = extent / size as f64;
            let weights: Vec<f64> = (0..length)
                .map(|j| keys((j as f64 + 0.5 - (i as f64 + 0.5) * ratio) / ratio.max(1.0)))
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|w| w / sum).collect::<Vec<_>>()
        };
        let (rows, columns) = (
            axis(source.height, source.bottom, rows, y),
            axis(source.width, source.right, columns, x),
        );
        let mut total = 0.0;
        for (j, row) in rows.iter().enumerate() {
            for (i, column) in columns.iter().enumerate() {
                total += row
                    * column
                    * f64::from(source.samples[(j * source.width + i) * source.channels + channel]);
            }
        }
        total.clamp(0.0, 255.0)
    }

    #[test]
    fn the_fast_convolution_is_the_definition_rounded() {
        let mut state = 3_u32;
        let mut resampler = Resampler::default();
        for (width, height, channels, columns, rows) in [
            (37, 50, 1, 8, 8),
            (9, 70, 3, 16, 16),
            (5, 3, 3, 8, 8),
            (64, 33, 1, 16, 9),
            (1, 1, 1, 8, 8),
            (9, 20, 3, 5, 31),
        ] {
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as f32
            };
            let samples: Vec<f32> = (0..width * height * channels).map(|_| random()).collect();
            let (right, bottom) = (
                width as f64 - 0.25 * f64::from(width > 1),
                height as f64 - 0.5 * f64::from(height > 1),
            );
            let source = Source {
                samples: &samples,
                channels,
                width,
                height,
                right,
                bottom,
            };
            let mut out = vec![0; columns * rows * channels];
            resampler.run(source, [columns, rows], &mut out);
            for (i, &sample) in out.iter().enumerate() {
                let (channel, y, x) = (i / (columns * rows), i / columns % rows, i % columns);
                let expected = oracle(source, [columns, rows], channel, x, y);
                assert!(
                    (f64::from(sample) - expected).abs() < 0.501,
                    "{width} x {height}: {sample} {expected}"
                );
            }
        }
    }
}
