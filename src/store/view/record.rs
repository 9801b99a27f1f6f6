//! What the tables of the view hold ⇄ bytes.

use crate::{
    knn::{Neighbor, Norms},
    store::{
        bytes::{Packer, Unpacker},
        packs::Place,
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
    pub id: [u8; 32],
    /// Where the packs hold its coefficients.
    pub place: Place,
    /// Where it occurs now, sorted by path; empty for a dead row.
    pub occurrences: Vec<Occurrence>,
}

impl RowRecord {
    /// id, pack, offset, length, then the occurrences.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Packer::default();
        out.raw(&self.id);
        out.u32(self.place.pack);
        out.u64(self.place.offset);
        out.u32(self.place.len);
        out.u32(self.occurrences.len() as u32);
        for occurrence in &self.occurrences {
            out.u8(Split::code(occurrence.split) << 1 | u8::from(occurrence.label.is_some()));
            if let Some(label) = &occurrence.label {
                out.bytes(label);
            }
            out.bytes(&occurrence.path);
        }
        out.0
    }

    /// Reads what [`RowRecord::pack`] wrote.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut b = Unpacker(bytes);
        let id = b.array()?;
        let place = Place { pack: b.u32()?, offset: b.u64()?, len: b.u32()? };
        let count = b.count(5)?;
        let occurrences = (0..count).map(|_| unpack_occurrence(&mut b)).collect::<Option<_>>()?;
        b.end()?;
        Some(Self { id, place, occurrences })
    }
}

fn unpack_occurrence(b: &mut Unpacker<'_>) -> Option<Occurrence> {
    let flags = b.u8()?;
    let split = Split::from_code(flags >> 1)?;
    let label = if flags & 1 == 1 { Some(b.bytes()?.into()) } else { None };
    Some(Occurrence { path: b.bytes()?.into(), label, split })
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
    let mut b = Unpacker(bytes);
    let list = (0..bytes.len() / 8).map(|_| Some(Neighbor { row: b.u32()?, distance: b.u32()? })).collect::<Option<_>>()?;
    b.end()?;
    Some(list)
}

/// The norms of a row, eight bytes.
pub(super) fn pack_norms(norms: Norms, out: &mut Vec<u8>) {
    out.extend_from_slice(&norms.high.to_le_bytes());
    out.extend_from_slice(&norms.low.to_le_bytes());
}

pub(super) fn unpack_norms(bytes: &[u8]) -> Norms {
    let mut b = Unpacker(bytes);
    Norms { high: b.u32().unwrap_or(0), low: b.u32().unwrap_or(0) }
}
