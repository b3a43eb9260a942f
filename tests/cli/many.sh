#!/bin/sh
# All buffers of a process with more than one locator are shown, and damage in a later locator.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

holds=300
start_holder
run show "$holder"
expect_status 0
grep -c '^ *[0-9]*  0x.* rwxp ' "$work/out" >"$work/count" || true
[ "$(cat "$work/count")" = 301 ] || fail "not 301 buffers: $(cat "$work/count")"
grep '^locator ' "$work/out" | sed 's/ at 0x[0-9a-f]* *:.*//' >"$work/locators"
printf 'locator 0\nlocator 1\n' | diff -u - "$work/locators" || fail 'not two locators, in order'
tail -n 1 "$work/out" >"$work/last"
grep -q '^301 buffers of .*, 432 bytes used; 301 held; no fault found$' "$work/last" ||
  fail "another sum: $(cat "$work/last")"
run list
expect_status 0
tr -s ' ' <"$work/out" >"$work/words"
grep -q "^ *$holder cli_holder [^ ]* 2 301 432 bytes " "$work/words" || fail "$(cat "$work/words")"

# A version that no implementation knows, in the header of the later one.
later=$(find /tmp/.reloaded/memory.buffers -name '*, later *')
[ -f "$later" ] || fail 'there is no file of a later locator'
case $(bits) in
  32) flags=12 ;;
  64) flags=20 ;;
esac
printf '\377' | dd of="$later" bs=1 seek="$flags" conv=notrunc 2>/dev/null
run show "$holder"
expect_status 0
tail -n 1 "$work/out" >"$work/last"
grep -q '; an unknown version$' "$work/last" ||
  fail "the damage is not in the sum: $(cat "$work/last")"
run list
expect_status 0
grep -q "^ *$holder .* DAMAGED: an unknown version\$" "$work/out" || fail "$(cat "$work/out")"
