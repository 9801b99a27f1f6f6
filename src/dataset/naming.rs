//! The bytes of a file → the names under which the version control around the dataset knows them.
//!
//! A git blob id is the hash of `blob`, a space, the length, a zero byte and the bytes
//! (gitformat-object). git-lfs commits a pointer in place of the file (git-lfs docs/spec.md): its
//! blob id follows from the SHA-256 and the length of the file, so that a tree of pointers, too, is
//! answered without reading one of them.

use std::{fs, path::Path};

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{
    BARE_INDEX_FOLDER,
    git::{Repository, pointer_text},
    index_folder,
};
use crate::store::alias::Alias;

/// The hash of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFormat {
    /// SHA-1, as nearly everywhere.
    Sha1,
    /// SHA-256 (`git init --object-format=sha256`).
    Sha256,
}

/// Which names are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Naming {
    /// Blob ids.
    pub git: Option<ObjectFormat>,
    /// Names of git-lfs.
    pub lfs: bool,
    /// Names of DVC.
    pub dvc: bool,
}

impl Naming {
    /// Those of the version control that a folder lies in.
    pub fn around(root: &Path) -> Self {
        let has = |folder: &Path, name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
        let top = root.ancestors().find(|folder| has(folder, ".git"));
        let in_git = top.is_some() || index_folder(root).ends_with(BARE_INDEX_FOLDER);
        let repository = if in_git {
            Repository::at(root).ok().flatten()
        } else {
            None
        };
        let below_top = root
            .ancestors()
            .take_while(|folder| top.is_none_or(|top| folder.starts_with(top)));
        Self {
            git: repository.as_ref().map(|repository| repository.format),
            lfs: repository.is_some_and(|repository| has(&repository.common_dir, "lfs")),
            dvc: below_top
                .take(64)
                .any(|folder| folder.join(".dvc").is_dir()),
        }
    }

    /// The names of a file, sorted.
    pub fn of(&self, bytes: &[u8]) -> Vec<Alias> {
        let sha256 = self.lfs.then(|| Sha256::digest(bytes).into());
        let pointer = sha256.map(|hash| pointer_text(&hash, bytes.len() as u64));
        let blobs = [Some(bytes), pointer.as_deref()].into_iter().flatten();
        let git = self
            .git
            .into_iter()
            .flat_map(|format| blobs.clone().map(move |bytes| blob_id(format, bytes)));
        let dvc = self.dvc.then(|| Alias::Md5(Md5::digest(bytes).into()));
        let mut aliases: Vec<Alias> = git.chain(sha256.map(Alias::Sha256)).chain(dvc).collect();
        aliases.sort_unstable();
        aliases
    }

    /// Whether a content with these names lacks one that is wanted.
    pub fn lacks(&self, aliases: &[Alias]) -> bool {
        let has = |kind: fn(&Alias) -> bool| aliases.iter().any(kind);
        let git = match self.git {
            Some(ObjectFormat::Sha1) => has(|alias| matches!(alias, Alias::GitSha1(_))),
            Some(ObjectFormat::Sha256) => has(|alias| matches!(alias, Alias::GitSha256(_))),
            None => true,
        };
        let lfs = !self.lfs || has(|alias| matches!(alias, Alias::Sha256(_)));
        let dvc = !self.dvc || has(|alias| matches!(alias, Alias::Md5(_)));
        !(git && lfs && dvc)
    }
}

/// The id that git gives to a blob of these bytes.
pub fn blob_id(format: ObjectFormat, bytes: &[u8]) -> Alias {
    let head = format!("blob {}\0", bytes.len());
    match format {
        ObjectFormat::Sha1 => Alias::GitSha1(
            Sha1::new()
                .chain_update(head)
                .chain_update(bytes)
                .finalize()
                .into(),
        ),
        ObjectFormat::Sha256 => Alias::GitSha256(
            Sha256::new()
                .chain_update(head)
                .chain_update(bytes)
                .finalize()
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_git_git_lfs_and_dvc_give() {
        // `printf 'what is up, doc?' | git hash-object --stdin` is in the book "Pro Git".
        assert_eq!(
            blob_id(ObjectFormat::Sha1, b"what is up, doc?").hex(),
            "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
        );
        // `printf '' | git hash-object --stdin` in a repository of SHA-256.
        assert_eq!(
            blob_id(ObjectFormat::Sha256, b"").hex(),
            "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
        );
        let naming = Naming {
            git: Some(ObjectFormat::Sha1),
            lfs: true,
            dvc: true,
        };
        let names: Vec<String> = naming.of(b"abc").iter().map(Alias::hex).collect();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let pointer =
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 3\n");
        let mut blobs = [b"abc".as_slice(), pointer.as_bytes()]
            .map(|bytes| blob_id(ObjectFormat::Sha1, bytes).hex());
        blobs.sort_unstable();
        assert_eq!(
            names,
            [
                &blobs[0],
                &blobs[1],
                sha256,
                "900150983cd24fb0d6963f7d28e17f72"
            ]
        );
    }

    #[test]
    fn a_content_lacks_the_names_that_the_repository_gained() {
        let git = Naming {
            git: Some(ObjectFormat::Sha1),
            ..Naming::default()
        };
        let all = Naming {
            lfs: true,
            dvc: true,
            ..git
        };
        assert!(git.lacks(&[]) && !Naming::default().lacks(&[]));
        assert!(!git.lacks(&git.of(b"x")) && all.lacks(&git.of(b"x")) && !all.lacks(&all.of(b"x")));
        let newer = Naming {
            git: Some(ObjectFormat::Sha256),
            ..Naming::default()
        };
        assert!(newer.lacks(&all.of(b"x")));
    }
}
