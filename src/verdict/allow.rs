//! `.wsidx-allow` → which findings a dataset accepts, and why.
//!
//! The file is text that people review, one exception a line, and what follows ` #` is the reason:
//!
//! ```text
//! pair <id> <id>   # the same two contents, wherever they are; twice the same id for copies of the same bytes
//! image <id>       # whatever is found about this content
//! path <glob>      # whatever is found at these paths; `*` and `?` do not match `/`, `**` does
//! ```
//!
//! Ids are BLAKE3 hashes of the files, 64 hexadecimal digits, so an exception holds when its files
//! are renamed and ends when they change. The text comes out of a repository that anybody may have
//! written: it is bounded, and characters that hide or reorder text are refused.

use std::{collections::HashMap, path::Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{BASELINE_FILE, Baseline};
use crate::{Error, Result, similarity::EdgeRule};

/// The file of exceptions in the root of a dataset.
pub const ALLOW_FILE: &str = ".wsidx-allow";

/// More bytes than people review.
const LARGEST: usize = 16 << 20;
/// All globs together: they are compiled into one machine.
const GLOB_BYTES: usize = 64 << 10;

type Id = [u8; 32];

/// What an exception is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Two contents, the smaller id first.
    Pair(Id, Id),
    /// One content.
    Image(Id),
    /// Paths relative to the root of the dataset.
    Path(String),
}

impl Subject {
    /// A pair, in either order.
    pub fn pair(a: Id, b: Id) -> Self {
        Self::Pair(a.min(b), a.max(b))
    }

    /// The line that makes this exception, without a line feed; of `reason`, what would end the
    /// line or hide is left out.
    pub fn line(&self, reason: &str) -> String {
        let hex = |id: &Id| data_encoding::HEXLOWER.encode(id);
        let what = match self {
            Self::Pair(a, b) => format!("pair {} {}", hex(a), hex(b)),
            Self::Image(id) => format!("image {}", hex(id)),
            Self::Path(glob) => format!("path {glob}"),
        };
        let reason: String = reason
            .chars()
            .map(|c| if is_hidden(c) && c != '\t' { ' ' } else { c })
            .collect();
        if reason.trim().is_empty() {
            what
        } else {
            format!("{what}  # {}", reason.trim())
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The number of the line, from 1.
    pub line: usize,
    /// What it is about.
    pub subject: Subject,
    /// Why, as it is written; may be empty.
    pub reason: String,
}

/// The exceptions of a dataset. The default accepts nothing.
#[derive(Debug, Clone, Default)]
pub struct Exceptions {
    all: Vec<Exception>,
    pairs: HashMap<(Id, Id), usize>,
    images: HashMap<Id, usize>,
    globs: GlobSet,
    /// The exception of each glob.
    of_glob: Vec<usize>,
    baseline: Baseline,
}

impl Exceptions {
    /// Reads the bytes of a `.wsidx-allow`.
    ///
    /// # Errors
    /// [`Error::Input`] with the number of the line and what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self> {
        if text.len() > LARGEST {
            let bytes = text.len();
            return Err(Error::Input(format!(
                "{ALLOW_FILE}: {bytes} bytes; the limit is {LARGEST}; remove lines, then run the command again"
            )));
        }
        let mut exceptions = Self::default();
        let mut globs = (GlobSetBuilder::new(), 0);
        for (line, number) in text.split(|&b| b == b'\n').zip(1..) {
            let wrong = |what: String| {
                Error::Input(format!(
                    "{ALLOW_FILE}:{number}: {what}; correct that line or remove it, then run the command again"
                ))
            };
            let line = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8".into()))?;
            if let Some(exception) = parse_line(line, number).map_err(wrong)? {
                exceptions.push(exception, &mut globs).map_err(wrong)?;
            }
        }
        exceptions.globs = globs.0.build().map_err(|e| {
            Error::Input(format!(
                "{ALLOW_FILE}: the globs together: {e}; remove some, then run the command again"
            ))
        })?;
        Ok(exceptions)
    }

    fn push(
        &mut self,
        exception: Exception,
        globs: &mut (GlobSetBuilder, usize),
    ) -> std::result::Result<(), String> {
        let place = self.all.len();
        match &exception.subject {
            Subject::Pair(a, b) => {
                self.pairs.insert((*a, *b), place);
            }
            Subject::Image(id) => {
                self.images.insert(*id, place);
            }
            Subject::Path(glob) => {
                globs.1 += glob.len();
                if globs.1 > GLOB_BYTES {
                    return Err(format!(
                        "the globs have more than {GLOB_BYTES} bytes together"
                    ));
                }
                globs.0.add(
                    GlobBuilder::new(glob)
                        .literal_separator(true)
                        .build()
                        .map_err(|e| e.to_string())?,
                );
                self.of_glob.push(place);
            }
        }
        self.all.push(exception);
        Ok(())
    }

    /// The exceptions of a dataset for pairs decided by `rule`, from the files that `read` gives by
    /// their names.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be used, and what `read` returns.
    pub fn read(rule: &EdgeRule, read: impl Fn(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        let allow =
            read(ALLOW_FILE)?.map_or_else(|| Ok(Self::default()), |text| Self::parse(&text))?;
        let baseline = read(BASELINE_FILE)?.map_or_else(
            || Ok(Baseline::default()),
            |text| Baseline::parse(&text, rule),
        )?;
        Ok(allow.with_baseline(baseline))
    }

    /// The same, and the pairs of a baseline.
    #[must_use]
    pub fn with_baseline(self, baseline: Baseline) -> Self {
        Self { baseline, ..self }
    }

    /// The lines, in their order.
    pub fn all(&self) -> &[Exception] {
        &self.all
    }

    /// Nothing is accepted.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.baseline.is_empty()
    }

    /// Whether this is accepted already by a line of its own.
    pub fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Pair(a, b) => self.pairs.contains_key(&(*a, *b)),
            Subject::Image(id) => self.images.contains_key(id),
            Subject::Path(_) => self
                .all
                .iter()
                .any(|exception| exception.subject == *subject),
        }
    }

    /// The lines about what none of `before` accepts by a line.
    pub fn more_than(&self, before: &[Self]) -> Vec<Exception> {
        self.all
            .iter()
            .filter(|exception| !before.iter().any(|before| before.has(&exception.subject)))
            .cloned()
            .collect()
    }

    /// The exceptions, as places in [`Exceptions::all`], that accept whatever is found about a
    /// file; by path first.
    pub fn of_file(&self, path: &[u8], id: Option<&Id>) -> Vec<usize> {
        let path = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path);
        let globs = self
            .globs
            .matches(Path::new(path))
            .into_iter()
            .filter_map(|glob| self.of_glob.get(glob).copied());
        globs
            .chain(id.and_then(|id| self.images.get(id)).copied())
            .collect()
    }

    /// What accepts a pair of contents, in either order.
    pub fn of_pair(&self, a: &Id, b: &Id) -> Option<Accepted> {
        let pair = (*a.min(b), *a.max(b));
        let line = self.pairs.get(&pair).map(|&place| Accepted::Line(place));
        line.or_else(|| self.baseline.contains(&pair).then_some(Accepted::Baseline))
    }

    /// Why, for people: the reason and where it stands.
    pub fn reason(&self, accepted: Accepted) -> String {
        let exception = match accepted {
            Accepted::Line(place) => self.all.get(place),
            Accepted::Baseline => None,
        };
        match exception {
            Some(Exception { line, reason, .. }) if reason.is_empty() => {
                format!("{ALLOW_FILE}:{line}")
            }
            Some(Exception { line, reason, .. }) => format!("{reason} ({ALLOW_FILE}:{line})"),
            None => "in the baseline".to_owned(),
        }
    }
}

/// What accepts a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// A line, as a place in [`Exceptions::all`].
    Line(usize),
    /// The baseline.
    Baseline,
}

fn parse_line(line: &str, number: usize) -> std::result::Result<Option<Exception>, String> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if let Some(hidden) = line.chars().find(|&c| is_hidden(c) && c != '\t') {
        return Err(format!(
            "the character U+{:04X}, which hides or reorders text",
            u32::from(hidden)
        ));
    }
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (what, reason) = match line.find(" #").or_else(|| line.find("\t#")) {
        Some(at) => (&line[..at], line[at + 2..].trim()),
        None => (line, ""),
    };
    let (kind, rest) = what
        .trim()
        .split_once([' ', '\t'])
        .unwrap_or((what.trim(), ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let subject = match (kind, words.as_slice()) {
        ("pair", [a, b]) => Subject::pair(id(a)?, id(b)?),
        ("image", [a]) => Subject::Image(id(a)?),
        ("path", [_, ..]) => Subject::Path(rest.trim().to_owned()),
        ("pair", _) => return Err("a pair has two ids".into()),
        ("image", _) => return Err("an image has one id".into()),
        ("path", _) => return Err("a path has a glob".into()),
        _ => {
            return Err(format!(
                "`{}` is no kind of exception; use pair, image or path",
                kind.escape_debug()
            ));
        }
    };
    Ok(Some(Exception {
        line: number,
        subject,
        reason: reason.to_owned(),
    }))
}

fn id(word: &str) -> std::result::Result<Id, String> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(word.as_bytes())
        .ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            format!(
                "`{}` is no id of 64 hexadecimal digits",
                word.escape_debug()
            )
        })
}

/// Controls, and characters that change the direction of writing or do not show: what a reviewer
/// would not see.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = [0xaa; 32];
    const B: Id = [0xbb; 32];

    fn wrong(text: &str) -> String {
        Exceptions::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn each_kind_accepts_what_it_says_and_no_more() {
        let text = format!(
            "# people read this\n\npair {} {}  # taken twice\r\nimage {}\npath train/a b/*.png # scans\n",
            "bb".repeat(32),
            "AA".repeat(32),
            "bb".repeat(32)
        );
        let allow = Exceptions::parse(text.as_bytes()).unwrap();
        assert_eq!(allow.of_pair(&A, &B), Some(Accepted::Line(0)));
        assert_eq!(allow.of_pair(&B, &A), Some(Accepted::Line(0)));
        assert_eq!(allow.of_pair(&A, &A), None);
        assert_eq!(allow.of_file(b"x.png", Some(&B)), [1]);
        assert_eq!(allow.of_file(b"train/a b/x.png", Some(&A)), [2]);
        assert_eq!(allow.of_file(b"train/a b/c/x.png", None), [0_usize; 0]);
        assert_eq!(
            allow.reason(Accepted::Line(0)),
            "taken twice (.wsidx-allow:3)"
        );
        assert_eq!(allow.reason(Accepted::Line(1)), ".wsidx-allow:4");
    }

    #[test]
    fn a_line_that_is_written_is_read_back() {
        for subject in [
            Subject::pair(B, A),
            Subject::Image(A),
            Subject::Path("a b/**".into()),
        ] {
            let read =
                Exceptions::parse(subject.line("one\nimage\u{202e} #two").as_bytes()).unwrap();
            assert_eq!(read.all().len(), 1);
            assert_eq!(
                (&read.all()[0].subject, &*read.all()[0].reason),
                (&subject, "one image  #two")
            );
            assert!(read.has(&subject) && !Exceptions::default().has(&subject));
        }
    }

    #[test]
    fn a_reason_that_is_read_is_written_the_same_with_its_tabs() {
        let read = Exceptions::parse(b"path a\t#\tone\t\ttwo \t").unwrap();
        assert_eq!(read.all()[0].reason, "one\t\ttwo");
        let again = Exceptions::parse(read.all()[0].subject.line(&read.all()[0].reason).as_bytes())
            .unwrap();
        assert_eq!(again.all(), read.all());
    }

    #[test]
    fn what_is_more_than_before_is_told_by_what_it_is_about_not_by_its_place() {
        let read = |text: &str| {
            Exceptions::parse(
                text.replace("{A}", &"aa".repeat(32))
                    .replace("{B}", &"bb".repeat(32))
                    .as_bytes(),
            )
            .unwrap()
        };
        let now = read("# head\npath b/*\npair {B} {A}  # again\nimage {A}\npath a/*\n");
        let lines = |before: &[Exceptions]| {
            now.more_than(before)
                .iter()
                .map(|exception| exception.line)
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(&[]), [2, 3, 4, 5]);
        assert_eq!(
            lines(&[
                read("path a/*\npair {A} {B}\n"),
                read("image {A}\nimage {B}\n")
            ]),
            [2]
        );
    }

    #[test]
    fn what_is_no_exception_is_refused_with_its_line() {
        assert!(wrong("\npari x").contains(".wsidx-allow:2: `pari` is no kind"));
        assert!(wrong("image 12").contains("`12` is no id"));
        assert!(wrong(&format!("image {}", "ag".repeat(32))).contains("is no id"));
        assert!(wrong(&format!("pair {}", "aa".repeat(32))).contains("two ids"));
        assert!(wrong("path").contains("a glob"));
        assert!(wrong("path a[").contains(":1: "));
    }

    #[test]
    fn hidden_characters_and_other_encodings_are_refused() {
        assert!(wrong("# fine\n# \u{1b}[2K").contains(":2: the character U+001B"));
        assert!(wrong("path a\u{202e}b").contains("U+202E"));
        assert!(wrong("image \0").contains("U+0000"));
        assert!(
            Exceptions::parse(b"# \xff")
                .unwrap_err()
                .to_string()
                .contains(":1: not UTF-8")
        );
    }

    #[test]
    fn a_huge_file_and_huge_globs_are_refused() {
        assert!(wrong(&"#".repeat(LARGEST + 1)).contains("the limit is"));
        assert!(wrong(&format!("path {}\n", "a*".repeat(40_000))).contains("bytes together"));
        assert!(
            wrong(&"path {a,b,[a-z]}{a,b,[!a-z]}**/*?x\n".repeat(4000)).contains("bytes together")
        );
    }
}
