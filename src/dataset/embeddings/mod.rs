//! Embeddings that the user computed → a row of numbers for each image that is asked for.
//!
//! A `.npy` holds a matrix, with a list of paths in another file; a `.npz` holds both: the array
//! called `embeddings`, or else the only matrix of numbers in it, and the array called `ids`, or
//! else the only list of text. So does a `.parquet`, in columns of lists and of text. Floats of 16,
//! 32 and 64 bits and integers are read as 32-bit floats, row after row or column after column.
//! Sizes are held against each other and against limits before memory is taken, and only the rows
//! that are asked for are kept.

mod ids;
mod npy;
mod table;
mod zip;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use ndarray::Array2;

use self::{
    npy::{Header, Type},
    table::Table,
    zip::Part,
};
use super::packed::Texts;
use crate::{
    Error, Result,
    file::{Problem, open_named},
};

/// Bytes of the rows that are kept.
const MOST_BYTES: u64 = 4 << 30;
/// Bytes of a list of paths in an array.
const MOST_TEXT: u64 = 1 << 30;
/// Bytes of all paths together, as they are kept.
const MOST_IDS: usize = 256 << 20;
/// Embeddings in a file.
const MOST_ROWS: u64 = 16 << 20;
/// Numbers of an embedding: a matrix of few rows and many columns is a small file, too, that
/// unpacks to gigabytes.
const MOST_COLUMNS: u64 = 16 << 10;

/// Embeddings in a file, and whose they are.
#[derive(Debug)]
pub struct Embeddings {
    path: PathBuf,
    matrix: Matrix,
    columns: usize,
    ids: Texts,
}

/// Where the numbers are.
#[derive(Debug)]
enum Matrix {
    Array(File, Array),
    Table(Table),
}

/// An array in a file.
#[derive(Debug)]
struct Array {
    name: String,
    part: Part,
    header: Header,
}

impl Embeddings {
    /// Reads whose the embeddings in a file are, and checks how many there are; `ids` is the file
    /// with their paths, which a `.npz` and a `.parquet` may do without.
    ///
    /// # Errors
    /// [`Error::Input`] with the file and the reason.
    pub fn open(path: &Path, ids: Option<&Path>) -> Result<Self> {
        let of =
            |path: &Path, reason: String| Error::Input(format!("{}: {reason}", path.display()));
        let (listed, told_in) = (
            ids.map(|ids| ids::read(ids).map_err(|reason| of(ids, reason)))
                .transpose()?,
            ids.unwrap_or(path),
        );
        let (matrix, ids) = matrix(path, listed).map_err(|reason| of(path, reason))?;
        if let Some(row) = ids.iter().position(<[u8]>::is_empty) {
            return Err(of(told_in, format!("row {row} (from 0) names no image")));
        }
        let (rows, columns) = matrix.shape().map_err(|reason| of(path, reason))?;
        if columns as u64 > MOST_COLUMNS {
            let reason = format!(
                "its embeddings have {columns} numbers each; at most {MOST_COLUMNS} are read: save fewer of them"
            );
            return Err(of(path, reason));
        }
        if rows == ids.len() as u64 {
            Ok(Self {
                path: path.to_owned(),
                matrix,
                columns,
                ids,
            })
        } else {
            Err(of(
                path,
                format!(
                    "it has {rows} embeddings, but there are {} paths to say whose they are",
                    ids.len()
                ),
            ))
        }
    }

    /// Whose each embedding is, as the list says.
    #[must_use]
    pub fn ids(&self) -> &Texts {
        &self.ids
    }

    /// The embeddings that are wanted: `places[i]` is the row of the result that embedding i
    /// becomes, of `count` rows.
    ///
    /// # Errors
    /// [`Error::Input`] with the file and the reason, also for one that is wanted and has a value
    /// that is not finite, or only zeros, and so no direction.
    ///
    /// # Panics
    /// If there is not a place for each embedding, or one is not below `count`.
    pub fn rows(&self, places: &[Option<u32>], count: usize) -> Result<Array2<f32>> {
        assert_eq!(places.len(), self.ids.len(), "a place for each embedding");
        let of = |reason: String| Error::Input(format!("{}: {reason}", self.path.display()));
        let bytes = (count as u64)
            .checked_mul(4)
            .and_then(|bytes| bytes.checked_mul(self.columns as u64));
        if bytes.is_none_or(|bytes| bytes > MOST_BYTES) {
            let what = format!(
                "{count} embeddings of {} numbers take more than {} GiB; select fewer images",
                self.columns,
                MOST_BYTES >> 30
            );
            return Err(of(what));
        }
        let mut rows = Array2::zeros((count, self.columns));
        let mut take = |row: usize, column: usize, value: f32| {
            if let Some(place) = places[row] {
                rows[[place as usize, column]] = value;
            }
        };
        match &self.matrix {
            Matrix::Array(file, array) => array
                .each(file, [places.len(), self.columns], &mut take)
                .map_err(of)?,
            Matrix::Table(table) => table.each(&mut take).map_err(of)?,
        }
        for (id, place) in self.ids.iter().zip(places) {
            let Some(place) = place else { continue };
            let row = rows.row(*place as usize);
            let what = match (
                row.iter().all(|value| value.is_finite()),
                row.iter().any(|value| *value != 0.0),
            ) {
                (true, true) => continue,
                (true, false) => "is all zeros, and so has no direction",
                (false, _) => "has values that are no finite numbers of 32 bits",
            };
            return Err(of(format!(
                "the embedding of {} {what}",
                String::from_utf8_lossy(id)
            )));
        }
        Ok(rows)
    }
}

impl Matrix {
    /// Rows and columns.
    fn shape(&self) -> std::result::Result<(u64, usize), String> {
        match self {
            Self::Array(_, array) => shape(&array.header),
            Self::Table(table) => Ok((table.rows(), table.columns)),
        }
    }
}

impl Array {
    /// Calls `take` with each number of a matrix, and its row and column.
    fn each(
        &self,
        file: &File,
        [rows, columns]: [usize; 2],
        take: &mut dyn FnMut(usize, usize, f32),
    ) -> std::result::Result<(), String> {
        let Self { part, header, .. } = self;
        let mut source = part.open(file);
        npy::header(&mut source)?;
        let (mut row, mut column, last) = (0, 0, if header.fortran { rows } else { columns });
        header.each(&mut source, (rows * columns) as u64, |value| {
            take(row, column, header.number(value));
            let (fast, slow) = if header.fortran {
                (&mut row, &mut column)
            } else {
                (&mut column, &mut row)
            };
            *fast += 1;
            if *fast == last {
                (*fast, *slow) = (0, *slow + 1);
            }
            Ok(())
        })
    }
}

/// Opens a regular file that the user named, and gives its size.
fn given(path: &Path) -> std::result::Result<(File, u64), String> {
    match open_named(path) {
        Ok((file, meta)) => Ok((file, meta.len())),
        Err(Problem::Kind(kind)) => Err(format!("it is {kind}, and no regular file")),
        Err(problem) => Err(problem.reason()),
    }
}

/// The matrix, and whose its rows are.
fn matrix(path: &Path, listed: Option<Texts>) -> std::result::Result<(Matrix, Texts), String> {
    let has_end = |end: &str| {
        path.extension()
            .is_some_and(|own| own.eq_ignore_ascii_case(end))
    };
    let (file, size) = given(path)?;
    if has_end("parquet") {
        return table::open(file, size, listed).map(|(table, ids)| (Matrix::Table(table), ids));
    }
    if has_end("npy") {
        let ids =
            listed.ok_or("say whose the embeddings are by --ids FILE: their paths, one a line, or a .csv with a column `file_name`")?;
        let matrix = array("it".into(), Part::whole(size), &file)?;
        return Ok((Matrix::Array(file, matrix), ids));
    }
    if !has_end("npz") {
        return Err("embeddings are read from .npy, .npz and .parquet".to_owned());
    }
    arrays(file, size, listed)
}

/// The same in an archive of arrays.
fn arrays(
    file: File,
    size: u64,
    listed: Option<Texts>,
) -> std::result::Result<(Matrix, Texts), String> {
    let members = zip::members(&file, size)?.into_iter().filter_map(|member| {
        let name = String::from_utf8(member.name)
            .ok()?
            .strip_suffix(".npy")?
            .to_owned();
        Some((name, member.part))
    });
    let arrays: Vec<(String, std::result::Result<Array, String>)> = members
        .map(|(name, part)| (name.clone(), array(name, part, &file)))
        .collect();
    let matrix = choose(&arrays, "embeddings", "a matrix of numbers", |header| {
        header.is_numbers() && header.shape.len() == 2
    })?;
    let ids = match listed {
        Some(ids) => ids,
        None => text(
            choose(
                &arrays,
                "ids",
                "a list of text, unless --ids says whose the embeddings are",
                is_text,
            )?,
            &file,
        )?,
    };
    let (name, part, header) = (matrix.name.clone(), matrix.part, matrix.header.clone());
    Ok((Matrix::Array(file, Array { name, part, header }), ids))
}

fn is_text(header: &Header) -> bool {
    matches!(header.kind, Type::Text | Type::Bytes) && header.shape.len() == 1
}

/// Reads the head of an array, and holds what it says against the bytes that are there.
fn array(name: String, part: Part, file: &File) -> std::result::Result<Array, String> {
    let header = npy::header(&mut part.open(file))?;
    match header.bytes() {
        Some(bytes) if bytes == part.size => Ok(Array { name, part, header }),
        _ => Err(format!(
            "its header tells of {}, but it has {} bytes: it is cut off or damaged",
            header.describe(),
            part.size
        )),
    }
}

/// The array of this name, or else the only one that is so.
fn choose<'a>(
    arrays: &'a [(String, std::result::Result<Array, String>)],
    wanted: &str,
    what: &str,
    is: impl Fn(&Header) -> bool,
) -> std::result::Result<&'a Array, String> {
    if let Some((name, found)) = arrays.iter().find(|(name, _)| name == wanted) {
        let array = found
            .as_ref()
            .map_err(|reason| format!("its array `{name}`: {reason}"))?;
        return is(&array.header).then_some(array).ok_or_else(|| {
            format!(
                "its array `{name}` is {}, not {what}",
                array.header.describe()
            )
        });
    }
    let mut all = arrays
        .iter()
        .filter_map(|(_, array)| array.as_ref().ok())
        .filter(|array| is(&array.header));
    match (all.next(), all.next()) {
        (Some(array), None) => Ok(array),
        (found, _) => {
            let described =
                |(name, array): &(String, std::result::Result<Array, String>)| match array {
                    Ok(array) => format!("`{name}` {}", array.header.describe()),
                    Err(reason) => format!("`{name}` ({reason})"),
                };
            let all: Vec<String> = arrays.iter().take(10).map(described).collect();
            let several = if found.is_some() {
                "several arrays that could be"
            } else {
                "no array that is"
            };
            Err(format!(
                "it has {several} {what}; call the one that counts `{wanted}`. It has {}",
                all.join(", ")
            ))
        }
    }
}

/// The strings of an array.
fn text(array: &Array, file: &File) -> std::result::Result<Texts, String> {
    let Array { name, part, header } = array;
    let count = header.shape.first().copied().unwrap_or_default();
    if part.size > MOST_TEXT || count > MOST_ROWS {
        return Err(format!(
            "its array `{name}` has {count} texts in {} bytes; the limits are {MOST_ROWS} and {MOST_TEXT}",
            part.size
        ));
    }
    let (mut source, mut ids) = (part.open(file), Texts::default());
    npy::header(&mut source)?;
    header.each(&mut source, count, |value| {
        add_id(&mut ids, &header.text(value)?)
    })?;
    Ok(ids)
}

/// Adds a path to those that were read.
fn add_id(ids: &mut Texts, id: &[u8]) -> std::result::Result<(), String> {
    let fits = ids
        .bytes()
        .checked_add(id.len())
        .is_some_and(|bytes| bytes <= MOST_IDS);
    let added = if fits { ids.push(id) } else { None };
    added.map(drop).ok_or_else(|| {
        format!("its paths have more than {MOST_IDS} bytes; give those of the selected images only")
    })
}

/// Rows and columns of a matrix of numbers.
fn shape(header: &Header) -> std::result::Result<(u64, usize), String> {
    match header.shape[..] {
        [rows, columns] if header.is_numbers() && columns > 0 && rows <= MOST_ROWS => {
            Ok((rows, usize::try_from(columns).map_err(|e| e.to_string())?))
        }
        [rows, columns] if header.is_numbers() && columns > 0 => Err(format!(
            "it tells of {rows} embeddings; the limit is {MOST_ROWS}"
        )),
        _ => Err(format!(
            "it is {}, not a matrix with a row of numbers for each image",
            header.describe()
        )),
    }
}
