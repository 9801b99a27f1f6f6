//! Bytes as an image file.
#![no_main]

wsidx_fuzz::target!(images);
