//! One writer at a time, and who it is.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};

use crate::{Error, Result, monitor::Monitor};

/// Held while it lives; the system lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock in `path`, leaving the words of `who` there for others to read.
    pub(super) fn take(path: &Path, who: &str, wait: bool, monitor: &dyn Monitor) -> Result<Self> {
        let io = Error::io("locking", path);
        let mut file = match open(path) {
            Ok(file) => file,
            Err(e) => return Err(io(e)),
        };
        let mut told = false;
        let lock = loop {
            match file.try_lock() {
                Ok(()) => {
                    let lock = Self { file };
                    if lock.is_at(path) {
                        break lock;
                    }
                    // The holder replaced the index meanwhile: this was the lock of the one before.
                    file = match open(path) {
                        Ok(file) => file,
                        Err(e) => return Err(io(e)),
                    };
                }
                Err(TryLockError::Error(e)) => return Err(io(e)),
                Err(TryLockError::WouldBlock) if !wait => {
                    return Err(Error::Locked {
                        holder: holder(&mut file),
                    });
                }
                Err(TryLockError::WouldBlock) => {
                    if monitor.cancelled() {
                        return Err(Error::Interrupted);
                    }
                    if !std::mem::replace(&mut told, true) {
                        monitor.note(&format!("waiting for {}", holder(&mut file)));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        lock.write(who).map_err(io)?;
        Ok(lock)
    }

    fn write(&self, who: &str) -> std::io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(who.as_bytes())
    }

    /// Whether the file at `path` is the one that is locked.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let which = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
        matches!((self.file.metadata(), std::fs::symlink_metadata(path)), (Ok(own), Ok(there)) if which(&own) == which(&there))
    }

    /// The present time of the file system, in nanoseconds since 1970: no file that changes from
    /// now on can have an earlier change time.
    pub(super) fn file_system_time(&self, who: &str) -> std::io::Result<i64> {
        self.write(who)?;
        let meta = self.file.metadata()?;
        Ok(meta
            .ctime()
            .saturating_mul(1_000_000_000)
            .saturating_add(meta.ctime_nsec()))
    }
}

/// Opens the file, or makes it. It is written to, so it must be a file of its own: whoever made the
/// index may have put a link in its place.
fn open(path: &Path) -> std::io::Result<File> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?);
    let meta = file.metadata()?;
    let own =
        meta.is_file() && meta.nlink() <= 1 && meta.uid() == rustix::process::geteuid().as_raw();
    if own {
        Ok(file)
    } else {
        Err(std::io::Error::other(
            "this is not a file of its own that belongs to you; remove it",
        ))
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(200).read_to_string(&mut text));
    match read {
        Ok(1..) => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;

    #[test]
    fn a_lock_that_leads_elsewhere_is_not_taken_and_nothing_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("lock"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(Lock::take(&path, "me", false, &Silent).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&victim, &path).unwrap();
        assert!(Lock::take(&path, "me", false, &Silent).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn who_waits_for_an_index_that_is_replaced_gets_the_lock_of_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let [index, beside] = ["index", "beside"].map(|name| folder.path().join(name));
        [&index, &beside]
            .iter()
            .for_each(|folder| std::fs::create_dir(folder).unwrap());
        let path = index.join("lock");
        let first = Lock::take(&path, "first", false, &Silent).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Lock::take(&path, "second", true, &Silent).unwrap());
            std::thread::sleep(Duration::from_millis(120));
            std::fs::rename(&index, folder.path().join("old")).unwrap();
            std::fs::rename(&beside, &index).unwrap();
            drop(first);
            let second = second.join().unwrap();
            assert!(second.is_at(&path));
            assert!(matches!(
                Lock::take(&path, "third", false, &Silent),
                Err(Error::Locked { .. })
            ));
        });
    }

    #[test]
    fn the_second_is_told_who_holds_the_lock_and_may_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path, "process 7 (wsidx sync)", false, &Silent).unwrap();
        match Lock::take(&path, "second", false, &Silent) {
            Err(Error::Locked { holder }) => assert_eq!(holder, "process 7 (wsidx sync)"),
            _ => panic!("the lock was taken twice"),
        }
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Lock::take(&path, "second", true, &Silent).map(|_| ()));
            std::thread::sleep(Duration::from_millis(120));
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
    }
}
