//! A Parquet file with a column of images, as the `datasets` of Hugging Face write it → its images,
//! with their labels.
//!
//! A column of images is a struct of `bytes` and `path`, or holds the bytes itself. Which one it
//! is, is said under `huggingface` among what the writer noted down (`info.features`: `_type` is
//! `Image`); where nothing is, every column of bytes that are no text counts. The label is in the
//! first column that is said to be a `ClassLabel`, whose `names` say what its numbers mean, or in
//! one that is called as in a table of labels. The item of row 12 is called `12:image`. A row
//! without bytes, that only names a file, is an item that cannot be read.

use std::{collections::HashMap, fs::File};

use serde_json::Value;

use super::open::{Items, check_count, most_items};
use crate::dataset::{
    labels::{FILE_COLUMNS, LABEL_COLUMNS},
    parquet::{Cells, Parquet, Physical, integer},
};

/// Bytes of all different labels.
const MOST_NAMES: usize = 64 << 20;

/// A column of images.
#[derive(Debug)]
struct Images {
    name: String,
    bytes: Cells,
    /// The names of the files, if there is a column of them.
    path: Option<Cells>,
}

/// A table with images.
#[derive(Debug)]
pub(super) struct Table {
    parquet: Parquet,
    images: Vec<Images>,
    labels: Labels,
}

/// The labels of the rows.
#[derive(Debug, Default)]
struct Labels {
    /// Which of the names each row has; none beyond the last.
    own: Vec<u32>,
    names: Vec<Vec<u8>>,
}

/// Opens a table of `size` bytes: reads its footer, the heads of the pages of images, and its
/// labels.
pub(super) fn open(file: File, size: u64) -> Result<Table, String> {
    let parquet = Parquet::open(file, size, most_items(size))?;
    let features = features(&parquet);
    let named = |kind: &str| {
        let is = |feature: &&(String, Value)| {
            feature.1.get("_type").and_then(Value::as_str) == Some(kind)
        };
        features.iter().filter(is).collect::<Vec<_>>()
    };
    let images = images(&parquet, &named("Image"))?;
    check_count(
        (parquet.rows() as u64).saturating_mul(images.len() as u64),
        size,
    )?;
    let labels = labels(&parquet, named("ClassLabel").first().copied())?;
    Ok(Table {
        parquet,
        images,
        labels,
    })
}

/// What `datasets` noted down of each column.
fn features(parquet: &Parquet) -> Vec<(String, Value)> {
    let json = parquet
        .note("huggingface")
        .and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let features = json
        .as_ref()
        .and_then(|json| json.get("info")?.get("features")?.as_object());
    // In the order of the columns.
    let names = parquet.names();
    features
        .into_iter()
        .flat_map(|features| {
            names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), features.get(*name)?.clone())))
        })
        .collect()
}

/// The number of the column with this path from the top, if it holds bytes, one for each row.
fn column_of_bytes(parquet: &Parquet, path: &[&str]) -> Option<usize> {
    let is = |column: &crate::dataset::parquet::Column| {
        column.path == path && column.physical == Physical::Bytes && column.repeated == 0
    };
    parquet.columns().iter().position(is)
}

fn images(parquet: &Parquet, told: &[&(String, Value)]) -> Result<Vec<Images>, String> {
    let names: Vec<&str> = if told.is_empty() {
        parquet.names()
    } else {
        told.iter().map(|(name, _)| &**name).collect()
    };
    let mut found = Vec::new();
    for name in names {
        let column = column_of_bytes(parquet, &[name, "bytes"])
            .or_else(|| column_of_bytes(parquet, &[name]));
        let Some(column) = column.filter(|column| {
            parquet
                .columns()
                .get(*column)
                .is_some_and(|column| !column.is_text)
        }) else {
            continue;
        };
        let path = column_of_bytes(parquet, &[name, "path"])
            .map(|path| Cells::open(parquet, path))
            .transpose()?;
        found.push(Images {
            name: name.to_owned(),
            bytes: Cells::open(parquet, column)?,
            path,
        });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let names = parquet.names();
    if names.iter().any(|name| FILE_COLUMNS.contains(name)) {
        return Err("it is a table about images in files; such tables are read as .csv or .jsonl, not as Parquet".to_owned());
    }
    let names: Vec<&str> = names.into_iter().take(10).collect();
    Err(format!(
        "it has no column of images, which holds bytes, or a struct of bytes and path; its columns are {}",
        names.join(", ")
    ))
}

fn labels(parquet: &Parquet, class_label: Option<&(String, Value)>) -> Result<Labels, String> {
    let by_name = |name: &str| {
        parquet
            .columns()
            .iter()
            .position(|column| column.path == [name] && column.repeated == 0)
    };
    let mut candidates = class_label
        .map(|(name, _)| &**name)
        .into_iter()
        .chain(LABEL_COLUMNS);
    let Some(column) = candidates.find_map(by_name) else {
        return Ok(Labels::default());
    };
    let Some(physical) = parquet.columns().get(column).map(|column| column.physical) else {
        return Ok(Labels::default());
    };
    let told = class_label
        .and_then(|(_, feature)| feature.get("names")?.as_array())
        .map_or(&[][..], Vec::as_slice);
    let (mut labels, mut known, mut bytes) = (Labels::default(), HashMap::new(), 0);
    parquet.each(column, &mut |values| {
        for label in (0..values.len()).map(|at| {
            values
                .get(at)
                .and_then(|value| label(value, physical, told))
        }) {
            let (next, length) = (known.len() as u32, label.as_ref().map_or(0, Vec::len));
            let own = label.map_or(u32::MAX, |label| *known.entry(label).or_insert(next));
            bytes += if own == next { length } else { 0 };
            if bytes > MOST_NAMES {
                return Err(format!("its labels have more than {MOST_NAMES} bytes"));
            }
            labels.own.push(own);
        }
        Ok(())
    })?;
    labels.names = vec![Vec::new(); known.len()];
    for (name, number) in known {
        if let Some(place) = labels.names.get_mut(number as usize) {
            *place = name;
        }
    }
    Ok(labels)
}

/// A label as text; of numbers by their names, if they have any, and none for −1, by which
/// `datasets` mark what has no label.
fn label(value: &[u8], physical: Physical, names: &[Value]) -> Option<Vec<u8>> {
    if physical == Physical::Bytes {
        return (!value.is_empty()).then(|| value.to_vec());
    }
    let number = integer(value, physical)?;
    let name = usize::try_from(number)
        .ok()
        .and_then(|at| names.get(at)?.as_str());
    match name {
        Some(name) => Some(name.as_bytes().to_vec()),
        None => (number != -1 || names.is_empty()).then(|| number.to_string().into_bytes()),
    }
}

impl Table {
    /// The row of an item, and its column among those of images.
    fn place(&self, item: usize) -> (usize, Option<&Images>) {
        let columns = self.images.len().max(1);
        (item / columns, self.images.get(item % columns))
    }
}

impl Items for Table {
    fn count(&self) -> usize {
        self.parquet.rows() * self.images.len()
    }

    fn name(&self, item: usize) -> Vec<u8> {
        let (row, column) = self.place(item);
        format!("{row}:{}", column.map_or("", |column| &column.name)).into_bytes()
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let (row, column) = std::str::from_utf8(name).ok()?.split_once(':')?;
        let (row, column) = (
            row.parse::<usize>().ok()?,
            self.images
                .iter()
                .position(|images| images.name == column)?,
        );
        let item = row
            .checked_mul(self.images.len())?
            .checked_add(column)
            .filter(|item| *item < self.count())?;
        (self.name(item) == name).then_some(item)
    }

    fn label(&self, item: usize) -> Option<Vec<u8>> {
        let own = *self.labels.own.get(self.place(item).0)?;
        self.labels.names.get(own as usize).cloned()
    }

    /// What it takes is known only when its page is unpacked, which has limits of its own.
    fn size(&self, _: usize) -> u64 {
        0
    }

    fn read(&self, item: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let (row, Some(column)) = self.place(item) else {
            return Err("there is no such column".to_owned());
        };
        if column.bytes.read(&self.parquet, row, out)? {
            return Ok(());
        }
        let mut path = Vec::new();
        match &column.path {
            Some(cells) if cells.read(&self.parquet, row, &mut path)? => Err(format!(
                "it holds no bytes, but the name of a file: {}",
                String::from_utf8_lossy(&path)
            )),
            _ => Err("it holds no bytes".to_owned()),
        }
    }
}
