//! How fast lists are built and queries are answered, on synthetic rows: clustered, of unit length, with a decaying spectrum.
//!
//! `cargo bench --bench knn [build|query]`. Wall time is the best of a few runs on all threads; `cpu` is the processor time of that run over
//! all threads (Linux), which tells more on a busy machine. The peer of a query is a plain read of the same bytes in the same run.

use std::{hint::black_box, time::Instant};
use wsidx::knn::{
    Admit, ByNumber, Kernel, ListUpdate, Live, Neighbor, NoLists, OwnedPlanes, Update, Watch, nearest_with, update_lists_with,
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
    let weights: Vec<f32> = (0..columns).map(|column| 1.0 / ((column + 1) as f32).sqrt()).collect();
    let centres: Vec<Vec<f32>> = (0..rows / 50 + 1).map(|_| weights.iter().map(|w| w * random.normal()).collect()).collect();
    let mut planes = OwnedPlanes::new(columns);
    for _ in 0..rows {
        let centre = &centres[(random.uniform() * centres.len() as f32) as usize % centres.len()];
        let row: Vec<f32> = centre.iter().zip(&weights).map(|(c, w)| c + 0.8 * w * random.normal()).collect();
        let scale = 32_000.0 / row.iter().map(|v| v * v).sum::<f32>().sqrt();
        planes.push(&row.iter().map(|v| (v * scale).round() as i16).collect::<Vec<_>>());
    }
    planes
}

/// Processor seconds that this process has used, in steps of 10 ms; 0 where the system does not say.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Wall seconds of the fastest of `runs`, and the least processor seconds.
fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> (f64, f64) {
    let time = |_| {
        let (start, used) = (Instant::now(), cpu());
        black_box(work());
        (start.elapsed().as_secs_f64(), cpu() - used)
    };
    (0..runs).map(time).fold((f64::INFINITY, f64::INFINITY), |a, b| (a.0.min(b.0), a.1.min(b.1)))
}

/// Lays a change over the lists.
fn lay(lists: &mut [Vec<Neighbor>], changed: &ListUpdate) {
    changed.iter().for_each(|(row, list)| lists[row as usize] = list.to_vec());
}

/// The change, by the fastest kernel.
fn changed(update: &Update<'_>) -> ListUpdate {
    update_lists_with(Kernel::best(), update, &Watch::none()).unwrap_or_default()
}

fn build(rows: usize, columns: usize) {
    let planes = clustered(rows, columns);
    let live = vec![u64::MAX; rows.div_ceil(64)];
    let added: Vec<u32> = (0..rows as u32).collect();
    let update =
        Update { planes: planes.as_planes(), live: Live(&live), added: &added, removed: &[], old: &NoLists, k: 16, order: &ByNumber };
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
    let mut lists = vec![Vec::new(); rows];
    lay(&mut lists, &changed(&update));
    let mut fewer = live.clone();
    fewer[0] &= !1;
    let without = Update { live: Live(&fewer), added: &[], removed: &[0], old: &lists, ..update };
    let (seconds, _) = best(5, || update_lists_with(Kernel::best(), &without, &Watch::none()));
    println!("remove {:>9} x {columns:<5} {:<12} {:>9.3} ms", "1 row", Kernel::best().name(), seconds * 1e3);
    let left = changed(&without);
    lay(&mut lists, &left);
    let again = Update { added: &[0], old: &lists, ..update };
    let (seconds, _) = best(5, || update_lists_with(Kernel::best(), &again, &Watch::none()));
    println!("add    {:>9} x {columns:<5} {:<12} {:>9.3} ms", "1 row", Kernel::best().name(), seconds * 1e3);
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
    let planes = planes.as_planes();
    let live = vec![u64::MAX; rows.div_ceil(64)];
    let mut asked = OwnedPlanes::new(columns);
    asked.push(&planes.row(11).values().take(columns).map(|v| (v * 9 / 10) as i16).collect::<Vec<_>>());
    let giga = planes.high().len() as f64 / 1e9;
    let (seconds, _) = best(5, || read(planes.high()));
    println!("read   {rows:>9} x {columns:<5} {:<12} {:>9.3} ms {:>7.1} GB/s", "plain", seconds * 1e3, giga / seconds);
    for kernel in Kernel::available() {
        let ask = || nearest_with(kernel, asked.as_planes(), planes, &Live(&live), 16, &ByNumber, &Admit::default());
        let (seconds, _) = best(5, ask);
        println!("query  {rows:>9} x {columns:<5} {:<12} {:>9.3} ms {:>7.1} GB/s", kernel.name(), seconds * 1e3, giga / seconds);
    }
    for count in [2, 4, 8, 16, 64] {
        let mut asked = OwnedPlanes::new(columns);
        for row in 0..count {
            asked.push(&planes.row(row * 7).values().take(columns).map(|v| v as i16).collect::<Vec<_>>());
        }
        let ask = || nearest_with(Kernel::best(), asked.as_planes(), planes, &Live(&live), 16, &ByNumber, &Admit::default());
        let (seconds, _) = best(5, ask);
        println!("{count:>5} queries at once, each: {:>27.3} ms", seconds * 1e3 / f64::from(count));
    }
}

fn main() {
    let wanted = |part: &str| std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).all(|arg| arg == part);
    if wanted("build") {
        build(60_000, 128);
        build(60_000, 256);
    }
    if wanted("query") {
        query(60_000, 128);
        query(1_000_000, 128);
    }
}
