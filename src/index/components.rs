//! Rows whose edges changed → the connected components that they are in now: the parts of the graph
//! that must be clustered again. Everything else stays as it was, since the Laplacian is
//! block-diagonal over the components.

use std::collections::{BTreeMap, BTreeSet};

use super::Writer;
use crate::{
    Error, Result,
    monitor::Monitor,
    similarity::{Edge, EdgeRule},
    store::{state::ContentId, view::View},
};

/// A connected component of the similarity graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its contents, sorted.
    pub contents: Vec<ContentId>,
    /// Its edges, each once: places in `contents`, the smaller first, and the similarity.
    pub edges: Vec<(u32, u32, f32)>,
    /// The rows of its contents.
    pub(super) rows: Vec<u32>,
}

impl Writer {
    /// The components, of two contents at least, that hold a row whose edges changed since the last
    /// call or, before that, the first [`Writer::intake`], by their smallest contents. Cost: the
    /// size of those components.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Interrupted`], after which all is asked for again.
    pub fn changed_components(
        &mut self,
        rule: &EdgeRule,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Component>> {
        let (Some(shown), Some(regraphed)) = (&self.shown, &mut self.regraphed) else {
            return Ok(Vec::new());
        };
        let view = &shown.view;
        monitor.stage("grouping", Some(regraphed.len() as u64));
        let mut seen = BTreeSet::new();
        let mut components = Vec::new();
        for &row in &*regraphed {
            monitor.advance(1);
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            if !seen.contains(&row) {
                let found = component(view, row, rule, &mut seen, usize::MAX)?;
                components.extend(found.filter(|component| component.contents.len() > 1));
            }
        }
        components.sort_unstable_by_key(|component: &Component| component.contents[0]);
        regraphed.clear();
        Ok(components)
    }
}

/// The component of a row, unless it is of more than `most` contents; what was looked at is in
/// `seen` then, too.
pub(super) fn component(
    view: &View,
    row: u32,
    rule: &EdgeRule,
    seen: &mut BTreeSet<u32>,
    most: usize,
) -> Result<Option<Component>> {
    let mut rows: BTreeMap<ContentId, (u32, Vec<Edge>)> = BTreeMap::new();
    let mut waiting = vec![row];
    seen.insert(row);
    while let Some(row) = waiting.pop() {
        let mut edges = view.edges(row)?;
        edges.retain(|edge| rule.admits(edge.similarity, edge.needs));
        waiting.extend(
            edges
                .iter()
                .map(|edge| edge.row)
                .filter(|&other| seen.insert(other)),
        );
        rows.insert(view.content(row)?.0, (row, edges));
        if rows.len() > most {
            return Ok(None);
        }
    }
    let places: BTreeMap<u32, u32> = rows.values().map(|(row, _)| *row).zip(0..).collect();
    let of_row = |(row, edges): &(u32, Vec<Edge>)| {
        let place = places[row];
        edges
            .iter()
            .map(|edge| (place, places[&edge.row], edge.similarity))
            .filter(|(a, b, _)| a < b)
            .collect::<Vec<_>>()
    };
    let mut edges: Vec<(u32, u32, f32)> = rows.values().flat_map(of_row).collect();
    edges.sort_unstable_by_key(|&(a, b, _)| (a, b));
    let (contents, rows) = rows.into_iter().map(|(id, (row, _))| (id, row)).unzip();
    Ok(Some(Component {
        contents,
        edges,
        rows,
    }))
}
