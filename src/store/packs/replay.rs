//! Packs → every committed record in order, with what is damaged; and one record by its place.
//!
//! Which packs and bytes count is decided by [`super::chain`].

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::sync::Arc;

use rkyv::util::AlignedVec;

use super::{
    Commit, Content, Damage, Event, MEND, Packs, Place, Position, Record, View,
    chain::{Chain, Span, Top},
    layout::{HEAD, HEADER, Head, MAX_PAYLOAD, STEP, pack_name, record_bytes},
    record::kind,
    scan::{Found, Scan, Step, Window},
};
use crate::{Error, Result, store::medium::Medium};

/// What a replay met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The end of what counts; the next replay may begin here.
    pub end: Position,
    /// The last commit visited; `None` if there was none.
    pub commit: Option<Commit>,
    /// Bytes that count and are lost, in order. The affected records were not visited.
    pub damage: Vec<Damage>,
    /// Where a batch begins that was never finished, or an acknowledged one at the very end that
    /// was damaged since. Nothing of it was visited; the next append begins a new pack. Usual after
    /// a crash.
    pub torn: Option<Position>,
}

impl Replay {
    fn note(&mut self, damage: Damage) {
        match self.damage.last_mut() {
            Some(last) if last.pack == damage.pack && last.end() == damage.offset => {
                last.len = last.len.saturating_add(damage.len);
            }
            _ if damage.len > 0 => self.damage.push(damage),
            _ => {}
        }
    }
}

/// What is called with each record.
type Visit<'v> = dyn FnMut(Place, View<'_>) -> Result<()> + 'v;

impl Packs {
    /// Visits every committed record from a position on (from the base if `None`), in the order of
    /// writing.
    ///
    /// One pass over the bytes, and a second one over the newest pack from that position; memory is
    /// bounded by the largest record. The visitor sees records as they lie in the pack, so the code
    /// of a content costs nothing if it is not looked at. An error of the visitor ends the replay.
    /// What is visited was written but, after a crash of the writer only, may not be durable yet:
    /// whoever makes other files depend on it calls [`Packs::settle`] first.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the position is not [reached](Packs::reaches) or no commit is left at
    /// all, [`Error::Version`] if a record is of a kind that this version does not know,
    /// [`Error::Io`], those of the visitor, and after a failed write.
    pub fn replay(&mut self, from: Option<Position>, visit: &mut Visit<'_>) -> Result<Replay> {
        self.sound()?;
        let (top, spans) = self.reach(from)?.ok_or_else(|| self.not_reached(from))?;
        let chain = self.chain();
        let end = Position {
            pack: top.pack,
            offset: top.end,
        };
        let mut replay = Replay {
            end,
            commit: None,
            damage: Vec::new(),
            torn: chain.torn(top)?,
        };
        for span in spans {
            let start = from
                .filter(|from| from.pack == span.pack)
                .map_or(HEADER, |from| from.offset);
            if start == HEADER {
                chain
                    .header_damage(span.pack)
                    .into_iter()
                    .for_each(|damage| replay.note(damage));
            }
            visit_span(chain, span, start, &mut replay, visit)?;
        }
        self.top = Some(top);
        Ok(replay)
    }

    /// Whether a position where an earlier replay ended can be gone on from. It cannot after a
    /// rewrite, or if packs were cut or lost: then replay from the base, and compare the commit's
    /// generation.
    ///
    /// # Errors
    /// [`Error::Damaged`] if no commit is left at all, [`Error::Io`], and after a failed write.
    pub fn reaches(&self, position: Position) -> Result<bool> {
        self.sound()?;
        Ok(self.reach(Some(position))?.is_some())
    }

    /// Where a replay may begin that is to visit every event above a number: in the newest pack
    /// whose first event is none of those behind the next one; `None`: at the base. Of the packs
    /// from there on it reads what comes before their first events.
    ///
    /// # Errors
    /// As [`Packs::reaches`].
    pub fn before_events(&self, after: u64) -> Result<Option<Position>> {
        self.sound()?;
        let spans = if after == 0 { None } else { self.reach(None)? };
        for span in spans.iter().flat_map(|(_, spans)| spans).rev() {
            if first_event(self.chain(), *span)?
                .is_some_and(|first| first <= after.saturating_add(1))
            {
                return Ok(Some(Position {
                    pack: span.pack,
                    offset: HEADER,
                }));
            }
        }
        Ok(None)
    }

    pub(super) fn chain(&self) -> Chain<'_> {
        Chain {
            medium: &*self.medium,
            fronts: &self.fronts,
        }
    }

    fn reach(&self, from: Option<Position>) -> Result<Option<(Top, Vec<Span>)>> {
        if from.is_some_and(|from| from.offset < HEADER || !from.offset.is_multiple_of(STEP)) {
            return Ok(None);
        }
        let top = self.chain().top(from)?;
        let spans = self.chain().spans(top, from.map(|from| from.pack))?;
        let reached = from.is_none_or(|from| {
            spans
                .first()
                .is_some_and(|span| span.pack == from.pack && from.offset <= span.end)
        });
        Ok(reached.then_some((top, spans)))
    }

    fn not_reached(&self, from: Option<Position>) -> Error {
        let at = from.map_or(String::new(), |at| {
            format!(" {} of {}", at.offset, pack_name(at.pack))
        });
        Error::Damaged {
            what: format!(
                "the packs in {} do not reach offset{at}",
                self.medium.path("").display()
            ),
            mend: "run `wsidx rebuild`",
        }
    }
}

fn visit_span(
    chain: Chain<'_>,
    span: Span,
    start: u64,
    replay: &mut Replay,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let Span {
        pack,
        end,
        doubtful,
    } = span;
    if chain.fronts.contains_key(&pack) {
        let mut scan = Scan::new(chain.medium, pack, start, end)?;
        while let Some((step, window)) = scan.step()? {
            match step {
                Step::Damage(damage) => replay.note(damage),
                Step::Record(found) => visit_record(pack, found, window, replay, visit)?,
            }
        }
    } else {
        replay.note(Damage {
            pack,
            offset: 0,
            len: end,
        });
    }
    replay.note(Damage {
        pack,
        offset: end,
        len: doubtful,
    });
    Ok(())
}

/// The number of the first event in a pack.
fn first_event(chain: Chain<'_>, span: Span) -> Result<Option<u64>> {
    if !chain.fronts.contains_key(&span.pack) {
        return Ok(None);
    }
    let mut scan = Scan::new(chain.medium, span.pack, HEADER, span.end)?;
    while let Some((step, window)) = scan.step()? {
        let Step::Record(found) = step else { continue };
        if found.head.kind == kind::EVENT
            && let Some(View::Event(event)) =
                View::decode(found.head.kind, Scan::payload(window, found)?)
        {
            return Ok(Some(event.seq.to_native()));
        }
    }
    Ok(None)
}

fn visit_record(
    pack: u32,
    found: Found,
    window: &mut Window<'_>,
    replay: &mut Replay,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let Found { offset, head } = found;
    match head.kind {
        kind::PREFACE => return Ok(()),
        kind::CONTENT..=kind::EVENT => {}
        unknown => {
            let what = format!(
                "{} holds a record of the unknown kind {unknown} at offset {offset}",
                pack_name(pack)
            );
            return Err(Error::Version {
                what,
                mend: super::MOVE_AWAY,
            });
        }
    }
    let Some(view) = View::decode(head.kind, Scan::payload(window, found)?) else {
        replay.note(Damage {
            pack,
            offset,
            len: record_bytes(head.len),
        });
        return Ok(());
    };
    if let View::Commit(commit) = view {
        replay.commit = Some(commit.to_commit());
    }
    visit(
        Place {
            pack,
            offset,
            len: head.len,
        },
        view,
    )
}

fn lost(place: Place) -> Error {
    let what = format!(
        "no sound record at offset {} of {}",
        place.offset,
        pack_name(place.pack)
    );
    Error::Damaged { what, mend: MEND }
}

/// Reads single records by their places, from any number of threads, while a writer appends.
#[derive(Clone)]
pub struct Reader {
    medium: Arc<dyn Medium>,
}

impl Reader {
    /// A reader of the packs on this medium.
    #[must_use]
    pub fn new(medium: Arc<dyn Medium>) -> Self {
        Self { medium }
    }

    /// Keeps all packs that are there now readable for as long as this reader is (up to 512 of
    /// them), whoever removes them.
    ///
    /// # Errors
    /// [`Error::Io`]; not found: a pack was removed at this moment.
    pub fn hold(&self) -> Result<()> {
        for name in super::numbers(&*self.medium)?.into_iter().map(pack_name) {
            self.medium.len(&name).map_err(Error::stored(
                "opening",
                &self.medium.path(&name),
                MEND,
            ))?;
        }
        Ok(())
    }

    /// Reads one content: one read of the record, checksum and archive checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is not exactly this record at this place, [`Error::Io`].
    pub fn content(&self, place: Place) -> Result<Content> {
        match self.record(place, kind::CONTENT)? {
            Record::Content(content) => Ok(content),
            _ => Err(lost(place)),
        }
    }

    /// Reads one event, as [`Reader::content`].
    ///
    /// # Errors
    /// As [`Reader::content`].
    pub fn event(&self, place: Place) -> Result<Event> {
        match self.record(place, kind::EVENT)? {
            Record::Event(event) => Ok(event),
            _ => Err(lost(place)),
        }
    }

    fn record(&self, place: Place, kind: u8) -> Result<Record> {
        let lost = || lost(place);
        let bytes = self.bytes(place)?.ok_or_else(lost)?;
        let (head, payload) = bytes
            .split_first_chunk::<{ HEAD as usize }>()
            .ok_or_else(lost)?;
        let head = Head::decode(head, place.pack, place.offset).ok_or_else(lost)?;
        if head.kind != kind || !head.fits(payload) {
            return Err(lost());
        }
        View::decode(head.kind, payload)
            .and_then(View::to_record)
            .ok_or_else(lost)
    }

    /// The bytes of head and payload; `None` if the file is shorter.
    fn bytes(&self, place: Place) -> Result<Option<AlignedVec<16>>> {
        let name = pack_name(place.pack);
        let path = self.medium.path(&name);
        let len = HEAD.saturating_add(u64::from(place.len));
        let has = self
            .medium
            .len(&name)
            .map_err(|e| Error::stored("reading", &path, MEND)(e).or_missing(MEND))?;
        if u64::from(place.len) > MAX_PAYLOAD
            || place.offset.checked_add(len).is_none_or(|end| end > has)
        {
            return Ok(None);
        }
        let mut bytes = AlignedVec::new();
        bytes.resize(usize::try_from(len).unwrap_or_default(), 0);
        self.medium
            .read(&name, place.offset, &mut bytes)
            .map_err(Error::stored("reading", &path, MEND))?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::medium::Memory;

    #[test]
    fn events_are_found_without_the_packs_that_end_before_them() {
        let mut packs = Packs::create(Arc::new(Memory::new()), b"settings")
            .unwrap()
            .with_max_pack_bytes(600);
        let commit = |generation| Commit {
            generation,
            at: 0,
            contents: 0,
            paths: 0,
            state: 0,
        };
        for seq in 1..=40 {
            // Some batches tell of nothing.
            let events = if seq % 5 == 0 {
                Vec::new()
            } else {
                vec![Record::Event(Event {
                    seq: seq - seq / 5,
                    at: 0,
                    text: vec![7; 90],
                })]
            };
            packs.append(&events, &commit(seq)).unwrap();
        }
        let events_from = |packs: &mut Packs, from, after| {
            let mut events = Vec::new();
            let visit = &mut |_, record: View<'_>| {
                events.extend(if let View::Event(event) = record {
                    Some(event.seq.to_native()).filter(|seq| *seq > after)
                } else {
                    None
                });
                Ok(())
            };
            packs.replay(from, visit).unwrap();
            events
        };
        let mut begun = std::collections::BTreeSet::new();
        for after in 0..40 {
            let from = packs.before_events(after).unwrap();
            begun.insert(from.map(|from| from.pack));
            assert_eq!(
                events_from(&mut packs, from, after),
                (after + 1..=32).collect::<Vec<_>>(),
                "{after}"
            );
        }
        assert!(begun.len() > 5, "{begun:?}");
        assert_eq!(packs.before_events(0).unwrap(), None);
    }
}
