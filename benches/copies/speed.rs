//! The time that each stage takes on one core.

use crate::data::{files_below, pictures};
use std::{hint::black_box, path::Path, time::Instant};
use wsidx::{
    picture::Picture,
    similarity::{
        Views,
        register::{Prepared, Turn, register, sketch_score},
        views,
    },
};

pub(crate) fn run(folder: &Path, size: u16) {
    let files = files_below(folder);
    let step = (files.len() / 200).max(1);
    let pictures = pictures(&files.iter().step_by(step).cloned().collect::<Vec<_>>(), size);
    let start = Instant::now();
    let prepared: Vec<Prepared> = (0..5).flat_map(|_| pictures.iter().map(Prepared::of)).collect();
    println!("prepare       {:>7.1} µs", start.elapsed().as_secs_f64() * 1e6 / prepared.len() as f64);
    let n = pictures.len();
    let impostors: Vec<[usize; 2]> = (0..n).flat_map(|i| [1, 7, 29, 31, 100].map(|j| [i, (i + j) % n])).collect();
    let time = |name: &str, pairs: &[[usize; 2]], work: &dyn Fn(&Prepared, &Prepared)| {
        let start = Instant::now();
        pairs.iter().for_each(|&[i, j]| work(&prepared[i], &prepared[j]));
        println!("{name} {:>7.2} µs, mean of {} pairs", start.elapsed().as_secs_f64() * 1e6 / pairs.len() as f64, pairs.len());
    };
    let register_pair = |a: &Prepared, b: &Prepared| {
        black_box(register(a, b, Turn::NONE));
    };
    time("prefilter    ", &impostors, &|a, b| {
        black_box(sketch_score(&a.outline, &b.outline));
    });
    time("register any ", &impostors, &register_pair);
    // Each picture with its inner 0.8: pairs that nothing ends early.
    let part = |picture: &Picture| Prepared::of(&views(picture, Views { crops: true, ..Views::NONE })[2].1);
    let parts: Vec<Prepared> = pictures.iter().map(part).collect();
    let own: Vec<[usize; 2]> = (0..n).filter(|&i| register(&prepared[i], &parts[i], Turn::NONE).telling > 0.0).map(|i| [i, i]).collect();
    let lap = |&[i, j]: &[usize; 2]| {
        let times = (0..20).map(|_| {
            let start = Instant::now();
            register_pair(&prepared[i], &parts[j]);
            start.elapsed().as_secs_f64() * 1e6
        });
        times.fold(f64::INFINITY, f64::min)
    };
    let least: f64 = own.iter().map(lap).sum();
    println!("register full {:>7.2} µs, mean of {} copies, the least of 20 turns each", least / own.len() as f64, own.len());
}
