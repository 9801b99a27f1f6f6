//! Rows of integers → exact nearest neighbours: batch search, range search, and neighbour lists
//! that follow a changing set.
//!
//! A row is `m` integers (a unit vector times 32,000). Its squared distance to another row is an
//! exact integer, so every answer here is the same on every CPU, for every SIMD width and for any
//! number of threads; ties are broken by a [`RowOrder`]. Nothing is approximate.
//!
//! # Method
//! 1. Only the high bytes of the rows ([`Planes`]) are multiplied, 16 queries × 48 targets at a
//!    time in registers (`kernel`), blocked as a matrix product is blocked for registers, L1 and L2
//!    (Goto and van de Geijn 2008, *Anatomy of high-performance matrix multiplication*, section 4).
//! 2. A pair leaves the registers only if its high bytes cannot prove it farther than the worst
//!    neighbour either side still holds (`bound`, with the proof).
//! 3. What leaves is measured exactly from both planes and offered to bounded heaps (`top_k`) or,
//!    for lists, to sorted arrays in one arena (`arena`). Bounds that lag behind are only looser.
//! 4. Some queries, or a few added rows, go through the high plane once instead, front to back, and
//!    low bytes are read of few rows (`scan`, `enter`).
//!
//! A search for rows that will be added can keep its results and reverse neighbours
//! ([`nearest_and_reverse`]); [`Update`] then needs no search of its own.
//!
//! Rows can be compared by the high bytes of their first columns alone ([`By::HighBytes`]): exact
//! for these, and for who only wants candidates.
//!
//! Planes that lie in a mapped file take a [`Guard`], which is told of bytes before they are read.
//!
//! [`oracle`] is the slow twin that every test compares with. What a row means, where it is stored
//! and what a neighbour is worth are left to others.
//!
//! # Not done
//! There is no early stop on partial sums. With Cauchy and Schwarz's bound on the columns that are
//! left, and with the k-distances that lists of 16 end at, 99 % of the blocks of 8 × 48 rows of
//! CIFAR-10 (60,000 × 128, fitted columns) still hold a pair that must go on after 64 columns, and
//! 88 % after 96; of single pairs, 2.9 % and 0.8 %. So it was tried pair by pair: half of the
//! columns multiplied, the high bytes of the few pairs that are left measured one by one, and
//! blocks of which more than a twenty-fourth is left multiplied in full. With VNNI the lists of
//! these rows took 2.15 s of processor time with it and 2.08 s without, and the views of arriving
//! images as long as before. For a scan, a row of 128 high bytes is two cache lines, fetched
//! together.
//!
//! Principal components are the better order: where lists of 16 end, the first 64 leave 0.2 % of
//! the pairs of CIFAR-10. But a build or a search begins without k-distances, and what it measures
//! until it has them takes as long as what it saves; and where the spectrum falls slowly, as in
//! `benches/scale.rs`, more pairs are left: with sketches of 64 components in bytes, and with
//! k-distances from old lists, 15,491 lists of a million rows were refilled in 7.3 s, by high bytes
//! in 5.5 (see the record of scale). Spare members make most refills unnecessary instead.
//!
//! Refills do not begin with a bound from the old lists of a row's old neighbours: at 250,000 × 128
//! and 1,000 removed rows it took 1.75 s of processor time with and 1.67 s without. Rows of
//! thousands of columns work but are not blocked along the columns. The kernels for 64-bit Arm
//! passed the tests in an emulator and were never timed; other processors run the portable one, and
//! none was tried.

mod arena;
mod bound;
mod enter;
mod join;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod kernel_amx;
#[cfg(target_arch = "x86_64")]
mod kernel_avx2;
#[cfg(target_arch = "aarch64")]
mod kernel_neon;
mod kernel_portable;
#[cfg(target_arch = "x86_64")]
mod kernel_vnni;
mod lists;
pub mod oracle;
mod pack;
mod planes;
mod rows;
mod scan;
mod search;
mod top_k;
#[cfg(test)]
mod trials;
mod update;
mod visitors;

pub use kernel::Kernel;
pub use lists::{ListSource, NoLists, Update, Watch, update_lists, update_lists_with};
pub use planes::{
    By, Guard, MAX_LENGTH, MAX_STRIDE, Norms, OwnedPlanes, Planes, Row, split, stride_of,
};
pub use rows::{Admit, ByNumber, Live, Neighbor, RowOrder};
pub use search::{
    QuerySet, SearchResult, nearest, nearest_and_reverse, nearest_by, nearest_together,
    nearest_with, within, within_with,
};
pub use update::ListUpdate;
