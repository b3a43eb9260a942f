#!/usr/bin/env bash
# Runs the Rust program against our library:
#
#   tests/interop/bindings.sh PROGRAM LIBRARY
set -euo pipefail
if [ ! -x "$1" ]; then
  echo 'skipped: the Rust reference was not built: see the test interop_reference.is_built'
  exit 77
fi
[ "$("$1" "$2")" = 'bindings: all types agree' ]
