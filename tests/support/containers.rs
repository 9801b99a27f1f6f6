//! Small containers of images, byte for byte as their formats say.

#![allow(dead_code, reason = "each test file uses a part of it")]

use super::images::ppm;

/// The side of CIFAR's pictures.
pub(crate) const SIDE: usize = 32;

/// The samples of picture `seed`: red, green, blue, one behind the other.
pub(crate) fn interleaved(seed: u64) -> Vec<u8> {
    let file = ppm(seed, SIDE);
    file[file.len() - 3 * SIDE * SIDE..].to_vec()
}

/// All of red, all of green, all of blue.
pub(crate) fn planes(seed: u64) -> Vec<u8> {
    let samples = interleaved(seed);
    (0..3)
        .flat_map(|plane| {
            samples
                .iter()
                .skip(plane)
                .step_by(3)
                .copied()
                .collect::<Vec<u8>>()
        })
        .collect()
}

/// The canonical file of bare samples.
pub(crate) fn netpbm(seed: u64) -> Vec<u8> {
    [&b"P6\n32 32\n255\n"[..], &interleaved(seed)].concat()
}

/// A binary batch of CIFAR-10: a label and a picture each.
pub(crate) fn cifar10(pictures: &[(u8, u64)]) -> Vec<u8> {
    pictures
        .iter()
        .flat_map(|&(label, seed)| [vec![label], planes(seed)].concat())
        .collect()
}

/// A binary batch of CIFAR-100: coarse label, fine label, picture.
pub(crate) fn cifar100(pictures: &[(u8, u64)]) -> Vec<u8> {
    pictures
        .iter()
        .flat_map(|&(label, seed)| [vec![label / 5, label], planes(seed)].concat())
        .collect()
}

/// An IDX file of unsigned bytes.
pub(crate) fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let head = [0, 0, 8, dimensions.len() as u8]
        .into_iter()
        .chain(dimensions.iter().flat_map(|n| n.to_be_bytes()));
    head.chain(values.iter().copied()).collect()
}

/// Grey pictures of 28 × 28 as IDX.
pub(crate) fn idx_images(seeds: &[u64]) -> Vec<u8> {
    let grey = |seed: &u64| {
        ppm(*seed, 28)[13..]
            .iter()
            .step_by(3)
            .copied()
            .collect::<Vec<u8>>()
    };
    idx(
        &[seeds.len() as u32, 28, 28],
        &seeds.iter().flat_map(grey).collect::<Vec<u8>>(),
    )
}

/// Packs as `gzip` does.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let mut child = Command::new("gzip")
        .args(["-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip runs");
    let mut stdin = child.stdin.take().expect("standard input");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).expect("gzip reads"));
    let out = child.wait_with_output().expect("gzip ends");
    writer.join().expect("all is written");
    out.stdout
}

/// A batch as Python 2 and NumPy 1 wrote it: the distributed files of CIFAR-10.
pub(crate) fn python2_batch(pictures: &[(u8, u64)]) -> Vec<u8> {
    let mut file = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(".to_vec();
    pictures
        .iter()
        .for_each(|(label, _)| file.extend([b'K', *label]));
    file.extend(
        b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01bq\n\x87q\x0bRq\x0c(K\x01M",
    );
    file.extend((pictures.len() as u16).to_le_bytes());
    file.extend(b"M\x00\x0c\x86q\rcnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11(K\x03U\x01|q\x12NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x13b\x89T");
    file.extend((pictures.len() as u32 * 3072).to_le_bytes());
    pictures
        .iter()
        .for_each(|(_, seed)| file.extend(planes(*seed)));
    file.extend(b"tq\x14bU\tfilenamesq\x15]q\x16(");
    pictures.iter().for_each(|_| file.extend(b"U\x05a.png"));
    file.extend(b"eu.");
    file
}

/// Writes files with the real Python: `script` has `planes`, the samples of the pictures of `seeds`
/// one behind the other, `array(bytes, shape)`, which pickles as NumPy 2 does, and `pickle`,
/// `tarfile`, `io`.
pub(crate) fn python(folder: &std::path::Path, seeds: &[u64], script: &str) {
    const HEAD: &str = r#"
import io, pickle, sys, tarfile, types
def module(name):
    made = sys.modules[name] = types.ModuleType(name)
    return made
numpy, multiarray = module('numpy'), [module('numpy._core'), module('numpy._core.multiarray')][1]
def _reconstruct(*of): pass
_reconstruct.__module__, multiarray._reconstruct = 'numpy._core.multiarray', _reconstruct
numeric = module('numpy._core.numeric')
def _frombuffer(*of): pass
_frombuffer.__module__, numeric._frombuffer = 'numpy._core.numeric', _frombuffer
class dtype:
    def __reduce__(self): return dtype, ('u1', False, True), (3, '|', None, None, None, -1, -1, 0)
class ndarray:
    def __reduce_ex__(self, protocol):
        if protocol == 5: return _frombuffer, (bytearray(self.data), dtype(), self.shape, 'C')
        return _reconstruct, (ndarray, (0,), b'b'), (1, self.shape, dtype(), False, self.data)
for made in dtype, ndarray:
    made.__module__ = 'numpy'
    setattr(numpy, made.__name__, made)
def array(data, shape):
    made = ndarray()
    made.data, made.shape = data, shape
    return made
planes = sys.stdin.buffer.read()
"#;
    use std::{io::Write as _, process::Stdio};
    let mut command = super::command("python3", folder);
    let mut child = command
        .args(["-c", &format!("{HEAD}\n{script}")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let all: Vec<u8> = seeds.iter().flat_map(|seed| planes(*seed)).collect();
    child
        .stdin
        .take()
        .expect("standard input")
        .write_all(&all)
        .expect("python3 reads");
    assert!(child.wait().expect("python3 ends").success());
}
