#!/usr/bin/env bash
# The shared libraries need the C library and nothing else.
set -euo pipefail
scripts/build.sh release
for library in build/release/libnearbuf{,_reloaded,_process}.so; do
  needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  echo "$library needs: ${needed//$'\n'/ }"
  others=$(grep -v -e '^libc\.so\.6$' -e '^ld-linux' <<<"$needed" || true)
  if [ -n "$others" ]; then
    echo "not the C library: ${others//$'\n'/ }" >&2
    exit 1
  fi
done
