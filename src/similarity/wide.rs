//! Work on wider vectors where the processor has them. Each value goes through the same operations
//! in the same order, so the bits are the same.
#![allow(unsafe_code)]

/// Work that is compiled twice. What shall be wide of it must be `inline(always)`, [`Work::run`]
/// first of all; closures that are called in both versions are not, nor are those that go through
/// `array::from_fn` or `map` of an array, which cost a call for each element then.
pub(super) trait Work {
    type Found;

    fn run(self) -> Self::Found;
}

/// Does the work: as compiled for AVX2 where the processor has it.
#[inline(always)]
pub(super) fn wide<W: Work>(work: W) -> W::Found {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2<W: Work>(work: W) -> W::Found {
            work.run()
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { with_avx2(work) };
        }
    }
    work.run()
}
