#!/usr/bin/env bash
# Runs the linters over everything that is compiled.
#
#   scripts/lint.sh [clang-tidy] [cppcheck]   both when none is named
set -euo pipefail
cd "$(dirname "$0")/.."

run_clang_tidy() {
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$database" | sort -u |
    xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p "${database%/*}"
}

run_cppcheck() {
  cppcheck --project="$database" --enable=warning,performance,portability --inline-suppr \
    --suppress=missingIncludeSystem --error-exitcode=1 --quiet -j "$(nproc)"
}

# Both read how each file is compiled; clang's preset, because clang-tidy is a clang.
scripts/build.sh ci-clang
database=build/ci-clang/compile_commands.json

[ $# -gt 0 ] || set -- clang-tidy cppcheck
for linter in "$@"; do
  case $linter in
    clang-tidy) run_clang_tidy ;;
    cppcheck) run_cppcheck ;;
    *) echo "lint.sh: no linter called $linter" >&2; exit 2 ;;
  esac
done
