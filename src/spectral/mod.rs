//! A similarity graph → its Laplacian, eigenvalues and eigenvectors, the number of clusters that
//! eigengaps suggest, and the density of states.
//!
//! Yousefzadeh 2020, Algorithm 2, lines 8 and 9; von Luxburg 2007, "A tutorial on spectral
//! clustering", Statistics and Computing 17(4), for the Laplacians; Dong, Benson and Bindel 2019,
//! "Network density of states", for the distribution of the eigenvalues of large graphs.
//!
//! The Laplacian of a graph is block-diagonal over its connected components, so whatever is asked
//! of a large graph is asked of each of them ([`Laplacian::components`]): [`eigenpairs()`] of one
//! component is dense where that is small and Lanczos where it is large, and a [`spectrum()`] is
//! exact but for the components that are too large for that. Clustering what comes out is left to
//! others.
//!
//! Nothing depends on the number of threads: dense factorisations run on one, sums are taken in a
//! fixed order, and starts are fixed.

mod dense;
mod density;
mod eigenpairs;
mod gaps;
mod lanczos;
mod laplacian;
mod spectrum;

pub use density::{Density, density};
pub use eigenpairs::{Eigenpairs, MOST_DENSE, eigenpairs, eigenvalues};
pub use gaps::{PAPER_GAMMA, gaps_above, largest_gap};
pub use laplacian::{Laplacian, LaplacianKind};
pub use spectrum::{Spectrum, spectrum};
