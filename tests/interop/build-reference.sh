#!/usr/bin/env bash
# Builds the Rust implementation, which cargo fetches, and the programs that are compared:
#
#   tests/interop/build-reference.sh TARGET_DIR CC
#
# TARGET_DIR/release/libreference.so  its C functions
# TARGET_DIR/release/bindings         a Rust program for our library
# TARGET_DIR/client                   client.c, linked with that library
#
# Exits 77 if there is no cargo, or cargo cannot fetch.
set -euo pipefail
target=$1
cc=$2
cd "$(dirname "$0")"

skip() {
  echo "skipped: $1"
  exit 77
}
command -v cargo >/dev/null || skip 'there is no cargo to fetch and build the Rust reference with'
manifest=reference/Cargo.toml
cargo fetch --locked --manifest-path "$manifest" || skip 'cargo cannot fetch the Rust reference'
cargo build --release --locked --offline --manifest-path "$manifest" --target-dir "$target"
"$cc" -std=c17 -D_GNU_SOURCE -O1 -I ../../include client.c -o "$target/client" \
  -L "$target/release" -lreference -Wl,-rpath,"$target/release"
