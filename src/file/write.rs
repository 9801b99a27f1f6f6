//! Bytes → a file, in one step: whoever reads it sees the old file or the whole new one, and a
//! process that is killed leaves nothing behind.
//!
//! The bytes go into a file that has no name (`O_TMPFILE`), are made durable, and then the file
//! gets its name. A file cannot be put in the place of another without having had a name itself for
//! a moment, so it has a hidden one beside the target (`.NAME.wsidx-part`) between two calls of the
//! system; where there are no files without names (NFS, macOS) it has it for as long as it is
//! written. Whoever writes holds a lock on the file, which the system takes away when the process
//! dies, so the next write of the same target removes what a dead one left behind.
//!
//! The target itself is never opened. A symbolic link, a device or a pipe in its place is refused,
//! and would be replaced, not followed, if it came after that look.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, RawMode, flock, openat, renameat, unlinkat},
    io::Errno,
};

use super::{
    open_folder,
    output::{look, refuse_in_index},
};
use crate::{Error, Result};

/// Names beside a target: as many processes may write it at once.
pub(super) const NAMES: u32 = 16;
/// Bytes of a target's name that are in the names beside it, which may have 255.
const NAME_BYTES: usize = 200;

/// A whole new file that is durable and has not got its name yet. It goes when this is dropped.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    name: OsString,
    folder: File,
    file: File,
    /// The hidden name that it has already.
    part: Option<OsString>,
}

/// Writes a file under a name, in place of a regular file that has it; the permissions of that one
/// are kept.
///
/// # Errors
/// [`Error::Input`] where something other than a regular file has the name, with what mends it;
/// [`Error::Io`]. The old file is then as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let before =
        look(path, "put a file there, then run the command again")?.map(|meta| meta.permissions());
    draft(path, bytes, 0o666, before)?.replace()
}

/// Writes a file under a name that nothing has; `false` where something has it.
///
/// # Errors
/// [`Error::Io`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    draft(path, bytes, 0o666, None)?.create()
}

/// Makes a file with these bytes and these permissions: `mode` less the umask, or else those that
/// are given.
///
/// # Errors
/// [`Error::Input`] for a path that ends in no name or is in the folder of an index, [`Error::Io`].
pub fn draft(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    permissions: Option<Permissions>,
) -> Result<Draft> {
    let name = path.file_name().ok_or_else(|| {
        Error::Input(format!(
            "{} is no name of a file; name one in that folder",
            path.display()
        ))
    })?;
    refuse_in_index(path)?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let made = (|| {
        // The folder that the user named may be reached by a link.
        let folder = open_folder(&parent.join("."))?;
        let (file, part) = match unnamed(&folder, mode)? {
            Some(file) => (file, None),
            None => named(&folder, name, mode).map(|(file, part)| (file, Some(part)))?,
        };
        let mut draft = Draft {
            target: path.to_owned(),
            name: name.to_owned(),
            folder,
            file,
            part,
        };
        draft.file.write_all(bytes)?;
        permissions.map_or(Ok(()), |permissions| {
            draft.file.set_permissions(permissions)
        })?;
        draft.file.sync_all()?;
        Ok(draft)
    })();
    made.map_err(Error::io("writing", path))
}

impl Draft {
    /// Gives it its name, in place of what has it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn replace(mut self) -> Result<()> {
        let done = (|| {
            let part = match self.part.clone() {
                Some(part) => part,
                None => self.link_beside()?,
            };
            renameat(&self.folder, &*part, &self.folder, &*self.name)?;
            self.part = None;
            Ok(())
        })();
        done.map_err(Error::io("writing", &self.target))?;
        // A name survives a crash of the machine once its folder is durable. Not all file systems
        // know that, and the bytes are durable already.
        let _ = self.folder.sync_all();
        Ok(())
    }

    /// Gives it its name where nothing has it; `false` where something has.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(self) -> Result<bool> {
        let linked = match &self.part {
            Some(part) => rustix::fs::linkat(
                &self.folder,
                &**part,
                &self.folder,
                &*self.name,
                AtFlags::empty(),
            ),
            None => self.link(&self.name),
        };
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(Error::io("writing", &self.target)(e.into())),
        }
    }

    fn link_beside(&mut self) -> io::Result<OsString> {
        let part = free_name(&self.folder, &self.name, |part| self.link(part))?.1;
        self.part = Some(part.clone());
        Ok(part)
    }

    #[cfg(target_os = "linux")]
    fn link(&self, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::linkat(
            rustix::fs::CWD,
            by_number(&self.file),
            &self.folder,
            name,
            AtFlags::SYMLINK_FOLLOW,
        )
    }

    #[cfg(not(target_os = "linux"))]
    fn link(&self, _: &OsStr) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = unlinkat(&self.folder, &**part, AtFlags::empty());
        }
    }
}

/// A locked file that has no name yet; `None` where the system has no such files, or cannot name
/// them later.
#[cfg(target_os = "linux")]
fn unnamed(folder: &File, mode: u32) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match openat(folder, ".", flags, Mode::from_raw_mode(mode as RawMode)) {
        Ok(file) => {
            let file = File::from(file);
            let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
            Ok(fs::metadata(by_number(&file)).is_ok().then_some(file))
        }
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &File, _: u32) -> io::Result<Option<File>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
fn by_number(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A locked new file with a hidden name beside the target.
fn named(folder: &File, target: &OsStr, mode: u32) -> io::Result<(File, OsString)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    free_name(folder, target, |part| {
        let file = File::from(openat(
            folder,
            part,
            flags,
            Mode::from_raw_mode(mode as RawMode),
        )?);
        // Another process may have taken it for a left-over before it was locked.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(Errno::EXIST),
            _ if !has_name(folder, part, &file) => Err(Errno::EXIST),
            _ => Ok(file),
        }
    })
}

fn has_name(folder: &File, name: &OsStr, file: &File) -> bool {
    let named = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    matches!((named, file.metadata()), (Ok(named), Ok(own)) if named.st_ino == own.ino())
}

/// Calls `take` with hidden names beside a target until it takes one. Left-overs of processes that
/// died are removed.
fn free_name<T>(
    folder: &File,
    target: &OsStr,
    mut take: impl FnMut(&OsStr) -> Result<T, Errno>,
) -> io::Result<(T, OsString)> {
    for number in 0..NAMES {
        let part = part_name(target, number);
        for _ in 0..2 {
            match take(&part) {
                Ok(taken) => return Ok((taken, part)),
                Err(Errno::EXIST) if remove_left_over(folder, &part) => {}
                Err(Errno::EXIST) => break,
                Err(e) => return Err(e.into()),
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "{NAMES} names beside it like {} are taken; remove those",
            part_name(target, 0).display()
        ),
    ))
}

/// `.NAME.wsidx-part`, `.NAME.1.wsidx-part`, …
pub(super) fn part_name(target: &OsStr, number: u32) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let name = target.as_bytes();
    let mut part = [b".", &name[..name.len().min(NAME_BYTES)]].concat();
    if number > 0 {
        part.extend_from_slice(format!(".{number}").as_bytes());
    }
    part.extend_from_slice(b".wsidx-part");
    OsString::from_vec(part)
}

/// Removes a file that one of our processes began to write, and died. Whether one did, the lock
/// tells.
fn remove_left_over(folder: &File, part: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(folder, part, flags, Mode::empty()).map(File::from) else {
        return false;
    };
    let ours =
        |meta: &fs::Metadata| meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|meta| ours(&meta))
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        && has_name(folder, part, &file)
        && unlinkat(folder, part, AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_a_new_one_has_those_of_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        fs::write(at("usual"), b"").unwrap();
        fs::write(at("old"), b"old and long").unwrap();
        fs::set_permissions(at("old"), Permissions::from_mode(0o640)).unwrap();
        for name in ["old", "new"] {
            write(&at(name), b"bytes").unwrap();
            assert_eq!(fs::read(at(name)).unwrap(), b"bytes");
        }
        assert_eq!((mode("old"), mode("new")), (0o640, mode("usual")));
        assert_eq!(
            (
                write_new(&at("new"), b"other").unwrap(),
                write_new(&at("newer"), b"other").unwrap()
            ),
            (false, true)
        );
        assert_eq!(names(folder.path()), ["new", "newer", "old", "usual"]);
        draft(&at("script"), b"#!", 0o755, None)
            .unwrap()
            .replace()
            .unwrap();
        assert_eq!(mode("script"), 0o111 | mode("usual"));
    }

    #[test]
    fn a_link_a_device_a_pipe_and_a_folder_are_refused_and_what_a_link_leads_to_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), b"precious").unwrap();
        std::os::unix::fs::symlink("victim", at("link")).unwrap();
        std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::from(0o600),
            0,
        )
        .unwrap();
        for (name, kind) in [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("folder", "a folder"),
            ("pipe", "a named pipe"),
        ] {
            let told = write(&at(name), b"bytes").unwrap_err().to_string();
            assert!(
                told.contains(&format!(
                    " is {kind}, and no result is written there; remove it"
                )),
                "{told}"
            );
        }
        assert!(
            write(Path::new("/dev/null"), b"x")
                .unwrap_err()
                .to_string()
                .contains("a device")
        );
        assert!(
            write(Path::new("/"), b"x")
                .unwrap_err()
                .to_string()
                .contains("is a folder")
        );
        // One that comes after the look is replaced by its name.
        let draft = draft(&at("late"), b"bytes", 0o666, None).unwrap();
        std::os::unix::fs::symlink("victim", at("late")).unwrap();
        draft.replace().unwrap();
        assert!(fs::symlink_metadata(at("late")).unwrap().is_file());
        assert_eq!(
            (
                fs::read(at("victim")).unwrap(),
                fs::symlink_metadata(at("nothing")).is_err()
            ),
            (b"precious".to_vec(), true)
        );
    }

    #[test]
    fn a_name_beside_the_target_is_locked_while_its_writer_lives_and_removed_when_it_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let handle = open_folder(folder.path()).unwrap();
        // As where there are no files without names.
        let (living, part) = named(&handle, OsStr::new("out"), 0o666).unwrap();
        assert_eq!(names(folder.path()), [".out.wsidx-part"]);
        write(&at("out"), b"1").unwrap();
        assert_eq!(
            (names(folder.path()), part.to_str()),
            (
                vec![".out.wsidx-part".to_owned(), "out".into()],
                Some(".out.wsidx-part")
            )
        );
        drop(living); // as the system does when a process dies
        write(&at("out"), b"2").unwrap();
        assert_eq!(
            (names(folder.path()), fs::read(at("out")).unwrap()),
            (vec!["out".to_owned()], b"2".to_vec())
        );
        // What is no left-over stays, and is not followed.
        std::os::unix::fs::symlink("out", at(".out.wsidx-part")).unwrap();
        fs::create_dir(at(".out.1.wsidx-part")).unwrap();
        write(&at("out"), b"3").unwrap();
        assert_eq!(
            (names(folder.path()).len(), fs::read(at("out")).unwrap()),
            (3, b"3".to_vec())
        );
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        drop(draft(&out, b"bytes", 0o666, None).unwrap());
        let handle = open_folder(folder.path()).unwrap();
        let (file, part) = named(&handle, OsStr::new("out"), 0o666).unwrap();
        drop(Draft {
            target: out.clone(),
            name: "out".into(),
            folder: handle,
            file,
            part: Some(part),
        });
        assert!(names(folder.path()).is_empty());
        let told = write(&folder.path().join("no/out"), b"")
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("no/out") && told.starts_with("writing"),
            "{told}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn while_bytes_are_written_no_name_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let draft = draft(&folder.path().join("out"), b"bytes", 0o666, None).unwrap();
        let expected: &[&str] = if draft.part.is_some() {
            &[".out.wsidx-part"]
        } else {
            &[]
        };
        assert_eq!(names(folder.path()), expected);
        if draft.part.is_some() {
            println!(
                "not tested: the file system of {} has no files without names",
                folder.path().display()
            );
        }
        draft.replace().unwrap();
        assert_eq!(names(folder.path()), ["out"]);
    }
}
