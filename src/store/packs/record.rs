//! Records ⇄ payloads: what the packs hold, as rkyv archives that are checked whenever they are
//! read.
//!
//! One archive per record; the kind in the record's head says which type. Archives are
//! little-endian with 32-bit offsets, and the payload begins at a multiple of 16, so that they are
//! read in place. Checksums and places are left to `layout`.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use rkyv::{
    Archive, Deserialize, Portable, Serialize,
    api::high::{HighDeserializer, HighSerializer, HighValidator},
    bytecheck::CheckBytes,
    rancor::BoxedError,
    ser::allocator::ArenaHandle,
    util::AlignedVec,
};

/// The cached coefficients of one image file, keyed by its bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// BLAKE3 of the file.
    pub id: [u8; 32],
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Format of the file, as the writer numbers them.
    pub format: u8,
    /// Width of the image in pixels, before standardising.
    pub width: u32,
    /// Height of the image in pixels, before standardising.
    pub height: u32,
    /// The coefficient code, opaque to the store.
    pub code: Vec<u8>,
}

/// What a path holds.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// An image.
    Present,
    /// A file that cannot be read as an image, and why.
    Undecodable(String),
}

/// What the file system says of a file, by which an unchanged one is known without reading it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub size: u64,
    /// Last change of the bytes, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of the inode, in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Number of the inode.
    pub inode: u64,
}

/// A path appeared or changed.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The path relative to the root, `/` between its parts, raw bytes.
    pub path: Vec<u8>,
    /// BLAKE3 of the file.
    pub id: [u8; 32],
    /// What that is.
    pub state: State,
    /// By which it is known again.
    pub stat: Stat,
    /// Its label, if it has one.
    pub label: Option<Vec<u8>>,
    /// Its split, as the writer numbers them.
    pub split: u8,
}

/// A path left.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The path, as in [`Seen`].
    pub path: Vec<u8>,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// The other names of a content that is stored.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Aliases {
    /// BLAKE3 of the file.
    pub id: [u8; 32],
    /// The names, one behind the other, opaque to the packs.
    pub aliases: Vec<u8>,
}

/// Something that was told to whoever listens, such as a verdict: durable together with what it
/// tells of.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number: 1, 2, 3 and so on, without a gap.
    pub seq: u64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// The words, opaque to the packs.
    pub text: Vec<u8>,
}

/// The search basis from here on.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The columns, most independent first.
    pub columns: Vec<u32>,
    /// The global scale of the stored integers.
    pub scale: u32,
    /// Of all that a feature depends on.
    pub fingerprint: [u8; 32],
}

/// What the caller knows of the state after a batch. The store keeps it and does not check it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Number of the state, growing.
    pub generation: u64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// How many contents there are.
    pub contents: u64,
    /// How many paths there are.
    pub paths: u64,
    /// A hash of the state.
    pub state: u128,
}

/// A commit with the reach of its batch.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The commit of the caller.
    pub(super) commit: Commit,
    /// Where its batch begins; 0 for the first batch of a pack: it needs a sound header and
    /// preface, too.
    pub(super) start: u64,
}

/// One record, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The coefficients of a content.
    Content(Content),
    /// A path appeared or changed.
    Path(Seen),
    /// A path left.
    Gone(Gone),
    /// The search basis changed.
    Basis(Basis),
    /// A content has other names.
    Aliases(Aliases),
    /// Something was told.
    Event(Event),
}

/// One record, as it lies in the pack: checked, nothing copied.
#[derive(Clone, Copy)]
pub enum View<'a> {
    /// The coefficients of a content.
    Content(&'a ArchivedContent),
    /// A path appeared or changed.
    Path(&'a ArchivedSeen),
    /// A path left.
    Gone(&'a ArchivedGone),
    /// The search basis changed.
    Basis(&'a ArchivedBasis),
    /// A content has other names.
    Aliases(&'a ArchivedAliases),
    /// Something was told.
    Event(&'a ArchivedEvent),
    /// All records before this one are one consistent state. A rewrite ends in the same commit
    /// twice.
    Commit(&'a ArchivedCommit),
}

/// What the kind in a record's head means. The numbers are a part of the format.
pub(super) mod kind {
    pub(in super::super) const PREFACE: u8 = 0;
    pub(in super::super) const CONTENT: u8 = 1;
    pub(in super::super) const PATH: u8 = 2;
    pub(in super::super) const GONE: u8 = 3;
    pub(in super::super) const BASIS: u8 = 4;
    pub(in super::super) const COMMIT: u8 = 5;
    pub(in super::super) const ALIASES: u8 = 6;
    pub(in super::super) const EVENT: u8 = 7;
}

type Writer<'a> = HighSerializer<AlignedVec, ArenaHandle<'a>, BoxedError>;

fn archive<T: for<'a> Serialize<Writer<'a>>>(value: &T) -> Result<AlignedVec, String> {
    rkyv::to_bytes::<BoxedError>(value).map_err(|e| e.to_string())
}

/// Checks an archive; `None` if it is none of this type.
pub(super) fn access<T: Portable + for<'a> CheckBytes<HighValidator<'a, BoxedError>>>(
    payload: &[u8],
) -> Option<&T> {
    rkyv::access::<T, BoxedError>(payload).ok()
}

fn restore<T: Archive>(archived: &T::Archived) -> Option<T>
where
    T::Archived: Deserialize<T, HighDeserializer<BoxedError>>,
{
    rkyv::deserialize::<T, BoxedError>(archived).ok()
}

impl Record {
    /// The kind and the payload.
    pub(super) fn encode(&self) -> Result<(u8, AlignedVec), String> {
        Ok(match self {
            Self::Content(it) => (kind::CONTENT, archive(it)?),
            Self::Path(it) => (kind::PATH, archive(it)?),
            Self::Gone(it) => (kind::GONE, archive(it)?),
            Self::Basis(it) => (kind::BASIS, archive(it)?),
            Self::Aliases(it) => (kind::ALIASES, archive(it)?),
            Self::Event(it) => (kind::EVENT, archive(it)?),
        })
    }

    /// An upper bound of the payload's length in bytes.
    pub(super) fn weight(&self) -> u64 {
        let variable = match self {
            Self::Content(it) => it.code.len(),
            Self::Gone(it) => it.path.len(),
            Self::Basis(it) => it.columns.len().saturating_mul(4),
            Self::Aliases(it) => it.aliases.len(),
            Self::Event(it) => it.text.len(),
            Self::Path(it) => {
                let reason = if let State::Undecodable(reason) = &it.state {
                    reason.len()
                } else {
                    0
                };
                it.path
                    .len()
                    .saturating_add(reason)
                    .saturating_add(it.label.as_ref().map_or(0, Vec::len))
            }
        };
        (variable as u64).saturating_add(256)
    }
}

impl Sealed {
    /// The payload.
    pub(super) fn encode(&self) -> Result<AlignedVec, String> {
        archive(self)
    }
}

impl<'a> View<'a> {
    /// Checks the payload of a record of this kind; `None` if it is not what the kind says.
    pub(super) fn decode(of: u8, payload: &'a [u8]) -> Option<Self> {
        Some(match of {
            kind::CONTENT => Self::Content(access(payload)?),
            kind::PATH => Self::Path(access(payload)?),
            kind::GONE => Self::Gone(access(payload)?),
            kind::BASIS => Self::Basis(access(payload)?),
            kind::ALIASES => Self::Aliases(access(payload)?),
            kind::EVENT => Self::Event(access(payload)?),
            kind::COMMIT => Self::Commit(&access::<ArchivedSealed>(payload)?.commit),
            _ => return None,
        })
    }

    /// A copy in memory; `None` for a commit.
    #[must_use]
    pub fn to_record(self) -> Option<Record> {
        Some(match self {
            Self::Content(it) => Record::Content(restore(it)?),
            Self::Path(it) => Record::Path(restore(it)?),
            Self::Gone(it) => Record::Gone(restore(it)?),
            Self::Basis(it) => Record::Basis(restore(it)?),
            Self::Aliases(it) => Record::Aliases(restore(it)?),
            Self::Event(it) => Record::Event(restore(it)?),
            Self::Commit(_) => return None,
        })
    }
}

impl ArchivedCommit {
    /// A copy in memory.
    #[must_use]
    pub fn to_commit(&self) -> Commit {
        Commit {
            generation: self.generation.to_native(),
            at: self.at.to_native(),
            contents: self.contents.to_native(),
            paths: self.paths.to_native(),
            state: self.state.to_native(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Numbers from a seed: xorshift.
    pub(in super::super) struct Random(pub(in super::super) u64);

    impl Random {
        pub(in super::super) fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % n
        }

        fn bytes(&mut self, most: u64) -> Vec<u8> {
            (0..self.below(most))
                .map(|_| self.below(256) as u8)
                .collect()
        }

        fn id(&mut self) -> [u8; 32] {
            std::array::from_fn(|_| self.below(256) as u8)
        }

        pub(in super::super) fn record(&mut self) -> Record {
            match self.below(5) {
                0 | 1 => Record::Content(Content {
                    id: self.id(),
                    bytes: self.below(1 << 40),
                    format: self.below(9) as u8,
                    width: self.below(1 << 20) as u32,
                    height: self.below(1 << 20) as u32,
                    code: self.bytes(90),
                }),
                2 => {
                    let id = self.id();
                    let unreadable = self.below(2) == 0;
                    let state = if unreadable {
                        State::Undecodable("the file ends too soon".into())
                    } else {
                        State::Present
                    };
                    let stat = Stat {
                        size: self.below(99),
                        mtime_ns: -5,
                        ctime_ns: 7,
                        inode: u64::MAX,
                    };
                    let label = if self.below(2) == 0 {
                        Some(self.bytes(9))
                    } else {
                        None
                    };
                    Record::Path(Seen {
                        path: self.bytes(30),
                        id,
                        state,
                        stat,
                        label,
                        split: self.below(4) as u8,
                    })
                }
                3 => Record::Gone(Gone {
                    path: self.bytes(30),
                    at: 1_700_000_000,
                }),
                _ => match (self.below(9) as u32, self.id()) {
                    (n, fingerprint) if n % 2 == 0 => Record::Basis(Basis {
                        columns: (0..n).collect(),
                        scale: 3,
                        fingerprint,
                    }),
                    (n, _) if n % 4 == 3 => Record::Event(Event {
                        seq: n.into(),
                        at: -7,
                        text: vec![n as u8; 4 * n as usize],
                    }),
                    (n, id) => Record::Aliases(Aliases {
                        id,
                        aliases: vec![n as u8; 4 * n as usize],
                    }),
                },
            }
        }

        pub(in super::super) fn batch(&mut self, most: u64) -> Vec<Record> {
            (0..self.below(most)).map(|_| self.record()).collect()
        }
    }

    #[test]
    fn every_record_comes_back_and_weighs_no_more_than_said() {
        let mut random = Random(1);
        for _ in 0..500 {
            let record = random.record();
            let (kind, payload) = record.encode().unwrap();
            assert!(
                payload.len() as u64 <= record.weight(),
                "{record:?} takes {} bytes",
                payload.len()
            );
            assert_eq!(
                View::decode(kind, &payload).and_then(View::to_record),
                Some(record)
            );
        }
    }

    #[test]
    fn cut_or_misnamed_archives_are_not_read() {
        let content = Content {
            id: [1; 32],
            bytes: 5,
            format: 1,
            width: 2,
            height: 3,
            code: vec![7; 100],
        };
        let (kind, payload) = Record::Content(content).encode().unwrap();
        for len in 0..payload.len() {
            let mut cut = AlignedVec::<16>::new();
            cut.extend_from_slice(&payload[..len]);
            assert!(View::decode(kind, &cut).is_none(), "{len} bytes");
        }
        assert!(
            View::decode(kind::PREFACE, &payload).is_none() && View::decode(99, &payload).is_none()
        );
    }

    #[test]
    fn commits_come_back() {
        let commit = Commit {
            generation: 9,
            at: -1,
            contents: 3,
            paths: 4,
            state: u128::MAX - 5,
        };
        let payload = Sealed {
            commit: commit.clone(),
            start: 64,
        }
        .encode()
        .unwrap();
        let Some(View::Commit(view)) = View::decode(kind::COMMIT, &payload) else {
            panic!("a commit is read")
        };
        assert_eq!(view.to_commit(), commit);
    }
}
