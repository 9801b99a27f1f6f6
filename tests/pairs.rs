//! Pairs as a user meets them: `compare`, `calibrate`, alignments in words, pictures that tell too
//! little, and images of odd shapes.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    images::{brighter, mirrored, ppm, write},
    wsidx,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Standard output of a command as JSON.
fn answer(folder: &Path, arguments: &[&str], status: i32) -> Value {
    json(
        &wsidx(folder, arguments.iter().chain(&["--format", "json"]))
            .expect(status)
            .stdout,
    )
}

/// A P6 file of some size, with a comment that makes the bytes differ and not the picture.
fn file(
    width: usize,
    height: usize,
    note: usize,
    value: impl Fn(usize, usize) -> [u8; 3],
) -> Vec<u8> {
    let mut bytes = format!("P6\n# {note}\n{width} {height}\n255\n").into_bytes();
    (0..width * height).for_each(|i| bytes.extend(value(i % width, i / width)));
    bytes
}

fn flat(grey: u8, note: usize) -> Vec<u8> {
    file(16, 16, note, |_, _| [grey; 3])
}

/// Ten pictures, and what else is given, indexed at 16 × 16.
fn dataset(more: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    (0..10).for_each(|seed| {
        write(
            tree.path(),
            &format!("train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    });
    more.iter()
        .for_each(|(name, bytes)| write(tree.path(), name, bytes));
    wsidx(tree.path(), ["init", "--size", "16"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

#[test]
fn compare_says_what_a_pair_is_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.ppm", &ppm(1, 64));
    write(folder.path(), "m.ppm", &mirrored(&ppm(1, 64), 64));
    write(folder.path(), "other.ppm", &ppm(2, 64));
    let found = answer(folder.path(), &["compare", "m.ppm", "a.ppm"], 0);
    assert_eq!(
        (
            &found["schema"],
            &found["decision"],
            &found["near_duplicate"]
        ),
        (
            &"wsidx.compare/1".into(),
            &"near-duplicate".into(),
            &true.into()
        )
    );
    assert_eq!(
        (&found["size"], &found["a"]["path"], &found["a"]["width"]),
        (&64.into(), &"m.ppm".into(), &64.into())
    );
    let alignment = &found["alignment"];
    assert_eq!(
        (
            &alignment["words"],
            &alignment["mirrored"],
            &alignment["quarter_turns"]
        ),
        (&"mirrored".into(), &true.into(), &0.into())
    );
    let map: Vec<f64> = alignment["map"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_f64().unwrap())
        .collect();
    assert!(
        map.iter()
            .zip([-1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
            .all(|(m, known)| (m - known).abs() < 0.01),
        "{map:?}"
    );
    assert_eq!(
        found["scales"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["side"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [16, 32, 64]
    );
    assert_eq!(
        answer(folder.path(), &["compare", "a.ppm", "a.ppm"], 0)["decision"],
        "same pixels"
    );
    assert_eq!(
        answer(folder.path(), &["compare", "a.ppm", "other.ppm"], 0)["decision"],
        "different"
    );
    assert_eq!(
        answer(
            folder.path(),
            &["compare", "a.ppm", "m.ppm", "--size", "32"],
            0
        )["scales"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let text = wsidx(folder.path(), ["compare", "m.ppm", "a.ppm"])
        .expect(0)
        .stdout;
    assert!(
        text.contains("near-duplicate: similarity") && text.contains("A is of B    mirrored"),
        "{text}"
    );
    write(folder.path(), "broken.png", b"no picture");
    assert!(
        wsidx(folder.path(), ["compare", "a.ppm", "broken.png"])
            .expect(2)
            .stderr
            .contains("broken.png")
    );
    assert!(
        wsidx(folder.path(), ["compare", "a.ppm", "gone.ppm"])
            .expect(2)
            .stderr
            .contains("gone.ppm")
    );
    wsidx(folder.path(), ["compare", "a.ppm", "a.ppm", "--size", "7"]).expect(2);
}

#[test]
fn compare_draws_the_pair_and_never_over_one_of_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(folder.path(), "a.ppm", &ppm(1, 64));
    write(folder.path(), "b.png", &ppm(2, 64));
    write(folder.path(), "pair.png", b"something older");
    wsidx(
        folder.path(),
        ["compare", "a.ppm", "b.png", "--out", "pair.png"],
    )
    .expect(0);
    let drawn = fs::read(at("pair.png")).unwrap();
    // Three square panels of 384 pixels, and 8 around each; in the header of a PNG from byte 16 on.
    let sides = [16, 20].map(|at| u32::from_be_bytes(drawn[at..at + 4].try_into().unwrap()));
    assert_eq!(
        (drawn.starts_with(b"\x89PNG"), sides),
        (true, [3 * 384 + 4 * 8, 384 + 2 * 8])
    );
    wsidx(
        folder.path(),
        ["compare", "a.ppm", "b.png", "--out", "again.png"],
    )
    .expect(0);
    assert_eq!(fs::read(at("again.png")).unwrap(), drawn);
    assert!(
        wsidx(
            folder.path(),
            ["compare", "a.ppm", "b.png", "--out", "./b.png"]
        )
        .expect(2)
        .stderr
        .contains("one of the images")
    );
    assert_eq!(fs::read(at("b.png")).unwrap(), ppm(2, 64));
    assert!(
        wsidx(
            folder.path(),
            ["compare", "a.ppm", "b.png", "--out", "pair.jpg"]
        )
        .expect(2)
        .stderr
        .contains(".png")
    );
    wsidx(
        folder.path(),
        ["compare", "a.ppm", "b.png", "--out", "nowhere/pair.png"],
    )
    .expect(2);
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn compare_keeps_to_the_rule_of_a_dataset_and_knows_what_is_gone_from_disk() {
    let tree = dataset(&[("train/cat/mirror.ppm", mirrored(&ppm(4, 16), 16))]);
    fs::remove_file(tree.path().join("train/cat/4.ppm")).unwrap();
    let pair = ["compare", "train/cat/mirror.ppm", "train/cat/4.ppm"];
    let found = answer(tree.path(), &pair, 0);
    assert_eq!(
        (&found["size"], &found["decision"], &found["b"]["width"]),
        (&16.into(), &"near-duplicate".into(), &16.into()),
        "{found}"
    );
    wsidx(tree.path(), pair.iter().chain(&["--out", "pair.png"])).expect(0);
    assert!(
        wsidx(tree.path(), pair.iter().chain(&["--size", "32"]))
            .expect(2)
            .stderr
            .contains("--size")
    );
    fs::write(
        tree.path().join("wsidx.toml"),
        "[edges]\naccept = [\"photometric\"]\n",
    )
    .unwrap();
    let found = answer(tree.path(), &pair, 0);
    assert_eq!(
        (&found["decision"], &found["refused"]),
        (&"change not accepted".into(), &json("[\"mirror\"]"))
    );
    assert!(
        wsidx(tree.path(), pair)
            .expect(0)
            .stdout
            .contains("does not accept mirror")
    );
}

#[test]
fn query_and_check_say_how_a_near_duplicate_lies() {
    let tree = dataset(&[]);
    write(
        tree.path(),
        "train/cat/mirror.ppm",
        &mirrored(&ppm(4, 16), 16),
    );
    let query = answer(
        tree.path(),
        &["query", "train/cat/mirror.ppm", "-k", "3"],
        0,
    );
    let neighbors = query[0]["neighbors"].as_array().unwrap();
    assert_eq!(
        (
            &neighbors[0]["alignment"]["words"],
            &neighbors[1]["alignment"]
        ),
        (&"mirrored".into(), &Value::Null)
    );
    assert_eq!(
        (&query[0]["texture"], &neighbors[0]["too_little_texture"]),
        (&"enough".into(), &false.into())
    );
    assert!(
        wsidx(tree.path(), ["query", "train/cat/mirror.ppm"])
            .expect(0)
            .stdout
            .lines()
            .nth(1)
            .unwrap()
            .ends_with("mirrored")
    );
    let check = answer(tree.path(), &["check", "train/cat/mirror.ppm"], 1);
    let near = check[0]["near_duplicates"].as_array().unwrap();
    assert_eq!(
        (near.len(), &near[0]["path"], &near[0]["alignment"]["words"]),
        (1, &"train/cat/4.ppm".into(), &"mirrored".into())
    );
    assert!(
        check[0]["message"]
            .as_str()
            .unwrap()
            .ends_with(": mirrored"),
        "{}",
        check[0]["message"]
    );
}

#[test]
fn flat_pictures_are_near_duplicates_of_the_same_pixels_only() {
    let tree = dataset(&[
        ("train/cat/black.ppm", flat(0, 1)),
        ("train/dog/grey.ppm", flat(100, 1)),
    ]);
    let judged = |name: &str, bytes: Vec<u8>, status| {
        write(tree.path(), name, &bytes);
        answer(tree.path(), &["check", name], status)[0].clone()
    };
    let same = judged("train/cat/black2.ppm", flat(0, 2), 1);
    assert_eq!(
        (&same["verdict"], &same["exact"], &same["texture"]),
        (&"redundant".into(), &false.into(), &"flat".into())
    );
    assert!(
        same["message"]
            .as_str()
            .unwrap()
            .contains("flat, like 2 contents"),
        "{}",
        same["message"]
    );
    assert_eq!(
        judged("train/cat/grey2.ppm", flat(100, 2), 1)["verdict"],
        "influential"
    );
    let nearly = judged("train/cat/nearly.ppm", flat(1, 1), 0);
    assert_eq!(
        (&nearly["verdict"], &nearly["texture"]),
        (&"novel".into(), &"flat".into())
    );
    assert!(nearly["message"].as_str().unwrap().starts_with("flat: "));
    let found = answer(tree.path(), &["query", "train/cat/black2.ppm"], 0)[0].clone();
    assert_eq!(
        (
            found["neighbors"].as_array().unwrap().len(),
            &found["texture"]
        ),
        (1, &"flat".into())
    );
    assert_eq!(
        (
            &found["neighbors"][0]["path"],
            &found["neighbors"][0]["similarity"]
        ),
        (&"train/cat/black.ppm".into(), &1.0.into())
    );
    let compared = |b: &str| {
        answer(tree.path(), &["compare", "train/cat/black.ppm", b], 0)["decision"].clone()
    };
    assert_eq!(
        (
            compared("train/cat/black2.ppm"),
            compared("train/cat/nearly.ppm")
        ),
        ("same pixels".into(), "too little texture to tell".into())
    );
    assert_eq!(compared("train/cat/1.ppm"), "too little texture to tell");
}

#[test]
fn a_picture_of_two_tones_is_told_apart_from_nothing_and_from_itself_only_by_its_pixels() {
    let two = |edge: usize, note: usize| {
        file(
            16,
            16,
            note,
            move |x, _| if x < edge { [10; 3] } else { [240; 3] },
        )
    };
    let tree = dataset(&[("train/cat/two.ppm", two(8, 1))]);
    write(tree.path(), "train/cat/shifted.ppm", &two(9, 1));
    let shifted = answer(tree.path(), &["check", "train/cat/shifted.ppm"], 0)[0].clone();
    assert_eq!(
        (&shifted["texture"], &shifted["duplicates"]),
        (&"too little to tell".into(), &0.into())
    );
    assert_ne!(shifted["verdict"], "redundant");
    assert!(
        wsidx(tree.path(), ["query", "train/cat/shifted.ppm"])
            .expect(0)
            .stdout
            .starts_with("too little texture to tell")
    );
    write(tree.path(), "train/cat/again.ppm", &two(8, 2));
    let again = answer(tree.path(), &["check", "train/cat/again.ppm"], 1)[0].clone();
    assert_eq!(
        (&again["verdict"], &again["exact"], &again["similarity"]),
        (&"redundant".into(), &false.into(), &1.0.into())
    );
    let compared = answer(
        tree.path(),
        &["compare", "train/cat/two.ppm", "train/cat/shifted.ppm"],
        0,
    );
    assert_eq!(
        (&compared["decision"], &compared["too_little_texture"]),
        (&"too little texture to tell".into(), &true.into())
    );
}

#[test]
fn flat_pictures_in_thousands_take_neither_time_nor_room() {
    let tree = dataset(&[]);
    (0..1_500).for_each(|i| {
        write(
            tree.path(),
            &format!("train/blank/{i:04}.ppm"),
            &flat(255, i),
        );
    });
    (0..1_500).for_each(|i| write(tree.path(), &format!("train/black/{i:04}.ppm"), &flat(0, 0)));
    wsidx(tree.path(), ["sync"]).expect(0);
    let checked = answer(tree.path(), &["check", "."], 1);
    let of = |folder: &str| {
        checked
            .as_array()
            .unwrap()
            .iter()
            .filter(move |c| c["path"].as_str().unwrap().contains(folder))
            .collect::<Vec<_>>()
    };
    for (folder, exact) in [("blank", false), ("black", true)] {
        let all = of(folder);
        assert_eq!(
            (all.len(), &all[0]["verdict"]),
            (1_500, &"novel".into()),
            "{folder}"
        );
        assert!(
            all[1..].iter().all(|c| c["verdict"] == "redundant"
                && c["exact"] == exact
                && c["texture"] == "flat"),
            "{folder}"
        );
        assert!(
            all.iter().all(|c| c["duplicates"].as_u64().unwrap() <= 16),
            "{folder}"
        );
    }
    assert_eq!(
        answer(
            tree.path(),
            &["query", "train/blank/0700.ppm", "-k", "5"],
            0
        )[0]["neighbors"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    wsidx(tree.path(), ["verify"]).expect(0);
}

#[test]
fn lines_slivers_and_specks_are_images_like_others() {
    let noise = |x: usize, y: usize| {
        [
            (x * 7919 + y * 104_729) as u8,
            (x * 31 + y * 7) as u8,
            (x * y) as u8,
        ]
    };
    let shapes = [
        (1, 1),
        (1, 300),
        (300, 1),
        (2, 3),
        (7, 7),
        (5, 2_000),
        (3_000, 2),
    ];
    let tree = dataset(&shapes.map(|(w, h)| {
        (
            &*format!("train/odd/{w}x{h}.ppm").leak(),
            file(w, h, 0, noise),
        )
    }));
    let summary = answer(tree.path(), &["sync"], 0);
    assert_eq!(
        (
            &summary["paths"],
            summary["undecodable"].as_array().unwrap().len()
        ),
        (&17.into(), 0)
    );
    for (w, h) in shapes {
        let (name, again) = (
            format!("train/odd/{w}x{h}.ppm"),
            format!("train/odd/{w}x{h}b.ppm"),
        );
        write(tree.path(), &again, &file(w, h, 1, noise));
        let checked = answer(tree.path(), &["check", &again], 1)[0].clone();
        assert_eq!(
            (&checked["verdict"], &checked["exact"]),
            (&"redundant".into(), &false.into()),
            "{name} {checked}"
        );
        let found = answer(tree.path(), &["query", &again, "-k", "3"], 0)[0].clone();
        assert_eq!(
            (
                &found["neighbors"][0]["path"],
                &found["neighbors"][0]["similarity"]
            ),
            (&(&*name).into(), &1.0.into()),
            "{name}"
        );
        let compared = answer(
            tree.path(),
            &["compare", &name, &again, "--out", "pair.png"],
            0,
        );
        assert_eq!(
            (&compared["decision"], &compared["a"]["width"]),
            (&"same pixels".into(), &w.into()),
            "{name}"
        );
        answer(
            tree.path(),
            &["compare", &name, "train/cat/1.ppm", "--out", "pair.png"],
            0,
        );
    }
    wsidx(tree.path(), ["verify", "--files"]).expect(0);
}

/// Pictures in number, at 16 × 16.
fn many(picture: impl Fn(u64) -> Vec<u8>) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    (0..220).for_each(|seed| write(tree.path(), &format!("a/{seed:03}.ppm"), &picture(seed)));
    wsidx(tree.path(), ["sync", "--init", "-q"]).expect(0);
    tree
}

#[test]
fn calibrate_gives_a_threshold_for_a_rate_and_writes_it_if_asked() {
    let tree = many(|seed| ppm(seed, 32));
    let found = answer(tree.path(), &["calibrate"], 0);
    assert_eq!(
        (&found["schema"], &found["images"], &found["written"]),
        (&"wsidx.calibrate/1".into(), &220.into(), &false.into())
    );
    assert_eq!(
        (
            &found["near_identity_is_normal"],
            &found["current_threshold"]
        ),
        (&false.into(), &0.7.into())
    );
    let threshold = found["threshold"].as_f64().unwrap();
    assert!((0.3..0.9).contains(&threshold), "{found}");
    let recall = found["recall"].as_array().unwrap();
    let of = |name: &str| {
        recall
            .iter()
            .find(|r| r["copies"].as_str().unwrap().starts_with(name))
            .unwrap()["found"]
            .as_f64()
            .unwrap()
    };
    assert!(
        recall.len() == 10 && of("mirrored") > 0.99 && of("brighter") > 0.9,
        "{recall:?}"
    );
    assert!(!tree.path().join("wsidx.toml").exists());
    fs::write(
        tree.path().join("wsidx.toml"),
        "# ours\n[edges]\nthreshold = 0.7 # for now\n\n[check]\nwarn = []\n",
    )
    .unwrap();
    let calibrated =
        || answer(tree.path(), &["check", "a/000.ppm", "--exit-zero"], 0)[0]["calibrated"] == true;
    assert!(!calibrated());
    let text = wsidx(tree.path(), ["calibrate", "--write"]).expect(0);
    assert!(calibrated());
    assert!(
        text.stdout.starts_with(&format!("threshold {threshold}"))
            && text.stderr.contains("written"),
        "{text:?}"
    );
    let policy = fs::read_to_string(tree.path().join("wsidx.toml")).unwrap();
    let ours =
        format!("# ours\n[edges]\nthreshold = {threshold} # for now\n\n[check]\nwarn = []\n");
    assert!(
        policy.starts_with(&format!("{ours}\n# by `wsidx calibrate --write`")),
        "{policy}"
    );
    fs::write(
        tree.path().join("wsidx.toml"),
        policy.replacen(&threshold.to_string(), "0.71", 1),
    )
    .unwrap();
    assert!(!calibrated(), "another threshold was not measured");
    for rate in ["0", "1", "nan", "1e-12"] {
        wsidx(tree.path(), ["calibrate", "--rate", rate]).expect(2);
    }
}

#[test]
fn calibrate_says_where_near_identity_is_normal_and_where_there_is_too_little_to_go_by() {
    let tree = many(|seed| brighter(&ppm(1, 32), seed as u8));
    let said = wsidx(tree.path(), ["calibrate"]).expect(0).stdout;
    assert!(
        said.contains("near-identity seems normal")
            && said.contains("100.0 % of them have a near-duplicate"),
        "{said}"
    );
    let few = dataset(&[]);
    assert!(
        wsidx(few.path(), ["calibrate"])
            .expect(2)
            .stderr
            .contains("200")
    );
    let blank = many(|seed| flat((seed % 256) as u8, seed as usize));
    let found = answer(blank.path(), &["calibrate"], 0);
    assert_eq!(
        (
            &found["threshold"],
            &found["copied"],
            &found["too_little_texture"]
        ),
        (&0.3.into(), &0.into(), &220.into()),
        "{found}"
    );
}
