//! Names of files → which of them are containers, which files belong to them, and the split that
//! they tell.

use std::{convert::Infallible, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use crate::{dataset::names_image, verdict::Split};

/// What a file is by its name, if the files that belong to it are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cifar10,
    Cifar100,
    Cifar10Python,
    Cifar100Python,
    Idx,
    Tar,
    Parquet,
}

impl Kind {
    /// The kind that a name promises.
    pub(super) fn of(path: &[u8]) -> Option<Self> {
        let name = file_name(path);
        let batch = |rest: Option<&[u8]>| rest.is_some_and(is_number);
        match name {
            b"test_batch.bin" => Some(Self::Cifar10),
            b"test_batch" => Some(Self::Cifar10Python),
            b"train.bin" | b"test.bin" => Some(Self::Cifar100),
            b"train" | b"test" => Some(Self::Cifar100Python),
            _ if batch(
                name.strip_prefix(b"data_batch_")
                    .and_then(|rest| rest.strip_suffix(b".bin")),
            ) =>
            {
                Some(Self::Cifar10)
            }
            _ if batch(name.strip_prefix(b"data_batch_")) => Some(Self::Cifar10Python),
            _ if name.len() > 4 && name.ends_with(b".tar") => Some(Self::Tar),
            _ if name.len() > 8 && name.ends_with(b".parquet") => Some(Self::Parquet),
            _ if without_gz(name).ends_with(b"idx3-ubyte") => Some(Self::Idx),
            _ => None,
        }
    }

    /// Whether a container of this kind may have such an item.
    fn may_hold(self, item: &[u8]) -> bool {
        match self {
            Self::Tar => names_image(item),
            Self::Parquet => item
                .iter()
                .position(|&b| b == b':')
                .is_some_and(|at| is_number(&item[..at]) && at + 1 < item.len()),
            _ => is_number(item),
        }
    }

    /// The file without which a name that others use, too, is no container.
    pub(super) fn witness(self) -> Option<&'static str> {
        match self {
            Self::Cifar100 => Some("fine_label_names.txt"),
            Self::Cifar100Python => Some("meta"),
            _ => None,
        }
    }

    /// The file that names the labels, if it is there.
    pub(super) fn names(self) -> Option<&'static str> {
        match self {
            Self::Cifar10 => Some("batches.meta.txt"),
            Self::Cifar10Python => Some("batches.meta"),
            _ => self.witness(),
        }
    }
}

fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

fn without_gz(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".gz").unwrap_or(name)
}

/// Whether a file has the name of a container.
pub fn names_container(path: &[u8]) -> bool {
    Kind::of(path).is_some()
}

/// Whether a path is that of a container, where `has` knows which files are there.
pub(in crate::dataset) fn is_container_among<E>(
    path: &[u8],
    has: impl FnOnce(&[u8]) -> Result<bool, E>,
) -> Result<bool, E> {
    let folder = &path[..path.len() - file_name(path).len()];
    let beside = |name: &str| has(&[folder, name.as_bytes()].concat());
    Kind::of(path).map_or(Ok(false), |kind| kind.witness().map_or(Ok(true), beside))
}

/// Whether a file has the name of one that says what is in a container beside it.
pub fn names_companion(path: &[u8]) -> bool {
    let name = file_name(path);
    matches!(
        name,
        b"batches.meta.txt" | b"batches.meta" | b"fine_label_names.txt" | b"meta"
    ) || without_gz(name).ends_with(b"idx1-ubyte")
}

/// Whether a path is that of an item which a container of this path may have.
pub fn is_item_of(container: &[u8], path: &[u8]) -> bool {
    let item = path
        .strip_prefix(container)
        .and_then(|rest| rest.strip_prefix(b"#"));
    item.is_some_and(|item| Kind::of(container).is_some_and(|kind| kind.may_hold(item)))
}

/// The container of an item and the name of the item, by the path alone; `None` for a path that can
/// be none of an item.
pub(in crate::dataset) fn split_item(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let signs = path
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'#')
        .map(|(at, _)| at);
    signs
        .map(|at| (&path[..at], &path[at + 1..]))
        .find(|(container, _)| is_item_of(container, path))
}

/// The container that the path of an item leads to; `None` where the path itself is there, or the
/// container is not.
pub fn container_of(path: &Path) -> Option<&Path> {
    let (container, _) = split_item(path.as_os_str().as_bytes())?;
    let container = Path::new(OsStr::from_bytes(container));
    (path.symlink_metadata().is_err() && is_container(container)).then_some(container)
}

/// Whether a regular file is a container by its name and by what is beside it. What is packed is
/// none where it is beside its unpacked form.
pub fn is_container(path: &Path) -> bool {
    let is_file = |path: &[u8]| {
        Path::new(OsStr::from_bytes(path))
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_file())
    };
    let path = path.as_os_str().as_bytes();
    let by_name =
        is_container_among(path, |beside| Ok::<_, Infallible>(is_file(beside))) == Ok(true);
    by_name && is_file(path) && !path.strip_suffix(b".gz").is_some_and(is_file)
}

/// The split that the name of a container tells: that of its first word that is the name of one.
pub(super) fn split_of_name(path: &[u8]) -> Option<Split> {
    let name = file_name(path);
    let of_word = |word: &[u8]| match word {
        b"t10k" => Some(Split::Test),
        b"data" if name.starts_with(b"data_batch_") => Some(Split::Train),
        _ => std::str::from_utf8(word).ok()?.parse().ok(),
    };
    name.split(|b| !b.is_ascii_alphanumeric()).find_map(of_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_known_by_name_and_so_are_their_items() {
        let names = [
            "a/data_batch_1.bin",
            "test_batch.bin",
            "train.bin",
            "x-train-images-idx3-ubyte",
            "t10k-images.idx3-ubyte.gz",
        ];
        for name in names.into_iter().chain([
            "data_batch_5",
            "a/test_batch",
            "train",
            "a.b.tar",
            "data/train-00000-of-00001.parquet",
        ]) {
            assert!(names_container(name.as_bytes()), "{name}");
        }
        for name in [
            "data_batch_.bin",
            "data_batch_1x.bin",
            "model.bin",
            "train-labels-idx1-ubyte",
            "a.png",
            "",
            "train.bin/x",
            ".tar",
            ".parquet",
        ] {
            assert!(!names_container(name.as_bytes()), "{name}");
        }
        assert_eq!(
            split_item(b"a/test_batch.bin#12"),
            Some((&b"a/test_batch.bin"[..], &b"12"[..]))
        );
        for path in [
            "a#1.png",
            "a/test_batch.bin",
            "test_batch.bin#",
            "test_batch.bin#1.png",
            "model.bin#1",
            "test_batch.bin#a#1",
        ] {
            assert_eq!(split_item(path.as_bytes()), None, "{path}");
        }
        assert_eq!(
            split_item(b"train#y/a.tar#b/c#d.png"),
            Some((&b"train#y/a.tar"[..], &b"b/c#d.png"[..]))
        );
        assert_eq!(split_item(b"a.tar#b/c.txt"), None);
        assert_eq!(
            split_item(b"a.parquet#12:image#1"),
            Some((&b"a.parquet"[..], &b"12:image#1"[..]))
        );
        for path in [
            "a.parquet#12",
            "a.parquet#image",
            "a.parquet#:image",
            "a.parquet#12:",
        ] {
            assert_eq!(split_item(path.as_bytes()), None, "{path}");
        }
        assert_eq!(
            split_item(b"x#y/test_batch.bin#0"),
            Some((&b"x#y/test_batch.bin"[..], &b"0"[..]))
        );
    }

    #[test]
    fn the_split_is_the_first_word_of_the_name_that_is_one() {
        let split = |name: &str| split_of_name(name.as_bytes());
        for name in [
            "data_batch_3.bin",
            "train.bin",
            "x/train-images-idx3-ubyte",
            "emnist-letters-train-images-idx3-ubyte.gz",
        ] {
            assert_eq!(split(name), Some(Split::Train), "{name}");
        }
        for name in [
            "test_batch.bin",
            "test.bin",
            "t10k-images-idx3-ubyte.gz",
            "data/test-00000.tar",
            "test_batch",
        ] {
            assert_eq!(split(name), Some(Split::Test), "{name}");
        }
        assert_eq!(
            (
                split("val-0.tar"),
                split("shard-1.tar"),
                split("data-1.tar")
            ),
            (Some(Split::Val), None, None)
        );
    }
}
