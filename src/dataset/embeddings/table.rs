//! A Parquet file with a column of lists of numbers → embeddings, a row for each.

use std::fs::File;

use super::{MOST_ROWS, add_id};
use crate::dataset::{
    labels::FILE_COLUMNS,
    packed::Texts,
    parquet::{Column, Parquet, Physical, number},
};

/// A column of embeddings.
#[derive(Debug)]
pub(super) struct Table {
    parquet: Parquet,
    column: usize,
    physical: Physical,
    /// Numbers of an embedding.
    pub(super) columns: usize,
}

/// Opens a file of `size` bytes; whose its rows are is listed, or in a column of text.
pub(super) fn open(file: File, size: u64, listed: Option<Texts>) -> Result<(Table, Texts), String> {
    let parquet = Parquet::open(file, size, MOST_ROWS)?;
    let is_number = |column: &Column| !matches!(column.physical, Physical::Bytes | Physical::Other);
    let column = choose(
        &parquet,
        &["embeddings", "embedding"],
        "lists of numbers",
        |column| column.repeated == 1 && is_number(column),
    )?;
    let ids = match listed {
        Some(ids) => ids,
        None => {
            let names = [&["ids"], &FILE_COLUMNS[..]].concat();
            text(
                &parquet,
                choose(
                    &parquet,
                    &names,
                    "paths, unless --ids says whose the embeddings are",
                    |c| c.repeated == 0 && c.is_text,
                )?,
            )?
        }
    };
    let (rows, values) = (parquet.rows() as u64, parquet.values(column));
    let columns = values
        .checked_div(rows)
        .filter(|columns| *columns > 0 && columns.saturating_mul(rows) == values);
    let columns = columns
        .and_then(|columns| usize::try_from(columns).ok())
        .ok_or_else(not_equal)?;
    let physical = parquet
        .columns()
        .get(column)
        .map_or(Physical::Other, |column| column.physical);
    Ok((
        Table {
            parquet,
            column,
            physical,
            columns,
        },
        ids,
    ))
}

fn not_equal() -> String {
    "its embeddings have not all as many numbers as each other".to_owned()
}

/// The column at the top of one of these names, or else the only one that is so.
fn choose(
    parquet: &Parquet,
    names: &[&str],
    what: &str,
    is: impl Fn(&Column) -> bool,
) -> Result<usize, String> {
    let all: Vec<(usize, &Column)> = parquet
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| is(column))
        .collect();
    let named = names.iter().find_map(|name| {
        all.iter()
            .find(|(_, column)| column.path.first().is_some_and(|first| first == name))
    });
    match (named, &all[..]) {
        (Some((at, _)), _) | (None, [(at, _)]) => Ok(*at),
        (None, []) => Err(format!(
            "it has no column of {what}; it has {}",
            parquet.names().join(", ")
        )),
        (None, _) => Err(format!(
            "it has several columns of {what}; call the one that counts `{}`",
            names.first().unwrap_or(&"")
        )),
    }
}

fn text(parquet: &Parquet, column: usize) -> Result<Texts, String> {
    let mut ids = Texts::default();
    parquet.each(column, &mut |values| {
        for id in (0..values.len()).map(|at| values.get(at).unwrap_or_default()) {
            add_id(&mut ids, id)?;
        }
        Ok(())
    })?;
    Ok(ids)
}

impl Table {
    pub(super) fn rows(&self) -> u64 {
        self.parquet.rows() as u64
    }

    /// Calls `take` with each number, and its row and column.
    pub(super) fn each(&self, take: &mut dyn FnMut(usize, usize, f32)) -> Result<(), String> {
        let mut at = 0;
        self.parquet.each(self.column, &mut |values| {
            for place in 0..values.len() {
                let value = values
                    .get(place)
                    .and_then(|value| number(value, self.physical));
                let (row, column) = (at / self.columns, at % self.columns);
                if values.begins(place) != (column == 0) {
                    return Err(not_equal());
                }
                take(
                    row,
                    column,
                    value.ok_or_else(|| {
                        format!("the embedding of row {row} (from 0) lacks a number")
                    })?,
                );
                at += 1;
            }
            Ok(())
        })
    }
}
