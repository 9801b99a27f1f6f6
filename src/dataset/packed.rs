//! Many short texts, packed end to end: a table of labels has millions of them, and each in its own
//! allocation takes a hundred bytes more.

use std::hash::{BuildHasher, RandomState};

/// A list of texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Texts {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them; an empty one where there is none.
    #[must_use]
    pub fn get(&self, at: usize) -> &[u8] {
        let from = at
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |end| *end as usize);
        self.ends
            .get(at)
            .and_then(|end| self.bytes.get(from..*end as usize))
            .unwrap_or_default()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Bytes of all of them together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds one; its number, or `None` if four gigabytes are full.
    pub(super) fn push(&mut self, text: &[u8]) -> Option<u32> {
        let number = u32::try_from(self.len()).ok()?;
        let end = u32::try_from(self.bytes.len().checked_add(text.len())?).ok()?;
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        Some(number)
    }
}

impl<'a> FromIterator<&'a [u8]> for Texts {
    /// # Panics
    /// If they have more than four gigabytes together.
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(texts: I) -> Self {
        let mut all = Self::default();
        for text in texts {
            all.push(text).expect("less than four gigabytes of text");
        }
        all
    }
}

/// Different texts, each of which is found by itself.
#[derive(Debug, Default)]
pub(super) struct Interned {
    texts: Texts,
    /// The number of a text, plus one, near the place that its hash tells; more than a quarter is
    /// empty.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl Interned {
    pub(super) fn get(&self, number: u32) -> &[u8] {
        self.texts.get(number as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The number of a text.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let slot = *self.slots.get(self.slot(text)?)?;
        slot.checked_sub(1)
    }

    /// The same; one that is not there is added. `None` if four gigabytes are full.
    pub(super) fn insert(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(number) = self.find(text) {
            return Some(number);
        }
        let number = self.texts.push(text)?;
        if (self.texts.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        } else {
            let at = self.slot(text)?;
            self.slots[at] = number + 1;
        }
        Some(number)
    }

    /// The slot of a text, or the one that it would have; `None` before there are any.
    fn slot(&self, text: &[u8]) -> Option<usize> {
        let last = self.slots.len().checked_sub(1)?;
        let mut at = self.hasher.hash_one(text) as usize & last;
        while self.slots[at] != 0 && self.get(self.slots[at] - 1) != text {
            at = (at + 1) & last;
        }
        Some(at)
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        // The old ones go before the new ones come.
        self.slots = Vec::new();
        self.slots = vec![0; size];
        for number in 0..self.texts.len() as u32 {
            let mut at = self.hasher.hash_one(self.get(number)) as usize & (size - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = number + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_their_order_and_are_found_by_themselves() {
        let mut words = Interned::default();
        assert_eq!(words.find(b""), None);
        let text = |i: u32| vec![b'a' + (i % 3) as u8; (i % 50) as usize];
        let mut different = Vec::new();
        for i in 0..1_000 {
            if !different.contains(&text(i)) {
                different.push(text(i));
            }
            let number = words.insert(&text(i)).unwrap();
            assert_eq!(
                (words.get(number), words.find(&text(i))),
                (&text(i)[..], Some(number))
            );
        }
        assert_eq!((words.len(), words.find(b"abc")), (different.len(), None));
        let texts: Texts = different.iter().map(Vec::as_slice).collect();
        assert_eq!(texts, words.texts);
        assert!(
            texts.iter().eq(different.iter().map(Vec::as_slice)) && texts.get(1_000).is_empty()
        );
    }
}
