//! What wsidx reads out of files of DVC, held against what the real DVC says of the same
//! repository.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use support::{
    Run, command,
    images::{brighter, ppm, write},
    run, tool, wsidx,
};
use wsidx::dataset::{
    Buffer,
    dvc::{Cache, Files, Md5, Settings, expand, is_dvc_file},
};

fn git<const N: usize>(tree: &Path, arguments: [&str; N]) -> Run {
    let mut git = command("git", tree);
    git.args(arguments);
    run(git).expect(0)
}

fn dvc<const N: usize>(tree: &Path, arguments: [&str; N]) -> String {
    let mut dvc = command(tool("dvc"), tree);
    dvc.args(arguments)
        .env("DVC_NO_ANALYTICS", "1")
        .env("DVC_SITE_CACHE_DIR", tree.join(".git/dvc-site"));
    run(dvc).expect(0).stdout
}

/// A repository of git and DVC.
fn repository() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    git(tree.path(), ["init", "-q", "-b", "main"]);
    dvc(tree.path(), ["init", "-q"]);
    tree
}

fn commit(tree: &Path) {
    git(tree, ["add", "-A"]);
    git(tree, ["commit", "-qm", "more"]);
}

/// The files of DVC in a tree of git (`HEAD`, or empty for the index), expanded.
fn expanded(tree: &Path, revision: &str) -> Files {
    let list = match revision {
        "" => git(tree, ["ls-files", "-z"]),
        revision => git(tree, ["ls-tree", "-r", "-z", "--name-only", revision]),
    };
    let names = list
        .stdout
        .split_terminator('\0')
        .filter(|name| is_dvc_file(name.as_bytes()));
    let texts: BTreeMap<Vec<u8>, Vec<u8>> = names
        .map(|name| {
            (
                name.into(),
                git(tree, ["show", &format!("{revision}:{name}")])
                    .stdout
                    .into_bytes(),
            )
        })
        .collect();
    expand(&texts, tree, &Settings::default()).unwrap()
}

/// What is new at its path, by us: path and content.
fn added(old: &Files, new: &Files) -> BTreeSet<String> {
    let is_new = |(path, md5): &(&Vec<u8>, &Option<Md5>)| old.images.get(*path) != Some(*md5);
    new.images
        .iter()
        .filter(is_new)
        .map(|(path, _)| String::from_utf8(path.clone()).unwrap())
        .collect()
}

/// The same, by DVC; the files of what it calls added, modified or renamed.
fn told(tree: &Path) -> BTreeSet<String> {
    let diff: Value = serde_json::from_str(&dvc(tree, ["diff", "--json"])).unwrap();
    let of = |key: &str, at: fn(&Value) -> &Value| -> Vec<String> {
        let all = diff[key].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|entry| at(entry).as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = of("added", |entry| &entry["path"]);
    all.extend(of("modified", |entry| &entry["path"]));
    all.extend(of("renamed", |entry| &entry["path"]["new"]));
    all.into_iter()
        .filter(|path| path.ends_with(".ppm"))
        .collect()
}

#[test]
fn an_identical_copy_inside_a_folder_of_dvc_is_new_as_dvc_says() {
    let tree = repository();
    let img = |name: &str| format!("data/img/{name}.ppm");
    for seed in 0..6 {
        write(tree.path(), &img(&format!("sub/{seed}")), &ppm(seed, 16));
    }
    write(tree.path(), "data/single.ppm", &ppm(50, 16));
    dvc(tree.path(), ["add", "-q", "data/img", "data/single.ppm"]);
    commit(tree.path());
    let before = expanded(tree.path(), "HEAD");
    assert_eq!((before.images.len(), before.missing.len()), (7, 0));
    // A copy, a rename, a change, a removal, an addition, and names of other letters.
    fs::copy(tree.path().join(img("sub/0")), tree.path().join(img("dup"))).unwrap();
    fs::rename(
        tree.path().join(img("sub/1")),
        tree.path().join(img("moved")),
    )
    .unwrap();
    fs::remove_file(tree.path().join(img("sub/2"))).unwrap();
    fs::remove_file(tree.path().join(img("sub/3"))).unwrap();
    write(tree.path(), &img("sub/2"), &ppm(20, 16));
    write(tree.path(), &img("é 😀 \"new\""), &ppm(21, 16));
    fs::remove_file(tree.path().join("data/single.ppm")).unwrap();
    write(tree.path(), "data/single.ppm", &ppm(51, 16));
    dvc(tree.path(), ["add", "-q", "data/img", "data/single.ppm"]);
    git(tree.path(), ["add", "-A"]);
    let after = expanded(tree.path(), "");
    let new = added(&before, &after);
    assert_eq!(new, told(tree.path()));
    assert!(
        new.contains("data/img/dup.ppm")
            && new.contains("data/img/moved.ppm")
            && new.contains("data/img/é 😀 \"new\".ppm")
    );
    assert_eq!(new.len(), 5);
    // Each is had from the cache, with the work tree gone.
    fs::remove_dir_all(tree.path().join("data/img")).unwrap();
    let cache = Cache::of(tree.path(), b"data/img.dvc", &Settings::default())
        .unwrap()
        .unwrap();
    let mut buffer = Buffer::default();
    for (path, md5) in &after.images {
        cache
            .read(
                &md5.unwrap(),
                path,
                &wsidx::picture::Limits::default(),
                &mut buffer,
            )
            .unwrap();
    }
    assert_eq!(buffer.bytes, ppm(51, 16));
}

#[test]
fn the_outputs_of_a_pipeline_are_those_of_its_lock() {
    let tree = repository();
    write(tree.path(), "in.ppm", &ppm(1, 16));
    let yaml = "stages:\n  copy:\n    wdir: job\n    cmd: mkdir -p out && cp ../in.ppm out/a.ppm && cp ../in.ppm ../b.ppm\n    deps: [../in.ppm]\n    outs: [out, ../b.ppm]\n";
    write(
        tree.path(),
        "p/dvc.yaml",
        yaml.replace("../in.ppm", "../../in.ppm").as_bytes(),
    );
    fs::create_dir_all(tree.path().join("p/job")).unwrap();
    dvc(&tree.path().join("p"), ["repro", "-q"]);
    git(tree.path(), ["add", "-A"]);
    let files = expanded(tree.path(), "");
    let names: Vec<_> = files
        .images
        .keys()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    assert_eq!(names, ["p/b.ppm", "p/job/out/a.ppm"]);
}

#[test]
fn an_old_manifest_that_was_not_fetched_is_missing_and_named() {
    let tree = repository();
    write(tree.path(), "img/a.ppm", &ppm(1, 16));
    dvc(tree.path(), ["add", "-q", "img"]);
    commit(tree.path());
    fs::remove_dir_all(tree.path().join(".dvc/cache")).unwrap();
    let files = expanded(tree.path(), "HEAD");
    assert!(
        files.images.is_empty() && files.missing[&b"img"[..]].1.contains("`dvc fetch img.dvc`"),
        "{files:?}"
    );
}

#[test]
fn a_cache_elsewhere_is_found_where_dvc_says_it_is() {
    let tree = repository();
    let shared = tempfile::tempdir().unwrap();
    for level in [
        &["cache", "dir", "../shared cache"][..],
        &["cache", "dir", "--local", shared.path().to_str().unwrap()],
    ] {
        let mut set = command(tool("dvc"), tree.path());
        set.args(level).env("DVC_NO_ANALYTICS", "1");
        run(set).expect(0);
        let told = dvc(tree.path(), ["cache", "dir"]);
        let ours = Cache::of(tree.path(), b"x.dvc", &Settings::default())
            .unwrap()
            .unwrap()
            .place(&[0; 16], false, true);
        let ours = ours.parent().unwrap().parent().unwrap();
        let clean = |path: &Path| {
            let mut out = std::path::PathBuf::new();
            for part in path.components() {
                if part.as_os_str() == ".." {
                    out.pop();
                } else {
                    out.push(part);
                }
            }
            out
        };
        assert_eq!(clean(ours), Path::new(told.trim()));
    }
}

#[test]
fn the_cache_and_the_files_of_dvc_2_are_read() {
    let tree = repository();
    write(tree.path(), "img/a.ppm", &ppm(1, 16));
    dvc(tree.path(), ["add", "-q", "img"]);
    let text = fs::read_to_string(tree.path().join("img.dvc")).unwrap();
    fs::write(
        tree.path().join("img.dvc"),
        text.replace("  hash: md5\n", ""),
    )
    .unwrap();
    let cache = tree.path().join(".dvc/cache");
    for folder in fs::read_dir(cache.join("files/md5")).unwrap() {
        let folder = folder.unwrap();
        fs::rename(folder.path(), cache.join(folder.file_name())).unwrap();
    }
    fs::remove_dir_all(tree.path().join("img")).unwrap();
    git(tree.path(), ["add", "-A"]);
    let files = expanded(tree.path(), "");
    let md5 = files.images[&b"img/a.ppm"[..]].unwrap();
    let cache = Cache::of(tree.path(), b"img.dvc", &Settings::default())
        .unwrap()
        .unwrap();
    let mut buffer = Buffer::default();
    cache
        .read(
            &md5,
            b"img/a.ppm",
            &wsidx::picture::Limits::default(),
            &mut buffer,
        )
        .unwrap();
    assert_eq!(buffer.bytes, ppm(1, 16));
    // DVC itself still reads it so.
    dvc(tree.path(), ["checkout", "-q"]);
    assert_eq!(fs::read(tree.path().join("img/a.ppm")).unwrap(), ppm(1, 16));
}

/// A repository whose images DVC keeps in `train/cat`, indexed.
fn dataset() -> tempfile::TempDir {
    let tree = repository();
    for seed in 0..5 {
        write(
            tree.path(),
            &format!("train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    dvc(tree.path(), ["add", "-q", "train/cat"]);
    fs::write(tree.path().join(".gitignore"), "/.wsidx\n").unwrap();
    commit(tree.path());
    wsidx(tree.path(), ["init", "--size", "16"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

/// `dvc add` and `git add`, then the verdicts on what is staged: path, verdict, message.
fn staged(tree: &Path, status: i32) -> Vec<[String; 3]> {
    if tree.join("train/cat").exists() {
        dvc(tree, ["add", "-q", "train/cat"]);
    }
    git(tree, ["add", "-A"]);
    verdicts(tree, status)
}

fn verdicts(tree: &Path, status: i32) -> Vec<[String; 3]> {
    let found: Value = serde_json::from_str(
        &wsidx(tree, ["check", "--staged", "--format", "json"])
            .expect(status)
            .stdout,
    )
    .unwrap();
    let found = found.as_array().unwrap().iter();
    found
        .map(|found| {
            ["path", "verdict", "message"].map(|key| found[key].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn what_is_staged_in_dvc_is_judged_by_its_bytes_and_an_identical_copy_or_a_near_one_is_found() {
    let tree = dataset();
    let cat = |name: &str| tree.path().join("train/cat").join(name);
    write(tree.path(), "train/cat/fresh.ppm", &ppm(70, 16));
    fs::copy(cat("0.ppm"), cat("dup.ppm")).unwrap();
    write(tree.path(), "train/cat/near.ppm", &brighter(&ppm(1, 16), 9));
    let found = staged(tree.path(), 1);
    let told: Vec<_> = found
        .iter()
        .map(|[path, verdict, _]| (path.as_str(), verdict.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("train/cat/dup.ppm", "redundant"),
            ("train/cat/fresh.ppm", "novel"),
            ("train/cat/near.ppm", "redundant")
        ]
    );
    assert!(
        found[0][2].starts_with("same bytes as train/cat/0.ppm")
            && found[2][2].contains("train/cat/1.ppm"),
        "{found:?}"
    );
}

#[test]
fn a_rename_and_a_removal_in_dvc_are_no_findings() {
    let tree = dataset();
    let cat = |name: &str| tree.path().join("train/cat").join(name);
    fs::rename(cat("0.ppm"), cat("renamed.ppm")).unwrap();
    fs::remove_file(cat("1.ppm")).unwrap();
    assert_eq!(staged(tree.path(), 0), Vec::<[String; 3]>::new());
}

#[test]
fn images_in_git_and_images_in_dvc_are_judged_against_each_other() {
    let tree = dataset();
    write(tree.path(), "train/dog/a.ppm", &ppm(2, 16));
    write(tree.path(), "train/dog/b.ppm", &ppm(71, 16));
    let found = staged(tree.path(), 1);
    let told: Vec<_> = found
        .iter()
        .map(|[path, verdict, _]| (path.as_str(), verdict.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("train/dog/a.ppm", "influential"),
            ("train/dog/b.ppm", "novel")
        ]
    );
}

#[test]
fn without_the_old_manifest_only_what_the_index_does_not_know_is_judged() {
    let tree = dataset();
    fs::remove_dir_all(tree.path().join(".dvc/cache")).unwrap();
    write(tree.path(), "train/cat/near.ppm", &brighter(&ppm(1, 16), 9));
    let found = staged(tree.path(), 1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        [&*found[0][0], &*found[0][1]],
        ["train/cat/near.ppm", "redundant"]
    );
}

#[test]
fn a_new_manifest_or_object_that_is_not_here_is_missing_and_rejected_never_passed() {
    let tree = dataset();
    write(tree.path(), "train/cat/near.ppm", &brighter(&ppm(1, 16), 9));
    dvc(tree.path(), ["add", "-q", "train/cat"]);
    git(tree.path(), ["add", "-A"]);
    fs::remove_dir_all(tree.path().join("train/cat")).unwrap();
    let all = |found: Vec<[String; 3]>| found.into_iter().next().unwrap();
    let objects = fs::read_dir(tree.path().join(".dvc/cache/files/md5"))
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let (manifests, objects): (Vec<_>, Vec<_>) = objects
        .map(|entry| entry.unwrap().path())
        .partition(|path| path.extension().is_some_and(|end| end == "dir"));
    objects
        .iter()
        .for_each(|object| fs::remove_file(object).unwrap());
    let [path, verdict, message] = all(verdicts(tree.path(), 1));
    assert_eq!([&*path, &*verdict], ["train/cat/near.ppm", "missing"]);
    assert!(message.contains("dvc fetch"), "{message}");
    manifests
        .iter()
        .for_each(|manifest| fs::remove_file(manifest).unwrap());
    let [path, verdict, message] = all(verdicts(tree.path(), 1));
    assert_eq!([&*path, &*verdict], ["train/cat", "missing"]);
    assert!(message.contains("`dvc fetch train/cat.dvc`"), "{message}");
}

/// Tables that only DVC holds: `train/cat/labels.csv` beside the images, which says that picture 1
/// is a dog.
fn labelled() -> tempfile::TempDir {
    let tree = dataset();
    write(
        tree.path(),
        "train/cat/labels.csv",
        b"file_name,label\n1.ppm,dog\n",
    );
    dvc(tree.path(), ["add", "-q", "train/cat"]);
    commit(tree.path());
    wsidx(tree.path(), ["sync"]).expect(0);
    assert_eq!(
        git(tree.path(), ["ls-files", "train"]).stdout,
        "train/.gitignore\ntrain/cat.dvc\n"
    );
    tree
}

#[test]
fn a_table_of_labels_that_only_dvc_holds_says_the_labels() {
    let tree = labelled();
    write(tree.path(), "train/cat/near.ppm", &brighter(&ppm(1, 16), 9));
    write(
        tree.path(),
        "train/cat/other.ppm",
        &brighter(&ppm(2, 16), 9),
    );
    let told = |status| -> Vec<[String; 2]> {
        staged(tree.path(), status)
            .into_iter()
            .map(|[path, verdict, _]| [path, verdict])
            .collect()
    };
    let expected = |near: &str, other: &str| {
        [["train/cat/near.ppm", near], ["train/cat/other.ppm", other]]
            .map(|pair| pair.map(str::to_owned))
            .to_vec()
    };
    assert_eq!(told(1), expected("influential", "redundant"));
    // What the table says counts as it is in the change; the work tree is of no interest.
    write(
        tree.path(),
        "train/cat/labels.csv",
        b"file_name,label\n1.ppm,dog\nnear.ppm,dog\nother.ppm,dog\n",
    );
    assert_eq!(told(1), expected("redundant", "influential"));
    write(tree.path(), "train/cat/labels.csv", b"nonsense");
    let same: Vec<[String; 2]> = verdicts(tree.path(), 1)
        .into_iter()
        .map(|[path, verdict, _]| [path, verdict])
        .collect();
    assert_eq!(same, expected("redundant", "influential"));
}

#[test]
fn a_change_of_labels_in_dvc_alone_is_judged_and_a_table_that_is_not_here_is_an_error() {
    let tree = labelled();
    write(tree.path(), "train/cat/twin.ppm", &brighter(&ppm(2, 16), 9));
    staged(tree.path(), 1);
    commit(tree.path());
    wsidx(tree.path(), ["sync"]).expect(0);
    write(
        tree.path(),
        "train/cat/labels.csv",
        b"file_name,label\n1.ppm,dog\ntwin.ppm,dog\n",
    );
    let found = staged(tree.path(), 1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        [&*found[0][0], &*found[0][1]],
        ["train/cat/twin.ppm", "influential"]
    );
    let text = fs::read(tree.path().join("train/cat/labels.csv")).unwrap();
    let md5 = <md5::Md5 as md5::Digest>::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    fs::remove_file(
        tree.path()
            .join(".dvc/cache/files/md5")
            .join(&md5[..2])
            .join(&md5[2..]),
    )
    .unwrap();
    fs::remove_dir_all(tree.path().join("train/cat")).unwrap();
    let run = wsidx(tree.path(), ["check", "--staged"]).expect(2);
    assert!(
        run.stdout.is_empty()
            && run.stderr.contains("train/cat/labels.csv: ")
            && run.stderr.contains("dvc fetch"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_index_inside_a_folder_of_dvc_is_no_part_of_it() {
    let tree = repository();
    for seed in 0..3 {
        write(
            tree.path(),
            &format!("data/train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    let data = tree.path().join("data");
    wsidx(&data, ["init", "--size", "16"]).expect(0);
    wsidx(&data, ["sync"]).expect(0);
    dvc(tree.path(), ["add", "-q", "data"]);
    assert!(
        fs::read_to_string(tree.path().join("data.dvc"))
            .unwrap()
            .contains("nfiles: 3\n")
    );
    wsidx(&data, ["rebuild"]).expect(0);
    assert!(dvc(tree.path(), ["status"]).contains("up to date"));
}

#[test]
fn a_stage_of_dvc_gives_metrics_and_plots_that_change_only_with_the_data() {
    let tree = repository();
    for seed in 0..5 {
        write(
            tree.path(),
            &format!("data/train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    write(tree.path(), "data/train/cat/copy.ppm", &ppm(0, 16));
    write(
        tree.path(),
        "data/train/cat/near.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    write(
        tree.path(),
        "data/train/dog/wrong.ppm",
        &brighter(&ppm(2, 16), 9),
    );
    write(tree.path(), "data/train/dog/broken.ppm", b"no picture");
    let stage = "stages:
  wsidx:
    cmd:
    - wsidx sync --init -q --root data
    - wsidx check data --exit-zero -q --metrics wsidx.json --plots wsidx.csv
    deps: [data]
    metrics: [{wsidx.json: {cache: false}}]
    plots: [{wsidx.csv: {cache: false, x: distance, y: images}}]
";
    write(tree.path(), "dvc.yaml", stage.as_bytes());
    fs::write(tree.path().join(".gitignore"), "/data\n").unwrap();
    dvc(tree.path(), ["repro", "-q"]);
    let read = |name: &str| fs::read_to_string(tree.path().join(name)).unwrap();
    let first = (read("wsidx.json"), read("wsidx.csv"));
    let metrics: Value = serde_json::from_str(&first.0).unwrap();
    let numbers = [
        "images",
        "unique",
        "novel",
        "redundant",
        "influential",
        "undecodable",
        "rejected",
    ]
    .map(|key| metrics[key].as_u64().unwrap());
    assert_eq!(numbers, [9, 7, 5, 2, 1, 1, 3]);
    assert_eq!(metrics["redundant_fraction"], 0.222222);
    assert!(
        metrics["nearest_distance"]["p99"].as_f64().unwrap()
            > metrics["nearest_distance"]["p01"].as_f64().unwrap()
    );
    let counts = first
        .1
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap().parse::<u64>().unwrap());
    assert_eq!((first.1.lines().count(), counts.sum::<u64>()), (101, 7));
    // Nothing changed: nothing runs. Forced, it gives the same bytes, and DVC sees no change.
    assert!(dvc(tree.path(), ["repro"]).contains("didn't change"));
    dvc(tree.path(), ["repro", "-q", "--force"]);
    assert_eq!((read("wsidx.json"), read("wsidx.csv")), first);
    // So does an index made anew.
    fs::remove_dir_all(tree.path().join("data/.wsidx")).unwrap();
    dvc(tree.path(), ["repro", "-q", "--force"]);
    assert_eq!((read("wsidx.json"), read("wsidx.csv")), first);
    commit(tree.path());
    assert_eq!(dvc(tree.path(), ["metrics", "diff"]).trim(), "");
    let shown: Value =
        serde_json::from_str(&dvc(tree.path(), ["metrics", "show", "--json"])).unwrap();
    assert_eq!(shown[""]["data"]["wsidx.json"]["data"], metrics);
    // One more near-duplicate.
    write(
        tree.path(),
        "data/train/cat/more.ppm",
        &brighter(&ppm(3, 16), 9),
    );
    dvc(tree.path(), ["repro", "-q"]);
    let changed: Value =
        serde_json::from_str(&dvc(tree.path(), ["metrics", "diff", "--json"])).unwrap();
    assert_eq!(changed["wsidx.json"]["redundant"]["diff"], 1, "{changed}");
    let plots: Value =
        serde_json::from_str(&dvc(tree.path(), ["plots", "diff", "--json", "HEAD"])).unwrap();
    assert!(
        plots.to_string().contains("wsidx.csv") && plots.to_string().contains("distance"),
        "{plots}"
    );
    dvc(tree.path(), ["plots", "show", "-q", "wsidx.csv"]);
    assert!(read("dvc_plots/index.html").contains("wsidx.csv"));
}

#[test]
fn a_file_of_dvc_that_leads_outside_or_is_a_bomb_ends_the_check_with_its_name_and_nothing_is_written()
 {
    let tree = dataset();
    let refused = |text: &str, with: &str| {
        fs::write(tree.path().join("x.dvc"), text).unwrap();
        git(tree.path(), ["add", "-A"]);
        let run = wsidx(tree.path(), ["check", "--staged"]).expect(2);
        assert!(
            run.stdout.is_empty() && run.stderr.contains(with),
            "{}",
            run.stderr
        );
    };
    refused(
        "outs: [{path: ../../etc/a.png, md5: 1526be5aeae1d705031e08ed9a4a294a}]",
        "`../../etc/a.png` leads outside",
    );
    refused(
        "outs: [{path: img, files: [{relpath: ../a.png}]}]",
        "leads outside its folder",
    );
    refused(
        "a: &a [x, x]\nb: &b [*a, *a]\nouts: *b",
        "x.dvc: not as DVC writes it",
    );
    refused(
        &format!("outs: {}", "[".repeat(100_000)),
        "x.dvc: not as DVC writes it",
    );
}

#[test]
fn in_a_merge_only_what_no_parent_has_is_judged() {
    let tree = dataset();
    let near = |seed: u64| brighter(&ppm(seed, 16), 9);
    let add = |name: &str, bytes: &[u8]| {
        write(tree.path(), &format!("train/cat/{name}.ppm"), bytes);
        dvc(tree.path(), ["add", "-q", "train/cat"]);
        git(tree.path(), ["add", "-A"]);
    };
    git(tree.path(), ["switch", "-qc", "other"]);
    add("theirs", &near(1));
    commit(tree.path());
    git(tree.path(), ["switch", "-q", "main"]);
    dvc(tree.path(), ["checkout", "-q"]);
    add("ours", &near(2));
    commit(tree.path());
    let mut merge = command("git", tree.path());
    merge.args(["merge", "-q", "other"]);
    run(merge).expect(1);
    git(tree.path(), ["checkout", "-q", "--ours", "train/cat.dvc"]);
    add("theirs", &near(1));
    assert_eq!(verdicts(tree.path(), 0), Vec::<[String; 3]>::new());
    add("neither", &near(3));
    let found = verdicts(tree.path(), 1);
    assert_eq!(
        found
            .iter()
            .map(|[path, ..]| path.as_str())
            .collect::<Vec<_>>(),
        ["train/cat/neither.ppm"]
    );
}
