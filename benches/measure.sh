#!/usr/bin/env bash
# The figures of benches/record: whole processes of the release build on real data.
#
#   benches/measure.sh DATA
#
# DATA holds `cifar10/{train,test}/<class>/*.png` (60,000 files), `photos/*.JPEG` and `fish/train/aquarium_fish/*.png`. Nothing is written into
# it but index folders, which are made anew; photos are copied to a temporary folder eight times, as different contents. Needs GNU time.
set -euo pipefail
data=$(realpath "$1")
cd "$(dirname "$0")/.."
cargo build --release --locked
wsidx=$PWD/target/release/wsidx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# timed NAME COMMAND…: seconds on the clock, seconds of both cores, peak memory.
timed() {
    local name=$1
    shift
    /usr/bin/time -f "$name: %e s wall, %U + %S s of the cores, %M KB" "$@" >"$work/out" 2>"$work/err" || true
    tail -n 1 "$work/err"
}
new_index() {
    rm -rf .wsidx
    "$wsidx" init --quiet
}

lscpu | grep 'Model name'
cd "$data/cifar10"
find . -name '*.png' -exec cat {} + >/dev/null
for _ in 1 2 3; do
    new_index
    timed "CIFAR-10, sync of 60,000 files from nothing" "$wsidx" sync --format json
    grep -A 10 '"seconds"' "$work/out" | tr -d ' \n{}' && echo
done
echo "bytes an image: $(($(du -sb .wsidx | cut -f 1) / 60000))"
for _ in 1 2 3; do timed "sync, nothing changed" "$wsidx" sync --quiet; done
for _ in 1 2 3; do timed "query, cold process" "$wsidx" query --quiet test/ship/motorboat_s_001559.png; done
mkdir "$work/new"
mapfile -t some < <(find test -name '*_s_0007*.png' | sort)
for f in "${some[@]:0:100}"; do
    (cat "$f"; echo "another content") >"$work/new/$(basename "$f")"
done
for _ in 1 2 3; do timed "check of 100 new images" "$wsidx" check --quiet --format jsonl --exit-zero "$work/new"; done
cp -r "$work/new" ./new-images
timed "sync with 100 new images" "$wsidx" sync --quiet
rm -r ./new-images
timed "sync with 100 images gone" "$wsidx" sync --quiet
timed "check of all 60,000 images" "$wsidx" check --quiet --format jsonl --exit-zero .
timed "analysis basis of the 50,000 x 3,072 matrix" "$wsidx" debug basis --split train
head -n 7 "$work/out"

if [ -d "$data/fish" ]; then
    cd "$data/fish"
    new_index
    "$wsidx" sync --quiet
    "$wsidx" debug basis --split train | head -n 7
fi

mkdir "$work/photos"
for i in 1 2 3 4 5 6 7 8; do
    mkdir "$work/photos/$i"
    for f in "$data"/photos/*; do (cat "$f"; printf "%$((i))s" "") >"$work/photos/$i/$(basename "$f")"; done
done
cd "$work/photos"
for _ in 1 2 3; do
    new_index
    timed "2,000 photos of 0.2 megapixels, sync from nothing" "$wsidx" sync --format json
    grep -A 10 '"seconds"' "$work/out" | tr -d ' \n{}' && echo
done
echo "bytes a photo: $(($(du -sb .wsidx | cut -f 1) / 2000))"
