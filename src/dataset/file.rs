//! A path → its bytes and what the file system says of it, whatever stands there.
//!
//! Threads read files at the same time, so eight large files would stand in memory together. A file
//! over [`LARGE`] is therefore read by one thread at a time: its buffer takes a turn before it
//! grows, and gives it back when it is cleared, filled again or dropped.
//!
//! Nothing can wait for ever: between taking a turn and giving it back a thread reads, hashes and
//! decodes. For decoding it may have to wait, but only for threads that decode, which wait for
//! nothing; and a thread that has the turn never waits for another.

use std::{
    fs::Metadata,
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Condvar, Mutex, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::{
    Error, Result,
    file::{Problem, open_regular},
    picture::Limits,
    store::state::{ContentId, Stat},
};

/// The reason why a file that somebody writes to is not read.
pub const CHANGED_WHILE_READ: &str = "it changed while it was read; run sync again";

/// Bytes of a file that is in memory alone.
const LARGE: u64 = 16 << 20;

/// Who waits for longer goes on without a turn: better more memory than two threads that wait for
/// each other.
const PATIENCE: Duration = Duration::from_secs(60);

static LARGE_FILES: Turns = Turns::new();

/// Gives turns to one thread at a time.
struct Turns {
    taken_by: Mutex<Option<ThreadId>>,
    given_back: Condvar,
}

impl Turns {
    const fn new() -> Self {
        Self {
            taken_by: Mutex::new(None),
            given_back: Condvar::new(),
        }
    }

    /// Waits until no other thread has the turn; `None` where this one has it already, or nobody
    /// gives it back.
    fn take(&'static self, patience: Duration) -> Option<Turn> {
        let own = thread::current().id();
        let taken_by = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner);
        let by_another = |by: &mut Option<ThreadId>| by.is_some_and(|by| by != own);
        let waited = self
            .given_back
            .wait_timeout_while(taken_by, patience, by_another);
        let (mut taken_by, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        taken_by.replace(own).is_none().then(|| Turn(self))
    }
}

/// Given back when it is dropped, by whichever thread.
struct Turn(&'static Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        *self
            .0
            .taken_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        // Of several that wait, the one that is woken may have lost its patience at this moment.
        self.0.given_back.notify_all();
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

/// Reused from file to file.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The bytes of the last file that was read.
    pub bytes: Vec<u8>,
    /// Of a large file; given back after the bytes.
    turn: Option<Turn>,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, turn: None }
    }
}

impl Buffer {
    /// Empties it, and makes room for so many bytes; waits if they are many and another thread has
    /// a large file in memory.
    pub fn make_room(&mut self, bytes: u64) {
        self.bytes.clear();
        if self.bytes.capacity() as u64 > LARGE {
            self.bytes = Vec::new();
        }
        self.turn = None;
        if bytes > LARGE {
            self.turn = LARGE_FILES.take(PATIENCE);
        }
        self.bytes
            .reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// The BLAKE3 hash of the bytes.
    pub fn id(&self) -> ContentId {
        *blake3::hash(&self.bytes).as_bytes()
    }
}

/// Reads a regular file into `buffer`. Symbolic links are not followed, a pipe does not hang, and a
/// file over the limit is not read.
///
/// # Errors
/// [`Error::Undecodable`] with the reason.
pub fn read_image(path: &Path, limits: &Limits, buffer: &mut Buffer) -> Result<Stat> {
    let reason = |problem: Problem| Error::Undecodable(problem.reason());
    let (mut file, meta) = open_regular(path).map_err(reason)?;
    let stat = to_stat(&meta);
    if let Some(reason) = limits.refuse_file(stat.size) {
        return Err(Error::Undecodable(reason));
    }
    buffer.make_room(stat.size + 1);
    let read = file
        .by_ref()
        .take(stat.size + 1)
        .read_to_end(&mut buffer.bytes)
        .map_err(|e| reason(Problem::System(e)))?;
    let after = file.metadata().map_err(|e| reason(Problem::System(e)))?;
    if read as u64 != stat.size || to_stat(&after) != stat {
        return Err(Error::Undecodable(CHANGED_WHILE_READ.into()));
    }
    Ok(stat)
}

pub(super) fn to_stat(meta: &Metadata) -> Stat {
    let nanoseconds =
        |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stat {
        size: meta.len(),
        mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        sync::atomic::{AtomicU64, Ordering},
    };

    #[test]
    fn what_is_no_regular_file_is_refused_by_name_and_does_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        let mut buffer = Buffer::default();
        let mut reason = |name: &str| {
            read_image(&at(name), &Limits::default(), &mut buffer)
                .unwrap_err()
                .to_string()
        };
        assert!(
            reason("link").ends_with("a symbolic link"),
            "{}",
            reason("link")
        );
        assert!(reason("pipe").ends_with("a named pipe"));
        assert!(reason(".").ends_with("a folder"));
        assert!(reason("nothing").ends_with("no such file or directory"));
    }

    #[test]
    fn bytes_and_stat_come_back_and_a_long_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"bytes").unwrap();
        let mut buffer = Buffer::default();
        let stat = read_image(&path, &Limits::default(), &mut buffer).unwrap();
        assert_eq!((stat.size, &*buffer.bytes), (5, &b"bytes"[..]));
        assert_eq!(buffer.id(), *blake3::hash(b"bytes").as_bytes());
        let limits = Limits {
            max_bytes: 4,
            ..Limits::default()
        };
        assert!(
            read_image(&path, &limits, &mut buffer)
                .unwrap_err()
                .to_string()
                .contains("the limit is 4")
        );
    }

    #[test]
    fn those_who_give_up_waiting_for_a_turn_hold_up_none_of_the_others() {
        static TURNS: Turns = Turns::new();
        let began = std::time::Instant::now();
        for round in 0..20 {
            let turn = TURNS.take(PATIENCE).unwrap();
            thread::scope(|scope| {
                let waiting = |patience| scope.spawn(move || TURNS.take(patience).is_some());
                let impatient: Vec<_> = (0..4)
                    .map(|i| waiting(Duration::from_micros(500 * (i + round))))
                    .collect();
                let patient: Vec<_> = (0..4).map(|_| waiting(PATIENCE)).collect();
                thread::sleep(Duration::from_millis(round / 2));
                drop(turn);
                assert!(impatient.into_iter().all(|thread| thread.join().is_ok()));
                assert!(patient.into_iter().all(|thread| thread.join().unwrap()));
            });
        }
        assert!(began.elapsed() < PATIENCE / 2);
    }

    #[test]
    fn a_large_file_is_in_memory_alone_and_every_thread_gets_its_turn() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut buffer = Buffer::default();
                    for bytes in [LARGE + 1, 8, LARGE + 2, LARGE + 3] {
                        buffer.make_room(bytes);
                        assert_eq!(buffer.turn.is_some(), bytes > LARGE);
                        if buffer.turn.is_some() {
                            assert_eq!(NOW.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            NOW.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        let mut first = Buffer::default();
        first.make_room(LARGE + 1);
        // One thread never waits for itself.
        let mut second = Buffer::default();
        second.make_room(LARGE + 1);
        assert!(first.turn.is_some() && second.turn.is_none());
        first.make_room(1);
        assert!(first.bytes.capacity() < 1 << 20 && first.turn.is_none());
    }
}
