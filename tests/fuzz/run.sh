#!/bin/sh
# Builds the fuzz targets, writes their seeds, and runs each: run.sh SECONDS [TARGET...]
#
# Needs cargo-fuzz and a nightly toolchain. FEATURES=libjpeg-turbo compares JPEGs with libjpeg-turbo. WSIDX_FUZZ_PROGRAM names the program
# for the target `socket`. Everything is written below target/ of this folder.
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- images jpeg containers embeddings versions rules store socket
cargo +nightly fuzz build --fuzz-dir . --sanitizer none --target-dir target ${FEATURES:+--features "$FEATURES"}
host=$(rustc -vV | sed -n 's/^host: //p')
for target in "$@"; do
    program=target/$host/release/$target
    mkdir -p "target/corpus/$target" "target/found/$target"
    WSIDX_FUZZ_SEEDS=target/seeds/$target "$program"
    dictionary=dictionaries/$target.dict
    [ -f "$dictionary" ] || dictionary=
    "$program" "target/corpus/$target" "target/seeds/$target" -max_total_time="$seconds" -max_len=32768 -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="target/found/$target/" -print_final_stats=1 ${dictionary:+-dict="$dictionary"}
done
