//! What an image may cost; checked against its header before anything is allocated.

use super::budget::{self, Reservation};
use crate::{Error, Result};

/// What an image may cost; checked against the header before anything is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Width times height.
    pub max_pixels: u64,
    /// Width, and height.
    pub max_side: u32,
    /// Bytes of memory that decoding one image takes. All that the threads of the process decode at
    /// a time take half of it together; an image that needs more than half is decoded alone.
    pub max_alloc: u64,
}

impl Default for Limits {
    /// 256 MiB of file, 250 million pixels, 65,535 a side, 640 MiB of memory: with its file, an
    /// image takes less than 1 GB.
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_pixels: 250_000_000,
            max_side: 65_535,
            max_alloc: 640 << 20,
        }
    }
}

/// How every reason ends that a limit is.
const WHERE: &str = " under [limits] in wsidx.toml";

/// What the user can do about a limit.
fn raise(setting: &str) -> String {
    format!("raise `{setting}`{WHERE}")
}

/// Whether an image is refused only for a limit that the user may raise.
pub(crate) fn is_refusal(reason: &str) -> bool {
    reason.ends_with(WHERE)
}

impl Limits {
    /// Why a file of so many bytes is not read; `None` if it is.
    pub(crate) fn refuse_file(&self, bytes: u64) -> Option<String> {
        (bytes > self.max_bytes).then(|| {
            format!(
                "{bytes} bytes; the limit is {}: {}",
                self.max_bytes,
                raise("file_bytes")
            )
        })
    }

    /// Whether an image of this size may be decoded at all.
    pub(super) fn check(&self, width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width).saturating_mul(height.into());
        if width.max(height) > self.max_side {
            let side = self.max_side;
            return Err(Error::Undecodable(format!(
                "{width} x {height} pixels are more than the limit allows: at most {side} a side are read; make it smaller"
            )));
        }
        if pixels > self.max_pixels {
            let (most, mend) = (self.max_pixels, raise("pixels"));
            return Err(Error::Undecodable(format!(
                "{width} x {height} pixels are more than the limit allows ({most}): {mend}"
            )));
        }
        Ok(())
    }

    /// Takes the memory that decoding an image needs out of the budget, and waits for it if others
    /// have it.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if one image may not take as much.
    pub(super) fn reserve(&self, width: u32, height: u32, memory: u64) -> Result<Reservation> {
        if memory > self.max_alloc {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return Err(Error::Undecodable(format!(
                "decoding {width} x {height} pixels would take {} MiB of memory, which is more than the limit allows ({} MiB): {}",
                mib(memory),
                mib(self.max_alloc),
                raise("memory")
            )));
        }
        Ok(budget::reserve(memory, self.max_alloc / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn an_image_with_its_file_takes_less_than_a_gigabyte_and_a_photograph_of_108_megapixels_is_read()
     {
        let limits = Limits::default();
        assert!(limits.max_bytes + limits.max_alloc < 960_000_000);
        limits.check(12_000, 9_000).unwrap();
        // It does not have to be decoded alone: three bytes a pixel.
        assert!(limits.max_alloc / 2 >= 12_000 * 9_000 * 3);
    }
}
