//! Registration of pictures that are made here: known transforms, symmetry, pictures that tell
//! nothing, hostile pictures.

use super::*;
use crate::picture::{Picture, Shape};
use proptest::prelude::*;

/// A textured scene, defined everywhere: smooth noise of several scales, a value for a seed, plane
/// and place.
fn scene(seed: u32, plane: usize, [x, y]: [f32; 2]) -> f32 {
    let hash = |i: i32, j: i32, octave: u32| {
        let mut h = seed
            ^ (i as u32).wrapping_mul(0x9e37_79b9)
            ^ (j as u32).wrapping_mul(0x85eb_ca6b)
            ^ octave.wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        ((h ^ (h >> 15)) & 0xffff) as f32 / 65_535.0 - 0.5
    };
    let noise = |octave: u32| {
        let scale = (2 << octave) as f32;
        let (u, v) = (x * scale, y * scale);
        let (i, j) = (u.floor(), v.floor());
        let (p, q) = (u - i, v - j);
        let at = |di: i32, dj: i32| {
            hash(
                i as i32 + di,
                j as i32 + dj,
                octave + 8 * (plane > 0) as u32 + plane as u32 * 64,
            )
        };
        let (a, b) = (
            at(0, 0) + p * (at(1, 0) - at(0, 0)),
            at(0, 1) + p * (at(1, 1) - at(0, 1)),
        );
        a + q * (b - a)
    };
    128.0 + 110.0 * noise(0) + 90.0 * noise(1) + 80.0 * noise(2) + 50.0 * noise(3)
}

/// What of the scene a frame shows that a map puts there: grey, with some colour.
fn shot(seed: u32, size: u16, planes: u8, map: &Affine) -> Picture {
    let (shape, n) = (Shape::new(size, planes).unwrap(), usize::from(size));
    let sample = |i: usize| {
        let place = map.apply([at(i % n, n), at(i / n % n, n)]);
        let tint = if i < n * n {
            0.0
        } else {
            0.3 * (scene(seed, i / (n * n), place) - 128.0)
        };
        (scene(seed, 0, place) + tint).clamp(0.0, 255.0) as u8
    };
    Picture::from_samples(shape, (0..shape.len()).map(sample).collect()).unwrap()
}

fn changed(picture: &Picture, change: impl Fn(usize, usize, u8) -> u8) -> Picture {
    let n = usize::from(picture.shape().size);
    let samples = picture
        .samples()
        .iter()
        .enumerate()
        .map(|(i, &v)| change(i % n, i / n % n, v))
        .collect();
    Picture::from_samples(picture.shape(), samples).unwrap()
}

fn pair(a: &Picture, b: &Picture) -> Alignment {
    register(&Prepared::of(a), &Prepared::of(b), Turn::NONE)
}

/// The farthest that two maps differ over the corners of the frame, in samples of a side of 64.
fn error(a: &Affine, b: &Affine) -> f32 {
    let corners = [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0f32]];
    corners
        .iter()
        .flat_map(|&c| [0, 1].map(|i| 32.0 * (a.apply(c)[i] - b.apply(c)[i]).abs()))
        .fold(0.0, f32::max)
}

#[test]
fn known_maps_are_recovered_to_half_a_sample() {
    let maps = [
        Affine::IDENTITY,
        Affine([0.8, 0.0, 0.1, 0.0, 0.8, -0.15]),
        Affine([0.7, 0.0, -0.25, 0.0, 0.7, 0.2]),
        Affine([1.2, 0.0, 0.0, 0.0, 1.2, 0.0]),
        Affine([1.0, 0.0, 0.1, 0.0, 1.0, 0.06]),
        Affine([0.95, 0.0, 0.0, 0.0, 0.8, 0.1]),
        Affine([0.996, -0.087, 0.0, 0.087, 0.996, 0.0]),
        Affine([0.9, 0.05, 0.05, -0.03, 0.85, -0.02]),
    ];
    for (seed, map) in (1..).zip(&maps) {
        let (whole, part) = (shot(seed, 64, 3, &Affine::IDENTITY), shot(seed, 64, 3, map));
        let found = pair(&part, &whole);
        assert!(error(&found.map, map) < 0.5, "{map:?}: {found:?}");
        assert!(found.similarity > 0.75, "{map:?}: {found:?}");
    }
}

#[test]
fn pictures_of_different_scenes_are_not_similar() {
    for seed in 0..40 {
        let (a, b) = (
            shot(seed, 64, 3, &Affine::IDENTITY),
            shot(seed + 1000, 64, 3, &Affine::IDENTITY),
        );
        assert!(pair(&a, &b).similarity < 0.35, "{seed}");
    }
}

#[test]
fn each_change_is_named() {
    let a = shot(3, 64, 3, &Affine::IDENTITY);
    let needs = |b: &Picture| pair(&a, b).needs;
    assert_eq!(needs(&changed(&a, |_, _, v| v ^ 1)), Needs::NOTHING);
    assert_eq!(
        needs(&changed(&a, |_, _, v| v / 2 + 20)),
        Needs::PHOTOMETRIC
    );
    assert_eq!(
        needs(&shot(3, 64, 3, &Affine([0.8, 0.0, 0.1, 0.0, 0.8, 0.1]))),
        Needs::CROP
    );
    assert_eq!(
        needs(&changed(&a, |_, y, v| if y < 12 { 20 } else { v })).and(Needs::PHOTOMETRIC),
        Needs::OVERLAY.and(Needs::PHOTOMETRIC)
    );
    let framed = changed(
        &shot(3, 64, 3, &Affine([1.2, 0.0, 0.0, 0.0, 1.2, 0.0])),
        |x, y, v| {
            let inside = |k: usize| (f32::abs(at(k, 64)) * 1.2) <= 1.0;
            if inside(x) && inside(y) { v } else { 255 }
        },
    );
    assert_eq!(needs(&framed), Needs::BORDER);
    let grey = {
        let luma = a
            .plane(0)
            .iter()
            .zip(a.plane(1))
            .zip(a.plane(2))
            .map(|((&r, &g), &b)| ((u16::from(r) + 2 * u16::from(g) + u16::from(b)) / 4) as u8);
        let luma: Vec<u8> = luma.collect();
        Picture::from_samples(a.shape(), [&luma[..], &luma, &luma].concat()).unwrap()
    };
    assert_eq!(needs(&grey), Needs::GREYSCALE);
    assert!(pair(&a, &grey).similarity > 0.8);
}

#[test]
fn turned_pictures_are_found_under_their_turn() {
    let a = shot(5, 32, 3, &Affine::IDENTITY);
    let (n, prepared) = (32, Prepared::of(&a));
    for turn in Turn::ALL {
        let samples = (0..3).flat_map(|i| turn.of(a.plane(i), n)).collect();
        let other = Prepared::of(&Picture::from_samples(a.shape(), samples).unwrap());
        let found = register(&prepared, &other, turn);
        assert!(found.similarity > 0.8, "{turn:?} {found:?}");
        assert!(
            error(&found.map, &turn.inverse().to_original()) < 0.5,
            "{turn:?} {found:?}"
        );
        assert_eq!(
            found.needs,
            Needs::MIRROR
                .when(turn.mirrors())
                .and(Needs::QUARTER_TURN.when(turn.quarters() != 0))
        );
        let back = register(&other, &prepared, turn.inverse());
        assert_eq!(
            (back.similarity, back.overlap, back.needs),
            (
                found.similarity,
                [found.overlap[1], found.overlap[0]],
                found.needs
            )
        );
    }
}

#[test]
fn what_tells_nothing_is_similar_to_nothing_but_itself() {
    let of = |value: &dyn Fn(usize, usize) -> u8| {
        changed(&shot(1, 32, 3, &Affine::IDENTITY), |x, y, _| value(x, y))
    };
    let dull = [
        of(&|_, _| 0),
        of(&|_, _| 255),
        of(&|_, _| 128),
        of(&|x, _| if x < 16 { 0 } else { 255 }),
        of(&|x, _| if x < 17 { 10 } else { 240 }),
    ];
    let dull = [
        &dull[..],
        &[
            of(&|x, y| (4 * x + y) as u8),
            of(&|x, y| (3 * x + y + 40) as u8),
            of(&|x, y| u8::from(x == 9 && y == 9) * 255),
        ],
    ]
    .concat();
    for (i, a) in dull.iter().enumerate() {
        for (j, b) in dull.iter().enumerate() {
            let found = pair(a, b);
            if i == j {
                assert_eq!((found.similarity, found.needs), (1.0, Needs::NOTHING));
            } else {
                assert!(found.similarity < EDGE_SIMILARITY, "{i} {j} {found:?}");
                assert!(
                    i.max(j) > 4 || found.max_similarity < EDGE_SIMILARITY,
                    "{i} {j} {found:?}"
                );
            }
        }
        assert!(pair(a, &shot(7, 32, 3, &Affine::IDENTITY)).similarity < 0.3);
    }
}

#[test]
fn hostile_pictures_of_every_size_do_no_harm() {
    for (size, planes) in [
        (8, 1),
        (8, 3),
        (10, 3),
        (28, 1),
        (30, 3),
        (48, 3),
        (50, 1),
        (64, 3),
        (96, 1),
        (256, 3),
    ] {
        let shape = Shape::new(size, planes).unwrap();
        let patterns: [&dyn Fn(usize) -> u8; 5] = [
            &|_| 0,
            &|i| (i % 2 * 255) as u8,
            &|i| ((i * 7919) >> 3) as u8,
            &|i| (i / usize::from(size) % 2 * 255) as u8,
            &|i| u8::from(i == 0) * 255,
        ];
        let prepared = patterns.map(|value| {
            Prepared::of(
                &Picture::from_samples(shape, (0..shape.len()).map(value).collect()).unwrap(),
            )
        });
        for a in &prepared {
            for b in &prepared {
                for turn in [Turn::ALL[0], Turn::ALL[5]] {
                    let found = register(a, b, turn);
                    assert!(
                        (0.0..=1.0).contains(&found.similarity)
                            && found.map.0.iter().all(|m| m.is_finite()),
                        "{size} {found:?}"
                    );
                }
                assert!((0.0..=1.01).contains(&start_score(&a.outline, &b.outline)));
            }
        }
    }
    // Sizes that never meet in one index.
    let (small, large) = (
        shot(1, 8, 1, &Affine::IDENTITY),
        shot(1, 256, 3, &Affine::IDENTITY),
    );
    assert!(pair(&small, &large).similarity.is_finite());
}

#[test]
fn turned_templates_are_templates_of_the_turned_picture() {
    let picture = shot(9, 32, 1, &Affine::IDENTITY);
    let outline = Outline::of(&picture);
    for turn in Turn::ALL {
        let turned = outline.turned(turn);
        assert!(start_score(&turned.turned(turn.inverse()), &outline) > 0.999);
        let again = Picture::from_samples(picture.shape(), turn.of(picture.samples(), 32)).unwrap();
        assert!(
            start_score(&Outline::of(&again), &turned) > 0.98,
            "{turn:?}"
        );
    }
}

/// The bits of an alignment, written down once: they must be the same on every machine.
#[test]
fn a_known_pair_has_known_bits() {
    let found = pair(
        &shot(11, 64, 3, &Affine::IDENTITY),
        &shot(11, 64, 3, &Affine([0.9, 0.02, 0.05, -0.01, 0.85, -0.05])),
    );
    let bits = [found.similarity, found.map.0[0], found.map.0[5]].map(f32::to_bits);
    assert_eq!(bits, KNOWN_BITS, "{found:?}");
}

const KNOWN_BITS: [u32; 3] = [1_062_865_893, 1_066_295_347, 1_030_544_529];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_orders_say_the_same(seed in 0u32..1000, same: bool, scale in 0.7f32..1.3, dx in -0.2f32..0.2, turn in 0usize..8) {
        let turn = Turn::ALL[turn];
        let a = shot(seed, 32, 3, &Affine::IDENTITY);
        let b = shot(if same { seed } else { seed + 7 }, 32, 3, &Affine([scale, 0.0, dx, 0.0, scale, -dx]));
        let (a, b) = (Prepared::of(&a), Prepared::of(&b));
        let (one, two) = (register(&a, &b, turn), register(&b, &a, turn.inverse()));
        prop_assert_eq!(one.similarity.to_bits(), two.similarity.to_bits());
        prop_assert_eq!((one.needs, one.overlap, one.turn), (two.needs, [two.overlap[1], two.overlap[0]], two.turn.inverse()));
        prop_assert!(one.similarity == 0.0 || error(&one.map.after(&two.map), &Affine::IDENTITY) < 0.01);
        prop_assert_eq!(one, register(&a, &b, turn));
    }

    #[test]
    fn noise_of_any_kind_gives_a_similarity(a in proptest::collection::vec(any::<u8>(), 8 * 8 * 3), b in proptest::collection::vec(any::<u8>(), 8 * 8 * 3)) {
        let of = |samples| Picture::from_samples(Shape::new(8, 3).unwrap(), samples).unwrap();
        prop_assert!((0.0..=1.0).contains(&pair(&of(a), &of(b)).similarity));
    }
}

#[test]
fn the_finest_scale_is_the_one_that_decided_and_noise_spoils_fine_scales_first() {
    let a = shot(21, 64, 3, &Affine::IDENTITY);
    let cropped = shot(21, 64, 3, &Affine([0.8, 0.0, 0.1, 0.0, 0.8, -0.1]));
    for (b, turn) in [(&cropped, Turn::NONE), (&cropped, Turn::ALL[6])] {
        let n = 64;
        let turned = Picture::from_samples(
            b.shape(),
            (0..3)
                .flat_map(|i| turn.inverse().of(b.plane(i), n))
                .collect(),
        )
        .unwrap();
        let (a, b) = (Prepared::of(&turned), Prepared::of(&a));
        let found = register(&a, &b, turn);
        let scales = by_scale(&a, &b, &found);
        assert_eq!(
            scales.iter().map(|scale| scale.side).collect::<Vec<_>>(),
            [16, 32, 64]
        );
        assert!(
            (scales[2].similarity - found.similarity).abs() < 0.01 && found.similarity > 0.75,
            "{scales:?} {found:?}"
        );
    }
    let noisy = changed(&a, |x, y, v| {
        v.saturating_add((x * 7919 + y * 104_729) as u8 % 61)
    });
    let (a, noisy) = (Prepared::of(&a), Prepared::of(&noisy));
    let scales = by_scale(&a, &noisy, &register(&a, &noisy, Turn::NONE));
    assert!(
        scales[0].agreement > scales[2].agreement + 0.05,
        "{scales:?}"
    );
    assert!(by_scale(&a, &noisy, &Alignment::NONE).is_empty());
}

#[test]
fn brightness_and_contrast_are_those_of_the_first_picture_in_both_orders() {
    let a = shot(3, 64, 3, &Affine::IDENTITY);
    let dim = changed(&a, |_, _, v| v / 2 + 20);
    let (one, two) = (pair(&a, &dim), pair(&dim, &a));
    assert!(
        (one.gain - 2.0).abs() < 0.1 && one.brighter > 20.0,
        "{one:?}"
    );
    assert!(
        (two.gain * one.gain - 1.0).abs() < 1e-5 && two.brighter == -one.brighter,
        "{two:?}"
    );
    assert!(
        one.words().contains("brighter") && two.words() == "darker, less contrast",
        "{one} {two}"
    );
}
