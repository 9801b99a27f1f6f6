//! Paths of a dataset → a folder that holds them, of hard links or copies: whole, or not at all.
//! Items of containers become files.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use wsidx::{
    Error,
    dataset::{Buffer, Images, container_of, names_image, to_path},
    file::{DraftFolder, copy_new, create_new},
    picture::{Format, Limits},
};

/// How files come into the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As further names of the same files.
    Link,
    /// As files of their own.
    Copy,
}

/// Makes the folder `target` with the files of `root` at some of its paths. It is made beside,
/// under another name, and moved there when all is in it.
///
/// # Errors
/// [`Error::Input`] where something is there already, or a path leads outside; [`Error::Io`],
/// [`Error::Interrupted`]. Then nothing is left.
pub(crate) fn make_tree(
    root: &Path,
    paths: &[&[u8]],
    target: &Path,
    way: Way,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let draft = DraftFolder::new(target)?;
    fill(root, paths, draft.path(), way, cancelled)?;
    draft.create()
}

fn fill(
    root: &Path,
    paths: &[&[u8]],
    folder: &Path,
    way: Way,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io {
            doing,
            path,
            source,
        }
    };
    let (images, mut buffer) = (Images::default(), Buffer::default());
    for path in paths {
        if cancelled() {
            return Err(Error::Interrupted);
        }
        let relative: PathBuf = to_path(Path::new(""), path);
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(Error::Input(format!(
                "the path {} leads out of the dataset",
                relative.display()
            )));
        }
        let (from, to) = (root.join(&relative), folder.join(&relative));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(io("making the folder", parent))?;
        }
        if container_of(&from).is_some() {
            images
                .read(&from, &Limits::default(), &mut buffer)
                .map_err(|e| Error::Input(format!("{}: {e}", relative.display())))?;
            let to = with_ending(to, &buffer.bytes);
            if !create_new(&to, &buffer.bytes)? {
                return Err(Error::Input(format!(
                    "two images would become {}; rename one of them",
                    relative.display()
                )));
            }
            continue;
        }
        match way {
            Way::Copy => copy_new(&from, &to)?,
            Way::Link if !fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_file()) => {
                return Err(Error::Input(format!(
                    "{} is no regular file any more; run `wsidx sync`",
                    relative.display()
                )));
            }
            Way::Link => fs::hard_link(&from, &to).map_err(|source| match source.kind() {
                io::ErrorKind::CrossesDevices => Error::Input(format!(
                    "{} is on another file system, to which there are no links; use --copy",
                    folder.display()
                )),
                _ => io("linking", &from)(source),
            })?,
        }
    }
    Ok(())
}

/// The path of a file that holds these bytes, with the ending of its format where it has none of an
/// image.
fn with_ending(path: PathBuf, bytes: &[u8]) -> PathBuf {
    match Format::sniff(bytes) {
        Some(format) if !names_image(path.as_os_str().as_encoded_bytes()) => {
            let mut name = path.into_os_string();
            name.push(format!(".{}", format.name().to_lowercase()));
            name.into()
        }
        _ => path,
    }
}
