//! Folders → watches on them and, after those stand, a list of what is in them: on a thread of its
//! own, since a large tree takes a while.
//!
//! The system tells nothing of what came into a folder before it was watched, so every folder is
//! watched first and listed then. Watches are set folder by folder, never recursively: a limit that
//! is reached is then an answer here and not a silence there.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use walkdir::WalkDir;
use wsidx::{
    Error,
    dataset::{self, Listing, to_path},
    file::read_named,
};

use super::inbox::{Ear, Inbox, Request};

/// A folder to be looked at.
#[derive(Debug)]
pub(super) struct Job {
    /// Relative to the root; none: all folders that are watched.
    pub(super) scopes: Vec<Scope>,
    /// Whether this is all that is watched, and not only what is new.
    pub(super) everything: bool,
}

/// A folder, and whether the system tells of changes in it.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) path: Vec<u8>,
    pub(super) watch: bool,
}

/// What a look came to.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) job: Job,
    pub(super) listings: Vec<Result<Listing, Error>>,
    /// For each folder of the job: why the system cannot tell of all changes in it.
    pub(super) troubles: Vec<Option<String>>,
    /// Watches that were set.
    pub(super) folders: usize,
}

/// The thread.
pub(super) struct Scanner {
    jobs: Sender<Job>,
}

impl Scanner {
    /// Begins to listen; the results go to the inbox.
    pub(super) fn start(root: PathBuf, inbox: Arc<Inbox>) -> Result<Self, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::Io {
            doing: "watching",
            path: root.clone(),
            source: std::io::Error::other(e.to_string()),
        };
        let config = notify::Config::default().with_follow_symlinks(false);
        let watcher =
            RecommendedWatcher::new(Ear(Arc::clone(&inbox)), config).map_err(|e| failed(&e))?;
        let (jobs, waiting) = channel();
        let at = root.clone();
        thread::Builder::new()
            .name("scanner".into())
            .spawn(move || work(&at, watcher, &waiting, &inbox))
            .map_err(|e| failed(&e))?;
        Ok(Self { jobs })
    }

    pub(super) fn look(&self, job: Job) {
        // The thread ends with the process only.
        let _ = self.jobs.send(job);
    }
}

fn work(root: &Path, mut watcher: RecommendedWatcher, jobs: &Receiver<Job>, inbox: &Inbox) {
    for job in jobs {
        let (mut folders, mut troubles, mut listings) = (0, Vec::new(), Vec::new());
        for scope in &job.scopes {
            let (set, trouble) = if scope.watch {
                watch(root, &scope.path, &mut watcher)
            } else {
                (0, None)
            };
            folders += set;
            troubles.push(trouble);
            listings.push(dataset::list(root, &scope.path, &|| false));
        }
        inbox.ask(Request::Scanned(Box::new(Scanned {
            job,
            listings,
            troubles,
            folders,
        })));
    }
}

/// Watches a folder and all below it.
fn watch(root: &Path, scope: &[u8], watcher: &mut RecommendedWatcher) -> (usize, Option<String>) {
    let hidden = |entry: &walkdir::DirEntry| {
        entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let mut set = 0;
    for entry in WalkDir::new(to_path(root, scope))
        .into_iter()
        .filter_entry(|entry| !hidden(entry))
        .flatten()
    {
        if !entry.file_type().is_dir() {
            continue;
        }
        match watcher.watch(entry.path(), RecursiveMode::NonRecursive) {
            Ok(()) => set += 1,
            Err(e) => match e.kind {
                ErrorKind::MaxFilesWatch => return (set, Some(limit_reached())),
                // It left while it was looked at.
                ErrorKind::PathNotFound => {}
                _ => return (set, Some(format!("changes are not told: {e}"))),
            },
        }
    }
    (set, None)
}

fn limit_reached() -> String {
    let limit =
        read_named(Path::new("/proc/sys/fs/inotify/max_user_watches"), 64).unwrap_or_default();
    let limit = String::from_utf8_lossy(&limit)
        .trim()
        .parse::<u64>()
        .unwrap_or(65_536);
    let more = limit.saturating_mul(4);
    format!(
        "the limit of watched folders is reached ({limit}); raise it with `sysctl fs.inotify.max_user_watches={more}`"
    )
}
