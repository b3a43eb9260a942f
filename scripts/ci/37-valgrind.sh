#!/usr/bin/env bash
# The library is silent under valgrind: it must not bury its users' own mistakes.
set -euo pipefail
scripts/build.sh release nearbuf_tool example_near_function >/dev/null
valgrind --quiet --error-exitcode=1 build/release/examples/near_function >/dev/null
valgrind --quiet --error-exitcode=1 --smc-check=all build/release/nearbuf self-test >/dev/null
