//! What happened → one JSON object a line: the contract of `wsidx watch`.

use serde::Serialize;
use wsidx::{
    dataset::container_of,
    index::{Checked, Told},
    verdict::{Rules, Verdict},
};

use super::clock;
use crate::{
    check::{self, CheckJson},
    json::{PathJson, hex},
};

/// What every line begins with. Only what is told of files has a number.
#[derive(Serialize)]
struct Head {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    ts: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Head {
    fn new(seq: Option<u64>, kind: &'static str) -> Self {
        Self {
            v: 1,
            seq,
            ts: clock::now(),
            kind,
        }
    }
}

#[derive(Serialize)]
struct VerdictLine {
    #[serde(flatten)]
    head: Head,
    /// Milliseconds since the file could be taken.
    ms: u64,
    /// What is done with the file, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(flatten)]
    check: CheckJson,
}

#[derive(Serialize)]
struct MovedLine {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    path: PathJson,
    from: PathJson,
    id: String,
}

#[derive(Serialize)]
struct RemovedLine {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    path: PathJson,
    id: Option<String>,
}

/// Whether an action applies to a file besides its line; what is in a container stays there.
pub(super) fn is_acted_on(checked: &Checked) -> bool {
    checked.judgement.verdict == Verdict::Redundant
        && checked.allowed.is_none()
        && container_of(&checked.item.file).is_none()
}

/// The line of an event.
pub(super) fn event(
    seq: u64,
    told: &Told<'_>,
    rules: &Rules,
    action: Option<&'static str>,
    ms: u64,
) -> Vec<u8> {
    let seq = Some(seq);
    match told {
        Told::Verdict(checked) => {
            let action = action.filter(|_| is_acted_on(checked));
            let check = check::to_json(
                checked,
                check::action(&rules.check, checked),
                rules.is_calibrated(),
            );
            bytes(&VerdictLine {
                head: Head::new(seq, "verdict"),
                ms,
                action,
                check,
            })
        }
        Told::Moved { from, to, id } => bytes(&MovedLine {
            head: Head::new(seq, "moved"),
            path: PathJson::new(to),
            from: PathJson::new(from),
            id: hex(id),
        }),
        Told::Removed { path, id } => bytes(&RemovedLine {
            head: Head::new(seq, "removed"),
            path: PathJson::new(path),
            id: id.map(hex),
        }),
    }
}

#[derive(Serialize)]
struct NewsLine<'a, T> {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    news: &'a T,
}

/// A line about the watch itself, without a number.
pub(super) fn news<T: Serialize>(kind: &'static str, news: &T) -> Vec<u8> {
    bytes(&NewsLine {
        head: Head::new(None, kind),
        news,
    })
}

fn bytes<T: Serialize>(line: &T) -> Vec<u8> {
    serde_json::to_vec(line).unwrap_or_default()
}
