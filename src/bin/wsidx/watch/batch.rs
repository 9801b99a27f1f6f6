//! Files that have settled → the library → lines and actions: one batch after the other, and what
//! becomes of it on a full disk.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use wsidx::{
    Error,
    dataset::{index_folder, stat_of_file},
    index::{Ahead, Arrival, Arrivals, Taken, Told},
};

use super::{
    actions::Redundant,
    clock,
    daemon::{Daemon, Store, open},
    lines,
    log::Working,
    queue::{Due, Name},
    roots::Root,
};
use crate::Failure;

/// Files that are taken in at once: what a crash can make be read again.
const BATCH_FILES: usize = 1_024;
/// A path that has left waits for a file to which it may have moved: a moment for the other half of
/// the news, and at the most so long while files are waiting to be read.
pub(super) const MOMENT: Duration = Duration::from_millis(50);
const MOVE: Duration = Duration::from_secs(2);
/// While the disk is full.
const RETRY: Duration = Duration::from_secs(5);
/// Room that must have come since a write failed, where there was none: every try that fails leaves
/// a begun pack.
const MORE_ROOM: u64 = 1 << 20;
/// With so much room it was not the room that was lacking, but a quota or a limit, of which nothing
/// can be known beforehand.
const ROOM: u64 = 64 << 20;

/// Of each file of a batch: how often it was tried, since when it is as it is, and since when it
/// could be taken.
type Settled = HashMap<Name, (u32, Instant, Instant)>;

/// Files that were read before their turn.
pub(super) struct Next {
    ahead: Ahead,
    settled: Settled,
}

impl Next {
    pub(super) fn len(&self) -> usize {
        self.settled.len()
    }
}

/// The disk is full.
#[derive(Debug)]
pub(super) struct Full {
    pub(super) why: String,
    /// Bytes that were free when a write failed.
    room: u64,
    next_try: Instant,
}

impl Full {
    fn new(root: &Path, why: String, now: Instant) -> Self {
        Self {
            why,
            room: room(root),
            next_try: now + RETRY,
        }
    }

    /// Whether a write may succeed now; if not, that is asked again later.
    fn may_end(&mut self, now: Instant, room: impl FnOnce() -> u64) -> bool {
        if now < self.next_try {
            return false;
        }
        self.next_try = now + RETRY;
        self.room >= ROOM || room() >= self.room.saturating_add(MORE_ROOM)
    }
}

/// Bytes that are free for the index of `root`; plenty where the system does not say.
fn room(root: &Path) -> u64 {
    rustix::fs::statvfs(index_folder(root)).map_or(u64::MAX, |system| {
        system.f_bavail.saturating_mul(system.f_frsize)
    })
}

impl Daemon<'_> {
    /// Takes in what has settled.
    pub(super) fn take_batch(&mut self) -> Result<(), Failure> {
        if !self.is_open()? {
            return Ok(());
        }
        let now = Instant::now();
        let (ahead, mut settled) = self
            .next
            .take()
            .map_or_else(Default::default, |Next { ahead, settled }| {
                (Some(ahead), settled)
            });
        let (files, more) = self.settled(BATCH_FILES.saturating_sub(settled.len()), now);
        settled.extend(more);
        let (next, settled_next) = self.settled(BATCH_FILES, now);
        let mut arrivals = Arrivals {
            files,
            ahead,
            next,
            ..Arrivals::default()
        };
        self.add_gone(&mut arrivals, now)?;
        if settled.is_empty() && !arrivals.leave {
            return Ok(());
        }
        let gone = arrivals.gone.clone();
        let Some(Store { writer, intake }) = &mut self.store else {
            return Ok(());
        };
        let (mut verdicts, mut redundant) = (Vec::new(), Vec::new());
        let rules = intake.rules().clone();
        let action = self.actions.name();
        let mut words = |seq: u64, told: &Told<'_>| {
            let mut took = Duration::ZERO;
            if let Told::Verdict(checked) = told {
                took = settled
                    .get(&checked.item.path)
                    .map_or(Duration::ZERO, |(_, _, since)| since.elapsed());
                verdicts.push((checked.judgement.verdict, took));
            }
            let line = lines::event(
                seq,
                told,
                &rules,
                action,
                u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            );
            if let Told::Verdict(checked) = told
                && lines::is_acted_on(checked)
            {
                redundant.push(Redundant {
                    path: checked.item.path.clone(),
                    line: line.clone(),
                });
            }
            line
        };
        let names: Vec<Name> = settled.keys().chain(settled_next.keys()).cloned().collect();
        let monitor = Working {
            log: self.log,
            notice: &self.notice,
            stop: None,
        };
        let mut taken =
            match writer.take_arrivals(intake, arrivals, clock::seconds(), &mut words, &monitor) {
                Ok(taken) => taken,
                Err(e) => return self.give_back(names, e, now),
            };
        match taken.ahead.take() {
            Some(ahead) => {
                self.next = Some(Next {
                    ahead,
                    settled: settled_next,
                });
            }
            None => settled_next
                .into_keys()
                .for_each(|path| self.queue.found(path, now)),
        }
        for (verdict, took) in verdicts {
            self.numbers().count(verdict, took);
        }
        self.told(&taken, gone, &settled, now)?;
        if self.actions.name().is_some() && !redundant.is_empty() {
            // What is done with a file is told before it is done.
            self.line_writer.wait()?;
            redundant
                .into_iter()
                .for_each(|redundant| self.actions.act(redundant));
        }
        Ok(())
    }

    /// Files that have settled, up to a number.
    fn settled(&mut self, most: usize, now: Instant) -> (Vec<Arrival>, Settled) {
        let (mut files, mut settled) = (Vec::new(), HashMap::new());
        let Some(Store { writer, .. }) = &self.store else {
            return (files, settled);
        };
        let (root, known) = (self.root.clone(), writer.state().paths());
        while files.len() < most {
            let look = |path: &[u8]| {
                stat_of_file(&root, path).map(|stat| (stat, clock::age(stat.mtime_ns)))
            };
            let Some((path, tries, changed, due)) = self.queue.pop(now, self.settings.settle, look)
            else {
                break;
            };
            match due {
                Some(Due::Wait) => {}
                None if known.contains_key(&path) => self.queue.left(path, now),
                None => {}
                Some(Due::Take { growing, since }) => {
                    settled.insert(path.clone(), (tries, changed, since));
                    files.push(Arrival { path, growing });
                }
            }
        }
        (files, settled)
    }

    /// Files that are read ahead wait again, to be read when their turn has come.
    pub(super) fn give_up_next(&mut self, now: Instant) {
        for (path, _) in self.next.take().into_iter().flat_map(|next| next.settled) {
            self.queue.found(path, now);
        }
    }

    /// Adds the paths that have left.
    fn add_gone(&mut self, arrivals: &mut Arrivals, now: Instant) -> Result<(), Failure> {
        if self.queue.gone().next().is_none() {
            return Ok(());
        }
        self.turn_mounts()?;
        let hidden: Vec<Name> = self
            .queue
            .gone()
            .map(|(path, _)| path.clone())
            .filter(|path| self.mounts.hide(path))
            .collect();
        // The look when the file system is back finds what is true.
        hidden.iter().for_each(|path| self.queue.settle_gone(path));
        arrivals.gone = self.queue.gone().map(|(path, _)| path.clone()).collect();
        let waited = |time: Duration| {
            move |(_, since): (&Name, &Instant)| now.duration_since(*since) >= time
        };
        let more = !arrivals.next.is_empty() || self.queue.next().is_some_and(|due| due <= now);
        arrivals.leave =
            self.queue.gone().any(waited(MOVE)) || (!more && self.queue.gone().all(waited(MOMENT)));
        arrivals.leave &= !arrivals.gone.is_empty();
        if arrivals.leave {
            self.verify_gone(&mut arrivals.gone, now)?;
            arrivals.leave = !arrivals.gone.is_empty();
        }
        Ok(())
    }

    /// Keeps the paths that are gone at this moment, from folders that are there. That they are
    /// there is asked last: what was gone by then was gone from them.
    fn verify_gone(&mut self, gone: &mut Vec<Name>, now: Instant) -> Result<(), Failure> {
        let settle = self.settings.settle;
        gone.retain(|path| {
            let there = stat_of_file(&self.root, path);
            there
                .into_iter()
                .for_each(|stat| self.queue.seen(path.clone(), stat, now, settle));
            there.is_none()
        });
        self.turn_mounts()?;
        let sound: Vec<bool> = self.roots.iter().map(Root::is_sound).collect();
        gone.retain(|path| {
            let there = self
                .roots
                .iter()
                .zip(&sound)
                .any(|(root, sound)| *sound && root.contains(path))
                && !self.mounts.hide(path);
            if !there {
                // The next look at everything finds what is true.
                self.queue.settle_gone(path);
            }
            there
        });
        Ok(())
    }

    /// After a batch that could not be written: nothing of it was told.
    pub(super) fn give_back(
        &mut self,
        files: Vec<Name>,
        error: Error,
        now: Instant,
    ) -> Result<(), Failure> {
        files
            .into_iter()
            .for_each(|path| self.queue.closed(path, now));
        self.give_up_next(now);
        if !is_full(&error) {
            return Err(error.into());
        }
        // What the disk holds is read again when there is room.
        self.store = None;
        self.full = Some(Full::new(&self.root, error.to_string(), now));
        self.degraded(&format!(
            "the disk is full, and nothing is taken in: {error}"
        ))
    }

    /// Whether the index can be written to; one that was closed for want of space is opened again.
    fn is_open(&mut self) -> Result<bool, Failure> {
        let Some(full) = &mut self.full else {
            return Ok(true);
        };
        if !full.may_end(Instant::now(), || room(&self.root)) {
            return Ok(false);
        }
        match open(&self.root, &self.who, false, self.log, &self.notice, None) {
            Ok(store) => {
                // What was durable already when the space ended is visible now.
                let before = std::mem::replace(&mut self.told, store.writer.told());
                (self.store, self.full, self.rescan) = (Some(store), None, true);
                self.recovered("the disk has room again")?;
                self.line_writer.wait()?;
                super::told(&self.root, before)?;
                self.finish_moves()?;
                Ok(true)
            }
            Err(e) if is_full(&e) || matches!(e, Error::Locked { .. }) => {
                self.full = Some(Full::new(&self.root, e.to_string(), Instant::now()));
                Ok(false)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn told(
        &mut self,
        taken: &Taken,
        gone: Vec<Name>,
        settled: &Settled,
        now: Instant,
    ) -> Result<(), Failure> {
        for unsettled in &taken.unsettled {
            let (tries, changed, _) = settled
                .get(&unsettled.path)
                .copied()
                .unwrap_or((0, now, now));
            self.queue.again(
                unsettled.path.clone(),
                changed,
                tries,
                now,
                self.settings.settle,
            );
        }
        taken
            .left
            .iter()
            .for_each(|path| self.queue.settle_gone(path));
        if let Some(Store { writer, .. }) = &self.store {
            gone.iter()
                .filter(|path| !writer.state().paths().contains_key(*path))
                .for_each(|path| self.queue.settle_gone(path));
        }
        if !taken.events.is_empty() || taken.published.written {
            self.unsaved = Some(Instant::now());
            self.numbers().committed = clock::seconds();
        }
        self.told = taken.events.last().map_or(self.told, |(seq, _)| *seq);
        let lines: Vec<&[u8]> = taken
            .events
            .iter()
            .map(|(_, line)| line.as_slice())
            .collect();
        self.tell(&lines)
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_tried_again_when_there_is_more_room_and_a_quota_every_so_often() {
        let start = Instant::now();
        let mut full = Full {
            why: String::new(),
            room: 4_096,
            next_try: start + RETRY,
        };
        assert!(!full.may_end(start, || panic!("it is too early to ask")));
        for step in 1..100 {
            assert!(!full.may_end(start + RETRY * step, || 4_096 + MORE_ROOM - 1));
        }
        assert!(!full.may_end(start + RETRY * 99, || panic!("it was asked just now")));
        assert!(full.may_end(start + RETRY * 100, || 4_096 + MORE_ROOM));
        let mut quota = Full {
            why: String::new(),
            room: ROOM,
            next_try: start,
        };
        assert!(quota.may_end(start, || 0));
        assert!(!quota.may_end(start, || 0));
    }
}
