//! The published view and the packs behind it, for answers.

use std::{
    io::ErrorKind,
    path::Path,
    sync::{Arc, OnceLock},
};

use super::{
    Home, Storage,
    crops::has_crops,
    open::incomplete,
    pairs::Registrar,
    publish::{coefficients_of, picture_of},
    registration_cache::RegistrationCache,
};
use crate::{
    Error, Result,
    feature::{Basis, Feature, Turned},
    picture::{Limits, Picture},
    similarity::{
        register::{RULE, Turn},
        turned,
    },
    store::{
        packs::{Content, Place, Reader as Records},
        settings::Settings,
        state::ContentId,
        view::View,
    },
    verdict::{Reference, Rules},
    wavelet::Wavelet,
};

/// Answers from one generation of the index. Opening it takes no lock and waits for nobody.
pub struct Reader {
    pub(super) home: Home,
    pub(super) settings: Settings,
    pub(super) view: Arc<View>,
    pub(super) basis: Basis,
    pub(super) packs: Records,
    /// The scores that anomalies are held against, once they were needed.
    pub(super) reference: OnceLock<Arc<Reference>>,
    /// The columns of the basis under each turn, once they were needed.
    pub(super) turned: OnceLock<Vec<Turned>>,
    /// What a writer that asks has registered lately.
    pub(super) registrations: Option<Arc<RegistrationCache>>,
    /// The k-distances of the rows of the view, where the reader belongs to a writer that knows
    /// them.
    pub(super) k_distances: Option<Arc<Vec<u32>>>,
}

impl Reader {
    /// Opens the generation that is published now.
    ///
    /// # Errors
    /// [`Error::NoIndex`], [`Error::Refused`], [`Error::Version`]; [`Error::Damaged`] with the
    /// command that mends it.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_home(Home::open(root)?)
    }

    /// The same on a storage that is simulated.
    ///
    /// # Errors
    /// As [`Reader::open`].
    #[doc(hidden)]
    pub fn open_in(root: &Path, storage: Arc<dyn Storage>) -> Result<Self> {
        Self::open_home(Home::simulated(root, storage))
    }

    pub(super) fn open_home(home: Home) -> Result<Self> {
        let (view, packs) = open_both(&home)?;
        let settings = Settings::from_text(&view.manifest().settings)?;
        let basis = view.basis();
        if Basis::stored(&basis.columns, basis.fitted, &settings.layout()).is_none() {
            return Err(Error::Damaged {
                what: "the search basis of the view has foreign columns".into(),
                mend: "run `wsidx rebuild`",
            });
        }
        if view.manifest().fingerprint != basis.fingerprint(&settings.layout(), settings.wavelet())
        {
            return Err(Error::Version {
                what: "the features of the index were computed by another version of wsidx".into(),
                mend: "run `wsidx rebuild`",
            });
        }
        if view.manifest().rule != RULE.as_bytes() {
            return Err(Error::Version {
                what: "the edges of the index were found by another version of wsidx".into(),
                mend: "run `wsidx sync`",
            });
        }
        if view.crops().is_some() && !has_crops(view.manifest()) {
            return Err(Error::Version {
                what: "the rows of crops of the index were made by another version of wsidx".into(),
                mend: "run `wsidx sync`",
            });
        }
        let reader = Self {
            home,
            settings,
            view: Arc::new(view),
            basis,
            packs,
            reference: OnceLock::new(),
            turned: OnceLock::new(),
            registrations: None,
            k_distances: None,
        };
        if reader.view.manifest().incomplete {
            Err(incomplete())
        } else {
            Ok(reader)
        }
    }

    /// The root of the dataset.
    pub fn root(&self) -> &Path {
        &self.home.root
    }

    /// What was fixed when the index was made.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The generation.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The search basis.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// What the `wsidx.toml` of the root says; the default where there is none.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be used, [`Error::Io`].
    pub fn rules(&self) -> Result<Rules> {
        self.home.rules()
    }

    /// What an image may cost by the same file; the default where that cannot be used.
    pub fn limits(&self) -> Limits {
        self.home.limits()
    }

    /// The stored picture of a row.
    pub(super) fn picture_of_row(&self, row: u32) -> Result<Picture> {
        let (id, place) = self.view.content(row)?;
        picture_of(&self.read(place, &id)?, &self.settings)
    }

    /// The pictures of the rows, about `count` of which are registered.
    pub(super) fn registrar(&self, count: usize) -> Registrar<'_, u32> {
        Registrar::new(
            self.registrations(count),
            |row| Ok(self.view.content(row)?.0),
            |row| self.picture_of_row(row),
        )
    }

    /// Where about `count` pictures are registered.
    pub(super) fn registrations(&self, count: usize) -> Arc<RegistrationCache> {
        self.registrations
            .clone()
            .unwrap_or_else(|| Arc::new(RegistrationCache::new(count, self.settings.size)))
    }

    /// A stored content.
    pub(super) fn content(&self, place: Place) -> Result<Content> {
        self.packs.content(place)
    }

    fn read(&self, place: Place, id: &ContentId) -> Result<Content> {
        let content = self.content(place)?;
        if content.id == *id {
            Ok(content)
        } else {
            Err(Error::Damaged {
                what: "a stored content is not where the view says".into(),
                mend: "run `wsidx rebuild`",
            })
        }
    }

    /// The features of a picture under turns.
    pub(super) fn features(&self, picture: &Picture, turns: &[Turn]) -> Vec<Feature> {
        if self.settings.wavelet() != Wavelet::Haar {
            return turns
                .iter()
                .map(|&turn| self.feature(&turned(picture, turn)))
                .collect();
        }
        let all = self.turned.get_or_init(|| {
            let of_turn = |turn: Turn| {
                self.basis
                    .turned(&self.settings.layout(), turn.directions())
            };
            Turn::ALL.into_iter().map(of_turn).collect()
        });
        let turns: Vec<&Turned> = turns.iter().map(|turn| &all[turn.index()]).collect();
        Turned::features(&turns, &mut coefficients_of(picture, &self.settings))
    }

    /// The feature of a picture.
    pub(super) fn feature(&self, picture: &Picture) -> Feature {
        self.basis
            .feature(&mut coefficients_of(picture, &self.settings))
    }
}

/// The view that is published, and the packs that it names, held open: a writer that rewrites them
/// removes the old ones only after it has published another view.
fn open_both(home: &Home) -> Result<(View, Records)> {
    let missing = |e| match e {
        Error::Io { path, source, .. } if source.kind() == ErrorKind::NotFound => Error::Damaged {
            what: format!(
                "the published view is missing ({} is not there)",
                path.display()
            ),
            mend: "run `wsidx sync`",
        },
        other => other,
    };
    loop {
        let folder = home.identity();
        let medium = home.view()?;
        let view = View::open(&*medium).map_err(missing)?;
        let packs = Records::new(home.packs()?);
        match packs.hold() {
            Ok(()) if view.is_current(&*medium)? && home.identity() == folder => {
                return Ok((view, packs));
            }
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            held => held?,
        }
    }
}
