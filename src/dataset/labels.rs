//! Paths and tables → labels and splits.
//!
//! The split is the first folder below the root if that is called train, val, valid, validation or test; the label is the parent folder,
//! none if that is the root or the split. A `metadata.csv`, `metadata.jsonl` or `labels.csv` beside the images or above them overrides both, by the
//! rules of the `imagefolder` datasets: a column `file_name` relative to the table's folder, and columns `label` and `split`; in `.jsonl` an object
//! a line with these keys.

use std::{collections::HashMap, fs, io, path::Path, sync::Arc};

use super::to_path;
use crate::{
    Error, Result,
    file::read_regular,
    verdict::{Label, Split},
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

/// The longest table that is read.
pub(super) const MAX_TABLE_BYTES: u64 = 256 << 20;

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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    label: Option<Label>,
    split: Option<Split>,
}

/// The labels and splits of a dataset; each label is kept once.
#[derive(Debug, Default)]
pub struct Labels {
    rows: HashMap<Vec<u8>, Row>,
    known: HashMap<Box<[u8]>, Label>,
}

impl Labels {
    /// Reads the tables, given by their paths relative to `root`. Where two tables name a file, the later one in the order given counts.
    ///
    /// # Errors
    /// [`Error::Input`] with table and line for a table that cannot be used, so that no label is lost silently; [`Error::Io`].
    pub fn read(root: &Path, tables: &[Arc<[u8]>]) -> Result<Self> {
        let mut labels = Self::default();
        for table in tables {
            labels.read_table(&to_path(root, table), table)?;
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

    /// The label and split of a path; a label that occurs again is shared.
    pub fn of(&mut self, path: &[u8]) -> (Option<Label>, Option<Split>) {
        let row = self.rows.get(path).cloned().unwrap_or_default();
        let label = row.label.or_else(|| label_of(path).map(|label| self.share(label)));
        (label, row.split.or_else(|| split_of(path)))
    }

    /// The same without sharing.
    pub fn told(&self, path: &[u8]) -> (Option<Label>, Option<Split>) {
        let (label, split) = self.rows.get(path).map_or((None, None), |row| (row.label.clone(), row.split));
        (label.or_else(|| label_of(path).map(Label::from)), split.or_else(|| split_of(path)))
    }

    fn share(&mut self, label: &[u8]) -> Label {
        match self.known.get(label) {
            Some(label) => label.clone(),
            None => {
                let shared = Label::from(label);
                self.known.insert(label.into(), shared.clone());
                shared
            }
        }
    }

    fn read_table(&mut self, file: &Path, table: &[u8]) -> Result<()> {
        let text = read_regular(file, MAX_TABLE_BYTES)?;
        self.parse_table(&text, table).map_err(|what| Error::Input(format!("{}: {what}", file.display())))
    }

    fn parse_table(&mut self, text: &[u8], table: &[u8]) -> std::result::Result<(), String> {
        let folder = match table.iter().rposition(|&b| b == b'/') {
            Some(slash) => &table[..=slash],
            None => &[],
        };
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if table.ends_with(b".jsonl") { self.parse_lines(text, folder) } else { self.parse(text, folder) }
    }

    fn parse(&mut self, text: &[u8], folder: &[u8]) -> std::result::Result<(), String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(io::Cursor::new(text));
        let header = reader.byte_headers().map_err(|e| e.to_string())?.clone();
        let find = |names: &[&str]| names.iter().find_map(|name| header.iter().position(|h| h.eq_ignore_ascii_case(name.as_bytes())));
        let (label, split) = (find(&LABEL_COLUMNS), find(&["split"]));
        if label.is_none() && split.is_none() {
            return Ok(());
        }
        let file = find(&FILE_COLUMNS).ok_or("it has labels or splits, but no column `file_name` that says whose")?;
        for record in reader.byte_records() {
            let record = record.map_err(|e| e.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |column: Option<usize>| column.and_then(|c| record.get(c));
            self.row(folder, cell(Some(file)), cell(label), cell(split)).map_err(|what| format!("line {line}: {what}"))?;
        }
        Ok(())
    }

    /// An object a line; empty lines are passed over, and so are objects that tell neither.
    fn parse_lines(&mut self, text: &[u8], folder: &[u8]) -> std::result::Result<(), String> {
        for (line, number) in text.split(|&b| b == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty()) {
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(line).map_err(|e| format!("line {number}: it is no object of JSON: {e}"))?;
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => Some(text.clone().into_bytes()),
                serde_json::Value::Number(number) => Some(number.to_string().into_bytes()),
                _ => None,
            };
            let cell = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).and_then(text);
            let (file, label, split) = (cell(&FILE_COLUMNS), cell(&LABEL_COLUMNS), cell(&["split"]));
            if label.is_some() || split.is_some() {
                self.row(folder, file.as_deref(), label.as_deref(), split.as_deref()).map_err(|what| format!("line {number}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Takes in what is said of one file.
    fn row(&mut self, folder: &[u8], file: Option<&[u8]>, label: Option<&[u8]>, split: Option<&[u8]>) -> std::result::Result<(), String> {
        let told = |cell: Option<&'_ [u8]>| cell.map(<[u8]>::trim_ascii).filter(|cell| !cell.is_empty()).map(<[u8]>::to_vec);
        let name = told(file).ok_or("no file name")?;
        let path = safe_join(folder, &name).ok_or("the file name leads out of the table's folder")?;
        let split = told(split).map(|split| parse_split(&split)).transpose()?;
        let label = told(label).map(|label| self.share(&label));
        self.rows.insert(path, Row { label, split });
        Ok(())
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
        labels.parse(text.as_bytes(), folder.as_bytes()).map(|()| labels)
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
