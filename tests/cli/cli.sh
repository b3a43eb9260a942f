# shellcheck shell=sh
# What the tests of the inspector share; sourced by them. $NEARBUF is the program.
#
#   run ARGUMENT...      runs it; then $status, and the files $work/out and $work/err
#   expect_status N      what it answered
#   expect_output FILE   its exact output ("-": from the standard input)
#   fail, skip MESSAGE   end the test
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "$0: $*" >&2
  [ ! -s "$work/err" ] || sed 's/^/stderr: /' "$work/err" >&2
  exit 1
}

skip() {
  echo "$*"
  exit 77
}

run() {
  ran="nearbuf $*"
  status=0
  "$NEARBUF" "$@" >"$work/out" 2>"$work/err" || status=$?
}

expect_status() {
  [ "$status" = "$1" ] || fail "$ran: exit status $status, not $1"
}

expect_output() {
  diff -u "$1" "$work/out" >"$work/diff" || fail "$ran: another output:
$(cat "$work/diff")"
}

expect_error() {
  [ "$(cat "$work/err")" = "$1" ] || fail "$ran: its error output is not: $1"
}
