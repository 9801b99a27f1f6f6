//! Two Pictures → the correlation ρ over all their coefficients.
//!
//! The transform is orthonormal and so is the colour rotation, so by Parseval the inner product of
//! two mean-removed coefficient vectors *is* that of the mean-removed samples; it is computed
//! there, in integers, and therefore exactly: ρ = Σₚ(N·Σab − Σa·Σb) / √(Σₚ(N·Σa² − (Σa)²) ·
//! Σₚ(N·Σb² − (Σb)²)), sums over the N samples of each plane p.

use crate::picture::Picture;

/// The correlation from which whole frames are as good as equal: the rule before registration, kept
/// to be compared with.
pub const EDGE_CORRELATION: f64 = 0.98;

/// Correlation of two pictures of one shape, in [−1, 1], the mean of every plane removed. Two flat
/// pictures (no contrast at all) have 1 if they are equal and 0 if not; so has a flat one with any
/// other.
///
/// # Panics
/// If the shapes differ.
pub fn correlation(a: &Picture, b: &Picture) -> f64 {
    assert_eq!(a.shape(), b.shape(), "pictures of one index have one shape");
    let [mut ab, mut aa, mut bb] = [0i64; 3];
    for plane in 0..usize::from(a.shape().planes) {
        let [p, q] = [a.plane(plane), b.plane(plane)];
        let n = p.len() as i64;
        let [sum_p, sum_q] = [sum(p), sum(q)];
        ab += n * dot(p, q) - sum_p * sum_q;
        aa += n * dot(p, p) - sum_p * sum_p;
        bb += n * dot(q, q) - sum_q * sum_q;
    }
    if aa == 0 || bb == 0 {
        return if a == b { 1.0 } else { 0.0 };
    }
    (ab as f64 / ((aa as f64).sqrt() * (bb as f64).sqrt())).clamp(-1.0, 1.0)
}

fn sum(samples: &[u8]) -> i64 {
    samples.iter().map(|&v| u64::from(v)).sum::<u64>() as i64
}

/// Σab. Blocks of 2¹⁵ products of at most 255² stay inside u32.
#[inline(always)]
pub(super) fn dot(a: &[u8], b: &[u8]) -> i64 {
    let blocks = a.chunks(1 << 15).zip(b.chunks(1 << 15));
    blocks
        .map(|(a, b)| {
            i64::from(
                a.iter()
                    .zip(b)
                    .map(|(&a, &b)| u32::from(a) * u32::from(b))
                    .sum::<u32>(),
            )
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Shape;

    fn picture(planes: u8, value: impl Fn(usize) -> u8) -> Picture {
        let shape = Shape::new(16, planes).unwrap();
        Picture::from_samples(shape, (0..shape.len()).map(value).collect()).unwrap()
    }

    /// The textbook formula, in floating point.
    fn oracle(a: &Picture, b: &Picture) -> f64 {
        let centred = |p: &Picture| -> Vec<f64> {
            let planes = (0..usize::from(p.shape().planes)).map(|i| {
                let mean =
                    p.plane(i).iter().map(|&v| f64::from(v)).sum::<f64>() / p.plane(i).len() as f64;
                p.plane(i)
                    .iter()
                    .map(move |&v| f64::from(v) - mean)
                    .collect::<Vec<_>>()
            });
            planes.flatten().collect()
        };
        let (a, b) = (centred(a), centred(b));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }

    #[test]
    fn integer_sums_equal_the_textbook_formula() {
        for planes in [1, 3] {
            let a = picture(planes, |i| (i * 7919 % 251) as u8);
            let b = picture(planes, |i| (i * 104_729 % 239) as u8);
            assert!((correlation(&a, &b) - oracle(&a, &b)).abs() < 1e-12);
        }
    }

    #[test]
    fn contrast_and_brightness_do_not_matter_and_a_negative_is_opposite() {
        let a = picture(3, |i| (i * 7919 % 101) as u8);
        let brighter = picture(3, |i| 2 * (i * 7919 % 101) as u8 + 20);
        let negative = picture(3, |i| 200 - (i * 7919 % 101) as u8);
        assert!(correlation(&a, &brighter) > 1.0 - 1e-12);
        assert!(correlation(&a, &negative) < -1.0 + 1e-12);
    }

    #[test]
    fn flat_pictures_are_like_nothing_but_themselves() {
        let (grey, black) = (picture(1, |_| 128), picture(1, |_| 0));
        assert_eq!(correlation(&grey, &grey), 1.0);
        assert_eq!(correlation(&grey, &black), 0.0);
        assert_eq!(correlation(&grey, &picture(1, |i| i as u8)), 0.0);
    }
}
