//! The similarity function F of Algorithm 2 by name, and its matrices.
//!
//! Yousefzadeh 2020, section 4.1: which function fits depends on the images (structure, texture, or
//! plain distance), and so on their task.

use std::{fmt, str::FromStr};

use ndarray::Array2;

use super::{
    cosine::{Cosine, SquaredDistance},
    cw_ssim::CwSsim,
    gaussian::kernel,
    haarpsi::HaarPsi,
    pairs::{PairMeasure, cross, symmetric},
    register::{self, Turn, register},
    ssim::{Border, Colour, Ssim, Window},
    stsim::Stsim,
};
use crate::{
    Error, Result,
    monitor::Monitor,
    picture::{Frame, Picture, Shape},
};

/// A function of two frames of one shape: symmetric, and 1 for equal ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Structural similarity, in [−1, 1].
    Ssim(Ssim),
    /// Complex-wavelet structural similarity, in [0, 1]: small shifts and rotations matter little.
    CwSsim,
    /// Haar wavelet-based perceptual similarity, in [0, 1].
    HaarPsi,
    /// Structural texture similarity (STSIM-2), in [0, 1]: statistics are compared, not places.
    Stsim,
    /// Cosine of the coefficients, in [0, 1].
    Cosine,
    /// Gaussian kernel of the Euclidean distance of the coefficients, in [0, 1]; without a width
    /// (in grey levels) by the median rule.
    Gaussian {
        /// σ.
        width: Option<f64>,
    },
    /// What decides on near-duplicates: the similarity of a registered pair, not turned, in [0, 1].
    /// Only for frames that are pictures.
    Registration,
}

impl Measure {
    /// The names, as they are parsed.
    pub const NAMES: &str = "ssim, cw-ssim, haarpsi, stsim, cosine, gaussian and registration";

    /// S: symmetric, the diagonal 1; in the order of the frames.
    ///
    /// # Errors
    /// [`Error::Input`] for frames of different shapes or too many of them; [`Error::Numeric`],
    /// [`Error::Interrupted`].
    pub fn matrix(&self, frames: &[Frame], monitor: &dyn Monitor) -> Result<Array2<f32>> {
        match self {
            Self::Ssim(ssim) => symmetric(ssim, frames, monitor),
            Self::CwSsim => symmetric(&CwSsim, frames, monitor),
            Self::HaarPsi => symmetric(&HaarPsi, frames, monitor),
            Self::Stsim => symmetric(&Stsim, frames, monitor),
            Self::Cosine => symmetric(&Cosine, frames, monitor),
            Self::Gaussian { width } => {
                let mut squares = symmetric(&SquaredDistance, frames, monitor)?;
                squares.diag_mut().fill(0.0);
                kernel(&mut squares, *width, true)?;
                Ok(squares)
            }
            Self::Registration => symmetric(&Registration, frames, monitor),
        }
    }

    /// The matrix of two lists, such as test × train: a row for each of the first, a column for
    /// each of the second. The median rule then takes the median of all its distances.
    ///
    /// # Errors
    /// As [`Measure::matrix`].
    pub fn cross(
        &self,
        rows: &[Frame],
        columns: &[Frame],
        monitor: &dyn Monitor,
    ) -> Result<Array2<f32>> {
        match self {
            Self::Ssim(ssim) => cross(ssim, rows, columns, monitor),
            Self::CwSsim => cross(&CwSsim, rows, columns, monitor),
            Self::HaarPsi => cross(&HaarPsi, rows, columns, monitor),
            Self::Stsim => cross(&Stsim, rows, columns, monitor),
            Self::Cosine => cross(&Cosine, rows, columns, monitor),
            Self::Gaussian { width } => {
                let mut squares = cross(&SquaredDistance, rows, columns, monitor)?;
                kernel(&mut squares, *width, false)?;
                Ok(squares)
            }
            Self::Registration => cross(&Registration, rows, columns, monitor),
        }
    }
}

struct Registration;

impl PairMeasure for Registration {
    type Prepared = (Picture, register::Prepared);
    type Scratch = ();

    fn prepare(&self, frame: &Frame) -> Result<Self::Prepared> {
        let [width, height] = frame.sides();
        let side = u16::try_from(width).ok().filter(|_| width == height);
        let side = side.ok_or_else(|| {
            Error::Input(format!(
                "registration takes square pictures up to 256, not {width} × {height}"
            ))
        })?;
        let picture = Picture::from_samples(
            Shape {
                size: side,
                planes: frame.planes(),
            },
            frame.samples().to_vec(),
        )?;
        let prepared = register::Prepared::of(&picture);
        Ok((picture, prepared))
    }

    fn bytes(&self, frame: &Frame) -> usize {
        16 * frame.samples().len()
    }

    fn similarity(&self, a: &Self::Prepared, b: &Self::Prepared, (): &mut ()) -> f64 {
        if a.0 == b.0 {
            1.0
        } else {
            f64::from(register(&a.1, &b.1, Turn::NONE).similarity)
        }
    }
}

/// `name`, or `name:key=value,key=value`.
impl FromStr for Measure {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let mut measure = match name {
            "ssim" => Self::Ssim(Ssim::PAPER),
            "cw-ssim" => Self::CwSsim,
            "haarpsi" => Self::HaarPsi,
            "stsim" => Self::Stsim,
            "cosine" => Self::Cosine,
            "gaussian" => Self::Gaussian { width: None },
            "registration" => Self::Registration,
            _ => {
                return Err(Error::Input(format!(
                    "`{name}` is no similarity; there are {}",
                    Self::NAMES
                )));
            }
        };
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let unknown = || {
                Error::Input(format!(
                    "`{setting}` is no setting of {name}; see `wsidx similarity --help`"
                ))
            };
            let (key, value) = setting.split_once('=').ok_or_else(unknown)?;
            match &mut measure {
                Self::Ssim(ssim) => set(ssim, key, value).ok_or_else(unknown)?,
                Self::Gaussian { width } if key == "width" => {
                    *width = Some(positive(value).ok_or_else(unknown)?);
                }
                _ => return Err(unknown()),
            }
        }
        Ok(measure)
    }
}

fn positive(text: &str) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value > 0.0)
}

fn not_negative(text: &str) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

/// Changes a setting of SSIM; none where it is not one.
fn set(ssim: &mut Ssim, key: &str, value: &str) -> Option<()> {
    match (key, value) {
        ("like", "paper") => *ssim = Ssim::PAPER,
        ("like", "wang") => *ssim = Ssim::WANG,
        ("like", "scikit-image") => *ssim = Ssim::SCIKIT_IMAGE,
        ("gaussian", sigma) => {
            ssim.window = Window::Gaussian(positive(sigma).filter(|sigma| *sigma <= 50.0)?);
        }
        ("uniform", side) => {
            ssim.window = Window::Uniform(
                side.parse()
                    .ok()
                    .filter(|side| side % 2 == 1 && (3..=255).contains(side))?,
            );
        }
        ("border", "inside") => ssim.border = Border::Inside,
        ("border", "repeat") => ssim.border = Border::Repeat,
        ("covariance", "sample") => ssim.sample = true,
        ("covariance", "population") => ssim.sample = false,
        ("colour", "luma") => ssim.colour = Colour::Luma,
        ("colour", "planes") => ssim.colour = Colour::Planes,
        ("colour", "volume") => ssim.colour = Colour::Volume,
        ("k1", k) => ssim.constants[0] = positive(k)?,
        ("k2", k) => ssim.constants[1] = positive(k)?,
        ("alpha", weight) => ssim.weights[0] = not_negative(weight)?,
        ("beta", weight) => ssim.weights[1] = not_negative(weight)?,
        ("gamma", weight) => ssim.weights[2] = not_negative(weight)?,
        _ => return None,
    }
    Some(())
}

/// With all settings, so that it says what was computed, and parses to the same.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssim(ssim) => write!(f, "ssim:{ssim}"),
            Self::CwSsim => f.write_str("cw-ssim"),
            Self::HaarPsi => f.write_str("haarpsi"),
            Self::Stsim => f.write_str("stsim"),
            Self::Cosine => f.write_str("cosine"),
            Self::Gaussian { width: None } => f.write_str("gaussian"),
            Self::Gaussian { width: Some(width) } => write!(f, "gaussian:width={width}"),
            Self::Registration => f.write_str("registration"),
        }
    }
}

impl fmt::Display for Ssim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.window {
            Window::Gaussian(sigma) => write!(f, "gaussian={sigma}")?,
            Window::Uniform(side) => write!(f, "uniform={side}")?,
        }
        let border = if self.border == Border::Inside {
            "inside"
        } else {
            "repeat"
        };
        let covariance = if self.sample { "sample" } else { "population" };
        let colour = match self.colour {
            Colour::Luma => "luma",
            Colour::Planes => "planes",
            Colour::Volume => "volume",
        };
        let ([k1, k2], [alpha, beta, gamma]) = (self.constants, self.weights);
        write!(
            f,
            ",border={border},covariance={covariance},colour={colour},k1={k1},k2={k2},alpha={alpha},beta={beta},gamma={gamma}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::frame, *};
    use crate::monitor::Silent;

    const NAMES: [&str; 9] = [
        "ssim",
        "cw-ssim",
        "haarpsi",
        "stsim",
        "ssim:like=scikit-image,beta=0.5",
        "ssim:uniform=5,colour=luma,k2=0.1",
        "cosine",
        "gaussian:width=30.5",
        "registration",
    ];

    #[test]
    fn what_is_shown_parses_to_the_same() {
        for name in NAMES {
            let measure: Measure = name.parse().unwrap();
            assert_eq!(
                measure.to_string().parse::<Measure>().unwrap(),
                measure,
                "{name}"
            );
        }
        for wrong in [
            "",
            "SSIM",
            "ssim:",
            "cosine:width=3",
            "gaussian:width=0",
            "gaussian:width=nan",
            "ssim:uniform=4",
            "ssim:k1",
        ] {
            assert_eq!(
                wrong.parse::<Measure>().is_ok(),
                wrong == "ssim:",
                "{wrong}"
            );
        }
    }

    #[test]
    fn matrices_of_one_list_and_of_two_agree_and_equal_frames_have_one() {
        let mut frames: Vec<Frame> = (0..5).map(|seed| frame([32, 32], 3, seed)).collect();
        frames.push(frames[2].clone());
        for name in NAMES {
            let measure: Measure = name.parse().unwrap();
            let one = measure.matrix(&frames, &Silent).unwrap();
            let two = measure.cross(&frames[..3], &frames, &Silent).unwrap();
            assert_eq!((one[[2, 5]], two[[2, 5]]), (1.0, 1.0), "{name}");
            for (i, j) in (0..3).flat_map(|i| (0..6).map(move |j| (i, j))) {
                assert!(
                    (one[[i, j]] - two[[i, j]]).abs() < 1e-6 && one[[i, j]] == one[[j, i]],
                    "{name} {i} {j}"
                );
            }
        }
    }
}
