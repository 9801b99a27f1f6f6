#!/usr/bin/env bash
# The figures of benches/record/2026-11-21-git.md: `wsidx check --staged` in a real git repository of 59,000 images.
#
#   benches/git.sh DATA
#
# DATA holds `cifar10/{train,test}/<class>/*.png` (60,000 files). All but a thousand, taken evenly, are committed to a temporary repository;
# the others come later. Nothing is written into DATA. For each: the median time of a process and the processor time of it and its children,
# in milliseconds, on a warm cache. Needs `perf`.
set -euo pipefail
data=$(realpath "$1")
cd "$(dirname "$0")/.."
cargo build --release --locked
wsidx=$PWD/target/release/wsidx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

# measure N NAME COMMAND…: N runs, after one that is not counted.
measure() {
    local n=$1 name=$2
    shift 2
    "$@" >/dev/null 2>"$work/err" || true
    perf stat -x, -e task-clock -r "$n" -o "$work/stat" "$@" >/dev/null 2>&1 || true
    local began times=()
    for ((i = 0; i < n; i++)); do
        began=$(date +%s%N)
        "$@" >/dev/null 2>&1 || true
        times+=($((($(date +%s%N) - began) / 10000)))
    done
    local wall cpu
    wall=$(printf '%s\n' "${times[@]}" | sort -n | awk -v n="$n" 'NR == int((n + 1) / 2) { printf "%.1f", $1 / 100 }')
    cpu=$(awk -F, '/task-clock/ { printf "%.1f", $1 }' "$work/stat")
    echo "$name: $wall ms, $cpu ms of the cores; $(tail -n 1 "$work/err")"
}

repo=$work/repo
mkdir "$repo"
cp -r "$data/cifar10/train" "$data/cifar10/test" "$repo"
cd "$repo"
find train test -name '*.png' | sort | awk 'NR % 60 == 7' >"$work/names"
while read -r name; do mkdir -p "$work/other/$(dirname "$name")" && mv "$name" "$work/other/$name"; done <"$work/names"
git init -q
git add .
git commit -qm "59,000 images"
"$wsidx" sync --init -q
measure 11 "git diff --cached" git diff --cached --raw -z --no-renames HEAD --
measure 11 "git ls-files --stage" git ls-files --stage -z
echo text >notes.txt
git add notes.txt
measure 21 "a commit without images" "$wsidx" check --staged
git reset -q
one=$(head -n 1 "$work/names")
cp "$work/other/$one" "$one"
git add .
measure 21 "one image" "$wsidx" check --staged
cp -r "$work"/other/* .
git add .
measure 5 "1,000 images" "$wsidx" check --staged
git switch -qc side
git commit -qm "1,000 images"
"$wsidx" sync -q
git switch -q -
"$wsidx" sync -q
git switch -q side
more=train/airplane/one-more.png
cp "$one" "$more"
printf x >>"$more"
git add "$more"
measure 11 "one image, after a switch to a branch with 1,000 images that were seen" "$wsidx" check --staged
