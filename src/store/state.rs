//! Committed records → what the index holds now: contents, paths, and who holds what.
//!
//! The whole state is in memory while somebody writes (about 450 bytes an image); the packs are its
//! history and the catalog its last known form on disk. Its hash does not depend on the order in
//! which things came, so packs, catalog and memory can be compared at any commit.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use rayon::prelude::*;
use twox_hash::XxHash3_128;

use super::{alias::Alias, bytes::Packer, holders::Holders, packs::Place};
use crate::verdict::{Label, Occurrence, Split};

/// The BLAKE3 hash of an image file.
pub type ContentId = [u8; 32];

/// What the file system says of a file; equal means unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Time of the last change of the inode, nanoseconds since 1970; nobody can set it back.
    pub ctime_ns: i64,
    /// Number of the inode.
    pub inode: u64,
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// An image.
    Content(ContentId),
    /// Something that cannot be read as one: the hash of the bytes, and the reason.
    Undecodable {
        /// BLAKE3 of the bytes.
        id: ContentId,
        /// Why.
        reason: Box<str>,
    },
}

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathEntry {
    /// What it holds.
    pub holds: Holds,
    /// The file when it was read.
    pub stat: Stat,
    /// Its label.
    pub label: Option<Label>,
    /// Its split.
    pub split: Option<Split>,
}

impl PathEntry {
    /// The content, if it is an image.
    pub fn content(&self) -> Option<&ContentId> {
        match &self.holds {
            Holds::Content(id) => Some(id),
            Holds::Undecodable { .. } => None,
        }
    }
}

/// What is known of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentEntry {
    /// Where the packs hold it.
    pub place: Place,
    /// When its last path left, in seconds since 1970; `None` while a path holds it. A content that
    /// never had a path counts from its commit.
    pub unheld_since: Option<i64>,
    /// Its other names, sorted.
    pub aliases: Box<[Alias]>,
}

/// A change of the state, as it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A content was stored.
    Content(ContentId, Place),
    /// A stored content has other names.
    Aliases(ContentId, Vec<Alias>),
    /// A path appeared or changed.
    Path(Arc<[u8]>, PathEntry),
    /// A path left, at this time.
    Gone(Arc<[u8]>, i64),
}

/// Keys of what changed since somebody last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Contents that were stored, forgotten, or whose paths changed.
    pub contents: HashSet<ContentId>,
    /// Paths that appeared, changed or left.
    pub paths: BTreeSet<Arc<[u8]>>,
}

impl Touched {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty() && self.paths.is_empty()
    }

    /// Adds what another holds.
    pub fn extend(&mut self, other: &Self) {
        self.contents.extend(&other.contents);
        self.paths.extend(other.paths.iter().cloned());
    }
}

/// A content that is stored, or held by a path, or both.
#[derive(Debug, Clone, Default)]
struct Known {
    stored: Option<ContentEntry>,
    holders: Holders,
}

/// Contents and paths.
#[derive(Debug, Clone, Default)]
pub struct State {
    contents: BTreeMap<ContentId, Known>,
    paths: BTreeMap<Arc<[u8]>, PathEntry>,
    /// How many contents are stored, and how many are held.
    stored: u64,
    held: u64,
    hash: u128,
    undecodable: u64,
    touched: Touched,
    /// The labels of what was applied, each kept once.
    labels: HashSet<Label>,
}

impl State {
    /// What changed since the last call.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// All keys, for what starts from nothing.
    pub fn everything(&self) -> Touched {
        Touched {
            contents: self.contents.keys().copied().collect(),
            paths: self.paths.keys().cloned().collect(),
        }
    }

    /// All stored contents, held or not, in the order of their ids.
    pub fn contents(&self) -> impl Iterator<Item = (&ContentId, &ContentEntry)> {
        self.contents
            .iter()
            .filter_map(|(id, known)| Some((id, known.stored.as_ref()?)))
    }

    /// How many contents are stored.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// A stored content.
    pub fn content(&self, id: &ContentId) -> Option<&ContentEntry> {
        self.contents.get(id)?.stored.as_ref()
    }

    /// All paths in the order of their bytes.
    pub fn paths(&self) -> &BTreeMap<Arc<[u8]>, PathEntry> {
        &self.paths
    }

    /// The paths that begin with a prefix, in the order of their bytes.
    pub fn paths_with<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a Arc<[u8]>, &'a PathEntry)> {
        let from = self
            .paths
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// The paths that hold a content.
    pub fn holders(&self, id: &ContentId) -> impl Iterator<Item = &Arc<[u8]>> {
        self.contents
            .get(id)
            .into_iter()
            .flat_map(|known| known.holders.iter())
    }

    /// Whether any path holds a content.
    pub fn is_held(&self, id: &ContentId) -> bool {
        self.contents
            .get(id)
            .is_some_and(|known| !known.holders.is_empty())
    }

    /// How many contents a path holds.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Where a content occurs, sorted by path.
    pub fn occurrences(&self, id: &ContentId) -> Vec<Occurrence> {
        let of = |path: &Arc<[u8]>| {
            let entry = &self.paths[path];
            Occurrence {
                path: path.clone(),
                label: entry.label.clone(),
                split: entry.split,
            }
        };
        self.holders(id).map(of).collect()
    }

    /// Paths of undecodable files.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Contents that a path holds but that are not stored: lost to damage, to be read again.
    pub fn missing(&self) -> impl Iterator<Item = &ContentId> {
        self.contents
            .iter()
            .filter(|(_, known)| known.stored.is_none())
            .map(|(id, _)| id)
    }

    /// A sum over contents and paths, the same for the same set whatever its history.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// Takes in one change, `at` the time of its commit.
    pub fn apply(&mut self, change: Change, at: i64) {
        match change {
            Change::Content(id, place) => self.store(id, place, at),
            Change::Aliases(id, aliases) => self.name(&id, aliases),
            Change::Path(path, mut entry) => {
                entry.label = entry.label.map(|label| self.share(label));
                self.leave(&path, at);
                self.touched.paths.insert(path.clone());
                self.touched.contents.extend(entry.content());
                self.enter(path, entry);
            }
            Change::Gone(path, left) => self.leave(&path, left),
        }
    }

    /// What the catalog kept. The maps are built at once, which is faster and leaves no holes in
    /// them.
    pub(super) fn restored(
        paths: Vec<(Arc<[u8]>, PathEntry)>,
        contents: Vec<(ContentId, ContentEntry)>,
    ) -> Self {
        let sum = |a: u128, b: u128| a.wrapping_add(b);
        let (of_paths, of_contents) = (
            paths
                .par_iter()
                .map(|(path, entry)| path_hash(path, entry))
                .reduce(|| 0, sum),
            contents
                .par_iter()
                .map(|(id, entry)| content_hash(id, &entry.aliases))
                .reduce(|| 0, sum),
        );
        let mut state = Self {
            hash: sum(of_paths, of_contents),
            stored: contents.len() as u64,
            ..Self::default()
        };
        let known = |entry| Known {
            stored: Some(entry),
            holders: Holders::default(),
        };
        state.contents = contents
            .into_iter()
            .map(|(id, entry)| (id, known(entry)))
            .collect();
        for (path, entry) in &paths {
            match entry.content() {
                Some(id) => state.hold(id, path),
                None => state.undecodable += 1,
            }
        }
        state.paths = paths.into_iter().collect();
        state
    }

    fn restore(&mut self, id: ContentId, entry: ContentEntry) {
        self.hash = self.hash.wrapping_add(content_hash(&id, &entry.aliases));
        match self.contents.entry(id).or_default().stored.replace(entry) {
            Some(old) => self.hash = self.hash.wrapping_sub(content_hash(&id, &old.aliases)),
            None => self.stored += 1,
        }
    }

    /// Puts a content where it was rewritten.
    pub fn replace(&mut self, id: ContentId, entry: ContentEntry) {
        self.touched.contents.insert(id);
        self.restore(id, entry);
    }

    /// Drops a content that no path holds.
    pub fn forget(&mut self, id: &ContentId) {
        let Some(known) = self.contents.get_mut(id) else {
            return;
        };
        if let Some(old) = known.stored.take() {
            if known.holders.is_empty() {
                self.contents.remove(id);
            }
            self.stored -= 1;
            self.touched.contents.insert(*id);
            self.hash = self.hash.wrapping_sub(content_hash(id, &old.aliases));
        }
    }

    fn store(&mut self, id: ContentId, place: Place, at: i64) {
        let unheld_since = (!self.is_held(&id)).then_some(at);
        self.touched.contents.insert(id);
        let aliases = self
            .content(&id)
            .map(|known| known.aliases.clone())
            .unwrap_or_default();
        self.restore(
            id,
            ContentEntry {
                place,
                unheld_since,
                aliases,
            },
        );
    }

    /// Adds names to those of a content; one that is not stored has none.
    fn name(&mut self, id: &ContentId, mut aliases: Vec<Alias>) {
        let Some(entry) = self.content(id) else {
            return;
        };
        aliases.extend(&entry.aliases);
        aliases.sort_unstable();
        aliases.dedup();
        let entry = ContentEntry {
            aliases: aliases.into(),
            ..entry.clone()
        };
        self.replace(*id, entry);
    }

    fn enter(&mut self, path: Arc<[u8]>, entry: PathEntry) {
        self.hash = self.hash.wrapping_add(path_hash(&path, &entry));
        match &entry.holds {
            Holds::Content(id) => {
                self.hold(id, &path);
                if let Some(content) = self
                    .contents
                    .get_mut(id)
                    .and_then(|known| known.stored.as_mut())
                {
                    content.unheld_since = None;
                }
            }
            Holds::Undecodable { .. } => self.undecodable += 1,
        }
        self.paths.insert(path, entry);
    }

    fn share(&mut self, label: Label) -> Label {
        match self.labels.get(&label) {
            Some(shared) => shared.clone(),
            None => {
                self.labels.insert(label.clone());
                label
            }
        }
    }

    fn hold(&mut self, id: &ContentId, path: &Arc<[u8]>) {
        let known = self.contents.entry(*id).or_default();
        self.held += u64::from(known.holders.is_empty());
        known.holders.add(path.clone());
    }

    fn leave(&mut self, path: &Arc<[u8]>, at: i64) {
        let Some(entry) = self.paths.remove(path) else {
            return;
        };
        self.hash = self.hash.wrapping_sub(path_hash(path, &entry));
        self.touched.paths.insert(path.clone());
        let Some(id) = entry.content() else {
            self.undecodable -= 1;
            return;
        };
        self.touched.contents.insert(*id);
        let Some(known) = self.contents.get_mut(id) else {
            return;
        };
        known.holders.remove(path);
        if known.holders.is_empty() {
            self.held -= 1;
            match &mut known.stored {
                Some(content) => content.unheld_since = Some(at),
                None => {
                    self.contents.remove(id);
                }
            }
        }
    }
}

fn content_hash(id: &ContentId, aliases: &[Alias]) -> u128 {
    let of_alias = |alias: &Alias| XxHash3_128::oneshot(&[&id[..], &alias.to_bytes()].concat());
    aliases
        .iter()
        .map(of_alias)
        .fold(XxHash3_128::oneshot(id), u128::wrapping_add)
}

fn path_hash(path: &[u8], entry: &PathEntry) -> u128 {
    let mut bytes = Packer(Vec::with_capacity(128));
    bytes.bytes(path);
    match &entry.holds {
        Holds::Content(id) => bytes.raw(id),
        Holds::Undecodable { id, reason } => {
            bytes.raw(id);
            bytes.bytes(reason.as_bytes());
        }
    }
    let Stat {
        size,
        mtime_ns,
        ctime_ns,
        inode,
    } = entry.stat;
    [size, mtime_ns as u64, ctime_ns as u64, inode]
        .into_iter()
        .for_each(|number| bytes.u64(number));
    bytes.u8(Split::code(entry.split) << 1 | u8::from(entry.label.is_some()));
    bytes.bytes(entry.label.as_deref().unwrap_or_default());
    XxHash3_128::oneshot(&bytes.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    fn image(id: u8) -> PathEntry {
        PathEntry {
            holds: Holds::Content([id; 32]),
            stat: Stat::default(),
            label: None,
            split: None,
        }
    }

    const PLACE: Place = Place {
        pack: 1,
        offset: 64,
        len: 100,
    };

    #[test]
    fn the_hash_forgets_the_history() {
        let mut a = State::default();
        a.apply(Change::Content([1; 32], PLACE), 0);
        a.apply(Change::Path(path("a"), image(1)), 0);
        let mut b = State::default();
        b.apply(Change::Path(path("b"), image(2)), 0);
        b.apply(Change::Path(path("a"), image(2)), 0);
        b.apply(Change::Path(path("a"), image(1)), 1);
        b.apply(Change::Content([1; 32], PLACE), 2);
        assert_ne!(a.hash(), b.hash());
        b.apply(Change::Gone(path("b"), 3), 3);
        assert_eq!(a.hash(), b.hash());
        b.apply(Change::Content([3; 32], PLACE), 4);
        b.forget(&[3; 32]);
        assert_eq!(a.hash(), b.hash());
    }

    #[test]
    fn a_content_remembers_when_its_last_path_left() {
        let mut s = State::default();
        s.apply(Change::Content([1; 32], PLACE), 5);
        assert_eq!(s.content(&[1; 32]).unwrap().unheld_since, Some(5));
        s.apply(Change::Path(path("a"), image(1)), 5);
        s.apply(Change::Path(path("b"), image(1)), 5);
        assert_eq!(s.content(&[1; 32]).unwrap().unheld_since, None);
        s.apply(Change::Gone(path("a"), 7), 9);
        assert_eq!(s.content(&[1; 32]).unwrap().unheld_since, None);
        s.apply(Change::Path(path("b"), image(2)), 8);
        assert_eq!(s.content(&[1; 32]).unwrap().unheld_since, Some(8));
        assert_eq!(s.missing().collect::<Vec<_>>(), [&[2; 32]]);
    }

    #[test]
    fn aliases_belong_to_a_stored_content_stay_with_it_and_go_with_it() {
        let [one, two] = [Alias::Md5([1; 16]), Alias::GitSha1([2; 20])];
        let mut a = State::default();
        a.apply(Change::Aliases([1; 32], vec![one]), 0);
        assert_eq!((a.hash(), a.content(&[1; 32])), (0, None));
        a.apply(Change::Content([1; 32], PLACE), 0);
        let bare = a.hash();
        a.apply(Change::Aliases([1; 32], vec![one]), 0);
        a.apply(Change::Aliases([1; 32], vec![two, one]), 0);
        assert_eq!(*a.content(&[1; 32]).unwrap().aliases, [two, one]);
        let mut b = State::default();
        b.apply(Change::Content([1; 32], PLACE), 0);
        b.apply(Change::Aliases([1; 32], vec![two, one]), 0);
        b.apply(
            Change::Content(
                [1; 32],
                Place {
                    offset: 128,
                    ..PLACE
                },
            ),
            0,
        );
        assert!(a.hash() == b.hash() && a.hash() != bare);
        a.forget(&[1; 32]);
        assert_eq!(a.hash(), 0);
    }
}
