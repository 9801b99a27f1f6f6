//! A Parquet file → its columns, and their values.
//!
//! | part | of |
//! |---|---|
//! | [`thrift`] | bytes in Thrift's compact protocol → values |
//! | [`footer`] | the end of a file → its columns, and where the bytes of each are |
//! | [`page`] | a chunk of a column → its pages; a page → its values |
//! | [`levels`] | numbers packed in runs → the numbers |
//! | [`cells`] | a column with a value for each row → the value of any row |
//!
//! Its own reader and no library's, for a file may come from anyone: the `parquet` crate (60.1, the
//! newest when this was written) takes memory by what the heads of pages tell (up to 2 GiB set to
//! zero for a page packed by Snappy) before it looks at their bytes, has had decoders that panic,
//! and gives no access to the head of a page that a caller could check first. Here every number is
//! held against a limit or against the bytes that are there; indexing and arithmetic that could
//! fail are not used on what the file says.

mod cells;
mod footer;
mod levels;
mod page;
mod thrift;

use std::fs::File;

use self::footer::Footer;
pub(super) use self::{
    cells::Cells,
    footer::{Column, Physical},
    page::Values,
};

/// A file, open, with what its footer says.
#[derive(Debug)]
pub(super) struct Parquet {
    file: File,
    footer: Footer,
}

impl Parquet {
    /// Opens a file of `size` bytes, which may tell of `most_rows`.
    pub(super) fn open(file: File, size: u64, most_rows: u64) -> Result<Self, String> {
        let footer = footer::read(&file, size, most_rows)?;
        Ok(Self { file, footer })
    }

    pub(super) fn rows(&self) -> usize {
        self.footer.rows as usize
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.footer.columns
    }

    /// How many values a column has, those that are null and empty lists among them.
    pub(super) fn values(&self, column: usize) -> u64 {
        let of = |group: &Vec<footer::Chunk>| group.get(column).map_or(0, |chunk| chunk.values);
        self.footer
            .groups
            .iter()
            .map(of)
            .fold(0, u64::saturating_add)
    }

    /// What the writer noted down under a name.
    pub(super) fn note(&self, name: &str) -> Option<&[u8]> {
        self.footer
            .notes
            .iter()
            .find(|(own, _)| own == name.as_bytes())
            .map(|(_, text)| &**text)
    }

    /// The names of the columns at the top, each once.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .footer
            .columns
            .iter()
            .filter_map(|column| Some(column.path.first()?.as_str()))
            .collect();
        names.dedup();
        names
    }

    /// Calls `take` with the values of a column, page after page.
    pub(super) fn each(
        &self,
        column: usize,
        take: &mut dyn FnMut(&Values) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some(of) = self.footer.columns.get(column) else {
            return Ok(());
        };
        for chunk in self
            .footer
            .groups
            .iter()
            .filter_map(|group| group.get(column))
        {
            let (dictionary, pages) = page::pages(&self.file, chunk, of)?;
            let dictionary = dictionary
                .map(|page| page::dictionary(&self.file, &page, chunk.codec, of))
                .transpose()?;
            for page in &pages {
                take(&page::values(
                    &self.file,
                    page,
                    chunk.codec,
                    of,
                    dictionary.as_ref(),
                )?)?;
            }
        }
        Ok(())
    }
}

/// A number of a column; `None` for one of another type.
pub(super) fn integer(value: &[u8], physical: Physical) -> Option<i64> {
    match physical {
        Physical::Int32 => Some(i32::from_le_bytes(value.try_into().ok()?).into()),
        Physical::Int64 => Some(i64::from_le_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

/// The same as a float.
pub(super) fn number(value: &[u8], physical: Physical) -> Option<f32> {
    match physical {
        Physical::Float => Some(f32::from_le_bytes(value.try_into().ok()?)),
        Physical::Double => Some(f64::from_le_bytes(value.try_into().ok()?) as f32),
        _ => integer(value, physical).map(|number| number as f32),
    }
}
