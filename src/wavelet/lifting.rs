//! 8-bit samples ⇄ the bytes in which a picture is cached, without loss.
//!
//! Red, green and blue go through the reversible YCoCg-R rotation (Malvar and Sullivan 2003, "YCoCg-R: a color space with RGB reversibility
//! and low dynamic range"); every plane, columns first, through the reversible integer Haar transform with prediction, the S+P transform
//! (Said and Pearlman 1996, "An image multiresolution representation for lossless and lossy compression", IEEE TIP 5(9)), here with
//! predictions from lows only, of equal weights; the results, zigzagged, in tiles of 4 × 4 through a Rice code (`rice`). In one dimension a
//! pair (a, b) becomes
//!
//! ```text
//! high = a − b        low[i] = b + ⌊high / 2⌋        high[i] −= ⌊(low[i − 1] − low[i + 1] + 2) / 4⌋
//! ```
//!
//! with the nearest low at the ends; a last sample without a partner is a low. So, other than [`super::dwt2`], it goes on to a single sample
//! for every side. The highs of highs are not predicted. Chroma is in ±255, so a high is in ±638 and a high of highs in ±1,276: 12 bits
//! after the zigzag. All arithmetic wraps in 16 bits: exact for codes that [`encode`] made, harmless for all others.
//!
//! Size and planes are not in the code: they stand in the record that holds it. Checksums are the store's business: a flipped bit may give
//! another valid code.

use super::rice::{self, BLOCK, damaged};
use crate::error::Result;

/// Side of a tile.
const TILE: usize = 4;

/// Appends the code of `size` × `size` samples, row by row, in one plane or three (red, green, blue; plane after plane).
///
/// The same samples give the same bytes on every machine. Cost: O(samples).
///
/// # Panics
/// If the number of samples is not `size`² × `planes`, or `planes` is neither 1 nor 3.
pub fn encode(samples: &[u8], size: u16, planes: u8, out: &mut Vec<u8>) {
    assert!(matches!(planes, 1 | 3), "a picture has one plane or three, not {planes}");
    let side = usize::from(size);
    assert_eq!(samples.len(), side * side * usize::from(planes), "{planes} planes of side {size}");
    if samples.is_empty() {
        return;
    }
    let mut values: Vec<i16> = samples.iter().map(|&sample| i16::from(sample)).collect();
    if planes == 3 {
        rotate(&mut values);
    }
    let mut work = Work::new(side);
    let mut blocks = vec![[0; BLOCK]; block_count(side, planes)];
    let per_plane = block_count(side, 1);
    for (plane, blocks) in values.chunks_exact_mut(side * side).zip(blocks.chunks_exact_mut(per_plane)) {
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
/// [`Error::Damaged`](crate::Error::Damaged) if the bytes are not the code of a picture of this size: too short, too long, or a sample
/// outside 0..=255. `samples` then holds nothing of use.
///
/// # Panics
/// If `planes` is neither 1 nor 3.
pub fn decode(code: &[u8], size: u16, planes: u8, samples: &mut Vec<u8>) -> Result<()> {
    assert!(matches!(planes, 1 | 3), "a picture has one plane or three, not {planes}");
    samples.clear();
    let side = usize::from(size);
    let count = block_count(side, planes);
    if code.len() < count.div_ceil(2) {
        return Err(damaged("shorter than any picture of this size"));
    }
    if count == 0 {
        return if code.is_empty() { Ok(()) } else { Err(damaged("longer than an empty picture")) };
    }
    let mut blocks = vec![[0; BLOCK]; count];
    rice::decode(code, &mut blocks)?;
    let mut work = Work::new(side);
    let mut values = vec![0i16; side * side * usize::from(planes)];
    for (plane, blocks) in values.chunks_exact_mut(side * side).zip(blocks.chunks_exact(block_count(side, 1))) {
        from_tiles(blocks, side, plane)?;
        plane.iter_mut().for_each(|value| *value = unzigzag(*value));
        unlift(plane, side, &mut work);
    }
    if planes == 3 {
        unrotate(&mut values);
    }
    // Any bit above the low eight (the sign too) is a sample out of range.
    if values.iter().fold(0, |all, &value| all | value) & !255 != 0 {
        return Err(damaged("a sample is out of range"));
    }
    samples.extend(values.iter().map(|&value| value as u8));
    Ok(())
}

fn block_count(side: usize, planes: u8) -> usize {
    side.div_ceil(TILE) * side.div_ceil(TILE) * usize::from(planes)
}

/// 0, −1, 1, −2, … become 0, 1, 2, 3, …
fn zigzag(value: i16) -> i16 {
    value.wrapping_shl(1) ^ (value >> 15)
}

/// The inverse of [`zigzag`], of values without a sign.
fn unzigzag(value: i16) -> i16 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// A plane as tiles, row by row of tiles; tiles over the edge are filled up with zeros.
fn to_tiles(plane: &[i16], side: usize, blocks: &mut [[u16; BLOCK]]) {
    for (strip, blocks) in plane.chunks(TILE * side).zip(blocks.chunks_exact_mut(side.div_ceil(TILE))) {
        if let Some([a, b, c, d]) = whole_rows(strip, side) {
            for ((((block, a), b), c), d) in blocks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                block.copy_from_slice([*a, *b, *c, *d].map(|cells| cells.map(i16::cast_unsigned)).as_flattened());
            }
            continue;
        }
        for (y, row) in strip.chunks_exact(side).enumerate() {
            for (cells, block) in row.chunks(TILE).zip(blocks.iter_mut()) {
                block.iter_mut().skip(TILE * y).zip(cells).for_each(|(to, &value)| *to = value.cast_unsigned());
            }
        }
    }
}

/// The four rows of a strip in pieces of a tile's width; `None` if a tile is over the edge.
fn whole_rows(strip: &[i16], side: usize) -> Option<[&[[i16; TILE]]; TILE]> {
    let mut rows = strip.chunks_exact(side).map(|row| row.as_chunks::<TILE>().0);
    let rows = [rows.next()?, rows.next()?, rows.next()?, rows.next()?];
    side.is_multiple_of(TILE).then_some(rows)
}

/// The inverse of [`to_tiles`].
fn from_tiles(blocks: &[[u16; BLOCK]], side: usize, plane: &mut [i16]) -> Result<()> {
    for (strip, blocks) in plane.chunks_mut(TILE * side).zip(blocks.chunks_exact(side.div_ceil(TILE))) {
        for (y, row) in strip.chunks_exact_mut(side).enumerate() {
            let (whole, edge) = row.as_chunks_mut::<TILE>();
            let last = blocks.get(whole.len());
            for (cells, block) in whole.iter_mut().zip(blocks) {
                *cells = block.as_chunks::<TILE>().0[y].map(u16::cast_signed);
            }
            if let Some(block) = last {
                edge.iter_mut().zip(block.as_chunks::<TILE>().0[y]).for_each(|(to, value)| *to = value.cast_signed());
            }
        }
    }
    check_fill(blocks, side)
}

/// The cells of the tiles beyond the edge are zero.
fn check_fill(blocks: &[[u16; BLOCK]], side: usize) -> Result<()> {
    if side.is_multiple_of(TILE) {
        return Ok(());
    }
    let tiles = side.div_ceil(TILE);
    for (t, block) in blocks.iter().enumerate() {
        let (top, left) = (t / tiles * TILE, t % tiles * TILE);
        let outside = |cell: usize| top + cell / TILE >= side || left + cell % TILE >= side;
        if block.iter().enumerate().any(|(cell, &value)| value != 0 && outside(cell)) {
            return Err(damaged("a value beyond the edge"));
        }
    }
    Ok(())
}

/// Red, green, blue to Y, Co, Cg, in place.
fn rotate(values: &mut [i16]) {
    for_each_pixel(values, |r, g, b| {
        let orange = r.wrapping_sub(b);
        let middle = b.wrapping_add(orange >> 1);
        let green = g.wrapping_sub(middle);
        [middle.wrapping_add(green >> 1), orange, green]
    });
}

/// Y, Co, Cg to red, green, blue, in place.
fn unrotate(values: &mut [i16]) {
    for_each_pixel(values, |luma, orange, green| {
        let middle = luma.wrapping_sub(green >> 1);
        let b = middle.wrapping_sub(orange >> 1);
        [b.wrapping_add(orange), green.wrapping_add(middle), b]
    });
}

fn for_each_pixel(values: &mut [i16], change: impl Fn(i16, i16, i16) -> [i16; 3]) {
    let (first, rest) = values.split_at_mut(values.len() / 3);
    let (second, third) = rest.split_at_mut(rest.len() / 2);
    for ((a, b), c) in first.iter_mut().zip(second).zip(third) {
        [*a, *b, *c] = change(*a, *b, *c);
    }
}

/// The sides of the squares that are transformed, from fine to coarse: side, ⌈side/2⌉, … , 2.
fn sides(side: usize) -> impl DoubleEndedIterator<Item = usize> {
    let levels = side.next_power_of_two().trailing_zeros();
    (0..levels).map(move |level| (side.saturating_sub(1) >> level).saturating_add(1))
}

/// Working memory of a plane: the square under transformation, its low and high rows, and three bands.
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
        Self { square: zeros(side * side), low: zeros(half * side), high: zeros(less * side), bands }
    }

    /// The parts that a square of side n uses: low rows, high rows, LL (in place of the square), HL, LH, HH.
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

/// The S+P transform of a plane in place, in Mallat's layout with the larger half first: columns, then rows, of ever smaller squares.
fn lift(plane: &mut [i16], side: usize, work: &mut Work) {
    work.square.copy_from_slice(plane);
    for n in sides(side) {
        lift_columns(&work.square[..n * n], n, &mut work.low, &mut work.high);
        let [low, high, ll, hl, lh, hh] = work.parts(n);
        lift_rows(low, n, ll, hl);
        predict_in_rows(ll, hl, n, i16::wrapping_sub);
        lift_rows(high, n, lh, hh);
        each_band_row(plane, side, n, [hl, lh, hh], |row, band| row.copy_from_slice(band));
    }
    plane[0] = work.square[0];
}

/// The inverse of [`lift`].
fn unlift(plane: &mut [i16], side: usize, work: &mut Work) {
    work.square[0] = plane[0];
    for n in sides(side).rev() {
        let [low, high, ll, hl, lh, hh] = work.parts(n);
        each_band_row(plane, side, n, [&mut *hl, &mut *lh, &mut *hh], |row, band| band.copy_from_slice(row));
        predict_in_rows(ll, hl, n, i16::wrapping_add);
        unlift_rows(ll, hl, n, low);
        unlift_rows(lh, hh, n, high);
        unlift_columns(&work.low, &mut work.high, n, &mut work.square[..n * n]);
    }
    plane.copy_from_slice(&work.square);
}

/// Visits the rows of HL, LH and HH of a square of side n with their places in the plane.
fn each_band_row(plane: &mut [i16], side: usize, n: usize, [hl, lh, hh]: [&mut [i16]; 3], visit: impl Fn(&mut [i16], &mut [i16])) {
    let (half, less) = (n.div_ceil(2), n / 2);
    let (above, below) = plane.split_at_mut(half * side);
    for (row, hl) in above.chunks_mut(side).zip(hl.chunks_mut(less)) {
        visit(&mut row[half..n], hl);
    }
    for ((row, lh), hh) in below.chunks_mut(side).zip(lh.chunks_mut(half)).zip(hh.chunks_mut(less)) {
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
    for ((pair, low), high) in square.chunks(2 * n).zip(low.chunks_mut(n)).zip(high.chunks_mut(n)) {
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
    for ((pair, low), high) in square.chunks_mut(2 * n).zip(low.chunks(n)).zip(high.chunks(n)) {
        let (even, odd) = pair.split_at_mut(n);
        for (((a, b), &low), &high) in even.iter_mut().zip(odd).zip(low).zip(high) {
            (*a, *b) = unpart(low, high);
        }
    }
    if n % 2 == 1 {
        square[(n - 1) * n..].copy_from_slice(&low[n / 2 * n..][..n]);
    }
}

/// Predicts high rows from the low rows above and below; all but the first and the last in one sweep.
fn predict_across_rows(low: &[i16], high: &mut [i16], n: usize, apply: impl Fn(i16, i16) -> i16 + Copy) {
    let (last, count) = (n.div_ceil(2) - 1, n / 2);
    let row = |k: usize| &low[k.min(last) * n..][..n];
    predict(&mut high[..n], row(0), row(1), apply);
    if count > 1 {
        let inner = (count - 2) * n;
        predict(&mut high[n..][..inner], &low[..inner], &low[2 * n..], apply);
        predict(&mut high[(count - 1) * n..][..n], row(count - 2), row(count), apply);
    }
}

/// Rows of length n to their low and high halves, both packed.
fn lift_rows(rows: &[i16], n: usize, low: &mut [i16], high: &mut [i16]) {
    if n % 2 == 1 {
        for ((row, low), high) in rows.chunks_exact(n).zip(low.chunks_exact_mut(n / 2 + 1)).zip(high.chunks_exact_mut(n / 2)) {
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
        for ((row, low), high) in rows.chunks_exact_mut(n).zip(low.chunks_exact(n / 2 + 1)).zip(high.chunks_exact(n / 2)) {
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
fn predict_in_rows(low: &[i16], high: &mut [i16], n: usize, apply: impl Fn(i16, i16) -> i16 + Copy) {
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
        (first, apply(high[last], prediction(low[last.saturating_sub(1)], low[last])))
    };
    let ends: Vec<(i16, i16)> = low.chunks_exact(half).zip(high.chunks_exact(half)).map(at_ends).collect();
    predict(high.get_mut(1..).unwrap_or_default(), low, low.get(2..).unwrap_or_default(), apply);
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
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
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
            let wave = 100.0 + 60.0 * (0.11 * x as f64 + p as f64).sin() + 40.0 * (0.07 * y as f64).cos();
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
                        let bit = [(x + y) % 2, x % 2, y % 2, x / 2 % 2, p % 2, usize::from(next() > 127)];
                        let on = bit.iter().enumerate().filter(|(b, _)| pattern >> b & 1 == 1).map(|(_, v)| v).sum::<usize>() % 2;
                        on as u8 * 255
                    })
                    .collect();
                comes_back(&two_tone, side, 3);
            }
        }
    }

    #[test]
    fn a_constant_picture_takes_little_more_than_its_parameters() {
        assert!(comes_back(&[0; 3 * 32 * 32], 32, 3) == 96);
        assert!(comes_back(&[255; 3 * 32 * 32], 32, 3) < 96 + 32);
        assert!(comes_back(&[77; 28 * 28], 28, 1) < 25 + 32);
    }

    #[test]
    fn smooth_pictures_become_small() {
        assert!(comes_back(&smooth(64, 3), 64, 3) < 3 * 64 * 64 / 3);
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
        assert!((f64::from(lifted[0]) - mean).abs() <= 5.0, "each of ten halvings rounds down by a half at most");
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
            assert!(matches!(decode(&code[..len], 30, 3, &mut samples), Err(Error::Damaged { .. })), "{len}");
        }
        assert!(decode(&[&code[..], &[0]].concat(), 30, 3, &mut samples).is_err());
        for (size, planes) in [(29, 3), (31, 3), (30, 1), (0, 3), (65535, 3)] {
            assert!(decode(&code, size, planes, &mut samples).is_err(), "{size} {planes}");
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
