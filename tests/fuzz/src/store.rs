//! What an index holds: packs and their records, the manifest and files of the view, the code of
//! cached pictures.
//!
//! Checksums are made right, so that what is behind them is reached: whoever may write to the
//! folder can do the same. Held: what is read and written again is read as the same; damage is an
//! error or reported, and readers of every table survive it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use twox_hash::XxHash3_64;
use wsidx::{
    feature::Feature,
    knn::{Neighbor, OwnedPlanes},
    picture::Shape,
    similarity::{Edge, register::Needs},
    store::{
        alias::Alias,
        medium::{Medium as _, Memory},
        packs::{Aliases, Basis, Commit, Content, Event, Gone, Packs, Place, Record, Seen, Stat, State},
        settings::Settings,
        view::{
            Changes, CropRows, Draft, FileEntry, Growing, Manifest, PathRecord, TableKind, View, growing_crops, pack_edges, pack_list,
            pack_names, publish, row_key,
        },
    },
    verdict::{Occurrence, Split},
    wavelet::lifting,
};

use crate::{joined, within};

const MEMORY: usize = 128 << 20;
const PACK: &str = "00000001.pack";
/// Bytes of a record's head, and of a pack's header (see the description of the format in the
/// library).
const HEAD: usize = 32;

/// The first byte selects what is read.
pub fn run(data: &[u8]) {
    let Some((&select, data)) = data.split_first() else { return };
    within(MEMORY, || match select % 5 {
        0 => record(data),
        1 => pack(data),
        2 => manifest(data),
        3 => view(data),
        _ => code(data),
    });
}

fn settings() -> Settings {
    Settings::new(Shape::new(8, 3).expect("a shape"))
}

fn commit() -> Commit {
    Commit { generation: 1, at: 2, contents: 3, paths: 4, state: 5 }
}

/// The bytes of a pack with these records in one batch, and where they are.
fn written(records: &[Record]) -> Option<(Vec<u8>, Vec<Place>)> {
    let medium = Memory::new();
    let mut packs = Packs::create(Arc::new(medium.clone()), settings().to_text().as_bytes()).expect("an empty folder");
    let places = packs.append(records, &commit()).ok()?;
    Some((medium.bytes(PACK), places))
}

/// The records that a pack gives.
fn replayed(bytes: &[u8]) -> wsidx::Result<Vec<Record>> {
    let medium = Memory::new();
    medium.plant(PACK, bytes);
    let mut packs = Packs::open(Arc::new(medium))?;
    let mut records = Vec::new();
    packs.replay(None, &mut |_, view| {
        records.extend(view.to_record());
        Ok(())
    })?;
    packs.end()?;
    Ok(records)
}

/// Any bytes as the payload of a record, with right checksums. The first byte is the kind.
fn record(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let room = Record::Event(Event { seq: 1, at: 2, text: vec![0; payload.len()] });
    let (mut bytes, places) = written(&[room]).expect("a small record");
    let Place { offset, len, .. } = places[0];
    let (at, len) = (offset as usize, len as usize);
    // An archive is read from its end.
    bytes[at + HEAD..at + HEAD + len].fill(0);
    bytes[at + HEAD + len - payload.len()..at + HEAD + len].copy_from_slice(payload);
    bytes[at + 8] = kind % 9;
    let sum = XxHash3_64::oneshot(&bytes[at + HEAD..at + HEAD + len]);
    bytes[at + 16..at + 24].copy_from_slice(&sum.to_le_bytes());
    let covered = [&bytes[at..at + 24], &1_u32.to_le_bytes(), &offset.to_le_bytes()].concat();
    bytes[at + 24..at + 32].copy_from_slice(&XxHash3_64::oneshot(&covered).to_le_bytes());
    let Ok(records) = replayed(&bytes) else { return };
    let (again, _) = written(&records).expect("what was read is not too large");
    assert_eq!(replayed(&again).expect("what was written can be read"), records);
}

/// A pack with some bytes changed.
fn pack(data: &[u8]) {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = BASE.get_or_init(|| written(&records()).expect("small records").0).clone();
    edit(&mut bytes, data);
    if let Ok(read) = replayed(&bytes) {
        assert!(read.len() <= records().len());
    }
}

/// Any bytes as the body of a manifest, with the right checksum. The first byte is the version.
fn manifest(data: &[u8]) {
    let Some((&version, body)) = data.split_first() else { return };
    let version = u32::from(version % 6);
    let mut bytes = b"WSIDXVIE".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend((XxHash3_64::oneshot(body) ^ u64::from(version).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes());
    bytes.extend_from_slice(body);
    let Ok(read) = Manifest::from_bytes(&bytes) else { return };
    assert_eq!(Manifest::from_bytes(&read.to_bytes()).expect("what was written can be read"), read);
    let medium = Memory::new();
    medium.plant("manifest", &bytes);
    let _ = View::open(&medium);
}

/// The code of a cached picture. The first byte selects size and planes.
fn code(data: &[u8]) {
    let Some((&select, code)) = data.split_first() else { return };
    let (size, planes) = ([8, 10, 28, 32][usize::from(select & 3)], if select & 4 == 0 { 1 } else { 3 });
    let mut samples = Vec::new();
    if lifting::decode(code, size, planes, &mut samples).is_err() {
        return;
    }
    let (mut again, mut out) = (Vec::new(), Vec::new());
    lifting::encode(&samples, size, planes, &mut out);
    lifting::decode(&out, size, planes, &mut again).expect("what was written can be read");
    assert_eq!(again, samples);
}

/// Changes some bytes as `edits` says: place (2 bytes), number of bytes and what to do, bytes.
fn edit(bytes: &mut Vec<u8>, mut edits: &[u8]) {
    while let Some(([low, high, number, how], rest)) = edits.split_first_chunk() {
        let at = usize::from(u16::from_le_bytes([*low, *high])).min(bytes.len());
        let (new, rest) = rest.split_at(usize::from(*number).min(rest.len()));
        match how % 4 {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, new.iter().copied())),
            _ => bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new),
        }
        edits = rest;
    }
}

/// A view of two rows with something in every table: its files and its manifest.
struct Base {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let medium = Memory::new();
        made(&medium).expect("a medium in memory takes all");
        let manifest = View::open(&medium).expect("it was made").manifest().clone();
        let files = manifest.files().map(|file| (file.name.clone(), medium.bytes(&file.name))).collect();
        Base { manifest, files }
    })
}

fn id(row: u32) -> [u8; 32] {
    [(200 - row) as u8; 32]
}

fn made(medium: &Memory) -> wsidx::Result<()> {
    let mut features = OwnedPlanes::new(8);
    (0..2).for_each(|row| features.push(&[100, row, 3, -4, 5, 6, 7, 8]));
    let mut growing = Growing::new(medium, None, 8, &BTreeMap::new())?;
    growing.push(&features, &[0, 1].map(|row| (id(row), Place { pack: 1, offset: 64, len: 9 })))?;
    let grown = growing.finish()?;
    let mut crops = growing_crops(medium, None, 8)?;
    crops.push(&features)?;
    let crops = Some(CropRows { rule: b"one of each".to_vec(), places: 1, files: crops.finish()? });
    let settings = settings().to_text().into_bytes();
    let manifest = Manifest { generation: 1, settings, basis: (0..8).collect(), live: 2, paths: 3, crops, ..Manifest::default() };
    let each = |value: &dyn Fn(u32) -> Vec<u8>| [0, 1].map(|row| (row_key(row).to_vec(), value(row))).to_vec();
    let occurrence = Occurrence { path: b"train/cat/a.png"[..].into(), label: Some(b"cat"[..].into()), split: Some(Split::Train) };
    let table = |entries: Vec<(Vec<u8>, Vec<u8>)>| {
        Changes::new(entries.len(), move |visit| entries.iter().try_for_each(|(key, value)| visit(key, Some(value))))
    };
    let paths = vec![(b"a.png".to_vec(), PathRecord::Row(0).pack()), (b"b.png".to_vec(), PathRecord::Undecodable("cut".into()).pack())];
    let aliases = vec![(Alias::Md5([3; 16]).to_bytes(), 1_u32.to_le_bytes().to_vec())];
    let changes = [
        table(each(&|_| pack_names(&[occurrence.clone()]))),
        table(paths),
        table(each(&|row| pack_list(&[Neighbor { row: 1 - row, distance: 7 }]))),
        table(each(&|row| pack_edges(&[Edge { row: 1 - row, similarity: 0.9, needs: Needs::ALL }]))),
        table(aliases),
    ];
    publish(medium, None, grown, Draft { manifest, live: vec![3], changes })
}

/// Files of a view with some bytes changed, named by a manifest with right checksums. The first
/// byte selects the file.
fn view(data: &[u8]) {
    let Some((&select, edits)) = data.split_first() else { return };
    let (Base { manifest, files }, medium) = (base(), Memory::new());
    let mut manifest = manifest.clone();
    let chosen = manifest.files().nth(usize::from(select) % files.len()).map(|file| file.name.clone()).unwrap_or_default();
    let mut changed = files[&chosen].clone();
    edit(&mut changed, edits);
    for (name, bytes) in files {
        medium.plant(name, if *name == chosen { &changed } else { bytes });
    }
    let of_crops = manifest.crops.iter_mut().flat_map(|crops| &mut crops.files);
    let of_rows = manifest.columns.iter_mut().chain(&mut manifest.order).chain(manifest.tables.iter_mut().flatten());
    of_rows.chain(of_crops).filter(|file| file.name == chosen).for_each(|file| *file = FileEntry::of(chosen.clone(), &changed));
    medium.plant("manifest", &manifest.to_bytes());
    assert_eq!(medium.len("manifest").ok(), Some(manifest.to_bytes().len() as u64));
    if let Ok(view) = View::open(&medium) {
        look(&view);
    }
}

/// Everything that a reader asks of a view.
fn look(view: &View) {
    view.check().expect("the checksums are right");
    // Rows that no feature can have (forged: no writer makes them) are read as others.
    let features = view.planes().and_then(|planes| planes.check()).is_ok();
    let rows = view.rows() as u32;
    for row in (0..rows.min(8)).chain([rows, u32::MAX]) {
        let found = (view.row(row), view.content(row), view.feature(row), view.list(row), view.whole_list(row), view.edges(row));
        assert!(row < rows || (found.0.is_err() && found.1.is_err() && found.2.is_err()), "a row that is not there is given");
        let _ = view.distance_in_list(row, 0);
        if let Ok(feature) = found.2 {
            let own = view.distance(&Feature(feature.0.clone()), row);
            assert!(!features || own.is_ok_and(|own| own == 0), "a feature is not at its own place");
        }
    }
    for id in [id(0), id(1), [0; 32], [255; 32]] {
        if let Ok(Some(row)) = view.row_of(&id) {
            assert!(view.content(row).is_ok_and(|(own, _)| own == id), "a content is found in a row that has another");
        }
    }
    for path in [&b"a.png"[..], b"b.png", b"", b"zz"] {
        let _ = view.path(path);
    }
    let _ = view.rows_of_aliases(&[Alias::Md5([3; 16])]);
    let _ = (view.live_words(), view.planes().and_then(|planes| planes.check()), view.search(|planes| planes.rows()));
    let _ = view.crops().map(|crops| (crops.rows(), crops.row(0).is_ok(), crops.row(u32::MAX).is_ok()));
    for kind in TableKind::ALL {
        let mut count = 0_u64;
        let _ = view.table(kind).for_each(|_, _| {
            count += 1;
            Ok(())
        });
        let _ = view.table(kind).get(b"a.png");
    }
}

/// One record of each kind.
fn records() -> Vec<Record> {
    let stat = Stat { size: 99, mtime_ns: -5, ctime_ns: 7, inode: u64::MAX };
    let seen = |state: State| Seen { path: b"a/b.png".to_vec(), id: [2; 32], state, stat, label: Some(b"cat".to_vec()), split: 1 };
    vec![
        Record::Content(Content { id: [1; 32], bytes: 5, format: 1, width: 2, height: 3, code: vec![7; 30] }),
        Record::Path(seen(State::Present)),
        Record::Path(seen(State::Undecodable("the file ends too soon".into()))),
        Record::Gone(Gone { path: b"a/c.png".to_vec(), at: 1 }),
        Record::Basis(Basis { columns: vec![0, 2, 1], scale: 3, fingerprint: [9; 32] }),
        Record::Aliases(Aliases { id: [1; 32], aliases: Alias::Md5([3; 16]).to_bytes() }),
        Record::Event(Event { seq: 1, at: -7, text: b"{}".to_vec() }),
    ]
}

/// Payloads of every kind, edits of packs and views, and codes of pictures.
pub fn seeds() -> Vec<Vec<u8>> {
    let (bytes, places) = written(&records()).expect("small records");
    let mut seeds = Vec::new();
    for Place { offset, len, .. } in places {
        let at = offset as usize;
        seeds.push([&[0, bytes[at + 8]][..], &bytes[at + HEAD..at + HEAD + len as usize]].concat());
    }
    seeds.push(joined(1, &[&[64, 0, 3, 2, 1, 2, 3, 200, 0, 0, 0]]));
    seeds.push(joined(2, &[&[&[4][..], &base().manifest.to_bytes()[28..]].concat()]));
    (0..14).for_each(|file| seeds.push(vec![3, file, 8, 0, 2, 2, 1, 0]));
    for (select, size, planes) in [(0, 8_u16, 1_u8), (4, 8, 3), (5, 10, 3), (7, 32, 3)] {
        let samples: Vec<u8> = (0..usize::from(size).pow(2) * usize::from(planes)).map(|i| (i * 7 % 251) as u8).collect();
        let mut code = vec![4, select];
        lifting::encode(&samples, size, planes, &mut code);
        seeds.push(code);
    }
    seeds
}
