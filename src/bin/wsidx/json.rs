//! Results → JSON: the contract that others build on.
//!
//! Ids are 64 lower-case hexadecimal digits; paths relative to the root with `/`, and `path_b64`
//! beside them where a name is not UTF-8; of several paths of a content the smallest, and how many
//! there are; floats to 6 decimals, never NaN.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use wsidx::{
    index::{Cluster, Match},
    similarity::register::Alignment,
    verdict::Occurrence,
};

use crate::args::Format;

/// A float to 6 decimals; what is not finite is null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decimal(pub(crate) f64);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = (self.0 * 1e6).round() / 1e6;
        if rounded.is_finite() {
            serializer.serialize_f64(rounded)
        } else {
            serializer.serialize_none()
        }
    }
}

/// A path, and its bytes where it is not UTF-8.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct PathJson {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
}

impl PathJson {
    pub(crate) fn new(path: &[u8]) -> Self {
        let path_b64 = std::str::from_utf8(path)
            .is_err()
            .then(|| data_encoding::BASE64.encode(path));
        Self {
            path: lossy(path),
            path_b64,
        }
    }
}

/// Text of bytes that need not be UTF-8.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn hex(id: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

/// A neighbour.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(crate) struct NeighborJson {
    rank: usize,
    #[serde(flatten)]
    path: PathJson,
    paths: usize,
    id: String,
    label: Option<String>,
    split: Option<&'static str>,
    similarity: Decimal,
    changes: Option<Vec<&'static str>>,
    alignment: Option<AlignmentJson>,
    too_little_texture: bool,
    cluster: Option<ClusterJson>,
    distance: Decimal,
}

/// A cluster.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(crate) struct ClusterJson {
    id: String,
    images: u64,
}

impl ClusterJson {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            id: hex(&cluster.id),
            images: cluster.images,
        }
    }
}

/// How one picture lies on another.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(crate) struct AlignmentJson {
    words: String,
    map: [Decimal; 6],
    overlap: [Decimal; 2],
    scale: [Decimal; 2],
    rotation: Decimal,
    mirrored: bool,
    quarter_turns: u8,
}

impl AlignmentJson {
    /// None where no way was found.
    pub(crate) fn new(pair: &Alignment) -> Option<Self> {
        let decimal = |v: f32| Decimal(v.into());
        pair.is_found().then(|| Self {
            words: pair.words(),
            map: pair.map.0.map(decimal),
            overlap: pair.overlap.map(decimal),
            scale: pair.scale().map(decimal),
            rotation: decimal(pair.rotation()),
            mirrored: pair.turn.mirrors(),
            quarter_turns: pair.turn.quarters(),
        })
    }
}

impl NeighborJson {
    pub(crate) fn list(matches: &[Match]) -> Vec<Self> {
        matches
            .iter()
            .enumerate()
            .map(|(i, matched)| Self::new(i + 1, matched))
            .collect()
    }

    fn new(rank: usize, matched: &Match) -> Self {
        let first = matched.occurrences.first();
        Self {
            rank,
            path: PathJson::new(first.map_or(b"", |o| &o.path)),
            paths: matched.paths,
            id: hex(&matched.id),
            label: first.and_then(label),
            split: first.and_then(|o| o.split).map(wsidx::verdict::Split::name),
            similarity: Decimal(matched.similarity),
            changes: matched.needs.map(|needs| needs.names().collect()),
            alignment: matched
                .needs
                .and(matched.pair.as_ref())
                .and_then(AlignmentJson::new),
            too_little_texture: matched.too_little_texture,
            cluster: matched.cluster.map(ClusterJson::new),
            distance: Decimal(matched.distance),
        }
    }
}

fn label(occurrence: &Occurrence) -> Option<String> {
    occurrence.label.as_deref().map(lossy)
}

/// Why a table was not written.
pub(crate) fn csv_failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// The first digits of an id, enough for people.
pub(crate) fn short(id: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&id[..6])
}

/// Writes values as one array, or each on a line.
pub(crate) fn write_all<T: Serialize>(values: &[T], format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if format == Format::Jsonl {
        for value in values {
            serde_json::to_writer(&mut out, value)?;
            out.write_all(b"\n")?;
        }
    } else {
        serde_json::to_writer_pretty(&mut out, values)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes one value: on one line for [`Format::Jsonl`].
pub(crate) fn write<T: Serialize>(value: &T, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Jsonl => serde_json::to_writer(&mut out, value)?,
        _ => serde_json::to_writer_pretty(&mut out, value)?,
    }
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_six_decimals_and_what_is_no_number_is_null() {
        let text = |v: f64| serde_json::to_string(&Decimal(v)).unwrap();
        assert_eq!(
            [
                text(0.123_456_789),
                text(1.0),
                text(f64::NAN),
                text(f64::INFINITY)
            ],
            ["0.123457", "1.0", "null", "null"]
        );
    }

    #[test]
    fn a_name_that_is_not_utf8_comes_with_its_bytes() {
        let text = |v: &[u8]| serde_json::to_string(&PathJson::new(v)).unwrap();
        assert_eq!(text(b"a\nb"), r#"{"path":"a\nb"}"#);
        assert_eq!(text(b"a\xff"), r#"{"path":"a�","path_b64":"Yf8="}"#);
    }
}
