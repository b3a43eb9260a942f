#!/bin/sh
# There is no system call between the texts that the demo writes right before and right after a
# thread's second get.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
command -v strace >/dev/null || skip 'strace is not installed'
strace -o "$work/probe" true 2>/dev/null || skip 'this place does not allow tracing'

# The leak checker does not work under a tracer.
export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
strace -f -s 80 -o "$work/trace" "$NEARBUF" demo >"$work/out" 2>"$work/err" ||
  fail 'the demo fails under strace'
grep -A1 'writev*(1, .*"   A thread that gets a buffer a second time"' "$work/trace" >"$work/window" ||
  fail 'the trace does not show the marker before'
grep -q 'writev*(1, .*" gets the one it had:' "$work/window" ||
  fail "a system call on the second get: $(sed -n 2p "$work/window")"
