#!/usr/bin/env bash
# The shared library exports what tests/abi/symbols.txt lists, and nothing else.
set -euo pipefail
scripts/build.sh release nearbuf
tests/abi/check.sh build/release/libnearbuf.so
