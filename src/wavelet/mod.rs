//! Pictures ⇄ orthonormal wavelet coefficients, and the lossless cached form of a picture.
//!
//! A picture of `size` × `size` samples in one plane (grey) or three (red, green, blue) becomes,
//! plane by plane, the separable two-dimensional discrete wavelet transform of Mallat 1989 ("A
//! theory for multiresolution signal decomposition", IEEE TPAMI 11(7)), with a periodic border.
//! This is lines 2–4 of Algorithm 1 of Yousefzadeh 2020 (section 3.1). Both the colour rotation and
//! the transform are orthonormal, so Parseval holds: the distance between two coefficient vectors
//! **is** the distance between the pictures, and the distance over any subset of coefficients is a
//! lower bound of it.
//!
//! * [`Wavelet`] — the filters; [`dwt2`], [`idwt2`] — one plane there and back (`transform`).
//! * [`Layout`], [`Band`], [`Subband`] — which coefficient stands where (`layout`).
//! * [`Coefficients`] — a whole picture, colour included (`coefficients`).
//! * [`lifting`] — the reversible integer transform and byte code in which pictures are cached (its
//!   entropy code: `rice`, of `tiles`).
//!
//! Which coefficients tell pictures apart is left to [`crate::rrqr`].

mod coefficients;
mod filter;
mod layout;
pub mod lifting;
mod rice;
mod tiles;
mod transform;

pub use coefficients::Coefficients;
pub use filter::Wavelet;
pub use layout::{Band, Layout, Subband, max_levels};
pub use transform::{Real, dwt2, idwt2};
