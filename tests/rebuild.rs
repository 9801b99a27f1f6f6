//! `wsidx rebuild` of an index that came from elsewhere: the old index or the new one is there at
//! every moment, files of the user are never removed, and whatever a killed run left is removed by
//! the next command.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use support::{
    Run, command, copy_folder,
    images::{ppm, write},
    run, wsidx,
};

const MADE_ELSEWHERE: &str = "was not made by you on this machine";
const BESIDE: &str = ".wsidx-rebuild";
const CLAIM: &str = "made by `wsidx rebuild`, which removes this folder when it is done\n";

/// Images of which each has a copy, indexed, with an index that another user made.
fn brought(images: u64, side: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    (0..images).for_each(|seed| {
        write(&root, &format!("cat/{seed}.ppm"), &ppm(seed, side));
        write(&root, &format!("dog/{seed}.ppm"), &ppm(seed, side));
    });
    wsidx(&root, ["sync", "--init"]).expect(0);
    estrange(&root.join(".wsidx"));
    (folder, root)
}

/// Gives an index the number of another one.
fn estrange(index: &Path) {
    fs::write(index.join("id"), format!("{}\n", "0".repeat(64))).unwrap();
}

/// How many groups of copies there are, and whether the index is said to be from elsewhere.
fn answer(root: &Path) -> (usize, bool) {
    let run = wsidx(root, ["groups", "--format", "jsonl"]).expect(0);
    (
        run.stdout
            .lines()
            .filter(|line| line.contains("cat/"))
            .count(),
        run.stderr.contains(MADE_ELSEWHERE),
    )
}

/// Everything in a folder but locks, which say who held them last.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.file_name().unwrap() != "lock" {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}

fn spawn(root: &Path, arguments: &[&str]) -> Child {
    support::interruptible(root)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> Run {
    let out = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        status: out.status.code(),
        stdout: text(out.stdout),
        stderr: text(out.stderr),
    }
}

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let ends = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < ends, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Stops a rebuild, by SIGSTOP, while it makes the new index.
fn stopped_rebuild(root: &Path) -> Child {
    let rebuild = spawn(root, &["rebuild"]);
    until("it begins", || root.join(BESIDE).join("new/packs").exists());
    signal(&rebuild, "STOP");
    assert!(root.join(BESIDE).exists(), "it was too fast");
    rebuild
}

fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args([&format!("-{name}"), &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn killed_at_any_moment_a_rebuild_leaves_the_old_index_or_the_new_one() {
    let (folder, root) = brought(40, 32);
    // So that the new index answers otherwise than the old one.
    (40..50).for_each(|seed| {
        ["cat", "dog"]
            .iter()
            .for_each(|class| write(&root, &format!("{class}/{seed}.ppm"), &ppm(seed, 32)));
    });
    let kept = folder.path().join("kept");
    copy_folder(&root.join(".wsidx"), &kept, &[]);
    let began = Instant::now();
    wsidx(&root, ["rebuild"]).expect(0);
    let took = began.elapsed();
    assert_eq!(answer(&root), (50, false));
    let (mut old, mut new) = (0, 0);
    for moment in 0..24_u32 {
        fs::remove_dir_all(root.join(".wsidx")).unwrap();
        copy_folder(&kept, &root.join(".wsidx"), &[]);
        let mut child = spawn(&root, &["rebuild"]);
        std::thread::sleep(took * moment / 22);
        let _ = child.kill();
        child.wait().unwrap();
        match answer(&root) {
            (40, true) => old += 1,
            (50, false) => new += 1,
            other => panic!("neither the old index nor the new one, at {moment}: {other:?}"),
        }
        // Each of the commands that write removes what was left.
        let next = [&["rebuild"][..], &["sync"], &["gc"]][moment as usize % 3];
        wsidx(&root, next).expect(0);
        assert!(!root.join(BESIDE).exists(), "{next:?} at {moment}");
        wsidx(&root, ["rebuild"]).expect(0);
        wsidx(&root, ["sync"]).expect(0);
        assert_eq!(answer(&root), (50, false));
        wsidx(&root, ["verify", "--files", "--strict"]).expect(0);
    }
    assert!(old > 0, "none was killed early enough: {new}");
}

#[test]
fn readers_see_the_old_index_until_the_new_one_is_whole_and_git_and_the_scan_pass_it_over() {
    let (_folder, root) = brought(40, 32);
    run({
        let mut git = command("git", &root);
        git.args(["init", "-q"]);
        git
    })
    .expect(0);
    let rebuild = stopped_rebuild(&root);
    assert_eq!(answer(&root), (40, true));
    // An image in it is none of the dataset.
    let status = run({
        let mut git = command("git", &root);
        git.args(["status", "--porcelain", "-uall", "--", BESIDE]);
        git
    });
    assert_eq!(status.expect(0).stdout, "");
    assert_eq!(
        fs::read_to_string(root.join(BESIDE).join(".dvcignore"))
            .unwrap()
            .lines()
            .last(),
        Some("*")
    );
    signal(&rebuild, "CONT");
    let rebuilt = end(rebuild).expect(0);
    assert!(rebuilt.stdout.contains("80 added"), "{}", rebuilt.stdout);
    assert_eq!(answer(&root), (40, false));
    assert!(!root.join(BESIDE).exists());
}

#[test]
fn files_of_the_user_in_the_folder_of_an_index_are_named_and_nothing_is_removed() {
    let (_folder, root) = brought(3, 16);
    for name in [
        "notes.txt",
        "photos/1.png",
        "packs/holiday.pack",
        "view/drawing.svg",
        "catalog/thesis.tex",
    ] {
        let path = root.join(".wsidx").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let before = files(&root);
        let refused = wsidx(&root, ["rebuild"]).expect(2);
        let named = name
            .split('/')
            .next()
            .filter(|top| *top == "photos")
            .unwrap_or(name);
        assert!(
            refused.stderr.contains(named) && refused.stderr.contains("move them elsewhere"),
            "{}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("run `wsidx rebuild` again"),
            "{}",
            refused.stderr
        );
        assert!(files(&root) == before, "{name}");
        fs::remove_file(&path).unwrap();
        if named == "photos" {
            fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    wsidx(&root, ["rebuild"]).expect(0);
    assert_eq!(answer(&root), (3, false));
}

#[test]
fn files_of_the_user_in_the_folder_of_an_own_index_survive_every_command_that_writes() {
    let (_folder, root) = brought(3, 16);
    wsidx(&root, ["rebuild"]).expect(0);
    let mine: Vec<PathBuf> = [
        "notes.txt",
        "view/drawing.svg",
        "view/photo-1",
        "catalog/thesis.tex",
    ]
    .iter()
    .map(|name| root.join(".wsidx").join(name))
    .collect();
    mine.iter()
        .for_each(|path| fs::write(path, "mine").unwrap());
    write(&root, "cat/9.ppm", &ppm(9, 16));
    for arguments in [&["sync"][..], &["rebuild"], &["gc", "--older-than", "0"]] {
        wsidx(&root, arguments).expect(0);
        mine.iter().for_each(|path| {
            assert_eq!(fs::read_to_string(path).unwrap(), "mine", "{arguments:?}");
        });
    }
}

#[test]
fn what_a_killed_rebuild_left_is_removed_and_a_folder_of_the_user_of_that_name_is_not() {
    let (_folder, root) = brought(3, 16);
    let beside = root.join(BESIDE);
    for next in [
        &["init"][..],
        &["sync"],
        &["sync", "--init"],
        &["rebuild"],
        &["gc"],
    ] {
        copy_folder(&root.join(".wsidx"), &beside.join("new"), &[]);
        fs::write(beside.join("claim"), CLAIM).unwrap();
        fs::write(beside.join(".gitignore"), "*\n").unwrap();
        if next == ["init"] {
            fs::remove_dir_all(root.join(".wsidx")).unwrap();
        }
        wsidx(&root, next).expect(0);
        assert!(!beside.exists(), "{next:?}");
    }
    for (name, text) in [
        ("mine.txt", "mine"),
        ("claim", "mine"),
        ("new/mine.txt", "mine"),
    ] {
        estrange(&root.join(".wsidx"));
        fs::create_dir_all(beside.join("new")).unwrap();
        fs::write(beside.join("claim"), CLAIM).unwrap();
        fs::write(beside.join(name), text).unwrap();
        wsidx(&root, ["sync"]).expect(0);
        let refused = wsidx(&root, ["rebuild"]).expect(2);
        assert!(
            refused
                .stderr
                .contains("move it elsewhere, then run the command again"),
            "{}",
            refused.stderr
        );
        assert_eq!(fs::read_to_string(beside.join(name)).unwrap(), "mine");
        assert_eq!(answer(&root), (3, true));
        fs::remove_dir_all(&beside).unwrap();
    }
    // A link is not followed.
    let precious = root.join("precious");
    copy_folder(&root.join(".wsidx"), &precious.join("new"), &[]);
    fs::write(precious.join("claim"), CLAIM).unwrap();
    std::os::unix::fs::symlink("precious", &beside).unwrap();
    wsidx(&root, ["sync"]).expect(0);
    wsidx(&root, ["rebuild"]).expect(2);
    assert!(precious.join("new/format").exists());
}

#[test]
fn a_replacement_that_was_cut_between_two_renames_is_completed_by_the_next_command_that_writes() {
    let (_folder, root) = brought(3, 16);
    let (index, beside) = (root.join(".wsidx"), root.join(BESIDE));
    for next in [
        &["sync"][..],
        &["rebuild"],
        &["gc"],
        &["verify"],
        &["init"],
        &["sync", "--init"],
    ] {
        estrange(&index);
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("claim"), CLAIM).unwrap();
        copy_folder(&index, &beside.join("new"), &[]);
        fs::write(beside.join("new/id"), format!("{}\n", "1".repeat(64))).unwrap();
        fs::rename(&index, beside.join("old")).unwrap();
        for reading in [&["groups"][..], &["status"], &["query", "cat/1.ppm"]] {
            let refused = wsidx(&root, reading).expect(2);
            assert!(
                refused
                    .stderr
                    .contains("interrupted; run `wsidx sync`, which completes it"),
                "{}",
                refused.stderr
            );
        }
        // From below the root, too, which is found by what is beside the index.
        let completed = wsidx(
            &if next.contains(&"init") {
                root.clone()
            } else {
                root.join("cat")
            },
            next,
        );
        assert_eq!(
            completed.status,
            Some(if next == ["init"] { 2 } else { 0 }),
            "{next:?}: {}",
            completed.stderr
        );
        if next == ["init"] {
            assert!(
                completed
                    .stderr
                    .contains("is an index already; bring it up to date with `wsidx sync`"),
                "{}",
                completed.stderr
            );
            wsidx(&root, ["sync"]).expect(0);
        }
        assert!(!beside.exists(), "{next:?}");
        if next != ["rebuild"] {
            assert!(
                completed.stderr.contains("is complete now"),
                "{}",
                completed.stderr
            );
            assert_eq!(
                fs::read_to_string(index.join("id")).unwrap().trim_end(),
                "1".repeat(64)
            );
        }
        assert_eq!(answer(&root).0, 3);
    }
}

#[test]
fn one_index_is_rebuilt_once_at_a_time_and_whoever_waits_writes_to_the_new_one() {
    let (_folder, root) = brought(40, 32);
    let first = stopped_rebuild(&root);
    for arguments in [&["rebuild"][..], &["sync"], &["gc"], &["watch", "cat"]] {
        let refused = wsidx(&root, arguments).expect(2);
        assert!(
            refused.stderr.contains("(wsidx rebuild)") && refused.stderr.contains("--wait"),
            "{arguments:?}: {}",
            refused.stderr
        );
    }
    assert!(
        root.join(BESIDE).join("new").exists(),
        "no other command removes it"
    );
    write(&root, "cat/late.ppm", &ppm(99, 32));
    let waiting = [
        spawn(&root, &["rebuild", "--wait"]),
        spawn(&root, &["sync", "--wait"]),
    ];
    std::thread::sleep(Duration::from_millis(300));
    signal(&first, "CONT");
    end(first).expect(0);
    for each in waiting {
        let done = end(each).expect(0);
        assert!(!done.stdout.contains("80 added"), "{}", done.stdout);
    }
    assert!(!root.join(BESIDE).exists());
    assert_eq!(answer(&root), (40, false));
    wsidx(&root, ["verify", "--files", "--strict"]).expect(0);
}

#[test]
fn an_index_that_is_watched_is_not_replaced() {
    let (_folder, root) = brought(3, 16);
    let before = fs::read(root.join(".wsidx/packs/00000001.pack")).unwrap();
    let mut watch = spawn(&root, &["watch", "cat"]);
    until("it watches", || root.join(".wsidx/watch.sock").exists());
    let refused = wsidx(&root, ["rebuild"]).expect(2);
    assert!(
        refused.stderr.contains("(wsidx watch)"),
        "{}",
        refused.stderr
    );
    assert!(!root.join(BESIDE).exists());
    signal(&watch, "TERM");
    watch.wait().unwrap();
    assert_eq!(
        fs::read(root.join(".wsidx/packs/00000001.pack")).unwrap(),
        before
    );
    wsidx(&root, ["rebuild"]).expect(0);
    assert_eq!(answer(&root), (3, false));
}

#[test]
fn an_own_index_that_is_empty_or_half_made_is_filled_and_it_is_said() {
    let (_folder, root) = brought(3, 16);
    let index = root.join(".wsidx");
    let anew = || {
        fs::remove_dir_all(&index).unwrap();
        wsidx(&root, ["init"]).expect(0);
    };
    anew();
    let rebuilt = wsidx(&root, ["rebuild"]).expect(0);
    assert!(
        rebuilt
            .stderr
            .contains("the index is empty, so the images are read")
            && rebuilt.stdout.contains("6 added"),
        "{rebuilt:?}"
    );
    assert_eq!(answer(&root), (3, false));
    for next in ["rebuild", "sync"] {
        for parts in [
            &["format"][..],
            &["format", "view", "catalog"],
            &["format", "view", "catalog", "packs", ".gitignore"],
        ] {
            anew();
            for part in parts {
                let path = index.join(part);
                if path.is_dir() {
                    fs::remove_dir_all(path).unwrap();
                } else {
                    fs::remove_file(path).unwrap();
                }
            }
            // Killed before the first commit.
            let pack = index.join("packs/00000001.pack");
            if pack.exists() {
                let bytes = fs::read(&pack).unwrap();
                fs::write(&pack, &bytes[..20]).unwrap();
            }
            let resumed = wsidx(&root, [next]).expect(0);
            assert!(
                resumed
                    .stderr
                    .contains("was begun and never finished; it is made now"),
                "{next} without {parts:?}: {resumed:?}"
            );
            assert!(
                !resumed.stderr.contains(MADE_ELSEWHERE),
                "{}",
                resumed.stderr
            );
            assert!(resumed.stdout.contains("6 added"), "{}", resumed.stdout);
            assert_eq!(answer(&root), (3, false));
        }
    }
}

#[test]
fn an_index_is_known_as_soon_as_it_has_its_number() {
    let (_folder, root) = brought(40, 32);
    let rebuild = stopped_rebuild(&root);
    let id = fs::read_to_string(root.join(BESIDE).join("new/id")).unwrap();
    signal(&rebuild, "CONT");
    end(rebuild).expect(0);
    assert_eq!(fs::read_to_string(root.join(".wsidx/id")).unwrap(), id);
    let known = wsidx(&root, ["groups", "--strict"]).expect(0);
    assert!(!known.stderr.contains(MADE_ELSEWHERE));
}

#[test]
fn an_interrupted_rebuild_leaves_the_old_index_and_says_so() {
    let (_folder, root) = brought(40, 32);
    let before = files(&root);
    let rebuild = stopped_rebuild(&root);
    signal(&rebuild, "INT");
    signal(&rebuild, "CONT");
    let interrupted = end(rebuild).expect(130);
    assert!(
        interrupted
            .stderr
            .contains("is as it was; `wsidx rebuild` begins again"),
        "{}",
        interrupted.stderr
    );
    assert!(files(&root) == before);
}

#[test]
fn the_index_of_a_bare_repository_is_replaced_by_one_of_its_branches() {
    let folder = tempfile::tempdir().unwrap();
    (0..4).for_each(|seed| {
        write(
            &folder.path().join("work"),
            &format!("cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    });
    let mut shell = command("sh", folder.path());
    shell.args([
        "-ec",
        "git init -q --bare -b main server; cd work; git init -q -b main; git add .; git commit -qm x; git push -q ../server main
        cd ../server; wsidx init --size 16; wsidx sync",
    ]);
    run(shell).expect(0);
    let server = folder.path().join("server");
    estrange(&server.join("wsidx"));
    let refused = wsidx(&server, ["verify", "--strict"]).expect(2);
    assert!(refused.stderr.contains(MADE_ELSEWHERE));
    let rebuilt = wsidx(&server, ["rebuild"]).expect(0);
    assert!(
        rebuilt.stderr.contains("4 contents read from the branches"),
        "{}",
        rebuilt.stderr
    );
    assert!(!server.join(BESIDE).exists());
    wsidx(&server, ["verify", "--strict"]).expect(0);
    assert!(wsidx(&server, ["status"]).expect(0).stdout.contains('4'));
}
