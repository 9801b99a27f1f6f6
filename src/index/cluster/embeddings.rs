//! A file of embeddings → a row for each image that is to be clustered, found by its path.

use std::{
    collections::{HashMap, HashSet},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::Arc,
};

use ndarray::Array2;

use crate::{
    Error, Result,
    dataset::{Embeddings, Texts},
    index::{IndexedImage, Reader, Selection},
    monitor::Monitor,
};

impl Reader {
    /// The embeddings of images, in their order, from a file as [`Embeddings`] says. Paths are
    /// relative to the root of the dataset, or absolute and below it. There may be embeddings of
    /// other images of the dataset, too.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be used, a path that is no image of the dataset or
    /// is there twice, and an image that has no embedding; [`Error::Damaged`],
    /// [`Error::Interrupted`].
    pub fn embeddings(
        &self,
        images: &[IndexedImage],
        file: &Path,
        ids: Option<&Path>,
        monitor: &dyn Monitor,
    ) -> Result<Array2<f32>> {
        monitor.stage("reading embeddings", None);
        let embeddings = Embeddings::open(file, ids)?;
        let places = self
            .places(images, embeddings.ids())
            .map_err(|error| match error {
                Error::Input(what) => {
                    Error::Input(format!("{}: {what}", ids.unwrap_or(file).display()))
                }
                other => other,
            })?;
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        embeddings.rows(&places, images.len())
    }

    /// Which of the images each path names, if it is one of them.
    fn places(&self, images: &[IndexedImage], ids: &Texts) -> Result<Vec<Option<u32>>> {
        let of_path: HashMap<&[u8], u32> =
            images.iter().map(|image| &*image.path).zip(0..).collect();
        let (mut all, mut seen, mut places) = (None, HashMap::new(), Vec::with_capacity(ids.len()));
        for (row, id) in ids.iter().enumerate() {
            let (path, shown) = (relative(self.root(), id), String::from_utf8_lossy(id));
            if let Some(first) = seen.insert(path, row) {
                return Err(Error::Input(format!(
                    "rows {first} and {row} (from 0) are both of {shown}"
                )));
            }
            let place = of_path.get(path).copied();
            if place.is_none() && !self.all_paths(&mut all)?.contains(path) {
                return Err(Error::Input(format!(
                    "row {row} (from 0) is of {shown}, which is no image of the dataset; paths are those below {}, as `wsidx reduce --format \
                     csv` lists them, and `wsidx sync` brings the index up to date",
                    self.root().display()
                )));
            }
            places.push(place);
        }
        let lacking: Vec<&IndexedImage> = images
            .iter()
            .filter(|image| !seen.contains_key(&*image.path))
            .collect();
        match lacking[..] {
            [] => Ok(places),
            [first, ..] => Err(Error::Input(format!(
                "{} of the {} selected images have no embedding, the first is {}; select only those that have one",
                lacking.len(),
                images.len(),
                String::from_utf8_lossy(&first.path)
            ))),
        }
    }

    /// The paths of the whole dataset, once they are needed.
    fn all_paths<'a>(
        &self,
        known: &'a mut Option<HashSet<Arc<[u8]>>>,
    ) -> Result<&'a HashSet<Arc<[u8]>>> {
        if known.is_none() {
            *known = Some(
                self.images(&Selection::default())?
                    .into_iter()
                    .map(|image| image.path)
                    .collect(),
            );
        }
        Ok(known.get_or_insert_default())
    }
}

/// A path as the index has it.
fn relative<'a>(root: &Path, id: &'a [u8]) -> &'a [u8] {
    let below = id
        .strip_prefix(root.as_os_str().as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"));
    let id = below.unwrap_or(id);
    id.strip_prefix(b"./").unwrap_or(id)
}
