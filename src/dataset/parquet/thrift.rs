//! Bytes in Thrift's compact protocol → values, by the numbers of their fields.
//!
//! By `thrift-compact-protocol.md` of Apache Thrift. What is read is a tree of values, without a
//! schema; what they mean is for the caller to say. Every value takes a byte at least, and depth
//! and number are bounded, so a few bytes cannot make many.

/// Structs in structs.
const DEEPEST: usize = 24;
/// Values of one tree.
const MOST_VALUES: usize = 8 << 20;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    /// A float, which nobody asks for.
    Double,
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Struct(Vec<(i16, Value)>),
}

impl Value {
    pub(super) fn field(&self, id: i16) -> Option<&Self> {
        let Self::Struct(fields) = self else {
            return None;
        };
        fields
            .iter()
            .find(|(own, _)| *own == id)
            .map(|(_, value)| value)
    }

    pub(super) fn int(&self, id: i16) -> Option<i64> {
        if let Self::Int(number) = self.field(id)? {
            Some(*number)
        } else {
            None
        }
    }

    pub(super) fn bool(&self, id: i16) -> Option<bool> {
        if let Self::Bool(is) = self.field(id)? {
            Some(*is)
        } else {
            None
        }
    }

    pub(super) fn bytes(&self, id: i16) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self.field(id)? {
            Some(bytes)
        } else {
            None
        }
    }

    /// Nothing where there is no such list.
    pub(super) fn list(&self, id: i16) -> &[Self] {
        if let Some(Self::List(values)) = self.field(id) {
            values
        } else {
            &[]
        }
    }
}

/// The struct at the beginning of some bytes, and how many it takes; `None` if it is cut off or
/// malformed.
pub(super) fn read(bytes: &[u8]) -> Option<(Value, usize)> {
    let mut reader = Reader {
        rest: bytes,
        values: 0,
    };
    let value = reader.value(12, 0)?;
    Some((value, bytes.len() - reader.rest.len()))
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn varint(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
        }
    }

    fn zigzag(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// One value more.
    fn count(&mut self) -> Option<()> {
        self.values += 1;
        (self.values <= MOST_VALUES).then_some(())
    }

    /// A value of a type, by its number in the protocol; booleans as they stand in lists.
    fn value(&mut self, kind: u8, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.count()?;
        match kind {
            1 | 2 => Some(Value::Bool(self.byte()? == 1)),
            3 => Some(Value::Int(i64::from(self.byte()?.cast_signed()))),
            4..=6 => self.zigzag().map(Value::Int),
            7 => self.take(8).map(|_| Value::Double),
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.take(length).map(|bytes| Value::Bytes(bytes.to_vec()))
            }
            9 | 10 => self.items(depth),
            12 => self.fields(depth),
            _ => None,
        }
    }

    fn items(&mut self, depth: usize) -> Option<Value> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 {
            self.varint()?
        } else {
            u64::from(head >> 4)
        };
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(head & 15, depth + 1)?);
        }
        Some(Value::List(items))
    }

    fn fields(&mut self, depth: usize) -> Option<Value> {
        let (mut fields, mut id) = (Vec::new(), 0_i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Value::Struct(fields));
            }
            id = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).ok()?,
                step => id.checked_add(step.into())?,
            };
            let value = match head & 15 {
                kind @ (1 | 2) => {
                    self.count()?;
                    Value::Bool(kind == 1)
                }
                kind => self.value(kind, depth + 1)?,
            };
            fields.push((id, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_lists_and_numbers_are_read_and_what_follows_stays() {
        // 1: i32 −3, 2: true, 5: "ab", 6: list of i32 1, 2, 40 (by a long id): struct { 1: double }
        let bytes = [
            0x15, 5, 0x11, 0x38, 2, b'a', b'b', 0x19, 0x25, 2, 4, 0x0c, 80, 0x17, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 99,
        ];
        let (value, length) = read(&bytes).unwrap();
        assert_eq!(
            (length, value.int(1), value.bool(2), value.bytes(5)),
            (bytes.len() - 1, Some(-3), Some(true), Some(&b"ab"[..]))
        );
        assert_eq!(value.list(6), [Value::Int(1), Value::Int(2)]);
        assert_eq!(
            (
                value.field(40).unwrap().field(1),
                value.int(7),
                value.list(1).len()
            ),
            (Some(&Value::Double), None, 0)
        );
        (0..length).for_each(|cut| assert_eq!(read(&bytes[..cut]), None));
    }

    #[test]
    fn hostile_bytes_are_refused() {
        assert_eq!(read(&[0x1c; 200]), None, "too deep");
        assert_eq!(
            read(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
            None,
            "a list that is longer than the bytes"
        );
        assert_eq!(
            read(&[
                0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
            ]),
            None,
            "a string of 2^64 bytes"
        );
        assert_eq!(
            read(&[
                0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0
            ]),
            None,
            "a number of 84 bits"
        );
        assert_eq!(read(&[0x1b, 0, 0]), None, "a map");
    }
}
