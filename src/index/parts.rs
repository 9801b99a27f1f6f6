//! Which names the folder of an index has in it. What has another name is a file of the user, and
//! is never removed with the index.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{FORMAT_FILE, restore::MARKERS};
use crate::{Error, Result, dataset::ID_FILE, store};

/// A folder of an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Top,
    Packs,
    View,
    Catalog,
    /// Large values of the catalog.
    Blobs,
}

impl Part {
    /// The folder `name` in this one, if an index has it.
    fn folder(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Top, "packs") => Some(Self::Packs),
            (Self::Top, "view") => Some(Self::View),
            (Self::Top, "catalog") => Some(Self::Catalog),
            (Self::Catalog, store::catalog::BLOBS) => Some(Self::Blobs),
            _ => None,
        }
    }

    /// Whether an index has files of this name here.
    fn has_file(self, name: &str) -> bool {
        match self {
            Self::Top => {
                [FORMAT_FILE, ID_FILE, "lock", "watch.sock"].contains(&name)
                    || MARKERS.iter().any(|(marker, _)| name == *marker)
            }
            Self::Packs => store::packs::is_pack(name),
            Self::View => store::view::is_part(name),
            Self::Catalog => store::catalog::is_part(name),
            Self::Blobs => store::catalog::is_blob(name),
        }
    }
}

/// What is in the folder of an index: folders before what is in them.
#[derive(Default)]
struct Entries {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    foreign: Vec<PathBuf>,
}

impl Entries {
    fn of(folder: &Path) -> Result<Self> {
        let mut entries = Self::default();
        entries.collect(folder, Part::Top)?;
        entries.foreign.sort_unstable();
        Ok(entries)
    }

    fn collect(&mut self, folder: &Path, part: Part) -> Result<()> {
        let failed = || Error::io("reading", folder);
        self.folders.push(folder.to_owned());
        for entry in fs::read_dir(folder).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed())?);
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            match part.folder(name).filter(|_| kind.is_dir()) {
                Some(inner) => self.collect(&path, inner)?,
                None if !kind.is_dir() && part.has_file(name) => self.files.push(path),
                None => self.foreign.push(path),
            }
        }
        Ok(())
    }
}

/// The paths in the folder of an index that no index has.
pub(super) fn foreign_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(Entries::of(folder)?.foreign)
}

/// Removes the folder of an index, if nothing else is in it. Links are removed and not followed.
///
/// # Errors
/// [`Error::Input`] with the names of what is not an index's own, and then nothing was removed;
/// [`Error::Io`].
pub(super) fn remove_index(folder: &Path) -> Result<()> {
    let Entries {
        folders,
        files,
        foreign,
    } = match Entries::of(folder) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    if !foreign.is_empty() {
        return Err(refuse(
            folder,
            &foreign,
            "move them elsewhere, then run the command again",
        ));
    }
    for file in files {
        fs::remove_file(&file).map_err(Error::io("removing", &file))?;
    }
    // A file that somebody put there meanwhile lets this fail.
    folders
        .iter()
        .rev()
        .try_for_each(|folder| fs::remove_dir(folder).map_err(Error::io("removing", folder)))
}

/// An error that names some of the paths that no index has.
pub(super) fn refuse(folder: &Path, foreign: &[PathBuf], way_out: &str) -> Error {
    const NAMED: usize = 5;
    let names: Vec<String> = foreign
        .iter()
        .take(NAMED)
        .map(|path| path.display().to_string())
        .collect();
    let more = if foreign.len() > NAMED {
        format!(" and {} more", foreign.len() - NAMED)
    } else {
        String::new()
    };
    Error::Input(format!(
        "{} holds files that are not part of an index: {}{more}; {way_out}",
        folder.display(),
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataset::INDEX_FOLDER,
        index::{InitOptions, SyncOptions, Writer, create, survey},
        monitor::Silent,
    };

    fn index() -> (tempfile::TempDir, PathBuf) {
        let tree = tempfile::tempdir().unwrap();
        fs::write(
            tree.path().join("a.ppm"),
            [&b"P6 8 8 255\n"[..], &[7; 192]].concat(),
        )
        .unwrap();
        let survey = survey(tree.path(), &Silent).unwrap();
        create(
            tree.path(),
            &survey,
            &InitOptions::default(),
            "test",
            0,
            &Silent,
        )
        .unwrap();
        Writer::open(tree.path(), "test", false, &Silent)
            .unwrap()
            .sync(&SyncOptions::default(), &Silent)
            .unwrap();
        let folder = tree.path().join(INDEX_FOLDER);
        (tree, folder)
    }

    #[test]
    fn all_that_an_index_has_is_its_own_and_is_removed_and_nothing_else_is() {
        let (_tree, folder) = index();
        assert!(foreign_entries(&folder).unwrap().is_empty());
        for name in [
            "mine",
            "packs/1.pack",
            "view/photo.png",
            "view/notes-1",
            "catalog/mine/x",
            "packs/sub/x",
            "catalog/blobs/x",
        ] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "mine").unwrap();
            assert_eq!(foreign_entries(&folder).unwrap().len(), 1, "{name}");
            let refused = remove_index(&folder).unwrap_err().to_string();
            assert!(refused.contains("move them elsewhere"), "{refused}");
            assert!(
                folder.join("format").exists() && folder.join("packs/00000001.pack").exists(),
                "{name}"
            );
            fs::remove_file(&path).unwrap();
            if name.ends_with("/x") && !name.contains("blobs") {
                fs::remove_dir(path.parent().unwrap()).unwrap();
            }
        }
        remove_index(&folder).unwrap();
        assert!(!folder.exists());
        remove_index(&folder).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_a_part_is_not_followed() {
        let (tree, folder) = index();
        let victim = tree.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("00000001.pack"), "precious").unwrap();
        fs::remove_dir_all(folder.join("packs")).unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("packs")).unwrap();
        assert!(remove_index(&folder).is_err());
        assert!(victim.join("00000001.pack").exists());
    }
}
