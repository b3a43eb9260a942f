#!/usr/bin/env bash
# The parts of the structure that a script can check: includes, names, the way of one call through
# the files, and that each library compiles as one file.
set -euo pipefail
scripts/structure.py
PYTHONDONTWRITEBYTECODE=1 python3 scripts/trace --check

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile_as_one() { # NAME folder...
  local name=$1
  shift
  find "$@" -maxdepth 1 -name '*.c' ! -name reloaded.c -printf '#include "%p"\n' | sort >"$work/$name.c"
  gcc -std=c17 -D_GNU_SOURCE -DNEARBUF_BUILDING -I . -I include -I src -c "$work/$name.c" -o "$work/$name.o"
}
compile_as_one nearbuf src/api src/base src/core src/os src/os/linux src/os/posix
compile_as_one process src/remote src/remote/linux
