#!/bin/sh
# Help, version and manual page come from the table of commands; wrong usage has its own exit
# status.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
root=${0%/*}/../..

run --version
expect_status 0
version=$(sed -n 's/^#define NEARBUF_VERSION_M[AI][JN]OR //p' "$root/include/nearbuf/nearbuf.h" |
  tr '\n' .)
grep -q "^nearbuf ${version}[0-9]*\$" "$work/out" || fail "--version: $(cat "$work/out")"

run --help
expect_status 0
sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' "$work/out" >"$work/commands"
[ -s "$work/commands" ] || fail 'no command in --help'
while read -r command; do
  run "$command" --help
  expect_status 0
  grep -q "^usage: nearbuf $command\( \|\$\)" "$work/out" || fail "$command --help has no usage"
  run "$command" --no-such-option
  expect_status 2
  expect_error "nearbuf: $command: no such option: --no-such-option"
done <"$work/commands"

run --manual
expect_status 0
expect_output "$root/docs/man/nearbuf.1"

run
expect_status 2
[ ! -s "$work/out" ] || fail 'without a command it prints on the standard output'
run nonsense
expect_status 2
expect_error "nearbuf: no such command: nonsense; \`nearbuf --help\` lists them"
run demo superfluous
expect_status 2
expect_error 'nearbuf: demo: one argument too many: superfluous'

"$NEARBUF" --help >/dev/full 2>"$work/err" && fail 'a full disk is a success'
expect_error 'nearbuf: the output could not be written'
