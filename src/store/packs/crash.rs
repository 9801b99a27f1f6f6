//! Tests: the process dies, or the power goes, at every operation of a script; and random runs
//! against a list in memory.

use std::sync::Arc;

use super::{Commit, Packs, Place, Position, Record, Replay, View, record::tests::Random};
use crate::{
    Result,
    store::medium::{Folder, Medium, Memory, Power},
};

/// Small packs, so that short runs begin new ones.
const PACK: u64 = 1400;

pub(super) fn commit(generation: u64) -> Commit {
    Commit {
        generation,
        at: 5,
        contents: generation * 2,
        paths: 3,
        state: u128::from(generation) << 70,
    }
}

/// What a replay returns, each record that it visits with its place, and the generations of the
/// commits.
type Visited = (Replay, Vec<(Place, Record)>, Vec<u64>);

pub(super) fn visited(packs: &mut Packs, from: Option<Position>) -> Result<Visited> {
    let (mut records, mut generations) = (Vec::new(), Vec::new());
    let replay = packs.replay(from, &mut |place, view| {
        match view {
            View::Commit(commit) => generations.push(commit.generation.to_native()),
            view => records.push((place, view.to_record().unwrap())),
        }
        Ok(())
    })?;
    Ok((replay, records, generations))
}

pub(super) fn records(packs: &mut Packs) -> Vec<Record> {
    let (replay, records, _) = visited(packs, None).unwrap();
    assert_eq!(replay.damage, [], "a crash is no damage");
    records.into_iter().map(|(_, record)| record).collect()
}

fn open(memory: &Memory) -> Result<Packs> {
    Ok(Packs::open(Arc::new(memory.clone()))?.with_max_pack_bytes(PACK))
}

/// One step of a script.
#[derive(Clone)]
enum Act {
    Append(Vec<Record>),
    /// Drop every fourth record.
    Rewrite,
    Reopen,
}

/// What the state was after each acknowledged act, and what it would be after the one in flight.
struct Run {
    acknowledged: Vec<Record>,
    in_flight: Option<Vec<Record>>,
}

/// Runs a script on an index that exists, until an act fails.
fn run(memory: &Memory, before: Vec<Record>, acts: &[Act]) -> Run {
    let mut acknowledged = before;
    let mut packs = open(memory);
    for (k, act) in acts.iter().enumerate() {
        let next = match act {
            Act::Append(batch) => [&acknowledged[..], batch].concat(),
            Act::Rewrite => acknowledged
                .chunks(4)
                .flat_map(|four| &four[..four.len().min(3)])
                .cloned()
                .collect(),
            Act::Reopen => acknowledged.clone(),
        };
        let done = packs.as_mut().map_err(|_| ()).and_then(|packs| {
            match act {
                Act::Append(batch) => packs.append(batch, &commit(k as u64)).map(|_| ()),
                Act::Rewrite => packs
                    .rewrite(&mut next.iter().cloned().map(Ok), &commit(k as u64))
                    .and_then(|()| packs.clear()),
                Act::Reopen => open(memory).map(|fresh| *packs = fresh),
            }
            .map_err(|_| ())
        });
        if done.is_err() {
            return Run {
                acknowledged,
                in_flight: Some(next),
            };
        }
        acknowledged = next;
    }
    Run {
        acknowledged,
        in_flight: None,
    }
}

fn script(random: &mut Random) -> Vec<Act> {
    let mut append = |most| Act::Append(random.batch(most));
    vec![
        append(6),
        append(9),
        append(1),
        append(9),
        Act::Reopen,
        append(9),
        Act::Rewrite,
        append(3),
        append(7),
        Act::Rewrite,
        append(5),
    ]
}

/// Checks what is found after a crash, and that writing goes on. Returns what was found.
fn recover(memory: &Memory, run: &Run, what: &str) -> Vec<Record> {
    let mut packs = open(memory).unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = records(&mut packs);
    assert!(
        found == run.acknowledged || Some(&found) == run.in_flight.as_ref(),
        "{what}: neither the old state nor the new one"
    );
    let more = Random(77).batch(4);
    packs.append(&more, &commit(99)).unwrap();
    let after = [&found[..], &more].concat();
    assert_eq!(
        records(&mut packs),
        after,
        "{what}: going on with the same handle"
    );
    assert_eq!(
        records(&mut open(memory).unwrap()),
        after,
        "{what}: going on after opening anew"
    );
    found
}

fn created() -> Memory {
    let memory = Memory::new();
    Packs::create(Arc::new(memory.clone()), b"settings").unwrap();
    memory.killed()
}

#[test]
fn after_a_power_cut_at_any_operation_the_old_or_the_new_state_is_there() {
    let script = script(&mut Random(3));
    let whole = created();
    assert!(run(&whole, Vec::new(), &script).in_flight.is_none());
    assert!(
        whole.list().unwrap().len() > 2,
        "a rewrite takes several packs"
    );
    let mut outcomes = [0; 2];
    for at in 0..whole.operations() {
        for torn in [false, true] {
            let memory = created();
            memory.fail_at(at, torn);
            let run = run(&memory, Vec::new(), &script);
            for power in Power::all() {
                let found = recover(
                    &memory.crash(power),
                    &run,
                    &format!("operation {at}, torn {torn}, {power:?}"),
                );
                outcomes[usize::from(found != run.acknowledged)] += 1;
            }
            recover(
                &memory.killed(),
                &run,
                &format!("operation {at}, torn {torn}, killed"),
            );
        }
    }
    assert!(
        outcomes.iter().all(|&n| n > 100),
        "both states occur: {outcomes:?}"
    );
}

#[test]
fn what_a_writer_finds_after_a_kill_survives_a_power_cut_once_it_has_been_built_upon() {
    let script = script(&mut Random(4));
    let second = [
        Act::Append(Random(5).batch(4)),
        Act::Append(Random(6).batch(20)),
        Act::Append(Random(7).batch(3)),
    ];
    let whole = created();
    run(&whole, Vec::new(), &script);
    for at in 0..whole.operations() {
        let memory = created();
        memory.fail_at(at, true);
        let first = run(&memory, Vec::new(), &script);
        let memory = memory.killed();
        let Ok(mut packs) = open(&memory) else {
            panic!("operation {at}")
        };
        let found = records(&mut packs);
        for then in 0..12 {
            let memory = memory.killed();
            memory.fail_at(then, true);
            let next = run(&memory, found.clone(), &second);
            for power in Power::all() {
                let crashed = memory.crash(power);
                if next.acknowledged == found && then < 2 {
                    // The second writer had not settled: the first one's unacknowledged batch may
                    // be lost.
                    let mut packs = open(&crashed).unwrap();
                    let state = records(&mut packs);
                    assert!(
                        state == first.acknowledged || state == found,
                        "operation {at}, then {then}, {power:?}"
                    );
                } else {
                    recover(
                        &crashed,
                        &next,
                        &format!("operation {at}, then {then}, {power:?}"),
                    );
                }
            }
        }
    }
}

#[test]
fn settling_makes_durable_what_a_killed_writer_left() {
    let memory = created();
    let batch = Random(8).batch(9);
    let mut packs = open(&memory).unwrap();
    memory.fail_at(3, false); // sync, sync of the folder, append, then dies before the sync
    packs.append(&batch, &commit(1)).unwrap_err();
    let memory = memory.killed();
    let mut packs = open(&memory).unwrap();
    assert_eq!(records(&mut packs), batch);
    packs.settle().unwrap();
    for power in Power::all() {
        assert_eq!(
            records(&mut open(&memory.crash(power)).unwrap()),
            batch,
            "{power:?}"
        );
    }
}

#[test]
fn a_crash_while_creating_leaves_a_folder_in_which_creating_or_opening_works() {
    let whole = Memory::new();
    Packs::create(Arc::new(whole.clone()), b"settings").unwrap();
    for at in 0..whole.operations() {
        for torn in [false, true] {
            let memory = Memory::new();
            memory.fail_at(at, torn);
            assert!(Packs::create(Arc::new(memory.clone()), b"settings").is_err());
            for power in Power::all() {
                let memory = memory.crash(power);
                let packs = Packs::open(Arc::new(memory.clone()))
                    .or_else(|_| Packs::create(Arc::new(memory.clone()), b"settings"));
                let mut packs = packs.unwrap_or_else(|e| panic!("operation {at}, {power:?}: {e}"));
                assert_eq!(packs.settings(), b"settings");
                packs.append(&Random(1).batch(3), &commit(1)).unwrap();
                assert_eq!(records(&mut packs), records(&mut open(&memory).unwrap()));
            }
        }
    }
}

#[test]
fn a_failed_write_poisons_the_handle_until_it_is_opened_again() {
    let memory = created();
    let mut packs = open(&memory).unwrap();
    let place = packs.append(&contents(), &commit(1)).unwrap()[0];
    memory.fail_at(memory.operations(), false);
    assert!(packs.append(&[], &commit(2)).is_err());
    let memory = memory.killed();
    for error in [
        packs.append(&[], &commit(3)).err(),
        packs.replay(None, &mut |_, _| Ok(())).err(),
        packs.read_content(place).err(),
        packs.settle().err(),
        packs.end().err(),
        packs.rewrite(&mut std::iter::empty(), &commit(3)).err(),
    ] {
        assert!(error.unwrap().to_string().contains("open the index again"));
    }
    assert_eq!(records(&mut open(&memory).unwrap()), contents());
}

#[test]
fn a_rewrite_that_is_given_up_changes_nothing_and_is_cleared_away() {
    let memory = created();
    let mut packs = open(&memory).unwrap();
    let batch = Random(2).batch(40);
    packs.append(&batch, &commit(1)).unwrap();
    let failing = batch
        .iter()
        .cloned()
        .map(Ok)
        .chain([Err(crate::Error::Interrupted)]);
    assert!(matches!(
        packs.rewrite(&mut { failing }, &commit(2)),
        Err(crate::Error::Interrupted)
    ));
    let left = memory.list().unwrap().len();
    assert!(left > 2, "{left} packs");
    let mut packs = open(&memory).unwrap();
    assert_eq!(records(&mut packs), batch);
    packs.append(&[], &commit(3)).unwrap();
    assert_eq!(
        memory.list().unwrap(),
        ["00000001.pack".to_owned(), format!("{:08}.pack", left + 1)]
    );
    assert_eq!(records(&mut open(&memory).unwrap()), batch);
}

pub(super) fn contents() -> Vec<Record> {
    (1..4)
        .map(|k| super::Content {
            id: [k; 32],
            bytes: 9,
            format: 1,
            width: 32,
            height: 32,
            code: vec![k; 50],
        })
        .map(Record::Content)
        .collect()
}

/// Random appends, reopenings and rewrites, compared with a list after each.
fn model(medium: &Arc<dyn Medium>, seed: u64, acts: usize) {
    let mut random = Random(seed);
    let mut packs = Packs::create(Arc::clone(medium), b"s")
        .unwrap()
        .with_max_pack_bytes(PACK);
    let mut model: Vec<Record> = Vec::new();
    let mut position: Option<Position> = None;
    for act in 0..acts {
        let commit = commit(act as u64);
        match random.below(10) {
            0 => {
                model = model.into_iter().step_by(2).collect();
                packs
                    .rewrite(&mut model.iter().cloned().map(Ok), &commit)
                    .unwrap();
                packs.clear().unwrap();
                assert!(
                    position.is_none_or(|at| !packs.reaches(at).unwrap()),
                    "places change"
                );
            }
            1 | 2 => {
                packs = Packs::open(Arc::clone(medium))
                    .unwrap()
                    .with_max_pack_bytes(PACK);
            }
            _ => {
                let batch = random.batch(9);
                let places = packs.append(&batch, &commit).unwrap();
                let (replay, new, generations) = visited(&mut packs, position).unwrap();
                assert_eq!(
                    new,
                    places
                        .into_iter()
                        .zip(batch.iter().cloned())
                        .collect::<Vec<_>>(),
                    "only what is new"
                );
                assert_eq!(
                    (replay.commit, generations),
                    (Some(commit), vec![act as u64])
                );
                model.extend(batch);
            }
        }
        let (replay, all, _) = visited(&mut packs, None).unwrap();
        assert_eq!((&replay.damage[..], replay.torn), (&[][..], None));
        assert_eq!(packs.end().unwrap(), replay.end);
        position = Some(replay.end);
        for (place, record) in &all {
            match record {
                Record::Content(content) => {
                    assert_eq!(&packs.read_content(*place).unwrap(), content);
                }
                _ => assert!(packs.read_content(*place).is_err(), "no content there"),
            }
        }
        assert_eq!(
            all.into_iter()
                .map(|(_, record)| record)
                .collect::<Vec<_>>(),
            model
        );
    }
}

#[test]
fn random_runs_agree_with_a_list() {
    for seed in 1..20 {
        model(&(Arc::new(Memory::new()) as Arc<dyn Medium>), seed, 30);
    }
}

#[test]
fn random_runs_on_a_real_folder_agree_with_a_list() {
    for seed in 50..53 {
        let dir = tempfile::tempdir().unwrap();
        model(
            &(Arc::new(Folder::open(dir.path()).unwrap()) as Arc<dyn Medium>),
            seed,
            15,
        );
    }
}
