//! A matrix → a NumPy file: version 1.0 of the format (numpy.lib.format), little-endian 32-bit
//! floats, row after row.

use ndarray::ArrayView2;

/// The bytes of the file.
pub(crate) fn npy(matrix: ArrayView2<'_, f32>) -> Vec<u8> {
    let (rows, columns) = matrix.dim();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, version and length take ten bytes, and the header ends in a line feed at a multiple
    // of 64.
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut bytes = Vec::with_capacity(10 + header.len() + 4 * matrix.len());
    bytes.extend_from_slice(b"\x93NUMPY\x01\0");
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    matrix
        .iter()
        .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_at_a_multiple_of_64_and_the_values_follow_row_by_row() {
        for columns in [1, 100, 12_345] {
            let bytes = npy(ndarray::Array2::zeros((2, columns)).view());
            let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
            assert!((10 + header).is_multiple_of(64) && bytes[9 + header] == b'\n');
            assert_eq!(bytes.len(), 10 + header + 8 * columns);
        }
        let bytes = npy(ndarray::array![[1.0, 2.0], [3.0, 4.0_f32]].view());
        assert!(bytes.ends_with(&[1.0_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat()));
    }
}
