//! The YAML of `*.dvc`, `dvc.lock` and `dvc.yaml` → outputs: path, hash, and what is listed in
//! place.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Md5, md5};
use crate::{Error, Result};

/// The longest text that is read: a `dvc.lock` of a hundred thousand stages.
const LONGEST: usize = 64 << 20;

/// What DVC keeps at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// Relative to the folder that DVC runs in for it.
    pub path: String,
    /// What it is.
    pub hash: Hash,
}

/// The content of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash {
    /// One file; `legacy` where it lies as DVC 2 kept it.
    File {
        /// The name of its bytes.
        md5: Md5,
        /// It lies as DVC 2 kept it.
        legacy: bool,
    },
    /// A folder, by its manifest.
    Folder {
        /// The name of the manifest.
        md5: Md5,
        /// It lies as DVC 2 kept it.
        legacy: bool,
    },
    /// A folder whose files are listed here: path in it, and MD5 if it is known.
    Listed(Vec<(String, Option<Md5>)>),
    /// It was never hashed, or is known by something else than MD5, as storage in a cloud is.
    Unknown,
}

#[derive(Deserialize)]
struct DvcText {
    wdir: Option<String>,
    #[serde(default)]
    outs: Vec<OutText>,
}

#[derive(Deserialize)]
struct LockText {
    #[serde(default)]
    stages: BTreeMap<String, StageText>,
}

#[derive(Deserialize)]
struct StageText {
    #[serde(default)]
    outs: Vec<OutText>,
}

#[derive(Deserialize)]
struct OutText {
    path: String,
    md5: Option<String>,
    hash: Option<String>,
    files: Option<Vec<FileText>>,
}

#[derive(Deserialize)]
struct FileText {
    relpath: String,
    md5: Option<String>,
}

#[derive(Deserialize)]
struct PipelineText {
    #[serde(default)]
    stages: BTreeMap<String, WdirText>,
}

#[derive(Deserialize)]
struct WdirText {
    wdir: Option<String>,
}

impl OutText {
    fn read(self) -> std::result::Result<Out, String> {
        let wrong = |text: &str| format!("`{}` is no MD5", text.escape_debug());
        let legacy = self.hash.is_none();
        let hash = match (self.files, self.md5.as_deref()) {
            (Some(files), _) => {
                let of_file = |file: FileText| match file.md5 {
                    Some(text) => Ok((file.relpath, Some(md5(&text).ok_or_else(|| wrong(&text))?))),
                    None => Ok((file.relpath, None)),
                };
                Hash::Listed(
                    files
                        .into_iter()
                        .map(of_file)
                        .collect::<std::result::Result<_, String>>()?,
                )
            }
            (None, None) => Hash::Unknown,
            (None, Some(text)) => match text.strip_suffix(".dir") {
                Some(folder) => Hash::Folder {
                    md5: md5(folder).ok_or_else(|| wrong(text))?,
                    legacy,
                },
                None => Hash::File {
                    md5: md5(text).ok_or_else(|| wrong(text))?,
                    legacy,
                },
            },
        };
        Ok(Out {
            path: self.path,
            hash,
        })
    }
}

/// Reads a `*.dvc` file: the folder that its paths are relative to, itself relative to that of the
/// file, and its outputs.
///
/// # Errors
/// [`Error::Input`] where it is none; `name` is what it is called.
pub fn parse_dvc(text: &[u8], name: &str) -> Result<(String, Vec<Out>)> {
    let read: DvcText = yaml(text, name)?;
    let outs = read
        .outs
        .into_iter()
        .map(OutText::read)
        .collect::<std::result::Result<_, _>>();
    Ok((
        read.wdir.unwrap_or_default(),
        outs.map_err(|what| wrong(name, &what))?,
    ))
}

/// Reads a `dvc.lock`: the outputs of each stage.
///
/// # Errors
/// As [`parse_dvc`].
pub fn parse_lock(text: &[u8], name: &str) -> Result<BTreeMap<String, Vec<Out>>> {
    let read: LockText = yaml(text, name)?;
    let outs = |stage: StageText| {
        stage
            .outs
            .into_iter()
            .map(OutText::read)
            .collect::<std::result::Result<Vec<_>, _>>()
    };
    let stages = read
        .stages
        .into_iter()
        .map(|(stage, text)| Ok((stage, outs(text).map_err(|what| wrong(name, &what))?)));
    stages.collect()
}

/// Reads a `dvc.yaml`: the folder that the paths of each stage are relative to, where it is not
/// that of the file.
///
/// # Errors
/// As [`parse_dvc`].
pub fn parse_wdirs(text: &[u8], name: &str) -> Result<BTreeMap<String, String>> {
    let read: PipelineText = yaml(text, name)?;
    Ok(read
        .stages
        .into_iter()
        .filter_map(|(stage, text)| Some((stage, text.wdir?)))
        .collect())
}

/// YAML within bounds: on its length, its depth, and what aliases may make of it.
fn yaml<T: serde::de::DeserializeOwned>(text: &[u8], name: &str) -> Result<T> {
    if text.len() > LONGEST {
        return Err(wrong(
            name,
            &format!("{} bytes; the limit is {LONGEST}", text.len()),
        ));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 20_000_000,
            max_nodes: 20_000_000,
            max_total_scalar_bytes: LONGEST,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 1 << 20,
            max_depth: 64,
            max_documents: 1,
        },
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(text, options).map_err(|e| wrong(name, &e.to_string()))
}

fn wrong(name: &str, what: &str) -> Error {
    Error::Input(format!(
        "{}: not as DVC writes it: {what}",
        name.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "1526be5aeae1d705031e08ed9a4a294a";

    fn one(text: &str) -> Out {
        let (_, mut outs) = parse_dvc(text.as_bytes(), "x.dvc").unwrap();
        assert_eq!(outs.len(), 1);
        outs.remove(0)
    }

    #[test]
    fn a_file_of_dvc_3_of_dvc_2_and_one_with_a_list_are_read() {
        let md5 = md5(HEX).unwrap();
        let out = one(&format!(
            "outs:\n- md5: {HEX}.dir\n  size: 6\n  nfiles: 2\n  hash: md5\n  path: img\n"
        ));
        assert_eq!(
            out,
            Out {
                path: "img".into(),
                hash: Hash::Folder { md5, legacy: false }
            }
        );
        let out = one(&format!(
            "md5: {HEX}\nfrozen: true\nouts:\n- md5: {HEX}\n  path: a.png\n  cache: false\n"
        ));
        assert_eq!(out.hash, Hash::File { md5, legacy: true });
        let listed = format!(
            "outs:\n- path: img\n  files:\n  - relpath: a/é.png\n    md5: {HEX}\n    cloud: {{s3: {{etag: x}}}}\n  - relpath: b\n"
        );
        assert_eq!(
            one(&listed).hash,
            Hash::Listed(vec![("a/é.png".into(), Some(md5)), ("b".into(), None)])
        );
        assert_eq!(
            one("outs:\n- path: s3://b/x\n  etag: 12\n").hash,
            Hash::Unknown
        );
        assert_eq!(
            one(&format!("outs:\n- path: x\n  md5: {}\n", "0".repeat(32))).hash,
            Hash::File {
                md5: [0; 16],
                legacy: true
            }
        );
    }

    #[test]
    fn the_outputs_of_stages_and_their_folders_are_read_and_their_inputs_are_not() {
        let lock = format!(
            "schema: '2.0'\nstages:\n  f@1:\n    cmd: x\n    deps: [{{path: in, hash: md5, md5: {HEX}}}]\n    params: {{params.yaml: {{k: 1}}}}\n    \
             outs:\n    - {{path: out, hash: md5, md5: {HEX}.dir, size: 1, nfiles: 1}}\n  g: {{cmd: y}}\n"
        );
        let stages = parse_lock(lock.as_bytes(), "dvc.lock").unwrap();
        assert_eq!((stages["f@1"].len(), stages["g"].len()), (1, 0));
        let wdirs = parse_wdirs(
            b"vars: [x]\nstages:\n  f: {foreach: [1], do: {cmd: x}}\n  g: {cmd: y, wdir: sub}\n",
            "dvc.yaml",
        )
        .unwrap();
        assert_eq!(wdirs, BTreeMap::from([("g".to_owned(), "sub".to_owned())]));
    }

    #[test]
    fn what_is_no_file_of_dvc_is_refused_by_name() {
        let wrong = |text: &str| parse_dvc(text.as_bytes(), "x.dvc").unwrap_err().to_string();
        for text in [
            "[",
            "outs: 3",
            "outs:\n- md5: zz\n  path: a\n",
            "outs:\n- md5: {a: b}\n  path: a\n",
            "\u{0}",
            "outs: []\n---\nouts: []\n",
        ] {
            assert!(
                wrong(text).starts_with("x.dvc: not as DVC writes it"),
                "{text}: {}",
                wrong(text)
            );
        }
        assert!(parse_dvc(b"outs: \xff", "x.dvc").is_err());
    }

    #[test]
    fn bombs_of_aliases_depth_and_length_end_soon() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..30 {
            let before = format!("*a{}, ", i - 1).repeat(9);
            bomb += &format!("a{i}: &a{i} [{}]\n", before.trim_end_matches(", "));
        }
        bomb += "outs: *a29\n";
        assert!(parse_dvc(bomb.as_bytes(), "x.dvc").is_err());
        assert!(parse_dvc(format!("outs: {}", "[".repeat(200_000)).as_bytes(), "x.dvc").is_err());
        assert!(
            parse_dvc(
                format!(
                    "outs:{}",
                    "\n - - - - - - - - - - - - - - - - - - - - - - - - - - ".repeat(9)
                )
                .as_bytes(),
                "x.dvc"
            )
            .is_err()
        );
        assert!(
            parse_dvc(&vec![b' '; LONGEST + 1], "x.dvc")
                .unwrap_err()
                .to_string()
                .contains("the limit is")
        );
        assert!(parse_lock("stages: &a\n  b: *a\n".as_bytes(), "dvc.lock").is_err());
    }
}
