#!/bin/sh
# The code in README.md is an example that the tests compile and run, and its list of commands is
# that of the program.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
root=${0%/*}/../..

# shellcheck disable=SC2016
sed -n '/^```c$/,/^```$/p' "$root/README.md" | sed '1d;$d' >"$work/code"
diff -u "$root/examples/near_function.c" "$work/code" >"$work/diff" ||
  fail "README.md differs from its example:
$(cat "$work/diff")"

run --help
sed -n '/^  [a-z]/p' "$work/out" >"$work/commands"
sed -n '/^## The tool/,/^## /p' "$root/README.md" | sed -n '/^  [a-z]/p' >"$work/listed"
diff -u "$work/commands" "$work/listed" >"$work/diff" || fail "README.md lists other commands:
$(cat "$work/diff")"
