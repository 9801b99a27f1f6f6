//! Files and items of containers → contents, on all threads: the bytes are read, hashed, and
//! decoded where the content is new.

use std::{collections::HashSet, path::Path, sync::Arc};

use rayon::prelude::*;

use super::Home;
use crate::{
    Error,
    dataset::{Buffer, Container, Found, Naming, to_path},
    monitor::Monitor,
    picture::{Decoded, Limits, Picture, Shape, decode, is_refusal},
    store::{
        alias::Alias,
        packs::Content,
        state::{ContentId, Holds, PathEntry, Stat},
    },
    verdict::{Label, Split},
    wavelet::lifting,
};

/// Files in one batch, and their bytes: what a kill can lose at the most.
const BATCH_FILES: usize = 4_096;
const BATCH_BYTES: u64 = 64 << 20;

/// What reading a file came to.
pub(super) struct Outcome {
    pub(super) path: Arc<[u8]>,
    pub(super) entry: PathEntry,
    pub(super) content: Option<(Content, Picture)>,
    pub(super) aliases: Vec<Alias>,
    /// What the container says of the label and the split of its item; `None` for a file of its
    /// own.
    pub(super) told: Option<(Option<Label>, Option<Split>)>,
}

/// What is to be read.
pub(super) struct Source {
    path: Arc<[u8]>,
    stat: Stat,
    of: Of,
}

/// Where the bytes are.
enum Of {
    File,
    Item(Arc<Container>, usize),
    /// Nowhere: the container cannot be opened, for this reason.
    Nothing(String),
}

impl Source {
    /// A file of its own.
    pub(super) fn file(found: &Found) -> Self {
        Self {
            path: found.path.clone(),
            stat: found.stat,
            of: Of::File,
        }
    }

    /// The items of a container, or what stands for one that cannot be opened.
    pub(super) fn items(root: &Path, container: &Found) -> Vec<Self> {
        let path = &container.path;
        let nothing = |error| {
            vec![Self {
                path: path.clone(),
                stat: container.stat,
                of: Of::Nothing(reason(error)),
            }]
        };
        match Container::open(&to_path(root, path)) {
            Ok(open) if open.count() == 0 => {
                nothing(Error::Undecodable("it holds no image".into()))
            }
            Ok(open) => {
                let open = Arc::new(open);
                let item = |item| [path, &b"#"[..], &open.name(item)].concat().into();
                let source = |i| Self {
                    path: item(i),
                    stat: open.stat(),
                    of: Of::Item(Arc::clone(&open), i),
                };
                (0..open.count()).map(source).collect()
            }
            Err(error) => nothing(error),
        }
    }

    pub(super) fn path(&self) -> &Arc<[u8]> {
        &self.path
    }

    fn container(&self) -> Option<&Arc<Container>> {
        match &self.of {
            Of::Item(container, _) => Some(container),
            Of::File | Of::Nothing(_) => None,
        }
    }

    /// Whether both are items of one container, or neither is of any.
    fn is_with(&self, other: &Self) -> bool {
        self.container().map(Arc::as_ptr) == other.container().map(Arc::as_ptr)
    }
}

/// A container that is to be read, and the paths of the items that are known of it.
pub(super) struct Contained {
    pub(super) container: Found,
    pub(super) known: Vec<Arc<[u8]>>,
}

/// Files in their order, then the items of one container after the other, cut into batches.
pub(super) struct Batches<'a> {
    root: &'a Path,
    files: &'a [Found],
    containers: std::slice::Iter<'a, Contained>,
    /// Of the container that was opened last.
    items: std::vec::IntoIter<Source>,
    /// Items that were in containers which have been opened, and are no more.
    pub(super) gone: Vec<Arc<[u8]>>,
}

impl<'a> Batches<'a> {
    pub(super) fn of(root: &'a Path, files: &'a [Found], containers: &'a [Contained]) -> Self {
        Self {
            root,
            files,
            containers: containers.iter(),
            items: Vec::new().into_iter(),
            gone: Vec::new(),
        }
    }

    /// Whether there may be more.
    pub(super) fn has_more(&self) -> bool {
        !self.files.is_empty() || self.items.len() > 0 || self.containers.len() > 0
    }

    fn next_files(&mut self) -> Vec<Source> {
        let mut bytes = 0u64;
        let fits = |file: &Found| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(file.stat.size.max(1));
            first || bytes <= BATCH_BYTES
        };
        let count = self
            .files
            .iter()
            .take(BATCH_FILES)
            .map(fits)
            .take_while(|&fits| fits)
            .count();
        let (batch, after) = self.files.split_at(count);
        self.files = after;
        batch.iter().map(Source::file).collect()
    }

    fn open(&mut self, contained: &Contained) {
        let items = Source::items(self.root, &contained.container);
        let there: HashSet<&[u8]> = items.iter().map(|source| &**source.path()).collect();
        self.gone.extend(
            contained
                .known
                .iter()
                .filter(|path| !there.contains(&***path))
                .cloned(),
        );
        self.items = items.into_iter();
    }
}

impl Iterator for Batches<'_> {
    type Item = Vec<Source>;

    fn next(&mut self) -> Option<Vec<Source>> {
        if !self.files.is_empty() {
            return Some(self.next_files());
        }
        while self.items.len() == 0 {
            let contained = self.containers.next()?;
            self.open(contained);
        }
        Some(self.items.by_ref().take(BATCH_FILES).collect())
    }
}

/// Whether a content is stored, or about to be.
pub(super) type Known<'a> = &'a (dyn Fn(&ContentId) -> bool + Sync);

/// Reads files on all threads.
pub(super) struct BatchReader {
    pub(super) home: Home,
    pub(super) shape: Shape,
    pub(super) limits: Limits,
    pub(super) started: i64,
    pub(super) naming: Naming,
}

impl BatchReader {
    /// In the order of the sources; those that an interruption left unread are missing.
    pub(super) fn read(
        &self,
        batch: &[Source],
        known: Known<'_>,
        monitor: &dyn Monitor,
    ) -> Vec<Outcome> {
        let read = batch
            .par_iter()
            .map_init(Buffer::default, |buffer, source| {
                if monitor.cancelled() {
                    return None;
                }
                let outcome = self.read_one(source, buffer, known);
                monitor.advance(1);
                Some(outcome)
            });
        let mut outcomes: Vec<Outcome> = read.collect::<Vec<_>>().into_iter().flatten().collect();
        let mut at = 0;
        for together in batch.chunk_by(Source::is_with) {
            let end = at + together.len();
            // One that changed in the meantime is read again next time.
            if together[0]
                .container()
                .is_some_and(|container| !container.is_as_it_was())
            {
                outcomes
                    .iter_mut()
                    .take(end)
                    .skip(at)
                    .for_each(|outcome| outcome.entry.stat.ctime_ns = 0);
            }
            at = end;
        }
        outcomes
    }

    fn read_one(&self, source: &Source, buffer: &mut Buffer, known: Known<'_>) -> Outcome {
        let (path, told) = (source.path.clone(), self.told(source));
        let entry = |holds, stat| PathEntry {
            holds,
            stat,
            label: None,
            split: None,
        };
        let undecodable = |id, error: Error| Holds::Undecodable {
            id,
            reason: reason(error).into(),
        };
        let undecoded = |path, entry, told| Outcome {
            path,
            entry,
            content: None,
            aliases: Vec::new(),
            told,
        };
        let stat = match self.bytes(source, buffer) {
            Ok(stat) => self.settle(stat),
            Err((e, stat)) => {
                return undecoded(
                    path,
                    entry(undecodable([0; 32], e), self.settle(stat)),
                    told,
                );
            }
        };
        let id = buffer.id();
        if known(&id) {
            let aliases = self.naming.of(&buffer.bytes);
            return Outcome {
                path,
                entry: entry(Holds::Content(id), stat),
                content: None,
                aliases,
                told,
            };
        }
        match decode(&buffer.bytes, self.shape, &self.limits) {
            Ok(decoded) => {
                let aliases = self.naming.of(&buffer.bytes);
                let content = Some(content_of(id, buffer.bytes.len() as u64, decoded));
                Outcome {
                    path,
                    entry: entry(Holds::Content(id), stat),
                    content,
                    aliases,
                    told,
                }
            }
            Err(e) => {
                let holds = undecodable(id, e);
                // The limit may be another next time. (Of a container all items would be read again
                // each time.)
                let refused = matches!((&source.of, &holds), (Of::File, Holds::Undecodable { reason, .. }) if is_refusal(reason));
                undecoded(
                    path,
                    entry(
                        holds,
                        if refused {
                            Stat {
                                ctime_ns: 0,
                                ..stat
                            }
                        } else {
                            stat
                        },
                    ),
                    told,
                )
            }
        }
    }

    /// Reads the bytes into `buffer`. What cannot be read is read again next time if it is a file,
    /// and when it changes if it is (in) a container.
    fn bytes(&self, source: &Source, buffer: &mut Buffer) -> Result<Stat, (Error, Stat)> {
        match &source.of {
            Of::File => self
                .home
                .read_image(&source.path, &self.limits, buffer)
                .map_err(|e| (e, Stat::default())),
            Of::Item(container, item) => match container.read(*item, &self.limits, buffer) {
                Ok(()) => Ok(source.stat),
                Err(e) => Err((e, source.stat)),
            },
            Of::Nothing(reason) => Err((Error::Undecodable(reason.clone()), source.stat)),
        }
    }

    fn told(&self, source: &Source) -> Option<(Option<Label>, Option<Split>)> {
        match &source.of {
            Of::Item(container, item) => Some(container.told(*item, &source.path)),
            Of::File | Of::Nothing(_) => None,
        }
    }

    /// A file that changed since the run began may change again within the same tick of the clock:
    /// it is looked at again next time.
    fn settle(&self, stat: Stat) -> Stat {
        if stat.ctime_ns >= self.started {
            Stat {
                ctime_ns: 0,
                ..stat
            }
        } else {
            stat
        }
    }
}

fn reason(error: Error) -> String {
    match error {
        Error::Undecodable(reason) => reason,
        other => other.to_string(),
    }
}

/// What is stored of a decoded file, and its picture.
pub(super) fn content_of(id: ContentId, bytes: u64, decoded: Decoded) -> (Content, Picture) {
    let Shape { size, planes } = decoded.picture.shape();
    let mut code = Vec::new();
    lifting::encode(decoded.picture.samples(), size, planes, &mut code);
    (
        Content {
            id,
            bytes,
            format: decoded.format.code(),
            width: decoded.width,
            height: decoded.height,
            code,
        },
        decoded.picture,
    )
}
