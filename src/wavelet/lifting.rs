//! 8-bit samples ⇄ the bytes in which a picture is cached, without loss.
//!
//! Red, green and blue go through the reversible YCoCg-R rotation (`picture::rotate`), and both
//! chroma planes are divided by the largest power of two that divides all their values (resized
//! pictures have their chroma in steps); every plane, columns first, goes through the reversible
//! integer Haar transform with prediction, the S+P transform (Said and Pearlman 1996, "An image
//! multiresolution representation for lossless and lossy compression", IEEE TIP 5(9)), here with
//! predictions from lows only, of equal weights; the results, zigzagged, in tiles of 4 × 4 through
//! a Rice code (`rice`). In one dimension a pair (a, b) becomes
//!
//! ```text
//! high = a − b        low[i] = b + ⌊high / 2⌋        high[i] −= ⌊(low[i − 1] − low[i + 1] + 2) / 4⌋
//! ```
//!
//! with the nearest low at the ends; a last sample without a partner is a low. So, other than
//! [`super::dwt2`], it goes on to a single sample for every side. The highs of highs are not
//! predicted. Chroma is in ±255, so a high is in ±638 and a high of highs in ±1,276: 12 bits after
//! the zigzag. All arithmetic wraps in 16 bits: exact for codes that [`encode`] made, harmless for
//! all others.
//!
//! A picture in colour begins with a byte of the two exponents: low nibble that of Co, high nibble
//! that of Cg.
//!
//! Size and planes are not in the code: they stand in the record that holds it. Checksums are the
//! store's business: a flipped bit may give another valid code.

use super::{
    rice::{self, BLOCK, damaged},
    tiles::{block_count, from_tiles, to_tiles},
};
use crate::{
    error::Result,
    picture::{rotate, unrotate},
};

/// Appends the code of `size` × `size` samples, row by row, in one plane or three (red, green,
/// blue; plane after plane).
///
/// The same samples give the same bytes on every machine. Cost: O(samples).
///
/// # Panics
/// If the number of samples is not `size`² × `planes`, or `planes` is neither 1 nor 3.
pub fn encode(samples: &[u8], size: u16, planes: u8, out: &mut Vec<u8>) {
    assert!(
        matches!(planes, 1 | 3),
        "a picture has one plane or three, not {planes}"
    );
    let side = usize::from(size);
    assert_eq!(
        samples.len(),
        side * side * usize::from(planes),
        "{planes} planes of side {size}"
    );
    if samples.is_empty() {
        return;
    }
    let mut values: Vec<i16> = samples.iter().map(|&sample| i16::from(sample)).collect();
    if planes == 3 {
        for_each_pixel(&mut values, rotate);
        out.push(divide_chroma(&mut values));
    }
    let mut work = Work::new(side);
    let mut blocks = vec![[0; BLOCK]; block_count(side, planes)];
    let per_plane = block_count(side, 1);
    for (plane, blocks) in values
        .chunks_exact_mut(side * side)
        .zip(blocks.chunks_exact_mut(per_plane))
    {
        lift(plane, side, &mut work);
        plane.iter_mut().for_each(|value| *value = zigzag(*value));
        to_tiles(plane, side, blocks);
    }
    rice::encode(&blocks, out);
}

/// Replaces `samples` by those of a code: the inverse of [`encode`].
///
/// Nothing is allocated before the code is known to be long enough for the size. Cost: O(samples).
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if the bytes are not the code of a picture of this
/// size: too short, too long, or a sample outside 0..=255. `samples` then holds nothing of use.
///
/// # Panics
/// If `planes` is neither 1 nor 3.
pub fn decode(code: &[u8], size: u16, planes: u8, samples: &mut Vec<u8>) -> Result<()> {
    assert!(
        matches!(planes, 1 | 3),
        "a picture has one plane or three, not {planes}"
    );
    samples.clear();
    let side = usize::from(size);
    let count = block_count(side, planes);
    if count == 0 {
        return if code.is_empty() {
            Ok(())
        } else {
            Err(damaged("longer than an empty picture"))
        };
    }
    let (exponents, code) = match planes {
        3 => code
            .split_first()
            .map_or((0, code), |(&exponents, code)| (exponents, code)),
        _ => (0, code),
    };
    if code.len() < count.div_ceil(2) {
        return Err(damaged("shorter than any picture of this size"));
    }
    let mut blocks = vec![[0; BLOCK]; count];
    rice::decode(code, &mut blocks)?;
    let mut work = Work::new(side);
    let mut values = vec![0i16; side * side * usize::from(planes)];
    for (plane, blocks) in values
        .chunks_exact_mut(side * side)
        .zip(blocks.chunks_exact(block_count(side, 1)))
    {
        from_tiles(blocks, side, plane)?;
        plane.iter_mut().for_each(|value| *value = unzigzag(*value));
        unlift(plane, side, &mut work);
    }
    if planes == 3 {
        multiply_chroma(&mut values, exponents)?;
        for_each_pixel(&mut values, unrotate);
    }
    // Any bit above the low eight (the sign too) is a sample out of range.
    if values.iter().fold(0, |all, &value| all | value) & !255 != 0 {
        return Err(damaged("a sample is out of range"));
    }
    samples.extend(values.iter().map(|&value| value as u8));
    Ok(())
}

/// 0, −1, 1, −2, … become 0, 1, 2, 3, …
fn zigzag(value: i16) -> i16 {
    value.wrapping_shl(1) ^ (value >> 15)
}

/// The inverse of [`zigzag`], of values without a sign.
fn unzigzag(value: i16) -> i16 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// Divides both chroma planes by powers of two as large as can be, and returns the exponents in a
/// byte.
fn divide_chroma(values: &mut [i16]) -> u8 {
    let plane = values.len() / 3;
    let [orange, green] = [1, 2].map(|p| {
        let chroma = &mut values[p * plane..][..plane];
        let bits = chroma.iter().fold(0, |all, &value| all | value);
        let exponent = if bits == 0 { 0 } else { bits.trailing_zeros() };
        chroma.iter_mut().for_each(|value| *value >>= exponent);
        exponent as u8
    });
    orange | green << 4
}

/// The inverse of [`divide_chroma`].
fn multiply_chroma(values: &mut [i16], exponents: u8) -> Result<()> {
    let plane = values.len() / 3;
    for (chroma, exponent) in values[plane..]
        .chunks_exact_mut(plane)
        .zip([exponents & 15, exponents >> 4])
    {
        if exponent > 0 && chroma.iter().all(|value| value & 1 == 0) {
            return Err(damaged("chroma could have been divided further"));
        }
        chroma
            .iter_mut()
            .for_each(|value| *value = value.wrapping_shl(exponent.into()));
    }
    Ok(())
}

fn for_each_pixel(values: &mut [i16], change: impl Fn([i16; 3]) -> [i16; 3]) {
    let (first, rest) = values.split_at_mut(values.len() / 3);
    let (second, third) = rest.split_at_mut(rest.len() / 2);
    for ((a, b), c) in first.iter_mut().zip(second).zip(third) {
        [*a, *b, *c] = change([*a, *b, *c]);
    }
}

/// The sides of the squares that are transformed, from fine to coarse: side, ⌈side/2⌉, … , 2.
fn sides(side: usize) -> impl DoubleEndedIterator<Item = usize> {
    let levels = side.next_power_of_two().trailing_zeros();
    (0..levels).map(move |level| (side.saturating_sub(1) >> level).saturating_add(1))
}

/// Working memory of a plane: the square under transformation, its low and high rows, and three
/// bands.
struct Work {
    square: Vec<i16>,
    low: Vec<i16>,
    high: Vec<i16>,
    bands: [Vec<i16>; 3],
}

impl Work {
    fn new(side: usize) -> Self {
        let (half, less) = (side.div_ceil(2), side / 2);
        let zeros = |len: usize| vec![0; len];
        let bands = [zeros(half * less), zeros(less * half), zeros(less * less)];
        Self {
            square: zeros(side * side),
            low: zeros(half * side),
            high: zeros(less * side),
            bands,
        }
    }

    /// The parts that a square of side n uses: low rows, high rows, LL (in place of the square),
    /// HL, LH, HH.
    fn parts(&mut self, n: usize) -> [&mut [i16]; 6] {
        let (half, less) = (n.div_ceil(2), n / 2);
        let [hl, lh, hh] = &mut self.bands;
        [
            &mut self.low[..half * n],
            &mut self.high[..less * n],
            &mut self.square[..half * half],
            &mut hl[..half * less],
            &mut lh[..less * half],
            &mut hh[..less * less],
        ]
    }
}

/// The S+P transform of a plane in place, in Mallat's layout with the larger half first: columns,
/// then rows, of ever smaller squares.
fn lift(plane: &mut [i16], side: usize, work: &mut Work) {
    work.square.copy_from_slice(plane);
    for n in sides(side) {
        lift_columns(&work.square[..n * n], n, &mut work.low, &mut work.high);
        let [low, high, ll, hl, lh, hh] = work.parts(n);
        lift_rows(low, n, ll, hl);
        predict_in_rows(ll, hl, n, i16::wrapping_sub);
        lift_rows(high, n, lh, hh);
        each_band_row(plane, side, n, [hl, lh, hh], |row, band| {
            row.copy_from_slice(band);
        });
    }
    plane[0] = work.square[0];
}

/// The inverse of [`lift`].
fn unlift(plane: &mut [i16], side: usize, work: &mut Work) {
    work.square[0] = plane[0];
    for n in sides(side).rev() {
        let [low, high, ll, hl, lh, hh] = work.parts(n);
        each_band_row(
            plane,
            side,
            n,
            [&mut *hl, &mut *lh, &mut *hh],
            |row, band| band.copy_from_slice(row),
        );
        predict_in_rows(ll, hl, n, i16::wrapping_add);
        unlift_rows(ll, hl, n, low);
        unlift_rows(lh, hh, n, high);
        unlift_columns(&work.low, &mut work.high, n, &mut work.square[..n * n]);
    }
    plane.copy_from_slice(&work.square);
}

/// Visits the rows of HL, LH and HH of a square of side n with their places in the plane.
fn each_band_row(
    plane: &mut [i16],
    side: usize,
    n: usize,
    [hl, lh, hh]: [&mut [i16]; 3],
    visit: impl Fn(&mut [i16], &mut [i16]),
) {
    let (half, less) = (n.div_ceil(2), n / 2);
    let (above, below) = plane.split_at_mut(half * side);
    for (row, hl) in above.chunks_mut(side).zip(hl.chunks_mut(less)) {
        visit(&mut row[half..n], hl);
    }
    for ((row, lh), hh) in below
        .chunks_mut(side)
        .zip(lh.chunks_mut(half))
        .zip(hh.chunks_mut(less))
    {
        visit(&mut row[..half], lh);
        visit(&mut row[half..n], hh);
    }
}

/// A pair to its low and its high.
fn part(a: i16, b: i16) -> (i16, i16) {
    let high = a.wrapping_sub(b);
    (b.wrapping_add(high >> 1), high)
}

/// The inverse of [`part`].
fn unpart(low: i16, high: i16) -> (i16, i16) {
    let b = low.wrapping_sub(high >> 1);
    (high.wrapping_add(b), b)
}

/// What the neighbouring lows say about a high.
fn prediction(before: i16, after: i16) -> i16 {
    before.wrapping_sub(after).wrapping_add(2) >> 2
}

/// Applies the predictions of many highs with `apply`: subtract, or add to undo.
fn predict(high: &mut [i16], before: &[i16], after: &[i16], apply: impl Fn(i16, i16) -> i16) {
    for ((high, &before), &after) in high.iter_mut().zip(before).zip(after) {
        *high = apply(*high, prediction(before, after));
    }
}

/// Pairs of rows of a packed n × n square to low rows and predicted high rows.
fn lift_columns(square: &[i16], n: usize, low: &mut [i16], high: &mut [i16]) {
    for ((pair, low), high) in square
        .chunks(2 * n)
        .zip(low.chunks_mut(n))
        .zip(high.chunks_mut(n))
    {
        let (even, odd) = pair.split_at(n);
        for (((&a, &b), low), high) in even.iter().zip(odd).zip(low).zip(high) {
            (*low, *high) = part(a, b);
        }
    }
    if n % 2 == 1 {
        low[n / 2 * n..][..n].copy_from_slice(&square[(n - 1) * n..]);
    }
    predict_across_rows(low, high, n, i16::wrapping_sub);
}

/// The inverse of [`lift_columns`]; `high` is used up.
fn unlift_columns(low: &[i16], high: &mut [i16], n: usize, square: &mut [i16]) {
    predict_across_rows(low, high, n, i16::wrapping_add);
    for ((pair, low), high) in square
        .chunks_mut(2 * n)
        .zip(low.chunks(n))
        .zip(high.chunks(n))
    {
        let (even, odd) = pair.split_at_mut(n);
        for (((a, b), &low), &high) in even.iter_mut().zip(odd).zip(low).zip(high) {
            (*a, *b) = unpart(low, high);
        }
    }
    if n % 2 == 1 {
        square[(n - 1) * n..].copy_from_slice(&low[n / 2 * n..][..n]);
    }
}

/// Predicts high rows from the low rows above and below; all but the first and the last in one
/// sweep.
fn predict_across_rows(
    low: &[i16],
    high: &mut [i16],
    n: usize,
    apply: impl Fn(i16, i16) -> i16 + Copy,
) {
    let (last, count) = (n.div_ceil(2) - 1, n / 2);
    let row = |k: usize| &low[k.min(last) * n..][..n];
    predict(&mut high[..n], row(0), row(1), apply);
    if count > 1 {
        let inner = (count - 2) * n;
        predict(&mut high[n..][..inner], &low[..inner], &low[2 * n..], apply);
        predict(
            &mut high[(count - 1) * n..][..n],
            row(count - 2),
            row(count),
            apply,
        );
    }
}

/// Rows of length n to their low and high halves, both packed.
fn lift_rows(rows: &[i16], n: usize, low: &mut [i16], high: &mut [i16]) {
    if n % 2 == 1 {
        for ((row, low), high) in rows
            .chunks_exact(n)
            .zip(low.chunks_exact_mut(n / 2 + 1))
            .zip(high.chunks_exact_mut(n / 2))
        {
            lift_rows(&row[..n - 1], n - 1, &mut low[..n / 2], high);
            low[n / 2] = row[n - 1];
        }
        return;
    }
    for ((&[a, b], low), high) in rows.as_chunks::<2>().0.iter().zip(low).zip(high) {
        (*low, *high) = part(a, b);
    }
}

/// The inverse of [`lift_rows`].
fn unlift_rows(low: &[i16], high: &[i16], n: usize, rows: &mut [i16]) {
    if n % 2 == 1 {
        for ((row, low), high) in rows
            .chunks_exact_mut(n)
            .zip(low.chunks_exact(n / 2 + 1))
            .zip(high.chunks_exact(n / 2))
        {
            unlift_rows(&low[..n / 2], high, n - 1, &mut row[..n - 1]);
            row[n - 1] = low[n / 2];
        }
        return;
    }
    for ((pair, &low), &high) in rows.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *pair = unpart(low, high).into();
    }
}

/// Predicts highs from the lows to the left and right of the same row.
fn predict_in_rows(
    low: &[i16],
    high: &mut [i16],
    n: usize,
    apply: impl Fn(i16, i16) -> i16 + Copy,
) {
    let (half, less) = (n.div_ceil(2), n / 2);
    if half != less {
        for (low, high) in low.chunks_exact(half).zip(high.chunks_exact_mut(less)) {
            predict(&mut high[..1], low, &low[1..], apply);
            predict(&mut high[1..], low, &low[2..], apply);
        }
        return;
    }
    // All rows in one sweep, which spoils the ends of rows; then the ends, computed before.
    let at_ends = |(low, high): (&[i16], &[i16])| {
        let last = half - 1;
        let first = apply(high[0], prediction(low[0], low[last.min(1)]));
        (
            first,
            apply(
                high[last],
                prediction(low[last.saturating_sub(1)], low[last]),
            ),
        )
    };
    let ends: Vec<(i16, i16)> = low
        .chunks_exact(half)
        .zip(high.chunks_exact(half))
        .map(at_ends)
        .collect();
    predict(
        high.get_mut(1..).unwrap_or_default(),
        low,
        low.get(2..).unwrap_or_default(),
        apply,
    );
    for (high, (first, last)) in high.chunks_exact_mut(half).zip(ends) {
        high[half - 1] = last;
        high[0] = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn random(seed: u64) -> impl FnMut() -> u8 {
        let mut state = seed;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        }
    }

    fn code_of(samples: &[u8], side: usize, planes: usize) -> Vec<u8> {
        let mut code = Vec::new();
        encode(samples, side as u16, planes as u8, &mut code);
        code
    }

    #[track_caller]
    fn comes_back(samples: &[u8], side: usize, planes: usize) -> usize {
        let code = code_of(samples, side, planes);
        let mut back = vec![1, 2, 3];
        decode(&code, side as u16, planes as u8, &mut back).unwrap();
        assert!(back == samples, "side {side}, {planes} planes");
        code.len()
    }

    /// A smooth picture with an edge, which natural pictures resemble more than noise does.
    fn smooth(side: usize, planes: usize) -> Vec<u8> {
        let value = |i: usize| {
            let (p, y, x) = (i / (side * side), i / side % side, i % side);
            let wave =
                100.0 + 60.0 * (0.11 * x as f64 + p as f64).sin() + 40.0 * (0.07 * y as f64).cos();
            (wave + if x > y { 50.0 } else { 0.0 }) as u8
        };
        (0..planes * side * side).map(value).collect()
    }

    #[test]
    fn pictures_of_every_side_come_back() {
        for side in (0..=40).chain([63, 64, 65, 96, 100]) {
            for planes in [1, 3] {
                let mut next = random(side as u64);
                let noise: Vec<u8> = (0..side * side * planes).map(|_| next()).collect();
                comes_back(&noise, side, planes);
                comes_back(&smooth(side, planes), side, planes);
            }
        }
    }

    #[test]
    fn extreme_pictures_come_back() {
        for side in [5, 28, 32] {
            let mut next = random(99);
            for pattern in 0..64usize {
                let two_tone: Vec<u8> = (0..3 * side * side)
                    .map(|i| {
                        let (p, y, x) = (i / (side * side), i / side % side, i % side);
                        let bit = [
                            (x + y) % 2,
                            x % 2,
                            y % 2,
                            x / 2 % 2,
                            p % 2,
                            usize::from(next() > 127),
                        ];
                        let on = bit
                            .iter()
                            .enumerate()
                            .filter(|(b, _)| pattern >> b & 1 == 1)
                            .map(|(_, v)| v)
                            .sum::<usize>()
                            % 2;
                        on as u8 * 255
                    })
                    .collect();
                comes_back(&two_tone, side, 3);
            }
        }
    }

    #[test]
    fn a_constant_picture_takes_little_more_than_its_parameters() {
        assert!(comes_back(&[0; 3 * 32 * 32], 32, 3) == 97);
        assert!(comes_back(&[255; 3 * 32 * 32], 32, 3) < 97 + 32);
        assert!(comes_back(&[77; 28 * 28], 28, 1) < 25 + 32);
    }

    #[test]
    fn smooth_pictures_become_small() {
        assert!(comes_back(&smooth(64, 3), 64, 3) < 3 * 64 * 64 / 3);
    }

    #[test]
    fn chroma_in_steps_is_found_and_takes_less() {
        let mut next = random(6);
        let noise: Vec<u8> = (0..3 * 32 * 32).map(|_| next() / 2 + 64).collect();
        let mut stepped: Vec<i16> = noise.iter().map(|&v| i16::from(v)).collect();
        for_each_pixel(&mut stepped, |pixel| {
            let [luma, orange, green] = rotate(pixel);
            unrotate([luma, orange & !3, green & !7])
        });
        let stepped: Vec<u8> = stepped.into_iter().map(|v| v as u8).collect();
        assert_eq!(code_of(&stepped, 32, 3)[0], 2 | 3 << 4);
        assert!(comes_back(&stepped, 32, 3) + 2 * 32 * 32 / 8 * 2 < comes_back(&noise, 32, 3));
        let mut undivided = code_of(&noise, 32, 3);
        undivided[0] = 4;
        assert!(
            decode(&undivided, 32, 3, &mut Vec::new()).is_err(),
            "samples out of range"
        );
    }

    #[test]
    fn noise_grows_by_little() {
        let mut next = random(5);
        let noise: Vec<u8> = (0..3 * 64 * 64).map(|_| next()).collect();
        assert!(comes_back(&noise, 64, 3) < 3 * 64 * 64 * 5 / 4);
    }

    #[test]
    fn the_transform_is_an_integer_haar_transform_to_one_grey_level() {
        let side = 32;
        let plane: Vec<i16> = smooth(side, 1).iter().map(|&v| i16::from(v)).collect();
        let mut lifted = plane.clone();
        lift(&mut lifted, side, &mut Work::new(side));
        let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / (side * side) as f64;
        assert!(
            (f64::from(lifted[0]) - mean).abs() <= 5.0,
            "each of ten halvings rounds down by a half at most"
        );
        unlift(&mut lifted, side, &mut Work::new(side));
        assert_eq!(lifted, plane);
    }

    #[test]
    fn a_code_is_appended_and_the_samples_are_replaced() {
        let mut code = vec![9];
        encode(&smooth(8, 3), 8, 3, &mut code);
        let mut samples = vec![1; 1000];
        decode(&code[1..], 8, 3, &mut samples).unwrap();
        assert_eq!(samples, smooth(8, 3));
    }

    #[test]
    fn cut_codes_longer_codes_and_other_sizes_are_damage() {
        let code = code_of(&smooth(30, 3), 30, 3);
        let mut samples = Vec::new();
        for len in 0..code.len() {
            assert!(
                matches!(
                    decode(&code[..len], 30, 3, &mut samples),
                    Err(Error::Damaged { .. })
                ),
                "{len}"
            );
        }
        assert!(decode(&[&code[..], &[0]].concat(), 30, 3, &mut samples).is_err());
        for (size, planes) in [(29, 3), (31, 3), (30, 1), (0, 3), (65535, 3)] {
            assert!(
                decode(&code, size, planes, &mut samples).is_err(),
                "{size} {planes}"
            );
        }
    }

    #[test]
    fn damaged_and_random_codes_never_panic_and_give_whole_pictures_or_damage() {
        let mut samples = Vec::new();
        let mut refused = 0;
        for seed in 0..3000u64 {
            let mut next = random(seed);
            let side = 1 + usize::from(next()) % 20;
            let planes = if next() > 127 { 1 } else { 3 };
            let mut code = code_of(&smooth(side, planes), side, planes);
            match seed % 3 {
                0 => code.iter_mut().for_each(|byte| *byte = next()),
                1 => {
                    for _ in 0..3 {
                        let at = usize::from(next()) * code.len() / 256;
                        code[at] = next();
                    }
                }
                _ => {
                    let at = usize::from(next()) * code.len() / 256;
                    code[at] ^= 1 << (next() % 8);
                }
            }
            match decode(&code, side as u16, planes as u8, &mut samples) {
                Ok(()) => assert_eq!(samples.len(), side * side * planes),
                Err(error) => {
                    assert!(matches!(error, Error::Damaged { .. }));
                    refused += 1;
                }
            }
        }
        assert!(refused > 1500, "{refused}");
    }
}
