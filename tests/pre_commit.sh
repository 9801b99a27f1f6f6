#!/usr/bin/env bash
# The hooks of .pre-commit-hooks.yaml as a user gets them: pre-commit clones this repository at HEAD, installs wsidx in the language of the
# hook, and runs it on a staged near-duplicate, which it must reject, and on another picture, which it must not. Two of them compile wsidx,
# which takes minutes each, so tests/run.sh does not run this.
#
#   tests/pre_commit.sh [ID…]        wsidx-system wsidx-rust wsidx, unless some are named
#
# Needs pre-commit in the PATH or in target/venv, and crates.io and PyPI. A CARGO_TARGET_DIR in the environment saves some of the compiling.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
cd "$source"
cargo build --release --locked
built=${CARGO_TARGET_DIR:-$source/target}/release
PATH=$PATH:$source/target/venv/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PRE_COMMIT_HOME=$work/pre-commit GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

mkdir "$work/data"
cd "$work/data"
git init -q
cp -r "$source/tests/sample/images/train" .
printf '.wsidx\n' >.gitignore
git add .
git commit -qm pictures
"$built/wsidx" sync --init -q

# The environment of a hook is made once, so that only the first run waits for the compiler.
use() {
    printf 'repos:\n- repo: %s\n  rev: %s\n  hooks: [{id: %s}]\n' "$source" "$(git -C "$source" rev-parse HEAD)" "$1" >.pre-commit-config.yaml
    git add .pre-commit-config.yaml
}

# try ID STATUS FILE: what the hook says of a staged file.
try() {
    local id=$1 status=$2 file=$3 path=$PATH
    if test "$id" = wsidx-system; then path=$built:$PATH; fi
    cp "$source/tests/sample/new/$file" train/tree/new.jpg
    git add train/tree/new.jpg
    local began=$SECONDS got=0
    PATH=$path pre-commit run --verbose "$id" >"$work/said" 2>&1 || got=$?
    git rm -qf --cached train/tree/new.jpg
    if test $got != "$status"; then
        cat "$work/said"
        echo "$id on $file: status $got, not $status" >&2
        exit 1
    fi
    echo "$id on $file: status $got as it must be, after $((SECONDS - began)) s"
}

if (($# == 0)); then set -- wsidx-system wsidx-rust wsidx; fi
for id; do
    use "$id"
    try "$id" 1 grove-rescan.jpg
    grep -q 'redundant .*train/tree/new.jpg' "$work/said"
    try "$id" 0 lighthouse.jpg
done
