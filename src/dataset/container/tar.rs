//! A tar of images, as WebDataset writes them → its images, with the labels that stand beside them.
//!
//! Of POSIX.1-2001 (ustar and pax) and GNU tar: names of up to 256 bytes in the header, longer ones
//! in a member of type `x` (`path=`) or `L`, sizes in octal or base 256. Members that are no
//! regular files are passed over, links among them: nothing is ever unpacked. A member whose name
//! leads out of the tar makes the whole of it untrusted.
//!
//! By WebDataset the name of a member up to the first dot of its last part is the key of a sample:
//! `cat/01.jpg` has the label that `cat/01.cls` holds as text, or `cat/01.json` under `label`,
//! `cls` or `class`; where there is neither, that of the folder in the tar.

use std::{collections::HashMap, fs::File, os::unix::fs::FileExt};

use super::open::{Items, MOST_ITEMS};
use crate::dataset::{folder::is_hidden, label_of, names_image};

const BLOCK: u64 = 512;
/// The longest name, and the longest label beside an image.
const MOST_NAME: u64 = 64 << 10;
const MOST_LABEL: u64 = 1 << 20;

/// Where the bytes of a member are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    size: u64,
}

#[derive(Debug)]
struct Image {
    name: Vec<u8>,
    place: Place,
}

/// The images of a tar.
#[derive(Debug)]
pub(super) struct Tar {
    file: File,
    images: Vec<Image>,
    numbers: HashMap<Vec<u8>, usize>,
    /// By their keys: what the member is called behind it, and where it is.
    labels: HashMap<Vec<u8>, (Suffix, Place)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suffix {
    Cls,
    Json,
}

/// The key of a sample and what follows it.
fn key(name: &[u8]) -> (&[u8], &[u8]) {
    let last = name
        .iter()
        .rposition(|&b| b == b'/')
        .map_or(0, |slash| slash + 1);
    match name.iter().skip(last).position(|&b| b == b'.') {
        Some(dot) => (&name[..last + dot], &name[last + dot + 1..]),
        None => (name, b""),
    }
}

/// The parts of a name without those that mean nothing; `None` for one that leads out.
fn inside(name: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = name
        .split(|&b| b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    let out = name.starts_with(b"/") || name.contains(&0) || parts.contains(&&b".."[..]);
    (!out).then(|| parts.join(&b'/'))
}

/// Reads the heads of all members.
pub(super) fn open(file: File, size: u64) -> Result<Tar, String> {
    let mut tar = Tar {
        file,
        images: Vec::new(),
        numbers: HashMap::new(),
        labels: HashMap::new(),
    };
    let (mut at, mut long, mut members) = (0_u64, None, 0_usize);
    while let Some(head) = tar.head(at, size)? {
        let at_member = at;
        let place = Place {
            at: at + BLOCK,
            size: head.size,
        };
        let is_whole = size
            .checked_sub(place.at)
            .is_some_and(|left| place.size <= left);
        at = next(place)
            .filter(|_| is_whole)
            .ok_or_else(|| format!("its member at byte {at} is cut off"))?;
        members += 1;
        if members > MOST_ITEMS {
            return Err(format!("it has more than {MOST_ITEMS} members"));
        }
        match head.kind {
            b'L' => long = Some(tar.text(place)?),
            b'x' => long = path_of_pax(&tar.text(place)?).or(long),
            b'0' | 0 | b'7' => {
                let name = long.take().unwrap_or(head.name);
                let name = inside(&name).ok_or_else(|| {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    format!("its member `{name}` at byte {at_member} leads out of it; nothing of it is read")
                })?;
                tar.member(name, place);
            }
            _ => long = None,
        }
    }
    match at {
        0 => Err("it is empty, or no tar".to_owned()),
        _ => Ok(tar),
    }
}

/// Where the next member begins.
fn next(place: Place) -> Option<u64> {
    place
        .at
        .checked_add(place.size.checked_next_multiple_of(BLOCK)?)
}

struct Head {
    name: Vec<u8>,
    size: u64,
    kind: u8,
}

impl Tar {
    /// The head at a place; `None` at the end: an empty block, or no more bytes.
    fn head(&self, at: u64, size: u64) -> Result<Option<Head>, String> {
        if at >= size {
            return Ok(None);
        }
        let mut block = [0_u8; BLOCK as usize];
        self.file
            .read_exact_at(&mut block, at)
            .map_err(|_| format!("it is cut off at byte {at}, or no tar"))?;
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let text = |from: usize, to: usize| {
            block[from..to]
                .split(|&b| b == 0)
                .next()
                .unwrap_or_default()
        };
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, &b)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(b)
                }
            })
            .sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(format!("it is damaged at byte {at}, or no tar"));
        }
        let size = number(&block[124..136])
            .ok_or_else(|| format!("the member at byte {at} has no size"))?;
        let prefix = if &block[257..263] == b"ustar\0" {
            text(345, 500)
        } else {
            b""
        };
        let name = if prefix.is_empty() {
            text(0, 100).to_vec()
        } else {
            [prefix, b"/", text(0, 100)].concat()
        };
        Ok(Some(Head {
            name,
            size,
            kind: block[156],
        }))
    }

    fn text(&self, place: Place) -> Result<Vec<u8>, String> {
        if place.size > MOST_NAME {
            return Err(format!(
                "the name at byte {} has {} bytes; the limit is {MOST_NAME}",
                place.at, place.size
            ));
        }
        let mut text = vec![0; place.size as usize];
        self.file
            .read_exact_at(&mut text, place.at)
            .map_err(|_| format!("it is cut off at byte {}", place.at))?;
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    /// Of two members of one name the later counts, as when a tar is unpacked.
    fn member(&mut self, name: Vec<u8>, place: Place) {
        let (of, suffix) = key(&name);
        let suffix = match suffix {
            b"cls" => Some(Suffix::Cls),
            b"json" => Some(Suffix::Json),
            _ => None,
        };
        if let Some(suffix) = suffix.filter(|_| place.size <= MOST_LABEL) {
            // The text says nothing but the label.
            if suffix == Suffix::Cls || !matches!(self.labels.get(of), Some((Suffix::Cls, _))) {
                self.labels.insert(of.to_vec(), (suffix, place));
            }
        } else if names_image(&name) && !is_hidden(&name) {
            match self.numbers.get(&name) {
                Some(&number) => self.images[number].place = place,
                None => {
                    self.numbers.insert(name.clone(), self.images.len());
                    self.images.push(Image { name, place });
                }
            }
        }
    }

    fn label_beside(&self, name: &[u8]) -> Option<Vec<u8>> {
        let (suffix, place) = *self.labels.get(key(name).0)?;
        let mut text = vec![0; place.size as usize];
        self.file.read_exact_at(&mut text, place.at).ok()?;
        let label = match suffix {
            Suffix::Cls => text.trim_ascii().to_vec(),
            Suffix::Json => {
                let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
                match ["label", "cls", "class"]
                    .iter()
                    .find_map(|name| json.get(name))?
                {
                    serde_json::Value::String(label) => label.clone().into_bytes(),
                    number @ serde_json::Value::Number(_) => number.to_string().into_bytes(),
                    _ => return None,
                }
            }
        };
        (!label.is_empty()).then_some(label)
    }
}

/// A number in octal, ended by a blank or NUL, or (GNU) in base 256.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest
            .iter()
            .try_fold(0_u64, |n, &b| n.checked_mul(256)?.checked_add(b.into()));
    }
    let digits = field
        .trim_ascii_start()
        .split(|&b| b == 0 || b == b' ')
        .next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// The path in the records `length key=value` of a pax header; a length that is wrong ends them.
fn path_of_pax(mut records: &[u8]) -> Option<Vec<u8>> {
    let mut path = None;
    while let Some(blank) = records.iter().position(|&b| b == b' ') {
        let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..length)?;
        if let Some(value) = record.strip_prefix(b"path=") {
            path = Some(value.strip_suffix(b"\n").unwrap_or(value).to_vec());
        }
        records = records.get(length..)?;
    }
    path
}

impl Items for Tar {
    fn count(&self) -> usize {
        self.images.len()
    }

    fn name(&self, item: usize) -> Vec<u8> {
        self.images[item].name.clone()
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    fn label(&self, item: usize) -> Option<Vec<u8>> {
        let name = &self.images[item].name;
        self.label_beside(name)
            .or_else(|| label_of(name).map(<[u8]>::to_vec))
    }

    fn size(&self, item: usize) -> u64 {
        self.images[item].place.size
    }

    fn read(&self, item: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let Place { at, size } = self.images[item].place;
        out.resize(usize::try_from(size).map_err(|e| e.to_string())?, 0);
        self.file
            .read_exact_at(out, at)
            .map_err(|_| "it is shorter than it was when it was opened".to_owned())
    }
}
