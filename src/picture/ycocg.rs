//! Red, green, blue ⇄ Y, Co, Cg without loss, and the step of resized pictures.
//!
//! The rotation is YCoCg-R (Malvar and Sullivan 2003, "YCoCg-R: a color space with RGB
//! reversibility and low dynamic range"): luma in 0..=255, chroma in ±255. A picture that was
//! resized is no exact record of anything, and most of what its finest chroma costs to keep is
//! noise: its Co and Cg are rounded to multiples of [`STEP`], by which no sample changes by more
//! than two grey levels. Where that colour does not exist, the nearest that does takes its place,
//! of those with chroma one step off at the most and any luma.

/// The step of chroma in resized pictures.
const STEP: i16 = 4;

/// Red, green, blue to Y, Co, Cg. Wraps; exact for samples.
pub(crate) fn rotate([r, g, b]: [i16; 3]) -> [i16; 3] {
    let orange = r.wrapping_sub(b);
    let middle = b.wrapping_add(orange >> 1);
    let green = g.wrapping_sub(middle);
    [middle.wrapping_add(green >> 1), orange, green]
}

/// The inverse of [`rotate`].
pub(crate) fn unrotate([luma, orange, green]: [i16; 3]) -> [i16; 3] {
    let middle = luma.wrapping_sub(green >> 1);
    let b = middle.wrapping_sub(orange >> 1);
    [b.wrapping_add(orange), green.wrapping_add(middle), b]
}

/// The pixel with chroma in multiples of [`STEP`] next to a pixel.
pub(super) fn round(pixel: [u8; 3]) -> [u8; 3] {
    let [luma, orange, green] = rotate(pixel.map(i16::from));
    let near = |chroma: i16| (chroma + STEP / 2) & !(STEP - 1);
    let rounded = unrotate([luma, near(orange), near(green)]);
    if rounded.iter().all(|&sample| sample & !255 == 0) {
        return rounded.map(|sample| sample as u8);
    }
    let chromas =
        [-STEP, 0, STEP].map(|o| [-STEP, 0, STEP].map(|g| [near(orange) + o, near(green) + g]));
    let candidates = chromas
        .as_flattened()
        .iter()
        .filter_map(|&[orange, green]| existing(luma, orange, green));
    candidates
        .min_by_key(|candidate| squares(pixel, *candidate))
        .unwrap_or([luma as u8; 3])
}

/// The pixel of this chroma whose luma is next to the one asked for, if there is any.
fn existing(luma: i16, orange: i16, green: i16) -> Option<[u8; 3]> {
    let offsets = unrotate([0, orange, green]);
    let [least, most] = [
        0 - offsets.into_iter().min()?,
        255 - offsets.into_iter().max()?,
    ];
    (least <= most).then(|| offsets.map(|offset| (luma.clamp(least, most) + offset) as u8))
}

fn squares(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.into_iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(b)).pow(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_pixel_value_goes_there_and_back_and_rounds_to_a_near_one_in_steps() {
        let (mut shifted, mut all) = (0, 0);
        for index in 0..86 * 86 * 86 {
            let pixel = [index % 86, index / 86 % 86, index / 7396].map(|v| (3 * v) as u8);
            assert_eq!(unrotate(rotate(pixel.map(i16::from))), pixel.map(i16::from));
            let rounded = round(pixel);
            let [_, orange, green] = rotate(rounded.map(i16::from));
            assert_eq!((orange % STEP, green % STEP), (0, 0), "{pixel:?}");
            assert_eq!(round(rounded), rounded);
            let most = (0..3).map(|c| pixel[c].abs_diff(rounded[c])).max().unwrap();
            assert!(most <= 5, "{pixel:?} {rounded:?}");
            shifted += usize::from(most > 2);
            all += 1;
        }
        assert!(
            shifted * 50 < all,
            "{shifted} of {all} colours have no near one"
        );
    }

    #[test]
    fn grey_stays() {
        assert!((0..=255).all(|v| round([v; 3]) == [v; 3]));
    }
}
