//! The loop: what others say → looks, batches, and idle work, one after the other.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wsidx::{
    Error, Result,
    dataset::{is_hidden, stat_of_file},
    index::{Intake, Writer},
};

use super::{
    actions::Actions,
    args::{Settings, Watch},
    batch::{Full, MOMENT, Next, is_full},
    clock,
    inbox::{Inbox, Request, Waiting},
    line_writer::LineWriter,
    lines,
    log::{Log, Working},
    metrics::{self, Numbers},
    mounts::Mounts,
    notice::Notice,
    queue::Queue,
    report::Nothing,
    roots::Root,
    scanner::Scanner,
    signals,
    socket::Socket,
};
use crate::{Exit, Failure, Outcome, place, progress::Interrupt, session::Session};

/// So long after the last change the catalog is written, and where changes never end at least so
/// often; what it lacks after a crash is replayed.
const REST: Duration = Duration::from_secs(1);
const SAVE: Duration = Duration::from_secs(60);

/// The index, open for writing, and what holds for all batches.
pub(super) struct Store {
    pub(super) writer: Writer,
    pub(super) intake: Intake,
}

/// The one that watches.
pub(super) struct Daemon<'a> {
    pub(super) args: &'a Watch,
    pub(super) who: String,
    pub(super) root: PathBuf,
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) notice: Notice,
    pub(super) line_writer: LineWriter,
    inbox: Arc<Inbox>,
    pub(super) scanner: Scanner,
    pub(super) roots: Vec<Root>,
    pub(super) mounts: Mounts,
    pub(super) queue: Queue,
    /// Files that were taken from the queue and read before their turn.
    pub(super) next: Option<Next>,
    pub(super) store: Option<Store>,
    pub(super) actions: Actions,
    pub(super) numbers: Arc<Mutex<Numbers>>,
    /// Folders that came and were not looked at yet.
    pub(super) folders: BTreeSet<Vec<u8>>,
    /// Everything is to be looked at.
    pub(super) rescan: bool,
    pub(super) looking: bool,
    /// The first look is over.
    pub(super) ready: bool,
    pub(super) paused: bool,
    stopping: bool,
    /// Why nothing can be written.
    pub(super) full: Option<Full>,
    /// The number of the last event whose line was told.
    pub(super) told: u64,
    pub(super) unsaved: Option<Instant>,
    saved: Instant,
    pub(super) next_turn: Instant,
    next_cluster: Instant,
    _socket: Socket,
}

impl<'a> Daemon<'a> {
    /// Opens the index and begins to listen.
    pub(super) fn start(session: &Session, args: &'a Watch) -> Result<Self> {
        let root = session.root(args.dirs.first().map(PathBuf::as_path))?;
        let scopes = args
            .dirs
            .iter()
            .map(|dir| place::inside(&root, dir))
            .collect::<Result<BTreeSet<_>>>()?;
        if let Some(scope) = scopes.iter().find(|scope| is_hidden(scope)) {
            let shown = String::from_utf8_lossy(scope);
            return Err(Error::Input(format!(
                "{shown} is passed over for its name, which begins with a dot; watch another folder"
            )));
        }
        let (inbox, now) = (Arc::new(Inbox::default()), Instant::now());
        let interrupt = session.interrupt();
        signals::listen(Arc::clone(&inbox), interrupt.clone())?;
        let settings = Settings::read(args, &root)?;
        let (log, notice) = (
            Log {
                format: args.log_format,
                quiet: session.quiet,
            },
            Notice::from_environment(),
        );
        let numbers = Arc::new(Mutex::new(Numbers::default()));
        let store = open(
            &root,
            &session.who(),
            args.wait,
            log,
            &notice,
            Some(&interrupt),
        )?;
        session.vouch(&root)?;
        let socket = Socket::listen(&root, Arc::clone(&inbox))?;
        if let Some(address) = args.metrics {
            log.info(&format!(
                "metrics are at http://{}/metrics",
                metrics::serve(address, Arc::clone(&numbers))?
            ));
        }
        let line_writer = LineWriter::start(Arc::clone(&inbox)).map_err(|source| Error::Io {
            doing: "watching",
            path: root.clone(),
            source,
        })?;
        let mounts = Mounts::new(&root, scopes.iter().cloned().collect());
        let roots = scopes
            .into_iter()
            .map(|scope| Root::new(&root, scope, args.backend, now))
            .collect();
        Ok(Self {
            args,
            who: session.who(),
            scanner: Scanner::start(root.clone(), Arc::clone(&inbox))?,
            actions: Actions::new(&root, settings.on_redundant.clone(), log),
            root,
            next_cluster: now + settings.recluster,
            settings,
            log,
            notice,
            line_writer,
            inbox,
            roots,
            mounts,
            queue: Queue::default(),
            next: None,
            told: store.writer.told(),
            store: Some(store),
            numbers,
            folders: BTreeSet::new(),
            rescan: true,
            looking: false,
            ready: false,
            paused: false,
            stopping: false,
            full: None,
            unsaved: None,
            saved: now,
            next_turn: now,
            _socket: socket,
        })
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) -> Outcome {
        if let Some(since) = self.args.since {
            super::told(&self.root, since)?;
        }
        self.finish_moves()?;
        loop {
            let waiting = self.inbox.take(self.deadline());
            self.hear(waiting)?;
            if self.stopping {
                return self.end();
            }
            self.turn_roots()?;
            self.look_around()?;
            if self.ready && !self.paused {
                self.take_batch()?;
            }
            self.idle()?;
            self.count();
            self.notice.alive();
        }
    }

    pub(super) fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When there is something to do, if nobody says anything.
    fn deadline(&self) -> Instant {
        let works = self.ready && !self.paused && self.full.is_none();
        let waits = self
            .next
            .as_ref()
            .map(|_| Instant::now())
            .or_else(|| self.queue.next());
        let due = waits.filter(|_| works).unwrap_or(self.next_turn);
        let rest = self.unsaved.map_or(self.next_turn, |since| since + REST);
        let gone = self
            .queue
            .gone()
            .next()
            .filter(|_| works)
            .map_or(self.next_turn, |_| Instant::now() + MOMENT);
        due.min(rest).min(gone).min(self.next_turn)
    }

    fn hear(&mut self, waiting: Waiting) -> Result<(), Failure> {
        let Waiting {
            hints,
            lost,
            errors,
            requests,
        } = waiting;
        for error in errors {
            self.log
                .warn(&format!("an event could not be read: {error}"));
            self.rescan = true;
        }
        if lost > 0 {
            self.numbers().overflows += lost;
            self.degraded("the system lost events; everything is looked at")?;
            self.rescan = true;
        }
        if !hints.is_empty() {
            // What is unmounted is told as if it were gone.
            self.turn_mounts()?;
        }
        for (path, hint) in hints {
            self.hint(&path, hint);
        }
        for request in requests {
            self.obey(request)?;
        }
        Ok(())
    }

    fn obey(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::Stop => self.stopping = true,
            Request::Rescan => self.rescan = true,
            Request::Pause | Request::Resume => {
                self.paused = matches!(request, Request::Pause);
                self.give_up_next(Instant::now());
                self.tell(&[&lines::news(
                    if self.paused { "paused" } else { "resumed" },
                    &Nothing {},
                )])?;
            }
            Request::Reload => self.reload(),
            Request::Scanned(scanned) => self.scanned(*scanned)?,
            Request::Unheard => self.line_writer.end()?,
            Request::Status(send) => drop(send.send(self.status())),
        }
        Ok(())
    }

    fn reload(&mut self) {
        self.notice.reloading();
        match Settings::read(self.args, &self.root) {
            Ok(settings) => {
                if settings.on_redundant != self.settings.on_redundant {
                    self.actions =
                        Actions::new(&self.root, settings.on_redundant.clone(), self.log);
                }
                self.settings = settings;
                self.log.info("settings were read again");
            }
            Err(e) => self.log.warn(&format!("settings stay as they were: {e}")),
        }
        // Tables, wsidx.toml and exceptions are read with a look at everything.
        self.rescan = true;
        self.notice.ready();
    }

    /// What a crash cut short.
    pub(super) fn finish_moves(&mut self) -> Result<(), Failure> {
        for redundant in self.actions.unfinished()? {
            let known = self.store.as_ref().and_then(|store| {
                store
                    .writer
                    .state()
                    .paths()
                    .get(&redundant.path)
                    .map(|entry| entry.stat)
            });
            let there = stat_of_file(&self.root, &redundant.path);
            if known.zip(there).is_some_and(|(known, there)| {
                (known.size, known.mtime_ns, known.inode)
                    == (there.size, there.mtime_ns, there.inode)
            }) {
                self.actions.act(redundant);
            }
        }
        Ok(())
    }

    /// When nothing waits: the catalog, and clusters of what has changed.
    fn idle(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let is_due = |since: Instant| {
            now.duration_since(since) >= REST || now.duration_since(self.saved) >= SAVE
        };
        if self.unsaved.is_some_and(is_due)
            && let Some(Store { writer, .. }) = &mut self.store
        {
            match writer.save() {
                Ok(()) => (self.unsaved, self.saved) = (None, now),
                Err(e) if is_full(&e) => return self.give_back(Vec::new(), e, now),
                Err(e) => return Err(e.into()),
            }
        }
        if self.waiting() == 0 && now >= self.next_cluster {
            self.next_cluster = now + self.settings.recluster;
            self.recluster()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Outcome {
        self.notice.stopping();
        if let Some(Store { writer, .. }) = &mut self.store {
            writer.save()?;
        }
        self.tell(&[&lines::news("stopped", &Nothing {})])?;
        self.line_writer.end()?;
        Ok(Exit::Fine)
    }
}

pub(super) fn open(
    root: &Path,
    who: &str,
    wait: bool,
    log: Log,
    notice: &Notice,
    stop: Option<&Interrupt>,
) -> Result<Store> {
    let monitor = Working { log, notice, stop };
    let mut writer = Writer::open(root, who, wait, &monitor)?;
    writer.require_complete()?;
    let intake = writer.intake(&[], clock::seconds(), &monitor)?;
    Ok(Store { writer, intake })
}
