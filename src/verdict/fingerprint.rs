//! Content ids → a short name of a finding that stays the same when files move: in SARIF, in JSON,
//! for whoever tracks findings.

/// The fingerprint of a pair of contents, in either order; of a content with itself for copies of
/// the same bytes. It is the first 16 bytes of BLAKE3 over `wsidx-pair-v1`, a zero byte, the
/// smaller id and the larger id.
pub fn pair_fingerprint(a: &[u8; 32], b: &[u8; 32]) -> [u8; 16] {
    let (small, large) = if a <= b { (a, b) } else { (b, a) };
    short(&[b"wsidx-pair-v1\0", small, large])
}

/// The fingerprint of a finding that is about one content: as for a pair, over `wsidx-image-v1`, a
/// zero byte and the id.
pub fn image_fingerprint(id: &[u8; 32]) -> [u8; 16] {
    short(&[b"wsidx-image-v1\0", id])
}

/// The fingerprint of a finding on a file whose content could not be read as a picture: over
/// `wsidx-path-v1`, a zero byte and the path.
pub fn path_fingerprint(path: &[u8]) -> [u8; 16] {
    short(&[b"wsidx-path-v1\0", path])
}

fn short(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut out = [0; 16];
    hasher.finalize_xof().fill(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_fingerprint_in_either_order_and_it_never_changes() {
        let (a, b) = ([1; 32], [2; 32]);
        assert_eq!(pair_fingerprint(&a, &b), pair_fingerprint(&b, &a));
        assert_ne!(pair_fingerprint(&a, &b), pair_fingerprint(&a, &a));
        let whole = blake3::hash(&[&b"wsidx-pair-v1\0"[..], &a, &b].concat());
        assert_eq!(pair_fingerprint(&b, &a), whole.as_bytes()[..16]);
        assert_ne!(image_fingerprint(&a), path_fingerprint(&a));
    }
}
