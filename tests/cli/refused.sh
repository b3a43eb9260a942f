#!/bin/sh
# If the system denies the inspector a call, it prints that, with the system's own reason, and does
# not mistake it for something else: for missing memory, or an unsupported system.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

[ "$(bits)" = 64 ] || skip 'only a 64-bit program can trace'
program=$NEARBUF
refused() { # CALL=ERROR... -- ARGUMENT...: runs the inspector under a filter
  filter=
  while [ "$1" != -- ]; do
    filter="$filter $1"
    shift
  done
  shift
  ran="nearbuf $* ($filter)"
  status=0
  # The leak checker of the sanitizer uses ptrace.
  # shellcheck disable=SC2086 # several words
  ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 "${REFUSE:?}" $filter -- "$program" "$@" >"$work/out" 2>"$work/err" || status=$?
  [ "$status" != 77 ] || skip 'the system allows no filters'
}

says() { # LINE: whether the error output has it
  grep -Fq "$1" "$work/err" || fail "$ran: its error output is: $(cat "$work/err")"
}

start_holder
echo bytes >"$work/bytes"
run put "$holder" --near getenv "$work/bytes"
skip_if_unsupported
expect_status 0

# As with kernel.yama.ptrace_scope=3: the memory map can be read, the memory cannot.
sleep 600 &
sleeper=$! # which has no buffers that could be seen
for process in "$holder" "$sleeper"; do
  for near in getenv 0x100000; do
    refused process_vm_readv=EPERM ptrace=EPERM -- put "$process" --near $near "$work/bytes"
    expect_status 3
    says 'Operation not permitted'
  done
done
kill "$sleeper"
refused process_vm_readv=EPERM ptrace=EPERM -- alloc "$holder" --range 0x100000 0x7fffffff 10000
expect_status 3
says 'Operation not permitted'
refused process_vm_readv=EPERM ptrace=EPERM -- map "$holder" --near getenv
expect_status 3

# The bytes cannot be written: the reason is that of the write, not of the release after it.
refused pwrite64=ENOSPC -- put "$holder" --near getenv "$work/bytes"
expect_status 1
says 'The system says: No space left on device'
run show "$holder" # and the buffer does not stay held
grep -q '; 1 held; no fault found$' "$work/out" || fail "show: $(cat "$work/out")"
