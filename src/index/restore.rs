//! What of an index was lost or never finished and can be made again without the user: its small
//! files and folders, and packs of which nothing is left. Contents that only lost packs held are
//! read again from the images.
//!
//! Any writer puts back files and folders. Only a `sync` begins new packs or says anew what the
//! folder is, since only it reads the images.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
};

use super::{FORMAT, FORMAT_FILE, Home, init::survey, parts::foreign_entries};
use crate::{
    Error, Result,
    dataset::{check_trust, index_folder},
    monitor::Monitor,
    store::{packs::Packs, settings::Settings, view::read_manifest},
};

/// Files that keep the index out of repositories and backups.
pub(super) const MARKERS: [(&str, &str); 3] = [
    (".gitignore", IGNORED),
    (".dvcignore", IGNORED),
    (
        "CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is the index of wsidx; it can be made again with `wsidx init` and `wsidx sync`.\n",
    ),
];
const IGNORED: &str = "# made by wsidx: the index is a cache and is never committed\n*\n";

/// What the file `format` says.
pub(super) enum Said {
    /// That this is an index of this version.
    This,
    /// That it is one of another version.
    Other,
    /// Nothing: the file is missing, cut, or a few of its bytes are wrong.
    Damaged,
    /// Something that wsidx never wrote.
    Foreign,
}

impl Said {
    /// By the bytes of the file; none where it is missing.
    pub(super) fn of(text: Option<&[u8]>) -> Self {
        let (right, Some(text)) = (FORMAT.as_bytes(), text) else {
            return Self::Damaged;
        };
        let number = |text: &[u8]| {
            text.strip_prefix(b"wsidx index ")
                .and_then(|rest| rest.strip_suffix(b"\n"))
                .map(<[u8]>::to_vec)
        };
        let wrong = text.iter().zip(right).filter(|(is, was)| is != was).count();
        match text {
            _ if text == right => Self::This,
            _ if number(text).is_some_and(|number| {
                !number.is_empty() && number.iter().all(u8::is_ascii_digit)
            }) =>
            {
                Self::Other
            }
            _ if right.starts_with(text) || text.iter().all(|&byte| byte == 0) => Self::Damaged,
            _ if text.len() == right.len() && wrong <= 3 => Self::Damaged,
            _ => Self::Foreign,
        }
    }
}

impl Home {
    /// As [`Home::open`], but where the file `format` is missing or damaged it is believed that
    /// this is an index if its packs or its view are.
    pub(super) fn open_to_restore(root: &Path) -> Result<Self> {
        match Self::open(root) {
            Err(Error::Damaged { .. }) if Self::new(root).has_content() => Ok(Self::new(root)),
            Err(Error::Damaged { .. }) => Err(Self::new(root).without_format()),
            other => other,
        }
    }

    /// Whether the packs or the view can be opened.
    fn has_content(&self) -> bool {
        let has_packs = || Packs::open(self.packs()?).map(drop);
        let has_view = || read_manifest(&*self.view()?).map(drop);
        has_packs().is_ok() || has_view().is_ok()
    }

    /// What a folder is whose file `format` is missing or damaged: each case has another remedy.
    pub(super) fn without_format(&self) -> Error {
        let folder = self.folder();
        let file = folder.join(FORMAT_FILE);
        if self.has_content() {
            return Error::Damaged {
                what: format!("its file {} is missing or damaged", file.display()),
                mend: "run `wsidx sync`",
            };
        }
        if is_unfinished(&self.root) {
            return Error::Damaged {
                what: format!("making {} was begun and never finished", folder.display()),
                mend: "run `wsidx init`",
            };
        }
        Error::Version {
            what: format!(
                "{} is not a wsidx index (it has no packs, no view and no sound file {FORMAT_FILE})",
                folder.display()
            ),
            mend: "move the folder away and run `wsidx sync --init`",
        }
    }

    /// Puts back folders and small files that are missing.
    pub(super) fn restore_files(&self) -> Result<()> {
        if self.simulated.is_some() {
            return Ok(());
        }
        make_folder(&self.folder().join("view"))?;
        MARKERS
            .iter()
            .try_for_each(|(name, text)| put(&self.folder().join(name), text, Keep::Whatever))
    }

    /// Makes what an index consists of beside its packs and its view, but for the file `format`.
    pub(super) fn make_files(&self) -> Result<()> {
        make_folder(&self.folder().join("packs"))?;
        self.restore_files()
    }

    /// Says that this is an index. Comes last when one is made: without it the folder is none.
    pub(super) fn say_format(&self) -> Result<()> {
        put(&self.folder().join(FORMAT_FILE), FORMAT, Keep::Same)
    }

    /// The packs; where nothing of them is left, new ones, for the same settings as far as the view
    /// knows them.
    pub(super) fn packs_or_new(&self, monitor: &dyn Monitor) -> Result<Packs> {
        if self.simulated.is_none() {
            make_folder(&self.folder().join("packs"))?;
        }
        let lost = match self.open_packs() {
            Err(lost @ Error::Damaged { .. }) => lost,
            opened => return opened,
        };
        let published = self
            .view()
            .and_then(|view| read_manifest(&*view))
            .map(|manifest| manifest.settings);
        let settings = match published
            .ok()
            .filter(|text| Settings::from_text(text).is_ok())
        {
            Some(text) => text,
            None => {
                let settings = Settings::new(survey(&self.root, monitor)?.shape(None)?);
                let size = settings.size;
                monitor.note(&format!(
                    "the settings of the index were lost as well and are chosen anew from the images: {size} × {size} pixels; \
                     for others, remove the index and run `wsidx init`"
                ));
                settings.to_text().into_bytes()
            }
        };
        self.begin_packs_anew(&lost, &settings, monitor)
    }

    /// New packs beside others of which nothing can be used.
    pub(super) fn begin_packs_anew(
        &self,
        lost: &Error,
        settings: &[u8],
        monitor: &dyn Monitor,
    ) -> Result<Packs> {
        monitor.note(&format!(
            "{lost}: new packs are begun, and all files are read again"
        ));
        Packs::begin_anew(self.packs()?, settings)
    }

    /// Takes away packs that never had a commit.
    pub(super) fn clear_bare_packs(&self) -> Result<()> {
        let folder = self.folder().join("packs");
        for entry in fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let path = entry.map_err(Error::io("reading", &folder))?.path();
            fs::remove_file(&path).map_err(Error::io("removing", &path))?;
        }
        Ok(())
    }
}

/// Whether making the index in `root` was begun and never finished: it is not said to be one, and
/// holds no commit. [`create`](super::create) then makes it.
pub fn is_unfinished(root: &Path) -> bool {
    let home = Home::new(root);
    let has_commit = || {
        Some(
            Packs::open(home.packs().ok()?)
                .ok()?
                .replay(None, &mut |_, _| Ok(()))
                .ok()?
                .commit
                .is_some(),
        )
    };
    let is_bare = !has_commit().unwrap_or(false);
    let folder = index_folder(root);
    check_trust(root).is_ok()
        && fs::symlink_metadata(folder.join(FORMAT_FILE)).is_err()
        && is_bare
        && foreign_entries(&folder).is_ok_and(|foreign| foreign.is_empty())
}

fn make_folder(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::io("creating", path)(e)),
        _ => Ok(()),
    }
}

/// Which file of the name is left as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Any.
    Whatever,
    /// One with the same text.
    Same,
}

/// Writes a small file without following a link.
pub(super) fn put(path: &Path, text: &str, keep: Keep) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta)
            if meta.is_file()
                && (keep == Keep::Whatever && meta.len() > 0
                    || fs::read(path).is_ok_and(|is| is == text.as_bytes())) =>
        {
            return Ok(());
        }
        Ok(_) => fs::remove_file(path).map_err(Error::io("removing", path))?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("looking at", path)(e)),
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(Error::io("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_damaged_is_told_from_that_of_another_version_and_from_no_format() {
        let said = |text: &[u8]| match Said::of(Some(text)) {
            Said::This => "this",
            Said::Other => "other",
            Said::Damaged => "damaged",
            Said::Foreign => "foreign",
        };
        assert_eq!(said(b"wsidx index 3\n"), "this");
        assert_eq!(said(b"wsidx index 12\n"), "other");
        for damaged in [
            &b""[..],
            b"wsidx",
            b"wsidx index ",
            b"wsidx indEx 3\n",
            b"wsidx index \0\n",
            &[0; 14],
        ] {
            assert_eq!(said(damaged), "damaged", "{}", damaged.escape_ascii());
        }
        assert_eq!(said(b"something else\n"), "foreign");
        assert!(matches!(Said::of(None), Said::Damaged));
    }
}
