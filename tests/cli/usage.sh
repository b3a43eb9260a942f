#!/bin/sh
# Invalid arguments are named, with exit status 2, and nothing is done; valid limits are accepted.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

refused() { # MESSAGE ARGUMENT...
  message=$1
  shift
  run "$@"
  expect_status 2
  expect_error "nearbuf: $message"
  [ ! -s "$work/out" ] || fail "$ran: it printed something all the same"
}

start_holder
echo bytes >"$work/bytes"
refused 'alloc: not a number: many' alloc "$holder" --near getenv many
refused 'free: not an address and a size: here 4096' free "$holder" here 4096
refused 'free: not an address and a size: 4096 much' free "$holder" 4096 much
refused 'dump: not a length from 1 to 1048576: 0' dump "$holder" 0x10000 0
refused 'dump: not a length from 1 to 1048576: 1048577' dump "$holder" 0x10000 1048577
refused 'dump: not a length from 1 to 1048576: long' dump "$holder" 0x10000 long
refused 'put: not addresses: low 2' put "$holder" --range low 2 "$work/bytes"
refused 'put: not addresses: 1 high' put "$holder" --range 1 high "$work/bytes"
refused 'put: not a number: some' put "$holder" --near getenv --align some "$work/bytes"
refused 'put: either --near or --range is required' \
  put "$holder" --near getenv --range 1 2 "$work/bytes"
refused 'put: --range requires MIN MAX' put "$holder" "$work/bytes" --range 1
refused 'put: --near requires PLACE' put "$holder" "$work/bytes" --near
refused 'show: one argument too many: 7' show "$holder" 7
refused 'show: no such option: --near' show "$holder" --near getenv
refused 'watch: not a number of milliseconds: soon' watch "$holder" --interval soon
refused 'watch: not a number of reports: 0' watch "$holder" --count 0
refused 'watch: not a number of reports: often' watch "$holder" --count often

# The holder's low buffer has 64 KiB and nothing mapped after it: its last byte can be read.
run dump "$holder" 0x1ffff 1
expect_status 0
grep -q '^0x00*1ffff  *00 ' "$work/out" || fail "$ran: $(cat "$work/out")"
run dump "$holder" 0x1fff8 16
expect_status 1
expect_error 'nearbuf: dump: the remaining bytes cannot be read'
run dump "$holder" 0x10000 65536 --json
expect_status 0
[ "$(sed -n 's/^ *"bytes": "\([0-9a-f]*\)".*/\1/p' "$work/out" | tr -d '\n' | wc -c)" = 131072 ] ||
  fail "$ran: not 65536 bytes"
