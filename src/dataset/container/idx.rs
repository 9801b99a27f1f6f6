//! IDX files, as of MNIST, packed with gzip or not → grey pictures.
//!
//! By the page of MNIST (LeCun, Cortes, Burges): two zero bytes, the type of the values (8:
//! unsigned bytes), the number of dimensions, then each of those as four bytes, the most
//! significant first, then the values, the last dimension running fastest. Images have three
//! dimensions: how many, rows, columns. Their labels are in a file of one dimension, called the
//! same with `labels` for `images` and `idx1` for `idx3`.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::{
    arrays::{self, Arrays, Colour, Data},
    open::{MOST_BYTES, check_count, open_regular},
};

/// Deflate makes at most one byte of 1,032.
const BEST_COMPRESSION: u64 = 1_032;

/// Values of unsigned bytes, with their dimensions.
struct Values {
    data: Data,
    dimensions: Vec<u64>,
    /// Where the values begin.
    first: u64,
}

/// Opens images, with the labels that belong to them if they are there.
pub(super) fn open(path: &Path, file: File, size: u64) -> Result<Arrays, String> {
    let images = values(path, file, size, 3)?;
    let [count, height, width] = images.dimensions[..] else {
        return Err("it has not three dimensions".to_owned());
    };
    let side = |side: u64| {
        u32::try_from(side).map_err(|_| format!("its pictures of {width} × {height} are too large"))
    };
    let (width, height) = (side(width)?, side(height)?);
    if count > 0 && (width == 0 || height == 0) {
        return Err(format!("its pictures of {width} × {height} are empty"));
    }
    let pictures = arrays::count(count)?;
    check_count(count, size)?;
    let labels = labels(path, count)?;
    let stride = u64::from(width) * u64::from(height);
    let Values { data, first, .. } = images;
    Ok(Arrays {
        data,
        count: pictures,
        first,
        stride,
        width,
        height,
        colour: Colour::Grey,
        labels,
        names: Vec::new(),
    })
}

/// The files in which the labels of a file of images may be: packed as it is, and the other way.
pub(super) fn label_files(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().map(OsStrExt::as_bytes) else {
        return Vec::new();
    };
    let (plain, packed) = match name.strip_suffix(b".gz") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let Some(stem) = plain.strip_suffix(b"idx3-ubyte") else {
        return Vec::new();
    };
    let Some(at) = stem.windows(6).rposition(|word| word == b"images") else {
        return Vec::new();
    };
    let plain = [&stem[..at], b"labels", &stem[at + 6..], b"idx1-ubyte"].concat();
    let with_gz = [&plain[..], b".gz"].concat();
    let both = if packed {
        [with_gz, plain]
    } else {
        [plain, with_gz]
    };
    both.iter()
        .map(|name| path.with_file_name(OsStr::from_bytes(name)))
        .collect()
}

fn labels(path: &Path, count: u64) -> Result<Vec<u8>, String> {
    let Some(beside) = label_files(path)
        .into_iter()
        .find(|file| file.symlink_metadata().is_ok())
    else {
        return Ok(Vec::new());
    };
    let name = beside
        .file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default();
    let named = |reason: String| format!("its labels, {name}: {reason}");
    let (file, size) = open_regular(&beside).map_err(named)?;
    let Values {
        data,
        dimensions,
        first,
    } = values(&beside, file, size, 1).map_err(named)?;
    if dimensions[0] != count {
        return Err(format!(
            "it has {count} pictures, but {name} has {} labels",
            dimensions[0]
        ));
    }
    let mut labels = vec![0; usize::try_from(count).map_err(|e| e.to_string())?];
    data.read(first, &mut labels).map_err(named)?;
    Ok(labels)
}

/// Checks the header against the size before anything is read.
fn values(path: &Path, mut file: File, size: u64, dimensions: u8) -> Result<Values, String> {
    let first = 4 + 4 * u64::from(dimensions);
    if !path.as_os_str().as_bytes().ends_with(b".gz") {
        let (dimensions, bytes) = header(&mut file, first)?;
        return match first.checked_add(bytes) {
            Some(whole) if whole == size => Ok(Values {
                data: Data::File(file),
                dimensions,
                first,
            }),
            _ => Err(format!(
                "its header tells of {bytes} bytes of values, but {} follow: it is cut off or damaged",
                size.saturating_sub(first)
            )),
        };
    }
    let mut unpacked = MultiGzDecoder::new(file);
    let (dimensions, bytes) = header(&mut unpacked, first)?;
    if bytes > MOST_BYTES || bytes > size.saturating_mul(BEST_COMPRESSION) {
        return Err(format!(
            "its header tells of {bytes} bytes of values, more than the limit allows or than {size} bytes can hold"
        ));
    }
    let mut values = Vec::new();
    values
        .try_reserve_exact(bytes as usize + 1)
        .map_err(|e| e.to_string())?;
    let read = unpacked.take(bytes + 1).read_to_end(&mut values);
    read.map_err(|e| format!("it cannot be unpacked: {e}"))?;
    if values.len() as u64 == bytes {
        Ok(Values {
            data: Data::Memory(values),
            dimensions,
            first: 0,
        })
    } else {
        Err(format!(
            "its header tells of {bytes} bytes of values, but there are not as many: it is cut off or damaged"
        ))
    }
}

/// The dimensions, and their product; `bytes` is how long such a header is.
fn header(source: &mut dyn Read, bytes: u64) -> Result<(Vec<u64>, u64), String> {
    let mut head = vec![0; bytes as usize];
    source
        .read_exact(&mut head)
        .map_err(|_| "it ends inside its header, or is no IDX file".to_owned())?;
    let wanted = (bytes - 4) / 4;
    match head[..4] {
        [0, 0, 8, dimensions] if u64::from(dimensions) == wanted => {}
        [0, 0, 8, dimensions] => {
            return Err(format!("it has {dimensions} dimensions, not {wanted}"));
        }
        [0, 0, kind, _] => {
            return Err(format!(
                "its values are of type {kind}, not unsigned bytes (8)"
            ));
        }
        _ => return Err("it does not begin as an IDX file does".to_owned()),
    }
    let numbers = head[4..]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u64::from(u32::from_be_bytes(*bytes)));
    let dimensions: Vec<u64> = numbers.collect();
    let product = dimensions
        .iter()
        .try_fold(1_u64, |product, n| product.checked_mul(*n));
    product
        .map(|product| (dimensions, product))
        .ok_or_else(|| "its dimensions are too large".to_owned())
}
