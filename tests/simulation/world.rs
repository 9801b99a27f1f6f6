//! The world of one run: disks, dataset, clock, lock and catalog, and who may go on. Every call of
//! a process comes through [`Sim::call`], where the seed decides what becomes of it.
//!
//! One thread an actor, and one of them runs at a time: at each call it may have to hand over to
//! another. A process that was killed finds all its calls refused, without effect and without
//! handing over, until its thread has come back to its actor.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use wsidx::store::{catalog::Mark, state::State, view::Manifest};

use crate::{broken::Broken, disk::Disk, images::Numbers, model::Model, tree::Tree};

/// One in how many calls a thing happens; 0: never.
#[derive(Clone, Copy, Default)]
pub(crate) struct Odds {
    pub(crate) switch: u64,
    pub(crate) kill: u64,
    pub(crate) power: u64,
    pub(crate) eio: u64,
    pub(crate) full: u64,
    pub(crate) rot: u64,
}

impl Odds {
    /// Most calls read, and what is hard is when the others fail.
    fn of(self, kind: Kind) -> Self {
        let by = |odds: u64| match kind {
            Kind::Writes => odds.div_ceil(6),
            Kind::Grows => odds.div_ceil(2),
            Kind::Reads | Kind::Waits => odds * 4,
        };
        Self {
            kill: by(self.kill),
            power: by(self.power),
            eio: by(self.eio),
            ..self
        }
    }
}

/// What a call does, for the faults that may meet it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reads,
    Writes,
    /// Takes space.
    Grows,
    /// Nothing but time can pass.
    Waits,
}

/// What meets a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Killed,
    PowerLost,
    Eio,
    NoSpace,
}

impl Fault {
    pub(crate) fn error(self) -> io::Error {
        match self {
            Self::Killed | Self::PowerLost => dead(),
            Self::Eio => io::Error::from_raw_os_error(5),
            Self::NoSpace => io::Error::from_raw_os_error(28),
        }
    }
}

pub(crate) fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

/// How often things happened.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) switches: u64,
    pub(crate) kills: u64,
    pub(crate) power_losses: u64,
    pub(crate) eio: u64,
    pub(crate) full: u64,
    pub(crate) rot: u64,
    pub(crate) processes: u64,
    pub(crate) compared: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.switches += other.switches;
        self.kills += other.kills;
        self.power_losses += other.power_losses;
        self.eio += other.eio;
        self.full += other.full;
        self.rot += other.rot;
        self.processes += other.processes;
        self.compared += other.compared;
    }
}

#[derive(Default)]
struct Actor {
    finished: bool,
    waits_for_lock: bool,
}

#[derive(Default)]
struct ProcessState {
    dead: bool,
    faults: u64,
}

/// What sled has of the catalog, and what it had.
#[derive(Default)]
pub(crate) struct Sled {
    pub(crate) now: Option<(State, Mark)>,
    pub(crate) older: Vec<(State, Mark)>,
}

impl Sled {
    /// What may be found after a crash: all of it, something older, or nothing that is whole.
    pub(crate) fn crash(&mut self, numbers: &mut Numbers) {
        match numbers.below(4) {
            0 => self.now = None,
            1 if !self.older.is_empty() => {
                self.now =
                    Some(self.older[numbers.below(self.older.len() as u64) as usize].clone());
            }
            _ => {}
        }
    }
}

pub(crate) struct World {
    pub(crate) numbers: Numbers,
    pub(crate) odds: Odds,
    pub(crate) packs: Disk,
    pub(crate) view: Disk,
    pub(crate) sled: Sled,
    pub(crate) tree: Tree,
    pub(crate) rules: Option<String>,
    pub(crate) lock: Option<u64>,
    /// Nanoseconds since 1970.
    pub(crate) clock: i64,
    pub(crate) model: Model,
    pub(crate) broken: Broken,
    pub(crate) max_pack_bytes: u64,
    pub(crate) counts: Counts,
    pub(crate) failure: Option<String>,
    pub(crate) trace: Vec<String>,
    /// How many more calls the disk is full.
    full: u64,
    /// Whether the power went, and no process starts any more.
    pub(crate) is_dark: bool,
    actors: Vec<Actor>,
    running: Option<usize>,
    processes: BTreeMap<u64, ProcessState>,
}

impl World {
    pub(crate) fn step(&self) -> u64 {
        self.counts.calls
    }

    fn happens(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.numbers.below(one_in) == 0
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.clock / 1_000_000_000
    }

    pub(crate) fn tell(&mut self, line: String) {
        self.trace.push(line);
    }

    pub(crate) fn is_dead(&self, process: u64) -> bool {
        self.processes.get(&process).is_none_or(|state| state.dead)
    }

    pub(crate) fn faults(&self, process: u64) -> u64 {
        self.processes.get(&process).map_or(0, |state| state.faults)
    }

    fn kill(&mut self, process: u64) {
        self.processes.entry(process).or_default().dead = true;
        if self.lock == Some(process) {
            self.lock = None;
        }
    }

    /// What meets a call of a process.
    fn fault(&mut self, process: u64, kind: Kind) -> Option<Fault> {
        let odds = self.odds.of(kind);
        if self.happens(odds.rot) {
            // What a writer has of the view it has checked, and the system keeps it in memory.
            let disk = if self.numbers.below(2) == 0 || self.lock.is_some() {
                &mut self.packs
            } else {
                &mut self.view
            };
            if let Some((name, at)) = disk.rot(&mut self.numbers) {
                self.counts.rot += 1;
                self.model.rotten = true;
                self.tell(format!("a bit of {name} rots at {at}"));
            }
        }
        if self.full == 0 && self.happens(odds.full) {
            self.counts.full += 1;
            self.full = 1 + self.numbers.below(40);
        }
        self.full = self.full.saturating_sub(1);
        let fault = if self.happens(odds.power) {
            Some(Fault::PowerLost)
        } else if self.happens(odds.kill) {
            Some(Fault::Killed)
        } else if kind != Kind::Waits && self.happens(odds.eio) {
            Some(Fault::Eio)
        } else if kind == Kind::Grows && self.full > 0 {
            Some(Fault::NoSpace)
        } else {
            None
        };
        if let Some(fault) = fault {
            self.processes.entry(process).or_default().faults += 1;
            match fault {
                Fault::Killed => self.counts.kills += 1,
                Fault::PowerLost => self.counts.power_losses += 1,
                Fault::Eio => self.counts.eio += 1,
                Fault::NoSpace => {}
            }
        }
        fault
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn calm(&mut self) {
        self.odds = Odds::default();
        self.full = 0;
    }

    /// Ends all processes at once.
    pub(crate) fn stop(&mut self) {
        self.is_dark = true;
        let all: Vec<u64> = self.processes.keys().copied().collect();
        all.into_iter().for_each(|process| self.kill(process));
    }

    fn lose_power(&mut self) {
        self.stop();
        self.packs.lose_power(&mut self.numbers);
        self.view.lose_power(&mut self.numbers);
        self.sled.crash(&mut self.numbers);
        self.model.power_lost();
    }

    /// The generation of the manifest, as it is on the disk of the view.
    pub(crate) fn published(&self) -> Option<u64> {
        let manifest = self.view.open("manifest").ok()?;
        Some(
            Manifest::from_bytes(self.view.bytes(manifest))
                .ok()?
                .generation,
        )
    }

    /// One of the actors that can go on.
    fn next(&mut self) -> Option<usize> {
        let is_ready =
            |actor: &Actor| !(actor.finished || actor.waits_for_lock && self.lock.is_some());
        let ready: Vec<usize> = (0..self.actors.len())
            .filter(|&at| is_ready(&self.actors[at]))
            .collect();
        ready
            .get(self.numbers.below(ready.len().max(1) as u64) as usize)
            .copied()
    }
}

/// A world, and the threads that wait for their turn in it.
pub(crate) struct Sim {
    world: Mutex<World>,
    bell: Condvar,
}

impl Sim {
    pub(crate) fn new(seed: u64, broken: Broken) -> Arc<Self> {
        let world = World {
            numbers: Numbers::new(seed),
            odds: Odds::default(),
            packs: Disk::default(),
            view: Disk::default(),
            sled: Sled::default(),
            tree: Tree::default(),
            rules: None,
            lock: None,
            clock: 1_700_000_000_000_000_000,
            model: Model::default(),
            broken,
            max_pack_bytes: wsidx::store::packs::Packs::MAX_PACK_BYTES,
            counts: Counts::default(),
            failure: None,
            trace: Vec::new(),
            full: 0,
            is_dark: false,
            actors: Vec::new(),
            running: None,
            processes: BTreeMap::new(),
        };
        Arc::new(Self {
            world: Mutex::new(world),
            bell: Condvar::new(),
        })
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs actors to their ends, each on a thread of its own and in a pool of that one thread, so
    /// that nothing goes on beside it.
    pub(crate) fn run(self: &Arc<Self>, actors: Vec<Box<dyn FnOnce() + Send>>) {
        let mut world = self.world();
        world.is_dark = false;
        world.actors = actors.iter().map(|_| Actor::default()).collect();
        world.running = None;
        drop(world);
        std::thread::scope(|scope| {
            for (at, actor) in actors.into_iter().enumerate() {
                scope.spawn(move || {
                    drop(self.wait(self.world(), at));
                    let pool = rayon::ThreadPoolBuilder::new()
                        .num_threads(1)
                        .use_current_thread()
                        .build()
                        .expect("a pool of this thread");
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        pool.install(actor);
                    }));
                    self.finish(at, ended.is_err());
                });
            }
            let mut world = self.world();
            world.running = world.next();
            drop(world);
            self.bell.notify_all();
        });
    }

    fn wait<'a>(&'a self, world: MutexGuard<'a, World>, actor: usize) -> MutexGuard<'a, World> {
        self.bell
            .wait_while(world, |world| world.running != Some(actor))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, actor: usize, panicked: bool) {
        let mut world = self.world();
        if panicked {
            world.failure.get_or_insert_with(|| "a panic".to_owned());
        }
        world.actors[actor].finished = true;
        world.running = world.next();
        drop(world);
        self.bell.notify_all();
    }

    fn hand_over<'a>(
        &'a self,
        mut world: MutexGuard<'a, World>,
        actor: usize,
    ) -> MutexGuard<'a, World> {
        let next = world.next();
        assert!(next.is_some(), "all wait for a lock that nobody lets go");
        if next == Some(actor) {
            return world;
        }
        world.counts.switches += 1;
        world.running = next;
        self.bell.notify_all();
        self.wait(world, actor)
    }

    /// Starts a process.
    pub(crate) fn start(&self) -> u64 {
        let mut world = self.world();
        world.counts.processes += 1;
        let id = world.counts.processes;
        let dead = world.is_dark;
        world.processes.insert(id, ProcessState { dead, faults: 0 });
        id
    }

    /// Ends a process.
    pub(crate) fn end(&self, process: u64) {
        let mut world = self.world();
        if world.lock == Some(process) {
            world.lock = None;
        }
        world.processes.remove(&process);
    }

    /// One call. Others may go on before it; then it is met by a fault, or does what it does.
    ///
    /// `act` receives the fault, so that it can leave a part of its work behind; of a process that
    /// dies here nothing else is left.
    pub(crate) fn call<T>(
        &self,
        (process, actor): (u64, usize),
        kind: Kind,
        what: &dyn Fn() -> String,
        act: impl FnOnce(&mut World, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.world();
        if world.is_dead(process) {
            return Err(dead());
        }
        let odds = world.odds;
        if world.happens(odds.switch) {
            world = self.hand_over(world, actor);
            if world.is_dead(process) {
                return Err(dead());
            }
        }
        world.counts.calls += 1;
        if world.numbers.below(3) == 0 {
            world.clock += 1_000_000;
        }
        let fault = world.fault(process, kind);
        let result = act(&mut world, fault);
        let line = format!(
            "{} {process} {} {:?} {}",
            world.counts.calls,
            what(),
            fault,
            result.is_ok()
        );
        world.tell(line);
        match fault {
            Some(Fault::Killed) => world.kill(process),
            Some(Fault::PowerLost) => world.lose_power(),
            _ => {}
        }
        match fault {
            Some(fault) => Err(fault.error()),
            None => result,
        }
    }

    /// Takes the lock; where it is held, waits for it or is refused.
    pub(crate) fn lock(&self, (process, actor): (u64, usize), wait: bool) -> io::Result<bool> {
        loop {
            let exclusive = self.world().broken != Broken::TwoWriters;
            let got = self.call(
                (process, actor),
                Kind::Waits,
                &|| "lock".to_owned(),
                |world, fault| {
                    let free = world.lock.is_none() || !exclusive;
                    if free && fault.is_none() {
                        world.lock = Some(process);
                    }
                    Ok(free)
                },
            )?;
            if got || !wait {
                return Ok(got);
            }
            let mut world = self.world();
            world.actors[actor].waits_for_lock = true;
            world = self.hand_over(world, actor);
            world.actors[actor].waits_for_lock = false;
        }
    }
}
