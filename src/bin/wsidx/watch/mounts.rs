//! Mount points below the watched folders → those on which something was mounted or unmounted
//! since.
//!
//! A folder whose file system is unmounted looks like an empty one, and the system drops the
//! watches on all that was below it. So the table of mounts is read again before anything is
//! believed of files that are gone, and a folder that is not as it was is in trouble: nothing below
//! it is taken in or taken for removed until it is as it was. One gap stays: a changed file that is
//! unmounted between its turn and its reading is told as removed, and judged anew when it is back.
//! Only Linux has the table (`/proc/self/mountinfo`); elsewhere mount points are seen where a
//! watched folder itself is one.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use wsidx::dataset::{contains, is_hidden};

/// The numbers of the mounts that lie on a folder, lowest first, by its path from the root of the
/// dataset.
type Table = BTreeMap<Vec<u8>, Vec<u64>>;

/// Bytes of the table of mounts.
#[cfg(target_os = "linux")]
const LONGEST: u64 = 16 << 20;

/// A folder that is, or was, a mount point.
#[derive(Debug)]
struct Place {
    /// How many mounts should lie on it.
    expected: usize,
    mounts: Vec<u64>,
    trouble: Option<&'static str>,
}

/// What has become of a folder since the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is in trouble now, for this reason.
    Lost(&'static str),
    /// It is as it was.
    Back,
    /// A file system came where the index knows of nothing, or in place of another: all in it is
    /// new.
    New,
}

/// The mount points below the watched folders.
#[derive(Debug)]
pub(super) struct Mounts {
    dataset: PathBuf,
    scopes: Vec<Vec<u8>>,
    places: BTreeMap<Vec<u8>, Place>,
}

impl Mounts {
    /// As they are now; `scopes` are the watched folders.
    pub(super) fn new(dataset: &Path, scopes: Vec<Vec<u8>>) -> Self {
        let mut mounts = Self {
            dataset: dataset.to_owned(),
            scopes,
            places: BTreeMap::new(),
        };
        for (path, numbers) in mounts.table().unwrap_or_default() {
            mounts.places.insert(
                path,
                Place {
                    expected: numbers.len(),
                    mounts: numbers,
                    trouble: None,
                },
            );
        }
        mounts
    }

    /// Looks at the table of mounts; `is_known` says whether the index has files below a folder.
    pub(super) fn turn(&mut self, is_known: impl Fn(&[u8]) -> bool) -> Vec<(Vec<u8>, Change)> {
        self.table()
            .map_or_else(Vec::new, |now| self.compare(&now, is_known))
    }

    fn compare(&mut self, now: &Table, is_known: impl Fn(&[u8]) -> bool) -> Vec<(Vec<u8>, Change)> {
        let mut changes = Vec::new();
        for (path, numbers) in now
            .iter()
            .filter(|(path, _)| !self.places.contains_key(*path))
            .collect::<Vec<_>>()
        {
            // What it hides, if anything, was there when nothing was mounted.
            let hides = is_known(path);
            self.places.insert(
                path.clone(),
                Place {
                    expected: if hides { 0 } else { numbers.len() },
                    mounts: Vec::new(),
                    trouble: None,
                },
            );
        }
        for (path, place) in &mut self.places {
            let numbers = now.get(path).map_or(&[][..], Vec::as_slice);
            let trouble = match numbers.len().cmp(&place.expected) {
                std::cmp::Ordering::Less => Some("it was unmounted; mount it again"),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => Some(
                    "another file system was mounted over it; unmount that, or start the watch again to take in what it holds",
                ),
            };
            let before = std::mem::replace(&mut place.trouble, trouble);
            let is_other = place.mounts != numbers;
            place.mounts = numbers.to_vec();
            match (before, trouble) {
                (None, Some(why)) => changes.push((path.clone(), Change::Lost(why))),
                (Some(_), None) => changes.push((path.clone(), Change::Back)),
                (None, None) if is_other => changes.push((path.clone(), Change::New)),
                _ => {}
            }
        }
        changes
    }

    /// Whether a path is at or below a folder of which nothing can be said now.
    pub(super) fn hide(&self, path: &[u8]) -> bool {
        self.troubles().any(|(folder, _)| contains(folder, path))
    }

    /// The folders that are in trouble, and why.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (&[u8], &'static str)> {
        self.places
            .iter()
            .filter_map(|(path, place)| Some((path.as_slice(), place.trouble?)))
    }

    #[cfg(target_os = "linux")]
    fn table(&self) -> Option<Table> {
        let text = wsidx::file::read_named(Path::new("/proc/self/mountinfo"), LONGEST).ok()?;
        Some(mount_points(&text, &self.dataset, &self.scopes))
    }

    #[cfg(not(target_os = "linux"))]
    fn table(&self) -> Option<Table> {
        None
    }
}

/// The mount points strictly below some folders of the dataset: the fifth word of a line, and the
/// number of the mount is the first (proc(5)).
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux has the table")
)]
fn mount_points(text: &[u8], dataset: &Path, scopes: &[Vec<u8>]) -> Table {
    let mut table = Table::new();
    for line in text.split(|&b| b == b'\n') {
        let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
        let (Some(number), Some(path)) = (
            words
                .first()
                .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok()),
            words.get(4),
        ) else {
            continue;
        };
        // The kernel puts one where it will mount another at the first look.
        let kind = words
            .iter()
            .position(|word| *word == b"-")
            .and_then(|at| words.get(at + 1));
        let path = unescaped(path);
        let Ok(below) = Path::new(std::ffi::OsStr::from_bytes(&path)).strip_prefix(dataset) else {
            continue;
        };
        let below = below.as_os_str().as_bytes();
        let watched = scopes
            .iter()
            .any(|scope| contains(scope, below) && scope != below);
        if watched && !is_hidden(below) && kind.is_none_or(|kind| *kind != b"autofs") {
            table.entry(below.to_vec()).or_default().push(number);
        }
    }
    table
}

/// Blanks, line feeds and backslashes are written as three octal digits.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(word.len()), word);
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /data rw - tmpfs none rw
31 30 0:31 / /data/in rw - tmpfs none rw
32 31 0:32 / /data/in/a\\040b\\134 rw shared:7 master:1 - nfs4 host:/x rw
33 31 0:33 / /data/in/a\\040b\\134 rw - tmpfs none rw
34 31 0:34 / /data/in/.hidden rw - tmpfs none rw
35 31 0:35 / /data/in/auto rw - autofs none rw
36 30 0:36 / /data/other rw - tmpfs none rw
37 22 0:37 / /database/in/x rw - tmpfs none rw
broken
";

    #[test]
    fn mount_points_below_what_is_watched_are_read_from_the_table() {
        let read = |scope: &str| {
            mount_points(TEXT.as_bytes(), Path::new("/data"), &[scope.into()])
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(read("in"), [(b"in/a b\\".to_vec(), vec![32, 33])]);
        assert_eq!(
            read("")
                .iter()
                .map(|(path, _)| path.as_slice())
                .collect::<Vec<_>>(),
            [&b"in"[..], b"in/a b\\", b"other"]
        );
    }

    #[test]
    fn a_folder_is_in_trouble_until_as_many_file_systems_lie_on_it_as_before() {
        let table = |mounts: &[u64]| {
            if mounts.is_empty() {
                Table::new()
            } else {
                Table::from([(b"in/m".to_vec(), mounts.to_vec())])
            }
        };
        let with = |mounts: &[u64]| Mounts {
            dataset: PathBuf::new(),
            scopes: Vec::new(),
            places: table(mounts)
                .into_iter()
                .map(|(path, mounts)| {
                    (
                        path,
                        Place {
                            expected: mounts.len(),
                            mounts,
                            trouble: None,
                        },
                    )
                })
                .collect(),
        };
        let turn = |of: &mut Mounts, mounts: &[u64], known| {
            of.compare(&table(mounts), |_| known)
                .into_iter()
                .map(|(_, change)| change)
                .next()
        };
        let mut of = with(&[7]);
        assert_eq!(turn(&mut of, &[7], true), None);
        assert!(
            matches!(turn(&mut of, &[], true), Some(Change::Lost(why)) if why.contains("unmounted"))
        );
        assert!(
            of.hide(b"in/m/a.png") && of.hide(b"in/m") && !of.hide(b"in/mm") && !of.hide(b"in")
        );
        assert_eq!(
            (
                turn(&mut of, &[], true),
                turn(&mut of, &[9], true),
                of.hide(b"in/m")
            ),
            (None, Some(Change::Back), false)
        );
        assert_eq!(
            turn(&mut of, &[10], true),
            Some(Change::New),
            "unmounted and mounted between two looks"
        );
        assert!(
            matches!(turn(&mut of, &[10, 11], true), Some(Change::Lost(why)) if why.contains("mounted over"))
        );
        assert_eq!(turn(&mut of, &[10], true), Some(Change::Back));
        // One that comes later, where the index knows of nothing, and over files that it knows.
        let mut of = with(&[]);
        assert_eq!(
            (turn(&mut of, &[7], false), turn(&mut of, &[7], true)),
            (Some(Change::New), None)
        );
        let mut of = with(&[]);
        assert!(matches!(turn(&mut of, &[7], true), Some(Change::Lost(_))));
        assert_eq!(turn(&mut of, &[], true), Some(Change::Back));
    }
}
