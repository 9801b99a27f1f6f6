//! wsidx: an embedded, exact similarity index for image datasets.
//!
//! ```text
//! bytes ─picture→ Picture ─wavelet→ Coefficients ─feature→ Feature ─knn→ Neighbors ─similarity→ edges
//!                                       │             ↑                                     │
//!                                       └───rrqr──────┘                       verdict ←─────┼───→ graph, spectral, cluster
//!                                  which coefficients tell                                                  │
//!                                  the images apart                                                       reduce
//! ```
//!
//! Each stage is a pure function of its input: no clock, no environment, no printing, no
//! randomness. The store keeps the results, the index joins the stages, the program `wsidx` is a
//! thin face over the library. A dataset's index lives in a folder `.wsidx` beside the images.
//!
//! The method is that of Yousefzadeh 2020, "Using wavelets to analyze similarities in
//! image-classification datasets": wavelet coefficients of the images, the most independent of them
//! chosen by rank-revealing QR, and images compared by those. What differs from the paper is said
//! where it differs: features are taken from pictures with their mean removed and their norm set to
//! one, since plain distance calls all flat pictures near ([`feature`]), and neighbours are found
//! exactly ([`knn`]).
//!
//! Two things a program that uses the library must know. Decoders of images panic on some damaged
//! files, and the library catches that and answers with a reason: so it compiles only with `panic =
//! "unwind"`, which is Cargo's default. And until the program calls [`silence_decoder_panics`], the
//! hook of the process prints each of those panics.
//!
//! | word | meaning |
//! |---|---|
//! | content | the bytes of one image file, also of one in a container; its id is their BLAKE3 hash |
//! | alias | another name of a content: the hash under which git, git-lfs or DVC knows it |
//! | path | a place where a content occurs, `file` or `container#item`, with label and split; several may hold one content |
//! | row | the number of a content in the features and lists; of its crops there may be rows of their own, which only bring candidates |
//! | Picture | decoded, oriented, standardised to S × S samples of 8 bits |
//! | Coefficients | the orthonormal two-dimensional wavelet transform of a Picture |
//! | Feature | the coefficients at the columns that rank-revealing QR chose, normalised, as integers |
//! | edge | a pair of contents that is near-identical: registered, and accepted ([`similarity`]) |
//!
//! The modules, lowest first; each imports only from those above it in this list:
//!
//! - [`error`]: what can go wrong, by what to do about it.
//! - [`guard`]: code of others that may panic on damaged bytes, and the answer if it does.
//! - [`file`](mod@file): the one door for files: what a repository holds is read, and results are
//!   written.
//! - [`monitor`]: how long work tells of itself and is stopped.
//! - [`picture`]: bytes → Picture.
//! - [`wavelet`]: Picture ⇄ Coefficients, and the lossless code in which they are cached.
//! - [`rrqr`]: matrix → pivots, numerical rank, condition.
//! - [`feature`]: basis; Coefficients → Feature.
//! - [`knn`]: exact search, and neighbour lists kept exact under change.
//! - [`similarity`]: two Pictures → how alike they are, and how one lies on the other; the views
//!   under which to look for copies.
//! - [`graph`]: edges → groups of near-duplicates.
//! - [`spectral`]: similarities or edges → graph Laplacian, eigenvalues, eigengaps, density of
//!   states.
//! - [`cluster`]: points, or a graph → clusters, and how good they are.
//! - [`verdict`]: evidence → redundant, influential, anomaly or novel; the policy.
//! - [`reduce`]: clusters and labels → what to keep, and what is influential.
//! - [`store`]: packs (the truth), catalog (sled), view (what readers map), and their format.
//! - [`dataset`]: folders, containers of many images, labels and splits, versions of them in git,
//!   and embeddings.
//! - [`index`]: joins the stages: create, sync and what a watcher takes in; query, check, verify;
//!   groups, clusters, leaks, outliers, and the analyses of a selection.

#[cfg(not(unix))]
compile_error!(
    "wsidx needs a Unix system: it locks, maps and names files in ways that others do not have"
);
#[cfg(panic = "abort")]
compile_error!(
    "wsidx catches the panics of image decoders on damaged files; remove `panic = \"abort\"` from the profile in Cargo.toml"
);

pub mod cluster;
pub mod dataset;
pub mod error;
pub mod feature;
pub mod file;
pub mod graph;
pub mod guard;
pub mod index;
pub mod knn;
pub mod monitor;
pub mod picture;
pub mod reduce;
pub mod rrqr;
pub mod similarity;
pub mod spectral;
pub mod store;
pub mod verdict;
pub mod wavelet;

pub use error::{Error, Result};
pub use guard::silence_decoder_panics;
