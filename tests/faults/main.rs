//! Faults at every call of the real program: each call by which a command changes files is in turn
//! the last one of a killed process, fails with EIO, with ENOSPC, or is where the disk becomes
//! full.
//!
//! `inject.c`, which the test compiles, counts the calls and makes the fault. Whatever happens:
//! what was acknowledged before is there, `check` and `query` give the old answer, the new one or
//! an error, the user's own files are the old or the new ones as a whole, the next `wsidx sync`
//! mends the index without anybody's help, and the command itself then does what it does without
//! faults and leaves nothing lying about.
//!
//! A sample of the points runs by default. `WSIDX_FAULTS=all` runs every point of every command and
//! prints the table for the record (with `--nocapture`); `WSIDX_FAULTS=NAME` those of one command,
//! `WSIDX_FAULTS='NAME KIND'` of one kind, and `WSIDX_FAULTS='NAME KIND N'` a single one.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod ground;
mod injector;
mod judge;
mod scenes;

use std::{collections::VecDeque, sync::Mutex};

use ground::Ground;
use injector::{Fault, Injector};
use judge::{Expected, Point};
use scenes::{Scene, scenes};

/// Points of each command and kind in the sample.
const SAMPLED: u64 = 1;

/// Commands on many images, which are not sampled.
const HEAVY: [&str; 3] = ["sync-fits", "rebuild-refit", "calibrate"];

/// Which points run.
#[derive(Debug, Clone)]
enum Which {
    Sample,
    All(Option<String>, Option<Fault>),
    One(String, Fault, u64),
}

impl Which {
    fn asked() -> Self {
        let Ok(text) = std::env::var("WSIDX_FAULTS") else {
            return Self::Sample;
        };
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["all"] => Self::All(None, None),
            [name] => Self::All(Some(name.to_owned()), None),
            [name, fault] => Self::All(Some(name.to_owned()), Some(fault.parse().unwrap())),
            [name, fault, n] => {
                Self::One(name.to_owned(), fault.parse().unwrap(), n.parse().unwrap())
            }
            _ => panic!("WSIDX_FAULTS is all, NAME, NAME KIND, or NAME KIND N"),
        }
    }

    fn has(&self, scene: &Scene) -> bool {
        match self {
            Self::Sample => !HEAVY.contains(&scene.name),
            Self::All(None, _) => true,
            Self::All(Some(name), _) | Self::One(name, ..) => name == scene.name,
        }
    }

    /// The points of a kind, given how many calls the command makes without a fault. With all of
    /// them it goes on until a run ends before the point, since the number of calls is not always
    /// the same.
    fn points(&self, fault: Fault, calls: u64, scene: u64) -> Box<dyn Iterator<Item = u64>> {
        match *self {
            Self::Sample => {
                // Spread over the command, and elsewhere for each kind and command.
                let shift = (scene * 7 + fault as u64 * 3) % 5;
                Box::new(
                    (0..SAMPLED.min(calls))
                        .map(move |i| 1 + (calls * (5 * i + shift) / (5 * SAMPLED)).min(calls - 1)),
                )
            }
            Self::All(_, Some(only)) if only != fault => Box::new(std::iter::empty()),
            Self::All(..) => Box::new(1..),
            Self::One(_, only, n) => Box::new((only == fault).then_some(n).into_iter()),
        }
    }
}

/// What came of one command.
struct Row {
    name: &'static str,
    calls: u64,
    points: [u64; Fault::ALL.len()],
    failures: Vec<String>,
    tolerated: Vec<String>,
}

fn run_scene(injector: &Injector, scene: &Scene, number: u64, which: &Which) -> Row {
    let ground = Ground::prepare(scene);
    let expected = Expected::of(injector, scene, &ground);
    let mut row = Row {
        name: scene.name,
        calls: expected.calls,
        points: [0; Fault::ALL.len()],
        failures: Vec::new(),
        tolerated: Vec::new(),
    };
    for fault in Fault::ALL {
        for n in which.points(fault, expected.calls, number) {
            let judged = Point {
                injector,
                scene,
                ground: &ground,
                expected: &expected,
                fault,
                n,
            }
            .judge();
            if !judged.reached {
                break;
            }
            row.points[fault as usize] += 1;
            judged
                .failures
                .iter()
                .for_each(|why| eprintln!("FAILED {} {} {n}: {why}", scene.name, fault.name()));
            row.failures.extend(
                judged
                    .failures
                    .into_iter()
                    .map(|why| format!("{} {} {n}: {why}", scene.name, fault.name())),
            );
            row.tolerated.extend(judged.tolerated);
        }
    }
    row
}

#[test]
fn a_fault_at_any_call_loses_nothing_and_needs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let injector = match Injector::build(folder.path()) {
        Ok(injector) => injector,
        Err(why) => return eprintln!("SKIPPED: faults at calls of the program: {why}"),
    };
    let which = Which::asked();
    let queue: Mutex<VecDeque<_>> = Mutex::new(
        scenes()
            .into_iter()
            .zip(1..)
            .filter(|(scene, _)| which.has(scene))
            .collect(),
    );
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get().min(4)) {
            scope.spawn(|| {
                loop {
                    let Some((scene, number)) = queue.lock().unwrap().pop_front() else {
                        break;
                    };
                    let row = run_scene(&injector, &scene, number, &which);
                    println!(
                        "{}: {} points, {} failures",
                        row.name,
                        row.points.iter().sum::<u64>(),
                        row.failures.len()
                    );
                    rows.lock().unwrap().push((number, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(number, _)| *number);
    println!(
        "| command | calls | {} | failures |",
        Fault::ALL.map(Fault::name).join(" | ")
    );
    for (_, row) in &rows {
        println!(
            "| {} | {} | {} | {} |",
            row.name,
            row.calls,
            row.points.map(|n| n.to_string()).join(" | "),
            row.failures.len()
        );
    }
    let mut tolerated: Vec<_> = rows.iter().flat_map(|(_, row)| &row.tolerated).collect();
    tolerated.sort();
    tolerated.dedup();
    tolerated
        .iter()
        .for_each(|line| println!("went on and did all of it: {line}"));
    let failures: Vec<_> = rows
        .iter()
        .flat_map(|(_, row)| row.failures.clone())
        .collect();
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn commands_that_only_read_change_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let injector = match Injector::build(folder.path()) {
        Ok(injector) => injector,
        Err(why) => return eprintln!("SKIPPED: calls of commands that only read: {why}"),
    };
    let ground = Ground::prepare(&scenes::reading());
    let lines = [
        "check .",
        "query cat/0.ppm",
        "groups",
        "outliers",
        "status",
        "cluster",
        "similarity",
        "spectrum",
        "reduce --clusters 5",
        "compare cat/0.ppm cat/1.ppm",
        "watch events",
        "debug basis",
    ];
    for line in lines {
        let arguments: Vec<&str> = line.split(' ').collect();
        let run = injector.run(&ground, &arguments, Fault::Kill, u64::MAX);
        assert!(
            matches!(run.status, 0 | 1),
            "{line}: {} {}",
            run.status,
            run.stderr
        );
        assert_eq!(run.calls, Vec::<String>::new(), "{line}");
    }
}
