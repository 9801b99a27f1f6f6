//! What wsidx reads out of files of DVC, held against what the real DVC says of the same repository.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use support::{
    Run, command,
    images::{ppm, write},
    run, tool,
};
use wsidx::dataset::{
    Buffer,
    dvc::{Cache, Files, Md5, Settings, expand, is_dvc_file},
};

fn git<const N: usize>(tree: &Path, arguments: [&str; N]) -> Run {
    let mut git = command("git", tree);
    git.args(arguments);
    run(git).expect(0)
}

fn dvc<const N: usize>(tree: &Path, arguments: [&str; N]) -> String {
    let mut dvc = command(tool("dvc"), tree);
    dvc.args(arguments).env("DVC_NO_ANALYTICS", "1").env("DVC_SITE_CACHE_DIR", tree.join(".git/dvc-site"));
    run(dvc).expect(0).stdout
}

/// A repository of git and DVC.
fn repository() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    git(tree.path(), ["init", "-q", "-b", "main"]);
    dvc(tree.path(), ["init", "-q"]);
    tree
}

fn commit(tree: &Path) {
    git(tree, ["add", "-A"]);
    git(tree, ["commit", "-qm", "more"]);
}

/// The files of DVC in a tree of git (`HEAD`, or empty for the index), expanded.
fn expanded(tree: &Path, revision: &str) -> Files {
    let list = match revision {
        "" => git(tree, ["ls-files", "-z"]),
        revision => git(tree, ["ls-tree", "-r", "-z", "--name-only", revision]),
    };
    let names = list.stdout.split_terminator('\0').filter(|name| is_dvc_file(name.as_bytes()));
    let texts: BTreeMap<Vec<u8>, Vec<u8>> =
        names.map(|name| (name.into(), git(tree, ["show", &format!("{revision}:{name}")]).stdout.into_bytes())).collect();
    expand(&texts, tree, &Settings::default()).unwrap()
}

/// What is new at its path, by us: path and content.
fn added(old: &Files, new: &Files) -> BTreeSet<String> {
    let is_new = |(path, md5): &(&Vec<u8>, &Option<Md5>)| old.images.get(*path) != Some(*md5);
    new.images.iter().filter(is_new).map(|(path, _)| String::from_utf8(path.clone()).unwrap()).collect()
}

/// The same, by DVC; the files of what it calls added, modified or renamed.
fn told(tree: &Path) -> BTreeSet<String> {
    let diff: Value = serde_json::from_str(&dvc(tree, ["diff", "--json"])).unwrap();
    let of = |key: &str, at: fn(&Value) -> &Value| -> Vec<String> {
        let all = diff[key].as_array().cloned().unwrap_or_default();
        all.iter().map(|entry| at(entry).as_str().unwrap().to_owned()).collect()
    };
    let mut all = of("added", |entry| &entry["path"]);
    all.extend(of("modified", |entry| &entry["path"]));
    all.extend(of("renamed", |entry| &entry["path"]["new"]));
    all.into_iter().filter(|path| path.ends_with(".ppm")).collect()
}

#[test]
fn an_identical_copy_inside_a_folder_of_dvc_is_new_as_dvc_says() {
    let tree = repository();
    let img = |name: &str| format!("data/img/{name}.ppm");
    for seed in 0..6 {
        write(tree.path(), &img(&format!("sub/{seed}")), &ppm(seed, 16));
    }
    write(tree.path(), "data/single.ppm", &ppm(50, 16));
    dvc(tree.path(), ["add", "-q", "data/img", "data/single.ppm"]);
    commit(tree.path());
    let before = expanded(tree.path(), "HEAD");
    assert_eq!((before.images.len(), before.missing.len()), (7, 0));
    // A copy, a rename, a change, a removal, an addition, and names of other letters.
    fs::copy(tree.path().join(img("sub/0")), tree.path().join(img("dup"))).unwrap();
    fs::rename(tree.path().join(img("sub/1")), tree.path().join(img("moved"))).unwrap();
    fs::remove_file(tree.path().join(img("sub/2"))).unwrap();
    fs::remove_file(tree.path().join(img("sub/3"))).unwrap();
    write(tree.path(), &img("sub/2"), &ppm(20, 16));
    write(tree.path(), &img("é 😀 \"new\""), &ppm(21, 16));
    fs::remove_file(tree.path().join("data/single.ppm")).unwrap();
    write(tree.path(), "data/single.ppm", &ppm(51, 16));
    dvc(tree.path(), ["add", "-q", "data/img", "data/single.ppm"]);
    git(tree.path(), ["add", "-A"]);
    let after = expanded(tree.path(), "");
    let new = added(&before, &after);
    assert_eq!(new, told(tree.path()));
    assert!(new.contains("data/img/dup.ppm") && new.contains("data/img/moved.ppm") && new.contains("data/img/é 😀 \"new\".ppm"));
    assert_eq!(new.len(), 5);
    // Each is had from the cache, with the work tree gone.
    fs::remove_dir_all(tree.path().join("data/img")).unwrap();
    let cache = Cache::of(tree.path(), b"data/img.dvc", &Settings::default()).unwrap().unwrap();
    let mut buffer = Buffer::default();
    for (path, md5) in &after.images {
        cache.read(&md5.unwrap(), path, &wsidx::picture::Limits::default(), &mut buffer).unwrap();
    }
    assert_eq!(buffer.bytes, ppm(51, 16));
}

#[test]
fn the_outputs_of_a_pipeline_are_those_of_its_lock() {
    let tree = repository();
    write(tree.path(), "in.ppm", &ppm(1, 16));
    let yaml = "stages:\n  copy:\n    wdir: work\n    cmd: mkdir -p out && cp ../in.ppm out/a.ppm && cp ../in.ppm ../b.ppm\n    deps: [../in.ppm]\n    outs: [out, ../b.ppm]\n";
    write(tree.path(), "p/dvc.yaml", yaml.replace("../in.ppm", "../../in.ppm").as_bytes());
    fs::create_dir_all(tree.path().join("p/work")).unwrap();
    dvc(&tree.path().join("p"), ["repro", "-q"]);
    git(tree.path(), ["add", "-A"]);
    let files = expanded(tree.path(), "");
    let names: Vec<_> = files.images.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    assert_eq!(names, ["p/b.ppm", "p/work/out/a.ppm"]);
}

#[test]
fn an_old_manifest_that_was_not_fetched_is_missing_and_named() {
    let tree = repository();
    write(tree.path(), "img/a.ppm", &ppm(1, 16));
    dvc(tree.path(), ["add", "-q", "img"]);
    commit(tree.path());
    fs::remove_dir_all(tree.path().join(".dvc/cache")).unwrap();
    let files = expanded(tree.path(), "HEAD");
    assert!(files.images.is_empty() && files.missing[&b"img"[..]].1.contains("`dvc fetch img.dvc`"), "{files:?}");
}

#[test]
fn a_cache_elsewhere_is_found_where_dvc_says_it_is() {
    let tree = repository();
    let shared = tempfile::tempdir().unwrap();
    for level in [&["cache", "dir", "../shared cache"][..], &["cache", "dir", "--local", shared.path().to_str().unwrap()]] {
        let mut set = command(tool("dvc"), tree.path());
        set.args(level).env("DVC_NO_ANALYTICS", "1");
        run(set).expect(0);
        let told = dvc(tree.path(), ["cache", "dir"]);
        let ours = Cache::of(tree.path(), b"x.dvc", &Settings::default()).unwrap().unwrap().place(&[0; 16], false, true);
        let ours = ours.parent().unwrap().parent().unwrap();
        let clean = |path: &Path| {
            let mut out = std::path::PathBuf::new();
            for part in path.components() {
                if part.as_os_str() == ".." {
                    out.pop();
                } else {
                    out.push(part);
                }
            }
            out
        };
        assert_eq!(clean(ours), Path::new(told.trim()));
    }
}

#[test]
fn the_cache_and_the_files_of_dvc_2_are_read() {
    let tree = repository();
    write(tree.path(), "img/a.ppm", &ppm(1, 16));
    dvc(tree.path(), ["add", "-q", "img"]);
    let text = fs::read_to_string(tree.path().join("img.dvc")).unwrap();
    fs::write(tree.path().join("img.dvc"), text.replace("  hash: md5\n", "")).unwrap();
    let cache = tree.path().join(".dvc/cache");
    for folder in fs::read_dir(cache.join("files/md5")).unwrap() {
        let folder = folder.unwrap();
        fs::rename(folder.path(), cache.join(folder.file_name())).unwrap();
    }
    fs::remove_dir_all(tree.path().join("img")).unwrap();
    git(tree.path(), ["add", "-A"]);
    let files = expanded(tree.path(), "");
    let md5 = files.images[&b"img/a.ppm"[..]].unwrap();
    let cache = Cache::of(tree.path(), b"img.dvc", &Settings::default()).unwrap().unwrap();
    let mut buffer = Buffer::default();
    cache.read(&md5, b"img/a.ppm", &wsidx::picture::Limits::default(), &mut buffer).unwrap();
    assert_eq!(buffer.bytes, ppm(1, 16));
    // DVC itself still reads it so.
    dvc(tree.path(), ["checkout", "-q"]);
    assert_eq!(fs::read(tree.path().join("img/a.ppm")).unwrap(), ppm(1, 16));
}
