//! Batches of settled files: every verdict is the one that a check gives at that moment, the index
//! is the one that a sync gives, and events are durable, numbered without a gap, and told once.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path, sync::Arc};

use support::images::{Numbers, brighter, mirrored, ppm, write};
use wsidx::{
    Result,
    index::{
        Ahead, Arrival, Arrivals, CheckItem, CheckOptions, Checked, GraphMethod, InitOptions,
        Intake, Reader, SyncOptions, Told, Writer, create, events, survey,
    },
    monitor::Silent,
};

const SIDE: usize = 16;

fn index(root: &Path) -> Writer {
    create(
        root,
        &survey(root, &Silent).unwrap(),
        &InitOptions::default(),
        "test",
        0,
        &Silent,
    )
    .unwrap();
    Writer::open(root, "test", false, &Silent).unwrap()
}

fn paths(names: &[&str]) -> Vec<Arc<[u8]>> {
    names
        .iter()
        .map(|name| Arc::from(name.as_bytes()))
        .collect()
}

fn arrivals(names: &[&str], gone: &[&str]) -> Arrivals {
    let files = paths(names)
        .into_iter()
        .map(|path| Arrival {
            path,
            growing: false,
        })
        .collect();
    Arrivals {
        files,
        gone: paths(gone),
        leave: true,
        ..Arrivals::default()
    }
}

/// What was told, in words, with the verdicts.
fn take(
    writer: &mut Writer,
    intake: &mut Intake,
    arrivals: Arrivals,
) -> (Vec<String>, Vec<Checked>) {
    let (words, checked, _) = take_and_read(writer, intake, arrivals);
    (words, checked)
}

/// The same, and what was read of the files that come next.
fn take_and_read(
    writer: &mut Writer,
    intake: &mut Intake,
    arrivals: Arrivals,
) -> (Vec<String>, Vec<Checked>, Option<Ahead>) {
    let mut checked = Vec::new();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let taken = writer.take_arrivals(
        intake,
        arrivals,
        7,
        &mut |seq, told| {
            let words = match told {
                Told::Verdict(one) => {
                    checked.push((*one).clone());
                    format!("{} {}", shown(&one.item.path), one.judgement.verdict.name())
                }
                Told::Moved { from, to, .. } => format!("{} -> {}", shown(from), shown(to)),
                Told::Removed { path, .. } => format!("{} removed", shown(path)),
            };
            format!("{seq} {words}").into_bytes()
        },
        &Silent,
    );
    let taken = taken.unwrap();
    (
        taken.events.iter().map(|(_, text)| shown(text)).collect(),
        checked,
        taken.ahead,
    )
}

fn all_events(root: &Path, since: u64) -> Vec<String> {
    let mut all = Vec::new();
    let visit = &mut |_, text: &[u8]| -> Result<()> {
        all.push(String::from_utf8(text.to_vec()).unwrap());
        Ok(())
    };
    events(root, since, visit).unwrap();
    all
}

/// A picture that may be near one that was made before.
fn picture(numbers: &mut Numbers) -> Vec<u8> {
    let file = ppm(numbers.below(70), SIDE);
    match numbers.below(4) {
        0 => brighter(&file, 1 + numbers.below(9) as u8),
        1 => mirrored(&file, SIDE),
        _ => file,
    }
}

#[test]
fn the_verdicts_of_batches_are_those_of_a_check_and_the_index_is_that_of_a_sync() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    (0..60).for_each(|seed| {
        write(
            root,
            &format!("train/{}/{seed}.ppm", seed % 3),
            &ppm(seed, SIDE),
        );
    });
    let mut writer = index(root);
    writer.sync(&SyncOptions::default(), &Silent).unwrap();
    let mut intake = writer.intake(&[], 0, &Silent).unwrap();
    let mut numbers = Numbers::new(5);
    let mut told = Vec::new();
    for step in 0..40 {
        let names: Vec<String> = (0..1 + numbers.below(6))
            .map(|_| {
                format!(
                    "{}/{}/{}.ppm",
                    ["train", "test"][numbers.below(2) as usize],
                    numbers.below(3),
                    numbers.below(90)
                )
            })
            .collect();
        names
            .iter()
            .for_each(|name| write(root, name, &picture(&mut numbers)));
        let items: Vec<CheckItem> = names
            .iter()
            .map(|name| CheckItem {
                file: root.join(name),
                path: name.as_bytes().into(),
                inside: true,
            })
            .collect();
        let expected = Reader::open(root)
            .unwrap()
            .check(items, &CheckOptions::default(), &Silent)
            .unwrap();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (words, checked) = take(&mut writer, &mut intake, arrivals(&names, &[]));
        for one in &checked {
            let same = expected
                .iter()
                .find(|other| other.item.path == one.item.path)
                .unwrap();
            // A file whose bytes did not change is not judged, but takes part in the request of the
            // check.
            if checked.len() == expected.len() {
                assert_eq!(one, same, "step {step}");
            }
        }
        told.extend(words);
        if step % 10 == 9 {
            let gone: Vec<String> = writer
                .state()
                .paths()
                .keys()
                .take(5)
                .map(|path| String::from_utf8(path.to_vec()).unwrap())
                .collect();
            gone.iter()
                .for_each(|name| fs::remove_file(root.join(name)).unwrap());
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            told.extend(take(&mut writer, &mut intake, arrivals(&[], &gone)).0);
        }
    }
    assert!(
        told.iter()
            .enumerate()
            .all(|(i, line)| line.starts_with(&format!("{} ", i + 1))),
        "{told:?}"
    );
    for verdict in ["novel", "redundant", "influential", "removed"] {
        assert!(
            told.iter().any(|line| line.ends_with(verdict)),
            "{verdict} does not occur"
        );
    }
    assert_eq!(all_events(root, 0), told);
    assert_eq!(all_events(root, 30), told[30..]);
    // Without a save, as after a kill: what the catalog has not seen is in the packs.
    drop(writer);
    let mut writer = Writer::open(root, "test", false, &Silent).unwrap();
    assert_eq!(writer.told(), told.len() as u64);
    let summary = writer.sync(&SyncOptions::default(), &Silent).unwrap();
    assert_eq!((summary.added, summary.removed, summary.moved), (0, 0, 0));
    assert_eq!(
        writer
            .verify(true, &Default::default(), &Silent)
            .unwrap()
            .problems,
        Vec::<String>::new()
    );
    assert_eq!(writer.told(), told.len() as u64);
}

#[test]
fn what_is_read_before_its_turn_is_judged_as_what_is_read_in_its_turn() {
    let trees = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let roots = trees.each_ref().map(tempfile::TempDir::path);
    let mut numbers = Numbers::new(8);
    let write_both =
        |name: &str, bytes: &[u8]| roots.iter().for_each(|root| write(root, name, bytes));
    (0..880)
        .for_each(|seed| write_both(&format!("train/{}/{seed}.ppm", seed % 3), &ppm(seed, SIDE)));
    let [mut ahead_of, mut in_turn] = roots.map(|root| {
        let mut writer = index(root);
        writer.sync(&SyncOptions::default(), &Silent).unwrap();
        let intake = writer.intake(&[], 0, &Silent).unwrap();
        (writer, intake)
    });
    assert!(
        !Reader::open(roots[0]).unwrap().basis().fitted,
        "there will be contents enough to choose a basis"
    );
    // The last file of each is in the next as well.
    let batches: Vec<Vec<String>> = (0..5)
        .map(|step| {
            (0..150)
                .map(|i| format!("train/{}/new-{}.ppm", i % 3, 149 * step + i))
                .collect()
        })
        .collect();
    batches
        .iter()
        .flatten()
        .for_each(|name| write_both(name, &picture_of(&mut numbers)));
    write_both("train/2/new-169.ppm", b"P6 16 16 255 ");
    let mut ahead: Option<Ahead> = None;
    for (step, batch) in batches.iter().enumerate() {
        let again = format!("train/0/new-{}.ppm", 149 * step + 30);
        let bytes = picture_of(&mut numbers);
        write_both(&again, &bytes);
        let names =
            |names: &[String]| arrivals(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let now = if ahead.is_some() {
            names(&[again])
        } else {
            names(batch)
        };
        let next = batches
            .get(step + 1)
            .map_or_else(Vec::new, |next| names(next).files);
        let read = take_and_read(
            &mut ahead_of.0,
            &mut ahead_of.1,
            Arrivals {
                ahead: ahead.take(),
                next,
                ..now
            },
        );
        let plain = take(&mut in_turn.0, &mut in_turn.1, names(batch));
        let without_root = |mut checked: Vec<Checked>| {
            checked
                .iter_mut()
                .for_each(|one| one.item.file = Default::default());
            checked
        };
        assert_eq!(read.0, plain.0, "step {step}");
        assert!(without_root(read.1) == without_root(plain.1), "step {step}");
        assert_eq!(
            plain.0.iter().any(|line| line.ends_with("undecodable")),
            step == 1
        );
        assert!(
            plain.0.len() > 140 && plain.0.iter().any(|line| line.ends_with("redundant")),
            "step {step}"
        );
        ahead = read.2;
        assert_eq!(ahead.is_some(), step + 1 < batches.len());
    }
    assert!(Reader::open(roots[0]).unwrap().basis().fitted);
    assert_eq!(
        ahead_of
            .0
            .verify(true, &Default::default(), &Silent)
            .unwrap()
            .problems,
        Vec::<String>::new()
    );
}

/// A picture of many that may be near one that was made before.
fn picture_of(numbers: &mut Numbers) -> Vec<u8> {
    let file = ppm(numbers.below(1_000), SIDE);
    if numbers.below(3) == 0 {
        brighter(&file, 1 + numbers.below(9) as u8)
    } else {
        file
    }
}

#[test]
fn a_move_is_told_as_one_and_a_move_to_another_label_is_judged() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    (0..3).for_each(|seed| write(root, &format!("cat/{seed}.ppm"), &ppm(seed, SIDE)));
    write(root, "dog/9.ppm", &brighter(&ppm(2, SIDE), 3));
    let mut writer = index(root);
    writer.sync(&SyncOptions::default(), &Silent).unwrap();
    let mut intake = writer.intake(&[], 0, &Silent).unwrap();
    fs::rename(root.join("cat/0.ppm"), root.join("cat/7.ppm")).unwrap();
    fs::rename(root.join("cat/1.ppm"), root.join("dog/1.ppm")).unwrap();
    let (words, _) = take(
        &mut writer,
        &mut intake,
        arrivals(&["cat/7.ppm", "dog/1.ppm"], &["cat/0.ppm", "cat/1.ppm"]),
    );
    assert_eq!(
        words,
        [
            "1 cat/0.ppm -> cat/7.ppm",
            "2 dog/1.ppm novel",
            "3 cat/1.ppm removed"
        ]
    );
    // What has left without a word waits, and counts no more.
    fs::rename(root.join("cat/2.ppm"), root.join("cat/3.ppm")).unwrap();
    write(root, "cat/8.ppm", &brighter(&ppm(2, SIDE), 5));
    let some = Arrivals {
        leave: false,
        ..arrivals(&["cat/8.ppm"], &["cat/2.ppm"])
    };
    let (words, checked) = take(&mut writer, &mut intake, some);
    assert_eq!(words, ["4 cat/8.ppm influential"]);
    assert_eq!(
        (
            checked[0].judgement.duplicates,
            checked[0].judgement.conflicts
        ),
        (0, 1),
        "the picture that left is not held against it"
    );
    assert_eq!(
        take(
            &mut writer,
            &mut intake,
            arrivals(&["cat/3.ppm"], &["cat/2.ppm"])
        )
        .0,
        ["5 cat/2.ppm -> cat/3.ppm"]
    );
    // Twice the same, nothing more to tell.
    assert_eq!(
        take(
            &mut writer,
            &mut intake,
            arrivals(&["cat/3.ppm", "cat/8.ppm"], &["cat/2.ppm"])
        )
        .0,
        [""; 0]
    );
}

#[test]
fn a_file_that_is_not_whole_waits_while_it_may_grow_and_is_undecodable_after_that() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    write(root, "cat/0.ppm", &ppm(0, SIDE));
    let mut writer = index(root);
    let mut intake = writer.intake(&[], 0, &Silent).unwrap();
    let whole = ppm(1, SIDE);
    write(root, "cat/1.ppm", &whole[..200]);
    let growing = || Arrivals {
        files: vec![Arrival {
            path: paths(&["cat/1.ppm"]).remove(0),
            growing: true,
        }],
        ..Arrivals::default()
    };
    let taken = writer
        .take_arrivals(&mut intake, growing(), 0, &mut |_, _| Vec::new(), &Silent)
        .unwrap();
    assert_eq!((taken.events.len(), taken.unsettled.len()), (0, 1));
    assert!(writer.state().paths().is_empty());
    assert_eq!(
        take(
            &mut writer,
            &mut intake,
            arrivals(&["cat/1.ppm", "cat/gone.ppm"], &[])
        )
        .0,
        ["1 cat/1.ppm undecodable"]
    );
    write(root, "cat/1.ppm", &whole);
    assert_eq!(
        take(&mut writer, &mut intake, arrivals(&["cat/1.ppm"], &[])).0,
        ["2 cat/1.ppm novel"]
    );
}

#[test]
fn gc_drops_old_events_and_never_the_number_of_the_last() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    (0..4).for_each(|seed| write(root, &format!("{seed}.ppm"), &ppm(seed, SIDE)));
    let mut writer = index(root);
    let mut intake = writer.intake(&[], 0, &Silent).unwrap();
    take(
        &mut writer,
        &mut intake,
        arrivals(&["0.ppm", "1.ppm", "2.ppm", "3.ppm"], &[]),
    );
    fs::remove_file(root.join("1.ppm")).unwrap();
    take(&mut writer, &mut intake, arrivals(&[], &["1.ppm"]));
    assert_eq!(writer.gc(8, 9, &Silent).unwrap().dropped, 1);
    assert_eq!(all_events(root, 0), ["5 1.ppm removed"]);
    drop(writer);
    let writer = Writer::open(root, "test", false, &Silent).unwrap();
    assert_eq!(writer.told(), 5);
}

#[test]
fn only_the_components_that_changed_are_given_and_they_are_those_of_the_whole_graph() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    (0..8).for_each(|seed| write(root, &format!("{seed}.ppm"), &ppm(seed, SIDE)));
    let mut writer = index(root);
    writer.sync(&SyncOptions::default(), &Silent).unwrap();
    let mut intake = writer.intake(&[], 0, &Silent).unwrap();
    let rule = intake.rules().edges;
    assert!(
        writer
            .changed_components(&rule, &Silent)
            .unwrap()
            .is_empty()
    );
    write(root, "a.ppm", &brighter(&ppm(1, SIDE), 3));
    write(root, "b.ppm", &brighter(&ppm(1, SIDE), 6));
    write(root, "c.ppm", &brighter(&ppm(2, SIDE), 3));
    take(
        &mut writer,
        &mut intake,
        arrivals(&["a.ppm", "b.ppm", "c.ppm"], &[]),
    );
    let sizes = |writer: &mut Writer| {
        let mut sizes: Vec<(usize, usize)> = writer
            .changed_components(&rule, &Silent)
            .unwrap()
            .iter()
            .map(|c| {
                (
                    c.contents.len(),
                    c.clusters(GraphMethod::Spectral).unwrap().count(),
                )
            })
            .collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&mut writer), [(2, 1), (3, 1)]);
    assert_eq!(sizes(&mut writer), []);
    fs::remove_file(root.join("c.ppm")).unwrap();
    write(root, "d.ppm", &brighter(&ppm(1, SIDE), 9));
    take(&mut writer, &mut intake, arrivals(&["d.ppm"], &["c.ppm"]));
    assert_eq!(
        sizes(&mut writer),
        [(4, 1)],
        "the pair that fell apart is none any more, and what did not change is not given"
    );
}
