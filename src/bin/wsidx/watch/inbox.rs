//! Words of other threads (the system's events, signals, the socket, the scanner) → the one loop
//! that works.
//!
//! Events of files are hints: each says that a path should be looked at. They are kept once a path
//! and up to a number; beyond it, and where the system says that it lost some, all that is left of
//! them is that everything should be looked at.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::Sender},
    time::{Duration, Instant},
};

use notify::{
    Event, EventHandler, EventKind,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use super::scanner::Scanned;

/// Paths that are remembered.
const MOST: usize = 100_000;

/// What is said of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// It was closed after writing, or moved there.
    Whole,
    /// Something else happened to it.
    Touched,
}

/// What somebody wants of the loop.
#[derive(Debug)]
pub(super) enum Request {
    Stop,
    Reload,
    Rescan,
    Pause,
    Resume,
    Scanned(Box<Scanned>),
    /// Nobody reads the lines any more.
    Unheard,
    /// The words for the client go back.
    Status(Sender<String>),
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) hints: HashMap<PathBuf, Hint>,
    /// Events were lost, so often since the last look.
    pub(super) lost: u64,
    /// What the system could not do.
    pub(super) errors: Vec<String>,
    pub(super) requests: Vec<Request>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.hints.is_empty()
            && self.lost == 0
            && self.errors.is_empty()
            && self.requests.is_empty()
    }
}

/// Shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, request: Request) {
        self.lock().requests.push(request);
        self.bell.notify_all();
    }

    fn hint(&self, path: &Path, hint: Hint) {
        let mut waiting = self.lock();
        if waiting.hints.len() >= MOST && !waiting.hints.contains_key(path) {
            waiting.hints.clear();
            waiting.lost += 1;
        }
        let first = waiting.hints.is_empty();
        waiting.hints.insert(path.to_owned(), hint);
        drop(waiting);
        if first {
            self.bell.notify_all();
        }
    }

    /// All that waits; if there is nothing, waits for it until `deadline`.
    pub(super) fn take(&self, deadline: Instant) -> Waiting {
        let mut waiting = self.lock();
        while waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left < Duration::from_micros(1) {
                break;
            }
            waiting = self
                .bell
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        std::mem::take(&mut *waiting)
    }
}

/// The ear of the system's events: it only writes down.
pub(super) struct Ear(pub(super) Arc<Inbox>);

impl EventHandler for Ear {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => {
                self.0.lock().lost += 1;
                self.0.bell.notify_all();
            }
            Ok(event) => {
                if let Some(hint) = hint_of(&event.kind) {
                    event.paths.iter().for_each(|path| self.0.hint(path, hint));
                }
            }
            Err(error) => {
                self.0.lock().errors.push(error.to_string());
                self.0.bell.notify_all();
            }
        }
    }
}

/// Opening and reading a file, as the loop itself does, says nothing.
fn hint_of(kind: &EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Whole),
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Hint::Whole),
        // Both names were told one by one.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) | EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Metadata(_)) => None,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => Some(Hint::Touched),
        EventKind::Any | EventKind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_kept_once_a_path_and_too_many_of_them_are_one_look_at_everything() {
        let inbox = Inbox::default();
        inbox.hint(Path::new("/a"), Hint::Touched);
        inbox.hint(Path::new("/a"), Hint::Whole);
        let waiting = inbox.take(Instant::now());
        assert_eq!(
            (
                waiting.hints.get(Path::new("/a")),
                waiting.hints.len(),
                waiting.lost
            ),
            (Some(&Hint::Whole), 1, 0)
        );
        for i in 0..=MOST {
            inbox.hint(&PathBuf::from(format!("/{i}")), Hint::Whole);
        }
        let waiting = inbox.take(Instant::now());
        assert_eq!((waiting.hints.len(), waiting.lost), (1, 1));
    }
}
