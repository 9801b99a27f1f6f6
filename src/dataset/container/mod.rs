//! Files that hold many images → their images, one by one: the bytes of an image file, its name,
//! its label.
//!
//! A container is known by the name that its format's users give it, so that no other file of a
//! folder is opened to find out:
//!
//! | name | format | item |
//! |---|---|---|
//! | `data_batch_N.bin`, `test_batch.bin` | CIFAR-10, binary | its number, from 0 |
//! | `train.bin`, `test.bin` beside `fine_label_names.txt` | CIFAR-100, binary | its number |
//! | `data_batch_N`, `test_batch`; `train`, `test` beside `meta` | CIFAR-10, CIFAR-100, for Python | its number |
//! | `…-idx3-ubyte`, `….idx3-ubyte`, also with `.gz` | IDX, as of MNIST | its number |
//! | `….tar` | a tar of image files, as of WebDataset | the name of the member |
//! | `….parquet` | a table with a column of images, as of Hugging Face | its row, from 0, and column: `12:image` |
//!
//! An item has the path `file#item`. A path that is there is itself, whatever it is called; only
//! where there is none, what stands before a `#` may be a container. Where both could be meant, the
//! file counts and is passed over by `sync`, which says so.
//!
//! The content of an item is an image file: the encoded bytes where the container holds such, and
//! for samples that it holds bare their binary Netpbm file, whose header is `P5` or `P6`, width,
//! height and 255, each followed by a line feed. So one picture is one content, whichever container
//! it is in.

mod arrays;
mod cifar;
#[cfg(test)]
mod damage;
mod idx;
mod name;
mod open;
mod parquet;
mod pickle;
mod tar;

pub use name::{container_of, is_container, is_item_of, names_companion, names_container};
pub(super) use name::{is_container_among, split_item};
pub use open::{Container, Images, stat_of_container};
