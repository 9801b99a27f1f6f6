//! The footer of a Parquet file → its columns, and where the bytes of each are.
//!
//! By `parquet.thrift` of Apache Parquet 2.11: a file ends in `FileMetaData`, its length, and
//! `PAR1`. Columns are the leaves of the schema, in its order; each row group has a chunk for each
//! of them.

use std::{fs::File, os::unix::fs::FileExt};

use super::thrift::{self, Value};

/// Bytes of a footer.
const LONGEST_FOOTER: u64 = 64 << 20;
/// Columns of a schema, groups among them.
const MOST_COLUMNS: usize = 16_384;
/// Groups in groups.
const DEEPEST: usize = 16;

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dataset) enum Physical {
    Int32,
    Int64,
    Float,
    Double,
    Bytes,
    /// One that is not read.
    Other,
}

/// A leaf of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dataset) struct Column {
    /// The names from the root to it.
    pub(in crate::dataset) path: Vec<String>,
    pub(in crate::dataset) physical: Physical,
    /// Whether bytes are said to be text.
    pub(in crate::dataset) is_text: bool,
    /// The definition level of a value that is there.
    pub(super) defined: u32,
    /// The deepest repetition level: 0 for a column with a value for each row.
    pub(in crate::dataset) repeated: u32,
}

/// The values of a column in a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) codec: i64,
    /// Rows of the group.
    pub(super) rows: u64,
    /// Values, those that are null and empty lists among them.
    pub(super) values: u64,
}

/// What the footer says.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) rows: u64,
    pub(super) columns: Vec<Column>,
    /// Of each row group, a chunk for each column.
    pub(super) groups: Vec<Vec<Chunk>>,
    /// What the writer noted down, by name.
    pub(super) notes: Vec<(Vec<u8>, Vec<u8>)>,
}

fn damaged(what: &str) -> String {
    format!("its footer is damaged: {what}")
}

/// Reads the footer of a file of `size` bytes, which may tell of `most_rows`.
pub(super) fn read(file: &File, size: u64, most_rows: u64) -> Result<Footer, String> {
    let mut ends = [0; 12];
    let (head, tail) = ends.split_at_mut(4);
    let whole = size
        .checked_sub(12)
        .ok_or("it is cut off, or no Parquet file")?;
    file.read_exact_at(head, 0)
        .and_then(|()| file.read_exact_at(tail, whole + 4))
        .map_err(|e| e.to_string())?;
    match (&*head, &tail[4..]) {
        (b"PAR1", b"PAR1") => {}
        (b"PARE", b"PARE") => return Err("its footer is encrypted".to_owned()),
        _ => return Err("it is cut off, or no Parquet file".to_owned()),
    }
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if length > LONGEST_FOOTER {
        return Err(format!(
            "its footer has {length} bytes; the limit is {LONGEST_FOOTER}"
        ));
    }
    let at = (whole + 4)
        .checked_sub(length)
        .filter(|at| *at >= 4)
        .ok_or_else(|| damaged("it is longer than the file"))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, at)
        .map_err(|e| e.to_string())?;
    let (meta, _) = thrift::read(&bytes).ok_or_else(|| damaged("it is malformed"))?;
    let columns = columns(meta.list(2))?;
    let rows = meta
        .int(3)
        .and_then(|rows| u64::try_from(rows).ok())
        .ok_or_else(|| damaged("it has no number of rows"))?;
    if rows > most_rows {
        return Err(format!("it tells of {rows} rows; the limit is {most_rows}"));
    }
    let groups: Vec<Vec<Chunk>> = meta
        .list(4)
        .iter()
        .map(|group| chunks(group, columns.len(), at))
        .collect::<Result<_, _>>()?;
    let of_groups = groups
        .iter()
        .filter_map(|group| group.first())
        .try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.rows));
    if !columns.is_empty() && of_groups != Some(rows) {
        return Err(damaged(
            "its row groups have not as many rows as it tells of",
        ));
    }
    let note = |note: &Value| Some((note.bytes(1)?.to_vec(), note.bytes(2)?.to_vec()));
    Ok(Footer {
        rows,
        columns,
        groups,
        notes: meta.list(5).iter().filter_map(note).collect(),
    })
}

/// The leaves of a schema, which is a tree in the order in which it is walked through.
fn columns(elements: &[Value]) -> Result<Vec<Column>, String> {
    if elements.len() > MOST_COLUMNS {
        return Err(format!(
            "it has {} columns; the limit is {MOST_COLUMNS}",
            elements.len()
        ));
    }
    let (root, mut rest) = elements
        .split_first()
        .ok_or_else(|| damaged("it has no schema"))?;
    let mut columns = Vec::new();
    let mut above = Column {
        path: Vec::new(),
        physical: Physical::Other,
        is_text: false,
        defined: 0,
        repeated: 0,
    };
    for _ in 0..root.int(5).unwrap_or_default() {
        rest = walk(rest, &mut above, &mut columns)?;
    }
    Ok(columns)
}

/// Takes the first element and all below it.
fn walk<'a>(
    elements: &'a [Value],
    above: &mut Column,
    columns: &mut Vec<Column>,
) -> Result<&'a [Value], String> {
    let malformed = || damaged("its schema is malformed");
    let (element, mut rest) = elements
        .split_first()
        .filter(|_| above.path.len() < DEEPEST)
        .ok_or_else(malformed)?;
    let name = String::from_utf8_lossy(element.bytes(4).ok_or_else(malformed)?).into_owned();
    let (is_optional, is_repeated) = (element.int(3) == Some(1), element.int(3) == Some(2));
    let mut here = above.clone();
    here.path.push(name);
    here.defined += u32::from(is_optional || is_repeated);
    here.repeated += u32::from(is_repeated);
    match element.int(5) {
        Some(children @ 1..) => {
            for _ in 0..children {
                rest = walk(rest, &mut here, columns)?;
            }
        }
        _ => {
            here.physical = match element.int(1) {
                Some(1) => Physical::Int32,
                Some(2) => Physical::Int64,
                Some(4) => Physical::Float,
                Some(5) => Physical::Double,
                Some(6) => Physical::Bytes,
                _ => Physical::Other,
            };
            here.is_text = element.int(6) == Some(0)
                || element
                    .field(10)
                    .is_some_and(|logical| logical.field(1).is_some());
            columns.push(here);
        }
    }
    Ok(rest)
}

/// The chunks of a row group, which end before the footer.
fn chunks(group: &Value, columns: usize, footer: u64) -> Result<Vec<Chunk>, String> {
    let number = |value: Option<i64>| {
        value
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| damaged("a number is missing or negative"))
    };
    let rows = number(group.int(3))?;
    let chunk = |chunk: &Value| {
        let meta = chunk
            .field(3)
            .ok_or_else(|| damaged("a column is in another file, or encrypted"))?;
        let data = number(meta.int(9))?;
        let at = meta
            .int(11)
            .and_then(|at| u64::try_from(at).ok())
            .filter(|at| (4..data).contains(at))
            .unwrap_or(data);
        let length = number(meta.int(7))?;
        match at.checked_add(length) {
            Some(end) if at >= 4 && end <= footer => Ok(Chunk {
                at,
                length,
                codec: meta.int(4).unwrap_or(-1),
                rows,
                values: number(meta.int(5))?,
            }),
            _ => Err(damaged("a column lies outside the file")),
        }
    };
    let chunks = group
        .list(1)
        .iter()
        .map(chunk)
        .collect::<Result<Vec<_>, String>>()?;
    if chunks.len() == columns {
        Ok(chunks)
    } else {
        Err(damaged("a row group has not as many columns as the schema"))
    }
}
