//! Paths and tables → labels and splits.
//!
//! The split is the first folder below the root if that is called train, val, valid, validation or
//! test; the label is the parent folder, none if that is the root or the split. A `metadata.csv`,
//! `metadata.jsonl` or `labels.csv` beside the images or above them overrides both, by the rules of
//! the `imagefolder` datasets: a column `file_name` relative to the table's folder, and columns
//! `label` and `split`; in `.jsonl` an object a line with these keys.
//!
//! Tables are UTF-8. What a table says twice it must say alike: a path with two labels, a column or
//! a key that is there twice, and a quotation mark that is never closed are errors, since whichever
//! of the two was taken, the other would be lost silently.

use std::{
    cell::Cell,
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use super::{
    folder::Skipped,
    packed::Interned,
    table::{
        END, MOST_LINE, Members, OfLines, check_closed, check_lines, check_text, column, is_end,
        not_utf8, too_long,
    },
    to_path,
};
use crate::{
    Error, Result,
    file::{describe, excerpt, open_regular},
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
pub(super) const FILE_COLUMNS: [&str; 6] =
    ["file_name", "filename", "file", "path", "image", "filepath"];
pub(super) const LABEL_COLUMNS: [&str; 3] = ["label", "class", "category"];

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Where each row was read, while tables are read: the number of the table, from 1, and the
    /// line.
    sources: Vec<(u32, u32)>,
    /// How many tables were begun.
    table: u32,
    names: Interned,
    known: HashMap<Box<[u8]>, Label>,
}

impl Labels {
    /// Reads the tables, given by their paths relative to `root`, piece by piece. Where two tables
    /// name a file, the later one in the order given counts.
    ///
    /// # Errors
    /// [`Error::Input`] with table and line for a table that cannot be used, so that no label is
    /// lost silently; [`Error::Io`].
    pub fn read(root: &Path, tables: &[Arc<[u8]>], limits: &ReadLimits) -> Result<Self> {
        let mut labels = Self::default();
        for table in tables {
            labels.read_table(&to_path(root, table), table, limits)?;
        }
        labels.sources = Vec::new();
        Ok(labels)
    }

    /// Of the texts of tables, given with their paths; as [`Labels::read`].
    ///
    /// # Errors
    /// [`Error::Input`] with table and line.
    pub fn of_texts(tables: &[(Arc<[u8]>, Vec<u8>)]) -> Result<Self> {
        let mut labels = Self::default();
        for (table, text) in tables {
            labels.parse_table(text, table).map_err(|what| {
                Error::Input(format!("{}: {what}", String::from_utf8_lossy(table)))
            })?;
        }
        labels.sources = Vec::new();
        Ok(labels)
    }

    /// What the tables say of a path: the label, and the split.
    fn row(&self, path: &[u8]) -> (Option<&[u8]>, Option<Split>) {
        let row = self
            .paths
            .find(path)
            .and_then(|at| self.rows.get(at as usize))
            .copied()
            .unwrap_or_default();
        (
            row.label.checked_sub(1).map(|label| self.names.get(label)),
            Split::from_code(row.split).flatten(),
        )
    }

    /// The label and split of a path; a label that occurs again is shared.
    pub fn of(&mut self, path: &[u8]) -> (Option<Label>, Option<Split>) {
        let (label, split) = self.row(path);
        let known = label
            .or_else(|| label_of(path))
            .map(|label| self.known.get(label).cloned().ok_or(label));
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
        (
            label.or_else(|| label_of(path)).map(Label::from),
            split.or_else(|| split_of(path)),
        )
    }

    fn read_table(&mut self, file: &Path, table: &[u8], limits: &ReadLimits) -> Result<()> {
        let (source, meta) = open_regular(file).map_err(|problem| problem.at(file))?;
        if meta.len() > limits.table_bytes {
            let (len, most) = (meta.len(), limits.table_bytes);
            let mend =
                "raise `table_bytes` under [limits] in wsidx.toml, or split the table by folders";
            return Err(Error::Input(format!(
                "{}: {len} bytes; the limit of a table is {most}: {mend}",
                file.display()
            )));
        }
        let mut source = BufReader::with_capacity(1 << 16, source.take(limits.table_bytes));
        self.parse_source(&mut source, table, limits.table_lines)
            .map_err(|what| Error::Input(format!("{}: {what}", file.display())))
    }

    fn parse_table(&mut self, mut text: &[u8], table: &[u8]) -> std::result::Result<(), String> {
        self.parse_source(&mut text, table, ReadLimits::default().table_lines)
    }

    fn parse_source(
        &mut self,
        source: &mut dyn BufRead,
        table: &[u8],
        most_lines: u64,
    ) -> std::result::Result<(), String> {
        let folder = match table.iter().rposition(|&b| b == b'/') {
            Some(slash) => &table[..=slash],
            None => &[],
        };
        match source.fill_buf().map_err(|e| e.to_string())? {
            [0xef, 0xbb, 0xbf, ..] => source.consume(3),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(not_utf8("UTF-16")),
            _ => {}
        }
        self.table += 1;
        if table.ends_with(b".jsonl") {
            self.parse_lines(source, folder, most_lines)
        } else {
            self.parse(source, folder, most_lines)
        }
    }

    fn parse(
        &mut self,
        source: &mut dyn BufRead,
        folder: &[u8],
        most_lines: u64,
    ) -> std::result::Result<(), String> {
        let left = Cell::new(MOST_LINE);
        let lines = OfLines {
            source: source.chain(END),
            left: &left,
        };
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::Headers)
            .flexible(true)
            .from_reader(lines);
        let header = reader
            .byte_headers()
            .map_err(|e| format!("line 1: {}", e))?
            .clone();
        if is_end(&header) {
            return Ok(());
        }
        check_closed(&header, 1)?;
        check_text(&header)?;
        let (label, split) = (
            column(&header, &LABEL_COLUMNS)?,
            column(&header, &["split"])?,
        );
        if label.is_none() && split.is_none() {
            return Ok(());
        }
        let file = column(&header, &FILE_COLUMNS)?
            .ok_or("it has labels or splits, but no column `file_name` that says whose")?;
        let mut record = csv::ByteRecord::new();
        loop {
            let read = reader.read_byte_record(&mut record);
            let line = record.position().map_or(0, csv::Position::line);
            if !read.map_err(|e| format!("line {line}: {}", e))? {
                return Ok(());
            }
            left.set(MOST_LINE);
            if is_end(&record) {
                continue;
            }
            check_lines(line, most_lines)?;
            check_closed(&record, line)?;
            if record.len() != header.len() {
                let (cells, columns) = (record.len(), header.len());
                return Err(format!(
                    "line {line}: it has {cells} cells, and the header has {columns}; give it as many"
                ));
            }
            let cell = |column: Option<usize>| column.and_then(|c| record.get(c));
            self.take_row(folder, line, [Some(file), label, split].map(cell))
                .map_err(|what| format!("line {line}: {what}"))?;
        }
    }

    /// An object a line; empty lines are passed over, and so are objects that tell neither.
    fn parse_lines(
        &mut self,
        source: &mut dyn BufRead,
        folder: &[u8],
        most_lines: u64,
    ) -> std::result::Result<(), String> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if source
                .take(MOST_LINE + 1)
                .read_until(b'\n', &mut line)
                .map_err(|e| e.to_string())?
                == 0
            {
                return Ok(());
            }
            if line.len() as u64 > MOST_LINE {
                return Err(format!("line {number}: {}", too_long()));
            }
            check_lines(number, most_lines)?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let text = std::str::from_utf8(&line)
                .map_err(|_| format!("line {number}: {}", not_utf8("LATIN1")))?;
            let Members(object) = serde_json::from_str(text).map_err(|e| match e.classify() {
                serde_json::error::Category::Data => format!("line {number}: {e}"),
                _ => format!("line {number}: it is no object of JSON: {e}"),
            })?;
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => Some(text.clone().into_bytes()),
                serde_json::Value::Number(number) => Some(number.to_string().into_bytes()),
                _ => None,
            };
            let cell = |names: &[&str]| {
                names
                    .iter()
                    .find_map(|name| object.get(*name))
                    .and_then(text)
            };
            let (file, label, split) =
                (cell(&FILE_COLUMNS), cell(&LABEL_COLUMNS), cell(&["split"]));
            if label.is_some() || split.is_some() {
                let cells = [file.as_deref(), label.as_deref(), split.as_deref()];
                self.take_row(folder, number, cells)
                    .map_err(|what| format!("line {number}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Takes in what a line says of one file: its name, its label and its split.
    fn take_row(
        &mut self,
        folder: &[u8],
        line: u64,
        cells: [Option<&[u8]>; 3],
    ) -> std::result::Result<(), String> {
        let [name, label, split] =
            cells.map(|cell| cell.map(<[u8]>::trim_ascii).filter(|cell| !cell.is_empty()));
        let full = || {
            "the paths and labels of all tables have more than four gigabytes; name fewer files"
                .to_owned()
        };
        let name = name.ok_or("no file name")?;
        if [Some(name), label, split]
            .into_iter()
            .flatten()
            .any(|cell| std::str::from_utf8(cell).is_err())
        {
            return Err(not_utf8("LATIN1"));
        }
        let path =
            safe_join(folder, name).ok_or("the file name leads out of the table's folder")?;
        let split = Split::code(split.map(parse_split).transpose()?);
        let label = label
            .map(|label| self.names.insert(label).ok_or_else(full))
            .transpose()?
            .map_or(0, |label| label + 1);
        let at = self.paths.insert(&path).ok_or_else(full)? as usize;
        self.rows.resize(self.paths.len(), Row::default());
        self.sources.resize(self.paths.len(), (0, 0));
        let (row, (table, before)) = (Row { label, split }, self.sources[at]);
        if before > 0 && table == self.table && self.rows[at] != row {
            let [now, then] = [row, self.rows[at]].map(|row| self.words(row));
            let name = excerpt(&String::from_utf8_lossy(name));
            return Err(format!(
                "`{name}` has {now} here and {then} in line {before}; keep one of the two lines"
            ));
        }
        self.rows[at] = row;
        self.sources[at] = (self.table, u32::try_from(line).unwrap_or(u32::MAX));
        Ok(())
    }

    /// What a row says, for a message.
    fn words(&self, row: Row) -> String {
        let label = row.label.checked_sub(1).map(|label| {
            format!(
                "the label `{}`",
                excerpt(&String::from_utf8_lossy(self.names.get(label)))
            )
        });
        let split = Split::from_code(row.split)
            .flatten()
            .map(|split| format!("the split {}", split.name()));
        match (label, split) {
            (Some(label), Some(split)) => format!("{label} and {split}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "neither label nor split".to_owned(),
        }
    }
}

/// The names that tables have in a folder (relative to the root) and in those above it, down to the
/// root.
fn names_above(folder: &[u8]) -> Vec<Arc<[u8]>> {
    let mut names = Vec::new();
    let mut folder = Some(folder);
    while let Some(at) = folder {
        for name in TABLE_NAMES {
            let table = if at.is_empty() {
                name.as_bytes().to_vec()
            } else {
                [at, b"/", name.as_bytes()].concat()
            };
            names.push(table.into());
        }
        folder = (!at.is_empty()).then(|| {
            at.iter()
                .rposition(|&b| b == b'/')
                .map_or(&at[..0], |slash| &at[..slash])
        });
    }
    names
}

/// The tables in a folder (relative to the root) and in those above it, down to the root.
pub fn tables_above(root: &Path, folder: &[u8]) -> Vec<Arc<[u8]>> {
    let is_file = |table: &Arc<[u8]>| {
        fs::symlink_metadata(to_path(root, table)).is_ok_and(|meta| meta.is_file())
    };
    names_above(folder).into_iter().filter(is_file).collect()
}

/// What has the name of a table there and is not read, since it is no regular file.
pub fn skipped_tables_above(root: &Path, folder: &[u8]) -> Vec<Skipped> {
    let skipped = |path: Arc<[u8]>| {
        let kind = fs::symlink_metadata(to_path(root, &path)).ok()?.file_type();
        let is_skipped = !kind.is_file() && !kind.is_dir();
        is_skipped.then(|| Skipped {
            path,
            reason: describe(kind).to_owned(),
        })
    };
    names_above(folder)
        .into_iter()
        .filter_map(skipped)
        .collect()
}

fn parse_split(cell: &[u8]) -> std::result::Result<Split, String> {
    String::from_utf8_lossy(cell)
        .parse::<Split>()
        .map_err(|e| e.to_string())
}

/// The name below the folder; `None` for a URL, an absolute name, or one with `..` in it.
fn safe_join(folder: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let url = name.windows(3).any(|w| w == b"://");
    let outside = name.starts_with(b"/")
        || name.split(|&b| b == b'/').any(|part| part == b"..")
        || name.contains(&0);
    if url || outside {
        return None;
    }
    let mut path = folder.to_vec();
    for part in name
        .split(|&b| b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
    {
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
        let told = |path: &str| {
            (
                label_of(path.as_bytes()).map(|l| String::from_utf8_lossy(l).into_owned()),
                split_of(path.as_bytes()),
            )
        };
        assert_eq!(
            told("train/cat/1.png"),
            (Some("cat".into()), Some(Split::Train))
        );
        assert_eq!(
            told("Validation/cat/1.png"),
            (Some("cat".into()), Some(Split::Val))
        );
        assert_eq!(told("test/1.png"), (None, Some(Split::Test)));
        assert_eq!(told("cat/1.png"), (Some("cat".into()), None));
        assert_eq!(told("data/train/1.png"), (Some("train".into()), None));
        assert_eq!(told("1.png"), (None, None));
    }

    fn parsed(folder: &str, text: &str) -> std::result::Result<Labels, String> {
        let mut labels = Labels::default();
        labels
            .parse(&mut text.as_bytes(), folder.as_bytes(), 1_000)
            .map(|()| labels)
    }

    #[test]
    fn a_table_overrides_what_it_names_and_nothing_else() {
        let mut labels = parsed(
            "train/",
            "file_name,label,split\ncat/1.png,dog,test\n./cat//2.png,,val\n",
        )
        .unwrap();
        let name = |l: Option<Label>| l.map(|l| String::from_utf8_lossy(&l).into_owned());
        let (label, split) = labels.of(b"train/cat/1.png");
        assert_eq!(
            (name(label), split),
            (Some("dog".into()), Some(Split::Test))
        );
        let (label, split) = labels.of(b"train/cat/2.png");
        assert_eq!((name(label), split), (Some("cat".into()), Some(Split::Val)));
        let (label, split) = labels.of(b"train/cat/3.png");
        assert_eq!(
            (name(label), split),
            (Some("cat".into()), Some(Split::Train))
        );
    }

    #[test]
    fn a_table_of_lines_of_json_says_the_same() {
        let mut labels = Labels::default();
        let text =
            b"{\"file_name\": \"1.png\", \"label\": 7, \"text\": [1]}\n\n{\"file_name\": \"2.png\", \"split\": \"test\"}\n{\"text\": 1}\n";
        labels
            .parse_table(text, b"train/cat/metadata.jsonl")
            .unwrap();
        let mut told = |path: &str| labels.of(path.as_bytes());
        assert_eq!(
            told("train/cat/1.png"),
            (Some(b"7"[..].into()), Some(Split::Train))
        );
        assert_eq!(
            told("train/cat/2.png"),
            (Some(b"cat"[..].into()), Some(Split::Test))
        );
        let refused = |text: &[u8]| {
            Labels::default()
                .parse_table(text, b"metadata.jsonl")
                .unwrap_err()
        };
        assert!(
            refused(b"{\"file_name\": \"1.png\", \"label\": \"a\"}\n{\"label\"")
                .contains("line 2: it is no object")
        );
        assert!(refused(b"[1]").contains("line 1"));
        assert!(refused(b"{\"label\": \"a\"}").contains("line 1: no file name"));
        assert!(refused(b"{\"file_name\": \"../1.png\", \"label\": \"a\"}").contains("leads out"));
    }

    #[test]
    fn a_table_that_cannot_be_used_is_refused_with_its_line() {
        let refused = |text: &str| parsed("", text).map(|_| ()).unwrap_err();
        assert!(refused("label\ncat\n").contains("file_name"));
        assert!(
            refused("file_name,label\n../1.png,cat\n").contains("line 2: the file name leads out")
        );
        assert!(refused("file_name,label\n/etc/1.png,cat\n").contains("line 2"));
        assert!(refused("file_name,label\nhttp://x/1.png,cat\n").contains("line 2"));
        assert!(
            refused("file_name,split\n1.png,train\n2.png,holdout\n")
                .contains("line 3: `holdout` is no split")
        );
        assert!(
            refused("file_name,label\n1.png\n").contains("line: 2")
                || refused("file_name,label\n1.png\n").contains("line 2")
        );
        assert!(parsed("", "a,b\n1,2\n").is_ok());
    }

    /// The error of a table, or "" where there is none.
    fn error_of(name: &str, text: &[u8]) -> String {
        Labels::default()
            .parse_table(text, name.as_bytes())
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn two_lines_for_one_path_must_say_the_same_and_the_error_names_both() {
        let csv = |text: &str| error_of("labels.csv", text.as_bytes());
        assert_eq!(
            csv("file,label,split\n1.png,cat,\n2.png,dog,\n./1.png,dog,val\n"),
            "line 4: `./1.png` has the label `dog` and the split val here and the label `cat` in line 2; keep one of the two lines"
        );
        assert!(
            csv("file,label\n1.png,\n1.png,cat\n").contains("neither label nor split in line 2")
        );
        assert_eq!(csv("file,label\n1.png,cat\n1.png,cat\n"), "");
        let lines = b"{\"file\": \"1.png\", \"label\": 1}\n\n{\"file\": \"1.png\", \"label\": 2}\n";
        assert!(
            error_of("metadata.jsonl", lines)
                .starts_with("line 3: `1.png` has the label `2` here and the label `1` in line 1")
        );
        // Another table overrides this one.
        let tables = ["labels.csv", "metadata.csv"].map(|name| {
            (
                Arc::from(name.as_bytes()),
                b"file,label\n1.png,cat\n".to_vec(),
            )
        });
        let mut tables = tables.to_vec();
        tables[1].1 = b"file,label\n1.png,dog\n".to_vec();
        assert_eq!(
            Labels::of_texts(&tables).unwrap().of(b"1.png").0.as_deref(),
            Some(&b"dog"[..])
        );
    }

    #[test]
    fn a_column_or_a_key_that_is_there_twice_is_an_error() {
        let csv = |text: &str| error_of("labels.csv", text.as_bytes());
        for header in [
            "file_name,label,file_name",
            "file_name,label,LABEL",
            "file_name,split,label, split ",
        ] {
            let error = csv(&format!("{header}\n1.png,a,b\n"));
            assert!(
                error.starts_with("line 1: the columns ") && error.contains("rename or remove one"),
                "{header}: {error}"
            );
        }
        assert_eq!(
            csv("file_name,label,note,note,,\n1.png,a,,,,\n"),
            "",
            "columns that are not read"
        );
        let twice = b"{\"file\": \"1.png\", \"label\": \"a\", \"label\": \"b\"}\n";
        assert!(
            error_of("metadata.jsonl", twice)
                .contains("line 1: the key `label` is there twice; remove one")
        );
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_is_an_error_with_its_line() {
        let csv = |text: &str| error_of("labels.csv", text.as_bytes());
        for (text, line) in [
            ("file_name,label\n1.png,\"cat\n2.png,dog\n", 2),
            ("file_name,label\n1.png,cat\n2.png,\"dog", 3),
            ("file_name,label\n1.png,cat\n\"2.png,dog\n", 3),
            ("file_name,label\n1.png,\"a\"\"", 2),
            ("\"file_name,label\n1.png,cat\n", 1),
        ] {
            assert!(
                csv(text).starts_with(&format!("line {line}: a quotation mark is never closed")),
                "{text}: {}",
                csv(text)
            );
        }
        for text in [
            "",
            "\n",
            "file_name,label",
            "file_name,label\n1.png,\"a\"",
            "file_name,label\n1.png,\"a\"\"\"\r\n",
            "file_name,label\n1.png,5\"\n",
        ] {
            assert_eq!(csv(text), "", "{text}");
        }
        let long = [
            &b"file_name,label\n1.png,cat\n2.png,\""[..],
            &vec![b'a'; 2 << 20],
        ]
        .concat();
        assert!(
            error_of("labels.csv", &long).starts_with("line 3: a line has more than"),
            "{}",
            error_of("labels.csv", &long)
        );
    }

    #[test]
    fn a_table_that_is_not_utf_8_is_an_error_that_says_how_to_convert_it() {
        let utf16 = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
        };
        let text = "file_name,label\n1.png,cat\n";
        let tables = [
            [b"\xff\xfe".to_vec(), utf16(text)].concat(),
            utf16(text),
            b"file_name,label\n1.png,K\xe4fer\n".to_vec(),
            b"file_name,label\nK\xe4fer.png,a\n".to_vec(),
            b"file_name,label,Gr\xf6\xdfe\n".to_vec(),
        ];
        for table in &tables {
            let error = error_of("labels.csv", table);
            assert!(
                error.contains("it is not UTF-8; save it as that, for example with `iconv -f "),
                "{error}"
            );
        }
        assert!(
            error_of(
                "metadata.jsonl",
                b"{\"file\": \"1.png\", \"label\": \"K\xe4fer\"}"
            )
            .starts_with("line 1: it is not UTF-8")
        );
        assert_eq!(
            error_of(
                "labels.csv",
                [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat().as_slice()
            ),
            ""
        );
    }
}
