//! Embeddings: npy, npz, Parquet, and lists of paths.
//!
//! Held: there is a path for each row; all rows can be taken, and each number of them is finite.

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, Crc, write::DeflateEncoder};
use wsidx::dataset::Embeddings;

use crate::{folder, joined, parts, samples, within};

const MEMORY: usize = 256 << 20;
/// Numbers that are taken at once.
const MOST_NUMBERS: usize = 1 << 20;

fn put(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a file can be written");
    path
}

/// The first byte selects the format.
pub fn run(data: &[u8]) {
    let Some((&select, data)) = data.split_first() else { return };
    match select % 8 {
        0 => {
            let [ids, array] = parts(data);
            read(&put("a.npy", array), Some(&put("ids.txt", ids)));
        }
        1 => read(&put("a.npz", data), None),
        2 => {
            let [ids, array] = parts(data);
            read(&put("b.npz", &zip(&[("embeddings.npy", array), ("ids.npy", ids)], false)), None);
        }
        3 => {
            let [ids, array] = parts(data);
            read(&put("c.npz", &zip(&[("embeddings.npy", array), ("ids.npy", ids)], true)), None);
        }
        4 => read(&put("a.parquet", data), None),
        5 => {
            let [ids, table] = parts(data);
            read(&put("b.parquet", table), Some(&put("ids.txt", ids)));
        }
        6 => read(&put("d.npy", &array(3, 1)), Some(&put("ids.csv", data))),
        // A header of the length that it says, before values of the length that it tells.
        _ => {
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((data.len() as u16).to_le_bytes());
            file.extend_from_slice(data);
            file.extend([1; 64]);
            read(&put("e.npy", &file), Some(&put("ids.txt", b"a.png\nb.png\n")));
        }
    }
}

fn read(path: &Path, ids: Option<&Path>) {
    within(MEMORY, || {
        let Ok(all) = Embeddings::open(path, ids) else { return };
        let count = all.ids().len();
        assert!(all.ids().iter().all(|id| !id.is_empty()));
        let first: Vec<Option<u32>> = (0..count).map(|row| (row == 0).then_some(0)).collect();
        let Ok(one) = all.rows(&first, 1) else { return };
        if one.ncols().saturating_mul(count) <= MOST_NUMBERS {
            let places: Vec<Option<u32>> = (0..count as u32).map(Some).collect();
            if let Ok(rows) = all.rows(&places, count) {
                assert!(rows.iter().all(|value| value.is_finite()));
            }
        }
    });
}

/// A matrix of ones.
fn array(rows: usize, columns: usize) -> Vec<u8> {
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((head.len() as u16).to_le_bytes());
    file.extend(head.bytes());
    (0..rows * columns).for_each(|_| file.extend(1_f32.to_le_bytes()));
    file
}

/// An archive with right checksums, so that what is in the members is reached.
fn zip(members: &[(&str, &[u8])], deflated: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut crc = Crc::new();
        crc.update(content);
        let packed = if deflated {
            let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(content).expect("memory takes bytes");
            packed.finish().expect("memory takes bytes")
        } else {
            content.to_vec()
        };
        let method = if deflated { 8_u16 } else { 0 };
        let mut common = [20_u16, 0, method, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        common.extend([crc.sum(), packed.len() as u32, content.len() as u32].iter().flat_map(|n| n.to_le_bytes()));
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        let at = file.len() as u32;
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.bytes());
        file.extend(packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.bytes());
    }
    let (at, count) = (file.len() as u32, members.len() as u16);
    let length = directory.len() as u32;
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].iter().flat_map(|n| n.to_le_bytes()));
    file.extend([length, at].iter().flat_map(|n| n.to_le_bytes()));
    file.extend([0, 0]);
    file
}

/// The sample files, alone and with their lists.
pub fn seeds() -> Vec<Vec<u8>> {
    let arrays = samples("embeddings", &[".npy"]);
    let [lines, table] = [".txt", ".csv"].map(|end| samples("embeddings", &[end]).remove(0).1);
    let ids_header = "{'descr': '<U5', 'fortran_order': False, 'shape': (2,), }";
    let mut ids = b"\x93NUMPY\x01\x00".to_vec();
    ids.extend((ids_header.len() as u16).to_le_bytes());
    ids.extend(ids_header.bytes());
    "a.pngb.png".chars().for_each(|c| ids.extend(u32::from(c).to_le_bytes()));
    let mut seeds: Vec<Vec<u8>> = arrays.iter().map(|(_, bytes)| joined(0, &[&lines, bytes])).collect();
    seeds.extend(samples("embeddings", &[".npz"]).iter().map(|(_, bytes)| joined(1, &[bytes])));
    seeds.extend([2, 3].map(|select| joined(select, &[&ids, &array(2, 3)])));
    for (_, bytes) in samples("embeddings", &[".parquet"]) {
        seeds.extend([joined(4, &[&bytes]), joined(5, &[&lines, &bytes])]);
    }
    seeds.extend([joined(6, &[&table]), joined(6, &[b"file_name,x\na,1\nb,2\nc,3\n"])]);
    seeds.extend(
        ["<f4", ">f8", "|i1", "<u2"]
            .map(|kind| joined(7, &[format!("{{'descr': '{kind}', 'fortran_order': True, 'shape': (2, 8), }}").as_bytes()])),
    );
    seeds
}
