//! Samples of many pictures of one size, one picture behind the other → each as a binary Netpbm
//! file.

use std::{fs::File, os::unix::fs::FileExt};

use super::open::{Items, MOST_ITEMS};

/// Where the samples are.
#[derive(Debug)]
pub(super) enum Data {
    File(File),
    Memory(Vec<u8>),
}

impl Data {
    /// Fills `out` with the bytes from `at` on.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> Result<(), String> {
        let cut = || "it is shorter than it was when it was opened".to_owned();
        match self {
            Self::File(file) => file.read_exact_at(out, at).map_err(|_| cut()),
            Self::Memory(bytes) => {
                let from = usize::try_from(at).map_err(|_| cut())?;
                let part = bytes
                    .get(from..)
                    .and_then(|rest| rest.get(..out.len()))
                    .ok_or_else(cut)?;
                out.copy_from_slice(part);
                Ok(())
            }
        }
    }
}

/// How a picture is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    /// All of red, all of green, all of blue.
    Planes,
}

/// Pictures at equal distances.
#[derive(Debug)]
pub(super) struct Arrays {
    pub(super) data: Data,
    pub(super) count: usize,
    /// Where the first picture begins, and how far it is to the next.
    pub(super) first: u64,
    pub(super) stride: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: Colour,
    /// A number for each picture, or nothing for any.
    pub(super) labels: Vec<u8>,
    /// What the numbers mean; a number that has no name here is its own.
    pub(super) names: Vec<Vec<u8>>,
}

/// How many pictures there are, where a container may have so many.
pub(super) fn count(pictures: u64) -> Result<usize, String> {
    match usize::try_from(pictures) {
        Ok(count) if count <= MOST_ITEMS => Ok(count),
        _ => Err(format!(
            "it tells of {pictures} pictures; the limit is {MOST_ITEMS}"
        )),
    }
}

impl Arrays {
    fn bytes(&self) -> usize {
        let planes = if self.colour == Colour::Grey { 1 } else { 3 };
        self.width as usize * self.height as usize * planes
    }
}

impl Items for Arrays {
    fn count(&self) -> usize {
        self.count
    }

    fn name(&self, item: usize) -> Vec<u8> {
        item.to_string().into_bytes()
    }

    /// `07` is no name of the eighth picture.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let number: usize = std::str::from_utf8(name).ok()?.parse().ok()?;
        (number < self.count && self.name(number) == name).then_some(number)
    }

    fn label(&self, item: usize) -> Option<Vec<u8>> {
        let number = *self.labels.get(item)?;
        Some(
            self.names
                .get(usize::from(number))
                .cloned()
                .unwrap_or_else(|| number.to_string().into_bytes()),
        )
    }

    fn size(&self, _: usize) -> u64 {
        self.bytes() as u64
    }

    fn read(&self, item: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let kind = if self.colour == Colour::Grey {
            "P5"
        } else {
            "P6"
        };
        out.extend_from_slice(format!("{kind}\n{} {}\n255\n", self.width, self.height).as_bytes());
        let (head, bytes) = (out.len(), self.bytes());
        let at = self
            .first
            .saturating_add(self.stride.saturating_mul(item as u64));
        if self.colour == Colour::Grey {
            out.resize(head + bytes, 0);
            return self.data.read(at, &mut out[head..]);
        }
        let mut planes = vec![0; bytes];
        self.data.read(at, &mut planes)?;
        let (red, rest) = planes.split_at(bytes / 3);
        let (green, blue) = rest.split_at(bytes / 3);
        out.extend(
            red.iter()
                .zip(green)
                .zip(blue)
                .flat_map(|((&r, &g), &b)| [r, g, b]),
        );
        Ok(())
    }
}

/// The lines of a list of names; empty ones at the end are none.
pub(super) fn names_of_lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = text
        .split(|&b| b == b'\n')
        .map(|line| line.trim_ascii().to_vec())
        .collect();
    while names.last().is_some_and(Vec::is_empty) {
        names.pop();
    }
    names
}
