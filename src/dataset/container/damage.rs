//! Containers that are cut and changed at every byte: they are opened or refused, and nothing else
//! happens.

use std::{fs, path::Path};

use super::{Container, Images};
use crate::{dataset::Buffer, picture::Limits};

/// The names and bytes of small containers, and what lies beside them.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let idx = |dimensions: &[u8], values: &[u8]| {
        let head = [0, 0, 8, dimensions.len() as u8]
            .into_iter()
            .chain(dimensions.iter().flat_map(|&n| [0, 0, 0, n]));
        head.chain(values.iter().copied()).collect::<Vec<u8>>()
    };
    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let images = idx(&[3, 2, 2], &[9; 12]);
    let mut batch = vec![1_u8; 2 * 3073];
    batch[3073] = 9;
    vec![
        ("a-images-idx3-ubyte", images.clone()),
        ("a-labels-idx1-ubyte", idx(&[3], &[1, 2, 3])),
        ("b-images-idx3-ubyte.gz", packed(&images)),
        ("data_batch_1.bin", batch),
        ("data_batch_2", pickled()),
        (
            "c.tar",
            [
                member(b"a/1.cls", b'0', b"x"),
                member(b"././@LongLink", b'L', b"a/2.png\0"),
                member(b"b", b'0', b"y"),
                member(b"p", b'x', b"14 path=b.png\n"),
                member(b"q", b'0', b"z"),
                vec![0; 1024],
            ]
            .concat(),
        ),
    ]
}

/// A member of a tar in one block.
fn member(name: &[u8], kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend(bytes);
    block.resize(1024, 0);
    block
}

/// A batch of one black picture as Python 3 writes it, with every instruction that is known.
fn pickled() -> Vec<u8> {
    let mut bytes =
        b"\x80\x04\x95\0\0\0\0\0\0\0\0}\x94(\x8c\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94".to_vec();
    bytes.extend(b"cnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01K\x01M\0\x0c\x86cnumpy\ndtype\nU\x02u1\x89\x88\x87R");
    bytes.extend(b"(J\x03\0\0\0X\x01\0\0\0|NNN\x8a\x01\xffI-1\nK\0tb\x89B\0\x0c\0\0");
    bytes.extend([0; 3072]);
    bytes.extend(b"tbc_codecs\nencode\nX\x01\0\0\0aU\x06latin1\x86Rh\x01X\x01\0\0\0br\x09\0\0\0j\x09\0\0\0X\x06\0\0\0labels](K\x01eu.");
    bytes
}

/// Opens what is there, and reads all its items.
fn read(path: &Path) -> usize {
    let mut buffer = Buffer::default();
    let Ok(container) = Container::open(path) else {
        return 0;
    };
    for item in 0..container.count() {
        let _ = container.read(item, &Limits::default(), &mut buffer);
        let _ = container.told(item, b"x");
        assert_eq!(container.items.find(&container.name(item)), Some(item));
    }
    container.count()
}

#[test]
fn containers_that_are_cut_or_changed_at_any_byte_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    samples
        .iter()
        .for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    for (name, bytes) in &samples {
        let file = folder.path().join(name);
        // Labels are read with the images that they belong to.
        let opened = folder
            .path()
            .join(name.replace("labels-idx1", "images-idx3"));
        assert!(read(&opened) > 0, "{name}");
        let step = bytes.len().div_ceil(600);
        for at in (0..bytes.len()).step_by(step) {
            fs::write(&file, &bytes[..at]).unwrap();
            assert!(at == 0 || read(&opened) <= 3, "{name} cut at {at}");
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                fs::write(&file, &changed).unwrap();
                read(&opened);
            }
        }
        fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn the_containers_that_were_used_last_stay_open_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (images, mut buffer) = (Images::default(), Buffer::default());
    for number in 0..10 {
        let file = folder.path().join(format!("data_batch_{number}.bin"));
        fs::write(&file, vec![0; 3073]).unwrap();
        let item = folder.path().join(format!("data_batch_{number}.bin#0"));
        images.read(&item, &Limits::default(), &mut buffer).unwrap();
        assert!(buffer.bytes.starts_with(b"P6\n32 32\n255\n") && buffer.bytes.len() == 13 + 3072);
    }
    let names = |images: &Images| format!("{images:?}").matches("data_batch_").count();
    assert_eq!(names(&images), 8);
    let last = folder.path().join("data_batch_9.bin#1");
    let reason = images
        .read(&last, &Limits::default(), &mut buffer)
        .unwrap_err()
        .to_string();
    assert!(
        reason.contains("there is no such item; the container has 1, the first is `0`"),
        "{reason}"
    );
}

/// Files of holes: what their heads tell is true, and nobody has so much memory.
#[test]
fn what_a_container_tells_of_itself_is_held_against_limits_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = |name: &str, dimensions: [u32; 3]| {
        let file = folder.path().join(name);
        let head = [0, 0, 8, 3]
            .into_iter()
            .chain(dimensions.into_iter().flat_map(u32::to_be_bytes));
        fs::write(&file, head.collect::<Vec<u8>>()).unwrap();
        let values: u64 = dimensions.map(u64::from).iter().product();
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(16 + values)
            .unwrap();
        Container::open(&file)
    };
    let large = sparse("large-idx3-ubyte", [1, 1 << 20, 1 << 20]).unwrap();
    let reason = large
        .read(0, &Limits::default(), &mut Buffer::default())
        .unwrap_err()
        .to_string();
    assert!(
        reason.contains("1099511627776 bytes; the limit is"),
        "{reason}"
    );
    let reason = sparse("many-idx3-ubyte", [1 << 30, 1, 1])
        .unwrap_err()
        .to_string();
    assert!(
        reason.contains("it tells of 1073741824 pictures; the limit is"),
        "{reason}"
    );
}
