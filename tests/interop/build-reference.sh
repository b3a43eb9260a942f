#!/usr/bin/env bash
# Builds the Rust implementation, which cargo fetches, and the programs that are compared:
#
#   tests/interop/build-reference.sh TARGET_DIR CC [RUST_TARGET]
#
# TARGET_DIR/release/libreference.so  its C functions
# TARGET_DIR/release/bindings         a Rust program for our library
# TARGET_DIR/client                   client.c, linked with that library
#
# With a target of rustc only TARGET_DIR/RUST_TARGET/release/ is built: reference.dll and client.exe.
# Exits 77 if
# there is no cargo, cargo cannot fetch, or the standard library for the target is not installed.
set -euo pipefail
target_dir=$1
cc=$2
rust_target=${3-}
cd "$(dirname "$0")"

skip() {
  echo "skipped: $1"
  exit 77
}
command -v cargo >/dev/null || skip 'there is no cargo to fetch and build the Rust reference with'
manifest=reference/Cargo.toml
if [ -n "$rust_target" ]; then
  standard=$(rustc --print target-libdir --target "$rust_target")
  [ -d "$standard" ] || skip "the standard library for $rust_target is not installed"
fi
cargo fetch --locked --manifest-path "$manifest" || skip 'cargo cannot fetch the Rust reference'
build=(cargo build --release --locked --offline --manifest-path "$manifest" --target-dir "$target_dir")
if [ -n "$rust_target" ]; then
  "${build[@]}" --lib --target "$rust_target"
  "$cc" -std=c17 -D__USE_MINGW_ANSI_STDIO -O1 -I ../../include client.c \
    "$target_dir/$rust_target/release/libreference.dll.a" -o "$target_dir/$rust_target/release/client.exe"
  exit
fi
"${build[@]}"
"$cc" -std=c17 -D_GNU_SOURCE -O1 -I ../../include client.c -o "$target_dir/client" \
  -L "$target_dir/release" -lreference -Wl,-rpath,"$target_dir/release"
