//! Files → pictures, features and candidates.

use rayon::prelude::*;
use std::path::{Path, PathBuf};
use wsidx::{
    feature::{Basis, FIT_CONTENTS, fit_row},
    knn::{Admit, ByNumber, Live, OwnedPlanes, nearest},
    picture::{Limits, Picture, Shape, decode},
    wavelet::{Coefficients, Layout, Wavelet},
};

/// The pictures of files, in their order.
pub(crate) fn pictures(files: &[PathBuf], size: u16) -> Vec<Picture> {
    let shape = Shape::new(size, 3).expect("a size that can be");
    let read = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        decode(&bytes, shape, &Limits::default())
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()))
            .picture
    };
    files.par_iter().map(read).collect()
}

/// All images below a folder, sorted; hidden folders are left out.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden {
            found.extend(files_below(&path));
        } else if path.extension().is_some_and(|e| {
            ["png", "jpg", "JPEG", "webp"]
                .iter()
                .any(|known| e == *known)
        }) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn coefficients(picture: &Picture) -> Coefficients<f32> {
    Coefficients::of(
        picture.samples(),
        picture.shape().size,
        picture.shape().planes,
        Wavelet::Haar,
        None,
    )
}

/// The search basis that an index of these pictures would have: fitted from 1,000 contents on.
pub(crate) fn basis(pictures: &[Picture]) -> Basis {
    let layout = Layout::full(pictures[0].shape().size, 3);
    let built_in = Basis::built_in(&layout, 128);
    if pictures.len() < 1_000 {
        return built_in;
    }
    let step = pictures.len().div_ceil(FIT_CONTENTS);
    let rows: Vec<Vec<i16>> = pictures
        .par_iter()
        .step_by(step)
        .filter_map(|picture| fit_row(&mut coefficients(picture)))
        .collect();
    Basis::fit(&rows, 128).unwrap_or(built_in)
}

/// Features, ready for the search.
pub(crate) fn planes<'a>(
    basis: &Basis,
    pictures: impl IntoParallelIterator<Item = &'a Picture, Iter: IndexedParallelIterator>,
) -> OwnedPlanes {
    let features: Vec<_> = pictures
        .into_par_iter()
        .map(|picture| basis.feature(&mut coefficients(picture)))
        .collect();
    let mut planes = OwnedPlanes::new(basis.len());
    features.iter().for_each(|feature| planes.push(&feature.0));
    planes
}

/// The `k` nearest of each query: row and squared distance.
pub(crate) fn candidates(
    queries: &OwnedPlanes,
    indexed: &OwnedPlanes,
    k: usize,
) -> Vec<Vec<(u32, u32)>> {
    let live = vec![u64::MAX; indexed.as_planes().rows().div_ceil(64)];
    let found = nearest(
        queries.as_planes(),
        indexed.as_planes(),
        &Live(&live),
        k,
        &ByNumber,
        &Admit::default(),
    );
    found
        .into_iter()
        .map(|list| list.into_iter().map(|n| (n.row, n.distance)).collect())
        .collect()
}
