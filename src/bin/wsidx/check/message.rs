//! A verdict → why, in one sentence, for people; and which of its evidence decides.

use wsidx::{
    index::{Checked, Match, Texture},
    verdict::{
        Occurrence, Verdict, conflicts_with, image_fingerprint, leaks_into, pair_fingerprint,
        path_fingerprint,
    },
};

use crate::{json::short, term};

/// The content that a verdict of redundant or influential rests on.
pub(crate) enum Deciding<'a> {
    /// The very bytes, at these places.
    Same(&'a [Occurrence]),
    /// A near-duplicate.
    Near(&'a Match),
}

/// The content that decides: one in conflict if there is any, and of those the same bytes before
/// near ones.
pub(crate) fn deciding(checked: &Checked) -> Option<Deciding<'_>> {
    let conflicts =
        |occurrences: &[Occurrence]| conflicts_with(checked.label.as_ref(), occurrences);
    let wanted =
        |occurrences: &[Occurrence]| checked.judgement.conflicts == 0 || conflicts(occurrences);
    if !checked.same.is_empty() && wanted(&checked.same) {
        return Some(Deciding::Same(&checked.same));
    }
    checked
        .edges
        .iter()
        .find(|edge| wanted(&edge.occurrences))
        .map(Deciding::Near)
}

/// What names a finding for good, whatever its files are called; none where there is no finding.
pub(crate) fn fingerprint(checked: &Checked) -> Option<String> {
    let bytes = match (checked.judgement.verdict, checked.id.as_ref()) {
        (Verdict::Novel, _) => return None,
        (_, None) => path_fingerprint(&checked.item.path),
        (_, Some(id)) => match deciding(checked) {
            Some(Deciding::Same(_)) => pair_fingerprint(id, id),
            Some(Deciding::Near(matched)) => pair_fingerprint(id, &matched.id),
            None => image_fingerprint(id),
        },
    };
    Some(data_encoding::HEXLOWER.encode(&bytes))
}

/// Why, in one sentence: what rests on it first.
pub(crate) fn message(checked: &Checked) -> String {
    let judgement = &checked.judgement;
    match judgement.verdict {
        Verdict::Undecodable => {
            format!(
                "cannot be read as an image: {}",
                checked
                    .reason
                    .as_deref()
                    .map_or_else(String::new, term::escape_text)
            )
        }
        Verdict::Missing => checked
            .reason
            .as_deref()
            .map_or_else(String::new, term::escape_text),
        Verdict::Influential | Verdict::Redundant => evidence(checked),
        Verdict::Anomaly => match judgement.percentile {
            Some(percentile) => format!(
                "unlike anything in the dataset: farther from its neighbours than {percentile:.1} % of the images"
            ),
            None => "unlike anything in the dataset".to_owned(),
        },
        Verdict::Novel => novel(checked),
    }
}

/// What was compared, and what was not.
fn novel(checked: &Checked) -> String {
    match (checked.texture, checked.nearest.first()) {
        (Some(Texture::Flat(others)), _) => format!(
            "flat: without contrast, it is compared only with the flat pictures of the dataset ({}), for the same pixels",
            term::count(others as u64)
        ),
        (Some(Texture::TooLittle), _) => {
            "too little texture to tell whether it repeats another; only the same pixels would count".to_owned()
        }
        (_, Some(nearest)) => format!("nearest {} (similarity {:.3})", place_of(&nearest.occurrences, nearest.paths), nearest.similarity),
        (_, None) => "nothing to compare it with".to_owned(),
    }
}

fn evidence(checked: &Checked) -> String {
    let mut text = match deciding(checked) {
        Some(Deciding::Same(same)) => {
            format!("same bytes as {}", place_of(same, checked.same_paths))
        }
        Some(Deciding::Near(Match {
            occurrences,
            paths,
            similarity,
            pair,
            ..
        })) => {
            format!(
                "similarity {similarity:.3} with {}: {}",
                place_of(occurrences, *paths),
                pair.map_or_else(String::new, |pair| pair.words())
            )
        }
        None => String::new(),
    };
    if let Some(Texture::Flat(others)) = checked.texture {
        text.push_str(&format!(
            "; flat, like {} of the dataset",
            term::counted(others as u64, "content", "contents")
        ));
    }
    let others = (checked.judgement.duplicates + checked.judgement.conflicts).saturating_sub(1);
    if others > 0 {
        text.push_str(&format!(", and {} more", term::count(others as u64)));
    }
    if let Some(cluster) = checked.cluster() {
        text.push_str(&format!(
            "; cluster {} of {}",
            short(&cluster.id),
            term::counted(cluster.images, "image", "images")
        ));
    }
    if let Some(leak) = leak(checked) {
        text.push_str(&format!("; leak: {leak}"));
    }
    text
}

/// Where the other split's copy is; none without a leak.
pub(crate) fn leak(checked: &Checked) -> Option<String> {
    let other = leaked(checked)?;
    Some(format!(
        "{} is in {}",
        term::escape(&other.path),
        other.split?
    ))
}

/// The first copy in another split.
pub(crate) fn leaked(checked: &Checked) -> Option<&Occurrence> {
    let all = checked
        .same
        .iter()
        .chain(checked.edges.iter().flat_map(|edge| &edge.occurrences));
    all.into_iter()
        .find(|o| leaks_into(checked.split, std::slice::from_ref(o)))
}

/// The first of so many paths, with its label and split.
fn place_of(occurrences: &[Occurrence], paths: usize) -> String {
    let Some(first) = occurrences.first() else {
        return "a file of this request".to_owned();
    };
    let more = paths.saturating_sub(1);
    let label = first
        .label
        .as_deref()
        .map(|label| format!("label {}", term::escape(label)));
    let split = first.split.map(|split| split.name().to_owned());
    let more = (more > 0).then(|| format!("{} more", term::counted(more as u64, "path", "paths")));
    let known: Vec<String> = label.into_iter().chain(split).chain(more).collect();
    let known = if known.is_empty() {
        String::new()
    } else {
        format!(" ({})", known.join(", "))
    };
    format!("{}{known}", term::escape(&first.path))
}
