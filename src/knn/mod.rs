//! Rows of integers → exact nearest neighbours: batch search, range search, and neighbour lists that follow a changing set.
//!
//! A row is `m` integers (a unit vector times 32,000). Its squared distance to another row is an exact integer, so every answer here is the
//! same on every CPU, for every SIMD width and for any number of threads; ties are broken by a [`RowOrder`]. Nothing is approximate.
//!
//! # Method
//! 1. Only the high bytes of the rows ([`Planes`]) are multiplied, 8 queries × 48 targets at a time in registers (`kernel`), blocked as a
//!    matrix product is blocked for registers, L1 and L2 (Goto and van de Geijn 2008, *Anatomy of high-performance matrix multiplication*,
//!    section 4).
//! 2. A pair leaves the registers only if its high bytes cannot prove it farther than the worst neighbour either side still holds
//!    (`bound`, with the proof).
//! 3. What leaves is measured exactly from both planes and offered to bounded heaps (`best`). Bounds that lag behind are only looser.
//!
//! [`oracle`] is the slow twin that every test compares with. What a row means, where it is stored and what a neighbour is worth are left
//! to others.
//!
//! # Not done
//! There is no early stop on partial sums: a row of 128 high bytes is two cache lines, fetched together. Rows of thousands of columns work
//! but are not blocked along the columns.

mod arena;
mod best;
mod bound;
mod enter;
mod join;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod kernel_avx2;
mod kernel_portable;
#[cfg(target_arch = "x86_64")]
mod kernel_vnni;
mod lists;
mod meetings;
pub mod oracle;
mod pack;
mod planes;
mod rows;
mod scan;
mod search;
#[cfg(test)]
mod trials;
mod update;

pub use kernel::Kernel;
pub use lists::{ListSource, NoLists, Update, Watch, update_lists, update_lists_with};
pub use planes::{Guard, MAX_LENGTH, MAX_STRIDE, Norms, OwnedPlanes, Planes, Row, split, stride_of};
pub use rows::{Admit, ByNumber, Live, Neighbor, RowOrder};
pub use search::{nearest, nearest_with, within, within_with};
pub use update::ListUpdate;
