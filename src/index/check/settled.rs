//! Files that a watcher has read already → verdicts, as a check of them gives.

use super::{CheckItem, CheckOptions, Checked, Read, base::Base};
use crate::{Result, dataset::Unread, index::Reader, monitor::Monitor, verdict::Occurrence};

/// A file that has settled: what it is called, and what was read of it.
pub(in crate::index) struct Settled {
    pub(in crate::index) item: CheckItem,
    pub(in crate::index) named: Occurrence,
    pub(in crate::index) read: std::result::Result<Read, Unread>,
}

impl Reader {
    /// Judges files, sorted by their paths, as [`Reader::check`] does, against the published
    /// dataset without their paths and without those that leave with them.
    ///
    /// # Errors
    /// As [`Reader::check`].
    pub(in crate::index) fn check_settled(
        &self,
        settled: Vec<Settled>,
        gone: &[&[u8]],
        options: &CheckOptions,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Checked>> {
        let (mut items, mut named, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for file in settled {
            items.push(file.item);
            named.push(file.named);
            read.push(file.read);
        }
        let base = Base::published(self, &items, gone)?;
        self.judge(items, &named, read, 0, &base, options, monitor)
    }
}
