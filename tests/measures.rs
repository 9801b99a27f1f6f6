//! Similarity functions against other programs: tests/measures/reference.csv, made by
//! tests/measures/reference.py.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use wsidx::{monitor::Silent, picture::Frame, similarity::Measure};

/// The frames of reference.py.
fn frame(width: usize, height: usize, planes: usize, seed: usize) -> Frame {
    let sample = |i: usize| {
        let (x, y, p) = (i % width, i / width % height, i / (width * height));
        let waves = x * (3 + seed)
            + y * (5 + 2 * seed)
            + ((x * y) >> 2)
            + 40 * ((x >> 3) ^ (y >> 3))
            + 61 * p;
        ((waves + (x * 7919 + y * 104_729 + p * 31_337 + seed * 15_485_863) % 23) % 256) as u8
    };
    Frame::from_samples(
        [width, height],
        planes as u8,
        (0..width * height * planes).map(sample).collect(),
    )
    .unwrap()
}

#[test]
fn every_measure_gives_what_its_reference_gives() {
    let mut reference = csv::Reader::from_reader(include_str!("measures/reference.csv").as_bytes());
    let mut cases = 0;
    for record in reference.records().map(Result::unwrap) {
        let number = |i: usize| record[i].parse::<usize>().unwrap();
        let [a, b] = [4, 5].map(|seed| frame(number(1), number(2), number(3), number(seed)));
        let measure: Measure = record[0].parse().unwrap();
        let found = measure.matrix(&[a, b], &Silent).unwrap()[[0, 1]];
        let expected: f32 = record[6].parse().unwrap();
        assert!((found - expected).abs() < 1e-6, "{record:?}: {found}");
        cases += 1;
    }
    assert!(cases >= 48);
}
