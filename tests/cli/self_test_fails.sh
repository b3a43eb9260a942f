#!/bin/sh
# If the system maps no more memory than the program itself needs, the checks that need memory fail,
# print why, and are counted.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
command -v strace >/dev/null || skip 'strace is not installed'
strace -o "$work/probe" true 2>/dev/null || skip 'this place does not allow tracing'

calls='/^mmap2?$' # on 32 bits it has another name
strace -e trace="$calls" -o "$work/trace" "$NEARBUF" --version >"$work/out"
own=$(grep -c '^mmap' "$work/trace")

ran='nearbuf self-test without memory'
status=0
strace -e trace="$calls" -e inject="$calls":error=ENOMEM:when=$((own + 1))+ -o "$work/trace" \
  "$NEARBUF" self-test >"$work/out" 2>"$work/err" || status=$?
expect_status 1
grep -q "^FAILED bytes lie within reach of a function: memory, .* used up" "$work/out" ||
  fail "what failed is not named: $(cat "$work/out")"
failed=$(grep -c '^FAILED ' "$work/out")
expect_error "nearbuf: $failed of 12 checks failed"
