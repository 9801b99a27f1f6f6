//! A redundant file → moved away, linked or handed to a program, after its verdict was told. Never
//! deleted, and nothing is ever replaced.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Deserialize;
use wsidx::{dataset::to_path, file, index::events};

use super::{args::OnRedundant, log::Log, queue::Name};

/// Names that are tried for a file whose own is taken.
const NAMES: u32 = 1_000;
/// What a program may take for one file.
const LONGEST: Duration = Duration::from_secs(60);
/// Files that wait for the program before the watch does.
const WAITING: usize = 1_000;

/// A redundant file and its line.
#[derive(Debug, Clone)]
pub(super) struct Redundant {
    pub(super) path: Name,
    pub(super) line: Vec<u8>,
}

/// What is done.
pub(super) struct Actions {
    root: PathBuf,
    action: OnRedundant,
    programs: Option<SyncSender<(Redundant, PathBuf)>>,
    log: Log,
}

impl Actions {
    pub(super) fn new(root: &Path, action: OnRedundant, log: Log) -> Self {
        let programs = match &action {
            OnRedundant::Exec(command) => {
                let (send, receive) = sync_channel(WAITING);
                let command = command.clone();
                thread::spawn(move || run_each(&command, &receive, log));
                Some(send)
            }
            _ => None,
        };
        Self {
            root: root.to_owned(),
            action,
            programs,
            log,
        }
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        self.action.name()
    }

    /// Does it; trouble is told, and the file stays where it is.
    pub(super) fn act(&self, redundant: Redundant) {
        let file = to_path(&self.root, &redundant.path);
        let done = match &self.action {
            OnRedundant::Report => return,
            OnRedundant::Move(folder) => place(&file, folder, &redundant, &|from, to| {
                renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from)
            }),
            OnRedundant::Hardlink(folder) => place(&file, folder, &redundant, &|from, to| {
                fs::hard_link(from, to)
            }),
            OnRedundant::Exec(_) => {
                self.programs
                    .as_ref()
                    .map(|programs| programs.send((redundant, file)));
                return;
            }
        };
        let name = String::from_utf8_lossy(&redundant.path);
        match done {
            Ok(to) => self
                .log
                .info(&format!("{name} is redundant: now {}", to.display())),
            Err(e) => self
                .log
                .warn(&format!("{name} is redundant and stays: {e}")),
        }
    }

    /// Files whose move was told and then cut short by a crash.
    ///
    /// # Errors
    /// As [`events`].
    pub(super) fn unfinished(&self) -> wsidx::Result<Vec<Redundant>> {
        let mut open: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        if !matches!(self.action, OnRedundant::Move(_)) {
            return Ok(Vec::new());
        }
        events(&self.root, 0, &mut |_, text| {
            if let Ok(line) = serde_json::from_slice::<Line>(text) {
                if let Some(from) = line.from.and_then(Named::bytes) {
                    open.remove(&from);
                }
                match (line.path.bytes(), line.action.as_deref()) {
                    (Some(path), Some("move")) => {
                        open.insert(path, text.to_vec());
                    }
                    (Some(path), _) => {
                        open.remove(&path);
                    }
                    (None, _) => {}
                }
            }
            Ok(())
        })?;
        let mut all: Vec<Redundant> = open
            .into_iter()
            .map(|(path, line)| Redundant {
                path: path.into(),
                line,
            })
            .collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    path: Named,
    from: Option<Named>,
    action: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    path: String,
    path_b64: Option<String>,
}

impl Named {
    fn bytes(self) -> Option<Vec<u8>> {
        match self.path_b64 {
            Some(bytes) => data_encoding::BASE64.decode(bytes.as_bytes()).ok(),
            None => Some(self.path.into_bytes()),
        }
    }
}

/// Puts a file into a folder under its path in the dataset, with its line beside it; where the name
/// is taken, under the next one that is free.
fn place(
    file: &Path,
    folder: &Path,
    redundant: &Redundant,
    put: &dyn Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let wanted = to_path(folder, &redundant.path);
    if let Some(parent) = wanted.parent() {
        fs::create_dir_all(parent)?;
    }
    for number in 0..NAMES {
        let to = numbered(&wanted, number);
        let beside = with_ending(&to, ".json");
        if fs::symlink_metadata(&to).is_ok() || !write_beside(&beside, &redundant.line)? {
            continue;
        }
        match put(file, &to) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&beside)?,
            Err(e) => {
                fs::remove_file(&beside)?;
                return Err(e);
            }
            Ok(()) => return Ok(to),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{NAMES} names like {} are taken", wanted.display()),
    ))
}

/// Whether the words stand there now: they were written, or were there already.
fn write_beside(path: &Path, line: &[u8]) -> io::Result<bool> {
    let words = [line, b"\n"].concat();
    if file::write_new(path, &words).map_err(io::Error::other)? {
        return Ok(true);
    }
    // Whatever else has the name, it is not these words.
    Ok(file::read_regular(path, words.len() as u64).is_ok_and(|there| there == words))
}

/// `a.png`, `a~1.png`, `a~2.png`, …
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("~{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Runs the user's program for one file after the other.
fn run_each(command: &OsString, files: &Receiver<(Redundant, PathBuf)>, log: Log) {
    for (redundant, file) in files {
        if let Err(e) = run(command, &redundant, &file) {
            log.warn(&format!(
                "the program for {} failed: {e}",
                String::from_utf8_lossy(&redundant.path)
            ));
        }
    }
}

fn run(command: &OsStr, redundant: &Redundant, file: &Path) -> io::Result<()> {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .env("WSIDX_PATH", file)
        .stdin(Stdio::piped())
        .stdout(io::stderr());
    let mut child = shell.spawn()?;
    if let Some(mut words) = child.stdin.take() {
        // It need not read them.
        let _ = words.write_all(&[&redundant.line, &b"\n"[..]].concat());
    }
    let end = Instant::now() + LONGEST;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(status.to_string())),
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::other(format!(
                    "it took over {} seconds and was ended",
                    LONGEST.as_secs()
                )));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
}
