//! The paths that hold a content: a set that is nearly always of one.

use std::{collections::BTreeSet, sync::Arc};

/// The paths that hold a content: one, nearly always, and then without a tree.
#[derive(Debug, Clone)]
pub(super) enum Holders {
    One(Arc<[u8]>),
    #[allow(clippy::box_collection, reason = "half the size of every entry")]
    Many(Box<BTreeSet<Arc<[u8]>>>),
}

impl Default for Holders {
    fn default() -> Self {
        Self::Many(Box::default())
    }
}

impl Holders {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        let (one, many) = match self {
            Self::One(path) => (Some(path), None),
            Self::Many(paths) => (None, Some(paths.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(paths) if paths.is_empty())
    }

    pub(super) fn add(&mut self, path: Arc<[u8]>) {
        match self {
            Self::One(first) if *first != path => {
                *self = Self::Many(Box::new([first.clone(), path].into()));
            }
            Self::One(_) => {}
            Self::Many(paths) if paths.is_empty() => *self = Self::One(path),
            Self::Many(paths) => {
                paths.insert(path);
            }
        }
    }

    pub(super) fn remove(&mut self, path: &[u8]) {
        match self {
            Self::One(only) if **only == *path => *self = Self::default(),
            Self::One(_) => {}
            Self::Many(paths) => {
                paths.remove(path);
            }
        }
    }
}
