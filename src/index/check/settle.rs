//! A change whose past is not wholly here → the same, without what the index has seen before.

use crate::{Result, dataset::Change, index::Reader};

impl Reader {
    /// Takes from the files to be judged those that may have been there before the change and whose
    /// contents the index knows. Gives how many of them it does not know: they are judged as new.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`].
    pub fn settle(&self, change: &mut Change) -> Result<usize> {
        if change.kept.uncertain.is_empty() {
            return Ok(0);
        }
        let (mut uncertain, new): (Vec<_>, Vec<_>) = std::mem::take(&mut change.new)
            .into_iter()
            .partition(|file| change.kept.uncertain.contains(&file.path));
        change.new = new;
        uncertain.sort_by_key(|file| file.name);
        let names: Vec<_> = uncertain.iter().map(|file| file.name).collect();
        let mut known = vec![false; names.len()];
        self.view
            .rows_of_aliases(&names)?
            .into_iter()
            .for_each(|(at, _)| known[at] = true);
        let mut unknown = 0;
        for (file, known) in uncertain.into_iter().zip(known) {
            unknown += usize::from(!known);
            if known {
                change.base.push(file);
            } else {
                change.new.push(file);
            }
        }
        change.new.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(unknown)
    }
}
