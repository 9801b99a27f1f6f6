//! Small images made from numbers, as PNM files: each seed is another picture, far from the others.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{fs, path::Path};

/// A generator of numbers: xorshift64* (Vigna 2016).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }
}

/// A colour picture of `side` × `side` blocks of random colour, as a P6 file.
pub(crate) fn ppm(seed: u64, side: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(seed + 1);
    let blocks = side / 4;
    let colours: Vec<[u8; 3]> = (0..blocks * blocks)
        .map(|_| [0; 3].map(|_| numbers.below(256) as u8))
        .collect();
    let mut file = format!("P6 {side} {side} 255\n").into_bytes();
    for y in 0..side {
        for x in 0..side {
            file.extend(colours[y / 4 * blocks + x / 4]);
        }
    }
    file
}

/// The same with `by` added to every sample that stays in range: another content, nearly the same
/// picture.
pub(crate) fn brighter(ppm: &[u8], by: u8) -> Vec<u8> {
    let head = ppm.iter().position(|&b| b == b'\n').expect("a header") + 1;
    let mut file = ppm[..head].to_vec();
    file.extend(ppm[head..].iter().map(|&b| b.saturating_add(by)));
    file
}

/// The same, left and right exchanged.
pub(crate) fn mirrored(ppm: &[u8], side: usize) -> Vec<u8> {
    let head = ppm.iter().position(|&b| b == b'\n').expect("a header") + 1;
    let rows = ppm[head..]
        .chunks(3 * side)
        .flat_map(|row| row.chunks(3).rev().flatten().copied());
    ppm[..head].iter().copied().chain(rows).collect()
}

/// Writes a file and the folders above it.
pub(crate) fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a file is in a folder"))
        .expect("a folder can be made");
    fs::write(path, bytes).expect("a file can be written");
}
