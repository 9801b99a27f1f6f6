//! Datasets in Parquet: the files that tests/parquet/make.py made with pyarrow, as images for every
//! command; and files that cannot be read.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{
    images::{ppm, write},
    root, wsidx,
};
use wsidx::{
    dataset::{Buffer, Container},
    picture::Limits,
};

const LABELS: [&str; 3] = ["cat", "dog", "eel"];

fn made(name: &str) -> PathBuf {
    root().join("tests/parquet").join(name)
}

/// Name and label of an item, and its bytes or the reason why it cannot be read.
type Item = (String, Option<String>, Result<Vec<u8>, String>);

/// All items of a file.
fn items(file: &Path) -> Result<Vec<Item>, String> {
    let container = Container::open(file).map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let item = |item: usize| {
        let mut buffer = Buffer::default();
        let read = container
            .read(item, &Limits::default(), &mut buffer)
            .map_err(|error| error.to_string());
        (
            text(&container.name(item)),
            container.told(item, b"x").0.map(|label| text(&label)),
            read.map(|()| buffer.bytes),
        )
    };
    Ok((0..container.count()).map(item).collect())
}

#[test]
fn images_and_labels_are_the_same_however_they_were_written() {
    for (file, column, labelled) in [
        ("train-00000-of-00001.parquet", "picture", true),
        ("plain.parquet", "image", true),
        ("gzip.parquet", "image", false),
    ] {
        let found = items(&made(file)).unwrap();
        assert_eq!(found.len(), 12, "{file}");
        for (i, (name, label, bytes)) in found.into_iter().enumerate() {
            let expected = if labelled {
                LABELS[i % 3].to_owned()
            } else {
                (i % 3).to_string()
            };
            assert_eq!(
                (name, label),
                (format!("{i}:{column}"), Some(expected)),
                "{file}"
            );
            assert!(bytes.unwrap() == ppm(i as u64, 16), "{file}, row {i}");
        }
    }
    for (i, (_, label, bytes)) in items(&made("pages.parquet"))
        .unwrap()
        .into_iter()
        .enumerate()
    {
        assert_eq!(
            label.as_deref(),
            (i % 5 != 0).then_some(LABELS[i % 3]),
            "row {i}"
        );
        match i % 4 {
            0 => assert!(bytes.unwrap_err().ends_with("it holds no bytes")),
            _ => assert!(bytes.unwrap() == ppm(i as u64, 16), "row {i}"),
        }
    }
    let twice = items(&made("overflow.parquet")).unwrap();
    assert!(
        twice.len() == 24
            && twice
                .iter()
                .zip((0..12).cycle())
                .all(|(item, seed)| item.2.as_ref().unwrap() == &ppm(seed, 16))
    );
    let both = items(&made("two.parquet")).unwrap();
    assert_eq!(
        [&both[0].0, &both[1].0, &both[23].0],
        ["0:left", "0:right", "11:right"]
    );
    let is = |item: usize, seed| both[item].2.as_ref().unwrap() == &ppm(seed, 16);
    assert!((0..12).all(|row| is(2 * row, row as u64) && is(2 * row + 1, 11 - row as u64)));
}

#[test]
fn items_are_found_by_row_and_column_only_as_they_are_called() {
    let container = Container::open(&made("two.parquet")).unwrap();
    let images = wsidx::dataset::Images::default();
    let read = |item: &str| {
        let mut buffer = Buffer::default();
        let path = made(&format!("two.parquet#{item}"));
        images
            .read(&path, &Limits::default(), &mut buffer)
            .map(|_| buffer.bytes)
            .map_err(|error| error.to_string())
    };
    assert_eq!(container.count(), 24);
    assert!(read("3:left").unwrap() == ppm(3, 16) && read("3:right").unwrap() == ppm(8, 16));
    for item in [
        "12:left",
        "03:left",
        "3:middle",
        "99999999999999999999:left",
    ] {
        assert!(
            read(item)
                .unwrap_err()
                .contains("there is no such item; the container has 24, the first is `0:left`"),
            "{item}"
        );
    }
}

/// The tree of two files: 12 training images, and of those 12 test images again, some under another
/// label.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let copy = |name: &str, to: &str| write(tree.path(), to, &fs::read(made(name)).unwrap());
    copy(
        "train-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
    );
    copy("two.parquet", "data/validation.parquet");
    copy("paths.parquet", "more/paths.parquet");
    copy("metadata.parquet", "more/metadata.parquet");
    write(tree.path(), "cat/alone.ppm", &ppm(50, 16));
    tree
}

#[test]
fn every_command_takes_the_images_of_a_table() {
    let tree = dataset();
    let run = |arguments: &[&str], status| wsidx(tree.path(), arguments).expect(status);
    let json = |arguments: &[&str], status| -> Value {
        serde_json::from_str(&run(&[arguments, &["--format", "json"]].concat(), status).stdout)
            .unwrap()
    };
    let synced = run(&["sync", "--init"], 0);
    assert!(
        synced.stdout.contains("37 images with 13 contents"),
        "{}",
        synced.stdout
    );
    let undecodable = json(&["sync"], 0)["undecodable"].to_string();
    assert!(
        undecodable.contains("metadata.parquet")
            && undecodable.contains("it is a table about images in files"),
        "{undecodable}"
    );
    assert!(
        undecodable.contains("it holds no bytes, but the name of a file: 03.ppm"),
        "{undecodable}"
    );

    let item = "data/train-00000-of-00001.parquet#4:picture";
    let nearest = &json(&["query", item, "-k", "1"], 0)[0]["neighbors"][0];
    let told = (
        &nearest["path"],
        &nearest["label"],
        &nearest["split"],
        &nearest["paths"],
    );
    assert_eq!(
        told,
        (&item.into(), &"dog".into(), &"train".into(), &3.into())
    );
    let checked = json(&["check", "data/validation.parquet#4:left"], 1);
    assert_eq!(
        [&checked[0]["verdict"], &checked[0]["split"]],
        ["redundant", "val"]
    );
    assert_eq!(
        json(&["check", "data/validation.parquet"], 1)
            .as_array()
            .unwrap()
            .len(),
        24
    );
    let compared = json(&["compare", item, "data/validation.parquet#7:right"], 0);
    assert_eq!(compared["decision"], "same pixels");
    run(&["verify", "--files"], 0);
    let kept = run(
        &[
            "reduce",
            "data",
            "--method",
            "threshold",
            "--format",
            "paths",
            "--copy",
            "kept",
        ],
        0,
    );
    assert_eq!(kept.stdout.lines().count(), 12, "{}", kept.stdout);
    let copied = fs::read_dir(tree.path().join("kept/data"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap());
    assert_eq!(
        copied.map(|bytes| bytes.len()).collect::<Vec<_>>(),
        [ppm(0, 16).len(); 12]
    );
    // What did not change is not opened, be it readable or not; what did is.
    assert_eq!(json(&["sync"], 0)["unchanged"], 37 + 13);
    fs::copy(
        made("plain.parquet"),
        tree.path().join("data/validation.parquet"),
    )
    .unwrap();
    let changed = json(&["sync"], 0);
    assert_eq!(
        ["added", "removed"].map(|what| changed[what].as_u64().unwrap()),
        [12, 24],
        "{changed}"
    );
}

#[test]
fn tables_without_images_and_in_ways_that_are_not_read_are_refused_with_the_reason() {
    let refused = |name: &str, reason: &str| {
        let found = items(&made(name)).map(|items| {
            items
                .into_iter()
                .map(|item| item.2.unwrap_err())
                .collect::<Vec<_>>()
        });
        let what = found.map_or_else(|reason| reason, |reasons| reasons.join("\n"));
        assert!(what.contains(reason), "{name}: {what}");
    };
    refused(
        "numbers.parquet",
        "it has no column of images, which holds bytes, or a struct of bytes and path; its columns are a, b",
    );
    refused(
        "metadata.parquet",
        "are read as .csv or .jsonl, not as Parquet",
    );
    refused(
        "brotli.parquet",
        "it is packed by Brotli; Snappy, gzip, Zstandard and no codec are read",
    );
    refused(
        "delta.parquet",
        "its values are encoded as DELTA_LENGTH_BYTE_ARRAY",
    );
    refused(
        "paths.parquet",
        "it holds no bytes, but the name of a file: 11.ppm",
    );
    assert!(
        items(&made("paths.parquet"))
            .unwrap()
            .iter()
            .all(|item| item.1.is_none()),
        "-1 is no label"
    );
    let folder = tempfile::tempdir().unwrap();
    for (bytes, reason) in [
        (&b""[..], "no Parquet file"),
        (b"PAR1 and nothing else", "no Parquet file"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "the limit is"),
    ] {
        let file = folder.path().join("a.parquet");
        fs::write(&file, bytes).unwrap();
        assert!(
            items(&file).unwrap_err().contains(reason),
            "{:?}",
            items(&file)
        );
    }
}

#[test]
fn files_that_are_cut_or_changed_anywhere_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "train-00000-of-00001.parquet",
        "plain.parquet",
        "gzip.parquet",
        "pages.parquet",
        "overflow.parquet",
        "two.parquet",
    ] {
        let (bytes, file) = (fs::read(made(name)).unwrap(), folder.path().join(name));
        let footer = bytes.len()
            - 8
            - u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
        // Every seventh byte of the footer and of the first page, and some of the others.
        for at in
            (0..bytes.len()).filter(|&at| at % 7 == 0 && (at >= footer || at < 80) || at % 97 == 0)
        {
            fs::write(&file, &bytes[..at]).unwrap();
            assert!(items(&file).is_err(), "{name} cut at {at}");
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                fs::write(&file, &changed).unwrap();
                let _ = items(&file);
            }
        }
    }
}
