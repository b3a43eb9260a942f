#!/bin/sh
# map draws modules, buffers, heap, stack and gaps, the reach of a target, and escape sequences only
# on a terminal.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

has_line() { # PATTERN: whether the output has such a line
  grep -Eq -- "$1" "$work/out" || fail "$ran: no line like: $1
$(cat "$work/out")"
}

start_holder
run map "$holder"
expect_status 0
has_line "^process $holder, cli_holder; whole address space\$"
has_line '^0x000000000000  \.\.\. .* 64 KiB  free'
has_line '^0x000000010000  BBB .* 64 KiB  buffers    1 buffer, 100 bytes used, 1 held$'
has_line '^0x[0-9a-f]*  BBB .* 64 KiB  buffers    1 buffer, 24 bytes used, 0 held$'
has_line '^0x[0-9a-f]*  #+ .*  module     cli_holder$'
has_line '^0x[0-9a-f]*  #+ .*  module     '"$libc\$"
has_line '^0x[0-9a-f]*  h+ .*  heap       \[heap\]$'
has_line '^0x[0-9a-f]*  .* system     \[vdso\]$'
has_line '^0x[0-9a-f]*  s+ .*  stack      \[stack\]$'
has_line '^0x[0-9a-f]*  L  .*  locator    Reloaded\.Memory\.Buffers\.MemoryBuffer, PID '
if grep -q "$(printf '\033')" "$work/out"; then
  fail 'an escape sequence outside a terminal'
fi

run map "$holder" --near getenv
expect_status 0
has_line "^process $holder, cli_holder; within reach of getenv at 0x[0-9a-f]*, 64 MiB per character:\$"
has_line '^  0x[0-9a-f]* \[.{64}\] 0x[0-9a-f]*$'
has_line '^0x[0-9a-f]*  BBB .* 24 bytes used, 0 held, .* below getenv$'
has_line '^0x[0-9a-f]*  #+ .*  module     '"$libc  <-- getenv\$"
if [ "$(bits)" = 64 ] && grep -q '^0x000000010000' "$work/out"; then
  fail 'what is beyond reach is shown'
fi

run map "$holder" --near "$libc+0x10" --svg "$work/map.svg"
expect_status 0
[ ! -s "$work/out" ] || fail 'a picture is also printed'
grep -q 'buffers, 64 KiB: 0x[0-9a-f]* to 0x[0-9a-f]* 1 buffer, 24 bytes used' "$work/map.svg" ||
  fail 'the picture has no tooltip for the buffer'
grep -q 'prefers-color-scheme: dark' "$work/map.svg" || fail 'the picture has no dark colours'
[ "$(grep -c '<svg ' "$work/map.svg") $(tail -n 1 "$work/map.svg")" = '1 </svg>' ] ||
  fail 'the picture is not whole'

run map "$holder" --near no_such_symbol
expect_status 4
expect_error "nearbuf: process $holder has no such module or exported symbol: no_such_symbol"
run map "$holder" --svg "$work/no/such/folder"
expect_status 1
expect_error "nearbuf: map: cannot be written: $work/no/such/folder"

command -v script >/dev/null || exit 0
TERM=xterm script -qec "'$NEARBUF' map $holder" /dev/null >"$work/out" </dev/null
grep -q "$(printf '\033')\\[1;32mB" "$work/out" || fail 'no colours on a terminal'
NO_COLOR=1 TERM=xterm script -qec "'$NEARBUF' map $holder" /dev/null >"$work/out" </dev/null
if grep -q "$(printf '\033')\\[1;32mB" "$work/out"; then
  fail 'colours although NO_COLOR is set'
fi
