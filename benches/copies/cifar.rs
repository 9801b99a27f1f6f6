//! CIFAR-10 test against train: how many of the same-shot pairs that people found stand among the
//! best-scored test images.

use crate::{
    data::{basis, candidates, files_below, pictures, planes},
    pipeline,
    rules::{CORRELATION, REGISTER, Rule},
};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};
use wsidx::similarity::{Views, correlation};

/// The neighbours that a list holds.
const K: usize = 16;

/// A scored pair: test image, training image, score.
type Scored = (usize, usize, f64);

pub(crate) fn run(folder: &Path, pairs: &Path, options: &[&str]) {
    let [train, test] = ["train", "test"].map(|split| files_below(&folder.join(split)));
    let [train_pictures, test_pictures] = [&train, &test].map(|files| pictures(files, 32));
    let same_shot = judged(folder, pairs);
    println!(
        "{} test, {} train, {} same-shot",
        test.len(),
        train.len(),
        same_shot.len()
    );
    if options.contains(&"correlation") {
        let basis = basis(&train_pictures);
        let found = candidates(
            &planes(&basis, &test_pictures),
            &planes(&basis, &train_pictures),
            K,
        );
        let score = |(i, list): (usize, &Vec<(u32, u32)>)| {
            list.iter()
                .map(|&(j, _)| {
                    (
                        i,
                        j as usize,
                        correlation(&test_pictures[i], &train_pictures[j as usize]),
                    )
                })
                .collect::<Vec<Scored>>()
        };
        report(
            &found.iter().enumerate().flat_map(score).collect::<Vec<_>>(),
            &test,
            &same_shot,
            &CORRELATION,
        );
    }
    let asked = if options.contains(&"views") {
        Views {
            crops: false,
            ..Views::OF_QUERY
        }
    } else {
        Views::NONE
    };
    let registered = pipeline::run(&test_pictures, &train_pictures, [asked, Views::NONE], K);
    let scored: Vec<Scored> = registered
        .iter()
        .map(|pair| (pair.query, pair.row, f64::from(pair.found.similarity)))
        .collect();
    let best = report(&scored, &test, &same_shot, &REGISTER);
    if let Some(out) = options
        .iter()
        .find_map(|option| option.strip_prefix("out="))
    {
        let line = |&(i, j, score): &Scored| {
            let same = same_shot.contains(&test[i]);
            format!(
                "{},{},{score:.6},{}\n",
                test[i].display(),
                train[j].display(),
                u8::from(same)
            )
        };
        std::fs::write(out, best.iter().map(line).collect::<String>())
            .expect("the list of pairs is written");
    }
}

/// The test images that have a same-shot partner in the training images.
fn judged(folder: &Path, pairs: &Path) -> HashSet<PathBuf> {
    let mut list = csv::Reader::from_path(pairs).expect("the list of pairs");
    let rows = list
        .records()
        .map(|record| record.expect("a row of the list of pairs"));
    rows.filter(|row| &row[2] == "1")
        .map(|row| folder.join(&row[0]))
        .collect()
}

/// The best pair of each test image, best first.
fn report(
    scored: &[Scored],
    test: &[PathBuf],
    same_shot: &HashSet<PathBuf>,
    rule: &Rule,
) -> Vec<Scored> {
    let mut scored = scored.to_vec();
    scored.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    let mut seen = HashSet::new();
    scored.retain(|s| seen.insert(s.0));
    println!("\n{}", rule.name);
    let hits = |scored: &[Scored]| {
        scored
            .iter()
            .filter(|s| same_shot.contains(&test[s.0]))
            .count() as f64
    };
    for n in [249, 500, 600, 800] {
        let best = &scored[..n.min(scored.len())];
        let least = best.last().map_or(0.0, |s| s.2);
        println!(
            "recall within the best {n}: {:.3} (score {least:.4})",
            hits(best) / same_shot.len() as f64
        );
    }
    let over = |threshold: f64| scored.partition_point(|s| s.2 >= threshold);
    for threshold in [
        rule.threshold - 0.1,
        rule.threshold - 0.05,
        rule.threshold,
        rule.threshold + 0.05,
    ] {
        let (reported, found) = (over(threshold), hits(&scored[..over(threshold)]));
        let (recall, listed) = (
            found / same_shot.len() as f64,
            found / reported.max(1) as f64,
        );
        println!(
            "at {threshold:.3}: {reported} reported, recall {recall:.3}, in the list {listed:.3} of them"
        );
    }
    scored
}
