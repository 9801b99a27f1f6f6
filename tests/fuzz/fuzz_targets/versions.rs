//! Bytes as what version control says.
#![no_main]

wsidx_fuzz::target!(versions);
