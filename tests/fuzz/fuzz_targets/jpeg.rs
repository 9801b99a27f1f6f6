//! Bytes as a JPEG, decoded in several ways.
#![no_main]

wsidx_fuzz::target!(jpeg);
