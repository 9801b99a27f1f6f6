//! A folder without an index → one with an empty index, its pictures' shape chosen from the files
//! that are there.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::Path,
};

use rayon::prelude::*;

use super::{
    FORMAT_FILE, Home, Writer, finish_replacement, is_unfinished, parts::remove_index,
    replace::clear_replacement,
};
use crate::{
    Error, Result,
    dataset::{self, Buffer, Container, Listing, to_path},
    monitor::Monitor,
    picture::{Header, Shape, probe},
    store::{packs::Packs, settings::Settings},
    wavelet::Wavelet,
};

/// The side where the files have none in common that is small.
const DEFAULT_SIZE: u16 = 64;

/// Files of one small size keep it, so that their pixels go through unchanged.
const NATIVE_SIZES: std::ops::RangeInclusive<u32> = 8..=64;

/// What a header is looked for in.
const HEADER_BYTES: u64 = 64 << 10;

/// What the user fixes; the rest is chosen from the files.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The side S of the pictures.
    pub size: Option<u16>,
    /// The wavelet of the search basis.
    pub wavelet: Option<Wavelet>,
}

/// What the headers of the files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Image files by name, and items of containers.
    pub files: usize,
    /// Files whose header could not be read.
    pub unreadable: usize,
    /// Whether all are grey, 8 bits.
    pub grey: bool,
    /// Width and height → number of files.
    pub sizes: BTreeMap<(u32, u32), usize>,
}

impl Survey {
    /// The shape for these files: their own side if all have one even side from 8 to 64, else 64;
    /// grey only if all are grey.
    pub fn shape(&self, size: Option<u16>) -> Result<Shape> {
        let mut sizes = self.sizes.keys();
        let native = match (sizes.next(), sizes.next()) {
            (Some(&(width, height)), None)
                if width == height && NATIVE_SIZES.contains(&width) && width % 2 == 0 =>
            {
                Some(width as u16)
            }
            _ => None,
        };
        Shape::new(
            size.or(native).unwrap_or(DEFAULT_SIZE),
            if self.grey { 1 } else { 3 },
        )
    }
}

/// Reads the headers of the image files below a folder.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read, [`Error::Interrupted`].
pub fn survey(root: &Path, monitor: &dyn Monitor) -> Result<Survey> {
    let Listing {
        files, containers, ..
    } = dataset::list(root, b"", &|| monitor.cancelled())?;
    monitor.stage(
        "looking at headers",
        containers.is_empty().then_some(files.len() as u64),
    );
    let one = |header: &mut dyn FnMut() -> Option<Header>| {
        monitor.advance(1);
        if monitor.cancelled() {
            Err(Error::Interrupted)
        } else {
            Ok(header())
        }
    };
    let limits = Home::new(root).limits();
    let headers = files.par_iter().map(|file| {
        one(&mut || header_bytes(&to_path(root, &file.path)).and_then(|bytes| probe(&bytes).ok()))
    });
    let mut headers = headers.collect::<Result<Vec<_>>>()?;
    for container in containers {
        let Ok(open) = Container::open(&to_path(root, &container.path)) else {
            continue;
        };
        let item = |buffer: &mut Buffer, item| {
            one(&mut || {
                open.read(item, &limits, buffer)
                    .ok()
                    .and_then(|()| probe(&buffer.bytes).ok())
            })
        };
        headers.extend(
            (0..open.count())
                .into_par_iter()
                .map_init(Buffer::default, item)
                .collect::<Result<Vec<_>>>()?,
        );
    }
    let mut survey = Survey {
        files: headers.len(),
        grey: headers.iter().flatten().count() > 0,
        ..Survey::default()
    };
    for header in headers {
        match header {
            Some(header) => {
                survey.grey &= header.grey;
                *survey
                    .sizes
                    .entry((header.width, header.height))
                    .or_insert(0) += 1;
            }
            None => survey.unreadable += 1,
        }
    }
    Ok(survey)
}

fn header_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(HEADER_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// Creates an empty index in `root`. Nothing of the dataset is touched.
///
/// # Errors
/// [`Error::AlreadyExists`], [`Error::Input`] for a size that cannot be, [`Error::Io`]; a folder
/// that was begun is removed again.
pub fn create(
    root: &Path,
    survey: &Survey,
    options: &InitOptions,
    who: &str,
    at: i64,
    monitor: &dyn Monitor,
) -> Result<Settings> {
    create_noting(root, survey, options, who, at, &|_| {}, monitor)
}

/// The same. As soon as the index has its number, and before there is anything else in it, `noted`
/// is called with its folder: so whoever notes the number there knows the index again, whenever
/// this process is killed.
///
/// # Errors
/// As [`create`].
pub fn create_noting(
    root: &Path,
    survey: &Survey,
    options: &InitOptions,
    who: &str,
    at: i64,
    noted: &dyn Fn(&Path),
    monitor: &dyn Monitor,
) -> Result<Settings> {
    finish_replacement(root, who, monitor)?;
    let home = Home::new(root);
    let settings = settings_for(survey, options)?;
    match fs::create_dir(home.folder()) {
        Ok(()) => {}
        // What a crash in an earlier one has left.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && is_unfinished(root) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::AlreadyExists {
                path: home.folder(),
            });
        }
        Err(e) => return Err(Error::io("creating", &home.folder())(e)),
    }
    let lock = match home.lock(who, false, monitor) {
        Err(locked @ Error::Locked { .. }) => return Err(locked),
        Err(failed) => {
            let _ = remove_index(&home.folder());
            return Err(failed);
        }
        Ok(lock) => lock,
    };
    if fs::symlink_metadata(home.folder().join(FORMAT_FILE)).is_ok() {
        // Another process finished it meanwhile.
        return Err(Error::AlreadyExists {
            path: home.folder(),
        });
    }
    let opened = fill(&home, &settings, noted)
        .and_then(|()| Writer::open_locked(home.clone(), lock, who, monitor));
    let filled = opened.and_then(|mut writer| {
        clear_replacement(root, who, monitor);
        writer.publish(at, monitor)
    });
    if filled.is_err() {
        let _ = remove_index(&home.folder());
    }
    filled.map(|_| settings)
}

/// What is fixed for an index of these files.
pub(super) fn settings_for(survey: &Survey, options: &InitOptions) -> Result<Settings> {
    let mut settings = Settings::new(survey.shape(options.size)?);
    if let Some(wavelet) = options.wavelet {
        settings.wavelet = wavelet.name().to_owned();
    }
    settings.check()?;
    Ok(settings)
}

/// The number of the index comes first, and the file `format` last: without it the folder is no
/// index.
pub(super) fn fill(home: &Home, settings: &Settings, noted: &dyn Fn(&Path)) -> Result<()> {
    dataset::give_id(&home.folder())?;
    noted(&home.folder());
    home.make_files()?;
    home.clear_bare_packs()?;
    Packs::create(home.packs()?, settings.to_text().as_bytes())?;
    home.say_format()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(sizes: &[(u32, u32)], grey: bool) -> Survey {
        Survey {
            grey,
            sizes: sizes.iter().map(|&size| (size, 1)).collect(),
            ..Survey::default()
        }
    }

    #[test]
    fn files_of_one_small_even_square_keep_their_size_and_others_become_64() {
        let shape = |sizes: &[(u32, u32)], grey| survey(sizes, grey).shape(None).unwrap();
        assert_eq!(shape(&[(32, 32)], false), Shape::new(32, 3).unwrap());
        assert_eq!(shape(&[(28, 28)], true), Shape::new(28, 1).unwrap());
        for sizes in [
            &[(33, 33)][..],
            &[(32, 28)],
            &[(128, 128)],
            &[(32, 32), (64, 64)],
            &[],
        ] {
            assert_eq!(shape(sizes, false), Shape::new(64, 3).unwrap());
        }
        assert_eq!(
            survey(&[(32, 32)], false).shape(Some(16)).unwrap(),
            Shape::new(16, 3).unwrap()
        );
        assert!(survey(&[], false).shape(Some(7)).is_err());
    }
}
