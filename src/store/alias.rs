//! The other names of a content: hashes of the same file under which version control knows it.
//!
//! An alias is a fact about bytes and not about a repository, so it stays true whatever is checked
//! out: a blob id that the index knows is answered without reading the blob. The hashes are those
//! of git, git-lfs and DVC, with their strength: whoever can make two files of one MD5 can pass one
//! off as the other where DVC is used, here as there.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

/// A hash by which version control names a file. The order is that of [`Alias::to_bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alias {
    /// The id of a git blob in a repository of SHA-1: of the file itself, or of the git-lfs pointer
    /// to it.
    GitSha1([u8; 20]),
    /// The same in a repository of SHA-256.
    GitSha256([u8; 32]),
    /// SHA-256 of the file, as git-lfs names it.
    Sha256([u8; 32]),
    /// MD5 of the file, as DVC names it.
    Md5([u8; 16]),
}

impl Alias {
    /// A byte for the kind, then the hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, hash): (u8, &[u8]) = match self {
            Self::GitSha1(hash) => (1, hash),
            Self::GitSha256(hash) => (2, hash),
            Self::Sha256(hash) => (3, hash),
            Self::Md5(hash) => (4, hash),
        };
        [&[kind], hash].concat()
    }

    /// The first alias in some bytes, and what follows it.
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        Some(match kind {
            1 => rest
                .split_first_chunk()
                .map(|(hash, rest)| (Self::GitSha1(*hash), rest))?,
            2 => rest
                .split_first_chunk()
                .map(|(hash, rest)| (Self::GitSha256(*hash), rest))?,
            3 => rest
                .split_first_chunk()
                .map(|(hash, rest)| (Self::Sha256(*hash), rest))?,
            4 => rest
                .split_first_chunk()
                .map(|(hash, rest)| (Self::Md5(*hash), rest))?,
            _ => return None,
        })
    }

    /// The blob id of git with these hexadecimal digits: 40 of them, or 64.
    pub fn of_git(hex: &[u8]) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(hex).ok()?;
        let sha1 = bytes.as_slice().try_into().map(Self::GitSha1);
        sha1.or_else(|_| bytes.as_slice().try_into().map(Self::GitSha256))
            .ok()
    }

    /// The hexadecimal digits of the hash.
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(self.to_bytes().get(1..).unwrap_or_default())
    }
}

/// Aliases one behind the other.
pub fn pack_aliases(aliases: &[Alias]) -> Vec<u8> {
    aliases.iter().flat_map(Alias::to_bytes).collect()
}

/// Reads what [`pack_aliases`] wrote.
pub fn unpack_aliases(mut bytes: &[u8]) -> Option<Vec<Alias>> {
    let mut aliases = Vec::new();
    while !bytes.is_empty() {
        let (alias, rest) = Alias::split(bytes)?;
        aliases.push(alias);
        bytes = rest;
    }
    Some(aliases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_come_back_in_the_order_of_their_bytes_and_cut_ones_are_refused() {
        let all = [
            Alias::GitSha1([9; 20]),
            Alias::GitSha256([1; 32]),
            Alias::Sha256([0; 32]),
            Alias::Md5([7; 16]),
        ];
        let bytes = pack_aliases(&all);
        assert_eq!(unpack_aliases(&bytes).unwrap(), all);
        assert!(all.is_sorted() && all.is_sorted_by_key(Alias::to_bytes));
        let whole = [0, 21, 54, 87, 104];
        (0..bytes.len()).for_each(|len| {
            assert_eq!(
                unpack_aliases(&bytes[..len]).is_some(),
                whole.contains(&len),
                "{len}"
            );
        });
        assert_eq!(unpack_aliases(&[5; 40]), None);
    }

    #[test]
    fn blob_ids_are_told_by_their_length() {
        assert_eq!(Alias::of_git(&[b'a'; 40]), Some(Alias::GitSha1([0xaa; 20])));
        assert_eq!(
            Alias::of_git(&[b'a'; 64]),
            Some(Alias::GitSha256([0xaa; 32]))
        );
        assert_eq!(
            (
                Alias::of_git(b"abc"),
                Alias::of_git(&[b'A'; 40]),
                Alias::of_git(b"")
            ),
            (None, None, None)
        );
        assert_eq!(Alias::of_git(&[b'a'; 40]).unwrap().hex(), "a".repeat(40));
    }
}
