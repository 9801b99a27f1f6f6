//! The search kernels by themselves, without the crates that the rest needs, so that `tests/run.sh`
//! can compile those for Arm on any machine.

#![allow(dead_code, unreachable_pub)]

#[path = "../../src/knn/bound.rs"]
mod bound;
#[path = "../../src/knn/kernel.rs"]
mod kernel;
#[path = "../../src/knn/kernel_neon.rs"]
mod kernel_neon;
#[path = "../../src/knn/kernel_portable.rs"]
mod kernel_portable;

/// What the kernels see of `src/knn/planes.rs`.
mod planes {
    #[derive(Clone, Copy, Debug)]
    pub struct Norms {
        pub high: u32,
        pub low: u32,
    }

    #[derive(Clone, Copy, Debug)]
    pub struct Row<'a> {
        pub high: &'a [i8],
        pub low: &'a [i8],
    }
}
