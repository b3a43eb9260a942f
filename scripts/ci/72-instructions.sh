#!/usr/bin/env bash
# Get and release, warm, stay short: the instructions of a pair, loop and calls included, are limited.
# Callgrind counts the same on every run; what compilers differ by is in the limit.
set -euo pipefail
limit=130
scripts/build.sh release bench_guard

instructions() { # of the guard, for so many pairs
  valgrind --tool=callgrind --callgrind-out-file=/dev/null build/release/bench/guard "$1" 2>&1 |
    sed -n 's/.*Collected : //p'
}

# The difference leaves out what starting takes.
few=$(instructions 10000)
many=$(instructions 110000)
each=$(((many - few) / 100000))
echo "get and release: $each of at most $limit instructions"
[ "$each" -gt 0 ] && [ "$each" -le "$limit" ]
