//! Bytes as words to a watcher.
#![no_main]

wsidx_fuzz::target!(socket);
