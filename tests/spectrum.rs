//! `wsidx spectrum`: eigenvalues, gaps and estimates of similarity graphs and of the graph of
//! near-duplicates.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    images::{brighter, ppm, write},
    wsidx,
};

/// Nine pictures, of which three come in two brightnesses and one twice.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..9 {
        write(tree.path(), &format!("a/{seed}.ppm"), &ppm(seed, 32));
    }
    for seed in 0..3 {
        write(
            tree.path(),
            &format!("b/{seed}.ppm"),
            &brighter(&ppm(seed, 32), 4),
        );
    }
    write(tree.path(), "b/same.ppm", &ppm(5, 32));
    wsidx(tree.path(), ["init", "--size", "32"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

fn json(tree: &Path, arguments: &[&str]) -> Value {
    let arguments = ["spectrum", "--format", "json"].iter().chain(arguments);
    serde_json::from_str(&wsidx(tree, arguments).expect(0).stdout).unwrap()
}

fn values(found: &Value) -> Vec<f64> {
    found["eigenvalues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect()
}

#[test]
fn near_duplicates_are_components_and_each_has_a_zero() {
    let tree = dataset();
    let found = json(tree.path(), &["--edges", "--laplacian", "symmetric"]);
    assert_eq!(
        (&found["schema"], &found["vertices"], &found["components"]),
        (&"wsidx.spectrum/1".into(), &12.into(), &9.into()),
        "{found}"
    );
    let values = values(&found);
    assert!(
        values[..9].iter().all(|v| *v == 0.0) && values[9..].iter().all(|v| (v - 2.0).abs() < 1e-6),
        "{values:?}"
    );
    assert_eq!(
        (
            &found["gaps_above_gamma"],
            &found["largest_gap_after"],
            &found["error"]
        ),
        (&1.into(), &9.into(), &0.0.into())
    );
    let half = found["cumulative"][50].as_array().unwrap();
    assert_eq!(
        (half[0].as_f64().unwrap(), half[1].as_f64().unwrap()),
        (1.0, 0.75)
    );
}

#[test]
fn the_trace_of_every_laplacian_of_similarities_is_what_it_must_be() {
    let tree = dataset();
    for (kind, measure) in [
        ("unnormalized", "cosine"),
        ("symmetric", "cosine"),
        ("random-walk", "gaussian"),
        ("symmetric", "ssim:colour=luma"),
    ] {
        let found = json(
            tree.path(),
            &["a", "--laplacian", kind, "--measure", measure, "--estimate"],
        );
        let values = values(&found);
        assert!(
            values.is_sorted() && values[0].abs() < 1e-6 && values.len() == 9,
            "{kind} {values:?}"
        );
        if kind != "unnormalized" {
            assert!(
                (values.iter().sum::<f64>() - 9.0).abs() < 1e-4 && values[8] <= 2.0,
                "{kind} {values:?}"
            );
        }
        assert!(
            found["estimate"]["error"].as_f64().unwrap() <= 0.1,
            "{found}"
        );
    }
    let matrix = wsidx(
        tree.path(),
        ["similarity", "a", "--measure", "cosine", "--format", "json"],
    )
    .expect(0)
    .stdout;
    let mean = serde_json::from_str::<Value>(&matrix).unwrap()["mean"]
        .as_f64()
        .unwrap();
    let sum: f64 = values(&json(tree.path(), &["a", "--measure", "cosine"]))
        .iter()
        .sum();
    assert!((sum - 72.0 * mean).abs() < 1e-3, "{sum} {mean}");
}

#[test]
fn it_is_told_and_drawn_and_bad_input_is_refused() {
    let tree = dataset();
    let run = wsidx(
        tree.path(),
        [
            "spectrum",
            "a",
            "--plot",
            "s.svg",
            "--gamma",
            "0.01",
            "--estimate",
        ],
    )
    .expect(0);
    for words in [
        "unnormalized",
        "9 vertices in 1 component",
        "above 0.01",
        "largest gap",
        "estimate",
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    let svg = fs::read_to_string(tree.path().join("s.svg")).unwrap();
    assert!(
        svg.starts_with("<svg")
            && svg.ends_with("</svg>\n")
            && svg.contains("<polyline")
            && svg.contains("unnormalized Laplacian of 9")
    );
    let one = json(tree.path(), &["a/1.ppm"]);
    assert_eq!(
        (values(&one), &one["largest_gap_after"]),
        (vec![0.0], &1.into())
    );
    for (arguments, words) in [
        (&["--laplacian", "round"][..], "is no Laplacian"),
        (&["--edges", "--measure", "cosine"], "cannot be used with"),
        (&["--plot", "s.png"], "does not end in that"),
        (&["--label", "x"], "no image is in this selection"),
    ] {
        let run = wsidx(tree.path(), [&["spectrum"], arguments].concat()).expect(2);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
}
