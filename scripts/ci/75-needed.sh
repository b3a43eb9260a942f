#!/usr/bin/env bash
# The shared library needs the C library and nothing else.
set -euo pipefail
scripts/build.sh release nearbuf
needed=$(readelf -d build/release/libnearbuf.so | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
echo "needed: ${needed//$'\n'/ }"
others=$(grep -v -e '^libc\.so\.6$' -e '^ld-linux' <<<"$needed" || true)
if [ -n "$others" ]; then
  echo "not the C library: ${others//$'\n'/ }" >&2
  exit 1
fi
