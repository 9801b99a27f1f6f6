//! Eight readers beside a writer: every answer is that of one whole generation, nobody waits,
//! nobody fails, and files that nobody reads any more are gone.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use support::images::{ppm, write};
use wsidx::{
    index::{InitOptions, Reader, SyncOptions, Writer, create, survey},
    monitor::Silent,
    picture::Limits,
    similarity::EdgeRule,
};

const SIDE: usize = 16;
const ASKED: &str = "asked/0.ppm";

/// Puts the tree into one of four states: two folders that come and go.
fn set(root: &Path, state: usize) {
    for (bit, folder) in ["cat", "dog"].into_iter().enumerate() {
        let _ = fs::remove_dir_all(root.join(folder));
        if state >> bit & 1 == 1 {
            (0..20).for_each(|seed| {
                write(
                    root,
                    &format!("{folder}/{seed}.ppm"),
                    &ppm(100 * (bit as u64 + 1) + seed, SIDE),
                );
            });
        }
    }
}

fn sync(writer: &mut Writer, at: i64) -> u64 {
    writer
        .sync(
            &SyncOptions {
                at,
                ..SyncOptions::default()
            },
            &Silent,
        )
        .unwrap()
        .generation
}

/// What a reader sees: its generation, and all that it can be asked.
fn seen(reader: &Reader, root: &Path) -> (u64, String) {
    let query = reader
        .query(
            &root.join(ASKED),
            50,
            &Limits::default(),
            &EdgeRule::default(),
        )
        .unwrap();
    let own = reader
        .neighbors(ASKED.as_bytes(), &EdgeRule::default())
        .unwrap();
    (
        reader.view().manifest().generation,
        format!("{query:?}\n{own:?}\n{}", reader.status().unwrap().contents),
    )
}

/// Files that nobody names are gone, and so are the maps of them.
fn nothing_is_left_over(root: &Path) {
    let view = Reader::open(root).unwrap();
    let named: Vec<String> = view
        .view()
        .manifest()
        .files()
        .map(|file| file.name.clone())
        .chain(["manifest".into()])
        .collect();
    drop(view);
    for entry in fs::read_dir(root.join(".wsidx/view")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(named.contains(&name), "{name} is left over");
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let held: Vec<&str> = maps
        .lines()
        .filter(|line| line.contains(".wsidx/view") && line.ends_with("(deleted)"))
        .collect();
    assert!(held.is_empty(), "{held:?}");
}

#[test]
fn readers_see_whole_generations_while_a_writer_adds_removes_rewrites_and_rebuilds() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    write(root, ASKED, &ppm(1, SIDE));
    write(root, "asked/1.ppm", &ppm(2, SIDE));
    create(
        root,
        &survey(root, &Silent).unwrap(),
        &InitOptions::default(),
        "test",
        0,
        &Silent,
    )
    .unwrap();
    let mut writer = Writer::open(root, "test", true, &Silent).unwrap();
    sync(&mut writer, 0);
    // What each generation shows, by the writer's own reader while nobody writes.
    let truth: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let note = |root: &Path| {
        let (generation, answer) = seen(&Reader::open(root).unwrap(), root);
        let mut truth = truth.lock().unwrap();
        assert_eq!(
            truth.entry(generation).or_insert_with(|| answer.clone()),
            &answer
        );
    };
    note(root);
    let (done, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let read = |number: usize| {
        let mut answers = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let reader = Reader::open(root).unwrap();
            let first = seen(&reader, root);
            // Some stay while the world goes on.
            if number >= 4 {
                std::thread::sleep(std::time::Duration::from_millis(30));
                assert_eq!(seen(&reader, root), first);
            }
            looks.fetch_add(1, Ordering::Relaxed);
            answers.push(first);
        }
        answers
    };
    let answers = std::thread::scope(|scope| {
        let read = &read;
        let readers: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || read(number)))
            .collect();
        for step in 1..60 {
            set(root, step * 7 % 4);
            sync(&mut writer, step as i64);
            note(root);
            match step % 5 {
                1 => drop(writer.gc(i64::MAX, step as i64, &Silent).unwrap()),
                3 => drop(writer.rebuild(step % 2 == 0, step as i64, &Silent).unwrap()),
                _ => {}
            }
            note(root);
        }
        done.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap())
            .collect::<Vec<_>>()
    });
    let truth = truth.into_inner().unwrap();
    let generations: std::collections::BTreeSet<u64> =
        answers.iter().map(|(generation, _)| *generation).collect();
    assert!(
        generations.len() > 10 && looks.load(Ordering::Relaxed) > 100,
        "{} generations were seen",
        generations.len()
    );
    for (generation, answer) in &answers {
        assert_eq!(
            truth.get(generation),
            Some(answer),
            "generation {generation}"
        );
    }
    drop(writer);
    nothing_is_left_over(root);
}
