//! Tests: other versions, foreign files, sizes out of bounds, and the golden bytes of version 1.

use std::{path::Path, sync::Arc};

use super::{
    Packs, Record,
    crash::{commit, contents, records, visited},
    damage::*,
    layout::pack_name,
};
use crate::{
    Error,
    store::medium::{Folder, Memory},
};

#[test]
fn other_versions_and_foreign_files_are_named() {
    let memory = appended_once();
    let mut newer = memory.bytes(&pack_name(1));
    newer[8] = 9;
    let sum = twox_hash::XxHash3_64::oneshot(&newer[..56]).to_le_bytes();
    newer[56..64].copy_from_slice(&sum);
    memory.plant(&pack_name(1), &newer);
    let Err(Error::Version { what, .. }) = Packs::open(Arc::new(memory)) else {
        panic!("a newer version is refused")
    };
    assert!(what.contains("version 9"), "{what}");

    let foreign = Memory::new();
    foreign.plant(&pack_name(1), &[b'x'; 500]);
    let Err(Error::Version { what, .. }) = Packs::open(Arc::new(foreign)) else {
        panic!("a foreign file is refused")
    };
    assert!(what.contains("not wsidx's"), "{what}");
    assert!(matches!(
        Packs::open(Arc::new(Memory::new())),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn an_index_is_not_created_over_another_nor_over_what_is_left_of_one() {
    let memory = appended_once();
    memory.flip(&pack_name(1), 3, 1);
    memory.flip(&pack_name(1), 70, 1);
    let created = Packs::create(Arc::new(memory.clone()), b"other");
    assert!(matches!(created, Err(Error::AlreadyExists { .. })));
    let header_only = Memory::new();
    header_only.plant(&pack_name(1), &memory.bytes(&pack_name(1))[..40]);
    assert!(Packs::create(Arc::new(header_only), b"other").is_ok());
}

#[test]
fn records_and_settings_that_are_too_large_are_refused_before_anything_is_written() {
    let memory = Memory::new();
    assert!(matches!(
        Packs::create(Arc::new(memory.clone()), &vec![0; 2 << 20]),
        Err(Error::Input(_))
    ));
    assert_eq!(memory.operations(), 0);
    let mut packs = Packs::create(Arc::new(memory.clone()), b"").unwrap();
    let before = memory.operations();
    let Record::Content(content) = contents().remove(0) else {
        panic!("a content")
    };
    let large = Record::Content(super::Content {
        code: vec![0; 64 << 20],
        ..content
    });
    assert!(matches!(
        packs.append(&[large], &commit(1)),
        Err(Error::Input(_))
    ));
    assert_eq!(memory.operations(), before);
    assert_eq!(packs.append(&contents(), &commit(1)).unwrap().len(), 3);
}

#[test]
fn a_place_that_holds_something_else_gives_no_content() {
    let memory = appended_once();
    let mut packs = Packs::open(Arc::new(memory)).unwrap();
    let place = visited(&mut packs, None).unwrap().1[1].0;
    assert!(packs.read_content(place).is_ok());
    for wrong in [
        super::Place {
            len: place.len - 1,
            ..place
        },
        super::Place {
            len: place.len + 1,
            ..place
        },
        super::Place {
            len: u32::MAX,
            ..place
        },
        super::Place {
            offset: place.offset + 16,
            ..place
        },
        super::Place {
            offset: u64::MAX - 3,
            ..place
        },
        super::Place {
            offset: 64,
            ..place
        },
    ] {
        assert!(
            matches!(packs.read_content(wrong), Err(Error::Damaged { .. })),
            "{wrong:?}"
        );
    }
    assert!(
        packs
            .read_content(super::Place { pack: 9, ..place })
            .is_err()
    );
}

#[test]
fn on_a_real_folder_flips_and_cuts_are_reported_too() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| Packs::open(Arc::new(Folder::open(path).unwrap()));
    let mut packs =
        Packs::create(Arc::new(Folder::open(dir.path()).unwrap()), b"settings").unwrap();
    packs.append(&contents(), &commit(1)).unwrap();
    packs.append(&contents(), &commit(2)).unwrap();
    drop(packs);
    let path = dir.path().join(pack_name(1));
    let sound = std::fs::read(&path).unwrap();
    for at in (0..sound.len() / 2).step_by(7) {
        let mut bad = sound.clone();
        bad[at] ^= 4;
        std::fs::write(&path, &bad).unwrap();
        let Ok(mut packs) = open(dir.path()) else {
            continue;
        };
        let (replay, found, _) = visited(&mut packs, None).unwrap();
        assert!(found.len() == 6 || !replay.damage.is_empty(), "byte {at}");
    }
    std::fs::write(&path, &sound[..sound.len() - 20]).unwrap();
    let mut packs = open(dir.path()).unwrap();
    let (replay, found, _) = visited(&mut packs, None).unwrap();
    assert!(replay.torn.is_some() && found.len() == 3);
    packs.append(&contents(), &commit(3)).unwrap();
    assert_eq!(records(&mut open(dir.path()).unwrap()).len(), 6);
}

#[test]
fn the_bytes_of_a_pack_are_those_of_version_1() {
    let bytes = appended_once().bytes(&pack_name(1));
    assert_eq!(
        (bytes.len(), twox_hash::XxHash3_64::oneshot(&bytes)),
        (752, 10_929_389_985_359_436_484),
        "packs of earlier builds must still be read"
    );
    let page = include_str!("../format.md");
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for said in [&bytes[..8], &bytes[64..72]] {
        assert!(page.contains(&hex(said)), "format.md names {}", hex(said));
    }
    assert_eq!(bytes[72], 0, "the preface is the first record");
    assert_eq!(bytes[96..160], bytes[..64], "and repeats the header");
    assert_eq!(&bytes[160..168], b"settings");
}
