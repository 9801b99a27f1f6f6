//! A selection of the dataset → its images in the order of their paths, their stored pictures, and
//! the matrix W of their coefficients.
//!
//! An image is a *path*: two paths of one content are two images, as in the papers, where a
//! training set is a list of files.

use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;

use super::{Reader, publish::picture_of};
use crate::{
    Error, Result,
    dataset::{Buffer, Images, contains, to_path},
    monitor::Monitor,
    picture::{Frame, Picture, decode_frame},
    store::{packs::Place, view::RowRecord},
    verdict::{Label, Split},
    wavelet::{Coefficients, Layout, Wavelet},
};

/// Bytes of frames in memory at once: 4 GiB.
const MOST_BYTES: usize = 1 << 32;

/// Which images of the dataset: all for which everything that is said holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this split.
    pub split: Option<Split>,
    /// Only this label.
    pub label: Option<Vec<u8>>,
    /// Only these paths of the dataset: files, or folders and containers with all in them; the
    /// empty path is the root. Nothing here: all.
    pub under: Vec<Box<[u8]>>,
}

/// An image of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedImage {
    /// Relative to the root of the dataset.
    pub path: Arc<[u8]>,
    /// What it shows, where that is known.
    pub label: Option<Label>,
    /// Its part of the dataset.
    pub split: Option<Split>,
    /// The row of its content.
    pub row: u32,
    pub(super) place: Place,
}

impl Selection {
    fn has(&self, path: &[u8], label: Option<&Label>, split: Option<Split>) -> bool {
        self.split.is_none_or(|wanted| split == Some(wanted))
            && self
                .label
                .as_ref()
                .is_none_or(|wanted| label.is_some_and(|label| **label == **wanted))
            && (self.under.is_empty() || self.under.iter().any(|folder| contains(folder, path)))
    }
}

/// How the coefficients of W are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transform {
    /// Another wavelet than the one of the index.
    pub wavelet: Option<Wavelet>,
    /// Fewer levels than there can be.
    pub levels: Option<u32>,
}

impl Reader {
    /// The images of a selection, sorted by path.
    ///
    /// # Errors
    /// [`Error::Input`] where there is none; [`Error::Damaged`].
    pub fn images(&self, selection: &Selection) -> Result<Vec<IndexedImage>> {
        let mut images = Vec::new();
        for row in 0..self.view.rows() as u32 {
            let RowRecord {
                place, occurrences, ..
            } = self.view.row(row)?;
            let wanted = occurrences
                .into_iter()
                .filter(|o| selection.has(&o.path, o.label.as_ref(), o.split));
            images.extend(wanted.map(|o| IndexedImage {
                path: o.path,
                label: o.label,
                split: o.split,
                row,
                place,
            }));
        }
        images.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        if images.is_empty() {
            Err(Error::Input(
                "no image is in this selection; see `wsidx status` for what there is".into(),
            ))
        } else {
            Ok(images)
        }
    }

    /// The stored pictures of images, in their order.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Interrupted`].
    pub fn frames(&self, images: &[IndexedImage], monitor: &dyn Monitor) -> Result<Vec<Frame>> {
        monitor.stage("reading", Some(images.len() as u64));
        let frame = |image: &IndexedImage| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            monitor.advance(1);
            Ok(Frame::from(self.picture_at(image.place)?))
        };
        images.par_iter().map(frame).collect()
    }

    /// The files of images, decoded anew to a width and height, in their order; with as many planes
    /// as the stored pictures have.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be read as an image (any more), or all are too large
    /// together; [`Error::Interrupted`].
    pub fn frames_of_files(
        &self,
        images: &[IndexedImage],
        sides: [usize; 2],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Frame>> {
        let planes = self.settings.planes;
        let bytes = sides
            .iter()
            .chain([&images.len(), &planes.into()])
            .try_fold(1_usize, |bytes, n| bytes.checked_mul(*n));
        if bytes.is_none_or(|bytes| bytes > MOST_BYTES) {
            let [width, height] = sides;
            return Err(Error::Input(format!(
                "{} images of {width} × {height} take more than {} GiB; select fewer, or a smaller size",
                images.len(),
                MOST_BYTES >> 30
            )));
        }
        monitor.stage("reading", Some(images.len() as u64));
        let (files, limits) = (Images::default(), self.home.limits());
        let frame = |image: &IndexedImage| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            monitor.advance(1);
            let mut buffer = Buffer::default();
            let read = files.read(&to_path(self.root(), &image.path), &limits, &mut buffer);
            read.and_then(|_| decode_frame(&buffer.bytes, sides, planes, &limits))
                .map_err(|error| match error {
                    Error::Undecodable(reason) => Error::Input(format!(
                        "{}: {reason}",
                        String::from_utf8_lossy(&image.path)
                    )),
                    other => other,
                })
        };
        images.par_iter().map(frame).collect()
    }

    /// W: a row for each of the images, in their order, and a column for each of their coefficients
    /// as the transform gives them, neither centred nor normalised. 8 bytes a value.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Interrupted`].
    pub fn coefficients(
        &self,
        images: &[IndexedImage],
        transform: Transform,
        monitor: &dyn Monitor,
    ) -> Result<Array2<f64>> {
        let (size, planes) = (self.settings.size, self.settings.planes);
        let wavelet = transform.wavelet.unwrap_or_else(|| self.settings.wavelet());
        let mut w = Array2::zeros((images.len(), self.layout(transform).len()));
        let rows: Vec<_> = w.outer_iter_mut().zip(images).collect();
        rows.into_par_iter().try_for_each(|(mut row, image)| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            monitor.advance(1);
            let of = Coefficients::<f64>::of(
                self.picture_at(image.place)?.samples(),
                size,
                planes,
                wavelet,
                transform.levels,
            );
            row.iter_mut()
                .zip(&of.values)
                .for_each(|(out, value)| *out = *value);
            Ok(())
        })?;
        Ok(w)
    }

    /// Which coefficient stands in which column of W.
    #[must_use]
    pub fn layout(&self, transform: Transform) -> Layout {
        match transform.levels {
            Some(levels) => Layout::with_levels(self.settings.size, self.settings.planes, levels),
            None => self.settings.layout(),
        }
    }

    pub(super) fn picture_at(&self, place: Place) -> Result<Picture> {
        picture_of(&self.content(place)?, &self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_what_lies_in_its_folders_and_not_what_only_begins_alike() {
        let label: Label = b"cat"[..].into();
        let has = |selection: &Selection, path: &str| {
            selection.has(path.as_bytes(), Some(&label), Some(Split::Train))
        };
        let under = |folders: &[&str]| Selection {
            under: folders.iter().map(|f| f.as_bytes().into()).collect(),
            ..Selection::default()
        };
        assert!(has(&Selection::default(), "x"));
        assert!(
            has(&under(&["train/cat"]), "train/cat/1.png")
                && has(&under(&["a", "train/cat/1.png"]), "train/cat/1.png")
        );
        assert!(
            !has(&under(&["train/ca"]), "train/cat/1.png") && has(&under(&[""]), "train/cat/1.png")
        );
        assert!(has(
            &Selection {
                label: Some(b"cat".to_vec()),
                ..Selection::default()
            },
            "x"
        ));
        assert!(!has(
            &Selection {
                label: Some(b"dog".to_vec()),
                ..Selection::default()
            },
            "x"
        ));
        assert!(!has(
            &Selection {
                split: Some(Split::Test),
                ..Selection::default()
            },
            "x"
        ));
    }
}
