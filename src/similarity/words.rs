//! An [`Alignment`] → words and the few numbers that a person reads from it: what the first picture
//! is of the second.
//!
//! Only what the alignment knows is said. Shares are of the sides of the standardised frame; so are
//! angles, which are those of the file only where that is square. Which of two pictures lost its
//! colours, or is partly covered, is not known.

use std::fmt;

use super::register::{Affine, Alignment, BRIGHTER, GAIN, MISSES, Needs, TINTED};

/// Two shares of sides that are as near as this are told as one.
const ALIKE: f32 = 0.03;
/// A part lies at a side if it leaves this many times as much on the other one, and at least this
/// share more.
const LEANS: [f32; 2] = [2.0, 0.02];
impl Alignment {
    /// Whether a way was found to lay one picture on the other.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.similarity > 0.0 || self.texture > 0.0
    }

    /// The map from the frame of the first picture, turned and mirrored to lie like the second, to
    /// that of the second.
    #[must_use]
    pub fn turned_map(&self) -> Affine {
        self.map.after(&self.turn.to_original())
    }

    /// Width and height of what the first picture's frame spans, in those of the second's: under 1
    /// for a crop, over 1 for a picture with a border.
    #[must_use]
    pub fn scale(&self) -> [f32; 2] {
        self.turned_map().scales()
    }

    /// By how many degrees the first picture is turned against the second, clockwise, beside
    /// mirroring and quarter turns.
    #[must_use]
    pub fn rotation(&self) -> f32 {
        let sine = if self.turn.mirrors() {
            self.turned_map().sine()
        } else {
            -self.turned_map().sine()
        };
        // Zero has no sign here.
        sine.clamp(-1.0, 1.0).asin().to_degrees() + 0.0
    }

    /// The part of the second picture that the first one shows, in shares of its sides from the
    /// upper left corner: left, top, right, bottom.
    #[must_use]
    pub fn shown(&self) -> [f32; 4] {
        let (map, [across, down]) = (self.turned_map().0, self.scale());
        let span = |centre: f32, half: f32| {
            [centre - half, centre + half].map(|u| (0.5 * (u + 1.0)).clamp(0.0, 1.0))
        };
        let ([left, right], [top, bottom]) = (span(map[2], across), span(map[5], down));
        [left, top, right, bottom]
    }

    /// What the first picture is of the second: "mirrored, 85 % crop, upper left".
    #[must_use]
    pub fn words(&self) -> String {
        if !self.is_found() {
            return "no way was found to lay one on the other".to_owned();
        }
        let mut words = Vec::new();
        words.extend(self.turn_words());
        words.extend(self.rotation_words());
        words.extend(self.frame_words());
        words.extend(self.light_words());
        words.extend(
            self.needs
                .has(Needs::OVERLAY)
                .then(|| "partly covered".to_owned()),
        );
        if !words.is_empty() {
            words.join(", ")
        } else if self.similarity >= 1.0 {
            "the same picture".to_owned()
        } else {
            "the same frame".to_owned()
        }
    }

    /// Mirrors and quarter turns. The first picture is the second one turned back.
    fn turn_words(&self) -> Option<String> {
        let back = self.turn.inverse();
        let words = match (back.mirrors(), back.quarters()) {
            (false, 0) => return None,
            (false, 1) => "turned by 90° counter-clockwise",
            (false, 2) => "turned by 180°",
            (false, _) => "turned by 90° clockwise",
            (true, 0) => "mirrored",
            (true, 1) => "mirrored and turned by 90° counter-clockwise",
            (true, 2) => "mirrored upside down",
            (true, _) => "mirrored and turned by 90° clockwise",
        };
        Some(words.to_owned())
    }

    fn rotation_words(&self) -> Option<String> {
        let degrees = self.rotation();
        let way = if degrees > 0.0 {
            "clockwise"
        } else {
            "counter-clockwise"
        };
        self.needs
            .has(Needs::ROTATION)
            .then(|| format!("rotated by {:.0}° {way}", degrees.abs().max(1.0)))
    }

    /// What of the second picture is shown, and what more.
    fn frame_words(&self) -> Vec<String> {
        let [beyond, lacking] = self.overlap.map(|share| share < 1.0 - MISSES);
        let (border, crop) = (self.needs.has(Needs::BORDER), self.needs.has(Needs::CROP));
        let mut words = Vec::new();
        if lacking && border && !crop && !beyond {
            words.push("without its border".to_owned());
        } else if lacking {
            let [left, top, right, bottom] = self.shown();
            words.push(format!("{} crop", sides([right - left, bottom - top])));
            words.push(place(self.shown()));
        }
        if beyond && lacking {
            words.push(format!(
                "{:.0} % of it lies beyond the other",
                100.0 * (1.0 - self.overlap[0])
            ));
        } else if beyond {
            words.push(format!(
                "shows {}{}",
                sides(self.scale()),
                if border && !crop { " (a border)" } else { "" }
            ));
        }
        words
    }

    fn light_words(&self) -> Vec<String> {
        let photometric = self.needs.has(Needs::PHOTOMETRIC);
        let said = [
            (photometric && self.brighter > BRIGHTER, "brighter"),
            (photometric && self.brighter < -BRIGHTER, "darker"),
            (photometric && self.gain > GAIN, "more contrast"),
            (photometric && self.gain * GAIN < 1.0, "less contrast"),
            (photometric && self.colour < TINTED, "another tint"),
            (self.needs.has(Needs::GREYSCALE), "greyscale"),
        ];
        said.into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, words)| words.to_owned())
            .collect()
    }
}

impl Needs {
    /// Whether all of a set is in this one.
    fn has(self, other: Self) -> bool {
        other.within(self)
    }
}

impl fmt::Display for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.words())
    }
}

/// "85 %", or width and height.
fn sides([across, down]: [f32; 2]) -> String {
    if (across - down).abs() <= ALIKE {
        format!("{:.0} %", 50.0 * (across + down))
    } else {
        format!("{:.0} % × {:.0} %", 100.0 * across, 100.0 * down)
    }
}

/// Where a part lies in its frame.
fn place([left, top, right, bottom]: [f32; 4]) -> String {
    let leans = |less: f32, more: f32| more > LEANS[0] * less + LEANS[1];
    let side = |before: f32, after: f32, names: [&'static str; 2]| match (
        leans(before, after),
        leans(after, before),
    ) {
        (true, _) => Some(names[0]),
        (_, true) => Some(names[1]),
        _ => None,
    };
    let across = side(left, 1.0 - right, ["left", "right"]);
    match (side(top, 1.0 - bottom, ["upper", "lower"]), across) {
        (Some(down), Some(across)) => format!("{down} {across}"),
        (Some(down), None) => format!("{down} part"),
        (None, Some(across)) => format!("{across} part"),
        (None, None) => "centre".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::register::Turn;

    /// What is found where the first picture, turned back, shows a square of the second: scale,
    /// shift.
    fn found(turn: Turn, scale: f32, shift: [f32; 2], needs: Needs) -> Alignment {
        let map = Affine([scale, 0.0, shift[0], 0.0, scale, shift[1]]);
        let inside = |shift: f32| ((shift + scale).min(1.0) - (shift - scale).max(-1.0)) / 2.0;
        let area = inside(shift[0]) * inside(shift[1]);
        Alignment {
            similarity: 0.9,
            max_similarity: 0.9,
            map: map.after(&turn.inverse().to_original()),
            turn,
            overlap: [area / (scale * scale), area],
            texture: 0.5,
            agreement: 0.9,
            colour: 1.0,
            gain: 1.0,
            brighter: 0.0,
            needs,
        }
    }

    fn words(scale: f32, shift: [f32; 2], needs: Needs) -> String {
        found(Turn::NONE, scale, shift, needs).words()
    }

    #[test]
    fn a_crop_is_told_with_its_size_and_place() {
        assert_eq!(
            words(0.85, [-0.15, -0.15], Needs::CROP),
            "85 % crop, upper left"
        );
        assert_eq!(
            words(0.85, [0.15, 0.15], Needs::CROP),
            "85 % crop, lower right"
        );
        assert_eq!(words(0.8, [0.0, 0.2], Needs::CROP), "80 % crop, lower part");
        assert_eq!(
            words(0.8, [-0.2, 0.02], Needs::CROP),
            "80 % crop, left part"
        );
        assert_eq!(words(0.7, [0.0, 0.0], Needs::CROP), "70 % crop, centre");
        assert_eq!(
            words(1.0, [0.2, 0.0], Needs::CROP),
            "90 % × 100 % crop, right part, 10 % of it lies beyond the other"
        );
    }

    #[test]
    fn borders_and_wider_views_are_told_from_crops() {
        assert_eq!(
            words(1.2, [0.0, 0.0], Needs::BORDER),
            "shows 120 % (a border)"
        );
        assert_eq!(words(1.2, [0.0, 0.0], Needs::CROP), "shows 120 %");
        assert_eq!(words(0.8, [0.0, 0.0], Needs::BORDER), "without its border");
        assert_eq!(
            words(1.2, [0.0, 0.0], Needs::BORDER.and(Needs::CROP)),
            "shows 120 %"
        );
    }

    #[test]
    fn every_turn_is_told_as_what_was_done_to_the_second_picture() {
        let of = |turn: usize| found(Turn::ALL[turn], 1.0, [0.0; 2], Needs::QUARTER_TURN).words();
        let told: Vec<String> = (0..8).map(of).collect();
        assert_eq!(
            told,
            [
                "the same frame",
                "turned by 90° clockwise",
                "turned by 180°",
                "turned by 90° counter-clockwise",
                "mirrored",
                "mirrored and turned by 90° counter-clockwise",
                "mirrored upside down",
                "mirrored and turned by 90° clockwise",
            ]
        );
        let both = found(
            Turn::ALL[4],
            0.85,
            [-0.15, -0.15],
            Needs::CROP.and(Needs::MIRROR),
        );
        assert_eq!(both.words(), "mirrored, 85 % crop, upper left");
    }

    #[test]
    fn a_small_rotation_is_told_with_its_sense() {
        let (sine, cosine) = (0.087_155_74f32, 0.996_194_7f32);
        // A step to the right in the first picture goes right and down in the second: its content
        // is turned the other way.
        let turned = |turn: Turn| {
            let map = Affine([cosine, -sine, 0.0, sine, cosine, 0.0]);
            Alignment {
                map: map.after(&turn.inverse().to_original()),
                ..found(turn, 1.0, [0.0; 2], Needs::ROTATION)
            }
        };
        assert_eq!(
            turned(Turn::NONE).words(),
            "rotated by 5° counter-clockwise"
        );
        assert!((turned(Turn::NONE).rotation() + 5.0).abs() < 1e-3);
        assert_eq!(
            turned(Turn::ALL[4]).words(),
            "mirrored, rotated by 5° clockwise"
        );
    }

    #[test]
    fn light_and_colour_are_told_if_they_were_needed() {
        let light = |gain: f32, brighter: f32, colour: f32, needs: Needs| {
            Alignment {
                gain,
                brighter,
                colour,
                ..found(Turn::NONE, 1.0, [0.0; 2], needs)
            }
            .words()
        };
        assert_eq!(light(1.0, 20.0, 1.0, Needs::PHOTOMETRIC), "brighter");
        assert_eq!(
            light(0.5, -20.0, 1.0, Needs::PHOTOMETRIC),
            "darker, less contrast"
        );
        assert_eq!(
            light(1.3, 0.0, 0.5, Needs::PHOTOMETRIC),
            "more contrast, another tint"
        );
        assert_eq!(light(1.3, 20.0, 1.0, Needs::NOTHING), "the same frame");
        assert_eq!(light(1.0, 0.0, 1.0, Needs::GREYSCALE), "greyscale");
        assert_eq!(light(1.0, 0.0, 1.0, Needs::OVERLAY), "partly covered");
    }

    #[test]
    fn what_was_not_found_and_what_is_equal_are_told() {
        let none = Alignment {
            similarity: 0.0,
            texture: 0.0,
            ..found(Turn::NONE, 1.0, [0.0; 2], Needs::NOTHING)
        };
        assert_eq!(none.words(), "no way was found to lay one on the other");
        assert_eq!(
            Alignment {
                similarity: 1.0,
                ..found(Turn::NONE, 1.0, [0.0; 2], Needs::NOTHING)
            }
            .words(),
            "the same picture"
        );
    }
}
