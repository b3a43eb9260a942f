#!/usr/bin/env bash
# Runs client.c linked with the Rust implementation and with our library, and compares the outputs:
#
#   tests/interop/compare.sh CLIENT_OF_REFERENCE OUR_CLIENT SYSTEM [EMULATOR]
#
# Every line must be the same, except for those that differences.txt has for the system, Linux or
# Windows, which must be as it says.
set -euo pipefail
if [ ! -x "$1" ]; then
  echo 'skipped: the Rust reference was not built: see the test interop_reference.is_built'
  exit 77
fi
emulator=${4-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The Rust implementation trusts the file of a dead process that had its id, and crashes.
run() { # PROGRAM, which gets the shell's id
  bash -c 'rm -f "/tmp/.reloaded/memory.buffers/Reloaded.Memory.Buffers.MemoryBuffer, PID $$"
    exec "$@"' bash ${emulator:+"$emulator"} "$1"
}
run "$1" >"$work/reference"
run "$2" >"$work/ours"

# Name, the Rust implementation's result and ours, for all that differ.
awk -F ' = ' 'FNR == NR { reference[$1] = $2; order[++count] = $1; next }
  { ours[$1] = $2; if (!($1 in reference)) { order[++count] = $1 } }
  END { for (i = 1; i <= count; i++) { name = order[i]
    if (reference[name] != ours[name]) { print name "\t" reference[name] "\t" ours[name] } } }' \
  "$work/reference" "$work/ours" >"$work/found"
awk -F '\t' -v OFS='\t' -v place="$3" '!/^#/ && ($4 == "all" || $4 == place) { print $1, $2, $3 }' \
  "$(dirname "$0")/differences.txt" >"$work/expected"

diff -u --label expected "$work/expected" --label found "$work/found"
echo "$(wc -l <"$work/ours") answers, $(wc -l <"$work/found") of them different, as listed"
