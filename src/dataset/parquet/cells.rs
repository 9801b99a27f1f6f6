//! A column with a value for each row → the value of any row.
//!
//! The heads of its pages say which rows are in which. The pages that were used last stay unpacked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Parquet,
    page::{self, Page, Values},
};

/// Bytes of unpacked pages that are kept; one page is kept whatever it takes.
const KEPT: u64 = 256 << 20;
/// Pages that are kept, since all of them are looked through.
const MOST_KEPT: usize = 64;

/// Where the values of a column are.
#[derive(Debug)]
pub(in crate::dataset) struct Cells {
    column: usize,
    pages: Vec<Located>,
    /// Of each row group.
    dictionaries: Vec<Option<Page>>,
    unpacked: Mutex<Unpacked>,
}

#[derive(Debug)]
struct Located {
    first_row: u64,
    group: usize,
    page: Page,
}

#[derive(Debug, Default)]
struct Unpacked {
    /// By their numbers, the one used last at the end.
    pages: VecDeque<(usize, Arc<Values>)>,
    /// That of a row group.
    dictionary: Option<(usize, Values)>,
}

impl Unpacked {
    /// Lets go of the pages that were used longest ago, so that one of `size` bytes can be kept
    /// with those that stay.
    fn make_room(&mut self, size: u64) {
        let kept = |pages: &VecDeque<(usize, Arc<Values>)>| {
            pages
                .iter()
                .map(|(_, values)| values.weight() as u64)
                .sum::<u64>()
        };
        while self.pages.len() >= MOST_KEPT
            || !self.pages.is_empty() && kept(&self.pages).saturating_add(size) > KEPT
        {
            self.pages.pop_front();
        }
    }
}

impl Cells {
    /// Of a column by its number, which has a value for each row.
    pub(in crate::dataset) fn open(parquet: &Parquet, column: usize) -> Result<Self, String> {
        let (mut pages, mut dictionaries, mut first_row) = (Vec::new(), Vec::new(), 0);
        if let Some(of) = parquet.columns().get(column) {
            for (group, chunk) in parquet.footer.groups.iter().enumerate() {
                let Some(chunk) = chunk.get(column) else {
                    continue;
                };
                let (dictionary, found) = page::pages(&parquet.file, chunk, of)?;
                dictionaries.push(dictionary);
                for page in found {
                    let values = page.values;
                    pages.push(Located {
                        first_row,
                        group,
                        page,
                    });
                    first_row += values;
                }
            }
        }
        Ok(Self {
            column,
            pages,
            dictionaries,
            unpacked: Mutex::default(),
        })
    }

    /// Adds the bytes of the value of a row to `out`; says whether there is one.
    pub(in crate::dataset) fn read(
        &self,
        parquet: &Parquet,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, String> {
        let at = self
            .pages
            .partition_point(|page| page.first_row <= row as u64)
            .checked_sub(1)
            .ok_or("there is no such row")?;
        let first = self.pages.get(at).map_or(0, |page| page.first_row);
        let values = self.page(parquet, at)?;
        let value = values.get(row - first as usize);
        out.extend_from_slice(value.unwrap_or_default());
        Ok(value.is_some())
    }

    /// An unpacked page. Who else needs one waits, since it is mostly the same.
    fn page(&self, parquet: &Parquet, at: usize) -> Result<Arc<Values>, String> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = unpacked.pages.iter().position(|(own, _)| *own == at) {
            let found = unpacked
                .pages
                .remove(place)
                .ok_or("there is no such page")?;
            unpacked.pages.push_back(found.clone());
            return Ok(found.1);
        }
        let located = self.pages.get(at).ok_or("there is no such page")?;
        unpacked.make_room(located.page.size);
        let found = Arc::new(self.unpack(parquet, located, &mut unpacked)?);
        unpacked.pages.push_back((at, Arc::clone(&found)));
        Ok(found)
    }

    fn unpack(
        &self,
        parquet: &Parquet,
        located: &Located,
        unpacked: &mut Unpacked,
    ) -> Result<Values, String> {
        let column = parquet
            .columns()
            .get(self.column)
            .ok_or("there is no such column")?;
        let chunk = parquet
            .footer
            .groups
            .get(located.group)
            .and_then(|group| group.get(self.column))
            .ok_or("there is no such row group")?;
        if let Some(page) = self
            .dictionaries
            .get(located.group)
            .and_then(Option::as_ref)
            && unpacked
                .dictionary
                .as_ref()
                .is_none_or(|(group, _)| *group != located.group)
        {
            unpacked.dictionary = None;
            unpacked.dictionary = Some((
                located.group,
                page::dictionary(&parquet.file, page, chunk.codec, column)?,
            ));
        }
        let dictionary = unpacked
            .dictionary
            .as_ref()
            .filter(|(group, _)| *group == located.group)
            .map(|(_, values)| values);
        page::values(
            &parquet.file,
            &located.page,
            chunk.codec,
            column,
            dictionary,
        )
    }
}
