//! Records → packs: appending batches, and rewriting everything that counts into new packs.
//!
//! The order of writes and syncs is what makes a crash harmless; it is argued at each step. A
//! number is never used again, so that stale blocks of a removed pack cannot pass for records of a
//! new one.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::sync::Arc;

use super::{
    Commit, Packs, Place, Position, Record,
    chain::{self, Front, Top},
    layout::{Head, Header, MAX_PACK, MAX_PAYLOAD, aligned, pack_name},
    numbers,
    record::{Sealed, kind},
};
use crate::{Error, Result, store::medium::Medium};

/// Bytes that are gathered before they are handed to the medium.
const CHUNK: usize = 8 << 20;

/// The growing end of one pack.
struct Sink<'m> {
    medium: &'m dyn Medium,
    pack: u32,
    name: String,
    written: u64,
    gathered: Vec<u8>,
}

impl<'m> Sink<'m> {
    /// Goes on behind `end`.
    fn at(medium: &'m dyn Medium, pack: u32, end: u64) -> Self {
        Self {
            medium,
            pack,
            name: pack_name(pack),
            written: end,
            gathered: Vec::new(),
        }
    }

    /// Begins a pack. Not durable yet.
    fn begin(medium: &'m dyn Medium, header: Header, settings: &[u8]) -> Result<Self> {
        let mut sink = Self::at(medium, header.pack, 0);
        medium
            .create(&sink.name)
            .map_err(Error::io("creating", &medium.path(&sink.name)))?;
        let header = header.encode();
        sink.gathered.extend_from_slice(&header);
        sink.push(kind::PREFACE, &[&header, settings].concat())?;
        Ok(sink)
    }

    fn end(&self) -> u64 {
        self.written.saturating_add(self.gathered.len() as u64)
    }

    fn push(&mut self, kind: u8, payload: &[u8]) -> Result<Place> {
        let (pack, offset) = (self.pack, self.end());
        let head = Head::of(kind, payload).ok_or_else(|| too_large(payload.len() as u64))?;
        self.gathered.extend(head.encode(pack, offset));
        self.gathered.extend_from_slice(payload);
        self.gathered.resize(
            usize::try_from(aligned(self.gathered.len() as u64)).unwrap_or_default(),
            0,
        );
        if self.gathered.len() >= CHUNK {
            self.flush()?;
        }
        Ok(Place {
            pack,
            offset,
            len: head.len,
        })
    }

    fn push_record(&mut self, record: &Record) -> Result<Place> {
        let (kind, payload) = record.encode().map_err(Error::Input)?;
        self.push(kind, &payload)
    }

    fn push_commit(&mut self, commit: &Commit, start: u64) -> Result<Place> {
        self.push(
            kind::COMMIT,
            &Sealed {
                commit: commit.clone(),
                start,
            }
            .encode()
            .map_err(Error::Input)?,
        )
    }

    fn flush(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.medium
                .append(&self.name, &self.gathered)
                .map_err(Error::io("appending to", &self.medium.path(&self.name)))?;
        }
        self.written = self.end();
        self.gathered.clear();
        Ok(())
    }

    /// Makes all of the pack durable, except its name.
    fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.medium
            .sync(&self.name)
            .map_err(Error::io("syncing", &self.medium.path(&self.name)))
    }
}

fn too_large(len: u64) -> Error {
    Error::Input(format!(
        "a record of {len} bytes is too large; at most {MAX_PAYLOAD} are stored"
    ))
}

fn sync_folder(medium: &dyn Medium) -> Result<()> {
    medium
        .sync_folder()
        .map_err(Error::io("syncing", &medium.path("")))
}

/// Makes the first pack, durable.
pub(super) fn first_pack(medium: &dyn Medium, settings: &[u8]) -> Result<()> {
    let header = Header {
        pack: 1,
        base: 1,
        previous: 0,
        previous_end: 0,
        snapshot: false,
    };
    Sink::begin(medium, header, settings)?.sync()?;
    sync_folder(medium)
}

impl Packs {
    /// Appends a batch and its commit. Durable on return. Places are those of the records, in
    /// order.
    ///
    /// One or few writes and one sync; one sync of the folder more if a pack is begun: when the
    /// pack has become too large, or ends in a torn tail. If the handle has not replayed, the
    /// newest pack is read first.
    ///
    /// # Errors
    /// [`Error::Input`] if a record is over 64 MiB (nothing is written then); [`Error::Io`]: it is
    /// not known whether the batch counts, all later calls fail, and the packs must be opened
    /// again.
    pub fn append(&mut self, batch: &[Record], commit: &Commit) -> Result<Vec<Place>> {
        self.sound()?;
        if let Some(weight) = batch
            .iter()
            .map(Record::weight)
            .find(|&weight| weight > MAX_PAYLOAD)
        {
            return Err(too_large(weight));
        }
        self.or_poison(|packs| packs.append_batch(batch, commit))
    }

    /// Writes all that counts anew, ending in `commit`: for `gc`, and to be rid of damage. The
    /// packs before it stay, for those who read them, until [`Packs::clear`].
    ///
    /// A crash at any point leaves the state before or the state after. Places change: replay from
    /// the base. Needs as much free space as the new packs take. `records` may read through a
    /// [`Reader`](super::Reader) of these packs.
    ///
    /// # Errors
    /// As [`Packs::append`], and those of `records`; all later calls fail then, and what counted
    /// before still counts.
    pub fn rewrite(
        &mut self,
        records: &mut dyn Iterator<Item = Result<Record>>,
        commit: &Commit,
    ) -> Result<()> {
        self.sound()?;
        self.or_poison(|packs| packs.rewrite_all(records, commit))
    }

    /// Begins packs where nothing is left of others, or none that counts: an empty state, above all
    /// files that are there. Durable on return.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`] where no number is left.
    pub fn begin_anew(medium: Arc<dyn Medium>, settings: &[u8]) -> Result<Self> {
        let fronts = chain::fronts(&*medium, &numbers(&*medium)?)?;
        let max_pack_bytes = Self::MAX_PACK_BYTES;
        let mut packs = Self {
            medium,
            settings: settings.to_vec(),
            max_pack_bytes,
            fronts,
            top: None,
            settled: true,
            poisoned: false,
        };
        let nothing = Commit {
            generation: 0,
            at: 0,
            contents: 0,
            paths: 0,
            state: 0,
        };
        let top = packs.write_snapshot(&mut std::iter::empty(), &nothing)?;
        packs.append_batch_behind(top, &nothing)?;
        Ok(packs)
    }

    /// Removes the packs that a rewrite has replaced.
    ///
    /// # Errors
    /// [`Error::Io`]; all later calls fail then.
    pub fn clear(&mut self) -> Result<()> {
        self.sound()?;
        self.or_poison(|packs| {
            let top = packs.settled_top()?;
            let base = packs.chain().base(top);
            let replaced: Vec<u32> = packs.fronts.range(..base).map(|(&pack, _)| pack).collect();
            // Without its base the chain says nothing of what is below.
            if packs.fronts.contains_key(&base) {
                packs.remove(&replaced)
            } else {
                Ok(())
            }
        })
    }

    /// Makes durable what a writer that died may have left unsynced: cheap, once per handle; every
    /// write does it first.
    ///
    /// # Errors
    /// [`Error::Damaged`] if no commit is left at all, [`Error::Io`]; all later calls fail then.
    pub fn settle(&mut self) -> Result<()> {
        self.sound()?;
        self.or_poison(|packs| packs.settled_top().map(|_| ()))
    }

    /// The end of what counts: where the next replay may go on. The newest pack is read if the
    /// handle has not replayed or written.
    ///
    /// # Errors
    /// [`Error::Damaged`] if no commit is left at all, [`Error::Io`], and after a failed write.
    pub fn end(&mut self) -> Result<Position> {
        self.sound()?;
        let top = self.known_top()?;
        Ok(Position {
            pack: top.pack,
            offset: top.end,
        })
    }

    fn or_poison<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = write(self);
        self.poisoned = result.is_err();
        result
    }

    fn known_top(&mut self) -> Result<Top> {
        let top = self.top.map_or_else(|| self.chain().top(None), Ok)?;
        self.top = Some(top);
        Ok(top)
    }

    /// What a killed writer left may look whole and be in memory only. It is made durable before
    /// anything is built on it: only then may a header count it, or a pack below it be removed.
    fn settled_top(&mut self) -> Result<Top> {
        let top = self.known_top()?;
        if !self.settled {
            if self.fronts.contains_key(&top.pack) {
                Sink::at(&*self.medium, top.pack, top.end).sync()?;
            }
            sync_folder(&*self.medium)?;
            self.settled = true;
        }
        Ok(top)
    }

    /// The number of the next pack: above all files, whether they count or not.
    fn next_number(&self) -> Result<u32> {
        let last = self.fronts.keys().next_back().copied().unwrap_or_default();
        last.checked_add(1)
            .filter(|&next| next <= MAX_PACK)
            .ok_or_else(|| Error::Damaged {
                what: "the numbers of packs are used up".into(),
                mend: super::MOVE_AWAY,
            })
    }

    /// Notes a pack that this handle has made.
    fn add_front(&mut self, header: Header) {
        self.fronts.insert(
            header.pack,
            Front {
                header: Some(header),
                flaw: None,
            },
        );
    }

    fn append_batch(&mut self, batch: &[Record], commit: &Commit) -> Result<Vec<Place>> {
        let top = self.settled_top()?;
        let base = self.chain().base(top);
        let grown = batch
            .iter()
            .fold(top.end, |sum, record| sum.saturating_add(record.weight()));
        let header = if top.clean
            && (top.bare || grown <= self.max_pack_bytes)
            && self.chain().file_len(top.pack)? == top.end
        {
            None
        } else {
            let pack = self.next_number()?;
            Some(Header {
                pack,
                base,
                previous: top.pack,
                previous_end: top.end,
                snapshot: false,
            })
        };
        let medium = &*self.medium;
        let mut sink = match header {
            None => Sink::at(medium, top.pack, top.end),
            Some(header) => Sink::begin(medium, header, &self.settings)?,
        };
        let start = if header.is_some() || top.bare {
            0
        } else {
            top.end
        };
        let places = batch
            .iter()
            .map(|record| sink.push_record(record))
            .collect::<Result<Vec<_>>>()?;
        sink.push_commit(commit, start)?;
        sink.sync()?;
        if header.is_some() {
            sync_folder(medium)?;
        }
        self.top = Some(Top {
            pack: sink.pack,
            end: sink.end(),
            clean: true,
            bare: false,
        });
        if let Some(header) = header {
            self.add_front(header);
        }
        if let Some(header) = header {
            self.remove_given_up(header)?;
        }
        Ok(places)
    }

    /// Removes packs of a rewrite that was given up (and empty ones): they lie between a new pack
    /// and the one before it.
    fn remove_given_up(&mut self, new: Header) -> Result<()> {
        let mut left = Vec::new();
        for (&pack, front) in self.fronts.range(new.previous.saturating_add(1)..new.pack) {
            if front.header.is_some_and(|header| header.snapshot)
                || self.chain().file_len(pack)? == 0
            {
                left.push(pack);
            }
        }
        self.remove(&left)
    }

    fn remove(&mut self, packs: &[u32]) -> Result<()> {
        for &pack in packs {
            let name = pack_name(pack);
            self.medium
                .remove(&name)
                .map_err(Error::io("removing", &self.medium.path(&name)))?;
            self.fronts.remove(&pack);
        }
        Ok(())
    }

    fn rewrite_all(
        &mut self,
        records: &mut dyn Iterator<Item = Result<Record>>,
        commit: &Commit,
    ) -> Result<()> {
        self.settled_top()?;
        let top = self.write_snapshot(records, commit)?;
        self.top = Some(top);
        // The whole index hangs on that one commit now, so it is written twice; nothing is removed
        // before both are durable.
        self.append_batch_behind(top, commit)
    }

    /// The new packs. Until the commit at the end of the last one is written, none of them has any,
    /// so none counts; it is written when all else, names included, is durable.
    fn write_snapshot(
        &mut self,
        records: &mut dyn Iterator<Item = Result<Record>>,
        commit: &Commit,
    ) -> Result<Top> {
        let base = self.next_number()?;
        let mut header = Header {
            pack: base,
            base,
            previous: 0,
            previous_end: 0,
            snapshot: true,
        };
        let medium = Arc::clone(&self.medium);
        self.add_front(header);
        let mut sink = Sink::begin(&*medium, header, &self.settings)?;
        let first = sink.end();
        for record in records {
            let record = record?;
            if sink.end() > first
                && sink.end().saturating_add(record.weight()) > self.max_pack_bytes
            {
                sink.sync()?;
                header = Header {
                    pack: self.next_number()?,
                    previous: sink.pack,
                    previous_end: sink.end(),
                    ..header
                };
                self.add_front(header);
                sink = Sink::begin(&*medium, header, &self.settings)?;
            }
            sink.push_record(&record)?;
        }
        sink.sync()?;
        sync_folder(&*medium)?;
        sink.push_commit(commit, 0)?;
        sink.sync()?;
        Ok(Top {
            pack: sink.pack,
            end: sink.end(),
            clean: true,
            bare: false,
        })
    }

    fn append_batch_behind(&mut self, top: Top, commit: &Commit) -> Result<()> {
        let mut sink = Sink::at(&*self.medium, top.pack, top.end);
        sink.push_commit(commit, top.end)?;
        sink.sync()?;
        self.top = Some(Top {
            end: sink.end(),
            ..top
        });
        Ok(())
    }
}
