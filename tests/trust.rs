//! Indexes that came with a clone or an archive, with the real git and tar: they are refused, or
//! used with a warning, and never written through.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use support::{
    Run, command,
    images::{ppm, write},
    run, wsidx,
};

/// What is said of an index that came from elsewhere.
const MADE_ELSEWHERE: &str = "was not made by you on this machine";

/// Four pictures in `name` in a folder of their own, indexed.
fn dataset(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(name);
    (0..4).for_each(|seed| write(&root, &format!("cat/{seed}.ppm"), &ppm(seed, 16)));
    wsidx(&root, ["sync", "--init"]).expect(0);
    (folder, root)
}

fn shell(folder: &Path, line: &str) -> Run {
    let mut shell = command("sh", folder);
    shell.args(["-ec", line]);
    run(shell)
}

fn with_trust(folder: &Path, trusted: &str, arguments: &[&str]) -> Run {
    let mut program = command(support::PROGRAM, folder);
    program.env("WSIDX_TRUST", trusted).args(arguments);
    run(program)
}

#[test]
fn a_clone_whose_index_is_named_as_that_of_a_bare_repository_cuts_no_file_and_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let [evil, clone, precious] =
        ["evil", "clone", "precious"].map(|name| folder.path().join(name));
    fs::write(&precious, "precious").unwrap();
    (0..4).for_each(|seed| write(&evil, &format!("cat/{seed}.ppm"), &ppm(seed, 16)));
    ["objects/k", "refs/k"]
        .iter()
        .for_each(|name| write(&evil, name, b""));
    write(&evil, "HEAD", b"ref: refs/heads/main\n");
    // Made where there is no `.git` yet, so in `wsidx`.
    wsidx(&evil, ["init", "--size", "16"]).expect(0);
    assert!(evil.join("wsidx/format").exists());
    fs::remove_file(evil.join("wsidx/lock")).unwrap();
    fs::remove_file(evil.join("wsidx/.gitignore")).unwrap();
    symlink("../../precious", evil.join("wsidx/lock")).unwrap();
    shell(folder.path(), "cd evil; git init -q .; git add -f .; git commit -qm x; cd ..; git clone -q evil clone 2>&1").expect(0);
    let groups = wsidx(&clone, ["groups"]).expect(2);
    assert!(
        groups.stderr.contains("no wsidx index"),
        "{}",
        groups.stderr
    );
    wsidx(&clone, ["sync", "--init"]).expect(0);
    assert!(
        clone.join(".wsidx/format").exists(),
        "the index of a work tree"
    );
    // The same below the top of the clone, where there is no `.git`.
    shell(folder.path(), "cd evil; mkdir sub; git mv HEAD objects refs wsidx cat sub; git commit -qm y; cd ../clone; git pull -q 2>&1")
        .expect(0);
    for arguments in [
        &["sync"][..],
        &["groups"],
        &["check", "."],
        &["rebuild"],
        &["trust"],
    ] {
        let refused = wsidx(&clone.join("sub"), arguments).expect(2);
        assert!(
            refused.stderr.contains("is a symbolic link; remove it"),
            "{arguments:?}: {}",
            refused.stderr
        );
    }
    fs::remove_file(clone.join("sub/wsidx/lock")).unwrap();
    let refused = wsidx(&clone.join("sub"), ["groups"]).expect(2);
    assert!(
        refused.stderr.contains("has files that git tracks"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn an_archive_whose_lock_is_a_link_cuts_no_file() {
    let (folder, root) = dataset("packed");
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::remove_file(root.join(".wsidx/lock")).unwrap();
    symlink("../../victim", root.join(".wsidx/lock")).unwrap();
    shell(
        folder.path(),
        "tar cf packed.tar packed; rm -r packed; tar xf packed.tar",
    )
    .expect(0);
    for arguments in [
        &["sync"][..],
        &["query", "cat/1.ppm"],
        &["gc", "--older-than", "0"],
        &["watch", "cat"],
    ] {
        let refused = wsidx(&root, arguments).expect(2);
        assert!(
            refused.stderr.contains("lock is a symbolic link"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_socket_that_came_with_an_archive_is_not_spoken_to() {
    let (folder, root) = dataset("packed");
    let other = std::os::unix::net::UnixListener::bind(folder.path().join("other")).unwrap();
    other.set_nonblocking(true).unwrap();
    symlink("../../other", root.join(".wsidx/watch.sock")).unwrap();
    for word in ["status", "stop", "pause"] {
        let refused = wsidx(&root, ["watch", word]).expect(2);
        assert!(
            refused
                .stderr
                .contains("is not a socket of yours; remove it"),
            "{}",
            refused.stderr
        );
    }
    assert!(other.accept().is_err(), "somebody connected");
}

#[test]
fn an_index_from_an_archive_is_used_with_a_warning_until_it_is_trusted() {
    let (folder, root) = dataset("packed");
    let own = wsidx(&root, ["groups", "--strict"]).expect(0);
    assert!(!own.stderr.contains(MADE_ELSEWHERE));
    shell(
        folder.path(),
        "tar cf packed.tar packed; mkdir there; tar xf packed.tar -C there",
    )
    .expect(0);
    let there = folder.path().join("there/packed");
    for arguments in [
        &["groups"][..],
        &["sync"],
        &["check", "."],
        &["status"],
        &["watch", "events"],
    ] {
        let warned = wsidx(&there, arguments).expect(0);
        let warnings = warned.stderr.matches(MADE_ELSEWHERE).count();
        assert_eq!(warnings, 1, "{arguments:?}: {}", warned.stderr);
        assert!(
            warned.stderr.contains("`wsidx trust`") && warned.stderr.contains("`wsidx rebuild`")
        );
        let refused = wsidx(&there, arguments.iter().chain(&["--strict"])).expect(2);
        assert!(
            refused.stderr.contains(MADE_ELSEWHERE),
            "{}",
            refused.stderr
        );
    }
    assert!(
        !wsidx(&there, ["groups", "-q"])
            .expect(0)
            .stderr
            .contains(MADE_ELSEWHERE)
    );
    for trusted in ["*".to_owned(), format!("/nowhere:{}", there.display())] {
        with_trust(&there, &trusted, &["groups", "--strict"]).expect(0);
    }
    with_trust(&there, "/nowhere", &["groups", "--strict"]).expect(2);
    wsidx(&there, ["trust"]).expect(0);
    wsidx(&there, ["groups", "--strict"]).expect(0);
    // An index that is moved is still known; a copy of it is not.
    shell(folder.path(), "mv there/packed moved; cp -r moved copied").expect(0);
    wsidx(&folder.path().join("moved"), ["groups", "--strict"]).expect(0);
    wsidx(&folder.path().join("copied"), ["groups", "--strict"]).expect(2);
}

#[test]
fn rebuilding_an_index_from_an_archive_reads_every_image_and_believes_nothing() {
    let (folder, root) = dataset("packed");
    shell(folder.path(), "cp -r packed there").expect(0);
    let there = folder.path().join("there");
    // A picture that the index was made to show for another file.
    let forged = fs::read(there.join("cat/0.ppm")).unwrap();
    fs::write(there.join("cat/9.ppm"), &forged).unwrap();
    // One that was killed before the new index was there left this.
    fs::create_dir(there.join(".wsidx-rebuild")).unwrap();
    let rebuilt = wsidx(&there, ["rebuild"]).expect(0);
    assert!(rebuilt.stdout.contains("5 added"), "{}", rebuilt.stdout);
    wsidx(&there, ["verify", "--files", "--strict"]).expect(0);
    let left: Vec<_> = fs::read_dir(&there)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("rebuild")),
        "{left:?}"
    );
    let pictures = |root: &Path| -> Vec<String> {
        wsidx(root, ["status"])
            .expect(0)
            .stdout
            .lines()
            .filter(|line| line.contains("16"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(pictures(&there), pictures(&root));
}

#[test]
fn a_push_is_not_judged_by_an_index_that_the_server_did_not_make() {
    let folder = tempfile::tempdir().unwrap();
    (0..4).for_each(|seed| {
        write(
            &folder.path().join("work"),
            &format!("cat/{seed}.ppm"),
            &ppm(seed, 16),
        );
    });
    shell(
        folder.path(),
        "git init -q --bare -b main server; cd work; git init -q -b main; git add .; git commit -qm x; git push -q ../server main
        cd ../server; wsidx init --size 16; wsidx sync; wsidx hook install pre-receive",
    )
    .expect(0);
    let push = "cd work; touch note; git add note; git commit -qm \"$(date +%N)\" --allow-empty; cp cat/1.ppm cat/$$.ppm; git add .; git commit -qm z; git push ../server main";
    let judged = shell(folder.path(), push);
    assert!(judged.stderr.contains("redundant"), "{}", judged.stderr);
    shell(
        folder.path(),
        "cd server; tr 0-9a-f 1-9a-f0 < wsidx/id > other; mv other wsidx/id",
    )
    .expect(0);
    let refused = shell(folder.path(), push);
    assert!(
        refused.stderr.contains(MADE_ELSEWHERE),
        "{}",
        refused.stderr
    );
    assert_ne!(refused.status, Some(0));
    shell(folder.path(), "cd server; wsidx trust").expect(0);
    assert!(shell(folder.path(), push).stderr.contains("redundant"));
}

#[test]
fn without_git_an_index_in_a_repository_is_refused_and_elsewhere_it_is_not() {
    let (folder, root) = dataset("data");
    let mut program = command(support::PROGRAM, &root);
    program.env("PATH", folder.path()).args(["groups"]);
    run(program).expect(0);
    shell(&root, "git init -q").expect(0);
    let mut program = command(support::PROGRAM, &root);
    program.env("PATH", folder.path()).args(["groups"]);
    let refused = run(program).expect(2);
    assert!(
        refused.stderr.contains("git cannot be run to tell")
            && refused.stderr.contains("install git"),
        "{}",
        refused.stderr
    );
}

#[test]
fn where_nothing_can_be_noted_an_index_is_made_all_the_same_and_it_is_said() {
    let (folder, root) = dataset("data");
    fs::remove_dir_all(root.join(".wsidx")).unwrap();
    let state = folder.path().join("state");
    fs::write(&state, "no folder").unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o600)).unwrap();
    let mut program = command(support::PROGRAM, &root);
    program
        .env("XDG_STATE_HOME", &state)
        .args(["sync", "--init"]);
    let made = run(program).expect(0);
    assert!(
        made.stderr
            .contains("it cannot be noted that you made this index"),
        "{}",
        made.stderr
    );
    wsidx(&root, ["groups"]).expect(0);
}
