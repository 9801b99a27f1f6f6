//! The whole system from one seed: several actors on simulated disks, with a simulated clock, under
//! a seeded scheduler, with all that may go wrong. After each crash the next process finds the old
//! state or the new one, nothing that was acknowledged is missing, readers see whole generations at
//! any moment and answer as an index built from nothing does, and at the end the index is that one.
//!
//! ```text
//! cargo test --release --test simulation                                                 300 seeds
//! WSIDX_SEED=123 cargo test --release --test simulation replay -- --nocapture            one of them, call by call
//! WSIDX_SEEDS=10000 cargo test --release --test simulation any_seed -- --nocapture        more of them
//! ```
//!
//! After slatedb's `dst`, TigerBeetle's VOPR and turso's simulator.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod actors;
mod broken;
mod disk;
#[path = "../support/images.rs"]
mod images;
mod model;
mod oracle;
mod process;
mod run;
mod tree;
mod world;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use broken::Broken;
use run::{Ran, run};
use world::Counts;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

fn command(seed: u64) -> String {
    format!(
        "seed {seed}; WSIDX_SEED={seed} cargo test --release --test simulation replay -- --nocapture"
    )
}

/// Runs seeds on all processors until `stop` is met. What they came to, and the failures.
fn all(
    first: u64,
    count: u64,
    broken: Broken,
    stop_at_first: bool,
) -> (Counts, Vec<(u64, String)>) {
    let next = AtomicU64::new(first);
    let found = Mutex::new((Counts::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count
                        || (stop_at_first && !found.lock().unwrap().1.is_empty())
                    {
                        return;
                    }
                    let Ran {
                        counts, failure, ..
                    } = run(seed, broken);
                    let mut found = found.lock().unwrap();
                    found.0.add(&counts);
                    found.1.extend(failure.map(|failure| (seed, failure)));
                }
            });
        }
    });
    let (counts, mut failures) = found.into_inner().unwrap();
    failures.sort();
    (counts, failures)
}

#[test]
fn from_any_seed_nothing_acknowledged_is_lost_and_no_answer_is_wrong() {
    let (first, count) = (
        number("WSIDX_FIRST").unwrap_or(0),
        number("WSIDX_SEEDS").unwrap_or(300),
    );
    let began = Instant::now();
    let (counts, failures) = all(first, count, Broken::Nothing, false);
    println!(
        "{count} seeds from {first} in {:.1} s: {counts:?}",
        began.elapsed().as_secs_f64()
    );
    for (seed, failure) in &failures {
        println!("{}\n    {failure}", command(*seed));
    }
    assert!(
        failures.is_empty(),
        "{} of {count} seeds fail",
        failures.len()
    );
}

#[test]
fn replay() {
    let Some(seed) = number("WSIDX_SEED") else {
        return;
    };
    let broken = std::env::var("WSIDX_BROKEN").unwrap_or_default();
    let broken = Broken::ALL
        .into_iter()
        .find(|known| format!("{known:?}") == broken)
        .unwrap_or_default();
    let ran = run(seed, broken);
    ran.trace.iter().for_each(|line| println!("{line}"));
    println!("{:?}", ran.counts);
    if let Some(failure) = ran.failure {
        panic!("{}\n    {failure}", command(seed));
    }
}

#[test]
fn a_replay_is_the_same_call_by_call() {
    for seed in 0..20 {
        let (one, other) = (run(seed, Broken::Nothing), run(seed, Broken::Nothing));
        let differs = one
            .trace
            .iter()
            .zip(&other.trace)
            .find(|(one, other)| one != other);
        assert!(
            differs.is_none() && one.trace.len() == other.trace.len(),
            "seed {seed}: {differs:?}"
        );
        assert_eq!(one.failure, other.failure);
    }
}

#[test]
fn each_fault_of_ordering_is_found() {
    for broken in Broken::ALL {
        let (counts, failures) = all(0, 1_000, broken, true);
        let (seed, failure) = failures
            .first()
            .unwrap_or_else(|| panic!("{broken:?} is not found in {counts:?}"));
        let without = run(*seed, Broken::Nothing).failure;
        assert_eq!(without, None, "seed {seed} fails without {broken:?}, too");
        println!("{broken:?}: seed {seed}: {failure}");
    }
}
