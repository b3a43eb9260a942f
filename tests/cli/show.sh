#!/bin/sh
# show prints every field of locators and buffers; failures have their exit status.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

start_holder
run show "$holder"
expect_status 0
normalise
case $(bits) in
  32) capacity=255 slot=39 next=40 ;; # the first slots stay empty: src/os/pages.h
  64) capacity=203 slot=38 next=39 ;;
esac
case $(uname -m) in
  s390x) slot=44 next=45 ;; # its cache lines are longer
esac
expect_output - <<END
process HOLDER, cli_holder, $(bits) bits

locator 0 at ADDRESS : 2 of $capacity items, dialect written, shared
  file      /tmp/.reloaded/memory.buffers/Reloaded.Memory.Buffers.MemoryBuffer, PID HOLDER
  item  address                   size        used  held   prot  near
    $slot  ADDRESS 65536          24  free   rwxp  DISTANCE $libc
    $next  ADDRESS 65536         100  held   rwxp  DISTANCE cli_holder

2 buffers of 128 KiB, 124 bytes used; 1 held; no fault found
END

run show 999999
expect_status 4
expect_error 'nearbuf: there is no process 999999'
run show $$
expect_status 4
expect_error "nearbuf: process $$ has no buffers"
run show nonsense
expect_status 2
expect_error 'nearbuf: show: not a process id: nonsense'
run show
expect_status 2
expect_error 'nearbuf: usage: nearbuf show PROCESS [--json]'

setpriv --reuid 65534 --clear-groups true 2>/dev/null || skip 'this place does not allow other users'
status=0
setpriv --reuid 65534 --clear-groups "$NEARBUF" show "$holder" >"$work/out" 2>"$work/err" ||
  status=$?
ran='nearbuf show as another user'
expect_status 3
grep -q "^nearbuf: process $holder: its buffers cannot be read: the system forbids it\$" \
  "$work/err" || fail 'it does not say what was denied'
grep -q '^  Run as root' "$work/err" || fail 'it does not say what would help'
