//! The text of a `wsidx.toml` → the same with another threshold, and how it was found; comments and
//! all else stay as they are.

use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{Calibration, Rules};
use crate::{Error, Result, file::toml_problem};

/// What stands over a new table.
const HEAD: &str = "\n# by `wsidx calibrate --write`; it holds as long as [edges] says the same\n";

/// Sets `threshold` of `[edges]`, and `[calibration]`: the rate for which it was found, and what
/// for.
///
/// # Errors
/// [`Error::Input`] for a text that [`Rules::from_toml`] does not take, and for a threshold that is
/// out of range.
pub fn set_calibration(text: &str, threshold: f32, rate: f64) -> Result<String> {
    let mut rules = Rules::from_toml(text)?;
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        let problem = toml_problem(text, e.span(), e.message());
        Error::Input(format!("wsidx.toml: {problem}; mend that line"))
    })?;
    let edges = document
        .entry("edges")
        .or_insert_with(|| Item::Table(Table::new()));
    let edges = edges
        .as_table_like_mut()
        .ok_or_else(|| Error::Input("wsidx.toml: `edges` is no table".into()))?;
    let mut new = value(shortest(threshold));
    if let (Some(old), Some(new)) = (
        edges.get("threshold").and_then(Item::as_value),
        new.as_value_mut(),
    ) {
        *new.decor_mut() = old.decor().clone();
    }
    edges.insert("threshold", new);
    rules.edges.threshold = threshold;
    let calibration = Calibration::of(&rules.edges, rate);
    let known = document.entry("calibration").or_insert_with(|| {
        let mut table = Table::new();
        table.decor_mut().set_prefix(HEAD);
        Item::Table(table)
    });
    let known = known
        .as_table_like_mut()
        .ok_or_else(|| Error::Input("wsidx.toml: `calibration` is no table".into()))?;
    known.insert("rate", value(rate));
    known.insert("rule", value(&calibration.rule));
    known.insert("threshold", value(shortest(threshold)));
    known.insert(
        "accept",
        value(calibration.accept.iter().collect::<Array>()),
    );
    rules.calibration = Some(calibration);
    let text = document.to_string();
    if Rules::from_toml(&text)? == rules {
        Ok(text)
    } else {
        Err(Error::Input(format!(
            "wsidx.toml cannot be edited here; write `threshold = {threshold}` under `[edges]` yourself"
        )))
    }
}

/// The shortest decimal of an f32, not the f64 behind it.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_set_and_all_else_stays() {
        let set = |text: &str| {
            set_calibration(text, 0.812, 0.001)
                .unwrap()
                .split("\n# by ")
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(set(""), "[edges]\nthreshold = 0.812\n");
        assert_eq!(
            set(
                "# mine\n[edges] # pairs\nthreshold = 0.7  # as it was\naccept = [\"crop\"]\n\n[check]\nwarn = []\n"
            ),
            "# mine\n[edges] # pairs\nthreshold = 0.812  # as it was\naccept = [\"crop\"]\n\n[check]\nwarn = []\n"
        );
        assert_eq!(
            set("[check]\nreject = [\"leak\"] # only\n"),
            "[check]\nreject = [\"leak\"] # only\n\n[edges]\nthreshold = 0.812\n"
        );
        assert_eq!(
            set("edges = { threshold = 0.5 }\n"),
            "edges = { threshold = 0.812 }\n"
        );
        assert_eq!(set("edges.threshold = 0.5\n"), "edges.threshold = 0.812\n");
        assert_eq!(
            Rules::from_toml(&set("[edges]\naccept = []\n"))
                .unwrap()
                .edges
                .threshold,
            0.812
        );
    }

    #[test]
    fn what_is_no_policy_is_not_edited_and_no_threshold_out_of_range_is_written() {
        for text in ["[edges]\nthresold = 1\n", "edges = 3\n", "[edges\n"] {
            assert!(set_calibration(text, 0.8, 0.001).is_err(), "{text}");
        }
        assert!(
            set_calibration("", 1.5, 0.001).is_err() && set_calibration("", 0.0, 0.001).is_err()
        );
    }

    #[test]
    fn what_it_was_found_for_stands_beside_it_and_is_replaced_by_the_next() {
        let first =
            set_calibration("# mine\n[edges]\naccept = [\"crop\"]\n", 0.812, 0.001).unwrap();
        let rule = crate::similarity::register::RULE;
        let expected = format!(
            "# mine\n[edges]\naccept = [\"crop\"]\nthreshold = 0.812\n{HEAD}[calibration]\nrate = 0.001\nrule = \"{rule}\"\nthreshold = 0.812\naccept = [\"crop\"]\n"
        );
        assert_eq!(first, expected);
        assert!(Rules::from_toml(&first).unwrap().is_calibrated());
        let second = set_calibration(&first, 0.9, 0.01).unwrap();
        assert_eq!(
            second,
            first.replace("0.812", "0.9").replace("0.001", "0.01")
        );
    }
}
