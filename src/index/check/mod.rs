//! Files → verdicts: each against the dataset without the files in the request, and against those
//! before it.

mod base;
mod candidates;
mod except;
mod flat;
mod places;
mod request;
mod settle;
mod settled;
mod version;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use rayon::prelude::*;

pub(super) use self::settled::Settled;
use self::{
    base::Base,
    request::{Request, Requested},
};
pub use self::{except::except, version::Located};
use super::{
    Reader,
    cluster::{Cluster, ClusterIds},
    flat::{FlatRows, Texture},
    pairs::QueryPicture,
    query::Match,
    scores::reference_of,
};
use crate::{
    Error, Result,
    dataset::{Buffer, Images, Labels, Skipped, Unread, skipped_tables_above, tables_above},
    feature::Feature,
    knn::Live,
    monitor::Monitor,
    picture::{Limits, Picture, decode},
    similarity::EdgeRule,
    store::state::ContentId,
    verdict::{Judgement, Label, Occurrence, ReadLimits, Reference, Split},
};

/// A file to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckItem {
    /// Where it is; nowhere for a file of a version.
    pub file: PathBuf,
    /// What it is called: relative to the root if it is below it, else as it was given.
    pub path: Arc<[u8]>,
    /// Whether it is below the root, and so has a label and a split by its path.
    pub inside: bool,
}

/// What holds for all files of a request.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// The label of all of them, whatever their paths say.
    pub label: Option<Label>,
    /// The split of all of them.
    pub split: Option<Split>,
    /// What a picture and a table of labels may cost; `None`: what the `wsidx.toml` of the dataset
    /// says.
    pub limits: Option<ReadLimits>,
    /// Which pairs are near-duplicates.
    pub rule: EdgeRule,
}

/// The verdict on a file, with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// As in the request.
    pub item: CheckItem,
    /// The content, where the file could be read at all.
    pub id: Option<ContentId>,
    /// The label that it was judged under.
    pub label: Option<Label>,
    /// The split that it was judged under.
    pub split: Option<Split>,
    /// The verdict.
    pub judgement: Judgement,
    /// How much the picture has to be told from others by, where it could be read.
    pub texture: Option<Texture>,
    /// Why it is undecodable or missing.
    pub reason: Option<String>,
    /// Where the same content is, sorted by path: the first places, and those that decide.
    pub same: Vec<Occurrence>,
    /// In how many places it is.
    pub same_paths: usize,
    /// The nearest of what it was compared with, nearest first, by features; the same content is
    /// not among them.
    pub nearest: Vec<Match>,
    /// The edges: near-duplicates, most similar first.
    pub edges: Vec<Match>,
    /// The distance of the features from the nearest other content of the dataset and the request;
    /// `None` for a picture without contrast, and where there is no other.
    pub apart: Option<f64>,
    /// The cluster of the same content in the published dataset, where that is.
    pub own_cluster: Option<Cluster>,
    /// Why the finding is accepted, where it is.
    pub allowed: Option<String>,
}

impl Checked {
    /// The cluster that the image belongs to or, where its content is new, that of the
    /// near-duplicate most similar to it.
    #[must_use]
    pub fn cluster(&self) -> Option<Cluster> {
        self.own_cluster
            .or_else(|| self.edges.iter().find_map(|edge| edge.cluster))
    }
}

/// A file that was read.
pub(super) struct Read {
    pub(super) id: ContentId,
    pub(super) picture: Picture,
    pub(super) feature: Feature,
    pub(super) row: Option<u32>,
    /// What it is registered by, where that was made already.
    pub(super) query: Option<Arc<QueryPicture>>,
}

impl Reader {
    /// Judges the files in the byte order of their paths, each against the published dataset minus
    /// every path of the request, plus the files before it. Anomalies are judged by the distance to
    /// the fifth nearest of the whole dataset and the whole request.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`] and [`Error::Interrupted`]; a file that cannot be read is
    /// a verdict.
    pub fn check(
        &self,
        mut items: Vec<CheckItem>,
        options: &CheckOptions,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Checked>> {
        items.sort_by(|a, b| a.path.cmp(&b.path));
        items.dedup_by(|a, b| a.file == b.file);
        let images = Images::default();
        let limits = options
            .limits
            .map_or_else(|| self.rules().map(|rules| rules.limits), Ok)?;
        let named = self.named(&items, &images, options, &limits, monitor)?;
        let limits = limits.of_images();
        monitor.stage("reading", Some(items.len() as u64));
        let read: Vec<Result<Read>> = items
            .par_iter()
            .map_init(Buffer::default, |buffer, item| {
                monitor.advance(1);
                if monitor.cancelled() {
                    Err(Error::Interrupted)
                } else {
                    self.look_at(&images, &item.file, buffer, &limits)
                }
            })
            .collect();
        let read = read.into_iter().map(unread).collect::<Result<Vec<_>>>()?;
        let base = Base::published(self, &items, &[])?;
        self.judge(items, &named, read, 0, &base, options, monitor)
    }

    /// Judges files that were read, but for the first `before` of them, which the others are only
    /// compared with.
    #[allow(clippy::too_many_arguments, reason = "what a request consists of")]
    fn judge(
        &self,
        items: Vec<CheckItem>,
        named: &[Occurrence],
        read: Vec<std::result::Result<Read, Unread>>,
        before: usize,
        base: &Base<'_>,
        options: &CheckOptions,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Checked>> {
        let mut reasons = BTreeMap::new();
        let requested = group(read, before, &mut reasons);
        monitor.stage("comparing", None);
        let places = requested
            .iter()
            .enumerate()
            .map(|(place, r)| (r.read.id, place))
            .collect();
        let rule = &options.rule;
        let flat = if requested
            .iter()
            .any(|requested| requested.read.feature.is_flat())
        {
            FlatRows::of(self, &Live(&base.live))?
        } else {
            FlatRows::default()
        };
        let request = Request {
            reader: self,
            named,
            requested: &requested,
            before,
            places,
            base,
            rule,
            flat: &flat,
        };
        let judged = request.judge(monitor)?;
        let mut checked = request.answer(items, judged, &reasons);
        self.say_clusters(&mut checked, rule)?;
        Ok(checked)
    }

    /// In which clusters the same content and near-duplicates are, in the published dataset.
    fn say_clusters(&self, checked: &mut [Checked], rule: &EdgeRule) -> Result<()> {
        let mut clusters = ClusterIds::new(&self.view, rule);
        for Checked {
            id,
            same,
            nearest,
            edges,
            own_cluster,
            ..
        } in checked
        {
            for near in nearest
                .iter_mut()
                .chain(edges)
                .filter(|near| near.needs.is_some())
            {
                near.cluster = clusters.of(&near.id)?;
            }
            if let Some(id) = id.as_ref().filter(|_| !same.is_empty()) {
                *own_cluster = clusters.of(id)?;
            }
        }
        Ok(())
    }

    /// Path, label and split of each item.
    fn named(
        &self,
        items: &[CheckItem],
        images: &Images,
        options: &CheckOptions,
        limits: &ReadLimits,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Occurrence>> {
        let folders: BTreeSet<&[u8]> = items
            .iter()
            .filter(|item| item.inside)
            .map(|item| parent(&item.path))
            .collect();
        let mut skipped: Vec<_> = folders
            .iter()
            .flat_map(|folder| skipped_tables_above(self.root(), folder))
            .collect();
        skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        skipped.dedup();
        let mut tables: Vec<_> = folders
            .into_iter()
            .flat_map(|folder| tables_above(self.root(), folder))
            .collect();
        tables.sort_unstable();
        tables.dedup();
        for Skipped { path, reason } in skipped {
            let path = String::from_utf8_lossy(&path);
            monitor.note(&format!("{path} is {reason}, and its labels are not read; put a regular file there, or remove it"));
        }
        let mut labels = Labels::read(self.root(), &tables, limits)?;
        let occurrence = |item: &CheckItem| {
            let (label, split) = if item.inside {
                images
                    .told(&item.file, &item.path)
                    .unwrap_or_else(|| labels.of(&item.path))
            } else {
                (None, None)
            };
            Occurrence {
                path: item.path.clone(),
                label: options.label.clone().or(label),
                split: options.split.or(split),
            }
        };
        Ok(items.iter().map(occurrence).collect())
    }

    fn limits_of(&self, options: &CheckOptions) -> Limits {
        options
            .limits
            .map_or_else(|| self.limits(), |limits| limits.of_images())
    }

    fn look_at(
        &self,
        images: &Images,
        file: &Path,
        buffer: &mut Buffer,
        limits: &Limits,
    ) -> Result<Read> {
        images.read(file, limits, buffer)?;
        self.look_at_bytes(buffer, limits)
    }

    fn look_at_bytes(&self, buffer: &Buffer, limits: &Limits) -> Result<Read> {
        let id = buffer.id();
        let row = self.view.row_of(&id)?;
        let picture = match row {
            Some(row) => self.picture_of_row(row)?,
            None => decode(&buffer.bytes, self.settings.shape(), limits)?.picture,
        };
        let feature = self.feature(&picture);
        Ok(Read {
            id,
            picture,
            feature,
            row,
            query: None,
        })
    }

    /// Makes ready what every check needs, for those who have something else to wait for.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn prepare_check(&self) -> Result<()> {
        self.reference().map(|_| ())
    }

    /// The scores of the live rows, by the lists that are published.
    pub(super) fn reference(&self) -> Result<&Reference> {
        if let Some(known) = self.reference.get() {
            return Ok(known);
        }
        let reference = Arc::new(reference_of(&self.view)?);
        Ok(self.reference.get_or_init(|| reference))
    }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|&b| b == b'/')
        .map_or(b"", |slash| &path[..slash])
}

/// An image that cannot be read is an answer; any other error is one.
fn unread(read: Result<Read>) -> Result<std::result::Result<Read, Unread>> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(Error::Undecodable(reason)) => Ok(Err(Unread::Unreadable(reason))),
        Err(other) => Err(other),
    }
}

/// Gathers items by content: first those that only items before `before` have, then in the order of
/// their first item.
fn group(
    read: Vec<std::result::Result<Read, Unread>>,
    before: usize,
    reasons: &mut BTreeMap<usize, Unread>,
) -> Vec<Requested> {
    let mut places: HashMap<ContentId, usize> = HashMap::new();
    let mut requested: Vec<Requested> = Vec::new();
    for (item, read) in read.into_iter().enumerate() {
        match read {
            Ok(read) => match places.get(&read.id) {
                Some(&place) => requested[place].items.push(item),
                None => {
                    places.insert(read.id, requested.len());
                    requested.push(Requested {
                        read,
                        items: vec![item],
                    });
                }
            },
            Err(unread) => {
                reasons.insert(item, unread);
            }
        }
    }
    requested.sort_by_key(|requested| {
        requested.items.iter().any(|&item| item >= before) as usize
            + usize::from(requested.items[0] >= before)
    });
    requested
}
