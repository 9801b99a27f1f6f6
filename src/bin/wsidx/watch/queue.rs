//! Files that may have changed → those that have settled, when they have: the only place where
//! waiting is decided.
//!
//! The time is handed in and runs evenly, so a clock that is set, forwards or back, neither loses a
//! file nor holds one for ever.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use wsidx::store::state::Stat;

/// Between two looks at a file that cannot be read yet, at the most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// For so many settle times after its last change a file that cannot be read is taken for one that
/// is being written.
const PATIENCE: u32 = 30;

/// A path of the dataset.
pub(super) type Name = Arc<[u8]>;

#[derive(Debug)]
struct Waiting {
    due: Instant,
    order: u64,
    /// What the file was when it was looked at last; none if it was closed or moved in, and need
    /// not be looked at again.
    seen: Option<Stat>,
    /// When it was last seen to change, or found.
    changed: Instant,
    tries: u32,
}

/// What is to be done about a file that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It has settled.
    Take {
        /// It may be that it is still being written, all the same.
        growing: bool,
        /// Since when it could be taken.
        since: Instant,
    },
    /// It has changed, and waits again.
    Wait,
}

/// Files that wait, and paths that have left.
#[derive(Debug, Default)]
pub(super) struct Queue {
    files: HashMap<Name, Waiting>,
    due: BTreeSet<(Instant, u64, Name)>,
    gone: BTreeMap<Name, Instant>,
    count: u64,
}

impl Queue {
    /// Files that wait, settled or not.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// A file was closed after writing, or moved in: it is due now.
    pub(super) fn closed(&mut self, path: Name, now: Instant) {
        self.put(
            path,
            Waiting {
                due: now,
                order: 0,
                seen: None,
                changed: now,
                tries: 0,
            },
        );
    }

    /// A file is there and may be changing: it is due when it has not changed for the settle time.
    pub(super) fn seen(&mut self, path: Name, stat: Stat, now: Instant, settle: Duration) {
        self.put(
            path,
            Waiting {
                due: now + settle,
                order: 0,
                seen: Some(stat),
                changed: now,
                tries: 0,
            },
        );
    }

    /// A file was found that has not changed for long: it is due now. One that waits already goes
    /// on waiting.
    pub(super) fn found(&mut self, path: Name, now: Instant) {
        if !self.files.contains_key(&path) {
            self.closed(path, now);
        }
    }

    /// A file that waits already, or else one to be [`Queue::seen`].
    pub(super) fn noticed(&mut self, path: Name, stat: Stat, now: Instant, settle: Duration) {
        match self.files.get(&path) {
            Some(waiting) if waiting.seen.is_none_or(|seen| seen == stat) => {}
            _ => self.seen(path, stat, now, settle),
        }
    }

    /// A file could not be read: it is looked at again, later each time.
    pub(super) fn again(
        &mut self,
        path: Name,
        changed: Instant,
        tries: u32,
        now: Instant,
        settle: Duration,
    ) {
        if self.files.contains_key(&path) {
            return; // something has happened to it in the meantime
        }
        let wait = settle.saturating_mul(1 << tries.min(16)).min(LONGEST_WAIT);
        self.put(
            path,
            Waiting {
                due: now + wait,
                order: 0,
                seen: None,
                changed,
                tries: tries + 1,
            },
        );
    }

    /// A path is no more.
    pub(super) fn left(&mut self, path: Name, now: Instant) {
        self.forget(&path);
        self.gone.entry(path).or_insert(now);
    }

    /// A path is there after all, or was told to have left.
    pub(super) fn settle_gone(&mut self, path: &[u8]) {
        self.gone.remove(path);
    }

    /// Paths that have left, each with the time since when.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&Name, &Instant)> {
        self.gone.iter()
    }

    /// Takes the next file that is due; `look` says what it is now, and `age` how long ago it
    /// changed by its own word, if it is there.
    pub(super) fn pop(
        &mut self,
        now: Instant,
        settle: Duration,
        look: impl FnOnce(&[u8]) -> Option<(Stat, Option<Duration>)>,
    ) -> Option<(Name, u32, Instant, Option<Due>)> {
        let (due, order, path) = self.due.first().filter(|(due, ..)| *due <= now)?.clone();
        self.due.remove(&(due, order, path.clone()));
        let waiting = self.files.remove(&path)?;
        let Some((stat, age)) = look(&path) else {
            return Some((path, waiting.tries, waiting.changed, None));
        };
        if waiting.seen.is_some_and(|seen| seen != stat) {
            self.seen(path.clone(), stat, now, settle);
            return Some((path, 0, now, Some(Due::Wait)));
        }
        let patience = settle.saturating_mul(PATIENCE);
        let growing =
            age.is_none_or(|age| age < patience) && now.duration_since(waiting.changed) < patience;
        Some((
            path,
            waiting.tries,
            waiting.changed,
            Some(Due::Take {
                growing,
                since: due,
            }),
        ))
    }

    /// When the next file is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, ..)| *due)
    }

    fn put(&mut self, path: Name, mut waiting: Waiting) {
        self.gone.remove(&path);
        self.forget(&path);
        self.count += 1;
        waiting.order = self.count;
        self.due.insert((waiting.due, waiting.order, path.clone()));
        self.files.insert(path, waiting);
    }

    fn forget(&mut self, path: &Name) {
        if let Some(old) = self.files.remove(path) {
            self.due.remove(&(old.due, old.order, path.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn stat(size: u64) -> Stat {
        Stat {
            size,
            ..Stat::default()
        }
    }

    /// What is due at a time: the file, and whether it is taken.
    fn due(queue: &mut Queue, now: Instant, size: u64) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        while let Some((path, _, _, due)) =
            queue.pop(now, SETTLE, |_| Some((stat(size), Some(Duration::ZERO))))
        {
            all.push((
                String::from_utf8(path.to_vec()).unwrap_or_default(),
                matches!(due, Some(Due::Take { .. })),
            ));
        }
        all
    }

    #[test]
    fn a_file_that_was_closed_is_taken_at_once_and_one_that_was_seen_when_it_has_rested() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.seen(name("b"), stat(1), start, SETTLE);
        queue.closed(name("a"), start);
        assert_eq!(due(&mut queue, start, 1), [("a".to_owned(), true)]);
        assert_eq!(due(&mut queue, start + SETTLE / 2, 1), []);
        assert_eq!(due(&mut queue, start + SETTLE, 1), [("b".to_owned(), true)]);
        assert_eq!((queue.len(), queue.next()), (0, None));
    }

    #[test]
    fn a_file_that_grows_waits_until_it_does_not() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.seen(name("a"), stat(1), start, SETTLE);
        for step in 1..100 {
            assert_eq!(
                due(&mut queue, start + SETTLE * step, 1 + u64::from(step)),
                [("a".to_owned(), false)]
            );
        }
        assert_eq!(
            due(&mut queue, start + SETTLE * 100, 100),
            [("a".to_owned(), true)]
        );
        // A look in between that finds it as it was does not put it off; one that finds it changed
        // does.
        queue.seen(name("a"), stat(1), start, SETTLE);
        queue.noticed(name("a"), stat(1), start + SETTLE / 2, SETTLE);
        assert_eq!(queue.next(), Some(start + SETTLE));
        queue.noticed(name("a"), stat(2), start + SETTLE / 2, SETTLE);
        assert_eq!(queue.next(), Some(start + SETTLE / 2 + SETTLE));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_tried_ever_more_rarely_and_patience_ends() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.closed(name("a"), start);
        let (mut now, mut waits) = (start, Vec::new());
        loop {
            let Some((path, tries, changed, Some(Due::Take { growing, .. }))) =
                queue.pop(now, SETTLE, |_| Some((stat(1), None)))
            else {
                panic!("it is due")
            };
            if !growing {
                break;
            }
            queue.again(path, changed, tries, now, SETTLE);
            let next = queue.next().unwrap_or(now);
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32]);
        assert!(now - start >= SETTLE * PATIENCE);
    }

    #[test]
    fn what_has_left_is_gone_until_it_is_back() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.closed(name("a"), start);
        queue.left(name("a"), start);
        assert_eq!((queue.len(), queue.gone().count()), (0, 1));
        queue.closed(name("a"), start);
        assert_eq!((queue.len(), queue.gone().count()), (1, 0));
    }

    /// How long files wait, seen at first and then unreadable, if their times are so long ago at
    /// each look.
    fn waits(ages: [Option<Duration>; 8]) -> Vec<u64> {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.seen(name("a"), stat(1), start, SETTLE);
        let mut waits = Vec::new();
        for age in ages {
            let Some(now) = queue.next() else { break };
            assert!(
                queue
                    .pop(now - Duration::from_millis(1), SETTLE, |_| Some((
                        stat(1),
                        age
                    )))
                    .is_none(),
                "it is not due yet"
            );
            let popped = queue.pop(now, SETTLE, |_| Some((stat(1), age)));
            let Some((path, tries, changed, Some(Due::Take { growing, .. }))) = popped else {
                panic!("it is due")
            };
            waits.push((now - start).as_secs());
            if growing {
                queue.again(path, changed, tries, now, SETTLE);
            }
        }
        waits
    }

    #[test]
    fn a_clock_that_is_set_neither_holds_a_file_nor_makes_it_spin() {
        let (now, hour) = (Some(Duration::ZERO), Some(Duration::from_secs(3_600)));
        let steady = [now; 8];
        assert_eq!(waits(steady), [2, 4, 8, 16, 32, 64]);
        // Set back, for all the time or for a while: the times of the file lie in the future.
        assert_eq!(waits([None; 8]), waits(steady));
        assert_eq!(
            waits([now, None, None, now, now, None, now, now]),
            waits(steady)
        );
        // Set forward: an unreadable file is taken for what it is at the next look, and never
        // before it has settled.
        assert_eq!(waits([now, now, hour, now, now, now, now, now]), [2, 4, 8]);
        assert_eq!(waits([hour; 8]), [2]);
    }
}
