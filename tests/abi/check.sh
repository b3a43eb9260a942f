#!/usr/bin/env bash
# Compares the names that a shared library exports with the list of its name in tests/abi/.
#
#   tests/abi/check.sh LIBRARY            fails, and shows the difference, if they differ
#   tests/abi/check.sh LIBRARY --update   writes the list anew: after a public function was added
#
# A name that disappears breaks programs, and asks for a new major version.
set -euo pipefail
export LC_ALL=C
library=$1
list=$(dirname "$0")/$(basename "$library" .so).txt

exported() {
  nm --dynamic --defined-only --format=posix "$library" | cut -d ' ' -f 1 | sort
}

if [ "${2-}" = --update ]; then
  exported >"$list"
elif ! diff -u --label listed "$list" --label exported <(exported); then
  echo "If this is meant: tests/abi/check.sh $library --update" >&2
  exit 1
fi
