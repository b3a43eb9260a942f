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

# The shipped sources for this system. In tests cppcheck 2.10 takes structures that a call fills in
# for uninitialised, and reports a syntax error in a correct nested conditional.
run_cppcheck() {
  cppcheck -I include -I src -D__linux__ -D__x86_64__ -D__GNUC__ -D_GNU_SOURCE --std=c11 \
    --enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
    --suppress=internalAstError --error-exitcode=1 --quiet -j "$(nproc)" \
    src/{api,base,core,remote}/*.c src/os/*.c src/{os,remote}/linux/*.c src/os/posix/*.c src/os/bsd/vmmap.c \
    tools/nearbuf/*.c
}

# clang-tidy reads the compile commands; of clang's preset, because it is based on clang.
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
