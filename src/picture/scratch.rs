//! The buffers that one thread uses again for every picture.

use fast_image_resize::Resizer;
use std::cell::RefCell;

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// Decoded samples.
    pub(super) raster: Vec<u8>,
    /// Samples after the integer shrink.
    pub(super) shrunk: Vec<u8>,
    /// S × S samples, before they are put plane by plane.
    pub(super) resized: Vec<u8>,
    pub(super) baseline: super::baseline::Buffers,
    pub(super) resizer: Resizer,
}

/// A thread keeps at most so many bytes of each buffer between pictures.
const KEPT: usize = 8 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs `f` with this thread's buffers; if it panics they are given up.
pub(super) fn with<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.with(|s| s.try_borrow_mut().map(|mut s| std::mem::take(&mut *s)).unwrap_or_default());
    let result = f(&mut scratch);
    let baseline = scratch.baseline.vectors();
    for buffer in [&mut scratch.raster, &mut scratch.shrunk, &mut scratch.resized].into_iter().chain(baseline) {
        if buffer.capacity() > KEPT {
            *buffer = Vec::new();
        }
    }
    SCRATCH.with(|s| {
        if let Ok(mut s) = s.try_borrow_mut() {
            *s = scratch;
        }
    });
    result
}

/// The first `size` bytes of a buffer, which grows as needed and never shrinks; what stood in them before may still stand there.
pub(super) fn filled(buffer: &mut Vec<u8>, size: usize) -> &mut [u8] {
    if buffer.len() < size {
        buffer.clear();
        buffer.resize(size, 0);
    }
    buffer.get_mut(..size).unwrap_or_default()
}
