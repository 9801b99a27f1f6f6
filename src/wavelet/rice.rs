//! Blocks of 16 small integers ⇄ bytes: Rice codes whose parts stand in separate streams.
//!
//! A value z of a block with parameter k is split into its k low bits and the rest z ≫ k (Rice
//! 1979; the adaptive choice of k by block is that of Rice, Yeh and Miller 1993). The rests are
//! written in unary, as zeros closed by a one, at most [`UNARY_BITS`] bits a block, so that one
//! 64-bit word always holds the whole block and its ends are found by counting trailing zeros, as
//! in Elias–Fano coding. The code is
//!
//! ```text
//! parameters: 4 bits a block, low nibble first, padded with zeros │ low bits: 2k bytes a block │ unary bits, padded with zeros
//! ```
//!
//! [`ZERO_BLOCK`] as parameter is a block of zeros without further bits. What the integers mean is
//! left to [`super::lifting`].

use crate::error::{Error, Result};

/// Values in a block.
pub(super) const BLOCK: usize = 16;
/// Largest parameter.
const MAX_K: u8 = 11;
/// Bits of the largest value: 0..=4095.
const VALUE_BITS: u8 = 12;
/// Parameter of a block that is all zero.
const ZERO_BLOCK: u8 = 15;
/// Most unary bits of a block: what one unaligned 8-byte load holds at every bit offset.
const UNARY_BITS: u32 = 57;

/// An error that says that a code is not one that [`encode`] makes.
pub(super) fn damaged(what: &str) -> Error {
    Error::Damaged {
        what: format!("cached coefficients: {what}"),
        mend: "run `wsidx verify`, which finds all that is damaged, then `wsidx sync`, which reads it again",
    }
}

/// Appends the code of blocks of values in 0..=4095.
pub(super) fn encode(blocks: &[[u16; BLOCK]], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + parameter_bytes(blocks.len()), 0);
    // Room for the worst case, so that the inner loop only writes; cut at the end.
    let mut low = vec![0u8; 2 * usize::from(MAX_K) * blocks.len() + 32];
    let mut unary = vec![0u8; blocks.len() * UNARY_BITS.div_ceil(8) as usize + 16];
    let (mut low_at, mut unary_at, mut pending, mut pending_bits) = (0, 0, 0u64, 0);
    for (b, block) in blocks.iter().enumerate() {
        let k = parameter(block);
        out[start + b / 2] |= k << (b % 2 * 4);
        if k == ZERO_BLOCK {
            continue;
        }
        for half in block.as_chunks::<8>().0 {
            low[low_at..low_at + 16].copy_from_slice(&pack(half, k).to_le_bytes());
            low_at += usize::from(k);
        }
        // At most 7 bits wait for the rest of their byte: 7 + 57 fit into the word.
        let (word, bits) = unary_word(block, k);
        pending |= word << pending_bits;
        unary[unary_at..unary_at + 8].copy_from_slice(&pending.to_le_bytes());
        pending_bits += bits;
        unary_at += (pending_bits / 8) as usize;
        pending = pending.checked_shr(pending_bits / 8 * 8).unwrap_or(0);
        pending_bits %= 8;
    }
    out.extend_from_slice(&low[..low_at]);
    out.extend_from_slice(&unary[..unary_at + usize::from(pending_bits > 0)]);
}

fn parameter_bytes(blocks: usize) -> usize {
    blocks.div_ceil(2)
}

/// The parameter of a block: ⌊log₂ mean⌋, at least 0.
///
/// The rests then sum up to less than 32, so their unary part has less than 48 bits. Within 0.2 %
/// of the shortest code of pictures.
fn parameter(block: &[u16; BLOCK]) -> u8 {
    // Sixteen values below 4,096 fit into 16 bits together.
    match block.iter().fold(0u16, |sum, &z| sum.wrapping_add(z)) {
        0 => ZERO_BLOCK,
        sum => (sum | BLOCK as u16).ilog2() as u8 - 4,
    }
}

/// `field` in each of four 16-bit lanes.
const fn lanes(field: u64) -> u64 {
    field * 0x0001_0001_0001_0001
}

/// The first and the third of four 16-bit lanes.
const EVEN_LANES: u64 = 0x0000_FFFF_0000_FFFF;

/// The `bits` lowest bits set; fewer than 64.
const fn ones(bits: u8) -> u64 {
    (1 << bits) - 1
}

/// Four values in 16-bit lanes, the first lowest.
fn join(quad: &[u16; 4]) -> u64 {
    quad.iter()
        .rev()
        .fold(0, |word, &z| (word << 16) | u64::from(z))
}

/// The k low bits of eight values, in 8k bits.
fn pack(half: &[u16; 8], k: u8) -> u128 {
    let [first, second] = std::array::from_fn(|q| {
        let four = join(&std::array::from_fn(|i| half[4 * q + i])) & lanes(ones(k));
        let pairs = four & EVEN_LANES | (four & !EVEN_LANES) >> (16 - k);
        pairs & ones(32) | (pairs >> 32) << (2 * k)
    });
    u128::from(first) | u128::from(second) << (4 * k)
}

/// The rests of a block in unary, and the number of bits.
fn unary_word(block: &[u16; BLOCK], k: u8) -> (u64, u32) {
    let (mut word, mut bits) = (0u64, 0u32);
    for &z in block {
        bits += u32::from(z >> k);
        word |= 1 << (bits & 63);
        bits += 1;
    }
    (word, bits)
}

/// Decodes as many blocks as `blocks` has.
///
/// # Errors
/// [`Error::Damaged`] unless `code` is exactly a code of that many blocks.
pub(super) fn decode(code: &[u8], blocks: &mut [[u16; BLOCK]]) -> Result<()> {
    let (parameters, rest) = code
        .split_at_checked(parameter_bytes(blocks.len()))
        .ok_or_else(|| damaged("parameters are cut off"))?;
    let low_len = parameters
        .iter()
        .map(|&pair| low_bytes(pair & 15) + low_bytes(pair >> 4))
        .sum();
    let (mut low, unary) = rest
        .split_at_checked(low_len)
        .ok_or_else(|| damaged("low bits are cut off"))?;
    if blocks.len() % 2 == 1 && parameters.last().is_some_and(|pair| pair >> 4 != 0) {
        return Err(damaged("a parameter without a block"));
    }
    let (mut bit, mut excess) = (0usize, 0u64);
    for (pair, parameter) in blocks.chunks_mut(2).zip(parameters) {
        for (block, k) in pair.iter_mut().zip([parameter & 15, parameter >> 4]) {
            if k == ZERO_BLOCK {
                *block = [0; BLOCK];
                continue;
            }
            if k > MAX_K {
                return Err(damaged("no such parameter"));
            }
            let window = load(unary, bit / 8) >> (bit % 8);
            let (rests, bits) = read_rests(window);
            if bits > UNARY_BITS {
                return Err(damaged("unary bits are cut off or too many"));
            }
            bit = bit.saturating_add(bits as usize);
            excess |= rests.iter().fold(0, |all, rest| all | rest)
                & lanes(0xFFFF & !ones(VALUE_BITS - k));
            put_together(block, &rests, low, k);
            low = low.get(low_bytes(k)..).unwrap_or_default();
        }
    }
    if excess != 0 {
        return Err(damaged("a value is too large"));
    }
    check_end(unary, bit)
}

/// Bytes of low bits of a block; 0 for parameters that have none or do not exist.
fn low_bytes(k: u8) -> usize {
    if k <= MAX_K { 2 * usize::from(k) } else { 0 }
}

/// The eight bytes from `at` on, with zeros after the end.
fn load(bytes: &[u8], at: usize) -> u64 {
    let tail = bytes.get(at..).unwrap_or_default();
    if let Some(word) = tail.first_chunk::<8>() {
        return u64::from_le_bytes(*word);
    }
    let mut word = [0; 8];
    word.iter_mut().zip(tail).for_each(|(to, &from)| *to = from);
    u64::from_le_bytes(word)
}

/// The sixteen rests at the head of a window, four to a word in 16-bit lanes, and their bits: more
/// than [`UNARY_BITS`] if some do not end.
fn read_rests(mut window: u64) -> ([u64; BLOCK / 4], u32) {
    let (mut rests, mut before) = ([0; BLOCK / 4], 0u64);
    for rest in &mut rests {
        // Ends of four runs, counted from one. They increase, so that differences of lanes do not
        // borrow; a run without an end gives 64.
        let mut ends = 0u64;
        for lane in 0..4 {
            ends |= u64::from((window | 1 << 63).trailing_zeros() + 1) << (16 * lane);
            window &= window.wrapping_sub(1);
        }
        *rest = ends
            .wrapping_sub(ends << 16 | before)
            .wrapping_sub(lanes(1));
        before = ends >> 48;
    }
    (rests, before as u32)
}

/// Values from their rests and the low bits at the head of `low`. The caller has checked that `low`
/// is long enough.
fn put_together(block: &mut [u16; BLOCK], rests: &[u64; BLOCK / 4], low: &[u8], k: u8) {
    for ((quad, rest), q) in block
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(rests)
        .zip(0u8..)
    {
        let from = 4 * q * k;
        let packed = (load(low, usize::from(from / 8)) >> (from % 8)) & ones(4 * k);
        let pairs = packed & ones(2 * k) | (packed >> (2 * k)) << 32;
        let even = ones(k) | ones(k) << 32;
        let four = pairs & even | (pairs & even << k) << (16 - k) | rest << k;
        *quad = [
            four as u16,
            (four >> 16) as u16,
            (four >> 32) as u16,
            (four >> 48) as u16,
        ];
    }
}

/// The unary stream ends in the byte of its last bit, and the bits after it are zero.
fn check_end(unary: &[u8], bit: usize) -> Result<()> {
    if bit.div_ceil(8) != unary.len() {
        return Err(damaged("its length does not match its content"));
    }
    if !bit.is_multiple_of(8) && unary.last().is_some_and(|last| last >> (bit % 8) != 0) {
        return Err(damaged("bits after the end"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_blocks(seed: u64, count: usize) -> Vec<[u16; BLOCK]> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u16
        };
        (0..count)
            .map(|_| {
                let bits = next() % 13;
                let spike = next() % 20;
                std::array::from_fn(|i| {
                    if i == usize::from(spike) {
                        next() & 4095
                    } else {
                        next() & ((1 << bits) - 1)
                    }
                })
            })
            .collect()
    }

    fn code_of(blocks: &[[u16; BLOCK]]) -> Vec<u8> {
        let mut code = Vec::new();
        encode(blocks, &mut code);
        code
    }

    #[test]
    fn blocks_come_back() {
        let mut cases: Vec<Vec<_>> = (0..60).map(|n| random_blocks(n as u64, n)).collect();
        cases.push(vec![[4095; BLOCK]; 5]);
        cases.push(vec![[0; BLOCK]; 5]);
        cases.push(vec![
            std::array::from_fn(|i| if i == 3 { 4095 } else { 0 });
            3
        ]);
        for blocks in cases {
            let code = code_of(&blocks);
            let mut back = vec![[7; BLOCK]; blocks.len()];
            decode(&code, &mut back).unwrap();
            assert_eq!(back, blocks);
        }
    }

    #[test]
    fn the_parameter_is_near_the_best_and_its_unary_part_fits() {
        let (mut total, mut shortest) = (0, 0);
        for block in random_blocks(77, 3000)
            .into_iter()
            .chain([[4095; BLOCK]])
            .filter(|block| *block != [0; BLOCK])
        {
            let unary = |k: u8| block.iter().map(|z| u32::from(z >> k) + 1).sum::<u32>();
            let cost = |k: u8| unary(k) + BLOCK as u32 * u32::from(k);
            let k = parameter(&block);
            assert!(k <= MAX_K && unary(k) < 48, "{block:?}");
            total += cost(k);
            shortest += (0..=MAX_K).map(cost).min().unwrap();
        }
        assert!(
            f64::from(total) < 1.01 * f64::from(shortest),
            "{total} {shortest}"
        );
    }

    #[test]
    fn every_cut_and_every_longer_code_is_damage() {
        let blocks = random_blocks(5, 33);
        let code = code_of(&blocks);
        let mut back = blocks.clone();
        for len in 0..code.len() {
            assert!(
                matches!(decode(&code[..len], &mut back), Err(Error::Damaged { .. })),
                "{len}"
            );
        }
        assert!(decode(&[&code[..], &[0]].concat(), &mut back).is_err());
    }

    #[test]
    fn any_bytes_give_blocks_in_range_or_damage() {
        let mut good = 0;
        for seed in 0..4000u64 {
            let mut code = code_of(&random_blocks(seed, 9));
            let at = seed as usize * 7919 % code.len();
            code[at] ^= 1 << (seed % 8);
            let mut back = vec![[0; BLOCK]; 9];
            if decode(&code, &mut back).is_ok() {
                good += 1;
                assert!(back.iter().flatten().all(|&z| z < 4096));
            }
        }
        assert!(good > 100, "flipped low bits are another valid code");
    }
}
