#!/bin/sh
# A process in another pid and mount namespace, whose file is not visible by its name, is shown and
# given bytes like any other.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

mkfifo "$work/until" "$work/says"
"$OWN_PLACE" "$HOLDER" <"$work/until" >"$work/says" &
outer=$!
exec 9>"$work/until"
read -r answer <"$work/says"
[ "$answer" = ready ] || fail 'the holder does not start'
holder=$(tr -d " " <"/proc/$outer/task/$outer/children")

run show "$holder"
expect_status 0
grep -q '^  it is in another pid namespace, where its id is 1$' "$work/out" ||
  fail 'the namespace is not shown'
grep -q ' 24  free   rwxp' "$work/out" || fail "the buffers are not shown: $(cat "$work/out")"

echo nearbuf | "$NEARBUF" put "$holder" --near getenv - >"$work/address"
run dump "$holder" "$(cat "$work/address")" 7
expect_status 0
grep -q '|nearbuf|$' "$work/out" || fail 'the bytes are not there'
