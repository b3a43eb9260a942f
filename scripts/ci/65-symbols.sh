#!/usr/bin/env bash
# The shared libraries export what tests/abi/ lists, and nothing else.
set -euo pipefail
scripts/build.sh release
tests/abi/check.sh build/release/libnearbuf.so
tests/abi/check.sh build/release/libnearbuf_reloaded.so
tests/abi/check.sh build/release/libnearbuf_process.so
