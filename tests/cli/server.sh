#!/bin/sh
# An unprepared server from Debian's packages serves while bytes are put into it and memory is
# mapped in it; list, show, map, dump and watch show the truth, and it goes on unharmed.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

# One program under several names; the package redis-tools has it and starts nothing when it is
# installed.
server=$(command -v redis-check-rdb) || skip 'redis-tools is not installed'
command -v redis-benchmark >/dev/null || skip 'redis-tools is not installed'
ln -s "$server" "$work/redis-server"

ask() {
  redis-cli -s "$work/socket" "$@"
}

"$work/redis-server" --port 0 --unixsocket "$work/socket" --save '' --dir "$work" >"$work/log" 2>&1 &
target=$!
is_up() {
  [ "$(ask ping)" = PONG ]
}
wait_until 'the server' is_up
[ "$(find "/proc/$target/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 1 ] || fail 'it has one thread only'

# Twenty clients, whose requests are counted, until all of this is done.
while [ ! -e "$work/enough" ]; do
  redis-benchmark -s "$work/socket" -q -c 20 -n 2000 -P 4 incr counted >"$work/load" 2>&1 || exit 1
  echo round >>"$work/rounds"
done &
clients=$!

put() { # ARGUMENT...: puts the bytes, and sets $address
  run put "$target" "$@"
  skip_if_unsupported
  expect_status 0
  address=$(cat "$work/out")
}

# The first bytes need a locator and a buffer; the others use them.
printf '\110\061\300\303' >"$work/stub" # xor rax, rax; ret
put --near processCommand "$work/stub"
first=$address
i=0
while [ $i -lt 20 ]; do
  put --near processCommand "$work/stub"
  [ $((address)) -eq $((first + 16 * (i + 1))) ] || fail "bytes $i are at $address, the first at $first"
  run alloc "$target" --near processCommand 10000
  expect_status 0
  read -r memory size <"$work/out"
  run free "$target" "$memory" "$size"
  expect_status 0
  i=$((i + 1))
done

run list
expect_status 0
grep -Eq "^ *$target  redis-server +[^ ]+ +1 +1 +324 bytes +64 KiB  written\$" "$work/out" ||
  fail "list: $(cat "$work/out")"

run show "$target"
expect_status 0
grep -Eq "^ +[0-9]+  0x[0-9a-f]+ +65536 +324  free   rwxp  " "$work/out" || fail "show: $(cat "$work/out")"
grep -q '^1 buffer of 64 KiB, 324 bytes used; 0 held; no fault found$' "$work/out" ||
  fail "show: $(cat "$work/out")"

# Within reach of the function, and shown so.
run map "$target" --near processCommand
expect_status 0
grep -Eq '^0x[0-9a-f]+  BBB .* 1 buffer, 324 bytes used, 0 held, .* (below|above) processCommand$' \
  "$work/out" || fail "map: $(cat "$work/out")"
grep -Eq '^0x[0-9a-f]+  #+ .*  <-- processCommand$' "$work/out" || fail "map: $(cat "$work/out")"

i=0
while [ $i -le 20 ]; do
  run dump "$target" $((first + 16 * i)) 4
  expect_status 0
  grep -q '^0x[0-9a-f]*   48 31 c0 c3  *|H1\.\.|$' "$work/out" || fail "dump: $(cat "$work/out")"
  i=$((i + 1))
done

"$NEARBUF" watch "$target" --interval 100 >"$work/watched" 2>"$work/watch_errors" &
watcher=$!
wait_until 'the first report' grep -q '324 bytes used (0 bytes more' "$work/watched"
put --near processCommand "$work/stub"
wait_until 'a report of 16 bytes more' \
  grep -q '340 bytes used (16 bytes more since the first report' "$work/watched"
kill "$watcher"
wait "$watcher" || true

# No request was lost, nothing hangs, and the server shuts down normally.
kill -0 "$clients" || fail "a client failed: $(cat "$work/load")"
: >"$work/enough"
wait "$clients" || fail "a client failed: $(cat "$work/load")"
[ "$(ask get counted)" = $(($(wc -l <"$work/rounds") * 2000)) ] ||
  fail "$(ask get counted) requests were counted in $(wc -l <"$work/rounds") rounds"
kill -TERM "$target"
wait "$target" || fail "the server ended with status $?: $(cat "$work/log")"
grep -q 'ready to exit, bye bye' "$work/log" || fail "the server: $(cat "$work/log")"
