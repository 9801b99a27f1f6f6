//! Made-up frames for the tests of measures.

use crate::picture::Frame;

/// A frame of smooth waves and noise, another for each seed.
pub(super) fn frame([width, height]: [usize; 2], planes: u8, seed: u64) -> Frame {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1 << 24) as f64
    };
    let waves: Vec<[f64; 3]> = (0..4)
        .map(|_| [0.7 * (next() - 0.5), 0.7 * (next() - 0.5), 6.0 * next()])
        .collect();
    let samples = (0..width * height * usize::from(planes)).map(|i| {
        let (x, y, p) = (
            (i % width) as f64,
            (i / width % height) as f64,
            (i / (width * height)) as f64,
        );
        let sum: f64 = waves
            .iter()
            .map(|[a, b, c]| (a * x + b * y + c + 0.4 * p).sin())
            .sum();
        (128.0 + 26.0 * sum + 40.0 * (next() - 0.5)).clamp(0.0, 255.0) as u8
    });
    Frame::from_samples([width, height], planes, samples.collect()).expect("a frame")
}
