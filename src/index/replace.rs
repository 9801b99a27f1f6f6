//! An index that came from elsewhere → one made anew from the images, in one step.
//!
//! The new index is made in a hidden folder beside the old one, `.wsidx-rebuild/new`. Until it is
//! whole and durable the old one stays where it is, and readers use it. Then the two change places,
//! which is one call of the system (`renameat2` with `RENAME_EXCHANGE`), and the old one, now in
//! the hidden folder, is removed. Where the file system cannot exchange two folders, the old one is
//! renamed to `.wsidx-rebuild/old`, and then the new one to its place; a process that is killed
//! between these two renames leaves no index, and the next command that writes
//! ([`finish_replacement`]) completes the second.
//!
//! The hidden folder is removed only if it is ours: it has the file that is written first, and
//! nothing but indexes in it, and those have nothing in them but what an index has. Who replaces an
//! index holds the lock of the old one from the beginning to the end.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::{fs::rename, io::Errno};

use super::{
    Home, InitOptions, Survey, Writer,
    init::{fill, settings_for},
    lock::Lock,
    parts::{foreign_entries, refuse, remove_index},
    restore::{Keep, MARKERS, put},
    storage::WriterLock,
};
use crate::{
    Error, Result,
    dataset::{NEW_INDEX, OLD_INDEX, REBUILD_FOLDER, index_folder, is_interrupted},
    file::{open_folder, open_regular, read_optional},
    monitor::Monitor,
    store::{packs::Packs, settings::Settings, view::View},
};

/// The file that says that the hidden folder is ours; it is there before anything else, and goes
/// last.
const CLAIM: &str = "claim";
const CLAIM_TEXT: &str = "made by `wsidx rebuild`, which removes this folder when it is done\n";

/// An index that is being made anew. If this is dropped before it is finished, the old one stays as
/// it was and what was begun is removed.
pub struct Replacement {
    root: PathBuf,
    beside: PathBuf,
    options: InitOptions,
    /// The lock of the old index.
    lock: WriterLock,
    swapped: bool,
}

impl Replacement {
    /// Begins to replace the index in `root`: locks it, and removes what a run that was killed has
    /// left. `None` if another process replaced it while this one waited.
    ///
    /// # Errors
    /// [`Error::NoIndex`], [`Error::Refused`], [`Error::Version`], [`Error::Locked`],
    /// [`Error::Io`]; [`Error::Input`] if files of the user are in the folder of the index, or have
    /// the name of the one beside it. Nothing was changed then.
    pub fn begin(
        root: &Path,
        who: &str,
        wait: bool,
        monitor: &dyn Monitor,
    ) -> Result<Option<Self>> {
        let home = match Home::open(root) {
            // Nothing of it is used, so that it is damaged does not matter.
            Ok(_) | Err(Error::Damaged { .. }) => Home::new(root),
            Err(error) => return Err(error),
        };
        let before = home.identity();
        let lock = home.lock(who, wait, monitor)?;
        if home.identity() != before {
            return Ok(None);
        }
        check_only_parts(&home.folder())?;
        check_movable(root, before)?;
        let beside = root.join(REBUILD_FOLDER);
        match Beside::look(&beside)? {
            Beside::Nothing => {}
            Beside::Ours => remove_beside(&beside)?,
            Beside::Foreign(why) => {
                let what = format!(
                    "{} is not from `wsidx rebuild` ({why}), and the new index is made there",
                    beside.display()
                );
                return Err(Error::Input(format!(
                    "{what}; move it elsewhere, then run the command again"
                )));
            }
        }
        fs::create_dir(&beside).map_err(Error::io("creating", &beside))?;
        let replacement = Self {
            root: root.to_owned(),
            beside,
            options: options_of(&home),
            lock,
            swapped: false,
        };
        put(&replacement.beside.join(CLAIM), CLAIM_TEXT, Keep::Same)?;
        sync_folder(&replacement.beside)?;
        // Git and DVC, and programs that make backups, pass it over.
        MARKERS.iter().try_for_each(|(name, text)| {
            put(&replacement.beside.join(name), text, Keep::Whatever)
        })?;
        Ok(Some(replacement))
    }

    /// The folder of the new index.
    fn new_folder(&self) -> PathBuf {
        self.beside.join(NEW_INDEX)
    }

    /// Creates the new index, of the same shape as the old one if that can be read. `noted` is
    /// called with its folder as soon as it has its number.
    ///
    /// # Errors
    /// [`Error::Input`] for a shape that cannot be, [`Error::Io`].
    pub fn create(
        &self,
        survey: &Survey,
        who: &str,
        at: i64,
        noted: &dyn Fn(&Path),
        monitor: &dyn Monitor,
    ) -> Result<Writer> {
        let settings = settings_for(survey, &self.options)?;
        let home = Home {
            folder: Some(self.new_folder()),
            ..Home::new(&self.root)
        };
        fs::create_dir(home.folder()).map_err(Error::io("creating", &home.folder()))?;
        let lock = home.lock(who, false, monitor)?;
        fill(&home, &settings, noted)?;
        let mut writer = Writer::open_locked(home, lock, who, monitor)?;
        writer.publish(at, monitor)?;
        Ok(writer)
    }

    /// Puts the new index in the place of the old one, which is removed.
    ///
    /// # Errors
    /// [`Error::Io`], and the old index is then as it was; [`Error::Input`] if files of the user
    /// came into its folder meanwhile.
    pub fn finish(mut self, writer: Writer, monitor: &dyn Monitor) -> Result<()> {
        drop(writer);
        let (new, place) = (self.new_folder(), index_folder(&self.root));
        sync_all(&new)?;
        sync_folder(&self.beside)?;
        if !self.lock.is_at(&place.join("lock")) {
            let what = format!(
                "{} was moved or removed while it was made anew",
                place.display()
            );
            return Err(Error::Input(format!("{what}; run the command again")));
        }
        check_only_parts(&place)?;
        exchange(&new, &self.beside.join(OLD_INDEX), &place)?;
        self.swapped = true;
        sync_folder(&self.root)?;
        sync_folder(&self.beside)?;
        note_failure(remove_beside(&self.beside), &self.beside, monitor);
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.swapped && !is_interrupted(&self.root) {
            // What cannot be removed now is removed by the next command that writes.
            let _ = remove_beside(&self.beside);
        }
    }
}

/// Completes a replacement that was killed between its two renames. Every command that writes to an
/// index begins with this.
///
/// # Errors
/// [`Error::Locked`] if the one that replaces it is alive; [`Error::Io`].
pub fn finish_replacement(root: &Path, who: &str, monitor: &dyn Monitor) -> Result<()> {
    let (beside, place) = (root.join(REBUILD_FOLDER), index_folder(root));
    if !is_interrupted(root) {
        return Ok(());
    }
    if let Beside::Foreign(why) = Beside::look(&beside)? {
        let what = format!(
            "there is no index in {}, and {} is not from `wsidx rebuild` ({why})",
            place.display(),
            beside.display()
        );
        return Err(Error::Input(format!(
            "{what}; move it elsewhere, then run `wsidx sync --init`"
        )));
    }
    let old = beside.join(OLD_INDEX);
    let _lock = Lock::take(&old.join("lock"), who, false, monitor)?;
    if is_interrupted(root) {
        move_folder(&beside.join(NEW_INDEX), &place)?;
        sync_folder(root)?;
        monitor.note(&format!(
            "{}: the replacement by `wsidx rebuild` was interrupted, and is complete now",
            place.display()
        ));
    }
    Ok(())
}

/// Removes what a replacement that was killed has left; for whoever holds the lock of the index.
pub(super) fn clear_replacement(root: &Path, who: &str, monitor: &dyn Monitor) {
    let beside = root.join(REBUILD_FOLDER);
    if !matches!(Beside::look(&beside), Ok(Beside::Ours)) {
        return;
    }
    // One that has just put its index in place may still be removing the old one.
    let locks = [NEW_INDEX, OLD_INDEX].map(|name| beside.join(name).join("lock"));
    let held = locks
        .iter()
        .filter(|lock| lock.symlink_metadata().is_ok())
        .map(|lock| Lock::take(lock, who, false, monitor));
    match held.collect::<Result<Vec<_>>>() {
        Err(Error::Locked { .. }) => {}
        held => note_failure(held.and_then(|_| remove_beside(&beside)), &beside, monitor),
    }
}

fn note_failure(removed: Result<()>, beside: &Path, monitor: &dyn Monitor) {
    if let Err(error) = removed {
        monitor.note(&format!(
            "what `wsidx rebuild` left in {} cannot be removed now: {error}",
            beside.display()
        ));
    }
}

/// What is beside an index.
enum Beside {
    Nothing,
    /// What a replacement has left.
    Ours,
    /// Something else, and why it is that.
    Foreign(String),
}

impl Beside {
    fn look(beside: &Path) -> Result<Self> {
        let failed = || Error::io("looking at", beside);
        match fs::symlink_metadata(beside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(e) => return Err(failed()(e)),
            Ok(meta) if !meta.is_dir() => return Ok(Self::Foreign("it is no folder".into())),
            Ok(meta) if meta.uid() != rustix::process::geteuid().as_raw() => {
                return Ok(Self::Foreign("it belongs to another user".into()));
            }
            Ok(_) => {}
        }
        let mut others = 0;
        for entry in fs::read_dir(beside).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let (name, kind) = (entry.file_name(), entry.file_type().map_err(failed())?);
            let is_index = (name == NEW_INDEX || name == OLD_INDEX) && kind.is_dir();
            let is_file = kind.is_file()
                && (name == CLAIM || MARKERS.iter().any(|(marker, _)| name == *marker));
            let foreign = if is_index {
                foreign_entries(&entry.path())?.into_iter().next()
            } else {
                (!is_file).then(|| entry.path())
            };
            if let Some(foreign) = foreign {
                return Ok(Self::Foreign(format!("{} is in it", foreign.display())));
            }
            others += usize::from(name != CLAIM);
        }
        // The claim is durable before anything else is made there.
        let claim = read_optional(&beside.join(CLAIM), CLAIM_TEXT.len() as u64)
            .ok()
            .flatten();
        let is_begun = |claim: &[u8]| {
            CLAIM_TEXT.as_bytes().starts_with(claim) || claim.iter().all(|&byte| byte == 0)
        };
        match claim {
            Some(claim) if claim == CLAIM_TEXT.as_bytes() => Ok(Self::Ours),
            Some(claim) if others == 0 && is_begun(&claim) => Ok(Self::Ours),
            None if others == 0 && fs::symlink_metadata(beside.join(CLAIM)).is_err() => {
                Ok(Self::Ours)
            }
            _ => Ok(Self::Foreign(format!(
                "its file {CLAIM} is not there or says something else"
            ))),
        }
    }
}

/// Removes the hidden folder, which was looked at before.
fn remove_beside(beside: &Path) -> Result<()> {
    [NEW_INDEX, OLD_INDEX]
        .iter()
        .try_for_each(|name| remove_index(&beside.join(name)))?;
    for name in MARKERS.iter().map(|(marker, _)| *marker).chain([CLAIM]) {
        let path = beside.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("removing", &path)(e));
            }
            _ => {}
        }
    }
    match fs::remove_dir(beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", beside)(e)),
        _ => Ok(()),
    }
}

fn check_only_parts(folder: &Path) -> Result<()> {
    match foreign_entries(folder)? {
        foreign if foreign.is_empty() => Ok(()),
        foreign => {
            let way_out = "they would be lost with the old index, so nothing was changed; move them elsewhere, then run `wsidx rebuild` again";
            Err(refuse(folder, &foreign, way_out))
        }
    }
}

/// The folder of an index that is a file system of its own, such as a volume of a container, has no
/// place to be moved to.
fn check_movable(root: &Path, identity: Option<(u64, u64)>) -> Result<()> {
    let device = fs::metadata(root)
        .map_err(Error::io("looking at", root))?
        .dev();
    if identity.is_some_and(|(of_index, _)| of_index != device) {
        let what = format!(
            "{} is a file system of its own, which no other folder can replace",
            index_folder(root).display()
        );
        return Err(Error::Input(format!(
            "{what}; remove what is in it, then run `wsidx sync --init`"
        )));
    }
    Ok(())
}

/// What the old index was made for, as far as it can be read.
fn options_of(home: &Home) -> InitOptions {
    let packed = || Settings::from_text(Packs::open(home.packs().ok()?).ok()?.settings()).ok();
    let shown =
        || Settings::from_text(&View::open(&*home.view().ok()?).ok()?.manifest().settings).ok();
    let settings = packed().or_else(shown);
    InitOptions {
        size: settings.as_ref().map(|settings| settings.size),
        wavelet: settings.and_then(|settings| settings.wavelet.parse().ok()),
    }
}

/// Lets the folders `new` and `place` change places, or moves `place` to `old` and then `new` to
/// its place.
fn exchange(new: &Path, old: &Path, place: &Path) -> Result<()> {
    match exchange_names(new, place) {
        Ok(()) => Ok(()),
        Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => move_both(new, old, place),
        Err(e) => Err(Error::io("moving the new index to", place)(e.into())),
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange_names(one: &Path, other: &Path) -> Result<(), Errno> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange_names(_: &Path, _: &Path) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

fn move_both(new: &Path, old: &Path, place: &Path) -> Result<()> {
    move_folder(place, old)?;
    let moved = place
        .parent()
        .map_or(Ok(()), sync_folder)
        .and_then(|()| move_folder(new, place));
    if moved.is_err() {
        move_folder(old, place)?;
    }
    moved
}

fn move_folder(from: &Path, to: &Path) -> Result<()> {
    rename(from, to).map_err(|e| Error::io("moving", from)(e.into()))
}

fn sync_folder(folder: &Path) -> Result<()> {
    open_folder(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("syncing", folder))
}

/// Makes all that is in a folder durable.
fn sync_all(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("reading", folder))? {
        let path = entry.map_err(Error::io("reading", folder))?.path();
        let meta = fs::symlink_metadata(&path).map_err(Error::io("looking at", &path))?;
        if meta.is_dir() {
            sync_all(&path)?;
        } else {
            open_regular(&path)
                .map_err(|problem| problem.at(&path))?
                .0
                .sync_all()
                .map_err(Error::io("syncing", &path))?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_renames_end_as_an_exchange_does_and_the_old_folder_comes_back_where_the_second_fails() {
        let tree = tempfile::tempdir().unwrap();
        let [new, old, place] =
            ["beside/new", "beside/old", "place"].map(|name| tree.path().join(name));
        fs::create_dir_all(&new).unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(new.join("new"), "").unwrap();
        fs::write(place.join("old"), "").unwrap();
        move_both(&new, &old, &place).unwrap();
        assert!(place.join("new").exists() && old.join("old").exists() && !new.exists());
        fs::rename(&old, &new).unwrap();
        exchange(&new, &old, &place).unwrap();
        assert!(place.join("old").exists() && new.join("new").exists() && !old.exists());
        fs::rename(&new, tree.path().join("away")).unwrap();
        assert!(move_both(&new, &old, &place).is_err());
        assert!(place.join("old").exists() && !old.exists());
    }

    #[test]
    fn a_folder_that_is_not_ours_is_left_alone() {
        let tree = tempfile::tempdir().unwrap();
        let beside = tree.path().join(REBUILD_FOLDER);
        let is_ours = || matches!(Beside::look(&beside).unwrap(), Beside::Ours);
        assert!(matches!(Beside::look(&beside).unwrap(), Beside::Nothing));
        fs::create_dir(&beside).unwrap();
        assert!(is_ours(), "killed before it wrote anything");
        fs::create_dir(beside.join(NEW_INDEX)).unwrap();
        assert!(!is_ours(), "nothing is made before the claim");
        fs::write(beside.join(CLAIM), "made by").unwrap();
        assert!(!is_ours());
        fs::write(beside.join(CLAIM), CLAIM_TEXT).unwrap();
        assert!(is_ours());
        for name in ["notes.txt", "new/notes.txt", "new/view"] {
            fs::write(beside.join(name), "mine").unwrap();
            assert!(!is_ours(), "{name}");
            clear_replacement(tree.path(), "test", &crate::monitor::Silent);
            assert!(beside.join(name).exists());
            fs::remove_file(beside.join(name)).unwrap();
        }
        clear_replacement(tree.path(), "test", &crate::monitor::Silent);
        assert!(!beside.exists());
        std::os::unix::fs::symlink(tree.path(), &beside).unwrap();
        assert!(!is_ours());
    }
}
