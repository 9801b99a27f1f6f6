//! Blob ids → bytes, by one `git cat-file --batch`; pointers of git-lfs → the bytes of their
//! objects.

use std::{
    io::{BufRead, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdout, Stdio},
};

use super::{Repository, lfs::Pointer};
use crate::{
    Error, Result,
    dataset::{Buffer, Unread, VisitFile, read_image},
    file::{LONGEST_SETTINGS, read_optional},
    picture::Limits,
    store::alias::Alias,
};

/// The longest first line of a reply: an id, a type, a length, or a word of git.
const LONGEST_HEAD: u64 = 4_096;

/// A reply of `git cat-file --batch`.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    Blob(u64),
    Other,
    Missing,
}

impl Head {
    /// `<id> <type> <size>`, or the name that was asked and a word such as `missing`.
    fn parse(line: &[u8]) -> Option<(Self, u64)> {
        let mut words = line.strip_suffix(b"\n")?.rsplit(|&b| b == b' ');
        let last = words.next()?;
        if matches!(last, b"missing" | b"ambiguous" | b"excluded" | b"submodule") {
            return Some((Self::Missing, 0));
        }
        let size = std::str::from_utf8(last).ok()?.parse().ok()?;
        let head = if words.next()? == b"blob" {
            Self::Blob(size)
        } else {
            Self::Other
        };
        Some((head, size))
    }
}

impl Repository {
    /// Reads blobs, in their order, and gives each to `visit` with its place in `ids`. A blob over
    /// the limit is not taken into memory. Where a blob is a pointer of git-lfs, the bytes of its
    /// object are given.
    ///
    /// # Errors
    /// [`Error::Io`] where git does not answer, and what `visit` returns.
    pub fn read_blobs(
        &self,
        ids: &[Alias],
        limits: &Limits,
        visit: &mut VisitFile<'_>,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let failed = |source| Error::Io {
            doing: "reading objects with git in",
            path: self.folder.clone(),
            source,
        };
        let mut command = self.git(&["cat-file", "--batch", "--buffer"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let read = std::thread::scope(|scope| {
            // Git reads and writes at the same time, and so must we.
            scope.spawn(move || {
                let mut input =
                    std::io::BufWriter::new(stdin.expect("standard input was asked for"));
                let _ = ids
                    .iter()
                    .try_for_each(|id| writeln!(input, "{}", id.hex()))
                    .and_then(|()| input.flush());
            });
            self.visit_replies(
                BufReader::with_capacity(1 << 20, stdout.expect("standard output was asked for")),
                ids,
                limits,
                visit,
            )
        });
        let ended = child.wait().map_err(failed);
        read?;
        if ended?.success() {
            Ok(())
        } else {
            Err(failed(std::io::Error::other("git cat-file failed")))
        }
    }

    fn visit_replies(
        &self,
        mut replies: BufReader<ChildStdout>,
        ids: &[Alias],
        limits: &Limits,
        visit: &mut VisitFile<'_>,
    ) -> Result<()> {
        let failed = |source| Error::Io {
            doing: "reading objects with git in",
            path: self.folder.clone(),
            source,
        };
        let mut stores = None;
        let mut buffer = Buffer::default();
        for place in 0..ids.len() {
            let read = next_reply(&mut replies, limits, &mut buffer.bytes).map_err(failed)?;
            let read = match read {
                Ok(()) => match Pointer::parse(&buffer.bytes) {
                    Some(pointer) => {
                        let stores = match &mut stores {
                            Some(stores) => stores,
                            none => none.insert(self.lfs_stores()?),
                        };
                        read_object(stores, &pointer, limits, &mut buffer)
                    }
                    None => Ok(()),
                },
                unread => unread,
            };
            visit(place, read.map(|()| &buffer))?;
        }
        Ok(())
    }

    /// The folders `objects` in which git-lfs keeps files: the repository's own, then those of its
    /// alternates.
    fn lfs_stores(&self) -> Result<Vec<PathBuf>> {
        let set = self
            .output(&["config", "--path", "--get", "lfs.storage"])
            .unwrap_or_default();
        let set = set
            .strip_suffix(b"\n")
            .filter(|path| !path.is_empty())
            .map(|path| self.common_dir.join(os_path(path)));
        let own = set
            .unwrap_or_else(|| self.common_dir.join("lfs"))
            .join("objects");
        let list = read_optional(
            &self.common_dir.join("objects/info/alternates"),
            LONGEST_SETTINGS,
        )?
        .unwrap_or_default();
        let listed = list
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| self.common_dir.join("objects").join(os_path(line)));
        let alternates = listed.chain(self.hints.alternates.iter().cloned());
        let beside = alternates.filter_map(|objects| Some(objects.parent()?.join("lfs/objects")));
        Ok([own].into_iter().chain(beside).collect())
    }
}

fn os_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Reads one reply. What is too long is drained.
fn next_reply(
    replies: &mut impl BufRead,
    limits: &Limits,
    bytes: &mut Vec<u8>,
) -> std::io::Result<std::result::Result<(), Unread>> {
    let malformed = || std::io::Error::other("git cat-file gave an answer that is none");
    bytes.clear();
    replies
        .by_ref()
        .take(LONGEST_HEAD)
        .read_until(b'\n', bytes)?;
    let (head, size) = Head::parse(bytes).ok_or_else(malformed)?;
    bytes.clear();
    let read = match head {
        Head::Missing => {
            return Ok(Err(Unread::Missing(
                "git has not got the object here".into(),
            )));
        }
        Head::Other => Err(Unread::Unreadable("it is no file in git".into())),
        Head::Blob(size) if size > limits.max_bytes => Err(Unread::Unreadable(
            limits.refuse_file(size).unwrap_or_default(),
        )),
        Head::Blob(size) => {
            replies.by_ref().take(size).read_to_end(bytes)?;
            if bytes.len() as u64 != size {
                return Err(malformed());
            }
            Ok(())
        }
    };
    if read.is_err() {
        std::io::copy(&mut replies.by_ref().take(size), &mut std::io::sink())?;
    }
    let mut end = [0];
    replies.read_exact(&mut end)?;
    if end == *b"\n" {
        Ok(read)
    } else {
        Err(malformed())
    }
}

/// The bytes behind a pointer: the right number of them, with the right hash.
fn read_object(
    stores: &[PathBuf],
    pointer: &Pointer,
    limits: &Limits,
    buffer: &mut Buffer,
) -> std::result::Result<(), Unread> {
    use sha2::Digest as _;
    if pointer.extended {
        return Err(Unread::Unreadable(
            "its git-lfs pointer names an extension, which only git-lfs can undo".into(),
        ));
    }
    let place = stores
        .iter()
        .map(|store| pointer.place(store))
        .find(|place| std::fs::symlink_metadata(place).is_ok());
    let Some(place) = place else {
        return Err(Unread::Missing(
            "its git-lfs object is not here; fetch it with `git lfs fetch`".into(),
        ));
    };
    match read_image(&place, limits, buffer) {
        Err(Error::Undecodable(reason)) => {
            return Err(Unread::Unreadable(format!("its git-lfs object: {reason}")));
        }
        Err(other) => return Err(Unread::Unreadable(other.to_string())),
        Ok(stat) if stat.size != pointer.size => {
            return Err(Unread::Unreadable(format!(
                "its git-lfs object has {} bytes, and not {} as the pointer says",
                stat.size, pointer.size
            )));
        }
        Ok(_) => {}
    }
    if sha2::Sha256::digest(&buffer.bytes) == pointer.sha256 {
        Ok(())
    } else {
        Err(Unread::Unreadable(
            "its git-lfs object is damaged: its hash is another".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(bytes: &[u8]) -> Vec<std::result::Result<Vec<u8>, Unread>> {
        let (mut rest, mut all) = (bytes, Vec::new());
        while !rest.is_empty() {
            let mut blob = Vec::new();
            match next_reply(
                &mut rest,
                &Limits {
                    max_bytes: 10,
                    ..Limits::default()
                },
                &mut blob,
            ) {
                Ok(read) => all.push(read.map(|()| blob)),
                Err(_) => return all,
            }
        }
        all
    }

    #[test]
    fn replies_of_every_form_are_read_and_long_blobs_are_drained() {
        let text = b"aa blob 3\nx\ny\nbb blob 11\n12345678901\ncc missing\n\xff d ambiguous\ndd tree 2\nzz\nee blob 0\n\n";
        let read = replies(text);
        assert_eq!(read[0], Ok(b"x\ny".to_vec()));
        assert!(matches!(&read[1], Err(Unread::Unreadable(why)) if why.contains("limit is 10")));
        assert!(matches!(
            (&read[2], &read[3]),
            (Err(Unread::Missing(_)), Err(Unread::Missing(_)))
        ));
        assert!(matches!(&read[4], Err(Unread::Unreadable(why)) if why.contains("no file")));
        assert_eq!(read[5], Ok(Vec::new()));
        assert_eq!(read.len(), 6);
    }

    #[test]
    fn replies_that_lie_or_end_early_are_errors() {
        for text in [
            &b"aa blob 3\nxy"[..],
            b"aa blob 3\nxyz!",
            b"aa blob -1\n",
            b"aa blob\n",
            b"blob 3",
            b"\n",
            b"aa blob 18446744073709551616\n",
        ] {
            assert!(
                replies(text).is_empty(),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
        assert!(replies(&[b'a'; 10_000]).is_empty());
    }
}
