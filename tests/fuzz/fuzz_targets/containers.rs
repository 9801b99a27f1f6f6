//! Bytes as a file that holds many images.
#![no_main]

wsidx_fuzz::target!(containers);
