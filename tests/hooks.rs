//! Hooks in real repositories: beside those of DVC, git-lfs, pre-commit and husky, and taken away
//! without a trace.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use support::{
    PROGRAM, Run, command,
    images::{brighter, ppm, write},
    run, tool, wsidx,
};

/// Runs git, or another program, in `folder`; the programs of the test environment come after wsidx
/// in the `PATH`.
fn call<A: AsRef<OsStr>>(
    folder: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Run {
    run(prepared(folder, program, arguments))
}

fn prepared<A: AsRef<OsStr>>(
    folder: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut prepared = command(program, folder);
    let path = prepared
        .get_envs()
        .find(|(key, _)| *key == "PATH")
        .and_then(|(_, value)| value)
        .unwrap()
        .to_owned();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.insert(1, tool("dvc").parent().unwrap().to_owned());
    prepared
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("DVC_NO_ANALYTICS", "1")
        .args(arguments);
    prepared
}

fn git<const N: usize>(folder: &Path, arguments: [&str; N]) -> Run {
    call(folder, "git", arguments)
}

/// A repository with one commit.
fn repository() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    git(tree.path(), ["init", "-q", "-b", "main"]).expect(0);
    write(tree.path(), "readme", b"one");
    git(tree.path(), ["add", "readme"]).expect(0);
    git(tree.path(), ["commit", "-qm", "one"]).expect(0);
    tree
}

fn hooks(tree: &Path) -> PathBuf {
    tree.join(".git/hooks")
}

/// A hook of somebody that writes its name, its arguments and what it reads into the file `ran`.
fn foreign(path: &Path, then: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(
        path,
        format!("#!/bin/sh\necho \"$(basename \"$0\")\" \"$@\" >> ran\ncat >> ran\n{then}\n"),
    )
    .unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn ran(tree: &Path) -> String {
    fs::read_to_string(tree.join("ran")).unwrap_or_default()
}

/// A commit that wsidx is told to let through.
fn commit(tree: &Path) -> Run {
    let mut git = prepared(tree, "git", ["commit", "-q", "--allow-empty", "-m", "more"]);
    git.env("WSIDX_SKIP", "1");
    run(git)
}

/// The names, modes and bytes of all files below a folder.
fn everything(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = if meta.is_dir() {
                Vec::new()
            } else {
                fs::read(&path).unwrap_or_default()
            };
            all.push((path.clone(), meta.permissions().mode(), bytes));
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    all.sort();
    all
}

const FILE: [&str; 4] = ["hook", "install", "--mode", "file"];

#[test]
fn a_hook_is_written_where_there_is_none_runs_and_goes_without_a_trace() {
    let tree = repository();
    fs::create_dir_all(hooks(tree.path())).unwrap();
    let before = everything(&tree.path().join(".git"));
    wsidx(tree.path(), FILE).expect(0);
    let hook = hooks(tree.path()).join("pre-commit");
    assert_eq!(
        fs::metadata(&hook).unwrap().permissions().mode() & 0o111,
        0o111
    );
    let once = everything(&hooks(tree.path()));
    wsidx(tree.path(), FILE).expect(0);
    assert_eq!(everything(&hooks(tree.path())), once);
    assert!(
        wsidx(tree.path(), ["hook", "status"])
            .expect(0)
            .stdout
            .contains("pre-commit        wsidx\n")
    );
    let said = commit(tree.path()).expect(0).stderr;
    assert!(
        said.contains("pre-commit is not checked, since WSIDX_SKIP is set"),
        "{said}"
    );
    git(tree.path(), ["reset", "-q", "--soft", "HEAD~1"]).expect(0);
    wsidx(tree.path(), ["hook", "uninstall"]).expect(0);
    assert_eq!(
        everything(&hooks(tree.path())),
        before
            .into_iter()
            .filter(|(path, ..)| path.starts_with(hooks(tree.path())))
            .filter(|(path, ..)| *path != hooks(tree.path()))
            .collect::<Vec<_>>()
    );
}

#[test]
fn beside_the_hook_of_dvc_that_execs_wsidx_refuses_with_three_ways_out_and_a_chain_runs_both() {
    let tree = repository();
    call(tree.path(), "dvc", ["init", "-q"]).expect(0);
    call(tree.path(), "dvc", ["install"]).expect(0);
    let before = everything(&hooks(tree.path()));
    assert!(
        fs::read_to_string(hooks(tree.path()).join("pre-commit"))
            .unwrap()
            .contains("exec dvc git-hook")
    );
    let refused = wsidx(tree.path(), FILE).expect(2).stderr;
    for words in [
        "already, of DVC",
        "three ways out",
        "--mode chain",
        "before any `exec`",
        "wsidx-system",
    ] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert_eq!(everything(&hooks(tree.path())), before);
    wsidx(tree.path(), ["hook", "install", "--mode", "chain"]).expect(0);
    let status = wsidx(tree.path(), ["hook", "status"]).expect(0).stdout;
    assert!(
        status.contains("wsidx, then pre-commit.wsidx-prev, the hook of DVC"),
        "{status}"
    );
    let said = commit(tree.path()).expect(0).stderr;
    assert!(said.contains("WSIDX_SKIP is set"), "{said}");
    // It is the hook of DVC that runs second: without dvc it fails.
    let mut alone = command("git", tree.path());
    alone
        .env("WSIDX_SKIP", "1")
        .args(["commit", "-q", "--allow-empty", "-m", "x"]);
    assert!(run(alone).expect(1).stderr.contains("dvc"));
    wsidx(tree.path(), ["hook", "uninstall"]).expect(0);
    assert_eq!(everything(&hooks(tree.path())), before);
}

#[test]
fn beside_git_lfs_the_push_is_chained_and_gets_the_same_lines() {
    let tree = repository();
    if call(tree.path(), "git", ["lfs", "version"]).status != Some(0) {
        eprintln!("git-lfs is not installed, so this is not tested; it is a package of the system");
        return;
    }
    git(tree.path(), ["lfs", "install", "--local"]).expect(0);
    let before = everything(&hooks(tree.path()));
    wsidx(tree.path(), FILE).expect(0);
    assert!(
        wsidx(
            tree.path(),
            ["hook", "install", "pre-push", "--mode", "file"]
        )
        .expect(2)
        .stderr
        .contains("of git-lfs")
    );
    wsidx(
        tree.path(),
        ["hook", "install", "pre-push", "--mode", "chain"],
    )
    .expect(0);
    write(tree.path(), ".gitattributes", b"*.bin filter=lfs -text\n");
    write(tree.path(), "a.bin", b"large");
    git(tree.path(), ["add", "."]).expect(0);
    commit(tree.path()).expect(0);
    let remote = tempfile::tempdir().unwrap();
    git(remote.path(), ["init", "-q", "--bare"]).expect(0);
    let mut push = prepared(
        tree.path(),
        "git",
        [
            "push",
            "-q",
            &format!("file://{}", remote.path().display()),
            "main",
        ],
    );
    push.env("WSIDX_SKIP", "1");
    assert!(
        run(push)
            .expect(0)
            .stderr
            .contains("pre-push is not checked")
    );
    // git-lfs has read the lines of the push: the object is on the other side.
    assert!(
        everything(&remote.path().join("lfs/objects"))
            .iter()
            .any(|(.., bytes)| bytes == b"large")
    );
    wsidx(tree.path(), ["hook", "uninstall"]).expect(0);
    assert_eq!(everything(&hooks(tree.path())), before);
}

#[test]
fn beside_pre_commit_each_runs_whoever_came_first() {
    let config = b"repos:\n- repo: local\n  hooks:\n  - {id: told, name: told, entry: echo told, language: system, always_run: true, verbose: true}\n";
    let tree = repository();
    write(tree.path(), ".pre-commit-config.yaml", config);
    git(tree.path(), ["add", "."]).expect(0);
    call(tree.path(), "pre-commit", ["install"]).expect(0);
    assert!(
        wsidx(tree.path(), FILE)
            .expect(2)
            .stderr
            .contains("of pre-commit")
    );
    wsidx(tree.path(), ["hook", "install", "--mode", "chain"]).expect(0);
    let said = commit(tree.path()).expect(0).stderr;
    assert!(
        said.contains("WSIDX_SKIP is set") && said.contains("told"),
        "{said}"
    );
    wsidx(tree.path(), ["hook", "uninstall"]).expect(0);
    let tree = repository();
    write(tree.path(), ".pre-commit-config.yaml", config);
    git(tree.path(), ["add", "."]).expect(0);
    wsidx(tree.path(), FILE).expect(0);
    call(tree.path(), "pre-commit", ["install"]).expect(0);
    let said = commit(tree.path()).expect(0).stderr;
    assert!(
        said.contains("WSIDX_SKIP is set") && said.contains("told"),
        "{said}"
    );
}

#[test]
fn beside_husky_nothing_is_written_into_its_folder_and_its_own_file_is_named() {
    let tree = repository();
    let folder = tree.path().join(".husky/_");
    foreign(&folder.join("pre-commit"), ". \"$(dirname \"$0\")/h\"");
    git(tree.path(), ["config", "core.hooksPath", ".husky/_"]).expect(0);
    let before = everything(&tree.path().join(".husky"));
    for mode in ["file", "chain"] {
        let refused = wsidx(tree.path(), ["hook", "install", "--mode", mode])
            .expect(2)
            .stderr;
        assert!(
            refused.contains("husky runs the hooks") && refused.contains(">> .husky/pre-commit"),
            "{refused}"
        );
    }
    assert_eq!(everything(&tree.path().join(".husky")), before);
    assert!(!hooks(tree.path()).join("pre-commit").exists());
}

#[test]
fn hooks_of_all_repositories_of_a_user_are_never_written_to() {
    let tree = repository();
    let shared = tempfile::tempdir().unwrap();
    let config = shared.path().join("gitconfig");
    fs::write(
        &config,
        format!("[core]\n\thooksPath = {}/hooks\n", shared.path().display()),
    )
    .unwrap();
    for mode in ["file", "chain"] {
        let mut install = command(PROGRAM, tree.path());
        install
            .env("GIT_CONFIG_GLOBAL", &config)
            .args(["hook", "install", "--mode", mode]);
        assert!(
            run(install)
                .expect(2)
                .stderr
                .contains("core.hooksPath of the global settings")
        );
    }
    assert!(!shared.path().join("hooks").exists());
    git(tree.path(), ["config", "core.hooksPath", "my hooks"]).expect(0);
    fs::create_dir(tree.path().join("sub")).unwrap();
    wsidx(&tree.path().join("sub"), FILE).expect(0);
    assert!(
        tree.path().join("my hooks/pre-commit").exists()
            && !tree.path().join("sub/my hooks").exists()
    );
    assert!(
        commit(tree.path())
            .expect(0)
            .stderr
            .contains("WSIDX_SKIP is set")
    );
}

#[test]
fn a_linked_worktree_shares_the_hook() {
    let tree = repository();
    let linked = tempfile::tempdir().unwrap();
    let linked = linked.path().join("a tree");
    git(
        tree.path(),
        [
            "worktree",
            "add",
            "-q",
            "-b",
            "other",
            linked.to_str().unwrap(),
        ],
    )
    .expect(0);
    wsidx(&linked, FILE).expect(0);
    assert!(hooks(tree.path()).join("pre-commit").exists());
    for tree in [tree.path(), &linked] {
        assert!(commit(tree).expect(0).stderr.contains("WSIDX_SKIP is set"));
    }
}

#[test]
fn a_chained_hook_gets_its_arguments_and_lines_and_its_refusal_counts() {
    let tree = repository();
    foreign(&hooks(tree.path()).join("pre-push"), "exit 3");
    symlink("pre-push", hooks(tree.path()).join("pre-commit")).unwrap();
    let before = everything(&hooks(tree.path()));
    assert!(
        wsidx(tree.path(), FILE)
            .expect(2)
            .stderr
            .contains("somebody else")
    );
    wsidx(
        tree.path(),
        [
            "hook",
            "install",
            "pre-push",
            "pre-commit",
            "--mode",
            "chain",
        ],
    )
    .expect(0);
    let remote = tempfile::tempdir().unwrap();
    git(remote.path(), ["init", "-q", "--bare"]).expect(0);
    let mut push = prepared(
        tree.path(),
        "git",
        ["push", "-q", remote.path().to_str().unwrap(), "main"],
    );
    push.env("WSIDX_SKIP", "1");
    assert_ne!(run(push).status, Some(0));
    let head = git(tree.path(), ["rev-parse", "HEAD"]).expect(0).stdout;
    let told = ran(tree.path());
    let lines: Vec<&str> = told.lines().collect();
    let remote = remote.path().to_str().unwrap();
    assert_eq!(lines[0], format!("pre-push.wsidx-prev {remote} {remote}"));
    assert!(
        lines[1].starts_with(&format!(
            "refs/heads/main {} refs/heads/main 000",
            head.trim()
        )),
        "{told}"
    );
    wsidx(
        tree.path(),
        [
            "hook",
            "install",
            "pre-push",
            "pre-commit",
            "--mode",
            "chain",
        ],
    )
    .expect(0);
    wsidx(tree.path(), ["hook", "uninstall"]).expect(0);
    assert_eq!(everything(&hooks(tree.path())), before);
    assert!(
        fs::symlink_metadata(hooks(tree.path()).join("pre-commit"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_hook_that_was_changed_by_hand_is_left_alone() {
    let tree = repository();
    wsidx(tree.path(), FILE).expect(0);
    let hook = hooks(tree.path()).join("pre-commit");
    let changed = fs::read_to_string(&hook).unwrap() + "make lint\n";
    fs::write(&hook, &changed).unwrap();
    assert!(
        wsidx(tree.path(), FILE)
            .expect(2)
            .stderr
            .contains("wsidx, changed by hand")
    );
    assert!(
        wsidx(tree.path(), ["hook", "uninstall"])
            .expect(2)
            .stderr
            .contains("take it away yourself")
    );
    assert_eq!(fs::read_to_string(&hook).unwrap(), changed);
    assert!(!hooks(tree.path()).join("pre-merge-commit").exists());
}

#[test]
fn a_hook_without_its_program_lets_nothing_through_and_says_why() {
    let tree = repository();
    wsidx(tree.path(), FILE).expect(0);
    let hook = hooks(tree.path()).join("pre-commit");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(&hook, text.replace(PROGRAM, "/nowhere/wsidx")).unwrap();
    let mut lost = command("git", tree.path());
    lost.env("WSIDX_SKIP", "1")
        .args(["commit", "-q", "--allow-empty", "-m", "x"]);
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .filter(|folder| !folder.join("wsidx").exists())
        .collect::<Vec<_>>();
    lost.env("PATH", std::env::join_paths(path).unwrap());
    assert!(run(lost).expect(1).stderr.contains("not in PATH"));
    assert!(
        commit(tree.path())
            .expect(0)
            .stderr
            .contains("WSIDX_SKIP is set")
    );
}

#[test]
fn a_git_with_hooks_in_its_settings_gets_them_there_beside_all_others() {
    let tree = repository();
    foreign(&hooks(tree.path()).join("pre-commit"), "");
    let before = everything(&tree.path().join(".git"));
    let real = git(tree.path(), ["version"]).expect(0).stdout;
    let numbers: Vec<u32> = real
        .split(['.', ' '])
        .filter_map(|word| word.parse().ok())
        .collect();
    let new = numbers >= vec![2, 54];
    if !new {
        let refused = wsidx(tree.path(), ["hook", "install", "--mode", "config"])
            .expect(2)
            .stderr;
        assert!(
            refused.contains("need git 2.54") && everything(&tree.path().join(".git")) == before,
            "{refused}"
        );
    }
    // The settings are written by the git that is here, whatever it says its version is.
    let says = tempfile::tempdir().unwrap();
    let git_path = String::from_utf8(
        Command::new("sh")
            .args(["-c", "command -v git"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    write(
        says.path(),
        "git",
        format!(
            "#!/bin/sh\ntest \"$1\" = version && echo git version 2.54.0 && exit\nexec {} \"$@\"\n",
            git_path.trim()
        )
        .as_bytes(),
    );
    fs::set_permissions(says.path().join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let with = |arguments: &[&str]| {
        let mut wsidx = command(PROGRAM, tree.path());
        let path = std::env::var_os("PATH").unwrap();
        let folders = std::iter::once(says.path().to_owned()).chain(std::env::split_paths(&path));
        run({
            wsidx
                .env("PATH", std::env::join_paths(folders).unwrap())
                .args(arguments);
            wsidx
        })
    };
    // What an older git had in files moves there, and back; it never runs twice.
    with(&["hook", "install", "--mode", "chain"]).expect(0);
    with(&["hook", "install"]).expect(0);
    assert!(
        !hooks(tree.path()).join("pre-merge-commit").exists()
            && !hooks(tree.path()).join("pre-commit.wsidx-prev").exists()
    );
    with(&["hook", "install", "--mode", "chain"]).expect(0);
    assert!(
        !fs::read_to_string(tree.path().join(".git/config"))
            .unwrap()
            .contains("hook \"wsidx")
    );
    with(&["hook", "install"]).expect(0);
    let status = with(&["hook", "status"]).expect(0).stdout;
    assert!(
        status.contains("wsidx-pre-commit (settings), then the hook of somebody else"),
        "{status}"
    );
    let command = git(
        tree.path(),
        ["config", "--get", "hook.wsidx-pre-commit.command"],
    )
    .expect(0)
    .stdout;
    assert_eq!(command.trim(), format!("'{PROGRAM}' hook run pre-commit"));
    let mut shell = prepared(tree.path(), "sh", ["-c", command.trim()]);
    shell.env("WSIDX_SKIP", "1");
    assert!(
        run(shell)
            .expect(0)
            .stderr
            .contains("pre-commit is not checked")
    );
    if new {
        let said = commit(tree.path()).expect(0).stderr;
        assert!(
            said.contains("WSIDX_SKIP is set") && ran(tree.path()).contains("pre-commit"),
            "{said}"
        );
        git(tree.path(), ["reset", "-q", "--soft", "HEAD~1"]).expect(0);
    }
    with(&["hook", "uninstall"]).expect(0);
    let config = |all: &[(PathBuf, u32, Vec<u8>)]| {
        all.iter()
            .find(|(path, ..)| path.ends_with("config"))
            .cloned()
    };
    assert_eq!(
        config(&everything(&tree.path().join(".git"))),
        config(&before)
    );
}

#[test]
fn outside_a_repository_git_says_why_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        wsidx(folder.path(), FILE)
            .expect(2)
            .stderr
            .contains("not a git repository")
    );
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

/// A repository whose folder `data` is an indexed dataset of `n` pictures, committed, with hooks.
fn guarded(n: u64) -> tempfile::TempDir {
    let tree = repository();
    for seed in 0..n {
        write(
            tree.path(),
            &format!("data/train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    git(tree.path(), ["add", "."]).expect(0);
    git(tree.path(), ["commit", "-qm", "data"]).expect(0);
    let data = tree.path().join("data");
    wsidx(&data, ["init", "--size", "16"]).expect(0);
    wsidx(&data, ["sync"]).expect(0);
    wsidx(&data, FILE).expect(0);
    tree
}

#[test]
fn a_commit_of_a_near_duplicate_is_rejected_with_the_reason_and_three_ways_on() {
    let tree = guarded(4);
    write(
        tree.path(),
        "data/train/cat/it's new.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    write(tree.path(), "data/train/cat/fine.ppm", &ppm(90, 16));
    git(tree.path(), ["add", "."]).expect(0);
    let said = git(tree.path(), ["commit", "-qm", "two"]).expect(1).stderr;
    let lines = [
        "wsidx: commit rejected: 1 of 2 new images",
        "  redundant    data/train/cat/it's new.ppm",
        " with train/cat/1.ppm (label cat, train)",
        "drop them:   git rm --cached -- 'data/train/cat/it'\\''s new.ppm'",
        "keep them:   wsidx allow --staged 'data/train/cat/it'\\''s new.ppm' && git add data/.wsidx-allow",
        "skip once:   WSIDX_SKIP=1 git commit",
    ];
    for line in lines {
        assert!(said.contains(line), "{line}\n--- not in\n{said}");
    }
    // What it says is done, word for word.
    let keep = said
        .lines()
        .find_map(|line| line.strip_prefix("keep them:   "))
        .unwrap();
    call(tree.path(), "sh", ["-ec", keep]).expect(0);
    git(tree.path(), ["commit", "-qm", "two"]).expect(0);
}

#[test]
fn exceptions_count_as_they_are_staged_not_as_they_lie_in_the_work_tree() {
    let tree = guarded(4);
    write(
        tree.path(),
        "data/train/cat/new.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    git(tree.path(), ["add", "."]).expect(0);
    write(
        tree.path(),
        "data/.wsidx-allow",
        b"path train/cat/new.ppm  # wanted\n",
    );
    git(tree.path(), ["commit", "-qm", "two"]).expect(1);
    git(tree.path(), ["add", "."]).expect(0);
    git(tree.path(), ["commit", "-qm", "two"]).expect(0);
}

#[test]
fn a_commit_without_images_and_a_repository_without_an_index_are_told_apart() {
    let tree = guarded(3);
    write(tree.path(), "readme", b"two");
    assert_eq!(
        git(tree.path(), ["commit", "-qam", "two"]).expect(0).stderr,
        ""
    );
    fs::remove_dir_all(tree.path().join("data/.wsidx")).unwrap();
    write(tree.path(), "data/train/cat/new.ppm", &ppm(70, 16));
    git(tree.path(), ["add", "."]).expect(0);
    assert!(
        git(tree.path(), ["commit", "-qm", "three"])
            .expect(1)
            .stderr
            .contains("wsidx init")
    );
}

#[test]
fn under_pre_commit_no_tracked_file_changes_and_twins_among_5000_new_files_are_found() {
    let tree = guarded(3);
    wsidx(tree.path(), ["hook", "uninstall"]).expect(0);
    git(tree.path(), ["config", "wsidx.root", "data"]).expect(0);
    let manifest = fs::read_to_string(support::root().join(".pre-commit-hooks.yaml")).unwrap();
    let entry = manifest
        .split("- id: ")
        .find(|entry| entry.starts_with("wsidx-system"))
        .unwrap();
    let config = format!(
        "repos:\n- repo: local\n  hooks:\n  - id: {}",
        entry.replace("\n  ", "\n    ")
    );
    write(tree.path(), ".pre-commit-config.yaml", config.as_bytes());
    git(tree.path(), ["add", "."]).expect(0);
    call(tree.path(), "pre-commit", ["install"]).expect(0);
    git(tree.path(), ["commit", "-qm", "config"]).expect(0);
    // More names than the 128 KiB at which pre-commit splits a list of them.
    let name = |seed: u64| format!("data/train/pictures-of-something/{seed}.ppm");
    for seed in 0..4_999 {
        write(tree.path(), &name(seed), &ppm(1_000 + seed, 16));
    }
    write(tree.path(), &name(9_999), &brighter(&ppm(1_000, 16), 9));
    git(tree.path(), ["add", "."]).expect(0);
    let said = git(tree.path(), ["commit", "-qm", "many"]).expect(1);
    let said = said.stdout + &said.stderr;
    assert!(
        said.contains("rejected: 1 of 5,000 new images") && said.contains("/9999.ppm"),
        "{said}"
    );
    assert!(!said.contains("files were modified"), "{said}");
    assert_eq!(
        git(tree.path(), ["diff", "--name-only"]).expect(0).stdout,
        ""
    );
}

#[test]
fn a_push_is_checked_for_what_the_other_side_has_not() {
    let tree = guarded(4);
    let remote = tempfile::tempdir().unwrap();
    git(remote.path(), ["init", "-q", "--bare"]).expect(0);
    git(
        tree.path(),
        ["remote", "add", "origin", remote.path().to_str().unwrap()],
    )
    .expect(0);
    wsidx(
        &tree.path().join("data"),
        ["hook", "install", "pre-push", "--mode", "file"],
    )
    .expect(0);
    git(tree.path(), ["push", "-q", "origin", "main"]).expect(0);
    write(
        tree.path(),
        "data/train/cat/new.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    git(tree.path(), ["add", "."]).expect(0);
    commit(tree.path()).expect(0);
    let said = git(tree.path(), ["push", "-q", "origin", "main"])
        .expect(1)
        .stderr;
    assert!(
        said.contains("push rejected: 1 of 1 new image") && said.contains("data/train/cat/new.ppm"),
        "{said}"
    );
    git(
        tree.path(),
        ["push", "-q", "origin", "main~1:refs/heads/other"],
    )
    .expect(0);
    git(tree.path(), ["push", "-q", "origin", ":other"]).expect(0);
    let mut push = prepared(tree.path(), "git", ["push", "-q", "origin", "main"]);
    push.env("WSIDX_SKIP", "1");
    run(push).expect(0);
}

/// A bare repository with hooks that holds a dataset of four pictures, and a clone of it.
fn server() -> (tempfile::TempDir, tempfile::TempDir) {
    let (server, clone) = (tempfile::tempdir().unwrap(), repository());
    git(server.path(), ["init", "-q", "--bare", "-b", "main"]).expect(0);
    for seed in 0..4 {
        write(
            clone.path(),
            &format!("train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    }
    git(clone.path(), ["add", "."]).expect(0);
    git(clone.path(), ["commit", "-qm", "data"]).expect(0);
    git(
        clone.path(),
        ["remote", "add", "origin", server.path().to_str().unwrap()],
    )
    .expect(0);
    git(clone.path(), ["push", "-q", "origin", "main"]).expect(0);
    wsidx(server.path(), ["init", "--size", "16"]).expect(0);
    wsidx(server.path(), ["sync"]).expect(0);
    wsidx(server.path(), FILE).expect(0);
    assert!(server.path().join("hooks/pre-receive").exists());
    (server, clone)
}

fn commit_file(tree: &Path, name: &str, bytes: &[u8]) {
    write(tree, name, bytes);
    git(tree, ["add", "."]).expect(0);
    git(tree, ["commit", "-qm", name]).expect(0);
}

#[test]
fn the_first_push_to_an_empty_server_is_judged_against_itself() {
    let (server, clone) = (tempfile::tempdir().unwrap(), repository());
    git(server.path(), ["init", "-q", "--bare", "-b", "main"]).expect(0);
    wsidx(server.path(), ["init", "--size", "16"]).expect(0);
    wsidx(server.path(), ["sync"]).expect(0);
    wsidx(server.path(), ["hook", "install"]).expect(0);
    git(
        clone.path(),
        ["remote", "add", "origin", server.path().to_str().unwrap()],
    )
    .expect(0);
    commit_file(clone.path(), "train/cat/a.ppm", &ppm(1, 16));
    git(clone.path(), ["push", "-q", "origin", "main"]).expect(0);
    commit_file(clone.path(), "train/cat/b.ppm", &brighter(&ppm(1, 16), 9));
    let said = git(clone.path(), ["push", "-q", "origin", "main"])
        .expect(1)
        .stderr;
    assert!(
        said.contains("push rejected: 1 of 1 new image") && said.contains("train/cat/a.ppm"),
        "{said}"
    );
}

#[test]
fn a_server_reads_what_is_in_quarantine_and_takes_the_policy_from_the_commit_before() {
    let (_server, clone) = server();
    commit_file(clone.path(), "train/cat/fine.ppm", &ppm(60, 16));
    git(clone.path(), ["push", "-q", "origin", "main"]).expect(0);
    write(clone.path(), "wsidx.toml", b"[check]\nreject = []\n");
    write(clone.path(), ".wsidx-allow", b"path **\n");
    commit_file(
        clone.path(),
        "train/cat/near.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    let said = git(clone.path(), ["push", "-q", "origin", "main"])
        .expect(1)
        .stderr;
    assert!(
        said.contains("push rejected: 1 of 1 new image") && said.contains("train/cat/near.ppm"),
        "{said}"
    );
    assert!(
        git(clone.path(), ["push", "-q", "origin", "main:new"])
            .expect(1)
            .stderr
            .contains("push rejected")
    );
    let mut skipping = prepared(clone.path(), "git", ["push", "-q", "origin", "main"]);
    skipping.env("WSIDX_SKIP", "1");
    assert_ne!(run(skipping).status, Some(0));
    // A policy that is there before the push counts.
    git(clone.path(), ["reset", "-q", "--hard", "HEAD~1"]).expect(0);
    commit_file(clone.path(), ".wsidx-allow", b"path **\n");
    git(clone.path(), ["push", "-q", "origin", "main"]).expect(0);
    commit_file(
        clone.path(),
        "train/cat/near.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    git(clone.path(), ["push", "-q", "origin", "main"]).expect(0);
    git(clone.path(), ["push", "-q", "origin", "main:new"]).expect(0);
    git(clone.path(), ["push", "-q", "origin", ":new"]).expect(0);
}

#[test]
fn objects_that_a_pusher_replaces_are_judged_as_they_are() {
    let (server, clone) = server();
    let tree = clone.path();
    let id = |revision: &str| {
        let printed = git(tree, ["rev-parse", revision]).expect(0).stdout;
        printed.trim().to_owned()
    };
    let push = |refspec: &str| git(tree, ["push", "-q", "origin", refspec]);
    let replace = |object: &str, by: &str| {
        push(&format!("{by}:refs/replace/{object}")).expect(0);
    };
    let rejected = || {
        let said = push("main").expect(1).stderr;
        let names_it = said.contains("push rejected: 1 of 1 new image");
        assert!(names_it && said.contains("train/cat/near.ppm"), "{said}");
    };
    let base = id("HEAD");
    commit_file(tree, "train/cat/fine.ppm", &ppm(60, 16));
    let fine = [id("HEAD"), id("HEAD:train/cat/fine.ppm")];
    git(tree, ["reset", "-q", "--hard", &base]).expect(0);
    commit_file(tree, "train/cat/near.ppm", &brighter(&ppm(1, 16), 9));
    let near = [id("HEAD"), id("HEAD:train/cat/near.ppm")];
    rejected();
    // The blob of the picture, then the commit.
    for at in [1, 0] {
        replace(&near[at], &fine[at]);
        let refs = git(server.path(), ["for-each-ref", "refs/replace"]).expect(0);
        assert!(refs.stdout.contains(&near[at]), "{}", refs.stdout);
        rejected();
    }
}

#[test]
fn a_push_option_skips_the_check_of_a_server_only_where_the_server_lets_it() {
    let (server, clone) = server();
    git(
        server.path(),
        ["config", "receive.advertisePushOptions", "true"],
    )
    .expect(0);
    commit_file(
        clone.path(),
        "train/cat/near.ppm",
        &brighter(&ppm(1, 16), 9),
    );
    let push = [
        "push",
        "-q",
        "-o",
        "wsidx.skip=two\tshots",
        "origin",
        "main",
    ];
    assert!(
        git(clone.path(), push)
            .expect(1)
            .stderr
            .contains("push rejected")
    );
    git(server.path(), ["config", "wsidx.allowSkip", "true"]).expect(0);
    assert!(
        git(clone.path(), push)
            .expect(0)
            .stderr
            .contains("the push is not checked: two")
    );
}
