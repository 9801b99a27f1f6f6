//! Where the index of a dataset is, so that nothing else is written there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the index in the root of a dataset.
pub const INDEX_FOLDER: &str = ".wsidx";

/// The folder of the index in a bare repository.
pub const BARE_INDEX_FOLDER: &str = "wsidx";

/// The folder of the index of a dataset, which may be in a bare repository. A folder that has a
/// `.git` is a work tree, whatever else is in it.
pub fn index_folder(root: &Path) -> PathBuf {
    let bare =
        root.join("HEAD").is_file() && root.join("objects").is_dir() && root.join("refs").is_dir();
    let bare = bare && fs::symlink_metadata(root.join(".git")).is_err();
    root.join(if bare {
        BARE_INDEX_FOLDER
    } else {
        INDEX_FOLDER
    })
}

/// The folder of an index that holds `folder` or is it, after links in the path are resolved.
/// `None` also for a folder that is not there.
pub(super) fn index_around(folder: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(folder).ok()?;
    let is_index = |folder: &Path| {
        let is_bare = || {
            folder
                .parent()
                .is_some_and(|root| index_folder(root) == folder)
        };
        folder.ends_with(INDEX_FOLDER) || (folder.ends_with(BARE_INDEX_FOLDER) && is_bare())
    };
    real.ancestors()
        .find(|folder| is_index(folder))
        .map(Path::to_owned)
}
