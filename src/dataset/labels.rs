//! Paths and tables → labels and splits.
//!
//! The split is the first folder below the root if that is called train, val, valid, validation or test; the label is the parent folder,
//! none if that is the root or the split. A `metadata.csv`, `metadata.jsonl` or `labels.csv` beside the images or above them overrides both, by the
//! rules of the `imagefolder` datasets: a column `file_name` relative to the table's folder, and columns `label` and `split`; in `.jsonl` an object
//! a line with these keys.

use std::{
    cell::Cell,
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use super::{packed::Interned, to_path};
use crate::{
    Error, Result,
    file::open_regular,
    verdict::{Label, ReadLimits, Split},
};

/// The names of tables of labels.
pub const TABLE_NAMES: [&str; 3] = ["labels.csv", "metadata.csv", "metadata.jsonl"];

/// Whether a path has the name of a table of labels.
pub fn names_table(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    TABLE_NAMES.iter().any(|table| name == table.as_bytes())
}

/// The names of the column that says which image a row is of.
pub(super) const FILE_COLUMNS: [&str; 6] = ["file_name", "filename", "file", "path", "image", "filepath"];
pub(super) const LABEL_COLUMNS: [&str; 3] = ["label", "class", "category"];

/// The longest line of a table.
const MOST_LINE: u64 = 1 << 20;

/// The split that a path tells.
pub fn split_of(path: &[u8]) -> Option<Split> {
    let slash = path.iter().position(|&b| b == b'/')?;
    std::str::from_utf8(&path[..slash]).ok()?.parse().ok()
}

/// The label that a path tells.
pub fn label_of(path: &[u8]) -> Option<&[u8]> {
    let mut parts = path.rsplit(|&b| b == b'/').skip(1);
    let parent = parts.next()?;
    let is_split = parts.next().is_none() && split_of(path).is_some();
    (!is_split).then_some(parent)
}

/// What a table says of a file.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// The number of its label, plus one; 0 for none.
    label: u32,
    split: u8,
}

/// The labels and splits of a dataset; each path and each label is kept once.
#[derive(Debug, Default)]
pub struct Labels {
    paths: Interned,
    rows: Vec<Row>,
    names: Interned,
    known: HashMap<Box<[u8]>, Label>,
}

impl Labels {
    /// Reads the tables, given by their paths relative to `root`, piece by piece. Where two tables name a file, the later one in the order given
    /// counts.
    ///
    /// # Errors
    /// [`Error::Input`] with table and line for a table that cannot be used, so that no label is lost silently; [`Error::Io`].
    pub fn read(root: &Path, tables: &[Arc<[u8]>], limits: &ReadLimits) -> Result<Self> {
        let mut labels = Self::default();
        for table in tables {
            labels.read_table(&to_path(root, table), table, limits)?;
        }
        Ok(labels)
    }

    /// Of the texts of tables, given with their paths; as [`Labels::read`].
    ///
    /// # Errors
    /// [`Error::Input`] with table and line.
    pub fn of_texts(tables: &[(Arc<[u8]>, Vec<u8>)]) -> Result<Self> {
        let mut labels = Self::default();
        for (table, text) in tables {
            labels.parse_table(text, table).map_err(|what| Error::Input(format!("{}: {what}", String::from_utf8_lossy(table))))?;
        }
        Ok(labels)
    }

    /// What the tables say of a path: the label, and the split.
    fn row(&self, path: &[u8]) -> (Option<&[u8]>, Option<Split>) {
        let row = self.paths.find(path).and_then(|at| self.rows.get(at as usize)).copied().unwrap_or_default();
        (row.label.checked_sub(1).map(|label| self.names.get(label)), Split::from_code(row.split).flatten())
    }

    /// The label and split of a path; a label that occurs again is shared.
    pub fn of(&mut self, path: &[u8]) -> (Option<Label>, Option<Split>) {
        let (label, split) = self.row(path);
        let known = label.or_else(|| label_of(path)).map(|label| self.known.get(label).cloned().ok_or(label));
        let label = match known {
            Some(Ok(known)) => Some(known),
            Some(Err(new)) => {
                let (new, shared) = (Box::from(new), Label::from(new));
                self.known.insert(new, shared.clone());
                Some(shared)
            }
            None => None,
        };
        (label, split.or_else(|| split_of(path)))
    }

    /// The same without sharing.
    pub fn told(&self, path: &[u8]) -> (Option<Label>, Option<Split>) {
        let (label, split) = self.row(path);
        (label.or_else(|| label_of(path)).map(Label::from), split.or_else(|| split_of(path)))
    }

    fn read_table(&mut self, file: &Path, table: &[u8], limits: &ReadLimits) -> Result<()> {
        let (source, meta) = open_regular(file).map_err(|problem| problem.at(file))?;
        if meta.len() > limits.table_bytes {
            let (len, most) = (meta.len(), limits.table_bytes);
            let mend = "raise `table_bytes` under [limits] in wsidx.toml, or split the table by folders";
            return Err(Error::Input(format!("{}: {len} bytes; the limit of a table is {most}: {mend}", file.display())));
        }
        let mut source = BufReader::with_capacity(1 << 16, source.take(limits.table_bytes));
        self.parse_source(&mut source, table, limits.table_lines).map_err(|what| Error::Input(format!("{}: {what}", file.display())))
    }

    fn parse_table(&mut self, mut text: &[u8], table: &[u8]) -> std::result::Result<(), String> {
        self.parse_source(&mut text, table, ReadLimits::default().table_lines)
    }

    fn parse_source(&mut self, source: &mut dyn BufRead, table: &[u8], most_lines: u64) -> std::result::Result<(), String> {
        let folder = match table.iter().rposition(|&b| b == b'/') {
            Some(slash) => &table[..=slash],
            None => &[],
        };
        if source.fill_buf().map_err(|e| e.to_string())?.starts_with(b"\xef\xbb\xbf") {
            source.consume(3);
        }
        match table.ends_with(b".jsonl") {
            true => self.parse_lines(source, folder, most_lines),
            false => self.parse(source, folder, most_lines),
        }
    }

    fn parse(&mut self, source: &mut dyn BufRead, folder: &[u8], most_lines: u64) -> std::result::Result<(), String> {
        let left = Cell::new(MOST_LINE);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(OfLines { source, left: &left });
        let header = reader.byte_headers().map_err(|e| e.to_string())?.clone();
        let find = |names: &[&str]| names.iter().find_map(|name| header.iter().position(|h| h.eq_ignore_ascii_case(name.as_bytes())));
        let (label, split) = (find(&LABEL_COLUMNS), find(&["split"]));
        if label.is_none() && split.is_none() {
            return Ok(());
        }
        let file = find(&FILE_COLUMNS).ok_or("it has labels or splits, but no column `file_name` that says whose")?;
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|e| e.to_string())? {
            left.set(MOST_LINE);
            let line = record.position().map_or(0, csv::Position::line);
            check_lines(line, most_lines)?;
            let cell = |column: Option<usize>| column.and_then(|c| record.get(c));
            self.take_row(folder, cell(Some(file)), cell(label), cell(split)).map_err(|what| format!("line {line}: {what}"))?;
        }
        Ok(())
    }

    /// An object a line; empty lines are passed over, and so are objects that tell neither.
    fn parse_lines(&mut self, source: &mut dyn BufRead, folder: &[u8], most_lines: u64) -> std::result::Result<(), String> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if source.take(MOST_LINE + 1).read_until(b'\n', &mut line).map_err(|e| e.to_string())? == 0 {
                return Ok(());
            }
            if line.len() as u64 > MOST_LINE {
                return Err(format!("line {number}: {}", too_long()));
            }
            check_lines(number, most_lines)?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(&line).map_err(|e| format!("line {number}: it is no object of JSON: {e}"))?;
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => Some(text.clone().into_bytes()),
                serde_json::Value::Number(number) => Some(number.to_string().into_bytes()),
                _ => None,
            };
            let cell = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).and_then(text);
            let (file, label, split) = (cell(&FILE_COLUMNS), cell(&LABEL_COLUMNS), cell(&["split"]));
            if label.is_some() || split.is_some() {
                self.take_row(folder, file.as_deref(), label.as_deref(), split.as_deref())
                    .map_err(|what| format!("line {number}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Takes in what is said of one file.
    fn take_row(
        &mut self,
        folder: &[u8],
        file: Option<&[u8]>,
        label: Option<&[u8]>,
        split: Option<&[u8]>,
    ) -> std::result::Result<(), String> {
        let told = |cell: Option<&'_ [u8]>| cell.map(<[u8]>::trim_ascii).filter(|cell| !cell.is_empty()).map(<[u8]>::to_vec);
        let full = || "the paths and labels of all tables have more than four gigabytes; name fewer files".to_owned();
        let name = told(file).ok_or("no file name")?;
        let path = safe_join(folder, &name).ok_or("the file name leads out of the table's folder")?;
        let split = Split::code(told(split).map(|split| parse_split(&split)).transpose()?);
        let label = told(label).map(|label| self.names.insert(&label).ok_or_else(full)).transpose()?.map_or(0, |label| label + 1);
        let at = self.paths.insert(&path).ok_or_else(full)? as usize;
        self.rows.resize(self.paths.len(), Row::default());
        self.rows[at] = Row { label, split };
        Ok(())
    }
}

/// The bytes of a table, of which a single line must not take too many: a quotation mark that is never closed makes one line of all that follow.
struct OfLines<'a> {
    source: &'a mut dyn BufRead,
    /// Bytes that may be read before the next line is whole.
    left: &'a Cell<u64>,
}

impl Read for OfLines<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_long()));
        }
        let read = self.source.read(out)?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

fn too_long() -> String {
    format!("a line has more than {MOST_LINE} bytes; is a quotation mark not closed?")
}

fn check_lines(line: u64, most: u64) -> std::result::Result<(), String> {
    match line > most {
        true => {
            Err(format!("it has more than {most} lines: raise `table_lines` under [limits] in wsidx.toml, or split the table by folders"))
        }
        false => Ok(()),
    }
}

/// The tables in a folder (relative to the root) and in those above it, down to the root.
pub fn tables_above(root: &Path, folder: &[u8]) -> Vec<Arc<[u8]>> {
    let mut tables = Vec::new();
    let mut folder = Some(folder);
    while let Some(at) = folder {
        for name in TABLE_NAMES {
            let table = if at.is_empty() { name.as_bytes().to_vec() } else { [at, b"/", name.as_bytes()].concat() };
            if fs::symlink_metadata(to_path(root, &table)).is_ok_and(|meta| meta.is_file()) {
                tables.push(table.into());
            }
        }
        folder = (!at.is_empty()).then(|| at.iter().rposition(|&b| b == b'/').map_or(&at[..0], |slash| &at[..slash]));
    }
    tables
}

fn parse_split(cell: &[u8]) -> std::result::Result<Split, String> {
    String::from_utf8_lossy(cell).parse::<Split>().map_err(|e| e.to_string())
}

/// The name below the folder; `None` for a URL, an absolute name, or one with `..` in it.
fn safe_join(folder: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let url = name.windows(3).any(|w| w == b"://");
    let outside = name.starts_with(b"/") || name.split(|&b| b == b'/').any(|part| part == b"..") || name.contains(&0);
    if url || outside {
        return None;
    }
    let mut path = folder.to_vec();
    for part in name.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_the_label_and_the_first_folder_may_be_the_split() {
        let told = |path: &str| (label_of(path.as_bytes()).map(|l| String::from_utf8_lossy(l).into_owned()), split_of(path.as_bytes()));
        assert_eq!(told("train/cat/1.png"), (Some("cat".into()), Some(Split::Train)));
        assert_eq!(told("Validation/cat/1.png"), (Some("cat".into()), Some(Split::Val)));
        assert_eq!(told("test/1.png"), (None, Some(Split::Test)));
        assert_eq!(told("cat/1.png"), (Some("cat".into()), None));
        assert_eq!(told("data/train/1.png"), (Some("train".into()), None));
        assert_eq!(told("1.png"), (None, None));
    }

    fn parsed(folder: &str, text: &str) -> std::result::Result<Labels, String> {
        let mut labels = Labels::default();
        labels.parse(&mut text.as_bytes(), folder.as_bytes(), 1_000).map(|()| labels)
    }

    #[test]
    fn a_table_overrides_what_it_names_and_nothing_else() {
        let mut labels = parsed("train/", "file_name,label,split\ncat/1.png,dog,test\n./cat//2.png,,val\n").unwrap();
        let name = |l: Option<Label>| l.map(|l| String::from_utf8_lossy(&l).into_owned());
        let (label, split) = labels.of(b"train/cat/1.png");
        assert_eq!((name(label), split), (Some("dog".into()), Some(Split::Test)));
        let (label, split) = labels.of(b"train/cat/2.png");
        assert_eq!((name(label), split), (Some("cat".into()), Some(Split::Val)));
        let (label, split) = labels.of(b"train/cat/3.png");
        assert_eq!((name(label), split), (Some("cat".into()), Some(Split::Train)));
    }

    #[test]
    fn a_table_of_lines_of_json_says_the_same() {
        let mut labels = Labels::default();
        let text =
            b"{\"file_name\": \"1.png\", \"label\": 7, \"text\": [1]}\n\n{\"file_name\": \"2.png\", \"split\": \"test\"}\n{\"text\": 1}\n";
        labels.parse_table(text, b"train/cat/metadata.jsonl").unwrap();
        let mut told = |path: &str| labels.of(path.as_bytes());
        assert_eq!(told("train/cat/1.png"), (Some(b"7"[..].into()), Some(Split::Train)));
        assert_eq!(told("train/cat/2.png"), (Some(b"cat"[..].into()), Some(Split::Test)));
        let refused = |text: &[u8]| Labels::default().parse_table(text, b"metadata.jsonl").unwrap_err();
        assert!(refused(b"{\"file_name\": \"1.png\", \"label\": \"a\"}\n{\"label\"").contains("line 2: it is no object"));
        assert!(refused(b"[1]").contains("line 1"));
        assert!(refused(b"{\"label\": \"a\"}").contains("line 1: no file name"));
        assert!(refused(b"{\"file_name\": \"../1.png\", \"label\": \"a\"}").contains("leads out"));
    }

    #[test]
    fn a_table_that_cannot_be_used_is_refused_with_its_line() {
        let refused = |text: &str| parsed("", text).map(|_| ()).unwrap_err();
        assert!(refused("label\ncat\n").contains("file_name"));
        assert!(refused("file_name,label\n../1.png,cat\n").contains("line 2: the file name leads out"));
        assert!(refused("file_name,label\n/etc/1.png,cat\n").contains("line 2"));
        assert!(refused("file_name,label\nhttp://x/1.png,cat\n").contains("line 2"));
        assert!(refused("file_name,split\n1.png,train\n2.png,holdout\n").contains("line 3: `holdout` is no split"));
        assert!(refused("file_name,label\n1.png\n").contains("line: 2") || refused("file_name,label\n1.png\n").contains("line 2"));
        assert!(parsed("", "a,b\n1,2\n").is_ok());
    }
}
