//! The commands that write, each with the dataset that it finds.

use std::fs;

use crate::{
    ground::Ground,
    support::{
        self,
        images::{brighter, ppm, write},
    },
};

const SIDE: usize = 16;

/// What a run of a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To its end.
    Once,
    /// A watcher, ended when it has told so many lines.
    Watch(usize),
}

pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) prepare: fn(&Ground),
    pub(crate) way: Way,
    /// Whether the command may drop contents that no path holds.
    pub(crate) drops: bool,
    /// Whether it moves a file of the user's.
    pub(crate) moves: bool,
    /// Whether the file system can let two folders change places.
    pub(crate) exchanges: bool,
}

fn picture(ground: &Ground, name: &str, seed: u64) {
    write(&ground.tree(), name, &ppm(seed, SIDE));
}

fn remove(ground: &Ground, name: &str) {
    fs::remove_file(ground.tree().join(name)).unwrap();
}

/// Twelve pictures, two of them alike, two exact copies, one broken.
fn images(ground: &Ground) {
    (0..9).for_each(|seed| picture(ground, &format!("cat/{seed}.ppm"), seed));
    write(&ground.tree(), "dog/near.ppm", &brighter(&ppm(3, SIDE), 2));
    write(&ground.tree(), "dog/same.ppm", &ppm(4, SIDE));
    write(&ground.tree(), "dog/broken.ppm", b"P6 broken");
}

fn made(ground: &Ground) {
    images(ground);
    ground.wsidx(&["init"]).expect(0);
}

/// An index with a past: a content that no path holds, and two commits.
fn synced(ground: &Ground) {
    made(ground);
    picture(ground, "cat/past.ppm", 77);
    ground.wsidx(&["sync"]).expect(0);
    remove(ground, "cat/past.ppm");
    ground.wsidx(&["sync"]).expect(0);
}

/// An index that another user made, which lacks an image.
fn brought(ground: &Ground) {
    made(ground);
    ground.wsidx(&["sync"]).expect(0);
    fs::write(
        ground.tree().join(".wsidx/id"),
        format!("{}\n", "0".repeat(64)),
    )
    .unwrap();
    write(&ground.tree(), "dog/late.ppm", &brighter(&ppm(6, SIDE), 2));
}

fn changed(ground: &Ground) {
    synced(ground);
    (20..23).for_each(|seed| picture(ground, &format!("cat/{seed}.ppm"), seed));
    picture(ground, "cat/0.ppm", 30);
}

fn without_some(ground: &Ground) {
    synced(ground);
    (1..4).for_each(|seed| remove(ground, &format!("cat/{seed}.ppm")));
}

fn moved(ground: &Ground) {
    synced(ground);
    fs::rename(ground.tree().join("cat"), ground.tree().join("lynx")).unwrap();
}

fn to_collect(ground: &Ground) {
    without_some(ground);
    ground.wsidx(&["sync"]).expect(0);
}

fn many(ground: &Ground) {
    (0..1_003).for_each(|seed| write(&ground.tree(), &format!("cat/{seed}.ppm"), &ppm(seed, 8)));
    ground.wsidx(&["init"]).expect(0);
}

fn fitted(ground: &Ground) {
    many(ground);
    ground.wsidx(&["sync"]).expect(0);
    remove(ground, "cat/1.ppm");
    ground.wsidx(&["sync"]).expect(0);
}

/// A content in the middle of the packs cannot be read, and the index knows it.
fn damaged(ground: &Ground) {
    synced(ground);
    let pack = ground.tree().join(".wsidx/packs/00000001.pack");
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0xff;
    fs::write(&pack, bytes).unwrap();
    ground.wsidx(&["verify"]).expect(1);
}

fn with_crops(ground: &Ground) {
    synced(ground);
    fs::write(ground.tree().join("wsidx.toml"), "[index]\ncrops = true\n").unwrap();
}

fn with_files(ground: &Ground) {
    synced(ground);
    fs::write(
        ground.tree().join("wsidx.toml"),
        "# mine\n[edges]\naccept = [\"photometric\"]\n",
    )
    .unwrap();
    fs::write(
        ground.tree().join(".wsidx-allow"),
        "# mine\npath old/**  # as it was\n",
    )
    .unwrap();
    fs::write(ground.tree().join("m.json"), "old").unwrap();
    fs::write(ground.top().join("out.png"), "old").unwrap();
}

/// As many as a calibration takes.
fn to_calibrate(ground: &Ground) {
    (0..240).for_each(|seed| write(&ground.tree(), &format!("cat/{seed}.ppm"), &ppm(seed, SIDE)));
    ground.wsidx(&["init"]).expect(0);
    ground.wsidx(&["sync"]).expect(0);
    fs::write(
        ground.tree().join("wsidx.toml"),
        "# mine\n[edges]\naccept = [\"photometric\"]\n",
    )
    .unwrap();
}

fn in_git(ground: &Ground) {
    synced(ground);
    let mut git = ground.command("git");
    git.args(["init", "-q"]);
    support::run(git).expect(0);
    fs::create_dir_all(ground.tree().join(".git/hooks")).unwrap();
    fs::write(
        ground.tree().join(".git/hooks/pre-commit"),
        "#!/bin/sh\n# mine\n",
    )
    .unwrap();
}

fn hooked(ground: &Ground) {
    in_git(ground);
    ground
        .wsidx(&["hook", "install", "pre-commit", "--mode", "chain"])
        .expect(0);
}

/// Files that a watcher finds when it begins: a new one, a near-duplicate, one that left.
fn arrived(ground: &Ground) {
    synced(ground);
    picture(ground, "cat/new.ppm", 40);
    write(&ground.tree(), "cat/again.ppm", &brighter(&ppm(5, SIDE), 2));
    remove(ground, "cat/8.ppm");
}

/// An index for commands that only read.
pub(crate) fn reading() -> Scene {
    scene("reading", "check .", synced)
}

fn scene(name: &'static str, line: &'static str, prepare: fn(&Ground)) -> Scene {
    Scene {
        name,
        arguments: line.split(' ').collect(),
        prepare,
        way: Way::Once,
        drops: false,
        moves: false,
        exchanges: true,
    }
}

pub(crate) fn scenes() -> Vec<Scene> {
    let watch = |name, line, lines| Scene {
        way: Way::Watch(lines),
        ..scene(name, line, arrived)
    };
    vec![
        scene("init", "init", images),
        scene("sync-first", "sync", made),
        scene("sync-init", "sync --init", images),
        scene("sync-changes", "sync", changed),
        scene("sync-removals", "sync", without_some),
        scene("sync-moves", "sync", moved),
        scene("sync-mends", "sync", damaged),
        scene("sync-crops", "sync", with_crops),
        scene("sync-fits", "sync", many),
        Scene {
            drops: true,
            ..scene("gc", "gc --older-than 0", to_collect)
        },
        scene("rebuild", "rebuild", synced),
        scene("rebuild-refit", "rebuild --refit", fitted),
        Scene {
            drops: true,
            ..scene("rebuild-brought", "rebuild", brought)
        },
        Scene {
            drops: true,
            exchanges: false,
            ..scene("rebuild-renames", "rebuild", brought)
        },
        scene("verify", "verify", synced),
        scene("calibrate", "calibrate --write", to_calibrate),
        scene("allow", "allow dog/near.ppm --reason two", with_files),
        scene("allow-first", "allow dog/near.ppm --reason two", synced),
        scene("baseline", "baseline write", with_files),
        scene(
            "hook-install",
            "hook install pre-merge-commit --mode file",
            in_git,
        ),
        scene("hook-chain", "hook install pre-commit --mode chain", in_git),
        scene("hook-uninstall", "hook uninstall", hooked),
        scene("reduce-link", "reduce --clusters 5 --link out", synced),
        scene("reduce-copy", "reduce --clusters 5 --copy out", synced),
        scene(
            "similarity",
            "similarity --out ../out.npy --heat-map ../out.png --graph ../out.svg",
            with_files,
        ),
        scene(
            "check-metrics",
            "check . --exit-zero --metrics m.json --plots p.csv",
            with_files,
        ),
        scene("cluster-graph", "cluster --graph ../out.svg", with_files),
        scene("spectrum-plot", "spectrum --plot ../out.svg", with_files),
        scene(
            "compare",
            "compare cat/3.ppm dog/near.ppm --out ../out.png",
            with_files,
        ),
        scene(
            "debug-picture",
            "debug picture cat/3.ppm --out ../out.png",
            with_files,
        ),
        watch("watch", "watch . --settle 0.05", 3),
        Scene {
            moves: true,
            ..watch(
                "watch-moves",
                "watch . --settle 0.05 --on-redundant move:../aside",
                3,
            )
        },
    ]
}
