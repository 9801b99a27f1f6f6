//! What the watch says of itself: lines without a number, its status, its numbers, and clusters of
//! what has changed.

use std::time::Instant;

use serde::Serialize;
use wsidx::{Error, index::GraphMethod};

use super::{
    batch::Next,
    daemon::{Daemon, Store},
    lines,
    log::Working,
    metrics::Numbers,
};
use crate::Failure;

#[derive(Serialize)]
struct Reason<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
pub(super) struct Nothing {}

/// The components of the similarity graph that changed, their clusters, and what it took to make
/// them.
#[derive(Serialize)]
struct Clustered {
    components: usize,
    contents: usize,
    largest: usize,
    clusters: usize,
    ms: u64,
}

impl Daemon<'_> {
    /// Has lines written, all at once, after those that were told before.
    pub(super) fn tell(&mut self, lines: &[&[u8]]) -> Result<(), Failure> {
        let text = lines
            .iter()
            .flat_map(|line| [*line, b"\n"])
            .collect::<Vec<_>>()
            .concat();
        Ok(self.line_writer.write(text)?)
    }

    /// Tells that something hinders the watch.
    pub(super) fn degraded(&mut self, reason: &str) -> Result<(), Failure> {
        self.log.warn(reason);
        self.tell(&[&lines::news("degraded", &Reason { reason })])
    }

    pub(super) fn recovered(&mut self, reason: &str) -> Result<(), Failure> {
        self.log.info(reason);
        self.tell(&[&lines::news("recovered", &Reason { reason })])
    }

    /// Spectral clusters of the components that changed, with what they cost.
    pub(super) fn recluster(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let monitor = Working {
            log: self.log,
            notice: &self.notice,
            stop: None,
        };
        let Some(Store { writer, intake }) = &mut self.store else {
            return Ok(());
        };
        let components = writer.changed_components(&intake.rules().edges, &monitor)?;
        if components.is_empty() {
            return Ok(());
        }
        let of_each = components
            .iter()
            .map(|component| Ok(component.clusters(GraphMethod::Spectral)?.count()));
        let clusters = match of_each.sum::<Result<usize, Error>>() {
            Ok(clusters) => clusters,
            Err(error) => return self.degraded(&format!("clustering what has changed: {error}")),
        };
        let clustered = Clustered {
            components: components.len(),
            contents: components
                .iter()
                .map(|component| component.contents.len())
                .sum(),
            largest: components
                .iter()
                .map(|component| component.contents.len())
                .max()
                .unwrap_or(0),
            clusters,
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let mut numbers = self.numbers();
        numbers.reclusterings += 1;
        numbers.reclustering_ms += clustered.ms;
        drop(numbers);
        self.tell(&[&lines::news("clustered", &clustered)])
    }

    /// Files that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.next.as_ref().map_or(0, Next::len)
    }

    pub(super) fn count(&self) {
        let mut numbers = self.numbers();
        numbers.waiting = self.waiting() as u64;
        numbers.degraded = self.hindrances().next().is_some();
        if let Some(Store { writer, .. }) = &self.store {
            numbers.images = writer.state().held();
            numbers.seq = writer.told();
        }
    }

    /// What hinders the watch now.
    fn hindrances(&self) -> impl Iterator<Item = String> {
        let of_roots = self.roots.iter().flat_map(|root| {
            let name = if root.scope.is_empty() {
                ".".into()
            } else {
                String::from_utf8_lossy(&root.scope).into_owned()
            };
            let trouble = root.trouble.iter().map({
                let name = name.clone();
                move |why| format!("{name}: {why}")
            });
            trouble
                .chain(
                    root.polled
                        .iter()
                        .map(move |why| format!("{name} is polled: {why}")),
                )
                .collect::<Vec<_>>()
        });
        let of_mounts = self
            .mounts
            .troubles()
            .map(|(folder, why)| format!("{}: {why}", String::from_utf8_lossy(folder)));
        of_roots.chain(of_mounts).chain(
            self.full
                .iter()
                .map(|full| format!("the disk is full: {}", full.why)),
        )
    }

    pub(super) fn status(&self) -> String {
        #[derive(Serialize)]
        struct Status {
            schema: &'static str,
            state: &'static str,
            process: u32,
            folders: Vec<String>,
            degraded: Vec<String>,
            #[serde(flatten)]
            numbers: Numbers,
        }
        self.count();
        let state = match () {
            () if self.full.is_some() => "waiting for space",
            () if self.paused => "paused",
            () if !self.ready => "starting",
            () => "watching",
        };
        let folders = self.roots.iter().map(|root| {
            if root.scope.is_empty() {
                ".".into()
            } else {
                String::from_utf8_lossy(&root.scope).into_owned()
            }
        });
        let numbers = self.numbers().clone();
        let (process, degraded) = (std::process::id(), self.hindrances().collect());
        let status = Status {
            schema: "wsidx.watch-status/1",
            state,
            process,
            folders: folders.collect(),
            degraded,
            numbers,
        };
        serde_json::to_string(&status).unwrap_or_default()
    }
}
