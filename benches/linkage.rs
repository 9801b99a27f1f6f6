//! How fast complete linkage by cosine distance is: `cargo bench --bench linkage -- FILE N D K`
//! reads N rows of D little-endian 32-bit floats, clusters them into K clusters and prints the
//! seconds that took, then the cluster of each row. `linkage.py` beside this file holds it against
//! scikit-learn.

use std::time::Instant;

use ndarray::Array2;
use wsidx::{cluster::complete_linkage, monitor::Silent};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [file, numbers @ ..] = &arguments[..] else {
        return println!("usage: cargo bench --bench linkage -- FILE N D K");
    };
    let numbers: Vec<usize> = numbers
        .iter()
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [n, d, k] = numbers[..] else {
        return println!("usage: cargo bench --bench linkage -- FILE N D K");
    };
    let bytes = std::fs::read(file).expect("the points can be read");
    let values = bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().expect("four bytes")))
        .collect();
    let points = Array2::from_shape_vec((n, d), values).expect("N × D values");
    let began = Instant::now();
    let found = complete_linkage(points.view(), k, &Silent).expect("points can be clustered");
    println!("{}", began.elapsed().as_secs_f64());
    found.own().iter().for_each(|cluster| println!("{cluster}"));
}
