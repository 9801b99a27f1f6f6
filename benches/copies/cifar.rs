//! CIFAR-10 test against train: how many of the same-shot pairs that people found stand among the best-scored test images.

use crate::{
    data::{basis, candidates, files_below, pictures, planes},
    rules::RULES,
};
use rayon::prelude::*;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Instant,
};

/// The neighbours that a list holds.
const K: usize = 16;

/// A scored pair: test image, training image, score.
type Scored = (usize, usize, f64);

pub(crate) fn run(folder: &Path, pairs: &Path, _options: &[&str]) {
    let [train, test] = ["train", "test"].map(|split| files_below(&folder.join(split)));
    let [train_pictures, test_pictures] = [&train, &test].map(|files| pictures(files, 32));
    let same_shot = judged(folder, pairs);
    let basis = basis(&train_pictures);
    let (queries, indexed) = (planes(&basis, &test_pictures), planes(&basis, &train_pictures));
    let start = Instant::now();
    let found = candidates(&queries, &indexed, K);
    println!(
        "{} test, {} train, {} same-shot; candidates {:.1} s",
        test.len(),
        train.len(),
        same_shot.len(),
        start.elapsed().as_secs_f64()
    );
    for rule in RULES {
        let start = Instant::now();
        let best = |(i, list): (usize, &Vec<(u32, u32)>)| {
            let scored = list.iter().map(|&(j, _)| (i, j as usize, (rule.score)(&test_pictures[i], &train_pictures[j as usize])));
            scored.max_by(|a, b| a.2.total_cmp(&b.2))
        };
        let mut scored: Vec<Scored> = found.par_iter().enumerate().filter_map(best).collect();
        scored.sort_by(|a, b| b.2.total_cmp(&a.2));
        println!("\n{}: {:.1} s", rule.name, start.elapsed().as_secs_f64());
        report(&scored, &test, &same_shot, rule.threshold);
    }
}

/// The test images that have a same-shot partner in the training images.
fn judged(folder: &Path, pairs: &Path) -> HashSet<PathBuf> {
    let mut list = csv::Reader::from_path(pairs).expect("the list of pairs");
    let rows = list.records().map(|record| record.expect("a row of the list of pairs"));
    rows.filter(|row| &row[2] == "1").map(|row| folder.join(&row[0])).collect()
}

fn report(scored: &[Scored], test: &[PathBuf], same_shot: &HashSet<PathBuf>, threshold: f64) {
    let hits = |scored: &[Scored]| scored.iter().filter(|s| same_shot.contains(&test[s.0])).count() as f64;
    for n in [249, 500, 600, 800] {
        let recall = hits(&scored[..n.min(scored.len())]) / same_shot.len() as f64;
        println!("recall within the best {n}: {recall:.3} (score {:.4})", scored[n.min(scored.len()) - 1].2);
    }
    let reported = scored.partition_point(|s| s.2 >= threshold);
    let found = hits(&scored[..reported]);
    println!(
        "at {threshold}: {reported} reported, recall {:.3}, in the list {:.3} of them",
        found / same_shot.len() as f64,
        found / reported.max(1) as f64
    );
}
