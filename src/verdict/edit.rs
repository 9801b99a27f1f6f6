//! The text of a `wsidx.toml` → the same with another threshold; comments and all else stay as they are.

use toml_edit::{DocumentMut, Item, Table, value};

use super::Rules;
use crate::{Error, Result};

/// Sets `threshold` of `[edges]`.
///
/// # Errors
/// [`Error::Input`] for a text that [`Rules::from_toml`] does not take, and for a threshold that is out of range.
pub fn set_threshold(text: &str, threshold: f32) -> Result<String> {
    let mut rules = Rules::from_toml(text)?;
    let mut document: DocumentMut = text.parse().map_err(|e| Error::Input(format!("wsidx.toml: {e}")))?;
    let edges = document.entry("edges").or_insert_with(|| Item::Table(Table::new()));
    let edges = edges.as_table_like_mut().ok_or_else(|| Error::Input("wsidx.toml: `edges` is no table".into()))?;
    // The shortest decimal of the f32, not the f64 behind it.
    let shown: f64 = threshold.to_string().parse().unwrap_or_else(|_| threshold.into());
    let mut new = value(shown);
    if let (Some(old), Some(new)) = (edges.get("threshold").and_then(Item::as_value), new.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    edges.insert("threshold", new);
    let text = document.to_string();
    rules.edges.threshold = threshold;
    match Rules::from_toml(&text)? == rules {
        true => Ok(text),
        false => Err(Error::Input(format!("wsidx.toml cannot be edited here; write `threshold = {threshold}` under `[edges]` yourself"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_set_and_all_else_stays() {
        let set = |text: &str| set_threshold(text, 0.812).unwrap();
        assert_eq!(set(""), "[edges]\nthreshold = 0.812\n");
        assert_eq!(
            set("# mine\n[edges] # pairs\nthreshold = 0.7  # as it was\naccept = [\"crop\"]\n\n[check]\nwarn = []\n"),
            "# mine\n[edges] # pairs\nthreshold = 0.812  # as it was\naccept = [\"crop\"]\n\n[check]\nwarn = []\n"
        );
        assert_eq!(set("[check]\nreject = [\"leak\"] # only\n"), "[check]\nreject = [\"leak\"] # only\n\n[edges]\nthreshold = 0.812\n");
        assert_eq!(set("edges = { threshold = 0.5 }\n"), "edges = { threshold = 0.812 }\n");
        assert_eq!(set("edges.threshold = 0.5\n"), "edges.threshold = 0.812\n");
        assert_eq!(Rules::from_toml(&set("[edges]\naccept = []\n")).unwrap().edges.threshold, 0.812);
    }

    #[test]
    fn what_is_no_policy_is_not_edited_and_no_threshold_out_of_range_is_written() {
        for text in ["[edges]\nthresold = 1\n", "edges = 3\n", "[edges\n"] {
            assert!(set_threshold(text, 0.8).is_err(), "{text}");
        }
        assert!(set_threshold("", 1.5).is_err() && set_threshold("", 0.0).is_err());
    }
}
