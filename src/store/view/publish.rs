//! A change of the index → the next generation of the view.

use std::io;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Changes, FileEntry, Manifest, View,
    blocks::BLOCK,
    manifest,
    record::{pack_norms, unpack_norms},
    table::run_bytes,
};
use crate::{
    Error, Result,
    knn::{Norms, OwnedPlanes, Planes},
    store::medium::{Bytes, Medium},
};

/// What the next generation has that the last one has not.
#[derive(Debug, Default)]
pub struct Draft {
    /// Everything but the files; those are filled in.
    pub manifest: Manifest,
    /// The bitmap of live rows, old and new.
    pub live: Vec<u64>,
    /// New and changed entries of each table.
    pub changes: [Changes; 4],
}

/// The feature files of the next generation: written and durable, but named by no manifest yet.
pub struct Grown {
    files: [FileEntry; 3],
    stride: usize,
    high: Bytes,
    low: Bytes,
    norms: Vec<Norms>,
}

impl Grown {
    /// The features of all rows, old and new.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the files do not fit together.
    pub fn planes(&self) -> Result<Planes<'_>> {
        Planes::new(self.stride, bytemuck::cast_slice(&self.high), bytemuck::cast_slice(&self.low), &self.norms)
    }
}

/// Puts the features of new rows behind those of `old`, or begins new files where that is `None`.
///
/// # Errors
/// [`Error::Io`]; the old generation then stands.
pub fn grow(medium: &dyn Medium, old: Option<&View>, new: &OwnedPlanes) -> Result<Grown> {
    let folder = Publisher::new(medium)?;
    let planes = new.as_planes();
    let mut norms = Vec::new();
    planes.norms().iter().for_each(|&n| pack_norms(n, &mut norms));
    let parts: [(&str, &[u8]); 3] =
        [("high", bytemuck::cast_slice(planes.high())), ("low", bytemuck::cast_slice(planes.low())), ("norms", &norms)];
    let mut files = [(); 3].map(|()| FileEntry::default());
    for (i, (name, bytes)) in parts.into_iter().enumerate() {
        files[i] = folder.grow(name, old.map(|view| (view, i)), bytes)?;
    }
    let map = |i: usize| -> Result<Bytes> {
        let FileEntry { name, len, .. } = &files[i];
        medium.map(name, *len).map_err(|source| Error::Io { doing: "mapping", path: medium.path(name), source })
    };
    let norms = map(2)?.chunks_exact(8).map(unpack_norms).collect();
    Ok(Grown { stride: planes.stride(), high: map(0)?, low: map(1)?, norms, files })
}

/// Writes the next generation, on top of `old` or, where that is `None`, from nothing, and makes it visible. Returns when it is durable.
///
/// # Errors
/// [`Error::Io`]; the old generation then stands.
pub fn publish(medium: &dyn Medium, old: Option<&View>, grown: Grown, mut draft: Draft) -> Result<Manifest> {
    let folder = Publisher::new(medium)?;
    let live: Vec<u8> = draft.live.iter().flat_map(|word| word.to_le_bytes()).collect();
    let [high, low, norms] = grown.files;
    draft.manifest.planes = [high, low, norms, folder.write("live", &live)?];
    for (kind, changes) in manifest::TableKind::ALL.into_iter().zip(&draft.changes) {
        let table = old.map(|view| (view.table(kind), &view.manifest.tables[kind as usize]));
        draft.manifest.tables[kind as usize] = match table {
            Some((_, runs)) if changes.is_empty() => runs.clone(),
            Some((table, runs)) => {
                let (stay, bytes) = table.merge(changes)?;
                let mut kept = runs[..stay].to_vec();
                kept.push(folder.write(kind.name(), &bytes)?);
                kept
            }
            None => vec![folder.write(kind.name(), &run_bytes(changes.iter().map(|(k, v)| (k.as_slice(), v.as_deref()))))?],
        };
    }
    folder.commit(&draft.manifest)?;
    Ok(draft.manifest)
}

/// One more than the number at the end of any file name, so that no file that a reader may have mapped is ever written again.
fn next_serial(medium: &dyn Medium) -> Result<u64> {
    let names = medium.list().map_err(|source| Error::Io { doing: "listing", path: medium.path(""), source })?;
    let serials = names.iter().filter_map(|name| name.rsplit_once('-')?.1.parse::<u64>().ok());
    Ok(serials.max().unwrap_or(0).saturating_add(1))
}

struct Publisher<'a> {
    medium: &'a dyn Medium,
    serial: u64,
}

impl<'a> Publisher<'a> {
    fn new(medium: &'a dyn Medium) -> Result<Self> {
        Ok(Self { medium, serial: next_serial(medium)? })
    }

    fn io(&self, name: &str) -> impl FnOnce(io::Error) -> Error {
        let path = self.medium.path(name);
        move |source| Error::Io { doing: "writing", path, source }
    }

    /// A new file with this content. A left-over of a publication that did not get to its manifest is removed first.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<FileEntry> {
        let name = format!("{name}-{:012}", self.serial);
        self.write_as(&name, bytes)?;
        Ok(FileEntry::of(name, bytes))
    }

    fn write_as(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match self.medium.remove(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.io(name)(e)),
            _ => {}
        }
        self.medium.create(name).map_err(self.io(name))?;
        self.medium.append(name, bytes).map_err(self.io(name))?;
        self.medium.sync(name).map_err(self.io(name))
    }

    /// The old file with these bytes behind it. The file is the same one, grown, unless something else follows its published bytes.
    fn grow(&self, name: &str, old: Option<(&View, usize)>, bytes: &[u8]) -> Result<FileEntry> {
        let Some((view, index)) = old else { return self.write(name, bytes) };
        let entry = &view.manifest.planes[index];
        if bytes.is_empty() {
            return Ok(entry.clone());
        }
        let tail_start = (entry.len as usize / BLOCK) * BLOCK;
        if self.medium.len(&entry.name).map_err(self.io(&entry.name))? != entry.len {
            let whole = [view.planes[index].all()?, bytes].concat();
            return self.write(name, &whole);
        }
        let tail = [view.planes[index].get(tail_start..entry.len as usize)?, bytes].concat();
        self.medium.append(&entry.name, bytes).map_err(self.io(&entry.name))?;
        self.medium.sync(&entry.name).map_err(self.io(&entry.name))?;
        let mut sums = entry.sums[..tail_start / BLOCK].to_vec();
        sums.extend(tail.chunks(BLOCK).map(xxh3_64));
        Ok(FileEntry { name: entry.name.clone(), len: entry.len + bytes.len() as u64, sums })
    }

    fn commit(&self, manifest: &Manifest) -> Result<()> {
        const NEW: &str = "manifest-new";
        self.write_as(NEW, &manifest.to_bytes())?;
        self.medium.sync_folder().map_err(self.io(NEW))?;
        self.medium.rename(NEW, manifest::NAME).map_err(self.io(NEW))?;
        self.medium.sync_folder().map_err(self.io(manifest::NAME))?;
        self.remove_unnamed(manifest)
    }

    /// Files that no manifest names any more. One that cannot be removed now is tried again next time.
    fn remove_unnamed(&self, manifest: &Manifest) -> Result<()> {
        for name in self.medium.list().map_err(self.io(manifest::NAME))? {
            if name != manifest::NAME && !manifest.files().any(|file| file.name == name) {
                let _ = self.medium.remove(&name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        knn::Neighbor,
        store::{
            medium::{Memory, Power},
            view::{TableKind, pack_list, row_key},
        },
    };

    /// Publishes a generation whose rows, lists and number of rows are told by its number.
    fn generation(medium: &Memory, number: u64) -> Result<()> {
        let old = if number == 1 { None } else { Some(View::open(medium)?) };
        let old_rows = old.as_ref().map_or(0, View::rows);
        let mut features = OwnedPlanes::new(8);
        (0..3).for_each(|i| features.push(&[100 * number as i16, i, 3, 4, 5, 6, 7, 8]));
        let grown = grow(medium, old.as_ref(), &features)?;
        let mut draft = Draft::default();
        draft.manifest.generation = number;
        draft.manifest.columns = (0..8).collect();
        draft.live = vec![(1 << (old_rows + 3)) - 1];
        for row in 0..old_rows as u32 + 3 {
            let list = pack_list(&[Neighbor { row, distance: number as u32 }]);
            draft.changes[TableKind::Lists as usize].insert(row_key(row).to_vec(), Some(list));
        }
        publish(medium, old.as_ref(), grown, draft).map(|_| ())
    }

    /// Everything of the view that is there belongs to one generation.
    fn shown(medium: &Memory) -> u64 {
        let view = View::open(medium).unwrap();
        view.check().unwrap();
        let number = view.manifest().generation;
        assert_eq!((view.rows() as u64, view.planes().unwrap().rows() as u64), (3 * number, 3 * number));
        assert_eq!(view.live_words().unwrap(), [(1 << (3 * number)) - 1]);
        for row in 0..3 * number as u32 {
            assert_eq!(view.list(row).unwrap(), [Neighbor { row, distance: number as u32 }]);
            let values: Vec<i32> = view.planes().unwrap().row(row).values().take(2).collect();
            assert_eq!(values, [100 * (row as i32 / 3 + 1), row as i32 % 3]);
        }
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
                for after in Power::all().into_iter().map(|power| medium.crash(power)).chain([medium.killed()]) {
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
        let names: Vec<String> = first.manifest().files().map(|file| file.name.clone()).collect();
        (2..9).for_each(|number| generation(&medium, number).unwrap());
        first.check().unwrap();
        assert_eq!((first.rows(), first.list(2).unwrap()[0].distance), (3, 1));
        assert_eq!(shown(&medium), 8);
        let left = medium.list().unwrap();
        assert!(left.len() < 14 && names.iter().any(|name| !left.contains(name)), "{left:?}");
    }
}
