//! The time that each stage takes on one core.

use crate::data::{files_below, pictures};
use std::{hint::black_box, path::Path, time::Instant};
use wsidx::{
    picture::Picture,
    similarity::{
        Views,
        register::{Prepared, Turn, register, start_score},
        views,
    },
};

/// Of so many turns of each pair the shortest counts, so that other work on the machine hardly
/// shows.
const TURNS: usize = 20;

pub(crate) fn run(folder: &Path, size: u16) {
    let files = files_below(folder);
    let step = (files.len() / 200).max(1);
    let pictures = pictures(
        &files.iter().step_by(step).cloned().collect::<Vec<_>>(),
        size,
    );
    let start = Instant::now();
    let prepared: Vec<Prepared> = (0..5)
        .flat_map(|_| pictures.iter().map(Prepared::of))
        .collect();
    println!(
        "prepare       {:>7.1} µs",
        start.elapsed().as_secs_f64() * 1e6 / prepared.len() as f64
    );
    let n = pictures.len();
    let impostors: Vec<[usize; 2]> = (0..n)
        .flat_map(|i| [1, 7, 29, 31, 100].map(|j| [i, (i + j) % n]))
        .collect();
    let time = |name: &str,
                pairs: &[[usize; 2]],
                others: &[Prepared],
                work: &dyn Fn(&Prepared, &Prepared)| {
        let lap = |[i, j]: [usize; 2]| {
            let start = Instant::now();
            work(&prepared[i], &others[j]);
            start.elapsed().as_secs_f64() * 1e6
        };
        let least: f64 = pairs
            .iter()
            .map(|&pair| (0..TURNS).map(|_| lap(pair)).fold(f64::INFINITY, f64::min))
            .sum();
        println!(
            "{name} {:>7.2} µs, mean of {} pairs",
            least / pairs.len() as f64,
            pairs.len()
        );
    };
    let register_pair = |a: &Prepared, b: &Prepared| {
        black_box(register(a, b, Turn::NONE));
    };
    time("prefilter    ", &impostors, &prepared, &|a, b| {
        black_box(start_score(&a.outline, &b.outline));
    });
    time("register any ", &impostors, &prepared, &register_pair);
    // Each picture with its inner 0.8: pairs that nothing ends early.
    let part = |picture: &Picture| {
        Prepared::of(
            &views(
                picture,
                Views {
                    crops: true,
                    ..Views::NONE
                },
            )[2]
            .1,
        )
    };
    let parts: Vec<Prepared> = pictures.iter().map(part).collect();
    let own: Vec<[usize; 2]> = (0..n)
        .filter(|&i| register(&prepared[i], &parts[i], Turn::NONE).max_similarity > 0.0)
        .map(|i| [i, i])
        .collect();
    time("register full", &own, &parts, &register_pair);
}
