//! Bytes as the texts that a repository holds for wsidx.
#![no_main]

wsidx_fuzz::target!(rules);
