//! Housekeeping: the packs without what nobody needs, and everything derived made again.

use super::{Published, Writer};
use crate::{
    Error, Result,
    feature::{Basis, SCALE},
    monitor::Monitor,
    store::{
        history::{aliases_record, path_record},
        packs::{Basis as StoredBasis, Place, Record, View as PackView},
        state::{ContentEntry, ContentId},
        view::View,
    },
};

/// What `gc` did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcSummary {
    /// Contents that were dropped.
    pub dropped: u64,
    /// Contents that stay.
    pub kept: u64,
    /// Bytes of the packs before and after.
    pub bytes: [u64; 2],
}

impl Writer {
    /// Drops contents that no path has held since before `older_than` (seconds since 1970), and rewrites the packs without them, without events
    /// that are older (but for the last one, whose number counts) and without history. Does nothing where there is no content to drop.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`]; the old packs then stand.
    pub fn gc(&mut self, older_than: i64, at: i64, monitor: &dyn Monitor) -> Result<GcSummary> {
        self.require_complete()?;
        let old = |entry: &ContentEntry| entry.unheld_since.is_some_and(|since| since < older_than);
        let dropped: Vec<ContentId> = self.state.contents().filter(|(_, entry)| old(entry)).map(|(id, _)| *id).collect();
        let before = self.pack_bytes()?;
        let mut summary = GcSummary { dropped: dropped.len() as u64, bytes: [before; 2], ..GcSummary::default() };
        if !dropped.is_empty() {
            monitor.stage("rewriting packs", None);
            dropped.iter().for_each(|id| self.state.forget(id));
            self.rewrite(older_than, at)?;
            self.publish_anew(false, at, monitor)?;
            summary.bytes[1] = self.pack_bytes()?;
        }
        summary.kept = self.state.stored();
        Ok(summary)
    }

    /// After damage, once every file was read again: packs without the damaged stretches.
    pub(super) fn mend(&mut self, at: i64) -> Result<()> {
        if self.state.missing().next().is_none() {
            self.mark.incomplete = false;
            self.rewrite(i64::MIN, at)?;
        }
        Ok(())
    }

    /// Where the events are that are not older, and the last one.
    fn events(&mut self, older_than: i64) -> Result<Vec<Place>> {
        let (mut events, mut last) = (Vec::new(), None);
        self.packs.replay(None, &mut |place, record| {
            if let PackView::Event(event) = record {
                last = Some(place);
                events.extend((event.at.to_native() >= older_than).then_some(place));
            }
            Ok(())
        })?;
        events.extend(last.filter(|last| events.last() != Some(last)));
        Ok(events)
    }

    /// New packs that hold the state, and the state with its new places.
    fn rewrite(&mut self, older_than: i64, at: i64) -> Result<()> {
        self.basis = self.published_basis();
        let events = self.events(older_than)?;
        let commit = self.next_commit(at);
        let old: Vec<_> = self.state.contents().map(|(id, entry)| (*id, entry.clone())).collect();
        let mut places: Vec<_> = old.iter().map(|(_, entry)| entry.place).collect();
        places.sort_unstable();
        let source = self.packs.reader();
        let fingerprint = |basis: &Basis| basis.fingerprint(&self.settings.layout(), self.settings.wavelet());
        let stored = |basis: &Basis| StoredBasis { columns: basis.columns.clone(), scale: SCALE, fingerprint: fingerprint(basis) };
        let contents = places.into_iter().map(|place| source.content(place).map(Record::Content));
        let basis: Vec<Record> = self.basis.iter().map(|basis| Record::Basis(stored(basis))).collect();
        let named = old.iter().filter(|(_, entry)| !entry.aliases.is_empty());
        let aliases: Vec<Record> = named.map(|(id, entry)| aliases_record(id, &entry.aliases)).collect();
        let paths = self.state.paths().iter().map(|(path, entry)| Ok(path_record(path, entry)));
        let events = events.into_iter().map(|place| source.event(place).map(Record::Event));
        self.packs.rewrite(&mut contents.chain(basis.into_iter().chain(aliases).map(Ok)).chain(paths).chain(events), &commit)?;
        self.rebuild_catalog()?;
        for (id, ContentEntry { unheld_since, .. }) in old {
            if let Some(new) = self.state.content(&id).filter(|new| new.unheld_since != unheld_since).cloned() {
                self.state.replace(id, ContentEntry { unheld_since, ..new });
            }
        }
        self.save()
    }

    /// Makes catalog and view again from the packs, without reading an image; with `refit` the search basis is chosen anew.
    ///
    /// # Errors
    /// [`Error::Damaged`] where records were lost: what is left is published, and `sync` reads the rest again.
    pub fn rebuild(&mut self, refit: bool, at: i64, monitor: &dyn Monitor) -> Result<Published> {
        monitor.stage("reading packs", None);
        self.rebuild_catalog()?;
        self.publish_anew(refit, at, monitor)
    }

    fn pack_bytes(&self) -> Result<u64> {
        let medium = self.home.packs()?;
        let bytes = || medium.list()?.iter().map(|name| medium.len(name)).sum::<std::io::Result<u64>>();
        bytes().map_err(Error::io("listing", &medium.path("")))
    }

    fn published_basis(&self) -> Option<Basis> {
        let view = View::open(&*self.home.view().ok()?).ok()?;
        Some(view.basis()).filter(|basis| basis.fitted)
    }
}
