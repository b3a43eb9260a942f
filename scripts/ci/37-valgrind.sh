#!/usr/bin/env bash
# The library causes no reports under valgrind, which would hide those about its users' code.
set -euo pipefail
scripts/build.sh release nearbuf_tool example_near_function >/dev/null
valgrind --quiet --error-exitcode=1 build/release/examples/near_function >/dev/null
valgrind --quiet --error-exitcode=1 --smc-check=all build/release/nearbuf self-test >/dev/null
