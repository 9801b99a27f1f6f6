//! What tests of the program as a process share: a clean environment, its answer, copies of
//! folders.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod remedies;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_wsidx");

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its exit code; none if a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Itself, if it ended with `status`.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert!(
            self.status == Some(status),
            "status {:?}, not {status}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, for tests that interrupt it. Whatever started the tests in the background may have
/// had INT ignored, and a program that starts so leaves it ignored.
pub(crate) fn interruptible(folder: &Path) -> Command {
    let mut command = command("env", folder);
    command.args(["--default-signal=INT,TERM", PROGRAM]);
    command
}

/// A command that runs in `folder` and sees nothing of the user's environment, settings or git
/// identity; the program comes first in its `PATH`, standard input is empty, and `folder` is its
/// home.
pub(crate) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).env_clear();
    let mut path = vec![
        Path::new(PROGRAM)
            .parent()
            .expect("a program is in a folder")
            .to_owned(),
    ];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    command.env(
        "PATH",
        std::env::join_paths(path).expect("PATH is a list of folders"),
    );
    command
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join(".config"))
        .env("LC_ALL", "C.UTF-8")
        .env("TERM", "dumb");
    // Not in the home, which is the dataset, and not in that of the user.
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "A Tester")
            .env(format!("GIT_{who}_EMAIL"), "tester@example.org");
    }
    for kept in ["TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// A program of the environment that `tests/run.sh` makes, such as `dvc`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let venv = std::env::var_os("WSIDX_TEST_VENV")
        .map_or_else(|| root().join("target/venv"), PathBuf::from);
    let program = venv.join("bin").join(name);
    assert!(
        program.exists(),
        "{} is missing; make it with\n  python3 -m venv target/venv && target/venv/bin/pip install -r tests/requirements.txt",
        program.display()
    );
    program
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Run {
    let out = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run {
        status: out.status.code(),
        stdout: text(out.stdout),
        stderr: text(out.stderr),
    }
}

/// Runs the program in `folder`.
pub(crate) fn wsidx<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Run {
    let mut command = command(PROGRAM, folder);
    command.args(arguments);
    run(command)
}

/// The path of a sample: `images/train/…` or `new/…`.
pub(crate) fn sample(name: &str) -> PathBuf {
    root().join("tests/sample").join(name)
}

/// Copies the files below `from` to `to`, leaving out folders whose name is in `but`.
pub(crate) fn copy_folder(from: &Path, to: &Path, but: &[&str]) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a folder can be read to its end");
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if !entry.file_type().expect("a file has a type").is_dir() {
            fs::copy(entry.path(), &target)
                .unwrap_or_else(|error| panic!("{}: {error}", target.display()));
        } else if !but.iter().any(|other| name == *other) {
            copy_folder(&entry.path(), &target, but);
        }
    }
}
