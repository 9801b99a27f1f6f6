//! Queries → scored pairs, as an index does it: views, exact search, prefilter, registration.

use crate::data::{basis, coefficients};
use rayon::prelude::*;
use std::{collections::BTreeMap, time::Instant};
use wsidx::{
    feature::Basis,
    knn::{Admit, ByNumber, Live, OwnedPlanes, nearest},
    picture::Picture,
    similarity::{
        Views,
        register::{Alignment, Prepared, Turn, begin},
        views,
    },
};

/// A registered pair.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) query: usize,
    pub(crate) row: usize,
    pub(crate) found: Alignment,
}

/// The features of the views of pictures, and of which picture and turn each is.
fn rows(basis: &Basis, pictures: &[Picture], asked: Views) -> (OwnedPlanes, Vec<(usize, Turn)>) {
    let of = |(i, picture): (usize, &Picture)| {
        let made = views(picture, asked).into_iter();
        made.map(|(kind, view)| ((i, kind.turn), basis.feature(&mut coefficients(&view))))
            .collect::<Vec<_>>()
    };
    let features: Vec<_> = pictures.par_iter().enumerate().flat_map_iter(of).collect();
    let mut planes = OwnedPlanes::new(basis.len());
    features
        .iter()
        .for_each(|(_, feature)| planes.push(&feature.0));
    (
        planes,
        features.into_iter().map(|(owner, _)| owner).collect(),
    )
}

/// The registered pairs of each query: for each indexed picture that came up, the best over the
/// turns under which it did.
pub(crate) fn run(
    queries: &[Picture],
    indexed: &[Picture],
    [of_query, of_indexed]: [Views; 2],
    k: usize,
) -> Vec<Pair> {
    let basis = basis(indexed);
    let start = Instant::now();
    let ((targets, owner), (planes, query_of)) = (
        rows(&basis, indexed, of_indexed),
        rows(&basis, queries, of_query),
    );
    let live = vec![u64::MAX; owner.len().div_ceil(64)];
    let lists = nearest(
        planes.as_planes(),
        targets.as_planes(),
        &Live(&live),
        k,
        &ByNumber,
        &Admit::default(),
    );
    let mut candidates: Vec<Vec<(usize, Turn)>> = vec![Vec::new(); queries.len()];
    for (list, &(query, turn)) in lists.iter().zip(&query_of) {
        candidates[query].extend(list.iter().map(|n| (owner[n.row as usize].0, turn)));
    }
    candidates.iter_mut().for_each(|list| {
        list.sort_unstable();
        list.dedup();
    });
    let searched = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let prepared: Vec<Prepared> = indexed.par_iter().map(Prepared::of).collect();
    let prepare = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let work = |(query, list): (usize, &Vec<(usize, Turn)>)| {
        decide(query, &Prepared::of(&queries[query]), list, &prepared)
    };
    let decided: Vec<(usize, Vec<Pair>)> = candidates.par_iter().enumerate().map(work).collect();
    let n = queries.len() as f64;
    println!(
        "views and search {searched:.1} s, preparing {prepare:.1} s, pairs {:.1} s; an image: {:.1} candidates, {:.2} with a start, {:.2} refined to the end",
        start.elapsed().as_secs_f64(),
        candidates.iter().map(Vec::len).sum::<usize>() as f64 / n,
        decided.iter().map(|d| d.0).sum::<usize>() as f64 / n,
        decided
            .iter()
            .flat_map(|d| &d.1)
            .filter(|pair| pair.found.max_similarity > 0.0)
            .count() as f64
            / n,
    );
    decided.into_iter().flat_map(|d| d.1).collect()
}

/// How many had a start, and the best pair with each of them.
fn decide(
    query: usize,
    own: &Prepared,
    list: &[(usize, Turn)],
    prepared: &[Prepared],
) -> (usize, Vec<Pair>) {
    let mut started = 0;
    let mut best: BTreeMap<usize, Pair> = BTreeMap::new();
    for &(row, turn) in list {
        let Some(begun) = begin(&own.outline, &prepared[row].outline, turn) else {
            continue;
        };
        started += 1;
        let found = begun.finish(&own.detail, &prepared[row].detail);
        let pair = best.entry(row).or_insert(Pair { query, row, found });
        if found.similarity > pair.found.similarity {
            pair.found = found;
        }
    }
    (started, best.into_values().collect())
}
