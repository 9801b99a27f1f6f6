//! The batches of CIFAR-10 and CIFAR-100, binary and of Python → pictures of 32 × 32.
//!
//! From the page of the datasets (Krizhevsky 2009): a record is one byte for the label (CIFAR-100:
//! one for the coarse and one for the fine label), then 1,024 bytes of red, of green and of blue,
//! row after row. Nothing stands before, between or behind the records. The names of the labels
//! stand line by line in `batches.meta.txt`, or in `fine_label_names.txt`; of CIFAR-100 the fine
//! label counts.
//!
//! A batch of Python is a pickled dictionary: `data`, an array of … × 3,072 bytes, each row the
//! samples of a record, and `labels`, or `fine_labels`, a list. The names are in the dictionary
//! `batches.meta` or `meta`, as `label_names` or `fine_label_names`.

use std::{fs::File, io::Read, path::Path};

use super::{
    arrays::{self, Arrays, Colour, Data, names_of_lines},
    name::Kind,
    open::{MOST_BYTES, text_beside},
    pickle::Pickle,
};

const SIDE: u32 = 32;
const SAMPLES: u64 = 3 * 1024;

/// Opens a batch of `size` bytes whose records begin with so many labels, 1 or 2.
pub(super) fn open(path: &Path, file: File, size: u64, labels: u64) -> Result<Arrays, String> {
    let (name, names_file) = if labels == 1 {
        ("CIFAR-10", "batches.meta.txt")
    } else {
        ("CIFAR-100", "fine_label_names.txt")
    };
    let stride = labels + SAMPLES;
    if !size.is_multiple_of(stride) || size == 0 {
        return Err(format!(
            "its {size} bytes are no multiple of the {stride} of a record of {name}: it is cut off, or no such batch"
        ));
    }
    let names = names_of_lines(&text_beside(path, names_file)?);
    let data = Data::File(file);
    let count = arrays::count(size / stride)?;
    let mut numbers = vec![0; count];
    for (item, number) in (0..).zip(numbers.chunks_exact_mut(1)) {
        data.read(item * stride + labels - 1, number)?;
    }
    let most = if labels == 1 { 10 } else { 100 };
    if let Some(at) = numbers.iter().position(|&number| number >= most) {
        return Err(format!(
            "picture {at} has the label {}, but {name} has {most} of them, from 0: it is no such batch",
            numbers[at]
        ));
    }
    Ok(Arrays {
        data,
        count,
        first: labels,
        stride,
        width: SIDE,
        height: SIDE,
        colour: Colour::Planes,
        labels: numbers,
        names,
    })
}

/// Opens a batch that Python's pickle wrote.
pub(super) fn open_python(path: &Path, file: File, size: u64, of: Kind) -> Result<Arrays, String> {
    let (labels_name, names_file, names_name) = if of == Kind::Cifar100Python {
        ("fine_labels", "meta", "fine_label_names")
    } else {
        ("labels", "batches.meta", "label_names")
    };
    let bytes = whole(file, size)?;
    let pickle = Pickle::read(&bytes)?;
    let (shape, samples) = pickle
        .array("data")
        .ok_or("it has no array of bytes called `data`: it is no such batch")?;
    let count = match shape {
        [count, SAMPLES] if count.checked_mul(SAMPLES) == Some(samples.len() as u64) => *count,
        [count, SAMPLES] => {
            return Err(format!(
                "its array has {} bytes, not {count} × {SAMPLES}",
                samples.len()
            ));
        }
        _ => {
            return Err(format!(
                "its array has the shape {shape:?}, not … × {SAMPLES}"
            ));
        }
    };
    let labels = pickle
        .integers(labels_name)
        .ok_or_else(|| format!("it has no list of numbers called `{labels_name}`"))?;
    let labels = labels.into_iter().map(|label| {
        u8::try_from(label).map_err(|_| format!("its label {label} is none of CIFAR"))
    });
    let labels = labels.collect::<Result<Vec<u8>, _>>()?;
    if labels.len() as u64 != count {
        return Err(format!(
            "it has {count} pictures, but {} labels",
            labels.len()
        ));
    }
    let meta = text_beside(path, names_file)?;
    let names = if meta.is_empty() {
        Vec::new()
    } else {
        Pickle::read(&meta)
            .map_err(|reason| format!("its names of labels, {names_file}: {reason}"))?
            .strings(names_name)
            .unwrap_or_default()
    };
    let samples = samples.to_vec();
    let data = Data::Memory(samples);
    Ok(Arrays {
        data,
        count: arrays::count(count)?,
        first: 0,
        stride: SAMPLES,
        width: SIDE,
        height: SIDE,
        colour: Colour::Planes,
        labels,
        names,
    })
}

/// All bytes of a file.
fn whole(file: File, size: u64) -> Result<Vec<u8>, String> {
    if size > MOST_BYTES {
        return Err(format!("{size} bytes; the limit is {MOST_BYTES}"));
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(size as usize + 1)
        .map_err(|e| e.to_string())?;
    let read = file
        .take(size + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if read as u64 == size {
        Ok(bytes)
    } else {
        Err("it changed while it was read".to_owned())
    }
}
