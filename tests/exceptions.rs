//! The forms in which verdicts are told to other programs, and the exceptions that take findings
//! away.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    command,
    images::{brighter, ppm, write},
    root, run, tool, wsidx,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A dataset of eight pictures in a repository, indexed; `train/cat/near.ppm` repeats
/// `train/cat/0.ppm`, `train/dog/copy.ppm` is `train/cat/2.ppm` under another label, and
/// `test/cat/leak.ppm` repeats `train/cat/4.ppm`.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let at = |name: &str| tree.path().join("data").join(name);
    for seed in 0..8 {
        write(
            &at(""),
            &format!(
                "train/{}/{seed}.ppm",
                if seed % 2 == 0 { "cat" } else { "dog" }
            ),
            &ppm(seed, 16),
        );
    }
    write(&at(""), "train/cat/near.ppm", &brighter(&ppm(0, 16), 9));
    write(&at(""), "train/dog/copy.ppm", &ppm(2, 16));
    write(&at(""), "test/cat/leak.ppm", &brighter(&ppm(4, 16), 9));
    let mut git = command("git", tree.path());
    git.args(["init", "-q"]);
    run(git).expect(0);
    wsidx(&at(""), ["init", "--size", "16"]).expect(0);
    wsidx(&at(""), ["sync"]).expect(0);
    tree
}

fn findings(data: &Path) -> Vec<(String, bool, Option<String>)> {
    let checked = wsidx(data, ["check", ".", "--format", "json"]);
    let found = json(&checked.stdout);
    let found = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["verdict"] != "novel");
    found
        .map(|found| {
            (
                found["path"].as_str().unwrap().to_owned(),
                found["reject"].as_bool().unwrap(),
                found["allowed"].as_str().map(str::to_owned),
            )
        })
        .collect()
}

#[test]
fn sarif_is_valid_and_names_rules_relative_places_and_fingerprints_that_outlive_a_rename() {
    let tree = dataset();
    let data = tree.path().join("data");
    write(&data, "train/cat/a b%.ppm", &ppm(0, 16));
    let text = wsidx(&data, ["check", ".", "--format", "sarif"])
        .expect(1)
        .stdout;
    fs::write(tree.path().join("log.sarif"), &text).unwrap();
    let mut validate = command(tool("python"), tree.path());
    let script = "import json, jsonschema, sys; jsonschema.validate(json.load(open('log.sarif')), json.load(open(sys.argv[1])))";
    validate
        .args(["-c", script])
        .arg(root().join("tests/sarif/sarif-schema-2.1.0.json"));
    run(validate).expect(0);
    let log = json(&text);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let rules: Vec<&str> = results
        .iter()
        .map(|result| result["ruleId"].as_str().unwrap())
        .collect();
    assert_eq!(
        rules,
        ["WSIDX001", "WSIDX006", "WSIDX002", "WSIDX001", "WSIDX004"]
    );
    let place = |location: &Value| location["physicalLocation"]["artifactLocation"].clone();
    for result in results {
        let artifact = place(&result["locations"][0]);
        assert!(
            artifact["uri"].as_str().unwrap().starts_with("data/"),
            "{artifact}"
        );
        assert_eq!(artifact["uriBaseId"], "%SRCROOT%");
        assert!(
            place(&result["relatedLocations"][0])["uri"]
                .as_str()
                .unwrap()
                .starts_with("data/")
        );
        assert_eq!(
            log["runs"][0]["tool"]["driver"]["rules"]
                [result["ruleIndex"].as_u64().unwrap() as usize]["id"],
            result["ruleId"]
        );
    }
    assert!(text.contains("data/train/cat/a%20b%25.ppm"));
    let prints = |log: &Value| -> Vec<String> {
        let results = log["runs"][0]["results"].as_array().unwrap().iter();
        let mut prints: Vec<String> = results
            .map(|r| {
                r["partialFingerprints"]["wsidxPair/v1"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        prints.sort();
        prints
    };
    fs::rename(
        data.join("train/cat/near.ppm"),
        data.join("train/cat/zz.ppm"),
    )
    .unwrap();
    wsidx(&data, ["sync"]).expect(0);
    assert_eq!(
        prints(&json(
            &wsidx(&data, ["check", ".", "--format", "sarif"])
                .expect(1)
                .stdout
        )),
        prints(&log)
    );
}

#[test]
fn github_annotates_the_file_of_each_finding_and_a_name_cannot_forge_a_command() {
    let tree = dataset();
    let data = tree.path().join("data");
    write(
        &data,
        "train/cat/x,y%0A\n::set-env name=z::.ppm",
        &ppm(0, 16),
    );
    let run = wsidx(&data, ["check", ".", "--format", "github"]).expect(1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", run.stdout);
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("::error title=wsidx (")),
        "{}",
        run.stdout
    );
    assert!(
        lines[0]
            .starts_with("::error title=wsidx (redundant),file=data/train/cat/4.ppm::similarity "),
        "{}",
        lines[0]
    );
    let forged = lines.iter().find(|line| line.contains("set-env")).unwrap();
    let file = forged
        .split("file=")
        .nth(1)
        .unwrap()
        .split("::")
        .next()
        .unwrap();
    assert!(
        file.contains("x%2Cy%250A") && file.contains("%3A%3Aset-env") && !file.contains(','),
        "{forged}"
    );
}

#[test]
fn what_is_allowed_passes_is_counted_and_is_suppressed_in_sarif() {
    let tree = dataset();
    let data = tree.path().join("data");
    assert_eq!(
        findings(&data)
            .iter()
            .filter(|(_, rejected, _)| *rejected)
            .count(),
        3
    );
    let run = wsidx(
        &data,
        [
            "allow",
            "train/cat/near.ppm",
            "--reason",
            "two\nshots\u{1b}[2K",
        ],
    )
    .expect(0);
    let text = fs::read_to_string(data.join(".wsidx-allow")).unwrap();
    assert!(
        text.lines().nth(1).unwrap().starts_with("pair ")
            && text.ends_with("# train/cat/near.ppm, train/cat/0.ppm: two shots [2K\n"),
        "{text}"
    );
    assert_eq!(run.stdout.trim_end(), text.lines().nth(1).unwrap());
    wsidx(&data, ["allow", "train/cat/near.ppm"]).expect(0);
    assert_eq!(fs::read_to_string(data.join(".wsidx-allow")).unwrap(), text);
    let near = findings(&data)
        .into_iter()
        .find(|(path, ..)| path == "train/cat/near.ppm")
        .unwrap();
    assert_eq!(
        (
            near.1,
            near.2.unwrap().ends_with("two shots [2K (.wsidx-allow:2)")
        ),
        (false, true)
    );
    let log = json(
        &wsidx(&data, ["check", "train/cat/near.ppm", "--format", "sarif"])
            .expect(0)
            .stdout,
    );
    assert_eq!(
        log["runs"][0]["results"][0]["suppressions"][0]["kind"],
        "external"
    );
    assert_eq!(
        wsidx(&data, ["check", "train/cat/near.ppm", "--format", "github"])
            .expect(0)
            .stdout,
        ""
    );
    wsidx(&data, ["allow", "--path", "train/dog/*"]).expect(0);
    wsidx(&data, ["allow", "--image", "train/cat/4.ppm"]).expect(0);
    let run = wsidx(&data, ["check", "."]).expect(0);
    assert!(
        run.stdout.is_empty() && run.stderr.contains("3 of them allowed"),
        "{}{}",
        run.stdout,
        run.stderr
    );
}

#[test]
fn an_exception_holds_for_files_that_move_and_ends_when_they_change() {
    let tree = dataset();
    let data = tree.path().join("data");
    wsidx(&data, ["allow", "train/cat/near.ppm"]).expect(0);
    fs::rename(
        data.join("train/cat/near.ppm"),
        data.join("train/cat/zz.ppm"),
    )
    .unwrap();
    wsidx(&data, ["sync"]).expect(0);
    wsidx(&data, ["check", "train/cat/zz.ppm"]).expect(0);
    write(&data, "train/cat/zz.ppm", &brighter(&ppm(0, 16), 12));
    wsidx(&data, ["check", "train/cat/zz.ppm"]).expect(1);
}

#[test]
fn entries_that_accept_nothing_are_named_when_the_whole_dataset_is_checked() {
    let tree = dataset();
    let data = tree.path().join("data");
    fs::write(
        data.join(".wsidx-allow"),
        "path nowhere/*  # old\npath train/cat/near.ppm\n",
    )
    .unwrap();
    let run = wsidx(&data, ["check", "."]).expect(1);
    let line = ".wsidx-allow:1: accepts nothing any more, and can go: path nowhere/*  # old";
    assert!(
        run.stderr.contains(line) && !run.stderr.contains(".wsidx-allow:2:"),
        "{}",
        run.stderr
    );
    assert!(
        !wsidx(&data, ["check", "train"])
            .expect(1)
            .stderr
            .contains("accepts nothing")
    );
}

#[test]
fn a_baseline_accepts_what_there_is_and_tells_of_what_is_new() {
    let tree = dataset();
    let data = tree.path().join("data");
    assert!(
        wsidx(&data, ["baseline", "write"])
            .expect(0)
            .stderr
            .contains("3 pairs of 11 images")
    );
    let first = fs::read(data.join(".wsidx-baseline.json")).unwrap();
    wsidx(&data, ["check", "."]).expect(0);
    wsidx(&data, ["baseline", "write"]).expect(0);
    assert_eq!(fs::read(data.join(".wsidx-baseline.json")).unwrap(), first);
    write(&data, "train/dog/new.ppm", &brighter(&ppm(1, 16), 9));
    let rejected: Vec<_> = findings(&data)
        .into_iter()
        .filter(|(_, rejected, _)| *rejected)
        .map(|(path, ..)| path)
        .collect();
    assert_eq!(rejected, ["train/dog/new.ppm"]);
    fs::write(data.join("wsidx.toml"), "[edges]\nthreshold = 0.8\n").unwrap();
    assert!(
        wsidx(&data, ["check", "."])
            .expect(2)
            .stderr
            .contains("wsidx baseline write")
    );
}

#[test]
fn a_file_of_exceptions_that_cannot_be_used_is_refused_by_name_and_never_followed_elsewhere() {
    let tree = dataset();
    let data = tree.path().join("data");
    let refused = |text: &[u8], with: &str| {
        fs::write(data.join(".wsidx-allow"), text).unwrap();
        let run = wsidx(&data, ["check", "train/cat/near.ppm"]).expect(2);
        assert!(
            run.stdout.is_empty() && run.stderr.contains(with) && !run.stderr.contains('\x1b'),
            "{}",
            run.stderr
        );
    };
    refused(
        b"# fine\nimage 12\x1b[2K34\n",
        ".wsidx-allow:2: the character U+001B",
    );
    refused(b"image zz\n", ".wsidx-allow:1: `zz` is no id");
    refused(b"allow everything\n", "use pair, image or path");
    refused(&vec![b'#'; (16 << 20) + 1], "the limit is");
    fs::remove_file(data.join(".wsidx-allow")).unwrap();
    fs::write(tree.path().join("outside"), "path **\n").unwrap();
    std::os::unix::fs::symlink("../outside", data.join(".wsidx-allow")).unwrap();
    assert!(
        wsidx(&data, ["check", "train/cat/near.ppm"])
            .expect(2)
            .stderr
            .contains("a symbolic link")
    );
    assert_eq!(wsidx(&data, ["allow", "--path", "x"]).status, Some(2));
    assert_eq!(
        fs::read_to_string(tree.path().join("outside")).unwrap(),
        "path **\n"
    );
}

#[test]
fn what_is_about_no_pair_is_allowed_by_image_or_by_path() {
    let tree = dataset();
    let data = tree.path().join("data");
    write(&data, "train/cat/broken.png", b"no picture");
    assert!(
        wsidx(&data, ["allow", "train/cat/broken.png"])
            .expect(2)
            .stderr
            .contains("--path")
    );
    assert!(
        wsidx(&data, ["allow", "train/dog/1.ppm"])
            .expect(0)
            .stderr
            .contains("nothing to allow")
    );
    assert!(!data.join(".wsidx-allow").exists());
}
