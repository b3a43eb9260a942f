#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz under libFuzzer, one after the other; a finding ends it.
#
#   scripts/fuzz.sh SECONDS [target...]   all targets when none is named
#
# The corpus of a target stays in build/fuzz/corpus for its next run; an input that is a finding is
# kept next to it. Once fixed, it belongs in tests/fuzz/corpus, where every test run replays it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
targets=("$@")
[ $# -gt 0 ] || targets=(maps_text vmmap format placement attach)

scripts/build.sh fuzz "${targets[@]/#/fuzz_}"

# As in test-sanitized.sh: the runtime dies at start where addresses are randomised further.
run=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits)" -gt 28 ]; then
  run=(setarch -R)
fi
for target in "${targets[@]}"; do
  learnt=build/fuzz/corpus/$target
  mkdir -p "$learnt"
  echo "fuzz: $target, $seconds s"
  "${run[@]}" "build/fuzz/fuzz/$target" -max_total_time="$seconds" -max_len=8300 -timeout=30 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/$target-" \
    "$learnt" "tests/fuzz/corpus/$target" 2>&1 | grep -v -e '# Uses:' -e 'ecommended dictionary'
done
