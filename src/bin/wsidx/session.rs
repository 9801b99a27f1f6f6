//! What every command needs: where the dataset is, who watches, what time it is.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use wsidx::{
    Error, Result, dataset,
    index::{Reader, Writer},
    monitor::Monitor,
};

use crate::{
    args::{Common, Format},
    progress::{Interrupt, Progress},
    trust,
};

/// One run of the program.
pub(crate) struct Session {
    root: Option<PathBuf>,
    pub(crate) quiet: bool,
    /// Whether an index that was made elsewhere is refused.
    strict: AtomicBool,
    /// Whether it was said that it was.
    vouched: AtomicBool,
    interrupt: Interrupt,
}

impl Session {
    /// With `listens`, signals that ask for the end interrupt what is done.
    pub(crate) fn new(common: &Common, listens: bool) -> Result<Self> {
        let io = |source| Error::Io {
            doing: "listening for signals at",
            path: PathBuf::from("the terminal"),
            source,
        };
        let interrupt = if listens {
            Interrupt::listen(common.quiet).map_err(io)?
        } else {
            Interrupt::default()
        };
        Ok(Self {
            root: common.root.clone(),
            quiet: common.quiet,
            strict: common.strict.into(),
            vouched: false.into(),
            interrupt,
        })
    }

    /// Set once the user wants the end.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Progress for people; none beside a machine format.
    pub(crate) fn monitor(&self, format: Format) -> Progress {
        Progress::new(format == Format::Text, self.quiet, self.interrupt.clone())
    }

    /// The root of the dataset: as the user said, or the nearest one from the current folder
    /// upwards, or else from the first path upwards.
    pub(crate) fn root(&self, first: Option<&Path>) -> Result<PathBuf> {
        if let Some(root) = &self.root {
            return dataset::find_root(root);
        }
        match dataset::find_root(Path::new(".")) {
            Err(Error::NoIndex { from }) => {
                let folder = first.map(|path| {
                    if path.is_dir() {
                        path
                    } else {
                        path.parent().unwrap_or(path)
                    }
                });
                let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
                folder
                    .and_then(|folder| dataset::find_root(folder).ok())
                    .ok_or(Error::NoIndex { from })
            }
            found => found,
        }
    }

    /// Where a new index goes: as the user said, or the current folder.
    pub(crate) fn new_root(&self, dir: Option<&Path>) -> Result<PathBuf> {
        let dir = dir.or(self.root.as_deref()).unwrap_or(Path::new("."));
        std::fs::canonicalize(dir).map_err(|source| Error::Io {
            doing: "looking into",
            path: dir.to_owned(),
            source,
        })
    }

    pub(crate) fn reader(&self, first: Option<&Path>) -> Result<Reader> {
        let root = self.root(first)?;
        // Looked at before it is opened: at any moment a `rebuild` may put one that is known in its
        // place.
        let known = trust::is_known(&root);
        let reader = Reader::open(&root)?;
        self.vouch_for(&root, || known)?;
        Ok(reader)
    }

    pub(crate) fn writer(&self, root: &Path, wait: bool, monitor: &dyn Monitor) -> Result<Writer> {
        let writer = Writer::open(root, &self.who(), wait, monitor)?;
        self.vouch(root)?;
        Ok(writer)
    }

    /// Says, once, that an index was not made by this user on this machine; with `--strict` that is
    /// an error.
    pub(crate) fn vouch(&self, root: &Path) -> Result<()> {
        self.vouch_for(root, || trust::is_known(root))
    }

    fn vouch_for(&self, root: &Path, known: impl FnOnce() -> Result<bool>) -> Result<()> {
        if self.vouched.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        trust::vouch(
            root,
            known(),
            self.strict.load(Ordering::Relaxed),
            self.quiet,
        )
    }

    /// From now on, an index that was made elsewhere is refused.
    pub(crate) fn be_strict(&self) {
        self.strict.store(true, Ordering::Relaxed);
    }

    /// Nothing is said of the index: the user deals with it.
    pub(crate) fn vouch_no_more(&self) {
        self.vouched.store(true, Ordering::Relaxed);
    }

    /// For a `sync` of everything, which makes again what is gone of the index.
    pub(crate) fn restoring_writer(
        &self,
        root: &Path,
        wait: bool,
        monitor: &dyn Monitor,
    ) -> Result<Writer> {
        let writer = Writer::open_to_sync(root, &self.who(), wait, monitor)?;
        self.vouch(root)?;
        Ok(writer)
    }

    /// What others are told while they wait for us.
    pub(crate) fn who(&self) -> String {
        let command = std::env::args().nth(1).unwrap_or_default();
        format!("process {} (wsidx {command})", std::process::id())
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs().cast_signed())
    }
}

/// Passes words on, and takes the time of each stage.
pub(crate) struct Timed<'a> {
    inner: &'a dyn Monitor,
    stages: Mutex<Vec<(&'static str, Instant)>>,
}

impl<'a> Timed<'a> {
    pub(crate) fn new(inner: &'a dyn Monitor) -> Self {
        Self {
            inner,
            stages: Mutex::new(Vec::new()),
        }
    }

    /// Seconds of each stage, in order; a stage that came twice is one.
    pub(crate) fn seconds(&self) -> Vec<(&'static str, f64)> {
        let stages = self
            .stages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let ends = stages
            .iter()
            .skip(1)
            .map(|(_, began)| *began)
            .chain([Instant::now()]);
        let mut seconds: Vec<(&'static str, f64)> = Vec::new();
        for ((name, began), end) in stages.iter().zip(ends) {
            let took = end.duration_since(*began).as_secs_f64();
            match seconds.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += took,
                None => seconds.push((name, took)),
            }
        }
        seconds
    }
}

impl Monitor for Timed<'_> {
    fn stage(&self, name: &'static str, total: Option<u64>) {
        self.stages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push((name, Instant::now()));
        self.inner.stage(name, total);
    }

    fn advance(&self, n: u64) {
        self.inner.advance(n);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
}
