//! A manifest of DVC (`<md5>.dir`) → the files of a folder: a JSON array of `{"md5", "relpath"}`,
//! sorted by path; read as a stream.

use std::{fmt, io::Read};

use md5::{Digest as _, Md5 as Hasher};
use serde::{
    Deserialize, Deserializer as _,
    de::{SeqAccess, Visitor},
};

use super::{Md5, md5};
use crate::{Error, Result};

/// The longest manifest that is read: some two million files.
const LONGEST: u64 = 256 << 20;

#[derive(Deserialize)]
struct Entry {
    md5: String,
    relpath: String,
}

/// Calls `visit` for each file that the manifest lists, in its order, with its path in the folder.
/// What was visited holds only if all of it was read without an error: the MD5 of the manifest is
/// known at its end.
///
/// # Errors
/// [`Error::Input`] where the bytes are no manifest, are too many, have another MD5 than `name`, or
/// a path in them leads outside the folder.
pub fn read_manifest(
    from: impl Read,
    name: &Md5,
    visit: &mut dyn FnMut(String, Md5),
) -> Result<()> {
    let shown = format!("{}.dir", data_encoding::HEXLOWER.encode(name));
    let wrong = |what: &str| {
        Error::Input(format!(
            "the manifest {shown} {what}; fetch it again with `dvc fetch`"
        ))
    };
    let mut hashed = Hashed {
        from: from.take(LONGEST + 1),
        hasher: Hasher::new(),
        length: 0,
    };
    let buffered = std::io::BufReader::with_capacity(1 << 16, &mut hashed);
    let mut json = serde_json::Deserializer::from_reader(buffered);
    let read = json
        .deserialize_seq(Entries { visit })
        .and_then(|()| json.end());
    drop(json);
    if hashed.length > LONGEST {
        return Err(wrong(&format!("has more than {LONGEST} bytes")));
    }
    read.map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    let md5: Md5 = hashed.hasher.finalize().into();
    if md5 == *name {
        Ok(())
    } else {
        Err(wrong("does not have the MD5 that is its name"))
    }
}

/// Passes bytes on, and hashes them.
struct Hashed<R> {
    from: std::io::Take<R>,
    hasher: Hasher,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hasher.update(buffer.get(..n).unwrap_or_default());
        self.length += n as u64;
        Ok(n)
    }
}

struct Entries<'a> {
    visit: &'a mut dyn FnMut(String, Md5),
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> std::result::Result<(), A::Error> {
        use serde::de::Error as _;
        while let Some(Entry { md5: text, relpath }) = entries.next_element()? {
            let md5 = md5(&text)
                .ok_or_else(|| A::Error::custom(format!("`{}` is no MD5", text.escape_debug())))?;
            if !is_inside(&relpath) {
                return Err(A::Error::custom(format!(
                    "the path `{}` leads outside its folder",
                    relpath.escape_debug()
                )));
            }
            (self.visit)(relpath, md5);
        }
        Ok(())
    }
}

/// A path of plain parts, as DVC writes it.
pub(super) fn is_inside(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(String, Md5)>> {
        let mut files = Vec::new();
        read_manifest(text, &Hasher::digest(text).into(), &mut |path, md5| {
            files.push((path, md5));
        })?;
        Ok(files)
    }

    const HEX: &str = "1526be5aeae1d705031e08ed9a4a294a";

    #[test]
    fn files_come_out_in_their_order_with_names_of_any_letters() {
        let text = format!(
            r#"[{{"md5": "{HEX}", "relpath": "a.png"}}, {{"relpath": "sub/b\u00e9 \ud83d\ude00.png", "md5": "{HEX}", "size": 3}}]"#
        );
        let names: Vec<String> = read(text.as_bytes())
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["a.png", "sub/bé 😀.png"]);
        assert!(read(b"[]").unwrap().is_empty());
    }

    #[test]
    fn a_path_that_leads_outside_is_refused_by_name() {
        for path in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "",
            ".",
            "a/./b",
            "a\\u0000b",
        ] {
            let error = read(format!(r#"[{{"md5":"{HEX}","relpath":"{path}"}}]"#).as_bytes())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("leads outside its folder"),
                "{path}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_manifest_or_another_one_is_refused() {
        for text in [
            &b"{}"[..],
            b"[",
            b"[{}]",
            b"[] []",
            b"[{\"md5\":\"x\",\"relpath\":\"a\"}]",
            b"\xff",
            &b"[".repeat(100_000),
        ] {
            assert!(read(text).is_err());
        }
        let other = read_manifest(&b"[]"[..], &[7; 16], &mut |_, _| ())
            .unwrap_err()
            .to_string();
        assert!(
            other.contains("0707") && other.contains("does not have the MD5"),
            "{other}"
        );
    }

    #[test]
    fn a_manifest_of_100_mb_is_read_as_a_stream_and_a_longer_one_than_the_limit_is_refused() {
        let entry = format!(
            r#"{{"md5": "{HEX}", "relpath": "{}.png"}}"#,
            "x".repeat(200)
        );
        let text = format!(
            "[{}{entry}]",
            format!("{entry}, ").repeat((100 << 20) / (entry.len() + 2))
        );
        let mut count = 0;
        read_manifest(
            text.as_bytes(),
            &Hasher::digest(text.as_bytes()).into(),
            &mut |_, _| count += 1,
        )
        .unwrap();
        assert_eq!(count, text.matches("md5").count());
        let endless = Read::chain(&b"["[..], std::io::repeat(b' '));
        assert!(
            read_manifest(endless, &[0; 16], &mut |_, _| ())
                .unwrap_err()
                .to_string()
                .contains("more than")
        );
    }
}
