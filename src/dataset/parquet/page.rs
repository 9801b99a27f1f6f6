//! A chunk of a column → its pages; a page → its values.
//!
//! By `parquet.thrift`, `Encodings.md` and `Compression.md` of Apache Parquet 2.11: pages of
//! versions 1 and 2; values that stand there plain or by their numbers in the dictionary of the
//! chunk, which is what pyarrow, pandas, Polars and `datasets` write by default; packed by Snappy,
//! gzip, Zstandard or not. Other encodings and codecs are refused by name. The head of each page is
//! read before anything else of it, and what it tells is held against the chunk and against limits.

use std::{borrow::Cow, fs::File, io::Read, os::unix::fs::FileExt, sync::Arc};

use super::{
    footer::{Chunk, Column, Physical},
    levels::{levels, runs},
    thrift,
};

/// Bytes of a page when it is unpacked, together with its dictionary.
const LARGEST_PAGE: u64 = 768 << 20;
/// Values of a page.
const MOST_VALUES: u64 = 16 << 20;
/// The longest head of a page, which may hold the least and the largest value.
const LONGEST_HEAD: u64 = 4 << 20;
const USUAL_HEAD: u64 = 4 << 10;
/// Snappy and deflate make no more of a byte; Zstandard may, so that small pages are not suspected.
const BEST_COMPRESSION: u64 = 1_032;
const UNSUSPECTED: u64 = 64 << 20;
/// Pages of a chunk.
const MOST_PAGES: usize = 1 << 20;

const PLAIN: i64 = 0;
const DICTIONARY: [i64; 2] = [2, 8];
const RLE: i64 = 3;

/// Where a page is, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    at: u64,
    packed: u64,
    pub(super) size: u64,
    /// Values, those that are null among them.
    pub(super) values: u64,
    kind: Kind,
    encoding: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dictionary,
    /// One without values, which is passed over.
    Index,
    Version1,
    /// Bytes of its repetition and definition levels, and whether the values are packed.
    Version2(u64, u64, bool),
}

/// The pages of a chunk: the dictionary, if there is one, and those of values.
pub(super) type Pages = (Option<Page>, Vec<Page>);

/// Values, as places in bytes.
#[derive(Debug, Clone)]
pub(in crate::dataset) struct Values {
    bytes: Arc<Vec<u8>>,
    /// Of each value, null or not.
    places: Vec<Option<(u32, u32)>>,
    /// Of each value, whether it begins a row; nothing where all do.
    begins: Vec<bool>,
}

impl Values {
    pub(in crate::dataset) fn len(&self) -> usize {
        self.places.len()
    }

    /// The bytes of a value; `None` for one that is null.
    pub(in crate::dataset) fn get(&self, at: usize) -> Option<&[u8]> {
        let (from, length) = (*self.places.get(at)?)?;
        self.bytes.get(from as usize..)?.get(..length as usize)
    }

    /// Whether a value begins a row.
    pub(in crate::dataset) fn begins(&self, at: usize) -> bool {
        self.begins.get(at).copied().unwrap_or(true)
    }

    /// Bytes of memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + 12 * self.places.len()
    }
}

fn damaged(what: &str) -> String {
    format!("a page of it is damaged: {what}")
}

/// Reads the heads of all pages of a chunk.
pub(super) fn pages(file: &File, chunk: &Chunk, column: &Column) -> Result<Pages, String> {
    let (mut at, end) = (chunk.at, chunk.at + chunk.length);
    let (mut dictionary, mut pages, mut values) = (None, Vec::new(), 0_u64);
    while values < chunk.values {
        if pages.len() == MOST_PAGES {
            return Err(format!(
                "a column of it has more than {MOST_PAGES} pages in a row group"
            ));
        }
        let page = head(file, at, end, column)?;
        at = page.at + page.packed;
        match page.kind {
            Kind::Dictionary if dictionary.is_none() && pages.is_empty() => dictionary = Some(page),
            Kind::Dictionary => return Err(damaged("it is a second dictionary")),
            Kind::Index => {}
            Kind::Version1 | Kind::Version2(..) => {
                values = values
                    .checked_add(page.values)
                    .filter(|sum| *sum <= chunk.values)
                    .ok_or_else(|| damaged("it has too many values"))?;
                pages.push(page);
            }
        }
    }
    if column.repeated == 0 && values != chunk.rows {
        return Err(damaged("there are not as many values as rows"));
    }
    Ok((dictionary, pages))
}

/// The page at a place, which ends before another.
fn head(file: &File, at: u64, end: u64, column: &Column) -> Result<Page, String> {
    let read = |most: u64| {
        let mut bytes = vec![0; most.min(end.saturating_sub(at)) as usize];
        file.read_exact_at(&mut bytes, at)
            .map_err(|e| e.to_string())
            .map(|()| thrift::read(&bytes))
    };
    let found = match read(USUAL_HEAD)? {
        Some(found) => Some(found),
        None => read(LONGEST_HEAD)?,
    };
    let (head, length) = found.ok_or_else(|| damaged("its head is cut off or malformed"))?;
    let number = |value: Option<i64>| {
        value
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| damaged("a number is missing or negative"))
    };
    let (size, packed, at) = (
        number(head.int(2))?,
        number(head.int(3))?,
        at + length as u64,
    );
    if at.checked_add(packed).is_none_or(|after| after > end) {
        return Err(damaged("it is longer than its column"));
    }
    if size > LARGEST_PAGE || size > packed.saturating_mul(BEST_COMPRESSION).max(UNSUSPECTED) {
        return Err(format!(
            "a page of it tells of {size} bytes when unpacked, more than the limit allows or than {packed} bytes can hold"
        ));
    }
    let (kind, of, encoding) = match (head.int(1), head.field(5), head.field(7), head.field(8)) {
        (Some(0), Some(data), ..) => (Kind::Version1, data, 2),
        (Some(2), _, Some(dictionary), _) => (Kind::Dictionary, dictionary, 2),
        (Some(3), .., Some(data)) => {
            let (defined, repeated) = (number(data.int(5))?, number(data.int(6))?);
            (
                Kind::Version2(repeated, defined, data.bool(7).unwrap_or(true)),
                data,
                4,
            )
        }
        (Some(1), ..) => {
            return Ok(Page {
                at,
                packed,
                size,
                values: 0,
                kind: Kind::Index,
                encoding: PLAIN,
            });
        }
        _ => return Err(damaged("its head is malformed")),
    };
    let is_old = |most: u32, encoding: i16| most > 0 && of.int(encoding) != Some(RLE);
    if kind == Kind::Version1 && (is_old(column.defined, 3) || is_old(column.repeated, 4)) {
        return Err(
            "its levels are packed in a way that was given up in 2013; write it anew".to_owned(),
        );
    }
    let values = number(of.int(1))?;
    if values > MOST_VALUES {
        return Err(format!(
            "a page of it tells of {values} values; the limit is {MOST_VALUES}"
        ));
    }
    Ok(Page {
        at,
        packed,
        size,
        values,
        kind,
        encoding: of.int(encoding).unwrap_or(-1),
    })
}

/// The values of a dictionary.
pub(super) fn dictionary(
    file: &File,
    page: &Page,
    codec: i64,
    column: &Column,
) -> Result<Values, String> {
    let bytes = unpack(bytes(file, page)?.into(), page.size, codec)?;
    // A plain dictionary is also called by its old name.
    match page.encoding {
        PLAIN | 2 => plain(bytes, 0, page.values as usize, column.physical),
        other => Err(unknown_encoding(other)),
    }
}

/// The values of a page.
pub(super) fn values(
    file: &File,
    page: &Page,
    codec: i64,
    column: &Column,
    dictionary: Option<&Values>,
) -> Result<Values, String> {
    let dictionary_bytes = dictionary.map_or(0, |dictionary| dictionary.bytes.len() as u64);
    if dictionary_bytes + page.size > LARGEST_PAGE {
        return Err(format!(
            "a page of it and its dictionary have more than {LARGEST_PAGE} bytes together"
        ));
    }
    let packed = bytes(file, page)?;
    let count = page.values as usize;
    let (data, [repetition, definition], from) = match page.kind {
        Kind::Version2(repeated, defined, is_packed) => {
            let (repetition, rest) = split(&packed, repeated)?;
            let (definition, values) = split(rest, defined)?;
            let size = page
                .size
                .checked_sub(repeated + defined)
                .ok_or_else(|| damaged("its levels are longer than itself"))?;
            let data = unpack(values.into(), size, if is_packed { codec } else { 0 })?;
            (
                data,
                [
                    levels(repetition, column.repeated, count)?,
                    levels(definition, column.defined, count)?,
                ],
                0,
            )
        }
        _ => {
            let data = unpack(packed.into(), page.size, codec)?;
            let mut rest = &data[..];
            let mut of = |most: u32| {
                if most == 0 {
                    return levels(&[], 0, count);
                }
                let (length, after) = rest
                    .split_first_chunk::<4>()
                    .ok_or_else(|| damaged("its levels are cut off"))?;
                let (bytes, after) = split(after, u32::from_le_bytes(*length).into())?;
                rest = after;
                levels(bytes, most, count)
            };
            let both = [of(column.repeated)?, of(column.defined)?];
            let from = data.len() - rest.len();
            (data, both, from)
        }
    };
    let there = if definition.is_empty() {
        count
    } else {
        definition
            .iter()
            .filter(|level| **level == column.defined)
            .count()
    };
    let stored = match page.encoding {
        PLAIN => plain(data, from, there, column.physical)?,
        encoding if DICTIONARY.contains(&encoding) => {
            let dictionary = dictionary.ok_or_else(|| damaged("there is no dictionary"))?;
            by_numbers(data.get(from..).unwrap_or_default(), there, dictionary)?
        }
        other => return Err(unknown_encoding(other)),
    };
    let begins = repetition.iter().map(|level| *level == 0).collect();
    if definition.is_empty() {
        return Ok(Values { begins, ..stored });
    }
    let mut places = stored.places.into_iter();
    let places = definition
        .iter()
        .map(|level| {
            if *level == column.defined {
                places.next().flatten()
            } else {
                None
            }
        })
        .collect();
    Ok(Values {
        bytes: stored.bytes,
        places,
        begins,
    })
}

fn unknown_encoding(encoding: i64) -> String {
    let names = [
        "",
        "",
        "",
        "",
        "BIT_PACKED",
        "DELTA_BINARY_PACKED",
        "DELTA_LENGTH_BYTE_ARRAY",
        "DELTA_BYTE_ARRAY",
        "",
        "BYTE_STREAM_SPLIT",
    ];
    let name = usize::try_from(encoding)
        .ok()
        .and_then(|at| names.get(at))
        .filter(|name| !name.is_empty());
    let name = name.map_or_else(|| encoding.to_string(), |name| (*name).to_owned());
    format!(
        "its values are encoded as {name}; PLAIN and dictionaries are read, as pyarrow, Polars and datasets write by default"
    )
}

fn split(bytes: &[u8], at: u64) -> Result<(&[u8], &[u8]), String> {
    let at = usize::try_from(at).ok();
    at.and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(|| damaged("its levels are cut off"))
}

/// The bytes of a page as they stand in the file.
fn bytes(file: &File, page: &Page) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(page.packed).map_err(|e| e.to_string())?];
    file.read_exact_at(&mut bytes, page.at)
        .map_err(|_| "it is shorter than it was when it was opened".to_owned())?;
    Ok(bytes)
}

/// Bytes that a codec packed, which must be `size`.
fn unpack(packed: Cow<'_, [u8]>, size: u64, codec: i64) -> Result<Vec<u8>, String> {
    let other_size = || damaged("it has another size than its head tells of");
    let read = |from: &mut dyn Read| {
        let mut out = Vec::new();
        // Memory is the system's until it is written to, and a vector that grows is at times in
        // memory twice.
        out.try_reserve_exact(usize::try_from(size + 1).map_err(|e| e.to_string())?)
            .map_err(|e| e.to_string())?;
        let all = from
            .take(size + 1)
            .read_to_end(&mut out)
            .map_err(|e| damaged(&format!("it cannot be unpacked: {e}")))?;
        if all as u64 == size {
            Ok(out)
        } else {
            Err(other_size())
        }
    };
    match codec {
        _ if size == 0 && packed.is_empty() => Ok(Vec::new()),
        0 if packed.len() as u64 == size => Ok(packed.into_owned()),
        0 => Err(other_size()),
        1 => match snap::raw::decompress_len(&packed) {
            Ok(length) if length as u64 == size => snap::raw::Decoder::new()
                .decompress_vec(&packed)
                .map_err(|e| damaged(&format!("it cannot be unpacked: {e}"))),
            _ => Err(other_size()),
        },
        2 => read(&mut flate2::read::MultiGzDecoder::new(&*packed)),
        6 => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(&*packed)
                .map_err(|e| damaged(&format!("it cannot be unpacked: {e}")))?;
            read(&mut decoder)
        }
        other => {
            let names = ["", "", "", "LZO", "Brotli", "LZ4", "", "LZ4"];
            let name = usize::try_from(other)
                .ok()
                .and_then(|at| names.get(at))
                .copied()
                .unwrap_or("a codec that is not known");
            Err(format!(
                "it is packed by {name}; Snappy, gzip, Zstandard and no codec are read"
            ))
        }
    }
}

/// Values that stand one behind the other from a place on.
fn plain(bytes: Vec<u8>, from: usize, count: usize, physical: Physical) -> Result<Values, String> {
    let cut = || damaged("its values are cut off");
    let width = match physical {
        Physical::Int32 | Physical::Float => 4,
        Physical::Int64 | Physical::Double => 8,
        Physical::Bytes => 0,
        Physical::Other => return Err("its values are of a type that is not read".to_owned()),
    };
    let (mut places, mut at) = (Vec::new(), from);
    for _ in 0..count {
        let length = match width {
            0 => {
                let length = bytes
                    .get(at..)
                    .and_then(|rest| rest.first_chunk::<4>())
                    .ok_or_else(cut)?;
                at += 4;
                u32::from_le_bytes(*length) as usize
            }
            width => width,
        };
        let end = at
            .checked_add(length)
            .filter(|end| *end <= bytes.len())
            .ok_or_else(cut)?;
        places.push(Some((at as u32, length as u32)));
        at = end;
    }
    Ok(Values {
        bytes: Arc::new(bytes),
        places,
        begins: Vec::new(),
    })
}

/// Values by their numbers in a dictionary.
fn by_numbers(bytes: &[u8], count: usize, dictionary: &Values) -> Result<Values, String> {
    let mut places = Vec::new();
    if let Some((&width, packed)) = bytes.split_first().filter(|_| count > 0) {
        for number in runs(packed, width.into(), count)? {
            let place = dictionary
                .places
                .get(number as usize)
                .ok_or_else(|| damaged("a value is not in the dictionary"))?;
            places.push(*place);
        }
    }
    if places.len() == count {
        Ok(Values {
            bytes: Arc::clone(&dictionary.bytes),
            places,
            begins: Vec::new(),
        })
    } else {
        Err(damaged("its values are cut off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of a page of version 1, or of a dictionary.
    fn head_of(kind: i64, size: i64, packed: i64, values: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut int = |number: i64| {
            let mut left = (number << 1 ^ number >> 63).cast_unsigned();
            bytes.push(0x15);
            while left >= 0x80 {
                bytes.push(left as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
        };
        [kind, size, packed].into_iter().for_each(&mut int);
        let at = 3;
        [values, PLAIN, RLE, RLE].into_iter().for_each(int);
        // Behind the third number begins field 5, or 7, a struct.
        let place = (0..bytes.len())
            .filter(|&i| bytes[i] == 0x15)
            .nth(at)
            .unwrap();
        bytes.insert(place, if kind == 2 { 0x4c } else { 0x2c });
        bytes.extend([0, 0]);
        bytes
    }

    fn first_page(head: &[u8]) -> Result<Pages, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page");
        std::fs::write(&file, [&b"PAR1"[..], head, &[0; 100]].concat()).unwrap();
        let column = Column {
            path: Vec::new(),
            physical: Physical::Bytes,
            is_text: false,
            defined: 0,
            repeated: 0,
        };
        let chunk = Chunk {
            at: 4,
            length: head.len() as u64 + 100,
            codec: 1,
            rows: 5,
            values: 5,
        };
        pages(&File::open(&file).unwrap(), &chunk, &column)
    }

    #[test]
    fn what_the_head_of_a_page_tells_is_held_against_limits_before_memory_is_taken() {
        let (dictionary, pages) = first_page(&head_of(0, 100, 100, 5)).unwrap();
        assert!(dictionary.is_none() && pages.len() == 1 && pages[0].values == 5);
        let refused = |head: Vec<u8>, reason: &str| {
            let found = first_page(&head).unwrap_err();
            assert!(found.contains(reason), "{found}");
        };
        refused(
            head_of(0, 0x7fff_ffff, 100, 5),
            "tells of 2147483647 bytes when unpacked",
        );
        refused(head_of(0, 64 << 20 | 1, 100, 5), "than 100 bytes can hold");
        refused(
            head_of(2, 100, 100, 0x7fff_ffff),
            "tells of 2147483647 values",
        );
        refused(head_of(0, 100, 101, 5), "longer than its column");
        refused(head_of(0, 100, -1, 5), "missing or negative");
        refused(head_of(0, 100, 100, 6), "too many values");
        refused(head_of(0, 100, 100, 4), "cut off or malformed");
        refused(head_of(7, 100, 100, 5), "malformed");
    }
}
