//! Names, tables and numbers → text for a person at a terminal.
//!
//! Names come from disks and archives and may hold anything (CWE-150: escape sequences, carriage
//! returns, controls of writing direction), so every one of them passes [`escape`] on its way to a
//! terminal. Colours are written always and taken away by `anstream` where they are not wanted.
//! Nothing here decides what is said; JSON and the other machine formats live elsewhere.

use std::{ffi::OsStr, fmt::Write as _, io, time::Duration};

use clap::builder::styling::Style;
use wsidx::verdict::{Occurrence, Split};

/// Makes `--color` hold for all that `anstream` writes from here on.
///
/// `Auto` leaves it to the environment, in this order: `NO_COLOR` not empty: off; `CLICOLOR_FORCE`
/// set and not 0: on; `CLICOLOR=0`: off; else on for a terminal that is not `dumb`.
pub(crate) fn set_color(choice: clap::ColorChoice) {
    match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Columns of the terminal behind standard output; none if it is not a terminal.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A name, as bytes, as it may be shown: as it is if every character of it is printable, else
/// quoted in the manner of C.
///
/// Within quotes `\n`, `\t`, `\r`, `\"` and `\\` stand for themselves, `\xNN` for other control
/// bytes and for bytes that are not UTF-8, and `\u{…}` for characters that are invisible or turn
/// the direction of writing. Different names never look the same: a name that holds a quote or a
/// backslash, is empty, or begins or ends with a space is quoted too.
pub(crate) fn escape(name: &[u8]) -> String {
    let mut inside = String::with_capacity(name.len() + 2);
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => inside.push_str("\\\""),
                '\\' => inside.push_str("\\\\"),
                _ => push_escaped(&mut inside, c),
            }
        }
        push_bytes(&mut inside, chunk.invalid());
    }
    let plain = inside.as_bytes() == name
        && !name.is_empty()
        && !name.starts_with(b" ")
        && !name.ends_with(b" ");
    if plain {
        inside
    } else {
        format!("\"{inside}\"")
    }
}

/// The cell of a label.
pub(crate) fn label(label: Option<&[u8]>) -> String {
    label.map_or_else(|| "-".to_owned(), escape)
}

/// The cells of where a content is: label, split and path of the first place, and how many more
/// there are.
pub(crate) fn place(occurrences: &[Occurrence]) -> [String; 3] {
    let Some((first, others)) = occurrences.split_first() else {
        return [label(None), label(None), String::new()];
    };
    let more = if others.is_empty() {
        String::new()
    } else {
        format!(" (and {} more)", others.len())
    };
    let split = first.split.map_or("-", Split::name).to_owned();
    [
        label(first.label.as_deref()),
        split,
        format!("{}{more}", escape(&first.path)),
    ]
}

/// [`escape`] for names of the operating system.
pub(crate) fn escape_os(name: impl AsRef<OsStr>) -> String {
    escape(name.as_ref().as_encoded_bytes())
}

/// A sentence that holds names: what [`escape`] would escape is escaped, without quotes; line feeds
/// too.
pub(crate) fn escape_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_escaped(&mut out, c));
    out
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        '\0'..='\x1f' | '\x7f' => push_bytes(out, &[c as u8]),
        _ if is_deceptive(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        _ => out.push(c),
    }
}

/// Characters that do not show, or that change how others are shown.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' // C1
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}' // fillers, soft hyphen
        | '\u{200b}'..='\u{200f}' // zero width, marks of direction
        | '\u{2028}'..='\u{202e}' // separators of lines, embeddings, overrides
        | '\u{2060}'..='\u{206f}' // word joiner, isolates, deprecated formats
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' // annotations
        | '\u{e0000}'..='\u{e0fff}' // tags, variation selectors
    ) || u32::from(c) & 0xfffe == 0xfffe
}

/// A text of at most `width` characters: a longer one loses its middle to an ellipsis, and keeps
/// more of its end than of its beginning.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head = kept / 3;
    let tail = length - (kept - head);
    text.chars()
        .take(head)
        .chain((width > 0).then_some('…'))
        .chain(text.chars().skip(tail))
        .collect()
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// The head of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    align: Align,
    shrinks: bool,
}

impl Column {
    /// A column of words.
    pub(crate) fn left(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Left,
            shrinks: false,
        }
    }

    /// A column of numbers.
    pub(crate) fn right(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Right,
            shrinks: false,
        }
    }

    /// A column of paths, which give up their middles on a narrow terminal.
    pub(crate) fn path(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Left,
            shrinks: true,
        }
    }
}

/// One cell: a text that is escaped already, and how it is coloured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell with a colour.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

/// The narrowest that a column of paths becomes.
const NARROWEST: usize = 16;
/// Between two columns.
const GAP: &str = "  ";

/// Rows under aligned columns. Width is counted in characters (Unicode scalars).
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If it has not as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "as many cells as columns");
        self.rows.push(cells);
    }
    /// Writes the titles (where any column has one) and the rows; columns of paths are shortened
    /// until a line fits into `width`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub(crate) fn write(&self, out: &mut dyn io::Write, width: Option<usize>) -> io::Result<()> {
        let widths = self.widths(width);
        if self.columns.iter().any(|column| !column.title.is_empty()) {
            let head = self
                .columns
                .iter()
                .map(|column| Cell::styled(column.title, Style::new().bold()))
                .collect::<Vec<_>>();
            self.write_row(out, &head, &widths)?;
        }
        self.rows
            .iter()
            .try_for_each(|row| self.write_row(out, row, &widths))
    }

    /// The width of each column: that of its longest text, less what its paths must give up.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let longest = |(i, column): (usize, &Column)| {
            self.rows
                .iter()
                .filter_map(|row| row.get(i))
                .map(|cell| cell.text.chars().count())
                .fold(column.title.chars().count(), usize::max)
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(longest).collect();
        let Some(limit) = limit else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        loop {
            let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
            let shrinking = self
                .columns
                .iter()
                .zip(&mut widths)
                .filter(|(column, width)| column.shrinks && **width > NARROWEST);
            let Some((_, widest)) = shrinking
                .max_by_key(|(_, width)| **width)
                .filter(|_| excess > 0)
            else {
                return widths;
            };
            *widest -= 1;
        }
    }

    fn write_row(
        &self,
        out: &mut dyn io::Write,
        cells: &[Cell],
        widths: &[usize],
    ) -> io::Result<()> {
        let last = cells.len().saturating_sub(1);
        for (i, ((cell, column), &width)) in cells.iter().zip(&self.columns).zip(widths).enumerate()
        {
            let text = if column.shrinks {
                shorten(&cell.text, width)
            } else {
                cell.text.clone()
            };
            let blank = " ".repeat(width.saturating_sub(text.chars().count()));
            let styled = format!("{}{text}{:#}", cell.style, cell.style);
            match column.align {
                Align::Right => write!(out, "{blank}{styled}")?,
                Align::Left if i == last => write!(out, "{styled}")?,
                Align::Left => write!(out, "{styled}{blank}")?,
            }
            write!(out, "{}", if i == last { "\n" } else { GAP })?;
        }
        Ok(())
    }
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 image`, `1,200 images`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A size in decimal units with one place: `999 B`, `12.3 MB`.
pub(crate) fn bytes(n: u64) -> String {
    if n < 1000 {
        return format!("{n} B");
    }
    // In tenths of the unit, rounded half up; 999.95 kB is 1.0 MB.
    let mut unit = 1000_u128;
    for name in ["kB", "MB", "GB", "TB", "PB"] {
        let tenths = (u128::from(n) * 10 + unit / 2) / unit;
        if tenths < 10_000 {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit *= 1000;
    }
    format!(
        "{}.{} EB",
        u128::from(n) * 10 / unit / 10,
        u128::from(n) * 10 / unit % 10
    )
}

/// A span of time to about two figures: `0.4 s`, `12 s`, `1 m 23 s`, `2 h 05 m`, `3 d 04 h`.
pub(crate) fn span(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (time.as_millis() + 500) / 1000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} m {:02} s", seconds % 60),
        (..24, _) => format!("{hours} h {:02} m", minutes % 60),
        _ => format!("{} d {:02} h", hours / 24, hours % 24),
    }
}

/// A reader that has read enough and gone (`wsidx … | head`) is no failure.
///
/// # Errors
///
/// Any other than a broken pipe.
pub(crate) fn forgive_closed_pipe(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Ok(())
        } else {
            Err(error)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::AutoStream;
    use clap::builder::styling::AnsiColor;
    use proptest::prelude::*;
    use std::process::Command;

    /// The inverse of [`escape`]: the oracle for "different names never look the same".
    fn unescape(shown: &str) -> Vec<u8> {
        let Some(inside) = shown.strip_prefix('"').and_then(|s| s.strip_suffix('"')) else {
            return shown.into();
        };
        let (mut out, mut rest) = (Vec::new(), inside);
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                out.extend(c.to_string().bytes());
                continue;
            }
            let kind = rest.chars().next().unwrap();
            rest = &rest[1..];
            match kind {
                'n' => out.push(b'\n'),
                't' => out.push(b'\t'),
                'r' => out.push(b'\r'),
                'x' => {
                    out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                    rest = &rest[2..];
                }
                'u' => {
                    let end = rest.find('}').unwrap();
                    let c =
                        char::from_u32(u32::from_str_radix(&rest[1..end], 16).unwrap()).unwrap();
                    out.extend(c.to_string().bytes());
                    rest = &rest[end + 1..];
                }
                other => out.extend(other.to_string().bytes()),
            }
        }
        out
    }

    #[test]
    fn printable_names_stay_as_they_are() {
        for name in ["cat.jpg", "a b/ü-猫-🐈.png", "it's (1).jpg", "-x"] {
            assert_eq!(escape(name.as_bytes()), name);
        }
    }

    #[test]
    fn what_could_command_a_terminal_or_deceive_a_reader_is_escaped_and_quoted() {
        for (name, shown) in [
            (&b"a\x1b[2Jb"[..], r#""a\x1b[2Jb""#),
            (b"line\nfeed\r\t", r#""line\nfeed\r\t""#),
            (b"bad\xff\xfeutf8", r#""bad\xff\xfeutf8""#),
            ("a\u{9b}b".as_bytes(), r#""a\u{9b}b""#),
            ("gpj.\u{202e}exe".as_bytes(), r#""gpj.\u{202e}exe""#),
            (
                "\u{feff}\u{200b}\u{2066}".as_bytes(),
                r#""\u{feff}\u{200b}\u{2066}""#,
            ),
            (b"say \"x\" \\", r#""say \"x\" \\""#),
            (b"", r#""""#),
            (b" x", r#"" x""#),
            (b"x\x7f", r#""x\x7f""#),
        ] {
            assert_eq!(escape(name), shown);
        }
    }

    #[test]
    fn sentences_are_escaped_without_quotes() {
        assert_eq!(
            escape_text("cannot read \"a\x1b[0m\n\": why\\not"),
            "cannot read \"a\\x1b[0m\\n\": why\\not"
        );
        assert_eq!(escape_os("d\u{200f}"), r#""d\u{200f}""#);
    }

    proptest! {
        #[test]
        fn any_name_is_shown_without_control_characters_and_can_be_read_back(name in prop::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,8}[\\x00-\\x7f]{0,4}") {
            for name in [&name[..], text.as_bytes()] {
                let shown = escape(name);
                prop_assert!(!shown.chars().any(|c| c.is_control() || is_deceptive(c)), "{shown:?}");
                prop_assert_eq!(unescape(&shown), name);
            }
        }

        #[test]
        fn a_shortened_text_has_the_width_asked_for(text in "\\PC{0,60}", width in 0_usize..70) {
            let short = shorten(&text, width);
            prop_assert_eq!(short.chars().count(), text.chars().count().min(width));
            let cut = text.chars().count() > width;
            let right = if cut { width == 0 || short.contains('…') } else { short == text };
            prop_assert!(right, "{short:?}");
        }
    }

    #[test]
    fn a_path_is_shortened_in_its_middle_and_keeps_its_file_name() {
        assert_eq!(
            shorten("images/train/boat/anchorage.jpg", 22),
            "images/…/anchorage.jpg"
        );
        assert_eq!(shorten("abc", 1), "…");
        assert_eq!(shorten("abc", 0), "");
    }

    fn example() -> Table {
        let mut table = Table::new([
            Column::right("similarity"),
            Column::left("label"),
            Column::path("path"),
        ]);
        table.row([
            Cell::styled("0.99", AnsiColor::Red.on_default()),
            "boat".into(),
            "images/train/boat/anchorage.jpg".into(),
        ]);
        table.row(["1".into(), "sea-lion".into(), "猫.png".into()]);
        table
    }

    fn written(table: &Table, width: Option<usize>, color: anstream::ColorChoice) -> String {
        let mut out = AutoStream::new(Vec::new(), color);
        table.write(&mut out, width).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let text = "similarity  label     path\n      0.99  boat      images/train/boat/anchorage.jpg\n         1  sea-lion  猫.png\n";
        assert_eq!(
            written(&example(), None, anstream::ColorChoice::Never),
            text
        );
        assert_eq!(
            written(&example(), Some(80), anstream::ColorChoice::Never),
            text
        );
    }

    #[test]
    fn only_paths_give_way_and_only_down_to_the_narrowest() {
        let longest = |width| {
            written(&example(), Some(width), anstream::ColorChoice::Never)
                .lines()
                .map(|line| line.chars().count())
                .max()
        };
        assert_eq!(longest(45), Some(45));
        assert_eq!(longest(5), Some(10 + 2 + 8 + 2 + NARROWEST));
    }

    #[test]
    fn two_columns_of_paths_share_what_must_go() {
        let mut table = Table::new([Column::path(""), Column::path("")]);
        table.row(["a".repeat(50), "b".repeat(30)].map(Cell::from));
        assert_eq!(table.widths(Some(62)), [30, 30]);
        assert_eq!(table.widths(Some(52)), [25, 25]);
    }

    #[test]
    fn a_table_without_titles_has_no_head_and_an_empty_one_no_rows() {
        let mut table = Table::new([Column::left("")]);
        assert_eq!(written(&table, None, anstream::ColorChoice::Never), "");
        table.row(["x".into()]);
        assert_eq!(written(&table, None, anstream::ColorChoice::Never), "x\n");
    }

    #[test]
    #[should_panic(expected = "as many cells as columns")]
    fn a_row_of_another_length_is_a_mistake_of_the_caller() {
        example().row(["x".into()]);
    }

    #[test]
    fn colours_stand_around_the_text_and_can_be_taken_away() {
        let red = written(&example(), None, anstream::ColorChoice::AlwaysAnsi);
        assert!(
            red.contains("      \u{1b}[31m0.99\u{1b}[0m  boat"),
            "{red:?}"
        );
        assert!(!written(&example(), None, anstream::ColorChoice::Never).contains('\u{1b}'));
    }

    /// Not a test by itself: run by the next one in a process of its own, whose environment it
    /// shows.
    #[test]
    fn child_shows_what_colour_it_chose() {
        if let Ok(flag) = std::env::var("TERM_TEST_COLOR") {
            set_color(clap::ValueEnum::from_str(&flag, true).unwrap());
            println!("chose {:?};", AutoStream::choice(&io::stdout()));
        }
    }

    fn choice(flag: &str, environment: &[(&str, &str)]) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "--nocapture",
            "term::tests::child_shows_what_colour_it_chose",
        ]);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            child.env_remove(name);
        }
        let out = child
            .env("TERM_TEST_COLOR", flag)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.split("chose ")
            .nth(1)
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn the_flag_goes_before_the_environment_and_no_color_before_force() {
        for (flag, environment, chosen) in [
            ("auto", &[][..], "Never"),
            ("auto", &[("CLICOLOR_FORCE", "1")], "Always"),
            (
                "auto",
                &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
                "Never",
            ),
            (
                "auto",
                &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")],
                "Always",
            ),
            (
                "auto",
                &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")],
                "Always",
            ),
            ("always", &[("NO_COLOR", "1")], "Always"),
            ("never", &[("CLICOLOR_FORCE", "1")], "Never"),
        ] {
            assert!(
                choice(flag, environment).starts_with(chosen),
                "{flag} {environment:?}"
            );
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [
                counted(1, "image", "images"),
                counted(1200, "image", "images")
            ],
            ["1 image", "1,200 images"]
        );
        assert_eq!(
            [999, 1000, 12_345_678, 999_949, 999_950, u64::MAX].map(bytes),
            [
                "999 B", "1.0 kB", "12.3 MB", "999.9 kB", "1.0 MB", "18.4 EB"
            ]
        );
        let spans = [
            0,
            449,
            9_949,
            9_950,
            59_499,
            59_500,
            83_000,
            3_599_499,
            3_599_500,
            7_500_000,
            273_600_000,
        ]
        .map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(
            spans,
            [
                "0.0 s",
                "0.4 s",
                "9.9 s",
                "10 s",
                "59 s",
                "1 m 00 s",
                "1 m 23 s",
                "59 m 59 s",
                "1 h 00 m",
                "2 h 05 m",
                "3 d 04 h"
            ]
        );
    }

    #[test]
    fn a_closed_pipe_is_success_and_other_errors_are_not() {
        assert!(forgive_closed_pipe(Ok(())).is_ok());
        assert!(forgive_closed_pipe(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert_eq!(
            forgive_closed_pipe(Err(io::ErrorKind::StorageFull.into()))
                .unwrap_err()
                .kind(),
            io::ErrorKind::StorageFull
        );
    }
}
