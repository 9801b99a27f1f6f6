//! What one process sees of the world: the storage of the index as the library asks for it. File
//! handles are its own, as in `wsidx::store::medium::Folder`: a name that was opened stays what it
//! was, whoever removes or replaces it.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wsidx::{
    Error, Result,
    dataset::{Buffer, Listing},
    index::{Held, Storage},
    picture::Limits,
    store::{
        catalog::{Catalog, Mark},
        medium::{Bytes, Medium},
        state::{Stat, State, Touched},
    },
};

use crate::{
    broken::Broken,
    disk::Disk,
    world::{Fault, Kind, Sim, World},
};

/// A process of an actor, from its start to its end.
pub(crate) struct Process {
    pub(crate) sim: Arc<Sim>,
    pub(crate) id: u64,
    actor: usize,
}

impl Process {
    pub(crate) fn start(sim: &Arc<Sim>, actor: usize) -> Arc<Self> {
        Arc::new(Self {
            sim: Arc::clone(sim),
            id: sim.start(),
            actor,
        })
    }

    fn me(&self) -> (u64, usize) {
        (self.id, self.actor)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.sim.world().is_dead(self.id)
    }

    /// Whether anything went wrong in its calls.
    pub(crate) fn met_faults(&self) -> bool {
        self.sim.world().faults(self.id) > 0 || self.is_dead()
    }

    pub(crate) fn storage(self: &Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(Simulated(Arc::clone(self)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.sim.end(self.id);
    }
}

struct Simulated(Arc<Process>);

fn failed(what: &str) -> impl FnOnce(io::Error) -> Error {
    let path = PathBuf::from("simulated").join(what);
    move |source| Error::Io {
        doing: "using",
        path,
        source,
    }
}

impl Storage for Simulated {
    fn packs(&self) -> Result<Arc<dyn Medium>> {
        Ok(Arc::new(Folder::new(&self.0, "packs")))
    }

    fn view(&self) -> Result<Arc<dyn Medium>> {
        Ok(Arc::new(Folder::new(&self.0, "view")))
    }

    fn catalog(&self) -> Box<dyn Catalog> {
        Box::new(SimulatedCatalog(Arc::clone(&self.0)))
    }

    fn lock(&self, _who: &str, wait: bool) -> Result<Box<dyn Held>> {
        if self.0.sim.lock(self.0.me(), wait).map_err(failed("lock"))? {
            Ok(Box::new(SimulatedLock(Arc::clone(&self.0))))
        } else {
            Err(Error::Locked {
                holder: "another process".into(),
            })
        }
    }

    fn list(&self, scope: &[u8]) -> Result<Listing> {
        let what = || format!("list of {}", String::from_utf8_lossy(scope));
        self.0
            .sim
            .call(self.0.me(), Kind::Reads, &what, |world, _| {
                Ok(world.tree.list(scope))
            })
            .map_err(failed("tree"))
    }

    fn read_image(&self, path: &[u8], _limits: &Limits, buffer: &mut Buffer) -> Result<Stat> {
        let what = || format!("file {}", String::from_utf8_lossy(path));
        let read = self
            .0
            .sim
            .call(self.0.me(), Kind::Reads, &what, |world, _| {
                world.tree.read(path).ok_or(io::ErrorKind::NotFound.into())
            });
        let (bytes, stat) = read.map_err(|e| Error::Undecodable(e.to_string()))?;
        buffer.bytes.clear();
        buffer.bytes.extend_from_slice(bytes);
        Ok(stat)
    }

    fn max_pack_bytes(&self) -> u64 {
        self.0.sim.world().max_pack_bytes
    }

    fn rules(&self) -> Result<Option<String>> {
        let what = || "rules".to_owned();
        self.0
            .sim
            .call(self.0.me(), Kind::Waits, &what, |world, _| {
                Ok(world.rules.clone())
            })
            .map_err(failed("rules"))
    }
}

struct SimulatedLock(Arc<Process>);

impl Held for SimulatedLock {
    fn file_system_time(&self) -> io::Result<i64> {
        self.0.sim.call(
            self.0.me(),
            Kind::Writes,
            &|| "time".to_owned(),
            |world, _| Ok(world.clock),
        )
    }

    fn is_in_place(&self) -> bool {
        true
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut world = self.0.sim.world();
        if world.lock == Some(self.0.id) {
            world.lock = None;
        }
    }
}

struct SimulatedCatalog(Arc<Process>);

impl Catalog for SimulatedCatalog {
    fn load(&mut self) -> Option<(State, Mark)> {
        let what = || "load of the catalog".to_owned();
        self.0
            .sim
            .call(self.0.me(), Kind::Reads, &what, |world, _| {
                Ok(world.sled.now.clone())
            })
            .ok()
            .flatten()
    }

    fn store(&mut self, state: &State, _touched: &Touched, mark: Mark) -> Result<()> {
        let what = || format!("store of the catalog at {}", mark.generation);
        let stored = self
            .0
            .sim
            .call(self.0.me(), Kind::Grows, &what, |world, fault| {
                let World { sled, numbers, .. } = world;
                if fault.is_none_or(|_| numbers.below(2) == 0) {
                    sled.older.extend(sled.now.replace((state.clone(), mark)));
                }
                if fault.is_some() {
                    sled.crash(numbers);
                }
                Ok(())
            });
        stored.map_err(failed("catalog"))
    }

    fn rest(&mut self) {}

    fn clear(&mut self) -> Result<()> {
        let what = || "removal of the catalog".to_owned();
        let cleared = self
            .0
            .sim
            .call(self.0.me(), Kind::Writes, &what, |world, fault| {
                if fault.is_none_or(|_| world.numbers.below(2) == 0) {
                    world.sled.older.extend(world.sled.now.take());
                }
                Ok(())
            });
        cleared.map_err(failed("catalog"))
    }
}

/// A folder as one process has it open.
struct Folder {
    process: Arc<Process>,
    part: &'static str,
    reading: Handles,
    growing: Handles,
}

type Handles = Mutex<BTreeMap<String, u64>>;

fn held(handles: &Handles) -> MutexGuard<'_, BTreeMap<String, u64>> {
    handles.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(disk: &Disk, handles: &Handles, name: &str) -> io::Result<u64> {
    if let Some(number) = held(handles).get(name) {
        return Ok(*number);
    }
    let number = disk.open(name)?;
    held(handles).insert(name.to_owned(), number);
    Ok(number)
}

/// The first bytes of a hash, for the trace.
fn mark_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(8).collect()
}

impl Folder {
    fn new(process: &Arc<Process>, part: &'static str) -> Self {
        Self {
            process: Arc::clone(process),
            part,
            reading: Handles::default(),
            growing: Handles::default(),
        }
    }

    fn is_packs(&self) -> bool {
        self.part == "packs"
    }

    fn disk<'w>(&self, world: &'w mut World) -> &'w mut Disk {
        if self.is_packs() {
            &mut world.packs
        } else {
            &mut world.view
        }
    }

    fn call<T>(
        &self,
        kind: Kind,
        what: &dyn Fn() -> String,
        act: impl FnOnce(&mut World, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let what = || format!("{} {}", self.part, what());
        self.process.sim.call(self.process.me(), kind, &what, act)
    }

    fn read_with<T>(
        &self,
        what: &dyn Fn() -> String,
        name: &str,
        read: impl FnOnce(&Disk, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(Kind::Reads, what, |world, _| {
            let disk = &*self.disk(world);
            open(disk, &self.reading, name).and_then(|number| read(disk, number))
        })
    }

    fn forget(&self, name: &str) {
        held(&self.reading).remove(name);
        held(&self.growing).remove(name);
    }

    /// Whether a sync of a file is left out.
    fn leaves_out(&self, world: &mut World, name: &str, number: u64) -> bool {
        match world.broken {
            Broken::PackUnsynced => self.is_packs(),
            Broken::ViewUnsynced => !self.is_packs() && name != "manifest-new",
            Broken::ManifestUnsynced => name == "manifest-new",
            Broken::AcknowledgedBeforeSync if self.is_packs() => {
                let late = world.model.late.replace(number);
                late.into_iter().for_each(|late| world.packs.sync(late));
                true
            }
            _ => false,
        }
    }
}

impl Medium for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        self.call(Kind::Reads, &|| "list".to_owned(), |world, _| {
            Ok(self.disk(world).names())
        })
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.read_with(&|| format!("len {name}"), name, |disk, number| {
            Ok(disk.bytes(number).len() as u64)
        })
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let len = buf.len();
        self.read_with(
            &|| format!("read {name} {offset} {len}"),
            name,
            |disk, number| {
                buf.copy_from_slice(disk.part(number, offset, len)?);
                Ok(())
            },
        )
    }

    fn read_whole(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        self.call(Kind::Reads, &|| format!("read {name}"), |world, _| {
            let disk = self.disk(world);
            let bytes = disk.bytes(disk.open(name)?).to_vec();
            if bytes.len() as u64 > most {
                Err(io::ErrorKind::InvalidData.into())
            } else {
                Ok(bytes)
            }
        })
    }

    fn map(&self, name: &str, len: u64) -> io::Result<Bytes> {
        self.read_with(&|| format!("map {name} {len}"), name, |disk, number| {
            Ok(Bytes::copied(disk.part(number, 0, len as usize)?))
        })
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.call(Kind::Grows, &|| format!("create {name}"), |world, fault| {
            if world.broken == Broken::RemovedBeforeRename && name == "manifest-new" {
                let live: Vec<String> = world
                    .view
                    .names()
                    .into_iter()
                    .filter(|name| name.starts_with("live-"))
                    .collect();
                if let [old, _, ..] = &live[..] {
                    world.view.remove(old)?;
                }
            }
            if fault.is_none() {
                let number = self.disk(world).create(name)?;
                self.forget(name);
                held(&self.growing).insert(name.to_owned(), number);
            }
            Ok(())
        })
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.call(
            Kind::Grows,
            &|| format!("append {name} {} {}", bytes.len(), mark_of(bytes)),
            |world, fault| {
                let part = if fault.is_some() {
                    world.numbers.below(bytes.len() as u64 + 1) as usize
                } else {
                    bytes.len()
                };
                let disk = self.disk(world);
                let number = open(disk, &self.growing, name)?;
                disk.append(number, &bytes[..part]);
                Ok(())
            },
        )
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.call(Kind::Writes, &|| format!("sync {name}"), |world, fault| {
            let number = open(self.disk(world), &self.growing, name)?;
            if fault.is_none() && !self.leaves_out(world, name, number) {
                self.disk(world).sync(number);
            }
            Ok(())
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.call(
            Kind::Writes,
            &|| "sync of names".to_owned(),
            |world, fault| {
                let left_out = match world.broken {
                    Broken::PackNamesUnsynced => self.is_packs(),
                    Broken::RenamedBeforeNames => {
                        !self.is_packs() && world.view.open("manifest-new").is_ok()
                    }
                    _ => false,
                };
                if fault.is_none() && !left_out {
                    self.disk(world).sync_folder();
                }
                Ok(())
            },
        )
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(
            Kind::Writes,
            &|| format!("rename {from} {to}"),
            |world, fault| {
                if fault.is_none() {
                    self.disk(world).rename(from, to)?;
                    self.forget(from);
                    self.forget(to);
                }
                Ok(())
            },
        )
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(
            Kind::Writes,
            &|| format!("remove {name}"),
            |world, fault| {
                if fault.is_none() {
                    self.disk(world).remove(name)?;
                    self.forget(name);
                }
                Ok(())
            },
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("simulated").join(self.part).join(name)
    }
}
