//! Findings → workflow commands of GitHub Actions, which show them beside the files of a change.
//!
//! A name may hold anything, so it is escaped twice: for people ([`crate::term`]), and for the
//! runner, which takes a line that begins with `::` for a command, `%` for an escape, and `:` and
//! `,` for ends of a property.

use std::io::{self, Write};

use wsidx::verdict::Action;

use super::finding::{Found, RULES};

/// Writes a command for each finding that is not allowed; `place` gives a file's path in the
/// repository.
pub(super) fn write(
    out: &mut dyn Write,
    findings: &[Found<'_>],
    place: &dyn Fn(&[u8]) -> String,
) -> io::Result<()> {
    for found in findings
        .iter()
        .filter(|found| found.checked.allowed.is_none())
    {
        let level = if found.action == Action::Reject {
            "error"
        } else {
            "warning"
        };
        let title = format!("wsidx ({})", RULES[found.rule].name);
        let file = place(&found.checked.item.path);
        writeln!(
            out,
            "::{level} title={},file={}::{}",
            property(&title),
            property(&file),
            data(&found.message)
        )?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_command() {
        assert_eq!(
            property("x%0A\n::set-env name=a,b::c"),
            "x%250A%0A%3A%3Aset-env name=a%2Cb%3A%3Ac"
        );
        assert_eq!(data("50 %\r\n::error::x: y"), "50 %25%0D%0A::error::x: y");
    }
}
