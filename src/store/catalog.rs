//! The catalog: the state as sled keeps it, so that opening an index need not read its packs again.
//!
//! Small records only: content → place, path → what it holds, and one mark that says how far the
//! packs have been applied, with the counts and the hash of the state. sled has been seen to panic
//! on a damaged file and to open "fine" with fewer records; so opening is guarded, every value
//! carries a checksum, and a state that does not match its mark is no state: the caller then
//! rebuilds it from the packs.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rkyv::{Archive, Deserialize, Serialize, rancor::BoxedError, util::AlignedVec};
use twox_hash::XxHash3_64;

use super::{
    alias::{pack_aliases, unpack_aliases},
    packs::{Place, Position},
    state::{ContentEntry, ContentId, Holds, PathEntry, Stat, State, Touched},
};
use crate::{
    Error, Result, guard,
    verdict::{Label, Split},
};

/// How far the packs have been applied, and what the state then was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The commit.
    pub generation: u64,
    /// Behind that commit.
    pub applied: Option<Position>,
    /// Whether records were lost to damage and wait for a `sync` that reads their files again.
    pub incomplete: bool,
    /// The number of the last event that was told.
    pub told: u64,
}

/// The narrow interface: whatever keeps a state between runs. What it gives back is believed only
/// if it is whole.
pub trait Catalog: Send + Sync {
    /// The state and its mark; `None` where there is none that is whole.
    fn load(&mut self) -> Option<(State, Mark)>;

    /// Writes what was touched, then the mark.
    ///
    /// # Errors
    /// [`Error::Io`]; what is kept is then not whole, and will be refused by [`Catalog::load`].
    fn store(&mut self, state: &State, touched: &Touched, mark: Mark) -> Result<()>;

    /// Gives back the memory that it holds. What comes next takes a moment longer.
    fn rest(&mut self);

    /// Forgets everything.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn clear(&mut self) -> Result<()>;
}

#[derive(Archive, Serialize, Deserialize)]
struct ContentValue {
    pack: u32,
    len: u32,
    offset: u64,
    unheld_since: Option<i64>,
    aliases: Vec<u8>,
}

#[derive(Archive, Serialize, Deserialize)]
struct PathValue {
    id: [u8; 32],
    reason: Option<String>,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    label: Option<Vec<u8>>,
    split: u8,
}

#[derive(Archive, Serialize, Deserialize)]
struct MarkValue {
    generation: u64,
    applied: Option<(u32, u64)>,
    incomplete: bool,
    told: u64,
    contents: u64,
    paths: u64,
    hash: u128,
}

const MARK: &[u8] = b"mark";

/// How long sled may take to let go of a catalog that was closed.
const LOCKED: Duration = Duration::from_secs(4);

/// Records in one batch of sled; larger ones take memory out of proportion.
const BATCH: usize = 500;

/// The catalog in a folder.
pub struct SledCatalog {
    folder: PathBuf,
    db: Option<Trees>,
}

struct Trees {
    db: sled::Db,
    contents: sled::Tree,
    paths: sled::Tree,
}

impl SledCatalog {
    /// A catalog in `folder`; nothing is opened yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, db: None }
    }

    fn trees(&mut self) -> Result<&Trees> {
        if self.db.is_none() {
            self.db = Some(open(&self.folder)?);
        }
        Ok(self.db.as_ref().expect("just opened"))
    }

    /// sled writes what it still holds when it is dropped, and panics where the disk refuses that.
    /// What it lacks then is in the packs.
    fn close(&mut self) {
        let db = self.db.take();
        let _ = guard::catch(|| drop(db));
    }

    fn load_trees(&mut self) -> Option<(State, Mark)> {
        if !self.folder.join("db").exists() {
            return None;
        }
        let trees = self.trees().ok()?;
        let mark: MarkValue = unpack(MARK, &trees.db.get(MARK).ok()??)?;
        let (paths, contents) = rayon::join(|| trees.load_paths(), || trees.load_contents());
        let state = State::restored(paths?, contents?);
        let whole = (state.stored(), state.paths().len() as u64, state.hash());
        let applied = mark.applied.map(|(pack, offset)| Position { pack, offset });
        let found = Mark {
            generation: mark.generation,
            applied,
            incomplete: mark.incomplete,
            told: mark.told,
        };
        (whole == (mark.contents, mark.paths, mark.hash)).then_some((state, found))
    }
}

impl Drop for SledCatalog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Where sled keeps large values.
pub const BLOBS: &str = "blobs";

/// Whether sled has a file of this name in its folder.
pub fn is_part(name: &str) -> bool {
    let is_snapshot = |rest: &str| {
        let digits = rest.strip_suffix(".generating").unwrap_or(rest);
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    name == "db" || name == "conf" || name.strip_prefix("snap.").is_some_and(is_snapshot)
}

/// Whether sled has a file of this name in its folder of large values.
pub fn is_blob(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|digit| digit.is_ascii_digit())
}

/// Removes the files of sled, and the folder if nothing else is in it: what has another name is a
/// file of the user.
fn remove_files(folder: &Path, is_own: fn(&str) -> bool) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("removing", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("removing", folder))?;
        if entry.file_name().to_str().is_some_and(is_own) {
            fs::remove_file(entry.path()).map_err(Error::io("removing", &entry.path()))?;
        }
    }
    match fs::remove_dir(folder) {
        Err(e)
            if !matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(Error::io("removing", folder)(e))
        }
        _ => Ok(()),
    }
}

impl Catalog for SledCatalog {
    fn load(&mut self) -> Option<(State, Mark)> {
        let loaded = guard::catch(|| self.load_trees()).flatten();
        if loaded.is_none() {
            self.close();
        }
        loaded
    }

    fn store(&mut self, state: &State, touched: &Touched, mark: Mark) -> Result<()> {
        let folder = self.folder.clone();
        let trees = self.trees()?;
        guard::catch(|| trees.store(state, touched, mark))
            .unwrap_or_else(|| Err(sled::Error::ReportableBug("sled panicked".into())))
            .map_err(|e| failed("writing", &folder, e))
    }

    /// sled holds some 130 MB for a million contents.
    fn rest(&mut self) {
        self.close();
    }

    fn clear(&mut self) -> Result<()> {
        self.close();
        remove_files(&self.folder.join(BLOBS), is_blob)?;
        remove_files(&self.folder, is_part)
    }
}

impl Trees {
    fn load_paths(&self) -> Option<Vec<(Arc<[u8]>, PathEntry)>> {
        let mut labels = HashSet::new();
        let mut load = |item: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = item.ok()?;
            Some((
                Arc::from(&*key),
                unpack::<PathValue>(&key, &value)?.into_entry(&mut labels)?,
            ))
        };
        self.paths.iter().map(&mut load).collect()
    }

    fn load_contents(&self) -> Option<Vec<(ContentId, ContentEntry)>> {
        let load = |item: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = item.ok()?;
            let ContentValue {
                pack,
                len,
                offset,
                unheld_since,
                aliases,
            } = unpack(&key, &value)?;
            let entry = ContentEntry {
                place: Place { pack, offset, len },
                unheld_since,
                aliases: unpack_aliases(&aliases)?.into(),
            };
            Some(((&*key).try_into().ok()?, entry))
        };
        self.contents.iter().map(load).collect()
    }

    fn store(&self, state: &State, touched: &Touched, mark: Mark) -> sled::Result<()> {
        self.db.remove(MARK)?;
        let mut paths: Vec<_> = touched.paths.iter().collect();
        paths.sort_unstable();
        for chunk in paths.chunks(BATCH) {
            let mut batch = sled::Batch::default();
            for &path in chunk {
                match state.paths().get(path) {
                    Some(entry) => batch.insert(&**path, pack(path, &PathValue::of(entry))),
                    None => batch.remove(&**path),
                }
            }
            self.paths.apply_batch(batch)?;
        }
        let mut ids: Vec<_> = touched.contents.iter().collect();
        ids.sort_unstable();
        for chunk in ids.chunks(BATCH) {
            let mut batch = sled::Batch::default();
            for &id in chunk {
                match state.content(id) {
                    Some(entry) => batch.insert(id, pack(id, &ContentValue::of(entry))),
                    None => batch.remove(id),
                }
            }
            self.contents.apply_batch(batch)?;
        }
        let mark = MarkValue {
            generation: mark.generation,
            applied: mark
                .applied
                .map(|position| (position.pack, position.offset)),
            incomplete: mark.incomplete,
            told: mark.told,
            contents: state.stored(),
            paths: state.paths().len() as u64,
            hash: state.hash(),
        };
        self.db.insert(MARK, pack(MARK, &mark))?;
        self.db.flush().map(|_| ())
    }
}

impl ContentValue {
    fn of(entry: &ContentEntry) -> Self {
        let Place { pack, offset, len } = entry.place;
        Self {
            pack,
            len,
            offset,
            unheld_since: entry.unheld_since,
            aliases: pack_aliases(&entry.aliases),
        }
    }
}

impl PathValue {
    fn of(entry: &PathEntry) -> Self {
        let (id, reason) = match &entry.holds {
            Holds::Content(id) => (*id, None),
            Holds::Undecodable { id, reason } => (*id, Some(reason.to_string())),
        };
        let Stat {
            size,
            mtime_ns,
            ctime_ns,
            inode,
        } = entry.stat;
        Self {
            id,
            reason,
            size,
            mtime_ns,
            ctime_ns,
            inode,
            label: entry.label.as_deref().map(Vec::from),
            split: Split::code(entry.split),
        }
    }

    /// Labels repeat, so each is kept once.
    fn into_entry(self, labels: &mut HashSet<Label>) -> Option<PathEntry> {
        let holds = match self.reason {
            None => Holds::Content(self.id),
            Some(reason) => Holds::Undecodable {
                id: self.id,
                reason: reason.into(),
            },
        };
        let label = self.label.map(|label| match labels.get(label.as_slice()) {
            Some(label) => label.clone(),
            None => {
                let label = Label::from(label);
                labels.insert(label.clone());
                label
            }
        });
        let stat = Stat {
            size: self.size,
            mtime_ns: self.mtime_ns,
            ctime_ns: self.ctime_ns,
            inode: self.inode,
        };
        Some(PathEntry {
            holds,
            stat,
            label,
            split: Split::from_code(self.split)?,
        })
    }
}

/// Opens the catalog. Only the writer of the index does, so a lock is one that sled has not yet let
/// go: it closes files in other threads.
fn open(folder: &Path) -> Result<Trees> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(16 << 20)
        .flush_every_ms(None);
    let open = || {
        let db = config.open()?;
        Ok(Trees {
            contents: db.open_tree("contents")?,
            paths: db.open_tree("paths")?,
            db,
        })
    };
    let give_up = Instant::now() + LOCKED;
    loop {
        let opened =
            guard::catch(open).unwrap_or_else(|| Err(sled::Error::Corruption { at: None, bt: () }));
        let is_locked = |e: &sled::Error| matches!(e, sled::Error::Io(e) if e.to_string().contains("could not acquire lock"));
        match opened {
            Err(e) if is_locked(&e) && Instant::now() < give_up => thread::sleep(LOCKED / 200),
            opened => return opened.map_err(|e| failed("opening", folder, e)),
        }
    }
}

fn failed(doing: &'static str, folder: &Path, error: sled::Error) -> Error {
    let source = match error {
        sled::Error::Io(e) => e,
        other => io::Error::other(other.to_string()),
    };
    Error::io(doing, folder)(source)
}

/// The XXH3-64 of the payload, seeded by that of the key, then the payload: an rkyv archive.
fn pack<V>(key: &[u8], value: &V) -> Vec<u8>
where
    V: for<'a> Serialize<
        rkyv::api::high::HighSerializer<
            AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            BoxedError,
        >,
    >,
{
    let payload = rkyv::to_bytes::<BoxedError>(value).expect("writing to memory");
    let mut out = checksum(key, &payload).to_vec();
    out.extend_from_slice(&payload);
    out
}

fn unpack<V>(key: &[u8], bytes: &[u8]) -> Option<V>
where
    V: Archive,
    V::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, BoxedError>>
        + Deserialize<V, rkyv::api::high::HighDeserializer<BoxedError>>,
{
    let (sum, payload) = bytes.split_at_checked(8)?;
    if sum != checksum(key, payload) {
        return None;
    }
    let mut aligned: AlignedVec = AlignedVec::with_capacity(payload.len());
    aligned.extend_from_slice(payload);
    rkyv::from_bytes::<V, BoxedError>(&aligned).ok()
}

fn checksum(key: &[u8], payload: &[u8]) -> [u8; 8] {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), payload).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{alias::Alias, state::Change};

    /// All contents and paths, to be compared.
    fn all(state: &State) -> String {
        let contents: Vec<_> = state.contents().collect();
        format!(
            "{contents:?} {:?} {} {}",
            state.paths(),
            state.held(),
            state.undecodable()
        )
    }

    const MARK_1: Mark = Mark {
        generation: 1,
        applied: Some(Position {
            pack: 1,
            offset: 64,
        }),
        incomplete: false,
        told: 9,
    };

    fn state(n: u8) -> State {
        let mut state = State::default();
        for i in 0..n {
            let holds = match i % 3 {
                0 => Holds::Undecodable {
                    id: [i; 32],
                    reason: "too short".into(),
                },
                _ => Holds::Content([i; 32]),
            };
            let label = (i % 2 == 0).then(|| Label::from(&b"a label that is longer than some"[..]));
            let stat = Stat {
                size: 1,
                mtime_ns: -2,
                ctime_ns: 3,
                inode: i.into(),
            };
            state.apply(
                Change::Content(
                    [i; 32],
                    Place {
                        pack: 1,
                        offset: 64 * u64::from(i),
                        len: 9,
                    },
                ),
                3,
            );
            state.apply(
                Change::Aliases([i; 32], vec![Alias::Md5([i; 16]); usize::from(i % 2)]),
                3,
            );
            state.apply(
                Change::Path(
                    vec![i; 1 + usize::from(i)].into(),
                    PathEntry {
                        holds,
                        stat,
                        label,
                        split: Some(Split::Val),
                    },
                ),
                3,
            );
        }
        state
    }

    #[test]
    fn a_state_comes_back_whole_and_changes_are_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = SledCatalog::new(folder.path().join("catalog"));
        assert!(catalog.load().is_none());
        let mut s = state(40);
        let touched = s.take_touched();
        catalog.store(&s, &touched, MARK_1).unwrap();
        s.apply(Change::Gone(vec![7; 8].into(), 5), 5);
        let touched = s.take_touched();
        for _ in 0..20 {
            catalog.rest();
            catalog
                .store(
                    &s,
                    &touched,
                    Mark {
                        generation: 2,
                        ..MARK_1
                    },
                )
                .unwrap();
        }
        drop(catalog);
        let (loaded, mark) = SledCatalog::new(folder.path().join("catalog"))
            .load()
            .unwrap();
        assert_eq!((loaded.hash(), all(&loaded)), (s.hash(), all(&s)));
        assert_eq!(mark.generation, 2);
    }

    #[test]
    fn a_state_that_does_not_match_its_mark_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog");
        let mut catalog = SledCatalog::new(path.clone());
        let s = state(40);
        catalog.store(&s, &s.everything(), MARK_1).unwrap();
        catalog.trees().unwrap().contents.remove([5; 32]).unwrap();
        assert!(catalog.load().is_none());
        catalog.clear().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_database_gives_its_state_or_none_and_never_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog");
        let s = state(60);
        SledCatalog::new(path.clone())
            .store(&s, &s.everything(), MARK_1)
            .unwrap();
        let good = fs::read(path.join("db")).unwrap();
        let used = good.iter().rposition(|&b| b != 0).unwrap();
        for trial in 0..60 {
            let mut bytes = good.clone();
            bytes[(trial * 7919 + 13) % used] ^= 0x55;
            let copy = folder.path().join(format!("copy-{trial}"));
            fs::create_dir(&copy).unwrap();
            {
                let file = "conf";
                fs::copy(path.join(file), copy.join(file)).unwrap();
            }
            fs::write(copy.join("db"), bytes).unwrap();
            if let Some((loaded, mark)) = SledCatalog::new(copy).load() {
                assert_eq!((loaded.hash(), mark), (s.hash(), MARK_1));
                assert_eq!(all(&loaded), all(&s));
            }
        }
    }
}
