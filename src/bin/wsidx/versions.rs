//! `wsidx check --staged` and `--range`: which repository, which index, which versions.

use std::path::{Path, PathBuf};

use wsidx::{
    Error, Result,
    dataset::{
        BARE_INDEX_FOLDER, Change, Naming,
        dvc::Settings,
        git::{CommitRange, Hints, Repository, Version, range_of_ci},
        index_folder,
    },
    index::{CheckOptions, Checked, Reader, Writer, except},
    monitor::Monitor,
    verdict::{Exception, Exceptions, Policy},
};

use crate::{args::Check, place, session::Session, term};

/// Verdicts on a change, and the policy that they are judged by.
pub(crate) struct Judged {
    pub(crate) checked: Vec<Checked>,
    pub(crate) policy: Policy,
    /// Lines of `.wsidx-allow` that accept nothing, and could.
    pub(crate) unused: Vec<Exception>,
    /// The root of the dataset.
    pub(crate) root: PathBuf,
}

/// A repository and the root of the dataset in it.
pub(crate) struct Versioned {
    pub(crate) repository: Repository,
    pub(crate) root: PathBuf,
}

impl Versioned {
    /// The repository that the process is in, with the index that is in it, in its git folder, or in its main work tree.
    pub(crate) fn open(session: &Session) -> Result<Self> {
        let hints = hints();
        let here = Repository::here(hints)?;
        let root = match (session.root(None), &here) {
            (Err(Error::NoIndex { from }), Some(repository)) => {
                let mut others = repository.other_roots().into_iter();
                others.find(|root| index_folder(root).symlink_metadata().is_ok()).ok_or(Error::NoIndex { from })?
            }
            (root, _) => root?,
        };
        let none = || Error::Input(format!("{} is not in a git repository", root.display()));
        let repository = match here.filter(|repository| repository.belongs(&root)) {
            Some(repository) => repository,
            None => Repository::at(&root)?.ok_or_else(none)?,
        };
        Ok(Self { repository, root })
    }

    /// What is staged.
    pub(crate) fn staged(&self) -> Result<Version<'_>> {
        self.repository.staged(&self.root)
    }

    /// The net change of a range, or of each of its commits.
    pub(crate) fn committed(&self, range: &CommitRange, every: bool) -> Result<Vec<Version<'_>>> {
        if !every {
            return Ok(vec![self.repository.committed(range, &self.root)?]);
        }
        let commits = self.repository.commits(range)?;
        commits.iter().map(|(parents, commit)| self.repository.commit(parents, commit, &self.root)).collect()
    }

    /// Judges the new images of a version; with `only`, those at and below these paths.
    pub(crate) fn judge(&self, version: &Version<'_>, only: &[Vec<u8>], options: &CheckOptions, monitor: &dyn Monitor) -> Result<Judged> {
        if version.is_quiet() {
            return Ok(self.nothing());
        }
        let (reader, change) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| Reader::open(&self.root).and_then(|reader| reader.prepare_check().map(|()| reader)));
            let change = version.change(only);
            (reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), change)
        });
        let (reader, mut change): (Reader, Change) = (reader?, change?);
        let uncertain = reader.settle(&mut change)?;
        if uncertain > 0 {
            let images =
                term::counted(uncertain as u64, "image that the index does not know is", "images that the index does not know are");
            monitor
                .note(&format!("a manifest of DVC from before the change is not here, so {images} judged as new; `dvc fetch` brings it"));
        }
        if change.outside > 0 {
            let images = term::counted(change.outside, "changed image", "changed images");
            monitor.note(&format!("{images} outside {} passed over", self.root.display()));
        }
        let options = CheckOptions { rule: change.rules.edges, ..options.clone() };
        // Those of the version; on a server, of what was there before the push.
        let exceptions = Exceptions::read(&change.rules.edges, |name| version.text(name.as_bytes()))?;
        let mut checked = reader.check_change(&change, &change.objects(&self.repository), &options, monitor)?;
        except(&mut checked, &exceptions);
        Ok(Judged { checked, policy: change.rules.check, ..self.nothing() })
    }

    fn nothing(&self) -> Judged {
        Judged { checked: Vec::new(), policy: Policy::default(), unused: Vec::new(), root: self.root.clone() }
    }

    /// Paths as the user gave them → paths of the dataset.
    fn only(&self, version: &Version<'_>, paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
        let top = self.repository.top.as_deref().unwrap_or(&self.repository.folder);
        let one = |path: &PathBuf| {
            let inside = place::inside(top, path)?;
            version.path_in_dataset(&inside).map(|path| path.to_vec()).ok_or_else(|| outside(path, &self.root))
        };
        paths.iter().map(one).collect()
    }
}

fn outside(path: &Path, root: &Path) -> Error {
    Error::Input(format!("{} is not in the dataset, whose root is {}", path.display(), root.display()))
}

/// What the environment of a hook says.
fn hints() -> Hints {
    let merging = std::env::vars_os().filter_map(|(name, _)| Some(name.to_str()?.strip_prefix("GITHEAD_")?.to_owned()));
    let alternates = std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default();
    let alternates = std::env::split_paths(&alternates).filter(|path| !path.as_os_str().is_empty()).collect();
    Hints { merging: merging.collect(), alternates, dvc: dvc_settings() }
}

/// Where DVC looks for settings outside a repository (`dvc/dirs.py`).
fn dvc_settings() -> Settings {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let user = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".config")));
    let own = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let system = own("DVC_SYSTEM_CONFIG_DIR").or_else(|| Some("/etc/xdg/dvc".into()));
    let user = own("DVC_GLOBAL_CONFIG_DIR").or_else(|| Some(user?.join("dvc")));
    Settings { folders: system.into_iter().chain(user).collect(), home }
}

/// In a bare repository `sync` takes in the images of all branches; elsewhere nothing is done.
pub(crate) fn take_in(session: &Session, root: &Path, writer: &mut Writer, monitor: &dyn Monitor) -> Result<bool> {
    let bare = index_folder(root).ends_with(BARE_INDEX_FOLDER);
    let Some(repository) = (if bare { Repository::at(root)? } else { None }) else { return Ok(false) };
    monitor.stage("listing", None);
    let images = repository.images_of_branches(root)?;
    let taken = writer.take_objects(&images, &repository, &Naming::around(root), session.now(), monitor)?;
    let [read, known] = [taken.read, taken.known].map(|n| term::counted(n, "content", "contents"));
    monitor.note(&format!("{read} read from the branches, {known} known before, {} unreadable", term::count(taken.unread)));
    Ok(true)
}

/// The range that was asked for.
fn range(repository: &Repository, text: &str) -> Result<CommitRange> {
    if text != "auto" {
        return repository.range(text);
    }
    repository.require_history()?;
    let event = |path: &str| std::fs::read_to_string(path).ok();
    repository.range(&range_of_ci(&|name| std::env::var(name).ok(), &event)?)
}

/// `--staged` or `--range`.
pub(crate) fn check(session: &Session, args: &Check, options: &CheckOptions, monitor: &dyn Monitor) -> Result<Judged> {
    let versioned = Versioned::open(session)?;
    let versions = match &args.range {
        Some(text) => versioned.committed(&range(&versioned.repository, text)?, args.every_commit)?,
        None => vec![versioned.staged()?],
    };
    let mut all = versioned.nothing();
    for version in &versions {
        let only = versioned.only(version, &args.paths)?;
        let Judged { checked, policy, .. } = versioned.judge(version, &only, options, monitor)?;
        if !checked.is_empty() {
            all.policy = policy;
        }
        all.checked.extend(checked);
    }
    Ok(all)
}
