//! `wsidx cluster`, and clusters in `query` and `check`: names that no history changes, lists,
//! drawings, and what cannot be clustered.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use support::{
    images::{brighter, ppm, write},
    wsidx,
};

fn json(tree: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(
        &wsidx(tree, [arguments, &["--format", "json"]].concat())
            .expect(0)
            .stdout,
    )
    .unwrap()
}

/// The paths of each cluster, by its id.
fn clusters(tree: &Path, arguments: &[&str]) -> BTreeMap<String, Vec<String>> {
    let found = json(tree, &[&["cluster"], arguments].concat());
    let paths = |cluster: &Value| {
        let images = cluster["images"].as_array().unwrap();
        images
            .iter()
            .map(|image| image["path"].as_str().unwrap().to_owned())
            .collect()
    };
    let each = found["clusters"].as_array().unwrap().iter();
    each.map(|cluster| (cluster["id"].as_str().unwrap().to_owned(), paths(cluster)))
        .collect()
}

/// The id of a file of the dataset.
fn id(tree: &Path, path: &str) -> String {
    json(tree, &["query", "-k", "1", path])[0]["neighbors"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Near-duplicates of three pictures, a pair under two labels, a copy in another split, and
/// pictures that are alone.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = (0..8)
        .map(|seed| (format!("train/cat/{seed}.ppm"), ppm(seed, 16)))
        .collect();
    for (seed, copies) in [(1, 4), (2, 2), (3, 1)] {
        files.extend((1..=copies).map(|by| {
            (
                format!("train/cat/{seed}-{by}.ppm"),
                brighter(&ppm(seed, 16), 2 * by),
            )
        }));
    }
    files.push(("train/dog/4.ppm".into(), brighter(&ppm(4, 16), 2)));
    files.push(("test/cat/same-as-5.ppm".into(), ppm(5, 16)));
    files
}

fn dataset<'a>(files: impl IntoIterator<Item = &'a (String, Vec<u8>)>) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    files
        .into_iter()
        .for_each(|(name, bytes)| write(tree.path(), name, bytes));
    wsidx(tree.path(), ["init", "--size", "16"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

fn sync(tree: &Path) {
    wsidx(tree, ["sync"]).expect(0);
}

#[test]
fn every_method_finds_the_clusters_and_names_each_by_its_smallest_content() {
    let tree = dataset(&files());
    let found = clusters(tree.path(), &[]);
    let mut sizes: Vec<usize> = found.values().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2, 2, 3, 5], "{found:?}");
    for (name, paths) in &found {
        assert_eq!(
            paths
                .iter()
                .map(|path| id(tree.path(), path))
                .min()
                .as_ref(),
            Some(name)
        );
    }
    for method in ["components", "communities", "threshold"] {
        assert_eq!(
            clusters(tree.path(), &["--method", method]),
            found,
            "{method}"
        );
    }
    let whole = json(tree.path(), &["cluster"]);
    assert_eq!(
        (&whole["schema"], &whole["contents"], &whole["components"]),
        (&"wsidx.cluster/1".into(), &16.into(), &4.into())
    );
    assert!(whole["modularity"].as_f64().unwrap() > 0.3, "{whole}");
    let notes = |path: &str| {
        let all = whole["clusters"].as_array().unwrap();
        let cluster = all
            .iter()
            .find(|cluster| {
                cluster["images"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|image| image["path"] == path)
            })
            .unwrap();
        [
            cluster["conflict"].as_bool().unwrap(),
            cluster["leak"].as_bool().unwrap(),
        ]
    };
    assert_eq!(
        ["train/dog/4.ppm", "train/cat/5.ppm", "train/cat/3.ppm"].map(notes),
        [[true, false], [false, true], [false, false]]
    );
}

#[test]
fn the_same_files_have_the_same_clusters_after_any_history() {
    let files = files();
    let expected = wsidx(dataset(&files).path(), ["cluster", "--format", "json"])
        .expect(0)
        .stdout;
    let tree = dataset(files.iter().rev().take(5));
    let extra: Vec<(String, Vec<u8>)> = (0..4)
        .map(|by| {
            (
                format!("extra/{by}.ppm"),
                brighter(&ppm(1, 16), 20 + 2 * by),
            )
        })
        .collect();
    extra
        .iter()
        .chain(&files[5..9])
        .for_each(|(name, bytes)| write(tree.path(), name, bytes));
    sync(tree.path());
    fs::remove_dir_all(tree.path().join("extra")).unwrap();
    sync(tree.path());
    files
        .iter()
        .for_each(|(name, bytes)| write(tree.path(), name, bytes));
    sync(tree.path());
    assert_eq!(
        wsidx(tree.path(), ["cluster", "--format", "json"])
            .expect(0)
            .stdout,
        expected
    );
    wsidx(tree.path(), ["rebuild"]).expect(0);
    assert_eq!(
        wsidx(tree.path(), ["cluster", "--format", "json"])
            .expect(0)
            .stdout,
        expected
    );
}

#[test]
fn a_cluster_keeps_its_name_while_the_content_that_names_it_is_the_smallest() {
    let tree = dataset(&files());
    let before = clusters(tree.path(), &[]);
    let (name, paths) = before.iter().find(|(_, paths)| paths.len() == 5).unwrap();
    let naming = paths
        .iter()
        .find(|path| id(tree.path(), path) == *name)
        .unwrap();
    let others: Vec<&String> = paths.iter().filter(|path| *path != naming).collect();
    // What leaves or comes elsewhere, or here without being the smallest, changes no name.
    fs::remove_file(tree.path().join(others[0])).unwrap();
    fs::remove_file(tree.path().join("train/cat/3-1.ppm")).unwrap();
    write(
        tree.path(),
        "train/cat/another-2.ppm",
        &brighter(&ppm(2, 16), 6),
    );
    sync(tree.path());
    let after = clusters(tree.path(), &[]);
    assert_eq!(after[name].len(), 4);
    assert_eq!(after.len(), before.len() - 1);
    let of = |clusters: &BTreeMap<String, Vec<String>>, path: &str| {
        clusters
            .iter()
            .find(|(_, paths)| paths.iter().any(|p| p == path))
            .map(|(name, _)| name.clone())
            .unwrap()
    };
    assert_eq!(
        of(&after, "train/dog/4.ppm"),
        of(&before, "train/dog/4.ppm")
    );
    let grown = of(&after, "train/cat/another-2.ppm");
    assert_eq!(
        grown,
        of(&before, "train/cat/2.ppm").min(id(tree.path(), "train/cat/another-2.ppm"))
    );
    // Without its naming content the next smallest names it.
    let rest: Vec<String> = others[1..]
        .iter()
        .map(|path| id(tree.path(), path))
        .collect();
    fs::remove_file(tree.path().join(naming)).unwrap();
    sync(tree.path());
    assert_eq!(
        Some(&of(&clusters(tree.path(), &[]), others[1])),
        rest.iter().min()
    );
}

#[test]
fn query_and_check_name_the_cluster_of_near_duplicates() {
    let tree = dataset(&files());
    let found = clusters(tree.path(), &[]);
    let name = found.iter().find(|(_, paths)| paths.len() == 5).unwrap().0;
    write(tree.path(), "new.ppm", &brighter(&ppm(1, 16), 3));
    let asked = &json(tree.path(), &["query", "new.ppm", "-k", "8"])[0];
    assert_eq!(
        (&asked["cluster"]["id"], &asked["cluster"]["images"]),
        (&name.as_str().into(), &5.into())
    );
    let near: Vec<&Value> = asked["neighbors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|near| !near["cluster"].is_null())
        .collect();
    assert!(
        near.len() == 5
            && near
                .iter()
                .all(|near| near["cluster"]["id"] == name.as_str()),
        "{asked}"
    );
    let line = format!("cluster {} of 5 images", &name[..12]);
    assert!(
        wsidx(tree.path(), ["query", "new.ppm"])
            .expect(0)
            .stdout
            .contains(&line)
    );
    let check = |path: &str| {
        wsidx(
            tree.path(),
            ["check", path, "--exit-zero", "--format", "json"],
        )
        .expect(0)
        .stdout
    };
    let checked: Value = serde_json::from_str(&check("new.ppm")).unwrap();
    assert_eq!(
        (
            &checked[0]["cluster"]["id"],
            &checked[0]["near_duplicates"][0]["cluster"]["images"]
        ),
        (&name.as_str().into(), &5.into())
    );
    assert!(
        wsidx(tree.path(), ["check", "new.ppm"])
            .expect(1)
            .stdout
            .contains(&line)
    );
    // A copy elsewhere of what is alone makes two of one content; what is like nothing has no
    // cluster.
    let copied: Value = serde_json::from_str(&check("test/cat/same-as-5.ppm")).unwrap();
    assert_eq!(copied[0]["cluster"]["images"], 2, "{copied}");
    let alone: Value = serde_json::from_str(&check("train/cat/0.ppm")).unwrap();
    assert!(alone[0]["cluster"].is_null(), "{alone}");
    // A stricter rule, at once.
    fs::write(tree.path().join("wsidx.toml"), "[edges]\nthreshold = 1.0\n").unwrap();
    assert!(json(tree.path(), &["query", "new.ppm"])[0]["cluster"].is_null());
    assert_eq!(clusters(tree.path(), &[]).len(), 1);
}

#[test]
fn a_selection_says_which_clusters_are_shown_and_lists_and_drawings_hold_them() {
    let tree = dataset(&files());
    let all = clusters(tree.path(), &[]);
    for (selection, count) in [
        (&["--label", "dog"][..], 1),
        (&["--split", "test"], 1),
        (&["train/cat"], 5),
        (&["train/cat/0.ppm"], 0),
    ] {
        let shown = clusters(tree.path(), selection);
        assert!(
            shown.len() == count && shown.iter().all(|(name, paths)| all[name] == *paths),
            "{selection:?}: {shown:?}"
        );
    }
    let lines = wsidx(tree.path(), ["cluster", "--format", "jsonl"])
        .expect(0)
        .stdout;
    assert_eq!(lines.lines().count(), 5);
    let csv = wsidx(tree.path(), ["cluster", "--format", "csv"])
        .expect(0)
        .stdout;
    assert_eq!(
        (csv.lines().count(), csv.lines().next()),
        (18, Some("path,label,split,cluster"))
    );
    assert!(csv.contains("train/cat/0.ppm,cat,train,\n"), "{csv}");
    assert!(all.iter().all(|(name, paths)| paths.iter().all(|path| {
        csv.lines()
            .any(|line| line.starts_with(path) && line.ends_with(name))
    })));
    let svg = tree.path().join("graph.svg");
    let text = wsidx(tree.path(), ["cluster", "--graph", svg.to_str().unwrap()]).expect(0);
    assert!(
        text.stdout.contains(": 5 images")
            && text.stdout.contains(": 2 images, more than one split"),
        "{text:?}"
    );
    assert!(text.stderr.contains("14 images in 5 clusters"), "{text:?}");
    let drawn = fs::read_to_string(svg).unwrap();
    // A content is one point, also where it has two paths.
    assert_eq!(
        (
            drawn.matches("<circle").count(),
            drawn.matches("<line").count() >= 8
        ),
        (13, true)
    );
}

#[test]
fn what_cannot_be_clustered_is_refused_and_what_has_no_clusters_says_so() {
    let tree = dataset(&files()[..3]);
    let found = json(tree.path(), &["cluster"]);
    assert!(
        found["clusters"].as_array().unwrap().is_empty()
            && found["modularity"].is_null()
            && found["components"] == 0,
        "{found}"
    );
    assert!(
        wsidx(tree.path(), ["cluster"])
            .expect(0)
            .stderr
            .contains("0 images in 0 clusters")
    );
    let refused = |arguments: &[&str], reason: &str| {
        let run = wsidx(tree.path(), [&["cluster"], arguments].concat()).expect(2);
        assert!(
            run.stderr.contains(reason) && run.stdout.is_empty(),
            "{arguments:?}: {run:?}"
        );
    };
    refused(
        &["--method", "magic"],
        "there are spectral, components, communities and threshold",
    );
    refused(&["--graph", "out.png"], "--graph writes .svg");
    refused(&["--label", "cow"], "no image is in this selection");
    let same = dataset(
        &(0..6)
            .map(|i| (format!("cat/{i}.ppm"), ppm(5, 16)))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        clusters(same.path(), &[])
            .into_values()
            .map(|paths| paths.len())
            .collect::<Vec<_>>(),
        [6]
    );
}
