//! Where a command runs: a dataset and a home, put back as they were before each run.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    scenes::Scene,
    support::{self, PROGRAM, Run},
};

/// Every file and folder by its path from the top; a folder has no bytes.
pub(crate) type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(crate) struct Ground {
    folder: tempfile::TempDir,
    /// As it is before the command.
    before: Files,
}

impl Ground {
    pub(crate) fn prepare(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Self {
            folder,
            before: Files::new(),
        };
        fs::create_dir_all(ground.tree()).unwrap();
        fs::create_dir_all(ground.top().join("home")).unwrap();
        (scene.prepare)(&ground);
        ground.before = ground.files();
        ground
    }

    /// The folder of which all calls count.
    pub(crate) fn top(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("top")
    }

    /// The dataset.
    pub(crate) fn tree(&self) -> PathBuf {
        self.top().join("tree")
    }

    /// A command that runs in the dataset.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = support::command(program, &self.tree());
        let home = self.top().join("home");
        command
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_STATE_HOME", home.join(".state"));
        // One order of calls, as far as the program has one.
        command.env("RAYON_NUM_THREADS", "1");
        command
    }

    /// Runs the program in the dataset.
    pub(crate) fn wsidx(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(PROGRAM);
        command.args(arguments);
        support::run(command)
    }

    /// Everything that is there before the command.
    pub(crate) fn before(&self) -> &Files {
        &self.before
    }

    /// Everything that is there now.
    pub(crate) fn files(&self) -> Files {
        let (top, mut files) = (self.top(), Files::new());
        read(&top, &top, &mut files);
        files
    }

    /// Puts back what differs; files that are as they were keep their times and their inodes.
    pub(crate) fn restore(&self) {
        let top = self.top();
        let now = self.files();
        for (path, bytes) in now.iter().rev().filter(|(path, bytes)| {
            self.before.get(*path).map(Option::is_some) != Some(bytes.is_some())
        }) {
            match bytes {
                Some(_) => fs::remove_file(top.join(path)).unwrap(),
                None => fs::remove_dir(top.join(path)).unwrap(),
            }
        }
        for (path, bytes) in &self.before {
            match bytes {
                Some(bytes) if now.get(path) != Some(&Some(bytes.clone())) => {
                    // A file of its own: the name may be a further one of another file.
                    let _ = fs::remove_file(top.join(path));
                    fs::write(top.join(path), bytes).unwrap();
                }
                None if !now.contains_key(path) => fs::create_dir(top.join(path)).unwrap(),
                _ => {}
            }
        }
    }
}

fn read(top: &Path, folder: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().to_owned();
        if path.is_dir() && !path.is_symlink() {
            files.insert(name, None);
            read(top, &path, files);
        } else if !path.is_symlink() && path.is_file() {
            files.insert(name, Some(fs::read(&path).unwrap()));
        }
    }
}
