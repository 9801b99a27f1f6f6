//! `inject.c`: built, run, and what it saw.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    ground::Ground,
    support::{PROGRAM, root},
};

/// What a call meets with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Eio,
    Enospc,
    Full,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Kill, Self::Eio, Self::Enospc, Self::Full];

    pub(crate) fn name(self) -> &'static str {
        ["kill", "eio", "enospc", "full"][self as usize]
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.name() == text)
            .ok_or_else(|| format!("{text} is no fault"))
    }
}

/// Exit codes of `inject` that are not the program's.
pub(crate) const KILLED: i32 = 200;
const NOT_TRACED: i32 = 203;

/// A run of the program under it.
pub(crate) struct Traced {
    /// The exit code.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The name of each counted call and its path, in order.
    pub(crate) calls: Vec<String>,
}

pub(crate) struct Injector(PathBuf);

impl Injector {
    /// Compiles it in a folder; the reason where it does not work here.
    pub(crate) fn build(folder: &Path) -> Result<Self, String> {
        if !cfg!(all(
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        )) {
            return Err("calls are traced on Linux on x86-64 and arm64 only".into());
        }
        let program = folder.join("inject");
        let source = root().join("tests/faults/inject.c");
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&program)
            .arg(&source)
            .output();
        let built = built.map_err(|e| format!("there is no C compiler (cc): {e}"))?;
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        let tried = Command::new(&program)
            .arg(folder)
            .args(["0", "count"])
            .arg(folder.join("log"))
            .arg("true")
            .output();
        match tried.map_err(|e| e.to_string())?.status.code() {
            Some(0) => Ok(Self(program)),
            Some(NOT_TRACED) => Err("this system lets nobody be traced (ptrace, seccomp)".into()),
            other => panic!("inject ended with {other:?}"),
        }
    }

    fn command(
        &self,
        ground: &Ground,
        arguments: &[&str],
        fault: &str,
        n: u64,
        log: &Path,
    ) -> Command {
        let mut command = ground.command(&self.0);
        command
            .arg(ground.top())
            .args([&n.to_string(), fault])
            .arg(log)
            .arg(PROGRAM)
            .args(arguments);
        command
    }

    fn log(ground: &Ground) -> PathBuf {
        ground.top().with_extension("log")
    }

    /// Runs the program with a fault at the `n`-th call.
    pub(crate) fn run(&self, ground: &Ground, arguments: &[&str], fault: Fault, n: u64) -> Traced {
        self.run_on(ground, arguments, true, fault, n)
    }

    /// The same, perhaps as on a file system that cannot exchange two names.
    pub(crate) fn run_on(
        &self,
        ground: &Ground,
        arguments: &[&str],
        exchanges: bool,
        fault: Fault,
        n: u64,
    ) -> Traced {
        let log = Self::log(ground);
        let mut command = self.command(ground, arguments, fault.name(), n, &log);
        if !exchanges {
            command.env("INJECT_NO_EXCHANGE", "1");
        }
        let out = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Traced {
            status: out.status.code().unwrap_or(-1),
            stdout: text(out.stdout),
            stderr: text(out.stderr),
            calls: calls(&log),
        }
    }

    /// Runs a watcher until it has told so many lines, or nothing for a while, and ends it with
    /// SIGTERM.
    pub(crate) fn watch(
        &self,
        ground: &Ground,
        arguments: &[&str],
        fault: Fault,
        n: u64,
        lines: usize,
    ) -> Traced {
        let log = Self::log(ground);
        let mut command = self.command(ground, arguments, fault.name(), n, &log);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, heard) = mpsc::channel();
        let (out, mut err) = (
            BufReader::new(child.stdout.take().unwrap()),
            child.stderr.take().unwrap(),
        );
        let reader =
            std::thread::spawn(move || out.lines().for_each(|line| drop(told.send(line.unwrap()))));
        let talk = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let mut stdout = String::new();
        let mut count = 0;
        // The quiet time covers the clean run's pauses many times over.
        while count < lines
            && let Ok(line) = heard.recv_timeout(Duration::from_millis(2_500))
        {
            count += usize::from(line.contains("\"seq\":"));
            stdout.extend([&line, "\n"]);
        }
        let ends = Instant::now() + Duration::from_secs(40);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            let pid = fs::read_to_string(&log)
                .unwrap_or_default()
                .lines()
                .next()
                .and_then(|line| Some(line.strip_prefix("program\t")?.to_owned()));
            pid.iter()
                .for_each(|pid| drop(Command::new("kill").args(["-TERM", pid]).status()));
            assert!(Instant::now() < ends, "the watcher does not end");
            std::thread::sleep(Duration::from_millis(100));
        };
        reader.join().unwrap();
        heard
            .try_iter()
            .for_each(|line| stdout.extend([&line, "\n"]));
        Traced {
            status: status.code().unwrap_or(-1),
            stdout,
            stderr: talk.join().unwrap(),
            calls: calls(&log),
        }
    }
}

/// The counted calls.
fn calls(log: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    let call = |line: &str| {
        line.split_once('\t')
            .filter(|(number, _)| number.parse::<u64>().is_ok())
            .map(|(_, call)| call.replace('\t', " "))
    };
    text.lines().filter_map(call).collect()
}
