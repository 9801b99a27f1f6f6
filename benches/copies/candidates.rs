//! Whether the source is among the candidates: per transform, for several sets of views of the
//! query and of the indexed pictures.

use crate::{
    data::{basis, coefficients, files_below, pictures},
    photos::{SIZE, load},
};
use rayon::prelude::*;
use std::{collections::BTreeMap, path::Path};
use wsidx::{
    knn::{Admit, ByNumber, Live, OwnedPlanes, nearest},
    picture::Picture,
    similarity::{Views, views},
};

/// What further rows of an indexed picture might be.
const OF_INDEXED: Views = Views {
    trimmed: true,
    crops: true,
    ..Views::NONE
};

/// The sets that are compared: name, views of the query, views of the indexed.
const SETS: [(&str, Views, Views); 8] = [
    ("none", Views::NONE, Views::NONE),
    (
        "turns",
        Views {
            turns: true,
            ..Views::NONE
        },
        Views::NONE,
    ),
    (
        "turns, trimmed",
        Views {
            turns: true,
            trimmed: true,
            ..Views::NONE
        },
        Views::NONE,
    ),
    ("query: all", Views::OF_QUERY, Views::NONE),
    (
        "query: turns, trimmed; indexed: trimmed",
        Views {
            turns: true,
            trimmed: true,
            ..Views::NONE
        },
        Views {
            trimmed: true,
            ..Views::NONE
        },
    ),
    (
        "query: turns, trimmed; indexed: all",
        Views {
            turns: true,
            trimmed: true,
            ..Views::NONE
        },
        OF_INDEXED,
    ),
    (
        "query: turns, trimmed, crops",
        Views {
            wider: false,
            ..Views::OF_QUERY
        },
        Views::NONE,
    ),
    ("query: all; indexed: all", Views::OF_QUERY, OF_INDEXED),
];

pub(crate) fn run(folder: &Path, distractors: &Path) {
    let (photos, copies) = load(folder, SIZE);
    let size = photos[0].shape().size;
    let files: Vec<_> = files_below(distractors).into_iter().step_by(6).collect();
    let mut indexed = photos;
    indexed.extend(pictures(&files, size));
    let basis = basis(&indexed);
    let rows = |pictures: &[&Picture], asked: Views| -> (OwnedPlanes, Vec<usize>) {
        let of = |(i, picture): (usize, &&Picture)| {
            let made = views(picture, asked).into_iter();
            made.map(|(_, view)| (i, basis.feature(&mut coefficients(&view))))
                .collect::<Vec<_>>()
        };
        let features: Vec<_> = pictures.par_iter().enumerate().flat_map_iter(of).collect();
        let mut planes = OwnedPlanes::new(basis.len());
        features
            .iter()
            .for_each(|(_, feature)| planes.push(&feature.0));
        (planes, features.into_iter().map(|(i, _)| i).collect())
    };
    println!("{} indexed, {} copies", indexed.len(), copies.len());
    let indexed: Vec<&Picture> = indexed.iter().collect();
    let queries: Vec<&Picture> = copies.iter().map(|copy| &copy.picture).collect();
    for k in [2, 4, 10, 16] {
        for (name, of_query, of_indexed) in SETS {
            let ((targets, owner), (planes, query_of)) =
                (rows(&indexed, of_indexed), rows(&queries, of_query));
            let live = vec![u64::MAX; owner.len().div_ceil(64)];
            let lists = nearest(
                planes.as_planes(),
                targets.as_planes(),
                &Live(&live),
                k,
                &ByNumber,
                &Admit::default(),
            );
            let mut found = vec![false; copies.len()];
            for (list, &query) in lists.iter().zip(&query_of) {
                found[query] |= list
                    .iter()
                    .any(|n| owner[n.row as usize] == copies[query].source);
            }
            let mut table: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
            for (copy, found) in copies.iter().zip(&found) {
                let row = table.entry(&copy.transform).or_default();
                row[0] += usize::from(*found);
                row[1] += 1;
            }
            let shares: Vec<(&str, f64)> = table
                .iter()
                .map(|(name, [found, all])| (*name, *found as f64 / *all as f64))
                .collect();
            let mean = shares.iter().map(|(_, share)| share).sum::<f64>() / shares.len() as f64;
            let weak: Vec<_> = shares
                .iter()
                .filter(|(_, share)| *share < 0.99)
                .map(|(name, share)| format!("{name} {share:.2}"))
                .collect();
            let (rows, views) = (
                owner.len() as f64 / indexed.len() as f64,
                query_of.len() as f64 / queries.len() as f64,
            );
            println!(
                "k {k}, {name}: {mean:.4} ({rows:.1} rows, {views:.1} views each); under 0.99: {}",
                weak.join(", ")
            );
        }
    }
}
