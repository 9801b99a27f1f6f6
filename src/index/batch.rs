//! Files → contents, on all threads: the bytes are read, hashed, and decoded where the content is new.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    Error,
    dataset::{Buffer, Found, Naming, read_image, to_path},
    monitor::Monitor,
    picture::{Decoded, Limits, Picture, Shape, decode},
    store::{
        alias::Alias,
        packs::Content,
        state::{ContentId, Holds, PathEntry, Stat},
    },
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
}

/// Files in their order, cut into batches.
pub(super) fn batches(files: &[Found]) -> impl Iterator<Item = &[Found]> {
    let mut rest = files;
    std::iter::from_fn(move || {
        let mut bytes = 0u64;
        let fits = |file: &Found| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(file.stat.size.max(1));
            first || bytes <= BATCH_BYTES
        };
        let count = rest.iter().take(BATCH_FILES).map(fits).take_while(|&fits| fits).count();
        let (batch, after) = rest.split_at(count);
        rest = after;
        (count > 0).then_some(batch)
    })
}

/// Whether a content is stored, or about to be.
pub(super) type Known<'a> = &'a (dyn Fn(&ContentId) -> bool + Sync);

/// Reads files on all threads.
pub(super) struct BatchReader {
    pub(super) root: std::path::PathBuf,
    pub(super) shape: Shape,
    pub(super) limits: Limits,
    pub(super) started: i64,
    pub(super) naming: Naming,
}

impl BatchReader {
    /// In the order of the files; those that an interruption left unread are missing.
    pub(super) fn read(&self, batch: &[Found], known: Known<'_>, monitor: &dyn Monitor) -> Vec<Outcome> {
        let read = batch.par_iter().map_init(Buffer::default, |buffer, file| {
            if monitor.cancelled() {
                return None;
            }
            let outcome = self.read_one(file, buffer, known);
            monitor.advance(1);
            Some(outcome)
        });
        read.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn read_one(&self, file: &Found, buffer: &mut Buffer, known: Known<'_>) -> Outcome {
        let path = file.path.clone();
        let entry = |holds, stat| PathEntry { holds, stat, label: None, split: None };
        let undecodable = |id, error: Error| Holds::Undecodable { id, reason: reason(error).into() };
        let undecoded = |path, entry| Outcome { path, entry, content: None, aliases: Vec::new() };
        let stat = match read_image(&to_path(&self.root, &path), &self.limits, buffer) {
            Ok(stat) => self.settle(stat),
            Err(e) => return undecoded(path, entry(undecodable([0; 32], e), Stat::default())),
        };
        let id = buffer.id();
        if known(&id) {
            let aliases = self.naming.of(&buffer.bytes);
            return Outcome { path, entry: entry(Holds::Content(id), stat), content: None, aliases };
        }
        match decode(&buffer.bytes, self.shape, &self.limits) {
            Ok(decoded) => {
                let aliases = self.naming.of(&buffer.bytes);
                Outcome { path, entry: entry(Holds::Content(id), stat), content: Some(content_of(id, stat.size, decoded)), aliases }
            }
            Err(e) => undecoded(path, entry(undecodable(id, e), stat)),
        }
    }

    /// A file that changed since the run began may change again within the same tick of the clock: it is looked at again next time.
    fn settle(&self, stat: Stat) -> Stat {
        if stat.ctime_ns >= self.started { Stat { ctime_ns: 0, ..stat } } else { stat }
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
    (Content { id, bytes, format: decoded.format.code(), width: decoded.width, height: decoded.height, code }, decoded.picture)
}
