//! `wsidx reduce --embeddings`: the files that tests/embeddings/make.py made with NumPy, against
//! what scikit-learn finds in them; and files that cannot be used.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{
    images::{ppm, write},
    root, wsidx,
};
use wsidx::dataset::Embeddings;

const LINKAGE: [&str; 6] = [
    "reduce",
    "--method",
    "complete-linkage",
    "--clusters",
    "15",
    "--format",
];

fn made(name: &str) -> PathBuf {
    root().join("tests/embeddings").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (label, count, from) in [("cat", 14, 0), ("dog", 11, 100), ("eel", 1, 200)] {
        (0..count).for_each(|i| {
            write(
                tree.path(),
                &format!("{label}/{i:02}.ppm"),
                &ppm(from + i, 16),
            );
        });
    }
    wsidx(tree.path(), ["sync", "--init"]).expect(0);
    tree
}

/// The images kept, and those that go for each.
fn kept(csv: &str) -> BTreeMap<String, Vec<String>> {
    let mut kept = BTreeMap::<String, Vec<String>>::new();
    for record in csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(Result::unwrap)
    {
        match &record[4] {
            "kept" => drop(kept.entry(record[0].to_owned()).or_default()),
            "discarded" => kept
                .entry(record[5].to_owned())
                .or_default()
                .push(record[0].to_owned()),
            other => panic!("{other}"),
        }
    }
    kept
}

#[test]
fn clusters_images_kept_and_dissimilarities_are_those_of_scikit_learn_for_every_type_and_layout() {
    let tree = dataset();
    let reference: Value =
        serde_json::from_slice(&fs::read(made("reference.json")).unwrap()).unwrap();
    let strings = |of: &Value| {
        of.as_array()
            .unwrap()
            .iter()
            .map(|path| path.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let clusters = reference["clusters"].as_array().unwrap().iter();
    let expected: BTreeMap<String, Vec<String>> = clusters
        .map(|of| {
            (
                of["kept"].as_str().unwrap().to_owned(),
                strings(&of["discarded"]),
            )
        })
        .collect();
    let files = [
        ("f4.npy", Some("ids.txt")),
        ("fortran_f8.npy", Some("ids.csv")),
        ("big_f2.npy", Some("ids.txt")),
        ("i2.npy", Some("ids.txt")),
        ("version2.npy", Some("ids.txt")),
        ("version3.npy", Some("ids.csv")),
        ("stored.npz", None),
        ("packed.npz", None),
        ("packed.npz", Some("ids.txt")),
        ("lists.parquet", None),
        ("fixed.parquet", None),
        ("lists.parquet", Some("ids.txt")),
    ];
    for (file, ids) in files {
        let (file, ids) = (made(file), ids.map(made));
        let mut arguments = vec!["--embeddings", text(&file)];
        arguments.extend(
            ids.as_deref()
                .into_iter()
                .flat_map(|ids| ["--ids", text(ids)]),
        );
        let run = |format: &str| {
            wsidx(tree.path(), [&LINKAGE[..], &[format], &arguments].concat())
                .expect(0)
                .stdout
        };
        assert_eq!(kept(&run("csv")), expected, "{arguments:?}");
        let found: Value = serde_json::from_str(&run("json")).unwrap();
        let classes = found["dissimilarity"]["classes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|class| (class["label"].as_str().unwrap(), class));
        let rows: Vec<(&str, &Value)> = classes
            .chain([("all", &found["dissimilarity"]["all"])])
            .collect();
        assert_eq!(
            rows.iter().map(|(label, _)| *label).collect::<Vec<_>>(),
            ["cat", "dog", "eel", "all"]
        );
        for (label, row) in rows {
            let by_hand = &reference["table"][label];
            ["images", "kept", "groups"]
                .into_iter()
                .for_each(|count| assert_eq!(row[count], by_hand[count], "{label}"));
            match by_hand["average"].as_f64() {
                Some(average) => assert!(
                    (row["average"].as_f64().unwrap() - average).abs() < 1e-6,
                    "{label}: {row} {average}"
                ),
                None => assert!(row["average"].is_null()),
            }
        }
    }
    let shown = wsidx(
        tree.path(),
        [
            &LINKAGE[..],
            &["text", "--embeddings", text(&made("stored.npz"))],
        ]
        .concat(),
    )
    .expect(0)
    .stdout;
    assert!(
        shown.contains("average dissimilarity (1 - cosine)")
            && shown.contains("columns      5 of 5"),
        "{shown}"
    );
    let line = |label: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(label))
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (line("cat  "), line("eel  ")),
        (
            vec!["cat", "14", "8", "3", "0.020959"],
            vec!["eel", "1", "1", "0", "-"]
        )
    );
}

#[test]
fn a_class_is_reduced_by_the_embeddings_of_all_and_kmeans_takes_them_too() {
    let tree = dataset();
    let run = |arguments: &[&str]| -> Value {
        let file = made("stored.npz");
        let all = [
            &["reduce", "--format", "json", "--embeddings", text(&file)],
            arguments,
        ]
        .concat();
        serde_json::from_str(&wsidx(tree.path(), all).expect(0).stdout).unwrap()
    };
    let dogs = run(&["dog", "--method", "complete-linkage", "--clusters", "6"]);
    assert_eq!([&dogs["images"], &dogs["kept"]], [11, 6]);
    assert!((dogs["dissimilarity"]["all"]["average"].as_f64().unwrap() - 0.012_487).abs() < 1e-6);
    let by_kmeans = run(&["--clusters", "9"]);
    assert_eq!(
        (
            &by_kmeans["clusters"],
            &by_kmeans["columns"],
            &by_kmeans["dissimilarity"]
        ),
        (&9.into(), &vec![5, 5].into(), &Value::Null)
    );
    assert_eq!(by_kmeans, run(&["--clusters", "9"]));
    // Absolute paths, as other programs write them.
    let ids = tree.path().join("ids.txt");
    let real = fs::canonicalize(tree.path()).unwrap();
    let lines = fs::read_to_string(made("ids.txt"))
        .unwrap()
        .lines()
        .map(|path| format!("{}/{path}\r\n", text(&real)))
        .collect::<String>();
    fs::write(&ids, lines).unwrap();
    assert_eq!(run(&["--clusters", "9", "--ids", text(&ids)]), by_kmeans);
}

/// A `.npy` of 32-bit floats.
fn npy(rows: usize, columns: usize, values: &[f32]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}\n");
    let mut bytes = [
        b"\x93NUMPY\x01\0",
        &(header.len() as u16).to_le_bytes()[..],
        header.as_bytes(),
    ]
    .concat();
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn embeddings_that_cannot_be_used_are_refused_with_the_reason_and_nothing_is_made() {
    let tree = dataset();
    let ids = fs::read_to_string(made("ids.txt")).unwrap();
    let at = |name: &str| tree.path().join(name);
    let target = tree.path().join("made");
    let refused = |arguments: &[&str], reason: &str| {
        let all = [&LINKAGE[..], &["paths", "--copy", text(&target)], arguments].concat();
        let run = wsidx(tree.path(), all).expect(2);
        assert!(
            run.stderr.contains(reason) && run.stdout.is_empty() && !target.exists(),
            "{arguments:?}: {run:?}"
        );
    };
    let by_ids = |text: &str, reason: &str| {
        fs::write(at("some.txt"), text).unwrap();
        refused(
            &[
                "--embeddings",
                made("f4.npy").to_str().unwrap(),
                "--ids",
                "some.txt",
            ],
            reason,
        );
    };
    by_ids(
        &ids[..ids.len() - 11],
        "it has 26 embeddings, but there are 25 paths",
    );
    by_ids(
        &ids.replace("eel/00.ppm", "eel/99.ppm"),
        "is of eel/99.ppm, which is no image of the dataset",
    );
    by_ids(
        &ids.replace("eel/00.ppm", "cat/00.ppm"),
        "(from 0) are both of cat/00.ppm",
    );
    by_ids(
        &ids.replace("eel/00.ppm", "./cat/00.ppm"),
        "(from 0) are both of ./cat/00.ppm",
    );
    by_ids(&ids.replace("eel/00.ppm", ""), "names no image");
    by_ids("", "there are 0 paths");

    let mut values = vec![1.0_f32; 26 * 2];
    let by_values = |bytes: &[u8], reason: &str| {
        fs::write(at("some.npy"), bytes).unwrap();
        refused(
            &["--embeddings", "some.npy", "--ids", text(&made("ids.txt"))],
            reason,
        );
    };
    let first = ids.lines().next().unwrap();
    for (value, what) in [
        (f32::NAN, "no finite numbers"),
        (f32::INFINITY, "no finite numbers"),
        (0.0, "is all zeros"),
    ] {
        values[..2].fill(value);
        by_values(&npy(26, 2, &values), &format!("the embedding of {first} "));
        by_values(&npy(26, 2, &values), what);
    }
    let whole = npy(26, 2, &[1.0; 52]);
    by_values(&whole[..whole.len() - 1], "it is cut off or damaged");
    by_values(&[&whole[..], b"x"].concat(), "it is cut off or damaged");
    by_values(&whole[..20], "it is cut off");
    by_values(
        &npy(1 << 40, 1 << 40, &[]),
        "its header tells of float32 (1099511627776, 1099511627776)",
    );
    by_values(&npy(26, 0, &[]), "not a matrix");
    by_values(&fs::read(made("objects.npy")).unwrap(), "never unpickled");
    by_values(b"", "it is cut off");

    refused(&["--embeddings", text(&made("f4.npy"))], "--ids FILE");
    refused(
        &["--embeddings", text(&made("unequal.parquet"))],
        "have not all as many numbers as each other",
    );
    refused(
        &["--embeddings", text(&made("ids.csv"))],
        "read from .npy, .npz and .parquet",
    );
    refused(
        &["--embeddings", "nothing.npy"],
        "nothing.npy: no such file",
    );
    refused(&["--embeddings", "cat"], "no regular file");
    refused(&["--ids", "ids.txt"], "--embeddings");
    refused(
        &["--embeddings", "x.npy", "--columns", "search"],
        "cannot be used with",
    );
    fs::copy(made("f4.npy"), at("a.npz")).unwrap();
    refused(&["--embeddings", "a.npz"], "no zip archive");
    let stored = text(&made("stored.npz")).to_owned();
    let spectral = [
        "reduce",
        "--clusters",
        "3",
        "--method",
        "spectral",
        "--embeddings",
        &stored,
    ];
    assert!(
        wsidx(tree.path(), spectral)
            .expect(2)
            .stderr
            .contains("kmeans and complete-linkage")
    );
    // An image that came later has none.
    write(tree.path(), "cat/new.ppm", &ppm(300, 16));
    wsidx(tree.path(), ["sync"]).expect(0);
    refused(
        &["--embeddings", &stored],
        "1 of the 27 selected images have no embedding, the first is cat/new.ppm",
    );
}

#[test]
fn archives_without_one_matrix_and_one_list_are_refused_and_say_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let with_names = |matrix: &str, list: &str| {
        let mut bytes = fs::read(made("packed.npz")).unwrap();
        for (from, to) in [("features", matrix), ("paths", list)] {
            let places: Vec<usize> = (0..bytes.len())
                .filter(|&at| bytes[at..].starts_with(format!("{from}.npy").as_bytes()))
                .collect();
            places
                .into_iter()
                .for_each(|at| bytes[at..at + from.len()].copy_from_slice(to.as_bytes()));
        }
        let file = folder.path().join("some.npz");
        fs::write(&file, bytes).unwrap();
        Embeddings::open(&file, None)
            .map(|found| found.ids().len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(with_names("features", "paths"), Ok(26));
    assert!(
        with_names("feature\n", "paths").unwrap() == 26,
        "names do not matter where there is one array of each kind"
    );
    let file = folder.path().join("bare.npz");
    fs::write(&file, b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    let reason = Embeddings::open(&file, None).unwrap_err().to_string();
    assert!(
        reason.contains(
            "no array that is a matrix of numbers; call the one that counts `embeddings`"
        ),
        "{reason}"
    );
}

/// Reads what is there, if it can be read.
fn read(file: &Path, ids: Option<&Path>) -> bool {
    let Ok(found) = Embeddings::open(file, ids) else {
        return false;
    };
    let places: Vec<Option<u32>> = (0..found.ids().len() as u32).map(Some).collect();
    assert_eq!(places.len(), 26);
    found.rows(&places, 26).is_ok()
}

#[test]
fn files_that_are_cut_or_changed_anywhere_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ids = made("ids.txt");
    for name in [
        "f4.npy",
        "fortran_f8.npy",
        "stored.npz",
        "packed.npz",
        "lists.parquet",
    ] {
        let (bytes, file) = (fs::read(made(name)).unwrap(), folder.path().join(name));
        let ids = name.ends_with("npy").then_some(&*ids);
        fs::write(&file, &bytes).unwrap();
        assert!(read(&file, ids), "{name}");
        for at in (0..bytes.len()).step_by(7) {
            fs::write(&file, &bytes[..at]).unwrap();
            assert!(!read(&file, ids), "{name} cut at {at}");
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                fs::write(&file, &changed).unwrap();
                read(&file, ids);
            }
        }
    }
    // A value of a stored array: the checksum tells.
    let mut bytes = fs::read(made("stored.npz")).unwrap();
    let header = bytes.windows(4).position(|word| word == b"'<f4").unwrap();
    let value = header + bytes[header..].iter().position(|&b| b == b'\n').unwrap() + 3;
    bytes[value] ^= 1;
    let file = folder.path().join("flipped.npz");
    fs::write(&file, bytes).unwrap();
    let found = Embeddings::open(&file, None).unwrap();
    let reason = found.rows(&[Some(0); 26], 1).unwrap_err().to_string();
    assert!(reason.contains("its checksum is another"), "{reason}");
}
