//! The variables of a continuous integration → the range of commits that it is about.

use crate::{Error, Result};

/// The range, as text for [`super::Repository::range`]: of the framework pre-commit, GitHub or
/// GitLab, in this order. `variable` looks a variable up; `event` reads the file that
/// `GITHUB_EVENT_PATH` names.
///
/// # Errors
/// [`Error::Input`] where no variable says it.
pub fn range_of_ci(
    variable: &dyn Fn(&str) -> Option<String>,
    event: &dyn Fn(&str) -> Option<String>,
) -> Result<String> {
    let get = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let (Some(from), Some(to)) = (get("PRE_COMMIT_FROM_REF"), get("PRE_COMMIT_TO_REF")) {
        return Ok(format!("{from}..{to}"));
    }
    if let Some(base) = get("GITHUB_BASE_REF") {
        return Ok(format!("origin/{base}...HEAD"));
    }
    if let Some(text) = get("GITHUB_EVENT_PATH").and_then(|path| event(&path)) {
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| Error::Input(format!("the event of GitHub is no JSON: {e}")))?;
        if let (Some(before), Some(after)) = (json["before"].as_str(), json["after"].as_str()) {
            return Ok(format!("{before}..{after}"));
        }
    }
    match get("CI_MERGE_REQUEST_DIFF_BASE_SHA").or_else(|| get("CI_COMMIT_BEFORE_SHA")) {
        Some(base) => Ok(format!("{base}..HEAD")),
        None => Err(Error::Input(
            "--range auto finds no range: none of PRE_COMMIT_FROM_REF, GITHUB_BASE_REF, GITHUB_EVENT_PATH, CI_MERGE_REQUEST_DIFF_BASE_SHA and \
             CI_COMMIT_BEFORE_SHA says one; give it as A..B"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(variables: &[(&str, &str)], event: &str) -> Result<String> {
        let get = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        range_of_ci(&get, &|path| {
            (path == "event.json").then(|| event.to_owned())
        })
    }

    #[test]
    fn each_service_says_its_range_and_nobody_is_an_error() {
        assert_eq!(
            range(
                &[
                    ("PRE_COMMIT_FROM_REF", "a"),
                    ("PRE_COMMIT_TO_REF", "b"),
                    ("GITHUB_BASE_REF", "main")
                ],
                ""
            )
            .unwrap(),
            "a..b"
        );
        assert_eq!(
            range(
                &[
                    ("GITHUB_BASE_REF", "main"),
                    ("GITHUB_EVENT_PATH", "event.json")
                ],
                ""
            )
            .unwrap(),
            "origin/main...HEAD"
        );
        let push = [("GITHUB_BASE_REF", ""), ("GITHUB_EVENT_PATH", "event.json")];
        assert_eq!(
            range(&push, r#"{"before": "1", "after": "2"}"#).unwrap(),
            "1..2"
        );
        assert_eq!(
            range(
                &[
                    ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "m"),
                    ("CI_COMMIT_BEFORE_SHA", "c")
                ],
                ""
            )
            .unwrap(),
            "m..HEAD"
        );
        assert_eq!(
            range(&[("CI_COMMIT_BEFORE_SHA", "c")], "").unwrap(),
            "c..HEAD"
        );
        assert!(
            range(&push, "{")
                .unwrap_err()
                .to_string()
                .contains("no JSON")
        );
        assert!(
            range(&push, "{}").is_err() && range(&[], "").unwrap_err().to_string().contains("A..B")
        );
    }
}
