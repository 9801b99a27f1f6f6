//! The texts of DVC in a tree → the images and tables of labels that DVC keeps for it.

use std::collections::BTreeMap;

use super::{
    Cache, Hash, Md5, Out, Settings, folder, join, manifest::is_inside, parse_dvc, parse_lock,
    parse_wdirs, read_manifest,
};
use crate::{
    Error, Result,
    dataset::{names_image, names_table},
};

/// What DVC keeps for a tree, by path from the top of the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The name of the bytes of each image; `None` where DVC does not say.
    pub images: BTreeMap<Vec<u8>, Option<Md5>>,
    /// The same of tables of labels.
    pub tables: BTreeMap<Vec<u8>, Option<Md5>>,
    /// Folders whose manifests are not here, with the name of the manifest, and what fetches it.
    pub missing: BTreeMap<Vec<u8>, (Md5, String)>,
    /// Where the bytes may be.
    pub caches: Vec<Cache>,
}

/// Whether a path of the tree is one of those that [`expand`] wants: `*.dvc`, `dvc.lock`,
/// `dvc.yaml`.
pub fn is_dvc_file(path: &[u8]) -> bool {
    let name = &path[folder(path).len()..];
    let name = name.strip_prefix(b"/").unwrap_or(name);
    matches!(name, b"dvc.lock" | b"dvc.yaml") || (name.ends_with(b".dvc") && name != b".dvc")
}

/// Expands the files of DVC of one tree, given by path from its top with their texts; `top` is
/// where the tree is checked out, if it is.
///
/// # Errors
/// [`Error::Input`] for a file that is not as DVC writes it, for a path that leads outside, and for
/// a manifest that is damaged; [`Error::Io`].
pub fn expand(
    texts: &BTreeMap<Vec<u8>, Vec<u8>>,
    top: &std::path::Path,
    settings: &Settings,
) -> Result<Files> {
    let mut files = Files::default();
    for (path, text) in texts {
        let name = String::from_utf8_lossy(path);
        let base = folder(path);
        let mut caches = Caches {
            cache: Cache::of(top, path, settings)?,
            whose: path,
        };
        files.caches.extend(
            caches
                .cache
                .clone()
                .filter(|cache| !files.caches.contains(cache)),
        );
        if path.ends_with(b"dvc.yaml") {
            continue;
        }
        if path.ends_with(b".dvc") {
            let (wdir, outs) = parse_dvc(text, &name)?;
            let base = join(base, &wdir, path)?;
            outs.iter()
                .try_for_each(|out| caches.add(out, &base, &mut files))?;
            continue;
        }
        let pipeline = [base, b"dvc.yaml"]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(&b'/');
        let wdirs = texts.get(&pipeline).map_or_else(
            || Ok(BTreeMap::new()),
            |text| parse_wdirs(text, &String::from_utf8_lossy(&pipeline)),
        )?;
        for (stage, outs) in parse_lock(text, &name)? {
            let base = join(base, wdir_of(&stage, &wdirs, &name)?, path)?;
            outs.iter()
                .try_for_each(|out| caches.add(out, &base, &mut files))?;
        }
    }
    Ok(files)
}

/// The folder of a stage; `name@item` is one of the stages that `name` in `dvc.yaml` makes.
fn wdir_of<'a>(stage: &str, wdirs: &'a BTreeMap<String, String>, lock: &str) -> Result<&'a str> {
    let written = stage.split_once('@').map_or(stage, |(name, _)| name);
    let wdir = wdirs
        .get(stage)
        .or_else(|| wdirs.get(written))
        .map_or("", String::as_str);
    if wdir.contains("${") {
        let (lock, stage) = (lock.escape_debug(), stage.escape_debug());
        return Err(Error::Input(format!(
            "{lock}: the stage `{stage}` runs in a folder that a template names, which wsidx cannot tell"
        )));
    }
    Ok(wdir)
}

/// Where the manifests are that a file of DVC names.
struct Caches<'a> {
    cache: Option<Cache>,
    whose: &'a [u8],
}

impl Caches<'_> {
    fn add(&mut self, out: &Out, base: &[u8], files: &mut Files) -> Result<()> {
        if out.path.contains("://") {
            return Ok(()); // kept elsewhere, and no part of the tree
        }
        let path = join(base, &out.path, self.whose)?;
        match &out.hash {
            Hash::File { md5, .. } => insert(files, path, Some(*md5)),
            Hash::Unknown => insert(files, path, None),
            Hash::Listed(listed) => {
                for (relpath, md5) in listed {
                    if !is_inside(relpath) {
                        return Err(self.outside(relpath));
                    }
                    insert(files, [&path, relpath.as_bytes()].join(&b'/'), *md5);
                }
            }
            Hash::Folder { md5, legacy } => match self
                .cache
                .as_ref()
                .map(|cache| cache.manifest(md5, *legacy))
                .transpose()?
                .flatten()
            {
                None => {
                    let target = String::from_utf8_lossy(self.whose);
                    let what = format!(
                        "the manifest of the folder is not in the cache of DVC; fetch it with `dvc fetch {target}`"
                    );
                    files.missing.insert(path, (*md5, what));
                }
                Some(manifest) => {
                    read_manifest(manifest, md5, &mut |relpath, md5| {
                        insert(files, [&path, relpath.as_bytes()].join(&b'/'), Some(md5));
                    })?;
                }
            },
        }
        Ok(())
    }

    fn outside(&self, relpath: &str) -> Error {
        let whose = String::from_utf8_lossy(self.whose);
        Error::Input(format!(
            "{}: the path `{}` leads outside its folder",
            whose.escape_debug(),
            relpath.escape_debug()
        ))
    }
}

fn insert(files: &mut Files, path: Vec<u8>, md5: Option<Md5>) {
    if names_image(&path) {
        files.images.insert(path, md5);
    } else if names_table(&path) {
        files.tables.insert(path, md5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::Digest as _;
    use std::fs;

    const HEX: &str = "1526be5aeae1d705031e08ed9a4a294a";

    fn texts(files: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        files
            .iter()
            .map(|(path, text)| (path.as_bytes().to_vec(), text.as_bytes().to_vec()))
            .collect()
    }

    fn expanded(files: &[(&str, &str)]) -> Result<Files> {
        let top = tempfile::tempdir().unwrap();
        expand(&texts(files), top.path(), &Settings::default())
    }

    fn names(files: &Files) -> Vec<String> {
        files
            .images
            .keys()
            .map(|path| String::from_utf8(path.clone()).unwrap())
            .collect()
    }

    #[test]
    fn paths_are_relative_to_the_folder_that_dvc_runs_in() {
        let out = |path: &str| format!("outs: [{{path: {path}, md5: {HEX}, hash: md5}}]");
        let lock = format!(
            "stages: {{a@1: {}, b: {}}}",
            "{outs: [{path: ../x.png, md5: H}]}", "{outs: [{path: y.png, md5: H}]}"
        )
        .replace('H', HEX);
        let files = expanded(&[
            ("data/a.png.dvc", &out("a.png")),
            ("data/b.dvc", &format!("wdir: ../other\n{}", out("b.jpg"))),
            ("data/notes.dvc", &out("notes.txt")),
            (
                "data/remote.dvc",
                "outs: [{path: 's3://bucket/c.png', etag: x}]",
            ),
            ("p/dvc.lock", &lock),
            (
                "p/dvc.yaml",
                "stages: {a: {foreach: [1], do: {cmd: x}, wdir: sub}}",
            ),
        ]);
        assert_eq!(
            names(&files.unwrap()),
            ["data/a.png", "other/b.jpg", "p/x.png", "p/y.png"]
        );
    }

    #[test]
    fn a_folder_is_its_manifest_and_one_that_was_not_fetched_is_missing_with_the_command_that_fetches_it()
     {
        let top = tempfile::tempdir().unwrap();
        let manifest = format!(
            r#"[{{"md5": "{HEX}", "relpath": "s/a.png"}}, {{"md5": "{HEX}", "relpath": "table.csv"}}]"#
        );
        let name = data_encoding::HEXLOWER.encode(&md5::Md5::digest(manifest.as_bytes()));
        let texts = texts(&[(
            "d/img.dvc",
            &format!("outs: [{{path: img, md5: {name}.dir, hash: md5}}]"),
        )]);
        fs::create_dir(top.path().join(".dvc")).unwrap();
        let files = expand(&texts, top.path(), &Settings::default()).unwrap();
        assert!(
            files.images.is_empty()
                && files.missing[&b"d/img"[..]]
                    .1
                    .contains("`dvc fetch d/img.dvc`")
        );
        for place in ["files/md5/", ""] {
            let folder = top
                .path()
                .join(".dvc/cache")
                .join(format!("{place}{}", &name[..2]));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{}.dir", &name[2..])), &manifest).unwrap();
            let files = expand(&texts, top.path(), &Settings::default()).unwrap();
            assert_eq!(
                (names(&files), files.missing.len()),
                (vec!["d/img/s/a.png".to_owned()], 0)
            );
            fs::remove_dir_all(top.path().join(".dvc/cache")).unwrap();
        }
    }

    #[test]
    fn paths_that_lead_outside_are_refused_by_name() {
        let wrong = |path: &str, text: &str| expanded(&[(path, text)]).unwrap_err().to_string();
        assert!(
            wrong("a.dvc", "outs: [{path: ../x.png}]")
                .starts_with("a.dvc: the path `../x.png` leads outside")
        );
        assert!(wrong("d/a.dvc", "{wdir: ../.., outs: []}").contains("`../..`"));
        assert!(wrong("a.dvc", "outs: [{path: /etc/x.png}]").contains("`/etc/x.png`"));
        assert!(
            wrong(
                "a.dvc",
                "outs: [{path: img, files: [{relpath: ../../x.png}]}]"
            )
            .contains("leads outside its folder")
        );
        let template = [
            ("dvc.lock", "stages: {a: {outs: []}}"),
            ("dvc.yaml", "stages: {a: {wdir: '${x}'}}"),
        ];
        assert!(
            expanded(&template)
                .unwrap_err()
                .to_string()
                .contains("a template names")
        );
    }

    #[test]
    fn a_file_that_dvc_does_not_know_by_md5_is_there_without_a_name() {
        let files = expanded(&[(
            "a.dvc",
            "outs: [{path: a.png}, {path: img, files: [{relpath: b.png}]}]",
        )])
        .unwrap();
        assert_eq!(files.images.values().collect::<Vec<_>>(), [&None, &None]);
        let told = [
            &b"x/dvc.lock"[..],
            b"dvc.yaml",
            b"a.dvc",
            b".dvc",
            b"x/.dvc",
            b"a.dvc/x",
        ]
        .map(is_dvc_file);
        assert_eq!(told, [true, true, true, false, false, false]);
    }
}
