#!/usr/bin/env bash
# Installs the release build, moves the copy, and builds and runs main.c against it: through
# find_package and through pkg-config, with the shared and with the static library.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/consumer
installed=$work/moved
rm -rf "$work"

make install PREFIX="$work/installed"
mv "$work/installed" "$installed" # no file in it may depend on where it was installed

runs() { # NAME PROGRAM [needs|lacks]: whether the program loads libnearbuf.so
  echo "consumer: $1"
  LD_LIBRARY_PATH=$installed/lib "$2"
  local loads=lacks
  ! readelf -d "$2" | grep -q 'NEEDED.*libnearbuf\.so\.1' || loads=needs
  [ "$loads" = "$3" ] || { echo "consumer: $1 $loads libnearbuf.so.1" >&2; exit 1; }
}

cmake -S tests/consumer -B "$work/cmake" -DCMAKE_PREFIX_PATH="$installed" >/dev/null
cmake --build "$work/cmake" >/dev/null
runs 'CMake, shared' "$work/cmake/consumer_shared" needs
runs 'CMake, static' "$work/cmake/consumer_static" lacks

export PKG_CONFIG_PATH=$installed/lib/pkgconfig
# shellcheck disable=SC2046 # flags are words
cc -std=c17 tests/consumer/main.c -o "$work/shared" $(pkg-config --cflags --libs nearbuf)
runs 'pkg-config, shared' "$work/shared" needs
# shellcheck disable=SC2046
cc -std=c17 -static tests/consumer/main.c -o "$work/static" \
  $(pkg-config --static --cflags --libs nearbuf)
runs 'pkg-config, static' "$work/static" lacks
