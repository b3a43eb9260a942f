#!/usr/bin/env bash
# The tests as `make test` runs them.
set -euo pipefail
log=build/release-test.log
mkdir -p build
make test | tee "$log"
scripts/check-skips.sh "$log" release
