//! What rows for crops of the indexed pictures bring: candidates as an index takes them, and which
//! copies are found among them, for several choices of the views that are searched among those
//! rows.

use crate::{
    data::{basis, coefficients, files_below, pictures},
    photos::{Copy, SIZE, load},
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use wsidx::{
    feature::{Basis, Feature},
    knn::{Admit, ByNumber, Live, Neighbor, OwnedPlanes, nearest},
    picture::Picture,
    similarity::{
        CROPS_OF_INDEXED, EdgeRule, Views, crops,
        register::{Prepared, Turn, begin},
        views,
    },
};

/// Nearest of the picture itself, and of each other view.
const K: [usize; 2] = [16, 2];

/// Which views of the query are searched among the rows of crops.
const SETS: [(&str, Views); 4] = [
    ("no rows of crops", Views::NONE),
    ("the picture", Views::NONE),
    (
        "turns, trimmed",
        Views {
            turns: true,
            trimmed: true,
            ..Views::NONE
        },
    ),
    ("all", Views::OF_QUERY),
];

/// Rows that came up for each query, with the turns under which they did.
type Candidates = Vec<BTreeSet<(usize, Turn)>>;

pub(crate) fn run(folder: &Path, distractors: &Path) {
    let (photos, copies) = load(folder, SIZE);
    let files: Vec<_> = files_below(distractors).into_iter().step_by(6).collect();
    let mut indexed = photos;
    indexed.extend(pictures(&files, SIZE));
    let basis = basis(&indexed);
    let queries: Vec<&Picture> = copies.iter().map(|copy| &copy.picture).collect();
    let all: Vec<Picture> = indexed.par_iter().flat_map_iter(crops).collect();
    let [whole, of_crops] = [&indexed, &all]
        .map(|pictures| rows(&basis, &pictures.iter().collect::<Vec<_>>(), Views::NONE).0);
    let mut plain: Candidates = vec![BTreeSet::new(); copies.len()];
    search(
        &mut plain,
        &rows(&basis, &queries, Views::NONE),
        &whole,
        K[0],
        1,
    );
    search(
        &mut plain,
        &rows(&basis, &queries, Views::OF_QUERY),
        &whole,
        K[1],
        1,
    );
    let prepared: Vec<Prepared> = indexed.par_iter().map(Prepared::of).collect();
    println!("{} indexed, {} copies", indexed.len(), copies.len());
    for (at, (name, asked)) in SETS.into_iter().enumerate() {
        let mut candidates = plain.clone();
        if at > 0 {
            search(
                &mut candidates,
                &rows(&basis, &queries, asked),
                &of_crops,
                K[1],
                CROPS_OF_INDEXED,
            );
        }
        report(name, &copies, &candidates, &prepared);
    }
}

/// The features of the views of pictures, and of which picture and turn each is.
fn rows(basis: &Basis, pictures: &[&Picture], asked: Views) -> (OwnedPlanes, Vec<(usize, Turn)>) {
    let of = |(i, picture): (usize, &&Picture)| {
        let made = views(picture, asked).into_iter();
        made.map(|(kind, view)| ((i, kind.turn), basis.feature(&mut coefficients(&view))))
            .collect::<Vec<_>>()
    };
    let features: Vec<((usize, Turn), Feature)> =
        pictures.par_iter().enumerate().flat_map_iter(of).collect();
    let mut planes = OwnedPlanes::new(basis.len());
    features
        .iter()
        .for_each(|(_, feature)| planes.push(&feature.0));
    (
        planes,
        features.into_iter().map(|(owner, _)| owner).collect(),
    )
}

/// Adds the `k` nearest pictures of each view, where a picture has so many rows.
fn search(
    candidates: &mut Candidates,
    (queries, query_of): &(OwnedPlanes, Vec<(usize, Turn)>),
    targets: &OwnedPlanes,
    k: usize,
    each: usize,
) {
    let live = vec![u64::MAX; targets.as_planes().rows().div_ceil(64)];
    let lists = nearest(
        queries.as_planes(),
        targets.as_planes(),
        &Live(&live),
        k * each,
        &ByNumber,
        &Admit::default(),
    );
    for (list, &(query, turn)) in lists.iter().zip(query_of) {
        let mut found: Vec<usize> = Vec::new();
        for &Neighbor { row, .. } in list {
            let picture = row as usize / each;
            if found.len() < k && !found.contains(&picture) {
                found.push(picture);
            }
        }
        candidates[query].extend(found.into_iter().map(|picture| (picture, turn)));
    }
}

/// The shares of sources among the candidates, and of copies that are near-duplicates of their
/// source by the default rule.
fn report(name: &str, copies: &[Copy], candidates: &Candidates, prepared: &[Prepared]) {
    let rule = EdgeRule::default();
    let decide = |(copy, candidates): (&Copy, &BTreeSet<(usize, Turn)>)| -> [usize; 5] {
        let own = Prepared::of(&copy.picture);
        let (mut begun, mut found, mut wrong) = (0, false, 0);
        for &(row, turn) in candidates {
            let Some(start) = begin(&own.outline, &prepared[row].outline, turn) else {
                continue;
            };
            begun += 1;
            let accepted = rule.accepts(&start.finish(&own.detail, &prepared[row].detail));
            found |= accepted && row == copy.source;
            wrong += usize::from(accepted && row != copy.source);
        }
        [
            candidates.iter().any(|(row, _)| *row == copy.source).into(),
            found.into(),
            candidates.len(),
            begun,
            wrong,
        ]
    };
    let decided: Vec<[usize; 5]> = copies.par_iter().zip(candidates).map(decide).collect();
    let mut table: BTreeMap<&str, [usize; 6]> = BTreeMap::new();
    for (copy, facts) in copies.iter().zip(&decided) {
        let row = table.entry(&copy.transform).or_default();
        row.iter_mut()
            .zip(facts.iter().chain(&[1]))
            .for_each(|(sum, fact)| *sum += fact);
    }
    let share = |row: &[usize; 6], of: usize| row[of] as f64 / row[5] as f64;
    let mean =
        |of: usize| table.values().map(|row| share(row, of)).sum::<f64>() / table.len() as f64;
    let weak = table
        .iter()
        .filter(|(_, row)| share(row, 0) < 0.99 || share(row, 1) < 0.9);
    let weak: Vec<_> = weak
        .map(|(name, row)| format!("{name} {:.3}/{:.3}", share(row, 0), share(row, 1)))
        .collect();
    println!(
        "{name}: {:.4} of the sources among the candidates, {:.4} found; {:.1} candidates, {:.2} begun, {:.4} wrong; under 0.99/0.9: {}",
        mean(0),
        mean(1),
        mean(2),
        mean(3),
        mean(4),
        weak.join(", ")
    );
}
