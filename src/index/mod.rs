//! Joins the stages: a folder of images → a persistent, exact index of it, and answers from that.
//!
//! [`Writer`] changes the index and there is one at a time; [`Reader`] answers from the published
//! view and waits for nobody.

mod analysis;
mod arrivals;
mod batch;
mod calibrate;
mod check;
mod cluster;
mod components;
mod crops;
mod edges;
mod flat;
mod gc;
mod graph;
mod groups;
mod images;
mod init;
mod intake;
mod leaks;
mod lock;
mod objects;
mod open;
mod outliers;
mod pairs;
mod parts;
mod publish;
mod query;
mod reader;
mod registration_cache;
mod replace;
mod restore;
mod rows;
mod scores;
mod status;
mod storage;
mod stored;
mod sync;
mod verify;

pub use analysis::{Analysis, AnalysisOptions};
pub use arrivals::Ahead;
pub use calibrate::{Calibration, Impostor, Recall};
pub use check::{CheckItem, CheckOptions, Checked, Located, except};
pub use cluster::{
    Cluster, ClusterOptions, Clustered, Columns, GapRule, GraphCluster, GraphClusters, GraphMethod,
    HowMany, Method, Quality,
};
pub use components::Component;
pub use flat::Texture;
pub use gc::GcSummary;
pub use graph::ContentGraph;
pub use groups::{Groups, ImageGroup};
pub use images::{IndexedImage, Selection, Transform};
pub use init::{InitOptions, Survey, create, create_noting, survey};
#[doc(hidden)]
pub use intake::events_in;
pub use intake::{Arrival, Arrivals, Intake, Taken, Told, Unsettled, Words, events};
pub use leaks::{ClassLeaks, Leak, Leaks, Nearest};
pub use objects::TakenIn;
pub use open::{Opened, Writer};
pub use outliers::{Isolation, Outlier, Outliers};
pub use publish::Published;
pub use query::{Match, QueryResult};
pub use reader::Reader;
pub use replace::{Replacement, finish_replacement};
pub use restore::is_unfinished;
pub use status::Status;
#[doc(hidden)]
pub use storage::{Held, Storage};
pub use stored::Stored;
pub use sync::{SyncOptions, SyncSummary};
pub use verify::Verification;

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{lock::Lock, restore::Said, storage::WriterLock};
use crate::{
    Error, Result,
    dataset::{
        self, Buffer, Images, Listing, check_trust, index_folder, is_interrupted, read_image,
        to_path,
    },
    file::{LONGEST_SETTINGS, read_optional},
    monitor::Monitor,
    picture::Limits,
    store::{
        catalog::{Catalog, SledCatalog},
        medium::{Folder, Medium},
        packs::Packs,
        state::Stat,
    },
    verdict::{ReadLimits, Rules},
};

/// The file that says what the folder is.
const FORMAT_FILE: &str = "format";

/// Its content; the number is that of the layout of the folder.
const FORMAT: &str = "wsidx index 3\n";

/// Where the parts of an index are.
#[derive(Clone)]
struct Home {
    root: PathBuf,
    /// The folder of the index, where it is not the one in which the root has it: one in the
    /// making.
    folder: Option<PathBuf>,
    /// In the place of the file system, where that is simulated.
    simulated: Option<Arc<dyn Storage>>,
}

impl Home {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            folder: None,
            simulated: None,
        }
    }

    /// Believed, and of this version.
    fn open(root: &Path) -> Result<Self> {
        let home = Self::new(root);
        if is_interrupted(root) {
            let what = format!(
                "the replacement of {} by `wsidx rebuild` was interrupted",
                home.folder().display()
            );
            return Err(Error::Damaged {
                what,
                mend: "run `wsidx sync`, which completes it",
            });
        }
        if std::fs::symlink_metadata(home.folder()).is_err() {
            return Err(Error::NoIndex {
                from: root.to_owned(),
            });
        }
        check_trust(root)?;
        let file = home.folder().join(FORMAT_FILE);
        let text = match Folder::open(&home.folder())
            .and_then(|folder| folder.read_whole(FORMAT_FILE, 1 << 10))
        {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => match Error::stored("reading", &file, "run `wsidx sync`")(e) {
                Error::Damaged { .. } => return Err(home.without_format()),
                failed => return Err(failed),
            },
        };
        let other = |what: &str, mend| {
            Err(Error::Version {
                what: format!("{} {what}", home.folder().display()),
                mend,
            })
        };
        match Said::of(text.as_deref()) {
            Said::This => Ok(home),
            Said::Other => other(
                "was made by another version of wsidx",
                "use that version, or move the folder away and run `wsidx sync --init`",
            ),
            Said::Foreign => other(
                "is not a wsidx index",
                "move the folder away and run `wsidx sync --init`",
            ),
            Said::Damaged => Err(home.without_format()),
        }
    }

    fn folder(&self) -> PathBuf {
        self.folder
            .clone()
            .unwrap_or_else(|| index_folder(&self.root))
    }

    /// Which folder it is now, as the file system knows it: another one may take its place.
    fn identity(&self) -> Option<(u64, u64)> {
        let meta = std::fs::symlink_metadata(self.folder())
            .ok()
            .filter(|_| self.simulated.is_none())?;
        Some((meta.dev(), meta.ino()))
    }

    fn simulated(root: &Path, storage: Arc<dyn Storage>) -> Self {
        Self {
            root: root.to_owned(),
            folder: None,
            simulated: Some(storage),
        }
    }

    fn packs(&self) -> Result<Arc<dyn Medium>> {
        self.simulated
            .as_ref()
            .map_or_else(|| self.medium("packs"), |storage| storage.packs())
    }

    fn open_packs(&self) -> Result<Packs> {
        let most = self
            .simulated
            .as_ref()
            .map_or(Packs::MAX_PACK_BYTES, |storage| storage.max_pack_bytes());
        Ok(Packs::open(self.packs()?)?.with_max_pack_bytes(most))
    }

    fn view(&self) -> Result<Arc<dyn Medium>> {
        self.simulated
            .as_ref()
            .map_or_else(|| self.medium("view"), |storage| storage.view())
    }

    fn catalog(&self) -> Box<dyn Catalog> {
        match &self.simulated {
            Some(storage) => storage.catalog(),
            None => Box::new(SledCatalog::new(self.catalog_folder())),
        }
    }

    fn catalog_folder(&self) -> PathBuf {
        self.folder().join("catalog")
    }

    fn lock(&self, who: &str, wait: bool, monitor: &dyn Monitor) -> Result<WriterLock> {
        match &self.simulated {
            Some(storage) => storage.lock(who, wait).map(WriterLock::Simulated),
            None => {
                Lock::take(&self.folder().join("lock"), who, wait, monitor).map(WriterLock::File)
            }
        }
    }

    fn list(&self, scope: &[u8], monitor: &dyn Monitor) -> Result<Listing> {
        match &self.simulated {
            Some(storage) => storage.list(scope),
            None => dataset::list(&self.root, scope, &|| monitor.cancelled()),
        }
    }

    /// Reads a file of the dataset.
    fn read_image(&self, path: &[u8], limits: &Limits, buffer: &mut Buffer) -> Result<Stat> {
        match &self.simulated {
            Some(storage) => storage.read_image(path, limits, buffer),
            None => read_image(&to_path(&self.root, path), limits, buffer),
        }
    }

    /// Reads a file of the dataset, or an item of a container.
    fn read_item(
        &self,
        images: &Images,
        path: &[u8],
        limits: &Limits,
        buffer: &mut Buffer,
    ) -> Result<Stat> {
        match &self.simulated {
            Some(storage) => storage.read_image(path, limits, buffer),
            None => images.read(&to_path(&self.root, path), limits, buffer),
        }
    }

    /// Whether a file of the dataset is not there.
    fn lacks(&self, path: &[u8]) -> bool {
        match &self.simulated {
            Some(storage) => storage
                .read_image(path, &Limits::default(), &mut Buffer::default())
                .is_err(),
            None => to_path(&self.root, path)
                .symlink_metadata()
                .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound),
        }
    }

    /// What the `wsidx.toml` of the root says; the default where there is none.
    fn rules(&self) -> Result<Rules> {
        if let Some(storage) = &self.simulated {
            return storage
                .rules()?
                .map_or(Ok(Rules::default()), |text| Rules::from_toml(&text));
        }
        match read_optional(&self.root.join(POLICY_FILE), LONGEST_SETTINGS)? {
            Some(text) => Rules::from_bytes(&text),
            None => Ok(Rules::default()),
        }
    }

    /// What the same file says that an image may cost; the default where the file cannot be used,
    /// which those who write say in another place.
    fn limits(&self) -> Limits {
        self.read_limits().of_images()
    }

    /// What the same file says that reading may cost, tables of labels included; the default as
    /// well.
    fn read_limits(&self) -> ReadLimits {
        self.rules().unwrap_or_default().limits
    }

    fn medium(&self, name: &str) -> Result<Arc<dyn Medium>> {
        let folder = self.folder();
        match Folder::open_in(&folder, name) {
            Ok(medium) => Ok(Arc::new(medium)),
            Err(e) => Err(
                Error::stored("opening", &folder.join(name), "run `wsidx sync`")(e)
                    .or_missing("run `wsidx sync`"),
            ),
        }
    }
}

/// The wsidx.toml of a dataset: its rules.
pub const POLICY_FILE: &str = "wsidx.toml";
