#!/usr/bin/env bash
# The tests on other processors and C libraries, and on other systems as far as they run here.
# scripts/setup.sh installs what they need and caches it in /var/cache/nearbuf. This machine's own
# gcc is not in the list: the step `test` runs the same tests. On a machine so slow that 75 minutes
# are over, the targets that are left are left out, since CI as a whole has 90.
set -euo pipefail
cd "$(dirname "$0")/../.."

targets=(
  linux-x86_64-clang
  linux-i686
  linux-musl
  linux-aarch64
  linux-aarch64-16k
  linux-aarch64-64k
  linux-armhf
  linux-riscv64
  linux-s390x
  linux-ppc64el
)
[[ ! -v CI_STARTED ]] || export MATRIX_UNTIL=$((CI_STARTED + 4500))
exec scripts/matrix.sh "${targets[@]}"
