//! Two lists of planes → the weighted means of their products in a window around every place.
//!
//! The weight of a place in a window is that of its row times that of its column, so rows are taken
//! together first and then columns; and weights are symmetric, so two rows that are as far from the
//! middle are added before they are weighed. Where windows leave the frame, pixels of the edge are
//! repeated, as far as the grid is padded.

/// How windows lie on planes of one size.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    width: usize,
    height: usize,
    /// Rows and columns that are repeated beyond each edge.
    pad: usize,
    /// The weights of an axis, from that of the middle outwards.
    taps: Vec<f64>,
    /// Where the places of each weight begin that are left and right of the middle in a row, and
    /// above and below it in a plane.
    beside: Vec<[usize; 2]>,
    above: Vec<[usize; 2]>,
    /// For three planes that are layers of a volume: the weights across them, from (row) and to
    /// (column).
    across: Option<[[f64; 3]; 3]>,
}

impl Grid {
    /// Of all weights of an axis, an odd number.
    pub(super) fn new(
        [width, height]: [usize; 2],
        taps: &[f64],
        repeat: bool,
        volume: bool,
    ) -> Self {
        let radius = taps.len() / 2;
        let beside: Vec<[usize; 2]> = (0..=radius).map(|k| [radius - k, radius + k]).collect();
        let above = beside
            .iter()
            .map(|places| places.map(|place| place * width))
            .collect();
        let (pad, across) = (
            if repeat { radius } else { 0 },
            volume.then(|| across(taps)),
        );
        Self {
            width,
            height,
            pad,
            taps: taps[radius..].to_vec(),
            beside,
            above,
            across,
        }
    }

    /// Windows in a row.
    #[inline(always)]
    fn columns(&self) -> usize {
        self.width + 2 * self.pad + 2 - 2 * self.taps.len()
    }

    /// Windows on a plane.
    #[inline(always)]
    pub(super) fn windows(&self) -> usize {
        self.columns() * (self.height + 2 * self.pad + 2 - 2 * self.taps.len())
    }

    /// Values of a padded plane.
    #[inline(always)]
    pub(super) fn plane(&self) -> usize {
        self.width * (self.height + 2 * self.pad)
    }

    /// Planes with their first and last rows repeated.
    pub(super) fn padded(&self, planes: &[f64]) -> Vec<f64> {
        let mut padded =
            Vec::with_capacity(planes.len() / self.height * (self.height + 2 * self.pad));
        for plane in planes.chunks_exact(self.width * self.height) {
            let rows = |row: &[f64]| row.repeat(self.pad);
            padded.extend(rows(&plane[..self.width]));
            padded.extend_from_slice(plane);
            padded.extend(rows(&plane[plane.len() - self.width..]));
        }
        padded
    }

    /// Fills `out` with the products of padded planes, taken together across the planes of a
    /// volume.
    #[inline(always)]
    pub(super) fn products(&self, a: &[f64], b: &[f64], out: &mut Vec<f64>) {
        out.resize(a.len(), 0.0);
        for ((product, x), y) in out.iter_mut().zip(a).zip(b) {
            *product = x * y;
        }
        if let Some(across) = &self.across {
            mix(out, across);
        }
    }

    /// Fills `out` with the mean of every window of a padded plane. `lines` is memory to work with:
    /// all rows are taken together before columns are, since what was just written is slow to be
    /// read at other bounds.
    #[inline(always)]
    pub(super) fn filter(&self, plane: &[f64], lines: &mut Vec<f64>, out: &mut [f64]) {
        let (columns, inside) = (self.columns(), self.pad..self.pad + self.width);
        let length = self.width + 2 * self.pad;
        lines.resize(out.len() / columns * length, 0.0);
        for (y, line) in lines.chunks_exact_mut(length).enumerate() {
            weigh(
                &self.taps,
                &plane[y * self.width..],
                &self.above,
                &mut line[inside.clone()],
            );
            let (first, last) = (line[inside.start], line[inside.end - 1]);
            line[..inside.start].fill(first);
            line[inside.end..].fill(last);
        }
        for (line, out) in lines
            .chunks_exact(length)
            .zip(out.chunks_exact_mut(columns))
        {
            weigh(&self.taps, line, &self.beside, out);
        }
    }
}

/// Writes t₀ · from\[low₀ + i\] + Σ t_k · (from\[low_k + i\] + from\[high_k + i\]) to every place
/// i, many places at a time.
#[inline(always)]
fn weigh(taps: &[f64], from: &[f64], places: &[[usize; 2]], out: &mut [f64]) {
    match out.len() {
        ..8 => weigh_by::<1>(taps, from, places, out),
        8..16 => weigh_by::<8>(taps, from, places, out),
        16..32 => weigh_by::<16>(taps, from, places, out),
        _ => weigh_by::<32>(taps, from, places, out),
    }
}

/// [`weigh`] by N places; the last ones also where some of them are done.
#[inline(always)]
fn weigh_by<const N: usize>(taps: &[f64], from: &[f64], places: &[[usize; 2]], out: &mut [f64]) {
    let last = out.len() - N;
    let mut at = 0;
    loop {
        let mut sums = [0.0; N];
        let middle = &from[places[0][0] + at..][..N];
        for i in 0..N {
            sums[i] = taps[0] * middle[i];
        }
        for (&tap, &[low, high]) in taps[1..].iter().zip(&places[1..]) {
            let (low, high) = (&from[low + at..][..N], &from[high + at..][..N]);
            for i in 0..N {
                sums[i] += tap * (low[i] + high[i]);
            }
        }
        out[at..at + N].copy_from_slice(&sums);
        if at == last {
            return;
        }
        at = (at + N).min(last);
    }
}

/// Weighted sums over three planes, place by place.
#[inline(always)]
fn mix(planes: &mut [f64], weights: &[[f64; 3]; 3]) {
    let (red, rest) = planes.split_at_mut(planes.len() / 3);
    let (green, blue) = rest.split_at_mut(red.len());
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let from = [*r, *g, *b];
        [*r, *g, *b] = [0, 1, 2].map(|to| (0..3).map(|p| from[p] * weights[p][to]).sum());
    }
}

/// The weights of a window across three planes, repeated outwards.
fn across(taps: &[f64]) -> [[f64; 3]; 3] {
    let (mut weights, radius) = ([[0.0; 3]; 3], taps.len() as isize / 2);
    for to in 0..3 {
        for (k, tap) in (-radius..).zip(taps) {
            weights[(to as isize + k).clamp(0, 2) as usize][to] += tap;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::{super::trial::frame, *};

    #[test]
    fn means_of_windows_are_those_of_summing_every_weighted_product() {
        let taps = [0.1, 0.25, 0.3, 0.25, 0.1];
        for (width, height) in [(5, 5), (7, 6), (12, 9), (20, 5), (36, 8), (70, 5)] {
            for (repeat, volume) in [(false, false), (true, false), (false, true), (true, true)] {
                let [a, b] = [1, 2].map(|seed| {
                    frame([width, height], 3, seed)
                        .samples()
                        .iter()
                        .map(|&v| v.into())
                        .collect::<Vec<f64>>()
                });
                let grid = Grid::new([width, height], &taps, repeat, volume);
                let (mut products, mut lines, mut out) =
                    (Vec::new(), Vec::new(), vec![0.0; grid.windows()]);
                grid.products(&grid.padded(&a), &grid.padded(&b), &mut products);
                let (lost, inside) = if repeat { (0, -2) } else { (4, 0) };
                for (p, plane) in products.chunks_exact(grid.plane()).enumerate() {
                    grid.filter(plane, &mut lines, &mut out);
                    for (at, &found) in out.iter().enumerate() {
                        let (x, y) = (at % (width - lost), at / (width - lost));
                        let place = |i: usize, k: usize, most: usize| {
                            (i as isize + k as isize + inside).clamp(0, most as isize - 1) as usize
                        };
                        let across = |p: usize| {
                            (0..5).map(move |k| {
                                ((p as isize + k as isize - 2).clamp(0, 2) as usize, taps[k])
                            })
                        };
                        let layers: Vec<(usize, f64)> = if volume {
                            across(p).collect()
                        } else {
                            vec![(p, 1.0)]
                        };
                        let mut sum = 0.0;
                        for (k, (layer, weight)) in
                            (0..25).flat_map(|k| layers.iter().map(move |layer| (k, *layer)))
                        {
                            let i = layer * width * height
                                + place(y, k / 5, height) * width
                                + place(x, k % 5, width);
                            sum += weight * taps[k / 5] * taps[k % 5] * a[i] * b[i];
                        }
                        assert!(
                            (found - sum).abs() < 1e-9,
                            "{width} × {height}, {repeat} {volume}, {p} {x} {y}: {found} {sum}"
                        );
                    }
                }
            }
        }
    }
}
