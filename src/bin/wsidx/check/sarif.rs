//! Findings → SARIF 2.1.0 (OASIS, 2020), as code scanning services read it.
//!
//! Each finding stands under a rule whose id never changes, at a path relative to the top of the
//! repository, with the other image of the pair among the related locations and a fingerprint that
//! renames do not change. What is allowed is there too, as suppressed.

use std::io::{self, Write};

use serde_json::{Value, json};
use wsidx::verdict::Action;

use super::{
    finding::{Found, RULES},
    message::fingerprint,
};

/// Writes one log; `place` gives a file's path in the repository, as bytes.
pub(super) fn write(
    out: &mut dyn Write,
    findings: &[Found<'_>],
    place: &dyn Fn(&[u8]) -> Vec<u8>,
) -> io::Result<()> {
    let rule = |rule: &super::finding::Rule| json!({ "id": rule.id, "name": rule.name, "shortDescription": { "text": rule.meaning } });
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "wsidx",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(rule).collect::<Vec<_>>(),
            } },
            "originalUriBaseIds": { "%SRCROOT%": { "description": { "text": "The top of the repository" } } },
            "results": findings.iter().map(|found| result(found, place)).collect::<Vec<_>>(),
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    out.write_all(b"\n")
}

fn result(found: &Found<'_>, place: &dyn Fn(&[u8]) -> Vec<u8>) -> Value {
    let mut result = json!({
        "ruleId": RULES[found.rule].id,
        "ruleIndex": found.rule,
        "level": if found.action == Action::Reject { "error" } else { "warning" },
        "message": { "text": found.message },
        "locations": [location(&place(&found.checked.item.path))],
    });
    if let Some(other) = found.other {
        let mut related = location(&place(&other.path));
        related["message"] = json!({ "text": "the image that it repeats" });
        result["relatedLocations"] = json!([related]);
    }
    if let Some(fingerprint) = fingerprint(found.checked) {
        result["partialFingerprints"] = json!({ "wsidxPair/v1": fingerprint });
    }
    if let Some(reason) = &found.checked.allowed {
        result["suppressions"] = json!([{ "kind": "external", "justification": reason }]);
    }
    result
}

/// A whole image: viewers want a region, and an image is its first line.
fn location(path: &[u8]) -> Value {
    let artifact = match path.strip_prefix(b"/") {
        Some(_) => json!({ "uri": format!("file://{}", percent_encoded(path)) }),
        None => json!({ "uri": percent_encoded(path), "uriBaseId": "%SRCROOT%" }),
    };
    json!({ "physicalLocation": { "artifactLocation": artifact, "region": { "startLine": 1 } } })
}

/// RFC 3986: unreserved characters and `/` stay, every other byte is `%` and two digits.
fn percent_encoded(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_references_that_no_byte_can_break() {
        assert_eq!(
            percent_encoded(b"train/a b%\xff\n:x.png"),
            "train/a%20b%25%FF%0A%3Ax.png"
        );
        assert_eq!(
            location(b"a.png")["physicalLocation"]["artifactLocation"]["uriBaseId"],
            "%SRCROOT%"
        );
    }
}
