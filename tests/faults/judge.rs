//! What must hold after a command has met a fault.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use wsidx::{
    index::{Reader, Writer, events},
    monitor::Silent,
    store::state::ContentId,
};

use crate::{
    ground::{Files, Ground},
    injector::{Fault, Injector, KILLED, Traced},
    scenes::{Scene, Way},
    support::remedies::names_a_remedy,
};

/// What commands answer of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: Option<i32>,
    stdout: String,
}

/// All contents that are stored, and all events that were told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Kept {
    contents: BTreeSet<ContentId>,
    events: Vec<Vec<u8>>,
}

impl Kept {
    fn of(root: &Path) -> wsidx::Result<Self> {
        let writer = Writer::open(root, "test", true, &Silent)?;
        let contents = writer.state().contents().map(|(id, _)| *id).collect();
        drop(writer);
        let mut told = Vec::new();
        events(root, 0, &mut |_, line| {
            told.push(line.to_vec());
            Ok(())
        })?;
        Ok(Self {
            contents,
            events: told,
        })
    }
}

/// What a command does when nothing fails.
pub(crate) struct Expected {
    pub(crate) calls: u64,
    status: i32,
    /// Before, and right after it; and, where the command makes the index first, in between.
    answers: [Vec<Answer>; 3],
    kept: Kept,
    /// What is there after it.
    files: Files,
    /// What commands answer, and is there, after it, a `sync`, and the same command again.
    last: (Vec<Answer>, Files, i32),
}

const QUESTIONS: [&[&str]; 3] = [
    &["check", ".", "--format", "json"],
    &["query", "--format", "json"],
    &["groups", "--format", "json"],
];

/// Of these the ones that are there are looked up.
const LOOKED_UP: [&str; 4] = ["cat/0.ppm", "lynx/0.ppm", "cat/5.ppm", "lynx/5.ppm"];

fn answers(ground: &Ground) -> (Vec<Answer>, String) {
    let runs = QUESTIONS.map(|question| {
        let mut question = question.to_vec();
        if question[0] == "query" {
            question.extend(
                LOOKED_UP
                    .iter()
                    .filter(|path| ground.tree().join(path).exists()),
            );
        }
        ground.wsidx(&question)
    });
    let talk = runs.iter().map(|run| run.stderr.as_str()).collect();
    (
        runs.map(|run| Answer {
            status: run.status,
            stdout: without_generation(&run.stdout),
        })
        .into(),
        talk,
    )
}

/// The number of commits differs where a run was cut short.
fn without_generation(text: &str) -> String {
    text.lines()
        .filter(|line| !line.contains("\"generation\""))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn run(injector: &Injector, scene: &Scene, ground: &Ground, fault: Fault, n: u64) -> Traced {
    match scene.way {
        Way::Once => injector.run_on(ground, &scene.arguments, scene.exchanges, fault, n),
        Way::Watch(lines) => injector.watch(ground, &scene.arguments, fault, n, lines),
    }
}

const INDEX: &str = "tree/.wsidx";

/// Where an index is made that replaces one from elsewhere; nothing of it is left in the end.
const REBUILD: &str = "tree/.wsidx-rebuild";

/// The notes of which indexes this user made have random names.
const NOTES: &str = "home/.state";

/// Files of the user: all but the index, the notes of wsidx and what git keeps to itself.
fn is_the_users(path: &Path) -> bool {
    let git = Path::new("tree/.git");
    !path.starts_with(INDEX)
        && !path.starts_with(REBUILD)
        && !path.starts_with(NOTES)
        && (!path.starts_with(git)
            || path.starts_with(git.join("hooks"))
            || path == git.join("config"))
}

/// Names outside the parts of the index that have names of their own for each generation.
fn names(files: &Files) -> BTreeSet<&Path> {
    let is_part = |path: &Path| {
        ["packs", "view", "catalog", "id"]
            .iter()
            .any(|part| path.starts_with(Path::new(INDEX).join(part)))
    };
    files
        .keys()
        .map(PathBuf::as_path)
        .filter(|path| {
            !is_part(path) && !path.starts_with("tree/.git/objects") && !path.starts_with(NOTES)
        })
        .collect()
}

impl Expected {
    pub(crate) fn of(injector: &Injector, scene: &Scene, ground: &Ground) -> Self {
        let (before, _) = answers(ground);
        let kept = Kept::of(&ground.tree()).unwrap_or_default();
        ground.restore();
        let clean = run(injector, scene, ground, Fault::Kill, u64::MAX);
        assert!(
            matches!(clean.status, 0 | 1),
            "{}: {} {}",
            scene.name,
            clean.status,
            clean.stderr
        );
        let files = ground.files();
        let (after, _) = answers(ground);
        ground.wsidx(&["sync"]).expect(0);
        let status = run(injector, scene, ground, Fault::Kill, u64::MAX).status;
        ground.wsidx(&["sync"]).expect(0);
        let last = (answers(ground).0, ground.files(), status);
        let calls = clean.calls.len() as u64;
        assert!(calls > 0, "{} writes nothing", scene.name);
        ground.restore();
        let made = if kept == Kept::default() {
            ground.wsidx(&["init"]).status
        } else {
            None
        };
        let between = if made == Some(0) {
            answers(ground).0
        } else {
            after.clone()
        };
        Self {
            calls,
            status: clean.status,
            answers: [before, after, between],
            kept,
            files,
            last,
        }
    }
}

/// One run with a fault.
pub(crate) struct Point<'a> {
    pub(crate) injector: &'a Injector,
    pub(crate) scene: &'a Scene,
    pub(crate) ground: &'a Ground,
    pub(crate) expected: &'a Expected,
    pub(crate) fault: Fault,
    pub(crate) n: u64,
}

#[derive(Default)]
pub(crate) struct Judged {
    /// Whether the command made so many calls.
    pub(crate) reached: bool,
    pub(crate) failures: Vec<String>,
    /// Calls that failed in a command that said that all went well.
    pub(crate) tolerated: Option<String>,
}

impl Point<'_> {
    pub(crate) fn judge(&self) -> Judged {
        self.ground.restore();
        let met = run(self.injector, self.scene, self.ground, self.fault, self.n);
        let Some(call) = met.calls.get(self.n as usize - 1) else {
            return Judged::default();
        };
        let top = self.ground.top();
        let call = call.replace(&format!("{}/", top.display()), "");
        let mut judged = Judged {
            reached: true,
            ..Judged::default()
        };
        let mut failures = Vec::new();
        let went_on = self.fault != Fault::Kill && met.status == self.expected.status;
        if went_on {
            judged.tolerated = Some(format!("{} {}", self.scene.name, without_numbers(&call)));
        }
        self.ending(&met, went_on, &mut failures);
        self.users_files(&mut failures);
        self.recovery(&met, &mut failures);
        judged.failures = failures
            .into_iter()
            .map(|why| format!("at {call}: {why}"))
            .collect();
        judged
    }

    /// The exit code, and the message.
    fn ending(&self, met: &Traced, went_on: bool, failures: &mut Vec<String>) {
        match met.status {
            KILLED if self.fault == Fault::Kill => {}
            2 if self.fault != Fault::Kill && names_a_remedy(&met.stderr) => {}
            2 if self.fault != Fault::Kill => {
                failures.push(format!("no remedy in: {}", met.stderr.trim()));
            }
            _ if went_on => {}
            status => failures.push(format!("it ended with {status}: {}", met.stderr.trim())),
        }
        // A command that says that it is done has done it. A watcher that is ended before it could
        // try again has reported nothing.
        if went_on && self.scene.way == Way::Once {
            let (now, talk) = answers(self.ground);
            if now != self.expected.answers[1] {
                failures.push(format!(
                    "it said that all went well, and answers are others than after it: {talk}"
                ));
            }
            let files = self.ground.files();
            let differs = |path: &&PathBuf| {
                is_the_users(path) && files.get(*path) != self.expected.files.get(*path)
            };
            let differing: Vec<_> = files
                .keys()
                .chain(self.expected.files.keys())
                .filter(differs)
                .collect();
            if !differing.is_empty() {
                failures.push(format!(
                    "it said that all went well, and these differ: {differing:?}"
                ));
            }
        }
    }

    /// The user's files are as they were, or as they are after the command.
    fn users_files(&self, failures: &mut Vec<String>) {
        let (before, after, now) = (
            self.ground.before(),
            &self.expected.files,
            self.ground.files(),
        );
        let all: BTreeSet<&PathBuf> = before
            .keys()
            .chain(now.keys())
            .filter(|path| is_the_users(path))
            .collect();
        for path in all {
            // A verdict beside a file that was moved has the time that it took.
            if self.scene.moves && path.extension().is_some_and(|ending| ending == "json") {
                continue;
            }
            let is = now.get(path);
            let is_left_over = is.is_some()
                && !before.contains_key(path)
                && path
                    .components()
                    .any(|part| is_temporary(part.as_os_str().to_str()));
            if is != before.get(path) && is != after.get(path) && !is_left_over {
                failures.push(format!("{} is neither old nor new", path.display()));
            }
        }
        let out = Path::new("tree/out");
        let whole = after
            .keys()
            .filter(|path| path.starts_with(out))
            .all(|path| now.contains_key(path));
        if now.contains_key(out) && !whole {
            failures.push("half of a folder is there".into());
        }
    }

    /// What the next commands find.
    fn recovery(&self, met: &Traced, failures: &mut Vec<String>) {
        let ground = self.ground;
        let (early, talk) = answers(ground);
        let known = &self.expected.answers;
        for (i, answer) in early.iter().enumerate() {
            let is_error = answer.status == Some(2);
            if is_error && !names_a_remedy(&talk) {
                failures.push(format!("an answer without a remedy: {talk}"));
            } else if !is_error
                && self.scene.way == Way::Once
                && known.iter().all(|known| answer != &known[i])
            {
                failures.push(format!(
                    "{} answers neither as before nor as after: {} {talk}",
                    QUESTIONS[i].join(" "),
                    answer.stdout
                ));
            }
        }
        let mut synced = ground.wsidx(&["sync"]);
        if synced.status == Some(2)
            && synced.stderr.contains("`wsidx init`")
            && self.expected.kept == Kept::default()
        {
            let made = ground.wsidx(&["init"]);
            if made.status != Some(0) {
                failures.push(format!("init: {}", made.stderr.trim()));
            }
            synced = ground.wsidx(&["sync"]);
        }
        if synced.status != Some(0) {
            failures.push(format!("sync: {}", synced.stderr.trim()));
            return;
        }
        let verified = ground.wsidx(&["verify"]);
        if verified.status != Some(0) {
            failures.push(format!(
                "verify: {}{}",
                verified.stdout.trim(),
                verified.stderr.trim()
            ));
        }
        self.kept(met, failures);
        self.again(failures);
    }

    /// What was acknowledged before, or told by the command itself, is there.
    fn kept(&self, met: &Traced, failures: &mut Vec<String>) {
        let kept = match Kept::of(&self.ground.tree()) {
            Ok(kept) => kept,
            Err(e) => return failures.push(format!("the index cannot be opened: {e}")),
        };
        if !self.scene.drops && !self.expected.kept.contents.is_subset(&kept.contents) {
            failures.push("stored contents were lost".into());
        }
        let told = met
            .stdout
            .lines()
            .filter(|line| line.contains("\"seq\":"))
            .map(str::as_bytes);
        for line in told.chain(self.expected.kept.events.iter().map(Vec::as_slice)) {
            if !kept.events.iter().any(|event| event == line) {
                failures.push(format!(
                    "an event was lost: {}",
                    String::from_utf8_lossy(line)
                ));
            }
        }
    }

    /// The command does what it does without faults, and nothing is left lying about.
    fn again(&self, failures: &mut Vec<String>) {
        let (answers_then, files_then, status_then) = &self.expected.last;
        let mut again = run(
            self.injector,
            self.scene,
            self.ground,
            Fault::Kill,
            u64::MAX,
        );
        if again.status == self.expected.status && again.status != *status_then {
            again = run(
                self.injector,
                self.scene,
                self.ground,
                Fault::Kill,
                u64::MAX,
            );
        }
        if self.scene.moves {
            // What is taken in by `sync` is not moved: the file is in one place or the other.
            let places = ["tree/cat/again.ppm", "aside/cat/again.ppm"]
                .map(|path| self.ground.top().join(path).exists());
            return if places[0] == places[1] {
                failures.push(format!("the file that is moved is there {places:?}"));
            };
        }
        if again.status != *status_then {
            failures.push(format!(
                "again: it ended with {}: {}",
                again.status,
                again.stderr.trim()
            ));
        }
        let synced = self.ground.wsidx(&["sync"]);
        if synced.status != Some(0) {
            failures.push(format!("the last sync: {}", synced.stderr.trim()));
        }
        let (now, talk) = answers(self.ground);
        if now != *answers_then {
            failures.push(format!(
                "in the end answers are others than without a fault: {talk}"
            ));
        }
        let files = self.ground.files();
        let (is, should) = (names(&files), names(files_then));
        if is != should {
            failures.push(format!(
                "names differ in the end: {:?}",
                is.symmetric_difference(&should).collect::<Vec<_>>()
            ));
        }
        let differs =
            |path: &&PathBuf| is_the_users(path) && files.get(*path) != files_then.get(*path);
        let differing: Vec<_> = files_then.keys().filter(differs).collect();
        if !differing.is_empty() {
            failures.push(format!("these differ in the end: {differing:?}"));
        }
        failures.extend(self.unnamed());
    }

    /// Files of the view that no manifest names.
    fn unnamed(&self) -> Option<String> {
        let reader = Reader::open(&self.ground.tree()).ok()?;
        let named: BTreeSet<String> = reader
            .view()
            .manifest()
            .files()
            .map(|file| file.name.clone())
            .collect();
        let folder = std::fs::read_dir(self.ground.tree().join(".wsidx/view")).unwrap();
        let there = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let stray: Vec<String> = there
            .filter(|name| name != "manifest" && !named.contains(name))
            .collect();
        (!stray.is_empty()).then(|| format!("no manifest names {stray:?}"))
    }
}

/// A name that only a file in the making has.
fn is_temporary(name: Option<&str>) -> bool {
    name.is_some_and(|name| {
        name.ends_with(".part") || name.ends_with(".wsidx-part") || name.ends_with(".lock")
    })
}

fn without_numbers(call: &str) -> String {
    call.chars()
        .map(|c| {
            if c.is_ascii_digit() || c.is_ascii_uppercase() {
                '#'
            } else {
                c
            }
        })
        .collect()
}
