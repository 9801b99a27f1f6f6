//! git-lfs: a small blob → the pointer that it is, and the file that holds the bytes (git-lfs
//! docs/spec.md, lfs/pointer.go, fs/fs.go).

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::path::{Path, PathBuf};

/// A blob of this length or more is no pointer (`BlobSizeCutoff`).
const LONGEST: usize = 1024;

const VERSIONS: [&str; 3] = [
    "https://git-lfs.github.com/spec/v1",
    "https://hawser.github.com/spec/v1",
    "http://git-media.io/v/2",
];

/// What a blob is in place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// How many bytes.
    pub size: u64,
    /// Extensions change the stored object, so that it is not the file.
    pub extended: bool,
}

impl Pointer {
    /// Reads a pointer: `version` first, then `ext-N-name` lines, `oid sha256:…` and `size`. `None`
    /// for anything else; an empty blob is the pointer to an empty file, which is no image either.
    pub fn parse(blob: &[u8]) -> Option<Self> {
        if blob.len() >= LONGEST {
            return None;
        }
        let mut lines = std::str::from_utf8(blob)
            .ok()?
            .trim_end()
            .lines()
            .map(|line| line.split_once(' '));
        let (first, version) = lines.next()??;
        if first != "version" || !VERSIONS.contains(&version.trim()) {
            return None;
        }
        let (mut sha256, mut size, mut extended) = (None, None, false);
        for line in lines {
            match line? {
                ("oid", oid) => sha256 = Some(hash(oid.strip_prefix("sha256:")?)?),
                ("size", digits) => size = Some(digits.parse().ok()?),
                (key, _) if key.starts_with("ext-") => extended = true,
                _ => return None,
            }
        }
        Some(Self {
            sha256: sha256?,
            size: size?,
            extended,
        })
    }

    /// Where a store has the object, below its folder `objects`.
    pub(super) fn place(&self, objects: &Path) -> PathBuf {
        let hex = data_encoding::HEXLOWER.encode(&self.sha256);
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
        objects.join(part(0..2)).join(part(2..4)).join(&hex)
    }
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER
        .decode(hex.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

/// The pointer that git-lfs writes for a file.
pub fn pointer_text(sha256: &[u8; 32], size: u64) -> Vec<u8> {
    let hex = data_encoding::HEXLOWER.encode(sha256);
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize {size}\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Pointer> {
        Pointer::parse(text.as_bytes())
    }

    #[test]
    fn pointers_of_every_version_are_read_and_what_git_lfs_writes_comes_back() {
        let pointer = Pointer {
            sha256: [0xab; 32],
            size: 12_345,
            extended: false,
        };
        let text = String::from_utf8(pointer_text(&pointer.sha256, pointer.size)).unwrap();
        assert_eq!(parse(&text), Some(pointer.clone()));
        VERSIONS.iter().for_each(|version| {
            assert_eq!(
                parse(&text.replace(VERSIONS[0], version)),
                Some(pointer.clone())
            );
        });
        let extended = text.replace("oid", &format!("ext-0-foo sha256:{}\noid", "1".repeat(64)));
        assert_eq!(
            parse(&extended),
            Some(Pointer {
                extended: true,
                ..pointer.clone()
            })
        );
        let place = pointer.place(Path::new("o"));
        assert_eq!(place, Path::new("o/ab/ab").join("ab".repeat(32)));
    }

    #[test]
    fn what_is_no_pointer_is_none_and_hostile_bytes_are_harmless() {
        let good = String::from_utf8(pointer_text(&[1; 32], 7)).unwrap();
        for (from, to) in [
            ("version", "Version"),
            ("spec/v1", "spec/v9"),
            ("sha256:", "sha1:"),
            ("oid", "oyd"),
            ("01", "0G"),
            ("0101", "01"),
            ("0101", "../../../etc/passwd"),
            ("size 7", "size -7"),
            ("size 7", "size 99999999999999999999"),
            ("size 7\n", ""),
            ("\n", " "),
        ] {
            assert_eq!(parse(&good.replacen(from, to, 1)), None, "{from} → {to}");
        }
        for bytes in [
            &b""[..],
            b"\n",
            b"\xff\xfe",
            b"version",
            b"version \n",
            b"\0\0\0",
            b"P6 2 2 255\n",
        ] {
            assert_eq!(Pointer::parse(bytes), None);
        }
        (0..good.len() - 3)
            .for_each(|len| assert_eq!(Pointer::parse(&good.as_bytes()[..len]), None, "{len}"));
        assert_eq!(
            parse(&format!("{good}{}", " ".repeat(1_000))),
            None,
            "longer than a pointer may be"
        );
    }
}
