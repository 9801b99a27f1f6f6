//! Pack files → the stretch of each that counts, oldest first.
//!
//! The newest pack with a sound batch is the top. From there each header names the pack before it
//! and how many bytes of that one count, down to the base. Where a header is lost twice over
//! (header and preface), the next older pack is taken and judged by itself, and what cannot be
//! judged is reported as damage. Reading the stretches is left to [`super::replay`].

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::collections::BTreeMap;

use super::{
    Damage, Position,
    layout::{Flaw, HEAD, HEADER, Head, Header, STEP, pack_name},
    record::{ArchivedSealed, access, kind},
    scan::{Scan, Step, Window},
};
use crate::{Error, Result, store::medium::Medium};

/// Of packs of which nothing that counts is left.
const READ_AGAIN: &str = "run `wsidx sync`, which begins new ones and reads all files again";

/// What is known of a pack from its first bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    /// From the header, else from its copy in the preface.
    pub(super) header: Option<Header>,
    /// What is wrong with the header itself.
    pub(super) flaw: Option<Flaw>,
}

/// The end of what counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Top {
    /// The pack.
    pub(super) pack: u32,
    /// How many of its bytes count.
    pub(super) end: u64,
    /// Whether a batch may be appended right there.
    pub(super) clean: bool,
    /// Whether the pack has no batch yet.
    pub(super) bare: bool,
}

/// What counts of one pack: the records before `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) pack: u32,
    pub(super) end: u64,
    /// Bytes behind `end` of which nobody can say whether they counted.
    pub(super) doubtful: u64,
}

/// Reads the preface: the copy of the header, and the settings.
fn preface(medium: &dyn Medium, pack: u32) -> Result<Option<(Header, Vec<u8>)>> {
    let mut window = Window::open(medium, pack)?;
    let head = window
        .get(HEADER, HEAD)?
        .and_then(|bytes| Head::decode(bytes, pack, HEADER));
    let Some(head) = head.filter(|head| head.kind == kind::PREFACE) else {
        return Ok(None);
    };
    let payload = window
        .get(HEADER.saturating_add(HEAD), u64::from(head.len))?
        .filter(|payload| head.fits(payload));
    Ok(payload.and_then(|payload| {
        let header = Header::decode(payload, pack).ok()?;
        Some((header, payload.get(64..)?.to_vec()))
    }))
}

fn front(medium: &dyn Medium, pack: u32) -> Result<Front> {
    let mut window = Window::open(medium, pack)?;
    match Header::decode(window.get(0, HEADER)?.unwrap_or_default(), pack) {
        Ok(header) => Ok(Front {
            header: Some(header),
            flaw: None,
        }),
        Err(flaw) => Ok(Front {
            header: preface(medium, pack)?.map(|(header, _)| header),
            flaw: Some(flaw),
        }),
    }
}

/// Reads the first bytes of all packs.
pub(super) fn fronts(medium: &dyn Medium, packs: &[u32]) -> Result<BTreeMap<u32, Front>> {
    let mut fronts = BTreeMap::new();
    for &pack in packs {
        let front = front(medium, pack)?;
        if let Some(Flaw::Version(found)) = front.flaw {
            let what = format!(
                "{} has format version {found}, this wsidx reads {}",
                pack_name(pack),
                super::layout::VERSION
            );
            return Err(Error::Version {
                what,
                mend: super::MOVE_AWAY,
            });
        }
        fronts.insert(pack, front);
    }
    Ok(fronts)
}

/// The settings, from the newest pack that has them.
pub(super) fn settings(medium: &dyn Medium, fronts: &BTreeMap<u32, Front>) -> Result<Vec<u8>> {
    for &pack in fronts.keys().rev() {
        if let Some((_, settings)) = preface(medium, pack)? {
            return Ok(settings);
        }
    }
    let folder = medium.path("").display().to_string();
    if !fronts.is_empty()
        && fronts
            .values()
            .all(|front| front.flaw == Some(Flaw::Foreign))
    {
        return Err(Error::Version {
            what: format!("the .pack files in {folder} are not wsidx's"),
            mend: super::MOVE_AWAY,
        });
    }
    let what = if fronts.is_empty() {
        "no pack is left"
    } else {
        "no pack with settings is left"
    };
    Err(Error::Damaged {
        what: format!("{what} in {folder}"),
        mend: READ_AGAIN,
    })
}

/// Whether a file holds nothing that can be read: no preface, no record; so making it was never
/// acknowledged.
pub(super) fn is_void(medium: &dyn Medium, pack: u32) -> Result<bool> {
    if let Some(Flaw::Version(_)) = front(medium, pack)?.flaw {
        return Ok(false);
    }
    let end = Window::open(medium, pack)?.len();
    let mut scan = Scan::new(medium, pack, HEADER, end)?;
    while let Some((step, _)) = scan.step()? {
        if matches!(step, Step::Record(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The last commit met.
struct Last {
    start: u64,
    end: u64,
    intact: bool,
}

/// Where the last sound batch of a pack ends that is read from `from` on; `None` if there is none.
///
/// The batch of the very last commit must be whole, else it was being written when the power went,
/// and only the batches before it count. But if the file goes on behind that commit, a later write
/// had begun, so it had been acknowledged.
fn survey(medium: &dyn Medium, pack: u32, from: u64, header_sound: bool) -> Result<Option<u64>> {
    let len = Window::open(medium, pack)?.len();
    let mut scan = Scan::new(medium, pack, from, len)?;
    let mut damaged_to = if header_sound { 0 } else { HEADER };
    let mut last: Option<Last> = None;
    while let Some((step, window)) = scan.step()? {
        let found = match step {
            Step::Damage(damage) => {
                damaged_to = damage.end();
                continue;
            }
            Step::Record(found) if found.head.kind == kind::COMMIT => found,
            Step::Record(_) => continue,
        };
        let start = access::<ArchivedSealed>(Scan::payload(window, found)?)
            .map(|sealed| sealed.start.to_native());
        match start.filter(|&start| start <= found.offset && start.is_multiple_of(STEP)) {
            Some(start) => {
                last = Some(Last {
                    start,
                    end: found.next(),
                    intact: damaged_to <= start,
                });
            }
            None => damaged_to = found.next(),
        }
    }
    let known = (from > HEADER).then_some(from);
    Ok(match last {
        None => known,
        Some(last) if last.intact || last.end < len => Some(last.end),
        Some(last) if last.start > HEADER => Some(last.start),
        Some(_) => known,
    })
}

/// The packs of a medium with what is known of them.
#[derive(Clone, Copy)]
pub(super) struct Chain<'m> {
    pub(super) medium: &'m dyn Medium,
    pub(super) fronts: &'m BTreeMap<u32, Front>,
}

impl Chain<'_> {
    fn header(&self, pack: u32) -> Option<Header> {
        self.fronts.get(&pack).and_then(|front| front.header)
    }

    fn header_sound(&self, pack: u32) -> bool {
        self.fronts
            .get(&pack)
            .is_some_and(|front| front.flaw.is_none())
    }

    /// Length of a pack's file; 0 if there is none.
    pub(super) fn file_len(&self, pack: u32) -> Result<u64> {
        if self.fronts.contains_key(&pack) {
            Ok(Window::open(self.medium, pack)?.len())
        } else {
            Ok(0)
        }
    }

    /// Finds the end of what counts. A position where a reader once stopped spares reading the pack
    /// before it.
    ///
    /// Packs above without a sound batch were begun and never acknowledged, but they are witnesses:
    /// they were begun only after all that their headers count had become durable.
    pub(super) fn top(&self, known: Option<Position>) -> Result<Top> {
        let mut witness: Option<(u32, u64)> = None;
        for &pack in self.fronts.keys().rev() {
            if let Some((named, end)) = witness
                && named >= pack
            {
                return Ok(Top {
                    pack: named,
                    end,
                    clean: false,
                    bare: false,
                });
            }
            let len = self.file_len(pack)?;
            let from = known
                .filter(|known| known.pack == pack && known.offset <= len)
                .map_or(HEADER, |known| known.offset);
            if let Some(end) = survey(self.medium, pack, from, self.header_sound(pack))? {
                let clean = end == len && self.is_newest(pack) && self.header_sound(pack);
                return Ok(Top {
                    pack,
                    end,
                    clean,
                    bare: false,
                });
            }
            let append = self
                .header(pack)
                .filter(|header| !header.snapshot && header.previous != 0);
            witness = append
                .map(|header| (header.previous, header.previous_end))
                .or(witness);
        }
        self.bare_top(witness)
    }

    fn is_newest(&self, pack: u32) -> bool {
        self.fronts.keys().next_back() == Some(&pack)
    }

    /// The top of packs without any batch.
    fn bare_top(&self, witness: Option<(u32, u64)>) -> Result<Top> {
        if let Some((pack, end)) = witness {
            return Ok(Top {
                pack,
                end,
                clean: false,
                bare: false,
            });
        }
        if self.header(1).is_none_or(|header| header.snapshot) {
            let what = format!("no commit is left in {}", self.medium.path("").display());
            return Err(Error::Damaged {
                what,
                mend: READ_AGAIN,
            });
        }
        let len = self.file_len(1)?;
        let mut scan = Scan::new(self.medium, 1, HEADER, len)?;
        let sound = if let Some((Step::Record(found), _)) = scan.step()? {
            Some(found.next())
        } else {
            None
        };
        let clean = sound == Some(len) && self.is_newest(1) && self.header_sound(1);
        Ok(Top {
            pack: 1,
            end: sound.unwrap_or(HEADER),
            clean,
            bare: true,
        })
    }

    /// Number of the first pack that counts below this top.
    pub(super) fn base(&self, top: Top) -> u32 {
        let nearest = self
            .fronts
            .range(..=top.pack)
            .rev()
            .find_map(|(_, front)| front.header);
        nearest.map_or(1, |header| header.base)
    }

    /// The spans from the pack `stop` (or the base) to the top, oldest first.
    pub(super) fn spans(&self, top: Top, stop: Option<u32>) -> Result<Vec<Span>> {
        let base = self.base(top);
        let mut spans = vec![Span {
            pack: top.pack,
            end: top.end,
            doubtful: 0,
        }];
        while let Some(&Span { pack, .. }) = spans.last()
            && stop != Some(pack)
        {
            let next = match self.header(pack) {
                Some(header) if header.previous == 0 => break,
                Some(header) => Span {
                    pack: header.previous,
                    end: header.previous_end,
                    doubtful: 0,
                },
                None => match self.fronts.range(base..pack).next_back() {
                    Some((&older, _)) => self.unlinked(older, base)?,
                    None => break,
                },
            };
            spans.push(next);
        }
        spans.reverse();
        Ok(spans)
    }

    /// What counts of a pack whose successor is lost.
    fn unlinked(&self, pack: u32, base: u32) -> Result<Span> {
        let len = self.file_len(pack)?;
        let in_rewrite = self
            .header(pack)
            .is_some_and(|header| header.snapshot && header.base == base);
        let end = if in_rewrite {
            len
        } else {
            survey(self.medium, pack, HEADER, self.header_sound(pack))?.unwrap_or(0)
        };
        Ok(Span {
            pack,
            end,
            doubtful: len.saturating_sub(end),
        })
    }

    /// Where a torn tail begins, if there is one.
    pub(super) fn torn(&self, top: Top) -> Result<Option<Position>> {
        if self.file_len(top.pack)? > top.end {
            return Ok(Some(Position {
                pack: top.pack,
                offset: top.end,
            }));
        }
        let above = self.fronts.keys().find(|&&pack| pack > top.pack);
        Ok(above.map(|&pack| Position { pack, offset: 0 }))
    }

    /// What is wrong with the first 64 bytes of a pack that counts.
    pub(super) fn header_damage(&self, pack: u32) -> Option<Damage> {
        let flawed = self.fronts.contains_key(&pack) && !self.header_sound(pack);
        flawed.then_some(Damage {
            pack,
            offset: 0,
            len: HEADER,
        })
    }
}
