//! `wsidx groups`.

use std::{collections::BTreeSet, io::Write as _};

use serde::Serialize;
use wsidx::{
    index::{ImageGroup, Match},
    similarity::register::Needs,
    verdict::Occurrence,
};

use crate::{
    Exit, Outcome,
    args::{Format, Groups},
    json::{self, NeighborJson},
    query::table,
    session::Session,
    term,
};

/// Why images are a group.
const SIMILAR: &str = "near-duplicates";
const FLAT: &str = "too little contrast to tell";

#[derive(Serialize)]
struct GroupJson {
    schema: &'static str,
    reason: &'static str,
    conflict: bool,
    leak: bool,
    images: Vec<NeighborJson>,
}

/// A group as it is shown: every path by itself, the representative first.
struct Shown {
    reason: &'static str,
    conflict: bool,
    leak: bool,
    images: Vec<Match>,
}

impl Shown {
    fn new(reason: &'static str, images: Vec<Match>) -> Self {
        let places = || images.iter().flat_map(|image| &image.occurrences);
        let labels: BTreeSet<_> = places().filter_map(|o| o.label.as_ref()).collect();
        let splits: BTreeSet<_> = places().filter_map(|o| o.split).collect();
        Self {
            reason,
            conflict: labels.len() > 1,
            leak: splits.len() > 1,
            images,
        }
    }

    fn of(group: &ImageGroup) -> Self {
        let own = unregistered(group.id, &group.occurrences, 1.0, Some(Needs::NOTHING));
        Self::new(
            SIMILAR,
            [&own]
                .into_iter()
                .chain(&group.others)
                .flat_map(each_place)
                .collect(),
        )
    }

    /// What there is to say of it in one line.
    fn title(&self) -> String {
        let mut title = term::counted(self.images.len() as u64, "image", "images");
        let notes = [
            (self.conflict, "more than one label"),
            (self.leak, "more than one split"),
            (self.reason == FLAT, FLAT),
        ];
        notes
            .iter()
            .filter(|note| note.0)
            .for_each(|note| title.push_str(&format!(", {}", note.1)));
        title
    }
}

/// An image that was compared with none.
fn unregistered(
    id: [u8; 32],
    occurrences: &[Occurrence],
    similarity: f64,
    needs: Option<Needs>,
) -> Match {
    let too_little_texture = needs.is_none();
    let (paths, occurrences) = (occurrences.len(), occurrences.to_vec());
    Match {
        id,
        occurrences,
        paths,
        similarity,
        needs,
        pair: None,
        too_little_texture,
        cluster: None,
        distance: 0.0,
    }
}

fn each_place(found: &Match) -> impl Iterator<Item = Match> + '_ {
    found.occurrences.iter().map(|place| Match {
        occurrences: vec![place.clone()],
        paths: 1,
        ..found.clone()
    })
}

pub(crate) fn run(session: &Session, args: &Groups) -> Outcome {
    let reader = session.reader(None)?;
    let monitor = session.monitor(args.output.format);
    let found = reader.groups(&reader.rules()?.edges, &monitor)?;
    drop(monitor);
    let mut groups: Vec<Shown> = found.groups.iter().map(Shown::of).collect();
    let flat = found
        .flat
        .iter()
        .map(|(id, occurrences)| unregistered(*id, occurrences, 0.0, None));
    let flat: Vec<Match> = flat
        .flat_map(|image| each_place(&image).collect::<Vec<_>>())
        .collect();
    groups.extend((flat.len() > 1).then(|| Shown::new(FLAT, flat)));
    match args.output.format {
        Format::Text => text(session, &groups)?,
        format => json::write_all(&groups.iter().map(to_json).collect::<Vec<_>>(), format)?,
    }
    Ok(Exit::Fine)
}

fn to_json(group: &Shown) -> GroupJson {
    let &Shown {
        reason,
        conflict,
        leak,
        ref images,
    } = group;
    GroupJson {
        schema: "wsidx.groups/1",
        reason,
        conflict,
        leak,
        images: NeighborJson::list(images),
    }
}

fn text(session: &Session, groups: &[Shown]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(anstream::stdout().lock());
    let bold = clap::builder::styling::Style::new().bold();
    for (i, group) in groups.iter().enumerate() {
        writeln!(
            out,
            "{}{bold}{}{bold:#}",
            if i > 0 { "\n" } else { "" },
            group.title()
        )?;
        table(&group.images).write(&mut out, term::width())?;
    }
    out.flush()?;
    drop(out);
    if session.quiet {
        return Ok(());
    }
    let images: usize = groups.iter().map(|group| group.images.len()).sum();
    let counted = |n: usize, one, many| term::counted(n as u64, one, many);
    let of = |has: fn(&Shown) -> bool| groups.iter().filter(|group| has(group)).count();
    let mut talk = format!(
        "{} in {}",
        counted(images, "image", "images"),
        counted(groups.len(), "group", "groups")
    );
    let notes = [
        (of(|g| g.conflict), "with more than one label"),
        (of(|g| g.leak), "with more than one split"),
    ];
    notes
        .iter()
        .filter(|note| note.0 > 0)
        .for_each(|(n, what)| talk.push_str(&format!(", {} {what}", term::count(*n as u64))));
    writeln!(anstream::stderr(), "{talk}")
}
