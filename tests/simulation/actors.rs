//! What actors do, one process after the other, and what is asked of each: success as the model
//! allows, or an error that has a cause.

use std::sync::Arc;

use wsidx::{
    Error,
    index::{Arrival, Arrivals, Reader, SyncOptions, Told, Writer, events_in},
    monitor::Silent,
    picture::Limits,
    similarity::EdgeRule,
};

use crate::{
    images::Numbers,
    model::{Scope, observed, shown},
    oracle::{Built, Oracle, Question, first_settings},
    process::Process,
    tree::{POOL, RelPath},
    world::Sim,
};

/// What goes wrong in a run, in words.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// One process.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// The user changes files.
    Change(u64),
    /// `wsidx sync`, of all or of some folders.
    Sync(Vec<Vec<u8>>),
    /// `wsidx watch` for some rounds, in each of which files change.
    Watch(u64),
    /// `wsidx query`, `check` and the like: some questions to one generation.
    Look(u64),
    /// A reader of the events, as `watch --since`.
    Events,
    /// `wsidx gc`, of what left so many seconds ago.
    Gc(i64),
    /// `wsidx rebuild`.
    Rebuild,
    /// `wsidx verify`.
    Verify,
    /// `wsidx calibrate --write`, or the user, changes `wsidx.toml`.
    Configure(bool),
}

impl Deed {
    pub(crate) fn any(numbers: &mut Numbers) -> Self {
        match numbers.below(20) {
            0..3 => Self::Change(1 + numbers.below(6)),
            3..7 => Self::Sync(Vec::new()),
            7 => Self::Sync(vec![
                [&b"train"[..], b"test/cat", b"data"][numbers.below(3) as usize].to_vec(),
            ]),
            8..11 => Self::Watch(1 + numbers.below(4)),
            11..15 => Self::Look(1 + numbers.below(3)),
            15 => Self::Events,
            16 | 17 => Self::Gc([0, 0, 60][numbers.below(3) as usize]),
            18 => Self::Rebuild,
            _ if numbers.below(2) == 0 => Self::Verify,
            _ => Self::Configure(numbers.below(2) == 0),
        }
    }
}

pub(crate) struct Actor {
    pub(crate) sim: Arc<Sim>,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) number: usize,
}

impl Actor {
    /// Does one thing as a process of its own.
    pub(crate) fn act(&self, deed: &Deed, numbers: &mut Numbers) -> Outcome {
        let process = Process::start(&self.sim, self.number);
        if process.is_dead() {
            return Ok(());
        }
        self.sim
            .world()
            .tell(format!("process {}: {deed:?}", process.id));
        let done = match deed {
            Deed::Change(changes) => {
                self.change(*changes, numbers);
                Ok(())
            }
            Deed::Configure(crops) => self.configure(*crops, &process),
            Deed::Sync(scopes) => self.sync(&process, scopes.clone()),
            Deed::Watch(rounds) => self.watch(&process, *rounds, numbers),
            Deed::Look(questions) => self.look(&process, *questions, numbers),
            Deed::Events => self.events(&process),
            Deed::Gc(age) => self.gc(&process, *age),
            Deed::Rebuild => self.rebuild(&process),
            Deed::Verify => self.verify(&process),
        };
        done.map_err(|what| format!("process {} ({deed:?}): {what}", process.id))
    }

    pub(crate) fn change(&self, changes: u64, numbers: &mut Numbers) -> Vec<RelPath> {
        let mut world = self.sim.world();
        let (step, clock) = (world.step(), world.clock);
        (0..changes)
            .flat_map(|_| world.tree.change(step, clock, numbers))
            .collect()
    }

    fn configure(&self, crops: bool, process: &Arc<Process>) -> Outcome {
        if let Ok(reader) = Reader::open_in(&POOL.root(), process.storage()) {
            // Few images cannot be calibrated by; that is an answer, too.
            let _ = reader.calibrate(0.4, &EdgeRule::default(), &Silent);
        }
        let mut world = self.sim.world();
        if !world.is_dead(process.id) {
            world.rules = Some(format!("[index]\ncrops = {crops}\n"));
        }
        Ok(())
    }

    /// An error has a cause: a fault that the process met, a lock that another holds, or bits that
    /// changed, and then it says what mends it.
    fn excuse(&self, process: &Process, error: &Error) -> Outcome {
        if process.met_faults() || matches!(error, Error::Locked { .. }) {
            return Ok(());
        }
        match error {
            Error::Damaged { .. } | Error::Version { .. } if self.sim.world().model.rotten => {
                Ok(())
            }
            _ => Err(format!("an error without a cause: {error}")),
        }
    }

    /// Opens the index for writing; nothing where that fails for a cause.
    fn writer(&self, process: &Arc<Process>) -> Outcome<Option<Writer>> {
        let opened = Writer::open_in(
            &POOL.root(),
            process.storage(),
            "a writer",
            process.id.is_multiple_of(2),
            &Silent,
        );
        let mut writer = match opened {
            Ok(writer) => writer,
            Err(error) => return self.excuse(process, &error).map(|()| None),
        };
        let mut world = self.sim.world();
        if world.is_dead(process.id) {
            return Ok(None);
        }
        let model = &mut world.model;
        if !model.rotten && (writer.is_incomplete() || !writer.opened.damage.is_empty()) {
            return Err(format!(
                "records were lost where no bit changed: {:?}",
                writer.opened.damage
            ));
        }
        model.opened(&observed(writer.state()))?;
        drop(world);
        writer.opened = wsidx::index::Opened::default();
        Ok(Some(writer))
    }

    /// Lets a writer change what is in a scope, and compares what it says with what it holds.
    fn write<T>(
        &self,
        process: &Arc<Process>,
        writer: &mut Writer,
        scope: Scope,
        write: impl FnOnce(&mut Writer) -> wsidx::Result<T>,
    ) -> Outcome<Option<T>> {
        let step = self.sim.world().step();
        self.sim.world().model.begin(step, scope);
        let done = write(writer);
        let (met_faults, is_dead) = (process.met_faults(), process.is_dead());
        let mut world = self.sim.world();
        let crate::world::World { model, tree, .. } = &mut *world;
        match done {
            Ok(done) if !is_dead => {
                if model.rotten && (writer.is_incomplete() || !writer.opened.damage.is_empty()) {
                    // It says that something was lost.
                    model.given_up(tree);
                    return Ok(Some(done));
                }
                model.acknowledged(tree, &observed(writer.state()), met_faults)?;
                Ok(Some(done))
            }
            Ok(_) => {
                model.given_up(tree);
                Ok(None)
            }
            Err(error) => {
                model.given_up(tree);
                drop(world);
                self.excuse(process, &error).map(|()| None)
            }
        }
    }

    /// A writer that publishes has reported success, or not: a power loss does not take back what
    /// is published now.
    fn published(&self, acknowledged: bool) {
        let mut world = self.sim.world();
        if let Some(generation) = world
            .published()
            .filter(|_| acknowledged && !world.model.rotten)
        {
            world.model.published(generation);
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.sim.world().seconds()
    }

    fn sync(&self, process: &Arc<Process>, scopes: Vec<Vec<u8>>) -> Outcome {
        let Some(mut writer) = self.writer(process)? else {
            return Ok(());
        };
        let scope = Scope::Below(if scopes.is_empty() {
            vec![Vec::new()]
        } else {
            scopes.clone()
        });
        let options = SyncOptions {
            scopes,
            at: self.now(),
            limits: None,
        };
        let synced = self.write(process, &mut writer, scope, |writer| {
            writer.sync(&options, &Silent)
        })?;
        self.published(synced.is_some());
        Ok(())
    }

    fn gc(&self, process: &Arc<Process>, age: i64) -> Outcome {
        let Some(mut writer) = self.writer(process)? else {
            return Ok(());
        };
        let at = self.now();
        self.sim.world().model.dropped_events = true;
        let cleared = self.write(process, &mut writer, Scope::Nothing, |writer| {
            writer.gc(at - age + 1, at, &Silent)
        })?;
        self.published(cleared.is_some());
        Ok(())
    }

    fn rebuild(&self, process: &Arc<Process>) -> Outcome {
        let Some(mut writer) = self.writer(process)? else {
            return Ok(());
        };
        let at = self.now();
        let rebuilt = self.write(process, &mut writer, Scope::Nothing, |writer| {
            writer.rebuild(false, at, &Silent)
        })?;
        self.published(rebuilt.is_some());
        Ok(())
    }

    fn verify(&self, process: &Arc<Process>) -> Outcome {
        let Some(mut writer) = self.writer(process)? else {
            return Ok(());
        };
        self.write(process, &mut writer, Scope::Nothing, |writer| {
            writer.verify(true, &Limits::default(), &Silent)
        })
        .map(|_| ())
    }

    fn watch(&self, process: &Arc<Process>, rounds: u64, numbers: &mut Numbers) -> Outcome {
        let Some(mut writer) = self.writer(process)? else {
            return Ok(());
        };
        let at = self.now();
        let intake = self.write(process, &mut writer, Scope::Nothing, |writer| {
            writer.intake(&[], at, &Silent)
        })?;
        let Some(mut intake) = intake else {
            return Ok(());
        };
        for _ in 0..rounds {
            let paths = self.change(1 + numbers.below(4), numbers);
            let at = self.now();
            let files = self.sim.world().tree.files();
            let (there, gone): (Vec<RelPath>, Vec<RelPath>) = paths
                .iter()
                .cloned()
                .partition(|path| files.contains_key(path));
            let files = there
                .into_iter()
                .map(|path| Arrival {
                    path,
                    growing: numbers.below(3) == 0,
                })
                .collect();
            let arrivals = Arrivals {
                files,
                gone,
                leave: true,
                ..Arrivals::default()
            };
            let words = &mut |seq: u64, told: &Told<'_>| {
                let text = match told {
                    Told::Verdict(checked) => format!(
                        "{} {:?}",
                        checked.judgement.verdict.name(),
                        checked.item.path
                    ),
                    Told::Moved { from, to, .. } => format!("{from:?} {to:?}"),
                    Told::Removed { path, .. } => format!("{path:?}"),
                };
                format!("{seq} {text}").into_bytes()
            };
            let scope = Scope::Some(paths.into_iter().collect());
            let taken = self.write(process, &mut writer, scope, |writer| {
                writer.take_arrivals(&mut intake, arrivals, at, words, &Silent)
            })?;
            let Some(taken) = taken else { return Ok(()) };
            self.published(true);
            let mut world = self.sim.world();
            for (seq, text) in taken.events {
                if world.model.events.insert(seq, text).is_some() {
                    return Err(format!("event {seq} was told twice"));
                }
            }
        }
        self.write(process, &mut writer, Scope::Nothing, Writer::save)
            .map(|_| ())
    }

    fn events(&self, process: &Arc<Process>) -> Outcome {
        let told = self.sim.world().model.events.clone();
        let mut found = std::collections::BTreeMap::new();
        let visit = &mut |seq, text: &[u8]| {
            found.insert(seq, text.to_vec());
            Ok(())
        };
        match events_in(&POOL.root(), process.storage(), 0, visit) {
            Err(error) => return self.excuse_gc(process, &error),
            Ok(()) if process.met_faults() => return Ok(()),
            Ok(()) => {}
        }
        let mut world = self.sim.world();
        if world.model.rotten {
            return Ok(());
        }
        for (seq, text) in &told {
            match found.get(seq) {
                Some(found) if found != text => {
                    return Err(format!("event {seq} has another text than was told"));
                }
                None if !world.model.dropped_events => return Err(format!("event {seq} is lost")),
                _ => {}
            }
        }
        // `gc` drops old events, but never the last one.
        if found.keys().next_back() < told.keys().next_back() {
            return Err("the last event is lost".into());
        }
        world.tell(format!("{} events", found.len()));
        Ok(())
    }

    /// A reader of events has no packs held open: a `gc` may take them away under it.
    fn excuse_gc(&self, process: &Process, error: &Error) -> Outcome {
        match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
            _ => self.excuse(process, error),
        }
    }

    pub(crate) fn look(
        &self,
        process: &Arc<Process>,
        questions: u64,
        numbers: &mut Numbers,
    ) -> Outcome {
        let since = self.sim.world().model.generation;
        let reader = match Reader::open_in(&POOL.root(), process.storage()) {
            Ok(reader) => reader,
            Err(error) => return self.excuse(process, &error),
        };
        let seen = shown(reader.view());
        let mut world = self.sim.world();
        let crate::world::World { model, tree, .. } = &mut *world;
        let files = match seen {
            Ok(files) => files,
            Err(error) => {
                drop(world);
                return self.excuse(process, &error);
            }
        };
        model.seen(tree, reader.view().manifest().generation, since, &files)?;
        drop(world);
        for question in 0..questions {
            let question = if question == 0 {
                Question::Everything
            } else {
                Question::any(numbers)
            };
            let answer = match question.answer(&reader) {
                Ok(answer) => answer,
                Err(error) => return self.excuse(process, &error),
            };
            self.compare(&reader, &files, &question, &answer)?;
        }
        Ok(())
    }

    fn compare(
        &self,
        reader: &Reader,
        files: &crate::model::Observed,
        question: &Question,
        answer: &str,
    ) -> Outcome {
        let crops = reader.view().crops().is_some();
        let settings = reader.view().manifest().settings.clone();
        let first = first_settings().map_err(|error| error.to_string())?;
        if settings != first && !self.sim.world().model.lost_settings {
            return Err("the settings of the index are not those it was made with".into());
        }
        let built = Built {
            files: files.clone(),
            crops,
            settings,
        };
        let right = self
            .oracle
            .answer(built, question)
            .map_err(|error| format!("the index that is built from nothing: {error}"))?;
        self.sim.world().counts.compared += 1;
        if right == answer {
            return Ok(());
        }
        let differs = right
            .lines()
            .zip(answer.lines())
            .find(|(right, wrong)| right != wrong);
        Err(format!(
            "an answer is not that of an index built from nothing: {differs:#?}"
        ))
    }
}
