//! Faults of ordering, put into the medium below the library as if the library had made them: the
//! simulation must find each.

/// What the medium does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Broken {
    /// Nothing.
    #[default]
    Nothing,
    /// A pack is not synced.
    PackUnsynced,
    /// The names of the packs are not synced.
    PackNamesUnsynced,
    /// The files of the view are not synced, only its manifest is.
    ViewUnsynced,
    /// The manifest is renamed before its own bytes are synced.
    ManifestUnsynced,
    /// The names of the view are not synced before the rename, only after it.
    RenamedBeforeNames,
    /// What the old manifest names is removed before the new one is in its place.
    RemovedBeforeRename,
    /// A batch is acknowledged first, and synced with the next one.
    AcknowledgedBeforeSync,
    /// Two writers at once.
    TwoWriters,
}

impl Broken {
    /// All that are wrong.
    pub(crate) const ALL: [Self; 8] = [
        Self::PackUnsynced,
        Self::PackNamesUnsynced,
        Self::ViewUnsynced,
        Self::ManifestUnsynced,
        Self::RenamedBeforeNames,
        Self::RemovedBeforeRename,
        Self::AcknowledgedBeforeSync,
        Self::TwoWriters,
    ];
}
