//! The index that is built from nothing, on a disk that does nothing wrong: what every answer is
//! compared with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use wsidx::{
    Result,
    index::{CheckItem, CheckOptions, Reader, SyncOptions, Writer},
    monitor::Silent,
    picture::{Limits, Shape},
    similarity::EdgeRule,
    store::{packs::Packs, packs::Place, settings::Settings, state::ContentId, view::RowRecord},
};

use crate::{
    broken::Broken,
    images::Numbers,
    model::{Observed, UNREAD},
    process::Process,
    tree::{POOL, SIDE},
    world::Sim,
};

/// Each live row by its content: its record without its place; its list and its edges by content;
/// and the features of its crops.
pub(crate) type Everything =
    BTreeMap<ContentId, (RowRecord, Vec<(ContentId, u32)>, Vec<String>, Vec<i32>)>;

/// The stored picture of each live row.
fn pictures(reader: &Reader, all: &Everything) -> Result<Vec<String>> {
    let first = |(record, ..): &(RowRecord, _, _, _)| record.occurrences[0].path.clone();
    let picture = |path: Arc<[u8]>| {
        Ok(blake3::hash(reader.stored(&path)?.picture.samples())
            .to_hex()
            .to_string())
    };
    all.values().map(|row| picture(first(row))).collect()
}

/// All that a view shows.
pub(crate) fn everything(reader: &Reader) -> Result<Everything> {
    let view = reader.view();
    let of_crops = view
        .crops()
        .zip(view.manifest().crops.as_ref())
        .map_or(0, |(_, crops)| crops.places);
    let mut all = Everything::new();
    for row in 0..view.rows() as u32 {
        let record = view.row(row)?;
        if record.occurrences.is_empty() {
            continue;
        }
        let id = |row| view.content(row).map(|(id, _)| id);
        let list = view
            .list(row)?
            .iter()
            .map(|near| Ok((id(near.row)?, near.distance)))
            .collect::<Result<_>>()?;
        let edge = |edge: &wsidx::similarity::Edge| {
            Ok(format!(
                "{:?} {} {:?}",
                id(edge.row)?,
                edge.similarity.to_bits(),
                edge.needs
            ))
        };
        let mut edges = view
            .edges(row)?
            .iter()
            .map(edge)
            .collect::<Result<Vec<_>>>()?;
        edges.sort();
        let mut crops = Vec::new();
        for crop in row * of_crops..(row + 1) * of_crops {
            let features = view
                .crops()
                .map(|crops| crops.row(crop).map(|row| row.values().collect::<Vec<_>>()))
                .transpose()?;
            crops.extend(features.into_iter().flatten());
        }
        let place = Place {
            pack: 0,
            offset: 0,
            len: 0,
        };
        all.insert(
            record.id,
            (RowRecord { place, ..record }, list, edges, crops),
        );
    }
    Ok(all)
}

/// Files to be judged, as a user names them.
pub(crate) fn items(files: &[(Arc<[u8]>, usize)]) -> Vec<CheckItem> {
    files
        .iter()
        .map(|(path, content)| CheckItem {
            file: POOL.file(*content),
            path: path.clone(),
            inside: true,
        })
        .collect()
}

/// A question, for the index and for the one that is built from nothing.
pub(crate) enum Question {
    Everything,
    Groups,
    Query(usize),
    Check(Vec<(Arc<[u8]>, usize)>),
}

impl Question {
    pub(crate) fn any(numbers: &mut Numbers) -> Self {
        match numbers.below(6) {
            0 => Self::Groups,
            1 => Self::Query(POOL.any_picture(numbers)),
            2 => {
                let file = |numbers: &mut Numbers| {
                    let path = format!(
                        "{}/{}/{}.ppm",
                        ["train", "test"][numbers.below(2) as usize],
                        ["cat", "dog"][numbers.below(2) as usize],
                        numbers.below(12)
                    );
                    (Arc::from(path.as_bytes()), crate::tree::Pool::any(numbers))
                };
                Self::Check((0..1 + numbers.below(4)).map(|_| file(numbers)).collect())
            }
            _ => Self::Everything,
        }
    }

    /// The answer, in words.
    pub(crate) fn answer(&self, reader: &Reader) -> Result<String> {
        let rule = EdgeRule::default();
        Ok(match self {
            Self::Everything => {
                let all = everything(reader)?;
                let pictures = pictures(reader, &all)?;
                all.iter()
                    .zip(pictures)
                    .map(|(row, picture)| format!("{row:?} {picture}\n"))
                    .collect()
            }
            Self::Groups => format!("{:#?}", reader.groups(&rule, &Silent)?),
            Self::Query(content) => format!(
                "{:#?}",
                reader.query(&POOL.file(*content), 5, &Limits::default(), &rule)?
            ),
            Self::Check(files) => format!(
                "{:#?}",
                reader.check(items(files), &CheckOptions::default(), &Silent)?
            ),
        })
    }
}

/// The settings of the first index of a run.
pub(crate) fn first_settings() -> Result<Vec<u8>> {
    Ok(Settings::new(Shape::new(SIDE as u16, 3)?)
        .to_text()
        .into_bytes())
}

/// Makes an empty index.
pub(crate) fn create(process: &Arc<Process>, settings: &[u8]) -> Result<()> {
    Packs::create(process.storage().packs()?, settings)?;
    Writer::open_in(&POOL.root(), process.storage(), "init", false, &Silent)?
        .publish(0, &Silent)?;
    Ok(())
}

/// Indexes that were built from nothing, by what they hold.
#[derive(Default)]
pub(crate) struct Oracle {
    built: Mutex<BTreeMap<Built, Arc<Process>>>,
}

/// What an index that is built from nothing depends on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Built {
    pub(crate) files: Observed,
    pub(crate) crops: bool,
    pub(crate) settings: Vec<u8>,
}

impl Oracle {
    /// What an index of just these files answers.
    pub(crate) fn answer(&self, of: Built, question: &Question) -> Result<String> {
        let built = self
            .built
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&of)
            .cloned();
        let process = match built {
            Some(process) => process,
            None => {
                let process = build(&of)?;
                self.built
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(of, Arc::clone(&process));
                process
            }
        };
        question.answer(&Reader::open_in(&POOL.root(), process.storage())?)
    }
}

fn build(
    Built {
        files,
        crops,
        settings,
    }: &Built,
) -> Result<Arc<Process>> {
    let sim = Sim::new(0, Broken::Nothing);
    let mut numbers = Numbers::new(0);
    for (path, content) in files.iter().filter(|(_, content)| **content != UNREAD) {
        sim.world()
            .tree
            .put(path.clone(), *content, 0, 0, &mut numbers);
    }
    sim.world().rules = crops.then(|| "[index]\ncrops = true\n".to_owned());
    let process = Process::start(&sim, 0);
    create(&process, settings)?;
    Writer::open_in(&POOL.root(), process.storage(), "sync", false, &Silent)?
        .sync(&SyncOptions::default(), &Silent)?;
    Ok(process)
}
