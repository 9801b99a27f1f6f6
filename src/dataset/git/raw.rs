//! The bytes that git prints → what changed, and what a tree holds. Names may hold anything but a
//! zero byte.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::sync::Arc;

use crate::store::alias::Alias;

/// A record of `git diff --raw -z --no-renames --no-abbrev` (git diff-format).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawChange {
    /// Relative to the top of the repository.
    pub path: Arc<[u8]>,
    /// What was there; `None` where nothing was.
    pub old: Option<Entry>,
    /// What is there now; `None` where nothing is.
    pub new: Option<Entry>,
}

/// A path of the repository, and what stands there.
pub type Listed = (Arc<[u8]>, Entry);

/// What stands at a path of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// 0o100644 and 0o100755 for files, 0o120000 for symbolic links, 0o160000 for submodules.
    pub mode: u32,
    /// The id of the blob.
    pub id: Alias,
}

impl Entry {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.mode, 0o100_644 | 0o100_755)
    }

    /// `None` for the mode of nothing, an error (outer `None`) for what is no mode or id.
    fn read(mode: &[u8], id: &[u8]) -> Option<Option<Self>> {
        let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
        let id = Alias::of_git(id)?;
        Some((mode != 0).then_some(Self { mode, id }))
    }
}

/// Reads the output of `git diff --raw -z`. `None` where it is anything else, renames and unmerged
/// paths among it.
pub fn parse_diff(bytes: &[u8]) -> Option<Vec<RawChange>> {
    let mut fields = Fields(bytes);
    let mut changes = Vec::new();
    while let Some(head) = fields.next()? {
        let mut words = head.strip_prefix(b":")?.split(|&b| b == b' ');
        let (old_mode, new_mode) = (words.next()?, words.next()?);
        let (old, new) = (
            Entry::read(old_mode, words.next()?)?,
            Entry::read(new_mode, words.next()?)?,
        );
        let plain = matches!(words.next()?, b"A" | b"D" | b"M" | b"T") && words.next().is_none();
        let path = fields.next()?.filter(|path| plain && !path.is_empty())?;
        changes.push(RawChange {
            path: path.into(),
            old,
            new,
        });
    }
    Some(changes)
}

/// Reads the output of `git ls-files --stage -z`, without what is unmerged, or of `git ls-tree -r
/// -z`.
pub fn parse_tree(bytes: &[u8]) -> Option<Vec<Listed>> {
    let mut fields = Fields(bytes);
    let mut entries = Vec::new();
    while let Some(record) = fields.next()? {
        let tab = record.iter().position(|&b| b == b'\t')?;
        let (head, path) = record.split_at_checked(tab)?;
        let path = path.get(1..).filter(|path| !path.is_empty())?;
        let mut words = head.split(|&b| b == b' ');
        let (mode, second, third) = (words.next()?, words.next()?, words.next()?);
        // mode, id, stage of the index; mode, type, id of a tree.
        let (id, merged) = if matches!(second, b"blob" | b"commit" | b"tree") {
            (third, true)
        } else {
            (second, third == b"0")
        };
        let entry = Entry::read(mode, id)??;
        if merged {
            entries.push((path.into(), entry));
        }
    }
    Some(entries)
}

/// Fields that end in a zero byte.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// `Some(None)` at the end, `None` where the last field has no end.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let end = self.0.iter().position(|&b| b == 0)?;
        let (field, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(Some(field))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn entry(mode: u32, byte: u8) -> Option<Entry> {
        Some(Entry {
            mode,
            id: Alias::GitSha1([byte; 20]),
        })
    }

    #[test]
    fn records_of_a_diff_are_read_whatever_the_names() {
        let text = format!(
            ":000000 100644 {NONE} {A} A\0new\nline \x1b.png\0:100644 100755 {A} {B} M\0b\0:120000 100644 {A} {B} T\0:x\0:100644 000000 {A} {NONE} D\0d\0"
        );
        let changes = parse_diff(text.as_bytes()).unwrap();
        let expected = [
            (&b"new\nline \x1b.png"[..], None, entry(0o100_644, 0x11)),
            (b"b", entry(0o100_644, 0x11), entry(0o100_755, 0x22)),
            (b":x", entry(0o120_000, 0x11), entry(0o100_644, 0x22)),
            (b"d", entry(0o100_644, 0x11), None),
        ];
        let expected = expected.map(|(path, old, new)| RawChange {
            path: path.into(),
            old,
            new,
        });
        assert_eq!(changes, expected);
        assert_eq!(parse_diff(b""), Some(Vec::new()));
        let invalid = [
            &format!(":000000 100644 {NONE} {A} A\0").into_bytes()[..],
            b"\xff\xfe.png\0",
        ]
        .concat();
        assert_eq!(&*parse_diff(&invalid).unwrap()[0].path, b"\xff\xfe.png");
    }

    #[test]
    fn trees_and_indexes_are_read_and_what_is_unmerged_is_not_there() {
        let index = format!(
            "100644 {A} 0\ta\tb.png\x00100644 {A} 1\tc\x00100644 {B} 2\tc\x00120000 {B} 0\tl\0"
        );
        let read = parse_tree(index.as_bytes()).unwrap();
        assert_eq!(
            read,
            [
                (b"a\tb.png"[..].into(), entry(0o100_644, 0x11).unwrap()),
                (b"l"[..].into(), entry(0o120_000, 0x22).unwrap())
            ]
        );
        let tree = format!("100755 blob {A}\tx y\x00160000 commit {B}\ts\0");
        let read = parse_tree(tree.as_bytes()).unwrap();
        assert_eq!(
            read.iter()
                .map(|(_, entry)| entry.is_file())
                .collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let good = format!(":100644 100644 {A} {B} M\0name\0");
        for (from, to) in [
            ("M\0", "R100\0"),
            ("M\0", "U\0"),
            ("M\0", "\0"),
            (":", "::"),
            ("100644 ", ""),
            ("111", "11"),
            ("name", ""),
            ("222", "22g"),
        ] {
            assert_eq!(
                parse_diff(good.replacen(from, to, 1).as_bytes()),
                None,
                "{from:?} → {to:?}"
            );
        }
        (1..good.len())
            .for_each(|len| assert_eq!(parse_diff(&good.as_bytes()[..len]), None, "{len}"));
        let tree = format!("100644 {A} 0\ta\0");
        (1..tree.len())
            .for_each(|len| assert_eq!(parse_tree(&tree.as_bytes()[..len]), None, "{len}"));
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in proptest::collection::vec(prop_oneof![Just(b':'), Just(0), Just(b' '), Just(b'\t'), Just(b'1'), any::<u8>()], 0..300)) {
            let _ = (parse_diff(&bytes), parse_tree(&bytes));
        }
    }
}
