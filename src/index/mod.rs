//! Joins the stages: a folder of images → a persistent, exact index of it, and answers from that.
//!
//! [`Writer`] changes the index and there is one at a time; [`Reader`] answers from the published view and waits for nobody.

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
mod publish;
mod query;
mod reader;
mod registry;
mod rows;
mod scores;
mod status;
mod stored;
mod sync;
mod verify;

pub use analysis::{Analysis, AnalysisOptions};
pub use arrivals::Ahead;
pub use calibrate::{Calibration, Impostor, Recall};
pub use check::{CheckItem, CheckOptions, Checked, Located, except};
pub use cluster::{
    Cluster, ClusterOptions, Clustered, Columns, GapRule, GraphCluster, GraphClusters, GraphMethod, HowMany, Method, Quality,
};
pub use components::Component;
pub use flat::Texture;
pub use gc::GcSummary;
pub use graph::ContentGraph;
pub use groups::{Groups, ImageGroup};
pub use images::{IndexedImage, Selection, Transform};
pub use init::{InitOptions, Survey, create, survey};
pub use intake::{Arrival, Arrivals, Intake, Taken, Told, Unsettled, Words, events};
pub use leaks::{ClassLeaks, Leak, Leaks, Nearest};
pub use objects::TakenIn;
pub use open::{Opened, Writer};
pub use outliers::{Isolation, Outlier, Outliers};
pub use publish::Published;
pub use query::{Match, QueryResult};
pub use reader::Reader;
pub use status::Status;
pub use stored::Stored;
pub use sync::{SyncOptions, SyncSummary};
pub use verify::Verification;

use std::path::{Path, PathBuf};

use crate::{
    Error, Result,
    dataset::{check_trust, index_folder},
    picture::Limits,
    store::medium::Folder,
    verdict::Rules,
};

/// The file that says what the folder is.
const FORMAT_FILE: &str = "format";

/// Its content; the number is that of the layout of the folder.
const FORMAT: &str = "wsidx index 3\n";

/// Where the parts of an index are.
#[derive(Debug, Clone)]
struct Home {
    root: PathBuf,
}

impl Home {
    fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Believed, and of this version.
    fn open(root: &Path) -> Result<Self> {
        let home = Self::new(root);
        if std::fs::symlink_metadata(home.folder()).is_err() {
            return Err(Error::NoIndex { from: root.to_owned() });
        }
        check_trust(root)?;
        let file = home.folder().join(FORMAT_FILE);
        let other = |what: &str, mend| Err(Error::Version { what: format!("{} {what}", home.folder().display()), mend });
        match std::fs::read(&file) {
            Ok(text) if text == FORMAT.as_bytes() => Ok(home),
            Ok(text) if text.starts_with(b"wsidx index ") => {
                other("was made by another version of wsidx", "use that version, or remove the folder and run `wsidx init`")
            }
            Ok(_) => other("is not a wsidx index", "move the folder away and run `wsidx init`"),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                other("is not a wsidx index: it has no file `format`", "move the folder away and run `wsidx init`")
            }
            Err(e) => Err(Error::io("reading", &file)(e)),
        }
    }

    fn folder(&self) -> PathBuf {
        index_folder(&self.root)
    }

    fn packs(&self) -> Result<Folder> {
        self.medium("packs")
    }

    fn view(&self) -> Result<Folder> {
        self.medium("view")
    }

    fn catalog(&self) -> PathBuf {
        self.folder().join("catalog")
    }

    /// What the `wsidx.toml` of the root says; the default where there is none.
    fn rules(&self) -> Result<Rules> {
        let file = self.root.join(POLICY_FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => Rules::from_toml(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Rules::default()),
            Err(e) => Err(Error::io("reading", &file)(e)),
        }
    }

    /// What the same file says that an image may cost.
    fn limits(&self) -> Result<Limits> {
        Ok(self.rules()?.limits.of_images())
    }

    fn medium(&self, name: &str) -> Result<Folder> {
        let path = self.folder().join(name);
        Folder::open(&path).map_err(|source| Error::Io { doing: "opening", path: path.clone(), source })
    }
}

/// The wsidx.toml of a dataset: its rules.
pub const POLICY_FILE: &str = "wsidx.toml";
