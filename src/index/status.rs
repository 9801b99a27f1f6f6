//! What an index holds, in numbers.

use std::{fs, io::ErrorKind, path::Path};

use super::Reader;
use crate::{Error, Result};

/// Counts and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The commit that is published.
    pub generation: u64,
    /// Contents that a path holds.
    pub contents: u64,
    /// Contents that are cached, whether or not a path holds them.
    pub cached: u64,
    /// Paths of images.
    pub paths: u64,
    /// Paths of files that cannot be read as images.
    pub undecodable: u64,
    /// The side of the pictures.
    pub size: u16,
    /// Planes of the pictures.
    pub planes: u8,
    /// The wavelet.
    pub wavelet: String,
    /// Columns of the search basis.
    pub columns: usize,
    /// Whether they were chosen from the data.
    pub fitted: bool,
    /// Search rows for crops of each content, and whether `wsidx.toml` asks for any.
    pub crops: (u32, bool),
    /// Bytes of packs, catalog and view.
    pub bytes: [u64; 3],
}

impl Reader {
    /// What the index holds.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] for a `wsidx.toml` that cannot be used.
    pub fn status(&self) -> Result<Status> {
        let manifest = self.view.manifest();
        let folder = self.home.folder();
        let bytes = |part: &str| folder_bytes(&folder.join(part));
        Ok(Status {
            generation: manifest.generation,
            contents: manifest.live,
            cached: manifest.rows(),
            paths: manifest.paths - manifest.undecodable.min(manifest.paths),
            undecodable: manifest.undecodable,
            size: self.settings.size,
            planes: self.settings.planes,
            wavelet: self.settings.wavelet.clone(),
            columns: self.basis.len(),
            fitted: self.basis.fitted,
            crops: (
                manifest.crops.as_ref().map_or(0, |crops| crops.places),
                self.rules()?.index.crops,
            ),
            bytes: [bytes("packs")?, bytes("catalog")?, bytes("view")?],
        })
    }
}

/// The lengths of the files in a folder and below it; what goes away meanwhile counts nothing.
fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut total = 0;
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(Error::io("reading", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("reading", folder))?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => total += folder_bytes(&entry.path())?,
            Ok(meta) => total += meta.len(),
            Err(_) => {}
        }
    }
    Ok(total)
}
