//! Search rows for crops of the indexed pictures (`[index] crops` in wsidx.toml): what is found
//! only with them, how they come and go, and how damage in them is told.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    images::{mirrored, ppm, write},
    wsidx,
};
use twox_hash::XxHash3_64;

const SIDE: usize = 32;

/// Its part of `part` pixels a side from (`x`, `y`) on.
fn cropped(file: &[u8], x: usize, y: usize, part: usize) -> Vec<u8> {
    let samples = &file[file.len() - SIDE * SIDE * 3..];
    let mut out = format!("P6 {part} {part} 255\n").into_bytes();
    (y..y + part).for_each(|y| out.extend(&samples[(y * SIDE + x) * 3..(y * SIDE + x + part) * 3]));
    out
}

fn path(seed: u64) -> String {
    format!("train/cat/{seed:03}.ppm")
}

fn ask(root: &Path, crops: bool) {
    fs::write(
        root.join("wsidx.toml"),
        format!("[index]\ncrops = {crops}\n"),
    )
    .unwrap();
}

/// Three hundred pictures, indexed without rows of crops.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    (0..300).for_each(|seed| write(tree.path(), &path(seed), &ppm(seed, SIDE)));
    wsidx(tree.path(), ["sync", "--init", "-q"]).expect(0);
    tree
}

/// Mirrored crops of the first twelve pictures, beside the dataset.
fn crops_in(folder: &Path) -> Vec<String> {
    let crop = |seed: u64| {
        let name = format!("{seed}.ppm");
        let part = cropped(
            &ppm(seed, SIDE),
            8,
            if seed.is_multiple_of(2) { 8 } else { 0 },
            24,
        );
        write(folder, &name, &mirrored(&part, 24));
        folder.join(name).to_string_lossy().into_owned()
    };
    (0..12).map(crop).collect()
}

fn json(folder: &Path, arguments: &[&str], status: i32) -> Value {
    let out = wsidx(folder, arguments.iter().chain(&["--format", "json"]))
        .expect(status)
        .stdout;
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

/// Of how many files the source comes first as a near-duplicate.
fn found(root: &Path, files: &[String]) -> usize {
    let arguments: Vec<&str> = ["query", "-k", "3"]
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    let answers = json(root, &arguments, 0);
    let is_found = |(seed, answer): (u64, &Value)| {
        let first = &answer["neighbors"][0];
        first["path"] == path(seed).as_str() && first["similarity"].as_f64().unwrap() >= 0.7
    };
    (0..)
        .zip(answers.as_array().unwrap())
        .filter(|of| is_found(*of))
        .count()
}

fn status(root: &Path) -> String {
    let text = wsidx(root, ["status"]).expect(0).stdout;
    text.lines()
        .find_map(|line| line.strip_prefix("rows of crops"))
        .unwrap()
        .trim()
        .to_owned()
}

fn files_of_crops(root: &Path) -> usize {
    let names = fs::read_dir(root.join(".wsidx/view"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("crops-"))
        .count()
}

#[test]
fn mirrored_crops_are_found_with_rows_of_crops_that_come_and_go_without_a_file_being_read() {
    let (tree, beside) = (dataset(), tempfile::tempdir().unwrap());
    let root = tree.path();
    let files = crops_in(beside.path());
    let before = found(root, &files);
    assert_eq!((status(root).as_str(), files_of_crops(root)), ("none", 0));
    ask(root, true);
    assert_eq!(status(root), "none yet; run `wsidx sync`");
    // Nothing of the dataset can be read now, and nothing needs to.
    let away = tempfile::tempdir().unwrap();
    fs::rename(root.join("train"), away.path().join("train")).unwrap();
    wsidx(root, ["rebuild"]).expect(0);
    fs::rename(away.path().join("train"), root.join("train")).unwrap();
    assert_eq!(
        (status(root).as_str(), files_of_crops(root)),
        ("5 a content", 3)
    );
    assert_eq!(json(root, &["status"], 0)["crops"], 5);
    let with = found(root, &files);
    assert!(
        before + 4 <= with && with >= 10,
        "{before} without, {with} with rows of crops"
    );
    wsidx(root, ["verify"]).expect(0);
    ask(root, false);
    assert_eq!(status(root), "5 a content, until the next `wsidx sync`");
    let said = wsidx(root, ["sync"]).expect(0).stderr;
    assert!(said.contains("search rows for crops are dropped"), "{said}");
    assert_eq!(
        (
            status(root).as_str(),
            files_of_crops(root),
            found(root, &files)
        ),
        ("none", 0, before)
    );
    ask(root, true);
    wsidx(root, ["sync"]).expect(0);
    assert_eq!((files_of_crops(root), found(root, &files)), (3, with));
    wsidx(root, ["verify"]).expect(0);
}

#[test]
fn a_check_finds_by_crops_what_is_indexed_and_what_came_before_in_the_request() {
    let tree = dataset();
    let root = tree.path();
    ask(root, true);
    wsidx(root, ["sync", "-q"]).expect(0);
    // Sources 0 to 11 are indexed; the others come with their crops, all of them before.
    for seed in 1_000..1_012 {
        write(root, &format!("new/a-{seed}.ppm"), &ppm(seed, SIDE));
    }
    for (i, seed) in (0..12).chain(1_000..1_012).enumerate() {
        let part = cropped(&ppm(seed, SIDE), 8, if i % 2 == 0 { 8 } else { 0 }, 24);
        write(root, &format!("new/b-{i:02}.ppm"), &mirrored(&part, 24));
    }
    let judged = |which: &[&str]| {
        let arguments: Vec<&str> = ["check"]
            .iter()
            .chain(which)
            .chain(&["--exit-zero"])
            .copied()
            .collect();
        let answers = json(root, &arguments, 0);
        let all = answers
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["path"].as_str().unwrap().contains("/b-"));
        let of: Vec<Value> = all
            .map(|a| a["near_duplicates"][0]["path"].clone())
            .collect();
        of
    };
    let together = judged(&["new"]);
    let sources = (0..12)
        .map(path)
        .chain((1_000..1_012).map(|seed| format!("new/a-{seed}.ppm")));
    let right = together
        .iter()
        .zip(sources)
        .filter(|(found, source)| *found == source.as_str())
        .count();
    assert!(right >= 20, "{right} {together:?}");
    // The same when the sources are in the index.
    wsidx(root, ["sync", "-q"]).expect(0);
    assert_eq!(judged(&["new"]), together);
}

#[test]
fn rows_that_are_not_those_of_the_pictures_and_damaged_ones_are_told_and_mended() {
    let tree = dataset();
    let root = tree.path();
    ask(root, true);
    wsidx(root, ["sync", "-q"]).expect(0);
    let view = root.join(".wsidx/view");
    let file = |head: &str| {
        let names = fs::read_dir(&view)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        names
            .into_iter()
            .find(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with(head)
            })
            .unwrap()
    };
    for head in ["crops-high", "crops-low", "crops-norms"] {
        let path = file(head);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let told = wsidx(root, ["verify"]).expect(1).stdout;
        assert!(
            told.contains("does not match its checksum"),
            "{head}: {told}"
        );
        wsidx(root, ["sync"]).expect(0);
        wsidx(root, ["verify"]).expect(0);
    }
    forge(
        &view,
        file("crops-high").file_name().unwrap().to_str().unwrap(),
    );
    let told = wsidx(root, ["verify"]).expect(1).stdout;
    assert!(
        told.contains(
            "row 0: the features of its crops are not those of its picture; run `wsidx rebuild`"
        ),
        "{told}"
    );
    wsidx(root, ["rebuild"]).expect(0);
    wsidx(root, ["verify"]).expect(0);
}

/// Changes a file of the view and has the manifest call it sound.
fn forge(view: &Path, name: &str) {
    let path = view.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let sum = |bytes: &[u8]| XxHash3_64::oneshot(&bytes[..bytes.len().min(64 << 10)]).to_le_bytes();
    let old = sum(&bytes);
    bytes[100] ^= 1;
    fs::write(path, &bytes).unwrap();
    let mut manifest = fs::read(view.join("manifest")).unwrap();
    let at = manifest
        .windows(8)
        .position(|window| window == old)
        .unwrap();
    manifest[at..at + 8].copy_from_slice(&sum(&bytes));
    let version = u64::from(u32::from_le_bytes(manifest[8..12].try_into().unwrap()));
    let whole = XxHash3_64::oneshot(&manifest[28..]) ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    manifest[20..28].copy_from_slice(&whole.to_le_bytes());
    fs::write(view.join("manifest"), manifest).unwrap();
}

#[test]
fn a_wsidx_toml_that_cannot_be_used_leaves_the_rows_as_they_are_and_is_told() {
    let tree = dataset();
    let root = tree.path();
    ask(root, true);
    wsidx(root, ["sync", "-q"]).expect(0);
    fs::write(root.join("wsidx.toml"), "[index]\ncrop = true\n").unwrap();
    write(root, "train/cat/new.ppm", &ppm(5_000, SIDE));
    let said = wsidx(root, ["sync"]).expect(0).stderr;
    assert!(
        said.contains("wsidx.toml") && said.contains("[index] counts as before"),
        "{said}"
    );
    assert_eq!(files_of_crops(root), 3);
    wsidx(root, ["verify"]).expect(0);
    assert!(
        wsidx(root, ["status"])
            .expect(2)
            .stderr
            .contains("wsidx.toml")
    );
}
