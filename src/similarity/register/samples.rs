//! A plane of samples → its values between them, at eight places side by side.

/// Places that are looked at side by side.
pub(super) const LANES: usize = 8;

/// One value for each of them.
pub(super) type Lanes = [f32; LANES];

/// Adding this leaves no place for a fraction, and the whole number in the last 23 bits.
const WHOLE: f32 = 8_388_608.0;

/// The whole number at or below a place on a line that ends at `last`, but less than that.
#[inline(always)]
pub(super) fn below(x: f32, last: f32) -> f32 {
    let near = (x + WHOLE) - WHOLE;
    let low = if near > x { near - 1.0 } else { near };
    if low < last - 1.0 { low } else { last - 1.0 }
}

/// A whole number under 2²³ as an integer.
#[inline(always)]
pub(super) fn whole(x: f32) -> u32 {
    (x + WHOLE).to_bits() & 0x7f_ffff
}

/// Between four samples, linearly, at several places that are all shifted alike; beyond the border
/// its value.
#[inline(always)]
pub(super) fn samples(plane: &[f32], n: usize, [x, y]: [&Lanes; 2], shift: [f32; 2]) -> Lanes {
    let (most, side) = ((n - 1) as f32, n as f32);
    let (mut p, mut q, mut corner) = ([0f32; LANES], [0f32; LANES], [0u32; LANES]);
    for l in 0..LANES {
        let (u, v) = (
            (x[l] + shift[0]).clamp(0.0, most),
            (y[l] + shift[1]).clamp(0.0, most),
        );
        let (left, top) = (below(u, most), below(v, most));
        (p[l], q[l]) = (u - left, v - top);
        corner[l] = whole(top * side + left);
    }
    let mut four = [[0.0; LANES]; 4];
    for l in 0..LANES {
        let window = &plane[corner[l] as usize..][..n + 2];
        (four[0][l], four[1][l], four[2][l], four[3][l]) =
            (window[0], window[1], window[n], window[n + 1]);
    }
    let mut out = [0.0; LANES];
    for l in 0..LANES {
        let (a, b) = (
            four[0][l] + p[l] * (four[1][l] - four[0][l]),
            four[2][l] + p[l] * (four[3][l] - four[2][l]),
        );
        out[l] = a + q[l] * (b - a);
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        picture::{Picture, Shape},
        similarity::register::levels::Detail,
    };

    /// A picture of noise.
    pub(in super::super) fn noise(size: u16, seed: usize) -> Detail {
        let shape = Shape::new(size, 1).unwrap();
        let value = |i: usize| ((i + seed).wrapping_mul(2_654_435_761) >> 13) as u8;
        Detail::of(&Picture::from_samples(shape, (0..shape.len()).map(value).collect()).unwrap())
    }

    /// Between four samples, linearly; beyond the border its value.
    fn sample(plane: &[f32], n: usize, x: f32, y: f32) -> f32 {
        let most = (n - 1) as f32;
        let (x, y) = (x.clamp(0.0, most), y.clamp(0.0, most));
        let (left, top) = ((x as usize).min(n - 2), (y as usize).min(n - 2));
        let (p, q) = (x - left as f32, y - top as f32);
        let at = top * n + left;
        let (above, below) = (&plane[at..at + 2], &plane[at + n..at + n + 2]);
        let (a, b) = (
            above[0] + p * (above[1] - above[0]),
            below[0] + p * (below[1] - below[0]),
        );
        a + q * (b - a)
    }

    #[test]
    fn eight_places_are_sampled_as_one_is() {
        for level in &noise(64, 1).levels {
            let n = level.side;
            for i in 0..4_000 {
                let place = |k: usize| {
                    ((i * 8 + k).wrapping_mul(40_503) & 0xffff) as f32 / 65_536.0 * (n + 4) as f32
                        - 2.0
                };
                let (x, y) = (
                    std::array::from_fn(place),
                    std::array::from_fn(|l| place(l + 9).round()),
                );
                let shift = [place(3) - place(5), if i % 2 == 0 { 0.0 } else { place(7) }];
                let found = samples(&level.norm, n, [&x, &y], shift);
                let slow: Lanes = std::array::from_fn(|l| {
                    sample(&level.norm, n, x[l] + shift[0], y[l] + shift[1])
                });
                assert_eq!(found.map(f32::to_bits), slow.map(f32::to_bits), "{n} {i}");
            }
        }
    }
}
