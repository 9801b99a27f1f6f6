//! `wsidx check --staged` and `--range`: which repository, which index, which versions.

use std::path::{Path, PathBuf};

use wsidx::{
    Error, Result,
    dataset::{
        BARE_INDEX_FOLDER, Change, Naming,
        dvc::Settings,
        find_root,
        git::{CommitRange, Hints, Repository, Version, range_of_ci},
        index_folder,
    },
    index::{CheckOptions, Checked, Reader, Writer, except},
    monitor::Monitor,
    verdict::{ALLOW_FILE, BASELINE_FILE, Baseline, Exception, Exceptions, Rules},
};

use crate::{args::Check, hook::remembered_root, place, session::Session, term};

/// Verdicts on a change, and the rules that they are judged by.
pub(crate) struct Judged {
    pub(crate) checked: Vec<Checked>,
    pub(crate) rules: Rules,
    /// Lines of `.wsidx-allow` that accept nothing, and could.
    pub(crate) unused: Vec<Exception>,
    /// Lines of `.wsidx-allow` that come with a range of commits, and how many pairs of the
    /// baseline do.
    pub(crate) added: (Vec<Exception>, usize),
    /// The root of the dataset, in the work tree at hand.
    pub(crate) root: PathBuf,
}

/// A repository and the root of the dataset in it.
pub(crate) struct Versioned {
    pub(crate) repository: Repository,
    pub(crate) root: PathBuf,
}

impl Versioned {
    /// The repository that the process is in, with the index that is in it, above the `first` path,
    /// where `hook install` found it, in its git folder, or in its main work tree.
    pub(crate) fn open(session: &Session, first: Option<&Path>) -> Result<Self> {
        let hints = hints();
        let here = Repository::here(hints)?;
        let root = match (session.root(first), &here) {
            (Err(Error::NoIndex { from }), Some(repository)) => match remembered_root()? {
                Some(root) => find_root(&root)?,
                None => {
                    let mut others = repository.other_roots().into_iter();
                    others
                        .find(|root| index_folder(root).symlink_metadata().is_ok())
                        .ok_or(Error::NoIndex { from })?
                }
            },
            (root, _) => root?,
        };
        session.vouch(&root)?;
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
        commits
            .iter()
            .map(|(parents, commit)| self.repository.commit(parents, commit, &self.root))
            .collect()
    }

    /// Judges the new images of a version; with `only`, those at and below these paths.
    pub(crate) fn judge(
        &self,
        version: &Version<'_>,
        only: &[Vec<u8>],
        options: &CheckOptions,
        monitor: &dyn Monitor,
    ) -> Result<Judged> {
        tell_containers(version, monitor)?;
        if version.is_quiet() {
            return Ok(self.nothing());
        }
        let (reader, change) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                Reader::open(&self.root).and_then(|reader| reader.prepare_check().map(|()| reader))
            });
            let change = version.change(only);
            (
                reader
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                change,
            )
        });
        let (reader, mut change): (Reader, Change) = (reader?, change?);
        let uncertain = reader.settle(&mut change)?;
        if uncertain > 0 {
            let images = term::counted(
                uncertain as u64,
                "image that the index does not know is",
                "images that the index does not know are",
            );
            monitor
                .note(&format!("a manifest of DVC from before the change is not here, so {images} judged as new; `dvc fetch` brings it"));
        }
        if change.outside > 0 {
            let images = term::counted(change.outside, "changed image", "changed images");
            monitor.note(&format!(
                "{images} outside {} passed over",
                self.root.display()
            ));
        }
        let options = CheckOptions {
            rule: change.rules.edges,
            ..options.clone()
        };
        // Those of the version; on a server, of what was there before the push.
        let exceptions =
            Exceptions::read(&change.rules.edges, |name| version.text(name.as_bytes()))?;
        let located = reader.locate(&change)?;
        let mut checked = reader.check_change(
            &change,
            &located,
            &change.objects(&self.repository),
            &options,
            monitor,
        )?;
        let unused = reader.unused(&change, &located, &checked, &exceptions)?;
        except(&mut checked, &exceptions);
        Ok(Judged {
            checked,
            rules: change.rules,
            unused,
            ..self.nothing()
        })
    }

    fn nothing(&self) -> Judged {
        let root = self
            .repository
            .work_tree_root(&self.root)
            .unwrap_or_else(|_| self.root.clone());
        Judged {
            checked: Vec::new(),
            rules: Rules::default(),
            unused: Vec::new(),
            added: (Vec::new(), 0),
            root,
        }
    }

    /// Paths as the user gave them → paths of the dataset.
    pub(crate) fn only(&self, version: &Version<'_>, paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
        let top = self
            .repository
            .top
            .as_deref()
            .unwrap_or(&self.repository.folder);
        let one = |path: &PathBuf| {
            let inside = place::inside(top, path)?;
            version
                .path_in_dataset(&inside)
                .map(|path| path.to_vec())
                .ok_or_else(|| outside(path, &self.root))
        };
        paths.iter().map(one).collect()
    }
}

/// What a version accepts that its parents do not: lines, and how many pairs of the baseline. What
/// cannot be read any more accepted nothing.
fn added(version: &Version<'_>) -> Result<(Vec<Exception>, usize)> {
    let [mut lines, mut pairs] = [Vec::new(), Vec::new()];
    for (file, texts) in [(ALLOW_FILE, &mut lines), (BASELINE_FILE, &mut pairs)] {
        if let (Some(before), Some(now)) = (
            version.text_before(file.as_bytes())?,
            version.text(file.as_bytes())?,
        ) {
            texts.extend([now].into_iter().chain(before));
        }
    }
    let lines = match lines.split_first() {
        Some((now, before)) => Exceptions::parse(now)?.more_than(
            &before
                .iter()
                .flat_map(|text| Exceptions::parse(text))
                .collect::<Vec<_>>(),
        ),
        None => Vec::new(),
    };
    let pairs = match pairs.split_first() {
        Some((now, before)) => {
            let before: Vec<Baseline> = before
                .iter()
                .flat_map(|text| Baseline::parse_of_any_rule(text))
                .collect();
            Baseline::parse_of_any_rule(now)?.more_than(&before)
        }
        None => 0,
    };
    Ok((lines, pairs))
}

/// Images in files that hold many are not judged in versions: nobody shall think that they were.
fn tell_containers(version: &Version<'_>, monitor: &dyn Monitor) -> Result<()> {
    let containers = version.containers()?;
    if let Some(first) = containers.first() {
        let files = term::counted(
            containers.len() as u64,
            "changed file that holds",
            "changed files that hold",
        );
        let first = term::escape(first);
        monitor.note(&format!("{files} many images, as `{first}`: in git such are not looked into; `wsidx check {first}` judges them"));
    }
    Ok(())
}

fn outside(path: &Path, root: &Path) -> Error {
    Error::Input(format!(
        "{} is not in the dataset, whose root is {}",
        path.display(),
        root.display()
    ))
}

/// What the environment of a hook says.
fn hints() -> Hints {
    let merging = std::env::vars_os()
        .filter_map(|(name, _)| Some(name.to_str()?.strip_prefix("GITHEAD_")?.to_owned()));
    let alternates = std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default();
    let alternates = std::env::split_paths(&alternates)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    Hints {
        merging: merging.collect(),
        alternates,
        dvc: dvc_settings(),
    }
}

/// Where DVC looks for settings outside a repository (`dvc/dirs.py`).
fn dvc_settings() -> Settings {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(home.as_ref()?.join(".config")));
    let own = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let system = own("DVC_SYSTEM_CONFIG_DIR").or_else(|| Some("/etc/xdg/dvc".into()));
    let user = own("DVC_GLOBAL_CONFIG_DIR").or_else(|| Some(user?.join("dvc")));
    Settings {
        folders: system.into_iter().chain(user).collect(),
        home,
    }
}

/// In a bare repository `sync` takes in the images of all branches; elsewhere nothing is done.
pub(crate) fn take_in(
    session: &Session,
    root: &Path,
    writer: &mut Writer,
    monitor: &dyn Monitor,
) -> Result<bool> {
    let bare = index_folder(root).ends_with(BARE_INDEX_FOLDER);
    let Some(repository) = (if bare { Repository::at(root)? } else { None }) else {
        return Ok(false);
    };
    monitor.stage("listing", None);
    let images = repository.images_of_branches(root)?;
    let taken = writer.take_objects(
        &images,
        &repository,
        &Naming::around(root),
        session.now(),
        monitor,
    )?;
    let [read, known] = [taken.read, taken.known].map(|n| term::counted(n, "content", "contents"));
    monitor.note(&format!(
        "{read} read from the branches, {known} known before, {} unreadable",
        term::count(taken.unread)
    ));
    Ok(true)
}

/// Bytes of the file in which a CI service says what happened.
const LONGEST_EVENT: u64 = 64 << 20;

/// The range that was asked for.
fn range(session: &Session, repository: &Repository, text: &str) -> Result<CommitRange> {
    if text != "auto" {
        return repository.range(text);
    }
    repository.require_history()?;
    let event = |path: &str| {
        String::from_utf8(
            place::named_file(&session.interrupt(), Path::new(path), LONGEST_EVENT).ok()?,
        )
        .ok()
    };
    repository.range(&range_of_ci(&|name| std::env::var(name).ok(), &event)?)
}

/// `--staged` or `--range`.
pub(crate) fn check(
    session: &Session,
    args: &Check,
    options: &CheckOptions,
    monitor: &dyn Monitor,
) -> Result<Judged> {
    let versioned = Versioned::open(session, args.paths.first().map(PathBuf::as_path))?;
    let versions = match &args.range {
        Some(text) => versioned.committed(
            &range(session, &versioned.repository, text)?,
            args.every_commit,
        )?,
        None => vec![versioned.staged()?],
    };
    let mut all = versioned.nothing();
    for version in &versions {
        let only = versioned.only(version, &args.paths)?;
        let Judged {
            checked,
            rules,
            unused,
            ..
        } = versioned.judge(version, &only, options, monitor)?;
        if !checked.is_empty() {
            all.rules = rules;
        }
        all.checked.extend(checked);
        all.unused = unused;
        if args.range.is_some() {
            let (lines, pairs) = added(version)?;
            all.added.0.extend(lines);
            all.added.1 += pairs;
        }
    }
    Ok(all)
}
