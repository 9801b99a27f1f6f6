//! The copies benchmark: per transform rank-1, recall at zero false positives over all transforms,
//! recall and precision at the default.

use crate::{
    data::pictures,
    pipeline::{self, Pair},
    rules::{CORRELATION, REGISTER, Rule},
};
use rayon::prelude::*;
use std::{collections::BTreeMap, path::Path};
use wsidx::{
    picture::Picture,
    similarity::{Views, correlation, register::Needs},
};

/// Candidates of each view.
const K: usize = 10;
/// The side of the pictures.
pub(crate) const SIZE: u16 = 64;

/// A copy: which photo it was made of, and how.
pub(crate) struct Copy {
    pub(crate) source: usize,
    pub(crate) transform: String,
    pub(crate) picture: Picture,
}

/// What a rule says of a copy: the scores with every indexed photo that it was compared with.
type Scores = Vec<(usize, f64)>;

/// The photos and the copies that `copies.csv` lists.
pub(crate) fn load(folder: &Path, size: u16) -> (Vec<Picture>, Vec<Copy>) {
    let sources = crate::data::files_below(&folder.join("photos"));
    let photos = pictures(&sources, size);
    let mut list = csv::Reader::from_path(folder.join("copies.csv")).expect("copies.csv");
    let rows: Vec<csv::StringRecord> = list
        .records()
        .map(|record| record.expect("a row of copies.csv"))
        .collect();
    let copies = pictures(
        &rows
            .iter()
            .map(|row| folder.join(&row[0]))
            .collect::<Vec<_>>(),
        size,
    );
    let place = |name: &str| {
        sources
            .iter()
            .position(|s| *s == folder.join(name))
            .unwrap_or_else(|| panic!("{name} is not a photo"))
    };
    let copies = rows.iter().zip(copies).map(|(row, picture)| Copy {
        source: place(&row[1]),
        transform: row[2].to_owned(),
        picture,
    });
    let copies = copies.collect();
    (photos, copies)
}

pub(crate) fn run(folder: &Path, options: &[&str]) {
    let size = options
        .iter()
        .find_map(|option| option.strip_prefix("size=")?.parse().ok())
        .unwrap_or(SIZE);
    let (photos, copies) = load(folder, size);
    println!("{} photos, {} copies", photos.len(), copies.len());
    if options.contains(&"correlation") {
        let all = |copy: &Copy| {
            photos
                .iter()
                .map(|photo| correlation(&copy.picture, photo))
                .enumerate()
                .collect()
        };
        let scores: Vec<Scores> = copies.par_iter().map(all).collect();
        report(&CORRELATION, &copies, &scores);
    }
    let queries: Vec<Picture> = copies.iter().map(|copy| copy.picture.clone()).collect();
    let pairs = pipeline::run(&queries, &photos, [Views::OF_QUERY, Views::NONE], K);
    let mut scores: Vec<Scores> = vec![Vec::new(); copies.len()];
    pairs
        .iter()
        .for_each(|pair| scores[pair.query].push((pair.row, f64::from(pair.found.similarity))));
    report(&REGISTER, &copies, &scores);
    needs(&copies, &pairs);
}

/// What registration says that each transform needed.
fn needs(copies: &[Copy], pairs: &[Pair]) {
    let mut table: BTreeMap<&str, (usize, [usize; 8], Vec<f32>)> = BTreeMap::new();
    for pair in pairs
        .iter()
        .filter(|pair| copies[pair.query].source == pair.row)
    {
        let row = table.entry(&copies[pair.query].transform).or_default();
        row.0 += 1;
        for (sum, (_, need)) in row.1.iter_mut().zip(Needs::NAMES) {
            *sum += usize::from(need.within(pair.found.needs));
        }
        row.2.push(pair.found.similarity);
    }
    println!(
        "\nneeds, share of the pairs with the source; similarity, fifth percentile and median"
    );
    for (name, (n, sums, mut similarities)) in table {
        similarities.sort_by(f32::total_cmp);
        let all = Needs::NAMES
            .iter()
            .zip(sums)
            .filter(|(_, sum)| *sum * 20 > n);
        let shown: Vec<String> = all
            .map(|((name, _), sum)| format!("{name} {:.2}", sum as f64 / n as f64))
            .collect();
        println!(
            "{name:<24} {:.3} {:.3}  {}",
            similarities[n / 20],
            similarities[n / 2],
            shown.join(", ")
        );
    }
}

/// Per transform: copies, ranked first, over every impostor, over the threshold, impostors over the
/// threshold.
#[derive(Default, Clone, Copy)]
struct Row([usize; 5]);

fn report(rule: &Rule, copies: &[Copy], scores: &[Scores]) {
    let own = |copy: &Copy, scores: &Scores| {
        scores
            .iter()
            .find(|s| s.0 == copy.source)
            .map_or(f64::NEG_INFINITY, |s| s.1)
    };
    let others = |copy: &Copy, scores: &Scores| -> Vec<f64> {
        scores
            .iter()
            .filter(|s| s.0 != copy.source)
            .map(|s| s.1)
            .collect()
    };
    let best = |scores: Vec<f64>| scores.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let worst_impostor = best(
        copies
            .iter()
            .zip(scores)
            .flat_map(|(copy, scores)| others(copy, scores))
            .collect(),
    );
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (copy, scores) in copies.iter().zip(scores) {
        let (true_score, impostors) = (own(copy, scores), others(copy, scores));
        let wrong = impostors
            .iter()
            .filter(|&&score| score >= rule.threshold)
            .count();
        let facts = [
            true,
            true_score > best(impostors),
            true_score > worst_impostor,
            true_score >= rule.threshold,
        ]
        .map(usize::from);
        let row = rows.entry(&copy.transform).or_default();
        for (sum, fact) in row
            .0
            .iter_mut()
            .zip([facts[0], facts[1], facts[2], facts[3], wrong])
        {
            *sum += fact;
        }
    }
    println!(
        "\n{}: worst impostor {worst_impostor:.4}, threshold {}",
        rule.name, rule.threshold
    );
    println!(
        "{:<32} {:>7} {:>9} {:>9} {:>9}",
        "transform", "rank-1", "at 0 FP", "default", "precision"
    );
    let show = |name: &str, row: &Row| {
        let [n, first, clear, over, wrong] = row.0;
        let share = |part: usize| part as f64 / n as f64;
        let precision = if over + wrong == 0 {
            1.0
        } else {
            over as f64 / (over + wrong) as f64
        };
        println!(
            "{name:<32} {:>7.3} {:>9.3} {:>9.3} {precision:>9.4}",
            share(first),
            share(clear),
            share(over)
        );
    };
    rows.iter().for_each(|(name, row)| show(name, row));
    let sum = rows.values().fold(Row::default(), |mut sum, row| {
        sum.0.iter_mut().zip(row.0).for_each(|(a, b)| *a += b);
        sum
    });
    show("all", &sum);
    let weak = rows
        .values()
        .filter(|row| (row.0[2] as f64) < 0.95 * row.0[0] as f64)
        .count();
    println!(
        "{weak} of {} transforms under 0.95 at zero false positives",
        rows.len()
    );
}
