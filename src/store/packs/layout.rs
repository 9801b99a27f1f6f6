//! Pack bytes ⇄ numbers: the header of a pack, the head of a record, names of files. The only place
//! that packs integers.
//!
//! `store/format.md`, section "Packs", describes the bytes. All integers are little-endian. What
//! the records hold is left to [`super::record`].

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use twox_hash::XxHash3_64;

/// Bytes of a pack's header. The first record, the preface, begins here.
pub(super) const HEADER: u64 = 64;
/// Bytes of a record's head.
pub(super) const HEAD: u64 = 32;
/// The largest payload of a record.
pub(super) const MAX_PAYLOAD: u64 = 64 << 20;
/// The largest settings blob.
pub(super) const MAX_SETTINGS: usize = 1 << 20;
/// The largest number of a pack: eight digits.
pub(super) const MAX_PACK: u32 = 99_999_999;
/// The version of the format.
pub(super) const VERSION: u32 = 1;
/// Records begin at multiples of this.
pub(super) const STEP: u64 = 16;

/// As PNG's: a byte that is no text, a name, and line ends that a text conversion would change.
const MAGIC: [u8; 8] = *b"\x89wspk\r\n\x1a";
/// What every record begins with.
const MARKER: [u8; 8] = [0xd5, 0x1e, b'w', b's', b'r', 0xa7, 0x0c, 0x93];
const SNAPSHOT: u32 = 1;

/// The next multiple of 16.
pub(super) const fn aligned(n: u64) -> u64 {
    n.saturating_add(STEP - 1) & !(STEP - 1)
}

/// The bytes that a record with a payload of `len` bytes takes.
pub(super) fn record_bytes(len: u32) -> u64 {
    aligned(HEAD.saturating_add(u64::from(len)))
}

/// The name of a pack.
pub(super) fn pack_name(pack: u32) -> String {
    format!("{pack:08}.pack")
}

/// The number of the pack with this name, if it is one.
pub(super) fn pack_number(name: &str) -> Option<u32> {
    let digits = name
        .strip_suffix(".pack")
        .filter(|d| d.len() == 8 && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|&n| n > 0)
}

/// Reads integers off the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// A pack's header that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Number of this pack.
    pub(super) pack: u32,
    /// Number of the first pack of the replay.
    pub(super) base: u32,
    /// Number of the pack before in the replay; 0: there is none.
    pub(super) previous: u32,
    /// How many bytes of the pack before count.
    pub(super) previous_end: u64,
    /// Whether the pack is a part of a rewrite: all of it counts if a later pack says so.
    pub(super) snapshot: bool,
}

/// Why the first bytes of a file are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The file is too short, or unreadable, or its checksum is wrong.
    Broken,
    /// It does not begin as a pack does.
    Foreign,
    /// A sound header of another version.
    Version(u32),
}

impl Header {
    /// The 64 bytes of the header.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(MAGIC);
        for field in [VERSION, self.pack, self.base, self.previous] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(self.previous_end.to_le_bytes());
        bytes.extend(u32::from(self.snapshot).to_le_bytes());
        bytes.resize(56, 0);
        bytes.extend(XxHash3_64::oneshot(&bytes).to_le_bytes());
        bytes
    }

    /// Checks a header found in the pack of this number. The place of version and checksum is the
    /// same in all versions.
    pub(super) fn decode(bytes: &[u8], pack: u32) -> Result<Self, Flaw> {
        let (body, sum) = bytes
            .get(..64)
            .and_then(<[u8]>::split_last_chunk::<8>)
            .ok_or(Flaw::Broken)?;
        let mut body_fields = Cursor(body);
        if body_fields.take() != Some(MAGIC) {
            return Err(Flaw::Foreign);
        }
        if XxHash3_64::oneshot(body) != u64::from_le_bytes(*sum) {
            return Err(Flaw::Broken);
        }
        match body_fields.u32() {
            Some(VERSION) => Self::fields(&mut body_fields)
                .filter(|h| h.is_plausible(pack))
                .ok_or(Flaw::Broken),
            other => Err(Flaw::Version(other.unwrap_or_default())),
        }
    }

    fn fields(from: &mut Cursor<'_>) -> Option<Self> {
        let (pack, base, previous) = (from.u32()?, from.u32()?, from.u32()?);
        let previous_end = from.u64()?;
        let flags = from.u32()?;
        Some(Self {
            pack,
            base,
            previous,
            previous_end,
            snapshot: flags & SNAPSHOT != 0,
        })
    }

    fn is_plausible(self, pack: u32) -> bool {
        let follows =
            self.previous == 0 || (self.base <= self.previous && self.previous < self.pack);
        self.pack == pack && self.base <= pack && self.base > 0 && follows
    }
}

/// The head of a record whose checksum is right for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What the payload is.
    pub(super) kind: u8,
    /// Bytes of the payload.
    pub(super) len: u32,
    sum: u64,
}

fn head_sum(front: &[u8], pack: u32, offset: u64) -> u64 {
    let mut covered = [0; 36];
    let place = pack.to_le_bytes().into_iter().chain(offset.to_le_bytes());
    for (to, from) in covered.iter_mut().zip(front.iter().copied().chain(place)) {
        *to = from;
    }
    XxHash3_64::oneshot(&covered)
}

impl Head {
    /// The head of a payload. `None` if it is larger than a record may be.
    pub(super) fn of(kind: u8, payload: &[u8]) -> Option<Self> {
        let len = u32::try_from(payload.len())
            .ok()
            .filter(|&len| u64::from(len) <= MAX_PAYLOAD)?;
        Some(Self {
            kind,
            len,
            sum: XxHash3_64::oneshot(payload),
        })
    }

    /// The 32 bytes of the head for a record at this place.
    pub(super) fn encode(self, pack: u32, offset: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend(MARKER);
        bytes.extend([self.kind, 0, 0, 0]);
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.sum.to_le_bytes());
        bytes.extend(head_sum(&bytes, pack, offset).to_le_bytes());
        bytes
    }

    /// Checks a head found at this place.
    pub(super) fn decode(bytes: &[u8], pack: u32, offset: u64) -> Option<Self> {
        let (front, sum) = bytes.get(..32)?.split_last_chunk::<8>()?;
        let mut fields = Cursor(front);
        if fields.take() != Some(MARKER)
            || head_sum(front, pack, offset) != u64::from_le_bytes(*sum)
        {
            return None;
        }
        let [kind, ..] = fields.take::<4>()?;
        let (len, sum) = (fields.u32()?, fields.u64()?);
        (u64::from(len) <= MAX_PAYLOAD).then_some(Self { kind, len, sum })
    }

    /// Whether this is the payload that was written.
    pub(super) fn fits(self, payload: &[u8]) -> bool {
        payload.len() as u64 == u64::from(self.len) && XxHash3_64::oneshot(payload) == self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        pack: 7,
        base: 2,
        previous: 5,
        previous_end: 1 << 40,
        snapshot: true,
    };

    #[test]
    fn headers_and_heads_come_back() {
        assert_eq!(Header::decode(&HEADER.encode(), 7), Ok(HEADER));
        assert_eq!(HEADER.encode().len(), 64);
        let head = Head::of(3, b"payload").unwrap();
        assert_eq!(Head::decode(&head.encode(7, 64), 7, 64), Some(head));
        assert!(head.fits(b"payload") && !head.fits(b"payloae") && !head.fits(b"payloa"));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (header, head) = (
            HEADER.encode(),
            Head::of(3, b"payload").unwrap().encode(7, 64),
        );
        for bit in 0..64 * 8 {
            let mut bad = header.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad, 7).is_err(), "bit {bit} of the header");
        }
        for bit in 0..32 * 8 {
            let mut bad = head.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bad, 7, 64), None, "bit {bit} of the head");
        }
        assert!((0..64).all(|n| Header::decode(&header[..n], 7).is_err()));
        assert!((0..32).all(|n| Head::decode(&head[..n], 7, 64).is_none()));
    }

    #[test]
    fn a_record_or_pack_moved_elsewhere_is_not_valid() {
        let head = Head::of(3, b"payload").unwrap().encode(7, 64);
        assert_eq!(Head::decode(&head, 8, 64), None);
        assert_eq!(Head::decode(&head, 7, 80), None);
        assert_eq!(Header::decode(&HEADER.encode(), 8), Err(Flaw::Broken));
    }

    #[test]
    fn another_version_is_told_from_a_broken_header() {
        let mut newer = HEADER.encode();
        newer[8] = 2;
        assert_eq!(Header::decode(&newer, 7), Err(Flaw::Broken));
        let sum = XxHash3_64::oneshot(&newer[..56]).to_le_bytes();
        newer[56..].copy_from_slice(&sum);
        assert_eq!(Header::decode(&newer, 7), Err(Flaw::Version(2)));
        assert_eq!(Header::decode(&[0x50; 64], 7), Err(Flaw::Foreign));
    }

    #[test]
    fn names_have_eight_digits() {
        assert_eq!(pack_number(&pack_name(1)), Some(1));
        assert_eq!(pack_number(&pack_name(MAX_PACK)), Some(MAX_PACK));
        for name in [
            "00000000.pack",
            "1.pack",
            "+0000001.pack",
            "00000001.pac",
            "000000001.pack",
        ] {
            assert_eq!(pack_number(name), None, "{name}");
        }
    }
}
