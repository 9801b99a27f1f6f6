//! The program as a process: what it prints, its JSON, its exit codes, and what it says to bad
//! input.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    fs,
    io::Read as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    process::Stdio,
};

use serde_json::Value;
use support::{
    command, copy_folder,
    images::{brighter, mirrored, ppm, write},
    run, sample, wsidx,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A dataset of ten pictures, indexed.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..10 {
        write(
            tree.path(),
            &format!(
                "train/{}/{seed}.ppm",
                if seed % 2 == 0 { "cat" } else { "dog" }
            ),
            &ppm(seed, 16),
        );
    }
    wsidx(tree.path(), ["init", "--size", "16"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

fn sync(tree: &Path) -> Value {
    json(&wsidx(tree, ["sync", "--format", "json"]).expect(0).stdout)
}

fn counts(summary: &Value) -> [u64; 5] {
    ["added", "changed", "moved", "removed", "unchanged"].map(|key| summary[key].as_u64().unwrap())
}

#[test]
fn sync_counts_what_is_new_changed_moved_gone_and_the_same() {
    let tree = dataset();
    let first = sync(tree.path());
    assert_eq!(first["schema"], "wsidx.sync/1");
    assert_eq!(counts(&first), [0, 0, 0, 0, 10]);
    assert_eq!(
        (first["contents"].as_u64(), first["paths"].as_u64()),
        (Some(10), Some(10))
    );
    assert!(
        first["seconds"]
            .as_object()
            .unwrap()
            .contains_key("listing")
    );
    write(tree.path(), "train/cat/new.ppm", &ppm(50, 16));
    write(tree.path(), "train/cat/0.ppm", &ppm(51, 16));
    fs::rename(
        tree.path().join("train/cat/2.ppm"),
        tree.path().join("train/dog/2.ppm"),
    )
    .unwrap();
    fs::remove_file(tree.path().join("train/dog/1.ppm")).unwrap();
    assert_eq!(counts(&sync(tree.path())), [1, 1, 1, 1, 7]);
    assert_eq!(counts(&sync(tree.path())), [0, 0, 0, 0, 10]);
    fs::write(
        tree.path().join("train/labels.csv"),
        "file_name,label\ncat/4.ppm,cow\n",
    )
    .unwrap();
    assert_eq!(counts(&sync(tree.path())), [0, 1, 0, 0, 9]);
    let found = json(
        &wsidx(
            tree.path(),
            ["query", "train/cat/4.ppm", "-k", "1", "--format", "json"],
        )
        .expect(0)
        .stdout,
    );
    assert_eq!(found[0]["neighbors"][0]["label"], "cow");
    wsidx(tree.path(), ["verify", "--files"]).expect(0);
}

#[test]
fn sync_of_a_folder_leaves_the_rest_alone() {
    let tree = dataset();
    fs::remove_dir_all(tree.path().join("train")).unwrap();
    write(tree.path(), "test/cow/a.ppm", &ppm(60, 16));
    let summary = json(
        &wsidx(tree.path(), ["sync", "test", "--format", "json"])
            .expect(0)
            .stdout,
    );
    assert_eq!(counts(&summary), [1, 0, 0, 0, 0]);
    assert_eq!(summary["paths"], 11);
    let summary = json(
        &wsidx(
            &tree.path().join("test"),
            ["sync", "../train", "--format", "json"],
        )
        .expect(0)
        .stdout,
    );
    assert_eq!(counts(&summary), [0, 0, 0, 10, 0]);
    wsidx(tree.path(), ["sync", ".."]).expect(2);
}

#[test]
fn query_gives_the_contract() {
    let tree = dataset();
    let found = json(
        &wsidx(
            tree.path(),
            [
                "query",
                "train/cat/4.ppm",
                "train/dog/5.ppm",
                "-k",
                "3",
                "--format",
                "json",
            ],
        )
        .expect(0)
        .stdout,
    );
    assert_eq!(found.as_array().unwrap().len(), 2);
    assert_eq!(
        (&found[0]["schema"], &found[0]["query"]),
        (&"wsidx.query/1".into(), &"train/cat/4.ppm".into())
    );
    let neighbors = found[0]["neighbors"].as_array().unwrap();
    assert_eq!(neighbors.len(), 3);
    let first = &neighbors[0];
    assert_eq!(
        (
            &first["rank"],
            &first["path"],
            &first["similarity"],
            &first["distance"]
        ),
        (
            &1.into(),
            &"train/cat/4.ppm".into(),
            &1.0.into(),
            &0.0.into()
        )
    );
    assert_eq!(
        (&first["label"], &first["split"], &first["paths"]),
        (&"cat".into(), &"train".into(), &1.into())
    );
    assert_eq!(first["id"], blake3::hash(&ppm(4, 16)).to_hex().as_str());
    let distances: Vec<f64> = neighbors
        .iter()
        .map(|n| n["distance"].as_f64().unwrap())
        .collect();
    assert!(distances.is_sorted());
    let other = tempfile::tempdir().unwrap();
    write(other.path(), "x.ppm", &brighter(&ppm(3, 16), 2));
    let outside = other.path().join("x.ppm");
    let found = json(
        &wsidx(
            tree.path(),
            [
                "query".as_ref(),
                outside.as_os_str(),
                "--format".as_ref(),
                "json".as_ref(),
            ],
        )
        .expect(0)
        .stdout,
    );
    assert_eq!(found[0]["neighbors"][0]["path"], "train/dog/3.ppm");
    assert!(
        wsidx(tree.path(), ["query", "train/cat/4.ppm"])
            .expect(0)
            .stdout
            .contains("similarity")
    );
    assert!(
        wsidx(tree.path(), ["query", "nothing.png"])
            .expect(2)
            .stderr
            .contains("no such file")
    );
}

#[test]
fn a_mirror_image_is_a_near_duplicate_unless_the_dataset_says_otherwise() {
    let tree = dataset();
    write(
        tree.path(),
        "train/cat/mirror.ppm",
        &mirrored(&ppm(4, 16), 16),
    );
    let check = ["check", "train/cat/mirror.ppm", "--format", "jsonl"];
    assert_eq!(
        json(wsidx(tree.path(), check).expect(1).stdout.trim())["verdict"],
        "redundant"
    );
    let first = |query: &Value| query[0]["neighbors"][0].clone();
    let query = [
        "query",
        "train/cat/mirror.ppm",
        "-k",
        "3",
        "--format",
        "json",
    ];
    let found = first(&json(&wsidx(tree.path(), query).expect(0).stdout));
    assert_eq!(
        (&found["path"], &found["changes"][0]),
        (&"train/cat/4.ppm".into(), &"mirror".into()),
        "{found}"
    );
    fs::write(
        tree.path().join("wsidx.toml"),
        "[edges]\naccept = [\"photometric\"]\n",
    )
    .unwrap();
    assert_ne!(
        json(wsidx(tree.path(), check).expect(0).stdout.trim())["verdict"],
        "redundant"
    );
    assert_eq!(
        first(&json(&wsidx(tree.path(), query).expect(0).stdout))["changes"],
        Value::Null
    );
}

#[test]
fn check_gives_the_contract_and_the_exit_code_of_the_policy() {
    let tree = dataset();
    write(tree.path(), "train/dog/near.ppm", &brighter(&ppm(4, 16), 2));
    write(tree.path(), "test/cat/leak.ppm", &ppm(2, 16));
    write(tree.path(), "train/cat/fresh.ppm", &ppm(70, 16));
    let arguments = [
        "check",
        "train/dog/near.ppm",
        "test/cat/leak.ppm",
        "train/cat/fresh.ppm",
        "--format",
        "jsonl",
    ];
    let lines: Vec<Value> = wsidx(tree.path(), arguments)
        .expect(1)
        .stdout
        .lines()
        .map(json)
        .collect();
    assert_eq!(lines.len(), 3);
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let near = of("train/dog/near.ppm");
    assert_eq!(
        (&near["schema"], &near["verdict"], &near["conflicts"]),
        (&"wsidx.check/1".into(), &"influential".into(), &1.into())
    );
    assert_eq!(
        (&near["reject"], &near["exact"], &near["calibrated"]),
        (&true.into(), &false.into(), &false.into())
    );
    assert_eq!(
        (&near["rule"], &near["label"]),
        (&"registration/6".into(), &"dog".into())
    );
    assert!(near["similarity"].as_f64().unwrap() >= 0.7);
    assert_eq!(near["nearest"][0]["path"], "train/cat/4.ppm");
    let leak = of("test/cat/leak.ppm");
    assert_eq!(
        (
            &leak["verdict"],
            &leak["leak"],
            &leak["exact"],
            &leak["split"]
        ),
        (
            &"redundant".into(),
            &true.into(),
            &true.into(),
            &"test".into()
        )
    );
    assert_eq!(
        (
            &of("train/cat/fresh.ppm")["verdict"],
            &of("train/cat/fresh.ppm")["reject"]
        ),
        (&"novel".into(), &false.into())
    );
    assert!(
        wsidx(tree.path(), arguments[..4].iter().chain(&["--exit-zero"]))
            .expect(0)
            .stdout
            .contains("same bytes as train/cat/2.ppm")
    );
    fs::write(tree.path().join("wsidx.toml"), "[check]\nreject = []\n").unwrap();
    wsidx(tree.path(), &arguments[..4]).expect(0);
    fs::write(tree.path().join("wsidx.toml"), "[check]\nrejects = []\n").unwrap();
    assert!(
        wsidx(tree.path(), &arguments[..4])
            .expect(2)
            .stderr
            .contains("unknown field `rejects`")
    );
    fs::remove_file(tree.path().join("wsidx.toml")).unwrap();
    assert!(
        wsidx(tree.path(), ["check", "typo.png"])
            .expect(2)
            .stderr
            .contains("typo.png")
    );
}

#[test]
fn check_takes_folders_lists_labels_and_splits() {
    let tree = dataset();
    let other = tempfile::tempdir().unwrap();
    write(other.path(), "in/a.ppm", &brighter(&ppm(4, 16), 1));
    write(other.path(), "in/b.ppm", &ppm(80, 16));
    let folder = other.path().join("in");
    let folder = folder.to_str().unwrap();
    let line = |arguments: &[&str], status| {
        let out = wsidx(tree.path(), arguments.iter().chain(&["--format", "jsonl"]))
            .expect(status)
            .stdout;
        out.lines().map(json).next().unwrap()
    };
    assert_eq!(line(&["check", folder], 1)["verdict"], "redundant");
    let judged = line(&["check", folder, "--label", "dog", "--split", "test"], 1);
    assert_eq!(
        (&judged["verdict"], &judged["leak"], &judged["label"]),
        (&"influential".into(), &true.into(), &"dog".into())
    );
    wsidx(tree.path(), ["check", folder, "--split", "holdout"]).expect(2);
    let list = other.path().join("list");
    fs::write(&list, format!("{folder}/a.ppm\0{folder}/b.ppm\0")).unwrap();
    assert_eq!(
        line(&["check", "-0", "--files-from", list.to_str().unwrap()], 1)["verdict"],
        "redundant"
    );
    assert_eq!(
        json(
            &wsidx(tree.path(), ["check", ".", "--format", "json"])
                .expect(0)
                .stdout
        )
        .as_array()
        .unwrap()
        .len(),
        10
    );
}

#[test]
fn the_sample_dataset_gives_the_verdicts_that_its_readme_promises() {
    let tree = tempfile::tempdir().unwrap();
    copy_folder(&sample("images"), tree.path(), &[".wsidx"]);
    wsidx(tree.path(), ["sync", "--init"]).expect(0);
    let all = json(
        &wsidx(tree.path(), ["check", ".", "--format", "json"])
            .expect(1)
            .stdout,
    );
    let found: Vec<String> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["verdict"] != "novel" || c["leak"] == true)
        .map(|c| {
            format!(
                "{} {}{}",
                c["path"].as_str().unwrap(),
                c["verdict"].as_str().unwrap(),
                if c["leak"] == true { " leak" } else { "" }
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "train/boat/anchorage.jpg redundant",
            "train/house/eaves.jpg redundant leak",
            "train/mug/bouquet.jpg influential",
            "train/mug/coffee.jpg redundant",
            "train/tree/birch.jpg redundant",
            "train/tree/test-card.png anomaly",
        ]
    );
    let new = sample("new");
    let checked = wsidx(
        tree.path(),
        [
            "check".as_ref(),
            "--format".as_ref(),
            "json".as_ref(),
            new.as_os_str(),
        ],
    )
    .expect(1);
    let verdicts: Vec<String> = json(&checked.stdout)
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["verdict"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        verdicts,
        [
            "undecodable",
            "undecodable",
            "redundant",
            "novel",
            "redundant"
        ]
    );
}

#[test]
fn bad_files_are_told_and_the_rest_goes_on() {
    let tree = dataset();
    let at = |name: &str| tree.path().join(name);
    write(tree.path(), "train/cat/text.png", b"this is no picture");
    write(tree.path(), "train/cat/empty.png", b"");
    write(tree.path(), "train/cat/none.ppm", b"P6 0 0 255\n");
    write(tree.path(), "train/cat/huge.ppm", b"P6 60000 60000 255\n");
    write(tree.path(), "train/cat/cut.ppm", &ppm(90, 16)[..200]);
    write(tree.path(), "train/cat/renamed.png", &ppm(91, 16));
    write(tree.path(), "train/cat/good.ppm", &ppm(92, 16));
    symlink(at("train"), at("train/loop")).unwrap();
    run({
        let mut mkfifo = command("mkfifo", tree.path());
        mkfifo.arg("train/cat/pipe.png");
        mkfifo
    })
    .expect(0);
    let summary = sync(tree.path());
    assert_eq!(counts(&summary)[0], 7);
    let named = |list: &str| -> Vec<String> {
        summary[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|u| u["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        named("undecodable"),
        [
            "train/cat/cut.ppm",
            "train/cat/empty.png",
            "train/cat/huge.ppm",
            "train/cat/none.ppm",
            "train/cat/text.png"
        ]
    );
    assert!(
        summary["undecodable"]
            .as_array()
            .unwrap()
            .iter()
            .all(|u| u["reason"].as_str().unwrap().len() > 5)
    );
    assert_eq!(named("skipped"), ["train/cat/pipe.png", "train/loop"]);
    assert_eq!(summary["paths"], 12);
    assert_eq!(counts(&sync(tree.path())), [0, 0, 0, 0, 17]);
    let judged = json(
        &wsidx(
            tree.path(),
            ["check", "train/cat/text.png", "--format", "json"],
        )
        .expect(0)
        .stdout,
    );
    assert_eq!(
        (
            &judged[0]["verdict"],
            &judged[0]["similarity"],
            &judged[0]["id"]
        ),
        (&"undecodable".into(), &Value::Null, &Value::Null)
    );
    write(tree.path(), "train/cat/text.png", &ppm(93, 16));
    assert_eq!(counts(&sync(tree.path())), [0, 1, 0, 0, 16]);
}

#[test]
fn a_file_without_permission_is_told_and_read_once_it_may_be() {
    let tree = dataset();
    write(tree.path(), "train/cat/secret.ppm", &ppm(95, 16));
    let secret = tree.path().join("train/cat/secret.ppm");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&secret).is_ok() {
        // The superuser may read everything; what is tested then is only that the file is read.
        assert_eq!(counts(&sync(tree.path()))[0], 1);
        return;
    }
    let summary = sync(tree.path());
    assert_eq!(summary["undecodable"][0]["reason"], "permission denied");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(counts(&sync(tree.path())), [0, 1, 0, 0, 10]);
}

#[test]
fn hostile_names_are_escaped_for_people_and_whole_for_machines() {
    let tree = tempfile::tempdir().unwrap();
    let names: [&[u8]; 3] = [b"cat/a\nb.ppm", b"cat/\x1b[31mred.ppm", b"cat/\xff\xfe.ppm"];
    fs::create_dir(tree.path().join("cat")).unwrap();
    for (seed, name) in (0..).zip(names) {
        fs::write(
            tree.path().join(std::ffi::OsStr::from_bytes(name)),
            ppm(seed, 16),
        )
        .unwrap();
    }
    wsidx(tree.path(), ["sync", "--init"]).expect(0);
    let query = |name: &[u8], format: &str| {
        let arguments = [
            "query".as_ref(),
            std::ffi::OsStr::from_bytes(name),
            "-k".as_ref(),
            "3".as_ref(),
            "--format".as_ref(),
            format.as_ref(),
        ];
        wsidx(tree.path(), arguments).expect(0).stdout
    };
    let text = query(names[0], "text");
    assert!(
        !text.contains('\x1b')
            && text.contains(r#""cat/a\nb.ppm""#)
            && text.contains(r#""cat/\x1b[31mred.ppm""#),
        "{text}"
    );
    let found = json(&query(names[2], "json"));
    let first = &found[0]["neighbors"][0];
    assert_eq!(
        (&first["path"], &first["path_b64"]),
        (
            &"cat/\u{fffd}\u{fffd}.ppm".into(),
            &"Y2F0L//+LnBwbQ==".into()
        )
    );
    assert_eq!(found[0]["query_b64"], "Y2F0L//+LnBwbQ==");
    assert_eq!(counts(&sync(tree.path())), [0, 0, 0, 0, 3]);
}

#[test]
fn an_index_that_is_missing_foreign_newer_or_tracked_is_said_plainly() {
    let tree = tempfile::tempdir().unwrap();
    assert!(
        wsidx(tree.path(), ["sync"])
            .expect(2)
            .stderr
            .contains("wsidx init")
    );
    wsidx(tree.path(), ["init"]).expect(0);
    assert!(
        wsidx(tree.path(), ["init"])
            .expect(2)
            .stderr
            .contains("is an index already")
    );
    let format = tree.path().join(".wsidx/format");
    fs::write(&format, "wsidx index 9\n").unwrap();
    assert!(
        wsidx(tree.path(), ["status"])
            .expect(2)
            .stderr
            .contains("another version")
    );
    fs::write(&format, "something else\n").unwrap();
    assert!(
        wsidx(tree.path(), ["sync"])
            .expect(2)
            .stderr
            .contains("is not a wsidx index")
    );
    fs::write(&format, "wsidx index 3\n").unwrap();
    wsidx(tree.path(), ["status"]).expect(0);
    for arguments in [&["init", "-q"][..], &["add", "-f", ".wsidx/format"]] {
        let mut git = command("git", tree.path());
        git.args(arguments);
        run(git).expect(0);
    }
    assert!(
        wsidx(tree.path(), ["status"])
            .expect(2)
            .stderr
            .contains("git tracks")
    );
}

#[test]
fn a_second_writer_is_told_who_is_first_and_may_wait() {
    let tree = dataset();
    let lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(tree.path().join(".wsidx/lock"))
        .unwrap();
    lock.lock().unwrap();
    fs::write(tree.path().join(".wsidx/lock"), "process 42 (wsidx watch)").unwrap();
    assert!(
        wsidx(tree.path(), ["sync"])
            .expect(2)
            .stderr
            .contains("process 42 (wsidx watch)")
    );
    wsidx(tree.path(), ["query", "train/cat/4.ppm"]).expect(0);
    wsidx(tree.path(), ["check", "."]).expect(0);
    let mut waiting = command(support::PROGRAM, tree.path());
    let mut waiting = waiting
        .args(["sync", "--wait"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = [0; 11];
    waiting
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut told)
        .unwrap();
    assert_eq!(&told, b"waiting for");
    lock.unlock().unwrap();
    assert!(waiting.wait().unwrap().success());
}

#[test]
fn a_full_disk_leaves_the_old_state() {
    let tree = dataset();
    let before = wsidx(
        tree.path(),
        ["query", "train/cat/4.ppm", "--format", "json"],
    )
    .expect(0)
    .stdout;
    (100..400).for_each(|seed| {
        write(
            tree.path(),
            &format!("train/cow/{seed}.ppm"),
            &ppm(seed, 16),
        );
    });
    // A limit on the size of files stands in for a disk without space: writes fail in the middle.
    // 2,048 blocks let sled's file be.
    let mut limited = command("bash", tree.path());
    limited.args(["-c", "trap '' XFSZ; ulimit -f 40; exec wsidx sync"]);
    let failed = run(limited);
    assert_eq!(failed.status, Some(2), "{}", failed.stderr);
    assert_eq!(
        wsidx(
            tree.path(),
            ["query", "train/cat/4.ppm", "--format", "json"]
        )
        .expect(0)
        .stdout,
        before
    );
    assert_eq!(sync(tree.path())["paths"], 310);
    wsidx(tree.path(), ["verify", "--files"]).expect(0);
}

#[test]
fn an_interruption_keeps_what_is_done() {
    let tree = tempfile::tempdir().unwrap();
    (0..3_000).for_each(|seed| write(tree.path(), &format!("cat/{seed}.ppm"), &ppm(seed, 64)));
    wsidx(tree.path(), ["init"]).expect(0);
    let mut child = support::interruptible(tree.path())
        .arg("sync")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut said = String::new();
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    // On a fast machine the run may be over before the signal comes; then there is nothing to
    // interrupt.
    let code = child.wait().unwrap().code();
    assert!(
        code == Some(130) && said.contains("what was committed is kept") || code == Some(0),
        "{code:?} {said}"
    );
    let summary = sync(tree.path());
    assert_eq!(summary["paths"], 3_000);
    wsidx(tree.path(), ["verify"]).expect(0);
}

#[test]
fn a_closed_pipe_is_no_error_and_help_has_examples() {
    let tree = dataset();
    let mut piped = command("bash", tree.path());
    piped.args([
        "-o",
        "pipefail",
        "-c",
        "wsidx query train/*/*.ppm | head -n 1",
    ]);
    assert!(run(piped).expect(0).stdout.starts_with("train/cat/0.ppm"));
    for name in [
        "init",
        "sync",
        "query",
        "check",
        "compare",
        "cluster",
        "calibrate",
        "verify",
        "gc",
    ] {
        assert!(
            wsidx(tree.path(), [name, "--help"])
                .expect(0)
                .stdout
                .contains("Example"),
            "{name}"
        );
    }
    assert!(
        wsidx(tree.path(), ["completions", "bash"])
            .expect(0)
            .stdout
            .contains("_wsidx")
    );
    wsidx(tree.path(), ["chekc"]).expect(2);
}

#[test]
fn debug_opens_a_window_on_every_stage() {
    let tree = dataset();
    wsidx(
        tree.path(),
        ["debug", "picture", "train/cat/4.ppm", "--out", "out.png"],
    )
    .expect(0);
    assert!(
        fs::read(tree.path().join("out.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    assert!(
        wsidx(tree.path(), ["debug", "coefficients", "train/cat/4.ppm"])
            .expect(0)
            .stdout
            .contains("HH")
    );
    assert_eq!(
        wsidx(
            tree.path(),
            ["debug", "coefficients", "--all", "train/cat/4.ppm"]
        )
        .expect(0)
        .stdout
        .lines()
        .count(),
        1 + 16 * 16 * 3
    );
    let list = wsidx(tree.path(), ["debug", "neighbors", "train/cat/4.ppm"])
        .expect(0)
        .stdout;
    assert_eq!(list.lines().count(), 10);
    let basis = json(
        &wsidx(
            tree.path(),
            ["debug", "basis", "--format", "json", "--split", "train"],
        )
        .expect(0)
        .stdout,
    );
    // Blocks of 4 × 4 equal pixels: 16 blocks in 3 planes are the only columns that are not zero,
    // and 10 pictures are independent.
    assert_eq!(
        (&basis["images"], &basis["rank"], &basis["zero_columns"]),
        (&10.into(), &10.into(), &(768 - 48).into())
    );
    wsidx(tree.path(), ["debug", "basis", "--label", "cow"]).expect(2);
}

#[test]
fn gc_drops_what_no_path_holds_and_the_index_goes_on() {
    let tree = dataset();
    (0..5).for_each(|seed| {
        fs::remove_file(tree.path().join(format!(
            "train/{}/{seed}.ppm",
            if seed % 2 == 0 { "cat" } else { "dog" }
        )))
        .unwrap();
    });
    sync(tree.path());
    let status = |key: &str| {
        json(
            &wsidx(tree.path(), ["status", "--format", "json"])
                .expect(0)
                .stdout,
        )[key]
            .as_u64()
            .unwrap()
    };
    assert_eq!((status("contents"), status("cached")), (5, 10));
    assert!(
        wsidx(tree.path(), ["gc"])
            .expect(0)
            .stdout
            .contains("0 contents dropped")
    );
    assert!(
        wsidx(tree.path(), ["gc", "--older-than", "0"])
            .expect(0)
            .stdout
            .contains("5 contents dropped")
    );
    assert_eq!((status("contents"), status("cached")), (5, 5));
    wsidx(tree.path(), ["verify", "--files"]).expect(0);
    write(tree.path(), "train/cat/0.ppm", &ppm(0, 16));
    assert_eq!(counts(&sync(tree.path())), [1, 0, 0, 0, 5]);
    wsidx(tree.path(), ["rebuild", "--refit"]).expect(0);
    wsidx(tree.path(), ["verify", "--files"]).expect(0);
}

#[test]
fn a_program_whose_signals_are_ignored_works() {
    let tree = dataset();
    let mut ignoring = command("bash", tree.path());
    ignoring.args(["-c", "trap '' INT HUP; exec wsidx sync"]);
    run(ignoring).expect(0);
}
