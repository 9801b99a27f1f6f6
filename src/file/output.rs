//! Files of results that a user names with an option: what their names must be, and what they may
//! replace.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use flate2::Crc;

use super::{describe, index_folder::index_around, open_regular, write};
use crate::{Error, Result};

/// What a file of results holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// JSON.
    Json,
    /// CSV.
    Csv,
    /// A NumPy array.
    Npy,
    /// A PNG, which is marked as drawn by wsidx when it is written.
    Png,
    /// An SVG.
    Svg,
}

impl Content {
    /// What the name of the file ends in, after a dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Npy => "npy",
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}

/// Says what input of a dataset a file is, by its path and its first bytes; `None` for a file that
/// is none.
pub type IsInput = fn(&Path, &[u8]) -> Option<&'static str>;

/// A file of results that a user named: its name ends as its content does, it is in no index, and
/// it replaces no input of a dataset.
#[derive(Clone)]
pub struct Output {
    option: &'static str,
    path: PathBuf,
    content: Content,
    is_input: IsInput,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("option", &self.option)
            .field("path", &self.path)
            .field("content", &self.content)
            .finish()
    }
}

/// The first bytes of a file that say what it is.
const HEAD: u64 = 64;

/// Where the first chunk of a PNG ends, which is its header: 8 bytes of signature, and 25 of
/// header.
const AFTER_HEADER: usize = 33;
/// The type and the content of the chunk that marks a PNG as drawn by wsidx (PNG specification,
/// 11.3.3.2: `tEXt`).
const MARK: &[u8] = b"tEXtSoftware\0wsidx";

impl Output {
    /// Checks the name, before anything is computed for it. `option` is what the user wrote before
    /// it.
    ///
    /// # Errors
    /// [`Error::Input`] with another name to use, [`Error::Io`].
    pub fn new(
        option: &'static str,
        path: &Path,
        content: Content,
        is_input: IsInput,
    ) -> Result<Self> {
        let output = Self {
            option,
            path: path.to_owned(),
            content,
            is_input,
        };
        output.check()?;
        Ok(output)
    }

    fn check(&self) -> Result<()> {
        let (option, name, ending) = (self.option, self.path.display(), self.content.ending());
        let meta = look(&self.path, "name a file")?;
        if self
            .path
            .extension()
            .is_none_or(|extension| !extension.eq_ignore_ascii_case(ending))
        {
            let other = self.path.with_extension(ending);
            let other = other.display();
            return Err(Error::Input(format!(
                "{option} writes .{ending}; {name} does not end in that; use `{option} {other}`"
            )));
        }
        refuse_in_index(&self.path)?;
        let head = if meta.is_some() {
            head(&self.path)?
        } else {
            Vec::new()
        };
        match (self.is_input)(&self.path, &head) {
            Some(_) if is_drawn(&head) => Ok(()),
            Some(input) => {
                let other = self.path.with_extension(format!("result.{ending}"));
                let other = other.display();
                Err(Error::Input(format!(
                    "{name} is {input}, and no result is written over it; use `{option} {other}`"
                )))
            }
            None => Ok(()),
        }
    }

    /// Writes the file, in place of a regular file that has the name. The name is checked again:
    /// much may have changed since.
    ///
    /// # Errors
    /// As [`Output::new`].
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.check()?;
        match self.content {
            Content::Png => write(&self.path, &marked(bytes)),
            _ => write(&self.path, bytes),
        }
    }
}

/// The regular file at a path where a result is to be written; `None` where there is nothing.
///
/// # Errors
/// [`Error::Input`] for anything else, with `way_out` besides removing it.
pub(super) fn look(path: &Path, way_out: &str) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta)),
        Ok(meta) => {
            let kind = describe(meta.file_type());
            Err(Error::Input(format!(
                "{} is {kind}, and no result is written there; remove it, or {way_out}",
                path.display()
            )))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("writing", path)(e)),
    }
}

/// Refuses a path in the folder of an index: whatever is there belongs to the index.
///
/// # Errors
/// [`Error::Input`].
pub fn refuse_in_index(path: &Path) -> Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match index_around(path).or_else(|| index_around(parent)) {
        Some(index) => {
            let (name, index) = (path.display(), index.display());
            Err(Error::Input(format!(
                "{name} is in the index {index}, where nothing else is written; name one outside of that folder"
            )))
        }
        None => Ok(()),
    }
}

fn head(path: &Path) -> Result<Vec<u8>> {
    let (file, _) = open_regular(path).map_err(|problem| problem.at(path))?;
    let mut head = Vec::new();
    file.take(HEAD)
        .read_to_end(&mut head)
        .map_err(Error::io("reading", path))?;
    Ok(head)
}

/// Whether a file that begins so is a PNG that was written here.
fn is_drawn(head: &[u8]) -> bool {
    head.get(AFTER_HEADER + 4..)
        .is_some_and(|chunk| chunk.starts_with(MARK))
}

/// A PNG with the mark after its header.
fn marked(png: &[u8]) -> Vec<u8> {
    let (header, rest) = png.split_at(png.len().min(AFTER_HEADER));
    let mut crc = Crc::new();
    crc.update(MARK);
    let length = MARK.len() as u32 - 4;
    [
        header,
        &length.to_be_bytes(),
        MARK,
        &crc.sum().to_be_bytes(),
        rest,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::{super::index_folder::INDEX_FOLDER, *};

    fn is_input(path: &Path, head: &[u8]) -> Option<&'static str> {
        let is_table = path.ends_with("labels.csv");
        (is_table || head.starts_with(b"\x89PNG")).then_some("an image")
    }

    #[test]
    fn a_result_has_the_ending_of_its_content_and_replaces_neither_inputs_nor_anything_in_an_index()
    {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at(".wsidx/packs")).unwrap();
        fs::create_dir_all(at("bare/wsidx")).unwrap();
        ["bare/objects", "bare/refs", "not bare/wsidx"]
            .iter()
            .for_each(|name| fs::create_dir_all(at(name)).unwrap());
        fs::write(at("bare/HEAD"), b"ref: refs/heads/main\n").unwrap();
        std::os::unix::fs::symlink(INDEX_FOLDER, at("way")).unwrap();
        let tried = |name: &str, content| {
            Output::new("--out", &at(name), content, is_input).and_then(|out| out.write(b"bytes"))
        };
        let refused = |name: &str, content, why: &str| {
            let message = tried(name, content).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        };
        fs::write(at("image.png"), b"\x89PNG...").unwrap();
        refused("image.png", Content::Json, "--out writes .json");
        refused(
            "image.png",
            Content::Png,
            "is an image, and no result is written over it; use `--out ",
        );
        refused("image", Content::Svg, "image.svg`");
        refused("labels.csv", Content::Csv, "is an image");
        for name in [
            ".wsidx/x.json",
            ".wsidx/packs/x.json",
            "way/x.json",
            "way/packs/../x.json",
            "bare/wsidx/x.json",
        ] {
            refused(name, Content::Json, "is in the index ");
            assert!(
                write(&at(name), b"")
                    .unwrap_err()
                    .to_string()
                    .contains("is in the index ")
            );
        }
        assert_eq!(fs::read(at("image.png")).unwrap(), b"\x89PNG...");
        tried("not bare/wsidx/x.JSON", Content::Json).unwrap();
        fs::write(at("old.svg"), b"old").unwrap();
        tried("old.svg", Content::Svg).unwrap();
        assert_eq!(fs::read(at("old.svg")).unwrap(), b"bytes");
    }

    #[test]
    fn a_drawing_is_marked_can_be_decoded_and_replaces_another_drawing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drawing.png");
        let mut png = io::Cursor::new(Vec::new());
        image::GrayImage::from_pixel(3, 2, image::Luma([7]))
            .write_to(&mut png, image::ImageFormat::Png)
            .unwrap();
        for _ in 0..2 {
            Output::new("--out", &path, Content::Png, is_input)
                .unwrap()
                .write(png.get_ref())
                .unwrap();
        }
        let decoded = image::load_from_memory(&fs::read(&path).unwrap())
            .unwrap()
            .into_luma8();
        assert_eq!(
            (decoded.dimensions(), decoded.into_raw()),
            ((3, 2), vec![7; 6])
        );
        // An image that came between the check and the writing is not replaced.
        let output = Output::new("--out", &path, Content::Png, is_input).unwrap();
        fs::write(&path, png.get_ref()).unwrap();
        assert!(output.write(png.get_ref()).is_err());
    }
}
