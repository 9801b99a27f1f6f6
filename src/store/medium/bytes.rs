//! The bytes of a file, mapped or copied. The only unsafe code of the store: a file is mapped here.

#![allow(
    unsafe_code,
    reason = "mapping a file is unsafe, and nothing else is done in this file"
)]

use std::{fs::File, io, ops::Deref, sync::Arc};

use memmap2::MmapOptions;
use rkyv::util::AlignedVec;

use super::too_short;

/// Bytes of a file, shared without copying; begins at a multiple of 16 bytes in memory.
#[derive(Clone)]
pub struct Bytes(Arc<Held>);

enum Held {
    Mapped(memmap2::Mmap),
    Copied(AlignedVec<16>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Held::Mapped(map) => map,
            Held::Copied(copy) => copy,
        }
    }
}

impl Bytes {
    /// A copy of bytes in memory.
    #[must_use]
    pub fn copied(bytes: &[u8]) -> Self {
        let mut copy = AlignedVec::with_capacity(bytes.len());
        copy.extend_from_slice(bytes);
        Self(Arc::new(Held::Copied(copy)))
    }

    /// Maps the first `len` bytes of a file.
    pub(super) fn mapped(file: &File, len: u64) -> io::Result<Self> {
        let has = file.metadata()?.len();
        if has < len {
            return Err(too_short(has, len));
        }
        if len == 0 {
            return Ok(Self::copied(&[]));
        }
        let length = usize::try_from(len).map_err(|_| too_short(has, len))?;
        // SAFETY: the file is opened for reading and holds `len` bytes. Files of the store only
        // grow, and are removed by name, which leaves the map in place: no program of ours cuts or
        // overwrites a mapped range. A foreign program that does so breaks the assumption that the
        // manual states for every memory-mapped store; checksums are taken before the bytes are
        // used.
        let map = unsafe { MmapOptions::new().len(length).map(file)? };
        Ok(Self(Arc::new(Held::Mapped(map))))
    }
}
