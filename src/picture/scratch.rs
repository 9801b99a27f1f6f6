//! The buffers that one thread uses again for every picture.

use std::cell::RefCell;

use super::budget::Reservation;

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// Decoded samples.
    pub(super) raster: Vec<u8>,
    /// Samples after the whole-factor shrink.
    pub(super) shrunk: Vec<f32>,
    /// S × S samples, plane after plane, as they lie in the file.
    pub(super) resized: Vec<u8>,
    pub(super) baseline: super::baseline::Buffers,
    pub(super) resampler: super::resample::Resampler,
    /// The memory that decoding has taken out of the budget. It is given back last.
    pub(super) reserved: Reservation,
}

/// A thread keeps at most so many bytes of each buffer between pictures. They stand beside the
/// budget, once for each thread.
const KEPT: usize = 2 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs `f` with this thread's buffers and what is reserved for it; if it panics they are given up.
pub(super) fn with<T>(reserved: Reservation, f: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.with(|s| {
        s.try_borrow_mut()
            .map(|mut s| std::mem::take(&mut *s))
            .unwrap_or_default()
    });
    scratch.reserved = reserved;
    let result = f(&mut scratch);
    scratch.shrink();
    scratch.reserved = Reservation::default();
    SCRATCH.with(|s| {
        if let Ok(mut s) = s.try_borrow_mut() {
            *s = scratch;
        }
    });
    result
}

impl Scratch {
    /// Frees the buffers that are too large to keep.
    pub(super) fn shrink(&mut self) {
        let Self {
            raster,
            shrunk,
            resized,
            baseline,
            ..
        } = self;
        [raster, resized, &mut baseline.scan]
            .into_iter()
            .for_each(give_up);
        baseline.planes.iter_mut().chain([shrunk]).for_each(give_up);
    }
}

/// Frees a buffer that is too large to keep.
fn give_up<T>(buffer: &mut Vec<T>) {
    if buffer.capacity() * size_of::<T>() > KEPT {
        *buffer = Vec::new();
    }
}

/// The first `size` elements of a buffer, which grows as needed and never shrinks; what stood in
/// them before may still stand there.
pub(super) fn filled<T: Copy + Default>(buffer: &mut Vec<T>, size: usize) -> &mut [T] {
    if buffer.len() < size {
        buffer.clear();
        buffer.resize(size, T::default());
    }
    buffer.get_mut(..size).unwrap_or_default()
}
