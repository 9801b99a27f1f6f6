//! An array that NumPy saved → its type, its shape and its values.
//!
//! By `numpy.lib.format`, versions 1.0 to 3.0: the magic, the version, the length of the header,
//! and the header, a dictionary of Python with the three keys `descr`, `fortran_order` and `shape`.
//! This reads such dictionaries and no other Python. Arrays of objects are pickles, which are
//! programs: they are refused.

use std::io::Read;

/// Bytes of a header.
const LONGEST_HEADER: usize = 64 << 10;

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// An IEEE float of 2, 4 or 8 bytes.
    Float,
    /// Two's complement, of 1, 2, 4 or 8 bytes.
    Signed,
    /// Of 1, 2, 4 or 8 bytes.
    Unsigned,
    /// Code points of 4 bytes, NULs at the end.
    Text,
    /// Bytes, NULs at the end.
    Bytes,
}

/// What stands before the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Type,
    /// Bytes of a value.
    pub(super) size: usize,
    big_endian: bool,
    /// Whether the first index runs fastest.
    pub(super) fortran: bool,
    pub(super) shape: Vec<u64>,
    /// Bytes of the header itself.
    pub(super) length: u64,
}

/// Reads a header.
pub(super) fn header(source: &mut dyn Read) -> Result<Header, String> {
    let mut take = |bytes: &mut [u8]| source.read_exact(bytes).map_err(|e| cut(&e));
    let mut magic = [0; 8];
    take(&mut magic)?;
    let wide = match magic {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => false,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => true,
        [0x93, b'N', b'U', b'M', b'P', b'Y', major, minor] => {
            return Err(format!(
                "it is of version {major}.{minor} of NumPy's format; 1.0 to 3.0 are known"
            ));
        }
        _ => return Err("it is no array that NumPy saved".to_owned()),
    };
    let mut length = [0; 4];
    take(&mut length[..if wide { 4 } else { 2 }])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_HEADER {
        return Err(format!(
            "its header has {length} bytes; the limit is {LONGEST_HEADER}"
        ));
    }
    let mut text = vec![0; length];
    take(&mut text)?;
    let before = if wide { 12 } else { 10 };
    parse(&text).map(|header| Header {
        length: before + length as u64,
        ..header
    })
}

fn cut(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

/// A part of Python's literals, from the left.
struct Literal<'a>(&'a [u8]);

impl<'a> Literal<'a> {
    /// Whether this comes next, which is then passed over.
    fn eat(&mut self, what: &[u8]) -> bool {
        self.0 = self.0.trim_ascii_start();
        self.0
            .strip_prefix(what)
            .map(|rest| self.0 = rest)
            .is_some()
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let quote = [b'\'', b'"']
            .into_iter()
            .find(|&quote| self.eat(&[quote]))?;
        let end = self.0.iter().position(|&b| b == quote)?;
        let (string, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        (!string.contains(&b'\\')).then_some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.eat(b"True") {
            Some(true)
        } else {
            self.eat(b"False").then_some(false)
        }
    }

    /// Numbers in parentheses; those of Python 2 may end in `L`.
    fn tuple(&mut self) -> Option<Vec<u64>> {
        let (mut numbers, mut open) = (Vec::new(), self.eat(b"("));
        while open && !self.eat(b")") {
            self.0 = self.0.trim_ascii_start();
            let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
            numbers.push(std::str::from_utf8(&self.0[..digits]).ok()?.parse().ok()?);
            self.0 = &self.0[digits..];
            self.eat(b"L");
            open = self.eat(b",") || self.0.trim_ascii_start().starts_with(b")");
        }
        open.then_some(numbers)
    }
}

fn parse(text: &[u8]) -> Result<Header, String> {
    let malformed = || "its header is malformed".to_owned();
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut literal = Literal(text);
    if !literal.eat(b"{") {
        return Err(malformed());
    }
    while !literal.eat(b"}") {
        let key = literal
            .string()
            .filter(|_| literal.eat(b":"))
            .ok_or_else(malformed)?;
        let known = match key {
            b"descr" if literal.eat(b"[") => {
                return Err("its values are records; save an array of floats".to_owned());
            }
            b"descr" => descr
                .replace(literal.string().ok_or_else(malformed)?)
                .is_none(),
            b"fortran_order" => fortran
                .replace(literal.boolean().ok_or_else(malformed)?)
                .is_none(),
            b"shape" => shape
                .replace(literal.tuple().ok_or_else(malformed)?)
                .is_none(),
            _ => false,
        };
        if !known || !literal.eat(b",") && !literal.0.trim_ascii_start().starts_with(b"}") {
            return Err(malformed());
        }
    }
    let (descr, fortran, shape) = (
        descr.ok_or_else(malformed)?,
        fortran.ok_or_else(malformed)?,
        shape.ok_or_else(malformed)?,
    );
    let (kind, size, big_endian) = type_of(descr)?;
    Ok(Header {
        kind,
        size,
        big_endian,
        fortran,
        shape,
        length: 0,
    })
}

/// Kind, bytes of a value, and whether the most significant comes first.
fn type_of(descr: &[u8]) -> Result<(Type, usize, bool), String> {
    let name = String::from_utf8_lossy(descr);
    let unknown = || format!("its values are of type `{name}`; save it as float32");
    let (order, kind, digits) = match descr {
        [order @ (b'<' | b'>' | b'|' | b'='), kind, digits @ ..] => (*order, *kind, digits),
        _ => return Err(unknown()),
    };
    let size: usize = std::str::from_utf8(digits)
        .ok()
        .filter(|d| !d.is_empty())
        .map_or(Ok(0), str::parse)
        .map_err(|_| unknown())?;
    let (kind, size) = match (kind, size) {
        (b'O', _) => {
            return Err(
                "it holds objects of Python, which are never unpickled: save numbers as float32 and paths as text (dtype=str)".into()
            );
        }
        (b'f', 2 | 4 | 8) => (Type::Float, size),
        (b'i', 1 | 2 | 4 | 8) => (Type::Signed, size),
        (b'u', 1 | 2 | 4 | 8) => (Type::Unsigned, size),
        (b'U', 1..0x1_0000) => (Type::Text, 4 * size),
        (b'S', 1..0x1_0000) => (Type::Bytes, size),
        _ => return Err(unknown()),
    };
    Ok((
        kind,
        size,
        order == b'>' || order == b'=' && cfg!(target_endian = "big"),
    ))
}

impl Header {
    pub(super) fn is_numbers(&self) -> bool {
        matches!(self.kind, Type::Float | Type::Signed | Type::Unsigned)
    }

    /// Bytes of header and values; `None` where no file can have so many.
    pub(super) fn bytes(&self) -> Option<u64> {
        let values = self
            .shape
            .iter()
            .try_fold(self.size as u64, |product, n| product.checked_mul(*n))?;
        values.checked_add(self.length)
    }

    /// As Python writes type and shape.
    pub(super) fn describe(&self) -> String {
        let kind = match self.kind {
            Type::Float => format!("float{}", 8 * self.size),
            Type::Signed => format!("int{}", 8 * self.size),
            Type::Unsigned => format!("uint{}", 8 * self.size),
            Type::Text | Type::Bytes => "text".to_owned(),
        };
        let shape: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("{kind} ({})", shape.join(", "))
    }

    /// Calls `take` with the bytes of each value, in the order in which they stand; nothing must
    /// follow them.
    pub(super) fn each(
        &self,
        source: &mut dyn Read,
        count: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut block = vec![0; (1 << 16) / self.size.max(1) * self.size + self.size];
        let mut left = count;
        while left > 0 {
            let values = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(block.len() / self.size);
            let block = &mut block[..values * self.size];
            source.read_exact(block).map_err(|e| cut(&e))?;
            block.chunks_exact(self.size).try_for_each(&mut take)?;
            left -= values as u64;
        }
        match source.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("more follows than its header tells of: it is damaged".to_owned()),
            Err(e) => Err(cut(&e)),
        }
    }

    /// A number of this type.
    pub(super) fn number(&self, value: &[u8]) -> f32 {
        let bits = self.bits(value);
        let unused = 64_u32.saturating_sub(8 * value.len() as u32);
        match (self.kind, value.len()) {
            (Type::Float, 2) => half(bits as u16),
            (Type::Float, 4) => f32::from_bits(bits as u32),
            (Type::Float, _) => f64::from_bits(bits) as f32,
            (Type::Signed, _) => ((bits << unused).cast_signed() >> unused) as f32,
            _ => bits as f32,
        }
    }

    fn bits(&self, value: &[u8]) -> u64 {
        let add = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
        if self.big_endian {
            value.iter().fold(0, add)
        } else {
            value.iter().rev().fold(0, add)
        }
    }

    /// Text of this type, as UTF-8; the surrogates by which Python holds bytes that are none become
    /// those bytes.
    pub(super) fn text(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        let end = |value: &[u8]| {
            value
                .iter()
                .rposition(|&b| b != 0)
                .map_or(0, |last| last + 1)
        };
        if self.kind == Type::Bytes {
            return Ok(value[..end(value)].to_vec());
        }
        let (mut text, mut encoded) = (Vec::new(), [0; 4]);
        for point in value.chunks_exact(4).map(|point| self.bits(point) as u32) {
            match (point, char::from_u32(point)) {
                (0xdc80..=0xdcff, _) => text.push(point as u8),
                (_, Some(c)) => text.extend_from_slice(c.encode_utf8(&mut encoded).as_bytes()),
                (_, None) => return Err(format!("it has text that is no Unicode ({point:#x})")),
            }
        }
        text.truncate(end(&text));
        Ok(text)
    }
}

/// An IEEE 754 float of 16 bits.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    let size = match (exponent, fraction == 0.0) {
        (0, _) => fraction * 2.0_f32.powi(-24),
        (31, true) => f32::INFINITY,
        (31, false) => f32::NAN,
        _ => (1_024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(version: u8, text: &str) -> Result<Header, String> {
        let length = (text.len() as u32).to_le_bytes();
        let bytes = [
            b"\x93NUMPY",
            &[version, 0][..],
            &length[..if version == 1 { 2 } else { 4 }],
            text.as_bytes(),
        ]
        .concat();
        header(&mut &bytes[..])
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        for version in [1, 2, 3] {
            let found = with(
                version,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }   \n",
            )
            .unwrap();
            assert_eq!(
                (found.kind, found.size, found.fortran, &found.shape[..]),
                (Type::Float, 4, false, &[3, 2][..])
            );
            assert_eq!(found.bytes(), Some(found.length + 24));
        }
        let python2 = with(
            1,
            "{\"shape\": (12L,), \"fortran_order\": True, \"descr\": \"|S7\"}",
        )
        .unwrap();
        assert_eq!(
            (
                python2.kind,
                python2.size,
                python2.fortran,
                &python2.shape[..]
            ),
            (Type::Bytes, 7, true, &[12][..])
        );
        assert!(
            with(1, "{'descr':'>U3','fortran_order':False,'shape':()}")
                .unwrap()
                .shape
                .is_empty()
        );
    }

    #[test]
    fn headers_that_are_hostile_or_strange_are_refused() {
        let of = |descr: &str, shape: &str| {
            with(
                1,
                &format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"),
            )
        };
        let reason = |found: Result<Header, String>| found.unwrap_err();
        assert!(reason(of("'|O'", "(3,)")).contains("never unpickled"));
        assert!(reason(of("[('a', '<f4')]", "(3,)")).contains("records"));
        for descr in [
            "'<f16'",
            "'<c8'",
            "'|b1'",
            "'|V2'",
            "'<M8[ns]'",
            "'<f'",
            "'f4'",
            "''",
            "'<U0'",
            "'<i3'",
            "'|S99999999999999999999'",
        ] {
            assert!(
                reason(of(descr, "(3,)")).contains("save it as float32"),
                "{descr}"
            );
        }
        for shape in [
            "(3",
            "3",
            "(-1,)",
            "(3 3)",
            "(3,,)",
            "[3]",
            "(99999999999999999999,)",
            "(,)",
            "(3, '4')",
            "__import__('os')",
        ] {
            assert!(reason(of("'<f4'", shape)).contains("malformed"), "{shape}");
        }
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4'}",
            "{'x': 1}",
            "{'descr': '<f4', 'descr': '<f4'}",
            "{'descr' '<f4'}",
            "{'de\\x73cr': '<f4'}",
        ] {
            assert!(reason(with(1, text)).contains("malformed"), "{text}");
        }
        assert_eq!(
            of("'<f8'", "(4294967296, 4294967296)").unwrap().bytes(),
            None
        );
        assert!(
            reason(header(&mut &b"\x93NUMPY\x02\0\xff\xff\xff\xff"[..]))
                .contains("the limit is 65536")
        );
        assert!(reason(header(&mut &b"\x93NUMPY\x01\0\xff\xff{"[..])).contains("cut off"));
        assert!(reason(header(&mut &b"\x93NUMPY\x09\0\xff\xff{"[..])).contains("version 9.0"));
        assert!(reason(header(&mut &b"PK\x03\x04 and more"[..])).contains("no array"));
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        let of = |descr: &str, value: &[u8]| {
            let found = with(
                1,
                &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,)}}"),
            )
            .unwrap();
            assert_eq!(found.size, value.len());
            found.number(value)
        };
        let halves = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x0001, 2.0_f32.powi(-24)),
            (0x03ff, 1_023.0 * 2.0_f32.powi(-24)),
        ];
        for (bits, value) in halves.into_iter().chain([
            (0x0400, 2.0_f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
        ]) {
            assert_eq!(
                [
                    of("<f2", &u16::to_le_bytes(bits)),
                    of(">f2", &u16::to_be_bytes(bits))
                ],
                [value; 2],
                "{bits:#x}"
            );
        }
        assert!(half(0x7c01).is_nan() && half(0x8000).is_sign_negative());
        assert_eq!(
            [
                of("<f4", &1.5_f32.to_le_bytes()),
                of(">f8", &1.5_f64.to_be_bytes()),
                of("|i1", &[0xfd]),
                of("|u1", &[0xfd])
            ],
            [1.5, 1.5, -3.0, 253.0]
        );
        assert_eq!(
            [
                of("<i2", &(-3_i16).to_le_bytes()),
                of(">i4", &(-3_i32).to_be_bytes()),
                of("<i8", &(-3_i64).to_le_bytes())
            ],
            [-3.0; 3]
        );
        assert_eq!(
            [
                of("<u2", &[1, 2]),
                of(">u4", &[0, 0, 2, 1]),
                of("<u8", &[1, 2, 0, 0, 0, 0, 0, 0])
            ],
            [513.0; 3]
        );
    }

    #[test]
    fn text_is_read_with_the_bytes_that_are_none() {
        let text = |descr: &str, value: &[u8]| {
            let found = with(
                1,
                &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,)}}"),
            )
            .unwrap();
            found.text(value)
        };
        let points: Vec<u8> = ['a' as u32, 'é' as u32, 0xdcff, 0]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        assert_eq!(text("<U4", &points).unwrap(), b"a\xc3\xa9\xff");
        assert_eq!(text("|S4", b"a\0b\0").unwrap(), b"a\0b");
        assert!(
            text("<U1", &0xd800_u32.to_le_bytes())
                .unwrap_err()
                .contains("no Unicode")
        );
    }
}
