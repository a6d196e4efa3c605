#!/bin/sh
# Builds the static floe-gate and prints its path. It runs in images that hold nothing else, so it must
# not need a C library; a static glibc program cannot resolve names, and this one never does.
set -eu
cd "$(dirname "$0")/.."
target="${FLOE_GATE_TARGET:-x86_64-unknown-linux-gnu}"
# With --target, the flags do not reach build scripts and macros, which cannot be static.
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --package floe-gate --profile static --target "$target" >&2
binary="${CARGO_TARGET_DIR:-target}/$target/static/floe-gate"
if readelf -d "$binary" 2>/dev/null | grep -q NEEDED; then
    echo "gate/build.sh: '$binary' is not static" >&2
    exit 1
fi
echo "$binary"
