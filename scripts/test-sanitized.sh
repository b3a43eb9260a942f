#!/usr/bin/env bash
# Builds a sanitizer's preset and runs its tests; an unexpected skip is a failure.
#
#   scripts/test-sanitized.sh asan|tsan
#
# Tests labelled "process" run in the plain build only: they restrict address space, descriptors and
# mappings, kill threads and count mappings, which the sanitizers' runtimes do not survive.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1

scripts/build.sh "$preset"

# The runtimes of gcc 12 and clang 14 need the randomisation of addresses to stay below 2^28 pages;
# with more they die at start, most of the time.
run=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits)" -gt 28 ]; then
  run=(setarch -R)
fi
log=build/$preset-test.log
"${run[@]}" ctest --preset "$preset" -LE process | tee "$log"
scripts/check-skips.sh "$log" "$preset"
