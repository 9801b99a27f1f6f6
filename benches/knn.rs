//! How fast lists are built and queries are answered, on synthetic rows: clustered, of unit length,
//! with a decaying spectrum.
//!
//! `cargo bench --bench knn [build|query|scale [ROWS [COLUMNS]]]`; `export` and `serve` are for
//! `peers.py`. Wall time is the best of a few runs on all threads; `cpu` is the processor time of
//! that run over all threads (Linux), which tells more on a busy machine. The peers of a query are
//! a plain read of the same bytes, and a loop over all values, in the same run.

use rayon::prelude::*;
use std::{borrow::Cow, hint::black_box, time::Instant};
use wsidx::knn::{
    Admit, ByNumber, Kernel, ListSource, ListUpdate, Live, Neighbor, NoLists, OwnedPlanes, Planes,
    Update, Watch, nearest, nearest_with, stride_of, update_lists_with,
};

/// xorshift64*, and normal deviates as sums of uniform ones.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.uniform()).sum::<f32>() - 3.0
    }
}

/// Rows around one centre for every 50, column `j` weighted by `1 / √(j + 1)`.
fn clustered(rows: usize, columns: usize) -> OwnedPlanes {
    let mut random = Random(7);
    let weights: Vec<f32> = (0..columns)
        .map(|column| 1.0 / ((column + 1) as f32).sqrt())
        .collect();
    let centres: Vec<Vec<f32>> = (0..rows / 50 + 1)
        .map(|_| weights.iter().map(|w| w * random.normal()).collect())
        .collect();
    let mut planes = OwnedPlanes::new(columns);
    for _ in 0..rows {
        let centre = &centres[(random.uniform() * centres.len() as f32) as usize % centres.len()];
        let row: Vec<f32> = centre
            .iter()
            .zip(&weights)
            .map(|(c, w)| c + 0.8 * w * random.normal())
            .collect();
        let scale = 32_000.0 / row.iter().map(|v| v * v).sum::<f32>().sqrt();
        planes.push(
            &row.iter()
                .map(|v| (v * scale).round() as i16)
                .collect::<Vec<_>>(),
        );
    }
    planes
}

/// A plane that begins at a cache line, as a mapped file does.
struct Aligned(Vec<i8>);

impl Aligned {
    fn new(bytes: &[i8]) -> Self {
        let mut copy = vec![0; bytes.len() + 64];
        let start = copy.as_ptr().align_offset(64);
        copy[start..start + bytes.len()].copy_from_slice(bytes);
        Self(copy)
    }

    fn bytes(&self) -> &[i8] {
        let start = self.0.as_ptr().align_offset(64);
        &self.0[start..start + self.0.len() - 64]
    }
}

/// Lists with what they k_distance beside them, as the writer of an index has them.
struct Cached {
    lists: Vec<Vec<Neighbor>>,
    k_distances: Vec<u32>,
}

impl Cached {
    fn new(rows: usize) -> Self {
        Self {
            lists: vec![Vec::new(); rows],
            k_distances: vec![u32::MAX; rows],
        }
    }

    /// Lays a change over the lists.
    fn lay(&mut self, changed: &ListUpdate, k: usize) {
        for (row, list) in changed.iter() {
            self.lists[row as usize] = list.to_vec();
            self.k_distances[row as usize] = self.lists.k_distance(row, k);
        }
    }
}

impl ListSource for Cached {
    fn list(&self, row: u32) -> Cow<'_, [Neighbor]> {
        self.lists.list(row)
    }

    fn k_distance(&self, row: u32, _: usize) -> u32 {
        self.k_distances[row as usize]
    }

    fn k_distances(&self, _: usize) -> Option<&[u32]> {
        Some(&self.k_distances)
    }
}

/// Processor seconds that this process has used, in steps of 10 ms; 0 where the system does not
/// say.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    fields
        .iter()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Wall seconds of the fastest of `runs`, and the least processor seconds.
fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> (f64, f64) {
    let time = |_| {
        let (start, used) = (Instant::now(), cpu());
        black_box(work());
        (start.elapsed().as_secs_f64(), cpu() - used)
    };
    (0..runs)
        .map(time)
        .fold((f64::INFINITY, f64::INFINITY), |a, b| {
            (a.0.min(b.0), a.1.min(b.1))
        })
}

/// The change, by the fastest kernel.
fn changed(update: &Update<'_>) -> ListUpdate {
    update_lists_with(Kernel::best(), update, &Watch::none()).unwrap_or_default()
}

/// Lists of 16 of all rows.
fn from_nothing<'a>(planes: &'a OwnedPlanes, live: &'a [u64], added: &'a [u32]) -> Update<'a> {
    Update {
        planes: planes.as_planes(),
        live: Live(live),
        added,
        removed: &[],
        old: &NoLists,
        k: 16,
        spare: 0,
        order: &ByNumber,
        results: None,
    }
}

fn build(rows: usize, columns: usize) {
    let planes = clustered(rows, columns);
    let live = vec![u64::MAX; rows.div_ceil(64)];
    let added: Vec<u32> = (0..rows as u32).collect();
    let update = from_nothing(&planes, &live, &added);
    let products = rows as f64 * rows as f64 / 2.0 * columns as f64;
    for kernel in Kernel::available() {
        let runs = if kernel == Kernel::best() { 5 } else { 1 };
        let (wall, cpu) = best(runs, || update_lists_with(kernel, &update, &Watch::none()));
        let rate = products / cpu / 1e9;
        println!(
            "build  {rows:>9} x {columns:<5} {:<12} {wall:>9.3} s   cpu {cpu:>7.2} s  {rate:>6.1} G multiply-adds/s/core",
            kernel.name()
        );
    }
}

/// Forgets the peak of memory so far, where the system can (Linux).
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak of memory since [`forget_peak`] and what is in use now, in bytes; 0 where the system does
/// not say.
fn memory() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        status.lines().find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .parse::<f64>()
                .ok()
        })
    };
    (
        of("VmHWM:").unwrap_or(0.0) * 1024.0,
        of("VmRSS:").unwrap_or(0.0) * 1024.0,
    )
}

/// Builds all lists, then adds and removes rows: the whole life of an index of `rows` rows.
fn scale(rows: usize, columns: usize) {
    const K: usize = 16;
    const SPARE: usize = 4;
    let planes = clustered(rows, columns);
    let (high, low) = (
        Aligned::new(planes.as_planes().high()),
        Aligned::new(planes.as_planes().low()),
    );
    let norms = planes.as_planes().norms().to_vec();
    drop(planes);
    let Ok(planes) = Planes::new(stride_of(columns), high.bytes(), low.bytes(), &norms) else {
        return;
    };
    let mut live = vec![u64::MAX; rows.div_ceil(64)];
    let all: Vec<u32> = (0..rows as u32).collect();
    let run = |name: &str,
               live: &[u64],
               added: &[u32],
               removed: &[u32],
               old: &dyn ListSource,
               runs| {
        let update = Update {
            planes,
            live: Live(live),
            added,
            removed,
            old,
            k: K,
            spare: SPARE,
            order: &ByNumber,
            results: None,
        };
        forget_peak();
        let (_, before) = memory();
        let (wall, cpu) = best(runs, || changed(&update));
        let (after, changed) = (memory().0, changed(&update));
        let peak = (after - before).max(0.0) / rows as f64;
        println!(
            "{name:<13}{rows:>9} x {columns:<5} {wall:>9.4} s   cpu {cpu:>7.2} s  {:>8} lists, peak {peak:>5.0} bytes a row",
            changed.len()
        );
        changed
    };
    let mut lists = Cached::new(rows);
    lists.lay(&run("build", &live, &all, &[], &NoLists, 1), K);
    for count in [1, 1_000] {
        let some: Vec<u32> = (0..count).map(|at| at * (rows as u32 / count)).collect();
        some.iter()
            .for_each(|&row| live[row as usize / 64] &= !(1 << (row % 64)));
        let gone = run(&format!("remove {count}"), &live, &[], &some, &lists, 3);
        lists.lay(&gone, K);
        some.iter()
            .for_each(|&row| live[row as usize / 64] |= 1 << (row % 64));
        let back = run(&format!("add {count}"), &live, &some, &[], &lists, 3);
        lists.lay(&back, K);
    }
    let mut asked = OwnedPlanes::new(columns);
    asked.push(
        &planes
            .row(0)
            .values()
            .take(columns)
            .map(|v| v as i16)
            .collect::<Vec<_>>(),
    );
    let (seconds, _) = best(5, || {
        nearest(
            asked.as_planes(),
            planes,
            &Live(&live),
            K,
            &ByNumber,
            &Admit::default(),
        )
    });
    println!("query 1      {rows:>9} x {columns:<5} {seconds:>9.4} s");
}

/// Reads every byte on all threads, as fast as a loop does.
fn read_on_all_threads(bytes: &[i8]) -> u64 {
    bytes
        .par_chunks(1 << 20)
        .map(read)
        .reduce(|| 0, |a, b| a ^ b)
}

/// The distances of one row to all, value by value, and the least of them: what the kernels save.
fn naive(query: &[i32], planes: &Planes<'_>) -> i64 {
    let distance = |row: u32| {
        planes
            .row(row)
            .values()
            .zip(query)
            .map(|(a, b)| i64::from(a - b).pow(2))
            .sum::<i64>()
    };
    (0..planes.rows() as u32)
        .into_par_iter()
        .map(distance)
        .min()
        .unwrap_or(0)
}

/// Reads every byte, as fast as a loop does.
fn read(bytes: &[i8]) -> u64 {
    bytes
        .as_chunks::<64>()
        .0
        .iter()
        .fold([0_u64; 8], |mut sums, line| {
            for (sum, eight) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
                *sum ^= u64::from_ne_bytes(eight.map(|byte| byte as u8));
            }
            sums
        })
        .iter()
        .fold(0, |all, sum| all ^ sum)
}

fn query(rows: usize, columns: usize) {
    let planes = clustered(rows, columns);
    let (high, low) = (
        Aligned::new(planes.as_planes().high()),
        Aligned::new(planes.as_planes().low()),
    );
    let Ok(planes) = Planes::new(
        stride_of(columns),
        high.bytes(),
        low.bytes(),
        planes.as_planes().norms(),
    ) else {
        return;
    };
    let live = vec![u64::MAX; rows.div_ceil(64)];
    let mut asked = OwnedPlanes::new(columns);
    asked.push(
        &planes
            .row(11)
            .values()
            .take(columns)
            .map(|v| (v * 9 / 10) as i16)
            .collect::<Vec<_>>(),
    );
    let giga = planes.high().len() as f64 / 1e9;
    let (seconds, _) = best(5, || read(planes.high()));
    println!(
        "read   {rows:>9} x {columns:<5} {:<12} {:>9.3} ms {:>7.1} GB/s",
        "one thread",
        seconds * 1e3,
        giga / seconds
    );
    let (seconds, _) = best(9, || read_on_all_threads(planes.high()));
    println!(
        "read   {rows:>9} x {columns:<5} {:<12} {:>9.3} ms {:>7.1} GB/s",
        "all threads",
        seconds * 1e3,
        giga / seconds
    );
    let values: Vec<i32> = planes.row(11).values().collect();
    let (seconds, _) = best(3, || naive(&values, &planes));
    println!(
        "query  {rows:>9} x {columns:<5} {:<12} {:>9.3} ms {:>7.1} GB/s",
        "naive loop",
        seconds * 1e3,
        giga / seconds
    );
    for kernel in Kernel::available() {
        let ask = || {
            nearest_with(
                kernel,
                asked.as_planes(),
                planes,
                &Live(&live),
                16,
                &ByNumber,
                &Admit::default(),
            )
        };
        let (seconds, _) = best(5, ask);
        println!(
            "query  {rows:>9} x {columns:<5} {:<12} {:>9.3} ms {:>7.1} GB/s",
            kernel.name(),
            seconds * 1e3,
            giga / seconds
        );
    }
    for count in [2, 4, 8, 18, 64, 256, 257, 1_024] {
        let mut asked = OwnedPlanes::new(columns);
        for row in 0..count {
            asked.push(
                &planes
                    .row(row * 7)
                    .values()
                    .take(columns)
                    .map(|v| v as i16)
                    .collect::<Vec<_>>(),
            );
        }
        let ask = || {
            nearest_with(
                Kernel::best(),
                asked.as_planes(),
                planes,
                &Live(&live),
                16,
                &ByNumber,
                &Admit::default(),
            )
        };
        let (seconds, _) = best(5, ask);
        println!(
            "{count:>5} queries at once, each: {:>27.3} ms",
            seconds * 1e3 / f64::from(count)
        );
    }
}

/// The high bytes of rows, then the low ones, `rows × columns` each: for `peers.py`.
fn export(file: &str, rows: usize, columns: usize) -> std::io::Result<()> {
    let planes = clustered(rows, columns);
    std::fs::write(
        file,
        planes
            .as_planes()
            .high()
            .iter()
            .chain(planes.as_planes().low())
            .map(|&byte| byte as u8)
            .collect::<Vec<_>>(),
    )
}

/// Reads what [`export`] wrote, or the planes of an index joined in that order; for every line on
/// standard input builds all lists, writes them to `lists` as pairs of a row and a squared
/// distance, and prints wall and processor seconds.
fn serve(file: &str, columns: usize, lists: &str) -> std::io::Result<()> {
    let bytes: Vec<i8> = std::fs::read(file)?
        .into_iter()
        .map(|byte| byte as i8)
        .collect();
    let (high, low) = bytes.split_at(bytes.len() / 2);
    let mut planes = OwnedPlanes::new(columns);
    for (high, low) in high.chunks(columns).zip(low.chunks(columns)) {
        planes.push(
            &high
                .iter()
                .zip(low)
                .map(|(&h, &l)| 256 * i16::from(h) + i16::from(l))
                .collect::<Vec<_>>(),
        );
    }
    let rows = planes.as_planes().rows();
    let (live, added): (Vec<u64>, Vec<u32>) = (
        vec![u64::MAX; rows.div_ceil(64)],
        (0..rows as u32).collect(),
    );
    for line in std::io::stdin().lines() {
        line?;
        let update = from_nothing(&planes, &live, &added);
        let (start, used) = (Instant::now(), cpu());
        let built = changed(&update);
        println!("{} {}", start.elapsed().as_secs_f64(), cpu() - used);
        let mut out = Vec::new();
        for (_, list) in built.iter() {
            let pairs = list
                .iter()
                .map(|neighbor| [neighbor.row, neighbor.distance])
                .chain(std::iter::repeat([u32::MAX; 2]));
            out.extend(pairs.take(16).flatten().flat_map(u32::to_le_bytes));
        }
        std::fs::write(lists, out)?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let number = |at: usize, otherwise: usize| {
        args.get(at)
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(otherwise)
    };
    let wanted = |part: &str| args.first().is_none_or(|arg| arg == part);
    match &args[..] {
        [part, file, ..] if part == "export" => {
            return export(file, number(2, 60_000), number(3, 128));
        }
        [part, file, lists, ..] if part == "serve" => return serve(file, number(3, 128), lists),
        _ => {}
    }
    if wanted("build") {
        build(60_000, 128);
        build(60_000, 256);
    }
    if wanted("query") {
        query(60_000, 128);
        query(1_000_000, 128);
    }
    if wanted("scale") {
        scale(number(1, 1_000_000), number(2, 128));
    }
    Ok(())
}
