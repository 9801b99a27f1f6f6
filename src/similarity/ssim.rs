//! Two Frames → their structural similarity: Wang, Bovik, Sheikh and Simoncelli 2004, "Image
//! quality assessment: from error visibility to structural similarity", IEEE Trans. Image
//! Processing 13(4).
//!
//! In a window around every pixel: l = (2 μx μy + C1)/(μx² + μy² + C1), c = (2 σx σy + C2)/(σx² +
//! σy² + C2), s = (σxy + C3)/(σx σy + C3) (equations 6, 9, 10), SSIM = l^α c^β s^γ (12) with C1 =
//! (K1 L)², C2 = (K2 L)², C3 = C2/2 and L = 255; for α = β = γ = 1 that is (2 μx μy + C1)(2 σxy +
//! C2) / ((μx² + μy² + C1)(σx² + σy² + C2)) (13). The value is the mean over the windows (17), in
//! [−1, 1].
//!
//! Implementations differ in what the paper leaves open, and so do their values. All of it is a
//! parameter here:
//!
//! | | window | at the border | covariance | colour |
//! |---|---|---|---|---|
//! | [`Ssim::PAPER`] | Gaussian, σ = 1.5, 11 wide | pixels of the edge repeated | population | a volume of three planes, filtered across them too |
//! | [`Ssim::WANG`] | the same | windows inside only | population | luma |
//! | [`Ssim::SCIKIT_IMAGE`] | uniform, 7 × 7 | windows inside only | sample, n/(n − 1) | mean over the planes |
//!
//! The first is what MATLAB's `ssim` does with a colour image, and what Yousefzadeh 2020 used:
//! section 6.2.1 gives for the 500 aquarium fish of CIFAR-100 a mean of 0.088, a standard deviation
//! of 0.131 and least values of −0.5420 and −0.5025, and this convention alone gives these.
//!
//! Weights that are not 1 need powers of s, which may be negative: sign(s) |s|^γ is taken.
//! Everything that belongs to one frame (means and variances) is prepared once; a pair costs one
//! filtering of the products.

use super::{
    pairs::PairMeasure,
    wide::{Work, wide},
    windows::Grid,
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
    /// Red, green and blue are three layers of a volume: the window goes across them, too, repeated
    /// outwards.
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
    pub const PAPER: Self = Self {
        border: Border::Repeat,
        colour: Colour::Volume,
        ..Self::WANG
    };
    /// As Wang et al. 2004 used it.
    pub const WANG: Self = Self {
        window: Window::Gaussian(1.5),
        border: Border::Inside,
        sample: false,
        colour: Colour::Luma,
        constants: [0.01, 0.03],
        weights: [1.0; 3],
    };
    /// As scikit-image's `structural_similarity` has it where nothing but `channel_axis` and
    /// `data_range=255` is said.
    pub const SCIKIT_IMAGE: Self = Self {
        window: Window::Uniform(7),
        sample: true,
        colour: Colour::Planes,
        ..Self::WANG
    };

    /// The similarity of two frames, in [−1, 1]; 1 for equal ones.
    ///
    /// # Errors
    /// [`Error::Input`] where a window does not fit into the frames, or their shapes differ.
    pub fn similarity(&self, a: &Frame, b: &Frame) -> Result<f64> {
        super::pairs::check_shapes([a, b])?;
        Ok(PairMeasure::similarity(
            self,
            &self.prepare(a)?,
            &self.prepare(b)?,
            &mut Scratch::default(),
        ))
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

/// What is known of one frame.
pub(super) struct Prepared {
    grid: Grid,
    unbiased: f64,
    /// The planes, padded.
    samples: Vec<f64>,
    /// The mean of every window, and its variance.
    means: Vec<f64>,
    variances: Vec<f64>,
}

#[derive(Default)]
pub(super) struct Scratch {
    products: Vec<f64>,
    lines: Vec<f64>,
    filtered: Vec<f64>,
}

impl PairMeasure for Ssim {
    type Prepared = Prepared;
    type Scratch = Scratch;

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        let ([width, height], taps) = (frame.sides(), self.taps());
        if self.border == Border::Inside && taps.len() > width.min(height) {
            return Err(Error::Input(format!(
                "a window of {} pixels does not fit into {width} × {height}",
                taps.len()
            )));
        }
        let volume = self.colour == Colour::Volume && frame.planes() == 3;
        let grid = Grid::new(
            [width, height],
            &taps,
            self.border == Border::Repeat,
            volume,
        );
        let samples = grid.padded(&samples(frame, self.colour));
        let means = filtered(&grid, &samples, &vec![1.0; samples.len()]);
        let (mut variances, unbiased) = (
            filtered(&grid, &samples, &samples),
            self.unbiased(taps.len()),
        );
        variances
            .iter_mut()
            .zip(&means)
            .for_each(|(square, mean)| *square = unbiased * (*square - mean * mean));
        Ok(Prepared {
            grid,
            unbiased,
            samples,
            means,
            variances,
        })
    }

    fn bytes(&self, frame: &Frame) -> usize {
        let [width, height] = frame.sides();
        let repeated = if self.border == Border::Repeat {
            2 * (self.taps().len() / 2)
        } else {
            0
        };
        size_of::<f64>() * usize::from(frame.planes()) * width * (3 * height + repeated)
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, scratch: &mut Scratch) -> f64 {
        wide(Pair {
            ssim: self,
            a,
            b,
            scratch,
        })
    }
}

/// The means of the products in all windows, plane after plane.
fn filtered(grid: &Grid, a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut products, mut lines) = (Vec::new(), Vec::new());
    grid.products(a, b, &mut products);
    let mut means = vec![0.0; products.len() / grid.plane() * grid.windows()];
    let planes = products
        .chunks_exact(grid.plane())
        .zip(means.chunks_exact_mut(grid.windows()));
    planes.for_each(|(plane, means)| grid.filter(plane, &mut lines, means));
    means
}

/// The planes that are compared.
fn samples(frame: &Frame, colour: Colour) -> Vec<f64> {
    if colour == Colour::Luma {
        luma(frame)
    } else {
        frame.samples().iter().map(|&v| v.into()).collect()
    }
}

/// The luma of a frame (ITU-R BT.601); a grey one's samples.
pub(super) fn luma(frame: &Frame) -> Vec<f64> {
    if frame.planes() == 1 {
        return frame.samples().iter().map(|&v| v.into()).collect();
    }
    let planes = frame
        .plane(0)
        .iter()
        .zip(frame.plane(1))
        .zip(frame.plane(2));
    planes
        .map(|((&r, &g), &b)| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b))
        .collect()
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
        let Self {
            ssim,
            a,
            b,
            scratch:
                Scratch {
                    products,
                    lines,
                    filtered,
                },
        } = self;
        let (windows, [c1, c2]) = (
            a.grid.windows(),
            ssim.constants.map(|k| (k * 255.0).powi(2)),
        );
        a.grid.products(&a.samples, &b.samples, products);
        filtered.resize(windows, 0.0);
        let mut sum = 0.0;
        for (i, plane) in products.chunks_exact(a.grid.plane()).enumerate() {
            a.grid.filter(plane, lines, filtered);
            let windows = i * windows..(i + 1) * windows;
            let [a, b] = [a, b].map(|of| Windows {
                means: &of.means[windows.clone()],
                variances: &of.variances[windows.clone()],
                unbiased: of.unbiased,
            });
            sum += if ssim.is_plain() {
                plain(a, b, filtered, c1, c2)
            } else {
                weighted(ssim.weights, a, b, filtered, c1, c2)
            };
        }
        (sum / a.means.len() as f64).clamp(-1.0, 1.0)
    }
}

/// What is known of the windows of a plane.
#[derive(Clone, Copy)]
struct Windows<'a> {
    means: &'a [f64],
    variances: &'a [f64],
    unbiased: f64,
}

/// The sum of equation 13 over all windows, in eight sums of a fixed order. Two quotients are added
/// by one division, which is what takes longest: p/q + r/s = (p s + r q)/(q s), the values of two
/// halves of the windows. Leaves those sums in the place of the products.
#[inline(always)]
fn plain(a: Windows<'_>, b: Windows<'_>, products: &mut [f64], c1: f64, c2: f64) -> f64 {
    let n = products.len();
    let (half, unbiased) = (n / 2, a.unbiased);
    let (mx, my, vx, vy) = (
        &a.means[..n],
        &b.means[..n],
        &a.variances[..n],
        &b.variances[..n],
    );
    let quotient = |i: usize, product: f64| {
        let both = mx[i] * my[i];
        let above = (2.0 * both + c1) * (2.0 * unbiased * (product - both) + c2);
        (
            above,
            (mx[i] * mx[i] + my[i] * my[i] + c1) * (vx[i] + vy[i] + c2),
        )
    };
    let odd = if n % 2 == 1 {
        quotient(n - 1, products[n - 1])
    } else {
        (0.0, 1.0)
    };
    let (low, high) = products.split_at_mut(half);
    for i in 0..half {
        let ((p, q), (r, s)) = (quotient(i, low[i]), quotient(i + half, high[i]));
        low[i] = (p * s + r * q) / (q * s);
    }
    let (chunks, rest) = low.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>() + odd.0 / odd.1
}

/// The sum of equation 12 over all windows.
fn weighted(
    [alpha, beta, gamma]: [f64; 3],
    a: Windows<'_>,
    b: Windows<'_>,
    products: &[f64],
    c1: f64,
    c2: f64,
) -> f64 {
    let at = |i: usize| {
        let (mx, my, vx, vy) = (a.means[i], b.means[i], a.variances[i], b.variances[i]);
        let spread = (vx.max(0.0) * vy.max(0.0)).sqrt();
        let luminance = (2.0 * mx * my + c1) / (mx * mx + my * my + c1);
        let contrast = (2.0 * spread + c2) / (vx + vy + c2);
        let structure = (a.unbiased * (products[i] - mx * my) + c2 / 2.0) / (spread + c2 / 2.0);
        luminance.powf(alpha)
            * contrast.max(0.0).powf(beta)
            * structure.abs().powf(gamma).copysign(structure)
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
        for (top, left) in (0..=height - side).flat_map(|y| (0..=width - side).map(move |x| (y, x)))
        {
            let weigh = |value: &dyn Fn(usize) -> f64| -> f64 {
                let at = |i: usize| {
                    taps[i / side]
                        * taps[i % side]
                        * value((top + i / side) * width + left + i % side)
                };
                (0..side * side).map(at).sum()
            };
            let [x, y] = [a, b].map(|f| move |i: usize| f64::from(f.plane(0)[i]));
            let (mx, my) = (weigh(&x), weigh(&y));
            let unbiased = if ssim.sample {
                (side * side) as f64 / (side * side - 1) as f64
            } else {
                1.0
            };
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
        for window in [
            Window::Gaussian(1.5),
            Window::Uniform(7),
            Window::Uniform(3),
        ] {
            for sample in [false, true] {
                for weights in [[1.0; 3], [0.0, 0.0, 1.0], [2.0, 0.5, 0.7]] {
                    let ssim = Ssim {
                        window,
                        sample,
                        weights,
                        constants: [0.02, 0.05],
                        ..Ssim::WANG
                    };
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
            let narrow = Pair {
                ssim: &ssim,
                a: &x,
                b: &y,
                scratch: &mut Scratch::default(),
            }
            .run();
            assert_eq!(
                narrow.to_bits(),
                PairMeasure::similarity(&ssim, &x, &y, &mut Scratch::default()).to_bits()
            );
        }
    }

    #[test]
    fn frames_that_are_too_small_or_of_two_shapes_are_refused() {
        let ([a, b], c) = (
            [1, 2].map(|seed| frame([8, 8], 1, seed)),
            frame([8, 9], 1, 3),
        );
        assert!(matches!(
            Ssim::WANG.similarity(&a, &b),
            Err(Error::Input(_))
        ));
        assert!(matches!(
            Ssim::PAPER.similarity(&a, &c),
            Err(Error::Input(_))
        ));
        assert!(Ssim::PAPER.similarity(&a, &b).is_ok());
    }
}
