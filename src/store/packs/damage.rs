//! Tests: every byte flipped, every length cut, files lost or foreign. Never a panic, a wrong
//! record, or silence where there was a loss.

use std::sync::Arc;

use super::{
    Damage, Packs, Position, Record, Replay,
    crash::{commit, contents, records, visited},
    layout::{Header, pack_name},
    record::tests::Random,
};
use crate::{
    Error, Result,
    store::medium::{Medium as _, Memory},
};

/// A small index: its medium, all records, and those after each batch that was acknowledged.
pub(super) struct Small {
    pub(super) memory: Memory,
    pub(super) all: Vec<Record>,
    pub(super) prefixes: Vec<Vec<Record>>,
}

/// Several packs of several batches.
pub(super) fn appended() -> Small {
    let memory = Memory::new();
    let mut packs = Packs::create(Arc::new(memory.clone()), b"settings")
        .unwrap()
        .with_max_pack_bytes(1400);
    let (mut random, mut all) = (Random(11), Vec::new());
    let mut prefixes = vec![Vec::new()];
    for generation in 0..7 {
        let batch = random.batch(4);
        packs.append(&batch, &commit(generation)).unwrap();
        all.extend(batch);
        prefixes.push(all.clone());
    }
    assert!(memory.list().unwrap().len() >= 3 && all.len() > 8);
    Small {
        memory,
        all,
        prefixes,
    }
}

/// Several packs of one rewrite, nothing else.
pub(super) fn rewritten() -> Small {
    let memory = Memory::new();
    let mut packs = Packs::create(Arc::new(memory.clone()), b"settings")
        .unwrap()
        .with_max_pack_bytes(1000);
    let all: Vec<_> = (0..10).map(|seed| Random(seed + 60).record()).collect();
    packs
        .rewrite(&mut all.iter().cloned().map(Ok), &commit(1))
        .unwrap();
    packs.clear().unwrap();
    assert!(memory.list().unwrap().len() >= 2 && !memory.list().unwrap().contains(&pack_name(1)));
    Small {
        memory,
        prefixes: vec![all.clone()],
        all,
    }
}

pub(super) fn copy(memory: &Memory) -> Memory {
    memory.killed()
}

pub(super) fn is_subsequence(some: &[Record], all: &[Record]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|record| rest.any(|other| other == record))
}

/// How a replay of damaged packs went.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    AllThere,
    Reported,
    /// A state from before, and `torn` says that there is more.
    Torn,
    /// A state from before, and nothing says so.
    Silent,
}

/// Replays, and checks that what is found is right; whatever it is, writing must go on from there.
fn judge(small: &Small, memory: &Memory, what: &str) -> Seen {
    let mut packs = match Packs::open(Arc::new(memory.clone())) {
        Ok(packs) => packs.with_max_pack_bytes(1400),
        Err(Error::Damaged { .. } | Error::Version { .. }) => return Seen::Reported,
        Err(other) => panic!("{what}: {other}"),
    };
    let (replay, found, _) = match visited(&mut packs, None) {
        Ok(it) => it,
        Err(Error::Damaged { .. }) => return Seen::Reported,
        Err(other) => panic!("{what}: {other}"),
    };
    let found: Vec<_> = found.into_iter().map(|(_, record)| record).collect();
    assert!(is_subsequence(&found, &small.all), "{what}: a wrong record");
    goes_on(packs, &found, &replay.damage, what);
    if !replay.damage.is_empty() {
        return Seen::Reported;
    }
    assert!(
        small.prefixes.contains(&found),
        "{what}: no committed state, and no damage reported"
    );
    match (found == small.all, replay.torn) {
        (true, _) => Seen::AllThere,
        (false, Some(_)) => Seen::Torn,
        (false, None) => Seen::Silent,
    }
}

fn goes_on(mut packs: Packs, found: &[Record], damage: &[Damage], what: &str) {
    packs
        .append(&contents(), &commit(50))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let (replay, after, _) = visited(&mut packs, None).unwrap();
    assert_eq!(
        replay.damage, damage,
        "{what}: damage neither comes nor goes by writing on"
    );
    let after: Vec<_> = after.into_iter().map(|(_, record)| record).collect();
    assert_eq!(after, [found, &contents()].concat(), "{what}");
    packs
        .rewrite(&mut after.iter().cloned().map(Ok), &commit(51))
        .unwrap();
    packs.clear().unwrap();
    assert_eq!(records(&mut packs), after, "{what}: a rewrite mends");
}

fn flip_everything(small: &Small) -> [usize; 4] {
    let mut seen = [0; 4];
    for name in small.memory.list().unwrap() {
        for at in 0..small.memory.bytes(&name).len() {
            for mask in [0x01, 0x80, 0xff] {
                let memory = copy(&small.memory);
                memory.flip(&name, at, mask);
                seen[judge(small, &memory, &format!("{name} byte {at} ^ {mask:#x}")) as usize] += 1;
            }
        }
    }
    seen
}

#[test]
fn every_flipped_byte_is_harmless_or_reported() {
    let [right, reported, torn, silent] = flip_everything(&appended());
    assert_eq!(silent, 0);
    assert!(
        right > 0 && reported > 20 * right && torn > 0,
        "{right} in padding, {reported} reported, {torn} in the last batch"
    );
}

#[test]
fn every_flipped_byte_of_a_rewrite_is_harmless_or_reported_and_loses_at_most_one_record() {
    let small = rewritten();
    let [_, reported, torn, silent] = flip_everything(&small);
    assert_eq!((torn, silent), (0, 0), "the commit is there twice");
    assert!(reported > 0);
    for name in small.memory.list().unwrap() {
        for at in 0..small.memory.bytes(&name).len() {
            let memory = copy(&small.memory);
            memory.flip(&name, at, 0x10);
            let mut packs = Packs::open(Arc::new(memory)).unwrap();
            let (_, found, _) = visited(&mut packs, None).unwrap();
            assert!(
                found.len() + 1 >= small.all.len(),
                "{name} byte {at}: {} records left",
                found.len()
            );
        }
    }
}

#[test]
fn a_flipped_byte_in_an_older_batch_loses_at_most_one_record() {
    let small = appended();
    let names = small.memory.list().unwrap();
    for name in &names[..names.len() - 1] {
        for at in 0..small.memory.bytes(name).len() {
            let memory = copy(&small.memory);
            memory.flip(name, at, 0x10);
            let mut packs = Packs::open(Arc::new(memory)).unwrap();
            let (replay, found, _) = visited(&mut packs, None).unwrap();
            assert!(found.len() + 1 >= small.all.len(), "{name} byte {at}");
            assert!(
                found.len() == small.all.len() || replay.damage.len() == 1,
                "{name} byte {at}"
            );
            assert!(replay.damage.iter().all(|d| pack_name(d.pack) == *name
                && (d.offset..d.offset + d.len).contains(&(at as u64))));
        }
    }
}

#[test]
fn every_cut_is_reported_except_between_the_batches_of_the_newest_pack() {
    let small = appended();
    let names = small.memory.list().unwrap();
    let (mut silent, mut torn) = (0, 0);
    for name in &names {
        for len in 0..small.memory.bytes(name).len() {
            let memory = copy(&small.memory);
            memory.cut(name, len);
            match judge(&small, &memory, &format!("{name} cut to {len}")) {
                Seen::Silent => silent += 1,
                Seen::Torn => torn += 1,
                Seen::Reported => continue,
                Seen::AllThere => assert_eq!(len % 16, 15, "only padding may be cut"),
            }
            assert_eq!(
                Some(name),
                names.last(),
                "an older pack cut to {len} without a report"
            );
        }
    }
    assert!(torn > 100 && silent <= 3, "{torn} torn, {silent} silent");
}

#[test]
fn a_silent_cut_is_noticed_by_the_position_reached_before() {
    let small = appended();
    let mut packs = Packs::open(Arc::new(small.memory.clone())).unwrap();
    let end = packs.end().unwrap();
    assert!(packs.reaches(end).unwrap());
    let newest = pack_name(end.pack);
    for len in 0..small.memory.bytes(&newest).len() {
        let memory = copy(&small.memory);
        memory.cut(&newest, len);
        let Ok(mut packs) = Packs::open(Arc::new(memory)) else {
            continue;
        };
        assert!(!packs.reaches(end).unwrap(), "cut to {len}");
        assert!(matches!(
            visited(&mut packs, Some(end)),
            Err(Error::Damaged { .. })
        ));
    }
}

#[test]
fn every_cut_of_a_rewrite_is_reported_or_torn() {
    let small = rewritten();
    for name in small.memory.list().unwrap() {
        for len in 0..small.memory.bytes(&name).len() {
            let memory = copy(&small.memory);
            memory.cut(&name, len);
            let seen = judge(&small, &memory, &format!("{name} cut to {len}"));
            assert_ne!(seen, Seen::Silent, "{name} cut to {len}");
        }
    }
}

#[test]
fn a_lost_pack_is_reported_unless_it_is_the_newest() {
    for small in [appended(), rewritten()] {
        let names = small.memory.list().unwrap();
        for name in &names[..names.len() - 1] {
            let memory = copy(&small.memory);
            memory.remove(name).unwrap();
            assert_eq!(judge(&small, &memory, name), Seen::Reported);
        }
    }
}

fn lose_header_and_preface(memory: &Memory, pack: u32) {
    memory.flip(&pack_name(pack), 20, 1);
    memory.flip(&pack_name(pack), 100, 1);
}

pub(super) fn found(memory: &Memory) -> (Replay, Vec<Record>) {
    let mut packs = Packs::open(Arc::new(memory.clone())).unwrap();
    let (replay, found, _) = visited(&mut packs, None).unwrap();
    (
        replay,
        found.into_iter().map(|(_, record)| record).collect(),
    )
}

/// Two batches in pack 1, of which the second ends in a torn write; nothing is damaged.
fn torn_after_two() -> (Memory, Vec<Record>, usize) {
    let memory = Memory::new();
    let mut packs = Packs::create(Arc::new(memory.clone()), b"settings").unwrap();
    let (first, second) = (Random(41).batch(9), Random(43).batch(9));
    packs.append(&first, &commit(1)).unwrap();
    let place = packs.append(&second, &commit(2)).unwrap()[0];
    memory.append(&pack_name(1), b"half a record").unwrap();
    (memory, [first, second].concat(), place.offset as usize + 40)
}

#[test]
fn header_and_preface_lost_of_one_pack_lose_no_record_but_those_of_a_lone_last_batch() {
    for small in [appended(), rewritten()] {
        let names = small.memory.list().unwrap();
        for name in &names {
            let memory = copy(&small.memory);
            lose_header_and_preface(&memory, super::layout::pack_number(name).unwrap());
            match judge(&small, &memory, name) {
                Seen::Reported => assert_eq!(
                    found(&memory).1.len(),
                    small.all.len() + contents().len(),
                    "{name}, and what judge added"
                ),
                seen => assert_eq!((seen, Some(name)), (Seen::Torn, names.last())),
            }
        }
    }
}

#[test]
fn damage_in_the_last_batch_is_damage_if_a_later_write_had_begun() {
    let (memory, all, inside) = torn_after_two();
    memory.flip(&pack_name(1), inside, 1);
    let (replay, found) = found(&memory);
    assert_eq!(
        (found.len(), replay.damage.len(), replay.torn.is_some()),
        (all.len() - 1, 1, true)
    );
}

#[test]
fn a_pack_that_was_begun_and_not_finished_witnesses_the_one_before() {
    let (memory, all, inside) = torn_after_two();
    let mut packs = Packs::open(Arc::new(memory.clone())).unwrap();
    let end = packs.end().unwrap();
    packs.append(&contents(), &commit(3)).unwrap();
    memory.cut(&pack_name(2), 300);
    memory.cut(&pack_name(1), end.offset as usize);
    memory.flip(&pack_name(1), inside, 1);
    let (replay, found) = found(&memory);
    assert_eq!(
        (found.len(), replay.damage.len(), replay.end),
        (all.len() - 1, 1, end)
    );
}

#[test]
fn bytes_of_which_nobody_knows_whether_they_counted_are_reported() {
    let (memory, all, _) = torn_after_two();
    let mut packs = Packs::open(Arc::new(memory.clone())).unwrap();
    let end = packs.end().unwrap();
    packs.append(&contents(), &commit(3)).unwrap();
    packs.append(&[], &commit(4)).unwrap();
    assert_eq!(found(&memory).0.damage, [], "the header of pack 2 knows");
    lose_header_and_preface(&memory, 2);
    let (replay, found) = found(&memory);
    assert_eq!(found, [all, contents()].concat());
    assert_eq!(
        replay.damage[0],
        Damage {
            pack: 1,
            offset: end.offset,
            len: 13
        }
    );
}

#[test]
fn a_rewrite_with_a_damaged_header_is_not_mixed_with_packs_that_it_replaced() {
    let before = appended();
    let mut packs = Packs::open(Arc::new(before.memory.clone())).unwrap();
    let old = before.memory.killed();
    let kept = &before.all[..3];
    packs
        .rewrite(&mut kept.iter().cloned().map(Ok), &commit(9))
        .unwrap();
    packs.clear().unwrap();
    let new = before.memory.list().unwrap();
    let mut bytes = before.memory.bytes(&new[0]);
    bytes[20] ^= 1;
    old.plant(&new[0], &bytes);
    let (replay, found) = found(&old);
    assert_eq!((new.len(), &found[..], replay.damage.len()), (1, kept, 1));
    goes_on(
        Packs::open(Arc::new(old)).unwrap(),
        &found,
        &replay.damage,
        "left-overs",
    );
}

#[test]
fn wiped_and_overwritten_stretches_never_give_a_wrong_record() {
    let mut random = Random(21);
    for small in [appended(), rewritten()] {
        let names = small.memory.list().unwrap();
        for round in 0..400 {
            let memory = copy(&small.memory);
            for _ in 0..=random.below(3) {
                let name = &names[random.below(names.len() as u64) as usize];
                let mut bytes = memory.bytes(name);
                let from = random.below(bytes.len() as u64) as usize;
                let to = (from + random.below(300) as usize).min(bytes.len());
                let source = random.below((bytes.len() - (to - from)) as u64 + 1) as usize;
                match random.below(3) {
                    0 => bytes[from..to].fill(0),
                    1 => bytes[from..to]
                        .iter_mut()
                        .for_each(|b| *b = random.below(256) as u8),
                    _ => bytes.copy_within(source..source + (to - from), from),
                }
                memory.plant(name, &bytes);
            }
            let mut packs = match Packs::open(Arc::new(memory)) {
                Ok(packs) => packs,
                Err(Error::Damaged { .. } | Error::Version { .. }) => continue,
                Err(other) => panic!("round {round}: {other}"),
            };
            if let Ok((_, found, _)) = visited(&mut packs, None) {
                let found: Vec<_> = found.into_iter().map(|(_, record)| record).collect();
                assert!(is_subsequence(&found, &small.all), "round {round}");
            }
        }
    }
}

#[test]
fn noise_and_forged_lengths_are_survived() {
    let mut random = Random(31);
    for _ in 0..300 {
        let memory = appended_once();
        let header = Header {
            pack: 2,
            base: 1,
            previous: 1,
            previous_end: [0, 63, 64, 1 << 20, u64::MAX][random.below(5) as usize],
            snapshot: random.below(2) == 0,
        };
        let mut bytes = header.encode();
        bytes.extend((0..random.below(400)).map(|_| random.below(256) as u8));
        memory.plant(&pack_name(2), &bytes);
        let mut packs = Packs::open(Arc::new(memory)).unwrap();
        let _: Result<_> = visited(&mut packs, None);
        let at = Position {
            pack: random.below(4) as u32,
            offset: random.below(2000) * 16,
        };
        let _: Result<_> = visited(&mut packs, Some(at));
        let _ = packs.append(&contents(), &commit(3));
    }
}

pub(super) fn appended_once() -> Memory {
    let memory = Memory::new();
    let mut packs = Packs::create(Arc::new(memory.clone()), b"settings").unwrap();
    packs.append(&contents(), &commit(1)).unwrap();
    memory.killed()
}
