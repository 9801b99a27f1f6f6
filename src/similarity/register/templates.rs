//! A plane of luma → what is slid in the search of starts: the picture at all sizes, each
//! normalised locally, in integers.

use std::sync::LazyLock;

use super::{
    affine::Turn,
    levels::{COARSE as N, NOISE, RADIUS, Taps},
    samples::{below, whole},
    slide::Slid,
    wide::{Work, wide},
};

/// Width and height, in eighths, of a picture that lies inside another: scales 1, 7/8, 3/4, 5/8,
/// and aspects up to 4 : 3.
pub(super) const EIGHTHS: [[usize; 2]; 12] = [
    [8, 8],
    [7, 7],
    [6, 6],
    [5, 5],
    [8, 7],
    [7, 8],
    [7, 6],
    [6, 7],
    [6, 5],
    [5, 6],
    [8, 6],
    [6, 8],
];
/// What normalised luma is multiplied by, to be an integer under 2⁷.
const STEPS: f32 = 32.0;
/// The side of the plane that templates are made from.
pub(super) const FROM: usize = 2 * N;
/// The length of a row of N samples with zeros around them.
const WIDE: usize = N + 8;
/// What makes five to eight eighths of N of [`FROM`] samples.
static TAPS: LazyLock<[Taps; 4]> =
    LazyLock::new(|| std::array::from_fn(|i| Taps::new(FROM, (i + 5) * N / 8)));

/// A picture at all sizes of [`EIGHTHS`], one after another: rows of N integers, those beyond a
/// template's width zero.
#[derive(Debug, Clone)]
pub(super) struct Templates {
    rows: Vec<[i8; N]>,
    /// Of each the sum of its values, and of their squares.
    sums: [[i32; 2]; EIGHTHS.len()],
}

impl Templates {
    /// Of a square plane of luma of [`FROM`] samples a side.
    pub(super) fn new(luma: &[f32]) -> Self {
        let mut templates = Self {
            rows: wide(Plane(luma)),
            sums: [[0; 2]; EIGHTHS.len()],
        };
        templates.sums = wide(&templates);
        templates
    }

    /// The rows of the template of a size.
    pub(super) fn template(&self, size: usize) -> &[[i8; N]] {
        &self.rows[first_row(size)..first_row(size + 1)]
    }

    /// The picture as it is.
    pub(super) fn whole(&self) -> &[[i8; N]; N] {
        const { assert!(EIGHTHS[0][0] == 8 && EIGHTHS[0][1] == 8) };
        &self.rows.as_chunks().0[0]
    }

    /// The template of a size.
    pub(super) fn slid(&self, size: usize) -> Slid<'_> {
        let [sum, energy] = self.sums[size];
        Slid {
            rows: self.template(size),
            size: EIGHTHS[size].map(|n| n * N / 8),
            sum,
            energy,
        }
    }

    /// The correlation where both lie as they are.
    pub(super) fn in_place(&self, other: &Self) -> f32 {
        let dot = dot(
            self.template(0).as_flattened(),
            other.template(0).as_flattened(),
        );
        let energy = (self.sums[0][1] as f32 * other.sums[0][1] as f32).sqrt();
        if dot > 0 { dot as f32 / energy } else { 0.0 }
    }

    /// Those of the turned picture.
    pub(super) fn turned(&self, turn: Turn) -> Self {
        let sideways = turn.quarters() % 2 == 1;
        let (mut rows, mut sums) = (Vec::with_capacity(self.rows.len()), self.sums);
        for ([width, height], sums) in EIGHTHS.into_iter().zip(&mut sums) {
            let before = if sideways {
                [height, width]
            } else {
                [width, height]
            };
            let source = EIGHTHS
                .iter()
                .position(|&eighths| eighths == before)
                .unwrap_or(0);
            rows.extend(turned_rows(
                self.template(source),
                turn,
                before.map(|n| n * N / 8),
            ));
            *sums = self.sums[source];
        }
        Self { rows, sums }
    }
}

/// Where the rows of a template begin.
fn first_row(size: usize) -> usize {
    EIGHTHS[..size]
        .iter()
        .map(|[_, height]| height * N / 8)
        .sum()
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    wide(Dot(a, b))
}

struct Dot<'a>(&'a [i8], &'a [i8]);

impl Work for Dot<'_> {
    type Found = i32;

    #[inline(always)]
    fn run(self) -> i32 {
        self.0
            .iter()
            .zip(self.1)
            .map(|(&a, &b)| i32::from(a) * i32::from(b))
            .sum()
    }
}

/// The sums of the values of each template, and of their squares.
impl Work for &Templates {
    type Found = [[i32; 2]; EIGHTHS.len()];

    #[inline(always)]
    fn run(self) -> Self::Found {
        let mut found = [[0; 2]; EIGHTHS.len()];
        for (size, found) in found.iter_mut().enumerate() {
            let mut sums = [[0; N]; 2];
            for row in self.template(size) {
                for x in 0..N {
                    let v = i16::from(row[x]);
                    sums[0][x] += i32::from(v);
                    sums[1][x] += i32::from(v * v);
                }
            }
            *found = sums.map(|sums| sums.iter().sum());
        }
        found
    }
}

/// The rows of a turned template of some width and height.
fn turned_rows(rows: &[[i8; N]], turn: Turn, [width, height]: [usize; 2]) -> Vec<[i8; N]> {
    let mut turned = vec![
        [0; N];
        if turn.quarters() % 2 == 1 {
            width
        } else {
            height
        }
    ];
    for (y, row) in rows.iter().enumerate() {
        for (x, &value) in row[..width].iter().enumerate() {
            let x = if turn.mirrors() { width - 1 - x } else { x };
            let [x, y] = match turn.quarters() {
                0 => [x, y],
                1 => [y, width - 1 - x],
                2 => [width - 1 - x, height - 1 - y],
                _ => [height - 1 - y, x],
            };
            turned[y][x] = value;
        }
    }
    turned
}

/// A plane of luma of [`FROM`] samples a side: the work of making the rows of all templates.
struct Plane<'a>(&'a [f32]);

impl Work for Plane<'_> {
    type Found = Vec<[i8; N]>;

    #[inline(always)]
    fn run(self) -> Self::Found {
        let mut columns = [[0.0; FROM]; FROM];
        transpose(self.0.as_chunks().0, &mut columns);
        // At every width that occurs; what is beyond it is zero.
        let mut across = [[[0.0; WIDE]; FROM]; 4];
        for (across, taps) in across.iter_mut().zip(&*TAPS) {
            let mut narrow = [[0.0; FROM]; N];
            taps.reduce(&columns, &mut narrow);
            for (y, row) in across.iter_mut().enumerate() {
                for x in 0..N {
                    row[RADIUS + x] = narrow[x][y];
                }
            }
        }
        let mut rows = Vec::with_capacity(first_row(EIGHTHS.len()));
        for [width, height] in EIGHTHS {
            let mut luma = [[0.0; WIDE]; N];
            TAPS[height - 5].reduce(&across[width - 5], &mut luma);
            normalise(&luma, [width, height].map(|n| n * N / 8), &mut rows);
        }
        rows
    }
}

/// Rows → columns.
#[inline(always)]
fn transpose<const W: usize, const H: usize>(rows: &[[f32; W]], columns: &mut [[f32; H]; W]) {
    for (y, row) in rows[..H].iter().enumerate() {
        for x in 0..W {
            columns[x][y] = row[x];
        }
    }
}

/// As `levels::normalise` does it: of a picture of some width and height, zero beyond them, in
/// integers.
#[inline(always)]
fn normalise(luma: &[[f32; WIDE]; N], [width, height]: [usize; 2], out: &mut Vec<[i8; N]>) {
    let mut across = [[[0.0; N]; N + 2 * RADIUS]; 2];
    for (y, row) in luma[..height].iter().enumerate() {
        for x in 0..N {
            across[0][y + RADIUS][x] = window(|k| row[x + k]);
            across[1][y + RADIUS][x] = window(|k| row[x + k] * row[x + k]);
        }
    }
    // Samples of a line that are in the window around one of them.
    let inside = |at: usize, length: usize| {
        ((at + RADIUS + 1).min(length).max(1) - at.saturating_sub(RADIUS).min(length - 1)) as f32
    };
    let columns: [f32; N] = std::array::from_fn(|x| inside(x, width));
    let steps: [f32; N] = std::array::from_fn(|x| if x < width { STEPS } else { 0.0 });
    for (y, luma) in luma[..height].iter().enumerate() {
        let (rows, mut row) = (inside(y, height), [0i32; N]);
        for x in 0..N {
            let [sum, square] = [
                window(|k| across[0][y + k][x]),
                window(|k| across[1][y + k][x]),
            ];
            let n = columns[x] * rows;
            let mean = sum / n;
            let variance = square / n - mean * mean;
            let variance = if variance > 0.0 { variance } else { 0.0 };
            let value = (luma[RADIUS + x] - mean) / (variance + NOISE * NOISE).sqrt();
            row[x] = truncated((value * steps[x]).clamp(-127.0, 127.0));
        }
        out.push(row.map(|v| v as i8));
    }
}

/// A number above −128 and below 128 without its fraction: what `as` gives, but side by side.
#[inline(always)]
fn truncated(v: f32) -> i32 {
    let size = whole(below(v.abs(), 128.0)) as i32;
    if v < 0.0 { -size } else { size }
}

/// The sum over a window, in one order.
#[inline(always)]
pub(super) fn window(value: impl Fn(usize) -> f32) -> f32 {
    const { assert!(RADIUS == 3) };
    (value(0) + value(1)) + (value(2) + value(3)) + (value(4) + value(5)) + value(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (y − μ) / √(σ² + c²) of a sample of a picture, by the definition.
    fn normalised(value: &dyn Fn(usize, usize) -> f32, size: [usize; 2], at: [usize; 2]) -> f64 {
        let [columns, rows] =
            [0, 1].map(|i| at[i].saturating_sub(RADIUS)..(at[i] + RADIUS + 1).min(size[i]));
        let seen: Vec<f64> = rows
            .flat_map(|y| columns.clone().map(move |x| f64::from(value(x, y))))
            .collect();
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        let variance = seen.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / seen.len() as f64;
        (f64::from(value(at[0], at[1])) - mean) / (variance + f64::from(NOISE * NOISE)).sqrt()
    }

    #[test]
    fn a_number_is_truncated_as_a_cast_does_it() {
        for v in (-255_999..=255_999).map(|v| v as f32 / 2_000.0).chain([
            -0.0,
            f32::MIN_POSITIVE,
            126.999_99,
            -126.999_99,
        ]) {
            assert_eq!(truncated(v), v as i32, "{v}");
        }
    }

    #[test]
    fn templates_are_the_picture_at_each_size_normalised() {
        let luma: Vec<f32> = (0..FROM * FROM)
            .map(|i| ((i * 7919) >> 2) as f32 % 251.0)
            .collect();
        let templates = Templates::new(&luma);
        for (i, size) in EIGHTHS
            .iter()
            .map(|eighths| eighths.map(|n| n * N / 8))
            .enumerate()
        {
            let [across, down] = size.map(|length| Taps::new(FROM, length));
            let value = |x: usize, y: usize| down.at(y, |v| across.at(x, |u| luma[v * FROM + u]));
            for (x, y) in (0..size[1]).flat_map(|y| (0..N).map(move |x| (x, y))) {
                let found = f64::from(templates.template(i)[y][x]);
                let expected = if x < size[0] {
                    (normalised(&value, size, [x, y]) * f64::from(STEPS)).clamp(-127.0, 127.0)
                } else {
                    0.0
                };
                assert!(
                    (found - expected).abs() <= 1.01,
                    "{size:?} {x} {y}: {found} {expected}"
                );
            }
            let slid = templates.slid(i);
            let values = slid.rows.as_flattened().iter().map(|&v| i32::from(v));
            assert_eq!(
                [slid.sum, slid.energy],
                [values.clone().sum::<i32>(), values.map(|v| v * v).sum()]
            );
        }
    }

    #[test]
    fn turned_templates_have_the_sums_of_their_own_values() {
        let luma: Vec<f32> = (0..FROM * FROM)
            .map(|i| ((i * 7919) >> 2) as f32 % 251.0)
            .collect();
        for turned in Turn::ALL.map(|turn| Templates::new(&luma).turned(turn)) {
            assert_eq!(turned.sums, wide(&turned));
        }
    }
}
