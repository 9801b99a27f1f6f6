//! A plane → the sums over windows around each sample, windows cut at the border.
//!
//! Sums are taken in a fixed order, rows then columns, and the compiler may spread samples over
//! lanes but not reorder one sum.

/// Working memory.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    padded: Vec<f32>,
    across: Vec<f32>,
}

impl Boxes {
    /// Replaces every sample by the sum over the window of side 2 · `radius` + 1 around it.
    ///
    /// Rows lie one after another with zeros between them, so that one loop takes all of them; what
    /// it gives for the zeros is not read.
    #[inline(always)]
    pub(super) fn sum(&mut self, plane: &mut [f32], width: usize, radius: usize) {
        let stride = width + 2 * radius;
        let length = plane.len() / width * stride;
        self.padded.clear();
        self.padded.resize(length + 2 * radius, 0.0);
        for (row, padded) in plane
            .chunks_exact(width)
            .zip(self.padded.chunks_exact_mut(stride))
        {
            padded[radius..][..width].copy_from_slice(row);
        }
        self.across.clear();
        self.across.resize(length + 2 * radius * stride, 0.0);
        add_shifted(
            &mut self.across[radius * stride..][..length],
            &self.padded,
            1,
            radius,
        );
        let sums = &mut self.padded[..length];
        sums.fill(0.0);
        add_shifted(sums, &self.across, stride, radius);
        for (row, sums) in plane.chunks_exact_mut(width).zip(sums.chunks_exact(stride)) {
            row.copy_from_slice(&sums[..width]);
        }
    }
}

/// Adds to `out` the sum of 2 · `radius` + 1 slices of `from`, each `step` further on.
#[inline(always)]
fn add_shifted(out: &mut [f32], from: &[f32], step: usize, radius: usize) {
    let n = out.len();
    match radius {
        2 => {
            let part = |k: usize| &from[k * step..][..n];
            let (a, b, c, d, e) = (part(0), part(1), part(2), part(3), part(4));
            for (i, out) in out.iter_mut().enumerate() {
                *out = (a[i] + b[i]) + (c[i] + d[i]) + e[i];
            }
        }
        _ => {
            for k in 0..=2 * radius {
                out.iter_mut()
                    .zip(&from[k * step..])
                    .for_each(|(out, v)| *out += v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_a_loop_over_each_window() {
        let side = 16usize;
        let plane: Vec<f32> = (0..side * side).map(|i| (i * 7919 % 251) as f32).collect();
        for radius in 1..5 {
            let mut sums = plane.clone();
            Boxes::default().sum(&mut sums, side, radius);
            for y in 0..side {
                for x in 0..side {
                    let (rows, columns) = (
                        y.saturating_sub(radius)..(y + radius + 1).min(side),
                        x.saturating_sub(radius)..(x + radius + 1).min(side),
                    );
                    let slow: f32 = rows
                        .map(|v| columns.clone().map(|u| plane[v * side + u]).sum::<f32>())
                        .sum();
                    assert_eq!(sums[y * side + x], slow, "{radius} {x} {y}");
                }
            }
        }
    }
}
