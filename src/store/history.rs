//! Records of the packs ⇄ changes of the state.

use std::sync::Arc;

use super::{
    alias::{Alias, pack_aliases, unpack_aliases},
    packs::{
        Aliases, Basis, Gone, Place, Record, Seen, Stat as PackStat, State as PackState, View,
    },
    state::{Change, ContentId, Holds, PathEntry, Stat},
};
use crate::verdict::{Label, Split};

/// A path appeared or changed.
pub fn path_record(path: &[u8], entry: &PathEntry) -> Record {
    let (id, state) = match &entry.holds {
        Holds::Content(id) => (*id, PackState::Present),
        Holds::Undecodable { id, reason } => (*id, PackState::Undecodable(reason.to_string())),
    };
    let Stat {
        size,
        mtime_ns,
        ctime_ns,
        inode,
    } = entry.stat;
    let stat = PackStat {
        size,
        mtime_ns,
        ctime_ns,
        inode,
    };
    let label = entry.label.as_deref().map(Vec::from);
    Record::Path(Seen {
        path: path.to_vec(),
        id,
        state,
        stat,
        label,
        split: Split::code(entry.split),
    })
}

/// A path left, at this time.
pub fn gone_record(path: &[u8], at: i64) -> Record {
    Record::Gone(Gone {
        path: path.to_vec(),
        at,
    })
}

/// A stored content has other names.
pub fn aliases_record(id: &ContentId, aliases: &[Alias]) -> Record {
    Record::Aliases(Aliases {
        id: *id,
        aliases: pack_aliases(aliases),
    })
}

/// What a record in memory changes; a content is stored at `place`.
pub fn change_of(record: &Record, place: Place) -> Option<Change> {
    match record {
        Record::Content(content) => Some(Change::Content(content.id, place)),
        Record::Path(seen) => path_change(seen),
        Record::Gone(gone) => Some(Change::Gone(gone.path.as_slice().into(), gone.at)),
        Record::Aliases(of) => Some(Change::Aliases(of.id, unpack_aliases(&of.aliases)?)),
        Record::Basis(_) | Record::Event(_) => None,
    }
}

/// What a record in a pack changes, or the basis that it brings.
pub fn read_change(view: View<'_>, place: Place) -> Option<Change> {
    match view {
        View::Content(content) => Some(Change::Content(content.id, place)),
        View::Path(_) | View::Gone(_) | View::Aliases(_) => change_of(&view.to_record()?, place),
        View::Basis(_) | View::Event(_) | View::Commit(_) => None,
    }
}

/// The columns of a basis record.
pub fn read_basis(view: View<'_>) -> Option<Basis> {
    match view {
        View::Basis(_) => match view.to_record()? {
            Record::Basis(basis) => Some(basis),
            _ => None,
        },
        _ => None,
    }
}

fn path_change(seen: &Seen) -> Option<Change> {
    let holds = match &seen.state {
        PackState::Present => Holds::Content(seen.id),
        PackState::Undecodable(reason) => Holds::Undecodable {
            id: seen.id,
            reason: reason.as_str().into(),
        },
    };
    let PackStat {
        size,
        mtime_ns,
        ctime_ns,
        inode,
    } = seen.stat;
    let label = seen.label.as_deref().map(Label::from);
    let entry = PathEntry {
        holds,
        stat: Stat {
            size,
            mtime_ns,
            ctime_ns,
            inode,
        },
        label,
        split: Split::from_code(seen.split)?,
    };
    Some(Change::Path(Arc::from(seen.path.as_slice()), entry))
}
