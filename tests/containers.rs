//! Datasets in files that hold many images: their items are images like any other, for every
//! command.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    containers::{cifar10, cifar100, gzip, idx, idx_images, netpbm, python, python2_batch},
    images::{ppm, write},
    wsidx,
};
use tempfile::TempDir;

fn json(folder: &Path, arguments: &[&str], status: i32) -> Value {
    let run = wsidx(folder, arguments.iter().chain(&["--format", "json"])).expect(status);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout))
}

/// Label, split and path of each file of a check, in order.
fn checked(folder: &Path, paths: &[&str], status: i32) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let found = json(folder, &[&["check"], paths].concat(), status);
    let of = |file: &Value| {
        (
            text(&file["path"]),
            text(&file["label"]),
            text(&file["split"]),
            text(&file["verdict"]),
        )
    };
    found.as_array().expect("a list").iter().map(of).collect()
}

const NAMES: &[u8] = b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// Ten training images and three test images, of which one is a training image, and one is a
/// training image with another label.
fn cifar() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let train: Vec<(u8, u64)> = (0..10).map(|i| (i as u8, i)).collect();
    write(root.path(), "data_batch_1.bin", &cifar10(&train));
    write(
        root.path(),
        "test_batch.bin",
        &cifar10(&[(0, 50), (3, 3), (5, 7)]),
    );
    write(root.path(), "batches.meta.txt", NAMES);
    root
}

#[test]
fn pictures_of_cifar_are_images_with_label_and_split_for_every_command() {
    let tree = cifar();
    let root = tree.path();
    let made = wsidx(root, ["sync", "--init"]).expect(0);
    assert!(
        made.stderr.contains("13 image files: 32×32 colour"),
        "{}",
        made.stderr
    );
    assert!(
        made.stdout.contains("13 added; 13 images with 11 contents"),
        "{}",
        made.stdout
    );
    let found = json(root, &["query", "data_batch_1.bin#3", "-k", "2"], 0);
    let nearest = &found[0]["neighbors"][0];
    assert_eq!(
        (&nearest["path"], &nearest["label"], &nearest["split"]),
        (&"data_batch_1.bin#3".into(), &"cat".into(), &"train".into())
    );
    assert_eq!(nearest["paths"], 2);
    let verdicts = checked(root, &["test_batch.bin"], 1);
    let expected = [
        ("#0", "airplane", "novel"),
        ("#1", "cat", "redundant"),
        ("#2", "dog", "influential"),
    ];
    let expected = expected.map(|(item, label, verdict)| {
        (
            format!("test_batch.bin{item}"),
            label.into(),
            "test".into(),
            verdict.into(),
        )
    });
    assert_eq!(verdicts, expected);
    assert_eq!(checked(root, &["test_batch.bin#2"], 1), expected[2..]);
    assert_eq!(checked(root, &["."], 1).len(), 13);
    let compared = json(
        root,
        &["compare", "data_batch_1.bin#3", "test_batch.bin#1"],
        0,
    );
    assert_eq!(
        (&compared["decision"], &compared["a"]["width"]),
        (&"same pixels".into(), &32.into())
    );
    assert!(
        wsidx(root, ["leaks"])
            .expect(0)
            .stdout
            .contains("test_batch.bin#2")
    );
    assert!(
        wsidx(root, ["groups"])
            .expect(0)
            .stdout
            .contains("data_batch_1.bin#7")
    );
    assert!(
        wsidx(root, ["similarity", "test_batch.bin", "--size", "32x32"])
            .expect(0)
            .stdout
            .contains("3 images")
    );
    assert!(
        wsidx(root, ["verify", "--files"])
            .expect(0)
            .stdout
            .contains("13")
    );
    let kept = wsidx(root, ["reduce", "--method", "threshold", "--copy", "kept"]).expect(0);
    assert!(
        kept.stdout.contains("data_batch_1.bin#3"),
        "{}",
        kept.stdout
    );
    assert_eq!(
        fs::read(root.join("kept/data_batch_1.bin#4.pnm")).unwrap(),
        netpbm(4)
    );
}

#[test]
fn a_container_that_did_not_change_is_not_read_and_one_that_did_is_read_whole() {
    let tree = cifar();
    let root = tree.path();
    wsidx(root, ["sync", "--init"]).expect(0);
    let settled = json(root, &["sync"], 0);
    let again = json(root, &["sync"], 0);
    assert_eq!(
        (&settled["unchanged"], &again["unchanged"]),
        (&13.into(), &13.into())
    );
    assert!(again["seconds"].get("reading").is_none(), "{again}");
    write(root, "test_batch.bin", &cifar10(&[(0, 50), (4, 3)]));
    let changed = json(root, &["sync"], 0);
    assert_eq!(
        ["added", "changed", "removed", "unchanged"].map(|what| changed[what].as_u64().unwrap()),
        [0, 1, 1, 11]
    );
    // The names of the labels belong to the batches.
    write(root, "batches.meta.txt", &NAMES.to_ascii_uppercase());
    assert_eq!(json(root, &["sync"], 0)["changed"], 12);
    assert_eq!(checked(root, &["data_batch_1.bin#9"], 0)[0].1, "TRUCK");
    fs::rename(root.join("data_batch_1.bin"), root.join("data_batch_2.bin")).unwrap();
    let moved = json(root, &["sync"], 0);
    assert_eq!(
        ["added", "moved", "removed"].map(|what| moved[what].as_u64().unwrap()),
        [0, 10, 0]
    );
    fs::remove_file(root.join("test_batch.bin")).unwrap();
    assert_eq!(json(root, &["sync", "data_batch_2.bin#0"], 0)["removed"], 0);
    assert_eq!(json(root, &["sync", "test_batch.bin"], 0)["removed"], 2);
    assert_eq!(json(root, &["sync"], 0)["paths"], 10);
}

#[test]
fn bare_samples_are_the_content_of_their_netpbm_file_in_whichever_container_they_are() {
    let tree = cifar();
    let root = tree.path();
    write(root, "copy/of.ppm", &netpbm(4));
    write(root, "hundred/train.bin", &cifar100(&[(17, 4), (18, 60)]));
    write(
        root,
        "hundred/fine_label_names.txt",
        (0..100)
            .map(|i| format!("class {i}\n"))
            .collect::<String>()
            .as_bytes(),
    );
    // Others have files of this name.
    write(root, "model/train.bin", b"weights");
    wsidx(root, ["sync", "--init"]).expect(0);
    let found = json(root, &["query", "hundred/train.bin#0", "-k", "1"], 0);
    let nearest = &found[0]["neighbors"][0];
    assert_eq!(
        (&nearest["paths"], &nearest["path"]),
        (&3.into(), &"copy/of.ppm".into())
    );
    let labels: Vec<_> = checked(root, &["hundred/train.bin#0", "copy/of.ppm"], 1)
        .into_iter()
        .map(|(_, label, split, _)| (label, split))
        .collect();
    assert_eq!(
        labels,
        [
            ("copy".to_owned(), "-".to_owned()),
            ("class 17".into(), "train".into())
        ]
    );
    assert_eq!(
        json(root, &["sync"], 0)["undecodable"],
        Value::Array(Vec::new())
    );
}

#[test]
fn images_of_idx_have_the_labels_beside_them_and_are_packed_or_not() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    let images = idx_images(&(0..12).collect::<Vec<u64>>());
    write(root, "train-images-idx3-ubyte.gz", &gzip(&images));
    write(
        root,
        "train-labels-idx1-ubyte.gz",
        &gzip(&idx(&[12], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])),
    );
    write(root, "t10k-images.idx3-ubyte", &idx_images(&[3, 99]));
    write(root, "t10k-labels.idx1-ubyte", &idx(&[2], &[5, 1]));
    let made = wsidx(root, ["sync", "--init"]).expect(0);
    assert!(
        made.stderr.contains("14 image files: 28×28 grey"),
        "{}",
        made.stderr
    );
    let verdicts = checked(root, &["t10k-images.idx3-ubyte"], 1);
    let expected = [("#0", "5", "influential"), ("#1", "1", "novel")];
    assert_eq!(
        verdicts,
        expected.map(|(item, label, verdict)| (
            format!("t10k-images.idx3-ubyte{item}"),
            label.into(),
            "test".into(),
            verdict.into()
        ))
    );
    assert_eq!(
        checked(root, &["train-images-idx3-ubyte.gz#11"], 0)[0].1,
        "1"
    );
    wsidx(root, ["verify", "--files"]).expect(0);
    // Unpacked beside it, the pictures are not there twice.
    write(root, "train-images-idx3-ubyte", &images);
    let moved = json(root, &["sync"], 0);
    assert_eq!((&moved["moved"], &moved["paths"]), (&12.into(), &14.into()));
    // The labels are those of the file that is there.
    assert_eq!(checked(root, &["train-images-idx3-ubyte#11"], 0)[0].1, "1");
}

#[test]
fn a_container_that_cannot_be_read_is_named_with_its_reason_and_the_others_are_read() {
    let tree = cifar();
    let root = tree.path();
    let whole = fs::read(root.join("data_batch_1.bin")).unwrap();
    write(root, "cut/data_batch_1.bin", &whole[..5000]);
    write(root, "foreign/data_batch_1.bin", &vec![11; 3073]);
    let images = idx_images(&[1, 2]);
    write(root, "cut-images-idx3-ubyte", &images[..images.len() - 1]);
    write(
        root,
        "long-images-idx3-ubyte",
        &[&images[..], &[0]].concat(),
    );
    write(root, "many-images-idx3-ubyte", &images);
    write(root, "many-labels-idx1-ubyte", &idx(&[3], &[1, 2, 3]));
    write(
        root,
        "bomb-images-idx3-ubyte.gz",
        &gzip(&idx(&[u32::MAX, 28, 28], &vec![0; 1 << 20])),
    );
    write(
        root,
        "short-images-idx3-ubyte.gz",
        &gzip(&images[..images.len() - 1]),
    );
    write(root, "torn-images-idx3-ubyte.gz", &gzip(&images)[..200]);
    write(
        root,
        "floats-images-idx3-ubyte",
        &[0, 0, 13, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0],
    );
    write(root, "empty-images-idx3-ubyte", &idx(&[0, 28, 28], &[]));
    std::os::unix::fs::symlink("../data_batch_1.bin", root.join("cut/data_batch_2.bin")).unwrap();
    let done = json(root, &["sync", "--init"], 0);
    assert_eq!(done["paths"], 13, "{done}");
    let reasons = |list: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| (text(&one["path"]), text(&one["reason"])))
            .collect()
    };
    let expected = [
        (
            "bomb-images-idx3-ubyte.gz",
            "3367254359280 bytes of values, more than the limit",
        ),
        (
            "cut-images-idx3-ubyte",
            "tells of 1568 bytes of values, but 1567 follow",
        ),
        (
            "cut/data_batch_1.bin",
            "5000 bytes are no multiple of the 3073",
        ),
        ("empty-images-idx3-ubyte", "it holds no image"),
        ("floats-images-idx3-ubyte", "type 13, not unsigned bytes"),
        ("foreign/data_batch_1.bin", "picture 0 has the label 11"),
        (
            "long-images-idx3-ubyte",
            "tells of 1568 bytes of values, but 1569 follow",
        ),
        (
            "many-images-idx3-ubyte",
            "2 pictures, but many-labels-idx1-ubyte has 3 labels",
        ),
        ("short-images-idx3-ubyte.gz", "but there are not as many"),
        ("torn-images-idx3-ubyte.gz", "cannot be unpacked"),
    ];
    let found = reasons(&done["undecodable"]);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((path, reason), (name, words)) in found.iter().zip(expected) {
        assert!(path == name && reason.contains(words), "{path}: {reason}");
    }
    assert_eq!(
        reasons(&done["skipped"]),
        [(
            "cut/data_batch_2.bin".to_owned(),
            "a symbolic link".to_owned()
        )]
    );
    // What cannot be read stays so until it changes.
    let again = json(root, &["sync"], 0);
    assert!(
        again["seconds"].get("reading").is_none()
            || json(root, &["sync"], 0)["seconds"].get("reading").is_none()
    );
    write(root, "cut/data_batch_1.bin", &whole);
    assert_eq!(json(root, &["sync"], 0)["paths"], 23);
    let missing = wsidx(root, ["query", "data_batch_1.bin#10"]).expect(2);
    assert!(
        missing
            .stderr
            .contains("there is no such item; the container has 10"),
        "{}",
        missing.stderr
    );
    let whole = wsidx(root, ["query", "data_batch_1.bin"]).expect(2);
    assert!(
        whole
            .stderr
            .contains("it holds 10 images; name one of them as `data_batch_1.bin#item`"),
        "{}",
        whole.stderr
    );
}

#[test]
fn a_file_whose_name_has_a_number_sign_is_itself() {
    let tree = cifar();
    let root = tree.path();
    write(root, "a#1.png", &ppm(20, 32));
    write(root, "data_batch_1.bin#3.ppm", &ppm(21, 32));
    write(root, "x.bin#1/2.ppm", &ppm(22, 32));
    wsidx(root, ["sync", "--init"]).expect(0);
    for name in ["a#1.png", "data_batch_1.bin#3.ppm", "x.bin#1/2.ppm"] {
        let found = json(root, &["query", name, "-k", "1"], 0);
        assert_eq!(found[0]["neighbors"][0]["path"], name);
        assert_eq!(checked(root, &[name], 0)[0].0, name);
    }
    assert_eq!(json(root, &["sync", "data_batch_1.bin"], 0)["removed"], 0);
    assert_eq!(json(root, &["sync"], 0)["paths"], 16);
}

#[test]
fn containers_outside_the_dataset_are_judged_item_by_item() {
    let tree = cifar();
    let outside = tempfile::tempdir().unwrap();
    wsidx(tree.path(), ["sync", "--init"]).expect(0);
    write(
        outside.path(),
        "in/data_batch_9.bin",
        &cifar10(&[(1, 1), (1, 77)]),
    );
    let given = outside.path().join("in/data_batch_9.bin");
    let given = given.to_str().unwrap();
    let verdicts = checked(tree.path(), &[given], 1);
    let names: Vec<&str> = verdicts.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(names, [format!("{given}#0"), format!("{given}#1")]);
    assert_eq!((&*verdicts[0].3, &*verdicts[1].3), ("redundant", "novel"));
    assert_eq!(
        checked(tree.path(), &[&format!("{given}#1")], 0)[0].3,
        "novel"
    );
    assert_eq!(
        checked(tree.path(), &[outside.path().to_str().unwrap()], 1).len(),
        2
    );
}

/// Path and reason of all that cannot be read.
fn refused(folder: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let done = json(folder, &["sync"], 0);
    done["undecodable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(&one["path"]), text(&one["reason"])))
        .collect()
}

#[test]
fn batches_of_python_hold_the_same_contents_as_the_binary_ones() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    write(root, "bin/data_batch_1.bin", &cifar10(&[(3, 0), (5, 1)]));
    write(root, "py2/data_batch_1", &python2_batch(&[(3, 0), (5, 1)]));
    let script = "
for protocol in 2, 3, 4, 5:
    batch = {b'batch_label': b'x', b'labels': [3, 5], b'data': array(planes, (2, 3072)), b'filenames': [b'a.png', b'b.png']}
    pickle.dump(batch, open(f'py3/data_batch_{protocol}', 'wb'), protocol)
pickle.dump({'label_names': list('abcdefghij')}, open('py3/batches.meta', 'wb'), 2)
pickle.dump({'fine_labels': [98, 99], 'coarse_labels': [0, 0], 'data': array(planes, (2, 3072))}, open('hundred/test', 'wb'))
pickle.dump({'fine_label_names': [f'class {i}' for i in range(100)]}, open('hundred/meta', 'wb'))
";
    fs::create_dir(root.join("py3")).unwrap();
    fs::create_dir(root.join("hundred")).unwrap();
    python(root, &[0, 1], script);
    // A folder or file of such a name alone is nothing.
    write(root, "train/x/a.ppm", &ppm(9, 32));
    write(root, "other/test", b"text");
    let made = json(root, &["sync", "--init"], 0);
    assert_eq!(
        (&made["paths"], &made["contents"], &made["undecodable"]),
        (&15.into(), &3.into(), &Value::Array(Vec::new()))
    );
    let of = |path: &str| {
        checked(root, &[path], 1)
            .into_iter()
            .map(|(_, label, split, _)| (label, split))
            .collect::<Vec<_>>()
    };
    let told = |label: &str, split: &str| (label.to_owned(), split.to_owned());
    assert_eq!(
        of("py2/data_batch_1"),
        [told("3", "train"), told("5", "train")]
    );
    assert_eq!(
        of("py3/data_batch_4"),
        [told("d", "train"), told("f", "train")]
    );
    assert_eq!(
        of("hundred/test"),
        [told("class 98", "test"), told("class 99", "test")]
    );
}

#[test]
fn a_pickle_that_asks_for_anything_else_is_refused_by_name_and_nothing_of_it_is_run() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    let batch = python2_batch(&[(3, 0), (5, 1)]);
    write(root, "data_batch_1", &batch);
    write(root, "data_batch_2", b"cos\nsystem\n(S'touch run'\ntR.");
    write(root, "data_batch_4", &batch[..batch.len() / 2]);
    write(root, "data_batch_5", b"\x80\x02}.");
    let script = "
import os
class Bad:
    def __reduce__(self): return os.mkdir, ('run',)
pickle.dump({'data': Bad()}, open('data_batch_3', 'wb'), 4)
wide = array(planes, (1, 6144))
pickle.dump({'data': wide, 'labels': [1]}, open('data_batch_6', 'wb'))
pickle.dump({'data': array(planes, (2, 3072)), 'labels': [1, 2, 3]}, open('data_batch_7', 'wb'))
pickle.dump({'data': array(planes, (3, 3072)), 'labels': [1, 2, 3]}, open('data_batch_8', 'wb'))
pickle.dump({'data': {1, 2}}, open('data_batch_9', 'wb'))
";
    python(root, &[0, 1], script);
    wsidx(root, ["sync", "--init"]).expect(0);
    let expected = [
        (
            "data_batch_2",
            "asks for `os.system`, which no batch of CIFAR needs",
        ),
        ("data_batch_3", "asks for `posix.mkdir`"),
        ("data_batch_4", "cut off"),
        ("data_batch_5", "no array of bytes called `data`"),
        ("data_batch_6", "the shape [1, 6144], not … × 3072"),
        ("data_batch_7", "2 pictures, but 3 labels"),
        ("data_batch_8", "6144 bytes, not 3 × 3072"),
        ("data_batch_9", "instruction 0x8f at byte"),
    ];
    let found = refused(root);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((path, reason), (name, words)) in found.iter().zip(expected) {
        assert!(path == name && reason.contains(words), "{path}: {reason}");
    }
    assert!(!root.join("run").exists());
    assert_eq!(json(root, &["status"], 0)["paths"], 2);
}

#[test]
fn images_in_a_tar_have_the_label_beside_them_or_that_of_their_folder() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    for (name, bytes) in [
        ("in/a/01.ppm", ppm(1, 32)),
        ("in/a/01.cls", b"7\n".to_vec()),
        ("in/a/02.b.ppm", ppm(2, 32)),
        ("in/a/02.json", b"{\"label\": \"seven\"}".to_vec()),
        ("in/dog/03.ppm", ppm(3, 32)),
        ("in/dog/notes.txt", b"text".to_vec()),
        ("in/.hidden/04.ppm", ppm(4, 32)),
        (&format!("in/{}/05.ppm", "long".repeat(40)), ppm(5, 32)),
    ] {
        write(root, name, &bytes);
    }
    std::os::unix::fs::symlink("/etc/hostname", root.join("in/dog/link.ppm")).unwrap();
    let mut tar = support::command("tar", root);
    support::run({
        tar.args(["-cf", "set/train-0.tar", "-C", "in", "."]);
        fs::create_dir(root.join("set")).unwrap();
        tar
    })
    .expect(0);
    python(
        root,
        &[],
        "
with tarfile.open('set/pax.tar', 'w', format=tarfile.PAX_FORMAT) as tar: tar.add('in', 'test')
with tarfile.open('set/ustar.tar', 'w', format=tarfile.USTAR_FORMAT) as tar: tar.add('in/a', 'a#b')
",
    );
    fs::remove_dir_all(root.join("in")).unwrap();
    let made = json(root, &["sync", "--init"], 0);
    assert_eq!(
        (&made["paths"], &made["contents"]),
        (&10.into(), &4.into()),
        "{made}"
    );
    let long = format!("{}/05.ppm", "long".repeat(40));
    let of = |paths: &[&str]| {
        checked(root, paths, 1)
            .into_iter()
            .map(|(path, label, split, _)| [path, label, split])
            .collect::<Vec<_>>()
    };
    let told = |name: &str, label: &str, split: &str| {
        [name.to_owned(), label.to_owned(), split.to_owned()]
    };
    let folder = "long".repeat(40);
    let expected = [
        ("a/01.ppm", "7"),
        ("a/02.b.ppm", "seven"),
        ("dog/03.ppm", "dog"),
        (&long, &folder),
    ];
    assert_eq!(
        of(&["set/train-0.tar"]),
        expected.map(|(name, label)| told(&format!("set/train-0.tar#{name}"), label, "train"))
    );
    assert_eq!(
        of(&["set/pax.tar"]),
        expected.map(|(name, label)| told(&format!("set/pax.tar#test/{name}"), label, "test"))
    );
    assert_eq!(
        of(&["set/ustar.tar#a#b/01.ppm"]),
        [told("set/ustar.tar#a#b/01.ppm", "7", "-")]
    );
    wsidx(root, ["verify", "--files"]).expect(0);
    // A file that is called as an item of a tar beside it is passed over; without the tar, it is
    // itself.
    write(root, "set/pax.tar#test/dog/03.ppm", &ppm(30, 32));
    let done = json(root, &["sync"], 0);
    assert!(
        done["skipped"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("that of an item of the container beside it"),
        "{done}"
    );
    fs::remove_file(root.join("set/pax.tar")).unwrap();
    let done = json(root, &["sync"], 0);
    assert_eq!(
        ["changed", "removed", "paths"].map(|what| done[what].as_u64().unwrap()),
        [1, 3, 7],
        "{done}"
    );
}

#[test]
fn a_tar_that_leads_out_of_itself_or_is_damaged_is_refused_and_the_others_are_read() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    write(root, "a.ppm", &ppm(1, 32));
    python(
        root,
        &[],
        "
def tar(name, *members):
    with tarfile.open(name, 'w') as tar:
        for member in members:
            info = tarfile.TarInfo(member)
            info.size = 3085
            tar.addfile(info, open('a.ppm', 'rb'))
tar('good.tar', 'x.ppm', 'y.ppm')
tar('out.tar', 'x.ppm', '../y.ppm')
tar('root.tar', '/tmp/y.ppm')
tar('none.tar', 'x.txt')
tar('hidden.tar', 'a/../../y.ppm')
whole = open('good.tar', 'rb').read()
open('cut.tar', 'wb').write(whole[:3000])
open('torn.tar', 'wb').write(whole[:4096] + b'x' + whole[4097:])
open('text.tar', 'wb').write(b'This is no tar.')
open('twice.tar', 'wb').write(b'')
",
    );
    wsidx(root, ["sync", "--init"]).expect(0);
    let expected = [
        ("cut.tar", "its member at byte 0 is cut off"),
        ("hidden.tar", "`a/../../y.ppm` at byte 0 leads out of it"),
        ("none.tar", "it holds no image"),
        (
            "out.tar",
            "`../y.ppm` at byte 4096 leads out of it; nothing of it is read",
        ),
        ("root.tar", "`/tmp/y.ppm` at byte 0 leads out"),
        ("text.tar", "it is cut off at byte 0, or no tar"),
        ("torn.tar", "it is damaged at byte 4096, or no tar"),
        ("twice.tar", "it is empty, or no tar"),
    ];
    let found = refused(root);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((path, reason), (name, words)) in found.iter().zip(expected) {
        assert!(path == name && reason.contains(words), "{path}: {reason}");
    }
    assert_eq!(json(root, &["status"], 0)["paths"], 3);
}
