//! What the tables of the view hold ⇄ bytes.

use crate::{
    knn::Neighbor,
    similarity::{Edge, register::Needs},
    store::{
        bytes::{Packer, Unpacker},
        packs::Place,
        state::ContentId,
    },
    verdict::{Occurrence, Split},
};

/// The key of a row: big-endian, so that keys sort as numbers.
pub fn row_key(row: u32) -> [u8; 4] {
    row.to_be_bytes()
}

/// What is known of a row's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRecord {
    /// The BLAKE3 hash of the file.
    pub id: ContentId,
    /// Where the packs hold its coefficients.
    pub place: Place,
    /// Where it occurs now, sorted by path; empty for a dead row.
    pub occurrences: Vec<Occurrence>,
}

/// Where a content occurs: the number of occurrences, then each.
pub fn pack_names(occurrences: &[Occurrence]) -> Vec<u8> {
    let mut out = Packer::default();
    out.u32(occurrences.len() as u32);
    for occurrence in occurrences {
        out.u8(Split::code(occurrence.split) << 1 | u8::from(occurrence.label.is_some()));
        if let Some(label) = &occurrence.label {
            out.bytes(label);
        }
        out.bytes(&occurrence.path);
    }
    out.0
}

pub(super) fn unpack_names(bytes: &[u8]) -> Option<Vec<Occurrence>> {
    let mut b = Unpacker(bytes);
    let count = b.count(5)?;
    let occurrences = (0..count)
        .map(|_| unpack_occurrence(&mut b))
        .collect::<Option<_>>()?;
    b.end()?;
    Some(occurrences)
}

fn unpack_occurrence(b: &mut Unpacker<'_>) -> Option<Occurrence> {
    let flags = b.u8()?;
    let split = Split::from_code(flags >> 1)?;
    let label = if flags & 1 == 1 {
        Some(b.bytes()?.into())
    } else {
        None
    };
    Some(Occurrence {
        path: b.bytes()?.into(),
        label,
        split,
    })
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRecord {
    /// It holds the content of this row.
    Row(u32),
    /// It cannot be read as an image; the reason.
    Undecodable(String),
}

impl PathRecord {
    /// A zero byte and the row, or a one and the reason.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Packer::default();
        match self {
            Self::Row(row) => {
                out.u8(0);
                out.u32(*row);
            }
            Self::Undecodable(reason) => {
                out.u8(1);
                out.bytes(reason.as_bytes());
            }
        }
        out.0
    }

    /// Reads what [`PathRecord::pack`] wrote.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut b = Unpacker(bytes);
        let record = match b.u8()? {
            0 => Self::Row(b.u32()?),
            1 => Self::Undecodable(String::from_utf8(b.bytes()?.to_vec()).ok()?),
            _ => return None,
        };
        b.end()?;
        Some(record)
    }
}

/// A neighbour list: row and squared distance of each, nearest first.
pub fn pack_list(list: &[Neighbor]) -> Vec<u8> {
    let mut out = Packer::default();
    for neighbor in list {
        out.u32(neighbor.row);
        out.u32(neighbor.distance);
    }
    out.0
}

pub(super) fn unpack_list(bytes: &[u8]) -> Option<Vec<Neighbor>> {
    let (pairs, rest) = bytes.as_chunks();
    rest.is_empty()
        .then(|| pairs.iter().map(neighbor).collect())
}

/// The squared distance of a member of a list, if it has so many.
pub(super) fn distance_of(bytes: &[u8], place: usize) -> Option<u32> {
    bytes
        .as_chunks()
        .0
        .get(place)
        .map(|pair| neighbor(pair).distance)
}

fn neighbor(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> Neighbor {
    Neighbor {
        row: u32::from_le_bytes([a, b, c, d]),
        distance: u32::from_le_bytes([e, f, g, h]),
    }
}

/// The edges of a row: of each the other row, the bits of the similarity, and what it needs.
pub fn pack_edges(edges: &[Edge]) -> Vec<u8> {
    let mut out = Packer::default();
    for edge in edges {
        out.u32(edge.row);
        out.u32(edge.similarity.to_bits());
        out.u32(u32::from(edge.needs.bits()));
    }
    out.0
}

pub(super) fn unpack_edges(bytes: &[u8]) -> Option<Vec<Edge>> {
    let mut b = Unpacker(bytes);
    let edge = |_| {
        let (row, similarity) = (b.u32()?, f32::from_bits(b.u32()?));
        let needs = Needs::from_bits(u16::try_from(b.u32()?).ok()?)?;
        (0.0..=1.0).contains(&similarity).then_some(Edge {
            row,
            similarity,
            needs,
        })
    };
    let edges = (0..bytes.len() / 12).map(edge).collect::<Option<_>>()?;
    b.end()?;
    Some(edges)
}
