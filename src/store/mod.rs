//! Where the results of the stages are kept: one writer, any number of readers, and nothing lost by
//! a crash.
//!
//! - [`packs`]: the truth. Append-only, checksummed, synced before anything is acknowledged.
//! - [`catalog`]: the index over the truth, in sled; [`state`] is the same in memory, [`history`]
//!   the way from one to the other.
//! - [`view`]: what readers map; derived, published by one rename.
//! - [`alias`]: the hashes under which git, git-lfs and DVC know a content.
//! - [`medium`]: the narrow interface to files, so that tests can break them.
//! - [`settings`]: what is fixed when an index is made. [`bytes`]: integers as bytes.
//!   [`format`](mod@format): the format of it all.

pub mod alias;
pub mod bytes;
pub mod catalog;
pub mod history;
mod holders;
pub mod medium;
pub mod packs;
pub mod settings;
pub mod state;
pub mod view;

#[doc = include_str!("format.md")]
pub mod format {}
