#!/usr/bin/env bash
# Installs the release build, moves the copy, and builds and runs two programs against it, one for
# each library: through find_package and through pkg-config, with the shared and with the static
# library.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/consumer
installed=$work/moved
rm -rf "$work"

make install PREFIX="$work/installed"
mv "$work/installed" "$installed" # no file in it may depend on where it was installed

runs() { # NAME PROGRAM [LIBRARY]: the one library of ours that the program loads
  echo "consumer: $1"
  LD_LIBRARY_PATH=$installed/lib "$2"
  local loads
  loads=$(readelf -d "$2" | sed -n 's/.*(NEEDED).*\[\(libnearbuf.*\)\]/\1/p')
  [ "$loads" = "${3-}" ] || { echo "consumer: $1 loads '$loads'" >&2; exit 1; }
}

cmake -S tests/consumer -B "$work/cmake" -DCMAKE_PREFIX_PATH="$installed" >/dev/null
cmake --build "$work/cmake" >/dev/null
export PKG_CONFIG_PATH=$installed/lib/pkgconfig
both() { # PACKAGE FILE LIBRARY CMAKE_NAME
  runs "$1, CMake, shared" "$work/cmake/$4_shared" "$3.so.1"
  runs "$1, CMake, static" "$work/cmake/$4_static"
  # shellcheck disable=SC2046 # flags are words
  cc -std=c17 "tests/consumer/$2" -o "$work/shared" $(pkg-config --cflags --libs "$1")
  runs "$1, pkg-config, shared" "$work/shared" "$3.so.1"
  # shellcheck disable=SC2046
  cc -std=c17 -static "tests/consumer/$2" -o "$work/static" \
    $(pkg-config --static --cflags --libs "$1")
  runs "$1, pkg-config, static" "$work/static"
}
both nearbuf main.c libnearbuf consumer
both nearbuf-reloaded reloaded.c libnearbuf_reloaded consumer_reloaded
