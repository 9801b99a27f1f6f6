//! Files that hold many images → their items: tar, Parquet, IDX, CIFAR as binary and as pickle.
//!
//! Held: every item is found again by its name; what is read of one is within the limit; label and
//! split can be told.

use std::{fs, io::Write as _, path::PathBuf};

use flate2::{Compression, write::GzEncoder};
use wsidx::{
    dataset::{Buffer, Container},
    picture::Limits,
};

use crate::{folder, joined, parts, samples, within};

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_side: 65_535, max_alloc: 16 << 20 };
/// What a container of the lengths that are tried may take: unpacked 1,032 to 1 and held twice.
const MEMORY: usize = 256 << 20;
/// Items that are read.
const MOST_READ: usize = 16;

fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a file can be written");
    path
}

fn remove(name: &str) {
    let _ = fs::remove_file(folder().join(name));
}

/// Writes the files that an input stands for; gives the path of the container.
fn files(select: u8, data: &[u8]) -> PathBuf {
    match select % 10 {
        0 => put("a.tar", data),
        1 => put("b.tar", &with_checksums(data)),
        2 => put("a.parquet", data),
        3 => put("a-idx3-ubyte", data),
        4 => put("a-idx3-ubyte.gz", data),
        5 => put("b-idx3-ubyte.gz", &gzip(data)),
        6 => {
            let [labels, images] = parts(data);
            put("images-labels-idx1-ubyte", labels);
            put("images-images-idx3-ubyte", images)
        }
        7 => {
            let [names, records] = parts(data);
            put("batches.meta.txt", names);
            put("data_batch_1.bin", &whole_records(records, 3_073))
        }
        8 => {
            let [meta, pickle] = parts(data);
            put("batches.meta", meta);
            put("data_batch_1", pickle)
        }
        _ => {
            let [meta, pickle] = parts(data);
            put("meta", meta);
            put("train", pickle)
        }
    }
}

/// The first byte selects the format.
pub fn run(data: &[u8]) {
    let Some((&select, data)) = data.split_first() else { return };
    let path = files(select, data);
    within(MEMORY, || read(&path));
    if path.ends_with("train") {
        remove("meta");
    }
}

fn read(path: &std::path::Path) {
    let Ok(container) = Container::open(path) else { return };
    let (count, mut buffer) = (container.count(), Buffer::default());
    let last = (count > MOST_READ).then(|| count - 1);
    for item in (0..count.min(MOST_READ)).chain(last) {
        let name = container.name(item);
        let _ = container.told(item, &[b"train/a.tar#", &name[..]].concat());
        if container.read(item, &LIMITS, &mut buffer).is_ok() {
            assert!(buffer.bytes.len() as u64 <= LIMITS.max_bytes);
        }
    }
    let images = wsidx::dataset::Images::default();
    let named = |item: usize| {
        let mut whole = path.as_os_str().to_owned();
        whole.push("#");
        whole.push(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&container.name(item)));
        PathBuf::from(whole)
    };
    for item in (0..count.min(2)).chain(last) {
        let by_number = container.read(item, &LIMITS, &mut buffer).map_err(|e| e.to_string()).map(|()| buffer.bytes.clone());
        let path = named(item);
        if wsidx::dataset::container_of(&path).is_none() {
            continue; // an item by whose name no container is recognised: `sync` passes it over
        }
        let by_name = images.read(&path, &LIMITS, &mut buffer).map_err(|e| e.to_string()).map(|_| buffer.bytes.clone());
        assert_eq!(by_number, by_name, "an item is another by its name");
    }
}

/// A tar whose headers have right checksums, so that what is behind them is reached.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut tar = data.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar" || block[100..107] == *b"0000644") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(data).expect("memory takes bytes");
    packed.finish().expect("memory takes bytes")
}

/// Filled with zeros up to whole records.
fn whole_records(data: &[u8], length: usize) -> Vec<u8> {
    let mut whole = data.to_vec();
    whole.resize(data.len().next_multiple_of(length), 0);
    whole
}

fn tar_member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let mut whole = with_checksums(&block);
    whole.extend_from_slice(content);
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole
}

fn pickle(names: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03".to_vec();
    file.extend_from_slice(names);
    file.extend(b"]q\x05(K\x01eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01bq\n\x87q\x0bRq\x0c(K\x01K\x01");
    file.extend(b"M\x00\x0c\x86q\rcnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11(K\x03U\x01|q\x12NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x13b\x89T");
    file.extend(3_072_u32.to_le_bytes());
    file.extend([7; 3_072]);
    file.extend(b"tq\x14bU\tfilenamesq\x15]q\x16(U\x05a.pngeu.");
    file
}

/// A small one of each format.
pub fn seeds() -> Vec<Vec<u8>> {
    let image = b"P5 1 1 255 x";
    let pax = b"24 path=train/cat/a.pgm\n";
    let tar = [
        tar_member("a/0001.pgm", b'0', image),
        tar_member("a/0001.cls", b'0', b"7"),
        tar_member("a/0001.json", b'0', b"{\"label\": \"cat\"}"),
        tar_member("long", b'L', b"train/cat/long.pgm\0"),
        tar_member("x", b'0', image),
        tar_member("pax", b'x', pax),
        tar_member("y", b'0', image),
        vec![0; 1024],
    ]
    .concat();
    let idx = |dimensions: &[u32], values: &[u8]| {
        let head = [0, 0, 8, dimensions.len() as u8].into_iter().chain(dimensions.iter().flat_map(|n| n.to_be_bytes()));
        head.chain(values.iter().copied()).collect::<Vec<u8>>()
    };
    let images = idx(&[3, 2, 2], &[9; 12]);
    let meta = b"\x80\x02}q\x01U\x0blabel_namesq\x02]q\x03(U\x03catU\x03dogeq\x04s.";
    let meta_100 = b"\x80\x02}q\x01U\x10fine_label_namesq\x02]q\x03(U\x03catU\x03dogeq\x04s.";
    let mut seeds = vec![
        joined(0, &[&tar]),
        joined(1, &[&tar]),
        joined(3, &[&images]),
        joined(4, &[&gzip(&images)]),
        joined(5, &[&images]),
        joined(6, &[&idx(&[3], &[1, 2, 3]), &images]),
        joined(7, &[b"cat\ndog\n", b"\x01\x02"]),
        joined(8, &[meta, &pickle(b"U\x06labelsq\x04")]),
        joined(9, &[meta_100, &pickle(b"U\x0bfine_labelsq\x04")]),
    ];
    let tables = samples("parquet", &[".parquet"]).into_iter().chain(samples("embeddings", &[".parquet"]));
    seeds.extend(tables.map(|(_, bytes)| joined(2, &[&bytes])));
    seeds
}
