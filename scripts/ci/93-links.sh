#!/usr/bin/env bash
# Targets that cannot run here compile without warnings and link, tests and inspector included.
set -euo pipefail
cd "$(dirname "$0")/../.."

scripts/matrix.sh macos-aarch64 macos-x86_64 freebsd-x86_64 windows-aarch64
for library in build/matrix/freebsd-x86_64/lib*.so; do
  tests/abi/check.sh "$library"
done
