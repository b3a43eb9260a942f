#!/usr/bin/env bash
# Fast paths stay short: the instructions of a round, loop and calls included, are limited.
# Callgrind's count is the same on every run; the limits allow for differences between compilers.
set -euo pipefail
scripts/build.sh release bench_guard

instructions() { # of the guard: WORK COUNT
  valgrind --tool=callgrind --callgrind-out-file=/dev/null build/release/bench/guard "$1" "$2" 2>&1 |
    sed -n 's/.*Collected : //p'
}

status=0
check() { # WORK LIMIT
  # The difference excludes the start-up of the process.
  local few many each
  few=$(instructions "$1" 10000)
  many=$(instructions "$1" 110000)
  each=$(((many - few) / 100000))
  echo "$1: $each of at most $2 instructions"
  [ "$each" -gt 0 ] && [ "$each" -le "$2" ] || status=1
}

check get-release 112
check place 124
check append 60
check find 8000
check drop-in-get-free 90
check drop-in-append 52
exit $status
