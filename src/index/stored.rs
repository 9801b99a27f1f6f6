//! A path of the dataset → the picture that the index keeps of it.

use super::{Reader, publish::picture_of};
use crate::{Error, Result, picture::Picture, store::view::PathRecord};

/// What an index keeps of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The standardised picture.
    pub picture: Picture,
    /// Width and height of the image.
    pub sides: [u32; 2],
}

impl Reader {
    /// What the index keeps of a path, whether or not the file is still there.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no such path, or it is no image; [`Error::Damaged`].
    pub fn stored(&self, path: &[u8]) -> Result<Stored> {
        let content = self.content(self.view.content(self.row_of_path(path)?)?.1)?;
        Ok(Stored {
            picture: picture_of(&content, &self.settings)?,
            sides: [content.width, content.height],
        })
    }

    /// The row that a path holds.
    ///
    /// # Errors
    /// As [`Reader::stored`].
    pub(super) fn row_of_path(&self, path: &[u8]) -> Result<u32> {
        let shown = String::from_utf8_lossy(path);
        match self.view.path(path)? {
            Some(PathRecord::Row(row)) => Ok(row),
            Some(PathRecord::Undecodable(reason)) => Err(Error::Input(format!(
                "{shown} cannot be read as an image: {reason}"
            ))),
            None => Err(Error::Input(format!(
                "{shown} is not in the index; run `wsidx sync`"
            ))),
        }
    }
}
