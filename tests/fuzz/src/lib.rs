//! The fuzz targets of wsidx: each takes bytes, reads them as something that comes from outside,
//! and panics if a property does not hold.
//!
//! Beyond "no panic" every target holds that one input takes bounded memory and time ([`within`]).
//! What else holds is said in each module.

pub mod containers;
pub mod embeddings;
pub mod images;
pub mod jpeg;
#[cfg(feature = "libjpeg-turbo")]
mod libjpeg;
pub mod rules;
pub mod socket;
pub mod store;
pub mod versions;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most seconds that one input may take: of the processor, so that a busy machine is no
/// finding.
const LONGEST: i64 = 10;

/// Where decoders panicked inside the library's guard, and how often.
static CAUGHT: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// A fuzz target of the module of this name.
#[macro_export]
macro_rules! target {
    ($module:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::begin($crate::$module::seeds), |data: &[u8]| $crate::$module::run(data));
    };
}

/// Runs once, before the first input. With `WSIDX_FUZZ_SEEDS=FOLDER` it writes the seeds there and
/// ends the process.
///
/// The fuzzer aborts on every panic. The panics of decoders that the library catches are counted
/// instead, and each place is printed once.
pub fn begin(seeds: fn() -> Vec<Vec<u8>>) {
    if let Some(folder) = std::env::var_os("WSIDX_FUZZ_SEEDS") {
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).expect("the folder of the seeds can be made");
        for (number, seed) in seeds().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a seed can be written");
        }
        std::process::exit(0);
    }
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !wsidx::guard::is_guarded() {
            return abort(info);
        }
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
        let count = caught.entry(place).or_default();
        *count += 1;
        if *count == 1 {
            eprintln!("CAUGHT: {info}");
        }
    }));
}

/// Runs `act`, and panics if it took more than `most` bytes of memory beyond what was held before,
/// or more than ten seconds.
pub fn within<T>(most: usize, act: impl FnOnce() -> T) -> T {
    let seconds = || clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let (before, start) = (ALLOCATOR.current_usage(), seconds());
    ALLOCATOR.reset_peak_usage();
    let result = act();
    let (took, peak) = (seconds() - start, ALLOCATOR.peak_usage().saturating_sub(before));
    assert!(peak <= most, "an input took {peak} bytes of memory; the bound is {most}");
    assert!(took <= LONGEST, "an input took {took} seconds");
    result
}

/// Cuts bytes into `N` parts: each but the last has its length in two bytes before it.
pub fn parts<const N: usize>(mut data: &[u8]) -> [&[u8]; N] {
    std::array::from_fn(|part| {
        if part + 1 == N {
            return data;
        }
        let Some(([low, high], rest)) = data.split_first_chunk() else { return &[][..] };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (own, rest) = rest.split_at(length);
        data = rest;
        own
    })
}

/// The inverse of [`parts`], behind the byte that selects a format.
pub fn joined(select: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![select];
    for (number, part) in parts.iter().enumerate() {
        if number + 1 < parts.len() {
            out.extend((part.len() as u16).to_le_bytes());
        }
        out.extend_from_slice(part);
    }
    out
}

/// The files of a folder of the repository's tests whose names end so.
fn samples(folder: &str, ends: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(folder);
    let names = fs::read_dir(&folder).expect("the samples are there").map(|entry| entry.expect("the folder can be read").file_name());
    let names = names.map(|name| name.into_string().expect("names are UTF-8"));
    let mut names: Vec<String> = names.filter(|name| ends.iter().any(|end| name.ends_with(end))).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), fs::read(folder.join(&name)).expect("a sample can be read"))).collect()
}

/// A folder of this process for files that are opened by their path, in memory where the system has
/// such a place.
fn folder() -> &'static std::path::Path {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| {
        let shared = PathBuf::from("/dev/shm");
        let base = if shared.is_dir() { shared } else { std::env::temp_dir() };
        let folder = base.join(format!("wsidx-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for files can be made");
        folder
    })
}
