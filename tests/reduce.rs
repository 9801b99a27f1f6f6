//! `wsidx reduce`: which images stay, in lists and in folders; and what cannot be reduced.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use support::{
    images::{brighter, ppm, write},
    wsidx,
};

fn init(tree: &Path) {
    wsidx(tree, ["init", "--size", "16"]).expect(0);
    wsidx(tree, ["sync"]).expect(0);
}

/// Twelve pictures; three with a near copy of the same label, one with a near copy of another.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..12 {
        write(tree.path(), &format!("cat/{seed:02}.ppm"), &ppm(seed, 16));
    }
    for seed in [1, 2, 3] {
        write(
            tree.path(),
            &format!("cat/copy-of-{seed:02}.ppm"),
            &brighter(&ppm(seed, 16), 2),
        );
    }
    write(tree.path(), "dog/copy-of-07.ppm", &brighter(&ppm(7, 16), 2));
    init(tree.path());
    tree
}

fn json(tree: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["reduce"], arguments, &["--format", "json"]].concat();
    serde_json::from_str(&wsidx(tree, arguments).expect(0).stdout).unwrap()
}

/// The paths of each cluster of several images, with what becomes of them.
fn fates(found: &Value) -> BTreeMap<String, String> {
    let images = found["multiple"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|cluster| cluster["images"].as_array().unwrap());
    images
        .map(|image| {
            (
                image["path"].as_str().unwrap().to_owned(),
                image["fate"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

#[test]
fn every_method_keeps_one_of_each_pair_and_calls_the_pair_of_two_labels_influential() {
    let tree = dataset();
    let methods: [&[&str]; 8] = [
        &["--clusters", "12"],
        &["--redundant", "0.25"],
        &["--clusters", "12", "--columns", "search"],
        &[
            "--method",
            "spectral",
            "--clusters",
            "12",
            "--measure",
            "cosine",
        ],
        &["--method", "spectral", "--redundant", "0.25"],
        &[
            "--method",
            "spectral",
            "--clusters",
            "12",
            "--laplacian",
            "random-walk",
        ],
        &["--method", "communities"],
        &["--method", "threshold"],
    ];
    for method in methods {
        let found = json(tree.path(), method);
        let counts = ["images", "clusters", "kept", "discarded", "influential"]
            .map(|name| found[name].as_u64().unwrap());
        assert_eq!(counts, [16, 12, 13, 3, 2], "{method:?}: {found}");
        let fates = fates(&found);
        for seed in [1, 2, 3] {
            let of = |name: String| fates[&name].as_str();
            let pair = [
                of(format!("cat/{seed:02}.ppm")),
                of(format!("cat/copy-of-{seed:02}.ppm")),
            ];
            assert_eq!(pair, ["kept", "discarded"], "{method:?}");
        }
        assert_eq!(
            [&fates["cat/07.ppm"], &fates["dog/copy-of-07.ppm"]],
            ["influential"; 2],
            "{method:?}"
        );
        assert_eq!(found["reduced"].as_array().unwrap().len(), 13);
        // The same again, to the byte.
        assert_eq!(found, json(tree.path(), method));
    }
}

#[test]
fn complete_linkage_clusters_each_class_by_itself() {
    let tree = dataset();
    for columns in ["analysis", "search"] {
        let found = json(
            tree.path(),
            &[
                "--method",
                "complete-linkage",
                "--clusters",
                "13",
                "--columns",
                columns,
            ],
        );
        let counts = ["images", "clusters", "kept", "discarded", "influential"]
            .map(|name| found[name].as_u64().unwrap());
        assert_eq!(counts, [16, 13, 13, 3, 0], "{columns}: {found}");
        let pairs = fates(&found);
        assert_eq!(
            pairs.keys().filter(|path| path.contains("copy-of")).count(),
            3,
            "{pairs:?}"
        );
        assert!(found["silhouette"].as_f64().is_some());
    }
    let halved = json(
        tree.path(),
        &["--method", "complete-linkage", "--redundant", "0.5"],
    );
    assert_eq!(
        (&halved["clusters"], &halved["influential"]),
        (&8.into(), &0.into())
    );
    assert!(
        json(tree.path(), &["--method", "communities"])["modularity"]
            .as_f64()
            .unwrap()
            > 0.5
    );
}

#[test]
fn lists_and_folders_hold_what_stays() {
    let tree = dataset();
    let kept = wsidx(
        tree.path(),
        ["reduce", "--clusters", "12", "--format", "paths"],
    )
    .expect(0)
    .stdout;
    assert_eq!(
        (
            kept.lines().count(),
            kept.contains("copy-of-01"),
            kept.contains("dog/copy-of-07.ppm")
        ),
        (13, false, true)
    );
    let csv = wsidx(
        tree.path(),
        ["reduce", "--clusters", "12", "--format", "csv"],
    )
    .expect(0)
    .stdout;
    assert_eq!(
        (csv.lines().count(), csv.lines().next()),
        (17, Some("path,label,split,cluster,fate,stays_for_it"))
    );
    assert!(
        csv.lines()
            .any(|line| line.starts_with("cat/copy-of-01.ppm,cat,,")
                && line.ends_with(",discarded,cat/01.ppm")),
        "{csv}"
    );
    let elsewhere = tempfile::tempdir().unwrap();
    for way in ["--link", "--copy"] {
        let target = elsewhere.path().join(way);
        let run = |target: &Path| {
            wsidx(
                tree.path(),
                [
                    "reduce",
                    "--clusters",
                    "12",
                    "--format",
                    "paths",
                    way,
                    target.to_str().unwrap(),
                ],
            )
        };
        assert_eq!(run(&target).expect(0).stdout, kept);
        for path in kept.lines() {
            assert_eq!(
                fs::read(target.join(path)).unwrap(),
                fs::read(tree.path().join(path)).unwrap()
            );
        }
        assert!(!target.join("cat/copy-of-01.ppm").exists());
        assert!(run(&target).expect(2).stderr.contains("is there already"));
    }
    // A file that is gone since the last sync leaves nothing half-written.
    fs::remove_file(tree.path().join("cat/11.ppm")).unwrap();
    let target = elsewhere.path().join("half");
    wsidx(
        tree.path(),
        [
            "reduce",
            "--clusters",
            "12",
            "--copy",
            target.to_str().unwrap(),
        ],
    )
    .expect(2);
    assert_eq!(
        fs::read_dir(elsewhere.path()).unwrap().count(),
        2,
        "only the two of before"
    );
}

#[test]
fn what_cannot_be_reduced_is_refused_with_the_reason() {
    let tree = dataset();
    let refused = |arguments: &[&str], reason: &str| {
        let run = wsidx(tree.path(), [&["reduce"], arguments].concat()).expect(2);
        assert!(
            run.stderr.contains(reason) && run.stdout.is_empty(),
            "{arguments:?}: {run:?}"
        );
    };
    refused(&[], "--clusters, --redundant or --eigengap");
    for number in ["0", "16", "900"] {
        refused(&["--clusters", number], "ask for 1 to 15");
        refused(
            &["--clusters", number, "--method", "spectral"],
            "ask for 1 to 15",
        );
    }
    for share in ["0", "1", "-1", "NaN"] {
        refused(&[&format!("--redundant={share}")], "is not between 0 and 1");
    }
    refused(&["--clusters", "1", "--label", "dog"], "of no use");
    refused(
        &["--clusters", "3", "--label", "cow"],
        "no image is in this selection",
    );
    refused(&["--clusters", "3", "--tau", "0"], "--tau more than 1");
    refused(
        &["--clusters", "16", "--method", "complete-linkage"],
        "ask for 1 to 15",
    );
    refused(
        &["--clusters", "1", "--method", "complete-linkage"],
        "too few for 2 classes",
    );
    refused(
        &["--method", "complete-linkage"],
        "--clusters, --redundant or --eigengap",
    );
    refused(
        &["--method", "complete-linkage", "--eigengap", "largest"],
        "--clusters or --redundant",
    );
}

#[test]
fn images_that_are_all_the_same_become_one() {
    let tree = tempfile::tempdir().unwrap();
    (0..6).for_each(|i| write(tree.path(), &format!("cat/{i}.ppm"), &ppm(5, 16)));
    init(tree.path());
    let found = json(tree.path(), &["--clusters", "3"]);
    assert_eq!(
        (&found["clusters"], &found["clusters_asked"], &found["kept"]),
        (&1.into(), &3.into(), &1.into())
    );
    assert_eq!(
        json(
            tree.path(),
            &[
                "--method",
                "spectral",
                "--clusters",
                "2",
                "--measure",
                "cosine"
            ]
        )["images"],
        6
    );
    for method in ["threshold", "communities"] {
        assert_eq!(
            json(tree.path(), &["--method", method])["kept"],
            1,
            "{method}"
        );
    }
    assert_eq!(
        json(
            tree.path(),
            &["--method", "complete-linkage", "--clusters", "2"]
        )["clusters"],
        2
    );
}

#[test]
fn the_number_of_clusters_follows_from_eigengaps() {
    let tree = dataset();
    let asked = |rule: &str, gamma: &str| {
        json(
            tree.path(),
            &["--eigengap", rule, "--gamma", gamma, "--measure", "cosine"],
        )["clusters_asked"]
            .as_u64()
            .unwrap()
    };
    let printed = asked("printed", "0.05");
    assert!(
        printed > 0 && asked("paper", "0.05") == 16 - printed,
        "{printed}"
    );
    assert!(asked("largest", "0.4") < 16);
}
