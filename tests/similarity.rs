//! `wsidx similarity`: matrices of a selection, their statistics, and the files in which they are
//! written.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    images::{brighter, ppm, write},
    wsidx,
};

/// Five cats and a copy of one of them, two dogs, two test images.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..5 {
        write(
            tree.path(),
            &format!("train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    write(tree.path(), "train/cat/copy.ppm", &ppm(3, 16));
    write(tree.path(), "train/dog/a.ppm", &ppm(20, 16));
    write(tree.path(), "train/dog/b.ppm", &brighter(&ppm(20, 16), 9));
    write(tree.path(), "test/cat/x.ppm", &ppm(30, 16));
    write(tree.path(), "test/cat/y.ppm", &brighter(&ppm(1, 16), 3));
    wsidx(tree.path(), ["init", "--size", "16"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

fn json(tree: &Path, arguments: &[&str]) -> Value {
    let arguments = ["similarity", "--format", "json"].iter().chain(arguments);
    serde_json::from_str(&wsidx(tree, arguments).expect(0).stdout).unwrap()
}

/// Shape and values of a NumPy file, by its header.
fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let end = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
    let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
    let shape = header
        .split("'shape': ")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap()
        .to_owned()
        + ")";
    (
        shape,
        bytes[end..]
            .as_chunks::<4>()
            .0
            .iter()
            .map(|v| f32::from_le_bytes(*v))
            .collect(),
    )
}

#[test]
fn a_class_is_compared_and_its_copies_are_the_most_similar_under_every_measure() {
    let tree = dataset();
    for measure in [
        "ssim",
        "ssim:like=wang",
        "ssim:like=scikit-image,colour=luma,gamma=0.5",
        "cw-ssim",
        "haarpsi",
        "stsim",
        "cosine",
        "gaussian",
        "gaussian:width=900",
        "registration",
    ] {
        let found = json(tree.path(), &["train/cat", "--measure", measure]);
        assert_eq!(
            (&found["schema"], &found["pairs"]),
            (&"wsidx.similarity/1".into(), &15.into()),
            "{measure}"
        );
        let most = &found["most"][0];
        assert_eq!(
            (&most["a"]["path"], &most["b"]["path"]),
            (&"train/cat/3.ppm".into(), &"train/cat/copy.ppm".into()),
            "{measure}"
        );
        assert_eq!(most["similarity"], 1.0, "{measure}");
        let (least, mean) = (
            found["least"][0]["similarity"].as_f64().unwrap(),
            found["mean"].as_f64().unwrap(),
        );
        assert!(least < mean && mean < 1.0, "{measure}: {least} {mean}");
        let rows: Vec<&str> = found["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["path"].as_str().unwrap())
            .collect();
        assert!(rows.is_sorted() && rows.len() == 6 && found["columns"].is_null());
    }
}

#[test]
fn the_matrix_file_has_the_values_that_are_told_and_is_the_same_for_any_number_of_threads() {
    let tree = dataset();
    let found = json(
        tree.path(),
        &["--split", "train", "--out", "S.npy", "--heat-map", "S.png"],
    );
    let (shape, values) = npy(&tree.path().join("S.npy"));
    assert_eq!(shape, "(8, 8)");
    for i in 0..8 {
        assert_eq!(values[i * 8 + i], 1.0);
        assert!((0..8).all(|j| values[i * 8 + j] == values[j * 8 + i]));
    }
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    assert!((f64::from(least) - found["least"][0]["similarity"].as_f64().unwrap()).abs() < 1e-6);
    assert!(
        fs::read(tree.path().join("S.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    let before = fs::read(tree.path().join("S.npy")).unwrap();
    let mut again = support::command(support::PROGRAM, tree.path());
    again
        .args(["similarity", "--split", "train", "--out", "S.npy"])
        .env("RAYON_NUM_THREADS", "1");
    support::run(again).expect(0);
    assert_eq!(fs::read(tree.path().join("S.npy")).unwrap(), before);
}

#[test]
fn pairs_that_are_similar_enough_have_a_line_in_the_graph() {
    let tree = dataset();
    let lines = |above: &str| {
        wsidx(
            tree.path(),
            ["similarity", "train", "--graph", "G.svg", "--above", above],
        )
        .expect(0);
        let svg = fs::read_to_string(tree.path().join("G.svg")).unwrap();
        assert_eq!(svg.matches("<circle").count(), 8);
        assert!(svg.contains("<title>7: train/dog/a.ppm</title>"));
        svg.matches("<line").count()
    };
    assert_eq!((lines("0.9999"), lines("-1"), lines("2")), (1, 28, 0));
    wsidx(
        tree.path(),
        [
            "similarity",
            "train",
            "--graph",
            "G.svg",
            "--against",
            "test",
        ],
    )
    .expect(2);
}

#[test]
fn one_split_is_compared_with_another() {
    let tree = dataset();
    let found = json(
        tree.path(),
        &[
            "--label",
            "cat",
            "--split",
            "test",
            "--against",
            "train",
            "--measure",
            "gaussian",
            "--out",
            "S.npy",
        ],
    );
    assert_eq!(
        (
            found["rows"].as_array().unwrap().len(),
            found["columns"].as_array().unwrap().len(),
            &found["pairs"]
        ),
        (2, 6, &12.into())
    );
    let most = &found["most"][0];
    assert_eq!(
        (&most["a"]["path"], &most["b"]["path"]),
        (&"test/cat/y.ppm".into(), &"train/cat/1.ppm".into())
    );
    assert_eq!(
        (
            npy(&tree.path().join("S.npy")).0.as_str(),
            &found["isolated"][0]["a"]["path"]
        ),
        ("(2, 6)", &"test/cat/x.ppm".into())
    );
}

#[test]
fn files_are_compared_at_the_size_that_is_asked_for() {
    let tree = dataset();
    let stored = json(tree.path(), &["train/cat"]);
    assert_eq!(
        json(tree.path(), &["train/cat", "--size", "16x16"])["least"],
        stored["least"]
    );
    assert_ne!(
        json(tree.path(), &["train/cat", "--size", "24x11"])["least"],
        stored["least"]
    );
    fs::write(tree.path().join("train/cat/2.ppm"), b"P6\n16 16 255\n").unwrap();
    let run = wsidx(tree.path(), ["similarity", "train/cat", "--size", "16x16"]).expect(2);
    assert!(
        run.stderr.contains("train/cat/2.ppm: cannot be read")
            || run.stderr.contains("train/cat/2.ppm: "),
        "{}",
        run.stderr
    );
    wsidx(tree.path(), ["similarity", "train/cat"]).expect(0);
}

#[test]
fn one_image_makes_a_matrix_of_one_and_bad_input_is_refused_before_anything_is_written() {
    let tree = dataset();
    let one = json(tree.path(), &["train/cat/1.ppm"]);
    assert_eq!(
        (
            &one["pairs"],
            &one["mean"],
            one["most"].as_array().unwrap().len()
        ),
        (&0.into(), &0.0.into(), 0)
    );
    wsidx(
        tree.path(),
        ["similarity", "train/cat/1.ppm", "--heat-map", "one.png"],
    )
    .expect(0);
    for (arguments, words) in [
        (&["--label", "cow"][..], "no image is in this selection"),
        (&["--measure", "vision"], "is no similarity"),
        (
            &["--measure", "ssim:colour=red"],
            "`colour=red` is no setting of ssim",
        ),
        (&["--measure", "ssim:k1=-1"], "no setting"),
        (
            &["--measure", "ssim:like=wang,gaussian=9"],
            "does not fit into 16 × 16",
        ),
        (&["--measure", "registration", "--size", "20x10"], "square"),
        (&["--size", "99999x99999"], "GiB"),
        (&["--size", "12"], "width and a height"),
        (&["--split", "test", "--against", "old"], "old"),
        (&["--out", "S.csv"], "does not end in that"),
        (
            &["--heat-map", "S.jpg", "--out", "S.npy"],
            "does not end in that",
        ),
        (&["../elsewhere"], "not in the dataset"),
    ] {
        let run = wsidx(tree.path(), [&["similarity"], arguments].concat()).expect(2);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
    assert!(!tree.path().join("S.npy").exists() && !tree.path().join("S.csv").exists());
}
