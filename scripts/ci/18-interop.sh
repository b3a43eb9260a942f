#!/usr/bin/env bash
# One process with the Rust implementation, which cargo fetches and builds: none of its tests may be
# skipped here. (interop_llvm is where the system itself finds memory within reach.)
set -euo pipefail
if ! command -v cargo >/dev/null; then
  # Debian 12's own cargo is too old for its dependencies; this one is updated for browsers.
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends \
    cargo-web ca-certificates >/dev/null
fi
scripts/build.sh release
log=build/interop-test.log
(cd build/release && ctest --output-on-failure --no-tests=error -R '^interop_') | tee "$log"
! grep '(Skipped)$' "$log" | grep -v ' interop_llvm\.'
