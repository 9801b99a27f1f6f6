//! Files that have settled and paths that left → verdicts and other events, committed and published
//! with them: what a watcher does with each batch.
//!
//! A batch is one check request (`check`) and one commit: every event is in the batch of what it
//! tells of, so after a crash there are both or neither, and the numbers of events have no gap.
//! What is judged is held against the view, which shows all that was told before; when a batch is
//! told, the view shows it, too. Files of the next batch are read, and what a check makes of them
//! first is made, while a batch is written (`arrivals`); their verdicts do not depend on that. When
//! to look at which file, and how events are written, are left to the caller.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;

use super::{
    Ahead, CheckItem, CheckOptions, Checked, Home, Published, Reader, Storage, Writer,
    arrivals::Arrived,
    batch::{Contained, Outcome},
    check::{Settled, except},
    sync::Plan,
};
use crate::{
    Error, Result,
    dataset::{Found, Labels, Listing, Naming, to_path},
    knn::Live,
    monitor::Monitor,
    store::{
        history::{gone_record, path_record},
        packs::{Event, Record, View as PackView},
        state::{ContentId, PathEntry},
    },
    verdict::{Exceptions, Occurrence, Rules},
};

/// A file that seems to have settled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// Relative to the root.
    pub path: Arc<[u8]>,
    /// Whether somebody may still be writing it: if it then cannot be read, it is left for later.
    pub growing: bool,
}

/// What a watcher hands over at once.
#[derive(Default)]
pub struct Arrivals {
    /// Files that are new or may have changed.
    pub files: Vec<Arrival>,
    /// More of them, which were read before.
    pub ahead: Option<Ahead>,
    /// Files that will be handed over next: they are read while these are written.
    pub next: Vec<Arrival>,
    /// Paths that are no more. One whose content is among the files has moved there.
    pub gone: Vec<Arc<[u8]>>,
    /// Whether the other ones leave. If not, they wait for files that are handed over later, and
    /// count no more in the meantime.
    pub leave: bool,
}

/// Something to be told.
#[derive(Debug)]
pub enum Told<'a> {
    /// A file is new, or has another content, label or split.
    Verdict(&'a Checked),
    /// A file has another path, and is otherwise the same.
    Moved {
        /// Where it was.
        from: &'a [u8],
        /// Where it is.
        to: &'a [u8],
        /// Its content.
        id: &'a ContentId,
    },
    /// A path is no more.
    Removed {
        /// The path.
        path: &'a [u8],
        /// What it held; none where that could not be read as an image.
        id: Option<&'a ContentId>,
    },
}

/// Writes an event, which has this number.
pub type Words<'a> = dyn FnMut(u64, &Told<'_>) -> Vec<u8> + 'a;

/// A file that has not settled after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Relative to the root.
    pub path: Arc<[u8]>,
    /// Why it could not be read.
    pub reason: String,
}

/// What became of a batch.
#[derive(Default)]
pub struct Taken {
    /// Events with their numbers, durable and visible; in the order of the store.
    pub events: Vec<(u64, Vec<u8>)>,
    /// Files to be handed over again.
    pub unsettled: Vec<Unsettled>,
    /// Paths that have left or moved.
    pub left: Vec<Arc<[u8]>>,
    /// What became visible.
    pub published: Published,
    /// What was read of the files that come next, to be handed over in their place; none where that
    /// failed.
    pub ahead: Option<Ahead>,
}

/// What holds for all batches until the tables of labels, `wsidx.toml` or the exceptions change.
#[derive(Debug)]
pub struct Intake {
    pub(super) labels: Labels,
    pub(super) naming: Naming,
    exceptions: Exceptions,
    rules: Rules,
    options: CheckOptions,
}

impl Intake {
    /// What `wsidx.toml` says.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// A batch, sorted by what is to be said of it.
#[derive(Default)]
struct Sorted {
    /// Files as they were, but for what the file system says of them.
    quiet: Vec<Record>,
    /// Where a file was, and what is where now.
    moved: Vec<(Arc<[u8]>, Outcome)>,
    judged: Vec<Arrived>,
}

/// A change with its event.
enum Step<'a> {
    Judged(&'a Checked, Outcome),
    Moved(Arc<[u8]>, Outcome),
    Removed(Arc<[u8]>, Option<ContentId>),
}

impl Step<'_> {
    fn path(&self) -> &[u8] {
        match self {
            Self::Judged(_, outcome) | Self::Moved(_, outcome) => &outcome.path,
            Self::Removed(path, _) => path,
        }
    }

    fn told(&self) -> Told<'_> {
        match self {
            Self::Judged(checked, _) => Told::Verdict(checked),
            Self::Moved(from, outcome) => Told::Moved {
                from,
                to: &outcome.path,
                id: outcome.entry.content().unwrap_or(&[0; 32]),
            },
            Self::Removed(path, id) => Told::Removed {
                path,
                id: id.as_ref(),
            },
        }
    }
}

impl Writer {
    /// Makes the last commit visible, and reads what will hold for all batches; `tables` are the
    /// tables of labels, sorted.
    ///
    /// # Errors
    /// [`Error::Input`] for a table, `wsidx.toml` or exceptions that cannot be used; as
    /// [`Writer::publish`].
    pub fn intake(
        &mut self,
        tables: &[Arc<[u8]>],
        at: i64,
        monitor: &dyn Monitor,
    ) -> Result<Intake> {
        self.publish(at, monitor)?;
        self.regraphed.get_or_insert_default();
        let is_new = self.registrations.is_none();
        let reader = self.reader()?;
        if is_new {
            reader.prepare_registry(monitor)?;
        }
        let rules = reader.rules()?;
        let labels = Labels::read(&self.home.root, tables, &rules.limits)?;
        let exceptions = reader.exceptions(&rules.edges)?;
        let options = CheckOptions {
            rule: rules.edges,
            ..CheckOptions::default()
        };
        Ok(Intake {
            labels,
            naming: Naming::around(&self.home.root),
            exceptions,
            rules,
            options,
        })
    }

    /// Takes in a batch: reads the files, judges those that are new or changed, and commits and
    /// publishes all of it with its events, which `words` writes.
    ///
    /// # Errors
    /// [`Error::Io`], after which nothing of the batch was told and the index must be opened again;
    /// [`Error::Damaged`].
    pub fn take_arrivals(
        &mut self,
        intake: &mut Intake,
        arrivals: Arrivals,
        at: i64,
        words: &mut Words<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Taken> {
        let Arrivals {
            mut files,
            ahead,
            next,
            mut gone,
            leave,
        } = arrivals;
        gone.retain(|path| self.state.paths().contains_key(path));
        gone.sort_unstable();
        gone.dedup();
        let mut taken = Taken::default();
        let reader = self.arrival_reader(intake)?;
        let (arrived, unsettled) = reader.arrived(&mut files, ahead, intake, monitor)?;
        taken.unsettled = unsettled;
        let vanished = self.vanished(&files, &arrived);
        gone = gone
            .into_iter()
            .chain(vanished.iter().cloned())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        gone.retain(|path| {
            arrived
                .binary_search_by(|arrived| arrived.outcome.path.cmp(path))
                .is_err()
        });
        let Sorted {
            quiet,
            moved,
            judged,
        } = self.sort_out(arrived, &gone);
        let left: HashSet<&Arc<[u8]>> = moved.iter().map(|(from, _)| from).collect();
        let leaves = |path: &Arc<[u8]>| (leave || vanished.contains(path)) && !left.contains(path);
        let removed: Vec<Arc<[u8]>> = gone.iter().filter(|path| leaves(path)).cloned().collect();
        let checked = self.judge_arrived(intake, &judged, &gone, monitor)?;
        let removed = removed.into_iter().map(|path| {
            let id = self.state.paths()[&path].content().copied();
            Step::Removed(path, id)
        });
        let judged = checked
            .iter()
            .zip(judged)
            .map(|(checked, arrived)| Step::Judged(checked, arrived.outcome));
        let mut steps: Vec<Step<'_>> = judged
            .chain(
                moved
                    .into_iter()
                    .map(|(from, outcome)| Step::Moved(from, outcome)),
            )
            .collect();
        steps.sort_by(|a, b| a.path().cmp(b.path()));
        steps.extend(removed);
        let mut read = None;
        taken.published = rayon::in_place_scope(|scope| {
            if !next.is_empty() {
                scope.spawn(|_| read = reader.read_ahead(next, monitor).ok());
            }
            let records = self.record(quiet, steps, at, &mut taken, words);
            if !records.is_empty() {
                self.commit(&records, at)?;
                self.note_touched();
            }
            self.publish(at, monitor)
        })?;
        taken.ahead = read;
        Ok(taken)
    }

    /// Answers from what is published, without opening it again.
    fn reader(&mut self) -> Result<Reader> {
        let reader = self.reader_without_scores()?;
        let reference = OnceLock::from(self.reference(&reader.view)?);
        let k_distances = self
            .shown
            .as_ref()
            .and_then(|shown| shown.k_distances.clone());
        Ok(Reader {
            reference,
            k_distances,
            ..reader
        })
    }

    fn sort_out(&self, arrived: Vec<Arrived>, gone: &[Arc<[u8]>]) -> Sorted {
        let mut leaving: HashMap<ContentId, Vec<&Arc<[u8]>>> = HashMap::new();
        for path in gone.iter().rev() {
            if let Some(id) = self.state.paths()[path].content() {
                leaving.entry(*id).or_default().push(path);
            }
        }
        let told = |entry: &PathEntry| (entry.label.clone(), entry.split);
        let mut sorted = Sorted::default();
        for Arrived { outcome, looked } in arrived {
            let old = self.state.paths().get(&outcome.path);
            if old.is_some_and(|old| {
                old.holds == outcome.entry.holds && told(old) == told(&outcome.entry)
            }) {
                sorted.quiet.extend(
                    (old != Some(&outcome.entry))
                        .then(|| path_record(&outcome.path, &outcome.entry)),
                );
                continue;
            }
            let from = outcome
                .entry
                .content()
                .filter(|_| old.is_none())
                .and_then(|id| leaving.get_mut(id));
            let from = from.and_then(|from| {
                let same = from
                    .iter()
                    .rposition(|path| told(&self.state.paths()[*path]) == told(&outcome.entry))?;
                Some(Arc::clone(from.remove(same)))
            });
            match from {
                Some(from) => sorted.moved.push((from, outcome)),
                None => sorted.judged.push(Arrived { outcome, looked }),
            }
        }
        sorted
    }

    fn judge_arrived(
        &mut self,
        intake: &Intake,
        arrived: &[Arrived],
        gone: &[Arc<[u8]>],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Checked>> {
        if arrived.is_empty() {
            return Ok(Vec::new());
        }
        let reader = self.reader()?;
        let settled = arrived.par_iter().map(|arrived| {
            let outcome = &arrived.outcome;
            let path = outcome.path.clone();
            let (label, split) = (outcome.entry.label.clone(), outcome.entry.split);
            let item = CheckItem {
                file: to_path(&self.home.root, &path),
                path: path.clone(),
                inside: true,
            };
            Ok(Settled {
                item,
                named: Occurrence { path, label, split },
                read: reader.look_at_arrived(arrived)?,
            })
        });
        let settled: Vec<Settled> = settled.collect::<Result<_>>()?;
        let gone: Vec<&[u8]> = gone.iter().map(|path| &**path).collect();
        let mut checked = reader.check_settled(settled, &gone, &intake.options, monitor)?;
        except(&mut checked, &intake.exceptions);
        Ok(checked)
    }

    /// Records and events, in the order in which they are told.
    fn record(
        &mut self,
        quiet: Vec<Record>,
        steps: Vec<Step<'_>>,
        at: i64,
        taken: &mut Taken,
        words: &mut Words<'_>,
    ) -> Vec<Record> {
        let mut records = quiet;
        let mut new = HashSet::new();
        for (step, seq) in steps.into_iter().zip(self.mark.told + 1..) {
            let text = words(seq, &step.told());
            match step {
                Step::Judged(_, outcome) => self.record_file(outcome, &mut new, &mut records),
                Step::Moved(from, outcome) => {
                    records.push(gone_record(&from, at));
                    taken.left.push(from);
                    self.record_file(outcome, &mut new, &mut records);
                }
                Step::Removed(path, _) => {
                    records.push(gone_record(&path, at));
                    taken.left.push(path);
                }
            }
            records.push(Record::Event(Event {
                seq,
                at,
                text: text.clone(),
            }));
            taken.events.push((seq, text));
        }
        records
    }

    fn record_file(
        &mut self,
        outcome: Outcome,
        new: &mut HashSet<ContentId>,
        records: &mut Vec<Record>,
    ) {
        let Outcome {
            path,
            entry,
            content,
            aliases,
            ..
        } = outcome;
        self.record_content(&entry, content, &aliases, new, records);
        records.push(path_record(&path, &entry));
    }

    /// What differs between a listing of some folders and the index: files that are new, changed or
    /// named otherwise by the tables, and paths that are no more.
    pub fn differences(
        &self,
        listing: Listing,
        scopes: &[Vec<u8>],
        intake: &mut Intake,
    ) -> (Vec<Found>, Vec<Arc<[u8]>>) {
        let Plan {
            mut read,
            containers,
            relabel,
            gone,
            ..
        } = self.plan(listing, scopes, &mut intake.labels, &intake.naming);
        read.extend(
            containers
                .into_iter()
                .map(|Contained { container, .. }| container),
        );
        read.extend(relabel.into_iter().map(|(path, entry)| Found {
            path,
            stat: entry.stat,
        }));
        (read, gone)
    }

    /// Whether the index that is written to is the one that stands in its folder.
    pub fn is_in_place(&self) -> bool {
        self.lock.is_at(&self.home.folder().join("lock"))
    }

    /// The number of the last event that was told; 0 before the first.
    pub fn told(&self) -> u64 {
        self.mark.told
    }
}

impl Reader {
    /// Makes the outlines of all live pictures, if there is room for them: so the first files are
    /// told as soon as later ones.
    fn prepare_registry(&self, monitor: &dyn Monitor) -> Result<()> {
        let rows = self.view.rows();
        if !self
            .registrations
            .as_ref()
            .is_some_and(|registrations| registrations.has_room_for(rows))
        {
            return Ok(());
        }
        monitor.stage("preparing", Some(rows as u64));
        let (registrar, words) = (self.registrar(rows), self.view.live_words()?);
        (0..rows as u32).into_par_iter().try_for_each(|row| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            if Live(&words).contains(row) {
                // What cannot be read is told of when it is needed.
                drop(registrar.outline(row));
            }
            monitor.advance(1);
            Ok(())
        })
    }
}

/// Visits the events of the index in `root` whose numbers are above `since`, in their order. Waits
/// for nobody; packs that end before them are not read.
///
/// # Errors
/// As [`Reader::open`]; those of `visit`.
pub fn events(
    root: &Path,
    since: u64,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    events_of(&Home::open(root)?, since, visit)
}

/// The same on a storage that is simulated.
///
/// # Errors
/// As [`events`].
#[doc(hidden)]
pub fn events_in(
    root: &Path,
    storage: Arc<dyn Storage>,
    since: u64,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    events_of(&Home::simulated(root, storage), since, visit)
}

fn events_of(
    home: &Home,
    since: u64,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut packs = home.open_packs()?;
    let from = packs.before_events(since)?;
    let replayed = packs.replay(from, &mut |_, record| match record {
        PackView::Event(event) if event.seq.to_native() > since => {
            visit(event.seq.to_native(), &event.text)
        }
        _ => Ok(()),
    });
    replayed.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index::query::tests::dataset, monitor::Silent};

    #[test]
    fn outlines_are_there_before_the_first_file() {
        let (root, reader) = dataset();
        let mut writer = Writer::open(root.path(), "test", false, &Silent).unwrap();
        writer.intake(&[], 0, &Silent).unwrap();
        let registrations = writer.registrations.as_ref().unwrap();
        for row in 0..reader.view.rows() as u32 {
            let id = reader.view.content(row).unwrap().0;
            registrations
                .outlines
                .get(id, || panic!("row {row} has none"))
                .unwrap();
        }
    }
}
