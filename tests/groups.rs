//! `wsidx groups`: which images of a dataset are one picture, and what thousands of empty ones
//! cost.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{
    images::{brighter, ppm, write},
    wsidx,
};

fn groups(tree: &Path) -> Vec<Value> {
    let text = wsidx(tree, ["groups", "--format", "jsonl"])
        .expect(0)
        .stdout;
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn paths(group: &Value) -> Vec<&str> {
    group["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["path"].as_str().unwrap())
        .collect()
}

fn init(tree: &Path) {
    wsidx(tree, ["init", "--size", "16"]).expect(0);
    wsidx(tree, ["sync"]).expect(0);
}

#[test]
fn a_group_has_all_paths_of_what_is_similar_and_says_where_labels_or_splits_disagree() {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        write(
            tree.path(),
            &format!("train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    write(
        tree.path(),
        "train/dog/near-3.ppm",
        &brighter(&ppm(3, 16), 2),
    );
    write(tree.path(), "test/cat/same-5.ppm", &ppm(5, 16));
    init(tree.path());
    let found = groups(tree.path());
    assert_eq!(found.len(), 2, "{found:?}");
    let of = |name: &str| {
        found
            .iter()
            .find(|group| paths(group).contains(&name))
            .unwrap()
    };
    let near = of("train/cat/3.ppm");
    assert_eq!(
        (&near["schema"], &near["conflict"], &near["leak"]),
        (&"wsidx.groups/1".into(), &true.into(), &false.into())
    );
    assert!(
        paths(near).contains(&"train/dog/near-3.ppm")
            && near["images"][1]["similarity"].as_f64().unwrap() >= 0.7,
        "{near}"
    );
    let same = of("train/cat/5.ppm");
    assert_eq!(
        (paths(same).len(), &same["conflict"], &same["leak"]),
        (2, &false.into(), &true.into())
    );
    let text = wsidx(tree.path(), ["groups"]).expect(0);
    assert!(
        text.stdout.contains("2 images, more than one label")
            && text.stderr.contains("4 images in 2 groups"),
        "{text:?}"
    );
    // Policy is read anew: a pair that was registered once is judged by what it needed.
    std::fs::write(tree.path().join("wsidx.toml"), "[edges]\nthreshold = 1.0\n").unwrap();
    assert_eq!(groups(tree.path()).len(), 1);
    // What leaves the dataset leaves its group.
    std::fs::remove_file(tree.path().join("wsidx.toml")).unwrap();
    std::fs::remove_file(tree.path().join("train/dog/near-3.ppm")).unwrap();
    wsidx(tree.path(), ["sync"]).expect(0);
    assert_eq!(
        groups(tree.path()).iter().map(paths).collect::<Vec<_>>(),
        [["test/cat/same-5.ppm", "train/cat/5.ppm"]]
    );
}

#[test]
fn two_thousand_blank_pages_are_one_group_with_a_reason() {
    let tree = tempfile::tempdir().unwrap();
    for i in 0..2_000 {
        let page = [
            format!("P6\n# page {i}\n16 16 255\n").as_bytes(),
            &[(i % 3 * 100) as u8; 768],
        ]
        .concat();
        write(tree.path(), &format!("scans/{i}.ppm"), &page);
    }
    write(tree.path(), "scans/picture.ppm", &ppm(1, 16));
    init(tree.path());
    let found = groups(tree.path());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (paths(&found[0]).len(), &found[0]["reason"]),
        (2_000, &"too little contrast to tell".into())
    );
}

#[test]
fn five_hundred_files_of_one_picture_are_one_group() {
    let tree = tempfile::tempdir().unwrap();
    for i in 0..500 {
        let header = format!("P6\n# {i}\n16 16 255\n");
        let picture = ppm(i % 2, 16);
        write(
            tree.path(),
            &format!("a/{i}.ppm"),
            &[header.as_bytes(), &picture[picture.len() - 768..]].concat(),
        );
    }
    init(tree.path());
    let found = groups(tree.path());
    assert_eq!(
        found
            .iter()
            .map(|group| paths(group).len())
            .collect::<Vec<_>>(),
        [250, 250]
    );
}
