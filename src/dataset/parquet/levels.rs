//! Numbers packed in runs → the numbers: the levels of values, and their numbers in a dictionary.
//!
//! By `Encodings.md` of Apache Parquet, "Run Length Encoding / Bit-Packing Hybrid": a run is a
//! number that is repeated, or groups of eight numbers of so many bits, the least significant
//! first.

fn damaged() -> String {
    "a page of it is damaged: its numbers are cut off or too large".to_owned()
}

/// So many levels up to `most`; nothing where that is 0, since all are 0 then.
pub(super) fn levels(bytes: &[u8], most: u32, count: usize) -> Result<Vec<u32>, String> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let levels = runs(bytes, u32::BITS - most.leading_zeros(), count)?;
    if levels.iter().all(|level| *level <= most) {
        Ok(levels)
    } else {
        Err(damaged())
    }
}

/// So many numbers of `width` bits.
pub(super) fn runs(mut bytes: &[u8], width: u32, count: usize) -> Result<Vec<u32>, String> {
    if width > 32 {
        return Err(damaged());
    }
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let head = varint(&mut bytes).ok_or_else(damaged)?;
        let (left, length) = (
            count - numbers.len(),
            usize::try_from(head >> 1).map_err(|_| damaged())?,
        );
        if head & 1 == 0 {
            let (value, rest) = bytes
                .split_at_checked(width.div_ceil(8) as usize)
                .filter(|_| length > 0)
                .ok_or_else(damaged)?;
            let value = value
                .iter()
                .rev()
                .fold(0_u32, |value, &byte| value << 8 | u32::from(byte));
            numbers.resize(numbers.len() + length.min(left), value);
            bytes = rest;
            continue;
        }
        // Of the last group no more may be there than is needed.
        let whole = length
            .checked_mul(width as usize)
            .filter(|_| length > 0)
            .ok_or_else(damaged)?;
        let (packed, rest) = bytes.split_at(whole.min(bytes.len()));
        let there = if width == 0 {
            left
        } else {
            packed.len() * 8 / width as usize
        };
        let wanted = left.min(length.saturating_mul(8));
        if there < wanted {
            return Err(damaged());
        }
        unpack(packed, width, wanted, &mut numbers);
        bytes = rest;
    }
    Ok(numbers)
}

fn unpack(packed: &[u8], width: u32, count: usize, out: &mut Vec<u32>) {
    let mask = (1_u64 << width) - 1;
    let (mut buffer, mut bits, mut bytes) = (0_u64, 0, packed.iter());
    for _ in 0..count {
        while bits < width {
            buffer |= u64::from(bytes.next().copied().unwrap_or_default()) << bits;
            bits += 8;
        }
        out.push((buffer & mask) as u32);
        buffer >>= width;
        bits -= width;
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_groups_are_unpacked() {
        // The example of Encodings.md: 0 to 7 in 3 bits.
        assert_eq!(runs(&[3, 0x88, 0xc6, 0xfa], 3, 8), Ok((0..8).collect()));
        assert_eq!(
            runs(&[10, 7, 3, 0x88, 0xc6, 0xfa], 3, 9),
            Ok(vec![7, 7, 7, 7, 7, 0, 1, 2, 3])
        );
        assert_eq!(runs(&[0xc8, 1, 1, 2], 10, 100), Ok(vec![513; 100]));
        assert_eq!(
            (runs(&[], 3, 0), runs(&[8], 0, 4), runs(&[3], 0, 4)),
            (Ok(vec![]), Ok(vec![0; 4]), Ok(vec![0; 4]))
        );
        assert_eq!(levels(&[6, 1], 1, 3), Ok(vec![1; 3]));
        assert_eq!(levels(&[], 0, 3), Ok(vec![]));
    }

    #[test]
    fn hostile_runs_are_refused_and_make_no_more_than_was_asked_for() {
        for (bytes, width, count) in [
            (&[][..], 3, 1),
            (&[3, 0x88], 3, 8),
            (&[10], 3, 5),
            (&[0], 1, 5),
            (&[1], 3, 5),
            (&[10, 1], 33, 5),
        ] {
            assert!(runs(bytes, width, count).is_err(), "{bytes:?}");
        }
        assert!(runs(&[0xff; 12], 8, 8).is_err());
        assert_eq!(
            runs(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 9], 8, 5),
            Ok(vec![9; 5])
        );
        assert!(levels(&[6, 3], 2, 3).is_err(), "3 is no level up to 2");
    }
}
