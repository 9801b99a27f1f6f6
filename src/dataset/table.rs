//! What the text of a table of labels must be, whether CSV or lines of JSON: closed, in UTF-8, and
//! nothing in it twice.

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
};

use serde::de::{MapAccess, Visitor};

use crate::file::excerpt;

/// The longest line of a table.
pub(super) const MOST_LINE: u64 = 1 << 20;

/// The members of an object of JSON, none of them twice.
pub(super) struct Members(pub(super) serde_json::Map<String, serde_json::Value>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members, A::Error> {
        let mut members = serde_json::Map::new();
        while let Some((key, value)) = entries.next_entry::<String, _>()? {
            if members.contains_key(&key) {
                return Err(serde::de::Error::custom(format!(
                    "the key `{}` is there twice; remove one",
                    excerpt(&key)
                )));
            }
            members.insert(key, value);
        }
        Ok(Members(members))
    }
}

/// What is read after a table of CSV. It is a record by itself, unless a quotation mark is open:
/// then it is the end of the last cell.
pub(super) const END: &[u8] = b"\n\0end of the table\0\n";

pub(super) fn is_end(record: &csv::ByteRecord) -> bool {
    record.len() == 1 && record.as_slice() == END.trim_ascii()
}

/// Whether the table went on after a record.
pub(super) fn check_closed(record: &csv::ByteRecord, line: u64) -> Result<(), String> {
    // The cells of a header are trimmed.
    if record
        .as_slice()
        .trim_ascii_end()
        .ends_with(END.trim_ascii_end())
    {
        Err(format!(
            "line {line}: a quotation mark is never closed; close it, or write it twice where it is part of the text"
        ))
    } else {
        Ok(())
    }
}

/// UTF-16 without a mark of the order of its bytes is UTF-8 with a zero in every character.
pub(super) fn check_text(header: &csv::ByteRecord) -> Result<(), String> {
    match std::str::from_utf8(header.as_slice()) {
        Ok(text) if text.contains('\0') => Err(format!("line 1: {}", not_utf8("UTF-16LE"))),
        Ok(_) => Ok(()),
        Err(_) => Err(format!("line 1: {}", not_utf8("LATIN1"))),
    }
}

pub(super) fn not_utf8(perhaps: &str) -> String {
    format!(
        "it is not UTF-8; save it as that, for example with `iconv -f {perhaps} -t UTF-8 OLD > NEW`"
    )
}

/// The place of the first of these columns that a header has.
pub(super) fn column(header: &csv::ByteRecord, names: &[&str]) -> Result<Option<usize>, String> {
    for name in names {
        let mut places = (1..)
            .zip(header)
            .filter(|(_, column)| column.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(first), Some(second)) => {
                return Err(format!(
                    "line 1: the columns {first} and {second} are both called `{name}`; rename or remove one"
                ));
            }
            (Some(place), None) => return Ok(Some(place - 1)),
            _ => {}
        }
    }
    Ok(None)
}

/// The bytes of a table, of which a single line must not take too many: a quotation mark that is
/// never closed makes one line of all that follow.
pub(super) struct OfLines<'a, R> {
    pub(super) source: R,
    /// Bytes that may be read before the next line is whole.
    pub(super) left: &'a Cell<u64>,
}

impl<R: Read> Read for OfLines<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_long()));
        }
        let read = self.source.read(out)?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

pub(super) fn too_long() -> String {
    format!("a line has more than {MOST_LINE} bytes; is a quotation mark not closed?")
}

pub(super) fn check_lines(line: u64, most: u64) -> Result<(), String> {
    if line > most {
        Err(format!(
            "it has more than {most} lines: raise `table_lines` under [limits] in wsidx.toml, or split the table by folders"
        ))
    } else {
        Ok(())
    }
}
