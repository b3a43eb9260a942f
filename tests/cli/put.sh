#!/bin/sh
# put places bytes near a function of an unprepared program, dump shows them, alloc and free work,
# and the program goes on unharmed.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

# A shell that counts; it does not use nearbuf.
sh -c 'while :; do echo >>"$1"; sleep 0.01; done' sh "$work/count" &
target=$!
wait_until 'the program' test -s "$work/count"

printf '\220\303nearbuf' >"$work/bytes"
run put "$target" --near getenv "$work/bytes"
skip_if_unsupported
expect_status 0
grep -Eq '^0x[0-9a-f]+$' "$work/out" || fail "put prints no address: $(cat "$work/out")"
address=$(cat "$work/out")

run dump "$target" "$address" 9
expect_status 0
sed -n '1s/^0x[0-9a-f]* *//p' "$work/out" | tr -s ' ' >"$work/line"
[ "$(cat "$work/line")" = '90 c3 6e 65 61 72 62 75 66 |..nearbuf|' ] ||
  fail "dump shows other bytes: $(cat "$work/line")"

# The next bytes use the room that is left.
run put "$target" --near getenv --align 64 - <"$work/bytes"
expect_status 0
[ $(($(cat "$work/out"))) -eq $((address + 64)) ] ||
  fail "$(cat "$work/out") is not the next multiple of 64 after $address"
run show "$target"
expect_status 0
grep -q '65536          73  free' "$work/out" || fail "show: $(cat "$work/out")"

run alloc "$target" --range 0x10000 0x7fffffff 5000
expect_status 0
read -r memory size <"$work/out"
if [ $((memory + size)) -gt $((0x80000000)) ] || [ "$size" != 8192 ]; then
  fail "alloc: $memory $size"
fi
grep -q "^0*${memory#0x}-.* rwxp " "/proc/$target/maps" || fail 'what alloc took is not there'
run free "$target" "$memory" "$size"
expect_status 0
if grep -q "^0*${memory#0x}-" "/proc/$target/maps"; then
  fail 'what free gave back is still there'
fi
run free "$target" "$memory" "$size"
expect_status 4
expect_error "nearbuf: process $target has no memory there that alloc allocated"
run free "$target" "$address" 4096
[ "$status" != 0 ] || fail 'free gives back a part of a buffer'
run dump "$target" "$address" 9
expect_status 0

run dump "$target" 0x1000
expect_status 4
expect_error "nearbuf: process $target has nothing at 0x1000"
run put "$target" "$work/bytes"
expect_status 2
expect_error 'nearbuf: put: either --near or --range is required'
run put "$target" --near getenv "$work/no_such_file"
expect_status 4
expect_error "nearbuf: put: cannot open the file: $work/no_such_file"
run put "$target" --near getenv - </dev/null
expect_status 2
expect_error 'nearbuf: put: the input is empty: -'
run put "$target" --range 1 2 "$work/bytes"
expect_status 1
expect_error "nearbuf: process $target: no buffer could be acquired: the range cannot hold the size at that alignment"

before=$(wc -l <"$work/count")
counts_on() {
  [ "$(wc -l <"$work/count")" -gt $((before + 1)) ]
}
wait_until 'that the program goes on' counts_on
kill -0 "$target" || fail 'the program died of it'
