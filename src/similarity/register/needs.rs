//! What it takes to make one picture of a pair into the other; a set, so that a policy can say
//! which changes leave a picture the same.

use super::{
    affine::{Affine, Turn},
    agree::Agreement,
    at,
    levels::Level,
};

/// A set of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Needs(u16);

impl Needs {
    /// Nothing but resampling, compression and the like.
    pub const NOTHING: Self = Self(0);
    /// Brightness, contrast, gamma or tint.
    pub const PHOTOMETRIC: Self = Self(1);
    /// One picture is a part of the other, or each shows something that the other does not.
    pub const CROP: Self = Self(2);
    /// One picture has a flat border or bars that the other has not.
    pub const BORDER: Self = Self(4);
    /// A turn by a few degrees, or a slant.
    pub const ROTATION: Self = Self(8);
    /// A mirror image.
    pub const MIRROR: Self = Self(16);
    /// A turn by 90, 180 or 270 degrees.
    pub const QUARTER_TURN: Self = Self(32);
    /// One picture has lost its colours.
    pub const GREYSCALE: Self = Self(64);
    /// A part of the picture is covered: a caption, a logo.
    pub const OVERLAY: Self = Self(128);

    /// Every change.
    pub const ALL: Self = Self(255);

    /// All of them, by the names used in settings.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("photometric", Self::PHOTOMETRIC),
        ("crop", Self::CROP),
        ("border", Self::BORDER),
        ("rotation", Self::ROTATION),
        ("mirror", Self::MIRROR),
        ("quarter-turn", Self::QUARTER_TURN),
        ("greyscale", Self::GREYSCALE),
        ("overlay", Self::OVERLAY),
    ];

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set if `holds`, else nothing.
    #[must_use]
    pub const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NOTHING }
    }

    /// Whether all of this set is in `other`.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What of this set is not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// As a number, for storage.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set of a stored number; `None` if it has a change that this version does not know.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits < 256 { Some(Self(bits)) } else { None }
    }

    /// The change of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, need)| need)
    }

    /// The names of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(_, need)| need.within(self))
            .map(|(name, _)| name)
    }
}

/// A frame may miss this share before something counts as cropped.
pub(crate) const MISSES: f32 = 0.04;
/// Sines of angles below this are not called a turn: half a sample at the edge of 64.
const STRAIGHT: f32 = 0.015;
/// A gain or a mean that differs by more is a photometric change.
pub(crate) const GAIN: f32 = 1.12;
pub(crate) const BRIGHTER: f32 = 8.0;
/// Chroma that agrees less has another tint.
pub(crate) const TINTED: f32 = 0.8;
/// Chroma under this energy (levels squared) is none, if the other picture has eight times as much.
const COLOURLESS: f32 = 12.0;
/// A covered share above this is an overlay, if the rest agrees at least so well.
const COVERED: f32 = 0.03;
const REST_AGREES: f32 = 0.75;

/// What an alignment needed. The map is from the grid's frame to the other's.
pub(super) fn needs(
    grid: &Level,
    other: &Level,
    map: &Affine,
    turn: Turn,
    found: &Agreement,
) -> Needs {
    let outside = map.inverse().map_or(Needs::NOTHING, |back| {
        outside(grid, map).and(outside(other, &back))
    });
    let [least, most] = [
        found.chroma[0].min(found.chroma[1]),
        found.chroma[0].max(found.chroma[1]),
    ];
    let grey = least < COLOURLESS && most > 8.0 * COLOURLESS.max(least);
    let tinted = !grey && found.colour < TINTED;
    let changed = found.gain > GAIN || found.gain * GAIN < 1.0 || found.brighter.abs() > BRIGHTER;
    let [covered, agreeing] = found.disagreeing;
    let rest = (found.agreeing - agreeing) / (found.texture - covered).max(1e-6);
    Needs::PHOTOMETRIC
        .when(changed || tinted)
        .and(outside)
        .and(Needs::ROTATION.when(map.sine().abs() > STRAIGHT))
        .and(Needs::MIRROR.when(turn.mirrors()))
        .and(Needs::QUARTER_TURN.when(turn.quarters() != 0))
        .and(Needs::GREYSCALE.when(grey))
        .and(Needs::OVERLAY.when(covered > COVERED * found.overlap && rest > REST_AGREES))
}

/// What the part of a frame that the other picture does not show is: nothing, a flat border, or
/// more of the picture. Samples within one of the edge are mixed with the picture and not looked
/// at.
fn outside(level: &Level, map: &Affine) -> Needs {
    let n = level.side;
    let edge = 1.0 + 2.0 / n as f32;
    let places: Vec<f32> = (0..n).map(|i| at(i, n)).collect();
    let beyond = |most: f32, x: f32, y: f32| {
        let [u, v] = map.apply([x, y]);
        (u.abs() > most) | (v.abs() > most)
    };
    let missed: u32 = places
        .iter()
        .map(|&y| {
            places
                .iter()
                .map(|&x| u32::from(beyond(1.0, x, y)))
                .sum::<u32>()
        })
        .sum();
    if (missed as f32) < MISSES * (n * n) as f32 {
        return Needs::NOTHING;
    }
    let (mut seen, mut flat) = (0usize, 0usize);
    for (y, &v) in places.iter().enumerate() {
        for (x, _) in places
            .iter()
            .enumerate()
            .filter(|&(_, &u)| beyond(edge, u, v))
        {
            seen += 1;
            flat += usize::from(is_flat(level, x, y));
        }
    }
    if seen > 0 && flat * 5 >= seen * 4 {
        Needs::BORDER
    } else {
        Needs::CROP
    }
}

/// Whether a sample is within three grey levels of its neighbours to the left and above, or to the
/// right and below, at the border.
fn is_flat(level: &Level, x: usize, y: usize) -> bool {
    let n = level.side;
    let here = level.luma[y * n + x];
    let across = if 2 * x < n {
        y * n + x.saturating_sub(1)
    } else {
        y * n + (x + 1).min(n - 1)
    };
    let down = if 2 * y < n {
        y.saturating_sub(1) * n + x
    } else {
        (y + 1).min(n - 1) * n + x
    };
    (here - level.luma[across]).abs() <= 3.0 && (here - level.luma[down]).abs() <= 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_tell_what_is_in_a_set() {
        let set = Needs::CROP.and(Needs::MIRROR);
        assert_eq!(set.names().collect::<Vec<_>>(), ["crop", "mirror"]);
        assert_eq!(Needs::from_bits(set.bits()), Some(set));
        assert!(
            Needs::CROP.within(set)
                && !set.within(Needs::CROP)
                && Needs::NOTHING.within(Needs::NOTHING)
        );
        assert_eq!(Needs::from_bits(1 << 8), None);
        assert_eq!(
            Needs::NAMES
                .iter()
                .fold(Needs::NOTHING, |all, (_, need)| all.and(*need))
                .bits(),
            255
        );
    }
}
