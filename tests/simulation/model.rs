//! What the index may hold, by what was acknowledged: for each path the values that a process may
//! find there.

use std::collections::{BTreeMap, BTreeSet};

use wsidx::{
    dataset::contains,
    store::{
        state::{ContentId, State},
        view::{PathRecord, TableKind, View},
    },
};

use crate::tree::{Held, POOL, RelPath, Tree};

/// Stands for what cannot be read as an image, whatever its bytes.
pub(crate) const UNREAD: usize = usize::MAX;

/// What an index holds: each path with its content.
pub(crate) type Observed = BTreeMap<RelPath, usize>;

/// What a writer may change.
#[derive(Clone)]
pub(crate) enum Scope {
    /// Nothing that is seen from outside.
    Nothing,
    /// All below these folders, so that it is as in the tree.
    Below(Vec<Vec<u8>>),
    /// Some of these paths, each to what it is in the tree.
    Some(BTreeSet<RelPath>),
}

impl Scope {
    fn has(&self, path: &RelPath) -> bool {
        match self {
            Self::Nothing => false,
            Self::Below(folders) => folders.iter().any(|folder| contains(folder, path)),
            Self::Some(paths) => paths.contains(path),
        }
    }
}

struct InFlight {
    since: u64,
    scope: Scope,
}

#[derive(Default)]
pub(crate) struct Model {
    possible: BTreeMap<RelPath, BTreeSet<Held>>,
    in_flight: Option<InFlight>,
    /// What was told and acknowledged, by number.
    pub(crate) events: BTreeMap<u64, Vec<u8>>,
    /// All states that writers have held; a view may lag behind the last one.
    history: Vec<Observed>,
    /// What was seen at each generation.
    shown: BTreeMap<u64, Observed>,
    /// The newest generation that anybody has seen.
    pub(crate) generation: u64,
    /// The newest generation that a writer has acknowledged.
    acknowledged_generation: u64,
    /// Whether `gc` was begun, which drops old events.
    pub(crate) dropped_events: bool,
    /// Whether bits have changed since all was last known to be sound.
    pub(crate) rotten: bool,
    /// Whether bits have changed in all that had the settings of the index.
    pub(crate) lost_settings: bool,
    /// The pack that a broken medium has not synced yet.
    pub(crate) late: Option<u64>,
}

fn number(id: &ContentId) -> usize {
    POOL.number(id).unwrap_or(UNREAD)
}

/// What a writer holds.
pub(crate) fn observed(state: &State) -> Observed {
    state
        .paths()
        .iter()
        .map(|(path, entry)| (path.clone(), entry.content().map_or(UNREAD, number)))
        .collect()
}

/// What a view shows.
pub(crate) fn shown(view: &View) -> wsidx::Result<Observed> {
    let mut paths: Vec<RelPath> = Vec::new();
    view.table(TableKind::Paths).for_each(|path, _| {
        paths.push(path.into());
        Ok(())
    })?;
    let mut observed = Observed::new();
    for path in paths {
        match view.path(&path)? {
            Some(PathRecord::Row(row)) => {
                observed.insert(path, number(&view.content(row)?.0));
            }
            Some(PathRecord::Undecodable(_)) => {
                observed.insert(path, UNREAD);
            }
            None => {}
        }
    }
    Ok(observed)
}

fn wording(held: Option<&usize>) -> String {
    match held {
        None => "nothing".into(),
        Some(&UNREAD) => "something unreadable".into(),
        Some(number) => format!("content {number}"),
    }
}

/// A value as it is compared: a content that is no picture is unreadable.
pub(crate) fn value(held: Held) -> Held {
    held.map(|number| {
        if POOL.is_broken(number) {
            UNREAD
        } else {
            number
        }
    })
}

impl Model {
    /// A writer begins to change what is in a scope.
    pub(crate) fn begin(&mut self, since: u64, scope: Scope) {
        self.in_flight = Some(InFlight { since, scope });
    }

    /// What the writer may leave behind where it fails, or just now.
    fn values(&self, tree: &Tree) -> BTreeMap<RelPath, BTreeSet<Held>> {
        let mut values = self.possible.clone();
        if let Some(InFlight { since, scope }) = &self.in_flight {
            for (path, held) in tree.held_since(*since) {
                if scope.has(&path) {
                    let known = values.entry(path).or_insert_with(|| BTreeSet::from([None]));
                    known.extend(held.into_iter().map(value).chain([Some(UNREAD)]));
                }
            }
        }
        values
    }

    fn compare(
        possible: &BTreeMap<RelPath, BTreeSet<Held>>,
        observed: &Observed,
        who: &str,
    ) -> Result<(), String> {
        let none = BTreeSet::from([None]);
        for path in possible.keys().chain(observed.keys()) {
            let held = observed.get(path);
            let may = possible.get(path).unwrap_or(&none);
            if !may.contains(&held.copied()) {
                let may: Vec<String> = may.iter().map(|held| wording(held.as_ref())).collect();
                let path = String::from_utf8_lossy(path);
                return Err(format!(
                    "{who}: {path} holds {}; acknowledged or under way: {}",
                    wording(held),
                    may.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// A writer has opened the index and holds this. It stays.
    pub(crate) fn opened(&mut self, observed: &Observed) -> Result<(), String> {
        if !self.rotten {
            Self::compare(&self.possible, observed, "a writer that opens the index")?;
        }
        self.settle(observed);
        Ok(())
    }

    fn settle(&mut self, observed: &Observed) {
        self.possible = observed
            .iter()
            .map(|(path, held)| (path.clone(), BTreeSet::from([Some(*held)])))
            .collect();
        self.in_flight = None;
        if self.history.last() != Some(observed) {
            self.history.push(observed.clone());
        }
    }

    /// A writer reports success, and holds this.
    pub(crate) fn acknowledged(
        &mut self,
        tree: &Tree,
        observed: &Observed,
        met_faults: bool,
    ) -> Result<(), String> {
        let Some(InFlight { since, scope }) = &self.in_flight else {
            return Ok(());
        };
        let mut possible = self.possible.clone();
        for (path, held) in tree.held_since(*since) {
            if scope.has(&path) {
                let is_steady = held.len() == 1;
                let mut may: BTreeSet<Held> = held.into_iter().map(value).collect();
                may.extend((!is_steady || met_faults).then_some(Some(UNREAD)));
                match scope {
                    // A watcher leaves a file alone that has not settled.
                    Scope::Some(_) => possible
                        .entry(path)
                        .or_insert_with(|| BTreeSet::from([None]))
                        .extend(may),
                    _ => {
                        possible.insert(path, may);
                    }
                }
            }
        }
        Self::compare(&possible, observed, "a writer that reports success")?;
        self.settle(observed);
        Ok(())
    }

    /// A writer has failed or died.
    pub(crate) fn given_up(&mut self, tree: &Tree) {
        self.possible = self.values(tree);
        self.in_flight = None;
    }

    /// A reader sees this at a generation, and `since` was the newest one when it began.
    pub(crate) fn seen(
        &mut self,
        tree: &Tree,
        generation: u64,
        since: u64,
        observed: &Observed,
    ) -> Result<(), String> {
        if self.rotten {
            return Ok(());
        }
        if generation < since {
            return Err(format!(
                "a reader sees generation {generation} after generation {since} was seen"
            ));
        }
        match self.shown.get(&generation) {
            Some(shown) if shown != observed => {
                return Err(format!(
                    "generation {generation} shows two different states"
                ));
            }
            _ if self.history.contains(observed) => {}
            Some(_) => {}
            None => Self::compare(
                &self.values(tree),
                observed,
                &format!("a reader of generation {generation}"),
            )?,
        }
        self.shown.insert(generation, observed.clone());
        self.generation = self.generation.max(generation);
        Ok(())
    }

    /// A writer reports success, and this generation is published.
    pub(crate) fn published(&mut self, generation: u64) {
        self.acknowledged_generation = generation;
        self.generation = self.generation.max(generation);
    }

    /// The power went: a generation that readers have seen and no writer has acknowledged may be
    /// gone, and its number is used again.
    pub(crate) fn power_lost(&mut self) {
        self.generation = self.generation.min(self.acknowledged_generation);
        self.shown
            .retain(|&generation, _| generation <= self.acknowledged_generation);
    }

    /// All is sound again, after bits had changed.
    pub(crate) fn mended(&mut self, observed: &Observed) {
        self.rotten = false;
        self.history.clear();
        self.settle(observed);
        self.shown.clear();
        self.generation = 0;
        self.acknowledged_generation = 0;
        self.events.clear();
    }
}
