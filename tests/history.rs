//! After any history, lists, rows and answers equal those of an index built from nothing; and the
//! files of the index do not depend on the number of threads.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support {
    pub(crate) mod images;
}

use std::{collections::BTreeMap, fs, path::Path};

use support::images::{Numbers, brighter, ppm, write};
use wsidx::{
    index::{CheckOptions, InitOptions, Reader, SyncOptions, Writer, create, survey},
    monitor::Silent,
    picture::Limits,
    similarity::register::Needs,
    store::{packs::Place, view::RowRecord},
};

fn init(root: &Path) {
    let survey = survey(root, &Silent).unwrap();
    create(
        root,
        &survey,
        &InitOptions {
            size: Some(16),
            wavelet: None,
        },
        "test",
        0,
        &Silent,
    )
    .unwrap();
}

fn sync(root: &Path, scopes: Vec<Vec<u8>>) {
    let mut writer = Writer::open(root, "test", true, &Silent).unwrap();
    writer
        .sync(
            &SyncOptions {
                scopes,
                at: 1,
                limits: None,
            },
            &Silent,
        )
        .unwrap();
}

/// Whether the dataset asks for search rows for crops.
fn ask_for_crops(root: &Path, asked: bool) {
    fs::write(
        root.join("wsidx.toml"),
        format!("[index]\ncrops = {asked}\n"),
    )
    .unwrap();
}

/// A row's record without its place, and its list and edges by content id: distances; bits of
/// similarities, and what they needed; and the features of its crops.
type Row = (
    RowRecord,
    Vec<([u8; 32], u32)>,
    Vec<([u8; 32], u32, Needs)>,
    Vec<i32>,
);

/// All live rows.
type Everything = BTreeMap<[u8; 32], Row>;

fn everything(root: &Path) -> Everything {
    let reader = Reader::open(root).unwrap();
    let view = reader.view();
    let rows = (0..view.rows() as u32).map(|row| (row, view.row(row).unwrap()));
    let id = |row: u32| view.row(row).unwrap().id;
    let live = rows.filter(|(_, record)| !record.occurrences.is_empty());
    live.map(|(row, record)| {
        let list = view
            .list(row)
            .unwrap()
            .iter()
            .map(|n| (id(n.row), n.distance))
            .collect();
        let mut edges: Vec<_> = view
            .edges(row)
            .unwrap()
            .iter()
            .map(|e| (id(e.row), e.similarity.to_bits(), e.needs))
            .collect();
        edges.sort_by_key(|edge| edge.0);
        let place = Place {
            pack: 0,
            offset: 0,
            len: 0,
        };
        let of_crops = view
            .crops()
            .map_or(0, |_| view.manifest().crops.as_ref().unwrap().places);
        let crops = (row * of_crops..(row + 1) * of_crops).flat_map(|crop| {
            view.crops()
                .unwrap()
                .row(crop)
                .unwrap()
                .values()
                .collect::<Vec<_>>()
        });
        (
            record.id,
            (RowRecord { place, ..record }, list, edges, crops.collect()),
        )
    })
    .collect()
}

/// One random change of the tree. Pictures come from few seeds, so that contents come back, repeat
/// and collide.
fn change(root: &Path, numbers: &mut Numbers, names: &mut Vec<String>) {
    let picture = |numbers: &mut Numbers| {
        let plain = ppm(numbers.below(60), 16);
        match numbers.below(3) {
            0 => brighter(&plain, 1 + numbers.below(3) as u8),
            1 if numbers.below(9) == 0 => brighter(
                &[&b"P6 16 16 255\n"[..], &[7; 768]].concat(),
                numbers.below(4) as u8,
            ),
            _ => plain,
        }
    };
    let any =
        |numbers: &mut Numbers, names: &[String]| numbers.below(names.len().max(1) as u64) as usize;
    match numbers.below(10) {
        0..5 => {
            let split = ["train", "test", "data"][numbers.below(3) as usize];
            let name = format!(
                "{split}/{}/{}.ppm",
                ["cat", "dog"][numbers.below(2) as usize],
                numbers.below(1 << 40)
            );
            write(root, &name, &picture(numbers));
            names.push(name);
        }
        _ if names.is_empty() => {}
        5 => write(root, &names[any(numbers, names)], &picture(numbers)),
        6 => write(root, &names[any(numbers, names)], b"P6 broken"),
        7 => {
            let from = names.swap_remove(any(numbers, names));
            let to = format!("test/moved/{}.ppm", numbers.below(1 << 40));
            fs::create_dir_all(root.join("test/moved")).unwrap();
            fs::rename(root.join(from), root.join(&to)).unwrap();
            names.push(to);
        }
        _ => fs::remove_file(root.join(names.swap_remove(any(numbers, names)))).unwrap(),
    }
}

fn copy_tree(from: &Path, to: &Path, names: &[String]) {
    for name in names {
        write(to, name, &fs::read(from.join(name)).unwrap());
    }
}

#[test]
fn any_history_gives_the_index_that_is_built_from_nothing() {
    for seed in 0..6 {
        let mut numbers = Numbers::new(seed);
        let tree = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        // Every other history has rows of crops for a time, or from some time on, or comes and goes
        // with them.
        let crops = |round: u64| {
            seed % 2 == 1 && [!round.is_multiple_of(3), round >= 5, round < 6][seed as usize / 2]
        };
        init(tree.path());
        for round in 0..12 {
            ask_for_crops(tree.path(), crops(round));
            for _ in 0..1 + numbers.below(14) {
                change(tree.path(), &mut numbers, &mut names);
            }
            let scopes = if numbers.below(4) == 0 {
                vec![b"train".to_vec()]
            } else {
                Vec::new()
            };
            sync(tree.path(), scopes.clone());
            if round % 4 == 3 {
                sync(tree.path(), Vec::new());
                let fresh = tempfile::tempdir().unwrap();
                copy_tree(tree.path(), fresh.path(), &names);
                ask_for_crops(fresh.path(), crops(round));
                init(fresh.path());
                sync(fresh.path(), Vec::new());
                assert_eq!(
                    everything(tree.path()),
                    everything(fresh.path()),
                    "seed {seed}, round {round}"
                );
                assert_eq!(
                    Reader::open(tree.path()).unwrap().view().crops().is_some(),
                    crops(round)
                );
            }
        }
        let mut writer = Writer::open(tree.path(), "test", false, &Silent).unwrap();
        let verified = writer.verify(true, &Limits::default(), &Silent).unwrap();
        assert_eq!(
            (verified.problems, verified.stale),
            (Vec::<String>::new(), 0)
        );
        writer.gc(i64::MAX, 2, &Silent).unwrap();
        assert_eq!(
            writer
                .verify(true, &Limits::default(), &Silent)
                .unwrap()
                .problems,
            Vec::<String>::new()
        );
        drop(writer);
        sync(tree.path(), Vec::new());
    }
}

#[test]
fn a_writer_that_stays_gives_what_a_new_one_gives() {
    let tree = tempfile::tempdir().unwrap();
    let at = |seed: u64| format!("train/cat/{seed}.ppm");
    let put = |seed: u64| write(tree.path(), &at(seed), &ppm(seed, 16));
    let remove = |seed: u64| fs::remove_file(tree.path().join(at(seed))).unwrap();
    put(0);
    init(tree.path());
    let mut writer = Writer::open(tree.path(), "test", true, &Silent).unwrap();
    let mut numbers = Numbers::new(3);
    let mut there = vec![0];
    for step in 0..60 {
        // It empties again and again, so that a content comes back to nobody.
        match numbers.below(5) {
            0 => there.drain(..).for_each(remove),
            1 if !there.is_empty() => {
                remove(there.swap_remove(numbers.below(there.len() as u64) as usize));
            }
            _ => {
                let seed = numbers.below(6);
                put(seed);
                there.retain(|known| *known != seed);
                there.push(seed);
            }
        }
        let crops = step / 10 % 2 == 1;
        ask_for_crops(tree.path(), crops);
        writer
            .sync(
                &SyncOptions {
                    at: step,
                    ..SyncOptions::default()
                },
                &Silent,
            )
            .unwrap();
        let names: Vec<String> = there.iter().map(|seed| at(*seed)).collect();
        let fresh = tempfile::tempdir().unwrap();
        copy_tree(tree.path(), fresh.path(), &names);
        ask_for_crops(fresh.path(), crops);
        init(fresh.path());
        sync(fresh.path(), Vec::new());
        assert_eq!(
            everything(tree.path()),
            everything(fresh.path()),
            "step {step}"
        );
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_published_files_are_the_same_for_any_number_of_threads() {
    let build = |threads: usize, crops: bool| {
        let tree = tempfile::tempdir().unwrap();
        ask_for_crops(tree.path(), crops);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        (0..1_100).for_each(|seed| {
            write(
                tree.path(),
                &format!("train/cat/{seed}.ppm"),
                &ppm(seed % 1_050, 16),
            );
        });
        pool.install(|| {
            init(tree.path());
            sync(tree.path(), Vec::new());
            (0..40).for_each(|seed| {
                fs::remove_file(tree.path().join(format!("train/cat/{}.ppm", seed * 7))).unwrap();
            });
            sync(tree.path(), Vec::new());
        });
        assert!(Reader::open(tree.path()).unwrap().basis().fitted);
        files(&tree.path().join(".wsidx/view"))
    };
    let one = build(1, true);
    let without = build(2, false);
    assert!(one.len() == without.len() + 3 && without.len() > 8);
    for threads in [2, 4] {
        assert!(one == build(threads, true), "{threads} threads");
    }
    // Rows of crops change nothing else, but for the numbers of files.
    let head = |name: &str| {
        name.rsplit_once('-')
            .map_or(name, |(head, _)| head)
            .to_owned()
    };
    let plain = |files: BTreeMap<String, Vec<u8>>| {
        let files = files.into_iter().map(|(name, bytes)| (head(&name), bytes));
        files
            .filter(|(name, _)| !name.starts_with("crops") && name != "manifest")
            .collect::<BTreeMap<_, _>>()
    };
    assert!(plain(one) == plain(without));
}

#[test]
fn a_check_of_everything_finds_each_repetition_once() {
    let tree = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| write(tree.path(), name, bytes);
    at("train/cat/a.ppm", &ppm(1, 16));
    at("train/cat/b.ppm", &ppm(1, 16));
    at("train/cat/c.ppm", &brighter(&ppm(1, 16), 1));
    at("train/dog/d.ppm", &brighter(&ppm(2, 16), 1));
    at("train/cat/e.ppm", &ppm(2, 16));
    at("test/cat/f.ppm", &ppm(3, 16));
    at("train/cat/g.ppm", &ppm(3, 16));
    at("train/cat/h.ppm", &ppm(4, 16));
    init(tree.path());
    sync(tree.path(), Vec::new());
    let reader = Reader::open(tree.path()).unwrap();
    let listed = wsidx::dataset::list(tree.path(), b"", &|| false)
        .unwrap()
        .files;
    let item = |f: wsidx::dataset::Found| wsidx::index::CheckItem {
        file: wsidx::dataset::to_path(tree.path(), &f.path),
        path: f.path,
        inside: true,
    };
    let checked = reader
        .check(
            listed.into_iter().map(item).collect(),
            &CheckOptions::default(),
            &Silent,
        )
        .unwrap();
    let words: Vec<String> = checked
        .iter()
        .map(|c| {
            let j = &c.judgement;
            let path = String::from_utf8_lossy(&c.item.path).into_owned();
            format!(
                "{path} {} exact={} leak={} {}+{}",
                j.verdict.name(),
                j.exact,
                j.leak,
                j.duplicates,
                j.conflicts
            )
        })
        .collect();
    assert_eq!(
        words,
        [
            "test/cat/f.ppm novel exact=false leak=false 0+0",
            "train/cat/a.ppm novel exact=false leak=false 0+0",
            "train/cat/b.ppm redundant exact=true leak=false 1+0",
            "train/cat/c.ppm redundant exact=false leak=false 1+0",
            "train/cat/e.ppm novel exact=false leak=false 0+0",
            "train/cat/g.ppm redundant exact=true leak=true 1+0",
            "train/cat/h.ppm novel exact=false leak=false 0+0",
            "train/dog/d.ppm influential exact=false leak=false 0+1",
        ]
    );
}
