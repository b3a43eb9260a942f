#!/usr/bin/env bash
# The shared library stays small: its text, as `size` counts it (code and constants), is limited.
set -euo pipefail
limit=81920 # 80 KiB
scripts/build.sh release
text=$(size build/release/libnearbuf.so | awk 'NR == 2 { print $1 }')
echo "text: $text of at most $limit bytes"
[ "$text" -le "$limit" ]
