//! A change of a dataset under version control: what is there afterwards, what of it is to be
//! judged, and how its bytes are had.
//!
//! Nothing here is of git alone: whatever knows files by [`Alias`] and has their bytes can ask for
//! a judgement.

use std::sync::Arc;

use super::{Buffer, Labels, dvc::Kept};
use crate::{Result, picture::Limits, store::alias::Alias, verdict::Rules};

/// A file of a version of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFile {
    /// Relative to the root of the dataset.
    pub path: Arc<[u8]>,
    /// The name of its content.
    pub name: Alias,
}

/// A change, seen from behind: files of the new version, each in one of two lists.
#[derive(Debug, Default)]
pub struct Change {
    /// Files that stay as they were.
    pub base: Vec<VersionFile>,
    /// Files that are new, or have a new content, label or split: to be judged.
    pub new: Vec<VersionFile>,
    /// What the tables of the new version say.
    pub labels: Labels,
    /// What the `wsidx.toml` of the version that sets the policy says.
    pub rules: Rules,
    /// Changed images outside the root of the dataset, which are not judged.
    pub outside: u64,
    /// What DVC keeps of the files.
    pub kept: Kept,
}

impl Change {
    /// The bytes of its files: from `git`, and from where DVC keeps them.
    pub fn objects<'a>(&'a self, git: &'a dyn Objects) -> impl Objects + 'a {
        self.kept.beside(git)
    }
}

/// Why the bytes of a file are not had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// They are elsewhere; what fetches them.
    Missing(String),
    /// They are no file that may be read; the reason.
    Unreadable(String),
}

/// Takes the place of a file in the order that was asked for, and its bytes.
pub type VisitFile<'a> = dyn FnMut(usize, std::result::Result<&Buffer, Unread>) -> Result<()> + 'a;

/// Whatever has the bytes of a version's files.
pub trait Objects: Sync {
    /// Reads files in their order.
    ///
    /// # Errors
    /// Where nothing can be read at all, and what `visit` returns; a single file that cannot be
    /// read is told to `visit`.
    fn read(
        &self,
        files: &[&VersionFile],
        limits: &Limits,
        visit: &mut VisitFile<'_>,
    ) -> Result<()>;
}

/// Bytes of files that are in memory at once.
const TOGETHER: usize = 64 << 20;

/// A file's bytes, or why they are not had.
pub type Bytes = std::result::Result<Buffer, Unread>;

/// Reads files in their order and gives them to `take`, as many at once as fit in memory.
///
/// # Errors
/// As [`Objects::read`], and what `take` returns.
pub fn read_together(
    objects: &dyn Objects,
    files: &[&VersionFile],
    limits: &Limits,
    mut take: impl FnMut(Vec<Bytes>) -> Result<()>,
) -> Result<()> {
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    objects.read(files, limits, &mut |_, read| {
        bytes += read.as_ref().map_or(0, |buffer| buffer.bytes.len());
        waiting.push(read.map(|buffer| Buffer::from(buffer.bytes.clone())));
        if bytes < TOGETHER {
            return Ok(());
        }
        bytes = 0;
        take(std::mem::take(&mut waiting))
    })?;
    take(waiting)
}
