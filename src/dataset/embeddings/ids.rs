//! A list of paths in a file → whose each embedding is, row by row.
//!
//! A `.csv` has a header with a column `file_name` or one of its other names ([`FILE_COLUMNS`]);
//! any other file has a path a line and nothing else.

use std::{io::Read, path::Path};

use super::{MOST_ROWS, add_id, given};
use crate::dataset::{labels::FILE_COLUMNS, packed::Texts};

/// Bytes of such a file.
const MAX_TABLE_BYTES: u64 = 256 << 20;

/// The paths in the file, in its order.
pub(super) fn read(path: &Path) -> Result<Texts, String> {
    let (file, size) = given(path)?;
    if size > MAX_TABLE_BYTES {
        return Err(format!("{size} bytes; the limit is {MAX_TABLE_BYTES}"));
    }
    let mut text = Vec::new();
    file.take(MAX_TABLE_BYTES)
        .read_to_end(&mut text)
        .map_err(|e| e.to_string())?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    if text.iter().filter(|&&b| b == b'\n').count() as u64 > MOST_ROWS {
        return Err(format!("it has more than {MOST_ROWS} lines"));
    }
    if path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("csv"))
    {
        of_table(text)
    } else {
        Ok(of_lines(text))
    }
}

fn of_lines(text: &[u8]) -> Texts {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Texts::default();
    }
    text.split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect()
}

fn of_table(text: &[u8]) -> Result<Texts, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_reader(text);
    let header = reader.byte_headers().map_err(|e| e.to_string())?.clone();
    let column = FILE_COLUMNS.iter().find_map(|name| {
        header
            .iter()
            .position(|h| h.eq_ignore_ascii_case(name.as_bytes()))
    });
    let column =
        column.ok_or_else(|| format!("it has no column called {}", FILE_COLUMNS.join(", ")))?;
    let (mut ids, mut record) = (Texts::default(), csv::ByteRecord::new());
    while reader
        .read_byte_record(&mut record)
        .map_err(|e| e.to_string())?
    {
        add_id(&mut ids, record.get(column).unwrap_or_default())?;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_paths_and_tables_have_a_column_of_them() {
        let paths = |names: &[&str]| names.iter().map(|name| name.as_bytes()).collect::<Texts>();
        assert_eq!(
            of_lines(b"a.png\r\n b,c.png\n"),
            paths(&["a.png", " b,c.png"])
        );
        assert_eq!(
            (of_lines(b""), of_lines(b"\n"), of_lines(b"a\n\nb")),
            (paths(&[]), paths(&[]), paths(&["a", "", "b"]))
        );
        let table = of_table(b"index, filename\n0,a.png\n1,\"b\nc,d.png\"\n").unwrap();
        assert_eq!(table, paths(&["a.png", "b\nc,d.png"]));
        assert!(
            of_table(b"index,name\n0,a.png\n")
                .unwrap_err()
                .contains("no column called file_name")
        );
        assert!(of_table(b"file\na\nb,c\n").is_err());
    }
}
