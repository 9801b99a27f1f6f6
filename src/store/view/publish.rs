//! A change of the index → the next generation of the view.

use std::{collections::BTreeMap, io, ops::Range};

use rayon::prelude::*;

use super::{
    Changes, FileEntry, Manifest, View,
    blocks::Opening,
    contents::{Order, RECORD, id_in, pack_content},
    features::{GrowingFeatures, OF_CROPS, OF_PICTURES, behind, planes},
    manifest::{self, TABLES, TableKind},
    table::Table,
    writing::{Writing, failed},
};
use crate::{
    Error, Result,
    knn::{OwnedPlanes, Planes, stride_of},
    store::{
        medium::{Bytes, Medium},
        packs::Place,
        state::ContentId,
    },
};

/// The beginnings of the names of the files of contents, and of what is live.
const CONTENTS: &str = "contents";
const LIVE: &str = "live";

/// What the next generation has that the last one has not.
pub struct Draft<'a> {
    /// Everything but the files; those are filled in.
    pub manifest: Manifest,
    /// The bitmap of live rows, old and new.
    pub live: Vec<u64>,
    /// New and changed entries of each table, in the order of [`TableKind::ALL`].
    pub changes: [Changes<'a>; TABLES],
}

/// Rows being added: features and contents of new rows behind those of the old generation, or from
/// nothing.
pub struct Growing<'a> {
    medium: &'a dyn Medium,
    features: GrowingFeatures<'a>,
    contents: Writing<'a>,
    columns: usize,
    rows: Range<u32>,
}

impl<'a> Growing<'a> {
    /// Goes on behind the rows of `old`, with a feature of `columns` columns. Rows in `moved` have
    /// another place in the packs.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`]; the old generation then stands.
    pub fn new(
        medium: &'a dyn Medium,
        old: Option<&View>,
        columns: usize,
        moved: &BTreeMap<u32, Place>,
    ) -> Result<Self> {
        let serial = next_serial(medium)?;
        let base = old.map_or(0, View::rows) as u32;
        let pictures =
            old.map(|view| (&view.manifest.columns[..OF_PICTURES.len()], &view.features));
        let features = GrowingFeatures::new(medium, pictures, OF_PICTURES, serial, columns)?;
        let contents = match old.filter(|_| !moved.is_empty()) {
            Some(view) => moved_contents(view, moved, behind(medium, None, CONTENTS, serial)?)?,
            None => behind(
                medium,
                old.map(|view| (&view.manifest.columns[3], &view.contents)),
                CONTENTS,
                serial,
            )?,
        };
        Ok(Self {
            medium,
            features,
            contents,
            columns,
            rows: base..base,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Error::Io`]; the old generation then stands.
    ///
    /// # Panics
    /// If the features are of another length, or there is not one for each content.
    pub fn push(&mut self, features: &OwnedPlanes, contents: &[(ContentId, Place)]) -> Result<()> {
        assert_eq!(
            features.as_planes().rows(),
            contents.len(),
            "a feature for each content"
        );
        let mut records = Vec::with_capacity(contents.len() * RECORD);
        contents
            .iter()
            .for_each(|(id, place)| pack_content(id, *place, &mut records));
        self.features.push(features)?;
        self.contents.push(&records)?;
        self.rows.end += contents.len() as u32;
        Ok(())
    }

    /// Writes the rest of them, named by no manifest yet.
    ///
    /// # Errors
    /// [`Error::Io`]; the old generation then stands.
    pub fn finish(self) -> Result<Grown> {
        let ([high, low, norms], contents) = (self.features.finish()?, self.contents.finish()?);
        let files = [high, low, norms, contents];
        let map = |i: usize| -> Result<Bytes> {
            let FileEntry { name, len, .. } = &files[i];
            self.medium.map(name, *len).map_err(|source| Error::Io {
                doing: "mapping",
                path: self.medium.path(name),
                source,
            })
        };
        Ok(Grown {
            columns: self.columns,
            new: self.rows,
            bytes: [map(0)?, map(1)?, map(2)?, map(3)?],
            files,
        })
    }
}

/// Features of crops being added, behind those of `old` or from nothing.
///
/// # Errors
/// As [`Growing::new`].
pub fn growing_crops<'a>(
    medium: &'a dyn Medium,
    old: Option<&View>,
    columns: usize,
) -> Result<GrowingFeatures<'a>> {
    let files =
        old.and_then(|view| Some((&view.manifest.crops.as_ref()?.files[..], view.crops()?)));
    GrowingFeatures::new(medium, files, OF_CROPS, next_serial(medium)?, columns)
}

/// The contents of `old` written anew, some with other places.
fn moved_contents<'a>(
    old: &View,
    moved: &BTreeMap<u32, Place>,
    mut file: Writing<'a>,
) -> Result<Writing<'a>> {
    let mut record = Vec::with_capacity(RECORD);
    for row in 0..old.rows() as u32 {
        let (id, place) = old.content(row)?;
        record.clear();
        pack_content(&id, moved.get(&row).copied().unwrap_or(place), &mut record);
        file.push(&record)?;
    }
    Ok(file)
}

/// All rows of the next generation: written, but named by no manifest yet.
pub struct Grown {
    columns: usize,
    new: Range<u32>,
    files: [FileEntry; 4],
    bytes: [Bytes; 4],
}

impl Grown {
    /// The features of all rows, old and new.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the files do not fit together.
    pub fn planes(&self) -> Result<Planes<'_>> {
        planes(
            stride_of(self.columns),
            &self.bytes[0],
            &self.bytes[1],
            &self.bytes[2],
        )
    }

    /// Number of rows, old and new.
    pub fn rows(&self) -> usize {
        self.new.end as usize
    }

    /// The content of a row, old or new.
    pub fn id(&self, row: u32) -> Option<&ContentId> {
        id_in(&self.bytes[3], row)
    }
}

/// Writes the next generation, on top of `old` or, where that is `None`, from nothing, and makes it
/// visible. Returns when it is durable.
///
/// # Errors
/// [`Error::Io`], and what the changes give; the old generation then stands.
pub fn publish(
    medium: &dyn Medium,
    old: Option<&View>,
    grown: Grown,
    draft: Draft<'_>,
) -> Result<()> {
    let folder = Publisher {
        medium,
        serial: next_serial(medium)?,
    };
    let Draft {
        mut manifest,
        live,
        changes,
    } = draft;
    let live: Vec<u8> = live.iter().flat_map(|word| word.to_le_bytes()).collect();
    manifest.order = folder.order(old, &grown)?;
    let [high, low, norms, contents] = grown.files;
    manifest.columns = [high, low, norms, contents, folder.write(LIVE, &live)?];
    let tables = manifest
        .tables
        .par_iter_mut()
        .zip(TableKind::ALL)
        .zip(changes);
    tables.try_for_each(|((files, kind), changes)| {
        let nothing = Table::open(Opening::anew(medium), &[])?;
        let (table, runs) = old.map_or((&nothing, &[][..]), |view| {
            (
                view.table(kind),
                view.manifest.tables[kind as usize].as_slice(),
            )
        });
        let (stay, run) = table.write(changes, medium, folder.name(kind.name()))?;
        *files = runs[..stay].iter().cloned().chain(run).collect();
        Ok::<_, Error>(())
    })?;
    folder.commit(old, &manifest)
}

/// One more than the number at the end of any file name, so that no file that a reader may have
/// mapped is ever written again.
fn next_serial(medium: &dyn Medium) -> Result<u64> {
    let names = medium.list().map_err(|source| Error::Io {
        doing: "listing",
        path: medium.path(""),
        source,
    })?;
    let serials = names
        .iter()
        .filter_map(|name| name.rsplit_once('-')?.1.parse::<u64>().ok());
    Ok(serials.max().unwrap_or(0).saturating_add(1))
}

struct Publisher<'a> {
    medium: &'a dyn Medium,
    serial: u64,
}

impl Publisher<'_> {
    fn io(&self, name: &str) -> impl FnOnce(io::Error) -> Error {
        failed(self.medium, name)
    }

    fn name(&self, name: &str) -> String {
        format!("{name}-{:012}", self.serial)
    }

    /// A new file with this content.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<FileEntry> {
        self.write_as(self.name(name), bytes)
    }

    fn write_as(&self, name: String, bytes: &[u8]) -> Result<FileEntry> {
        let mut file = Writing::new(self.medium, name);
        file.push(bytes)?;
        file.finish()
    }

    /// The runs of the order of rows, with the new ones.
    fn order(&self, old: Option<&View>, grown: &Grown) -> Result<Vec<FileEntry>> {
        let nothing = Order::open(Opening::anew(self.medium), &[])?;
        let (order, runs) = old.map_or((&nothing, &[][..]), |view| {
            (&view.order, view.manifest.order.as_slice())
        });
        if grown.new.is_empty() {
            return Ok(runs.to_vec());
        }
        let (stay, rows) = order.with(grown.new.clone(), &grown.bytes[3])?;
        let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
        let run = self.write("order", &bytes)?;
        Ok(runs[..stay].iter().cloned().chain([run]).collect())
    }

    /// Makes a manifest and the files that `old` has not the published ones.
    fn commit(&self, old: Option<&View>, manifest: &Manifest) -> Result<()> {
        let written = self.write_as(NEW.to_owned(), &manifest.to_bytes())?;
        let is_new = |file: &&FileEntry| {
            !old.is_some_and(|view| view.manifest.files().any(|old| old == *file))
        };
        let names: Vec<&str> = manifest
            .files()
            .filter(is_new)
            .chain([&written])
            .map(|file| file.name.as_str())
            .collect();
        self.medium
            .sync_all(&names)
            .map_err(|(name, error)| self.io(name)(error))?;
        self.medium.sync_folder().map_err(self.io(NEW))?;
        self.medium
            .rename(NEW, manifest::NAME)
            .map_err(self.io(NEW))?;
        self.medium.sync_folder().map_err(self.io(manifest::NAME))?;
        remove_unnamed(self.medium, manifest)
    }
}

/// The manifest until it gets its name.
const NEW: &str = "manifest-new";

/// Whether a file of a view may have this name.
pub fn is_part(name: &str) -> bool {
    let is_number =
        |digits: &str| digits.len() >= 12 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_numbered = |name: &str| {
        name.rsplit_once('-')
            .is_some_and(|(kind, digits)| !kind.is_empty() && is_number(digits))
    };
    name == manifest::NAME || name == NEW || is_numbered(name)
}

/// Removes files that the manifest does not name: of generations before, or of one that was never
/// published. One that cannot be removed now is tried again next time.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be listed.
pub fn remove_unnamed(medium: &dyn Medium, manifest: &Manifest) -> Result<()> {
    for name in medium.list().map_err(failed(medium, manifest::NAME))? {
        // What has another name is a file of the user.
        if name != manifest::NAME
            && is_part(&name)
            && !manifest.files().any(|file| file.name == name)
        {
            let _ = medium.remove(&name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        knn::Neighbor,
        store::{
            medium::{Memory, Power},
            view::{CropRows, pack_list, row_key},
        },
    };

    /// Publishes a generation whose rows, lists and number of rows are told by its number.
    fn generation(medium: &Memory, number: u64) -> Result<()> {
        let old = if number == 1 {
            None
        } else {
            Some(View::open(medium)?)
        };
        let old_rows = old.as_ref().map_or(0, View::rows);
        let mut features = OwnedPlanes::new(8);
        (0..3).for_each(|i| features.push(&[100 * number as i16, i, 3, 4, 5, 6, 7, 8]));
        // Every other generation has its first row at another place.
        let moved = if number.is_multiple_of(2) {
            BTreeMap::from([(0, place(number))])
        } else {
            BTreeMap::new()
        };
        let mut growing = Growing::new(medium, old.as_ref(), 8, &moved)?;
        growing.push(
            &features,
            &[0, 1, 2].map(|i| (id(old_rows as u32 + i), place(number))),
        )?;
        let grown = growing.finish()?;
        let mut crops = growing_crops(medium, old.as_ref(), 8)?;
        crops.push(&features)?;
        crops.push(&features)?;
        let crops = Some(CropRows {
            rule: b"two of each".to_vec(),
            places: 2,
            files: crops.finish()?,
        });
        let manifest = Manifest {
            generation: number,
            basis: (0..8).collect(),
            crops,
            ..Manifest::default()
        };
        let lists = Changes::new(old_rows + 3, |visit| {
            let list = pack_list(&[Neighbor {
                row: 7,
                distance: number as u32,
            }]);
            (0..old_rows as u32 + 3).try_for_each(|row| visit(&row_key(row), Some(&list)))
        });
        let none = || Changes::new(0, |_| Ok(()));
        let changes = [none(), none(), lists, none(), none()];
        publish(
            medium,
            old.as_ref(),
            grown,
            Draft {
                manifest,
                live: vec![(1 << (old_rows + 3)) - 1],
                changes,
            },
        )
    }

    /// Ids in another order than rows.
    fn id(row: u32) -> ContentId {
        [(row * 77 % 256) as u8; 32]
    }

    fn place(number: u64) -> Place {
        Place {
            pack: 1,
            offset: number,
            len: 9,
        }
    }

    /// Everything of the view that is there belongs to one generation.
    fn shown(medium: &Memory) -> u64 {
        let view = View::open(medium).unwrap();
        view.check().unwrap();
        let number = view.manifest().generation;
        assert_eq!(
            (view.rows() as u64, view.planes().unwrap().rows() as u64),
            (3 * number, 3 * number)
        );
        assert_eq!(view.live_words().unwrap(), [(1 << (3 * number)) - 1]);
        for row in 0..3 * number as u32 {
            assert_eq!(
                view.list(row).unwrap(),
                [Neighbor {
                    row: 7,
                    distance: number as u32
                }]
            );
            assert_eq!(
                [0, 1].map(|place| view.distance_in_list(row, place).unwrap()),
                [Some(number as u32), None]
            );
            let moved = if row == 0 { number / 2 * 2 } else { 0 };
            assert_eq!(
                view.content(row).unwrap(),
                (id(row), place(moved.max(u64::from(row) / 3 + 1)))
            );
            assert_eq!(view.row_of(&id(row)).unwrap(), Some(row));
            let values: Vec<i32> = view.planes().unwrap().row(row).values().take(2).collect();
            assert_eq!(values, [100 * (row as i32 / 3 + 1), row as i32 % 3]);
        }
        let crops = view.crops().unwrap();
        let of_crop = |row: u32| {
            crops
                .row(row)
                .unwrap()
                .values()
                .take(2)
                .collect::<Vec<i32>>()
        };
        assert_eq!(crops.rows() as u64, 6 * number);
        (0..6 * number as u32)
            .for_each(|row| assert_eq!(of_crop(row), [100 * (row as i32 / 6 + 1), row as i32 % 3]));
        assert_eq!(view.row_of(&[255; 32]).unwrap(), None);
        number
    }

    #[test]
    fn a_crash_at_any_operation_leaves_the_old_or_the_new_generation_and_the_next_goes_on() {
        let before = Memory::new();
        generation(&before, 1).unwrap();
        generation(&before, 2).unwrap();
        assert_eq!(shown(&before), 2);
        let whole = before.killed();
        let began = whole.operations();
        generation(&whole, 3).unwrap();
        let operations = whole.operations() - began;
        assert!(operations > 15, "{operations}");
        let mut seen = [0; 4];
        for at in 0..operations {
            for torn in [false, true] {
                let medium = before.killed();
                medium.fail_at(medium.operations() + at, torn);
                // The last operations only remove what nobody names, and may fail.
                let _ = generation(&medium, 3);
                for after in Power::all()
                    .into_iter()
                    .map(|power| medium.crash(power))
                    .chain([medium.killed()])
                {
                    let number = shown(&after);
                    seen[number as usize] += 1;
                    if number == 2 {
                        generation(&after, 3).unwrap();
                    }
                    generation(&after, 4).unwrap();
                    assert_eq!(shown(&after), 4);
                }
            }
        }
        assert!(seen[2] > 100 && seen[3] > 100 && seen[1] == 0, "{seen:?}");
    }

    #[test]
    fn published_bytes_stay_while_later_generations_come_and_go() {
        let medium = Memory::new();
        generation(&medium, 1).unwrap();
        let first = View::open(&medium).unwrap();
        let names: Vec<String> = first
            .manifest()
            .files()
            .map(|file| file.name.clone())
            .collect();
        (2..9).for_each(|number| generation(&medium, number).unwrap());
        first.check().unwrap();
        assert_eq!((first.rows(), first.list(2).unwrap()[0].distance), (3, 1));
        assert_eq!(shown(&medium), 8);
        let left = medium.list().unwrap();
        assert!(
            left.len() < 17 && names.iter().any(|name| !left.contains(name)),
            "{left:?}"
        );
    }
}
