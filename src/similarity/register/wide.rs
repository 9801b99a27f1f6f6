//! Work on wider vectors where the processor has them. Each value goes through the same operations in the same order, so the bits are the same.
#![allow(unsafe_code)]

/// Does `work`: as compiled for AVX2 where the processor has it. What it calls is compiled so, too, as far as it is inlined.
#[inline(always)]
pub(super) fn wide<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { with_avx2(work) };
        }
    }
    work()
}
