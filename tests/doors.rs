//! What a repository brings under the names that wsidx reads and writes: links to secrets and to
//! victims, devices without an end, pipes to nobody. All of it is refused by name, nothing of it is
//! printed, and nothing hangs.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use support::{
    PROGRAM, Run, command,
    images::{brighter, ppm, write},
    interruptible, run, wsidx,
};

const SIDE: usize = 16;
const SECRET: &str = "root:x:0:0";

/// A folder with a secret, and in it a repository with an index, a commit, and a staged
/// near-duplicate.
fn dataset() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("data");
    (0..6).for_each(|seed| write(&root, &format!("cat/{seed}.ppm"), &ppm(seed, SIDE)));
    write(
        place.path(),
        "secret",
        format!("{SECRET}:root:/root:/bin/sh\n").as_bytes(),
    );
    git(&root, &["init", "-q", "-b", "main"]);
    wsidx(&root, ["sync", "--init", "--quiet"]).expect(0);
    git(&root, &["add", "cat"]);
    git(&root, &["commit", "-qm", "one"]);
    write(&root, "cat/new.ppm", &brighter(&ppm(0, SIDE), 9));
    git(&root, &["add", "cat"]);
    (place, root)
}

fn git(root: &Path, arguments: &[&str]) {
    let mut git = command("git", root);
    git.args(arguments);
    run(git).expect(0);
}

/// Runs the program; one that hangs fails the test.
fn soon(root: &Path, arguments: &[&str]) -> Run {
    let mut program = command("timeout", root);
    program
        .args(["--signal=KILL", "60", PROGRAM])
        .args(arguments);
    run(program)
}

fn pipe(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
}

/// Puts a link to a secret, a link to a device without an end, a pipe and a folder in the place of
/// a file, one after the other.
fn each_intruder(file: &Path, check: &mut dyn FnMut(&str)) {
    symlink("../secret", file).unwrap();
    check("a symbolic link");
    fs::remove_file(file).unwrap();
    symlink("/dev/zero", file).unwrap();
    check("a symbolic link");
    fs::remove_file(file).unwrap();
    pipe(file);
    check("a named pipe");
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    check("a folder");
    fs::remove_dir(file).unwrap();
}

#[track_caller]
fn refused(run: &Run, name: &str, kind: &str) {
    let told = format!("{name} is {kind}; put a regular file there, or remove it");
    assert!(run.stderr.contains(&told), "{told}: {}", run.stderr);
    assert!(
        !run.stderr.contains(SECRET) && !run.stdout.contains(SECRET),
        "{}{}",
        run.stdout,
        run.stderr
    );
}

#[test]
fn settings_that_are_no_regular_file_are_refused_by_every_command_and_nothing_of_them_is_printed() {
    let (_place, root) = dataset();
    let commands: &[&[&str]] = &[
        &["check", "."],
        &["check", ".", "--format", "github"],
        &["check", ".", "--format", "sarif"],
        &["query", "cat/0.ppm"],
        &["groups"],
        &["status"],
        &["calibrate", "--write"],
        &["allow", "cat/new.ppm"],
        &["baseline", "write"],
        &["watch", "cat"],
    ];
    each_intruder(&root.join("wsidx.toml"), &mut |kind| {
        for arguments in commands {
            refused(&soon(&root, arguments).expect(2), "wsidx.toml", kind);
        }
        // It takes in what it can, and says so.
        refused(&soon(&root, &["sync"]).expect(0), "wsidx.toml", kind);
    });
}

#[test]
fn exceptions_that_are_no_regular_file_are_refused() {
    let (_place, root) = dataset();
    for name in [".wsidx-allow", ".wsidx-baseline.json"] {
        each_intruder(&root.join(name), &mut |kind| {
            refused(&soon(&root, &["check", "."]).expect(2), name, kind);
        });
    }
}

#[test]
fn links_in_place_of_settings_that_are_staged_are_refused_by_the_hook() {
    let (place, root) = dataset();
    for name in ["wsidx.toml", ".wsidx-allow", ".wsidx-baseline.json"] {
        symlink("../secret", root.join(name)).unwrap();
        git(&root, &["add", name]);
        for arguments in [
            &["check", "--staged"][..],
            &["check", "--staged", "--format", "github"],
            &["hook", "run", "pre-commit"],
        ] {
            let run = soon(&root, arguments).expect(2);
            assert!(
                run.stderr.contains(&format!(
                    "{name} is a symbolic link or a submodule in git; put a regular file"
                )),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains(SECRET) && !run.stdout.contains(SECRET));
        }
        git(&root, &["rm", "-qf", name]);
    }
    drop(place);
}

#[test]
fn the_settings_of_git_and_dvc_are_read_as_regular_files_only() {
    let (_place, root) = dataset();
    let merge_head = root.join(".git/MERGE_HEAD");
    pipe(&merge_head);
    let run = soon(&root, &["check", "--staged"]);
    assert!(
        run.stderr.contains("MERGE_HEAD is a named pipe"),
        "{}",
        run.stderr
    );
    fs::remove_file(&merge_head).unwrap();
    fs::create_dir(root.join(".dvc")).unwrap();
    write(
        &root,
        "cat/x.ppm.dvc",
        b"outs: [{path: x.ppm, md5: 1526be5aeae1d705031e08ed9a4a294a, hash: md5}]\n",
    );
    git(&root, &["add", "-f", "cat/x.ppm.dvc"]);
    each_intruder(&root.join(".dvc/config"), &mut |kind| {
        refused(
            &soon(&root, &["check", "--staged"]).expect(2),
            ".dvc/config",
            kind,
        );
    });
}

#[test]
fn a_mistake_in_settings_is_shown_in_one_short_line() {
    let (_place, root) = dataset();
    write(
        &root,
        "wsidx.toml",
        format!("[check]\n\u{1b}[31m{}\n", "a".repeat(100_000)).as_bytes(),
    );
    let run = soon(&root, &["check", "."]).expect(2);
    assert!(
        run.stderr.contains("wsidx.toml: line 2, column "),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.trim_end().lines().count() == 1
            && run.stderr.len() < 1_000
            && !run.stderr.contains('\u{1b}'),
        "{}",
        run.stderr
    );
    write(&root, "wsidx.toml", &vec![b'#'; 2 << 20]);
    let run = soon(&root, &["check", "."]).expect(2);
    assert!(
        run.stderr
            .contains("wsidx.toml has 2097152 bytes, and at most 1048576 are read"),
        "{}",
        run.stderr
    );
}

#[test]
fn no_result_is_written_through_a_link_that_the_repository_brings() {
    let (place, root) = dataset();
    let victim = place.path().join("victim");
    let commands: &[(&[&str], &str)] = &[
        (
            &["check", ".", "--exit-zero", "--metrics", "m.json"],
            "m.json",
        ),
        (&["check", ".", "--exit-zero", "--plots", "p.csv"], "p.csv"),
        (&["similarity", "--out", "s.npy"], "s.npy"),
        (&["similarity", "--heat-map", "h.png"], "h.png"),
        (&["similarity", "--graph", "g.svg"], "g.svg"),
        (&["spectrum", "--plot", "l.svg"], "l.svg"),
        (&["cluster", "--graph", "c.svg"], "c.svg"),
        (
            &["compare", "cat/0.ppm", "cat/new.ppm", "--out", "o.png"],
            "o.png",
        ),
        (
            &["debug", "picture", "cat/0.ppm", "--out", "d.png"],
            "d.png",
        ),
        (&["calibrate", "--write"], "wsidx.toml"),
        (&["allow", "--path", "scans/**"], ".wsidx-allow"),
        (&["baseline", "write"], ".wsidx-baseline.json"),
    ];
    for (arguments, name) in commands {
        fs::write(&victim, "precious").unwrap();
        symlink("../victim", root.join(name)).unwrap();
        let run = soon(&root, arguments).expect(2);
        assert!(
            run.stderr.contains(&format!("{name} is a symbolic link")),
            "{arguments:?}: {}",
            run.stderr
        );
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{arguments:?}");
        fs::remove_file(root.join(name)).unwrap();
    }
    let run = soon(
        &root,
        &["check", ".", "--exit-zero", "--metrics", "/dev/null"],
    )
    .expect(2);
    assert!(
        run.stderr
            .contains("is a device, and no result is written there; remove it, or name a file"),
        "{}",
        run.stderr
    );
    let left: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| ["cat", ".git", ".wsidx"].iter().any(|known| name == known)),
        "{left:?}"
    );
}

/// Each option that names a file of results, with a name that fits.
const OUTPUTS: &[(&[&str], &str)] = &[
    (&["check", ".", "--exit-zero", "--metrics"], "json"),
    (&["check", ".", "--exit-zero", "--plots"], "csv"),
    (&["similarity", "--out"], "npy"),
    (&["similarity", "--heat-map"], "png"),
    (&["similarity", "--graph"], "svg"),
    (&["spectrum", "--plot"], "svg"),
    (&["cluster", "--graph"], "svg"),
    (&["compare", "cat/0.ppm", "cat/new.ppm", "--out"], "png"),
    (&["debug", "picture", "cat/0.ppm", "--out"], "png"),
];

#[test]
fn no_result_is_written_into_an_index_or_over_an_input_of_the_dataset_and_each_has_the_ending_of_its_content()
 {
    let (_place, root) = dataset();
    let index = root.join(".wsidx");
    symlink(".wsidx/packs", root.join("way")).unwrap();
    fs::create_dir(root.join("more")).unwrap();
    write(&root, "more/a.png", &ppm(9, SIDE));
    write(&root, "labels.csv", b"file_name,label\ncat/0.ppm,cat\n");
    let before = |folder: &Path| {
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|file| file.is_file())
            .map(|file| (fs::read(&file).unwrap(), file))
            .collect();
        files.sort();
        files
    };
    let folders = [
        root.clone(),
        root.join("more"),
        root.join("cat"),
        index.clone(),
        index.join("packs"),
        index.join("view"),
    ];
    let all = || {
        folders
            .iter()
            .map(|folder| before(folder))
            .collect::<Vec<_>>()
    };
    let were = all();
    let refused = |arguments: &[&str], name: &str, why: &str| {
        let run = soon(&root, &[arguments, &[name]].concat()).expect(2);
        assert!(
            run.stderr.contains(why),
            "{arguments:?} {name}: {}",
            run.stderr
        );
        assert!(all() == were, "{arguments:?} {name} wrote something");
    };
    for (arguments, ending) in OUTPUTS {
        for name in ["more/a.ppm", "cat/1.ppm", ".wsidx/format", "notes"] {
            refused(
                arguments,
                name,
                &format!("does not end in that; use `{} ", arguments.last().unwrap()),
            );
        }
        for folder in [".wsidx", "way", "more/../.wsidx/view"] {
            refused(
                arguments,
                &format!("{folder}/x.{ending}"),
                ".wsidx, where nothing else is written",
            );
        }
        match *ending {
            "png" => refused(
                arguments,
                "more/a.png",
                "more/a.png is an image, and no result is written over it; use `",
            ),
            "csv" => refused(
                arguments,
                "labels.csv",
                "labels.csv is a table of labels, and no result is written over it; use `",
            ),
            _ => {}
        }
    }
    for way in ["--link", "--copy"] {
        refused(
            &["reduce", "--clusters", "2", way],
            ".wsidx/out",
            "where nothing else is written",
        );
    }
    for action in ["move:.wsidx/aside", "hardlink:.wsidx/aside"] {
        refused(
            &["watch", "cat", "--on-redundant"],
            action,
            "where nothing else is written",
        );
    }
    // A result replaces the one before, a drawing, too.
    for (arguments, ending) in OUTPUTS {
        let (first, name) = (
            root.join(format!("first.{ending}")),
            format!("again.{ending}"),
        );
        for _ in 0..2 {
            soon(&root, &[*arguments, &[&name[..]]].concat()).expect(0);
            if first.exists() {
                assert!(
                    fs::read(&first).unwrap() == fs::read(root.join(&name)).unwrap(),
                    "{arguments:?}"
                );
            } else {
                fs::rename(root.join(&name), &first).unwrap();
            }
        }
        soon(&root, &[*arguments, &[&name[..]]].concat()).expect(0);
        fs::remove_file(first).unwrap();
        fs::remove_file(root.join(name)).unwrap();
    }
}

#[test]
fn what_the_user_names_may_be_a_link_or_a_pipe() {
    let (place, root) = dataset();
    fs::write(place.path().join("list"), "cat/new.ppm\n").unwrap();
    symlink("../list", root.join("list")).unwrap();
    let run = soon(&root, &["check", "--files-from", "list"]).expect(1);
    assert!(run.stdout.contains("cat/new.ppm"), "{}", run.stdout);
    let mut shell = command("bash", &root);
    shell.args([
        "-c",
        &format!("'{PROGRAM}' check --files-from <(echo cat/new.ppm)"),
    ]);
    run_shell(shell);
    // Files of dots are often links to where a user keeps them.
    fs::write(place.path().join("watch.toml"), "settle = 0\n").unwrap();
    symlink("../watch.toml", root.join("mine.toml")).unwrap();
    let run = soon(&root, &["watch", "cat", "--config", "mine.toml"]).expect(2);
    assert!(run.stderr.contains("out of range"), "{}", run.stderr);
}

/// Waits until a process handles a signal, as the system has it.
#[cfg(target_os = "linux")]
fn wait_until_handled(process: u32, signal: rustix::process::Signal) {
    let handles = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
    };
    let began = Instant::now();
    while !handles() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the signal is not handled"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_first_signal_ends_a_command_that_waits_for_a_list_that_is_never_written() {
    use rustix::process::{Pid, Signal, kill_process};
    let (_place, root) = dataset();
    pipe(&root.join("list"));
    let commands: &[&[&str]] = &[
        &["check", "--files-from", "list"],
        &["check", "--files-from", "-"],
        &["hook", "run", "pre-push", "origin", "elsewhere"],
    ];
    for arguments in commands {
        for signal in [Signal::TERM, Signal::INT] {
            let mut process = interruptible(&root)
                .args(*arguments)
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            wait_until_handled(process.id(), signal);
            // The process may be anywhere before the read, or in it.
            thread::sleep(Duration::from_millis(200));
            assert!(
                process.try_wait().unwrap().is_none(),
                "{arguments:?} does not wait"
            );
            kill_process(Pid::from_child(&process), signal).unwrap();
            let began = Instant::now();
            let status = loop {
                match process.try_wait().unwrap() {
                    Some(status) => break status,
                    None if began.elapsed() > Duration::from_secs(10) => {
                        process.kill().unwrap();
                        panic!("{arguments:?} does not end at {signal:?}");
                    }
                    None => thread::sleep(Duration::from_millis(5)),
                }
            };
            assert_eq!(status.code(), Some(130), "{arguments:?} {signal:?}");
        }
    }
}

fn run_shell(shell: std::process::Command) {
    let run = run(shell).expect(1);
    assert!(
        run.stdout.contains("cat/new.ppm"),
        "{}{}",
        run.stdout,
        run.stderr
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_baseline_whose_writing_was_killed_at_any_point_leaves_nothing_after_the_next() {
    if command("strace", Path::new("/"))
        .arg("-V")
        .output()
        .is_err()
    {
        println!("killing at calls of the system: not tested, since there is no strace");
        return;
    }
    let (_place, root) = dataset();
    let parts = || {
        let names = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.contains("part"))
            .collect::<Vec<_>>()
    };
    let (mut killed, mut left) = (0, 0);
    for call in ["write", "fsync", "linkat", "renameat"] {
        for nth in 1..4 {
            let mut program = command("strace", &root);
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            program.args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
                &inject,
                PROGRAM,
                "baseline",
                "write",
            ]);
            killed += usize::from(!program.output().unwrap().status.success());
            left += parts().len();
            assert!(parts().len() <= 1, "{call} {nth}: {:?}", parts());
            wsidx(&root, ["baseline", "write", "--quiet"]).expect(0);
            assert!(parts().is_empty(), "{call} {nth}: {:?}", parts());
            wsidx(&root, ["check", ".", "--quiet"]).expect(0);
        }
    }
    assert!(killed >= 4, "{killed}");
    println!("killed {killed} times; {left} times a name was left for the next");
}
