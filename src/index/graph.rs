//! Images of a selection → the graph of near-duplicates between their contents, as `sync` keeps it.

use std::collections::BTreeMap;

use super::{IndexedImage, Reader};
use crate::{Result, similarity::EdgeRule};

/// Contents and the edges between them.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentGraph {
    /// The vertices: of every content its first image, in the order of their paths.
    pub images: Vec<IndexedImage>,
    /// Two vertices, the smaller first, and their similarity; sorted.
    pub edges: Vec<(u32, u32, f64)>,
}

impl Reader {
    /// The near-duplicates among images, by the graph that is published. Images of one content are
    /// one vertex.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`].
    pub fn content_graph(&self, images: &[IndexedImage], rule: &EdgeRule) -> Result<ContentGraph> {
        let (mut vertices, mut found) = (
            BTreeMap::new(),
            ContentGraph {
                images: Vec::new(),
                edges: Vec::new(),
            },
        );
        for image in images {
            vertices.entry(image.row).or_insert_with(|| {
                found.images.push(image.clone());
                found.images.len() as u32 - 1
            });
        }
        for (&row, &from) in &vertices {
            let edges = self
                .view
                .edges(row)?
                .into_iter()
                .filter(|edge| rule.admits(edge.similarity, edge.needs));
            let inside = edges
                .filter_map(|edge| Some((*vertices.get(&edge.row)?, f64::from(edge.similarity))));
            found.edges.extend(
                inside
                    .filter(|(to, _)| from < *to)
                    .map(|(to, similarity)| (from, to, similarity)),
            );
        }
        found.edges.sort_by_key(|&(from, to, _)| (from, to));
        Ok(found)
    }
}
