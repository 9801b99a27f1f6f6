//! Two Pictures → how one lies on the other, and how well what overlaps agrees: the rule by which a
//! pair is decided.
//!
//! 0. **In place**: a pair that fits where it lies, at 16 × 16, is refined from there and from
//!    nowhere else.
//! 1. **Prefilter** ([`start_score`], 3 µs with AVX-512): one picture at 12 sizes, slid over the
//!    other at 16 × 16 (`coarse`), gives up to 23 places to start from; a pair whose best is below
//!    [`START_SCORE`] ends here, which are three in four. So far an [`Outline`] of each picture is
//!    enough ([`begin`]).
//! 2. **Refinement** (`refine`): the best four starts by Gauss–Newton steps to an affine map at 16
//!    × 16, the best three of these at 32 × 32, the best of these at 64 × 64 (pictures of more than
//!    48 samples a side). Blocks that disagree lose their weight. A pair that scores too little at
//!    32 × 32, before or after, ends there.
//! 3. **Agreement** (`agree`): the picture that is shown larger is laid on the grid of the other,
//!    and the structure of luma is compared in windows of 5 × 5, each counted by its texture.
//!
//! # Similarity
//! S = (1 + colour) / 2 · A / (T + k): T the textured share of the frame that takes part, A the sum
//! of agreement over it, k = [`PRIOR`] textured shares that are taken to disagree until shown
//! otherwise; colour is how well chroma agrees, 1 where one picture has none. So a small overlap,
//! and a picture with little texture, cannot be similar however well they fit: S ≤ T / (T + k).
//! Where that bound is below the threshold the pair has *too little texture to tell*
//! ([`Alignment::max_similarity`]).
//!
//! # Symmetry and determinism
//! A pair is always registered in one order, by a hash of the samples, and the result is turned
//! around for the other; so `register(a, b)` and `register(b, a)` have the same similarity and
//! opposite maps. Integers and f32 with + − × ÷ √ and comparisons only, every sum in the order in
//! which it is written, no fused operations: the same bits on every CPU and thread.

mod affine;
mod agree;
mod boxes;
mod coarse;
mod levels;
mod needs;
mod refine;
mod samples;
mod scales;
mod slide;
#[cfg(target_arch = "x86_64")]
mod slide_vnni;
mod sums;
mod templates;

use std::{borrow::Cow, cell::RefCell};

use super::wide;

pub use affine::{Affine, Turn};
pub use levels::{Detail, Outline, Prepared};
pub use needs::Needs;
pub(super) use needs::{BRIGHTER, GAIN, MISSES, TINTED};
pub use scales::{Scale, by_scale};

use super::frame::at;
use agree::{Scratch, agreement};
use coarse::Start;
use levels::Level;
use refine::{Fit, Fixed, Look};

/// What `rule` says in verdicts that rest on this measure. It changes whenever similarities do.
pub const RULE: &str = "registration/6";

/// The score of the prefilter below which a pair is not worth aligning.
pub const START_SCORE: f32 = 0.5;
/// Pictures that score this where they lie are aligned from there, and no other start is looked
/// for.
const IN_PLACE: f32 = 0.6;
/// Two pictures are near-duplicates when their similarity is at least this: what `wsidx calibrate`
/// gives for CIFAR-10 at 2 false ones in 10,000 images (see the record of pairs).
pub const EDGE_SIMILARITY: f32 = 0.7;
/// The share of the frame, textured and disagreeing, that every pair is taken to have.
pub const PRIOR: f32 = 0.1;
/// The share of the texture that may disagree without a cost: a logo, a caption.
pub const FORGIVEN: f32 = 0.1;
/// Starts that are refined at each level, and steps that each may take.
const STARTS: [usize; 3] = [4, 3, 1];
const STEPS: [usize; 3] = [4, 5, 4];
/// Two starts are one where no sample is farther apart than this.
const SAME: f32 = 1.0;
/// The least score at each level: of the best start before its refinement, and after. Of the pairs
/// that end at a similarity of 0.5 or more, these lose under one in a thousand; of the others they
/// end half before 32 × 32 is refined, and four in five before 64 × 64.
const HOPE: [[f32; 2]; 3] = [[0.0, 0.0], [0.35, 0.4], [0.0, 0.0]];

/// How one picture lies on another, and how alike they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// In [0, 1]; 1 for equal pictures, 0 where no way was found to lay one on the other.
    pub similarity: f32,
    /// The similarity if everything that overlaps agreed, T / (T + k), in [0, 1). Below the
    /// threshold, there is too little texture to decide.
    pub max_similarity: f32,
    /// The map from the frame of the first picture to that of the second, the turn included.
    pub map: Affine,
    /// How the first picture is turned to lie like the second.
    pub turn: Turn,
    /// The share of the first picture's frame, and of the second's, that the other covers.
    pub overlap: [f32; 2],
    /// The textured share of the frame in which they were compared.
    pub texture: f32,
    /// The mean agreement over the textured share, −1 to 1.
    pub agreement: f32,
    /// How well chroma agrees, −1 to 1.
    pub colour: f32,
    /// Contrast of the first picture over that of the second, where they agree.
    pub gain: f32,
    /// Mean luma of the first picture less that of the second, in grey levels.
    pub brighter: f32,
    /// The changes that make one of the other.
    pub needs: Needs,
}

impl Alignment {
    const NONE: Self = Self {
        similarity: 0.0,
        max_similarity: 0.0,
        map: Affine::IDENTITY,
        turn: Turn::NONE,
        overlap: [0.0; 2],
        texture: 0.0,
        agreement: 0.0,
        colour: 0.0,
        gain: 1.0,
        brighter: 0.0,
        needs: Needs::NOTHING,
    };

    /// The same seen from the second picture.
    fn reversed(self) -> Self {
        let [first, second] = self.overlap;
        let map = self.map.inverse().unwrap_or(Affine::IDENTITY);
        Self {
            map,
            turn: self.turn.inverse(),
            overlap: [second, first],
            gain: 1.0 / self.gain,
            brighter: -self.brighter,
            ..self
        }
    }
}

/// The score of the prefilter, 0 to 1: that of the best start; symmetric.
#[must_use]
pub fn start_score(a: &Outline, b: &Outline) -> f32 {
    coarse::places(&a.templates, &b.templates)
        .iter()
        .fold(0.0, |best, place| place.score.max(best))
}

/// Registers a pair, the first picture turned first. See the module for the method.
#[must_use]
pub fn register(a: &Prepared, b: &Prepared, turn: Turn) -> Alignment {
    begin(&a.outline, &b.outline, turn).map_or(
        Alignment {
            turn,
            ..Alignment::NONE
        },
        |begun| begun.finish(&a.detail, &b.detail),
    )
}

/// A pair that is worth aligning.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Of the pair in order; none if the pictures are the same.
    starts: Option<Vec<Start>>,
    /// Of the first picture of the pair in order.
    turn: Turn,
    /// Whether that is the second picture of the pair.
    reversed: bool,
}

/// The first part of [`register`], for which outlines will do: `None` where it gives up.
#[must_use]
pub fn begin(a: &Outline, b: &Outline, turn: Turn) -> Option<Begun> {
    if a.key == b.key && turn == Turn::NONE {
        return Some(Begun {
            starts: None,
            turn,
            reversed: false,
        });
    }
    let reversed = a.key > b.key;
    let (a, b, turn) = if reversed {
        (b, a, turn.inverse())
    } else {
        (a, b, turn)
    };
    let a = if turn == Turn::NONE {
        Cow::Borrowed(a)
    } else {
        Cow::Owned(a.turned(turn))
    };
    let in_place = a.templates.in_place(&b.templates);
    if in_place >= IN_PLACE {
        let starts = Some(vec![Start {
            map: Affine::IDENTITY,
            score: in_place,
        }]);
        return Some(Begun {
            starts,
            turn,
            reversed,
        });
    }
    let places = coarse::places(&a.templates, &b.templates);
    let worth = places.iter().any(|place| place.score >= START_SCORE);
    worth.then(|| Begun {
        starts: Some(coarse::starts(&places)),
        turn,
        reversed,
    })
}

impl Begun {
    /// The rest of [`register`], of the same pictures in the same order.
    #[must_use]
    pub fn finish(&self, a: &Detail, b: &Detail) -> Alignment {
        let Some(starts) = &self.starts else {
            return equal(a);
        };
        let (first, second) = if self.reversed { (b, a) } else { (a, b) };
        let found = if self.turn == Turn::NONE {
            upright(first, second, self.turn, starts)
        } else {
            let found = upright(&first.turned(self.turn), second, self.turn, starts);
            Alignment {
                map: found.map.after(&self.turn.inverse().to_original()),
                ..found
            }
        };
        if self.reversed {
            found.reversed()
        } else {
            found
        }
    }
}

/// How a picture lies on itself.
#[must_use]
pub fn equal(picture: &Detail) -> Alignment {
    let found = with_scratch(|scratch| {
        agreement(
            picture,
            picture,
            picture.levels.len() - 1,
            &Affine::IDENTITY,
            scratch,
        )
    });
    Alignment {
        similarity: 1.0,
        max_similarity: found.max_similarity(),
        overlap: [1.0; 2],
        texture: found.texture,
        agreement: 1.0,
        colour: 1.0,
        ..Alignment::NONE
    }
}

/// The largest similarity that a picture has enough texture for, in [0, 1). Below the threshold,
/// nothing but the same pixels can be its near-duplicate.
#[must_use]
pub fn max_similarity(picture: &Detail) -> f32 {
    equal(picture).max_similarity
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work)
}

/// Registers two pictures, the first of them turned already.
fn upright(a: &Detail, b: &Detail, turn: Turn, starts: &[Start]) -> Alignment {
    let Some(fit) = align(a, b, starts) else {
        return Alignment {
            turn,
            ..Alignment::NONE
        };
    };
    let Some(back) = fit.map.inverse() else {
        return Alignment {
            turn,
            ..Alignment::NONE
        };
    };
    let level = a.levels.len().min(b.levels.len()) - 1;
    // The grid is that of the picture that shows more, so that the other is reduced and not
    // enlarged.
    let forward = fit.map.determinant() >= 1.0;
    let (grid, other, map, inverse) = if forward {
        (a, b, fit.map, back)
    } else {
        (b, a, back, fit.map)
    };
    let found = with_scratch(|scratch| agreement(grid, other, level, &map, scratch));
    let needs = needs::needs(
        &grid.levels[level],
        &other.levels[level],
        &map,
        turn,
        &found,
    );
    let covered = covered(&inverse);
    Alignment {
        similarity: found.similarity(),
        max_similarity: found.max_similarity(),
        map: fit.map,
        turn,
        overlap: if forward {
            [found.overlap, covered]
        } else {
            [covered, found.overlap]
        },
        texture: found.texture,
        agreement: found.agreement(),
        colour: found.colour,
        gain: if forward {
            found.gain
        } else {
            1.0 / found.gain
        },
        brighter: if forward {
            found.brighter
        } else {
            -found.brighter
        },
        needs,
    }
}

/// The share of a frame that lands in the other, counted on a grid of 32 × 32.
fn covered(map: &Affine) -> f32 {
    const N: usize = 32;
    let inside = |i: &usize| {
        map.apply([at(i % N, N), at(i / N, N)])
            .iter()
            .all(|u| u.abs() <= 1.0)
    };
    (0..N * N).filter(inside).count() as f32 / (N * N) as f32
}

/// From coarse to fine; gives up where a level leaves no hope.
fn align(a: &Detail, b: &Detail, starts: &[Start]) -> Option<Fit> {
    thread_local! {
        static FIXED: RefCell<Fixed> = RefCell::default();
    }
    let mut fits: Vec<Fit> = starts
        .iter()
        .map(|start| Fit {
            map: start.map,
            score: start.score,
        })
        .collect();
    for (level, (a, b)) in a.levels.iter().zip(&b.levels).enumerate() {
        fits.truncate(STARTS[level]);
        fits = FIXED.with_borrow_mut(|fixed| {
            fixed.fill(a);
            refined(&fits, fixed, b, level)
        })?;
    }
    fits.first().copied()
}

/// The refined fits of a level, best first; none where there is no hope.
fn refined(fits: &[Fit], fixed: &Fixed, other: &Level, level: usize) -> Option<Vec<Fit>> {
    let fits = apart(fits, fixed);
    let looks: Vec<Look> = fits.iter().map(|fit| fixed.look(other, &fit.map)).collect();
    let [before, after] = HOPE[level];
    if looks.iter().all(|look| look.score < before) {
        return None;
    }
    let mut fits: Vec<Fit> = fits
        .iter()
        .zip(looks)
        .map(|(fit, look)| fixed.refine(other, fit.map, look, STEPS[level]))
        .collect();
    fits.sort_by(|a, b| b.score.total_cmp(&a.score));
    (fits[0].score >= after).then_some(fits)
}

/// Those that are not where a better one is already: refinement would take both to the same place.
fn apart(fits: &[Fit], fixed: &Fixed) -> Vec<Fit> {
    let mut kept: Vec<Fit> = Vec::with_capacity(fits.len());
    for fit in fits {
        if kept
            .iter()
            .all(|better| fixed.samples_apart(&better.map, &fit.map) >= SAME)
        {
            kept.push(*fit);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
