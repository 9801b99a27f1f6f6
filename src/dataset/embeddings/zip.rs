//! A zip archive, as `numpy.savez` writes it → its members, and their bytes.
//!
//! By PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3: the end record, the 64-bit one before it if
//! there is one, the central directory, and the head of a member. Members are stored or deflated;
//! encrypted and split archives are refused. Its own reader and no library's, since an archive of
//! arrays has few members: so all numbers can be held against small limits before memory is taken.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
};

use flate2::{Crc, read::DeflateDecoder};

/// Members of an archive of arrays.
const MOST_MEMBERS: u64 = 4_096;
/// Bytes of its central directory.
const MOST_DIRECTORY: u64 = 4 << 20;
/// The end record, and the longest comment behind it.
const END: usize = 22;
const LONGEST_END: u64 = END as u64 + 0xffff;

/// Bytes in a file, which may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    at: u64,
    packed: u64,
    /// Bytes when they are unpacked.
    pub(super) size: u64,
    deflated: bool,
    crc: Option<u32>,
}

/// A member of an archive.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) part: Part,
}

impl Part {
    /// A file of `size` bytes as it is.
    pub(super) fn whole(size: u64) -> Self {
        Self {
            at: 0,
            packed: size,
            size,
            deflated: false,
            crc: None,
        }
    }

    /// Its bytes from the first on. The checksum is compared where the last has been read and one
    /// more is asked for.
    pub(super) fn open<'a>(&self, file: &'a File) -> Box<dyn Read + 'a> {
        let packed = BufReader::with_capacity(
            1 << 16,
            Range {
                file,
                at: self.at,
                left: self.packed,
            },
        );
        if self.deflated {
            return Box::new(Checked {
                inner: DeflateDecoder::new(packed),
                left: self.size,
                sum: Crc::new(),
                crc: self.crc,
            });
        }
        Box::new(Checked {
            inner: packed,
            left: self.size,
            sum: Crc::new(),
            crc: self.crc,
        })
    }
}

struct Range<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let read = self
            .file
            .read_at(out.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

struct Checked<R> {
    inner: R,
    left: u64,
    sum: Crc,
    crc: Option<u32>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let read = self.inner.read(out.get_mut(..most).unwrap_or_default())?;
        self.left -= read as u64;
        if self.crc.is_some() {
            self.sum.update(out.get(..read).unwrap_or_default());
        }
        match self.crc {
            Some(crc) if self.left == 0 && crc != self.sum.sum() => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its checksum is another: it is damaged",
            )),
            _ => Ok(read),
        }
    }
}

/// The number of `N` bytes at a place, the least significant first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<N>()?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)),
    )
}

fn damaged() -> String {
    "its directory is damaged, or it is no zip archive".to_owned()
}

/// Bytes of the file that must be there.
fn bytes(file: &File, at: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged())?];
    file.read_exact_at(&mut bytes, at)
        .map_err(|_| "it is cut off, or no zip archive".to_owned())?;
    Ok(bytes)
}

/// The members of an archive of `size` bytes.
pub(super) fn members(file: &File, size: u64) -> Result<Vec<Member>, String> {
    let (count, length, at) = directory(file, size)?;
    if count > MOST_MEMBERS || length > MOST_DIRECTORY {
        return Err(format!(
            "it tells of {count} members in {length} bytes; the limits are {MOST_MEMBERS} and {MOST_DIRECTORY}"
        ));
    }
    let directory = bytes(file, at, length)?;
    let (mut members, mut rest) = (Vec::new(), &directory[..]);
    for _ in 0..count {
        let (member, after) = entry(rest).ok_or_else(damaged)?;
        members.push(opened(member?, file, size)?);
        rest = after;
    }
    Ok(members)
}

/// How many members there are, and the length and place of the central directory.
fn directory(file: &File, size: u64) -> Result<(u64, u64, u64), String> {
    let from = size.saturating_sub(LONGEST_END);
    let tail = bytes(file, from, size - from)?;
    let is_end = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06")
            && number::<2>(&tail, at + 20) == Some((tail.len() - at - END) as u64)
    };
    let at = (0..(tail.len() + 1).saturating_sub(END))
        .rev()
        .find(is_end)
        .ok_or("it is cut off, or no zip archive")?;
    let of = |bytes: &[u8], at: usize| {
        Some((
            number::<2>(bytes, at + 10)?,
            number::<4>(bytes, at + 12)?,
            number::<4>(bytes, at + 16)?,
        ))
    };
    let (count, length, place) = of(&tail, at).ok_or_else(damaged)?;
    if count != 0xffff && length != 0xffff_ffff && place != 0xffff_ffff {
        return Ok((count, length, place));
    }
    let locator = (from + at as u64).checked_sub(20).ok_or_else(damaged)?;
    let locator = bytes(file, locator, 20)?;
    let place = number::<8>(&locator, 8)
        .filter(|_| locator.starts_with(b"PK\x06\x07"))
        .ok_or_else(damaged)?;
    let end = bytes(file, place, 56)?;
    let of = |end: &[u8]| {
        Some((
            number::<8>(end, 32)?,
            number::<8>(end, 40)?,
            number::<8>(end, 48)?,
        ))
    };
    of(&end)
        .filter(|_| end.starts_with(b"PK\x06\x06"))
        .ok_or_else(damaged)
}

/// The first entry of the directory, whose part begins at the head of the member, and what follows;
/// `None` if it is cut off.
fn entry(directory: &[u8]) -> Option<(Result<Member, String>, &[u8])> {
    let head = directory.strip_prefix(b"PK\x01\x02")?;
    let [flags, method, name, extra, comment] = [4, 6, 24, 26, 28].map(|at| number::<2>(head, at));
    let [crc, packed, size, at] = [12, 16, 20, 38].map(|at| number::<4>(head, at));
    let (name, extra, comment) = (name? as usize, extra? as usize, comment? as usize);
    let text = head.get(42..)?;
    let (wide, after) = (
        text.get(name..name + extra)?,
        text.get(name + extra + comment..)?,
    );
    let name = text.get(..name)?.to_vec();
    let mut wide = wide_numbers(wide).into_iter();
    let mut number = |narrow: u64| {
        if narrow == 0xffff_ffff {
            wide.next()
        } else {
            Some(narrow)
        }
    };
    let (size, packed, at) = (number(size?)?, number(packed?)?, number(at?)?);
    let part = Part {
        at,
        packed,
        size,
        deflated: method? == 8,
        crc: Some(crc? as u32),
    };
    let shown = String::from_utf8_lossy(&name).into_owned();
    Some((
        match (flags? & 1, method?) {
            (0, 0) if packed != size => Err(format!("its member `{shown}` is damaged")),
            (0, 0 | 8) => Ok(Member { name, part }),
            (0, method) => Err(format!(
                "its member `{shown}` is packed by method {method}; write it with numpy.savez or savez_compressed"
            )),
            _ => Err(format!("its member `{shown}` is encrypted")),
        },
        after,
    ))
}

/// The numbers that need 64 bits, in the extra field of kind 1.
fn wide_numbers(mut extra: &[u8]) -> Vec<u64> {
    while let (Some(kind), Some(length)) = (number::<2>(extra, 0), number::<2>(extra, 2)) {
        let Some(field) = extra.get(4..4 + length as usize) else {
            break;
        };
        if kind == 1 {
            return field
                .chunks_exact(8)
                .filter_map(|eight| number::<8>(eight, 0))
                .collect();
        }
        extra = &extra[4 + field.len()..];
    }
    Vec::new()
}

/// A member whose part begins at its bytes, behind its head.
fn opened(mut member: Member, file: &File, size: u64) -> Result<Member, String> {
    let head = bytes(file, member.part.at, 30)?;
    let lengths = number::<2>(&head, 26)
        .zip(number::<2>(&head, 28))
        .filter(|_| head.starts_with(b"PK\x03\x04"));
    let (name, extra) = lengths.ok_or_else(damaged)?;
    member.part.at += 30 + name + extra;
    let end = member.part.at.checked_add(member.part.packed);
    if end.is_some_and(|end| end <= size) {
        Ok(member)
    } else {
        Err(format!(
            "its member `{}` is cut off",
            String::from_utf8_lossy(&member.name)
        ))
    }
}
