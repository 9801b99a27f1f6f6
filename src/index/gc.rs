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
        view::read_manifest,
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
    /// Drops contents that no path has held since before `older_than` (seconds since 1970), and
    /// rewrites the packs without them, without events that are older (but for the last one, whose
    /// number counts) and without history. Does nothing where there is no content to drop.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`]; the old packs then stand.
    pub fn gc(&mut self, older_than: i64, at: i64, monitor: &dyn Monitor) -> Result<GcSummary> {
        self.require_complete()?;
        let old = |entry: &ContentEntry| entry.unheld_since.is_some_and(|since| since < older_than);
        let dropped: Vec<ContentId> = self
            .state
            .contents()
            .filter(|(_, entry)| old(entry))
            .map(|(id, _)| *id)
            .collect();
        let before = self.pack_bytes()?;
        let mut summary = GcSummary {
            dropped: dropped.len() as u64,
            bytes: [before; 2],
            ..GcSummary::default()
        };
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
        let old: Vec<_> = self
            .state
            .contents()
            .map(|(id, entry)| (*id, entry.clone()))
            .collect();
        let mut places: Vec<_> = old.iter().map(|(_, entry)| entry.place).collect();
        places.sort_unstable();
        let source = self.packs.reader();
        let fingerprint =
            |basis: &Basis| basis.fingerprint(&self.settings.layout(), self.settings.wavelet());
        let stored = |basis: &Basis| StoredBasis {
            columns: basis.columns.clone(),
            scale: SCALE,
            fingerprint: fingerprint(basis),
        };
        let contents = places
            .into_iter()
            .map(|place| source.content(place).map(Record::Content));
        let basis: Vec<Record> = self
            .basis
            .iter()
            .map(|basis| Record::Basis(stored(basis)))
            .collect();
        let named = old.iter().filter(|(_, entry)| !entry.aliases.is_empty());
        let aliases: Vec<Record> = named
            .map(|(id, entry)| aliases_record(id, &entry.aliases))
            .collect();
        let paths = self
            .state
            .paths()
            .iter()
            .map(|(path, entry)| Ok(path_record(path, entry)));
        let events = events
            .into_iter()
            .map(|place| source.event(place).map(Record::Event));
        self.packs.rewrite(
            &mut contents
                .chain(basis.into_iter().chain(aliases).map(Ok))
                .chain(paths)
                .chain(events),
            &commit,
        )?;
        self.rebuild_catalog()?;
        for (id, ContentEntry { unheld_since, .. }) in old {
            if let Some(new) = self
                .state
                .content(&id)
                .filter(|new| new.unheld_since != unheld_since)
                .cloned()
            {
                self.state.replace(
                    id,
                    ContentEntry {
                        unheld_since,
                        ..new
                    },
                );
            }
        }
        self.save()
    }

    /// Makes catalog and view again from the packs, without reading an image; with `refit` the
    /// search basis is chosen anew.
    ///
    /// # Errors
    /// [`Error::Damaged`] where records were lost: what is left is published, and `sync` reads the
    /// rest again.
    pub fn rebuild(&mut self, refit: bool, at: i64, monitor: &dyn Monitor) -> Result<Published> {
        monitor.stage("reading packs", None);
        self.rebuild_catalog()?;
        self.publish_anew(refit, at, monitor)
    }

    fn pack_bytes(&self) -> Result<u64> {
        let medium = self.home.packs()?;
        let bytes = || {
            medium
                .list()?
                .iter()
                .map(|name| medium.len(name))
                .sum::<std::io::Result<u64>>()
        };
        bytes().map_err(Error::io("listing", &medium.path("")))
    }

    fn published_basis(&self) -> Option<Basis> {
        let manifest = read_manifest(&*self.home.view().ok()?).ok()?;
        manifest.fitted.then_some(Basis {
            columns: manifest.basis,
            fitted: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        index::{Home, InitOptions, Reader, SyncOptions, create, rows::has_packs_of, survey},
        monitor::Silent,
        picture::Limits,
        store::view::View,
    };

    fn write(root: &Path, number: u8) {
        let samples: Vec<u8> = (0..192_u32)
            .map(|i| ((i * i * u32::from(2 * number + 1)) >> 3) as u8)
            .collect();
        fs::write(
            root.join(format!("{number}.ppm")),
            [&b"P6 8 8 255\n"[..], &samples].concat(),
        )
        .unwrap();
    }

    /// An index of nine images of which three have left.
    fn dataset() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        (0..12).for_each(|number| write(tree.path(), number));
        let survey = survey(tree.path(), &Silent).unwrap();
        create(
            tree.path(),
            &survey,
            &InitOptions::default(),
            "test",
            0,
            &Silent,
        )
        .unwrap();
        sync(tree.path());
        (0..3)
            .for_each(|number| fs::remove_file(tree.path().join(format!("{number}.ppm"))).unwrap());
        sync(tree.path());
        tree
    }

    fn open(root: &Path) -> Writer {
        Writer::open(root, "test", true, &Silent).unwrap()
    }

    fn sync(root: &Path) {
        open(root)
            .sync(
                &SyncOptions {
                    at: 5,
                    ..SyncOptions::default()
                },
                &Silent,
            )
            .unwrap();
    }

    fn assert_sound(root: &Path) {
        let found = open(root)
            .verify(true, &Limits::default(), &Silent)
            .unwrap();
        assert_eq!((found.problems, found.contents), (Vec::<String>::new(), 9));
    }

    /// What `gc` does before it publishes.
    fn interrupted(root: &Path) {
        let mut writer = open(root);
        let dropped: Vec<_> = writer
            .state
            .contents()
            .filter(|(_, entry)| entry.unheld_since.is_some())
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(dropped.len(), 3);
        dropped.iter().for_each(|id| writer.state.forget(id));
        writer.rewrite(9, 9).unwrap();
    }

    #[test]
    fn a_gc_that_is_interrupted_before_the_view_is_published_is_finished_by_the_next_sync() {
        let tree = dataset();
        interrupted(tree.path());
        assert_eq!(
            Reader::open(tree.path()).unwrap().view().rows(),
            12,
            "the old view still has its packs"
        );
        sync(tree.path());
        assert_sound(tree.path());
    }

    #[test]
    fn a_view_whose_packs_are_gone_is_made_again_by_sync() {
        let tree = dataset();
        // Without this the view would still be made again, since it has rows of contents that were
        // dropped.
        let view_has_its_packs = || {
            let home = Home::new(tree.path());
            has_packs_of(
                &View::open(&*home.view().unwrap()).unwrap(),
                &home.open_packs().unwrap(),
            )
        };
        assert!(view_has_its_packs());
        interrupted(tree.path());
        // As the version before left it: the packs that the view names were removed.
        let packs = tree.path().join(".wsidx/packs");
        let mut names: Vec<_> = fs::read_dir(&packs)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        names[..names.len() - 1]
            .iter()
            .for_each(|name| fs::remove_file(name).unwrap());
        assert!(!view_has_its_packs());
        sync(tree.path());
        assert!(view_has_its_packs());
        assert_sound(tree.path());
    }

    #[test]
    fn contents_that_damage_took_and_nobody_has_leave_the_view_when_the_packs_are_mended() {
        let tree = dataset();
        // All packs but their headers and what follows the last content: the images that left
        // cannot be read again.
        let pack = tree.path().join(".wsidx/packs/00000001.pack");
        let mut bytes = fs::read(&pack).unwrap();
        let at = bytes.len() / 4;
        bytes[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
        fs::write(&pack, bytes).unwrap();
        fs::remove_dir_all(tree.path().join(".wsidx/catalog")).unwrap();
        sync(tree.path());
        let found = open(tree.path())
            .verify(true, &Limits::default(), &Silent)
            .unwrap();
        assert_eq!(found.problems, Vec::<String>::new());
    }
}
