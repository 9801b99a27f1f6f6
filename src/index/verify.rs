//! Everything derived, derived again and compared with what is stored.

use rayon::prelude::*;

use super::{
    Reader, Writer,
    crops::crop_features,
    edges::Candidates,
    publish::{coefficients_of, picture_of},
    query::ById,
    rows::SPARE,
};
use crate::{
    Error, Result,
    dataset::{Buffer, Images},
    knn::{ListUpdate, Live, Neighbor, NoLists, OwnedPlanes, Update, Watch, update_lists},
    monitor::Monitor,
    picture::{Limits, Picture, decode},
    similarity::Edge,
    store::{
        state::{ContentId, Holds},
        view::PathRecord,
    },
};

/// What `verify` found. The index is sound if `problems` is empty; `stale` is for `sync` to bring
/// in line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Contents whose stored coefficients, features and lists were compared.
    pub contents: u64,
    /// Files that were hashed and compared with their content.
    pub files: u64,
    /// Files that changed or left since the last `sync`.
    pub stale: u64,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

impl Writer {
    /// What an image may cost by the `wsidx.toml` of the root; the default where that cannot be
    /// used.
    pub fn limits(&self) -> Limits {
        self.home.limits()
    }

    /// Checks the packs, the state, every block of the view, the features and lists of every row
    /// and, with `files`, the bytes and decoded pictures of every file.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Io`]; damage is a finding.
    pub fn verify(
        &mut self,
        files: bool,
        limits: &Limits,
        monitor: &dyn Monitor,
    ) -> Result<Verification> {
        let mut found = Verification::default();
        monitor.stage("checking packs", None);
        let before = (self.state.hash(), self.mark);
        self.rebuild_catalog()?;
        found.problems.extend(self.opened.damage.iter().map(|(pack, offset, bytes)| {
            format!(
                "packs: {bytes} bytes of pack {pack} at {offset} cannot be read; run `wsidx sync`, which reads the affected files again"
            )
        }));
        if before != (self.state.hash(), self.mark) {
            found
                .problems
                .push("the catalog was not what the packs say; it was made again".into());
        }
        if self.mark.incomplete {
            found.problems.push("packs: stored records were lost; run `wsidx sync`, which reads the affected files again".into());
        }
        let lost: Vec<String> = self
            .state
            .missing()
            .take(5)
            .map(|id| blake3::Hash::from_bytes(*id).to_hex().to_string())
            .collect();
        if !lost.is_empty() {
            found
                .problems
                .push(format!("packs: lost contents, such as {}", lost.join(", ")));
        }
        match Reader::open_home(self.home.clone()) {
            Ok(reader) => {
                let checked = reader.verify_view(self, &mut found, monitor);
                note(checked, &mut found.problems)?;
            }
            Err(e) => note(Err(e), &mut found.problems)?,
        }
        if files {
            self.verify_files(limits, &mut found, monitor)?;
        }
        Ok(found)
    }

    fn verify_files(
        &self,
        limits: &Limits,
        found: &mut Verification,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        monitor.stage("checking files", Some(self.state.paths().len() as u64));
        let paths: Vec<_> = self.state.paths().iter().collect();
        let images = Images::default();
        let checked = paths
            .par_iter()
            .map_init(Buffer::default, |buffer, (path, entry)| {
                monitor.advance(1);
                if monitor.cancelled() {
                    return Err(Error::Interrupted);
                }
                let Holds::Content(id) = &entry.holds else {
                    return Ok(None);
                };
                if self.home.read_item(&images, path, limits, buffer).is_err() || buffer.id() != *id
                {
                    return Ok(Some(true));
                }
                self.same_picture(id, &buffer.bytes, limits)
                    .map(|same| (!same).then_some(false))
            });
        let checked: Vec<Option<bool>> = checked.collect::<Result<_>>()?;
        found.files = checked.len() as u64;
        found.stale = checked.iter().filter(|c| **c == Some(true)).count() as u64;
        let wrong = checked
            .iter()
            .zip(&paths)
            .filter(|(c, _)| **c == Some(false));
        found.problems.extend(wrong.map(|(_, (path, _))| {
            format!(
                "{}: the stored picture is not that of the file; run `wsidx rebuild`",
                String::from_utf8_lossy(path)
            )
        }));
        Ok(())
    }

    fn same_picture(&self, id: &ContentId, bytes: &[u8], limits: &Limits) -> Result<bool> {
        let Some(entry) = self.state.content(id) else {
            return Ok(true);
        };
        let stored = self
            .content(entry.place)
            .and_then(|content| picture_of(&content, &self.settings));
        let decoded = decode(bytes, self.settings.shape(), limits);
        Ok(matches!((stored, decoded), (Ok(stored), Ok(decoded)) if stored == decoded.picture))
    }
}

/// Damage becomes a line; anything else goes on up.
fn note(result: Result<()>, problems: &mut Vec<String>) -> Result<()> {
    match result {
        Err(e @ (Error::Damaged { .. } | Error::Version { .. })) => problems.push(e.to_string()),
        other => return other,
    }
    Ok(())
}

impl Reader {
    fn verify_view(
        &self,
        writer: &Writer,
        found: &mut Verification,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        self.view.check()?;
        if self.view.manifest().generation != writer.mark.generation {
            found
                .problems
                .push("the view does not show the last commit; run `wsidx sync`".into());
            return Ok(());
        }
        let rows: Vec<u32> = (0..self.view.rows() as u32).collect();
        monitor.stage("checking features", Some(rows.len() as u64));
        let live = self.view.live_words()?;
        let checked = rows.par_iter().map(|&row| {
            monitor.advance(1);
            if monitor.cancelled() {
                Err(Error::Interrupted)
            } else {
                self.verify_row(row, &Live(&live), writer)
            }
        });
        let wrong: Vec<String> = checked
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        found.problems.extend(wrong.into_iter().take(20));
        found.contents = rows.len() as u64;
        for (path, entry) in writer.state.paths() {
            let shown = self.view.path(path)?;
            let right = match (&entry.holds, shown) {
                (Holds::Content(id), Some(PathRecord::Row(row))) => self.view.row(row)?.id == *id,
                (Holds::Undecodable { reason, .. }, Some(PathRecord::Undecodable(shown))) => {
                    **reason == *shown
                }
                _ => false,
            };
            if !right {
                found.problems.push(format!(
                    "{}: the view shows something else; run `wsidx rebuild`",
                    String::from_utf8_lossy(path)
                ));
            }
        }
        monitor.stage("checking lists", None);
        self.verify_lists(&live, found, monitor)
    }

    fn verify_row(&self, row: u32, live: &Live<'_>, writer: &Writer) -> Result<Option<String>> {
        let record = self.view.row(row)?;
        let wrong = |what: &str| Ok(Some(format!("row {row}: {what}; run `wsidx rebuild`")));
        if self.view.row_of(&record.id)? != Some(row) {
            return wrong("its content id leads elsewhere");
        }
        if live.contains(row) != writer.state.is_held(&record.id)
            || record.occurrences != writer.state.occurrences(&record.id)
        {
            return wrong("it is not where the packs say");
        }
        let picture = self.picture_of_row(row)?;
        let mut planes = OwnedPlanes::new(self.basis.len());
        planes.push(
            &self
                .basis
                .feature(&mut coefficients_of(&picture, &self.settings))
                .0,
        );
        let (fresh, stored) = (planes.as_planes(), self.view.planes()?);
        let at = row as usize * stored.stride()..(row as usize + 1) * stored.stride();
        if (
            &stored.high()[at.clone()],
            &stored.low()[at],
            stored.norms()[row as usize],
        ) != (fresh.high(), fresh.low(), fresh.norms()[0])
        {
            return wrong("its feature is not that of its picture");
        }
        if self.has_crops_of(row, &picture)? {
            Ok(None)
        } else {
            wrong("the features of its crops are not those of its picture")
        }
    }

    /// Whether the rows of crops, where they are kept, are those of the picture of a row.
    fn has_crops_of(&self, row: u32, picture: &Picture) -> Result<bool> {
        let Some(stored) = self.view.crops() else {
            return Ok(true);
        };
        let mut planes = OwnedPlanes::new(self.basis.len());
        crop_features(picture, &self.basis, &self.settings)
            .iter()
            .for_each(|feature| planes.push(&feature.0));
        let (fresh, stored) = (planes.as_planes(), stored.planes()?);
        let rows = row as usize * fresh.rows()..(row as usize + 1) * fresh.rows();
        let bytes = rows.start * stored.stride()..rows.end * stored.stride();
        let kept = (
            stored.high().get(bytes.clone()),
            stored.low().get(bytes),
            stored.norms().get(rows),
        );
        Ok(kept == (Some(fresh.high()), Some(fresh.low()), Some(fresh.norms())))
    }

    /// The edges that a build from nothing gives.
    fn verify_edges(
        &self,
        lists: &ListUpdate,
        found: &mut Verification,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let registrar = self.registrar(self.view.rows());
        let built = Candidates {
            old: None,
            lists,
            k: self.settings.neighbors.into(),
        }
        .edges(registrar, monitor)?;
        self.verify_rows(
            built.iter(),
            |row| self.view.edges(row),
            <[Edge]>::eq,
            "its edges are not those",
            found,
        )
    }

    /// The lists that a build from nothing gives.
    fn verify_lists(
        &self,
        live: &[u64],
        found: &mut Verification,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let all: Vec<u32> = (0..self.view.rows() as u32)
            .filter(|&row| Live(live).contains(row))
            .collect();
        let k = usize::from(self.settings.neighbors);
        let update = Update {
            planes: self.view.planes()?,
            live: Live(live),
            added: &all,
            removed: &[],
            old: &NoLists,
            k,
            spare: SPARE,
            order: &ById(&self.view),
            results: None,
        };
        let built = update_lists(
            &update,
            &Watch {
                progress: &|_, _| {},
                cancelled: &|| monitor.cancelled(),
            },
        )?;
        self.verify_edges(&built, found, monitor)?;
        let is_list = |list: &[Neighbor], right: &[Neighbor]| {
            list.len() >= right.len().min(k) && right.starts_with(list)
        };
        self.verify_rows(
            built.iter(),
            |row| self.view.whole_list(row),
            is_list,
            "its list is not that",
            found,
        )
    }

    /// What was built for some rows, ascending, and is empty for the others, against what is
    /// stored.
    fn verify_rows<'a, T: PartialEq + 'a>(
        &self,
        built: impl Iterator<Item = (u32, &'a [T])>,
        stored: impl Fn(u32) -> Result<Vec<T>>,
        is_right: impl Fn(&[T], &[T]) -> bool,
        what: &str,
        found: &mut Verification,
    ) -> Result<()> {
        let mut built = built.peekable();
        for row in 0..self.view.rows() as u32 {
            let right = built
                .next_if(|(r, _)| *r == row)
                .map_or(&[][..], |(_, right)| right);
            if !is_right(&stored(row)?, right) {
                found.problems.push(format!(
                    "row {row}: {what} of a rebuild; run `wsidx rebuild`"
                ));
            }
        }
        Ok(())
    }
}
