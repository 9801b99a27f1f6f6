//! [`Medium`] over a folder of the file system.
//!
//! Every call goes through one handle of the folder and refuses symbolic links and whatever is no
//! regular file, so that nobody can swap a part of the store for something else by renaming a
//! folder above it or planting a link in it.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, Builder},
};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, open, openat, renameat, unlinkat};

use super::{Bytes, Medium, is_plain, plain, too_long};

/// How many files are kept open for reading: packs of 256 MiB, so 128 GiB are read without opening
/// a file twice.
const KEPT_OPEN: usize = 512;

/// A real folder. Files are made with mode 0644 (less the umask).
pub struct Folder {
    path: PathBuf,
    folder: OwnedFd,
    growing: Handles,
    reading: Handles,
}

type Handles = Mutex<BTreeMap<String, Arc<File>>>;

fn held(handles: &Handles) -> MutexGuard<'_, BTreeMap<String, Arc<File>>> {
    handles.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folder {
    /// Opens a folder that exists and is no symbolic link.
    ///
    /// # Errors
    /// There is no such folder, or it may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = open(path, flags, Mode::empty())?;
        Ok(Self {
            path: path.to_owned(),
            folder,
            growing: Handles::default(),
            reading: Handles::default(),
        })
    }

    /// Opens the folder `name` in a folder; neither is a symbolic link.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open_in(folder: &Path, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = openat(
            open(folder, flags, Mode::empty())?,
            plain(name)?,
            flags,
            Mode::empty(),
        )?;
        Ok(Self {
            path: folder.join(name),
            folder: inner,
            growing: Handles::default(),
            reading: Handles::default(),
        })
    }

    /// Opens a regular file of this user. Without O_NONBLOCK a planted FIFO would block for ever. A
    /// file that is written to must have no other name: with a hard link somebody could lead the
    /// bytes elsewhere.
    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let writes = flags.contains(OFlags::WRONLY);
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(
            &self.folder,
            plain(name)?,
            flags,
            Mode::from_raw_mode(0o644),
        )?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            refused("this is not a regular file")
        } else if meta.uid() != rustix::process::geteuid().as_raw() {
            refused("this file belongs to another user")
        } else if writes && meta.nlink() > 1 {
            refused("this file has another name elsewhere (a hard link)")
        } else {
            Ok(file)
        }
    }

    fn to_read(&self, name: &str) -> io::Result<Arc<File>> {
        if let Some(file) = held(&self.reading).get(name) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.open_file(name, OFlags::RDONLY)?);
        let mut reading = held(&self.reading);
        if reading.len() >= KEPT_OPEN {
            reading.clear();
        }
        reading.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn to_grow(&self, name: &str) -> io::Result<Arc<File>> {
        if let Some(file) = held(&self.growing).get(name) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.open_file(name, OFlags::WRONLY | OFlags::APPEND)?);
        held(&self.growing).insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    /// Forgets the handles of a name, because it will mean another file.
    fn forget(&self, name: &str) {
        held(&self.growing).remove(name);
        held(&self.reading).remove(name);
    }
}

impl Medium for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            if let Ok(name) = entry?.file_name().to_str()
                && is_plain(name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.to_read(name)?.metadata()?.len())
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.to_read(name)?.read_exact_at(buf, offset)
    }

    fn read_whole(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name, OFlags::RDONLY)?
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            Err(too_long(most))
        } else {
            Ok(bytes)
        }
    }

    fn map(&self, name: &str, len: u64) -> io::Result<Bytes> {
        Bytes::mapped(&*self.to_read(name)?, len)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let file = self.open_file(
            name,
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL,
        )?;
        self.forget(name);
        held(&self.growing).insert(name.to_owned(), Arc::new(file));
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        (&*self.to_grow(name)?).write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.to_grow(name)?.sync_data()
    }

    fn sync_all<'n>(&self, names: &[&'n str]) -> Result<(), (&'n str, io::Error)> {
        let sync = |name: &'n str| self.sync(name).map_err(|error| (name, error));
        thread::scope(|scope| {
            let syncing: Vec<_> = names
                .iter()
                .map(|&name| (name, Builder::new().spawn_scoped(scope, move || sync(name))))
                .collect();
            syncing
                .into_iter()
                .try_for_each(|(name, thread)| match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    // There is no thread to be had.
                    Err(_) => sync(name),
                })
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        // On macOS fsync alone leaves the disk's cache unwritten; File::sync_all asks for that too.
        File::from(self.folder.try_clone()?).sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        renameat(&self.folder, plain(from)?, &self.folder, plain(to)?)?;
        self.forget(from);
        self.forget(to);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        unlinkat(&self.folder, plain(name)?, AtFlags::empty())?;
        self.forget(name);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.path.clone()
        } else {
            self.path.join(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        (dir, folder)
    }

    #[test]
    fn what_is_appended_is_read_and_mapped() {
        let (_dir, folder) = folder();
        folder.create("a.pack").unwrap();
        folder.append("a.pack", b"hello ").unwrap();
        folder.append("a.pack", b"world").unwrap();
        folder.sync("a.pack").unwrap();
        folder.sync_folder().unwrap();
        assert_eq!(folder.len("a.pack").unwrap(), 11);
        let mut buf = [0; 5];
        folder.read("a.pack", 6, &mut buf).unwrap();
        assert_eq!(&buf, b"world");
        assert_eq!(&*folder.map("a.pack", 5).unwrap(), b"hello");
        assert_eq!(&*folder.map("a.pack", 0).unwrap(), b"");
    }

    #[test]
    fn reading_or_mapping_beyond_the_end_is_refused() {
        let (_dir, folder) = folder();
        folder.create("a").unwrap();
        folder.append("a", b"1234").unwrap();
        assert_eq!(
            folder.read("a", 2, &mut [0; 3]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(
            folder.map("a", 5).err().unwrap().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn a_name_is_made_once_and_a_rename_replaces() {
        let (_dir, folder) = folder();
        folder.create("new").unwrap();
        folder.append("new", b"new").unwrap();
        assert_eq!(
            folder.create("new").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        folder.create("old").unwrap();
        assert_eq!(folder.len("old").unwrap(), 0);
        folder.rename("new", "old").unwrap();
        assert_eq!(folder.list().unwrap(), ["old"]);
        assert_eq!(
            folder.len("old").unwrap(),
            3,
            "the handle of the replaced file is not used again"
        );
        folder.remove("old").unwrap();
        assert!(folder.len("old").is_err() && folder.append("old", b"x").is_err());
    }

    #[test]
    fn links_pipes_folders_and_foreign_names_are_refused() {
        let (dir, folder) = folder();
        std::fs::write(dir.path().join("target"), b"x").unwrap();
        std::os::unix::fs::symlink("target", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join(".hidden"), b"x").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        for name in [
            "link",
            "sub",
            "pipe",
            "../target",
            "sub/x",
            ".hidden",
            "",
            "..",
        ] {
            assert!(folder.read(name, 0, &mut []).is_err(), "{name:?} was read");
        }
        assert!(folder.append("link", b"y").is_err());
        std::fs::hard_link(dir.path().join("target"), dir.path().join("other")).unwrap();
        assert!(
            folder.append("target", b"y").is_err(),
            "a file with another name was written to"
        );
        std::fs::remove_file(dir.path().join("other")).unwrap();
        folder.append("target", b"y").unwrap();
        assert_eq!(folder.list().unwrap(), ["link", "pipe", "sub", "target"]);
        let link = dir.path().join("folder");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(Folder::open(&link).is_err());
    }
}
