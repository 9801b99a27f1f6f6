//! Bytes as what an index holds.
#![no_main]

wsidx_fuzz::target!(store);
