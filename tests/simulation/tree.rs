//! The dataset: a tree of files in memory that remembers what each path has held, and a pool of
//! contents that files are made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use wsidx::{
    dataset::{Found, Listing},
    store::state::{ContentId, Stat},
};

use crate::images::{Numbers, brighter, mirrored, ppm};

/// The side of the pictures.
pub(crate) const SIDE: usize = 8;

/// How many contents there are.
const CONTENTS: u64 = 48;

pub(crate) type RelPath = Arc<[u8]>;

/// What a path holds: a content by its number, or nothing.
pub(crate) type Held = Option<usize>;

/// All contents that files may have, as files of the real file system for those who name one, too.
pub(crate) struct Pool {
    folder: tempfile::TempDir,
    bytes: Vec<Vec<u8>>,
    by_id: BTreeMap<ContentId, usize>,
}

pub(crate) static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);

impl Pool {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(folder.path().join("root")).expect("a folder can be made");
        // Pictures, near-duplicates of them, flat ones, and what is no picture.
        let of = |number: u64| match number % 8 {
            5 => brighter(&ppm(number / 8, SIDE), 3),
            6 => mirrored(&ppm(number / 8, SIDE), SIDE),
            7 if number.is_multiple_of(3) => {
                format!("P6 {SIDE} {SIDE} 255\nbroken {number}").into_bytes()
            }
            7 => {
                let head = format!("P6 {SIDE} {SIDE} 255\n").into_bytes();
                [head, vec![number as u8; 3 * SIDE * SIDE]].concat()
            }
            kind => ppm(number / 8 + 10 * kind, SIDE),
        };
        let bytes: Vec<Vec<u8>> = (0..CONTENTS).map(of).collect();
        let by_id = bytes
            .iter()
            .enumerate()
            .map(|(number, bytes)| (*blake3::hash(bytes).as_bytes(), number))
            .collect();
        for (number, bytes) in bytes.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{number}.ppm")), bytes)
                .expect("a file can be written");
        }
        Self {
            folder,
            bytes,
            by_id,
        }
    }

    /// A root for the index: it is empty, for the files of the dataset are simulated.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{number}.ppm"))
    }

    pub(crate) fn number(&self, id: &ContentId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn bytes(&self, number: usize) -> &[u8] {
        &self.bytes[number]
    }

    /// Whether a content is no picture.
    pub(crate) fn is_broken(&self, number: usize) -> bool {
        self.bytes(number)
            .windows(6)
            .any(|bytes| bytes == b"broken")
    }

    pub(crate) fn any_picture(&self, numbers: &mut Numbers) -> usize {
        let content = Self::any(numbers);
        if self.is_broken(content) { 0 } else { content }
    }

    pub(crate) fn any(numbers: &mut Numbers) -> usize {
        numbers.below(CONTENTS) as usize
    }
}

/// A file as it is from a step of the run on.
#[derive(Clone, Copy)]
struct Version {
    since: u64,
    file: Option<(usize, Stat)>,
}

/// The files, with all that they were.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    paths: BTreeMap<RelPath, Vec<Version>>,
    inodes: u64,
}

/// A path that is new, or one that is known.
fn name(numbers: &mut Numbers) -> RelPath {
    let [split, label] = [["train", "test", "data"], ["cat", "dog", "eel"]]
        .map(|names| names[numbers.below(3) as usize]);
    Arc::from(format!("{split}/{label}/{}.ppm", numbers.below(9)).as_bytes())
}

impl Tree {
    fn now(&self, path: &[u8]) -> Option<(usize, Stat)> {
        self.paths.get(path)?.last()?.file
    }

    /// All files.
    pub(crate) fn files(&self) -> BTreeMap<RelPath, usize> {
        let held = self
            .paths
            .iter()
            .filter_map(|(path, versions)| Some((path.clone(), versions.last()?.file?.0)));
        held.collect()
    }

    pub(crate) fn put(
        &mut self,
        path: RelPath,
        content: usize,
        step: u64,
        clock: i64,
        numbers: &mut Numbers,
    ) {
        // Writing in place keeps the inode.
        let inode = match self.now(&path) {
            Some((_, stat)) if numbers.below(2) == 0 => stat.inode,
            _ => {
                self.inodes += 1;
                self.inodes
            }
        };
        // Tools such as rsync and git set the time of a file back.
        let mtime_ns = if numbers.below(4) == 0 { 0 } else { clock };
        let stat = Stat {
            size: POOL.bytes(content).len() as u64,
            mtime_ns,
            ctime_ns: clock,
            inode,
        };
        self.set(path, Some((content, stat)), step);
    }

    fn set(&mut self, path: RelPath, file: Option<(usize, Stat)>, step: u64) {
        self.paths
            .entry(path)
            .or_default()
            .push(Version { since: step, file });
    }

    /// One change as users make them. Returns the paths that it touched.
    pub(crate) fn change(&mut self, step: u64, clock: i64, numbers: &mut Numbers) -> Vec<RelPath> {
        let files: Vec<RelPath> = self.files().into_keys().collect();
        let any = |numbers: &mut Numbers| {
            files
                .get(numbers.below(files.len().max(1) as u64) as usize)
                .cloned()
        };
        let (kind, known) = (numbers.below(8), any(numbers));
        match (kind, known) {
            (0..4, _) | (_, None) => {
                let path = name(numbers);
                self.put(path.clone(), Pool::any(numbers), step, clock, numbers);
                vec![path]
            }
            (4, Some(path)) => {
                self.put(path.clone(), Pool::any(numbers), step, clock, numbers);
                vec![path]
            }
            (5, Some(from)) => {
                let to = name(numbers);
                let (content, stat) = self.now(&from).expect("it was listed");
                self.set(from.clone(), None, step);
                // A rename changes the time of the inode.
                self.set(
                    to.clone(),
                    Some((
                        content,
                        Stat {
                            ctime_ns: clock,
                            ..stat
                        },
                    )),
                    step,
                );
                vec![from, to]
            }
            (_, Some(path)) => {
                self.set(path.clone(), None, step);
                vec![path]
            }
        }
    }

    pub(crate) fn list(&self, scope: &[u8]) -> Listing {
        let found = |(path, versions): (&RelPath, &Vec<Version>)| {
            let (_, stat) = versions.last()?.file?;
            wsidx::dataset::contains(scope, path).then(|| Found {
                path: path.clone(),
                stat,
            })
        };
        Listing {
            files: self.paths.iter().filter_map(found).collect(),
            ..Listing::default()
        }
    }

    pub(crate) fn read(&self, path: &[u8]) -> Option<(&'static [u8], Stat)> {
        let (content, stat) = self.now(path)?;
        Some((POOL.bytes(content), stat))
    }

    /// All that each path has held since a step.
    pub(crate) fn held_since(&self, step: u64) -> BTreeMap<RelPath, BTreeSet<Held>> {
        let since = |versions: &Vec<Version>| {
            let first = versions.iter().rposition(|version| version.since <= step);
            let before = if first.is_none() { Some(None) } else { None };
            let later = versions
                .iter()
                .skip(first.unwrap_or(0))
                .map(|version| version.file.map(|(content, _)| content));
            before.into_iter().chain(later).collect()
        };
        self.paths
            .iter()
            .map(|(path, versions)| (path.clone(), since(versions)))
            .collect()
    }
}
