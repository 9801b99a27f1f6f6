//! Two Frames → their structural similarity: Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment: from error visibility to
//! structural similarity", IEEE Trans. Image Processing 13(4).
//!
//! In a window around every pixel: l = (2 μx μy + C1)/(μx² + μy² + C1), c = (2 σx σy + C2)/(σx² + σy² + C2), s = (σxy + C3)/(σx σy + C3)
//! (equations 6, 9, 10), SSIM = l^α c^β s^γ (12) with C1 = (K1 L)², C2 = (K2 L)², C3 = C2/2 and L = 255; for α = β = γ = 1 that is
//! (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)) (13). The value is the mean over the windows (17), in [−1, 1].
//!
//! Implementations differ in what the paper leaves open, and so do their values. All of it is a parameter here:
//!
//! | | window | at the border | covariance | colour |
//! |---|---|---|---|---|
//! | [`Ssim::PAPER`] | Gaussian, σ = 1.5, 11 wide | pixels of the edge repeated | population | a volume of three planes, filtered across them too |
//! | [`Ssim::WANG`] | the same | windows inside only | population | luma |
//! | [`Ssim::SCIKIT_IMAGE`] | uniform, 7 × 7 | windows inside only | sample, n/(n − 1) | mean over the planes |
//!
//! The first is what MATLAB's `ssim` does with a colour image, and what Yousefzadeh 2020 used: section 6.2.1 gives for the 500 aquarium fish
//! of CIFAR-100 a mean of 0.088, a standard deviation of 0.131 and least values of −0.5420 and −0.5025, and this convention alone gives these.
//!
//! Weights that are not 1 need powers of s, which may be negative: sign(s) |s|^γ is taken. Everything that belongs to one frame (means and
//! variances) is prepared once; a pair costs one filtering of the products.

use super::{
    pairs::PairMeasure,
    wide::{Work, wide},
};
use crate::{Error, Result, picture::Frame};

/// The weights of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Window {
    /// Gaussian weights of this standard deviation, cut off at 3.5 of them (1.5: 11 × 11).
    Gaussian(f64),
    /// A square of this odd side, every pixel alike.
    Uniform(usize),
}

/// What happens where a window would leave the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Only windows inside count.
    Inside,
    /// Pixels of the edge are repeated outwards.
    Repeat,
}

/// How three planes become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Luma alone: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
    Luma,
    /// The mean of the values of the planes.
    Planes,
    /// Red, green and blue are three layers of a volume: the window goes across them, too, repeated outwards.
    Volume,
}

/// SSIM with all that its paper leaves open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ssim {
    /// The window.
    pub window: Window,
    /// What happens at the border.
    pub border: Border,
    /// Whether variances are those of a sample (n − 1) and not of the population.
    pub sample: bool,
    /// What happens to colour.
    pub colour: Colour,
    /// K1 and K2.
    pub constants: [f64; 2],
    /// α, β and γ: exponents of luminance, contrast and structure.
    pub weights: [f64; 3],
}

impl Ssim {
    /// As Yousefzadeh 2020 used it.
    pub const PAPER: Self = Self { border: Border::Repeat, colour: Colour::Volume, ..Self::WANG };
    /// As Wang et al. 2004 used it.
    pub const WANG: Self = Self {
        window: Window::Gaussian(1.5),
        border: Border::Inside,
        sample: false,
        colour: Colour::Luma,
        constants: [0.01, 0.03],
        weights: [1.0; 3],
    };
    /// As scikit-image's `structural_similarity` has it where nothing but `channel_axis` and `data_range=255` is said.
    pub const SCIKIT_IMAGE: Self = Self { window: Window::Uniform(7), sample: true, colour: Colour::Planes, ..Self::WANG };

    /// The similarity of two frames, in [−1, 1]; 1 for equal ones.
    ///
    /// # Errors
    /// [`Error::Input`] where a window does not fit into the frames, or their shapes differ.
    pub fn similarity(&self, a: &Frame, b: &Frame) -> Result<f64> {
        super::pairs::check_shapes([a, b])?;
        Ok(PairMeasure::similarity(self, &self.prepare(a)?, &self.prepare(b)?, &mut Scratch::default()))
    }

    /// The weights of one axis.
    fn taps(&self) -> Vec<f64> {
        match self.window {
            Window::Uniform(side) => vec![1.0 / side as f64; side],
            Window::Gaussian(sigma) => {
                let radius = (3.5 * sigma + 0.5) as i32;
                let weight = |i: i32| (-0.5 * (f64::from(i) / sigma).powi(2)).exp();
                let sum: f64 = (-radius..=radius).map(weight).sum();
                (-radius..=radius).map(|i| weight(i) / sum).collect()
            }
        }
    }

    /// What a population's variance is multiplied by, for windows of a number of pixels.
    fn unbiased(&self, taps: usize) -> f64 {
        let n = (taps * taps) as f64;
        if self.sample { n / (n - 1.0) } else { 1.0 }
    }

    fn is_plain(&self) -> bool {
        self.weights == [1.0; 3]
    }
}

/// Values that are worked on together.
const LANES: usize = 8;

/// How windows lie on a plane.
#[derive(Clone, Debug)]
struct Grid {
    taps: Vec<f64>,
    border: Border,
    width: usize,
    height: usize,
    /// For a volume: the weights across the planes, from (row) and to (column).
    across: Option<[[f64; 3]; 3]>,
}

impl Grid {
    /// Windows in a row, and rows of windows.
    #[inline(always)]
    fn windows(&self) -> [usize; 2] {
        let lost = match self.border {
            Border::Inside => self.taps.len() - 1,
            Border::Repeat => 0,
        };
        [self.width - lost, self.height - lost]
    }

    /// Fills `out` with the window sums around every place, of all planes.
    #[inline(always)]
    fn filter(&self, planes: &mut [f64], line: &mut Vec<f64>, out: &mut [f64]) {
        if let Some(across) = &self.across {
            mix(planes, across);
        }
        let [columns, rows] = self.windows();
        for (plane, out) in planes.chunks_exact(self.width * self.height).zip(out.chunks_exact_mut(columns * rows)) {
            for (y, out) in out.chunks_exact_mut(columns).enumerate() {
                self.down(plane, y, line);
                weigh(&self.taps, line, |k| k, out);
            }
        }
    }

    /// The weighted sum of the rows that a row of windows covers, in the middle of a line that is continued on both sides.
    #[inline(always)]
    fn down(&self, plane: &[f64], y: usize, line: &mut Vec<f64>) {
        let radius = self.taps.len() / 2;
        let pad = if self.border == Border::Repeat { radius } else { 0 };
        line.resize(self.width + 2 * pad, 0.0);
        let from = |k: usize| (y + k).saturating_sub(pad).min(self.height - 1) * self.width;
        weigh(&self.taps, plane, from, &mut line[pad..pad + self.width]);
        let (first, last) = (line[pad], line[pad + self.width - 1]);
        line[..pad].fill(first);
        line[pad + self.width..].fill(last);
    }
}

/// Writes Σ_k taps\[k\] · from\[start(k) + i\] at every place i, some places at a time.
#[inline(always)]
fn weigh(taps: &[f64], from: &[f64], start: impl Fn(usize) -> usize, out: &mut [f64]) {
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let done = chunks.len() * LANES;
    for (chunk, sums) in chunks.iter_mut().enumerate() {
        *sums = [0.0; LANES];
        for (k, &tap) in taps.iter().enumerate() {
            let values = &from[start(k) + chunk * LANES..][..LANES];
            for i in 0..LANES {
                sums[i] += tap * values[i];
            }
        }
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        *sum = taps.iter().enumerate().map(|(k, tap)| tap * from[start(k) + done + i]).sum();
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

/// What is known of one frame.
pub(super) struct Prepared {
    grid: Grid,
    /// The samples, plane after plane.
    samples: Vec<f64>,
    /// The mean of every window, and its variance.
    means: Vec<f64>,
    variances: Vec<f64>,
}

#[derive(Default)]
pub(super) struct Scratch {
    products: Vec<f64>,
    line: Vec<f64>,
    filtered: Vec<f64>,
}

impl PairMeasure for Ssim {
    type Prepared = Prepared;
    type Scratch = Scratch;

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        let ([width, height], taps) = (frame.sides(), self.taps());
        if self.border == Border::Inside && taps.len() > width.min(height) {
            return Err(Error::Input(format!("a window of {} pixels does not fit into {width} × {height}", taps.len())));
        }
        let volume = self.colour == Colour::Volume && frame.planes() == 3;
        let grid = Grid { across: volume.then(|| across(&taps)), border: self.border, width, height, taps };
        let samples = samples(frame, self.colour);
        let [columns, rows] = grid.windows();
        let windows = columns * rows * (samples.len() / (width * height));
        let (mut means, mut variances, mut line) = (vec![0.0; windows], vec![0.0; windows], Vec::new());
        grid.filter(&mut samples.clone(), &mut line, &mut means);
        let mut squares: Vec<f64> = samples.iter().map(|v| v * v).collect();
        grid.filter(&mut squares, &mut line, &mut variances);
        let unbiased = self.unbiased(grid.taps.len());
        variances.iter_mut().zip(&means).for_each(|(square, mean)| *square = unbiased * (*square - mean * mean));
        Ok(Prepared { grid, samples, means, variances })
    }

    fn bytes(&self, frame: &Frame) -> usize {
        3 * size_of::<f64>() * frame.samples().len()
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, scratch: &mut Scratch) -> f64 {
        wide(Pair { ssim: self, a, b, scratch })
    }
}

/// The planes that are compared.
fn samples(frame: &Frame, colour: Colour) -> Vec<f64> {
    if colour == Colour::Luma { luma(frame) } else { frame.samples().iter().map(|&v| v.into()).collect() }
}

/// The luma of a frame (ITU-R BT.601); a grey one's samples.
pub(super) fn luma(frame: &Frame) -> Vec<f64> {
    if frame.planes() == 1 {
        return frame.samples().iter().map(|&v| v.into()).collect();
    }
    let planes = frame.plane(0).iter().zip(frame.plane(1)).zip(frame.plane(2));
    planes.map(|((&r, &g), &b)| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)).collect()
}

struct Pair<'a> {
    ssim: &'a Ssim,
    a: &'a Prepared,
    b: &'a Prepared,
    scratch: &'a mut Scratch,
}

impl Work for Pair<'_> {
    type Found = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { ssim, a, b, scratch: Scratch { products, line, filtered } } = self;
        products.resize(a.samples.len(), 0.0);
        filtered.resize(a.means.len(), 0.0);
        for ((product, x), y) in products.iter_mut().zip(&a.samples).zip(&b.samples) {
            *product = x * y;
        }
        a.grid.filter(products, line, filtered);
        let unbiased = ssim.unbiased(a.grid.taps.len());
        let [c1, c2] = ssim.constants.map(|k| (k * 255.0).powi(2));
        let sum = if ssim.is_plain() {
            plain(a, b, filtered, unbiased, c1, c2)
        } else {
            weighted(ssim.weights, a, b, filtered, unbiased, c1, c2)
        };
        (sum / filtered.len() as f64).clamp(-1.0, 1.0)
    }
}

/// The sum of equation 13 over all windows, in eight sums of a fixed order.
#[inline(always)]
fn plain(a: &Prepared, b: &Prepared, products: &[f64], unbiased: f64, c1: f64, c2: f64) -> f64 {
    let at = |mx: f64, my: f64, vx: f64, vy: f64, xy: f64| {
        let (both, covariance) = (mx * my, unbiased * (xy - mx * my));
        ((2.0 * both + c1) * (2.0 * covariance + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    };
    let (mx, mx_rest) = a.means.as_chunks::<LANES>();
    let (my, my_rest) = b.means.as_chunks::<LANES>();
    let (vx, vx_rest) = a.variances.as_chunks::<LANES>();
    let (vy, vy_rest) = b.variances.as_chunks::<LANES>();
    let (xy, xy_rest) = products.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for ((((mx, my), vx), vy), xy) in mx.iter().zip(my).zip(vx).zip(vy).zip(xy) {
        for i in 0..LANES {
            lanes[i] += at(mx[i], my[i], vx[i], vy[i], xy[i]);
        }
    }
    let rest: f64 = (0..xy_rest.len()).map(|i| at(mx_rest[i], my_rest[i], vx_rest[i], vy_rest[i], xy_rest[i])).sum();
    lanes.iter().sum::<f64>() + rest
}

/// The sum of equation 12 over all windows.
fn weighted([alpha, beta, gamma]: [f64; 3], a: &Prepared, b: &Prepared, products: &[f64], unbiased: f64, c1: f64, c2: f64) -> f64 {
    let at = |i: usize| {
        let (mx, my, vx, vy) = (a.means[i], b.means[i], a.variances[i], b.variances[i]);
        let spread = (vx.max(0.0) * vy.max(0.0)).sqrt();
        let luminance = (2.0 * mx * my + c1) / (mx * mx + my * my + c1);
        let contrast = (2.0 * spread + c2) / (vx + vy + c2);
        let structure = (unbiased * (products[i] - mx * my) + c2 / 2.0) / (spread + c2 / 2.0);
        luminance.powf(alpha) * contrast.max(0.0).powf(beta) * structure.abs().powf(gamma).copysign(structure)
    };
    (0..products.len()).map(at).sum()
}

#[cfg(test)]
mod tests {
    use super::{super::trial::frame, *};

    /// Equation 12 at every place, as it stands, for windows inside a grey frame.
    fn oracle(ssim: &Ssim, a: &Frame, b: &Frame) -> f64 {
        let (taps, [width, height]) = (ssim.taps(), a.sides());
        let side = taps.len();
        let [c1, c2] = ssim.constants.map(|k| (k * 255.0) * (k * 255.0));
        let (mut sum, mut count) = (0.0, 0.0);
        for (top, left) in (0..=height - side).flat_map(|y| (0..=width - side).map(move |x| (y, x))) {
            let weigh = |value: &dyn Fn(usize) -> f64| -> f64 {
                let at = |i: usize| taps[i / side] * taps[i % side] * value((top + i / side) * width + left + i % side);
                (0..side * side).map(at).sum()
            };
            let [x, y] = [a, b].map(|f| move |i: usize| f64::from(f.plane(0)[i]));
            let (mx, my) = (weigh(&x), weigh(&y));
            let unbiased = if ssim.sample { (side * side) as f64 / (side * side - 1) as f64 } else { 1.0 };
            let vx = unbiased * weigh(&|i| (x(i) - mx).powi(2));
            let vy = unbiased * weigh(&|i| (y(i) - my).powi(2));
            let xy = unbiased * weigh(&|i| (x(i) - mx) * (y(i) - my));
            let l: f64 = (2.0 * mx * my + c1) / (mx * mx + my * my + c1);
            let c = (2.0 * (vx * vy).sqrt() + c2) / (vx + vy + c2);
            let s = (xy + c2 / 2.0) / ((vx * vy).sqrt() + c2 / 2.0);
            let [alpha, beta, gamma] = ssim.weights;
            sum += l.powf(alpha) * c.powf(beta) * s.abs().powf(gamma) * s.signum();
            count += 1.0;
        }
        sum / count
    }

    #[test]
    fn filtering_gives_the_definition_for_every_window_covariance_and_weight() {
        let [a, b] = [1, 2].map(|seed| frame([23, 17], 1, seed));
        for window in [Window::Gaussian(1.5), Window::Uniform(7), Window::Uniform(3)] {
            for sample in [false, true] {
                for weights in [[1.0; 3], [0.0, 0.0, 1.0], [2.0, 0.5, 0.7]] {
                    let ssim = Ssim { window, sample, weights, constants: [0.02, 0.05], ..Ssim::WANG };
                    let (fast, slow) = (ssim.similarity(&a, &b).unwrap(), oracle(&ssim, &a, &b));
                    assert!((fast - slow).abs() < 1e-10, "{ssim:?}: {fast} {slow}");
                    assert_eq!(fast, ssim.similarity(&b, &a).unwrap());
                    assert!((ssim.similarity(&a, &a).unwrap() - 1.0).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn wider_vectors_give_the_same_bits() {
        let [a, b] = [3, 4].map(|seed| frame([32, 32], 3, seed));
        for ssim in [Ssim::PAPER, Ssim::WANG, Ssim::SCIKIT_IMAGE] {
            let [x, y] = [&a, &b].map(|f| ssim.prepare(f).unwrap());
            let narrow = Pair { ssim: &ssim, a: &x, b: &y, scratch: &mut Scratch::default() }.run();
            assert_eq!(narrow.to_bits(), PairMeasure::similarity(&ssim, &x, &y, &mut Scratch::default()).to_bits());
        }
    }

    #[test]
    fn frames_that_are_too_small_or_of_two_shapes_are_refused() {
        let ([a, b], c) = ([1, 2].map(|seed| frame([8, 8], 1, seed)), frame([8, 9], 1, 3));
        assert!(matches!(Ssim::WANG.similarity(&a, &b), Err(Error::Input(_))));
        assert!(matches!(Ssim::PAPER.similarity(&a, &c), Err(Error::Input(_))));
        assert!(Ssim::PAPER.similarity(&a, &b).is_ok());
    }
}
