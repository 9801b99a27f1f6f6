//! A matrix of similarities → an image of it, as in Figures 10 and 16 of Yousefzadeh 2020.
//!
//! Black-violet is 0 or the least value if that is below, yellow is 1. A small matrix has several
//! pixels for each value; of a large one each pixel is the mean of a block.

use image::{Rgb, RgbImage};
use ndarray::{ArrayView2, s};

/// The longer side of the image is between these, in pixels, where the matrix lets it.
const SIDES: [usize; 2] = [768, 2_048];

/// Colours from low to high, evenly spaced: perceived lightness grows evenly (after matplotlib's
/// viridis, public domain).
const COLOURS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// The image; for a matrix with rows and columns.
pub(crate) fn heat_map(matrix: ArrayView2<'_, f32>) -> RgbImage {
    let (rows, columns) = matrix.dim();
    let longest = rows.max(columns);
    let (block, repeat) = (longest.div_ceil(SIDES[1]), (SIDES[0] / longest).max(1));
    let low = matrix.iter().copied().fold(0.0, f32::min);
    let side = |n: usize| (n.div_ceil(block) * repeat) as u32;
    RgbImage::from_fn(side(columns), side(rows), |x, y| {
        let [left, top] = [x, y].map(|at| at as usize / repeat * block);
        let part = matrix.slice(s![
            top..rows.min(top + block),
            left..columns.min(left + block)
        ]);
        Rgb(colour((part.mean().unwrap_or(low) - low) / (1.0 - low)))
    })
}

/// The colour of a share.
fn colour(share: f32) -> [u8; 3] {
    let last = COLOURS.len() - 1;
    let at = share.clamp(0.0, 1.0) * last as f32;
    let from = (at as usize).min(last - 1);
    let rest = at - from as f32;
    [0, 1, 2].map(|i| {
        (f32::from(COLOURS[from][i]) * (1.0 - rest) + f32::from(COLOURS[from + 1][i]) * rest + 0.5)
            as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn small_matrices_are_enlarged_large_ones_shrunk_and_the_ends_have_the_end_colours() {
        let small = heat_map(Array2::eye(3).view());
        assert_eq!(
            (small.dimensions(), small[(0, 0)].0, small[(767, 0)].0),
            ((768, 768), COLOURS[8], COLOURS[0])
        );
        let large = heat_map(Array2::zeros((10, 5_000)).view());
        assert_eq!(large.dimensions(), (1_667, 4));
        let negative = heat_map(ndarray::array![[1.0, -1.0], [0.0, 1.0]].view());
        assert_eq!(
            (negative[(767, 0)].0, negative[(0, 767)].0),
            (COLOURS[0], COLOURS[4])
        );
    }
}
