//! The inner loop for AMX: `tdpbssd` multiplies 16 queries by 16 targets, 64 signed bytes of each,
//! with one instruction.
//!
//! Sums of signed bytes are exact, all fit `i32` (`planes`, "Nothing saturates"), and addition in
//! `tdpbssd` wraps. A matrix of queries is 16 rows of 64 bytes as they lie in the plane, one of
//! targets 16 lines of a tile, one of sums 16 queries × 16 targets. Sums start at what the tile
//! says, the same for every query: a load of 16 rows that are 0 bytes apart. They go through memory
//! to be compared in vectors. All else is done by `kernel_vnni`.
//!
//! # Who may use it
//! Linux gives tile registers only to a process that requests them, and keeps 8 KiB more for a
//! thread while they are in use. So a thread sets them up for a piece of work and releases them
//! after it ([`Tiles`]). Code that is called in between may not use them for something else. Rust
//! has no stable names for these instructions yet, so they are written in assembly.
#![allow(unsafe_code)]

use super::{
    kernel::{GROUP, Group, LINES, Line, TILE, Tile},
    kernel_vnni,
};
use std::{
    arch::{asm, x86_64::*},
    cell::Cell,
    marker::PhantomData,
    mem::MaybeUninit,
    sync::LazyLock,
};

/// Whether this processor has what the functions here need, and the system lets this process use
/// it. The first call asks the system.
pub(super) fn detected() -> bool {
    static GRANTED: LazyLock<bool> = LazyLock::new(|| {
        cfg!(target_os = "linux") && kernel_vnni::detected() && has_tiles() && granted()
    });
    *GRANTED
}

/// Whether the processor has `amx-tile` and `amx-int8`, and the system saves tile registers.
fn has_tiles() -> bool {
    #[target_feature(enable = "xsave")]
    fn saved() -> bool {
        const TILES: u64 = 0b11 << 17;
        // SAFETY: called only where the system has enabled `xsave`.
        unsafe { _xgetbv(0) & TILES == TILES }
    }
    const BITS: u32 = 0b11 << 24;
    // SAFETY: `xsave` is reported only if the system has enabled it.
    __cpuid(0).eax >= 7
        && __cpuid_count(7, 0).edx & BITS == BITS
        && is_x86_feature_detected!("xsave")
        && unsafe { saved() }
}

/// Asks Linux for the tile registers, for all threads of this process; fails before 5.16, in some
/// sandboxes, and if a thread has too small a stack for signals.
fn granted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XTILEDATA: usize = 18;
    let mut answer = ARCH_PRCTL;
    // SAFETY: the call reads and writes no memory of ours; `syscall` changes `rax`, `rcx` and
    // `r11`.
    unsafe {
        asm!("syscall", inout("rax") answer, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XTILEDATA, out("rcx") _, out("r11") _, options(nostack));
    }
    answer == 0
}

/// Eight registers of 16 rows of 64 bytes, as `ldtilecfg` wants it told: the palette, then bytes a
/// row from byte 16 and rows from byte 48.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

static SHAPES: Shapes = {
    let mut shapes = [0; 64];
    shapes[0] = 1;
    let mut register = 0;
    while register < 8 {
        shapes[16 + 2 * register] = 64;
        shapes[48 + register] = 16;
        register += 1;
    }
    Shapes(shapes)
};

thread_local! {
    /// How many [`Tiles`] this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The tile registers of this thread, set up from the first such value to the last.
pub(super) struct Tiles {
    /// They belong to a thread, so this may not leave it.
    here: PhantomData<*const ()>,
}

impl Tiles {
    /// Sets the registers up; called only if [`detected`].
    pub(super) fn new() -> Self {
        if HELD.replace(HELD.get() + 1) == 0 {
            // SAFETY: a `Kernel` of this kind exists only if `detected`; 64 bytes are read, and
            // registers that nothing else here uses change.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly, preserves_flags));
            };
        }
        Self { here: PhantomData }
    }

    /// See [`super::kernel::Sieves::survivors`]; for words of [`super::kernel::Form::Rows`].
    pub(super) fn survivors(&self, group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
        // SAFETY: these registers exist only if `detected`, hence AVX-512.
        unsafe { survivors_of_tiles(self, group, tile) }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if HELD.replace(HELD.get() - 1) == 1 {
            // SAFETY: the registers were set up, and nothing here needs them any more.
            unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
        }
    }
}

/// Sums of a group with a tile, by query.
struct Sums([[__m512i; LINES]; GROUP]);

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn survivors_of_tiles(tiles: &Tiles, group: Group<'_>, tile: Tile<'_>) -> [u64; GROUP] {
    let mut sums = MaybeUninit::uninit();
    multiply(tiles, group.words, tile, &mut sums);
    // SAFETY: `multiply` has written all of them.
    let sums: &Sums = unsafe { sums.assume_init_ref() };
    kernel_vnni::passing(&sums.0, group.bounds, tile.other)
}

/// Writes all sums.
fn multiply(_: &Tiles, words: &[Line], tile: Tile<'_>, sums: &mut MaybeUninit<Sums>) {
    const ROW: usize = size_of::<[__m512i; LINES]>();
    const { assert!(GROUP == 16 && LINES == 3 && ROW == 4 * TILE) };
    assert!(
        !words.is_empty()
            && words.len().is_multiple_of(16)
            && tile.lines.len() == LINES * words.len(),
        "steps of group and tile"
    );
    // SAFETY: the registers are set up as long as a `Tiles` lives. Each turn of the loop reads 16
    // words of each query, 4 · `words.len()` bytes apart, and 16 steps of the tile, `ROW` bytes
    // apart: together `words.len() / 16` turns read all of both, and nothing else. `start` and a
    // row of `sums` are `ROW` bytes; 16 rows of `sums` are written.
    unsafe {
        asm!(
            "tileloadd tmm0, [{start} + {none}]",
            "tileloadd tmm1, [{start} + {none} + 64]",
            "tileloadd tmm2, [{start} + {none} + 128]",
            "2:",
            "tileloadd tmm3, [{words} + {stride}]",
            "tileloadd tmm4, [{lines} + {row}]",
            "tileloadd tmm5, [{lines} + {row} + 64]",
            "tileloadd tmm6, [{lines} + {row} + 128]",
            "tdpbssd tmm0, tmm3, tmm4",
            "tdpbssd tmm1, tmm3, tmm5",
            "tdpbssd tmm2, tmm3, tmm6",
            "add {words}, 64",
            "add {lines}, 16 * {ROW}",
            "dec {turns}",
            "jnz 2b",
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 64], tmm1",
            "tilestored [{sums} + {row} + 128], tmm2",
            start = in(reg) tile.start.as_ptr(),
            none = in(reg) 0_usize,
            words = inout(reg) words.as_ptr() => _,
            stride = in(reg) 4 * words.len(),
            lines = inout(reg) tile.lines.as_ptr() => _,
            row = in(reg) ROW,
            turns = inout(reg) words.len() / 16 => _,
            sums = in(reg) sums.as_mut_ptr(),
            ROW = const ROW,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_stay_set_up_until_the_last_holder_is_gone() {
        if !detected() {
            return;
        }
        let palette = || {
            let mut shapes = Shapes([0; 64]);
            // SAFETY: 64 bytes are written.
            unsafe {
                asm!("sttilecfg [{}]", in(reg) &raw mut shapes, options(nostack, preserves_flags));
            };
            shapes.0[0]
        };
        let first = Tiles::new();
        let second = Tiles::new();
        drop(first);
        assert_eq!(palette(), 1);
        drop(second);
        assert_eq!(palette(), 0);
    }
}
