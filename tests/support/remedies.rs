//! What an error must say: how to mend what it tells of.

/// Words of which each error has some: a command of wsidx, or what the user can do about the system
/// and then the same command.
const REMEDIES: &[&str] = &[
    "run `wsidx ",
    "with `wsidx ",
    "use `wsidx ",
    "then run the command again",
    "run the command again;",
    "--wait",
];

/// Whether what a command says on standard error names what mends it.
pub(crate) fn names_a_remedy(text: &str) -> bool {
    REMEDIES.iter().any(|remedy| text.contains(remedy))
}

/// The commands of wsidx in backquotes, in order.
pub(crate) fn commands_in(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| quoted.starts_with("wsidx "))
        .collect()
}
