//! By what the views of a picture are searched: copies that are found by the candidates that an
//! index takes, and what these cost.

use crate::{
    data::{basis, coefficients, files_below, pictures},
    photos::load,
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use wsidx::{
    feature::Feature,
    knn::{
        Admit, By, ByNumber, Live, OwnedPlanes, QuerySet, nearest, nearest_by,
        oracle::squared_distance,
    },
    picture::Picture,
    similarity::{
        EdgeRule, Views,
        register::{Prepared, Turn, begin},
        views,
    },
};

/// Nearest of the picture itself, and of each other view.
const K: [usize; 2] = [16, 2];

/// The side of the pictures.
const SIZE: u16 = 32;

/// How far a pair came: whether it was begun, and whether it was accepted.
type Decided = (bool, bool);

pub(crate) fn run(folder: &Path, distractors: &Path) {
    let (mut indexed, copies) = load(folder, SIZE);
    indexed.extend(pictures(&files_below(distractors), SIZE));
    let (basis, rule) = (basis(&indexed), EdgeRule::default());
    let planes = |features: &[Feature]| {
        let mut planes = OwnedPlanes::new(basis.len());
        features.iter().for_each(|feature| planes.push(&feature.0));
        planes
    };
    let feature = |picture: &Picture| basis.feature(&mut coefficients(picture));
    let targets = planes(&indexed.par_iter().map(feature).collect::<Vec<_>>());
    let whole = planes(
        &copies
            .par_iter()
            .map(|copy| feature(&copy.picture))
            .collect::<Vec<_>>(),
    );
    let of_copy = |(i, picture): (usize, &Picture)| {
        let made = views(picture, Views::OF_QUERY).into_iter().skip(1);
        made.map(|(kind, view)| ((i, kind.turn), feature(&view)))
            .collect::<Vec<_>>()
    };
    let of_views = copies
        .par_iter()
        .map(|copy| &copy.picture)
        .enumerate()
        .flat_map_iter(of_copy);
    let (query_of, features): (Vec<(usize, Turn)>, Vec<Feature>) = of_views.unzip();
    let sought = planes(&features);
    let (prepared, own): (Vec<Prepared>, Vec<Prepared>) = (
        indexed.par_iter().map(Prepared::of).collect(),
        copies
            .par_iter()
            .map(|copy| Prepared::of(&copy.picture))
            .collect(),
    );
    let live = vec![u64::MAX; indexed.len().div_ceil(64)];
    let (live, admit, targets) = (Live(&live), Admit::default(), targets.as_planes());
    let near = nearest(whole.as_planes(), targets, &live, K[0], &ByNumber, &admit);
    let decide = |copy: usize, row: usize, turn: Turn| -> Decided {
        let begun = begin(&own[copy].outline, &prepared[row].outline, turn);
        let accepted = begun.as_ref().is_some_and(|begun| {
            rule.accepts(&begun.finish(&own[copy].detail, &prepared[row].detail))
        });
        (begun.is_some(), accepted)
    };
    println!("{} indexed, {} copies", indexed.len(), copies.len());
    let mut first: Option<BTreeMap<&str, usize>> = None;
    let high = |columns| By::HighBytes { columns };
    for (by, among) in [
        (By::Values, 2),
        (high(128), 4),
        (high(64), 2),
        (high(64), 4),
        (high(64), 8),
    ] {
        let ask = QuerySet {
            queries: sought.as_planes(),
            by,
            k: among,
        };
        let mut found = nearest_by(ask, targets, &live, &ByNumber, &admit);
        for (list, at) in found.iter_mut().zip(0..) {
            list.sort_by_key(|n| {
                (
                    squared_distance(&sought.as_planes(), at, &targets, n.row),
                    n.row,
                )
            });
            list.truncate(K[1]);
        }
        let mut candidates: Vec<BTreeSet<(usize, Turn)>> = vec![BTreeSet::new(); copies.len()];
        let itself = near
            .iter()
            .zip((0..copies.len()).map(|copy| (copy, Turn::NONE)));
        for (list, (copy, turn)) in itself.chain(found.iter().zip(query_of.iter().copied())) {
            candidates[copy].extend(list.iter().map(|n| (n.row as usize, turn)));
        }
        let of_one = |(copy, candidates): (usize, &BTreeSet<(usize, Turn)>)| {
            let decided: Vec<(usize, Decided)> = candidates
                .iter()
                .map(|&(row, turn)| (row, decide(copy, row, turn)))
                .collect();
            let source = decided
                .iter()
                .any(|&(row, (_, accepted))| accepted && row == copies[copy].source);
            [
                decided.len(),
                decided.iter().filter(|(_, (begun, _))| *begun).count(),
                source.into(),
            ]
        };
        let facts: Vec<[usize; 3]> = candidates.par_iter().enumerate().map(of_one).collect();
        let mut table: BTreeMap<&str, usize> = BTreeMap::new();
        copies
            .iter()
            .zip(&facts)
            .for_each(|(copy, facts)| *table.entry(&copy.transform).or_default() += facts[2]);
        print!("among {among} by {by:?}: ");
        report(&facts, first.get_or_insert_with(|| table.clone()), &table);
    }
}

/// Means of the facts, and of which transforms more or fewer were found than at first.
fn report(facts: &[[usize; 3]], first: &BTreeMap<&str, usize>, table: &BTreeMap<&str, usize>) {
    let mean =
        |of: usize| facts.iter().map(|facts| facts[of]).sum::<usize>() as f64 / facts.len() as f64;
    let other = table
        .iter()
        .filter(|(name, found)| first[**name] != **found);
    let other: Vec<String> = other
        .map(|(name, found)| format!("{name} {} -> {found}", first[*name]))
        .collect();
    println!(
        "{:.4} found; {:.1} candidates, {:.2} begun; {}",
        mean(2),
        mean(0),
        mean(1),
        other.join(", ")
    );
}
