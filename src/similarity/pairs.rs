//! A function of two frames → its value for every pair of two lists, on all cores.
//!
//! What can be known of one frame alone is prepared once; of long lists a block at a time, so that
//! memory stays bounded. Each value depends on its two frames only, so the matrix is the same for
//! any number of threads.

use ndarray::{Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use crate::{Error, Result, monitor::Monitor, picture::Frame};

/// Bytes of prepared frames in memory at once, of each of the two lists.
const PREPARED: usize = 256 << 20;
/// Rows that one task works on: each column that it loads is used so often.
const TOGETHER: usize = 8;
/// Most values of a matrix: 2 GiB of them.
const MOST_CELLS: usize = 1 << 29;

/// A symmetric function of two frames of one shape.
pub(super) trait PairMeasure: Sync {
    /// What is known of one frame.
    type Prepared: Send + Sync;
    /// Working memory of one thread.
    type Scratch: Default;

    fn prepare(&self, frame: &Frame) -> Result<Self::Prepared>;
    /// Bytes that a prepared frame takes, about.
    fn bytes(&self, frame: &Frame) -> usize;
    fn similarity(
        &self,
        a: &Self::Prepared,
        b: &Self::Prepared,
        scratch: &mut Self::Scratch,
    ) -> f64;
}

/// A matrix of zeros, if it is not too large.
pub(super) fn zeros(rows: usize, columns: usize) -> Result<Array2<f32>> {
    match rows
        .checked_mul(columns)
        .filter(|cells| *cells <= MOST_CELLS)
    {
        Some(_) => Ok(Array2::zeros((rows, columns))),
        None => Err(Error::Input(format!(
            "a matrix of {rows} × {columns} similarities is more than fits ({MOST_CELLS} values at most); select fewer images"
        ))),
    }
}

/// All frames have the shape of the first.
pub(super) fn check_shapes<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Result<()> {
    let mut shapes = frames
        .into_iter()
        .map(|frame| (frame.sides(), frame.planes()));
    let Some(first) = shapes.next() else {
        return Ok(());
    };
    match shapes.find(|shape| *shape != first) {
        None => Ok(()),
        Some(other) => Err(Error::Input(format!(
            "pictures of one shape are needed, and here are {first:?} and {other:?}"
        ))),
    }
}

/// The symmetric matrix of one list; its diagonal is 1.
pub(super) fn symmetric<M: PairMeasure>(
    measure: &M,
    frames: &[Frame],
    monitor: &dyn Monitor,
) -> Result<Array2<f32>> {
    let n = frames.len();
    let mut matrix = zeros(n, n)?;
    check_shapes(frames)?;
    monitor.stage(
        "comparing",
        Some((n as u64 * n.saturating_sub(1) as u64) / 2),
    );
    let block = block(measure, frames);
    for (i, rows) in frames.chunks(block).enumerate() {
        let own = prepared(measure, rows)?;
        for (j, columns) in frames.chunks(block).enumerate().skip(i) {
            let others = if i == j {
                None
            } else {
                Some(prepared(measure, columns)?)
            };
            let (from, to) = (i * block, j * block);
            let mut part = matrix.slice_mut(s![from..from + rows.len(), to..to + columns.len()]);
            fill(
                measure,
                (&own, others.as_deref().unwrap_or(&own)),
                i == j,
                &mut part,
                monitor,
            )?;
        }
    }
    mirror(&mut matrix);
    Ok(matrix)
}

/// The matrix of two lists.
pub(super) fn cross<M: PairMeasure>(
    measure: &M,
    rows: &[Frame],
    columns: &[Frame],
    monitor: &dyn Monitor,
) -> Result<Array2<f32>> {
    let mut matrix = zeros(rows.len(), columns.len())?;
    check_shapes(rows.iter().chain(columns))?;
    monitor.stage("comparing", Some(rows.len() as u64 * columns.len() as u64));
    let block = block(measure, rows);
    for (i, above) in rows.chunks(block).enumerate() {
        let own = prepared(measure, above)?;
        for (j, beside) in columns.chunks(block).enumerate() {
            let others = prepared(measure, beside)?;
            let (from, to) = (i * block, j * block);
            let mut part = matrix.slice_mut(s![from..from + above.len(), to..to + beside.len()]);
            fill(measure, (&own, &others), false, &mut part, monitor)?;
        }
    }
    Ok(matrix)
}

fn block<M: PairMeasure>(measure: &M, frames: &[Frame]) -> usize {
    frames
        .first()
        .map_or(1, |frame| (PREPARED / measure.bytes(frame).max(1)).max(1))
}

fn prepared<M: PairMeasure>(measure: &M, frames: &[Frame]) -> Result<Vec<M::Prepared>> {
    frames
        .par_iter()
        .map(|frame| measure.prepare(frame))
        .collect()
}

/// Writes the values of a block; of one on the diagonal only those above it.
fn fill<M: PairMeasure>(
    measure: &M,
    (rows, columns): (&[M::Prepared], &[M::Prepared]),
    diagonal: bool,
    part: &mut ArrayViewMut2<'_, f32>,
    monitor: &dyn Monitor,
) -> Result<()> {
    // Enough tasks for all cores; which rows go together changes no value.
    let together = rows
        .len()
        .div_ceil(4 * rayon::current_num_threads())
        .clamp(1, TOGETHER);
    let tasks: Vec<_> = part
        .axis_chunks_iter_mut(Axis(0), together)
        .zip(rows.chunks(together))
        .enumerate()
        .collect();
    tasks
        .into_par_iter()
        .try_for_each(|(task, (mut out, rows))| {
            let (first, mut scratch) = (task * together, M::Scratch::default());
            let start = if diagonal { first + 1 } else { 0 };
            for (j, column) in columns.iter().enumerate().skip(start) {
                if monitor.cancelled() {
                    return Err(Error::Interrupted);
                }
                let above = if diagonal {
                    rows.len().min(j - first)
                } else {
                    rows.len()
                };
                for (i, row) in rows[..above].iter().enumerate() {
                    out[[i, j]] = measure.similarity(row, column, &mut scratch) as f32;
                }
                monitor.advance(above as u64);
            }
            Ok(())
        })
}

/// Copies what is above the diagonal below it, and sets the diagonal to 1.
pub(super) fn mirror(matrix: &mut Array2<f32>) {
    for i in 0..matrix.nrows() {
        matrix[[i, i]] = 1.0;
        for j in 0..i {
            matrix[[i, j]] = matrix[[j, i]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::frame, *};
    use crate::monitor::Silent;

    /// The sum of the first samples; as large as it is told.
    struct Sum(usize);

    impl PairMeasure for Sum {
        type Prepared = f64;
        type Scratch = ();

        fn prepare(&self, frame: &Frame) -> Result<f64> {
            Ok(frame.samples()[0].into())
        }

        fn bytes(&self, _: &Frame) -> usize {
            self.0
        }

        fn similarity(&self, a: &f64, b: &f64, (): &mut ()) -> f64 {
            a + b
        }
    }

    #[test]
    fn every_pair_is_compared_whatever_fits_into_memory_at_once() {
        let frames: Vec<Frame> = (0..23).map(|seed| frame([4, 4], 1, seed)).collect();
        let first = |i: usize| f32::from(frames[i].samples()[0]);
        for blocks in [1, 2, 5, 23] {
            let measure = Sum(PREPARED * blocks / 23);
            let matrix = symmetric(&measure, &frames, &Silent).unwrap();
            let beside = cross(&measure, &frames[..9], &frames, &Silent).unwrap();
            for (i, j) in (0..23).flat_map(|i| (0..23).map(move |j| (i, j))) {
                assert_eq!(
                    matrix[[i, j]],
                    if i == j { 1.0 } else { first(i) + first(j) }
                );
                assert!(i >= 9 || beside[[i, j]] == first(i) + first(j));
            }
        }
        assert_eq!(symmetric(&Sum(1), &[], &Silent).unwrap().dim(), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_allocated() {
        assert!(matches!(zeros(1 << 16, 1 << 14), Err(Error::Input(_))));
        assert!(matches!(zeros(usize::MAX, 2), Err(Error::Input(_))));
    }
}
