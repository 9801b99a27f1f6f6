//! `[limits]` of `wsidx.toml` → what reading a file may cost.

use serde::Deserialize;

use crate::{Error, Result, picture::Limits};

/// `[limits]`: what images and tables may cost; what costs more is refused, by a message that names
/// the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadLimits {
    /// Width times height of an image: 1 to 65,535².
    pub pixels: u64,
    /// Bytes of the file of an image: 1 to 4 GiB.
    pub file_bytes: u64,
    /// Bytes of memory that decoding one image takes: 16 MiB to 64 GiB. All that are decoded at a
    /// time take half of it together; an image that needs more than half is decoded alone. The
    /// samples of formats other than JPEG take 512 MiB at the most, whatever this says.
    pub memory: u64,
    /// Bytes of a table of labels: 1 to 2 GiB.
    pub table_bytes: u64,
    /// Lines of a table of labels: 1 to 100 million.
    pub table_lines: u64,
}

impl Default for ReadLimits {
    /// 250 million pixels, 256 MiB a file, 640 MiB of memory; 256 MiB and 20 million lines a table.
    fn default() -> Self {
        let Limits {
            max_pixels,
            max_bytes,
            max_alloc,
            ..
        } = Limits::default();
        Self {
            pixels: max_pixels,
            file_bytes: max_bytes,
            memory: max_alloc,
            table_bytes: 256 << 20,
            table_lines: 20_000_000,
        }
    }
}

impl ReadLimits {
    /// What an image may cost.
    #[must_use]
    pub fn of_images(&self) -> Limits {
        Limits {
            max_pixels: self.pixels,
            max_bytes: self.file_bytes,
            max_alloc: self.memory,
            ..Limits::default()
        }
    }

    /// Whether every value is in its range.
    ///
    /// # Errors
    /// [`Error::Input`] naming the value.
    pub(super) fn check(&self) -> Result<()> {
        let ranges = [
            ("pixels", self.pixels, 1..=65_535 * 65_535),
            ("file_bytes", self.file_bytes, 1..=4 << 30),
            ("memory", self.memory, 16 << 20..=64 << 30),
            ("table_bytes", self.table_bytes, 1..=2 << 30),
            ("table_lines", self.table_lines, 1..=100_000_000),
        ];
        for (name, value, allowed) in ranges {
            if !allowed.contains(&value) {
                let (least, most) = (allowed.start(), allowed.end());
                return Err(Error::Input(format!(
                    "wsidx.toml: [limits] {name} = {value} is out of range; set it to a number from {least} to {most}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Rules;

    #[test]
    fn limits_are_what_the_file_says_and_nonsense_is_refused() {
        let limits =
            |text: &str| Rules::from_toml(&format!("[limits]\n{text}\n")).map(|rules| rules.limits);
        assert_eq!(limits("").unwrap().of_images(), Limits::default());
        let set = limits("pixels = 400_000_000\nmemory = 2_147_483_648\n").unwrap();
        assert_eq!(
            (set.pixels, set.of_images().max_alloc, set.file_bytes),
            (400_000_000, 2 << 30, 256 << 20)
        );
        for wrong in [
            "pixels = 0",
            "memory = 1",
            "memory = 68719476737",
            "table_lines = -1",
            "pixel = 5",
            "pixels = \"many\"",
        ] {
            assert!(limits(wrong).is_err(), "{wrong}");
        }
        let message = limits("memory = 1").unwrap_err().to_string();
        assert!(
            message.contains("memory = 1") && message.contains("16777216 to 68719476736"),
            "{message}"
        );
    }
}
