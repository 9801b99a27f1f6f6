//! The manifest ⇄ bytes: the one small file whose rename makes a generation visible.

use twox_hash::XxHash3_64;

use super::blocks::{FileEntry, damaged};
use crate::{
    Error, Result,
    store::bytes::{Packer, Unpacker},
};

/// Its name in the folder.
pub(super) const NAME: &str = "manifest";
const MAGIC: &[u8; 8] = b"WSIDXVIE";
/// Without rows of crops, and with them.
const VERSIONS: [u32; 2] = [3, 4];

/// Number of tables.
pub(super) const TABLES: usize = 5;

/// The tables of a view, in the order in which the manifest lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Row number (four bytes, big-endian) → where its content occurs; live rows only.
    Names,
    /// Path → row number, or the reason why it has none.
    Paths,
    /// Row number → its neighbour list.
    Lists,
    /// Row number → the pairs in which it is, of those in a list that are similar.
    Edges,
    /// Alias → row number, of live and dead rows.
    Aliases,
}

impl TableKind {
    /// All, in order.
    pub const ALL: [Self; TABLES] = [
        Self::Names,
        Self::Paths,
        Self::Lists,
        Self::Edges,
        Self::Aliases,
    ];

    /// The beginning of its file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Paths => "paths",
            Self::Lists => "lists",
            Self::Edges => "edges",
            Self::Aliases => "aliases",
        }
    }
}

/// Rows of crops: of every row of the view so many, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CropRows {
    /// The rule by which the crops were made.
    pub rule: Vec<u8>,
    /// Crops of a picture.
    pub places: u32,
    /// High bytes, low bytes, norms.
    pub files: [FileEntry; 3],
}

/// What a view consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The commit that the view shows.
    pub generation: u64,
    /// The text of the settings.
    pub settings: Vec<u8>,
    /// The fingerprint of what features depend on.
    pub fingerprint: [u8; 32],
    /// The rule by which the similarities of edges were found.
    pub rule: Vec<u8>,
    /// Whether the columns of the search basis were chosen from data.
    pub fitted: bool,
    /// The columns of the search basis.
    pub basis: Vec<u32>,
    /// Rows whose content has a path.
    pub live: u64,
    /// Paths, those of undecodable files included.
    pub paths: u64,
    /// Paths of undecodable files.
    pub undecodable: u64,
    /// Whether stored contents were lost and wait for a `sync` that reads their files again.
    pub incomplete: bool,
    /// What there is of every row, in this order: high bytes, low bytes, norms, contents, live. All
    /// but the last only grow.
    pub columns: [FileEntry; 5],
    /// Rows of crops, where they are kept.
    pub crops: Option<CropRows>,
    /// The runs of the order of rows by content id, oldest first.
    pub order: Vec<FileEntry>,
    /// The runs of each table, oldest first, in the order of [`TableKind::ALL`].
    pub tables: [Vec<FileEntry>; TABLES],
}

impl Manifest {
    /// Rows, dead ones included: the file of norms has eight bytes for each.
    pub fn rows(&self) -> u64 {
        self.columns[2].len / 8
    }

    /// All files that the manifest names.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let crops = self.crops.iter().flat_map(|crops| &crops.files);
        self.columns
            .iter()
            .chain(crops)
            .chain(&self.order)
            .chain(self.tables.iter().flatten())
    }

    /// The bytes of the file: magic, version, length of the body, XXH3-64 of version and body,
    /// body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Packer::default();
        body.u64(self.generation);
        body.bytes(&self.settings);
        body.raw(&self.fingerprint);
        body.bytes(&self.rule);
        body.u8(u8::from(self.fitted));
        body.u32(self.basis.len() as u32);
        self.basis.iter().for_each(|&column| body.u32(column));
        body.u64(self.live);
        body.u64(self.paths);
        body.u64(self.undecodable);
        body.u8(u8::from(self.incomplete));
        self.columns
            .iter()
            .for_each(|file| pack_file(&mut body, file));
        for runs in [&self.order].into_iter().chain(&self.tables) {
            body.u32(runs.len() as u32);
            runs.iter().for_each(|file| pack_file(&mut body, file));
        }
        if let Some(crops) = &self.crops {
            body.bytes(&crops.rule);
            body.u32(crops.places);
            crops
                .files
                .iter()
                .for_each(|file| pack_file(&mut body, file));
        }
        let version = VERSIONS[usize::from(self.crops.is_some())];
        let mut out = Packer::default();
        out.raw(MAGIC);
        out.u32(version);
        out.u64(body.0.len() as u64);
        out.u64(checksum(version, &body.0));
        out.raw(&body.0);
        out.0
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Version`] for another format, [`Error::Damaged`] for anything else that is not what
    /// [`Manifest::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut bytes = Unpacker(bytes);
        let bad = || damaged("the manifest is malformed");
        if bytes.array::<8>() != Some(*MAGIC) {
            return Err(damaged("the manifest is none"));
        }
        let version = bytes.u32().ok_or_else(bad)?;
        let (len, sum) = (bytes.u64().ok_or_else(bad)?, bytes.u64().ok_or_else(bad)?);
        if len != bytes.0.len() as u64 || sum != checksum(version, bytes.0) {
            return Err(damaged("the manifest does not match its checksum"));
        }
        let Some(with_crops) = VERSIONS.iter().position(|known| *known == version) else {
            let [least, most] = VERSIONS;
            return Err(Error::Version {
                what: format!(
                    "the view has format {version}, this wsidx reads formats {least} and {most}"
                ),
                mend: "run `wsidx rebuild` with the version that you want to use",
            });
        };
        Self::unpack(bytes, with_crops == 1).ok_or_else(bad)
    }

    fn unpack(mut b: Unpacker<'_>, with_crops: bool) -> Option<Self> {
        let mut manifest = Self {
            generation: b.u64()?,
            settings: b.bytes()?.to_vec(),
            fingerprint: b.array()?,
            rule: b.bytes()?.to_vec(),
            ..Self::default()
        };
        manifest.fitted = b.u8()? != 0;
        let columns = b.count(4)?;
        manifest.basis = (0..columns).map(|_| b.u32()).collect::<Option<_>>()?;
        (manifest.live, manifest.paths, manifest.undecodable) = (b.u64()?, b.u64()?, b.u64()?);
        manifest.incomplete = b.u8()? != 0;
        for file in &mut manifest.columns {
            *file = unpack_file(&mut b)?;
        }
        for runs in [&mut manifest.order]
            .into_iter()
            .chain(&mut manifest.tables)
        {
            let count = b.count(16)?;
            *runs = (0..count)
                .map(|_| unpack_file(&mut b))
                .collect::<Option<_>>()?;
        }
        if with_crops {
            let mut crops = CropRows {
                rule: b.bytes()?.to_vec(),
                places: b.u32()?,
                ..CropRows::default()
            };
            for file in &mut crops.files {
                *file = unpack_file(&mut b)?;
            }
            manifest.crops = Some(crops);
        }
        b.end()?;
        Some(manifest)
    }
}

fn checksum(version: u32, body: &[u8]) -> u64 {
    XxHash3_64::oneshot(body) ^ u64::from(version).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn pack_file(out: &mut Packer, file: &FileEntry) {
    out.bytes(file.name.as_bytes());
    out.u64(file.len);
    out.u32(file.sums.len() as u32);
    file.sums.iter().for_each(|&sum| out.u64(sum));
}

fn unpack_file(b: &mut Unpacker<'_>) -> Option<FileEntry> {
    let name = std::str::from_utf8(b.bytes()?).ok()?.to_owned();
    let plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let len = b.u64()?;
    let sums = b.count(8)?;
    let sums = (0..sums).map(|_| b.u64()).collect::<Option<_>>()?;
    plain.then_some(FileEntry { name, len, sums })
}
