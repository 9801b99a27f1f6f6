//! Huffman-coded JPEG blocks → dequantised coefficients.
//!
//! ITU-T T.81 Annexes C and F.2.2. One table look-up of [`LOOK`] bits gives length, run and value
//! together where they fit (an idea of stb_image's), a search over the longer lengths otherwise.

/// Bits that are looked up at once.
const LOOK: u32 = 11;

/// Zig-zag position → index with rows and columns exchanged (see [`super::idct::inverse`]).
pub(super) const ZIGZAG: [u8; 64] = {
    let (mut table, mut u, mut v, mut k) = ([0; 64], 0_usize, 0_usize, 0);
    while k < 64 {
        table[k] = (v * 8 + u) as u8;
        if (u + v) % 2 == 0 {
            if v == 7 {
                u += 1;
            } else {
                v += 1;
                u = u.saturating_sub(1);
            }
        } else if u == 7 {
            v += 1;
        } else {
            u += 1;
            v = v.saturating_sub(1);
        }
        k += 1;
    }
    table
};

/// A decoding table.
#[derive(Clone)]
pub(super) struct Huffman {
    /// By the next `LOOK` bits: value (16 bits, signed), run and size (8), bits used (8). Value 0
    /// means that only the code is resolved, bits used 0 that the code is longer than `LOOK`.
    look: [u32; 1 << LOOK],
    /// By length: the first 16-bit window above its codes.
    limit: [u32; 17],
    /// By length: what to add to a code to get its symbol's place.
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl Huffman {
    /// From the BITS and HUFFVAL lists of a DHT segment; `None` if they are no prefix code.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut table = Self {
            look: [0; 1 << LOOK],
            limit: [0; 17],
            offset: [0; 17],
            symbols: [0; 256],
        };
        table
            .symbols
            .get_mut(..values.len())?
            .copy_from_slice(values);
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            let l = length as usize;
            table.offset[l] = i32::try_from(place).ok()? - i32::try_from(code).ok()?;
            for _ in 0..count {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    table.fill(code, length, *values.get(place)?);
                }
                code += 1;
                place += 1;
            }
            table.limit[l] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// Enters one short code under every look-up that begins with it.
    fn fill(&mut self, code: u32, length: u32, symbol: u8) {
        let (size, free) = (u32::from(symbol & 15), LOOK - length);
        for tail in 0..1 << free {
            let mut entry = u32::from(symbol) << 8 | length;
            if size > 0 && size <= free {
                let value = extend(tail >> (free - size), size);
                entry = (value as u32) << 16 | u32::from(symbol) << 8 | (length + size);
            }
            if let Some(place) = self.look.get_mut((code << free | tail) as usize) {
                *place = entry;
            }
        }
    }
}

/// EXTEND of T.81 §F.2.2.1; `size` 1 to 15.
#[inline(always)]
fn extend(bits: u32, size: u32) -> i32 {
    let value = bits as i32;
    if bits >> (size - 1) == 0 {
        value - (1 << size) + 1
    } else {
        value
    }
}

/// A reader of bits from data without stuffed bytes.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to load.
    at: usize,
    /// The bits to come, from the top.
    window: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self {
            data,
            at,
            window: 0,
            count: 0,
        }
    }

    /// Whether more bits were used than stand before the byte `end`.
    pub(super) fn past(&self, end: usize) -> bool {
        (self.at as u64) * 8 > end as u64 * 8 + u64::from(self.count)
    }

    /// Brings at least 56 bits into the window: enough for one symbol and its value of any length
    /// (31) and before it two short ones (`LOOK`).
    #[inline(always)]
    fn refill(&mut self) {
        let next = self
            .data
            .get(self.at..)
            .and_then(|d| d.first_chunk())
            .map_or(0, |b| u64::from_be_bytes(*b));
        self.window |= next >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn drop(&mut self, bits: u32) {
        self.window <<= bits & 63;
        self.count = self.count.wrapping_sub(bits);
    }

    /// The next symbol (run and size) and its value, 0 if the size is 0; `None` if the bits are no
    /// code. At least 31 bits are there.
    #[inline(always)]
    fn next(&mut self, table: &Huffman) -> Option<(u32, i32)> {
        let entry = table.look[(self.window >> (64 - LOOK)) as usize];
        if entry >> 16 == 0 {
            return self.slow(entry, table);
        }
        self.drop(entry & 0xff);
        Some((entry >> 8 & 0xff, entry as i32 >> 16))
    }

    /// As `next`, where the look-up does not give the value.
    #[inline(always)]
    fn slow(&mut self, entry: u32, table: &Huffman) -> Option<(u32, i32)> {
        let symbol = if entry & 0xff != 0 {
            self.drop(entry & 0xff);
            entry >> 8 & 0xff
        } else {
            self.long(table)?
        };
        let size = symbol & 15;
        if size == 0 {
            return Some((symbol, 0));
        }
        let bits = (self.window >> (64 - size)) as u32;
        self.drop(size);
        Some((symbol, extend(bits, size)))
    }

    #[cold]
    #[inline(never)]
    fn long(&mut self, table: &Huffman) -> Option<u32> {
        let ahead = (self.window >> 48) as u32;
        let length = (LOOK + 1..17).find(|&l| ahead < table.limit[l as usize])?;
        let place = (ahead >> (16 - length)) as i32 + table.offset[length as usize];
        self.drop(length);
        table
            .symbols
            .get(usize::try_from(place).ok()?)
            .map(|&s| s.into())
    }

    /// Decodes one block of a sequential scan; returns the number of zig-zag positions that may be
    /// other than zero.
    ///
    /// With `AC` false the AC coefficients are read over.
    #[inline(always)]
    pub(super) fn block<const AC: bool>(
        &mut self,
        tables: (&Huffman, &Huffman),
        scale: &[f32; 64],
        prediction: &mut i32,
        block: &mut [f32; 64],
    ) -> Option<usize> {
        let mut bits = Bits {
            data: self.data,
            at: self.at,
            window: self.window,
            count: self.count,
        };
        bits.refill();
        let (size, difference) = bits.next(tables.0)?;
        if size > 11 {
            return None;
        }
        *prediction = prediction.wrapping_add(difference);
        if AC {
            *block = [0.0; 64];
        }
        block[0] = *prediction as f32 * scale[0];
        let (mut k, mut used) = (1, 1);
        'block: while k < 64 {
            bits.refill();
            for _ in 0..3 {
                let entry = tables.1.look[(bits.window >> (64 - LOOK)) as usize];
                let short = entry >> 16 != 0;
                let (symbol, value) = if short {
                    bits.drop(entry & 0xff);
                    (entry >> 8 & 0xff, entry as i32 >> 16)
                } else {
                    bits.slow(entry, tables.1)?
                };
                if value == 0 {
                    if symbol != 0xf0 {
                        break 'block;
                    }
                    k += 16;
                    continue 'block;
                }
                k += (symbol >> 4) as usize;
                if AC {
                    block[usize::from(ZIGZAG[k & 63] & 63)] = value as f32 * scale[k & 63];
                }
                k += 1;
                used = k;
                if k >= 64 {
                    break 'block;
                }
                if !short {
                    continue 'block;
                }
            }
        }
        (self.at, self.window, self.count) = (bits.at, bits.window, bits.count);
        (used <= 64).then_some(used)
    }
}
