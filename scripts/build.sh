#!/bin/sh
# Configures and builds one preset of CMakePresets.json into build/PRESET.
#
#   scripts/build.sh PRESET [target...]   all targets when none is named
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift

# Called by make, the inner make would otherwise try to join the outer one's job server.
unset MAKEFLAGS MFLAGS MAKELEVEL

scripts/setup.sh build

# A configured tree keeps its generator; CMake refuses to change it.
cache=build/$preset/CMakeCache.txt
generator=
if [ -f "$cache" ]; then
  generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$cache")
fi
if [ -z "$generator" ]; then
  if command -v ninja >/dev/null; then
    generator=Ninja
  else
    generator='Unix Makefiles'
  fi
fi

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
cmake --preset "$preset" -G "$generator"
if [ $# -gt 0 ]; then
  cmake --build "build/$preset" --parallel "$jobs" --target "$@"
else
  cmake --build "build/$preset" --parallel "$jobs"
fi
