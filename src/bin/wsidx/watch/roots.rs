//! Watched folders → whether they are still there, and how changes in them are noticed.
//!
//! A folder that is gone, or on which a file system was mounted or unmounted, looks empty; nothing
//! below it is then taken for removed until it is back as it was. What counts is whether it is the
//! top of a mounted file system, not which one: numbers of devices change.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use wsidx::dataset::{contains, to_path};

use super::{args::Backend, scanner::Scope};

/// A watched folder.
#[derive(Debug)]
pub(super) struct Root {
    /// Relative to the root of the dataset.
    pub(super) scope: Vec<u8>,
    path: PathBuf,
    backend: Backend,
    mounted: bool,
    identity: Option<(u64, u64)>,
    /// Why the system does not tell of changes, so that it is polled.
    pub(super) polled: Option<String>,
    /// Why nothing can be said of it now.
    pub(super) trouble: Option<String>,
    pub(super) next_look: Instant,
}

/// What has become of a root since the last time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Same,
    /// It is in trouble now.
    Lost,
    /// It is back, or another folder is in its place: watches must be set anew.
    Back,
}

impl Root {
    pub(super) fn new(dataset: &Path, scope: Vec<u8>, backend: Backend, now: Instant) -> Self {
        let path = to_path(dataset, &scope);
        let path = if scope.is_empty() {
            dataset.to_owned()
        } else {
            path
        };
        let polled = match backend {
            Backend::Native => None,
            Backend::Poll => Some("as asked".to_owned()),
            Backend::Auto => {
                network(&path).map(|kind| format!("{kind} tells nothing of what other machines do"))
            }
        };
        let (mounted, identity) = (is_top(&path), identity(&path));
        Self {
            scope,
            path,
            backend,
            mounted,
            identity,
            polled,
            trouble: None,
            next_look: now,
        }
    }

    /// Polls the folder if a file system below it does not tell of changes by others; the reason,
    /// where it was not polled before.
    pub(super) fn poll_for(&mut self, below: &Path) -> Option<String> {
        if self.polled.is_some() || self.backend != Backend::Auto {
            return None;
        }
        self.polled =
            network(below).map(|kind| format!("{kind} tells nothing of what other machines do"));
        self.next_look = Instant::now();
        self.polled.clone()
    }

    pub(super) fn scope(&self) -> Scope {
        Scope {
            path: self.scope.clone(),
            watch: self.polled.is_none(),
        }
    }

    /// When to look at all of it: every so often, and where it is polled far more often.
    pub(super) fn looked(&mut self, now: Instant, rescan: Duration, settle: Duration) {
        // Two looks and a half within the time that a file must rest.
        self.next_look = now
            + if self.polled.is_some() {
                rescan.min(settle * 5 / 2)
            } else {
                rescan
            };
    }

    /// Looks whether it is there.
    pub(super) fn turn(&mut self) -> Turn {
        let before = (self.identity, self.trouble.is_some());
        self.identity = identity(&self.path).or(self.identity.filter(|_| self.trouble.is_some()));
        self.trouble = match (identity(&self.path), is_top(&self.path)) {
            (None, _) => Some("it is gone".to_owned()),
            (_, top) if top == self.mounted => None,
            (_, true) => Some("another file system was mounted over it".to_owned()),
            (_, false) => Some("it was unmounted".to_owned()),
        };
        match (before.1, self.trouble.is_some()) {
            (false, true) => Turn::Lost,
            (true, false) => Turn::Back,
            (false, false) if before.0 != self.identity => Turn::Back,
            _ => Turn::Same,
        }
    }

    /// Whether it is there at this moment, as it was.
    pub(super) fn is_sound(&self) -> bool {
        self.trouble.is_none()
            && identity(&self.path) == self.identity
            && is_top(&self.path) == self.mounted
    }

    pub(super) fn contains(&self, path: &[u8]) -> bool {
        contains(&self.scope, path)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path)
        .ok()
        .filter(std::fs::Metadata::is_dir)
        .map(|meta| (meta.dev(), meta.ino()))
}

/// Whether a folder is the top of a file system.
fn is_top(path: &Path) -> bool {
    let above = path.parent().and_then(identity);
    matches!((identity(path), above), (Some((own, _)), Some((above, _))) if own != above)
}

/// The kind of a file system on which changes by others are not told.
#[cfg(target_os = "linux")]
fn network(path: &Path) -> Option<&'static str> {
    named(rustix::fs::statfs(path).ok()?.f_type as u64 & 0xffff_ffff)
}

/// By the numbers of statfs(2) and the kernel's magic.h.
#[cfg(target_os = "linux")]
fn named(kind: u64) -> Option<&'static str> {
    Some(match kind {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x0bd0_0bd0 => "Lustre",
        0x786f_4256 => "a shared folder of VirtualBox",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[cfg(target_os = "linux")]
    #[test]
    fn file_systems_that_others_write_to_are_polled_and_those_of_this_machine_are_not() {
        for kind in [
            0x6969,
            0xff53_4d42,
            0xfe53_4d42,
            0x6573_5546,
            0x0102_1997,
            0x00c3_6400,
            0x0bd0_0bd0,
        ] {
            assert!(named(kind).is_some(), "{kind:#x}");
        }
        // ext4, tmpfs, XFS, Btrfs, overlay, ZFS.
        for kind in [
            0xef53,
            0x0102_1994,
            0x5846_5342,
            0x9123_683e,
            0x794c_7630,
            0x2fc1_2fc1,
        ] {
            assert_eq!(named(kind), None, "{kind:#x}");
        }
        let folder = tempfile::tempdir().unwrap();
        let asked = |backend| Root::new(folder.path(), Vec::new(), backend, Instant::now());
        assert_eq!(asked(Backend::Native).polled, None);
        assert!(asked(Backend::Poll).polled.is_some());
        // Signed numbers of types are those of the table, too.
        assert_eq!(
            asked(Backend::Auto).polled.is_some(),
            network(folder.path()).is_some()
        );
    }

    #[test]
    fn what_is_polled_is_looked_at_within_the_settle_time_and_the_rest_as_often_as_was_asked() {
        let (folder, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let next = |backend| {
            let mut root = Root::new(folder.path(), Vec::new(), backend, now);
            root.looked(now, Duration::from_secs(300), Duration::from_secs(2));
            root.next_look - now
        };
        assert_eq!(
            (next(Backend::Poll), next(Backend::Native)),
            (Duration::from_secs(5), Duration::from_secs(300))
        );
    }

    #[test]
    fn a_folder_that_goes_is_lost_and_one_that_comes_in_its_place_is_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        let mut root = Root::new(folder.path(), b"in".to_vec(), Backend::Auto, Instant::now());
        assert_eq!((root.turn(), root.is_sound()), (Turn::Same, true));
        fs::rename(folder.path().join("in"), folder.path().join("out")).unwrap();
        assert!(!root.is_sound());
        assert_eq!(
            (root.turn(), root.turn(), root.is_sound()),
            (Turn::Lost, Turn::Same, false)
        );
        fs::write(folder.path().join("in"), b"no folder").unwrap();
        assert_eq!(root.turn(), Turn::Same);
        fs::remove_file(folder.path().join("in")).unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        assert_eq!((root.turn(), root.is_sound()), (Turn::Back, true));
        fs::remove_dir(folder.path().join("in")).unwrap();
        fs::rename(folder.path().join("out"), folder.path().join("in")).unwrap();
        assert_eq!(root.turn(), Turn::Back, "another folder, between two looks");
    }
}
