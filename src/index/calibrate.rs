//! The index → the threshold at which so many images in a thousand would be taken for copies that
//! are none, and what is still found there.
//!
//! # Pairs that cannot be copies
//! Every image of a sample is looked up upside down (mirrored top to bottom), other turns left out:
//! what comes up is no copy of it, but it was found, aligned and compared as copies are. (Target
//! and decoy, as in Elias and Gygi 2007, "Target-decoy search strategy for increased confidence in
//! large-scale protein identifications by mass spectrometry", Nature Methods 4.) No label is
//! needed, and copies that the dataset holds do not count as false. Mirroring left and right would
//! make decoys more like pictures, but datasets hold mirrored copies: of the most similar of
//! CIFAR-10 all were. The highest similarity of each image is one draw from the null distribution;
//! where mirror images are accepted a check looks twice, so the threshold is that of half the rate.
//!
//! What this cannot see: different items that nearly coincide only the right way up (scanned forms,
//! products in one pose, horizons). So it is a lower bound; it also says how many images have a
//! near-duplicate already, and shows the pairs that decided, for a person to look at.
//!
//! # Recall
//! Copies of images of the sample ([`COPY_KINDS`]) are looked up in the whole index. The sample are
//! the contents with the smallest ids, which are hashes: the same for the same dataset, and as good
//! as random.

use rayon::prelude::*;

use super::{
    Reader,
    pairs::{QueryPicture, Registrar},
};
use crate::{
    Error, Result,
    knn::{Live, RowOrder as _},
    monitor::Monitor,
    picture::Picture,
    similarity::{
        COPY_KINDS, CopyKind, EdgeRule, KEPT_SIMILARITY, NullDistribution,
        register::{Alignment, Detail, Needs, Turn, max_similarity},
        turned,
    },
    verdict::Occurrence,
};

/// Images whose impostors are looked for.
const SAMPLE: usize = 2_048;
/// Images that are copied.
const COPIED: usize = 256;
/// Top and bottom exchanged: left and right, then twice a quarter turn.
const UPSIDE_DOWN: Turn = Turn::ALL[6];
/// Impostors that are shown.
const SHOWN: usize = 5;
/// Shares of images from which near-identity counts as normal: with a near-duplicate, and with an
/// impostor at the threshold in force.
const NORMAL: [f64; 2] = [0.2, 0.01];

/// Two images that are no copies of each other, and how similar one is to the other upside down.
#[derive(Debug, Clone, PartialEq)]
pub struct Impostor {
    /// Where the image is that was looked up upside down.
    pub image: Occurrence,
    /// Where the one is that came up.
    pub other: Occurrence,
    /// In [0, 1].
    pub similarity: f32,
}

/// How many copies of a kind are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Recall {
    /// How they were made.
    pub kind: CopyKind,
    /// How many were made.
    pub copies: usize,
    /// The similarity with its source of each copy that came up under an accepted change, highest
    /// first.
    pub similarities: Vec<f32>,
}

impl Recall {
    /// The share that is found at a threshold.
    #[must_use]
    pub fn at(&self, threshold: f32) -> f64 {
        self.similarities.partition_point(|&s| s >= threshold) as f64 / self.copies.max(1) as f64
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Images that were looked up; contents of the index.
    pub images: [usize; 2],
    /// The rate asked for: of images checked that have no copy in the dataset, the share that is
    /// taken for near-duplicates.
    pub rate: f64,
    /// The least threshold for that rate, to three digits, upwards; not under [`KEPT_SIMILARITY`].
    pub threshold: f32,
    /// The threshold in force, and the rate that it comes to.
    pub current: (f32, f64),
    /// Images of the sample that have a near-duplicate in the index at the threshold in force.
    pub near_duplicates: usize,
    /// The most similar impostors, most similar first.
    pub impostors: Vec<Impostor>,
    /// Images that were copied, and those that were passed over for want of texture.
    pub copied: [usize; 2],
    /// What is found of the copies.
    pub recall: Vec<Recall>,
}

impl Calibration {
    /// Whether different items are nearly identical so often that a threshold alone does not tell
    /// copies from others.
    #[must_use]
    pub fn near_identity_is_normal(&self) -> bool {
        self.near_duplicates as f64 > NORMAL[0] * self.images[0] as f64
            || self.current.1 > NORMAL[1]
    }
}

/// What one image of the sample gave.
struct Draw {
    impostor: Option<(u32, f32)>,
    has_near_duplicate: bool,
}

impl Reader {
    /// Measures, for the published dataset, which threshold leads to a rate of false positives per
    /// image checked.
    ///
    /// # Errors
    /// [`Error::Input`] for too few images, or a rate that they cannot tell; [`Error::Damaged`],
    /// [`Error::Interrupted`].
    pub fn calibrate(
        &self,
        rate: f64,
        rule: &EdgeRule,
        monitor: &dyn Monitor,
    ) -> Result<Calibration> {
        if !(rate > 0.0 && rate < 1.0) {
            return Err(Error::Input(format!(
                "a rate of {rate} is not between 0 and 1; use `wsidx calibrate --rate 0.001`"
            )));
        }
        let (rows, contents) = self.sample()?;
        let ways = if Needs::MIRROR.within(rule.accept) {
            2.0
        } else {
            1.0
        };
        check_sample(rows.len(), rate, ways)?;
        let calibrating = Calibrating {
            reader: self,
            rule,
            registrar: self.registrar(contents),
        };
        monitor.stage("looking for impostors", Some(rows.len() as u64));
        let draw = |&row: &u32| {
            monitor.advance(1);
            if monitor.cancelled() {
                Err(Error::Interrupted)
            } else {
                calibrating.draw(row)
            }
        };
        let draws: Vec<Draw> = rows.par_iter().map(draw).collect::<Result<_>>()?;
        let best = |draw: &Draw| draw.impostor.map_or(0.0, |(_, similarity)| similarity);
        let null = NullDistribution::new(draws.iter().map(best).collect())?;
        let threshold = (null.threshold(rate / ways)? * 1_000.0).ceil() / 1_000.0;
        let (copied, recall) = calibrating.recall(&rows, monitor)?;
        Ok(Calibration {
            images: [rows.len(), contents],
            rate,
            threshold: threshold.clamp(KEPT_SIMILARITY, 1.0),
            current: (
                rule.threshold,
                (ways * null.false_positive_rate(rule.threshold)).min(1.0),
            ),
            near_duplicates: draws.iter().filter(|draw| draw.has_near_duplicate).count(),
            impostors: calibrating.worst(&rows, &draws)?,
            copied,
            recall,
        })
    }

    /// The live rows with the smallest ids, in that order, and how many live rows there are.
    fn sample(&self) -> Result<(Vec<u32>, usize)> {
        let words = self.view.live_words()?;
        let live = Live(&words);
        let mut rows: Vec<u32> = (0..self.view.rows() as u32)
            .filter(|&row| live.contains(row))
            .collect();
        let order = super::query::ById(&self.view);
        rows.par_sort_unstable_by(|&a, &b| order.compare(a, b));
        let contents = rows.len();
        rows.truncate(SAMPLE);
        Ok((rows, contents))
    }
}

/// Whether so many images can tell that rate, which is known before they are compared.
fn check_sample(images: usize, rate: f64, ways: f64) -> Result<()> {
    if images < NullDistribution::FEWEST {
        let least = NullDistribution::FEWEST;
        return Err(Error::Input(format!(
            "{images} images are too few to calibrate with, which takes at least {least}: add images and run `wsidx sync`, or choose `threshold` under \
             [edges] in wsidx.toml by hand"
        )));
    }
    let least = ways * NullDistribution::least_rate(images);
    if rate < least {
        // Rounded up, so that it is accepted when it is typed.
        let shown = (least * 1e9).ceil() / 1e9;
        return Err(Error::Input(format!(
            "a rate of {rate} cannot be measured with {images} images; use `wsidx calibrate --rate {shown}`"
        )));
    }
    Ok(())
}

struct Calibrating<'a> {
    reader: &'a Reader,
    rule: &'a EdgeRule,
    registrar: Registrar<'a, u32>,
}

impl Calibrating<'_> {
    /// The rows that come up for a picture, each as it lies best under an accepted change, in all
    /// turns or upright only.
    fn found(&self, picture: &Picture, turned: bool) -> Result<Vec<(u32, Alignment)>> {
        let any = EdgeRule {
            threshold: f32::MIN_POSITIVE,
            ..*self.rule
        };
        let query = QueryPicture::of(picture, |part, turns| self.reader.features(part, turns));
        let own = self.reader.feature(picture);
        let (_, candidates) =
            self.reader
                .candidates(&own, &query, usize::from(self.reader.settings.neighbors))?;
        let mut found = Vec::new();
        for (row, turns) in candidates {
            let turns = turns
                .into_iter()
                .filter(|&turn| turned || turn == Turn::NONE);
            let pair = query.best(row, turns, &self.registrar, &any)?;
            found.extend(
                pair.filter(|pair| any.accepts(pair))
                    .map(|pair| (row, pair)),
            );
        }
        Ok(found)
    }

    fn draw(&self, row: u32) -> Result<Draw> {
        let picture = self.reader.picture_of_row(row)?;
        let decoy = turned(&picture, UPSIDE_DOWN);
        let others = |found: Vec<(u32, Alignment)>| {
            found.into_iter().filter(move |(other, _)| *other != row)
        };
        let impostors =
            others(self.found(&decoy, false)?).map(|(other, pair)| (other, pair.similarity));
        Ok(Draw {
            impostor: impostors.max_by(|a, b| a.1.total_cmp(&b.1)),
            has_near_duplicate: others(self.found(&picture, true)?)
                .any(|(_, pair)| self.rule.accepts(&pair)),
        })
    }

    fn worst(&self, rows: &[u32], draws: &[Draw]) -> Result<Vec<Impostor>> {
        let mut all: Vec<(u32, u32, f32)> = rows
            .iter()
            .zip(draws)
            .filter_map(|(&row, draw)| draw.impostor.map(|(other, s)| (row, other, s)))
            .collect();
        all.sort_by(|a, b| b.2.total_cmp(&a.2));
        let named = |row: u32| Ok(self.reader.view.row(row)?.occurrences.into_iter().next());
        let mut worst = Vec::new();
        for (row, other, similarity) in all.into_iter().take(SHOWN) {
            let (Some(image), Some(other)) = (named(row)?, named(other)?) else {
                continue;
            };
            worst.push(Impostor {
                image,
                other,
                similarity,
            });
        }
        Ok(worst)
    }

    /// How many were copied and passed over, and what was found of each kind.
    fn recall(&self, rows: &[u32], monitor: &dyn Monitor) -> Result<([usize; 2], Vec<Recall>)> {
        let (mut tell, mut passed_over) = (Vec::new(), 0);
        for &row in rows {
            if tell.len() == COPIED {
                break;
            }
            let picture = self.reader.picture_of_row(row)?;
            if max_similarity(&Detail::of(&picture)) >= self.rule.threshold {
                tell.push((row, picture));
            } else {
                passed_over += 1;
            }
        }
        let planes = self.reader.settings.planes;
        let kinds = COPY_KINDS
            .iter()
            .filter(|kind| kind.needs.within(self.rule.accept) && kind.applies_to(planes));
        let kinds: Vec<&CopyKind> = kinds.collect();
        monitor.stage(
            "looking for copies",
            Some((kinds.len() * tell.len()) as u64),
        );
        let similarity =
            |(kind, (row, picture)): (&CopyKind, &(u32, Picture))| -> Result<Option<f32>> {
                monitor.advance(1);
                if monitor.cancelled() {
                    return Err(Error::Interrupted);
                }
                let [a, b, c, d, e, f, g, h, ..] = self.reader.view.content(*row)?.0;
                let found = self.found(
                    &kind.of(picture, u64::from_le_bytes([a, b, c, d, e, f, g, h])),
                    true,
                )?;
                Ok(found
                    .into_iter()
                    .find(|(other, _)| other == row)
                    .map(|(_, pair)| pair.similarity))
            };
        let of_kind = |kind: &CopyKind| -> Result<Recall> {
            let found = tell
                .par_iter()
                .map(|image| similarity((kind, image)))
                .collect::<Result<Vec<_>>>()?;
            let mut similarities: Vec<f32> = found.into_iter().flatten().collect();
            similarities.sort_by(|a, b| b.total_cmp(a));
            Ok(Recall {
                kind: *kind,
                copies: tell.len(),
                similarities,
            })
        };
        Ok((
            [tell.len(), passed_over],
            kinds.into_iter().map(of_kind).collect::<Result<_>>()?,
        ))
    }
}
