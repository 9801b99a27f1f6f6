//! Two Frames → the cosine of the angle between their coefficients, and their Euclidean distance.
//!
//! Yousefzadeh 2020, section 4.2: "even the cosine similarity between vectors of wavelet
//! coefficients can be insightful"; section 6.3.2: the Euclidean distance of coefficients. The
//! transform is orthonormal and so is the colour rotation, so by Parseval both are those of the raw
//! samples, whichever the wavelet; they are computed there, in integers, and therefore exactly.

use super::{
    correlation::dot,
    pairs::PairMeasure,
    wide::{Work, wide},
};
use crate::{Result, picture::Frame};

/// The cosine: Σab / √(Σa² Σb²), in [0, 1]. Two black frames have 1, a black one and another 0.
pub(super) struct Cosine;

/// The square of the Euclidean distance: Σ(a − b)² = Σa² + Σb² − 2 Σab, in grey levels.
pub(super) struct SquaredDistance;

/// The samples of a frame, and the sum of their squares.
pub(super) struct Prepared {
    samples: Vec<u8>,
    square: i64,
}

struct Dot<'a>(&'a [u8], &'a [u8]);

impl Work for Dot<'_> {
    type Found = i64;

    #[inline(always)]
    fn run(self) -> i64 {
        dot(self.0, self.1)
    }
}

fn prepare(frame: &Frame) -> Prepared {
    Prepared {
        samples: frame.samples().to_vec(),
        square: dot(frame.samples(), frame.samples()),
    }
}

impl PairMeasure for Cosine {
    type Prepared = Prepared;
    type Scratch = ();

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        Ok(prepare(frame))
    }

    fn bytes(&self, frame: &Frame) -> usize {
        frame.samples().len()
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, (): &mut ()) -> f64 {
        if a.square == 0 || b.square == 0 {
            return f64::from(u8::from(a.square == b.square));
        }
        let product = wide(Dot(&a.samples, &b.samples)) as f64;
        (product / ((a.square as f64).sqrt() * (b.square as f64).sqrt())).min(1.0)
    }
}

impl PairMeasure for SquaredDistance {
    type Prepared = Prepared;
    type Scratch = ();

    fn prepare(&self, frame: &Frame) -> Result<Prepared> {
        Ok(prepare(frame))
    }

    fn bytes(&self, frame: &Frame) -> usize {
        frame.samples().len()
    }

    fn similarity(&self, a: &Prepared, b: &Prepared, (): &mut ()) -> f64 {
        (a.square + b.square - 2 * wide(Dot(&a.samples, &b.samples))) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::frame, *};
    use crate::wavelet::{Coefficients, Wavelet};

    #[test]
    fn cosine_and_distance_of_samples_are_those_of_the_coefficients_of_every_wavelet() {
        let [a, b] = [1, 2].map(|seed| frame([32, 32], 3, seed));
        let [p, q] = [&a, &b].map(prepare);
        for wavelet in Wavelet::ALL {
            let [x, y] =
                [&a, &b].map(|f| Coefficients::<f64>::of(f.samples(), 32, 3, wavelet, None));
            let dot: f64 = x.values.iter().zip(&y.values).map(|(x, y)| x * y).sum();
            let square: f64 = x
                .values
                .iter()
                .zip(&y.values)
                .map(|(x, y)| (x - y).powi(2))
                .sum();
            assert!(
                (Cosine.similarity(&p, &q, &mut ()) - dot / (x.norm() * y.norm())).abs() < 1e-12
            );
            assert!((SquaredDistance.similarity(&p, &q, &mut ()) / square - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_black_frame_is_like_nothing_but_another() {
        let black = prepare(&Frame::from_samples([4, 4], 1, vec![0; 16]).unwrap());
        let other = prepare(&frame([4, 4], 1, 3));
        assert_eq!(Cosine.similarity(&black, &black, &mut ()), 1.0);
        assert_eq!(Cosine.similarity(&black, &other, &mut ()), 0.0);
        assert_eq!(Cosine.similarity(&other, &other, &mut ()), 1.0);
    }
}
