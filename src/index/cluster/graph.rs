//! The published graph of near-duplicates → clusters of the dataset, each with a name that it
//! keeps.
//!
//! Every connected component is clustered by itself, so a change touches the clusters of its own
//! component only. A cluster is named by the smallest content id among its members. So the names
//! follow from what the index holds now, by whatever way it came there, and need no memory: a
//! cluster keeps its name when images join or leave, but for the image that names it and for one
//! with a still smaller id (of n + 1 images one in n + 1 has the smallest); of clusters that merge
//! the smallest name stays; of one that splits the part with the naming image keeps the name, and
//! the others are named by their own smallest ids.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    str::FromStr,
};

use rayon::prelude::*;

use super::weights;
use crate::{
    Error, Result,
    cluster::{
        Clustering, communities, connected_components, eigengap_clusters, modularity,
        threshold_groups,
    },
    index::{Component, IndexedImage, Reader, Selection, components::component},
    knn::Live,
    monitor::Monitor,
    similarity::EdgeRule,
    store::{state::ContentId, view::View},
};

/// Contents of a component up to which an answer on one image says its cluster: some milliseconds.
const MOST_AT_ONCE: usize = 2_048;

/// How the components of the graph are clustered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphMethod {
    /// Spectral clusters, as many as eigengaps suggest ([`eigengap_clusters`]).
    Spectral,
    /// Not at all: each component is a cluster.
    Components,
    /// Communities of high modularity ([`communities()`]).
    Communities,
    /// Groups of which all are similar to one ([`threshold_groups`]).
    Threshold,
}

impl GraphMethod {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spectral => "spectral",
            Self::Components => "components",
            Self::Communities => "communities",
            Self::Threshold => "threshold",
        }
    }
}

impl FromStr for GraphMethod {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let methods = [
            Self::Spectral,
            Self::Components,
            Self::Communities,
            Self::Threshold,
        ];
        let found = methods.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| {
            Error::Input(format!("`{text}` is no way to cluster; there are spectral, components, communities and threshold"))
        })
    }
}

impl Component {
    /// Its clusters, of places in [`Component::contents`]: the first of each cluster names it.
    /// Communities are those of this component alone.
    ///
    /// # Errors
    /// [`Error::Numeric`] where eigenvalues do not converge.
    pub fn clusters(&self, method: GraphMethod) -> Result<Clustering> {
        let (n, edges) = (self.contents.len(), weights(&self.edges));
        match method {
            GraphMethod::Spectral => eigengap_clusters(n, &edges),
            GraphMethod::Components => connected_components(n, &edges),
            GraphMethod::Communities => communities(n, &edges),
            GraphMethod::Threshold => Ok(threshold_groups(n, &self.edges)),
        }
    }
}

/// The cluster of an image, as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// The smallest content id among its members.
    pub id: ContentId,
    /// How many images (paths) there are in it; two at least.
    pub images: u64,
}

/// The clusters of single contents, by [`GraphMethod::Spectral`]; each component is walked through
/// once.
pub(in crate::index) struct ClusterIds<'a> {
    view: &'a View,
    rule: &'a EdgeRule,
    known: HashMap<u32, Option<Cluster>>,
}

impl<'a> ClusterIds<'a> {
    pub(in crate::index) fn new(view: &'a View, rule: &'a EdgeRule) -> Self {
        Self {
            view,
            rule,
            known: HashMap::new(),
        }
    }

    /// The cluster of a content of the published dataset. None for one that is alone, and in
    /// components of more than [`MOST_AT_ONCE`] contents, which would take longer than an answer on
    /// one image may.
    pub(in crate::index) fn of(&mut self, id: &ContentId) -> Result<Option<Cluster>> {
        let Some(row) = self.view.row_of(id)? else {
            return Ok(None);
        };
        if !self.known.contains_key(&row) {
            self.learn(row)?;
        }
        Ok(self.known.get(&row).copied().flatten())
    }

    fn learn(&mut self, row: u32) -> Result<()> {
        let mut seen = BTreeSet::new();
        let Some(component) = component(self.view, row, self.rule, &mut seen, MOST_AT_ONCE)? else {
            self.known.extend(seen.into_iter().map(|row| (row, None)));
            return Ok(());
        };
        for members in component.clusters(GraphMethod::Spectral)?.members() {
            let rows = || members.iter().map(|&place| component.rows[place as usize]);
            let mut images = 0;
            for row in rows() {
                images += self.view.row(row)?.occurrences.len() as u64;
            }
            let cluster = (images > 1).then(|| Cluster {
                id: component.contents[members[0] as usize],
                images,
            });
            self.known.extend(rows().map(|row| (row, cluster)));
        }
        Ok(())
    }
}

/// A cluster of the dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphCluster {
    /// The smallest content id among its members.
    pub id: ContentId,
    /// Its images, two at least, sorted by path.
    pub images: Vec<IndexedImage>,
}

/// The clusters of the dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphClusters {
    /// Of several images each, and with one at least that is selected; most images first, then by
    /// id.
    pub clusters: Vec<GraphCluster>,
    /// The near-duplicates among their contents: two rows, and their similarity.
    pub pairs: Vec<(u32, u32, f32)>,
    /// Contents of the dataset.
    pub contents: usize,
    /// Connected components of several contents in the whole graph.
    pub components: usize,
    /// The modularity of the clusters of all of them; none where there are no near-duplicates.
    pub modularity: Option<f64>,
}

impl Reader {
    /// The clusters of the published graph. It is clustered whole, so that clusters and their ids
    /// do not depend on the selection: that says which of them are shown.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty selection; [`Error::Numeric`], [`Error::Damaged`],
    /// [`Error::Interrupted`].
    pub fn graph_clusters(
        &self,
        selection: &Selection,
        rule: &EdgeRule,
        method: GraphMethod,
        monitor: &dyn Monitor,
    ) -> Result<GraphClusters> {
        let mut images = self.images(&Selection::default())?;
        let selected: HashSet<_> = self
            .images(selection)?
            .into_iter()
            .map(|image| image.path)
            .collect();
        images.sort_by_key(|image| image.row);
        let of_row = |row: u32| {
            let first = images.partition_point(|image| image.row < row);
            images[first..]
                .iter()
                .take_while(move |image| image.row == row)
        };
        let components = self.components(rule, monitor)?;
        monitor.stage("clustering", Some(components.len() as u64));
        let graph = as_one(&components);
        let clustered = match method {
            GraphMethod::Communities => apart(
                &components,
                &communities(
                    components
                        .iter()
                        .map(|component| component.contents.len())
                        .sum(),
                    &graph,
                )?,
            ),
            _ => by_component(&components, method, monitor)?,
        };
        let mut found = GraphClusters {
            modularity: modularity(&graph, &together(&clustered)),
            ..GraphClusters::default()
        };
        for (component, clusters) in components.iter().zip(&clustered) {
            found.contents += component.contents.len();
            found.components += usize::from(component.contents.len() > 1);
            let mut shown = vec![false; component.contents.len()];
            for members in clusters.members() {
                let of_members = members
                    .iter()
                    .flat_map(|&place| of_row(component.rows[place as usize]));
                let mut images: Vec<IndexedImage> = of_members.cloned().collect();
                if images.len() > 1 && images.iter().any(|image| selected.contains(&image.path)) {
                    images.sort_unstable_by(|a, b| a.path.cmp(&b.path));
                    found.clusters.push(GraphCluster {
                        id: component.contents[members[0] as usize],
                        images,
                    });
                    members
                        .iter()
                        .for_each(|&place| shown[place as usize] = true);
                }
            }
            let pairs = component
                .edges
                .iter()
                .filter(|(a, b, _)| shown[*a as usize] && shown[*b as usize]);
            found.pairs.extend(pairs.map(|&(a, b, similarity)| {
                (
                    component.rows[a as usize],
                    component.rows[b as usize],
                    similarity,
                )
            }));
        }
        found
            .clusters
            .sort_unstable_by_key(|cluster| (std::cmp::Reverse(cluster.images.len()), cluster.id));
        Ok(found)
    }

    /// The components of the published graph, also those of one content, in the order of their
    /// first rows.
    fn components(&self, rule: &EdgeRule, monitor: &dyn Monitor) -> Result<Vec<Component>> {
        let (rows, words) = (self.view.rows() as u32, self.view.live_words()?);
        monitor.stage("reading edges", Some(u64::from(rows)));
        let (mut seen, mut components) = (BTreeSet::new(), Vec::new());
        for row in (0..rows).filter(|&row| Live(&words).contains(row)) {
            monitor.advance(1);
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            if !seen.contains(&row) {
                components.extend(component(&self.view, row, rule, &mut seen, usize::MAX)?);
            }
        }
        Ok(components)
    }
}

fn by_component(
    components: &[Component],
    method: GraphMethod,
    monitor: &dyn Monitor,
) -> Result<Vec<Clustering>> {
    let clustered = components.par_iter().map(|component| {
        monitor.advance(1);
        if monitor.cancelled() {
            Err(Error::Interrupted)
        } else {
            component.clusters(method)
        }
    });
    clustered.collect()
}

/// The edges of all components, as those of one graph.
fn as_one(components: &[Component]) -> Vec<(u32, u32, f64)> {
    let (mut edges, mut before) = (Vec::new(), 0);
    for component in components {
        edges.extend(
            weights(&component.edges)
                .into_iter()
                .map(|(a, b, weight)| (before + a, before + b, weight)),
        );
        before += component.contents.len() as u32;
    }
    edges
}

/// The clusters of all components, as those of one graph.
fn together(clustered: &[Clustering]) -> Clustering {
    let (mut own, mut before) = (Vec::new(), 0);
    for clusters in clustered {
        own.extend(clusters.own().iter().map(|cluster| before + cluster));
        before += clusters.count() as u32;
    }
    Clustering::new(&own)
}

/// The clusters of one graph, as those of each of its components.
fn apart(components: &[Component], clusters: &Clustering) -> Vec<Clustering> {
    let mut rest = clusters.own();
    let of_component = |component: &Component| {
        let (own, after) = rest.split_at(component.contents.len());
        rest = after;
        Clustering::new(own)
    };
    components.iter().map(of_component).collect()
}
