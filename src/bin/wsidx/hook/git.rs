//! Questions to git about the repository around the current folder, and the one thing that is
//! written through it: its own settings.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use wsidx::{Error, Result};

/// From here on git runs hooks that its settings name.
const CONFIG_HOOKS: (u32, u32) = (2, 54);
/// From here on `hook.EVENT.enabled` switches them off for an event.
const EVENT_SWITCH: (u32, u32) = (2, 55);

/// The setting that says where the dataset is, from the top.
const ROOT: &str = "wsidx.root";

/// A repository, as far as hooks go.
pub(super) struct Repository {
    /// Where hooks run: the top of the work tree, or the folder of a bare repository.
    pub(super) top: PathBuf,
    /// It has no work tree.
    pub(super) bare: bool,
    /// The folder of the hooks.
    pub(super) hooks: PathBuf,
    /// In which settings `core.hooksPath` stands, if it is set: `local`, `worktree`, `global`,
    /// `system`, `command`.
    pub(super) scope: Option<String>,
    version: String,
}

impl Repository {
    /// The one around the current folder.
    pub(super) fn here() -> Result<Self> {
        let here = Path::new(".");
        let bare = ask(here, &["rev-parse", "--is-bare-repository"])? == "true";
        let top = PathBuf::from(ask(
            here,
            &[
                "rev-parse",
                if bare {
                    "--absolute-git-dir"
                } else {
                    "--show-toplevel"
                },
            ],
        )?);
        // A relative core.hooksPath is relative to where hooks run.
        let hooks = top.join(ask(&top, &["rev-parse", "--git-path", "hooks"])?);
        let scoped = answer(
            &top,
            &["config", "--show-scope", "-z", "--get", "core.hooksPath"],
        )?;
        let scope =
            scoped.and_then(|text| text.to_string_lossy().split('\0').next().map(str::to_owned));
        let version = ask(here, &["version"])?.to_string_lossy().into_owned();
        Ok(Self {
            top,
            bare,
            hooks,
            scope,
            version,
        })
    }

    /// What `git version` says, without the words before it.
    pub(super) fn version(&self) -> &str {
        self.version
            .strip_prefix("git version ")
            .unwrap_or(&self.version)
    }

    /// Whether this git runs hooks that its settings name.
    pub(super) fn has_config_hooks(&self) -> bool {
        is_at_least(self.version(), CONFIG_HOOKS)
    }

    /// The values of a setting, of all scopes.
    pub(super) fn settings(&self, key: &str) -> Result<Vec<String>> {
        let text = answer(&self.top, &["config", "-z", "--get-all", key])?.unwrap_or_default();
        Ok(text
            .to_string_lossy()
            .split_terminator('\0')
            .map(str::to_owned)
            .collect())
    }

    /// The names of the hooks that settings give to an event, in the order in which they run.
    pub(super) fn config_hooks(&self, event: &str) -> Result<Vec<String>> {
        let text = answer(
            &self.top,
            &["config", "-z", "--get-regexp", r"^hook\..*\.event$"],
        )?
        .unwrap_or_default();
        Ok(hooks_of(event, &text.to_string_lossy()))
    }

    /// Whether settings switch a hook of theirs off, or all of theirs at an event.
    pub(super) fn is_off(&self, name: &str, event: &str) -> Result<bool> {
        let off = |key: &str| -> Result<bool> {
            let last = self.settings(&format!("hook.{key}.enabled"))?.pop();
            Ok(last.is_some_and(|value| {
                ["false", "no", "off", "0"].contains(&value.to_ascii_lowercase().as_str())
            }))
        };
        Ok(off(name)? || (is_at_least(self.version(), EVENT_SWITCH) && off(event)?))
    }

    /// The root of the dataset where it is below the top, as install found it: in this work tree,
    /// or else in the main one.
    pub(super) fn dataset(&self) -> Result<Option<PathBuf>> {
        let Some(root) = self.settings(ROOT)?.pop() else {
            return Ok(None);
        };
        let common = self
            .top
            .join(ask(&self.top, &["rev-parse", "--git-common-dir"])?);
        let tops = [Some(self.top.as_path()), common.parent()];
        let places: Vec<PathBuf> = tops
            .into_iter()
            .flatten()
            .map(|top| top.join(&root))
            .collect();
        let found = places
            .iter()
            .find(|place| wsidx::dataset::find_root(place).is_ok());
        Ok(found.or(places.first()).cloned())
    }

    /// Remembers the root of the dataset for hooks, which run at the top; nothing where they find
    /// it by themselves.
    pub(super) fn remember(&self, root: &Path) -> Result<()> {
        match root.strip_prefix(&self.top).ok().and_then(Path::to_str) {
            Some(below) if !below.is_empty() => self.set(ROOT, below),
            _ => Ok(()),
        }
    }

    /// Forgets it.
    pub(super) fn forget(&self) -> Result<()> {
        match answer(&self.top, &["config", "--local", "--get", ROOT])? {
            Some(_) => ask(&self.top, &["config", "--local", "--unset-all", ROOT]).map(drop),
            None => Ok(()),
        }
    }

    /// Sets a setting of this repository.
    pub(super) fn set(&self, key: &str, value: &str) -> Result<()> {
        ask(&self.top, &["config", "--local", key, value]).map(drop)
    }

    /// Takes a section away from the settings of this repository; whether it was there.
    pub(super) fn remove_section(&self, section: &str) -> Result<bool> {
        let there = answer(
            &self.top,
            &[
                "config",
                "--local",
                "-z",
                "--get-regexp",
                &format!("^{}\\.", section.replace('.', "\\.")),
            ],
        )?;
        if there.is_some() {
            ask(
                &self.top,
                &["config", "--local", "--remove-section", section],
            )?;
        }
        Ok(there.is_some())
    }
}

fn is_at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = version
        .split(['.', ' '])
        .map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

/// The names of the hooks of an event in the order in which git runs them, from its list of
/// `hook.NAME.event`: a name that comes again moves to the end, and an empty value takes its name
/// away.
fn hooks_of(event: &str, settings: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (key, value) in settings
        .split_terminator('\0')
        .filter_map(|entry| entry.split_once('\n'))
    {
        let Some(name) = key
            .strip_prefix("hook.")
            .and_then(|rest| rest.strip_suffix(".event"))
        else {
            continue;
        };
        if value.is_empty() || value == event {
            names.retain(|other| other != name);
        }
        if value == event {
            names.push(name.to_owned());
        }
    }
    names
}

/// What git prints, without its last line feed.
fn ask(folder: &Path, arguments: &[&str]) -> Result<OsString> {
    let (done, out, err) = call(folder, arguments)?;
    match done {
        Some(0) => Ok(out),
        _ => Err(Error::Input(format!(
            "git {}: {}",
            arguments.join(" "),
            err.trim()
        ))),
    }
}

/// What git prints; `None` where it ends with 1, which says that there is nothing.
fn answer(folder: &Path, arguments: &[&str]) -> Result<Option<OsString>> {
    let (done, out, err) = call(folder, arguments)?;
    match done {
        Some(0) => Ok(Some(out)),
        Some(1) => Ok(None),
        _ => Err(Error::Input(format!(
            "git {}: {}",
            arguments.join(" "),
            err.trim()
        ))),
    }
}

fn call(folder: &Path, arguments: &[&str]) -> Result<(Option<i32>, OsString, String)> {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(folder).stdin(Stdio::null());
    git.envs([
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C"),
    ]);
    let output = git.output().map_err(|source| Error::Io {
        doing: "running",
        path: PathBuf::from("git"),
        source,
    })?;
    let mut out = output.stdout;
    if out.last() == Some(&b'\n') {
        out.pop();
    }
    Ok((
        output.status.code(),
        OsString::from_vec(out),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_hooks_come_with_git_2_54() {
        for (version, has) in [
            ("2.47.3", false),
            ("2.53.9", false),
            ("2.54.0", true),
            ("2.54.0.rc1", true),
            ("3.0", true),
            ("x", false),
        ] {
            assert_eq!(is_at_least(version, CONFIG_HOOKS), has, "{version}");
        }
    }

    #[test]
    fn hooks_of_an_event_are_those_that_git_would_run() {
        let settings = "hook.a.event\npre-commit\0hook.b.event\npre-commit\0hook.c.d.event\npre-commit\0hook.a.event\npre-push\0hook.b.event\n\0hook.a.event\npre-commit\0";
        assert_eq!(hooks_of("pre-commit", settings), ["c.d", "a"]);
        assert_eq!(hooks_of("pre-push", settings), ["a"]);
    }
}
