//! How well pairs are decided: the copies benchmark on photographs, and CIFAR-10 against the pairs
//! that people judged.
//!
//! `cargo bench --bench copies -- photos FOLDER` wants `copies.csv` (copy, source, transform; paths
//! relative to FOLDER) and `photos/`: every photo is indexed, every copy queried. `cargo bench
//! --bench copies -- cifar FOLDER PAIRS.csv` wants `train/` and `test/` below FOLDER: every test
//! image is queried. `make_held_out.py` beside this file makes a second set of copies: other
//! photographs, other strengths, two changes at once. Nothing was tuned to that second set.

mod candidates;
mod cifar;
mod columns;
mod crops;
mod data;
mod photos;
mod pipeline;
mod rules;
mod speed;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["photos", folder, ref options @ ..] => photos::run(Path::new(folder), options),
        ["cifar", folder, pairs, ref options @ ..] => {
            cifar::run(Path::new(folder), Path::new(pairs), options);
        }
        ["candidates", folder, distractors] => {
            candidates::run(Path::new(folder), Path::new(distractors));
        }
        ["columns", folder, distractors] => columns::run(Path::new(folder), Path::new(distractors)),
        ["crops", folder, distractors] => crops::run(Path::new(folder), Path::new(distractors)),
        ["speed", folder, size] => speed::run(Path::new(folder), size.parse().unwrap_or(64)),
        _ => println!(
            "usage: cargo bench --bench copies -- photos FOLDER | cifar FOLDER PAIRS.csv | candidates FOLDER CIFAR | columns FOLDER CIFAR | crops FOLDER CIFAR | speed FOLDER SIZE"
        ),
    }
}
