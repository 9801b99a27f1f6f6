#!/usr/bin/env bash
# The figures of benches/record/2026-11-21-git.md: `wsidx check --staged` in a real git repository of 59,000 images.
#
#   benches/git.sh DATA
#
# DATA holds `cifar10/{train,test}/<class>/*.png` (60,000 files). All but a thousand, taken evenly, are committed to a temporary repository;
# the others come later. Nothing is written into DATA. Times are medians in milliseconds of processes on a warm cache.
set -euo pipefail
data=$(realpath "$1")
cd "$(dirname "$0")/.."
cargo build --release --locked
wsidx=$PWD/target/release/wsidx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

# median N NAME COMMAND…: of N runs, after one that is not counted.
median() {
    local n=$1 name=$2 began times=()
    shift 2
    for ((i = 0; i <= n; i++)); do
        began=$(date +%s%N)
        "$@" >"$work/out" 2>"$work/err" || true
        ((i == 0)) || times+=($((($(date +%s%N) - began) / 10000)))
    done
    printf '%s\n' "${times[@]}" | sort -n | awk -v n="$n" -v name="$name" 'NR == int((n + 1) / 2) { printf "%s: %.1f ms\n", name, $1 / 100 }'
    tail -n 1 "$work/err"
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
/usr/bin/time -f "sync from nothing, in git: %e s wall, %U + %S s of the cores" "$wsidx" sync --init -q
mv .git "$work/git"
/usr/bin/time -f "the same without git: %e s wall, %U + %S s of the cores" bash -c "rm -r .wsidx && '$wsidx' sync --init -q"
rm -r .wsidx && mv "$work/git" .git
"$wsidx" sync --init -q
median 11 "git diff --cached" git diff --cached --raw -z --no-renames HEAD --
median 11 "git ls-files --stage" git ls-files --stage -z
echo text >notes.txt
git add notes.txt
median 21 "a commit without images" "$wsidx" check --staged
git reset -q
one=$(head -n 1 "$work/names")
cp "$work/other/$one" "$one"
git add .
median 21 "one image" "$wsidx" check --staged
cp -r "$work"/other/* .
git add .
median 5 "1,000 images" "$wsidx" check --staged
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
median 11 "one image, after a switch to a branch with 1,000 images that were seen" "$wsidx" check --staged
