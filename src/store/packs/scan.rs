//! One pack → its records in order, and where there are none: reads on behind damage at the next
//! valid record.
//!
//! Read through a window of bounded size and not through a map, so that a bad sector is an error
//! and not a signal. Each byte is hashed at most once, whatever the bytes are: a head carries its
//! own checksum, so that candidates are told apart without their payload.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use rkyv::util::AlignedVec;

use super::{
    Damage, MEND,
    layout::{HEAD, Head, STEP, pack_name, record_bytes},
};
use crate::{Error, Result, store::medium::Medium};

/// How much is read at once, at least.
const WINDOW: u64 = 256 << 10;

/// A part of a pack in memory.
pub(super) struct Window<'m> {
    medium: &'m dyn Medium,
    name: String,
    len: u64,
    start: u64,
    buffer: AlignedVec<16>,
}

impl<'m> Window<'m> {
    /// Opens a pack.
    pub(super) fn open(medium: &'m dyn Medium, pack: u32) -> Result<Self> {
        let name = pack_name(pack);
        let len = medium
            .len(&name)
            .map_err(Error::stored("reading", &medium.path(&name), MEND))?;
        Ok(Self {
            medium,
            name,
            len,
            start: 0,
            buffer: AlignedVec::new(),
        })
    }

    /// Length of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// `want` bytes at `offset`, a multiple of 16, aligned to 16 in memory; `None` if the file ends
    /// before.
    pub(super) fn get(&mut self, offset: u64, want: u64) -> Result<Option<&[u8]>> {
        if offset.checked_add(want).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        if self.range(offset, want).is_none() {
            self.fill(offset, want)?;
        }
        Ok(self
            .range(offset, want)
            .and_then(|range| self.buffer.get(range)))
    }

    fn range(&self, offset: u64, want: u64) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(usize::try_from(want).ok()?)?;
        (to <= self.buffer.len()).then_some(from..to)
    }

    fn fill(&mut self, offset: u64, want: u64) -> Result<()> {
        let len = want.max(WINDOW).min(self.len.saturating_sub(offset));
        let len = usize::try_from(len)
            .map_err(|_| Error::Input("a record is larger than the address space".into()))?;
        self.start = offset;
        self.buffer.resize(len, 0);
        let read = self.medium.read(&self.name, offset, &mut self.buffer);
        if read.is_err() {
            self.buffer.clear();
        }
        read.map_err(Error::stored(
            "reading",
            &self.medium.path(&self.name),
            MEND,
        ))
    }
}

/// One thing found in a pack.
pub(super) enum Step {
    /// A record with right checksums.
    Record(Found),
    /// Bytes that are no record.
    Damage(Damage),
}

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Offset of its head.
    pub(super) offset: u64,
    /// What its head says.
    pub(super) head: Head,
}

impl Found {
    /// Where the next record begins.
    pub(super) fn next(self) -> u64 {
        self.offset.saturating_add(record_bytes(self.head.len))
    }
}

/// Goes through the records of a pack from one offset to another.
pub(super) struct Scan<'m> {
    window: Window<'m>,
    pack: u32,
    at: u64,
    end: u64,
}

impl<'m> Scan<'m> {
    /// From `from` (a multiple of 16) to `end`, which may lie beyond the end of the file: then what
    /// is missing is damage.
    pub(super) fn new(medium: &'m dyn Medium, pack: u32, from: u64, end: u64) -> Result<Self> {
        Ok(Self {
            window: Window::open(medium, pack)?,
            pack,
            at: from,
            end,
        })
    }

    /// The next thing, with the window to read it from; `None` at the end.
    pub(super) fn step(&mut self) -> Result<Option<(Step, &mut Window<'m>)>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        if let Some(found) = self.sound_record(start)? {
            self.at = found.next();
            return Ok(Some((Step::Record(found), &mut self.window)));
        }
        self.at = self.behind_damage(start)?;
        let damage = Damage {
            pack: self.pack,
            offset: start,
            len: self.at.saturating_sub(start),
        };
        Ok(Some((Step::Damage(damage), &mut self.window)))
    }

    /// Payload of a record that was found; empty if it cannot be read again.
    pub(super) fn payload<'w>(window: &'w mut Window<'m>, found: Found) -> Result<&'w [u8]> {
        let payload = window.get(found.offset.saturating_add(HEAD), u64::from(found.head.len))?;
        Ok(payload.unwrap_or_default())
    }

    fn head(&mut self, offset: u64) -> Result<Option<Found>> {
        let pack = self.pack;
        let head = self
            .window
            .get(offset, HEAD)?
            .and_then(|bytes| Head::decode(bytes, pack, offset));
        let end = self.end;
        Ok(head
            .map(|head| Found { offset, head })
            .filter(|found| found.next() <= end))
    }

    fn sound_record(&mut self, offset: u64) -> Result<Option<Found>> {
        let Some(found) = self.head(offset)? else {
            return Ok(None);
        };
        let payload = self
            .window
            .get(offset.saturating_add(HEAD), u64::from(found.head.len))?;
        Ok(payload
            .is_some_and(|payload| found.head.fits(payload))
            .then_some(found))
    }

    /// Where to read on: behind the record if its head is sound, else at the next sound head.
    fn behind_damage(&mut self, start: u64) -> Result<u64> {
        if let Some(found) = self.head(start)? {
            return Ok(found.next());
        }
        let mut at = start.saturating_add(STEP);
        while at.saturating_add(HEAD) <= self.end.min(self.window.len()) {
            if self.head(at)?.is_some() {
                return Ok(at);
            }
            at = at.saturating_add(STEP);
        }
        Ok(self.end)
    }
}
