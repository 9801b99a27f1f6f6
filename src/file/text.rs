//! A file of settings that cannot be used → one line that says where and why, with no more of its
//! text than people read.

use std::{fmt::Write as _, ops::Range, path::Path};

/// Characters of a line of a file that a message shows.
const SHOWN: usize = 80;
/// Characters of a parser's message, which may name the words that are allowed.
const MESSAGE: usize = 320;

/// The beginning of a text as one line: control characters escaped, and `…` where it was cut off.
pub fn excerpt(text: &str) -> String {
    shortened(text, SHOWN)
}

fn shortened(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            _ if at == most => {
                out.push('…');
                break;
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// A path as a word of a command for a shell, in quotation marks where it has to be.
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Says in one line what is wrong with the TOML in `text`, and where; `span` and `message` are
/// those of the parser's error.
///
/// The parser's own words show the whole offending line, however long it is.
pub fn toml_problem(text: &str, span: Option<Range<usize>>, message: &str) -> String {
    let message = message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ");
    let message = shortened(&message, MESSAGE);
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return message;
    };
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default().trim();
    let (number, column) = (
        before.matches('\n').count() + 1,
        before[start..].chars().count() + 1,
    );
    let mut out = format!("line {number}, column {column}: {message}");
    if !line.is_empty() {
        let _ = write!(out, ": `{}`", excerpt(line));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            ("/a/b-1.png", "/a/b-1.png"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    #[test]
    fn a_problem_is_one_short_line_with_its_place() {
        let text = "a = 1\n  b: \u{1b}[31m2\n";
        assert_eq!(
            toml_problem(text, Some(8..9), "expected `=`\nhere"),
            "line 2, column 3: expected `=`; here: `b: \\u{1b}[31m2`"
        );
        assert_eq!(toml_problem(text, None, "no"), "no");
        let long = format!("{}\n", "é".repeat(10_000));
        let told = toml_problem(&long, Some(0..1), &long);
        assert!(
            told.chars().count() < SHOWN + MESSAGE + 40 && told.ends_with("é…`"),
            "{told}"
        );
        assert_eq!(
            toml_problem("\n\n", Some(1..1), "no"),
            "line 2, column 1: no"
        );
    }
}
