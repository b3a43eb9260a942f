#!/bin/sh
# Formats every C source by .clang-format; with --check it only lists those that would change
# (status 1).
set -eu
cd "$(dirname "$0")/.."
if [ "${1-}" = --check ]; then
  set -- --dry-run --Werror
else
  set -- -i
fi
find include src tools tests examples bench -name '*.[ch]' -exec clang-format "$@" {} +
