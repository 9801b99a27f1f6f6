//! A pickle of numbers, names and arrays of bytes, as the python batches of CIFAR are → its values.
//!
//! A pickle is a program, and one that is let loose can do anything. This machine knows only the
//! instructions that such batches are made of (protocols 0x80 2 to 5 of CPython's `pickletools`,
//! and the strings of Python 2), and of the functions that a pickle may name only those that give
//! an array: anything else is refused by its name, and nothing is ever called. Strings stay where
//! they are in the file; what is built is bounded by the number of instructions.

use std::ops::Range;

/// Values that one pickle may build.
const MOST_VALUES: usize = 8 << 20;

/// The functions that give an array, under their names in NumPy 1 and 2.
const GLOBALS: [(&str, Global); 7] = [
    ("numpy.core.multiarray _reconstruct", Global::Reconstruct),
    ("numpy._core.multiarray _reconstruct", Global::Reconstruct),
    ("numpy.core.numeric _frombuffer", Global::FromBuffer),
    ("numpy._core.numeric _frombuffer", Global::FromBuffer),
    ("numpy ndarray", Global::Ndarray),
    ("numpy dtype", Global::Dtype),
    ("_codecs encode", Global::Encode),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    Reconstruct,
    FromBuffer,
    Ndarray,
    Dtype,
    Encode,
}

/// Where a value is among all that were built.
type At = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Integer(i64),
    /// A string of bytes or text, in the file.
    Bytes(Range<usize>),
    /// A string of bytes that stands in the file as text.
    Encoded(Vec<u8>),
    Tuple(Vec<At>),
    List(Vec<At>),
    Dict(Vec<(At, At)>),
    Global(Global),
    /// A type of numbers, by the place of its name.
    Type(At),
    /// An array: its shape, and the place of its bytes.
    Array(Vec<u64>, At),
    /// An array that has no bytes yet.
    Empty,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: At,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
        };
        let root = loop {
            if let Some(root) = machine.step()? {
                break root;
            }
        };
        Ok(Self {
            bytes,
            values: machine.values,
            root,
        })
    }

    /// The bytes of a string.
    fn string(&self, at: At) -> Option<&[u8]> {
        string(self.bytes, self.values.get(at)?)
    }

    /// What the dictionary that the pickle is has under a name.
    fn entry(&self, name: &str) -> Option<&Value> {
        let Value::Dict(entries) = self.values.get(self.root)? else {
            return None;
        };
        let (_, value) = entries
            .iter()
            .rev()
            .find(|(key, _)| self.string(*key) == Some(name.as_bytes()))?;
        self.values.get(*value)
    }

    /// An array of bytes: its shape and its bytes.
    pub(super) fn array(&self, name: &str) -> Option<(&[u64], &[u8])> {
        match self.entry(name)? {
            Value::Array(shape, data) => Some((shape, self.string(*data)?)),
            _ => None,
        }
    }

    /// A list of integers.
    pub(super) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let Value::List(items) = self.entry(name)? else {
            return None;
        };
        items
            .iter()
            .map(|&item| {
                if let Value::Integer(n) = self.values.get(item)? {
                    Some(*n)
                } else {
                    None
                }
            })
            .collect()
    }

    /// A list of strings.
    pub(super) fn strings(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        let Value::List(items) = self.entry(name)? else {
            return None;
        };
        items
            .iter()
            .map(|&item| self.string(item).map(<[u8]>::to_vec))
            .collect()
    }
}

fn string<'a>(bytes: &'a [u8], value: &'a Value) -> Option<&'a [u8]> {
    match value {
        Value::Bytes(range) => bytes.get(range.clone()),
        Value::Encoded(bytes) => Some(bytes),
        _ => None,
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<At>,
    marks: Vec<usize>,
    memo: Vec<Option<At>>,
}

fn cut() -> String {
    "the pickle is cut off".to_owned()
}

fn malformed() -> String {
    "the pickle is malformed".to_owned()
}

impl Machine<'_> {
    fn take(&mut self, length: usize) -> Result<Range<usize>, String> {
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len())
            .ok_or_else(cut)?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    /// An unsigned number of up to 8 bytes, the least significant first.
    fn number(&mut self, length: usize) -> Result<u64, String> {
        let range = self.take(length)?;
        let bytes = self.bytes.get(range).unwrap_or_default();
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// The same, signed.
    fn signed(&mut self, length: usize) -> Result<i64, String> {
        let shift = 64_u32.saturating_sub(8 * length as u32);
        let number = self.number(length)?;
        Ok(if length == 0 {
            0
        } else {
            (number << shift).cast_signed() >> shift
        })
    }

    fn line(&mut self) -> Result<&str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .take(256)
            .position(|&b| b == b'\n')
            .ok_or_else(cut)?;
        self.at += length + 1;
        rest.get(..length)
            .and_then(|line| std::str::from_utf8(line).ok())
            .ok_or_else(malformed)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MOST_VALUES || self.stack.len() >= MOST_VALUES {
            return Err("the pickle has more values than the limit allows".to_owned());
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn push_string(&mut self, bytes_of_length: usize) -> Result<(), String> {
        let length = usize::try_from(self.number(bytes_of_length)?).map_err(|_| cut())?;
        let range = self.take(length)?;
        self.push(Value::Bytes(range))
    }

    fn pop(&mut self) -> Result<At, String> {
        if self
            .marks
            .last()
            .is_some_and(|mark| *mark >= self.stack.len())
        {
            return Err(malformed());
        }
        self.stack.pop().ok_or_else(malformed)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<At>, String> {
        let mark = self
            .marks
            .pop()
            .filter(|mark| *mark <= self.stack.len())
            .ok_or_else(malformed)?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_several(&mut self, count: usize) -> Result<Vec<At>, String> {
        let mut several = (0..count)
            .map(|_| self.pop())
            .collect::<Result<Vec<_>, _>>()?;
        several.reverse();
        Ok(several)
    }

    fn top(&mut self) -> Result<&mut Value, String> {
        let at = *self.stack.last().ok_or_else(malformed)?;
        self.values.get_mut(at).ok_or_else(malformed)
    }

    fn remember(&mut self, place: u64) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(malformed)?;
        let place = usize::try_from(place)
            .ok()
            .filter(|place| *place < MOST_VALUES && *place <= 2 * self.at)
            .ok_or_else(malformed)?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        if let Some(slot) = self.memo.get_mut(place) {
            *slot = Some(top);
        }
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), String> {
        let known = usize::try_from(place)
            .ok()
            .and_then(|place| self.memo.get(place).copied().flatten())
            .ok_or_else(malformed)?;
        if self.stack.len() >= MOST_VALUES {
            return Err(malformed());
        }
        self.stack.push(known);
        Ok(())
    }

    /// One instruction; the place of the whole after the last.
    fn step(&mut self) -> Result<Option<At>, String> {
        let at = self.at;
        let code = self.number(1)? as u8;
        match code {
            b'.' => return self.pop().map(Some),
            // PROTO, FRAME.
            0x80 | 0x95 => self.at = self.take(if code == 0x80 { 1 } else { 8 })?.end,
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Integer((code == 0x88).into()))?,
            b'K' => self.integer(1, false)?,
            b'M' => self.integer(2, false)?,
            b'J' => self.integer(4, true)?,
            0x8a => {
                let length = self.number(1)? as usize;
                if length > 8 {
                    return Err("the pickle has a number of more than 64 bits".to_owned());
                }
                self.integer(length, true)?;
            }
            b'I' => {
                let number = self.line()?.trim().parse().map_err(|_| malformed())?;
                self.push(Value::Integer(number))?;
            }
            // SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE; BINSTRING, BINBYTES, BINUNICODE;
            // those with lengths of 8 bytes, BYTEARRAY8.
            b'U' | b'C' | 0x8c => self.push_string(1)?,
            b'T' | b'B' | b'X' => self.push_string(4)?,
            0x8d | 0x8e | 0x96 => self.push_string(8)?,
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memory(code)?,
            b']' | b')' | b'}' | b'l' | b't' | b'd' | 0x85..=0x87 => self.collection(code)?,
            b'a' | b'e' | b's' | b'u' => self.fill(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => {
                return Err(format!(
                    "the pickle has the instruction {code:#04x} at byte {at}, which no batch of CIFAR needs; it is refused"
                ));
            }
        }
        Ok(None)
    }

    fn integer(&mut self, length: usize, signed: bool) -> Result<(), String> {
        let number = if signed {
            self.signed(length)?
        } else {
            self.number(length)?.cast_signed()
        };
        self.push(Value::Integer(number))
    }

    /// BINPUT, LONG_BINPUT, MEMOIZE; BINGET, LONG_BINGET.
    fn memory(&mut self, code: u8) -> Result<(), String> {
        let place = match code {
            0x94 => self.memo.len() as u64,
            b'q' | b'h' => self.number(1)?,
            _ => self.number(4)?,
        };
        if matches!(code, b'h' | b'j') {
            self.recall(place)
        } else {
            self.remember(place)
        }
    }

    fn collection(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b']' => Value::List(Vec::new()),
            b')' => Value::Tuple(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b'l' => Value::List(self.pop_to_mark()?),
            b't' => Value::Tuple(self.pop_to_mark()?),
            b'd' => Value::Dict(pairs(&self.pop_to_mark()?)?),
            _ => Value::Tuple(self.pop_several(usize::from(code - 0x84))?),
        };
        self.push(value)
    }

    /// APPEND, APPENDS, SETITEM, SETITEMS.
    fn fill(&mut self, code: u8) -> Result<(), String> {
        let new = match code {
            b'a' => self.pop_several(1)?,
            b's' => self.pop_several(2)?,
            _ => self.pop_to_mark()?,
        };
        match self.top()? {
            Value::List(items) if matches!(code, b'a' | b'e') => items.extend(new),
            Value::Dict(entries) if matches!(code, b's' | b'u') => entries.extend(pairs(&new)?),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// GLOBAL, STACK_GLOBAL.
    fn global(&mut self, code: u8) -> Result<(), String> {
        let name = if code == b'c' {
            let module = self.line()?.to_owned();
            format!("{module} {}", self.line()?)
        } else {
            let words = self.pop_several(2)?;
            let words = words.iter().map(|at| {
                String::from_utf8_lossy(self.string(*at).unwrap_or_default()).into_owned()
            });
            words.collect::<Vec<_>>().join(" ")
        };
        match GLOBALS.iter().find(|(known, _)| *known == name) {
            Some((_, global)) => self.push(Value::Global(*global)),
            None => {
                let name: String = name.replacen(' ', ".", 1).chars().take(80).collect();
                Err(format!(
                    "the pickle asks for `{name}`, which no batch of CIFAR needs; it is refused"
                ))
            }
        }
    }

    fn string(&self, at: At) -> Option<&[u8]> {
        string(self.bytes, self.values.get(at)?)
    }

    fn tuple(&self, at: At) -> Result<&[At], String> {
        if let Some(Value::Tuple(items)) = self.values.get(at) {
            Ok(items)
        } else {
            Err(malformed())
        }
    }

    fn reduce(&mut self) -> Result<(), String> {
        let [function, arguments] = self.pop_several(2)?[..] else {
            return Err(malformed());
        };
        let arguments = self.tuple(arguments)?;
        let value = match (self.values.get(function), arguments) {
            (Some(Value::Global(Global::Reconstruct)), [class, ..])
                if self.values.get(*class) == Some(&Value::Global(Global::Ndarray)) =>
            {
                Value::Empty
            }
            (Some(Value::Global(Global::FromBuffer)), [data, of, shape, order]) => {
                self.array_of(*shape, *of, self.string(*order) != Some(b"C"), *data)?
            }
            (Some(Value::Global(Global::Dtype)), [name, ..]) => Value::Type(*name),
            (Some(Value::Global(Global::Encode)), [text, coding])
                if matches!(self.string(*coding), Some(b"latin1" | b"latin-1")) =>
            {
                Value::Encoded(self.latin1(*text)?)
            }
            _ => return Err(malformed()),
        };
        self.push(value)
    }

    /// Each character of a text as a byte.
    fn latin1(&self, text: At) -> Result<Vec<u8>, String> {
        let text = self
            .string(text)
            .and_then(|text| std::str::from_utf8(text).ok())
            .ok_or_else(malformed)?;
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| malformed()))
            .collect()
    }

    fn integer_at(&self, at: At) -> Result<i64, String> {
        if let Some(Value::Integer(n)) = self.values.get(at) {
            Ok(*n)
        } else {
            Err(malformed())
        }
    }

    /// An array of bytes, which is stored row by row.
    fn array_of(&self, shape: At, of: At, by_columns: bool, data: At) -> Result<Value, String> {
        let shape = self
            .tuple(shape)?
            .iter()
            .map(|&at| u64::try_from(self.integer_at(at)?).map_err(|_| malformed()));
        let shape = shape.collect::<Result<Vec<_>, _>>()?;
        let name = if let Some(Value::Type(name)) = self.values.get(of) {
            self.string(*name)
        } else {
            None
        };
        if !matches!(name, Some(b"u1" | b"|u1" | b"uint8" | b"B")) {
            return Err(format!(
                "its array is of the type `{}`, not of bytes",
                String::from_utf8_lossy(name.unwrap_or_default())
            ));
        }
        if by_columns {
            return Err("its array is stored column by column".to_owned());
        }
        Ok(Value::Array(shape, data))
    }

    /// Gives an array its shape and bytes; what is said of a type beyond its name is of no account
    /// for bytes.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let filled = match self.top()? {
            Value::Type(_) => return Ok(()),
            Value::Empty => {
                let [_, shape, of, fortran, data] = *self.tuple(state)? else {
                    return Err(malformed());
                };
                self.array_of(shape, of, self.integer_at(fortran)? != 0, data)?
            }
            _ => return Err(malformed()),
        };
        *self.top()? = filled;
        Ok(())
    }
}

fn pairs(items: &[At]) -> Result<Vec<(At, At)>, String> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err(malformed()),
    }
}
