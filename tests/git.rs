//! Judging what git holds, with the real git: what is staged, what commits change, whatever state
//! the repository is in.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::OsStringExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::{
    PROGRAM, Run, command,
    images::{brighter, ppm, write},
    run, wsidx,
};
use wsidx::dataset::git::{CommitRange, Received, Repository, Version};

/// Runs git, which must succeed.
#[track_caller]
fn git<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> String {
    try_git(folder, arguments).expect(0).stdout
}

fn try_git<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Run {
    let mut command = command("git", folder);
    command
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "advice.detachedHead=false",
        ])
        .args(arguments);
    let out = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Run {
        status: out.status.code(),
        stdout: text(out.stdout),
        stderr: text(out.stderr),
    }
}

/// A repository of ten indexed and committed pictures, five cats and five dogs.
fn repository(arguments: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    fill(tree.path());
    git(tree.path(), ["init", "-q"].iter().chain(arguments));
    git(tree.path(), ["add", "."]);
    git(tree.path(), ["commit", "-qm", "ten pictures"]);
    index(tree.path());
    tree
}

fn fill(root: &Path) {
    for seed in 0..10 {
        write(
            root,
            &format!(
                "train/{}/{seed}.ppm",
                if seed % 2 == 0 { "cat" } else { "dog" }
            ),
            &ppm(seed, 16),
        );
    }
}

fn index(root: &Path) {
    wsidx(root, ["init", "--size", "16"]).expect(0);
    wsidx(root, ["sync"]).expect(0);
}

/// A near-duplicate of picture `seed`.
fn near(seed: u64) -> Vec<u8> {
    brighter(&ppm(seed, 16), 3)
}

/// Verdicts as `verdict path`, in the order of the paths, of a run that must end with `status`.
#[track_caller]
fn verdicts(run: Run, status: i32) -> Vec<String> {
    let run = run.expect(status);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    let word = |v: &Value| {
        let leak = if v["leak"] == true { "+leak" } else { "" };
        format!(
            "{}{leak} {}",
            v["verdict"].as_str().unwrap(),
            v["path"].as_str().unwrap()
        )
    };
    all.as_array().unwrap().iter().map(word).collect()
}

fn check(folder: &Path, arguments: &[&str]) -> Run {
    wsidx(
        folder,
        ["check", "--format", "json"].iter().chain(arguments),
    )
}

#[track_caller]
fn staged(folder: &Path, status: i32) -> Vec<String> {
    verdicts(check(folder, &["--staged"]), status)
}

/// Makes every commit run the check, whose answer is left in `answer`; the commit goes on.
fn hook(root: &Path, name: &str) -> PathBuf {
    let answer = root.join(".git/answer");
    let text = format!(
        "#!/bin/sh\nif test -f '{0}'; then mv '{0}' '{0}.old'; fi\n'{PROGRAM}' check --staged --format json >'{0}'\ntrue\n",
        answer.display()
    );
    let file = root.join(".git/hooks").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    answer
}

fn answered(answer: &Path) -> Vec<String> {
    let text = fs::read_to_string(answer).unwrap();
    verdicts(
        Run {
            status: Some(0),
            stdout: text,
            stderr: String::new(),
        },
        0,
    )
}

#[test]
fn what_is_staged_is_judged_and_never_the_work_tree() {
    let tree = repository(&[]);
    let root = tree.path();
    assert_eq!(staged(root, 0), [""; 0]);
    write(root, "train/cat/dup.ppm", &near(0));
    write(root, "train/dog/wrong.ppm", &near(2));
    write(root, "test/cat/leak.ppm", &ppm(4, 16));
    write(root, "train/cat/novel.ppm", &ppm(90, 16));
    write(root, "train/cat/twin.ppm", &brighter(&ppm(90, 16), 2));
    write(root, "train/cat/broken.ppm", b"no picture");
    assert_eq!(staged(root, 0), [""; 0], "nothing is staged yet");
    git(root, ["add", "."]);
    // The work tree says something else now, which is of no interest.
    fs::remove_file(root.join("train/cat/dup.ppm")).unwrap();
    write(root, "train/cat/novel.ppm", &near(6));
    let expected = [
        "redundant+leak test/cat/leak.ppm",
        "undecodable train/cat/broken.ppm",
        "redundant train/cat/dup.ppm",
        "novel train/cat/novel.ppm",
        "redundant train/cat/twin.ppm",
        "influential train/dog/wrong.ppm",
    ];
    assert_eq!(staged(root, 1), expected);
    // What the change removes is compared with nothing.
    git(
        root,
        [
            "rm",
            "-qf",
            "--cached",
            "train/cat/0.ppm",
            "train/cat/novel.ppm",
        ],
    );
    assert_eq!(
        staged(root, 1)[2..4],
        ["novel train/cat/dup.ppm", "novel train/cat/twin.ppm"]
    );
    // Paths limit what is judged.
    assert_eq!(
        verdicts(check(root, &["--staged", "train/dog", "test"]), 1).len(),
        2
    );
    assert_eq!(
        verdicts(check(&root.join("train"), &["--staged", "dog"]), 1),
        ["influential train/dog/wrong.ppm"]
    );
    check(root, &["--staged", "/"]).expect(2);
    let text = wsidx(root, ["check", "--staged"]).expect(1);
    assert!(
        text.stdout.contains("same bytes as train/cat/4.ppm"),
        "{}",
        text.stdout
    );
}

#[test]
fn without_an_index_or_a_repository_the_remedy_is_named() {
    let tree = tempfile::tempdir().unwrap();
    fill(tree.path());
    assert!(
        check(tree.path(), &["--staged"])
            .expect(2)
            .stderr
            .contains("wsidx init")
    );
    index(tree.path());
    assert!(
        check(tree.path(), &["--staged"])
            .expect(2)
            .stderr
            .contains("not in a git repository")
    );
    let tree = tempfile::tempdir().unwrap();
    git(tree.path(), ["init", "-q"]);
    assert!(
        check(tree.path(), &["--staged"])
            .expect(2)
            .stderr
            .contains("wsidx init")
    );
}

#[test]
fn a_daemon_that_holds_the_lock_is_not_waited_for() {
    let tree = repository(&[]);
    let _writer =
        wsidx::index::Writer::open(tree.path(), "a daemon", false, &wsidx::monitor::Silent)
            .unwrap();
    write(tree.path(), "train/cat/dup.ppm", &near(0));
    git(tree.path(), ["add", "."]);
    assert_eq!(staged(tree.path(), 1), ["redundant train/cat/dup.ppm"]);
}

#[test]
fn git_commit_a_and_a_partial_commit_are_judged_by_their_own_index() {
    let tree = repository(&[]);
    let (root, answer) = (tree.path(), hook(tree.path(), "pre-commit"));
    // `commit -a`: the index of the hook is index.lock.
    write(root, "train/cat/0.ppm", &near(2));
    git(root, ["commit", "-qam", "all"]);
    assert_eq!(answered(&answer), ["redundant train/cat/0.ppm"]);
    // A partial commit leaves out what is staged beside it.
    write(root, "train/cat/a.ppm", &near(4));
    write(root, "train/cat/b.ppm", &near(6));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "a part", "--", "train/cat/b.ppm"]);
    assert_eq!(answered(&answer), ["redundant train/cat/b.ppm"]);
    git(
        &root.join("train/cat"),
        ["commit", "-qm", "the rest, from a folder"],
    );
    assert_eq!(answered(&answer), ["redundant train/cat/a.ppm"]);
}

#[test]
fn a_linked_work_tree_uses_the_index_of_the_main_one() {
    let tree = repository(&[]);
    let answer = hook(tree.path(), "pre-commit");
    let other = tempfile::tempdir().unwrap();
    let linked = other.path().join("linked");
    git(
        tree.path(),
        [
            OsStr::new("worktree"),
            OsStr::new("add"),
            OsStr::new("-q"),
            linked.as_os_str(),
        ],
    );
    write(&linked, "train/cat/dup.ppm", &near(0));
    git(&linked, ["add", "."]);
    assert_eq!(staged(&linked, 1), ["redundant train/cat/dup.ppm"]);
    assert_eq!(
        verdicts(check(&linked.join("train"), &["--staged", "cat"]), 1),
        ["redundant train/cat/dup.ppm"]
    );
    git(&linked, ["commit", "-qm", "in the linked one"]);
    assert_eq!(answered(&answer), ["redundant train/cat/dup.ppm"]);
}

#[test]
fn an_initial_commit_is_judged_against_itself() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    fill(root);
    write(root, "train/cat/dup.ppm", &near(0));
    git(root, ["init", "-q"]);
    index(root);
    assert_eq!(staged(root, 0), [""; 0]);
    git(root, ["add", "."]);
    let found = staged(root, 1);
    assert_eq!(found.len(), 11);
    assert_eq!(
        found
            .iter()
            .filter(|line| !line.starts_with("novel"))
            .collect::<Vec<_>>(),
        ["redundant train/cat/dup.ppm"]
    );
}

#[test]
fn a_repository_of_sha_256_is_read() {
    let tree = repository(&["--object-format=sha256"]);
    write(tree.path(), "train/cat/dup.ppm", &near(0));
    git(tree.path(), ["add", "."]);
    let run = check(tree.path(), &["--staged"]);
    assert!(!run.stderr.contains("not in the index"), "{}", run.stderr);
    assert_eq!(verdicts(run, 1), ["redundant train/cat/dup.ppm"]);
}

#[test]
fn names_with_newlines_escapes_and_invalid_utf8_are_names() {
    let tree = repository(&[]);
    let names: [&[u8]; 5] = [
        b"train/cat/new\nline.ppm",
        b"train/cat/\x1b[31mred.ppm",
        b"train/cat/\xff\xfe.ppm",
        b"train/cat/ a  b .ppm",
        b"train/cat/:(top)*.ppm",
    ];
    for (seed, name) in names.iter().enumerate() {
        fs::write(
            tree.path().join(OsString::from_vec(name.to_vec())),
            near(seed as u64),
        )
        .unwrap();
    }
    git(tree.path(), ["add", "."]);
    let run = check(tree.path(), &["--staged"]).expect(1);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 5);
    let found = |name: &[u8]| {
        all.iter().any(|v| {
            v["path"].as_str() == std::str::from_utf8(name).ok() && v["path_b64"].is_null()
        })
    };
    assert!(
        names
            .iter()
            .filter(|name| std::str::from_utf8(name).is_ok())
            .all(|name| found(name)),
        "{}",
        run.stdout
    );
    assert!(
        all.iter()
            .any(|v| v["path_b64"] == "dHJhaW4vY2F0L//+LnBwbQ=="),
        "{}",
        run.stdout
    );
    let text = wsidx(tree.path(), ["check", "--staged"]).expect(1);
    assert!(
        !text.stdout.contains('\x1b') && text.stdout.contains("\\x1b"),
        "{}",
        text.stdout
    );
}

#[test]
fn an_intent_to_add_is_not_there_yet() {
    let tree = repository(&[]);
    write(tree.path(), "train/cat/later.ppm", &near(0));
    git(tree.path(), ["add", "-N", "train/cat/later.ppm"]);
    write(tree.path(), "train/cat/now.ppm", &near(0));
    git(tree.path(), ["add", "train/cat/now.ppm"]);
    assert_eq!(staged(tree.path(), 1), ["redundant train/cat/now.ppm"]);
}

#[test]
fn a_rename_of_unchanged_content_is_no_finding_and_a_copy_is_one() {
    let tree = repository(&[]);
    let root = tree.path();
    git(root, ["mv", "train/cat/0.ppm", "train/cat/renamed.ppm"]);
    git(root, ["mv", "train/cat/2.ppm", "train/cat/0.ppm"]);
    assert_eq!(staged(root, 0), [""; 0]);
    fs::copy(
        root.join("train/cat/renamed.ppm"),
        root.join("train/cat/second.ppm"),
    )
    .unwrap();
    git(root, ["add", "."]);
    assert_eq!(staged(root, 1), ["redundant train/cat/second.ppm"]);
    git(root, ["rm", "-qf", "train/cat/second.ppm"]);
    // Another folder is another label: it is looked at, and compared with all but itself.
    git(root, ["mv", "train/cat/4.ppm", "train/dog/4.ppm"]);
    assert_eq!(staged(root, 0), ["novel train/dog/4.ppm"]);
}

#[test]
fn a_change_of_mode_is_no_change_of_the_picture() {
    let tree = repository(&[]);
    let file = tree.path().join("train/cat/0.ppm");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    git(tree.path(), ["add", "."]);
    assert!(git(tree.path(), ["diff", "--cached", "--raw"]).contains("100755"));
    assert_eq!(staged(tree.path(), 0), [""; 0]);
}

#[test]
fn a_symbolic_link_is_not_followed_and_a_file_in_its_place_is_judged() {
    let tree = repository(&[]);
    let root = tree.path();
    let secret = tempfile::tempdir().unwrap();
    write(secret.path(), "secret.ppm", &near(0));
    symlink(
        secret.path().join("secret.ppm"),
        root.join("train/cat/link.ppm"),
    )
    .unwrap();
    symlink("0.ppm", root.join("train/cat/inner.ppm")).unwrap();
    git(root, ["add", "."]);
    assert_eq!(staged(root, 0), [""; 0]);
    git(root, ["commit", "-qm", "links"]);
    fs::remove_file(root.join("train/cat/link.ppm")).unwrap();
    write(root, "train/cat/link.ppm", &near(0));
    git(root, ["add", "."]);
    assert_eq!(staged(root, 1), ["redundant train/cat/link.ppm"]);
}

#[test]
fn a_submodule_is_passed_over() {
    let (tree, other) = (repository(&[]), repository(&[]));
    let url = other.path().to_str().unwrap();
    git(
        tree.path(),
        ["submodule", "add", "-q", url, "train/sub.ppm"],
    );
    assert_eq!(staged(tree.path(), 0), [""; 0]);
}

#[test]
fn a_sparse_checkout_is_judged_against_what_is_not_checked_out() {
    let tree = repository(&[]);
    let root = tree.path();
    git(
        root,
        [
            "sparse-checkout",
            "set",
            "--cone",
            "--sparse-index",
            "train/dog",
        ],
    );
    assert!(!root.join("train/cat").exists());
    write(root, "train/dog/wrong.ppm", &near(0));
    git(root, ["add", "."]);
    assert_eq!(staged(root, 1), ["influential train/dog/wrong.ppm"]);
    // Also where the index has followed the work tree.
    wsidx(root, ["sync"]).expect(0);
    assert_eq!(staged(root, 1), ["influential train/dog/wrong.ppm"]);
}

#[test]
fn a_partial_clone_fetches_nothing_and_says_what_it_could_not_compare() {
    let origin = repository(&[]);
    git(origin.path(), ["config", "uploadpack.allowFilter", "true"]);
    let other = tempfile::tempdir().unwrap();
    let url = format!("file://{}", origin.path().display());
    git(
        other.path(),
        [
            "clone",
            "-q",
            "--no-checkout",
            "--filter=blob:none",
            &url,
            "clone",
        ],
    );
    let clone = other.path().join("clone");
    git(
        &clone,
        ["sparse-checkout", "set", "--no-cone", "/train/dog/*"],
    );
    git(&clone, ["checkout", "-q"]);
    index(&clone);
    write(&clone, "train/dog/of_a_dog.ppm", &near(1));
    write(&clone, "train/dog/of_a_cat.ppm", &near(0));
    git(&clone, ["add", "."]);
    let run = check(&clone, &["--staged"]);
    assert!(
        run.stderr.contains("5 images that stay are not here"),
        "{}",
        run.stderr
    );
    assert_eq!(
        verdicts(run, 1),
        [
            "novel train/dog/of_a_cat.ppm",
            "redundant train/dog/of_a_dog.ppm"
        ]
    );
    let missing = git(&clone, ["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert_eq!(
        missing.lines().filter(|line| line.starts_with('?')).count(),
        5,
        "nothing was fetched"
    );
    // What the index has seen is known, though its bytes are not here.
    let seen = tempfile::tempdir().unwrap();
    (0..10).step_by(2).for_each(|seed| {
        write(
            seen.path(),
            &format!("train/cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    });
    for entry in fs::read_dir(seen.path().join("train/cat")).unwrap() {
        let path = entry.unwrap().path();
        fs::create_dir_all(clone.join("train/cat")).unwrap();
        fs::copy(
            &path,
            clone.join("train/cat").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    wsidx(&clone, ["sync"]).expect(0);
    assert_eq!(staged(&clone, 1)[0], "influential train/dog/of_a_cat.ppm");
}

/// Puts a file into the store of git-lfs of a repository and gives its pointer.
fn lfs(common: &Path, bytes: &[u8]) -> String {
    let hash: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    write(
        common,
        &format!("lfs/objects/{}/{}/{hash}", &hash[..2], &hash[2..4]),
        bytes,
    );
    format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{hash}\nsize {}\n",
        bytes.len()
    )
}

/// Stages a blob at a path, whatever the work tree has there.
fn stage(root: &Path, path: &str, blob: &[u8]) {
    let mut hash = command("git", root);
    let mut child = hash
        .args(["hash-object", "-w", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), blob).unwrap();
    let id = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    git(
        root,
        [
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("100644,{},{path}", id.trim()),
        ],
    );
}

#[test]
fn a_pointer_of_git_lfs_stands_for_its_object_and_one_without_an_object_is_not_let_through() {
    let tree = repository(&[]);
    let (root, store) = (tree.path(), tree.path().join(".git"));
    stage(root, "train/cat/here.ppm", lfs(&store, &near(0)).as_bytes());
    let gone = lfs(&root.join("elsewhere"), &near(2));
    stage(root, "train/cat/missing.ppm", gone.as_bytes());
    stage(
        root,
        "train/cat/liar.ppm",
        lfs(&store, &near(4))
            .replace("size 781", "size 780")
            .as_bytes(),
    );
    let damaged = lfs(&store, &ppm(77, 16));
    let hash = &damaged[damaged.find("sha256:").unwrap() + 7..][..64];
    write(
        &store,
        &format!("lfs/objects/{}/{}/{hash}", &hash[..2], &hash[2..4]),
        &ppm(78, 16),
    );
    stage(root, "train/cat/damaged.ppm", damaged.as_bytes());
    let run = check(root, &["--staged"]);
    let text = run.stdout.clone();
    let expected = [
        "undecodable train/cat/damaged.ppm",
        "redundant train/cat/here.ppm",
        "undecodable train/cat/liar.ppm",
        "missing train/cat/missing.ppm",
    ];
    assert_eq!(verdicts(run, 1), expected);
    assert!(
        text.contains("git lfs fetch")
            && text.contains("as the pointer says")
            && text.contains("hash is another"),
        "{text}"
    );
    // By itself it rejects, too.
    git(
        root,
        [
            "rm",
            "-q",
            "--cached",
            "train/cat/here.ppm",
            "train/cat/liar.ppm",
            "train/cat/damaged.ppm",
        ],
    );
    assert_eq!(staged(root, 1), ["missing train/cat/missing.ppm"]);
}

#[test]
fn a_tree_of_pointers_is_known_by_the_files_that_stand_in_the_work_tree() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    fill(root);
    git(root, ["init", "-q"]);
    for seed in 0..10 {
        let path = format!(
            "train/{}/{seed}.ppm",
            if seed % 2 == 0 { "cat" } else { "dog" }
        );
        stage(
            root,
            &path,
            lfs(&root.join(".git"), &ppm(seed, 16)).as_bytes(),
        );
    }
    git(root, ["commit", "-qm", "pointers"]);
    index(root);
    // Neither pointers nor objects are read: the objects are gone.
    fs::remove_dir_all(root.join(".git/lfs/objects")).unwrap();
    stage(root, "train/cat/dup.ppm", &near(0));
    let run = check(root, &["--staged"]);
    assert!(!run.stderr.contains("not here"), "{}", run.stderr);
    assert_eq!(verdicts(run, 1), ["redundant train/cat/dup.ppm"]);
}

#[test]
fn a_merge_is_judged_by_what_differs_from_every_parent() {
    let tree = repository(&[]);
    let root = tree.path();
    git(root, ["switch", "-qc", "side"]);
    write(root, "train/cat/side.ppm", &near(0));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "a duplicate gets in on a branch"]);
    git(root, ["switch", "-q", "main"]);
    write(root, "train/cat/main.ppm", &ppm(50, 16));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "main goes on"]);
    // Without a conflict: MERGE_HEAD does not exist yet when the hook runs.
    let answer = hook(root, "pre-merge-commit");
    git(root, ["merge", "-q", "--no-edit", "side"]);
    assert_eq!(
        answered(&answer),
        [""; 0],
        "the picture of the branch is that of a parent"
    );
}

#[test]
fn a_merge_with_a_conflict_is_judged_when_it_is_resolved() {
    let tree = repository(&[]);
    let root = tree.path();
    git(root, ["switch", "-qc", "side"]);
    write(root, "train/cat/0.ppm", &ppm(60, 16));
    write(root, "train/cat/side.ppm", &near(2));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "side"]);
    git(root, ["switch", "-q", "main"]);
    write(root, "train/cat/0.ppm", &ppm(61, 16));
    git(root, ["commit", "-qam", "main"]);
    try_git(root, ["merge", "-q", "--no-edit", "side"]).expect(1);
    assert_eq!(
        staged(root, 0),
        [""; 0],
        "what is unmerged cannot be committed"
    );
    let answer = hook(root, "pre-commit");
    write(root, "train/cat/0.ppm", &near(4));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "resolved by something of its own"]);
    assert_eq!(answered(&answer), ["redundant train/cat/0.ppm"]);
}

#[test]
fn an_amended_commit_is_judged_by_what_it_changes_now() {
    let tree = repository(&[]);
    let (root, answer) = (tree.path(), hook(tree.path(), "pre-commit"));
    write(root, "train/cat/first.ppm", &near(0));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "first"]);
    assert_eq!(answered(&answer), ["redundant train/cat/first.ppm"]);
    write(root, "train/cat/second.ppm", &near(2));
    git(root, ["add", "."]);
    git(root, ["commit", "-q", "--amend", "--no-edit"]);
    assert_eq!(answered(&answer), ["redundant train/cat/second.ppm"]);
}

#[test]
fn policy_and_labels_come_from_the_tree_that_is_checked() {
    let tree = repository(&[]);
    let root = tree.path();
    write(root, "train/cat/dup.ppm", &near(0));
    git(root, ["add", "."]);
    // Not staged: of no effect.
    fs::write(root.join("wsidx.toml"), "[check]\nreject = []\n").unwrap();
    fs::write(
        root.join("labels.csv"),
        "file_name,label\ntrain/cat/0.ppm,horse\n",
    )
    .unwrap();
    assert_eq!(staged(root, 1), ["redundant train/cat/dup.ppm"]);
    git(root, ["add", "wsidx.toml"]);
    assert_eq!(staged(root, 0), ["redundant train/cat/dup.ppm"]);
    git(root, ["add", "labels.csv"]);
    fs::remove_file(root.join("labels.csv")).unwrap();
    // The base has other labels now; the picture whose label changed is judged, too.
    assert_eq!(
        staged(root, 0),
        ["novel train/cat/0.ppm", "influential train/cat/dup.ppm"]
    );
    fs::write(root.join("wsidx.toml"), "[check]\nrejects = []\n").unwrap();
    git(root, ["add", "wsidx.toml"]);
    check(root, &["--staged"]).expect(2);
}

#[test]
fn a_dataset_below_the_top_of_the_repository_is_judged_by_itself() {
    let tree = tempfile::tempdir().unwrap();
    let (top, root) = (tree.path(), tree.path().join("data"));
    fill(&root);
    git(top, ["init", "-q"]);
    git(top, ["add", "."]);
    git(top, ["commit", "-qm", "data"]);
    index(&root);
    write(&root, "train/cat/dup.ppm", &near(0));
    write(top, "elsewhere/dup.ppm", &near(2));
    git(top, ["add", "."]);
    let run = check(&root, &["--staged"]);
    assert!(
        run.stderr.contains("1 changed image outside"),
        "{}",
        run.stderr
    );
    assert_eq!(verdicts(run, 1), ["redundant train/cat/dup.ppm"]);
    assert_eq!(
        verdicts(check(top, &["--staged", "--root", "data"]), 1),
        ["redundant train/cat/dup.ppm"]
    );
    assert_eq!(
        verdicts(
            check(
                Path::new("/"),
                &["--staged", "--root", root.to_str().unwrap()]
            ),
            1
        )
        .len(),
        1
    );
}

#[test]
fn files_that_hold_many_images_are_told_of_since_they_are_not_looked_into() {
    let tree = repository(&[]);
    let staged = |files: &[&str]| {
        files
            .iter()
            .for_each(|file| write(tree.path(), file, file.as_bytes()));
        git(tree.path(), ["add", "."]);
        let run = wsidx(tree.path(), ["check", "--staged"]).expect(0);
        git(tree.path(), ["commit", "-qm", "files"]);
        run.stderr
    };
    assert!(
        staged(&["train/shard-0.tar", "train/data_batch_1.bin"])
            .contains("2 changed files that hold many images, as `train/data_batch_1.bin`")
    );
    // CIFAR-100 for Python calls its files train and test; others do, too.
    assert!(!staged(&["test", ".hidden.tar", "train/notes.txt"]).contains("many images"));
    assert!(
        staged(&["cifar/test", "cifar/meta"])
            .contains("1 changed file that holds many images, as `cifar/test`")
    );
}

#[test]
fn a_repository_below_the_root_of_the_dataset_is_judged_against_its_own_tree() {
    let tree = tempfile::tempdir().unwrap();
    let (root, top) = (tree.path(), tree.path().join("train"));
    fill(root);
    index(root);
    git(&top, ["init", "-q"]);
    git(&top, ["add", "."]);
    git(&top, ["commit", "-qm", "one part"]);
    write(&top, "cat/dup.ppm", &near(0));
    git(&top, ["add", "."]);
    let run = wsidx(
        &top,
        ["check", "--staged", "--format", "json", "--root", ".."],
    );
    assert_eq!(verdicts(run, 1), ["redundant train/cat/dup.ppm"]);
}

#[test]
fn what_the_index_does_not_know_is_read_from_git() {
    let tree = repository(&[]);
    let root = tree.path();
    write(root, "train/cat/pulled.ppm", &ppm(70, 16));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "not synced"]);
    write(root, "train/dog/a_near_one.ppm", &near(70));
    write(root, "train/dog/again.ppm", &ppm(70, 16));
    git(root, ["add", "."]);
    let run = check(root, &["--staged"]);
    assert!(
        run.stderr
            .contains("1 images that stay are not in the index"),
        "{}",
        run.stderr
    );
    assert_eq!(
        verdicts(run, 1),
        [
            "influential train/dog/a_near_one.ppm",
            "influential train/dog/again.ppm"
        ]
    );
}

#[test]
fn a_content_that_the_index_does_not_know_and_that_comes_again_is_held_against_what_is_new_before_it()
 {
    let tree = repository(&[]);
    let root = tree.path();
    let flat = |note: &str| {
        format!("P6\n# {note}\n16 16 255\n")
            .bytes()
            .chain([70; 768])
            .collect::<Vec<u8>>()
    };
    write(root, "train/cat/pulled.ppm", &ppm(70, 16));
    write(root, "train/cat/flat.ppm", &flat("one"));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "not synced"]);
    write(root, "train/dog/a_near_one.ppm", &near(70));
    write(root, "train/dog/b_flat.ppm", &flat("another"));
    // By themselves they only repeat a cat; and now they are under a label that repeats a dog, too.
    write(root, "train/eel/again.ppm", &ppm(70, 16));
    write(root, "train/eel/flat.ppm", &flat("one"));
    git(root, ["add", "."]);
    let found: Value = serde_json::from_str(&check(root, &["--staged"]).expect(1).stdout).unwrap();
    let conflicts = |path: &str| {
        found
            .as_array()
            .unwrap()
            .iter()
            .find(|v| v["path"] == path)
            .unwrap()["conflicts"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(
        [
            conflicts("train/dog/a_near_one.ppm"),
            conflicts("train/eel/again.ppm")
        ],
        [1, 2]
    );
    assert_eq!(
        [
            conflicts("train/dog/b_flat.ppm"),
            conflicts("train/eel/flat.ppm")
        ],
        [1, 2]
    );
    // As it is once the index knows it.
    git(root, ["stash", "-q"]);
    wsidx(root, ["sync"]).expect(0);
    git(root, ["stash", "pop", "-q", "--index"]);
    let known: Value = serde_json::from_str(&check(root, &["--staged"]).expect(1).stdout).unwrap();
    for (a, b) in found
        .as_array()
        .unwrap()
        .iter()
        .zip(known.as_array().unwrap())
    {
        assert_eq!(
            ["path", "verdict", "conflicts", "duplicates"].map(|key| &a[key]),
            ["path", "verdict", "conflicts", "duplicates"].map(|key| &b[key])
        );
    }
}

#[test]
fn names_are_learned_when_the_repository_comes_after_the_index() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    fill(root);
    index(root);
    git(root, ["init", "-q"]);
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "later"]);
    write(root, "train/cat/dup.ppm", &near(0));
    git(root, ["add", "."]);
    assert!(
        check(root, &["--staged"]).expect(1).stderr.is_empty(),
        "all are known by their bytes"
    );
    wsidx(root, ["sync"]).expect(0);
    // Now by their names: the objects may go.
    let cat = git(root, ["rev-parse", "HEAD:train/cat/2.ppm"]);
    fs::remove_file(
        root.join(".git/objects")
            .join(&cat[..2])
            .join(cat[2..].trim()),
    )
    .unwrap();
    let run = check(root, &["--staged"]).expect(1);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    wsidx(root, ["verify", "--files"]).expect(0);
    wsidx(root, ["gc", "--older-than", "0"]).expect(0);
    wsidx(root, ["rebuild"]).expect(0);
    assert!(check(root, &["--staged"]).expect(1).stderr.is_empty());
}

#[test]
fn a_range_is_the_net_change_since_the_merge_base_and_every_commit_is_more() {
    let tree = repository(&[]);
    let root = tree.path();
    git(root, ["switch", "-qc", "topic"]);
    write(root, "train/cat/comes.ppm", &near(0));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "a duplicate comes"]);
    git(root, ["rm", "-q", "train/cat/comes.ppm"]);
    write(root, "train/dog/wrong.ppm", &near(2));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "and goes, and a conflict comes"]);
    git(root, ["switch", "-q", "main"]);
    write(root, "train/cat/main.ppm", &ppm(80, 16));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "main goes on"]);
    assert_eq!(
        verdicts(check(root, &["--range", "main..topic"]), 1),
        ["influential train/dog/wrong.ppm"]
    );
    assert_eq!(
        verdicts(check(root, &["--range", "topic..main"]), 0),
        ["novel train/cat/main.ppm"]
    );
    let every = verdicts(
        check(root, &["--range", "main..topic", "--every-commit"]),
        1,
    );
    assert_eq!(
        every,
        [
            "redundant train/cat/comes.ppm",
            "influential train/dog/wrong.ppm"
        ]
    );
    let mut auto = command(PROGRAM, root);
    auto.args(["check", "--range", "auto", "--format", "json"])
        .env("PRE_COMMIT_FROM_REF", "main")
        .env("PRE_COMMIT_TO_REF", "topic");
    assert_eq!(verdicts(run(auto), 1), ["influential train/dog/wrong.ppm"]);
    for (bad, why) in [
        ("main", "A..B"),
        ("main..nowhere", "nowhere"),
        ("--all..main", "--all"),
        ("auto", "A..B"),
    ] {
        let text = wsidx(
            root,
            [
                OsStr::new("check"),
                &OsString::from(format!("--range={bad}")),
            ],
        )
        .expect(2)
        .stderr;
        assert!(text.contains(why), "{bad}: {text}");
    }
}

#[test]
fn a_shallow_clone_is_refused_with_the_remedy() {
    let origin = repository(&[]);
    git(
        origin.path(),
        ["commit", "-q", "--allow-empty", "-m", "second"],
    );
    let other = tempfile::tempdir().unwrap();
    git(
        other.path(),
        [
            "clone",
            "-q",
            "--depth=1",
            &format!("file://{}", origin.path().display()),
            "clone",
        ],
    );
    let clone = other.path().join("clone");
    index(&clone);
    for range in ["HEAD..HEAD", "auto"] {
        let text = check(&clone, &["--range", range]).expect(2).stderr;
        assert!(text.contains("fetch-depth: 0"), "{text}");
    }
    assert_eq!(
        staged(&clone, 0),
        [""; 0],
        "what is staged needs no history"
    );
}

#[test]
fn a_branch_that_was_seen_is_known_after_a_switch() {
    let tree = repository(&[]);
    let root = tree.path();
    git(root, ["switch", "-qc", "side"]);
    write(root, "train/cat/side.ppm", &ppm(70, 16));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "side"]);
    wsidx(root, ["sync"]).expect(0);
    git(root, ["switch", "-q", "main"]);
    wsidx(root, ["sync"]).expect(0);
    // On main the picture of the branch is no duplicate; on the branch it is, also before the next
    // sync.
    write(root, "train/cat/new.ppm", &near(70));
    git(root, ["add", "train/cat/new.ppm"]);
    assert_eq!(staged(root, 0), ["novel train/cat/new.ppm"]);
    git(root, ["switch", "-q", "side"]);
    let run = check(root, &["--staged"]);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    assert_eq!(verdicts(run, 1), ["redundant train/cat/new.ppm"]);
}

#[test]
fn an_index_that_the_repository_brings_is_refused() {
    let tree = repository(&[]);
    git(tree.path(), ["add", "-f", ".wsidx/format"]);
    write(tree.path(), "train/cat/dup.ppm", &near(0));
    git(tree.path(), ["add", "."]);
    assert!(
        check(tree.path(), &["--staged"])
            .expect(2)
            .stderr
            .contains("git tracks")
    );
}

#[test]
fn a_corrupt_object_is_an_error_and_nothing_passes() {
    let tree = repository(&[]);
    let root = tree.path();
    write(root, "train/cat/bad.ppm", &ppm(70, 16));
    git(root, ["add", "."]);
    let id = git(root, ["rev-parse", ":train/cat/bad.ppm"]);
    let file = root
        .join(".git/objects")
        .join(&id[..2])
        .join(id[2..].trim());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, b"damage").unwrap();
    let run = check(root, &["--staged"]);
    assert!(run.status == Some(2) || run.status == Some(1), "{run:?}");
    assert!(!run.stdout.contains("novel"), "{run:?}");
}

#[test]
fn a_push_brings_what_the_other_side_has_not() {
    let tree = repository(&[]);
    let root = tree.path();
    let server = tempfile::tempdir().unwrap();
    git(server.path(), ["init", "-q", "--bare", "server.git"]);
    let bare = server.path().join("server.git");
    git(root, ["remote", "add", "origin", bare.to_str().unwrap()]);
    git(root, ["push", "-q", "origin", "main"]);
    let old = git(root, ["rev-parse", "HEAD"]).trim().to_owned();
    git(root, ["switch", "-qc", "topic"]);
    write(root, "train/cat/dup.ppm", &near(0));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "topic"]);
    let new = git(root, ["rev-parse", "HEAD"]).trim().to_owned();
    let repository = Repository::at(root).unwrap().unwrap();
    let pushed = |old: Option<&str>, new: Option<&str>| {
        let received = Received {
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
            name: "refs/heads/x".into(),
        };
        repository.pushed(&received, "--remotes=origin").unwrap()
    };
    let range = CommitRange {
        from: vec![old.clone()],
        to: new.clone(),
    };
    assert_eq!(pushed(Some(&old), Some(&new)).as_ref(), Some(&range));
    assert_eq!(
        pushed(None, Some(&new)),
        Some(range),
        "a new branch begins where the other side ends"
    );
    assert_eq!(
        pushed(Some(&"1".repeat(40)), Some(&new)).unwrap().from,
        [&*old],
        "an old end that is not known here"
    );
    assert_eq!(
        (
            pushed(Some(&old), None),
            pushed(Some(&old), Some(&old)),
            pushed(None, Some(&old))
        ),
        (None, None, None)
    );
    // A branch that took in what came to main meanwhile brings only its own.
    git(root, ["switch", "-q", "main"]);
    write(root, "train/cat/on_main.ppm", &near(2));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "main goes on"]);
    git(root, ["push", "-q", "origin", "main"]);
    git(root, ["switch", "-q", "topic"]);
    git(root, ["merge", "-q", "--no-edit", "main"]);
    let merged = git(root, ["rev-parse", "HEAD"]).trim().to_owned();
    let main = git(root, ["rev-parse", "main"]).trim().to_owned();
    let range = pushed(None, Some(&merged)).unwrap();
    assert_eq!(
        range,
        CommitRange {
            from: vec![main.clone()],
            to: merged
        }
    );
    let brought = |range: &CommitRange| -> Vec<String> {
        let change = repository
            .committed(range, root)
            .unwrap()
            .change(&[])
            .unwrap();
        change
            .new
            .iter()
            .map(|file| String::from_utf8_lossy(&file.path).into_owned())
            .collect()
    };
    assert_eq!(brought(&range), ["train/cat/dup.ppm"]);
    // And one that grew from two branches that the other side has brings only what neither has.
    git(root, ["switch", "-qc", "second", &old]);
    write(root, "train/cat/on_second.ppm", &near(4));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "a second branch"]);
    git(root, ["push", "-q", "origin", "second"]);
    git(root, ["merge", "-q", "--no-edit", "main"]);
    write(root, "train/cat/own.ppm", &near(6));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "own"]);
    let tip = git(root, ["rev-parse", "HEAD"]).trim().to_owned();
    let range = pushed(None, Some(&tip)).unwrap();
    assert_eq!(
        (range.from.len(), brought(&range)),
        (2, vec!["train/cat/own.ppm".to_owned()])
    );
    git(root, ["switch", "-q", "--orphan", "fresh"]);
    git(root, ["commit", "-q", "--allow-empty", "-m", "no parent"]);
    let fresh = git(root, ["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(
        pushed(None, Some(&fresh)),
        Some(CommitRange {
            from: Vec::new(),
            to: fresh.clone()
        })
    );
}

#[test]
fn a_bare_repository_has_an_index_of_its_own_and_the_policy_can_be_that_of_the_old_commit() {
    let tree = repository(&[]);
    let root = tree.path();
    write(root, "wsidx.toml", b"[check]\nreject = [\"redundant\"]\n");
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "policy"]);
    let server = tempfile::tempdir().unwrap();
    let bare = server.path().join("server.git");
    git(root, ["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    wsidx(&bare, ["init", "--size", "16"]).expect(0);
    assert!(bare.join("wsidx/format").exists() && !bare.join(".wsidx").exists());
    let said = wsidx(&bare, ["sync"]).expect(0).stderr;
    assert!(said.contains("10 contents read"), "{said}");
    assert!(
        wsidx(&bare, ["sync"])
            .expect(0)
            .stderr
            .contains("10 contents known before")
    );
    // A push that brings a duplicate, and a policy that lets it through.
    write(root, "train/cat/dup.ppm", &near(0));
    write(root, "wsidx.toml", b"[check]\nreject = []\n");
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "sly"]);
    git(root, ["push", "-q", bare.to_str().unwrap(), "main"]);
    let run = check(&bare, &["--range", "main~1..main"]);
    assert!(!run.stderr.contains("not in the index"), "{}", run.stderr);
    assert_eq!(verdicts(run, 0), ["redundant train/cat/dup.ppm"]);
    let repository = Repository::at(&bare).unwrap().unwrap();
    let range = repository.range("main~1..main").unwrap();
    let version = repository.committed(&range, &bare).unwrap();
    let reject = |version: Version<'_>| version.change(&[]).unwrap().rules.check.reject.len();
    assert_eq!(
        reject(version.with_policy_of(range.from.first().cloned())),
        1
    );
    assert_eq!(reject(repository.committed(&range, &bare).unwrap()), 0);
    assert_eq!(
        reject(
            repository
                .committed(&range, &bare)
                .unwrap()
                .with_policy_of(None)
        ),
        4,
        "nowhere: the default"
    );
}

#[test]
fn a_diff_of_commits_shows_what_one_has_and_the_other_has_not() {
    let tree = repository(&[]);
    let root = tree.path();
    git(root, ["tag", "v1"]);
    write(root, "train/cat/dup.ppm", &near(0));
    write(root, "test/dog/leak.ppm", &ppm(1, 16));
    git(root, ["add", "."]);
    git(root, ["rm", "-q", "train/cat/4.ppm"]);
    git(root, ["commit", "-qm", "changes"]);
    let diff = |arguments: &[&str]| {
        verdicts(
            wsidx(root, ["diff", "--format", "json"].iter().chain(arguments)),
            0,
        )
    };
    assert_eq!(
        diff(&["v1"]),
        [
            "redundant+leak test/dog/leak.ppm",
            "redundant train/cat/dup.ppm"
        ]
    );
    assert_eq!(diff(&["HEAD", "v1"]), ["novel train/cat/4.ppm"]);
    assert_eq!(diff(&["v1", "v1"]), [""; 0]);
    assert!(
        wsidx(root, ["diff", "nowhere"])
            .expect(2)
            .stderr
            .contains("nowhere")
    );
}

#[test]
fn what_is_staged_is_allowed_by_its_bytes_with_a_reason_and_only_once() {
    let tree = repository(&[]);
    let root = tree.path();
    write(root, "train/cat/dup.ppm", &near(0));
    write(root, "train/dog/wrong.ppm", &near(2));
    write(root, "train/cat/novel.ppm", &ppm(90, 16));
    write(root, "train/cat/broken.ppm", b"no picture");
    git(root, ["add", "."]);
    // The work tree says something else now.
    write(root, "train/cat/dup.ppm", &ppm(91, 16));
    fs::remove_file(root.join("train/dog/wrong.ppm")).unwrap();
    let run = wsidx(
        root,
        ["allow", "--staged", "--reason", "two shots", "train/cat"],
    )
    .expect(0);
    assert!(
        run.stdout.starts_with("pair ")
            && run
                .stdout
                .ends_with("# train/cat/dup.ppm, train/cat/0.ppm: two shots\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("train/cat/broken.ppm cannot be read")
            && run.stderr.contains("git add .wsidx-allow"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout.lines().count(), 1);
    // It counts when it is staged, and is not written twice before.
    assert_eq!(staged(root, 1).len(), 4);
    let again = wsidx(root, ["allow", "--staged", "train/cat/dup.ppm"]).expect(0);
    assert!(
        again.stdout.is_empty() && again.stderr.contains("git add .wsidx-allow"),
        "{}",
        again.stderr
    );
    git(root, ["add", ".wsidx-allow"]);
    wsidx(root, ["allow", "--staged"]).expect(0);
    git(root, ["add", ".wsidx-allow"]);
    assert_eq!(staged(root, 0).len(), 4);
    assert_eq!(
        fs::read_to_string(root.join(".wsidx-allow"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    // What the policy rejects and is about no pair is not let through in passing.
    write(root, "wsidx.toml", b"[check]\nreject = [\"undecodable\"]\n");
    git(root, ["add", "wsidx.toml"]);
    assert!(
        wsidx(root, ["allow", "--staged"])
            .expect(2)
            .stderr
            .contains("--path")
    );
}

#[test]
fn what_is_staged_in_a_linked_work_tree_is_allowed_there() {
    let tree = repository(&[]);
    let other = tempfile::tempdir().unwrap();
    let linked = other.path().join("linked");
    git(
        tree.path(),
        [
            OsStr::new("worktree"),
            OsStr::new("add"),
            OsStr::new("-q"),
            linked.as_os_str(),
        ],
    );
    write(&linked, "train/cat/dup.ppm", &near(0));
    git(&linked, ["add", "."]);
    wsidx(&linked, ["allow", "--staged"]).expect(0);
    assert!(linked.join(".wsidx-allow").exists() && !tree.path().join(".wsidx-allow").exists());
    git(&linked, ["add", "."]);
    assert_eq!(staged(&linked, 0), ["redundant train/cat/dup.ppm"]);
}

#[test]
fn a_range_shows_the_exceptions_that_it_brings_and_no_others() {
    let tree = repository(&[]);
    let root = tree.path();
    let commit = |name: &str, text: &str| {
        write(root, name, text.as_bytes());
        git(root, ["add", "."]);
        git(root, ["commit", "-qm", name]);
    };
    let [a, b] = ["aa", "bb"].map(|two| two.repeat(32));
    commit(".wsidx-allow", &format!("image {a}  # old\n"));
    let added = |range: &str, more: &[&str]| {
        wsidx(root, ["check", "--range", range].iter().chain(more))
            .expect(0)
            .stderr
    };
    // Without any image in the change, too.
    commit(
        ".wsidx-allow",
        &format!("path x/**  # all\nimage {a}  # old, and moved\npair {b} {a}\n"),
    );
    let said = added("HEAD~1..HEAD", &[]);
    assert!(
        said.contains("the change adds 2 exceptions")
            && said.contains(".wsidx-allow:1: path x/**  # all\n"),
        "{said}"
    );
    assert!(
        said.contains(&format!(".wsidx-allow:3: pair {a} {b}\n")) && !said.contains("# old"),
        "{said}"
    );
    commit("readme", "more");
    assert!(!added("HEAD~1..HEAD", &[]).contains("exception"));
    assert_eq!(added("HEAD~2..HEAD", &["--quiet"]), "");
    let baseline = |pairs: &str| {
        let rule = wsidx::similarity::register::RULE;
        format!(
            r#"{{"version": 1, "tool": "x", "rule": "{rule}", "threshold": 0.7, "accept": [], "pairs": [{pairs}]}}"#
        )
    };
    commit(".wsidx-baseline.json", &baseline(&format!(r#""{a}:{b}""#)));
    commit(
        ".wsidx-baseline.json",
        &baseline(&format!(r#""{a}:{a}", "{a}:{b}", "{b}:{b}""#)),
    );
    assert!(added("HEAD~1..HEAD", &[]).contains("the change adds 2 pairs to .wsidx-baseline.json"));
    // In a merge of both sides' lines, none is new.
    git(root, ["switch", "-qc", "side"]);
    commit(".wsidx-allow", &format!("image {a}\nimage {b}\n"));
    git(root, ["switch", "-q", "-"]);
    commit(".wsidx-allow", &format!("image {a}\npath y/*\n"));
    assert_ne!(try_git(root, ["merge", "-q", "side"]).status, Some(0));
    write(
        root,
        ".wsidx-allow",
        format!("image {a}\nimage {b}\npath y/*\n").as_bytes(),
    );
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "merged"]);
    let said = added("HEAD~1..HEAD", &["--every-commit"]);
    assert!(
        said.contains("adds 1 exception;")
            && said.contains(&format!(".wsidx-allow:2: image {b}\n")),
        "{said}"
    );
    commit(".wsidx-allow", "nonsense\n");
    assert!(
        wsidx(root, ["check", "--range", "HEAD~1..HEAD"])
            .expect(2)
            .stderr
            .contains(".wsidx-allow:1:")
    );
}

#[test]
fn exceptions_of_images_that_left_are_named_and_those_that_may_still_hold_are_not() {
    let tree = repository(&[]);
    let root = tree.path();
    write(root, "train/cat/copy.ppm", &ppm(2, 16));
    let id = |seed: u64| blake3::hash(&ppm(seed, 16)).to_hex().to_string();
    let lines = [
        format!("pair {0} {0}", id(2)),
        format!("pair {} {}", id(4), id(6)),
        format!("image {}", id(6)),
        "path train/dog/*".to_owned(),
    ];
    write(root, ".wsidx-allow", (lines.join("\n") + "\n").as_bytes());
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "exceptions"]);
    wsidx(root, ["sync"]).expect(0);
    let unused = || -> Vec<usize> {
        let said = wsidx(root, ["check", "--staged"]).expect(0).stderr;
        let lines = said
            .lines()
            .filter(|line| line.contains("accepts nothing any more"));
        lines
            .map(|line| line.split(':').nth(1).unwrap().parse().unwrap())
            .collect()
    };
    assert_eq!(unused(), [0; 0], "nothing changes");
    git(root, ["rm", "-q", "train/cat/copy.ppm"]);
    assert_eq!(unused(), [1]);
    git(root, ["rm", "-q", "train/cat/6.ppm"]);
    assert_eq!(unused(), [1, 2, 3]);
    // The same content at another path, new there.
    write(root, "train/dog/6.ppm", &ppm(6, 16));
    git(root, ["add", "train/dog/6.ppm"]);
    assert_eq!(unused(), [1]);
    git(root, ["rm", "-qrf", "train/dog"]);
    assert_eq!(unused(), [1, 2, 3, 4]);
    // Where one content is not known, nothing is said.
    write(root, "train/cat/pulled.ppm", &ppm(70, 16));
    git(root, ["add", "."]);
    git(root, ["commit", "-qm", "not synced"]);
    git(root, ["rm", "-q", "train/cat/0.ppm"]);
    assert_eq!(unused(), [0; 0]);
}
