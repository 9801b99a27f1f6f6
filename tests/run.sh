#!/usr/bin/env bash
# All that must hold before a change is done: layout, lints, documentation, tests. Needs a Rust toolchain, a C compiler, Python 3 and git;
# everything else is fetched by cargo. The counts of the tests come last.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for tool in cargo cc python3 git; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    echo "tests/run.sh: not found: ${missing[*]}" >&2
    exit 2
fi

# component NAME COMMAND…: adds a component of the toolchain if its command does not answer.
component() {
    local name=$1
    shift
    "$@" >/dev/null 2>&1 && return
    if ! command -v rustup >/dev/null || ! rustup component add "$name"; then
        echo "tests/run.sh: $name is missing; install it with: rustup component add $name" >&2
        exit 2
    fi
}
component rustfmt cargo fmt --version
component clippy cargo clippy --version

# Programs that wsidx works beside, at known versions: dvc and pre-commit, in an environment of their own.
venv=$PWD/target/venv
if ! cmp -s tests/requirements.txt "$venv/requirements.txt"; then
    echo "== installing tests/requirements.txt into target/venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt "$venv/requirements.txt"
fi
export WSIDX_TEST_VENV=$venv

step() {
    echo "== $*" >&2
    "$@"
}

# The search kernels for Arm are compiled, which takes a second and no other crate; nothing here can run them.
arm=aarch64-unknown-linux-gnu
if test -d "$(rustc --print target-libdir --target $arm)" || rustup target add $arm; then
    mkdir -p target
    step rustc --edition 2024 --target $arm --crate-type lib --emit obj -C link-dead-code -D warnings -o target/kernels-arm.o tests/arm/kernels.rs
else
    echo "tests/run.sh: the kernels for Arm were not compiled, for want of: rustup target add $arm" >&2
fi

# One profile for all, so that the heavy dependencies are compiled once.
step cargo fmt --check
step cargo clippy --release --locked --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --release --locked --no-deps --document-private-items
step cargo test --release --locked
