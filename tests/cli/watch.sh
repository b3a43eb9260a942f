#!/bin/sh
# watch shows what is held and for how long, and growth, and ends with the process.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

start_holder
run watch "$holder" --count 2 --interval 1100
expect_status 0
sed -i 's/seen for 2 s/seen for 1 s/' "$work/out" # the second may have ended meanwhile
normalise
cat >"$work/expected" <<'END'
process HOLDER, cli_holder: 1 locator, 2 buffers of 128 KiB, 124 bytes used (0 bytes more since the first report, 0 bytes since the last), 1 held
  held, seen for 0 s: ADDRESS , 64 KiB
process HOLDER, cli_holder: 1 locator, 2 buffers of 128 KiB, 124 bytes used (0 bytes more since the first report, 0 bytes since the last), 1 held
  held, seen for 1 s: ADDRESS , 64 KiB
END
sed -i 's/ADDRESS ,/ADDRESS,/' "$work/expected"
sed -i 's/ADDRESS ,/ADDRESS,/' "$work/out"
expect_output "$work/expected"

"$NEARBUF" watch "$holder" --interval 100 >"$work/watched" 2>"$work/err" 9>&- &
watcher=$!
wait_until 'the first report' grep -q '124 bytes used' "$work/watched"
echo 'ten bytes' | "$NEARBUF" put "$holder" --near getenv - >"$work/address"
# 24 bytes were used; the next ones start at 32.
wait_until 'growth' grep -q \
  '142 bytes used (18 bytes more since the first report, 18 bytes since the last)' "$work/watched"
exec 9>&- # the holder ends
wait "$holder" || fail 'the holder failed'
wait "$watcher" || fail "watch ends with status $?"
[ "$(tail -n 1 "$work/watched")" = "process $holder has ended" ] || fail 'the end is not printed'

run watch $$ --interval 0
expect_status 2
expect_error 'nearbuf: watch: not a number of milliseconds: 0'
