//! What an error must say: how to mend what it tells of.

/// Words of which each error has some. A command that mends is named in backquotes.
const REMEDIES: &[&str] = &[
    "run `wsidx ",
    "with `wsidx ",
    "use `wsidx ",
    "; run `",
    "try again",
    "--wait",
    "run the command again",
    "runs again",
];

/// Whether what a command says on standard error names what mends it.
pub(crate) fn names_a_remedy(text: &str) -> bool {
    REMEDIES.iter().any(|remedy| text.contains(remedy))
}
