//! What version control says: pointers of git-lfs, output of git, files of DVC, tables of labels,
//! and what hooks are given.
//!
//! Held: what is read and written again is read as the same; no path of DVC or of a table leads
//! outside.

use std::{collections::BTreeMap, path::Path};

use md5::{Digest as _, Md5};
use wsidx::dataset::{
    Labels, dvc,
    git::{Pointer, RawChange, parse_diff, parse_pre_push, parse_pre_receive, parse_tree, pointer_text, range_of_ci},
};

use crate::{joined, parts, within};

const MEMORY: usize = 128 << 20;

/// The first byte selects what is read.
pub fn run(data: &[u8]) {
    let Some((&select, data)) = data.split_first() else { return };
    within(MEMORY, || match select % 9 {
        0 => pointer(data),
        1 => diff(data),
        2 => tree(data),
        3 => pushed(data),
        4 => dvc_files(&[(&b"data/a.dvc"[..], data)]),
        5 => {
            let [lock, pipeline] = parts(data);
            let _ = dvc::parse_wdirs(pipeline, "dvc.yaml");
            dvc_files(&[(b"p/dvc.lock", lock), (b"p/dvc.yaml", pipeline)]);
        }
        6 => manifest(data),
        7 => labels(data, b"train/labels.csv"),
        _ => labels(data, b"train/metadata.jsonl"),
    });
}

fn pointer(data: &[u8]) {
    let Some(pointer) = Pointer::parse(data) else { return };
    let again = Pointer::parse(&pointer_text(&pointer.sha256, pointer.size)).expect("what was written can be read");
    assert_eq!((again.sha256, again.size), (pointer.sha256, pointer.size));
}

fn diff(data: &[u8]) {
    let Some(changes) = parse_diff(data) else { return };
    let mut text = Vec::new();
    for RawChange { path, old, new } in &changes {
        let (modes, ids): (Vec<_>, Vec<_>) = [old, new]
            .map(|entry| {
                entry.map_or_else(|| ("000000".to_owned(), "0".repeat(40)), |entry| (format!("{:06o}", entry.mode), entry.id.hex()))
            })
            .into_iter()
            .unzip();
        text.extend(format!(":{} {} {} {} M\0", modes[0], modes[1], ids[0], ids[1]).bytes());
        text.extend(path.iter());
        text.push(0);
    }
    assert_eq!(parse_diff(&text), Some(changes));
}

fn tree(data: &[u8]) {
    let Some(listed) = parse_tree(data) else { return };
    let mut text = Vec::new();
    for (path, entry) in &listed {
        text.extend(format!("{:06o} blob {}\t", entry.mode, entry.id.hex()).bytes());
        text.extend(path.iter());
        text.push(0);
    }
    assert_eq!(parse_tree(&text), Some(listed));
}

fn pushed(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for received in parse_pre_push(text).into_iter().chain(parse_pre_receive(text)).flatten() {
        let ids = [&received.old, &received.new].into_iter().flatten();
        ids.for_each(|id| assert!(id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
    let variable = |name: &str| (name == "GITHUB_EVENT_PATH").then(|| "event".to_owned());
    let _ = range_of_ci(&variable, &|_| Some(text.to_owned()));
}

fn dvc_files(texts: &[(&[u8], &[u8])]) {
    for (path, text) in texts {
        let name = String::from_utf8_lossy(path);
        let _ = (dvc::parse_dvc(text, &name), dvc::parse_lock(text, &name));
    }
    let texts: BTreeMap<Vec<u8>, Vec<u8>> = texts.iter().map(|(path, text)| (path.to_vec(), text.to_vec())).collect();
    let top = Path::new("/nonexistent");
    let Ok(files) = dvc::expand(&texts, top, &dvc::Settings::default()) else { return };
    files.images.keys().chain(files.tables.keys()).chain(files.missing.keys()).for_each(|path| assert_inside(path));
}

fn manifest(data: &[u8]) {
    let name: dvc::Md5 = Md5::digest(data).into();
    let mut paths = Vec::new();
    if dvc::read_manifest(data, &name, &mut |path, _| paths.push(path)).is_ok() {
        paths.iter().for_each(|path| assert_inside(path.as_bytes()));
        assert!(dvc::read_manifest(data, &[0; 16], &mut |_, _| ()).is_err(), "a manifest of another MD5 is believed");
    }
}

fn labels(data: &[u8], path: &[u8]) {
    let table = [(path.into(), data.to_vec())];
    let Ok(labels) = Labels::of_texts(&table) else { return };
    for path in [&b"train/a.png"[..], b"a.png", b"", b"train/cat/1.png"] {
        let _ = labels.told(path);
    }
    for name in data.split(|b| !b.is_ascii_alphanumeric() && !b"./_-".contains(b)).take(64) {
        let (label, _) = labels.told(&[b"train/", name].concat());
        assert!(label.is_none_or(|label| label.len() <= data.len() + 6));
    }
}

fn assert_inside(path: &[u8]) {
    let outside = path.starts_with(b"/") || path.contains(&0) || path.split(|&b| b == b'/').any(|part| part == b"..");
    assert!(!outside, "the path {:?} leads outside", String::from_utf8_lossy(path));
}

/// One of each.
pub fn seeds() -> Vec<Vec<u8>> {
    const HEX: &str = "1526be5aeae1d705031e08ed9a4a294a";
    let (a, b) = ("1".repeat(40), "2".repeat(40));
    let pointer = String::from_utf8(pointer_text(&[0xab; 32], 12_345)).expect("ASCII");
    let extended = pointer.replace("oid", &format!("ext-0-foo sha256:{}\noid", "1".repeat(64)));
    let diff = format!(":000000 100644 {} {a} A\0new.png\0:100644 100755 {a} {b} M\0b\0:120000 100644 {a} {b} T\0x\0", "0".repeat(40));
    let index = format!("100644 {a} 0\ta/b.png\x00100644 {b} 1\tc\x00");
    let tree = format!("100755 blob {a}\tx y\x00160000 commit {b}\ts\0");
    let out = format!("outs:\n- md5: {HEX}.dir\n  size: 6\n  nfiles: 2\n  hash: md5\n  path: img\n- {{path: a.png, md5: {HEX}}}\n");
    let listed =
        format!("wdir: ../x\nouts:\n- path: &p img\n  files:\n  - relpath: b.png\n    md5: {HEX}\n    cloud: {{r: {{etag: *p}}}}\n");
    let lock = format!(
        "schema: '2.0'\nstages:\n  a@1:\n    cmd: x\n    outs:\n    - {{path: ../x.png, md5: {HEX}, hash: md5}}\n  b: {{outs: [{{path: y.png, md5: {HEX}}}]}}\n"
    );
    let pipeline = "stages: {a: {foreach: [1], do: {cmd: x}, wdir: sub}, b: {wdir: '${x}'}}";
    let manifest = format!(r#"[{{"md5": "{HEX}", "relpath": "s/a.png"}}, {{"md5": "{HEX}", "relpath": "b\u00e9.png"}}]"#);
    vec![
        joined(0, &[pointer.as_bytes()]),
        joined(0, &[extended.as_bytes()]),
        joined(1, &[diff.as_bytes()]),
        joined(2, &[index.as_bytes()]),
        joined(2, &[tree.as_bytes()]),
        joined(3, &[format!("{a} {b} refs/heads/main\n").as_bytes()]),
        joined(3, &[format!("refs/heads/x {a} refs/heads/main {b}\n").as_bytes()]),
        joined(3, &[format!("{{\"before\": \"{a}\", \"after\": \"{b}\"}}").as_bytes()]),
        joined(4, &[out.as_bytes()]),
        joined(4, &[listed.as_bytes()]),
        joined(5, &[lock.as_bytes(), pipeline.as_bytes()]),
        joined(6, &[manifest.as_bytes()]),
        joined(7, &[b"file_name,label,split\ncat/1.png,dog,test\n./cat//2.png,,val\n\"q,\"\"1.png\",x y,train\n"]),
        joined(8, &[b"{\"file_name\": \"1.png\", \"label\": 7, \"text\": [1]}\n\n{\"file_name\": \"2.png\", \"split\": \"test\"}\n"]),
    ]
}
