//! Bytes as embeddings.
#![no_main]

wsidx_fuzz::target!(embeddings);
