//! `wsidx leaks` and `wsidx outliers`: what test images share with training images, and who is by
//! himself.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{
    images::{brighter, ppm, write},
    wsidx,
};
use wsidx::{index::Reader, verdict::Split};

fn json(tree: &Path, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&wsidx(tree, arguments).expect(0).stdout).unwrap()
}

fn init(tree: &Path) {
    wsidx(tree, ["init", "--size", "16"]).expect(0);
    wsidx(tree, ["sync"]).expect(0);
}

fn strings<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item[field].as_str().unwrap())
        .collect()
}

#[test]
fn test_images_that_repeat_training_images_are_counted_by_class_and_named() {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        let class = if seed % 2 == 0 { "cat" } else { "dog" };
        write(
            tree.path(),
            &format!("train/{class}/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    write(tree.path(), "test/cat/same.ppm", &ppm(2, 16));
    write(tree.path(), "test/cat/near.ppm", &brighter(&ppm(3, 16), 2));
    write(tree.path(), "test/cat/new.ppm", &ppm(40, 16));
    write(tree.path(), "test/dog/new.ppm", &ppm(41, 16));
    write(tree.path(), "test/cow/new.ppm", &ppm(42, 16));
    write(
        tree.path(),
        "test/cow/flat.ppm",
        &[&b"P6 16 16 255\n"[..], &[90; 768]].concat(),
    );
    write(tree.path(), "val/cat/7.ppm", &brighter(&ppm(7, 16), 1));
    init(tree.path());
    let found = json(tree.path(), &["leaks"]);
    assert_eq!(
        (
            &found["schema"],
            &found["images"],
            &found["leaking"],
            &found["flat"]
        ),
        (&"wsidx.leaks/1".into(), &6.into(), &2.into(), &1.into())
    );
    let class = |name: &str| {
        found["classes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|class| class["label"] == name)
            .unwrap()
    };
    assert_eq!(
        (
            &class("cat")["images"],
            &class("cat")["leaking"],
            &class("cat")["conflicting"]
        ),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!(
        (
            &class("cat")["share"],
            &class("dog")["leaking"],
            &class("cow")["images"]
        ),
        (&0.666667.into(), &0.into(), &2.into())
    );
    let leaks = &found["leaks"];
    assert_eq!(
        strings(leaks, "path"),
        ["test/cat/same.ppm", "test/cat/near.ppm"]
    );
    assert_eq!(
        (
            &leaks[0]["same_content"],
            &leaks[0]["conflict"],
            &leaks[0]["train"]["path"]
        ),
        (&true.into(), &false.into(), &"train/cat/2.ppm".into())
    );
    assert_eq!(
        (
            &leaks[1]["same_content"],
            &leaks[1]["conflict"],
            &leaks[1]["train"]["path"]
        ),
        (&false.into(), &true.into(), &"train/dog/3.ppm".into())
    );
    // An image of a class that training does not have is nearer to another class, whatever the
    // distance.
    assert!(strings(&found["nearer_to_another_class"], "path").contains(&"test/cow/new.ppm"));
    assert!(strings(&found["nearer_to_another_class"], "path").contains(&"test/cat/near.ppm"));
    let text = wsidx(tree.path(), ["leaks"]).expect(0);
    assert!(
        text.stdout.contains("same bytes")
            && text.stderr.contains("2 of 6 images of test (33.3 %)"),
        "{text:?}"
    );
    assert_eq!(
        strings(
            &json(tree.path(), &["leaks", "--split", "val"])["leaks"],
            "path"
        ),
        ["val/cat/7.ppm"]
    );
    // The rule is read anew.
    write(tree.path(), "wsidx.toml", b"[edges]\nthreshold = 1.0\n");
    assert_eq!(json(tree.path(), &["leaks"])["leaking"], 1);
}

#[test]
fn the_nearest_training_images_are_those_that_a_look_at_all_of_them_finds() {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..120 {
        let split = if seed < 70 { "train" } else { "test" };
        write(
            tree.path(),
            &format!("{split}/{}/{seed}.ppm", ["a", "b", "c"][seed as usize % 3]),
            &ppm(seed, 16),
        );
    }
    init(tree.path());
    let reader = Reader::open(tree.path()).unwrap();
    let view = reader.view();
    let rows: Vec<_> = (0..view.rows() as u32)
        .map(|row| (view.feature(row).unwrap(), view.row(row).unwrap()))
        .collect();
    let place = |i: usize| &rows[i].1.occurrences[0];
    let train: Vec<usize> = (0..rows.len())
        .filter(|&i| place(i).split == Some(Split::Train))
        .collect();
    let nearest = |i: usize, of: &dyn Fn(usize) -> bool| {
        let squared = |j: usize| rows[i].0.squared_distance(rows[j].0.values());
        train
            .iter()
            .copied()
            .filter(|&j| of(j))
            .min_by_key(|&j| (squared(j), rows[j].1.id))
            .map(|j| (j, f64::from(squared(j)).sqrt() / 32_000.0))
            .unwrap()
    };
    let (mut isolated, mut misplaced) = (Vec::new(), Vec::new());
    for i in (0..rows.len()).filter(|&i| place(i).split == Some(Split::Test)) {
        let path = String::from_utf8(place(i).path.to_vec()).unwrap();
        let (any, own) = (
            nearest(i, &|_| true),
            nearest(i, &|j| place(j).label == place(i).label),
        );
        isolated.push((path.clone(), any.1));
        if any.1 < own.1 {
            misplaced.push((path, any.1 / own.1));
        }
    }
    isolated.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    misplaced.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let found = json(tree.path(), &["leaks", "-n", "100"]);
    assert_eq!(
        strings(&found["least_similar"], "path"),
        isolated
            .iter()
            .map(|(path, _)| path.as_str())
            .collect::<Vec<_>>()
    );
    assert_eq!(
        strings(&found["nearer_to_another_class"], "path"),
        misplaced
            .iter()
            .map(|(path, _)| path.as_str())
            .collect::<Vec<_>>()
    );
    assert!(misplaced.len() > 10 && isolated.len() == 50);
}

#[test]
fn without_a_test_or_a_training_image_it_is_said_what_is_lacking() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "train/cat/1.ppm", &ppm(1, 16));
    init(tree.path());
    let refused = wsidx(tree.path(), ["leaks"]).expect(2);
    assert!(
        refused.stderr.contains("no image is in the split test") && refused.stdout.is_empty(),
        "{refused:?}"
    );
    assert!(
        wsidx(tree.path(), ["leaks", "--split", "train"])
            .expect(2)
            .stderr
            .contains("use --split test or --split val")
    );
    assert!(
        wsidx(tree.path(), ["leaks", "--split", "dev"])
            .expect(2)
            .stderr
            .contains("no split")
    );
    std::fs::rename(tree.path().join("train"), tree.path().join("test")).unwrap();
    wsidx(tree.path(), ["sync"]).expect(0);
    assert!(
        wsidx(tree.path(), ["leaks"])
            .expect(2)
            .stderr
            .contains("no image is in the split train")
    );
}

/// Pictures near to picture `seed`, and yet no near-duplicates of each other: most blocks are those
/// of the one.
fn near(seed: u64, variant: u64) -> Vec<u8> {
    let (mut file, other) = (ppm(seed, 16), ppm(1_000 + 50 * seed + variant, 16));
    let head = file.len() - 768;
    let block = |i: usize| i / 3 % 16 / 4 + i / 48 / 4 * 4;
    (0..768)
        .filter(|&i| block(i) as u64 == variant % 16)
        .for_each(|i| file[head + i] = other[head + i]);
    file
}

#[test]
fn who_is_far_from_all_others_comes_first_and_in_a_class_who_is_far_from_it() {
    let tree = tempfile::tempdir().unwrap();
    for variant in 0..30 {
        write(
            tree.path(),
            &format!("cat/{variant}.ppm"),
            &near(1, variant),
        );
        write(
            tree.path(),
            &format!("dog/{variant}.ppm"),
            &near(2, variant),
        );
    }
    write(tree.path(), "cat/lone.ppm", &ppm(77, 16));
    write(tree.path(), "cat/like-a-dog.ppm", &near(2, 40));
    write(tree.path(), "one/alone.ppm", &near(1, 41));
    init(tree.path());
    for by in ["distance", "lof"] {
        let found = json(tree.path(), &["outliers", "-n", "1", "--by", by]);
        assert_eq!(found[0]["ranked"], 63, "{found}");
        assert_eq!(
            strings(&found[0]["outliers"], "path"),
            ["cat/lone.ppm"],
            "{by}"
        );
        let cats = json(
            tree.path(),
            &["outliers", "-n", "2", "--label", "cat", "--by", by],
        );
        let mut paths = strings(&cats[0]["outliers"], "path");
        paths.sort_unstable();
        assert_eq!(
            paths,
            ["cat/like-a-dog.ppm", "cat/lone.ppm"],
            "{by}: {cats}"
        );
    }
    let classes = json(tree.path(), &["outliers", "--per-class", "-n", "3"]);
    assert_eq!(strings(&classes, "class"), ["cat", "dog", "one"]);
    assert_eq!(
        (
            &classes[0]["ranked"],
            &classes[1]["ranked"],
            &classes[2]["ranked"]
        ),
        (&32.into(), &30.into(), &0.into())
    );
    let text = wsidx(tree.path(), ["outliers", "--per-class"]).expect(0);
    assert!(
        text.stderr
            .contains("1 of 3 classes have fewer than five others"),
        "{text:?}"
    );
    assert!(
        wsidx(tree.path(), ["outliers", "--label", "cow"])
            .expect(2)
            .stderr
            .contains("no image has the label `cow`")
    );
}

#[test]
fn in_a_dataset_of_one_class_its_outliers_are_those_of_the_dataset() {
    let tree = tempfile::tempdir().unwrap();
    (0..70).for_each(|seed| {
        write(
            tree.path(),
            &format!("cat/{seed}.ppm"),
            &near(seed % 5, seed),
        );
    });
    init(tree.path());
    for by in ["distance", "lof"] {
        let all = json(tree.path(), &["outliers", "-n", "100", "--by", by]);
        let cats = json(
            tree.path(),
            &["outliers", "-n", "100", "--by", by, "--per-class"],
        );
        assert_eq!(
            (
                &all[0]["outliers"],
                all[0]["outliers"].as_array().unwrap().len()
            ),
            (&cats[0]["outliers"], 70)
        );
    }
}

#[test]
fn what_a_check_calls_an_anomaly_is_marked_as_one() {
    let tree = tempfile::tempdir().unwrap();
    for variant in 0..60 {
        write(
            tree.path(),
            &format!("cat/{variant}.ppm"),
            &near(1, variant),
        );
    }
    write(tree.path(), "cat/lone.ppm", &ppm(77, 16));
    init(tree.path());
    let found = json(tree.path(), &["outliers", "-n", "100"]);
    let marked = found[0]["outliers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|outlier| outlier["anomaly"] == true);
    let marked: Vec<&str> = marked
        .map(|outlier| outlier["path"].as_str().unwrap())
        .collect();
    let checked: Value = serde_json::from_str(
        &wsidx(
            tree.path(),
            ["check", ".", "--exit-zero", "--format", "json"],
        )
        .expect(0)
        .stdout,
    )
    .unwrap();
    let results = checked.as_array().unwrap();
    let judged: Vec<&str> = results
        .iter()
        .filter(|r| r["verdict"] == "anomaly")
        .map(|r| r["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        (&marked, marked.as_slice()),
        (&judged, &["cat/lone.ppm"][..])
    );
}
