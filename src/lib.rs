//! wsidx: skeleton.
pub mod error;
pub mod feature;
pub mod knn;
pub mod picture;
pub mod rrqr;
pub mod store;
pub mod verdict;
pub mod wavelet;
pub use error::{Error, Result};
