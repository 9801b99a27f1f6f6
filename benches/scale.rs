//! A whole index at 10,000, 100,000 and 1,000,000 images: build, add, remove, query; time, bytes,
//! memory.
//!
//! `cargo bench --bench scale [-- [crowded] [keep] N…]`. The images are 8 × 8 colour pictures made
//! here, in clusters of 50, whose Haar coefficients have a falling spectrum. Two of a cluster
//! correlate by 0.3, and one image in thirty is another with a little noise, as in CIFAR-10. With
//! `crowded` two of a cluster correlate by 0.6, which is the worst case: all pairs of all lists are
//! registered to the end. They are written as PPM files below the target folder (4 KB of disk
//! each), indexed by a writer that stays open, as a daemon's does, and asked by processes that are
//! new each time. Everything is durable and published when the clock stops. Memory is anonymous
//! memory (Linux): what is mapped from the index can be dropped by the system at any time, and is
//! not counted. `keep` leaves images and index where they are.

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use wsidx::{
    index::{InitOptions, Survey, SyncOptions, Writer, create},
    monitor::{Monitor, Silent},
    wavelet::{Coefficients, Layout, Wavelet},
};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZE: u16 = 8;
/// Images in a folder.
const FOLDER: usize = 1_000;
/// Images around a centre, on the mean.
const CLUSTER: usize = 50;
/// Of so many images one is another with this much noise.
const REPEATED: usize = 30;
const NOISE: f32 = 0.1;
const QUERIES: usize = 100;

/// SplitMix64: a stream for every seed, so that any image can be made alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn normal(&mut self) -> f32 {
        (0..6)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32)
            .sum::<f32>()
            - 3.0
    }
}

/// What the images are like.
#[derive(Clone, Copy)]
struct Kind {
    centres: usize,
    /// How far they are from their centre, which is at 1.
    own: f32,
    /// Whether some are others with noise.
    repeats: bool,
}

impl Kind {
    fn of(count: usize, crowded: bool) -> Self {
        Self {
            centres: count / CLUSTER,
            own: if crowded { 0.8 } else { 1.5 },
            repeats: !crowded,
        }
    }
}

/// An image as a file: coefficient j, from coarse to fine, is weighted by 1 / √j.
fn image(number: usize, kind: Kind) -> Vec<u8> {
    let layout = Layout::full(SIZE, 3);
    let mut coefficients = Coefficients {
        layout,
        values: vec![0f32; layout.len()],
    };
    let repeats = kind.repeats && number % REPEATED == 1;
    let first = if repeats {
        number / REPEATED * REPEATED
    } else {
        number
    };
    let mut own = Random(first as u64 | 1 << 40);
    let mut centre = Random(own.next() % kind.centres as u64);
    let mut noise = Random(number as u64 | 1 << 41);
    for (j, index) in layout.coarse_to_fine().into_iter().enumerate() {
        let weight = 140.0 / ((1.0 + kind.own * kind.own) * (1.0 + j as f32)).sqrt();
        let value = centre.normal() + kind.own * own.normal();
        coefficients.values[index] = weight
            * if repeats {
                value + NOISE * noise.normal()
            } else {
                value
            };
        if index % layout.plane_len() == 0 {
            // The means: luma in the middle, no tint.
            coefficients.values[index] = if index == 0 {
                128.0 * f32::from(SIZE) * 3f32.sqrt()
            } else {
                0.0
            };
        }
    }
    let samples = coefficients.to_samples_f(Wavelet::Haar);
    let plane = layout.plane_len();
    let mut file = format!("P6 {SIZE} {SIZE} 255\n").into_bytes();
    file.extend(
        (0..plane).flat_map(|i| {
            [0, 1, 2].map(|p| samples[p * plane + i].round().clamp(0.0, 255.0) as u8)
        }),
    );
    file
}

fn path(number: usize) -> PathBuf {
    PathBuf::from(format!("{:04}/{number:07}.ppm", number / FOLDER))
}

fn write(root: &Path, numbers: std::ops::Range<usize>, kind: Kind) {
    for number in numbers {
        let file = root.join(path(number));
        fs::create_dir_all(file.parent().expect("in a folder")).expect("a folder");
        fs::write(file, image(number, kind)).expect("a file");
    }
}

/// Anonymous memory of a process now, in megabytes; 0 where the system does not say.
fn anonymous(process: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix("RssAnon:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<f64>()
            .ok()
    });
    kilobytes.unwrap_or(0.0) / 1e3
}

/// What `work` gives, its seconds, and the most anonymous memory meanwhile.
fn measured<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous("self") as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (result, seconds, peak.load(Ordering::Relaxed) as f64)
    })
}

/// When each stage began, and the anonymous memory then.
#[derive(Default)]
struct Stages(Mutex<Vec<(&'static str, Instant, f64)>>);

impl Monitor for Stages {
    fn stage(&self, name: &'static str, _: Option<u64>) {
        self.0
            .lock()
            .expect("no panic")
            .push((name, Instant::now(), anonymous("self")));
    }
    fn advance(&self, _: u64) {}
    fn note(&self, text: &str) {
        println!("        note: {text}");
    }
    fn cancelled(&self) -> bool {
        false
    }
}

impl Stages {
    fn text(self) -> String {
        let mut stages = self.0.into_inner().expect("no panic");
        stages.push(("end", Instant::now(), anonymous("self")));
        let span = |pair: &[(&str, Instant, f64)]| {
            format!(
                "{} {:.3} to {:.0} MB",
                pair[0].0,
                (pair[1].1 - pair[0].1).as_secs_f64(),
                pair[1].2
            )
        };
        stages.windows(2).map(span).collect::<Vec<_>>().join(", ")
    }
}

/// One change, told by the scopes that it touches.
fn change(writer: &mut Writer, what: &str, scopes: &[&Path]) -> f64 {
    let stages = Stages::default();
    let scopes = scopes
        .iter()
        .map(|scope| scope.as_os_str().as_encoded_bytes().to_vec())
        .collect();
    let options = SyncOptions {
        scopes,
        at: 1_700_000_000,
        ..SyncOptions::default()
    };
    let (summary, seconds, peak) = measured(|| writer.sync(&options, &stages).expect("a sync"));
    let lists = summary.published.lists;
    println!(
        "{what:<24} {seconds:>9.4} s  {peak:>6.0} MB anonymous  {lists:>9} lists  ({})",
        stages.text()
    );
    seconds
}

fn median(mut seconds: Vec<f64>, percent: usize) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[(seconds.len() - 1) * percent / 100]
}

fn queries(root: &Path, kind: Kind) {
    let (mut seconds, mut memory) = (Vec::new(), 0f64);
    for i in 0..QUERIES {
        let asked = root.join("../asked.ppm");
        fs::write(&asked, image(i + (1 << 30), kind)).expect("a file");
        let start = Instant::now();
        let program = env!("CARGO_BIN_EXE_wsidx");
        let mut child = Command::new(program)
            .arg("query")
            .arg(&asked)
            .current_dir(root)
            .stdout(Stdio::null())
            .spawn()
            .expect("the program");
        while i % 10 == 0 && child.try_wait().expect("a child").is_none() {
            memory = memory.max(anonymous(&child.id().to_string()));
        }
        assert!(child.wait().expect("a child").success());
        if i % 10 != 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let (half, most) = (median(seconds.clone(), 50) * 1e3, median(seconds, 99) * 1e3);
    println!(
        "query, cold process       p50 {half:.1} ms, p99 {most:.1} ms, {memory:.0} MB anonymous at the most"
    );
}

fn sizes(folder: &Path, rows: usize) {
    for part in ["packs", "catalog", "view"] {
        let bytes = |entry: fs::DirEntry| {
            let path = entry.path();
            let nested = |path: &Path| {
                fs::read_dir(path).map_or(0, |all| {
                    all.flatten()
                        .map(|e| e.metadata().map_or(0, |m| m.len()))
                        .sum()
                })
            };
            (
                entry.file_name().to_string_lossy().into_owned(),
                if path.is_dir() {
                    nested(&path)
                } else {
                    entry.metadata().map_or(0, |m| m.len())
                },
            )
        };
        let files: Vec<(String, u64)> = fs::read_dir(folder.join(part))
            .expect("an index")
            .flatten()
            .map(bytes)
            .collect();
        let total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        let names: Vec<String> = files
            .iter()
            .filter(|(_, b)| *b > total / 100)
            .map(|(n, b)| format!("{n} {:.1}", *b as f64 / rows as f64))
            .collect();
        println!(
            "{part:<8} {:>8.1} bytes a row  ({})",
            total as f64 / rows as f64,
            names.join(", ")
        );
    }
}

fn scale(count: usize, crowded: bool, keep: bool) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("scale-{count}"))
        .join("images");
    let _ = fs::remove_dir_all(root.parent().expect("has one"));
    fs::create_dir_all(&root).expect("a folder");
    println!("{count} images{}", if crowded { ", crowded" } else { "" });
    let kind = Kind::of(count, crowded);
    write(&root, 0..count, kind);
    let options = InitOptions {
        size: Some(SIZE),
        ..InitOptions::default()
    };
    create(&root, &Survey::default(), &options, "bench", 0, &Silent).expect("an index");
    let mut writer = Writer::open(&root, "bench", false, &Silent).expect("a writer");
    change(&mut writer, "build", &[]);
    sizes(&root.join(".wsidx"), count);
    queries(&root, kind);
    let mut ones = Vec::new();
    for number in count..count + 10 {
        write(&root, number..number + 1, kind);
        ones.push(change(&mut writer, "add 1", &[&path(number)]));
    }
    println!("add 1, median            {:>9.4} s", median(ones, 50));
    let next = (count / FOLDER + 1) * FOLDER;
    write(&root, next..next + FOLDER, kind);
    change(
        &mut writer,
        "add 1,000",
        &[path(next).parent().expect("a folder")],
    );
    let gone = path(count / 2);
    fs::remove_dir_all(root.join(gone.parent().expect("a folder"))).expect("a folder goes");
    change(
        &mut writer,
        "remove 1,000",
        &[gone.parent().expect("a folder")],
    );
    let (_, seconds, peak) = measured(|| drop(black_box(writer)));
    println!("writer closed            {seconds:>9.4} s  {peak:>6.0} MB anonymous");
    let (writer, seconds, peak) =
        measured(|| Writer::open(&root, "bench", false, &Silent).expect("a writer"));
    println!("writer opened            {seconds:>9.4} s  {peak:>6.0} MB anonymous");
    drop(writer);
    if !keep {
        let _ = fs::remove_dir_all(root.parent().expect("has one"));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let counts: Vec<usize> = arguments
        .iter()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let counts = if counts.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        counts
    };
    let told = |word: &str| arguments.iter().any(|arg| arg == word);
    counts
        .into_iter()
        .for_each(|count| scale(count, told("crowded"), told("keep")));
}
