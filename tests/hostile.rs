//! Files that are small and unpack to much: the program takes no more memory for them than its
//! limits say, and says which setting would.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, io::Write as _, path::Path, process::Stdio, time::Duration};

use flate2::{Compression, write::ZlibEncoder};
use support::{
    PROGRAM, command,
    images::{ppm, write},
    wsidx,
};

/// `count` zeros, packed.
fn packed_zeros(count: usize) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for at in (0..count).step_by(zeros.len()) {
        packed
            .write_all(&zeros[..zeros.len().min(count - at)])
            .unwrap();
    }
    packed.finish().unwrap()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [
        &(data.len() as u32).to_be_bytes()[..],
        kind,
        data,
        &crc.sum().to_be_bytes(),
    ]
    .concat()
}

/// A black colour PNG of this side, with a chunk before its samples.
fn png(side: u32, samples: &[u8], extra: &[u8]) -> Vec<u8> {
    let head = [
        &side.to_be_bytes()[..],
        &side.to_be_bytes(),
        &[8, 2, 0, 0, 0],
    ]
    .concat();
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &head),
        extra.to_vec(),
        chunk(b"IDAT", samples),
        chunk(b"IEND", b""),
    ]
    .concat()
}

/// The most memory that a command has at a time, in MiB, with eight threads; and what it says.
fn peak(root: &Path, arguments: &[&str]) -> (u64, String) {
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = command(PROGRAM, root)
        .args(arguments)
        .env("RAYON_NUM_THREADS", "8")
        .stdout(said.reopen().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = most.max(line.map_or(0, |line| {
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        }));
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    (
        most >> 10,
        String::from_utf8_lossy(&[fs::read(said.path()).unwrap(), output.stderr].concat())
            .into_owned(),
    )
}

#[test]
fn a_colour_profile_that_unpacks_to_a_gigabyte_is_not_unpacked() {
    let tree = tempfile::tempdir().unwrap();
    let profile = chunk(
        b"iCCP",
        &[b"x\0\0".to_vec(), packed_zeros(1 << 30)].concat(),
    );
    for seed in 0..3_u8 {
        let file = png(
            16,
            &packed_zeros(16 * 49),
            &[profile.clone(), chunk(b"tEXt", &[b'a', 0, seed])].concat(),
        );
        write(tree.path(), &format!("a/{seed}.png"), &file);
    }
    wsidx(tree.path(), ["init"]).expect(0);
    let (most, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("3 contents") && most < 200,
        "{most} MiB: {said}"
    );
}

#[test]
fn threads_decode_large_images_within_one_budget() {
    let tree = tempfile::tempdir().unwrap();
    write(
        tree.path(),
        "wsidx.toml",
        b"[limits]\nmemory = 134_217_728\n",
    );
    let samples = packed_zeros(5_000 * 15_001);
    for seed in 0..8_u8 {
        write(
            tree.path(),
            &format!("a/{seed}.png"),
            &png(5_000, &samples, &chunk(b"tEXt", &[b'a', 0, seed])),
        );
    }
    wsidx(tree.path(), ["init", "--size", "64"]).expect(0);
    let (most, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("8 contents") && most < 260,
        "{most} MiB: {said}"
    );
}

#[test]
fn a_table_of_a_million_files_that_are_not_there_takes_little() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "cat/1.ppm", &ppm(1, 16));
    let table: String = (0..1_000_000).map(|i| format!("x/{i}.png,{i}\n")).collect();
    write(
        tree.path(),
        "labels.csv",
        format!("file_name,label\n{table}").as_bytes(),
    );
    wsidx(tree.path(), ["init"]).expect(0);
    let (most, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("1 content ") && most < 180,
        "{most} MiB: {said}"
    );
    write(tree.path(), "wsidx.toml", b"[limits]\ntable_lines = 1000\n");
    let (_, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("raise `table_lines` under [limits]"),
        "{said}"
    );
    write(tree.path(), "wsidx.toml", b"[limits]\ntable_bytes = 1000\n");
    let (_, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("raise `table_bytes` under [limits]"),
        "{said}"
    );
}

#[test]
fn a_quotation_mark_that_is_never_closed_is_an_error_and_no_line_of_all_memory() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "cat/1.ppm", &ppm(1, 16));
    write(
        tree.path(),
        "labels.csv",
        &[b"file_name,label\n\"".to_vec(), vec![b'a'; 100 << 20]].concat(),
    );
    wsidx(tree.path(), ["init"]).expect(0);
    let (most, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("is a quotation mark not closed?") && most < 100,
        "{most} MiB: {said}"
    );
}

#[test]
fn the_limits_of_the_dataset_hold_for_every_command_and_each_names_the_setting() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    for seed in 0..3 {
        write(root, &format!("cat/{seed}.ppm"), &ppm(seed, 16));
    }
    wsidx(root, ["init", "--size", "16"]).expect(0);
    wsidx(root, ["sync"]).expect(0);
    write(root, "new.ppm", &ppm(9, 16));
    for (setting, value) in [("pixels", 100), ("file_bytes", 100)] {
        write(
            root,
            "wsidx.toml",
            format!("[limits]\n{setting} = {value}\n").as_bytes(),
        );
        let names_it = |arguments: &[&str]| {
            let (_, said) = peak(root, arguments);
            assert!(
                said.contains(&format!("raise `{setting}` under [limits] in wsidx.toml")),
                "{arguments:?}: {said}"
            );
        };
        names_it(&["sync", "--format", "json"]);
        names_it(&["check", "new.ppm", "--format", "json"]);
        names_it(&["query", "new.ppm"]);
        names_it(&["compare", "new.ppm", "cat/1.ppm"]);
    }
}

#[test]
fn pictures_of_a_few_pixels_are_not_taken_in_by_the_million() {
    let tree = tempfile::tempdir().unwrap();
    let head = [
        &b"\0\0\x08\x03"[..],
        &2_000_000_u32.to_be_bytes(),
        &1_u32.to_be_bytes(),
        &1_u32.to_be_bytes(),
    ]
    .concat();
    write(
        tree.path(),
        "train-images-idx3-ubyte",
        &[head, vec![7; 2_000_000]].concat(),
    );
    wsidx(tree.path(), ["init"]).expect(0);
    let (most, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("it has 2000000 images; a file of 2000016 bytes may have 225001")
            && most < 100,
        "{most} MiB: {said}"
    );
}

/// A file that ends with zeros which nobody has written.
fn with_hole(file: &Path, head: &[u8], size: u64) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, head).unwrap();
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(size)
        .unwrap();
}

#[test]
fn large_files_are_in_memory_one_at_a_time() {
    let tree = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        let head = format!("P6\n# {seed}\n4000 4000\n255\n");
        with_hole(
            &tree.path().join(format!("a/{seed}.ppm")),
            head.as_bytes(),
            head.len() as u64 + 48_000_000,
        );
    }
    wsidx(tree.path(), ["init", "--size", "16"]).expect(0);
    let (most, said) = peak(tree.path(), &["sync"]);
    assert!(
        said.contains("8 contents") && most < 250,
        "{most} MiB: {said}"
    );
    let (most, said) = peak(tree.path(), &["check", "."]);
    assert!(
        said.contains("8 images checked") && most < 250,
        "{most} MiB: {said}"
    );
}

#[test]
fn thousands_of_copies_of_a_few_images_are_judged_without_a_list_of_all_for_each() {
    let tree = tempfile::tempdir().unwrap();
    let head = [
        &b"\0\0\x08\x03"[..],
        &20_000_u32.to_be_bytes(),
        &8_u32.to_be_bytes(),
        &8_u32.to_be_bytes(),
    ]
    .concat();
    let pictures: Vec<u8> = (0..20_000 * 64_usize)
        .map(|i| ((i % 64) * (i / 64 % 4 * 2 + 3) * 29) as u8)
        .collect();
    write(
        tree.path(),
        "train-images-idx3-ubyte",
        &[head, pictures].concat(),
    );
    wsidx(tree.path(), ["init", "--size", "8"]).expect(0);
    let (_, said) = peak(tree.path(), &["sync"]);
    assert!(said.contains("20,000 images with 4 contents"), "{said}");
    let (most, said) = peak(tree.path(), &["check", ".", "--format", "json"]);
    assert!(
        said.contains("train-images-idx3-ubyte#19999") && most < 400,
        "{most} MiB: {}",
        said.len()
    );
}

#[test]
fn embeddings_of_millions_of_numbers_each_are_refused() {
    let tree = tempfile::tempdir().unwrap();
    for seed in 1..3 {
        write(tree.path(), &format!("cat/{seed}.ppm"), &ppm(seed, 16));
    }
    let header = format!(
        "{:<117}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 250000000), }"
    );
    let head = [
        &b"\x93NUMPY\x01\0"[..],
        &(header.len() as u16).to_le_bytes(),
        header.as_bytes(),
    ]
    .concat();
    with_hole(
        &tree.path().join("e.npy"),
        &head,
        head.len() as u64 + 2_000_000_000,
    );
    write(tree.path(), "ids.txt", b"cat/1.ppm\ncat/2.ppm\n");
    wsidx(tree.path(), ["init"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    let (most, said) = peak(
        tree.path(),
        &[
            "reduce",
            "--method",
            "complete-linkage",
            "--redundant",
            "0.1",
            "--embeddings",
            "e.npy",
            "--ids",
            "ids.txt",
        ],
    );
    assert!(
        said.contains("have 250000000 numbers each; at most 16384 are read") && most < 100,
        "{most} MiB: {said}"
    );
}
