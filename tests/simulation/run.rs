//! One run: from a seed to what it came to.

use std::sync::{Arc, Mutex, PoisonError};

use wsidx::{
    Error,
    index::{Reader, SyncOptions, Writer},
    monitor::Silent,
    picture::Limits,
    store::packs::Packs,
};

use crate::{
    actors::{Actor, Deed, Outcome},
    broken::Broken,
    images::Numbers,
    model::{Observed, shown, value},
    oracle::{Oracle, create, first_settings},
    process::Process,
    tree::POOL,
    world::{Counts, Odds, Sim},
};

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) counts: Counts,
    pub(crate) trace: Vec<String>,
    pub(crate) failure: Option<String>,
}

/// Which faults a run has, by its seed.
fn odds(numbers: &mut Numbers) -> Odds {
    let mut some = |odds: &[u64]| odds[numbers.below(odds.len() as u64) as usize];
    Odds {
        switch: some(&[1, 2, 4, 10, 40]),
        kill: some(&[0, 100, 250, 600]),
        power: some(&[0, 150, 300, 600]),
        eio: some(&[0, 0, 150, 600]),
        full: some(&[0, 0, 100, 400]),
        rot: some(&[0, 0, 0, 0, 100, 400]),
    }
}

/// Runs a seed.
pub(crate) fn run(seed: u64, broken: Broken) -> Ran {
    let mut numbers = Numbers::new(seed ^ 0x5eed);
    let sim = Sim::new(seed, broken);
    let failure = Run {
        sim: Arc::clone(&sim),
        oracle: Arc::default(),
    }
    .all(&mut numbers)
    .err();
    let mut world = sim.world();
    Ran {
        counts: world.counts,
        trace: std::mem::take(&mut world.trace),
        failure,
    }
}

struct Run {
    sim: Arc<Sim>,
    oracle: Arc<Oracle>,
}

impl Run {
    fn all(&self, numbers: &mut Numbers) -> Outcome {
        self.sim.world().max_pack_bytes = [2_000, 8_000, 1 << 20][numbers.below(3) as usize];
        self.begin(numbers)?;
        for _ in 0..2 + numbers.below(4) {
            let odds = odds(numbers);
            self.sim.world().odds = odds;
            let actors = 1 + numbers.below(4) as usize;
            self.at_once(actors, numbers)?;
            let mut world = self.sim.world();
            world.calm();
            world.clock += 100_000_000_000;
            drop(world);
            self.recover(numbers)?;
        }
        self.end(numbers)
    }

    /// Actors, all at once, each with some deeds.
    fn at_once(&self, count: usize, numbers: &mut Numbers) -> Outcome {
        let failures: Arc<Mutex<Vec<String>>> = Arc::default();
        let actor = |number: usize| -> Box<dyn FnOnce() + Send> {
            let (mut own, failures) = (Numbers::new(numbers.next()), Arc::clone(&failures));
            let actor = Actor {
                sim: Arc::clone(&self.sim),
                oracle: Arc::clone(&self.oracle),
                number,
            };
            Box::new(move || {
                for _ in 0..1 + own.below(4) {
                    if own.below(2) == 0 {
                        // Without changes there is nothing to write.
                        actor.change(1 + own.below(4), &mut own);
                    }
                    let deed = Deed::any(&mut own);
                    if let Err(what) = actor.act(&deed, &mut own) {
                        failures
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(what);
                        actor.sim.world().stop();
                    }
                }
            })
        };
        let actors = (0..count).map(actor).collect();
        self.sim.run(actors);
        let failures =
            std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner));
        let panic = self.sim.world().failure.take();
        match failures.into_iter().chain(panic).next() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// One deed, with nothing going wrong.
    fn alone(&self, what: &str, deed: impl FnOnce(&Actor) -> Outcome + Send + 'static) -> Outcome {
        let done: Arc<Mutex<Outcome>> = Arc::new(Mutex::new(Ok(())));
        let (actor, result) = (
            Actor {
                sim: Arc::clone(&self.sim),
                oracle: Arc::clone(&self.oracle),
                number: 0,
            },
            Arc::clone(&done),
        );
        self.sim.run(vec![Box::new(move || {
            let outcome = deed(&actor);
            *result.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        })]);
        if let Some(failure) = self.sim.world().failure.take() {
            return Err(format!("{what}: {failure}"));
        }
        let outcome = std::mem::replace(
            &mut *done.lock().unwrap_or_else(PoisonError::into_inner),
            Ok(()),
        );
        outcome.map_err(|failure| format!("{what}: {failure}"))
    }

    fn begin(&self, numbers: &mut Numbers) -> Outcome {
        let files = numbers.below(30);
        let mut world = self.sim.world();
        let clock = world.clock;
        (0..files).for_each(|_| drop(world.tree.change(0, clock, numbers)));
        drop(world);
        self.alone("init", |actor| {
            let process = Process::start(&actor.sim, 0);
            first_settings()
                .and_then(|settings| create(&process, &settings))
                .map_err(|error| error.to_string())
        })?;
        let mut own = Numbers::new(numbers.next());
        self.alone("the first sync", move |actor| {
            actor.act(&Deed::Sync(Vec::new()), &mut own)
        })
    }

    /// After a crash, and after none: readers answer, a writer brings the index in line, and
    /// readers answer again.
    fn recover(&self, numbers: &mut Numbers) -> Outcome {
        let mut own = Numbers::new(numbers.next());
        let first = own.below(2) == 0;
        self.alone("after a crash", move |actor| {
            if first {
                actor.act(&Deed::Look(2), &mut own)?;
            }
            if actor.sim.world().model.rotten {
                return mend(actor);
            }
            actor.act(&Deed::Sync(Vec::new()), &mut own)?;
            actor.act(&Deed::Look(3), &mut own)?;
            actor.act(&Deed::Events, &mut own)
        })
    }

    fn end(&self, numbers: &mut Numbers) -> Outcome {
        let mut own = Numbers::new(numbers.next());
        self.alone("at the end", move |actor| {
            actor.act(&Deed::Sync(Vec::new()), &mut own)?;
            let problems = verify(actor)?;
            if !problems.is_empty() {
                return Err(format!("verify finds {problems:?}"));
            }
            is_in_line(actor).map(drop)?;
            actor.act(&Deed::Look(4), &mut own)
        })
    }
}

fn process(actor: &Actor) -> Arc<Process> {
    Process::start(&actor.sim, actor.number)
}

fn open(process: &Arc<Process>) -> wsidx::Result<Writer> {
    Writer::open_to_sync_in(&POOL.root(), process.storage(), "a writer", &Silent)
}

fn verify(actor: &Actor) -> Outcome<Vec<String>> {
    let process = process(actor);
    let found =
        open(&process).and_then(|mut writer| writer.verify(true, &Limits::default(), &Silent));
    match found {
        Ok(found) => {
            let stale = (found.stale > 0)
                .then(|| format!("{} files are stale; run `wsidx sync`", found.stale));
            Ok(found.problems.into_iter().chain(stale).collect())
        }
        Err(error @ Error::Damaged { .. }) => Ok(vec![error.to_string()]),
        Err(error) => Err(error.to_string()),
    }
}

/// The index holds just the files of the dataset.
fn is_in_line(actor: &Actor) -> Outcome<Observed> {
    let process = process(actor);
    let reader =
        Reader::open_in(&POOL.root(), process.storage()).map_err(|error| error.to_string())?;
    let files = shown(reader.view()).map_err(|error| error.to_string())?;
    let tree = actor.sim.world().tree.files();
    let right: Observed = tree
        .into_iter()
        .filter_map(|(path, content)| Some((path, value(Some(content))?)))
        .collect();
    if files == right {
        Ok(files)
    } else {
        Err("the index does not hold the files of the dataset".into())
    }
}

/// After bits have changed: what the errors say is done, one after the other, until all is sound.
fn mend(actor: &Actor) -> Outcome {
    let mut said = Vec::new();
    for _ in 0..6 {
        let problems = {
            let process = process(actor);
            if Packs::open(
                process
                    .storage()
                    .packs()
                    .map_err(|error| error.to_string())?,
            )
            .is_err()
            {
                let mut world = actor.sim.world();
                // Where no manifest has them either, other settings are chosen.
                world.model.lost_settings |= world.published().is_none();
            }
            let options = SyncOptions {
                at: actor.now(),
                ..SyncOptions::default()
            };
            let synced =
                open(&process).and_then(|mut writer| writer.sync(&options, &Silent).map(|_| ()));
            drop(process);
            match synced {
                Ok(()) => verify(actor)?,
                Err(error @ (Error::Damaged { .. } | Error::Version { .. })) => {
                    vec![error.to_string()]
                }
                Err(error) => {
                    return Err(format!("an error that does not say what mends it: {error}"));
                }
            }
        };
        if problems.is_empty() {
            let files = is_in_line(actor)?;
            actor.sim.world().model.mended(&files);
            return Ok(());
        }
        said.extend(problems.iter().cloned());
        let says = |words: &str| problems.iter().any(|problem| problem.contains(words));
        if says("run `wsidx init`")
            || says("move the index folder away and run `wsidx sync --init`")
        {
            let mut world = actor.sim.world();
            world.packs = crate::disk::Disk::default();
            world.view = crate::disk::Disk::default();
            world.sled = crate::world::Sled::default();
            drop(world);
            first_settings()
                .and_then(|settings| create(&process(actor), &settings))
                .map_err(|error| error.to_string())?;
        } else if says("`wsidx rebuild`") {
            let process = process(actor);
            let at = actor.now();
            // It may say what comes next.
            let _ = open(&process).and_then(|mut writer| writer.rebuild(false, at, &Silent));
        } else if !says("`wsidx sync`") && !says("was made again") {
            return Err(format!("nothing says what mends this: {problems:?}"));
        }
    }
    Err(format!("what is said to mend the index does not: {said:?}"))
}
